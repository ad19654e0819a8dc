"""Philox4x64 on JAX arrays. See `retrograd.backends.philox`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from retrograd.backends.jax.compiling import jit
from retrograd.backends.philox import WORDS, words_of

__all__ = ["bits"]

Array = jax.Array


@jit(1)
def _stream(numbers: Any, count: int) -> Array:
    """`numbers` are the two words of the key and the first block's number."""
    blocks = numbers[2] + jnp.arange(-(-count // WORDS), dtype=jnp.uint64)
    words = words_of(jnp.uint64, (numbers[0], numbers[1]), blocks)
    return jnp.stack([each.astype(jnp.uint32) for each in words], axis=1).reshape(-1)[:count]


def bits(key: tuple[Any, Any], offset: Any, count: int) -> Array:
    """`count` random 32-bit words, from block `offset` on; the same as on NumPy."""
    numbers = (*key, offset)
    if all(isinstance(each, int) for each in numbers):
        return _stream(np.array(numbers, np.uint64), count)
    return _stream(jnp.stack([jnp.asarray(each).astype(jnp.uint64) for each in numbers]), count)
