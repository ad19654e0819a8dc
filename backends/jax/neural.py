"""Convolution and pooling on JAX arrays.

Layout is PyTorch's: input (N, C, *spatial), weight (O, C / groups, *kernel); all settings are tuples with one
int per spatial axis.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from retrograd.backends.jax.compiling import jit
from retrograd.backends.windows import ceil_padding, offsets, pooled, taps

__all__ = ["KERNELS"]

Array = jax.Array
Ints = tuple[int, ...]


def convolution(x: Array, w: Array, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Array:
    """Cross-correlation of `x` with `w`, as every framework's `conv`."""
    return lax.conv_general_dilated(
        x, w, stride, tuple((p, p) for p in padding), rhs_dilation=dilation, feature_group_count=groups,
        precision="highest",
    )  # fmt: skip


def convolution_input(
    g: Array, w: Array, input_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of `convolution` in its input."""
    if not jnp.issubdtype(g.dtype, jnp.inexact):
        return _whole_convolution_input(g, w, input_shape, stride, padding, dilation, groups)

    def forward(x: Array) -> Array:
        return convolution(x, w, stride, padding, dilation, groups)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(input_shape, g.dtype))(g)[0]


def _whole_convolution_input(
    g: Array, w: Array, input_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """`convolution_input` of integers, which JAX does not transpose: a convolution with the mirrored weight."""
    outputs, channels, *kernel = w.shape
    parts = jnp.reshape(w, (groups, outputs // groups, channels, *kernel)).swapaxes(1, 2)
    mirrored = jnp.flip(jnp.reshape(parts, (groups * channels, outputs // groups, *kernel)), range(2, w.ndim))
    around = []
    for n, m, k, s, p, d in zip(input_shape[2:], g.shape[2:], kernel, stride, padding, dilation, strict=True):
        before = d * (k - 1) - p
        around.append((before, n - 1 - (m - 1) * s - before + d * (k - 1)))
    return lax.conv_general_dilated(
        g, mirrored, (1,) * len(kernel), around, lhs_dilation=stride, rhs_dilation=dilation, feature_group_count=groups
    )


def convolution_weight(
    g: Array, x: Array, weight_shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of `convolution` in its weight."""

    def forward(w: Array) -> Array:
        return convolution(x, w, stride, padding, dilation, groups)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(weight_shape, g.dtype))(g)[0]


def max_pool(
    x: Array, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[Array, Array]:
    """The largest element of each window, and its position in the flattened spatial axes of `x`."""
    lead, spatial = x.ndim - len(kernel), x.shape[x.ndim - len(kernel) :]
    out = pooled(spatial, kernel, stride, padding, dilation, ceil_mode)
    around = ceil_padding(spatial, out, kernel, stride, padding, dilation)
    positions = jnp.arange(_size(spatial)).reshape((1,) * lead + spatial)
    padded = _pad(x, around, _lowest(x.dtype))
    places = _pad(positions, around, -1)
    value: Any = None
    where: Any = None
    for offset in offsets(kernel, dilation):
        tap = (..., *taps(offset, out, stride))
        seen, place = padded[tap], places[tap]
        if value is None:
            value, where = seen, jnp.broadcast_to(place, seen.shape)
            continue
        better = (place >= 0) & ((seen > value) | jnp.isnan(seen) | (where < 0))
        value, where = jnp.where(better, seen, value), jnp.where(better, place, where)
    return value, where


def _size(shape: Ints) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _lowest(dtype: Any) -> Any:
    return -jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


def _pad(x: Array, around: tuple[tuple[int, int], ...], value: Any) -> Array:
    widths = ((0, 0, 0),) * (x.ndim - len(around)) + tuple((before, after, 0) for before, after in around)
    return lax.pad(x, jnp.asarray(value, x.dtype), widths)


KERNELS = {
    "convolution": jit(2, 3, 4, 5)(convolution),
    "convolution_input": jit(2, 3, 4, 5, 6)(convolution_input),
    "convolution_weight": jit(2, 3, 4, 5, 6)(convolution_weight),
    "max_pool": jit(1, 2, 3, 4, 5)(max_pool),
}
