"""Student's t-distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.chi2 import Chi2
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.utils import broadcast_all
from retrograd.ops.indexing import where
from retrograd.ops.sampling import randn
from retrograd.tensor import Tensor

__all__ = ["StudentT"]


class StudentT(Distribution):
    """``loc + scale * x / sqrt(z / df)`` of a standard normal x and z from ``Chi2(df)``.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#studentt

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import StudentT
    >>> StudentT(4.0).variance
    tensor(2.)
    """

    arg_constraints: ClassVar[Any] = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support: ClassVar[Any] = constraints.real
    has_rsample: ClassVar[Any] = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(self.df.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        new = self._expand_named(StudentT, _instance, batch_shape, "df", "loc", "scale")
        new._chi2 = self._chi2.expand(batch_shape)
        return new

    @property
    def mean(self) -> Tensor:
        return where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        heavy = where(self.df > 1, math.inf, math.nan).to(self.df)
        return where(self.df > 2, self.scale.pow(2) * self.df / (self.df - 2), heavy)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        x = randn(shape, dtype=self.df.dtype, device=self.df.device)
        z = self._chi2.rsample(sample_shape)
        return self.loc + self.scale * (x * (z / self.df).rsqrt())

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        return -0.5 * (self.df + 1.0) * (y.pow(2) / self.df).log1p() - self._log_normalizer()

    def _log_normalizer(self) -> Tensor:
        half = 0.5 * self.df
        return self.scale.log() + 0.5 * (math.pi * self.df).log() + half.lgamma() - (half + 0.5).lgamma()

    def entropy(self) -> Tensor:
        half, upper = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = half.lgamma() + math.lgamma(0.5) - upper.lgamma()
        return self.scale.log() + upper * (upper.digamma() - half.digamma()) + 0.5 * self.df.log() + log_beta
