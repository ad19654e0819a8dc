"""Slices and where they go: all of every tensor, nothing too large, and no server with much more than the others."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import given, strategies as st

from retrograd.distributed.messages import Slice, TensorSpec
from retrograd.distributed.placement import SLICE_BYTES, bytes_of, cut, place, view
from retrograd.distributed.protocol import dtype_of

shapes = st.lists(st.integers(0, 12), max_size=3).map(tuple)
specs = st.builds(TensorSpec, st.just("t"), st.sampled_from(["float16", "float32", "bfloat16", "float64"]), shapes)
tables = st.lists(specs, max_size=8)
sizes = st.sampled_from([8, 40, 100, 1000, SLICE_BYTES])


def sizes_of(shares: list[list[Slice]], table: list[TensorSpec]) -> list[int]:
    return [sum(bytes_of(piece, table) for piece in share) for share in shares]


@given(tables, sizes)
def test_slices_hold_every_element_once_and_in_order(table: list[TensorSpec], slice_bytes: int) -> None:
    ends = [0] * len(table)
    tensors = []
    for piece in cut(table, slice_bytes):
        assert piece.start == ends[piece.tensor]
        ends[piece.tensor] = piece.stop
        tensors.append(piece.tensor)
    assert ends == [math.prod(spec.shape) for spec in table]
    assert tensors == sorted(tensors)
    assert set(tensors) == set(range(len(table)))  # a tensor without elements has a slice, too


@given(tables, sizes)
def test_no_slice_is_larger_than_it_may_be_and_none_is_needlessly_small(
    table: list[TensorSpec], slice_bytes: int
) -> None:
    for index, spec in enumerate(table):
        mine = [piece for piece in cut(table, slice_bytes) if piece.tensor == index]
        itemsize = dtype_of(spec.dtype).itemsize
        assert all(piece.size * itemsize <= slice_bytes for piece in mine)
        # As equal as possible: but for one row, or one element where rows are too large.
        unit = max(1, mine[0].columns)
        assert max(piece.size for piece in mine) - min(piece.size for piece in mine) <= unit


@given(tables, sizes)
def test_cuts_go_between_rows_where_a_row_fits(table: list[TensorSpec], slice_bytes: int) -> None:
    for piece in cut(table, slice_bytes):
        spec = table[piece.tensor]
        columns = math.prod(spec.shape[1:])
        row = columns * dtype_of(spec.dtype).itemsize
        if len(spec.shape) > 1 and 0 < row <= slice_bytes:
            assert piece.columns == columns
            assert piece.start % columns == piece.stop % columns == 0
        else:
            assert piece.columns == 0
        assert math.prod(piece.shape) == piece.size


@given(tables, sizes)
def test_views_of_slices_are_the_tensor(table: list[TensorSpec], slice_bytes: int) -> None:
    for index, spec in enumerate(table):
        array = np.arange(math.prod(spec.shape)).reshape(spec.shape)
        parts = [view(array, piece) for piece in cut(table, slice_bytes) if piece.tensor == index]
        assert np.concatenate([part.reshape(-1) for part in parts]).tolist() == array.reshape(-1).tolist()
        assert all(np.shares_memory(part, array) for part in parts if part.size)


@given(tables, sizes, st.integers(1, 6))
def test_every_slice_has_one_server_and_no_server_more_than_the_mean_and_one_slice(
    table: list[TensorSpec], slice_bytes: int, servers: int
) -> None:
    slices = cut(table, slice_bytes)
    shares = place(slices, table, servers)
    assert len(shares) == servers
    assert Counter(piece for share in shares for piece in share) == Counter(slices)
    loads = sizes_of(shares, table)
    largest = max((bytes_of(piece, table) for piece in slices), default=0)
    assert max(loads) <= sum(loads) / servers + largest


@given(tables, sizes, st.integers(1, 6))
def test_a_server_has_its_slices_in_the_order_of_the_model(
    table: list[TensorSpec], slice_bytes: int, servers: int
) -> None:
    for share in place(cut(table, slice_bytes), table, servers):
        assert share == sorted(share, key=lambda piece: (piece.tensor, piece.start))


@given(tables, sizes, st.integers(1, 6))
def test_everyone_computes_the_same(table: list[TensorSpec], slice_bytes: int, servers: int) -> None:
    again = [TensorSpec(spec.name, spec.dtype, spec.shape, spec.group) for spec in table]
    assert place(cut(table, slice_bytes), table, servers) == place(cut(again, slice_bytes), again, servers)


def test_a_large_embedding_is_spread_over_all_servers() -> None:
    table = [TensorSpec("embedding", "float32", (50_000, 128)), TensorSpec("bias", "float32", (128,))]
    loads = sizes_of(place(cut(table), table, 4), table)
    assert max(loads) - min(loads) <= SLICE_BYTES
    assert sum(loads) == 50_000 * 128 * 4 + 128 * 4
