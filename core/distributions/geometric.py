"""The geometric distribution."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.odds import ProbsOrLogits, exactly_one
from retrograd.distributions.utils import broadcast_all
from retrograd.dtypes import finfo
from retrograd.nn.functional import binary_cross_entropy_with_logits
from retrograd.ops.sampling import rand
from retrograd.tensor import Tensor

__all__ = ["Geometric"]


class Geometric(ProbsOrLogits):
    """The number of failures before the first success: ``P(k) = (1 - probs)**k probs``.

    Raises
    ------
    ValueError
        If both parameters are given, or none, or a probability is not positive.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#geometric

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Geometric
    >>> Geometric(0.25).mean
    tensor(3.)
    """

    arg_constraints: ClassVar[Any] = {"probs": constraints.unit_interval, "logits": constraints.real}
    support: ClassVar[Any] = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        exactly_one(probs, logits)
        (parameter,) = broadcast_all(logits if probs is None else probs)
        self._hold(*((parameter, None) if logits is None else (None, parameter)))
        super().__init__(parameter.size(), validate_args=validate_args)
        if self._validate_args and probs is not None:
            value = self.probs
            positive = value > 0
            if not bool(positive.all()):
                invalid = value[~positive]
                raise ValueError(
                    f"Expected parameter probs ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to be positive but found invalid values:\n{invalid}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expanded(Geometric, _instance, batch_shape, self._given(batch_shape))

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return self.probs * 0

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            noise = rand(shape, dtype=self.probs.dtype, device=self.probs.device)
            noise = noise.clamp(min=finfo(self.probs.dtype).tiny)
            return (noise.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        # log1p(-p) is -inf at p = 1, where zero failures are certain.
        certain = (probs == 1) & (value == 0)
        return value * (-probs).masked_fill(certain, 0).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
