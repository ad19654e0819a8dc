"""Numbers of 8 bits, converted as PyTorch does it: by way of float32, of which all of them are.

ml_dtypes has the types, and rounds; but it knows other answers for what is too large, negative or no number.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["FLOAT8", "from_float32"]

FLOAT8: Final = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")

_LARGEST_E4M3FN = 448.0


def from_float32(xp: Any, x: Any, native: Any) -> Any:
    """An array of float32 as one of type `native`, rounded to nearest, halves to even.

    Parameters
    ----------
    xp
        The library of the array, `numpy` or `jax.numpy`.

    Notes
    -----
    `float8_e4m3fn` has no infinity: what is too large becomes 448. `float8_e8m0fnu` has powers of two alone, no sign
    and no zero. A NaN of `float8_e5m2` has all bits of the mantissa.
    """
    if native.name == "float8_e8m0fnu":
        return _exponents(xp, x).view(native)
    if native.name == "float8_e4m3fn":
        return xp.clip(x, -_LARGEST_E4M3FN, _LARGEST_E4M3FN).astype(native)
    bits = x.astype(native).view(xp.uint8)
    if native.name == "float8_e5m2":
        return xp.where(xp.isnan(x), bits | xp.uint8(3), bits).view(native)
    # XLA makes the bits of a negative zero, which here are those of NaN, of small negative numbers.
    return xp.where((bits == 128) & (xp.abs(x) < 1), xp.uint8(0), bits).view(native)


def _exponents(xp: Any, x: Any) -> Any:
    """The biased exponents of the nearest powers of two, as uint8. Of two that are as near, the larger one."""
    bits = x.view(xp.uint32)
    exponent = (bits >> xp.uint32(23)) & xp.uint32(255)
    half, rest = (bits & xp.uint32(1 << 22)) != 0, (bits & xp.uint32((1 << 22) - 1)) != 0
    up = half & (rest | (exponent > 0)) & (exponent < 255)
    return (exponent + up.astype(xp.uint32)).astype(xp.uint8)
