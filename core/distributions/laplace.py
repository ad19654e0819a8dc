"""The Laplace distribution."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.utils import broadcast_all
from retrograd.dtypes import finfo
from retrograd.ops.factories import empty
from retrograd.tensor import Tensor

__all__ = ["Laplace"]


class Laplace(Distribution):
    """Two exponential distributions back to back: ``p(x) = exp(-|x - loc| / scale) / (2 scale)``.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#laplace

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Laplace
    >>> Laplace(0.0, 1.0).cdf(retrograd.tensor([-1.0, 0.0, 1.0]))
    tensor([0.1839, 0.5000, 0.8161])
    """

    arg_constraints: ClassVar[Any] = {"loc": constraints.real, "scale": constraints.positive}
    support: ClassVar[Any] = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        return self._expand_named(Laplace, _instance, batch_shape, "loc", "scale")

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return 2**0.5 * self.scale

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        noise = empty(shape, dtype=self.loc.dtype, device=self.loc.device)
        noise.uniform_(finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * noise.sign() * (-noise.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        from_middle = value - self.loc
        return 0.5 - 0.5 * from_middle.sign() * (-from_middle.abs() / self.scale).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        from_middle = value - 0.5
        return self.loc - self.scale * from_middle.sign() * (-2 * from_middle.abs()).log1p()

    def entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()
