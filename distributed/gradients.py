"""Gradients between the wire and the optimizer: unpacking, adding up, looking for what is not finite.

A gradient of a slice is an array, or `Rows` where only some rows of a matrix (an embedding, as a rule) have
one. Rows that are absent are zero, so that both mean the same to all optimizers but those that change no row
without a gradient: to them a row that is zero has none, however it has come.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from . import crew
from .compression import CODECS, Encoded
from .errors import ProtocolError
from .messages import Array, Slot

__all__ = [
    "Gradient",
    "Gradients",
    "RowFinder",
    "Rows",
    "dense",
    "fullest",
    "fullness",
    "is_finite",
    "is_same",
    "overflows",
    "rows_of",
    "scaled",
    "square_norm",
    "sum_in_order",
    "summed",
    "unpack",
]


_SPARSE = 0.5  # the share of rows below which rows travel by number
_LOOK_AGAIN_MOST = 64  # pushes between two looks at a matrix whose rows were not sparse
_WIDE = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


class Rows(NamedTuple):
    """Some rows of a matrix of the given shape: `numbers`, ascending, and `values`, one row for each.

    A row of what has one dimension is an element.
    """

    shape: tuple[int, ...]
    numbers: Array
    values: Array

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes + self.values.nbytes


Gradient: TypeAlias = Array | Rows
Gradients: TypeAlias = Mapping[int, Gradient]
"""By number of the slice. One that got no gradient is absent."""


class RowFinder:
    """Finds matrices of which few rows have a gradient, and does not look often where that is not so."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._interval: dict[int, int] = {}

    def of(self, key: int, gradient: Array) -> Array | None:
        """The numbers of the rows that are not zero, if they are few."""
        if (left := self._next.get(key, 0)) > 0:
            self._next[key] = left - 1
            return None
        rows = np.flatnonzero(gradient.any(axis=1))
        if len(rows) < _SPARSE * len(gradient):
            self._interval[key] = 1
            return rows
        interval = self._interval[key] = min(_LOOK_AGAIN_MOST, 2 * self._interval.get(key, 1))
        self._next[key] = interval
        return None


def unpack(slots: Sequence[Slot], arrays: Sequence[Array]) -> dict[int, Gradient]:
    """The gradients that a message carries, by slice.

    Raises
    ------
    ProtocolError
        When rows or a codec's frames contradict their slot.
    """
    frames = iter(arrays)
    return {slot.index: _unpack(slot, frames) for slot in slots}


def _unpack(slot: Slot, frames: Iterator[Array]) -> Gradient:
    mine = [next(frames) for _ in slot.frames()]
    if slot.rows >= 0:
        numbers, values = mine
        if slot.rows and not (numbers[0] >= 0 and numbers[-1] < slot.shape[0] and (np.diff(numbers) > 0).all()):
            raise ProtocolError(f"the row numbers of slot {slot.index} do not ascend within its {slot.shape[0]} rows")
        return Rows(slot.shape, numbers, values)
    if slot.codec == "none":
        return mine[0]
    return CODECS[slot.codec].decode(Encoded(slot.numbers, tuple(mine)), slot.shape, slot.dtype)


def dense(gradient: Gradient) -> Array:
    """The whole array; a new one for `Rows`.

    >>> dense(Rows((3, 2), np.array([1]), np.float32([[5, 6]]))).tolist()
    [[0.0, 0.0], [5.0, 6.0], [0.0, 0.0]]
    """
    if not isinstance(gradient, Rows):
        return gradient
    whole = np.zeros(gradient.shape, gradient.values.dtype)
    whole[gradient.numbers] = gradient.values
    return whole


def rows_of(gradient: Gradient) -> Rows:
    """The rows that are not zero, or those that there are already.

    >>> rows_of(np.float32([[0, 0], [0, 6]]))[1:], rows_of(np.float32([5, 0]))[1:]
    ((array([1]), array([[0., 6.]], dtype=float32)), (array([0]), array([5.], dtype=float32)))
    """
    if isinstance(gradient, Rows):
        return gradient
    numbers = np.flatnonzero(gradient.any(axis=tuple(range(1, gradient.ndim))))
    return Rows(gradient.shape, numbers, gradient[numbers])


def is_same(gradient: Gradient, array: Array) -> bool:
    """Whether a gradient has exactly the bits of an array.

    >>> is_same(np.float32([np.nan, 0]), np.float32([np.nan, 0])), is_same(np.float32([0]), np.float32([-0.0]))
    (True, False)
    """
    if gradient.shape != array.shape:
        return False
    if isinstance(gradient, Rows):
        rows = np.flatnonzero(array.any(axis=1))
        return np.array_equal(rows, gradient.numbers) and is_same(gradient.values, array[rows])
    if gradient.dtype != array.dtype:
        return False
    one, other = (np.ravel(each).view(np.uint8) for each in (gradient, array))
    words = len(one) // 8 * 8  # which are compared several times as fast
    return np.array_equal(one[:words].view(np.uint64), other[:words].view(np.uint64)) and np.array_equal(
        one[words:], other[words:]
    )


def sum_in_order(addends: Sequence[Gradients]) -> dict[int, Gradient]:
    """Add sets of gradients from left to right, as repeated ``backward()`` adds into ``.grad``.

    A slice that is absent from some of the sets is the sum of the others; absent from all, it stays absent,
    and the optimizer skips it. The addends are not changed.

    >>> a, b = np.float32([1]), np.float32([2])
    >>> sum_in_order([{0: a}, {}, {0: b, 1: b}])
    {0: array([3.], dtype=float32), 1: array([2.], dtype=float32)}
    """
    indices = dict.fromkeys(index for each in addends for index in each)
    return {index: summed([each[index] for each in addends if index in each]) for index in indices}


def summed(addends: Sequence[Gradient], out: Array | None = None) -> Gradient:
    """The sum of one slice's gradients from left to right, in `out` if it is dense and there is more than one."""
    if len(addends) == 1:
        return addends[0]
    rows = [each for each in addends if isinstance(each, Rows)]
    if len(rows) == len(addends):
        return _sum_rows(rows)
    one, other, *more = map(dense, addends) if rows else cast(Sequence[Array], addends)
    total = np.add(one, other, out)
    for each in more:
        np.add(total, each, total)
    return total


def _sum_rows(addends: Sequence[Rows]) -> Rows:
    numbers = np.unique(np.concatenate([each.numbers for each in addends]))
    values = np.zeros((len(numbers), *addends[0].shape[1:]), addends[0].values.dtype)
    for each in addends:
        values[np.searchsorted(numbers, each.numbers)] += each.values
    return Rows(addends[0].shape, numbers, values)


def scaled(gradient: Gradient, factor: float) -> Gradient:
    """A gradient times a number; the same one for 1."""
    if factor == 1:
        return gradient
    if isinstance(gradient, Rows):
        return gradient._replace(values=_times(gradient.values, factor))
    return _times(gradient, factor)


def _times(array: Array, factor: float) -> Array:
    product: Array = array * array.dtype.type(factor)
    return product


def _values(gradient: Gradient) -> Array:
    return gradient.values if isinstance(gradient, Rows) else gradient


def is_finite(gradient: Gradient) -> bool:
    """Whether no element is a NaN or an infinity.

    >>> is_finite(np.float32([1, 3e38])), is_finite(np.float32([1, np.nan]))
    (True, False)
    """
    return fullness(gradient) <= 1


def fullness(gradient: Gradient) -> float:
    """A bound of the largest magnitude of an element, as a share of what the dtype holds.

    With a NaN or an infinity it is infinite; of integers it is 0. As long as the sum of several is at most 1, adding up
    cannot overflow.

    >>> fullness(np.float16([1, -65504])), fullness(np.float16([1, np.nan]))
    (1.0, inf)
    """
    values = _values(gradient)
    dtype = values.dtype
    if dtype in _WIDE:
        # The product runs at the speed of memory. Only where it overflows does each element have to be seen.
        square = float(np.vdot(values, values))
        if square < math.inf:
            return math.sqrt(square) / _largest(dtype)
    if dtype.kind in "biu" or not values.size:
        return 0.0
    if dtype.kind == "c":
        values = np.ascontiguousarray(values).view(values.real.dtype)
    flat, largest = values.reshape(-1), _largest(values.dtype)
    if values.dtype.kind != "f":
        flat = flat.astype(np.float32)  # of bfloat16 NumPy's maximum may leave out a NaN
    share = max(float(np.maximum.reduce(flat)), -float(np.minimum.reduce(flat))) / largest
    return share if share <= 1 else math.inf


@cache
def _largest(dtype: np.dtype[Any]) -> float:
    """The largest number of a floating-point type."""
    if dtype.kind == "f":
        return float(np.finfo(dtype).max)
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]


def fullest(gradients: Iterable[Gradient]) -> float:
    """The largest fullness of several, 0 of none."""
    several, nbytes = tuple(gradients), 0
    for each in several:
        nbytes += each.nbytes
    return max(crew.each(fullness, several, nbytes), default=0.0)


def overflows(addends: Sequence[Gradients], scale: float) -> bool:
    """Whether the sum of gradients that are finite, times `scale`, is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        return not all(is_finite(scaled(each, scale)) for each in sum_in_order(addends).values())


def square_norm(gradients: Iterable[Gradient]) -> float:
    """The sum of the squares of all elements, in double precision from slice to slice."""
    total = 0.0
    for each in gradients:
        values: Any = _values(each).reshape(-1)
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
        total += float(np.vdot(values, values).real)
    return total
