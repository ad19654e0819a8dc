"""Products of matrices of which one is sparse, or both."""

from __future__ import annotations

from typing import Any

from retrograd.ops.arrange import cat
from retrograd.sparse.coo import Coo, coordinates_of, counted, unflattened
from retrograd.sparse.kernels import dense_values
from retrograd.sparse.table import as_tensor, coo_of, kernel
from retrograd.tensor import Tensor

__all__ = ["multiply_matrices"]

_AT_ONCE = 1 << 21
"""How many products of two elements are in memory at a time."""

_DENSE = 16
"""A matrix of which one in so many elements is stored is multiplied as a dense one, if the product is large."""


@kernel("matmul")
def multiply_matrices(side: Any, a: Any, b: Any) -> Any:
    """Of a sparse matrix, or of a stack of them, and a dense one, in either order; of two sparse matrices."""
    if not isinstance(a, Coo):
        left = side.permute_dims(b, _swapped(b.ndim))
        made = multiply_matrices(side, left, side.dense.permute_dims(a, _swapped(len(a.shape))))
        return side.dense.permute_dims(made, _swapped(len(a.shape)))
    if isinstance(b, Coo):
        return _sparse_product(a.in_order(), b.in_order())
    return _sparse_times_dense(a, as_tensor(side, b))._array


def _swapped(ndim: int) -> tuple[int, ...]:
    return (*range(ndim - 2), ndim - 1, ndim - 2)


def _sparse_times_dense(a: Coo, b: Tensor) -> Tensor:
    """Each stored element times a row, added to another."""
    if a.dense_dim:
        raise RuntimeError("mm: expected a matrix without dense dimensions")
    columns = int(b.shape[-1])
    if a.nnz * columns > _AT_ONCE and _is_rather_dense(a) and _is_finite(b):
        return dense_values(a).matmul(b)
    lead = int(a.ndim == 3)
    rows, inner = a.shape[-2:]
    row_keys, inner_keys = a.indices[lead], a.indices[lead + 1]
    count = rows
    if lead:
        batch = a.indices[0]
        row_keys, inner_keys, count = batch * rows + row_keys, batch * inner + inner_keys, a.shape[0] * rows
        b = b.reshape(-1, columns)
    made = a.values.new_zeros((count, columns))
    step = max(1, _AT_ONCE // max(columns, 1))
    for start in range(0, a.nnz, step):
        part = slice(start, start + step)
        products = a.values[part].unsqueeze(1) * b.index_select(0, inner_keys[part])
        made = made.index_add(0, row_keys[part], products)
    return made.reshape(*a.shape[:lead], rows, columns)


def _is_rather_dense(a: Coo) -> bool:
    count = 1
    for n in a.shape:
        count *= n
    return a.nnz * _DENSE >= count


def _is_finite(values: Tensor) -> bool:
    """Whether what is not stored, times these, is zero."""
    return bool(values.isfinite().all())


def _by_dense_ones(a: Coo, b: Coo) -> Coo:
    """The product of the matrices as dense ones, where elements of the two meet."""
    marks = [dense_values(each.with_values(each.values.new_ones(each.nnz).float())) for each in (a, b)]
    met = marks[0].matmul(marks[1]) > 0
    product = dense_values(a).matmul(dense_values(b))
    indices = coordinates_of(met)
    return coo_of(indices, product[indices[0], indices[1]], (a.shape[0], b.shape[1]), True)


def _sparse_product(a: Coo, b: Coo) -> Coo:
    """Every stored element of one times every one of the other that it meets; both are in order."""
    # Those of `b` lie in order of their rows: row i begins at `begins[i]` and has `lengths[i]` of them.
    lengths = b.indices[0].bincount(minlength=b.shape[0])
    begins = lengths.cumsum(0) - lengths
    met = lengths.index_select(0, a.indices[1])
    ends = met.cumsum(0)
    total = int(ends[-1].item()) if a.nnz else 0
    if total > _AT_ONCE and all(_is_rather_dense(each) and _is_finite(each.values) for each in (a, b)):
        return _by_dense_ones(a, b)
    parts: list[Coo] = []
    first = 0
    while first < a.nnz or not parts:
        last = a.nnz
        if total > _AT_ONCE:
            reached = ends[first - 1].item() if first else 0
            last = max(first + 1, int((ends <= reached + _AT_ONCE).sum().item()))
        parts.append(_meeting(a, b, begins, met, slice(first, last)))
        first = max(last, 1)
    if len(parts) == 1:
        return parts[0]
    indices, values = cat([each.indices for each in parts], 1), cat([each.values for each in parts])
    return coo_of(indices, values, parts[0].shape).in_order()


def _meeting(a: Coo, b: Coo, begins: Tensor, met: Tensor, part: slice) -> Coo:
    """The products of some of the elements of `a`."""
    rows, inner, met = a.indices[0][part], a.indices[1][part], met[part]
    shape = (a.shape[0], b.shape[1])
    left = counted(int(met.shape[0]), met).repeat_interleave(met)
    offset = counted(int(left.shape[0]), met) - (met.cumsum(0) - met).index_select(0, left)
    right = begins.index_select(0, inner.index_select(0, left)) + offset
    values = a.values[part].index_select(0, left) * b.values.index_select(0, right)
    keys = rows.index_select(0, left) * shape[1] + b.indices[1].index_select(0, right)
    return coo_of(unflattened(keys, shape), values, shape).in_order()
