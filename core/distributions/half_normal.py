"""The half-normal distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.elementwise_transforms import AbsTransform
from retrograd.distributions.normal import Normal
from retrograd.distributions.transformed_distribution import TransformedDistribution
from retrograd.ops.indexing import where
from retrograd.tensor import Tensor

__all__ = ["HalfNormal"]


class HalfNormal(TransformedDistribution):
    """The absolute values of samples of ``Normal(0, scale)``.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#halfnormal

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import HalfNormal
    >>> HalfNormal(1.0).icdf(retrograd.tensor(0.5))
    tensor(0.6745)
    """

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive}
    support: ClassVar[Any] = constraints.nonnegative
    has_rsample: ClassVar[Any] = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_transformed(HalfNormal, batch_shape, _instance)

    @property
    def scale(self) -> Tensor:
        """The width of the whole distribution."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (1 - 2 / math.pi)

    @property
    def mode(self) -> Tensor:
        return self.scale * 0

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_prob = self.base_dist.log_prob(value) + math.log(2)
        return where(value >= 0, log_prob, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)
