"""Relaxed categorical distributions: points of a simplex in place of its corners."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.categorical import Categorical
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.elementwise_transforms import ExpTransform
from retrograd.distributions.transformed_distribution import TransformedDistribution
from retrograd.distributions.utils import broadcast_all, clamp_probs
from retrograd.ops.factories import full_like
from retrograd.ops.sampling import rand
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["ExpRelaxedCategorical", "RelaxedOneHotCategorical"]


class ExpRelaxedCategorical(Distribution):
    """The logarithm of `RelaxedOneHotCategorical`: ``log_softmax((logits + g) / temperature)``, g from Gumbel's.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#exprelaxedcategorical
    """

    arg_constraints: ClassVar[Any] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support: ClassVar[Any] = constraints.real_vector  # with probabilities that add up to 1, which is not checked
    has_rsample: ClassVar[Any] = True

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        parameters = {"temperature": self.temperature, "_categorical": self._categorical.expand(batch_shape)}
        return self._expanded(ExpRelaxedCategorical, _instance, batch_shape, parameters)

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._categorical.param_shape

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities of the corners."""
        return self._categorical.probs

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        uniform = clamp_probs(rand(shape, dtype=self.logits.dtype, device=self.logits.device))
        gumbel = -(-uniform.log()).log()
        scores = (self.logits + gumbel) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        n = self._categorical._num_events
        log_scale = full_like(self.temperature, math.lgamma(n)) + self.temperature.log() * (n - 1)
        return (logits - value * self.temperature).log_softmax(-1).sum(-1) + log_scale


class RelaxedOneHotCategorical(TransformedDistribution):
    """A differentiable stand-in for `OneHotCategorical`, which it becomes as `temperature` goes to 0.

    Source: Jang, Gu, Poole, "Categorical reparameterization with Gumbel-softmax", 2017.
    https://docs.pytorch.org/docs/stable/distributions.html#relaxedonehotcategorical

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import RelaxedOneHotCategorical
    >>> RelaxedOneHotCategorical(retrograd.tensor(0.5), retrograd.tensor([0.3, 0.7])).rsample().sum().round(decimals=4)
    tensor(1.)
    """

    arg_constraints: ClassVar[Any] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support: ClassVar[Any] = constraints.simplex
    has_rsample: ClassVar[Any] = True

    def __init__(
        self,
        temperature: Any,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_transformed(RelaxedOneHotCategorical, batch_shape, _instance)

    @property
    def temperature(self) -> Tensor:
        """How far it is from corners."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities of the corners."""
        return self.base_dist.probs
