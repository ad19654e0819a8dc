"""The generalised Pareto distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.utils import broadcast_all
from retrograd.ops.indexing import where
from retrograd.ops.sampling import rand
from retrograd.tensor import Tensor

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """What exceeds a high threshold: ``P(X > x) = (1 + k z)**(-1 / k)`` with ``z = (x - loc) / scale``.

    k is `concentration`; where it is 0, the exponential distribution.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#generalizedpareto

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import GeneralizedPareto
    >>> GeneralizedPareto(0.0, 1.0, 0.5).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample: ClassVar[Any] = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_named(GeneralizedPareto, _instance, batch_shape, "loc", "scale", "concentration")

    def _exponential(self) -> Tensor:
        return self.concentration.isclose(self.concentration * 0)

    def _power(self) -> Tensor:
        """The concentration, and 1 where its limit at 0 is taken."""
        return where(self._exponential(), 1.0, self.concentration)

    def _z(self, value: Tensor) -> Tensor:
        return (value - self.loc) / self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # The density is that of the survival function times 1 / (1 + k z).
        z = self._z(value)
        return self.log_survival_function(value) - self.scale.log() - (self.concentration * z).log1p()

    def log_survival_function(self, value: Tensor) -> Tensor:
        """``log P(X > value)``."""
        if self._validate_args:
            self._validate_sample(value)
        z, k = self._z(value), self._power()
        return where(self._exponential(), -z, -(k * z).log1p() / k)

    def log_cdf(self, value: Tensor) -> Tensor:
        """``log P(X <= value)``."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        waiting, k = -(-value).log1p(), self._power()
        return self.loc + self.scale * where(self._exponential(), waiting, (k * waiting).expm1() / k)

    @property
    def mean(self) -> Tensor:
        k = self.concentration
        return where(k < 1, self.loc + self.scale / (1 - k), math.nan)

    @property
    def variance(self) -> Tensor:
        k = self.concentration
        return where(k < 0.5, self.scale.pow(2) / ((1 - k).pow(2) * (1 - 2 * k)), math.nan)

    def entropy(self) -> Tensor:
        return (self.scale.log() + self.concentration + 1).expand(self._batch_shape)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        k = self._power()
        return constraints.interval(self.loc, where(self.concentration < 0, self.loc - self.scale / k, math.inf))
