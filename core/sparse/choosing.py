"""Choosing from sparse tensors: `index_select` and `narrow_copy`."""

from __future__ import annotations

from typing import Any

from retrograd.dtypes import int32, int64
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.arrange import stack
from retrograd.ops.checks import extremes
from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.dispatch import call
from retrograd.sparse.coo import Coo
from retrograd.sparse.table import as_tensor, no_kernel, takes_sparse
from retrograd.tensor import Tensor

__all__ = ["index_select", "narrow_copy"]


def _refused(name: str) -> Any:
    def formula(K: Any, g: Any) -> Any:
        raise no_kernel(name)

    return formula


def _index_selected(x: Coo, axis: int, index: Tensor) -> Coo:
    """The slices at these places of a dimension, in their order; those of negative numbers from its end."""
    shape = (*x.shape[:axis], int(index.shape[0]), *x.shape[axis + 1 :])
    count = x.sparse_dim
    size = x.shape[axis]
    index = index + (index < 0).to(index.dtype) * size
    if axis >= count:
        return Coo(x.side, x.indices, x.values.index_select(axis - count + 1, index), shape, x.coalesced)
    hits = (index.unsqueeze(1) == x.indices[axis].unsqueeze(0)).nonzero()  # in the order of `index`
    chosen, places = hits[:, 0], hits[:, 1]
    rows = [*x.indices.index_select(1, places).unbind(0)]
    rows[axis] = chosen
    indices = stack(rows)
    return Coo(x.side, indices, x.values.index_select(0, places), shape, False)


def _narrowed(x: Coo, axis: int, start: int, length: int) -> Coo:
    """`length` places of a dimension, from `start` on."""
    shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
    count = x.sparse_dim
    if axis >= count:
        return Coo(x.side, x.indices, x.values.narrow(axis - count + 1, start, length).clone(), shape, x.coalesced)
    row = x.indices[axis]
    places = ((row >= start) & (row < start + length)).nonzero().reshape(-1)
    rows = [*x.indices.index_select(1, places).unbind(0)]
    rows[axis] = rows[axis] - start
    return Coo(x.side, stack(rows), x.values.index_select(0, places), shape, x.coalesced)


@op(name="_sparse_index_select", node="IndexSelectBackward0", vjp={"self": _refused("index_add_")}, jvp="linear")
def _index_select(K: Any, self: Array, dim: int, index: Array) -> Array:
    """`index_select`."""
    return _index_selected(self, dim, as_tensor(K, index))


@op(name="_sparse_narrow_copy", node="NarrowCopyBackward0", vjp={"self": _refused("as_strided")}, jvp="linear")
def _narrow_copy(K: Any, self: Array, dim: int, start: int, length: int) -> Array:
    """`narrow_copy`."""
    return _narrowed(self, dim, start, length)


takes_sparse(_index_select, _narrow_copy)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """`retrograd.index_select` of a sparse tensor; numbers may count from the end."""
    if index.dtype not in (int32, int64):
        raise IndexError("index_select(): index must be an integer tensor")
    size = input._array.shape[dim]
    index = index.reshape(-1).long()
    if index.numel():
        low, high = extremes(index)
        if low < -size or high >= size:
            raise IndexError(
                f"index_select(): index contains {high if high >= size else low} that is out of range for tensor of "
                f"size {list(input.shape)} at dimension {dim}"
            )
    made: Tensor = call(op_of(_index_select), input, dim, index)
    return made


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`retrograd.narrow_copy` of a sparse tensor."""
    at = wrap_dim(dim, input.ndim)
    size = input._array.shape[at]
    start += size if start < 0 else 0
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not 0 <= start <= size - length:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    made: Tensor = call(op_of(_narrow_copy), input, at, start, length)
    return made
