"""Reductions, scans and softmax on JAX arrays.

`axis` is a tuple of non-negative ints, or one int where the kernel takes one. float16 and bfloat16
accumulate in float32, as on the NumPy backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from retrograd.backends.jax.compiling import jit

__all__ = ["KERNELS"]

Array = jax.Array
Axes = tuple[int, ...]


def _wide(x: Array) -> Array:
    return x.astype(jnp.float32) if x.dtype.itemsize == 2 and jnp.issubdtype(x.dtype, jnp.floating) else x


def _reduction(function: Callable[..., Array]) -> Callable[..., Array]:
    """A sum or product that keeps the type."""

    def kernel(x: Array, axis: Axes, keepdims: bool) -> Array:
        wide = _wide(x)
        return function(wide, axis=axis, dtype=wide.dtype, keepdims=keepdims).astype(x.dtype)

    return kernel


def _selection(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda x, axis, keepdims: function(x, axis=axis, keepdims=keepdims)


def _position(function: Callable[..., Array]) -> Callable[..., Array]:
    def kernel(x: Array, axis: int | None, keepdims: bool) -> Array:
        return function(x, axis=axis, keepdims=keepdims).astype(jnp.int64)

    return kernel


def _scan(function: Callable[..., Array]) -> Callable[..., Array]:
    def kernel(x: Array, axis: int) -> Array:
        wide = _wide(x)
        return function(wide, axis=axis, dtype=wide.dtype).astype(x.dtype)

    return kernel


def mean(x: Array, axis: Axes, keepdims: bool) -> Array:
    wide = _wide(x)
    count = math.prod(x.shape[each] for each in axis)
    total = jnp.sum(wide, axis=axis, keepdims=keepdims)
    return (total / jnp.asarray(count, total.dtype)).astype(x.dtype)


def softmax(x: Array, axis: int) -> Array:
    wide = _wide(x)
    out = jnp.exp(wide - wide.max(axis, keepdims=True, initial=-jnp.inf))
    return (out / out.sum(axis, keepdims=True)).astype(x.dtype)


def log_softmax(x: Array, axis: int) -> Array:
    wide = _wide(x)
    out = wide - wide.max(axis, keepdims=True, initial=-jnp.inf)
    return (out - jnp.log(jnp.exp(out).sum(axis, keepdims=True))).astype(x.dtype)


def logsumexp(x: Array, axis: Axes, keepdims: bool) -> Array:
    wide = _wide(x)
    top = wide.real.max(axis, keepdims=True, initial=-jnp.inf)
    top = jnp.where(jnp.isfinite(top), top, jnp.zeros((), top.dtype))
    total = jnp.log(jnp.exp(wide - top).sum(axis, keepdims=keepdims))
    return (total + (top if keepdims else jnp.squeeze(top, axis))).astype(x.dtype)


KERNELS = {
    "all": jit(1, 2)(_selection(jnp.all)),
    "any": jit(1, 2)(_selection(jnp.any)),
    "argmax": jit(1, 2)(_position(jnp.argmax)),
    "argmin": jit(1, 2)(_position(jnp.argmin)),
    "cumprod": jit(1)(_scan(jnp.cumprod)),
    "cumsum": jit(1)(_scan(jnp.cumsum)),
    "log_softmax": jit(1)(log_softmax),
    "logsumexp": jit(1, 2)(logsumexp),
    "max": jit(1, 2)(_selection(jnp.max)),
    "mean": jit(1, 2)(mean),
    "min": jit(1, 2)(_selection(jnp.min)),
    "prod": jit(1, 2)(_reduction(jnp.prod)),
    "softmax": jit(1)(softmax),
    "sum": jit(1, 2)(_reduction(jnp.sum)),
}
