"""Elementwise kernels on NumPy that are quicker than NumPy's or SciPy's own function.

NumPy runs `exp`, `log`, `tanh` and arithmetic with the processor's vector instructions, but `where`, `logaddexp` and
`maximum` with a number, on most processors `log1p` and `expm1`, or SciPy's `erf`, element by element. Those are
composed here of the quick ones, for arrays that are large enough to gain by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

__all__ = ["KERNELS", "in_float32"]

Array = np.ndarray[Any, Any]

_BITS = {size: np.dtype(f"i{size}") for size in (1, 2, 4, 8)}
_MANY = 4096
"""Elements from which several quick passes take less time than a slow one."""


def where(condition: Array, x: Any, y: Any) -> Array:
    """`x` where `condition` holds, else `y`: of many elements by their bits, without branches."""
    if condition.size < _MANY or not _is_by_bits(condition, x, y):
        return np.where(condition, x, y)
    bits = _BITS[x.dtype.itemsize]
    other = y.view(bits)
    chosen = np.bitwise_xor(x.view(bits), other)
    keep = np.negative(condition.view(np.int8))  # -1, all ones, where it is `x`
    chosen = np.bitwise_and(chosen, keep, chosen) if chosen.shape == condition.shape else np.bitwise_and(chosen, keep)
    return np.bitwise_xor(chosen, other, chosen).view(x.dtype)


def _is_by_bits(condition: Array, x: Any, y: Any) -> bool:
    """Whether all are arrays, of one type that fits into an integer, and the condition of the result's shape."""
    return (
        isinstance(x, np.ndarray)
        and isinstance(y, np.ndarray)
        and x.dtype == y.dtype
        and x.dtype.itemsize in _BITS
        and condition.dtype == np.bool_
        and all(each.shape in ((), condition.shape) for each in (x, y))
    )


def zero_where(x: Array, condition: Array) -> Array:
    """Zero where `condition` holds, else `x`: as `where`, and in fewer steps."""
    if x.size < _MANY or x.dtype.itemsize not in _BITS or condition.shape != x.shape:
        return np.where(condition, np.zeros((), x.dtype), x)
    keep = condition.view(np.int8) - np.int8(1)  # -1, all ones, where the element stays
    return np.bitwise_and(x.view(_BITS[x.dtype.itemsize]), keep).view(x.dtype)


def in_float32(function: Any) -> Any:
    """A special function of SciPy for types it has no loop for: bfloat16, and float16 in float32."""

    def kernel(x: Array) -> Any:
        if x.dtype.itemsize == 2:
            return function(x.astype(np.float32)).astype(x.dtype)
        return function(x)

    return kernel


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)): where that overflows, the result is zero as it should be; `tanh` would lose the left tail."""
    one = np.asarray(1, x.dtype)
    y = np.negative(x)
    if type(y) is not np.ndarray:  # but one number
        return np.divide(one, np.exp(y) + one)
    np.exp(y, y)
    y += one
    return np.divide(one, y, y)


def clip(x: Array, low: Any, high: Any) -> Any:
    """`x` with a lower and an upper bound, either of which may be None; NaN stays. Quick only with both of them."""
    if x.size >= _MANY and x.dtype.kind == "f":
        return np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def logaddexp(a: Array, b: Array) -> Any:
    """``log(exp(a) + exp(b))``, without overflow."""
    if np.size(a) < _MANY or np.result_type(a, b).kind != "f":
        return np.logaddexp(a, b)
    top = np.maximum(a, b)
    out = np.subtract(a, b)
    np.abs(out, out)
    out = log1p(np.exp(np.negative(out, out), out))
    out += top
    return where(np.isinf(top), top, out)  # equal infinities have no difference


def softplus(x: Array, beta: float, threshold: float) -> Any:
    """log(1 + exp(beta * x)) / beta; `x` itself where beta * x is above the threshold."""
    scaled = x * beta
    above = scaled > threshold
    out = log1p(np.exp(scaled, scaled) if isinstance(scaled, np.ndarray) else np.exp(scaled))
    out = out if beta == 1 else np.divide(out, np.asarray(beta, x.dtype))
    return where(above, x, out)


_BLOCK = 1 << 15  # elements that stay in the processor's cache from one pass to the next


def _in_blocks(step: Any, exact: Any) -> Any:
    """A kernel for many float32 numbers, of which `step(x, out)` computes a block; `exact` is for all others."""

    def kernel(x: Array) -> Any:
        if x.dtype != np.float32 or x.size < _MANY:
            return exact(x)
        out = np.empty(x.shape, x.dtype)
        source, target = x.reshape(-1), out.reshape(-1)
        for start in range(0, x.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            step(source[part], target[part])
        return out

    return kernel


_ONE, _HALF, _SIGN = np.float32(1), np.float32(0.5), np.uint32(1 << 31)


def _log1p_of_block(x: Array, out: Array) -> None:
    """The logarithm of what 1 + x is rounded to, and what rounding took away, as a part of that: off by 4 units."""
    rounded = x + _ONE
    rest = np.subtract(x, rounded - _ONE)
    rest /= rounded
    np.log(rounded, out)
    infinite = np.isinf(out)
    if infinite.any():
        np.copyto(rest, 0, where=infinite)
    out += rest
    bits = out.view(np.uint32)
    np.bitwise_or(bits, np.bitwise_and(x.view(np.uint32), _SIGN), bits)  # that of a zero, too


def _expm1_of_block(x: Array, out: Array) -> None:
    """By ``2 t / (1 - t)`` with ``t = tanh(x / 2)``; where that is large, as it reads: off by 5 units."""
    t = np.tanh(x * _HALF)
    np.subtract(_ONE, t, out)
    t += t
    np.divide(t, out, out)
    large = x > _ONE
    if large.any():
        out[...] = where(large, np.exp(x) - _ONE, out)


log1p = _in_blocks(_log1p_of_block, np.log1p)
"""``log(1 + x)``: of many float32 numbers within 4 units in the last place, else NumPy's."""

expm1 = _in_blocks(_expm1_of_block, np.expm1)
"""``exp(x) - 1``: of many float32 numbers within 5 units in the last place, else NumPy's."""


# erf(x) / x as a quotient of polynomials in x * x, for |x| up to 4, from where on the error function is one. The
# coefficients were fitted for the smallest relative error (2.5e-8), which rounding raises to 7 units in the last place.
_ERF_ABOVE = (
    1.128379139351148, 0.19354473427076, 0.05310164960694109, 0.0038833130613103463, 0.00028456259477838304,
    1.986753306604612e-06,
)  # fmt: skip
_ERF_BELOW = (
    1.0, 0.5048571108460479, 0.11534981645575174, 0.015207194042784858, 0.001185558550782794, 3.7419694287143804e-05
)  # fmt: skip


def _erf_of_block(x: Array, out: Array) -> None:
    x = np.clip(x, -4, 4)
    square = x * x
    np.multiply(_polynomial(_ERF_ABOVE, square), x, out)
    out /= _polynomial(_ERF_BELOW, square)
    np.clip(out, -1, 1, out)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """By Horner's rule, the constant first."""
    out = x * np.float32(coefficients[-1])
    for each in coefficients[-2:0:-1]:
        out += np.float32(each)
        out *= x
    out += np.float32(coefficients[0])
    return out


erf = _in_blocks(_erf_of_block, in_float32(scipy.special.erf))
"""The error function: of many float32 numbers by a rational approximation, else SciPy's."""

KERNELS = {
    "clip": clip,
    "erf": erf,
    "expm1": expm1,
    "log1p": log1p,
    "logaddexp": logaddexp,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "where": where,
    "zero_where": zero_where,
}
