"""Reductions, scans and softmax on NumPy arrays.

`axis` is a tuple of non-negative ints, or one int where the kernel takes one. float16 and bfloat16
accumulate in float32, as PyTorch's CPU kernels do.

Note [Row-major results]
    NumPy lays out what it computes like what it computes from: the sum of a transposed array may be transposed. PyTorch
    does so where elements stay in their places, and elsewhere (reductions, scans, `softmax`, `concat`) gives row-major
    results, of which its programs take views. So do the kernels here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["KERNELS", "in_row_major"]

Array = np.ndarray[Any, Any]
Axes = tuple[int, ...]

_add = np.add.reduce
_maximum = np.maximum.reduce


def _is_half(x: Array) -> bool:
    return x.dtype.itemsize == 2 and x.dtype.kind in "fV"


def in_row_major(out: Any) -> Any:
    """See Note [Row-major results]."""
    return out if out.flags.c_contiguous else out.copy()


def sum_(x: Array, axis: Axes, keepdims: bool) -> Any:
    if x.dtype.itemsize == 2 and x.dtype.kind in "fV":
        out = _add(x.astype(np.float32), axis, None, None, keepdims).astype(x.dtype)
    else:
        out = _add(x, axis, x.dtype, None, keepdims)
    return out if out.flags.c_contiguous else out.copy()


def mean(x: Array, axis: Axes, keepdims: bool) -> Any:
    count = 1
    for each in axis:
        count *= x.shape[each]
    wide = x.astype(np.float32) if _is_half(x) else x
    total = _add(wide, axis, wide.dtype, None, keepdims)
    total = total / np.asarray(count, wide.dtype)
    if wide is not x:
        total = total.astype(x.dtype)
    return total if total.flags.c_contiguous else total.copy()


def prod(x: Array, axis: Axes, keepdims: bool) -> Any:
    wide = x.astype(np.float32) if _is_half(x) else x
    total = np.multiply.reduce(wide, axis, wide.dtype, None, keepdims)
    return in_row_major(total.astype(x.dtype))


def max_(x: Array, axis: Axes, keepdims: bool) -> Any:
    return in_row_major(_maximum(x, axis, None, None, keepdims))


def min_(x: Array, axis: Axes, keepdims: bool) -> Any:
    return in_row_major(np.minimum.reduce(x, axis, None, None, keepdims))


def any_(x: Array, axis: Axes, keepdims: bool) -> Any:
    return in_row_major(np.logical_or.reduce(x, axis, None, None, keepdims))


def all_(x: Array, axis: Axes, keepdims: bool) -> Any:
    return in_row_major(np.logical_and.reduce(x, axis, None, None, keepdims))


def _arg(function: Any) -> Any:
    def kernel(x: Array, axis: int | None, keepdims: bool) -> Any:
        return np.asarray(function(x, axis, keepdims=keepdims), np.int64)

    return kernel


def cumsum(x: Array, axis: int) -> Array:
    wide = x.astype(np.float32) if _is_half(x) else x
    return np.cumsum(wide, axis, wide.dtype, np.empty(x.shape, wide.dtype)).astype(x.dtype, copy=False)


def cumprod(x: Array, axis: int) -> Array:
    wide = x.astype(np.float32) if _is_half(x) else x
    return np.cumprod(wide, axis, wide.dtype, np.empty(x.shape, wide.dtype)).astype(x.dtype, copy=False)


def running(x: Array, axis: int, largest: bool) -> Array:
    """The largest so far along an axis, or else the smallest; NaN is both."""
    return (np.maximum if largest else np.minimum).accumulate(x, axis, None, np.empty(x.shape, x.dtype))


def running_logsumexp(x: Array, axis: int) -> Array:
    """The logarithm of the sum of the exponentials so far, which is kept in float64."""
    return np.logaddexp.accumulate(x, axis, np.float64).astype(x.dtype, "C")


def softmax(x: Array, axis: int) -> Array:
    wide = x.astype(np.float32) if _is_half(x) else x
    out = np.subtract(wide, _maximum(wide, axis, None, None, True, -np.inf), order="C")
    np.exp(out, out)
    out /= _add(out, axis, None, None, True)
    return out.astype(x.dtype, copy=False)


def log_softmax(x: Array, axis: int) -> Array:
    wide = x.astype(np.float32) if _is_half(x) else x
    out = np.subtract(wide, _maximum(wide, axis, None, None, True, -np.inf), order="C")
    out -= np.log(_add(np.exp(out), axis, None, None, True))
    return out.astype(x.dtype, copy=False)


def logsumexp(x: Array, axis: Axes, keepdims: bool) -> Any:
    wide = x.astype(np.float32) if _is_half(x) else x
    if wide.dtype.kind == "c":
        top = _maximum(wide.real, axis, None, None, True, -np.inf)
    else:
        top = _maximum(wide, axis, None, None, True, -np.inf)
    top = np.where(np.isfinite(top), top, 0)
    total = np.log(_add(np.exp(np.subtract(wide, top, order="C")), axis, None, None, keepdims))
    return (total + (top if keepdims else np.squeeze(top, axis))).astype(x.dtype, "C")


KERNELS = {
    "all": all_,
    "any": any_,
    "argmax": _arg(np.argmax),
    "argmin": _arg(np.argmin),
    "cumprod": cumprod,
    "cumsum": cumsum,
    "log_softmax": log_softmax,
    "logsumexp": logsumexp,
    "max": max_,
    "mean": mean,
    "min": min_,
    "prod": prod,
    "row_major": in_row_major,
    "running": running,
    "running_logsumexp": running_logsumexp,
    "softmax": softmax,
    "sum": sum_,
}
