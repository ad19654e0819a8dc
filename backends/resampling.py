"""Resampling along one axis: which elements each new one is made of, as arrays of the host."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["nearest", "positions", "weights", "whole_weights"]

Host = np.ndarray[Any, Any]


def positions(places: tuple[int, ...]) -> Host:
    """Numbers of elements as an array of integers."""
    return np.array(places, np.int64)


@lru_cache(maxsize=64)
def nearest(n: int, m: int, scale: float | None, exact: bool) -> tuple[int, ...]:
    """For each of `m` new elements the number of that among `n` which it is: by its middle, if `exact`."""
    step = n / m if scale is None else 1.0 / scale
    return tuple(min(math.floor((i + 0.5) * step if exact else i * step), n - 1) for i in range(m))


@lru_cache(maxsize=8)
def weights(n: int, m: int, scale: float | None, align: bool, cubic: bool, smooth: bool) -> Host:
    """The matrix (m, n) whose rows are the weights of `n` elements in each of `m` new ones.

    Parameters
    ----------
    align
        Whether the first and the last stay where they are.
    cubic
        By cubic convolution, and not linearly.
    smooth
        Whether a new element that is larger than the old ones is made of all that it covers.
    """
    matrix = np.zeros((m, n))
    if align:
        step = (n - 1) / (m - 1) if m > 1 else 0.0
    else:
        step = n / m if scale is None else 1.0 / scale
    for i in range(m):
        if smooth:
            _weigh_all_within(matrix[i], step * (i + 0.5), max(step, 1.0), cubic)
        else:
            (_weigh_four if cubic else _weigh_two)(matrix[i], i * step if align else (i + 0.5) * step - 0.5, n)
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=8)
def whole_weights(n: int, m: int, scale: float | None, align: bool, cubic: bool, smooth: bool) -> tuple[Host, int]:
    """`weights` as whole numbers of 16 bits, and by how many bits they are moved up for that."""
    matrix = weights(n, m, scale, align, cubic, smooth)
    bits, largest = 0, float(matrix.max())
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    moved = matrix * (1 << bits)
    return np.trunc(moved + np.copysign(0.5, moved)), bits


def _weigh_two(row: Any, at: float, n: int) -> None:
    """The two neighbours of a place."""
    at = max(at, 0.0)
    low = min(int(at), n - 1)
    part = min(max(at - low, 0.0), 1.0)
    row[low] += 1 - part
    row[min(low + 1, n - 1)] += part


def _weigh_all_within(row: Any, centre: float, width: float, cubic: bool) -> None:
    """All elements that a new one covers where it is larger than they are, as a triangle or a cubic has it."""
    reach = (2 if cubic else 1) * width
    first, end = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), len(row))
    distances = np.abs(np.arange(first, end) - centre + 0.5) / width
    weights = _cubic(distances, -0.5) if cubic else np.maximum(1 - distances, 0)
    row[first:end] = weights / weights.sum()


def _cubic(d: Any, a: float) -> Any:
    """The kernel of cubic convolution at distances."""
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _weigh_four(row: Any, at: float, n: int) -> None:
    """The four neighbours of a place, by cubic convolution; those outside are the ones at the end."""
    low = math.floor(at)
    for position in range(low - 1, low + 3):
        row[min(max(position, 0), n - 1)] += _cubic(abs(at - position), -0.75)
