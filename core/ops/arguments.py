"""Checks and normal forms of operators' non-tensor arguments: dimensions, shapes, pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import Any

from retrograd.dtypes import Category
from retrograd.ops.refused import no_float, no_int, no_ints

__all__ = [
    "NOT_GIVEN",
    "as_float",
    "as_int",
    "as_ints",
    "as_shape",
    "as_tuple",
    "expand_pair",
    "given",
    "infer_size",
    "size_at",
    "wrap_dim",
    "wrap_dims",
]  # fmt: skip


class _NotGiven:
    """What stands for an argument that may be left out, where PyTorch takes no None for it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "None"


NOT_GIVEN: Any = _NotGiven()


class _GivenDim(int):
    """A dimension counted from the front, that was given in another way."""

    given: int


class _GivenDims(tuple[int, ...]):
    """Dimensions in increasing order, that were given in another way."""

    given: Any


def given(value: Any) -> Any:
    """A dimension, or dimensions, as the caller gave them: what `wrap_dim` and `wrap_dims` made of them knows."""
    return getattr(value, "given", value)


def as_int(value: Any) -> int:
    """An int, from one or from what stands for one: a NumPy scalar, or a tensor without dimensions.

    Raises
    ------
    TypeError
        If it is anything else, as bools are, and tensors of them.
    """
    return value if type(value) is int else _int_of(value)


def _int_of(value: Any) -> int:
    if type(value) is bool or not hasattr(value, "__index__"):
        raise no_int(value)
    if hasattr(value, "_kernels") and (value.ndim or value.dtype.category is not Category.INTEGER):
        raise no_int(value)
    try:
        return index(value)
    except TypeError:
        raise no_int(value) from None


def as_float(value: Any) -> float:
    """A real number, from one or from what stands for one: a NumPy scalar, or a tensor without dimensions.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if type(value) is float or type(value) is int:
        return value
    if getattr(value, "requires_grad", False) or getattr(value, "shape", ()) != ():
        raise no_float(value)
    number = value.item() if hasattr(value, "item") else value
    if not isinstance(number, (int, float)):
        raise no_float(value)
    return number


def wrap_dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front; a 0-d tensor counts as having one. See `given`.

    Raises
    ------
    IndexError
        If `dim` is outside of [-ndim, ndim - 1].
    """
    return _wrap_dim(dim if type(dim) is int else _int_of(dim), ndim)


@lru_cache(4096)
def _wrap_dim(dim: int, ndim: int) -> int:
    limit = max(ndim, 1)
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    if dim >= 0:
        return dim
    made = _GivenDim(dim % limit)
    made.given = dim
    return made


def size_at(shape: Sequence[int], dim: int) -> int:
    """The size of a dimension; without dimensions there is none.

    Raises
    ------
    IndexError
        If there is no such dimension.
    """
    if not shape:
        raise IndexError(f"Dimension specified as {as_int(dim)} but tensor has no dimensions")
    return shape[wrap_dim(dim, len(shape))]


def wrap_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions to reduce, as a tuple in increasing order; None or an empty sequence means all. See `given`.

    Raises
    ------
    RuntimeError
        If one appears twice.
    """
    if type(dim) is not int and dim is not None:
        dim = _listed(dim) if isinstance(dim, (tuple, list)) else _only(dim)
    return _wrap_dims(dim, ndim)


def _only(value: Any) -> int:
    """The one dimension where there may be several: here tensors of one element stand for it, too."""
    try:
        return _int_of(value if getattr(value, "shape", None) != (1,) else value[0])
    except TypeError:
        raise no_ints(value) from None


def _listed(values: Sequence[Any]) -> tuple[int, ...]:
    """Ints in a tuple or list, of which PyTorch looks whether the first is a bool."""
    if values and type(values[0]) is bool:
        raise no_ints(values[0])
    try:
        return tuple(each if type(each) is int else index(each) for each in values)
    except TypeError:
        raise no_ints(next((each for each in values if not hasattr(each, "__index__")), values[0])) from None


@lru_cache(4096)
def _wrap_dims(dim: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    wrapped = _wrapped_dims(dim, ndim)
    as_given = (dim,) if isinstance(dim, int) else dim
    if wrapped == as_given:
        return wrapped
    made = _GivenDims(wrapped)
    made.given = as_given
    return made


def _wrapped_dims(dim: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, int):
        wrapped = wrap_dim(dim, ndim)
        return (wrapped,) if ndim else ()
    dims = [int(wrap_dim(each, ndim)) for each in dim]
    if not dims:
        return tuple(range(ndim))
    for each in dims:
        if dims.count(each) > 1:
            raise RuntimeError(f"dim {each} appears multiple times in the list of dims")
    return tuple(sorted(dims)) if ndim else ()


INT = frozenset((int,))


def as_ints(values: tuple[Any, ...]) -> tuple[int, ...]:
    """Ints given one by one or as one tuple or list: `f(2, 3)` and `f((2, 3))` mean the same.

    Raises
    ------
    TypeError
        If one is no int.
    """
    if len(values) == 1 and not hasattr(values[0], "__index__"):
        if not isinstance(values[0], (tuple, list)):
            raise no_ints(values[0])
        values = tuple(values[0])
    return values if INT.issuperset(map(type, values)) else _listed(values)


def as_tuple(values: Any) -> tuple[int, ...]:
    """Ints of a tuple or list.

    Raises
    ------
    TypeError
        If it is none, or one is no int.
    """
    if not isinstance(values, (tuple, list)):
        raise no_ints(values)
    return as_ints((values,))


def as_shape(values: tuple[Any, ...]) -> tuple[int, ...]:
    """A shape given one by one or as one sequence, none negative.

    Raises
    ------
    RuntimeError
        If a size is negative.
    """
    shape = as_ints(values)
    for each in shape:
        if each < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {each}: {list(shape)}")
    return shape


def infer_size(shape: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """`shape` with its -1 replaced so that it has `numel` elements.

    Raises
    ------
    RuntimeError
        If there is more than one -1, or no size fits.
    """
    if math.prod(shape) == numel and min(shape, default=0) >= 0:
        return shape
    if shape.count(-1) == 1 and min(shape) == -1 and (known := -math.prod(shape)) and not numel % known:
        at = shape.index(-1)
        return (*shape[:at], numel // known, *shape[at + 1 :])
    unknown = [i for i, n in enumerate(shape) if n == -1]
    if len(unknown) > 1:
        raise RuntimeError("only one dimension can be inferred")
    for i, n in enumerate(shape):
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n} at index {i} of shape {list(shape)}")
    known = math.prod(n for n in shape if n != -1)
    if unknown:
        if known == 0 and numel == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension "
                "size -1 can be any value and is ambiguous"
            )
        if known and numel % known == 0:
            return (*shape[: unknown[0]], numel // known, *shape[unknown[0] + 1 :])
    elif known == numel:
        return shape
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")


def expand_pair(value: int | Sequence[int], count: int, name: str) -> tuple[int, ...]:
    """One int for every spatial dimension, or one each."""
    if type(value) is int:
        return (value,) * count
    values = as_ints((value,))
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise RuntimeError(f"{name} should be an int or {count} ints, but got {list(values)}")
    return values
