"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from retrograd.distributions import constraints
from retrograd.distributions.distribution import Distribution
from retrograd.distributions.utils import lazy_property
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.factories import eye
from retrograd.ops.linalg_old import cholesky_inverse
from retrograd.ops.linalg_solving import cholesky, solve_triangular
from retrograd.ops.sampling import randn
from retrograd.tensor import Tensor

__all__ = ["MultivariateNormal"]


def precision_to_scale_tril(precision: Tensor) -> Tensor:
    """The Cholesky factor of the inverse: that of the matrix read from its other end, read so again, inverted."""
    factor = cholesky(precision.flip((-2, -1)))
    upper = factor.flip((-2, -1)).mT
    one = eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return solve_triangular(upper, one, upper=False)


def mahalanobis(scale_tril: Tensor, difference: Tensor) -> Tensor:
    """``|L^-1 x|**2`` of vectors x, with the batches broadcast."""
    return solve_triangular(scale_tril, difference.unsqueeze(-1), upper=False).squeeze(-1).square().sum(-1)


def half_log_det(scale_tril: Tensor) -> Tensor:
    """Half of the logarithm of the determinant of ``L L^T``."""
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def one_matrix(given: dict[str, Any]) -> tuple[str, Any]:
    """The name and value of the only matrix that was given, or of none."""
    present = [(name, each) for name, each in given.items() if each is not None]
    return present[0] if len(present) == 1 else ("", None)


class ByOneMatrix(Distribution):
    """Parameters that hold one of covariance, precision and its factor; the others are computed when asked for."""

    _unbroadcasted_scale_tril: Tensor

    def _square_shape(self) -> tuple[int, ...]:
        n = self._unbroadcasted_scale_tril.shape[-1]
        return (*self._batch_shape, n, n)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance."""
        return self._unbroadcasted_scale_tril.expand(self._square_shape())

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariances of the elements."""
        factor = self._unbroadcasted_scale_tril
        return (factor @ factor.mT).expand(self._square_shape())

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariances."""
        return cholesky_inverse(self._unbroadcasted_scale_tril).expand(self._square_shape())

    def _matrices(self) -> dict[str, Tensor]:
        names = ("covariance_matrix", "scale_tril", "precision_matrix")
        return {name: self.__dict__[name] for name in names if name in self.__dict__}


class MultivariateNormal(ByOneMatrix):
    """Normal vectors of mean `loc` and a covariance, given by itself, its inverse or its Cholesky factor.

    ``log p(x) = -(|L^-1 (x - loc)|**2 + n log(2 pi)) / 2 - log det L``

    Raises
    ------
    ValueError
        If not exactly one matrix is given, or dimensions are missing.

    Source: https://docs.pytorch.org/docs/stable/distributions.html#multivariatenormal

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.distributions import MultivariateNormal
    >>> MultivariateNormal(retrograd.zeros(2), retrograd.eye(2)).log_prob(retrograd.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints: ClassVar[Any] = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support: ClassVar[Any] = constraints.real_vector
    has_rsample: ClassVar[Any] = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        given = {
            "scale_tril": scale_tril, "covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix,
        }  # fmt: skip
        name, matrix = one_matrix(given)
        if matrix is None:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        if matrix.dim() < 2:
            told = "scale_tril matrix" if name == "scale_tril" else name
            raise ValueError(f"{told} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.__dict__[name] = matrix.expand((*batch_shape, -1, -1))
        self.loc = loc.expand((*batch_shape, -1))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(matrix)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        vector = (*batch_shape, *self._event_shape)
        parameters = {name: each.expand((*vector, *self._event_shape)) for name, each in self._matrices().items()}
        parameters |= {
            "loc": self.loc.expand(vector),
            "_unbroadcasted_scale_tril": self._unbroadcasted_scale_tril,
        }
        return self._expanded(MultivariateNormal, _instance, batch_shape, parameters)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        variance = self._unbroadcasted_scale_tril.square().sum(-1)
        return variance.expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        noise = randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        squared = mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + squared) - half_log_det(self._unbroadcasted_scale_tril)

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi))
        entropy = constant + half_log_det(self._unbroadcasted_scale_tril)
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy
