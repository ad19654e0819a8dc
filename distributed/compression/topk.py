"""The codec that sends the largest numbers."""

from __future__ import annotations

import math
from typing import ClassVar, Self

import numpy as np

from ..errors import ProtocolError
from .arrays import Array, DType, all_finite, narrow
from .codec import Encoded, Layout, Numbers, only_integer
from .feedback import ErrorFeedback

__all__ = ["TopK"]

_SPAN = 1 << 16  # elements that a 16-bit place can tell apart
_SAMPLE = 1 << 14


class TopK(ErrorFeedback):
    r"""The :math:`k` numbers of largest magnitude, and where they are.

    .. math:: \hat x_i = x_i \text{ if } |x_i| \text{ is among the } k \text{ largest, else } 0,
              \qquad k = \max(1, \mathrm{round}(\text{fraction} \cdot n)).

    The rest waits in the residual until it has grown large enough: :math:`\lVert x - \hat x\rVert^2 \le (1 - k / n)
    \lVert x\rVert^2`. The choice is exact; among equal magnitudes it is arbitrary, and always the same. Zeros are
    not sent, so a gradient with fewer other numbers takes fewer bytes.

    Frames: how many of the numbers are in each run of 65536 places (uint32), the places within their run in
    ascending order (uint16), and the numbers in the gradient's dtype: 6 bytes each for float32. If the gradient
    or its sum with the residual is not finite, that is announced instead.

    Deep Gradient Compression adds, in the worker's optimizer, momentum correction and a warm-up of the fraction,
    which make 0.001 possible. They are not part of the codec.

    Parameters
    ----------
    fraction
        Part of the numbers that is sent, above 0 and at most 1.

    Notes
    -----
    As in the paper, a sample of 16384 magnitudes gives a threshold that somewhat more than :math:`k` numbers
    reach; only these are ranked. Should fewer reach it, all are.

    References
    ----------
    Lin, Han, Mao, Wang, Dally, *Deep Gradient Compression: Reducing the Communication Bandwidth for Distributed
    Training*, ICLR 2018, https://arxiv.org/abs/1712.01887. Convergence: Stich, Cordonnier, Jaggi, *Sparsified SGD
    with Memory*, NeurIPS 2018, https://arxiv.org/abs/1809.07599.

    Examples
    --------
    >>> codec, gradient = TopK(0.4), np.array([0.5, -4.0, 1.0, 0.0, 1.5], np.float32)
    >>> for _ in range(2):
    ...     codec.decode(codec.encode(0, gradient), (5,), "float32")
    array([ 0. , -4. ,  0. ,  0. ,  1.5], dtype=float32)
    array([ 0., -4.,  2.,  0.,  0.], dtype=float32)
    >>> round(TopK(0.01).ratio((1024, 1024), "float32"), 2)
    66.6
    """

    name: ClassVar[str] = "topk"

    def __init__(self, fraction: float = 0.01, *, feedback: bool = True) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(f"the fraction of numbers to send must be above 0 and at most 1, and not {fraction}")
        super().__init__(feedback=feedback)
        self.fraction = float(fraction)

    @property
    def spec(self) -> str:
        return f"{self.name}:{self.fraction!r}"

    @classmethod
    def parse(cls, argument: str | None, seed: int) -> Self:
        if argument is None:
            return cls()
        try:
            return cls(float(argument))
        except ValueError:
            raise ValueError(f"'{cls.name}:' goes before a fraction from 0 to 1, not before {argument!r}") from None

    def _compress(self, key: int, total: Array, dtype: DType) -> Encoded:
        flat = total.reshape(-1)
        places = _largest(np.abs(flat), self._count(flat.size))
        numbers = narrow(flat[places], dtype)
        flat[places] -= numbers
        counts = np.bincount(places // _SPAN, minlength=-(-flat.size // _SPAN))
        return Encoded((places.size,), (counts.astype(np.uint32), (places % _SPAN).astype(np.uint16), numbers))

    def _count(self, size: int) -> int:
        return min(size, max(1, round(self.fraction * size)))

    def _typical(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        return (self._count(math.prod(shape)),)

    @classmethod
    def _layout(cls, shape: tuple[int, ...], dtype: DType, numbers: Numbers) -> Layout:
        size = math.prod(shape)
        count = only_integer(numbers, 0, size, "count of numbers")
        return (("uint32", (-(-size // _SPAN),)), ("uint16", (count,)), (dtype.name, (count,)))

    @classmethod
    def _decode(cls, encoded: Encoded, shape: tuple[int, ...], dtype: DType) -> Array:
        counts, places, numbers = encoded.frames
        size = math.prod(shape)
        if int(counts.sum(dtype=np.uint64)) != places.size:
            raise ProtocolError(f"{places.size} places came, and the counts of their runs add up to another number")
        if not all_finite(numbers):
            raise ProtocolError(f"a gradient encoded as {cls.name!r} holds NaN or an infinity")
        out = np.zeros(shape, dtype)
        flat, stop = out.reshape(-1), 0
        for run in np.flatnonzero(counts):
            start, stop = stop, stop + int(counts[run])
            inside, base = places[start:stop], int(run) * _SPAN
            if not (inside[1:] > inside[:-1]).all() or base + int(inside[-1]) >= size:
                raise ProtocolError("places must be in ascending order, each once, and within the gradient")
            flat[base : base + _SPAN][inside] = numbers[start:stop]
        return out


def _largest(magnitudes: Array, count: int) -> Array:
    """Where the `count` largest of some magnitudes are, in ascending order; fewer if the rest is zero."""
    places = np.flatnonzero(magnitudes >= _threshold(magnitudes, count))
    if places.size < count:
        places = np.flatnonzero(magnitudes)
    if places.size <= count:
        return places
    kept = np.zeros(places.size, np.bool_)
    kept[np.argpartition(magnitudes[places], places.size - count)[places.size - count :]] = True
    return places[kept]


def _threshold(magnitudes: Array, count: int) -> float:
    """A magnitude that, going by a sample, somewhat more than `count` elements reach; above zero."""
    tiny = float(np.finfo(magnitudes.dtype).smallest_subnormal)
    if magnitudes.size <= 2 * _SAMPLE:
        return tiny
    sample = magnitudes[:: magnitudes.size // _SAMPLE]
    expected = sample.size * count / magnitudes.size
    # Three standard deviations of how many of the sample are among the `count` largest.
    rank = sample.size - math.ceil(expected + 3 * math.sqrt(expected) + 1)
    return max(float(np.partition(sample, rank)[rank]), tiny) if rank > 0 else tiny
