"""The functions of `retrograd.linalg` that PyTorch had before it, under their older names, and as methods."""

from __future__ import annotations

from typing import Any

from retrograd.ops import linalg_norms, linalg_products, linalg_solving, linalg_spectra, return_types
from retrograd.ops.autocasting import in_float32
from retrograd.ops.declare import composite, publics
from retrograd.ops.factories import eye
from retrograd.ops.factorizations import _linalg_slogdet
from retrograd.ops.linalg import matmul
from retrograd.ops.linalg_checks import check_floating, check_square
from retrograd.ops.linalg_solving import factorized, solve_triangular
from retrograd.tensor import Tensor

__all__: list[str] = []


@composite
@in_float32
def inverse(input: Tensor) -> Tensor:
    """The inverses of square matrices: `retrograd.linalg.inv`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.inverse.html
    """
    return linalg_solving.inv(input)


@composite
@in_float32
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudoinverse: `retrograd.linalg.pinv` with ``rtol=rcond``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.pinverse.html
    """
    return linalg_solving.pinv(input, rcond)


@composite
def det(input: Tensor) -> Tensor:
    """The determinants of square matrices: `retrograd.linalg.det`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.det.html
    """
    return linalg_solving.det(input)


@composite
def slogdet(input: Tensor) -> Any:
    """The signs of determinants and the logarithms of their moduli: `retrograd.linalg.slogdet`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.slogdet.html
    """
    return return_types.slogdet(*linalg_solving.slogdet(input))


@composite
def logdet(input: Tensor) -> Tensor:
    """The logarithms of determinants; NaN where one is negative.

    Raises
    ------
    RuntimeError
        If `input` is no stack of square matrices of floats or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logdet.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.logdet(retrograd.eye(2))
    tensor(0.)
    """
    check_square("logdet", input)
    check_floating("logdet", input, low=False)
    sign, log = _linalg_slogdet(input)
    if input.is_complex():
        return sign.log() + log
    return publics["where"](sign == -1, float("nan"), log)


@composite
@in_float32
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The triangular factors of positive definite matrices: `retrograd.linalg.cholesky`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky.html
    """
    return factorized("cholesky", input, upper)


@composite
@in_float32
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """The X of ``A @ X == input``, where `input2` is the Cholesky factor of A.

    Raises
    ------
    RuntimeError
        If shapes or types do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky_solve.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cholesky_solve(retrograd.tensor([[4.0]]), retrograd.tensor([[2.0]]))
    tensor([[1.]])
    """
    if input.ndim < 2 or input2.ndim < 2:
        which, has = ("b", input.ndim) if input.ndim < 2 else ("u", input2.ndim)
        raise RuntimeError(f"{which} should have at least 2 dimensions, but has {has} dimensions instead")
    n, m = input2.shape[-2:]
    if n != m:
        raise RuntimeError(f"A must be batches of square matrices, but they are {n} by {m} matrices")
    if input.shape[-2] != n:
        raise RuntimeError(
            f"Incompatible matrix sizes for cholesky_solve: each A matrix is {n} by {n} but each b matrix is "
            f"{input.shape[-2]} by {input.shape[-1]}"
        )
    if input.dtype is not input2.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {input.dtype.type_name} and A of type "
            f"{input2.dtype.type_name} instead."
        )
    low = input2.mH if upper else input2
    return solve_triangular(low.mH, solve_triangular(low, input, upper=False), upper=True)


@composite
@in_float32
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """The inverses of matrices whose Cholesky factors are given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky_inverse.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.cholesky_inverse(retrograd.tensor([[2.0]]))
    tensor([[0.2500]])
    """
    check_square("cholesky_inverse", input)
    one = eye(input.shape[-1], dtype=input.dtype, device=input.device)
    inverse = solve_triangular(input.mH if upper else input, one, upper=False)
    return matmul(inverse.mH, inverse)


@composite
@in_float32
def triangular_solve(
    input: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """The X of ``A @ X == input`` (of ``A.mT`` if `transpose`), where one triangle of `A` counts; and a copy of `A`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.triangular_solve.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.triangular_solve(retrograd.tensor([[4.0]]), retrograd.tensor([[2.0]])).solution
    tensor([[2.]])
    """
    factor, of_upper = (A.mT, not upper) if transpose else (A, upper)
    found = solve_triangular(factor, input, upper=of_upper, unitriangular=unitriangular)
    return return_types.triangular_solve(found, A.clone())


@composite
@in_float32
def qr(input: Tensor, some: bool = True) -> Any:
    """QR factorizations: `retrograd.linalg.qr`, complete if not `some`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.qr.html
    """
    return return_types.qr(*linalg_spectra.qr(input, "reduced" if some else "complete"))


@composite
@in_float32
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """Singular values and vectors: `retrograd.linalg.svd`, with V instead of its conjugate transpose.

    Parameters
    ----------
    some
        Whether there are only as many vectors as values.
    compute_uv
        Otherwise U and V are zeros.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.svd.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.svd(retrograd.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    if compute_uv:
        u, s, vh = linalg_spectra.svd(input, not some)
        return return_types.svd(u, s, vh.mH)
    s = linalg_spectra.svdvals(input)
    n, m = input.shape[-2:]
    lead = tuple(input.shape[:-2])
    return return_types.svd(input.new_zeros((*lead, n, n)), s, input.new_zeros((*lead, m, m)))


@composite
def matrix_power(input: Tensor, n: int) -> Tensor:
    """The product of `n` factors: `retrograd.linalg.matrix_power`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.matrix_power.html
    """
    return linalg_solving.matrix_power(input, n)


@composite
def matrix_exp(input: Tensor) -> Tensor:
    """The exponentials of matrices: `retrograd.linalg.matrix_exp`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.matrix_exp.html
    """
    return linalg_solving.matrix_exp(input)


@composite
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product: `retrograd.linalg.cross`, by default along the first dimension of size 3.

    Raises
    ------
    RuntimeError
        If there is none, or as for `retrograd.linalg.cross`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cross.html
    """
    at = linalg_products.first_of_three(input) if dim is None else dim
    return linalg_products.cross(input, other, dim=at)


@composite
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of powers of each element of a vector, by default from the highest to the lowest.

    Raises
    ------
    RuntimeError
        If `x` is no vector.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.vander.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.vander(retrograd.tensor([2, 3]), N=3)
    tensor([[4, 2, 1],
            [9, 3, 1]])
    """
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    powers = linalg_products.vander(x, max(x.shape[0] if N is None else N, 2))
    powers = powers[:, : x.shape[0] if N is None else N]
    return powers if increasing else powers.flip(1)


@composite
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The norm of all elements as a vector, along dimensions: `retrograd.linalg.vector_norm`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html
    """
    return linalg_norms.vector_norm(input, 2, dim, keepdim)


@composite
def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sums of singular values: `retrograd.linalg.matrix_norm` of order `"nuc"`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_norm.html
    """
    return linalg_norms.matrix_norm(input, "nuc", dim, keepdim)
