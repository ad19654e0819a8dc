"""Sums, softmax and norms of sparse tensors, in which what is not stored has no part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import Category, dtype as dtype_class
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.declare import Array, op, op_of
from retrograd.ops.dispatch import call
from retrograd.sparse.conversion import coalesce, masked_as, on_tensors, values_of
from retrograd.sparse.coo import Coo, flat_keys
from retrograd.sparse.kernels import summed
from retrograd.sparse.table import no_kernel, takes_sparse
from retrograd.tensor import Tensor

__all__ = ["log_softmax", "norm", "softmax", "sum"]


# -- sums ----------------------------------------------------------------------------------------


def _spread(g: Tensor, self: Tensor, dim: tuple[int, ...]) -> Tensor:
    """The gradient of a sum: at each stored element, that of the sum it was in."""
    from retrograd.sparse.construction import coo_tensor

    array = self._array.in_order()
    count = array.sparse_dim
    inner = [each for each in dim if each >= count]
    rest = [i for i in range(count) if i not in dim]
    if rest:
        part = coo_tensor(
            array.indices.index_select(0, array.indices.new_tensor(rest)), array.values.detach()[:, ...],
            (*(array.shape[i] for i in rest), *array.shape[count:]),
        )  # fmt: skip
        values = _taken(g, part.detach()._array.indices, rest, array)
    else:
        values = g.unsqueeze(0).expand(array.nnz, *g.shape)
    for each in sorted(inner):
        values = values.unsqueeze(each - count + 1)
    values = values.expand(tuple(array.values.shape))
    return coo_tensor(array.indices.clone(), values, array.shape)


def _taken(g: Tensor, indices: Tensor, rest: list[int], array: Coo) -> Tensor:
    """The gradient's elements at these coordinates."""
    from retrograd.sparse.construction import coo_tensor

    shape = tuple(g.shape)
    blank = indices.new_zeros((indices.shape[1], *shape[len(rest) :]))
    mask = coo_tensor(indices, blank, shape)
    return values_of(masked_as(g, mask))


@op(
    name="_sparse_sum",
    jvp="linear",
    node="SparseSumBackward0",
    vjp={"self": lambda K, g, self, dim: on_tensors(K, _spread, g, self, dim)},
)
def _sparse_sum(K: Any, self: Array, dim: tuple[int, ...]) -> Array:
    """Over these dimensions."""
    made = summed(self, dim)
    return made if isinstance(made, Coo) else made._array


def sum(input: Tensor, dim: int | Sequence[int] | None = None, dtype: dtype_class | None = None) -> Tensor:
    """Sum of a sparse tensor, over some dimensions or all; its gradient has only the elements that are stored.

    The sum is dense, if all sparse dimensions are summed over, else sparse.

    Raises
    ------
    RuntimeError
        If the tensor is dense.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.sum.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[0.0, 1.0], [2.0, 3.0]]).to_sparse()
    >>> retrograd.sparse.sum(x), retrograd.sparse.sum(x, 0).to_dense()
    (tensor(6.), tensor([2., 4.]))
    """
    if dim is None:
        total: Tensor = coalesce(input).values().sum(dtype=dtype)
        return total
    dims = tuple(wrap_dim(each, input.ndim) for each in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if not input._kernels.sparse:
        raise no_kernel("_sparse_sum.dim", "CPU")
    given = input if dtype is None else input.to(dtype)
    made: Tensor = call(op_of(_sparse_sum), given, dims)
    return made


# -- softmax -------------------------------------------------------------------------------------


def _groups(array: Coo, dim: int) -> tuple[Tensor, int]:
    """For each stored element the number of the row along a sparse dimension that it is in, and how many there are."""
    rest = [i for i in range(array.sparse_dim) if i != dim]
    rows = array.indices.index_select(0, array.indices.new_tensor(rest))
    keys = flat_keys(rows, tuple(array.shape[i] for i in rest))
    unique, places = keys.unique(return_inverse=True)
    return places, int(unique.numel())


def _log_of_rows(array: Coo, dim: int) -> Tensor:
    """The logarithm of softmax, of the values, along a sparse dimension."""
    values = array.values
    if not array.nnz:
        return values
    places, count = _groups(array, dim)
    index = places.reshape(-1, *(1,) * (values.ndim - 1)).expand(tuple(values.shape))
    start = values.new_full((count, *values.shape[1:]), -math.inf)
    largest = start.scatter_reduce(0, index, values, "amax")
    moved = values - largest.index_select(0, places)
    total = values.new_zeros((count, *values.shape[1:])).index_add(0, places, moved.exp())
    return moved - total.log().index_select(0, places)


def _normalized(array: Coo, dim: int, is_log: bool) -> Coo:
    given = array.in_order()
    if dim >= given.sparse_dim:
        made = given.values.log_softmax(dim - given.sparse_dim + 1)
    else:
        made = _log_of_rows(given, dim)
    return given.with_values(made if is_log else made.exp())


def _sums_in_rows(array: Coo, values: Tensor, dim: int) -> Tensor:
    """For each stored element the sum of `values` over the row that it is in."""
    if dim >= array.sparse_dim:
        return values.sum(dim - array.sparse_dim + 1, keepdim=True)
    places, count = _groups(array, dim)
    return values.new_zeros((count, *values.shape[1:])).index_add(0, places, values).index_select(0, places)


def _softmax_gradient(g: Tensor, result: Tensor, dim: int, is_log: bool) -> Tensor:
    from retrograd.sparse.construction import coo_tensor

    array = result._array
    arrived = values_of(masked_as(g, result))
    stored = values_of(result)
    if is_log:
        values = arrived - stored.exp() * _sums_in_rows(array, arrived, dim)
    else:
        values = stored * (arrived - _sums_in_rows(array, arrived * stored, dim))
    return coo_tensor(array.indices.clone(), values, array.shape, array.coalesced)


def _log_softmax_tangent(t: Tensor, result: Tensor, dim: int) -> Tensor:
    from retrograd.sparse.construction import with_values

    arrived = values_of(masked_as(t, result))
    moved = arrived - _sums_in_rows(result._array, arrived * values_of(result).exp(), dim)
    return with_values(result, moved)


@op(name="_sparse_softmax", node="SparseSoftmaxBackward0", vjp={
    "self": lambda K, g, result, dim: on_tensors(K, _softmax_gradient, g, result, dim, False)
}, jvp={"self": lambda K, t, result, dim: on_tensors(K, _softmax_gradient, t, result, dim, False)})  # fmt: skip
def _sparse_softmax(K: Any, self: Array, dim: int) -> Array:
    """`softmax`."""
    return _normalized(self, dim, False)


@op(name="_sparse_log_softmax", node="SparseLogSoftmaxBackward0", vjp={
    "self": lambda K, g, result, dim: on_tensors(K, _softmax_gradient, g, result, dim, True)
}, jvp={"self": lambda K, t, result, dim: on_tensors(K, _log_softmax_tangent, t, result, dim)})  # fmt: skip
def _sparse_log_softmax(K: Any, self: Array, dim: int) -> Array:
    """`log_softmax`."""
    return _normalized(self, dim, True)


def softmax(input: Tensor, dim: int, *, dtype: dtype_class | None = None) -> Tensor:
    """Softmax along a dimension, over the stored elements: what is not stored counts as minus infinity.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.softmax.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[1.0, 0.0, 1.0]]).to_sparse()
    >>> retrograd.sparse.softmax(x, 1).to_dense()
    tensor([[0.5000, 0.0000, 0.5000]])
    """
    return _softmax_of("_sparse_softmax", _sparse_softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: dtype_class | None = None) -> Tensor:
    """The logarithm of `softmax`, of the stored elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.log_softmax.html
    """
    return _softmax_of("_sparse_log_softmax", _sparse_log_softmax, input, dim, dtype)


def _softmax_of(name: str, function: Any, input: Tensor, dim: int, dtype: dtype_class | None) -> Tensor:
    given = input if dtype is None else input.to(dtype)
    if not given.is_sparse:
        raise no_kernel(name, "SparseCsrCPU" if given._kernels.sparse else "CPU")
    at = wrap_dim(dim, given.ndim)
    if given.dtype.category < Category.FLOAT:
        raise NotImplementedError(f"\"{name.removeprefix('_sparse_')}\" not implemented for '{given.dtype.type_name}'")
    made: Tensor = call(op_of(function), given, at)
    return made


# -- norms ---------------------------------------------------------------------------------------


def _norm_gradient(g: Tensor, self: Tensor, order: float) -> Tensor:
    if order == 1:
        return self.sgn() * g
    raise no_kernel("masked_fill_.Scalar")


@op(
    name="_sparse_norm",
    node="NormBackward1",
    vjp={"self": lambda K, g, self, order: on_tensors(K, _norm_gradient, g, self, order)},
    jvp={"self": lambda K, t, self, order: on_tensors(K, lambda t, self: sum(_norm_gradient(t, self, order)), t, self)},
)
def _sparse_norm(K: Any, self: Array, order: float) -> Array:
    """Of all elements."""
    made: Tensor = self.in_order().values.norm(order)
    return made._array


def norm(input: Tensor, order: float, dims: Sequence[int] | None, keepdim: bool) -> Tensor:
    """`retrograd.norm` of a sparse tensor."""
    if dims is not None and len(dims) not in (0, input.ndim):
        raise RuntimeError(
            "norm_sparse currently only supports full reductions, so 'dim' must either be empty or contain all "
            "dimensions of the input"
        )
    if keepdim:
        raise RuntimeError("norm_sparse currently does not support keepdim=True")
    made: Tensor = call(op_of(_sparse_norm), input, order)
    return made


takes_sparse(_sparse_sum, _sparse_softmax, _sparse_log_softmax, _sparse_norm)
