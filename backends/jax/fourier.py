"""Discrete Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from retrograd.backends.jax.compiling import jit

__all__ = ["KERNELS"]

Array = jax.Array


def fft(x: Array, axes: tuple[int, ...], inverse: bool) -> Array:
    """See NumPy's. One axis at a time: XLA transforms at most three at once."""
    x = x.astype(jnp.result_type(x.dtype, jnp.complex64))
    for axis in axes if x.size else ():
        x = jnp.fft.ifft(x, axis=axis, norm="forward") if inverse else jnp.fft.fft(x, axis=axis)
    return x


KERNELS: dict[str, Callable[..., Any]] = {"fft": jit(1, 2)(fft)}
