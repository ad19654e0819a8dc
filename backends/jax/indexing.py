"""Advanced indexing, gathering, scattering and sorting on JAX arrays.

The arguments mean what they mean in `retrograd.backends.numpy.indexing`. XLA clamps positions that are out
of range; so where positions can be read at once, on a CPU outside of a compiled function, they are checked,
and a wrong one is an IndexError as on NumPy.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from retrograd.backends.jax.compiling import jit

__all__ = ["KERNELS"]

Array = jax.Array
Indices = tuple[Array | None, ...]


def _check(positions: Any, size: int, axis: int) -> None:
    """Raise if a position is not in [-size, size)."""
    if isinstance(positions, jax.core.Tracer) or positions.size == 0 or not _is_on_cpu(positions):
        return
    host = np.asarray(positions)
    lowest, highest = host.min(), host.max()
    if lowest < -size or highest >= size:
        wrong = lowest if lowest < -size else highest
        raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")


def _is_on_cpu(x: Any) -> bool:
    return all(device.platform == "cpu" for device in x.devices())


def _check_all(x: Array, indices: Indices) -> None:
    for axis, each in enumerate(indices):
        if each is not None:
            _check(each, x.shape[axis], axis)


def _as_key(indices: Indices) -> tuple[Any, ...]:
    return tuple(slice(None) if each is None else each for each in indices)


_index = jit()(lambda x, indices: x[_as_key(indices)])


def index(x: Array, indices: Indices) -> Array:
    _check_all(x, indices)
    return _index(x, tuple(indices))


@jit(3)
def _index_put(x: Array, indices: Indices, values: Any, accumulate: bool) -> Array:
    place = x.at[_as_key(indices)]
    values = jnp.asarray(values).astype(x.dtype)
    if accumulate:
        return place.max(values) if x.dtype == bool else place.add(values)  # JAX does not add truth values
    return place.set(values)


def index_put(x: Array, indices: Indices, values: Any, accumulate: bool) -> Array:
    """`x` with `values` set at, or added to, the indexed elements."""
    _check_all(x, indices)
    return _index_put(x, tuple(indices), values, accumulate)


def _along(positions: Array, axis: int) -> tuple[Any, ...]:
    """The index of `gather`: `positions` along `axis`, every other axis by its own coordinate."""
    grid = jnp.ogrid[tuple(slice(n) for n in positions.shape)]
    return tuple(positions if i == axis else each for i, each in enumerate(grid))


_gather = jit(2)(lambda x, positions, axis: x[_along(positions, axis)])


@jit(3, 4)
def _scatter(x: Array, positions: Array, values: Any, axis: int, accumulate: bool) -> Array:
    place = x.at[_along(positions, axis)]
    values = jnp.asarray(values).astype(x.dtype)
    if accumulate:
        return place.max(values) if x.dtype == bool else place.add(values)  # JAX does not add truth values
    return place.set(values)


def gather(x: Array, positions: Array, axis: int) -> Array:
    """`out[i][j][k] = x[positions[i][j][k]][j][k]` for axis 0; `positions` may be smaller than `x`."""
    _check(positions, x.shape[axis], axis)
    return _gather(x, positions, axis)


def scatter(x: Array, positions: Array, values: Any, axis: int) -> Array:
    """`x` with `values` set where `gather` would read."""
    _check(positions, x.shape[axis], axis)
    return _scatter(x, positions, values, axis, False)


def scatter_add(x: Array, positions: Array, values: Any, axis: int) -> Array:
    """`x` with `values` added where `gather` would read; the adjoint of `gather`."""
    _check(positions, x.shape[axis], axis)
    return _scatter(x, positions, values, axis, True)


@jit(3, 4)
def _scatter_reduce(x: Array, positions: Array, values: Any, axis: int, reduce: str) -> Array:
    place = x.at[_along(positions, axis)]
    return {"prod": place.multiply, "amax": place.max, "amin": place.min}[reduce](values)


def scatter_reduce(x: Array, positions: Array, values: Any, axis: int, reduce: str) -> Array:
    """`x` with `values` reduced (`prod`, `amax`, `amin`) into where `gather` would read."""
    _check(positions, x.shape[axis], axis)
    return _scatter_reduce(x, positions, values, axis, reduce)


@jit(1, 2, 3)
def argsort(x: Array, axis: int, descending: bool, stable: bool) -> Array:
    """Positions that sort `x`; NaN counts as the largest. Equal elements keep their order."""
    if not descending:
        return jnp.argsort(x, axis, stable=True).astype(jnp.int64)
    # Reversed twice, so that equal elements stay in order.
    backwards = jnp.argsort(jnp.flip(x, axis), axis, stable=True).astype(jnp.int64)
    return jnp.flip(x.shape[axis] - 1 - backwards, axis)


@jit(1, 2, 3)
def sort(x: Array, axis: int, descending: bool, stable: bool) -> Array:
    return jnp.take_along_axis(x, argsort(x, axis, descending, stable), axis)


def nonzero(x: Array) -> tuple[Array, ...]:
    """The coordinates of the non-zero elements, one array per axis; how many is read on the host."""
    host = np.asarray(x)
    (device,) = x.devices()
    return tuple(jnp.asarray(each, jnp.int64, device=device) for each in np.nonzero(host))


KERNELS = {
    "argsort": argsort,
    "gather": gather,
    "index": index,
    "index_put": index_put,
    "nonzero": nonzero,
    "scatter": scatter,
    "scatter_add": scatter_add,
    "scatter_reduce": scatter_reduce,
    "sort": sort,
}
