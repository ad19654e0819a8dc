"""The codec that rounds to 8 bits by chance."""

from __future__ import annotations

import math
from typing import ClassVar, Self

import numpy as np

from ..errors import ProtocolError
from .arrays import CHUNK, Array, DType, accumulator, all_finite, chunks, narrow
from .blocks import block_length, in_blocks
from .codec import NOT_FINITE, Codec, Encoded, Layout, Numbers

__all__ = ["Int8"]

_BLOCK = 256
_LEVELS = 127


class Int8(Codec):
    r"""Blocks of 256 numbers, each rounded up or down to a multiple of its block's 127th part, by chance.

    With the largest magnitude :math:`m` of a block and :math:`s = m / 127` (or a trifle more),

    .. math:: \hat x = s \lfloor x / s + u \rfloor, \qquad u \sim U[0, 1), \qquad E[\hat x] = x,

    so no number is off by more than :math:`s`, the variance of each is at most :math:`s^2 / 4`, and the mean of
    many gradients has the mean's value. Because nothing is lost on average there is **no error feedback**, no
    residual and no state but a count of calls. It is QSGD with 127 levels, the maximum in place of the 2-norm,
    and fixed-length codes.

    The noise is a function of the seed, the key and how many gradients of that key came before: the same three
    give the same bytes on every machine. Workers should have different seeds, so that their errors cancel.

    The noise has 16 bits, so that the expected value is met to 2\ :sup:`-17` of :math:`s`, no more than float32's
    rounding of :math:`x / s` leaves open. For float16 and bfloat16 the result is rounded once more, to nearest.

    Notes
    -----
    One draw of 65536 numbers from the counter-based generator Philox serves a whole gradient: each further
    piece of 65536 adds a random number of its own to all of them, modulo one. Any two elements' :math:`u` are
    independent, which is all that the bound on a sum's variance needs.

    References
    ----------
    Alistarh, Grubic, Li, Tomioka, Vojnovic, *QSGD: Communication-Efficient SGD via Gradient Quantization and
    Encoding*, NeurIPS 2017, https://arxiv.org/abs/1610.02132. Philox: Salmon et al., SC 2011.

    Examples
    --------
    >>> codec, gradient = Int8(), np.array([1.27, 0.005, -0.4], np.float32)
    >>> codec.decode(codec.encode(0, gradient), (3,), "float32").round(4)
    array([ 1.27,  0.01, -0.4 ], dtype=float32)
    >>> mean = sum(codec.decode(codec.encode(0, gradient), (3,), "float32") for _ in range(1000)) / 1000
    >>> bool(abs(mean - gradient).max() < 0.001)
    True
    >>> round(codec.ratio((1024, 1024), "float32"), 2)
    3.94
    """

    name: ClassVar[str] = "int8"
    keeps: ClassVar[tuple[str, ...]] = ("calls",)

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    @classmethod
    def parse(cls, argument: str | None, seed: int) -> Self:
        super().parse(argument, seed)
        return cls(seed=seed)

    def _encode(self, key: int, gradient: Array) -> Encoded:
        flat, work = gradient.reshape(-1), accumulator(gradient.dtype)
        codes = np.empty(flat.size, np.int8)
        scales = np.empty(-(-flat.size // _BLOCK), work)
        calls = int(self._kept["calls"].get(key, 0))
        noise, shifts = self._noise(key, calls, flat.size)
        for part, shift in zip(chunks(flat.size), shifts, strict=True):
            values = flat[part].astype(work, copy=False)
            if not all_finite(values):
                return NOT_FINITE
            blocks = in_blocks(values, _BLOCK)
            scale, inverse = _scales(blocks)
            scales[part.start // _BLOCK : -(-part.stop // _BLOCK)] = scale
            levels = (blocks * inverse[:, None]).astype(np.float32, copy=False).reshape(-1)[: part.stop - part.start]
            codes[part] = _round(levels, noise[: levels.size] + shift)
        self._kept["calls"][key] = np.array(calls + 1, np.uint64)
        return Encoded((_BLOCK,), (codes.reshape(gradient.shape), scales))

    def _noise(self, key: int, calls: int, size: int) -> tuple[Array, Array]:
        """Random 16-bit numbers for a piece, and one for each piece to add to them."""
        bits = np.random.Philox(key=[self.seed % 2**64, key % 2**64], counter=[0, 0, 0, calls])
        noise = bits.random_raw(-(-min(size, CHUNK) // 4)).view(np.uint16)
        return noise, bits.random_raw(-(-size // CHUNK)).astype(np.uint16)

    def _typical(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        return (_BLOCK,)

    @classmethod
    def _layout(cls, shape: tuple[int, ...], dtype: DType, numbers: Numbers) -> Layout:
        block = block_length(numbers)
        return (("int8", shape), (accumulator(dtype).name, (-(-math.prod(shape) // block),)))

    @classmethod
    def _decode(cls, encoded: Encoded, shape: tuple[int, ...], dtype: DType) -> Array:
        codes, scales = encoded.frames
        block = block_length(encoded.numbers)
        if not (all_finite(scales) and (scales >= 0).all()):
            raise ProtocolError(f"a gradient encoded as {cls.name!r} has a scale that is negative or not finite")
        out = np.empty(shape, dtype)
        flat, codes = out.reshape(-1), codes.reshape(-1)
        for part in chunks(flat.size):
            values = in_blocks(codes[part].astype(scales.dtype), block)
            values *= scales[part.start // block : -(-part.stop // block), None]
            flat[part] = narrow(values.reshape(-1)[: part.stop - part.start], dtype)
        return out


def _scales(blocks: Array) -> tuple[Array, Array]:
    """The scale of each block, and what to multiply the block by so that no level is beyond 127."""
    limits = np.finfo(blocks.dtype)
    peaks = np.maximum.reduceat(np.abs(blocks).reshape(-1), np.arange(0, blocks.size, blocks.shape[1]))
    # A little more than a 127th, or rounding might make the largest one 128, which int8 does not have; and
    # a normal number even for a block of zeros, so that the inverse is finite.
    scales = np.maximum(peaks * blocks.dtype.type((1 + 2.0**-21) / _LEVELS), limits.tiny)
    return np.minimum(scales, limits.max / _LEVELS * blocks.dtype.type(1 - 2.0**-20)), 1 / scales


def _round(levels: Array, noise: Array) -> Array:
    """Round float32 levels down after adding a 16-bit fraction. `levels` is overwritten."""
    # As the low bits of the mantissa of 128.0 the noise is 128 + u. All sums are in [1, 256): the conversion to
    # an unsigned byte, which cuts, rounds down; and flipping its highest bit takes 128 away.
    bits = noise.astype(np.uint32)
    bits |= 0x43000000
    levels += bits.view(np.float32)
    codes = levels.astype(np.uint8)
    codes ^= 0x80
    return codes.view(np.int8)
