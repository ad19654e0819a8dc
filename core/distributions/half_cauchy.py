"""The half-Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.cauchy import Cauchy
from retrograd.distributions.elementwise_transforms import AbsTransform
from retrograd.distributions.transformed_distribution import TransformedDistribution
from retrograd.ops.factories import full
from retrograd.ops.indexing import where
from retrograd.tensor import Tensor

__all__ = ["HalfCauchy"]


class HalfCauchy(TransformedDistribution):
    """The absolute values of samples of ``Cauchy(0, scale)``.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#halfcauchy

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import HalfCauchy
    >>> HalfCauchy(2.0).cdf(retrograd.tensor(2.0))
    tensor(0.5000)
    """

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive}
    support: ClassVar[Any] = constraints.nonnegative
    has_rsample: ClassVar[Any] = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = Cauchy(0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_transformed(HalfCauchy, batch_shape, _instance)

    @property
    def scale(self) -> Tensor:
        """The width of the whole distribution."""
        return self.base_dist.scale

    def _everywhere(self, value: float) -> Tensor:
        shape = self._extended_shape()
        return full(shape, value, dtype=self.scale.dtype, device=self.scale.device)

    @property
    def mean(self) -> Tensor:
        return self._everywhere(math.inf)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    @property
    def mode(self) -> Tensor:
        return self.scale * 0

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_prob = math.log(2 / math.pi) - self.scale.log() - (value / self.scale).square().log1p()
        return where(value >= 0, log_prob, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)
