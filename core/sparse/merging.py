"""Sums and products of two sparse arrays: which coordinates are in the result, and in which order."""

from __future__ import annotations

from typing import Any

from retrograd.ops.arrange import cat
from retrograd.sparse.coo import Coo, flat_keys, unflattened
from retrograd.tensor import Tensor

__all__ = ["intersection", "merged"]


_MANY = 1 << 14
"""Elements from which two arrays that are in no order are put one behind the other."""


def merged(a: Coo, b: Coo, sign: int) -> Coo:
    """``a + sign * b``: the coordinates of both, merged as PyTorch merges them, equal neighbours added.

    PyTorch merges arrays that are in no order as if they were, which takes a step for each element: many are not
    merged here.
    """
    if a.values.dtype is not b.values.dtype:
        raise TypeError("merged() adds arrays of one type")
    values = b.values if sign > 0 else -b.values
    if (a.coalesced and b.coalesced) or a.nnz + b.nnz > _MANY:
        both = Coo(a.side, cat([a.indices, b.indices], 1), cat([a.values, values]), a.shape, False)
        return both.in_order() if a.coalesced and b.coalesced else both
    one, other = flat_keys(a.indices, a.shape).tolist(), flat_keys(b.indices, b.shape).tolist()
    keys, from_a, from_b = _merge(one, other)
    indices = a.indices.new_tensor(keys)
    total = _taken(a.values, from_a) + _taken(values, from_b) if from_a and from_b else _one_of(a.values, values, one)
    return Coo(a.side, unflattened(indices, a.shape[: a.sparse_dim]), total, a.shape, a.coalesced and b.coalesced)


def _one_of(a: Tensor, b: Tensor, keys: list[int]) -> Tensor:
    return (a if keys else b).clone()


def _merge(a: list[int], b: list[int]) -> tuple[list[int], list[int], list[int]]:
    """The merged keys, and for each the place in either list; -1 where it is not there."""
    i, j, n, m = 0, 0, len(a), len(b)
    keys, from_a, from_b = [], [], []
    while i < n or j < m:
        in_a = i < n and (j >= m or a[i] <= b[j])
        in_b = j < m and (i >= n or b[j] <= a[i])
        keys.append(a[i] if in_a else b[j])
        from_a.append(i if in_a else -1)
        from_b.append(j if in_b else -1)
        i += in_a
        j += in_b
    return keys, from_a, from_b


def _taken(values: Tensor, places: list[int]) -> Tensor:
    """The values at these places; zero for -1."""
    padded = cat([values, values.new_zeros((1, *values.shape[1:]))])
    last = int(values.shape[0])
    index = padded.new_tensor([each if each >= 0 else last for each in places], dtype=_long())
    return padded.index_select(0, index)


def _long() -> Any:
    from retrograd.dtypes import int64

    return int64


def intersection(a: Coo, b: Coo) -> Coo:
    """``a * b``, at the coordinates of the factor that stores fewer, or is not coalesced.

    Of two that are coalesced, at those that both store.
    """
    from retrograd.sparse.kernels import empty_coo, projected

    if a.ndim != b.ndim or a.sparse_dim != b.sparse_dim or a.shape[: a.sparse_dim] != b.shape[: b.sparse_dim]:
        raise RuntimeError(
            "sparse_binary_op_intersection_cpu(): expects sparse inputs with equal dimensionality, number of sparse "
            "dimensions, and shape of sparse dimensions"
        )
    if not a.nnz or not b.nnz:
        return empty_coo(a.side, a.shape, a.dtype, a.sparse_dim)
    if a.coalesced != b.coalesced:
        table, source = (a, b) if a.coalesced else (b, a)
    else:
        table, source = (a, b) if a.nnz >= b.nnz else (b, a)
    if a.coalesced and b.coalesced:
        source = _common(source, table)
    values = source.values * projected(table, source).values
    return Coo(source.side, source.indices.clone(), values, source.shape, source.coalesced)


def _common(source: Coo, table: Coo) -> Coo:
    """What one stores at the coordinates of the other."""
    stored = table.values.new_ones(table.nnz)
    from retrograd.sparse.kernels import projected

    marks = Coo(table.side, table.indices, stored, table.shape[: table.sparse_dim], True)
    wanted = Coo(source.side, source.indices, source.values, source.shape[: source.sparse_dim], True)
    places = projected(marks, wanted).values.nonzero().reshape(-1)
    indices, values = source.indices.index_select(1, places), source.values.index_select(0, places)
    return Coo(source.side, indices, values, source.shape, True)
