"""What PyTorch refuses of functions that write slices of one tensor into another: `index_add`, `index_copy`."""

from __future__ import annotations

from retrograd import dtypes
from retrograd.ops.autocasting import unites
from retrograd.ops.checks import extremes
from retrograd.tensor import Tensor

__all__ = ["check_added", "check_copied"]


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
    if count and input.numel() and not _in_range(index, own[dim] if own else 1):
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
    if count and input.numel() and not _in_range(index, size):
        low, high = extremes(index)
        wrong = low if low < 0 else high
        raise IndexError(f"index_copy_(): index {wrong} is out of bounds for dimension {dim} with size {size}")


def _in_range(index: Tensor, size: int) -> bool:
    low, high = extremes(index)
    return low >= 0 and high < size
