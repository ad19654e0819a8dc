"""Discrete Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["KERNELS", "fft"]

Array = np.ndarray[Any, Any]


def fft(x: Array, axes: tuple[int, ...], inverse: bool) -> Array:
    """The sum of ``x * exp(-2 pi i j k / n)`` along each of the axes, with a plus in the exponent if `inverse`."""
    if not axes or not x.size:
        return x.astype(np.result_type(x.dtype, np.complex64))
    return np.fft.ifftn(x, axes=axes, norm="forward") if inverse else np.fft.fftn(x, axes=axes)


KERNELS: dict[str, Callable[..., Any]] = {"fft": fft}
