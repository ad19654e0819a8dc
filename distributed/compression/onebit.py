"""The codec that sends signs."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ..errors import ProtocolError
from .arrays import Array, DType, all_finite, chunks, narrow
from .blocks import block_length, in_blocks
from .codec import Encoded, Layout, Numbers
from .feedback import ErrorFeedback

__all__ = ["OneBit"]

_BLOCK = 1024


class OneBit(ErrorFeedback):
    r"""One bit for each number, and two numbers for each 1024: the mean of the positive and of the negative ones.

    With :math:`P` the places of a block that are positive (or zero) and :math:`N` those that are negative,

    .. math:: \hat x_i = \frac{1}{|P|} \sum_{j \in P} x_j \quad (i \in P), \qquad
              \hat x_i = \frac{1}{|N|} \sum_{j \in N} x_j \quad (i \in N),

    which are the two values with the least squared error for these signs. What is lost, most of it, is returned
    by error feedback. The means are sent in the gradient's dtype, and the residual is against the means as sent.
    1-bit SGD has the means of a column; blocks are as good for a matrix of any shape, and for a vector.

    The bits are packed with the lowest of a byte first, and set where the sign is negative. If the gradient or
    its sum with the residual is not finite, that is announced instead.

    References
    ----------
    Seide, Fu, Droppo, Li, Yu, *1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed
    Training of Speech DNNs*, Interspeech 2014, https://doi.org/10.21437/Interspeech.2014-274.

    Examples
    --------
    >>> codec, gradient = OneBit(), np.array([3.0, 1.0, -1.0, 0.0, -5.0], np.float32)
    >>> codec.decode(codec.encode(0, gradient), (5,), "float32")
    array([ 1.3333334,  1.3333334, -3.       ,  1.3333334, -3.       ],
          dtype=float32)
    >>> codec.state_dict()["residual.0"]
    array([ 1.6666666 , -0.33333337,  2.        , -1.3333334 , -2.        ],
          dtype=float32)
    >>> round(codec.ratio((1024, 1024), "float32"), 2)
    30.12
    """

    name: ClassVar[str] = "1bit"

    def _compress(self, key: int, total: Array, dtype: DType) -> Encoded:
        flat = total.reshape(-1)
        bits = np.empty(-(-flat.size // 8), np.uint8)
        means = np.empty((-(-flat.size // _BLOCK), 2), dtype)
        for part in chunks(flat.size):
            values = flat[part]
            negative = np.signbit(values)
            packed = np.packbits(negative, bitorder="little")
            bits[part.start // 8 : -(-part.stop // 8)] = packed
            mean = narrow(_means(values, negative, packed), dtype)
            means[part.start // _BLOCK : -(-part.stop // _BLOCK)] = mean
            values -= _spread(negative, mean.astype(total.dtype, copy=False), _BLOCK)
        return Encoded((_BLOCK,), (bits, means))

    def _typical(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        return (_BLOCK,)

    @classmethod
    def _layout(cls, shape: tuple[int, ...], dtype: DType, numbers: Numbers) -> Layout:
        size, block = math.prod(shape), block_length(numbers)
        return (("uint8", (-(-size // 8),)), (dtype.name, (-(-size // block), 2)))

    @classmethod
    def _decode(cls, encoded: Encoded, shape: tuple[int, ...], dtype: DType) -> Array:
        bits, means = encoded.frames
        block = block_length(encoded.numbers)
        if not (all_finite(means) and (means[:, 0] >= 0).all() and (means[:, 1] <= 0).all()):
            raise ProtocolError(f"a gradient encoded as {cls.name!r} has a mean of the wrong sign, or not finite")
        out = np.empty(shape, dtype)
        flat = out.reshape(-1)
        for part in chunks(flat.size):
            packed = bits[part.start // 8 : -(-part.stop // 8)]
            negative = np.unpackbits(packed, count=part.stop - part.start, bitorder="little")
            flat[part] = _spread(negative, means[part.start // block : -(-part.stop // block)], block)
        return out


def _means(values: Array, negative: Array, packed: Array) -> Array:
    """For each block the mean of the numbers without a sign, and of those with; zero where there are none."""
    blocks, signs = in_blocks(values, _BLOCK), in_blocks(negative.astype(values.dtype), _BLOCK)
    counts = np.empty((len(blocks), 2), np.int64)
    counts[:, 1] = np.bitwise_count(in_blocks(packed, _BLOCK // 8)).sum(axis=1)
    counts[:, 0] = _BLOCK - counts[:, 1]
    counts[-1, 0] -= -values.size % _BLOCK
    counts = np.maximum(counts, 1)
    means = _sums(blocks, signs) / counts.astype(values.dtype)
    if not all_finite(means):  # the sum is too large, and the mean is not
        means = _sums(blocks / _BLOCK, signs) * (_BLOCK / counts).astype(values.dtype)
    return means


def _sums(blocks: Array, signs: Array) -> Array:
    # Products of rows with ones and zeros are several times faster than sums of a maximum with zero. Neither sum
    # is had by subtraction, which would leave a rounding error of the larger in the smaller.
    return np.stack([np.vecdot(blocks, 1 - signs), np.vecdot(blocks, signs)], axis=1)


def _spread(negative: Array, means: Array, block: int) -> Array:
    """To each element one of its block's means: the second where `negative` is one."""
    # A choice between two bit patterns is exact and, as three integer operations, far faster than `np.where`.
    unsigned = np.dtype(f"uint{8 * means.itemsize}")
    patterns = means.view(unsigned)
    chosen = in_blocks(negative.astype(unsigned), block)
    chosen *= patterns[:, :1] ^ patterns[:, 1:]
    chosen ^= patterns[:, :1]
    return chosen.view(means.dtype).reshape(-1)[: negative.size]
