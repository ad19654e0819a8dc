"""What every codec does with arrays: which dtypes it takes, in what it counts, and in pieces of which length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

__all__ = ["CHUNK", "Array", "DType", "accumulator", "all_finite", "chunks", "is_floating", "narrow"]

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = np.dtype[Any]

CHUNK = 1 << 16
"""Elements that are worked on at a time.

So many float32 and the temporaries made of them stay in a core's own cache, which makes a codec of ten
passes two to three times faster than ten passes over a whole slice. A decoder's memory beyond its result
is a few such pieces, whatever it decodes.
"""

# What a gradient may be made of, and what is added up in: a sum of half precision numbers is none.
_ACCUMULATORS: dict[DType, DType] = {
    np.dtype(np.float16): np.dtype(np.float32),
    np.dtype(ml_dtypes.bfloat16): np.dtype(np.float32),
    np.dtype(np.float32): np.dtype(np.float32),
    np.dtype(np.float64): np.dtype(np.float64),
}

# The largest numbers of the dtypes that accumulated values are narrowed to.
_LARGEST: dict[DType, float] = {
    np.dtype(np.float16): 65504.0,
    np.dtype(ml_dtypes.bfloat16): 2.0**128 - 2.0**120,
}


def is_floating(dtype: DType) -> bool:
    """Whether a codec that changes numbers takes gradients of this dtype.

    >>> is_floating(np.dtype("float32")), is_floating(np.dtype("complex64"))
    (True, False)
    """
    return dtype in _ACCUMULATORS


def accumulator(dtype: DType) -> DType:
    """The dtype that gradients of `dtype` are added up in.

    >>> accumulator(np.dtype("float16"))
    dtype('float32')
    """
    return _ACCUMULATORS[dtype]


def all_finite(array: Array) -> bool:
    """Whether an array holds neither NaN nor an infinity.

    A sum of squares is finite only if every number is, and is the fastest pass there is over memory; numbers
    whose squares overflow are looked at one by one.

    >>> all_finite(np.array([1.0, 1e200])), all_finite(np.array([1.0, np.nan]))
    (True, False)
    """
    flat = array.reshape(-1)
    if accumulator(flat.dtype) == flat.dtype:
        with np.errstate(all="ignore"):
            if math.isfinite(np.dot(flat, flat)):
                return True
    return all(np.isfinite(flat[part]).all() for part in chunks(flat.size))


def chunks(size: int) -> Iterator[slice]:
    """Cut `size` elements into pieces of `CHUNK`; the last one may be shorter.

    >>> list(chunks(100_000))
    [slice(0, 65536, None), slice(65536, 100000, None)]
    """
    for start in range(0, size, CHUNK):
        yield slice(start, min(start + CHUNK, size))


def narrow(values: Array, dtype: DType) -> Array:
    """Values of an accumulator in the gradients' dtype, whose largest numbers stand for what is beyond them.

    >>> narrow(np.array([1e6, -2.0], np.float32), np.dtype("float16"))
    array([ 6.55e+04, -2.00e+00], dtype=float16)
    """
    if values.dtype == dtype:
        return values
    top = _LARGEST[dtype]
    return np.clip(values, -top, top).astype(dtype)
