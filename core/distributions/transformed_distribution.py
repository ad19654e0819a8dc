"""`TransformedDistribution`: what becomes of a distribution when its samples are transformed."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.independent import Independent
from retrograd.distributions.transform import ComposeTransform, Transform
from retrograd.distributions.utils import _sum_rightmost
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """The distribution of ``y = f(x)`` for x of `base_distribution`, f being `transforms` one after the other.

    ``log p(y) = log p(x) - log |det dy/dx|``

    Raises
    ------
    ValueError
        If `transforms` are none, or take elements of more dimensions than the base distribution has.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#transformeddistribution

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import AffineTransform, Normal, TransformedDistribution
    >>> moved = TransformedDistribution(Normal(0.0, 1.0), [AffineTransform(3.0, 2.0)])
    >>> moved.log_prob(retrograd.tensor(3.0)), Normal(3.0, 2.0).log_prob(retrograd.tensor(3.0))
    (tensor(-1.6121), tensor(-1.6121))
    """

    arg_constraints: ClassVar[Any] = {}

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None) -> None:
        if isinstance(transforms, Transform):
            transforms = [transforms]
        elif not isinstance(transforms, list):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        elif not all(isinstance(each, Transform) for each in transforms):
            raise ValueError("transforms must be a Transform or a list of Transforms")
        self.transforms = transforms
        whole = ComposeTransform(self.transforms)
        base, shape = self._widened(base_distribution, whole)
        base_depth = len(base.event_shape)
        extra = whole.domain.event_dim - base_depth
        self.base_dist: Any = Independent(base, extra) if extra > 0 else base
        depth = whole.codomain.event_dim + max(-extra, 0)
        if len(shape) < depth:
            raise AssertionError(f"forward_shape length {len(shape)} must be >= event_dim {depth}")
        cut = len(shape) - depth
        super().__init__(Size(shape[:cut]), Size(shape[cut:]), validate_args=validate_args)

    @staticmethod
    def _widened(base: Any, whole: ComposeTransform) -> tuple[Any, Any]:
        """The base distribution, expanded where the transform has a batch of parameters; the shape of results."""
        before = base.batch_shape + base.event_shape
        if len(before) < whole.domain.event_dim:
            raise ValueError(
                f"base_distribution needs to have shape with size at least {whole.domain.event_dim}, but got {before}."
            )
        after = whole.forward_shape(before)
        needed = whole.inverse_shape(after)
        if before != needed:
            base = base.expand(needed[: len(needed) - len(base.event_shape)])
        return base, after

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_transformed(TransformedDistribution, batch_shape, _instance)

    def _expand_transformed(self, cls: type, batch_shape: Any, instance: Any) -> Self:
        """`expand` of a subclass that holds nothing but a base distribution and transforms."""
        shape = Size(batch_shape) + self.event_shape
        for each in reversed(self.transforms):
            shape = each.inverse_shape(shape)
        base = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        return self._expanded(cls, instance, batch_shape, {"base_dist": base, "transforms": self.transforms})

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        missing = len(self.event_shape) - support.event_dim
        return constraints.independent(support, missing) if missing > 0 else support

    @property
    def has_rsample(self) -> Any:
        return self.base_dist.has_rsample

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._forward(self.base_dist.rsample(sample_shape))

    def _forward(self, x: Tensor) -> Tensor:
        for each in self.transforms:
            x = each(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        result: Any = 0.0
        depth, y = len(self.event_shape), value
        for each in reversed(self.transforms):
            x = each.inv(y)
            depth += each.domain.event_dim - each.codomain.event_dim
            result = result - _sum_rightmost(each.log_abs_det_jacobian(x, y), depth - each.domain.event_dim)
            y = x
        return result + _sum_rightmost(self.base_dist.log_prob(y), depth - len(self.base_dist.event_shape))

    def _monotonize_cdf(self, value: Any) -> Any:
        """What a probability of the base distribution is of this one: ``1 - value`` under a decreasing transform."""
        sign: Any = 1
        for each in self.transforms:
            sign = sign * each.sign
        if isinstance(sign, int) and sign == 1:
            return value
        return sign * (value - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        for each in reversed(self.transforms):
            value = each.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._monotonize_cdf(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._forward(self.base_dist.icdf(self._monotonize_cdf(value)))
