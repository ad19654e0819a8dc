"""The codec that sends a matrix as the product of two thin ones."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from ..errors import ProtocolError
from .arrays import CHUNK, Array, DType, accumulator, all_finite, narrow
from .codec import NOT_FINITE, Encoded, Layout, Numbers, only_integer
from .feedback import ErrorFeedback

__all__ = ["PowerSGD"]


class PowerSGD(ErrorFeedback):
    r"""A matrix of rank :math:`r` near the gradient, found by one step of power iteration.

    For an :math:`m \times n` gradient with its residual, :math:`M`, and the :math:`Q` of the last step, both made
    orthonormal by a QR decomposition,

    .. math:: \hat P = \mathrm{orth}(M\, \mathrm{orth}(Q)), \qquad Q' = M^\top \hat P, \qquad
              \hat M = \hat P Q'^\top = \hat P \hat P^\top M.

    :math:`\hat P` and :math:`Q'` are sent, :math:`r (m + n)` numbers, and :math:`Q'` is kept: because it is where
    the next step starts, the steps of training make up the iterations that one step leaves out. :math:`\hat M` is
    a projection of :math:`M`, so it is never longer, and the residual returns the rest. The first :math:`Q` is
    Gaussian, a function of the seed and the key.

    A vector, or a matrix that the factors would not make smaller, is sent as it is. The factors of float16 and
    bfloat16 gradients are float32. If the gradient, its sum with the residual or a factor is not finite, that is
    announced instead.

    Unlike in the paper's all-reduce, each worker's gradient is factored by itself, and the server adds up the
    products.

    Parameters
    ----------
    rank
        Columns of the factors, at least 1.
    seed
        Of the first `Q`.

    References
    ----------
    Vogels, Karimireddy, Jaggi, *PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization*,
    NeurIPS 2019, https://arxiv.org/abs/1905.13727.

    Examples
    --------
    >>> codec, gradient = PowerSGD(1), np.outer(np.arange(8.0), [1.0, -1.0, 2.0])
    >>> encoded = codec.encode(0, gradient)
    >>> [frame.shape for frame in encoded.frames]
    [(8, 1), (3, 1)]
    >>> bool(np.allclose(codec.decode(encoded, (8, 3), "float64"), gradient))
    True
    >>> PowerSGD(2).ratio((1024, 1024), "float32"), PowerSGD(2).ratio((1024,), "float32")
    (256.0, 1.0)
    """

    name: ClassVar[str] = "powersgd"
    keeps: ClassVar[tuple[str, ...]] = ("residual", "factor")

    def __init__(self, rank: int = 2, *, feedback: bool = True, seed: int = 0) -> None:
        if rank < 1:
            raise ValueError(f"the rank must be at least 1, and not {rank}")
        super().__init__(feedback=feedback)
        self.rank = rank
        self.seed = seed

    @property
    def spec(self) -> str:
        return f"{self.name}:{self.rank}"

    @classmethod
    def parse(cls, argument: str | None, seed: int) -> Self:
        try:
            return cls(2 if argument is None else int(argument), seed=seed)
        except ValueError:
            raise ValueError(f"'{cls.name}:' goes before a rank of at least 1, not before {argument!r}") from None

    def _encode(self, key: int, gradient: Array) -> Encoded:
        if not _shrinks(gradient.shape, gradient.dtype, self.rank):
            return Encoded((0,), (gradient,))
        return super()._encode(key, gradient)

    def _compress(self, key: int, total: Array, dtype: DType) -> Encoded:
        left, _ = np.linalg.qr(total @ self._start(key, total.shape[1], total.dtype))
        right = total.T @ left
        if not (all_finite(left) and all_finite(right)):
            return NOT_FINITE
        left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
        for rows in _row_chunks(total.shape):
            total[rows] -= narrow(_product(left[rows], right), dtype)
        self._kept["factor"][key] = right
        return Encoded((self.rank,), (left, right))

    def _start(self, key: int, columns: int, dtype: DType) -> Array:
        """Orthonormal columns for the power iteration to start from."""
        factor = self._recall("factor", key, (columns, self.rank), dtype)
        if factor is None:
            bits = np.random.Philox(key=[self.seed % 2**64, key % 2**64])
            factor = np.random.Generator(bits).standard_normal((columns, self.rank)).astype(dtype)
        return np.linalg.qr(factor)[0]

    def _typical(self, shape: tuple[int, ...], dtype: DType) -> Numbers:
        return (self.rank if _shrinks(shape, dtype, self.rank) else 0,)

    @classmethod
    def _layout(cls, shape: tuple[int, ...], dtype: DType, numbers: Numbers) -> Layout:
        rank = only_integer(numbers, 0, 2**31, "rank")
        if rank == 0:
            return ((dtype.name, shape),)
        if not _shrinks(shape, dtype, rank):
            raise ProtocolError(f"factors of rank {rank} do not make a gradient of shape {shape} smaller")
        factor = accumulator(dtype).name
        return ((factor, (shape[0], rank)), (factor, (shape[1], rank)))

    @classmethod
    def _decode(cls, encoded: Encoded, shape: tuple[int, ...], dtype: DType) -> Array:
        if len(encoded.frames) == 1:
            return encoded.frames[0]
        left, right = encoded.frames
        if not (all_finite(left) and all_finite(right)):
            raise ProtocolError(f"a gradient encoded as {cls.name!r} has a factor that is not finite")
        out = np.empty(shape, dtype)
        for rows in _row_chunks(shape):
            out[rows] = narrow(_product(left[rows], right), dtype)
        return out


def _shrinks(shape: tuple[int, ...], dtype: DType, rank: int) -> bool:
    """Whether the two factors are fewer bytes than the matrix."""
    if len(shape) != 2:
        return False
    return rank * (shape[0] + shape[1]) * accumulator(dtype).itemsize < shape[0] * shape[1] * dtype.itemsize


def _row_chunks(shape: tuple[int, ...]) -> list[slice]:
    """Pieces of some rows each. Both sides multiply the same ones, so that they round in the same way."""
    step = max(1, CHUNK // shape[1])
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def _product(left: Array, right: Array) -> Array:
    # NumPy has no fast way for a product over an inner dimension of one.
    return left * right.T if left.shape[1] == 1 else left @ right.T
