"""Sparse gradients: how they become a leaf's `.grad`, and those of operators on dense tensors that are sparse."""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

from retrograd.ops.arrange import cat
from retrograd.sparse.construction import coo_tensor
from retrograd.sparse.conversion import on_tensors
from retrograd.sparse.coo import Coo, counted
from retrograd.sparse.table import coo_of
from retrograd.tensor import Tensor, side_of, wrap_array

if TYPE_CHECKING:
    from retrograd.autograd.node import AccumulateGrad

__all__ = ["add_to", "gathered_gradient", "rows_by_frequency", "rows_gradient"]


def add_to(leaf: AccumulateGrad, grad: Any, create_graph: bool) -> None:
    """`add_to_leaf`, where the gradient, that which is there, or the leaf is sparse. Called under the leaf's lock."""
    meta = leaf.meta
    given = grad if isinstance(grad, Tensor) else wrap_array(grad, side_of(grad, leaf._kernels))
    held = meta.grad
    if held is None:
        is_plain = given.is_sparse and not create_graph
        meta.grad = wrap_array(_own(given._array), given._kernels) if is_plain else given.clone()
    elif held._kernels.sparse and not given._kernels.sparse:
        meta.grad = given + held
    elif create_graph:
        meta.grad = held + given
    else:
        held.add_(given)


def _own(array: Coo) -> Coo:
    """The parts as they are, if nobody else holds them; that they are in order is then not known, as in PyTorch."""
    shared = getrefcount(array.indices) > 2 or getrefcount(array.values) > 2
    if shared or not array.values.is_contiguous():
        return array.copy()
    return coo_of(array.indices, array.values, array.shape)


def rows_gradient(K: Any, g: Any, indices: Any, rows: int, padding: int) -> Any:
    """The gradient of a table by rows that were taken from it: these rows, where they were."""
    return on_tensors(K, _rows, g, indices, rows, padding)


def _rows(g: Tensor, indices: Tensor, rows: int, padding: int) -> Tensor:
    indices = indices.reshape(-1).long()
    values = g.reshape(-1, g.shape[-1])
    if padding < 0:
        return coo_tensor(indices.unsqueeze(0), values, (rows, g.shape[-1]))
    places = (indices != padding).nonzero().reshape(-1)
    kept = values.index_select(0, places)
    return coo_tensor(indices.index_select(0, places).unsqueeze(0), kept, (rows, g.shape[-1]))


def rows_by_frequency(K: Any, g: Any, indices: Any, rows: int) -> Any:
    """The gradients of rows that were taken from a table, each divided by how often its row was."""
    return on_tensors(K, _divided, g, indices, rows)


def _divided(g: Tensor, indices: Tensor, rows: int) -> Tensor:
    counts = indices.reshape(-1).bincount(minlength=rows).index_select(0, indices.reshape(-1))
    return g / counts.reshape(*indices.shape, 1).to(g.dtype)


def gathered_gradient(K: Any, g: Any, shape: tuple[int, ...], dim: int, index: Any) -> Any:
    """The gradient of a tensor by elements that were gathered from it: these, where they were."""
    return on_tensors(K, _gathered, g, shape, dim, index)


def _gathered(g: Tensor, shape: tuple[int, ...], dim: int, index: Tensor) -> Tensor:
    sizes = tuple(index.shape)
    rows = []
    for axis, size in enumerate(sizes):
        if axis == dim:
            rows.append(index.reshape(1, -1))
            continue
        numbers = counted(size, index).reshape(*(1,) * axis, size, *(1,) * (len(sizes) - axis - 1))
        rows.append(numbers.expand(sizes).reshape(1, -1))
    indices = cat(rows) if rows else index.new_zeros((0, 1))
    return coo_tensor(indices, g.reshape(-1), shape)
