"""New JAX arrays, on one device, and the way from and to host memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from retrograd.backends.jax import random
from retrograd.backends.jax.compiling import jit_on
from retrograd.backends.jax.elementwise import astype

__all__ = ["as_array", "creation_kernels"]

Array = jax.Array
Ints = tuple[int, ...]


def as_array(value: Any) -> Array:
    """An array of what is not exactly one: tracers pass, NumPy scalars and Python numbers are converted."""
    return value if isinstance(value, jax.Array) else jnp.asarray(np.asarray(value))


def from_host(array: Any, copy: bool = True, *, device: Any) -> Array:
    """`array`, a NumPy array, on the device. Without `copy` a CPU device may go on using its memory."""
    return jnp.array(array, copy=copy, device=device)


def to_host(array: Array) -> Any:
    """A NumPy array, read-only; on a CPU device it shares the memory."""
    return np.asarray(array)


def _on_host(function: Callable[..., Any], *, device: Any) -> Callable[..., Array]:
    """Numbers whose last bit depends on the order of operations are made by NumPy, and so are the same."""
    return lambda *arguments: jnp.asarray(function(*arguments), device=device)


def _counted(start: Any, step: Any, count: int, dtype: Any) -> Array:
    return (start + step * jnp.arange(count, dtype=jnp.int64)).astype(dtype)


def _filled(shape: Ints, value: Any, dtype: Any) -> Array:
    return jnp.broadcast_to(astype(jnp.asarray(value), dtype), shape)


def _zeros(shape: Ints, dtype: Any) -> Array:
    if np.dtype(dtype).name == "float8_e8m0fnu":  # which has no zero, but its bits
        return jnp.zeros(shape, jnp.uint8).view(dtype)
    return jnp.zeros(shape, dtype)


def _arange(counted: Callable[..., Array], on_host: Callable[..., Array]) -> Callable[..., Array]:
    def arange(start: Any, stop: Any, step: Any, dtype: Any) -> Array:
        if all(isinstance(each, int) for each in (start, stop, step)) and np.dtype(dtype).kind in "iu":
            return counted(start, step, len(range(start, stop, step)), dtype)
        return on_host(start, stop, step, dtype)

    return arange


def creation_kernels(device: Any) -> dict[str, Callable[..., Any]]:
    """The kernels that place what they make on `device`; None is where JAX puts arrays by itself."""
    jit = jit_on(device)

    def bits(key: tuple[Any, Any], offset: Any, count: int) -> Array:
        made = random.bits(key, offset, count)
        return made if device is None else jax.device_put(made, device)

    zeros = jit(_zeros, static_argnums=(0, 1))
    return {
        "arange": _arange(jit(_counted, static_argnums=(2, 3)), _on_host(np.arange, device=device)),
        "empty": zeros,
        "eye": jit(lambda n, m, dtype: jnp.eye(n, m, dtype=dtype), static_argnums=(0, 1, 2)),
        "from_host": partial(from_host, device=device),
        "full": jit(_filled, static_argnums=(0, 2)),
        "linspace": _on_host(
            lambda start, stop, num, dtype: np.linspace(start, stop, num).astype(dtype), device=device
        ),
        "ones": jit(jnp.ones, static_argnums=(0, 1)),
        "random_bits": bits,
        "zeros": zeros,
        "zeros_like": jit(lambda x: _zeros(x.shape, x.dtype)),
    }
