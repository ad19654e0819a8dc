"""Normal vectors whose covariance is of low rank but for its diagonal."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.multivariate_normal import half_log_det, mahalanobis
from retrograd.distributions.utils import lazy_property
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.factories import eye
from retrograd.ops.linalg_solving import cholesky, solve_triangular
from retrograd.ops.sampling import randn
from retrograd.tensor import Tensor

__all__ = ["LowRankMultivariateNormal"]


def capacitance_tril(factor: Tensor, diagonal: Tensor) -> Tensor:
    """The Cholesky factor of ``I + W^T D^-1 W``, the small matrix that Woodbury's identity inverts."""
    scaled = factor.mT / diagonal.unsqueeze(-2)
    small = scaled @ factor
    return cholesky(small + eye(factor.shape[-1], dtype=factor.dtype, device=factor.device))


def lowrank_half_log_det(diagonal: Tensor, capacitance: Tensor) -> Tensor:
    """Half of the logarithm of the determinant of ``W W^T + D``."""
    return half_log_det(capacitance) + 0.5 * diagonal.log().sum(-1)


def lowrank_mahalanobis(factor: Tensor, diagonal: Tensor, difference: Tensor, capacitance: Tensor) -> Tensor:
    """``x^T (W W^T + D)^-1 x``."""
    scaled = factor.mT / diagonal.unsqueeze(-2)
    inner = (scaled @ difference.unsqueeze(-1)).squeeze(-1)
    return (difference.pow(2) / diagonal).sum(-1) - mahalanobis(capacitance, inner)


class LowRankMultivariateNormal(Distribution):
    """Normal vectors of mean `loc` and covariance ``cov_factor @ cov_factor.mT + diag(cov_diag)``.

    Raises
    ------
    ValueError
        If dimensions are missing or do not fit.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#lowrankmultivariatenormal

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import LowRankMultivariateNormal
    >>> factor = retrograd.tensor([[1.0], [0.0]])
    >>> LowRankMultivariateNormal(retrograd.zeros(2), factor, retrograd.ones(2)).covariance_matrix
    tensor([[2., 0.],
            [0., 1.]])
    """

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support: ClassVar[Any] = constraints.real_vector
    has_rsample: ClassVar[Any] = True

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m")
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event_shape}")
        try:
            batch_shape = broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from None
        self.loc = loc.expand((*batch_shape, -1))
        self.cov_factor = cov_factor.expand((*batch_shape, -1, -1))
        self.cov_diag = cov_diag.expand((*batch_shape, -1))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = capacitance_tril(cov_factor, cov_diag)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        vector = (*batch_shape, *self._event_shape)
        held = ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril")
        parameters = {
            "loc": self.loc.expand(vector),
            "cov_diag": self.cov_diag.expand(vector),
            "cov_factor": self.cov_factor.expand((*vector, self.cov_factor.shape[-1])),
            **{name: self.__dict__[name] for name in held},
        }
        return self._expanded(LowRankMultivariateNormal, _instance, batch_shape, parameters)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        """The diagonal of the covariance."""
        variance = self._unbroadcasted_cov_factor.square().sum(-1) + self._unbroadcasted_cov_diag
        return variance.expand((*self._batch_shape, *self._event_shape))

    def _whole(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance: ``D^1/2`` times that of ``I + D^-1/2 W W^T D^-1/2``."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        one = eye(self._event_shape[0], dtype=scaled.dtype, device=scaled.device)
        return self._whole(root * cholesky(scaled @ scaled.mT + one))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        factor = self._unbroadcasted_cov_factor
        return self._whole(factor @ factor.mT + self._unbroadcasted_cov_diag.diag_embed())

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance, by Woodbury's identity."""
        diagonal = self._unbroadcasted_cov_diag
        scaled = self._unbroadcasted_cov_factor.mT / diagonal.unsqueeze(-2)
        inner = solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self._whole(diagonal.reciprocal().diag_embed() - inner.mT @ inner)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        like: dict[str, Any] = {"dtype": self.loc.dtype, "device": self.loc.device}
        small = randn((*shape[:-1], self.cov_factor.shape[-1]), **like)
        along = (self._unbroadcasted_cov_factor @ small.unsqueeze(-1)).squeeze(-1)
        return self.loc + along + self._unbroadcasted_cov_diag.sqrt() * randn(shape, **like)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        factor, diagonal = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag
        squared = lowrank_mahalanobis(factor, diagonal, value - self.loc, self._capacitance_tril)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + squared) - lowrank_half_log_det(diagonal, self._capacitance_tril)

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi))
        entropy = constant + lowrank_half_log_det(self._unbroadcasted_cov_diag, self._capacitance_tril)
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy
