"""What an array is without its elements, and the rules that most kernels follow.

Note [Layouts of results]
    A kernel whose elements stay in their places lays out its result as its operands lie in memory, as PyTorch does
    (`along`); every other one makes a row-major result (`made`). A view is the step that the core has for it
    (`retrograd.views`), taken on a layout alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from retrograd.dtypes import Category, bool_, complex128, dtype, float64, int64, promote_types
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.symbols import with_symbols
from retrograd.views import Layout, Shape, Step, contiguous_strides

__all__ = ["MetaArray", "along", "broadcast", "common_type", "made", "operands"]


@with_symbols("table")
class MetaArray:
    """A layout and the type of elements that are not there."""

    __slots__ = ("dtype", "offset", "shape", "strides")

    table: Any = None  # `retrograd.meta.table` puts itself here

    def __init__(self, shape: Shape, strides: Shape, offset: int, dtype: dtype) -> None:
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.dtype = dtype

    @property
    def layout(self) -> Layout:
        return Layout(self.shape, self.strides, self.offset)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def mT(self) -> MetaArray:  # the array API's name
        *lead, rows, columns = self.strides
        shape = (*self.shape[:-2], self.shape[-1], self.shape[-2])
        return MetaArray(shape, (*lead, columns, rows), self.offset, self.dtype)

    T = mT  # of matrices

    def seen(self, step: Step, dtype: dtype | None = None) -> MetaArray:
        """The view that a step leads to."""
        layout = step.restride(self.layout)
        return MetaArray(layout.shape, layout.strides, layout.offset, dtype or self.dtype)

    def __getitem__(self, index: slice) -> MetaArray:
        found: MetaArray = self.table.slice(self, (index,))
        return found

    def __repr__(self) -> str:
        return f"MetaArray(shape={self.shape}, strides={self.strides}, dtype={self.dtype.name})"


def made(shape: Sequence[int] | int, type_: dtype) -> MetaArray:
    """A new array in row-major order."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return MetaArray(shape, contiguous_strides(shape), 0, type_)


def operands(values: Sequence[Any]) -> list[MetaArray]:
    """The arrays among the arguments of a kernel; the others are numbers and settings."""
    return [each for each in values if type(each) is MetaArray]


def common_type(values: Sequence[Any]) -> dtype:
    """The type of arithmetic on arrays and numbers; a number counts by its kind alone."""
    found: dtype | None = None
    for each in operands(values):
        found = each.dtype if found is None else promote_types(found, each.dtype)
    assert found is not None  # one is an array
    for each in values:
        if isinstance(each, complex) and found.category < Category.COMPLEX:
            found = found.to_complex() if found.is_floating_point else complex128
        elif isinstance(each, float) and found.category < Category.FLOAT:
            found = float64
        elif isinstance(each, int) and not isinstance(each, bool) and found is bool_:
            found = int64
    return found


def along(values: Sequence[Any], type_: dtype) -> MetaArray:
    """A new array of the shape that all broadcast to, laid out as they are. See Note [Layouts of results]."""
    arrays = operands(values)
    first = arrays[0]
    shape = first.shape
    if any(each.shape != shape for each in arrays):
        shape = broadcast(arrays)
    elif all(each.strides == first.strides for each in arrays) and first.layout.is_dense():
        return MetaArray(shape, first.strides, 0, type_)
    order = _order(shape, [_spread(each, shape) for each in arrays])
    strides, step = [1] * len(shape), 1
    for axis in order:
        strides[axis] = step
        step *= max(shape[axis], 1)
    return MetaArray(shape, tuple(strides), 0, type_)


def broadcast(arrays: Sequence[MetaArray]) -> Shape:
    """The shape that arrays broadcast to; a ValueError where there is none, as libraries have it."""
    try:
        return broadcast_shapes(*(each.shape for each in arrays))
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def _spread(array: MetaArray, shape: Shape) -> Shape:
    """The strides of an array broadcast to a shape: 0 along each axis that it has not."""
    lead = len(shape) - len(array.shape)
    own = (step if n == m else 0 for n, m, step in zip(array.shape, shape[lead:], array.strides, strict=True))
    return (0,) * lead + tuple(own)


def _order(shape: Shape, strides: Sequence[Shape]) -> list[int]:
    """The axes from the nearest elements to the farthest: PyTorch's insertion sort. A stride of 0 says nothing.

    Source: `reorder_dimensions` in PyTorch's TensorIterator
    """
    order = list(reversed(range(len(shape))))
    for i in range(1, len(order)):
        at = i
        for j in range(i - 1, -1, -1):
            verdict = _compared(shape, strides, order[j], order[at])
            if verdict > 0:
                order[j], order[at] = order[at], order[j]
                at = j
            elif verdict < 0:
                break
    return order


def _compared(shape: Shape, strides: Sequence[Shape], near: int, far: int) -> int:
    """1 if the axes are to change places, -1 if they stand right, 0 if no array tells."""
    for steps in strides:
        a, b = steps[near], steps[far]
        if a == 0 or b == 0:
            continue
        if a != b:
            return 1 if a > b else -1
        if shape[near] > shape[far]:
            return 1
    return 0
