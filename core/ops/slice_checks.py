"""What PyTorch refuses of functions that write one tensor into another by an index: `index_add`, `scatter`, ..."""

from __future__ import annotations

from typing import Any

from retrograd import dtypes
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.autocasting import unites
from retrograd.ops.checks import extremes, within
from retrograd.tensor import Tensor

__all__ = ["check_added", "check_copied", "check_positions", "check_range", "check_scatter"]


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return (*shape[:dim], *shape[dim + 1 :])


def check_added(input: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    """Refuse what `index_add` cannot add.

    Raises
    ------
    IndexError
        If the index is no vector, or out of range.
    RuntimeError
        If types or sizes do not fit.
    """
    own, given = tuple(input._array.shape), tuple(source._array.shape)
    if index.ndim > 1:
        raise IndexError(
            f"index_add_(): Index is supposed to be a vector, but got dim: {index.ndim} with type: "
            f"{index.dtype.type_name} and size: {list(index.shape)}"
        )
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"index_add_(): Expected dtype int32/int64 for index but got: {index.dtype.type_name}")
    if source.dtype is not input.dtype:
        kinds = f"self ({input.dtype.type_name}) and source ({source.dtype.type_name})"
        raise RuntimeError(f"index_add_(): {kinds} must have the same scalar type")
    count = index.numel()
    along = given[dim] if dim < len(given) else 1
    if count != along:
        raise RuntimeError(
            f"index_add_(): Number of indices ({count}) should be equal to source.size(dim): ({along}), for dim: {dim}"
        )
    if len(own) != len(given) or _without(own, dim) != _without(given, dim):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(own)} source.shape = {list(given)}"
        )
    if count and input.numel() and not within(index, own[dim] if own else 1):
        if len(own) == 2 and index.dtype is dtypes.int64:  # which PyTorch scatters
            check_range(input, dim, index)
        raise IndexError("index out of range in self")


def check_copied(input: Tensor, dim: int, index: Tensor, source: Tensor) -> None:
    """Refuse what `index_copy` cannot copy.

    Raises
    ------
    IndexError
        If the index is no vector, has not as many elements as there are slices, or is out of range.
    RuntimeError
        If types or sizes do not fit.
    """
    own, given = tuple(input._array.shape), tuple(source._array.shape)
    count = index.numel()
    if index.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})")
    if not given and count != 1:
        raise IndexError(f"index_copy_(): When source is scalar, index should have one element (got {count})")
    if own and given and len(own) != len(given):
        raise IndexError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must match. Source "
            f"dimensionality ({len(given)}), destination dimensionality ({len(own)})"
        )
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"index_copy_(): Expected a long tensor for index, but got {index.dtype.type_name}")
    if source.dtype is not input.dtype and not unites(input, source):
        kinds = f"(self) {input.dtype.type_name} and (source) {source.dtype.type_name}"
        raise RuntimeError(f"index_copy_(): self and source expected to have the same dtype, but got {kinds}")
    slices = _without(own, dim), _without(given, dim)
    if slices[0] != slices[1]:
        shown = [f"slice shape: {' '.join(map(str, each))} at dimension {dim}" for each in slices]
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination "
            f"{shown[0]} and source {shown[1]}."
        )
    if given and count != given[dim]:
        raise IndexError(
            f"index_copy_(): Number of indices ({count}) should be equal to source.size(dim) ({given[dim]})"
        )
    size = own[dim] if own else 1
    if count and input.numel() and not within(index, size):
        low, high = extremes(index)
        wrong = low if low < 0 else high
        raise IndexError(f"index_copy_(): index {wrong} is out of bounds for dimension {dim} with size {size}")


def check_positions(name: str, input: Tensor, dim: int, index: Tensor) -> None:
    """Refuse the index of a gather if its type, its dimensions or its elements do not fit."""
    if not index.numel():
        return
    _check_integers(name, index)
    if input.ndim and max(index.ndim, 1) != input.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    check_range(input, dim, index)


def _check_integers(name: str, index: Tensor) -> None:
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")


def check_range(input: Tensor, dim: int, index: Tensor) -> None:
    """Refuse positions that `input` does not have along `dim`."""
    size = input._array.shape[dim] if input.ndim else 1
    if not within(index, size):
        low, high = extremes(index)
        wrong = low if low < 0 else high
        raise RuntimeError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")


def check_scatter(input: Tensor, dim: int, index: Tensor, src: Any) -> None:
    """Refuse what a scatter of `src`, a tensor or not, cannot write: by its types, then by its shapes.

    Raises
    ------
    RuntimeError
        If the index is not of integers, types differ, or the index is larger than one of the others.
    """
    if index.numel():
        _check_integers("scatter", index)
    if isinstance(src, Tensor) and src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if not index.numel():
        return
    own, wanted = tuple(input._array.shape) or (1,), tuple(index._array.shape) or (1,)
    given = tuple(src._array.shape) or (1,) if isinstance(src, Tensor) else None
    if wanted == own and given in (own, None):  # the usual case
        return
    if len(own) != len(wanted):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    too_long = any(n > m for i, (n, m) in enumerate(zip(wanted, own, strict=True)) if i != dim)
    if given is not None and not too_long:
        too_long = any(n > m for n, m in zip(wanted, given, strict=False))
        if not too_long and len(given) < len(wanted):
            wrap_dim(len(given), len(given))  # raises, as the size of a dimension that is not there does
    if given is not None and len(wanted) != len(given):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    if too_long:
        of_src = "" if given is None else f" and to be no larger size than src {list(given)}"
        raise RuntimeError(
            f"Expected index {list(wanted)} to be no larger than self {list(own)} apart from dimension {dim}{of_src}"
        )
