"""Which server owns what: tensors are cut into slices, and slices are spread over the servers by bytes.

Both are functions of the model and of two numbers, so everyone who computes them gets the same: the
placement needs no table of its own that could be lost, and a server that comes back owns what it owned.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from .errors import Mismatch
from .messages import Array, Slice, TensorSpec
from .protocol import dtype_of

__all__ = [
    "LOOKS_AT_ROWS",
    "LOOKS_AT_TENSORS",
    "SLICE_BYTES",
    "bytes_of",
    "check_cuts",
    "cut",
    "fitting_slice_bytes",
    "place",
    "shape_for",
]

LOOKS_AT_TENSORS = frozenset({"Adafactor", "Muon"})
"""Optimizers to which a tensor is more than its elements: it is on one server, uncut and in its own shape."""

LOOKS_AT_ROWS = frozenset({"SparseAdam"})
"""Optimizers that change those rows that have a gradient and no others: a cut goes between rows only."""

SLICE_BYTES = 1 << 20
"""Bytes of a slice at least, unless a run chooses otherwise. Smaller ones cost more messages."""

_MOST_SLICE_BYTES = 4 << 20  # larger ones leave the processor's cache and keep a connection busy for longer
_ENOUGH_SLICES = 64  # on each server: to share them out evenly, and among threads, more are of no use


def bytes_of(piece: Slice, table: Sequence[TensorSpec]) -> int:
    """The size of a slice in memory."""
    return piece.size * dtype_of(table[piece.tensor].dtype).itemsize


def fitting_slice_bytes(table: Sequence[TensorSpec], servers: int) -> int:
    """Bytes of the slices of a model of this size on so many servers: from 1 MiB to 4 MiB.

    >>> [fitting_slice_bytes([TensorSpec("w", "float32", (n,))], 2) >> 10 for n in (10, 1 << 26, 1 << 30)]
    [1024, 2048, 4096]
    """
    total = sum(math.prod(spec.shape) * dtype_of(spec.dtype).itemsize for spec in table)
    return min(max(SLICE_BYTES, total // (servers * _ENOUGH_SLICES)), _MOST_SLICE_BYTES)


def cut(table: Sequence[TensorSpec], slice_bytes: int = SLICE_BYTES, optimizer: str = "SGD") -> list[Slice]:
    """Cut every tensor into slices of at most `slice_bytes`, as equal as possible.

    A cut goes between rows of the first dimension where a row is small enough, so that rows, and matrices,
    can be told apart in a slice. What an optimizer looks at as a whole is never cut, however large.

    Examples
    --------
    >>> table = [TensorSpec("weight", "float32", (100, 32)), TensorSpec("bias", "float32", (100,))]
    >>> for piece in cut(table, 8192):
    ...     print(piece.tensor, piece.start, piece.stop, piece.shape)
    0 0 1600 (50, 32)
    0 1600 3200 (50, 32)
    1 0 100 (100,)
    >>> [piece.shape for piece in cut(table, 8192, "Muon")]
    [(100, 32), (100,)]
    """
    sizes = [max(slice_bytes, _unit(optimizer, spec) * dtype_of(spec.dtype).itemsize) for spec in table]
    return [piece for index, spec in enumerate(table) for piece in _cut(index, spec, sizes[index])]


def _unit(optimizer: str, spec: TensorSpec) -> int:
    """How many elements next to each other an optimizer has to see at once."""
    if optimizer in LOOKS_AT_TENSORS:
        return math.prod(spec.shape)
    return math.prod(spec.shape[1:]) if optimizer in LOOKS_AT_ROWS else 1


def check_cuts(optimizer: str, table: Sequence[TensorSpec], slices: Sequence[Slice]) -> None:
    """Raise `Mismatch` when a slice parts what the optimizer looks at as a whole.

    >>> check_cuts("Muon", [TensorSpec("w", "float32", (4, 2))], [Slice(0, 0, 4, columns=2)])
    Traceback (most recent call last):
    retrograd.distributed.errors.Mismatch: Muon needs whole tensors, and 0 to 4 is only a part of w, float32[4, 2]
    """
    for piece in slices:
        spec = table[piece.tensor]
        if not _is_whole(optimizer, piece, spec):
            raise Mismatch(
                f"{optimizer} needs whole {'tensors' if optimizer in LOOKS_AT_TENSORS else 'rows'}, and {piece.start} "
                f"to {piece.stop} is only a part of {spec.name}, {spec.dtype}{list(spec.shape)}"
            )


def _is_whole(optimizer: str, piece: Slice, spec: TensorSpec) -> bool:
    unit = _unit(optimizer, spec)
    if optimizer in LOOKS_AT_TENSORS:
        return (piece.start, piece.stop) == (0, unit)
    return unit <= 1 or (piece.columns == unit and piece.start % unit == piece.stop % unit == 0)


def shape_for(optimizer: str, piece: Slice, spec: TensorSpec) -> tuple[int, ...]:
    """The shape in which an optimizer sees a slice.

    >>> kernel = TensorSpec("w", "float32", (2, 3, 1, 5))
    >>> [shape_for(name, Slice(0, 0, 30, columns=15), kernel) for name in ("Adam", "Adafactor")]
    [(2, 15), (2, 3, 1, 5)]
    """
    return spec.shape if optimizer in LOOKS_AT_TENSORS else piece.shape


def _cut(index: int, spec: TensorSpec, slice_bytes: int) -> Iterator[Slice]:
    size, itemsize = math.prod(spec.shape), dtype_of(spec.dtype).itemsize
    columns = math.prod(spec.shape[1:]) if len(spec.shape) > 1 else 0
    unit = columns if 0 < columns * itemsize <= slice_bytes else 1
    units = size // unit
    most = max(1, slice_bytes // (unit * itemsize))
    count = max(1, -(-units // most))
    ends = [units * number // count * unit for number in range(count + 1)]
    for start, stop in pairwise(ends):
        yield Slice(index, start, stop, columns if unit == columns else 0)


def place(slices: Sequence[Slice], table: Sequence[TensorSpec], servers: int) -> list[list[Slice]]:
    """Give each slice to the server that has the fewest bytes so far, the largest slices first.

    Within a server slices stand in the order of the model. No server has more than the mean plus one slice.

    Examples
    --------
    >>> table = [TensorSpec("w", "float32", (6,)), TensorSpec("b", "float32", (2,))]
    >>> [[(piece.tensor, piece.start) for piece in share] for share in place(cut(table, 8), table, 2)]
    [[(0, 0), (0, 4)], [(0, 2), (1, 0)]]
    """
    heap = [(0, server) for server in range(servers)]
    shares: list[list[int]] = [[] for _ in range(servers)]
    for index in sorted(range(len(slices)), key=lambda i: (-bytes_of(slices[i], table), i)):
        load, server = heapq.heappop(heap)
        shares[server].append(index)
        heapq.heappush(heap, (load + bytes_of(slices[index], table), server))
    return [[slices[index] for index in sorted(share)] for share in shares]


def view(array: Array, piece: Slice) -> Array:
    """The part of a tensor that a slice is, as a view of a C-ordered `array`.

    >>> import numpy as np
    >>> view(np.arange(6.0).reshape(3, 2), Slice(0, 2, 6, columns=2))
    array([[2., 3.],
           [4., 5.]])
    """
    flat = array.reshape(-1)
    if len(flat) != piece.size:
        flat = flat[piece.start : piece.stop]
    return flat.reshape(piece.shape) if piece.columns else flat
