"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.gamma import Gamma
from retrograd.distributions.odds import ProbsOrLogits, exactly_one
from retrograd.distributions.utils import broadcast_all, lazy_property
from retrograd.nn.functional import logsigmoid
from retrograd.ops.sampling import poisson
from retrograd.tensor import Tensor

__all__ = ["NegativeBinomial"]


class NegativeBinomial(ProbsOrLogits):
    """The number of successes, of probability `probs`, before `total_count` failures.

    ``P(k) = gamma(n + k) / (k! gamma(n)) (1 - p)**n p**k``

    Raises
    ------
    ValueError
        If both parameters are given, or none.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#negativebinomial

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import NegativeBinomial
    >>> NegativeBinomial(3, probs=retrograd.tensor(0.5)).mean
    tensor(3.)
    """

    arg_constraints: ClassVar[Any] = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support: ClassVar[Any] = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        exactly_one(probs, logits)
        self.total_count, parameter = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = self.total_count.type_as(parameter)
        self._hold(*((parameter, None) if logits is None else (None, parameter)))
        super().__init__(parameter.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        parameters = {"total_count": self.total_count.expand(batch_shape), **self._given(batch_shape)}
        return self._expanded(NegativeBinomial, _instance, batch_shape, parameters)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    @lazy_property
    def _gamma(self) -> Gamma:
        """What the rates of a Poisson distribution are drawn from; without checks, which have been made."""
        return Gamma(self.total_count, (-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        unnormalized = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        normalization = -(n + value).lgamma() + (1.0 + value).lgamma() + n.lgamma()
        # Nothing can be counted where no failure is waited for: lgamma is infinite there.
        normalization = normalization.masked_fill(n + value == 0.0, 0.0)
        return unnormalized - normalization
