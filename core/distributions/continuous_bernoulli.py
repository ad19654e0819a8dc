"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.exp_family import ExponentialFamily
from retrograd.distributions.odds import ProbsOrLogits, exactly_one
from retrograd.distributions.utils import broadcast_all, clamp_probs
from retrograd.nn.functional import binary_cross_entropy_with_logits
from retrograd.ops.indexing import where
from retrograd.ops.sampling import rand
from retrograd.tensor import Tensor

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """Numbers from [0, 1]: ``p(x) = C(probs) probs**x (1 - probs)**(1 - x)``.

    ``C(p) = 2 atanh(1 - 2 p) / (1 - 2 p)``; where p lies within `lims` the quotients are 0 / 0 or nearly so, and are
    replaced by the beginning of their series about 1 / 2.

    Raises
    ------
    ValueError
        If both parameters are given, or none.

    Source: Loaiza-Ganem, Cunningham, "The continuous Bernoulli", 2019.
    https://docs.pytorch.org/docs/stable/distributions.html#continuousbernoulli

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import ContinuousBernoulli
    >>> ContinuousBernoulli(0.5).cdf(retrograd.tensor([0.25, 0.75]))
    tensor([0.2500, 0.7500])
    """

    arg_constraints: ClassVar[Any] = {"probs": constraints.unit_interval, "logits": constraints.real}
    support: ClassVar[Any] = constraints.unit_interval
    has_rsample: ClassVar[Any] = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        exactly_one(probs, logits)
        (parameter,) = broadcast_all(logits if probs is None else probs)
        if probs is not None:
            if validate_args is not None and not bool(constraints.unit_interval.check(parameter).all()):
                raise ValueError("The parameter probs has invalid values")
            self._hold(clamp_probs(parameter), None)
        else:
            self._hold(None, parameter)
        self._lims = lims
        super().__init__(parameter.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        parameters = {"_lims": self._lims, **self._given(batch_shape)}
        return self._expanded(ContinuousBernoulli, _instance, batch_shape, parameters)

    def _outside_unstable_region(self) -> Tensor:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self) -> Tensor:
        """The probabilities, and in the unstable region its lower end."""
        return where(self._outside_unstable_region(), self.probs, self._lims[0])

    def _apart(self, exact: Tensor, near: Tensor) -> Tensor:
        """The exact formula outside of the unstable region, the series within."""
        return where(self._outside_unstable_region(), exact, near)

    def _cont_bern_log_norm(self) -> Tensor:
        """``log C(probs)``."""
        cut = self._cut_probs()
        numerator = ((-cut).log1p() - cut.log()).abs().log()  # log |2 atanh(1 - 2 p)|
        # The arguments of the logarithms are made harmless where the other branch is taken.
        below = where(cut <= 0.5, cut, 0.0)
        above = where(cut >= 0.5, cut, 1.0)
        denominator = where(cut <= 0.5, (-2.0 * below).log1p(), (2.0 * above - 1.0).log())
        x = (self.probs - 0.5).pow(2)
        return self._apart(numerator - denominator, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Tensor:
        cut = self._cut_probs()
        exact = cut / (2.0 * cut - 1.0) + 1.0 / ((-cut).log1p() - cut.log())
        x = self.probs - 0.5
        return self._apart(exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x)

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    @property
    def variance(self) -> Tensor:
        cut = self._cut_probs()
        exact = cut * (cut - 1.0) / (1.0 - 2.0 * cut).pow(2) + 1.0 / ((-cut).log1p() - cut.log()).pow(2)
        x = (self.probs - 0.5).pow(2)
        return self._apart(exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        coins = -binary_cross_entropy_with_logits(logits, value, reduction="none")
        return coins + self._cont_bern_log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        cut = self._cut_probs()
        exact = (cut.pow(value) * (1.0 - cut).pow(1.0 - value) + cut - 1.0) / (2.0 * cut - 1.0)
        inside = self._apart(exact, value)
        return where(value <= 0.0, 0.0, where(value >= 1.0, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        cut = self._cut_probs()
        exact = ((-cut + value * (2.0 * cut - 1.0)).log1p() - (-cut).log1p()) / (cut.log() - (-cut).log1p())
        return self._apart(exact, value)

    def entropy(self) -> Tensor:
        log_rest = (-self.probs).log1p()
        return self.mean * (log_rest - self.probs.log()) - self._cont_bern_log_norm() - log_rest

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        """``log |exp(x) - 1| - log |x|``, by its series about 0."""
        outside = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = where(outside, x, (self._lims[0] - 0.5) * x.new_ones(x.shape))
        exact = (cut.exp() - 1).abs().log() - cut.abs().log()
        return where(outside, exact, 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0)
