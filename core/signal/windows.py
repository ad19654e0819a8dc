"""Windows for the analysis of signals. A symmetric one ends as it begins; the others are a period of a longer one.

Source: https://docs.pytorch.org/docs/stable/signal.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from retrograd.dtypes import dtype as dtype_, float32, float64, get_default_dtype
from retrograd.layout import layout as layout_, strided
from retrograd.ops.creation import tensor
from retrograd.ops.factories import arange, empty, linspace, ones
from retrograd.ops.special_bessel import i0
from retrograd.tensor import Tensor

__path__: list[str] = []  # PyTorch has a package here: its modules are found by `retrograd.places`
__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann",
    "kaiser", "nuttall",
]  # fmt: skip


class _Options:
    """Length and kind of a window, checked; and what begins as PyTorch's do."""

    def __init__(self, name: str, M: int, dtype: dtype_ | None, layout: layout_, device: Any, requires_grad: bool):
        self.M = M
        self.dtype = get_default_dtype() if dtype is None else dtype
        self.place: dict[str, Any] = {"dtype": self.dtype, "device": device, "requires_grad": requires_grad}
        if M < 0:
            raise ValueError(f"{name} requires non-negative window length, got M={M}")
        if layout is not strided:
            raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
        if self.dtype not in (float32, float64):
            raise ValueError(f"{name} expects float32 or float64 dtypes, got: {self.dtype}")

    def short(self) -> Tensor | None:
        """The window, if it has less than two elements."""
        if self.M > 1:
            return None
        return empty(0, **self.place) if self.M == 0 else ones(1, **self.place)

    def line(self, start: float, step: float) -> Tensor:
        """``start, start + step, ...``."""
        return linspace(start, start + (self.M - 1) * step, self.M, **self.place)


def general_cosine(
    M: int, *, a: Iterable[float], sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``sum_i (-1)^i a_i cos(2 pi i n / N)``, with ``N = M - 1``, or `M` if not symmetric.

    Raises
    ------
    ValueError, TypeError
        If the length is negative, the type another than float32 and float64, or there are no coefficients.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.general_cosine.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.signal.windows.general_cosine(3, a=[0.5, 0.5])
    tensor([0., 1., 0.])
    """
    options = _Options("general_cosine", M, dtype, layout, device, requires_grad)
    if (short := options.short()) is not None:
        return short
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    if not a:
        raise ValueError("Coefficients cannot be empty")
    angles = options.line(0.0, 2 * math.pi / (M - 1 if sym else M))
    weights = tensor([(-1) ** i * weight for i, weight in enumerate(a)], **options.place)
    orders = arange(weights.shape[0], dtype=weights.dtype, device=weights.device)
    made: Tensor = (weights.unsqueeze(-1) * (orders.unsqueeze(-1) * angles).cos()).sum(0)
    return made


def _cosines(M: int, a: Sequence[float], sym: bool, options: tuple[Any, ...]) -> Tensor:
    dtype, layout, device, requires_grad = options
    return general_cosine(M, a=a, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def general_hamming(
    M: int, *, alpha: float = 0.54, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``alpha - (1 - alpha) cos(2 pi n / N)``; see `general_cosine`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.general_hamming.html
    """
    return _cosines(M, [alpha, 1.0 - alpha], sym, (dtype, layout, device, requires_grad))


def hamming(
    M: int, *, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``0.54 - 0.46 cos(2 pi n / N)``; see `general_cosine`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.hamming.html
    """
    return _cosines(M, [0.54, 1.0 - 0.54], sym, (dtype, layout, device, requires_grad))


def hann(
    M: int, *, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``0.5 - 0.5 cos(2 pi n / N)``; see `general_cosine`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.hann.html
    """
    return _cosines(M, [0.5, 0.5], sym, (dtype, layout, device, requires_grad))


def blackman(
    M: int, *, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)``; see `general_cosine`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.blackman.html
    """
    _Options("blackman", M, dtype, layout, device, requires_grad)
    return _cosines(M, [0.42, 0.5, 0.08], sym, (dtype, layout, device, requires_grad))


def nuttall(
    M: int, *, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Four cosines whose spectrum has the lowest side lobes; see `general_cosine`.

    Source: Nuttall, "Some windows with very good sidelobe behavior", 1981;
    https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.nuttall.html
    """
    coefficients = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return _cosines(M, coefficients, sym, (dtype, layout, device, requires_grad))


def bartlett(
    M: int, *, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``1 - |2 n / N - 1|``, with ``N = M - 1``, or `M` if not symmetric.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.bartlett.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.signal.windows.bartlett(5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    options = _Options("bartlett", M, dtype, layout, device, requires_grad)
    if (short := options.short()) is not None:
        return short
    return 1 - options.line(-1.0, 2 / (M - 1 if sym else M)).abs()


def cosine(
    M: int, *, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``sin(pi (n + 0.5) / M)``; over ``M + 1`` if not symmetric.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.cosine.html
    """
    options = _Options("cosine", M, dtype, layout, device, requires_grad)
    if M == 0:
        return empty(0, **options.place)
    step = math.pi / (M + 1 if not sym and M > 1 else M)
    return options.line(0.5 * step, step).sin()


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: dtype_ | None = None,
    layout: layout_ = strided, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``exp(-|n - center| / tau)``; the centre is the middle, unless it is given.

    Raises
    ------
    ValueError
        If `tau` is not positive, or a symmetric window has a centre; see also `general_cosine`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.exponential.html
    """
    options = _Options("exponential", M, dtype, layout, device, requires_grad)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    if M == 0:
        return empty(0, **options.place)
    middle = _middle(M, sym) if center is None else center
    return (-options.line(-middle / tau, 1 / tau).abs()).exp()


def gaussian(
    M: int, *, std: float = 1.0, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``exp(-((n - middle) / std)^2 / 2)``.

    Raises
    ------
    ValueError
        If `std` is not positive; see also `general_cosine`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.gaussian.html
    """
    options = _Options("gaussian", M, dtype, layout, device, requires_grad)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    if M == 0:
        return empty(0, **options.place)
    step = 1 / (std * math.sqrt(2))
    return (-(options.line(-_middle(M, sym) * step, step) ** 2)).exp()


def _middle(M: int, sym: bool) -> float:
    return (M if not sym and M > 1 else M - 1) / 2


def kaiser(
    M: int, *, beta: float = 12.0, sym: bool = True, dtype: dtype_ | None = None, layout: layout_ = strided,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta)``, with ``N = M - 1``, or `M` if not symmetric.

    Raises
    ------
    ValueError
        If `beta` is negative; see also `general_cosine`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.kaiser.html
    """
    options = _Options("kaiser", M, dtype, layout, device, requires_grad)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    if (short := options.short()) is not None:
        return short
    edge = tensor(beta, dtype=options.dtype, device=device)  # so that no square below exceeds its own
    bound, step = float(edge), 2.0 * float(edge) / (M - 1 if sym else M)
    line = linspace(-bound, min(bound, -bound + (M - 1) * step), M, **options.place)
    return i0((edge * edge - line**2).sqrt()) / i0(edge)
