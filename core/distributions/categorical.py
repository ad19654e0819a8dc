"""The categorical distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.odds import ProbsOrLogits, exactly_one
from retrograd.dtypes import finfo, int64
from retrograd.ops.factories import arange, full
from retrograd.ops.sampling import multinomial
from retrograd.ops.shape import broadcast_tensors
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["Categorical"]


class Categorical(ProbsOrLogits):
    """The numbers 0 to K - 1 with the probabilities along the last dimension of `probs`, or of ``exp(logits)``.

    Either is normalised.

    Raises
    ------
    ValueError
        If both parameters are given, or none, or one without dimensions.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#categorical

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Categorical
    >>> Categorical(retrograd.tensor([1.0, 3.0])).log_prob(retrograd.tensor([0, 1])).exp()
    tensor([0.2500, 0.7500])
    """

    arg_constraints: ClassVar[Any] = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _is_binary = False

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        exactly_one(probs, logits)
        if probs is not None:
            if probs.dim() < 1:
                raise ValueError("`probs` parameter must be at least one-dimensional.")
            self._hold(probs / probs.sum(-1, keepdim=True), None)
        elif logits is not None:
            if logits.dim() < 1:
                raise ValueError("`logits` parameter must be at least one-dimensional.")
            self._hold(None, logits - logits.logsumexp(-1, keepdim=True))
        self._num_events = self._param.size(-1)
        super().__init__(self._param.size()[:-1], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        parameters: dict[str, Any] = self._given((*batch_shape, self._num_events))
        parameters["_num_events"] = self._num_events
        return self._expanded(Categorical, _instance, batch_shape, parameters)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    def _nan(self) -> Tensor:
        return full(self._extended_shape(), math.nan, dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mean(self) -> Tensor:
        return self._nan()

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(dim=-1)

    @property
    def variance(self) -> Tensor:
        return self._nan()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        sample_shape = Size(sample_shape)
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn = multinomial(rows, sample_shape.numel(), True).T
            return drawn.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        places, logits = broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, places[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        logits = self.logits.clamp(min=finfo(self.logits.dtype).min)
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = arange(self._num_events, dtype=int64, device=self._param.device)
        values = values.view((-1, *(1,) * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values
