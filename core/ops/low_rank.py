"""Singular values and principal components of matrices of low rank, by multiplication with random vectors.

Halko, Martinsson and Tropp, "Finding structure with randomness", 2009 (arXiv:0909.4061), algorithms 4.4 and 5.1.
"""

from __future__ import annotations

from retrograd.dtypes import dtype, float16, float32, float64
from retrograd.ops.declare import composite
from retrograd.ops.linalg_spectra import qr, svd
from retrograd.ops.sampling import randn
from retrograd.tensor import Tensor

__all__ = ["floating_type"]


def floating_type(A: Tensor) -> dtype:
    """The real floating-point type to compute in: float32, where `A` has none of 16, 32 or 64 bits of IEEE's."""
    return A.dtype if A.dtype in (float16, float32, float64) else float32


def _less(product: Tensor, M: Tensor | None, right: Tensor) -> Tensor:
    """``(A - M) @ right``, where `product` is ``A @ right``."""
    return product if M is None else product - M @ right


def _range_of(A: Tensor, q: int, niter: int, M: Tensor | None) -> Tensor:
    """Orthonormal columns Q, for which ``Q @ Q.mH @ (A - M)`` is about ``A - M``."""
    kind = A.dtype if A.is_complex() else floating_type(A)
    start = randn(A.shape[-1], q, dtype=kind, device=A.device)
    Q: Tensor = qr(_less(A @ start, M, start)).Q
    for _ in range(niter):
        back = qr(_less(A.mH @ Q, None if M is None else M.mH, Q)).Q
        Q = qr(_less(A @ back, M, back)).Q
    return Q


def _decomposed(A: Tensor, q: int | None, niter: int | None, M: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values and vectors of ``A - M``."""
    wide = A.shape[-2] < A.shape[-1]
    M = None if M is None else M.broadcast_to(A.size())
    if wide:
        A, M = A.mH, None if M is None else M.mH
    Q = _range_of(A, 6 if q is None else q, 2 if niter is None else niter, M)
    U, S, Vh = svd(Q.mH @ A if M is None else Q.mH @ A - Q.mH @ M, full_matrices=False)
    left, right = Q @ U, Vh.mH
    return (right, S, left) if wide else (left, S, right)


@composite
def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and V of a rank of at most `q`, with ``A - M`` about ``U @ diag(S) @ V.mH``; random numbers are drawn.

    Parameters
    ----------
    q
        How many singular values; a few more than the rank that is looked for.
    niter
        How often the random vectors are multiplied by ``A @ A.mH``, which makes small singular values count less.
    M
        What is subtracted from `A`, for example its mean; it is broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.svd_lowrank.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 0.0]])
    >>> U, S, V = retrograd.svd_lowrank(A, q=2)
    >>> retrograd.allclose(U @ S.diag() @ V.mT, A, atol=1e-5)
    True
    """
    return _decomposed(A, q, niter, M)


@composite
def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """The principal components of the rows of `A`: U, S and V of `svd_lowrank`, of `A` less the mean of its rows.

    The columns of V are the principal directions, and ``S ** 2 / (m - 1)`` the variances along them, of m rows.

    Parameters
    ----------
    q
        How many components; by default 6, or what the smaller side of `A` has.
    center
        Whether the mean is subtracted.
    niter
        As for `svd_lowrank`.

    Raises
    ------
    ValueError
        If `q` is negative or greater than a side of `A`, or `niter` negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.pca_lowrank.html

    Examples
    --------
    >>> import retrograd
    >>> U, S, V = retrograd.pca_lowrank(retrograd.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), q=1)
    >>> S
    tensor([2.])
    """
    least = min(A.shape[-2:])
    if q is None:
        q = min(6, least)
    elif not 0 <= q <= least:
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={least}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return _decomposed(A - A.mean(dim=(-2,), keepdim=True) if center else A, q, niter, None)
