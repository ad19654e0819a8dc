"""In which order of axes the elements of results lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from retrograd.backends.memory_order import axes_in_order

__all__ = ["in_order_of", "strided"]

Array = Any


def strided(x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """The view of the memory of `x`, from where it begins, of any shape and strides in bytes that lie within it."""
    if x.dtype.itemsize == 1 and x.dtype != np.uint8:  # the name of a type of 8 bits may be that of another in NumPy
        return strided(x.view(np.uint8), shape, strides).view(x.dtype)
    if x.flags.c_contiguous and x.dtype.kind != "V":
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def in_order_of(result: Array, operands: Sequence[Any]) -> Array:
    """The result of an elementwise function, in memory in the order of axes that PyTorch gives it.

    NumPy asks all operands and takes row-major order where they disagree.

    Parameters
    ----------
    result
        The result, in whatever order.
    operands
        The arrays and numbers that it was computed of, which broadcast to its shape.

    Returns
    -------
    The result itself, or a copy of it in that order.
    """
    rank = result.ndim
    if rank < 2:
        return result
    arrays = [each for each in operands if isinstance(each, np.ndarray)]
    if arrays and arrays[0].flags.c_contiguous and arrays[0].shape == result.shape:  # the usual case
        return result if result.flags.c_contiguous else np.ascontiguousarray(result)
    steps = [_steps(each, result.shape) for each in arrays]
    order = axes_in_order(steps, result.shape)
    inside = result.transpose(order)
    if inside.flags.c_contiguous:
        return result
    back = sorted(range(rank), key=order.__getitem__)
    return np.ascontiguousarray(inside).transpose(back)


def _steps(operand: Array, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an operand along the axes of the result; 0 where it is broadcast."""
    missing = len(shape) - operand.ndim
    own = zip(operand.shape, operand.strides, shape[missing:], strict=True)
    return (0,) * missing + tuple(0 if size == 1 != whole else step for size, step, whole in own)
