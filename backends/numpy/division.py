"""Division with a remainder on NumPy: `floor_divide`, `remainder` and `fmod` of many floating-point numbers.

NumPy runs its own element by element, through C's `fmod`, which subtracts bit by bit. Here they are made of a quotient
and of what it leaves, ``a - q * b``, which is computed without rounding. Where a quotient is too large for that, or
one of the numbers is infinite or NaN, the slow functions compute them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograd.backends.numpy.elementwise import where

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]

_MANY = 1024
"""Elements from which several quick passes take less time than a slow one."""

_BLOCK = 1 << 13  # elements that stay in the processor's cache from one pass to the next

_FLAGS: Any = ["buffered", "external_loop"]
_OPERANDS: Any = [["readonly"], ["readonly"], ["writeonly", "allocate"]]
_NARROW = frozenset(np.dtype(name) for name in ("float16", "float32"))
_DOUBLE = np.dtype(np.float64)

# Note [Remainders without rounding]
# Let q be the quotient's integer part. Of float32 numbers, computed in float64: two of them differ from a multiple of
# one another by at least 2**-24 of it, so that below q = 2**28 the quotient is rounded across no integer, and q * b
# has at most 52 bits; but from 2**22 on, PyTorch's and NumPy's own quotients are off by the rounding of float32.
# Of float64 numbers b is split in halves, of which q, below 2**25, times each is exact; so are both differences, by
# Sterbenz's lemma or for they are no larger than b, of which they are multiples of the last place. The quotient may
# be rounded up to an integer, and then what it leaves has the wrong sign: adding b makes it right.
_LARGEST = {True: 2.0**21, False: 2.0**25}
_UPPER_HALF = np.int64(-1 << 27)


def _rest(a: Array, b: Array, q: Array, narrow: bool) -> Array:
    """``a - q * b``; see Note [Remainders without rounding]."""
    if narrow:
        rest = q * b
        return np.subtract(a, rest, rest)
    upper = np.bitwise_and(b.view(np.int64), _UPPER_HALF).view(b.dtype)
    rest = q * upper
    np.subtract(a, rest, rest)
    lower = np.subtract(b, upper, upper)
    lower *= q
    rest -= lower
    return rest


def _across(rest: Array, b: Array) -> Array:
    """Where what is left has not the divisor's sign, so that rounding down takes one more of it."""
    across = np.less(rest, 0)
    np.not_equal(across, np.less(b, 0), across)
    return np.logical_and(across, rest, across)


def _floor_divide(a: Array, b: Array, q: Array, narrow: bool) -> Array:
    if narrow:
        return np.floor(q, q)
    np.trunc(q, q)
    return np.subtract(q, _across(_rest(a, b, q, narrow), b), q)


def _remainder(a: Array, b: Array, q: Array, narrow: bool) -> Array:
    (np.floor if narrow else np.trunc)(q, q)
    rest = _rest(a, b, q, narrow)
    if not narrow:
        rest += b * _across(rest, b)
    if np.count_nonzero(rest) < rest.size:
        rest = where(rest == 0, np.copysign(rest, a), rest)
    return rest


def _fmod(a: Array, b: Array, q: Array, narrow: bool) -> Array:
    np.trunc(q, q)
    rest = _rest(a, b, q, narrow)
    if not narrow:
        divisor = np.copysign(b, a)
        rest += np.multiply(divisor, _across(rest, divisor), divisor)
    return np.copysign(rest, a, rest)


def remainder_of_few(a: Any, b: Any) -> Any:
    """NumPy's remainder, but of the dividend's sign where it is a zero, as PyTorch has it."""
    rest = np.remainder(a, b)
    if rest.dtype.kind in "iu" or np.count_nonzero(rest) == rest.size:
        return rest
    return np.where(rest == 0, np.copysign(rest, a), rest)


def _are_quick(a: Array, b: Array, q: Array, narrow: bool) -> Any:
    """Which quotients can be had in quick passes: True, if all."""
    largest = _LARGEST[narrow]
    if np.dot(q, q) < largest * largest and np.dot(b, b) < np.inf:  # enough, if not needed, and NaN is not less
        return True
    quick = np.less(np.abs(q), largest)
    for finite in (np.isfinite(b), np.abs(a) < 2.0**1000):  # products with q + 1 are, too
        np.logical_and(quick, finite, quick)
    return quick


def _kernel(step: Callable[[Array, Array, Array, bool], Array], exact: Callable[[Any, Any], Any]) -> Any:
    """A kernel that computes by `step` what quick passes can, and the rest, and few elements, by `exact`."""

    def kernel(a: Any, b: Any) -> Any:
        given: Any = a if isinstance(a, np.ndarray) else b
        narrow = given.dtype in _NARROW
        if not (narrow or given.dtype == _DOUBLE) or max(np.size(a), np.size(b)) < _MANY:
            return exact(a, b)
        operands = (np.asarray(a, given.dtype), np.asarray(b, given.dtype), None)
        types = (_DOUBLE, _DOUBLE, given.dtype)
        blocks: Any = np.nditer(operands, _FLAGS, _OPERANDS, types, "K", "same_kind", buffersize=_BLOCK)
        with blocks:
            for dividend, divisor, out in blocks:
                q = dividend / divisor
                quick = _are_quick(dividend, divisor, q, narrow)
                out[...] = step(dividend, divisor, q, narrow)
                if quick is not True:
                    slow = ~quick
                    out[slow] = exact(dividend[slow].astype(given.dtype), divisor[slow].astype(given.dtype))
            return blocks.operands[2]

    return kernel


KERNELS = {
    "floor_divide": _kernel(_floor_divide, np.floor_divide),
    "fmod": _kernel(_fmod, np.fmod),
    "remainder": _kernel(_remainder, remainder_of_few),
}
