"""What view operators give of sparse tensors: tensors of their own, since coordinates differ; recorded as views are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.autograd.explaining import remember_break
from retrograd.autograd.modes import current_mode
from retrograd.autograd.profiler import operator_name
from retrograd.autograd.stale import make_view_node, view_class
from retrograd.ops.arrange import stack
from retrograd.sparse.compressed import Compressed
from retrograd.sparse.coo import Coo
from retrograd.sparse.table import kernel, no_kernel
from retrograd.tensor import Tensor, side_of, wrap_array
from retrograd.views import AsComplex, AsReal, Conjugate, Part, Permute, Slice, Step, Unsqueeze

__all__ = ["view_of"]


def view_of(source: Tensor, name: str, steps: Sequence[Step], recorded: bool, arguments: dict[str, Any]) -> Tensor:
    """`retrograd.ops.shape.make_view` of a sparse tensor."""
    k = source._kernels
    array = source._array
    for step in steps:
        array = _applied(k, step, array, name)
    made = wrap_array(array, side_of(array, k))
    mode = current_mode()
    if mode.grad and recorded and source._edge is not None:
        node = make_view_node(view_class(name), tuple(steps), source._array, source._edge, k, arguments)
        made._edge = (node, 0)
    remember_break(operator_name(name).removeprefix("aten::"), [source], [made], made._edge is not None, mode.grad)
    return made


def _applied(k: Any, step: Step, array: Any, name: str) -> Any:
    if isinstance(array, Compressed):
        if isinstance(step, (Permute, Slice)):
            return step.apply(k, array)
        raise no_kernel("as_strided", "SparseCsrCPU")
    if not isinstance(array, Coo):
        return step.apply(k.dense, array)
    if isinstance(step, Unsqueeze):
        return unsqueezed(array, step.at)
    if name == "TBackward0" and array.dense_dim:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 sparse and 0 dense dimensions, but got {array.sparse_dim} sparse and "
            f"{array.dense_dim} dense dimensions"
        )
    if name == "TransposeBackward0":
        _check_transposed(array, step)
    if isinstance(step, (Permute, Slice, Conjugate, AsReal, AsComplex, Part)):
        return step.apply(k, array)
    if name == "ViewBackward0":
        raise no_kernel("view")
    if name.startswith("Expand"):
        raise RuntimeError("expand is unsupported for Sparse tensors")
    if name.startswith(("Reshape", "UnsafeView")):
        raise RuntimeError("reshape is not implemented for sparse tensors")
    raise no_kernel("as_strided")


def _check_transposed(array: Coo, step: Any) -> None:
    moved = [i for i, axis in enumerate(step.axes) if axis != i]
    if any(each >= array.sparse_dim for each in moved):
        raise RuntimeError(
            "sparse transpose: transposed dimensions must be sparse Got sparse_dim: "
            f"{array.sparse_dim}, d0: {moved[0]}, d1: {moved[1]}"
        )


def unsqueezed(array: Coo, axis: int) -> Coo:
    """With one more dimension of size 1: sparse, if it stands before or just behind the sparse ones."""
    shape = (*array.shape[:axis], 1, *array.shape[axis:])
    count = array.sparse_dim
    if axis <= count:
        rows = [*array.indices.unbind(0)]
        rows.insert(axis, array.indices.new_zeros(array.nnz))
        return Coo(array.side, stack(rows), array.values, shape, False)
    return Coo(array.side, array.indices, array.values.unsqueeze(axis - count + 1), shape, False)


@kernel("permute_dims")
def permuted(side: Any, array: Coo, axes: Sequence[int]) -> Coo:
    """The dimensions in another order, sparse ones among themselves and dense ones among themselves."""
    count = array.sparse_dim
    axes = tuple(axes)
    if any(axis >= count for axis in axes[:count]):
        raise RuntimeError(
            "permute(sparse_coo): transpositions between sparse and dense dimensions are not allowed.Only "
            "transpositions within sparse and dense dimensions are supported."
        )
    shape = tuple(array.shape[axis] for axis in axes)
    indices = array.indices
    same = axes[:count] == tuple(range(count))
    if not same:
        indices = indices.index_select(0, indices.new_tensor(axes[:count]))
    values = array.values
    if axes[count:] != tuple(range(count, len(axes))):
        values = values.permute(0, *(axis - count + 1 for axis in axes[count:]))
    return Coo(side, indices, values, shape, array.coalesced and same)


@kernel("slice")
def sliced(side: Any, array: Any, key: Sequence[Any]) -> Any:
    """`array[key]`, for ints and slices that take all."""
    if not isinstance(array, Coo):
        return side.dense.slice(array, key)
    axis = 0
    for position, each in enumerate(key):
        if not isinstance(array, Coo):
            return side.dense.slice(array, (slice(None),) * axis + tuple(key[position:]))
        if isinstance(each, slice):
            if each != slice(None) and each.indices(array.shape[axis]) != (0, array.shape[axis], 1):
                raise no_kernel("as_strided")
            axis += 1
        else:
            array = selected(array, axis, each)
    return array


def selected(array: Coo, axis: int, index: int) -> Any:
    """What stands at one index of a dimension; dense, if no sparse dimension is left."""
    count = array.sparse_dim
    shape = (*array.shape[:axis], *array.shape[axis + 1 :])
    if axis >= count:
        return Coo(array.side, array.indices, array.values.select(axis - count + 1, index), shape, array.coalesced)
    places = (array.indices[axis] == index).nonzero().reshape(-1)
    values = array.values.index_select(0, places)
    if count == 1:
        return values.sum(0, dtype=values.dtype)._array
    rest = [i for i in range(count) if i != axis]
    indices = array.indices.index_select(0, array.indices.new_tensor(rest)).index_select(1, places)
    return Coo(array.side, indices, values, shape, values.shape[0] < 2)
