"""Threefry-2x32 on JAX arrays. See `retrograd.backends.threefry`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from retrograd.backends.jax.compiling import jit
from retrograd.backends.threefry import threefry

__all__ = ["bits"]

Array = jax.Array


@jit(1)
def _stream(numbers: Any, count: int) -> Array:
    """`numbers` are the two words of the key and the first block's number."""
    counter = numbers[2] + jnp.arange((count + 1) // 2, dtype=jnp.uint64)
    low = (counter & jnp.uint64(0xFFFFFFFF)).astype(jnp.uint32)
    high = (counter >> jnp.uint64(32)).astype(jnp.uint32)
    k0, k1 = numbers[0].astype(jnp.uint32), numbers[1].astype(jnp.uint32)
    words = threefry(jnp.uint32, k0, k1, low, high)
    return jnp.stack(words, axis=1).reshape(-1)[:count]


def bits(key: tuple[Any, Any], offset: Any, count: int) -> Array:
    """`count` random 32-bit words, from block `offset` on; the same as on NumPy."""
    numbers = (*key, offset)
    if all(isinstance(each, int) for each in numbers):
        return _stream(np.array(numbers, np.uint64), count)
    return _stream(jnp.stack([jnp.asarray(each).astype(jnp.uint64) for each in numbers]), count)
