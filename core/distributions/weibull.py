"""The Weibull distribution."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.elementwise_transforms import AffineTransform, PowerTransform
from retrograd.distributions.exponential import Exponential
from retrograd.distributions.transformed_distribution import TransformedDistribution
from retrograd.distributions.utils import broadcast_all, euler_constant
from retrograd.ops.factories import ones_like
from retrograd.tensor import Tensor

__all__ = ["Weibull"]


class Weibull(TransformedDistribution):
    """``scale * e**(1 / concentration)`` of e from ``Exponential(1)``: lifetimes.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#weibull

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Weibull
    >>> Weibull(2.0, 1.0).mean
    tensor(2.)
    """

    arg_constraints: ClassVar[Any] = {"scale": constraints.positive, "concentration": constraints.positive}
    support: ClassVar[Any] = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(ones_like(self.scale), validate_args=validate_args)
        transforms = [PowerTransform(exponent=self.concentration_reciprocal), AffineTransform(0, self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        new = self._get_checked_instance(Weibull, _instance)
        for name in ("scale", "concentration", "concentration_reciprocal"):
            setattr(new, name, getattr(self, name).expand(batch_shape))
        new.transforms = [PowerTransform(exponent=new.concentration_reciprocal), AffineTransform(0, new.scale)]
        base = self.base_dist.expand(batch_shape)
        return self._expanded(Weibull, new, batch_shape, {"base_dist": base})

    def _moment(self, order: int) -> Tensor:
        return (1 + order * self.concentration_reciprocal).lgamma().exp()

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Tensor:
        inverse = self.concentration_reciprocal
        return self.scale * ((self.concentration - 1) / self.concentration) ** inverse

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (self._moment(2) - self._moment(1).square())

    def entropy(self) -> Tensor:
        inverse = self.concentration_reciprocal
        return euler_constant * (1 - inverse) + (self.scale * inverse).log() + 1
