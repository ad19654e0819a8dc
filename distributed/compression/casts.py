"""The codecs without memory whose frame is the gradient in another floating-point format, or in its own."""

from __future__ import annotations

import math
from typing import ClassVar

import ml_dtypes
import numpy as np

from ..errors import ProtocolError
from .arrays import Array, DType, chunks
from .codec import Codec, Encoded, Layout, Numbers, no_numbers, only_integer

__all__ = ["BFloat16", "Float16", "Plain"]


class Plain(Codec):
    """The gradient as it is: bit for bit, of any dtype, in no time.

    Examples
    --------
    >>> codec, gradient = Plain(), np.array([1.5, np.nan], np.float32)
    >>> encoded = codec.encode(0, gradient)
    >>> encoded.frames[0] is gradient, codec.decode(encoded, (2,), "float32")
    (True, array([1.5, nan], dtype=float32))
    """

    name: ClassVar[str] = "none"
    carries_not_finite: ClassVar[bool] = True

    @classmethod
    def _takes(cls, dtype: DType) -> bool:
        return True

    def _encode(self, key: int, gradient: Array) -> Encoded:
        return Encoded((), (gradient,))

    def _typical(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        return ()

    @classmethod
    def _layout(cls, shape: tuple[int, ...], dtype: DType, numbers: Numbers) -> Layout:
        no_numbers(numbers, cls.name)
        return ((dtype.name, shape),)

    @classmethod
    def _decode(cls, encoded: Encoded, shape: tuple[int, ...], dtype: DType) -> Array:
        return encoded.frames[0]


class BFloat16(Plain):
    """Rounded to bfloat16: float32's range, with 8 bits of precision.

    The error of each number is at most 2\\ :sup:`-8` of it (half a unit in the last place; a number below
    float32's normal range loses more). NaN and infinities arrive in their places, and a number too large for
    the format arrives as an infinity. A gradient that is of 16 bits already travels as it is.

    There is no error feedback: an error that small, and of either sign, is below the noise of a mini-batch, and
    a residual costs as much memory as the gradients.

    Examples
    --------
    >>> codec, gradient = BFloat16(), np.array([3.1415927, np.inf], np.float32)
    >>> codec.decode(codec.encode(0, gradient), (2,), "float32")
    array([3.140625,      inf], dtype=float32)
    """

    name: ClassVar[str] = "bf16"

    @classmethod
    def _takes(cls, dtype: DType) -> bool:
        return Codec._takes(dtype)

    def _encode(self, key: int, gradient: Array) -> Encoded:
        return Encoded((), (gradient if gradient.itemsize == 2 else gradient.astype(ml_dtypes.bfloat16),))

    @classmethod
    def _layout(cls, shape: tuple[int, ...], dtype: DType, numbers: Numbers) -> Layout:
        return super()._layout(shape, dtype if dtype.itemsize == 2 else np.dtype(ml_dtypes.bfloat16), numbers)

    @classmethod
    def _decode(cls, encoded: Encoded, shape: tuple[int, ...], dtype: DType) -> Array:
        return encoded.frames[0].astype(dtype, copy=False)


class Float16(Codec):
    r"""Rounded to IEEE half precision, with one power of two for the whole gradient.

    Half precision ends at 65504 and at :math:`6 \cdot 10^{-8}`, which gradients do not keep to. So they are
    multiplied by :math:`2^k`, which brings the largest to between :math:`2^{14}` and :math:`2^{15}`; the header
    carries :math:`k`. With it

    .. math:: |x - \hat x| \le 2^{-11} |x| + 2^{-39} \max_i |x_i|.

    (:math:`k` ends where the dtype's own exponents do, so numbers may vanish that are 2\ :sup:`-24` of its smallest
    normal one.)

    A gradient with NaN or infinities is sent without the power (no number in the header), so that these arrive
    in their places; finite numbers beside them may become infinite. One that is of 16 bits already travels as
    it is. No error feedback, for bfloat16's reasons.

    Notes
    -----
    NumPy converts to half precision at a quarter of the speed of these bit operations. A float32 that is
    multiplied by :math:`2^{-112}` has the exponent bits of the float16 with the same value, 13 places further
    left; rounding adds half of the last place that stays, so ties go away from zero.

    Examples
    --------
    >>> codec, gradient = Float16(), np.array([1e-9, -3e-10], np.float32)
    >>> encoded = codec.encode(0, gradient)
    >>> encoded.numbers, encoded.nbytes
    ((44,), 4)
    >>> codec.decode(encoded, (2,), "float32")
    array([ 1.0004442e-09, -2.9990588e-10], dtype=float32)
    """

    name: ClassVar[str] = "fp16"
    carries_not_finite: ClassVar[bool] = True

    def _encode(self, key: int, gradient: Array) -> Encoded:
        if gradient.itemsize == 2:
            return Encoded((), (gradient,))
        peak = max(float(gradient.max()), -float(gradient.min())) if gradient.size else 0.0
        if not math.isfinite(peak):
            return Encoded((), (gradient.astype(np.float16),))
        limit = _LIMITS[gradient.dtype]
        power = max(-limit, min(limit, 15 - math.frexp(peak)[1])) if peak else 0
        half = np.empty(gradient.shape, np.float16)
        flat, bits = gradient.reshape(-1), half.view(np.uint16).reshape(-1)
        for part in chunks(flat.size):
            bits[part] = _half_bits(flat[part], power)
        return Encoded((power,), (half,))

    def _typical(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        return ()

    @classmethod
    def _layout(cls, shape: tuple[int, ...], dtype: DType, numbers: Numbers) -> Layout:
        if dtype.itemsize == 2:
            no_numbers(numbers, cls.name)
            return ((dtype.name, shape),)
        if numbers:
            only_integer(numbers, -_LIMITS[dtype], _LIMITS[dtype], "power of two")
        return (("float16", shape),)

    @classmethod
    def _decode(cls, encoded: Encoded, shape: tuple[int, ...], dtype: DType) -> Array:
        (half,) = encoded.frames
        if not encoded.numbers:
            return half.astype(dtype, copy=False)
        out = np.empty(shape, dtype)
        flat, bits = out.reshape(-1), half.view(np.uint16).reshape(-1)
        scale = dtype.type(2.0 ** -encoded.numbers[0])
        for part in chunks(flat.size):
            if (bits[part] & _EXPONENT).max() == _EXPONENT:
                raise ProtocolError(f"a gradient encoded as {cls.name!r} with a power of two is not finite")
            np.multiply(_floats(bits[part]), scale, out=flat[part])
        return out


# Powers of two that are, like their inverses, normal numbers of the dtype.
_LIMITS: dict[DType, int] = {np.dtype(np.float32): 126, np.dtype(np.float64): 1022}

_REBIAS = 127 - 15  # between the exponents' offsets in float32 and in float16
_EXPONENT = np.uint16(0x7C00)  # where all of them are set, half precision has no number


def _half_bits(values: Array, power: int) -> Array:
    """The bits of `values` times two to the `power`, below 65504, in half precision."""
    scaled = np.multiply(values, values.dtype.type(2.0**power)).astype(np.float32, copy=False)
    scaled *= np.float32(2.0**-_REBIAS)
    bits = scaled.view(np.uint32)
    sign = np.right_shift(bits, 16)
    sign &= 0x8000
    bits += 0x1000
    bits >>= 13
    bits &= 0x7FFF
    bits |= sign
    return bits


def _floats(bits: Array) -> Array:
    """The float32 for bits of finite numbers in half precision."""
    wide = bits.view(np.int16).astype(np.int32)
    wide <<= 13
    wide &= ~0x70000000  # where the shift has copied the sign to
    values = wide.view(np.float32)
    values *= np.float32(2.0**_REBIAS)
    return values
