"""Relaxed Bernoulli distributions: numbers between 0 and 1 in place of coins."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.elementwise_transforms import SigmoidTransform
from retrograd.distributions.odds import ProbsOrLogits, exactly_one
from retrograd.distributions.transformed_distribution import TransformedDistribution
from retrograd.distributions.utils import broadcast_all, clamp_probs
from retrograd.ops.sampling import rand
from retrograd.tensor import Tensor

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class LogitRelaxedBernoulli(ProbsOrLogits):
    """The log-odds of `RelaxedBernoulli`: ``(logits + log(u / (1 - u))) / temperature`` of a uniform u.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#logitrelaxedbernoulli
    """

    arg_constraints: ClassVar[Any] = {"probs": constraints.unit_interval, "logits": constraints.real}
    support: ClassVar[Any] = constraints.real
    has_rsample: ClassVar[Any] = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self.temperature = temperature
        exactly_one(probs, logits)
        (parameter,) = broadcast_all(logits if probs is None else probs)
        self._hold(*((parameter, None) if logits is None else (None, parameter)))
        super().__init__(parameter.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        parameters = {"temperature": self.temperature, **self._given(batch_shape)}
        return self._expanded(LogitRelaxedBernoulli, _instance, batch_shape, parameters)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        noise = clamp_probs(rand(shape, dtype=probs.dtype, device=probs.device))
        logistic = noise.log() - (-noise).log1p()
        return (logistic + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        distance = logits - value * self.temperature
        return self.temperature.log() + distance - 2 * distance.exp().log1p()


class RelaxedBernoulli(TransformedDistribution):
    """A differentiable stand-in for `Bernoulli`, which it becomes as `temperature` goes to 0.

    Source: Maddison, Mnih, Teh, "The concrete distribution", 2017.
    https://docs.pytorch.org/docs/stable/distributions.html#relaxedbernoulli

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import RelaxedBernoulli
    >>> x = RelaxedBernoulli(retrograd.tensor(0.5), 0.3).rsample((4,))
    >>> bool(((x > 0) & (x < 1)).all())
    True
    """

    arg_constraints: ClassVar[Any] = {"probs": constraints.unit_interval, "logits": constraints.real}
    support: ClassVar[Any] = constraints.unit_interval
    has_rsample: ClassVar[Any] = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_transformed(RelaxedBernoulli, batch_shape, _instance)

    @property
    def temperature(self) -> Tensor:
        """How far it is from coins."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The log-odds."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self.base_dist.probs
