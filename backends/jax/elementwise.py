"""Arithmetic, functions of one number, comparison and types on JAX arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
from jax import lax

from retrograd.backends.float8 import FLOAT8, from_float32
from retrograd.backends.jax.compiling import jit

__all__ = ["KERNELS", "ROUND_ONCE"]

Array = jax.Array

_SAME_NAME = """
    abs acos acosh asin asinh atan atanh atan2 bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor ceil conj copysign cos cosh divide equal exp expm1 floor fmod gcd greater
    greater_equal hypot imag isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and
    logical_not logical_or logical_xor maximum minimum multiply negative nextafter not_equal pow real
    reciprocal round sign sin sinh sqrt square subtract tan tanh trunc add where
""".split()


ROUND_ONCE = frozenset(_SAME_NAME) - {"fmod", "hypot", "log10", "log2", "logaddexp"}
"""Those that are one instruction of XLA, which computes numbers of 16 bits in float32."""


def _is_integer(x: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.integer)


def floor_divide(a: Array, b: Array) -> Array:
    """The quotient rounded down; an integer by zero gives 0, a float by zero what `divide` gives."""
    result = jnp.floor_divide(a, b)
    if _is_integer(result):
        return jnp.where(jnp.equal(b, 0), jnp.zeros((), result.dtype), result)
    return jnp.where(jnp.equal(b, 0), jnp.divide(a, b), result)


def remainder(a: Array, b: Array) -> Array:
    """What `floor_divide` leaves, with the divisor's sign; an integer by zero gives 0."""
    result = jnp.remainder(a, b)
    return jnp.where(jnp.equal(b, 0), jnp.zeros((), result.dtype), result) if _is_integer(result) else result


def _real(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A special function that XLA has for floating-point numbers only."""
    return lambda x: function(x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32))


def polygamma(order: int, x: Array) -> Array:
    """The derivative of order `order` of `digamma`."""
    return jax.scipy.special.polygamma(jnp.asarray(order), x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), as the NumPy kernel computes it."""
    one = jnp.asarray(1, x.dtype)
    return one / (jnp.exp(-x) + one)


def softplus(x: Array, beta: Any, threshold: Any) -> Array:
    """log(1 + exp(beta * x)) / beta; `x` itself where beta * x is above the threshold."""
    scaled = x * beta
    return jnp.where(scaled > threshold, x, jnp.log1p(jnp.exp(scaled)) / beta).astype(x.dtype)


def clip(x: Array, low: Any, high: Any) -> Array:
    """`x` with a lower and an upper bound, either of which may be None; NaN stays."""
    if low is not None:
        x = jnp.maximum(x, low)
    return x if high is None else jnp.minimum(x, high)


def complex_(real: Array, imag: Array) -> Array:
    dtype = jnp.float64 if jnp.float64 in (real.dtype, imag.dtype) else jnp.float32
    real, imag = jnp.broadcast_arrays(real.astype(dtype), imag.astype(dtype))
    return lax.complex(real, imag)


def astype(x: Array, dtype: Any) -> Array:
    """`x` in another type; a complex number keeps its real part in a real type."""
    wanted = jnp.dtype(dtype)
    if jnp.iscomplexobj(x) and wanted.kind not in "cb":
        x = x.real
    if x.dtype.name in FLOAT8:
        x = x.astype(jnp.float32)
    if wanted.name in FLOAT8:
        return from_float32(jnp, x.astype(jnp.float32), wanted)
    if wanted.kind in "iu" and wanted.itemsize < 4 and jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(jnp.int32)  # XLA saturates, C wraps around
    return x.astype(wanted)


def matmul(a: Array, b: Array) -> Array:
    """Matrix product in full precision; types of 16 bits or less accumulate in float32.

    Full precision also where a device has a faster, coarser float32 product (TF32, bfloat16 passes).
    """
    if a.dtype.itemsize <= 2 and jnp.issubdtype(a.dtype, jnp.floating):
        return astype(jnp.matmul(a.astype(jnp.float32), b.astype(jnp.float32), precision="highest"), a.dtype)
    return jnp.matmul(a, b, precision="highest")


KERNELS: dict[str, Any] = {name: jit()(getattr(jnp, name)) for name in _SAME_NAME} | {
    "astype": jit(1)(astype),
    "clip": jit()(clip),
    "complex": jit()(complex_),
    "digamma": jit()(_real(lax.digamma)),
    "erf": jit()(_real(lax.erf)),
    "erfc": jit()(_real(lax.erfc)),
    "erfinv": jit()(_real(lax.erf_inv)),
    "floor_divide": jit()(floor_divide),
    "lgamma": jit()(_real(lax.lgamma)),
    "matmul": jit()(matmul),
    "polygamma": jit(0)(polygamma),
    "remainder": jit()(remainder),
    "rsqrt": jit()(lax.rsqrt),
    "sigmoid": jit()(sigmoid),
    "softplus": jit()(softplus),
}
