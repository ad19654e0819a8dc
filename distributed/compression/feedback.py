"""Error feedback: what a lossy encoding leaves out of one gradient is added to the next."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from .arrays import Array, DType, accumulator, all_finite
from .codec import NOT_FINITE, Codec, Encoded

__all__ = ["ErrorFeedback"]


class ErrorFeedback(Codec):
    r"""Base of the codecs whose error is biased, and which would not converge if it were lost.

    For each key a residual :math:`e` is kept, zero at first. With the encoding :math:`C` and gradients :math:`g`,

    .. math:: p_t = g_t + e_t, \qquad \text{send } C(p_t), \qquad e_{t+1} = p_t - C(p_t),

    so that after every step what has arrived is what should have, less the residual:
    :math:`\sum_{s \le t} C(p_s) = \sum_{s \le t} g_s - e_{t+1}`, up to the rounding of these sums. For an encoding
    that shortens, :math:`\lVert p - C(p)\rVert^2 \le (1 - \delta)\lVert p\rVert^2`, the residual stays below
    :math:`2\sqrt{1 - \delta}\,/\,\delta` times the largest gradient's norm (Lemma 3 of the paper), and SGD
    converges at the rate it has without compression.

    Residuals are float32, or float64 for gradients of that, so they also return what rounding to half precision
    takes away. They cost a worker one more copy of its gradients.

    A gradient that is not finite, or becomes so when the residual is added, is announced as such and leaves
    the residual as it was.

    Parameters
    ----------
    feedback
        Whether residuals are kept. Without them the bias stays: for comparison, not for use.

    References
    ----------
    Karimireddy, Rebjock, Stich, Jaggi, *Error Feedback Fixes SignSGD and other Gradient Compression Schemes*,
    ICML 2019, https://arxiv.org/abs/1901.09847. The idea is of Seide et al., Interspeech 2014.
    """

    keeps: ClassVar[tuple[str, ...]] = ("residual",)

    def __init__(self, *, feedback: bool = True) -> None:
        super().__init__()
        self.feedback = feedback

    def _encode(self, key: int, gradient: Array) -> Encoded:
        total = self._total(key, gradient)
        if not all_finite(total):
            return NOT_FINITE
        encoded = self._compress(key, total, gradient.dtype)
        if self.feedback and encoded is not NOT_FINITE:
            self._kept["residual"][key] = total
        return encoded

    def _total(self, key: int, gradient: Array) -> Array:
        """Gradient and residual, in a new array."""
        dtype = accumulator(gradient.dtype)
        residual = self._recall("residual", key, gradient.shape, dtype)
        if residual is None:
            return gradient.astype(dtype)
        if gradient.dtype == dtype:
            return np.asarray(np.add(gradient, residual))
        total = gradient.astype(dtype)
        total += residual
        return total

    @abstractmethod
    def _compress(self, key: int, total: Array, dtype: DType) -> Encoded:
        """Encode `total`, a finite array of the accumulator's dtype, and leave in it what the encoding does not say.

        `dtype` is the gradient's. Where no encoding is possible, this returns `NOT_FINITE`.
        """
