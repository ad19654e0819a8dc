"""The Poisson distribution."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.exp_family import ExponentialFamily
from retrograd.distributions.utils import broadcast_all
from retrograd.ops.sampling import poisson
from retrograd.tensor import Tensor

__all__ = ["Poisson"]


class Poisson(ExponentialFamily):
    """The number of events that happen at a mean `rate`: ``P(k) = rate**k exp(-rate) / k!``.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#poisson

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Poisson
    >>> Poisson(2.0).log_prob(retrograd.tensor([0.0, 1.0])).exp()
    tensor([0.1353, 0.2707])
    """

    arg_constraints: ClassVar[Any] = {"rate": constraints.nonnegative}
    support: ClassVar[Any] = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_named(Poisson, _instance, batch_shape, "rate")

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return value.xlogy(rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.rate.log(),)

    def _log_normalizer(self, x: Tensor) -> Tensor:
        return x.exp()
