"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.categorical import Categorical
from retrograd.distributions.constraints import MixtureSameFamilyConstraint
from retrograd.distributions.distribution import Distribution
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """``p(x) = sum_k P(k) p_k(x)``: the last batch dimension of the components is chosen from by the mixture.

    Raises
    ------
    ValueError
        If the mixture is no `Categorical`, or batches do not fit.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#mixturesamefamily

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Categorical, MixtureSameFamily, Normal
    >>> weights = Categorical(retrograd.tensor([1.0, 3.0]))
    >>> MixtureSameFamily(weights, Normal(retrograd.tensor([0.0, 4.0]), 1.0)).mean
    tensor(3.)
    """

    arg_constraints: ClassVar[Any] = {}
    has_rsample: ClassVar[Any] = False

    def __init__(
        self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None
    ) -> None:
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        self._check_parts()
        self._num_component = component_distribution.batch_shape[-1]
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(
            component_distribution.batch_shape[:-1], component_distribution.event_shape, validate_args=validate_args
        )

    def _check_parts(self) -> None:
        mixture, components = self._mixture_distribution, self._component_distribution
        if not isinstance(mixture, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of retrograd.distributions.Categorical"
            )
        if not isinstance(components, Distribution):
            raise ValueError(
                "The Component distribution needs to be an instance of retrograd.distributions.Distribution"
            )
        own, other = mixture.batch_shape, components.batch_shape[:-1]
        for i, j in zip(reversed(own), reversed(other), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({own}) is not compatible with "
                    f"`component_distribution.batch_shape`({other})"
                )
        chosen, present = mixture.logits.shape[-1], components.batch_shape[-1]
        if chosen != present:
            raise ValueError(
                f"`mixture_distribution component` ({chosen}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({present})"
            )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        shape = Size(batch_shape)
        parameters = {
            "_mixture_distribution": self._mixture_distribution.expand(shape),
            "_component_distribution": self._component_distribution.expand((*shape, self._num_component)),
            "_num_component": self._num_component,
            "_event_ndims": self._event_ndims,
        }
        event_shape = parameters["_component_distribution"].event_shape
        return self._expanded(MixtureSameFamily, _instance, shape, parameters, event_shape)

    @constraints.dependent_property
    def support(self) -> Any:
        return MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """What chooses the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Any:
        """The components."""
        return self._component_distribution

    def _pad(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1 - self._event_ndims)

    def _pad_mixture_dimensions(self, x: Tensor) -> Tensor:
        """Dimensions for the components' batch, and for their events, in a tensor of the mixture's shape."""
        own, others = len(self._mixture_distribution.batch_shape), len(self.batch_shape)
        missing = 0 if own == others else others - own
        lead, last = x.shape[:-1], x.shape[-1:]
        return x.reshape((*lead, *(1,) * missing, *last, *(1,) * self._event_ndims))

    @property
    def mean(self) -> Tensor:
        probs = self._pad_mixture_dimensions(self._mixture_distribution.probs)
        return (probs * self._component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self) -> Tensor:
        probs, axis = self._pad_mixture_dimensions(self._mixture_distribution.probs), -1 - self._event_ndims
        within = (probs * self._component_distribution.variance).sum(axis)
        apart = (self._component_distribution.mean - self._pad(self.mean)).pow(2.0)
        return within + (probs * apart).sum(axis)

    def cdf(self, value: Tensor) -> Tensor:
        parts = self._component_distribution.cdf(self._pad(value))
        return (parts * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        parts = self._component_distribution.log_prob(self._pad(value))
        return (parts + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            shape = Size(sample_shape)
            axis = len(shape) + len(self.batch_shape)
            drawn = self._component_distribution.sample(shape)
            chosen = self._mixture_distribution.sample(shape)
            own = (*shape, *(1,) * (len(self.batch_shape) + len(shape) - chosen.dim()), *chosen.shape[len(shape) :])
            chosen = chosen.reshape((*own, *(1,) * (self._event_ndims + 1)))
            chosen = chosen.expand((*shape, *self.batch_shape, 1, *self.event_shape))
            return drawn.gather(axis, chosen).squeeze(axis)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
