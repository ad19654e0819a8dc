"""The windows that signals are multiplied by before a spectrum is taken of a part of them."""

from __future__ import annotations

import math
from typing import Any, Unpack

from retrograd.dtypes import get_default_dtype
from retrograd.ops.declare import publics
from retrograd.ops.factories import arange, ones
from retrograd.ops.flags import no_flag
from retrograd.ops.options import Options
from retrograd.ops.special_bessel import i0
from retrograd.tensor import Tensor

__all__: list[str] = []


def _export(function: Any) -> Any:
    publics[function.__name__] = function
    return function


def _angles(name: str, window_length: int, periodic: bool, options: Options) -> Tensor | None:
    """``2 pi n / N`` for each place; None of a window of less than two."""
    if type(periodic) is not bool:
        raise no_flag(name, "periodic", periodic)
    if window_length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
    options.setdefault("dtype", get_default_dtype())
    if window_length < 2:
        return None
    count = window_length if periodic else window_length - 1
    plain: Any = {name: value for name, value in options.items() if name != "requires_grad"}
    return arange(window_length, **plain) * (2 * math.pi / count)


def _finished(window: Tensor | None, length: int, options: Options) -> Tensor:
    wanted = bool(options.pop("requires_grad", False))
    made = ones(length, **options) if window is None else window
    return made.requires_grad_(wanted)


@_export
def hann_window(window_length: int, periodic: bool = True, **options: Unpack[Options]) -> Tensor:
    """``(1 - cos(2 pi n / N)) / 2``, with ``N`` the length, or one less where the window is not periodic.

    Raises
    ------
    RuntimeError
        If the length is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hann_window.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    angles = _angles("hann_window", window_length, periodic, options)
    return _finished(None if angles is None else 0.5 - 0.5 * angles.cos(), window_length, options)


@_export
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, **options: Unpack[Options]
) -> Tensor:
    """``alpha - beta * cos(2 pi n / N)``; see `hann_window`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hamming_window.html
    """
    angles = _angles("hamming_window", window_length, periodic, options)
    return _finished(None if angles is None else alpha - beta * angles.cos(), window_length, options)


@_export
def blackman_window(window_length: int, periodic: bool = True, **options: Unpack[Options]) -> Tensor:
    """``0.42 - 0.5 * cos(2 pi n / N) + 0.08 * cos(4 pi n / N)``; see `hann_window`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.blackman_window.html
    """
    angles = _angles("blackman_window", window_length, periodic, options)
    window = None if angles is None else 0.42 - 0.5 * angles.cos() + 0.08 * (2 * angles).cos()
    return _finished(window, window_length, options)


@_export
def bartlett_window(window_length: int, periodic: bool = True, **options: Unpack[Options]) -> Tensor:
    """A triangle: ``1 - |2 n / N - 1|``; see `hann_window`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bartlett_window.html
    """
    angles = _angles("bartlett_window", window_length, periodic, options)
    return _finished(None if angles is None else 1 - (angles / math.pi - 1).abs(), window_length, options)


@_export
def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, **options: Unpack[Options]) -> Tensor:
    """``i0(beta sqrt(1 - (2 n / N - 1)**2)) / i0(beta)``; see `hann_window`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.kaiser_window.html
    """
    angles = _angles("kaiser_window", window_length, periodic, options)
    if angles is None:
        return _finished(None, window_length, options)
    inside = (1 - (angles / math.pi - 1) ** 2).clamp(min=0)
    return _finished(i0(beta * inside.sqrt()) / i0(angles.new_tensor(beta)), window_length, options)
