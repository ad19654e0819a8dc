"""The Wishart distribution."""

from __future__ import annotations

import math
import warnings
from typing import Any, Self

from retrograd.autograd.modes import no_grad
from retrograd.distributions import constraints
from retrograd.distributions.chi2 import Chi2
from retrograd.distributions.exp_family import ExponentialFamily
from retrograd.distributions.multivariate_normal import (
    ByOneMatrix,
    half_log_det,
    one_matrix,
    precision_to_scale_tril,
)
from retrograd.distributions.utils import is_number
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.creation import tensor
from retrograd.ops.factories import arange
from retrograd.ops.indexing import where
from retrograd.ops.linalg_old import cholesky_solve
from retrograd.ops.linalg_solving import cholesky, slogdet
from retrograd.ops.sampling import randn
from retrograd.tensor import Tensor

__all__ = ["Wishart"]


def _multivariate_digamma(x: Tensor, p: int) -> Tensor:
    """The sum of ``digamma(x - i / 2)`` for i below p: the derivative of `mvlgamma`."""
    return (x.unsqueeze(-1) - arange(p, dtype=x.dtype, device=x.device) / 2).digamma().sum(-1)


class Wishart(ByOneMatrix, ExponentialFamily):
    """``X^T X`` of `df` rows X from a normal distribution with mean 0 and the covariance V that is given.

    ``log p(x) = (df - n - 1) / 2 log det x - tr(V^-1 x) / 2 - df / 2 (n log 2 + log det V) - mvlgamma(df / 2, n)``

    Raises
    ------
    AssertionError
        If not exactly one matrix is given.
    ValueError
        If `df` is at most ``n - 1``.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#wishart

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import Wishart
    >>> Wishart(retrograd.tensor(3.0), covariance_matrix=retrograd.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = {
            "scale_tril": scale_tril, "covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
        }  # fmt: skip
        name, matrix = one_matrix(given)
        if matrix is None:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if is_number(df):
            batch_shape: Any = matrix.shape[:-2]
            self.df = tensor(df, dtype=matrix.dtype, device=matrix.device)
        else:
            batch_shape = broadcast_shapes(matrix.shape[:-2], df.shape)
            self.df = df.expand(batch_shape)
        event_shape = matrix.shape[-2:]
        if bool((self.df <= event_shape[-1] - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {event_shape[-1] - 1}.")
        self.__dict__[name] = matrix.expand((*batch_shape, -1, -1))
        if bool((self.df < event_shape[-1]).any()):
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        factors = {"scale_tril": lambda: matrix, "covariance_matrix": lambda: cholesky(matrix)}
        self._unbroadcasted_scale_tril = factors.get(name, lambda: precision_to_scale_tril(matrix))()
        self._chi2 = Chi2(self._degrees(self._df()))

    def _degrees(self, df: Tensor) -> Tensor:
        """The degrees of freedom of the squared diagonal elements of the factor of a sample."""
        return df.unsqueeze(-1) - arange(self._event_shape[-1], dtype=df.dtype, device=df.device)

    @property
    def arg_constraints(self) -> dict[str, Any]:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self._event_shape[-1] - 1),
        }

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        square = (*batch_shape, *self._event_shape)
        parameters = {name: each.expand(square) for name, each in self._matrices().items()}
        parameters["df"] = self.df.expand(batch_shape)
        parameters["_unbroadcasted_scale_tril"] = self._unbroadcasted_scale_tril.expand(square)
        new = self._expanded(Wishart, _instance, batch_shape, parameters)
        new._chi2 = Chi2(new._degrees(new._df()))
        return new

    def _of_matrix(self, value: Tensor) -> Tensor:
        return value.view((*self._batch_shape, 1, 1))

    def _df(self) -> Tensor:
        return self.df.expand(self._batch_shape)

    @property
    def mean(self) -> Tensor:
        return self._of_matrix(self._df()) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self._df() - self.covariance_matrix.shape[-1] - 1
        return self._of_matrix(where(factor > 0, factor, math.nan)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self._of_matrix(self._df()) * (v.pow(2) + products)

    def _bartlett_sampling(self, sample_shape: Any = ()) -> Tensor:
        """Samples by Bartlett's decomposition: the factor is made of normal numbers and roots of chi-squares."""
        n = self._event_shape[-1]
        roots = self._chi2.rsample(sample_shape).sqrt().diag_embed()
        roots = roots.expand((*sample_shape, *self._batch_shape, n, n))
        noise = randn(tuple(roots.shape), dtype=roots.dtype, device=roots.device).tril(-1)
        factor = self._unbroadcasted_scale_tril @ (roots + noise)
        return factor @ factor.mT

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Tensor:
        """Samples; singular ones, by rounding, are drawn again up to so many times.

        By default 3 times for matrices of 5 rows or less, else 10 times.
        """
        if max_try_correction is None:
            max_try_correction = 3 if self._event_shape[-1] <= 5 else 10
        sample = self._bartlett_sampling(tuple(sample_shape))
        for _ in range(max_try_correction):
            with no_grad():
                fine = constraints.positive_definite.check(sample)
            if bool(fine.all()):
                break
            warnings.warn("Singular sample detected.", stacklevel=2)
            sample = where(fine[..., None, None], sample, self._bartlett_sampling(tuple(sample_shape)))
        return sample

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n, df = self._event_shape[-1], self._df()
        log_det = half_log_det(self._unbroadcasted_scale_tril)
        factor = self._unbroadcasted_scale_tril
        shape = broadcast_shapes(value.shape, factor.shape)
        weighted = cholesky_solve(value.expand(shape), factor.expand(shape))
        trace = weighted.diagonal(dim1=-2, dim2=-1).sum(-1)
        normalizer = df * (0.5 * n * math.log(2.0) + log_det) + (df / 2).mvlgamma(n)
        return (df - n - 1) / 2 * slogdet(value).logabsdet - trace / 2 - normalizer

    def entropy(self) -> Tensor:
        n, df = self._event_shape[-1], self._df()
        log_det = half_log_det(self._unbroadcasted_scale_tril)
        scale = (n + 1) * (log_det + 0.5 * n * math.log(2.0))
        slope = (df - n - 1) / 2 * _multivariate_digamma(df / 2, n)
        return scale + (df / 2).mvlgamma(n) - slope + df * n / 2

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:
        n = self._event_shape[-1]
        half_df = y + (n + 1) / 2
        return half_df * (n * math.log(2.0) - slogdet(-2 * x).logabsdet) + half_df.mvlgamma(n)
