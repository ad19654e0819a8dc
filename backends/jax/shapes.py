"""Shapes, slices and joins of JAX arrays.

Note [Positions are data]
    `x[i]` in a loop over `i` must not compile once per `i`. A slice's sizes and steps are a part of its
    program, where it starts is an argument of it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from retrograd.backends.jax.compiling import jit

__all__ = ["KERNELS"]

Array = jax.Array
Ints = tuple[int, ...]
Index = tuple[Any, ...]
Extent = tuple[int, int, bool]
"""What of one axis a slice takes: how many elements, how far apart, and whether the axis disappears."""


def _split(index: Index, shape: Ints) -> tuple[Any, tuple[Extent, ...] | None]:
    """Starts (an array) and extents of a basic index; None if it takes everything as it is."""
    starts, extents = [0] * len(shape), []
    whole = True
    for axis, n in enumerate(shape):
        each = index[axis] if axis < len(index) else None
        if each is None:
            extents.append((n, 1, False))
        elif isinstance(each, slice):
            start, stop, step = each.indices(n)
            count = len(range(start, stop, step))
            starts[axis] = start if count else 0
            extents.append((count, step if count > 1 else 1, False))
            whole = whole and count == n
        else:
            starts[axis] = each + n if each < 0 else int(each)
            extents.append((1, 1, True))
            whole = False
    if whole:
        return None, None
    return np.array(starts, np.int32 if max(shape) < 2**31 else np.int64), tuple(extents)


def _span(extent: Extent) -> int:
    """How much of the axis lies between the first and the last element taken."""
    count, step, _ = extent
    return (count - 1) * step + 1 if count else 0


@jit(2)
def _read(x: Array, starts: Array, extents: tuple[Extent, ...]) -> Array:
    part = lax.dynamic_slice(x, tuple(starts), tuple(map(_span, extents)))
    part = lax.slice(part, (0,) * part.ndim, part.shape, tuple(step for _, step, _ in extents))
    return part.reshape(_result_shape(extents))


def _result_shape(extents: tuple[Extent, ...]) -> Ints:
    return tuple(count for count, _, gone in extents if not gone)


@jit(3)
def _write(x: Array, value: Any, starts: Array, extents: tuple[Extent, ...]) -> Array:
    value = jnp.broadcast_to(jnp.asarray(value).astype(x.dtype), _result_shape(extents))
    value = value.reshape(tuple(count for count, _, _ in extents))
    if any(step != 1 for _, step, _ in extents):
        region = lax.dynamic_slice(x, tuple(starts), tuple(map(_span, extents)))
        value = region.at[tuple(slice(None, None, step) for _, step, _ in extents)].set(value)
    return lax.dynamic_update_slice(x, value, tuple(starts))


@jit(1, 3)
def _spread(g: Array, shape: Ints, starts: Array, extents: tuple[Extent, ...]) -> Array:
    g = g.reshape(tuple(count for count, _, _ in extents))
    zero = jnp.zeros((), g.dtype)
    g = lax.pad(g, zero, tuple((0, 0, step - 1) for _, step, _ in extents))
    return lax.dynamic_update_slice(jnp.zeros(shape, g.dtype), g, tuple(starts))


def slice_(x: Array, index: Index) -> Array:
    """Basic indexing with ints and slices (of positive step). See Note [Positions are data]."""
    starts, extents = _split(index, x.shape)
    return x if extents is None else _read(x, starts, extents)


_replace = jit()(lambda x, value: jnp.broadcast_to(jnp.asarray(value).astype(x.dtype), x.shape))


def slice_assign(x: Array, index: Index, value: Any) -> Array:
    """`x` with `value` at `index`."""
    starts, extents = _split(index, x.shape)
    return _replace(x, value) if extents is None else _write(x, value, starts, extents)


def unslice(g: Array, shape: Ints, index: Index) -> Array:
    """Zeros of `shape` with `g` at `index`: the adjoint of `slice`."""
    starts, extents = _split(index, shape)
    return g if extents is None else _spread(g, tuple(shape), starts, extents)


def undiagonal(g: Array, shape: Ints, offset: int, axis1: int, axis2: int) -> Array:
    """Zeros of `shape` with `g` on a diagonal: the adjoint of `diagonal`."""
    rest = [n for axis, n in enumerate(shape) if axis not in (axis1, axis2)]
    along = jnp.arange(g.shape[-1])
    out = jnp.zeros((*rest, shape[axis1], shape[axis2]), g.dtype)
    out = out.at[..., along + max(-offset, 0), along + max(offset, 0)].set(g)
    return jnp.moveaxis(out, (-2, -1), (axis1, axis2))


def pad(x: Array, widths: tuple[tuple[int, int], ...], value: Any) -> Array:
    config = tuple((before, after, 0) for before, after in widths)
    return lax.pad(x, jnp.asarray(value).astype(x.dtype), config)


KERNELS = {
    "broadcast_to": jit(1)(jnp.broadcast_to),
    "concat": jit(1)(lambda xs, axis: jnp.concatenate(xs, axis)),
    "diagonal": jit(1, 2, 3)(jnp.diagonal),
    "flip": jit(1)(lambda x, axes: jnp.flip(x, axes)),
    "pad": jit(1)(pad),
    "permute_dims": jit(1)(jnp.transpose),
    "reshape": jit(1)(jnp.reshape),
    "roll": jit(1, 2)(jnp.roll),
    "slice": slice_,
    "slice_assign": slice_assign,
    "stack": jit(1)(lambda xs, axis: jnp.stack(xs, axis)),
    "tril": jit(1)(jnp.tril),
    "triu": jit(1)(jnp.triu),
    "undiagonal": jit(1, 2, 3, 4)(undiagonal),
    "unslice": unslice,
}
