"""The logistic-normal distribution."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.normal import Normal
from retrograd.distributions.transformed_distribution import TransformedDistribution
from retrograd.distributions.vector_transforms import StickBreakingTransform
from retrograd.tensor import Tensor

__all__ = ["LogisticNormal"]


class LogisticNormal(TransformedDistribution):
    """Points of a simplex that `StickBreakingTransform` makes of normal vectors.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#logisticnormal

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import LogisticNormal
    >>> LogisticNormal(retrograd.zeros(3), retrograd.ones(3)).sample().shape
    retrograd.Size([4])
    """

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support: ClassVar[Any] = constraints.simplex
    has_rsample: ClassVar[Any] = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_transformed(LogisticNormal, batch_shape, _instance)

    @property
    def loc(self) -> Tensor:
        """The means of the normal numbers."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Their standard deviations."""
        return self.base_dist.base_dist.scale
