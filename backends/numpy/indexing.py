"""Advanced indexing, gathering and scattering on NumPy arrays.

`indices` of `index` and `index_put` holds one integer array or None (the whole axis) per leading
axis, as PyTorch's `index` has it: the index arrays broadcast together, and their dimensions stand
where the indexed axes stood if those are adjacent, else in front.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from retrograd.backends.numpy.reductions import in_row_major

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]
Indices = tuple[Array | None, ...]


def _as_key(indices: Indices) -> tuple[Any, ...]:
    return tuple(slice(None) if each is None else each for each in indices)


def index(x: Array, indices: Indices) -> Array:
    picked = x[_as_key(indices)]
    # NumPy may lay the result out as the index, not as the array; an empty one may even have strides of 0.
    return picked if picked.flags.c_contiguous and picked.size else picked.copy(order="C")


def index_put(x: Array, indices: Indices, values: Any, accumulate: bool) -> Array:
    """A copy of `x` with `values` set at, or added to, the indexed elements."""
    out = np.array(x, order="C")  # also of a number, as gradients may be
    key = _as_key(indices)
    if accumulate and _is_of_rows(out, key, values):
        _add_rows(out, key[0].reshape(-1), values)
    elif accumulate:
        np.add.at(out, key, values)
    else:
        out[key] = values
    return out


_WORTH_SPARSE = 4096  # numbers from which the sparse product is quicker than np.add.at, up to sixty times


def _is_of_rows(out: Array, key: tuple[Any, ...], values: Any) -> bool:
    """Whether many whole rows are added, at numbers that are those of rows."""
    rows = key[0]
    return (
        len(key) == 1
        and isinstance(rows, np.ndarray)
        and isinstance(values, np.ndarray)
        and values.dtype == out.dtype
        and out.dtype.char in "fdFD"
        and values.shape == rows.shape + out.shape[1:]
        and values.size >= _WORTH_SPARSE
        and values.size >= 8 * rows.size
        and bool(rows.min() >= 0 and rows.max() < len(out))
    )


def _add_rows(out: Array, rows: Array, values: Array) -> None:
    """``np.add.at(out, rows, values)``, as the product with a matrix that has a 1 in each column: in the same order."""
    from scipy.sparse import csc_array

    count = len(rows)
    picks = csc_array((np.ones(count, out.dtype), rows, np.arange(count + 1)), shape=(len(out), count))
    wide = out.reshape(len(out), -1)
    wide += picks @ values.reshape(count, -1)


@functools.lru_cache(maxsize=64)
def counting(n: int) -> Array:
    """0, 1, ... n - 1; one array for all who read it."""
    numbers = np.arange(n)
    numbers.flags.writeable = False
    return numbers


def _along(x: Array, positions: Array, axis: int) -> tuple[Any, ...]:
    """The index of `gather`: `positions` along `axis`, every other axis by its own coordinate."""
    ndim = positions.ndim
    return tuple(
        positions if i == axis else counting(n).reshape((n,) + (1,) * (ndim - i - 1))
        for i, n in enumerate(positions.shape)
    )


_MANY = 2048  # positions from which one number for each is quicker than one for each axis


def within(positions: Array, size: int) -> bool:
    """Whether integers, of which there are some, are all from 0 to `size` - 1."""
    if positions.dtype.itemsize == 8:  # one look tells: as an unsigned number a negative one is large
        return bool(np.maximum.reduce(positions.view(_UNSIGNED), None) < size)
    return bool(np.minimum.reduce(positions, None) >= 0 and np.maximum.reduce(positions, None) < size)


_UNSIGNED = np.dtype(np.uint64)


def _flat(shape: tuple[int, ...], positions: Array, axis: int) -> Array | None:
    """Where `gather` reads, as numbers of elements of an array of `shape` in row-major order.

    None where few are read, there is one axis, or one is not within bounds, which NumPy's own indexing is to tell.
    """
    if len(shape) == 1 or positions.size < _MANY or not within(positions, shape[axis]):
        return None
    ndim = len(shape)
    numbers = np.multiply(positions, math.prod(shape[axis + 1 :]), order="C", dtype=np.int64)
    for i, n in enumerate(positions.shape):
        if i != axis:
            numbers += (counting(n) * math.prod(shape[i + 1 :])).reshape((n,) + (1,) * (ndim - i - 1))
    return numbers


def gather(x: Array, positions: Array, axis: int) -> Array:
    """`out[i][j][k] = x[positions[i][j][k]][j][k]` for axis 0; `positions` may be smaller than `x`."""
    if x.flags.c_contiguous and (numbers := _flat(x.shape, positions, axis)) is not None:
        return x.reshape(-1).take(numbers)
    return in_row_major(x[_along(x, positions, axis)])


def scatter(x: Array, positions: Array, values: Any, axis: int) -> Array:
    """A copy of `x` with `values` set where `gather` would read."""
    out = np.array(x, order="C")  # also of a number, as gradients may be
    if (numbers := _flat(out.shape, positions, axis)) is not None:
        out.reshape(-1)[numbers] = values
    else:
        out[_along(x, positions, axis)] = values
    return out


def scatter_add(x: Array, positions: Array, values: Any, axis: int) -> Array:
    """A copy of `x` with `values` added where `gather` would read; the adjoint of `gather`."""
    out = np.array(x, order="C")  # also of a number, as gradients may be
    numbers = _flat(out.shape, positions, axis)
    if numbers is None:
        np.add.at(out, _along(x, positions, axis), values)
    else:
        addends = np.broadcast_to(values, positions.shape).reshape(-1)
        np.add.at(out.reshape(-1), numbers.reshape(-1), addends.astype(out.dtype, copy=False))
    return out


_UFUNCS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def scatter_reduce(x: Array, positions: Array, values: Any, axis: int, reduce: str) -> Array:
    """A copy of `x` with `values` reduced (`prod`, `amax`, `amin`) into where `gather` would read."""
    out = np.array(x, order="C")  # also of a number, as gradients may be
    _UFUNCS[reduce].at(out, _along(x, positions, axis), values)
    return out


def nonzero(x: Array) -> tuple[Array, ...]:
    """The coordinates of the non-zero elements, one array per axis."""
    return np.nonzero(x)


def bincount(places: Array, count: int) -> Array:
    """How often each of 0, 1, ... `count` - 1 occurs in a vector of no other numbers."""
    return np.bincount(places, None, count)


KERNELS = {
    "bincount": bincount,
    "gather": gather,
    "index": index,
    "index_put": index_put,
    "nonzero": nonzero,
    "scatter": scatter,
    "scatter_add": scatter_add,
    "scatter_reduce": scatter_reduce,
    "within": within,
}
