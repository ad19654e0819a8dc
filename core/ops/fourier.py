"""The operators behind `retrograd.fft`: discrete Fourier transforms of complex numbers, of real ones, and back.

All are linear. The transform of complex numbers is a symmetric matrix, and so its own transpose; those from and to real
numbers are adjoints of each other up to the half of the spectrum that is left out.

Source: https://docs.pytorch.org/docs/stable/fft.html
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.ops.batching import along
from retrograd.ops.declare import Array, op

__all__ = ["BY_COUNT", "BY_ROOT", "UNSCALED", "c2c", "c2r", "r2c"]

Ints = tuple[int, ...]

UNSCALED, BY_ROOT, BY_COUNT = 0, 1, 2
"""How a transform is normalized: not at all, by the root of the number of its points, or by the number."""


def _scaled(x: Any, count: int, normalization: int) -> Any:
    if normalization == UNSCALED:
        return x
    return x / (math.sqrt(count) if normalization == BY_ROOT else count)


def _count(shape: Any, dim: Ints) -> int:
    return math.prod(shape[i] for i in dim)


def _at(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part, *(slice(None),) * (ndim - axis - 1))


def _lengthened(K: Any, x: Any, axis: int, before: int, after: int) -> Any:
    """With zeros before and after along an axis."""
    return K.pad(x, tuple((before, after) if i == axis else (0, 0) for i in range(len(x.shape))), 0)


# -- complex to complex --------------------------------------------------------------------------


@op(
    name="_fft_c2c",
    node="FftC2CBackward0",
    graph="fft_c2c",
    vjp={"self": lambda K, g, dim, normalization, forward: K.fft_c2c(g, dim, normalization, forward)},
    jvp="linear",
    batch=along,
)
def c2c(K, self: Array, dim: Ints, normalization: int, forward: bool) -> Array:
    """The transform of complex numbers along some axes, or back."""
    return _scaled(K.fft(self, dim, not forward), _count(self.shape, dim), normalization)


# -- real to complex -----------------------------------------------------------------------------


def _r2c_vjp(K: Any, g: Any, self_shape: Ints, dim: Ints, normalization: int, onesided: bool) -> Any:
    last = dim[-1]
    whole = _lengthened(K, g, last, 0, self_shape[last] - g.shape[last]) if onesided else g
    return K.real(K.fft_c2c(whole, dim, normalization, False))


@op(
    name="_fft_r2c",
    node="FftR2CBackward0",
    graph="fft_r2c",
    vjp={"self": _r2c_vjp},
    jvp="linear",
    holomorphic=False,
    batch=along,
    kept=("self",),
)
def r2c(K, self: Array, dim: Ints, normalization: int, onesided: bool) -> Array:
    """The transform of real numbers; along the last of the axes, if asked, only the half that tells the other."""
    whole = _scaled(K.fft(self, dim, False), _count(self.shape, dim), normalization)
    if not onesided:
        return whole
    n = self.shape[dim[-1]]
    return K.slice(whole, _at(len(self.shape), dim[-1], slice(0, n // 2 + 1, 1)))


# -- complex to real -----------------------------------------------------------------------------


def _c2r_vjp(K: Any, g: Any, dim: Ints, normalization: int) -> Any:
    last, n = dim[-1], g.shape[dim[-1]]
    half = K.fft_r2c(g, dim, normalization, True)
    twice = n - half.shape[last]  # what stands for its conjugate too
    if twice <= 0:
        return half
    inner = K.slice(half, _at(len(g.shape), last, slice(1, 1 + twice, 1)))
    return half + _lengthened(K, inner, last, 1, half.shape[last] - 1 - twice)


@op(
    name="_fft_c2r",
    node="FftC2RBackward0",
    graph="fft_c2r",
    vjp={"self": _c2r_vjp},
    jvp="linear",
    holomorphic=False,
    batch=along,
)
def c2r(K, self: Array, dim: Ints, normalization: int, last_dim_size: int) -> Array:
    """The real numbers that half of a spectrum, along the last of the axes, belongs to."""
    last, ndim, n = dim[-1], len(self.shape), last_dim_size
    half = K.fft(self, dim[:-1], True) if dim[:-1] else self
    others = K.slice(half, _at(ndim, last, slice(1, (n + 1) // 2, 1)))
    whole = K.concat([half, K.flip(K.conj(others), (last,))], last)
    result = K.real(K.fft(whole, (last,), True))
    return _scaled(result, _count(result.shape, dim), normalization)
