"""`Independent`: batch dimensions of a distribution as dimensions of its events."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.utils import _sum_rightmost
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["Independent"]


class Independent(Distribution):
    """The last `reinterpreted_batch_ndims` dimensions of the batch of `base_distribution` as one event.

    Log-probabilities are added up over them.

    Raises
    ------
    ValueError
        If the batch has fewer dimensions.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#independent

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Independent, Normal
    >>> vectors = Independent(Normal(retrograd.zeros(3), retrograd.ones(3)), 1)
    >>> vectors.batch_shape, vectors.event_shape
    (retrograd.Size([]), retrograd.Size([3]))
    """

    arg_constraints: ClassVar[Any] = {}

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        n, available = reinterpreted_batch_ndims, len(base_distribution.batch_shape)
        if n > available:
            raise ValueError(
                f"Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual {n} vs {available}"
            )
        shape = base_distribution.batch_shape + base_distribution.event_shape
        cut = available - n
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = n
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        inner = self._event_shape[: self.reinterpreted_batch_ndims]
        parameters = {
            "base_dist": self.base_dist.expand(Size(batch_shape) + inner),
            "reinterpreted_batch_ndims": self.reinterpreted_batch_ndims,
        }
        return self._expanded(Independent, _instance, batch_shape, parameters)

    @property
    def has_rsample(self) -> Any:
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> Any:
        return False if self.reinterpreted_batch_ndims > 0 else self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Any:
        support, n = self.base_dist.support, self.reinterpreted_batch_ndims
        return constraints.independent(support, n) if n else support

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return _sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return _sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        if self.reinterpreted_batch_ndims > 0:
            raise NotImplementedError("Enumeration over cartesian product is not implemented")
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist!r}, {self.reinterpreted_batch_ndims})"
