"""Orthogonal matrices, as functions of matrices without a constraint."""

from __future__ import annotations

from typing import Final, TypeVar

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import finfo, int32
from retrograd.nn.modules.module import Module
from retrograd.nn.utils.parametrize import register_parametrization
from retrograd.ops.arrange import cat, stack
from retrograd.ops.comparison import allclose
from retrograd.ops.factories import eye, zeros, zeros_like
from retrograd.ops.indexing import where
from retrograd.ops.linalg_old import matrix_exp
from retrograd.ops.linalg_solving import solve
from retrograd.ops.linalg_spectra import qr
from retrograd.ops.sampling import randn
from retrograd.tensor import Tensor

__all__ = ["orthogonal"]

M = TypeVar("M", bound=Module)
_MAPS: Final = ("matrix_exp", "cayley", "householder")


def _identity(size: int, like: Tensor) -> Tensor:
    return eye(size, dtype=like.dtype, device=like.device)


def _product_of_reflections(vectors: Tensor, factors: Tensor) -> Tensor:
    """The first columns of ``H_1 @ H_2 @ ...`` with ``H_i = 1 - factors[i] * v_i @ v_i.T``.

    v_i is column i of `vectors` below the diagonal, and one on it.
    """
    rows, columns = vectors.shape[-2:]
    one = _identity(rows, vectors)[:, :columns]
    below = vectors.tril(-1) + one
    product = one.expand(*vectors.shape)
    for column in reversed(range(columns)):
        vector = below[..., column : column + 1]
        factor = factors[..., column].unsqueeze(-1).unsqueeze(-1)
        product = product - factor * (vector @ (vector.mT @ product))
    return product


def _reflections(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse: vectors below the diagonal of R, and factors, such that ``matrix = product @ R``."""
    rows, columns = matrix.shape[-2:]
    one = _identity(rows, matrix)
    vectors, factors = [], []
    for column in range(columns):
        below = matrix[..., column] * one[column + 1 :].sum(0)
        first = matrix[..., column, column].unsqueeze(-1)
        rest = (below * below).sum(-1, keepdim=True)
        length = (first * first + rest).sqrt()
        end = where(first >= 0, -length, length)
        is_done = rest == 0
        factor = where(is_done, zeros_like(first), (end - first) / end)
        vector = where(is_done, zeros_like(below), below / (first - end))
        reflected = (vector + one[column]).unsqueeze(-1)
        matrix = matrix - factor.unsqueeze(-1) * (reflected @ (reflected.mT @ matrix))
        vectors.append(vector)
        factors.append(factor)
    return matrix.triu() + stack(vectors, -1), cat(factors, -1)


def _orthonormal(matrix: Tensor) -> Tensor:
    """The factor Q of ``matrix = Q @ R`` with a positive diagonal of R."""
    q, r = qr(matrix)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _is_orthogonal(matrix: Tensor) -> bool:
    rows, columns = matrix.shape[-2:]
    near = 10.0 * rows * finfo(matrix.dtype).eps
    return bool(allclose(matrix.mH @ matrix, _identity(columns, matrix).expand(*matrix.shape[:-2], -1, -1), atol=near))


class _Orthogonal(Module):
    """An orthogonal matrix: ``base`` times a function of a matrix."""

    base: Tensor

    def __init__(self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        is_wide = X.size(-2) < X.size(-1)
        X = X.mT if is_wide else X
        Q = self._reflected(X) if self.orthogonal_map == "householder" else self._turned(X)
        if hasattr(self, "base"):
            Q = self.base @ Q
        return Q.mT if is_wide else Q

    def _turned(self, X: Tensor) -> Tensor:
        """A function of a skew-symmetric matrix, the lower triangle of which is that of X."""
        rows, columns = X.shape[-2:]
        X = X.tril()
        if rows != columns:
            rest = zeros((*X.shape[:-1], rows - columns), dtype=X.dtype, device=X.device)
            X = cat([X, rest], -1)
        A = X - X.mH
        if self.orthogonal_map == "matrix_exp":
            Q = matrix_exp(A)
        else:
            one = _identity(rows, A)
            Q = solve(one - 0.5 * A, one + 0.5 * A)
        return Q[..., :columns]

    def _reflected(self, X: Tensor) -> Tensor:
        """The product of the reflections in X, with the signs of its diagonal."""
        A = X.tril(-1)
        Q = _product_of_reflections(A, 2.0 / (1.0 + (A * A).sum(-2)))
        # By an integer, for the diagonal is not trained.
        return Q * X.diagonal(dim1=-2, dim2=-1).to(int32).unsqueeze(-2)

    @no_grad()
    def right_inverse(self, Q: Tensor) -> Tensor:
        """The matrix that gives Q; or one that gives Q together with a new `base`."""
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}."
            )
        is_wide = Q.size(-2) < Q.size(-1)
        tall = Q.mT if is_wide else Q
        if not hasattr(self, "base"):
            found = self._inverse_of_reflected(tall)
            return found.mT if is_wide else found
        rows, columns = tall.shape[-2:]
        if rows != columns:
            more = randn(*tall.shape[:-1], rows - columns, dtype=Q.dtype, device=Q.device)
            self.base = _orthonormal(cat([tall, more], -1))
        else:
            self.base = tall.clone() if _is_orthogonal(tall) else _orthonormal(tall)
        # What all maps make the identity of.
        return zeros_like(Q) - eye(Q.size(-2), Q.size(-1), dtype=Q.dtype, device=Q.device)

    def _inverse_of_reflected(self, Q: Tensor) -> Tensor:
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                "use_trivialization=False."
            )
        A, factors = _reflections(Q)
        signs = A.diagonal(dim1=-2, dim2=-1).sign()
        signs = where(factors == 0, -signs, signs)
        return A.triu(1) + A.tril(-1) + signs.unsqueeze(-2) * _identity(Q.size(-2), Q)[:, : Q.size(-1)]


def orthogonal(
    module: M, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> M:
    """Keep a matrix, or each of a batch, orthogonal: ``Q.T @ Q = 1``, or ``Q @ Q.T = 1`` if it is wide.

    Parameters
    ----------
    orthogonal_map
        What makes Q of a matrix A: `"matrix_exp"`, ``exp(A - A.T)`` of the lower triangle; `"cayley"`,
        ``(1 + S / 2) / (1 - S / 2)`` of the same S; `"householder"`, a product of reflections. By default the first
        for square matrices, and else the last.
    use_trivialization
        Whether Q is that times a constant, so that training begins near A = 0; else an assignment is possible with
        `"householder"` only.

    Raises
    ------
    ValueError
        If there is no such matrix or map.

    Source: Lezcano-Casado, "Trivializations for gradient-based optimization on manifolds", 2019;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.orthogonal.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.utils.parametrizations.orthogonal(retrograd.nn.Linear(4, 2))
    >>> retrograd.allclose(layer.weight @ layer.weight.T, retrograd.eye(2), atol=1e-6)
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        is_square = weight.size(-2) == weight.size(-1)
        orthogonal_map = "matrix_exp" if is_square or weight.is_complex() else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    register_parametrization(module, name, made, unsafe=True)
    return module
