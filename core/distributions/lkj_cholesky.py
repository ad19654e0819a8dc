"""The distribution of Lewandowski, Kurowicka and Joe, of Cholesky factors of correlation matrices."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.beta import Beta
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.utils import broadcast_all
from retrograd.dtypes import finfo
from retrograd.nn.functional import pad
from retrograd.ops.factories import arange
from retrograd.ops.sampling import randn
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors of random correlation matrices M of `dim` rows: ``p(M)`` is as ``det(M)**(concentration - 1)``.

    Raises
    ------
    ValueError
        If `dim` is below 2.

    Source: Lewandowski, Kurowicka, Joe, "Generating random correlation matrices based on vines and extended onion
    method", 2009. https://docs.pytorch.org/docs/stable/distributions.html#lkjcholesky

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import LKJCholesky
    >>> factor = LKJCholesky(3, 0.5).sample()
    >>> (factor @ factor.T).diagonal().round(decimals=4)
    tensor([1., 1., 1.])
    """

    arg_constraints: ClassVar[Any] = {"concentration": constraints.positive}
    support: ClassVar[Any] = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        parameters = {"dim": self.dim, "concentration": self.concentration.expand(batch_shape)}
        return self._expanded(LKJCholesky, _instance, batch_shape, parameters)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """By onions: row i has a direction that is uniform and a squared length from a beta distribution."""
        a, d = self.concentration.unsqueeze(-1), self.dim
        like: dict[str, Any] = {"dtype": a.dtype, "device": a.device}
        with no_grad():
            row = arange(1, d, **like)
            squared = Beta(row / 2, a + (d - 1 - row) / 2).sample(sample_shape)
            noise = randn(self._extended_shape(sample_shape), **like).tril(-1)[..., 1:, :]
            direction = noise / noise.square().sum(-1, keepdim=True).sqrt()
            rows = pad(squared.sqrt().unsqueeze(-1) * direction, (0, 0, 1, 0))
            left = (1 - rows.square().sum(-1)).clamp(min=finfo(a.dtype).tiny)
            return rows + left.sqrt().diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a, d = self.concentration, self.dim
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        power = 2 * (a - 1).unsqueeze(-1) + d - arange(2, d + 1, dtype=a.dtype, device=a.device)
        alpha = a + 0.5 * (d - 1)
        normalizer = 0.5 * (d - 1) * math.log(math.pi) + (alpha - 0.5).mvlgamma(d - 1) - alpha.lgamma() * (d - 1)
        return (power * diagonal.log()).sum(-1) - normalizer
