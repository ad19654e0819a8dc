"""The binomial distribution."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.odds import ProbsOrLogits, exactly_one
from retrograd.distributions.utils import broadcast_all
from retrograd.nn.functional import logsigmoid
from retrograd.ops.factories import arange
from retrograd.ops.gamma_sampling import binomial
from retrograd.tensor import Tensor

__all__ = ["Binomial"]


class Binomial(ProbsOrLogits):
    """The number of successes in `total_count` trials of probability `probs`, or of log-odds `logits`.

    ``P(k) = C(n, k) p**k (1 - p)**(n - k)``

    Raises
    ------
    ValueError
        If both parameters are given, or none.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#binomial

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Binomial
    >>> Binomial(2, probs=retrograd.tensor(0.5)).log_prob(retrograd.tensor([0.0, 1.0])).exp()
    tensor([0.2500, 0.5000])
    """

    arg_constraints: ClassVar[Any] = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support: ClassVar[Any] = True

    def __init__(
        self,
        total_count: Any = 1,
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
        return self._expanded(Binomial, _instance, batch_shape, parameters)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n, logits = self.total_count, self.logits
        choices = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return value * logits + choices + n * logsigmoid(-logits)

    def _one_count(self, method: str) -> int:
        total = int(self.total_count.max())
        if float(self.total_count.min()) != total:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{method}`.")
        return total

    def entropy(self) -> Tensor:
        self._one_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        total = self._one_count("enumerate_support")
        values = arange(1 + total, dtype=self._param.dtype, device=self._param.device)
        values = values.view((-1, *(1,) * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values
