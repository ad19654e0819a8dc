"""QR factorizations, singular values and eigenvalues: functions of `retrograd.linalg`."""

from __future__ import annotations

from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import Category, finfo, float32, float64
from retrograd.ops import return_types
from retrograd.ops.autocasting import in_float32
from retrograd.ops.creation import tensor
from retrograd.ops.declare import publics
from retrograd.ops.factorizations import _linalg_eig, _linalg_eigh, _linalg_qr, _linalg_svd
from retrograd.ops.linalg_checks import (
    LinAlgError,
    check_floating,
    check_matrices,
    check_square,
    implemented,
    is_finite,
    is_low,
    of_linalg,
)
from retrograd.tensor import Tensor

__all__ = ["eig", "eigh", "eigvals", "eigvalsh", "matrix_rank", "qr", "svd", "svdvals"]


@of_linalg
@in_float32
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """Matrices with orthonormal columns, and upper triangular ones, whose product is `A`.

    Parameters
    ----------
    mode
        `"reduced"`: Q has as many columns as the smaller side of `A`. `"complete"`: Q is square. `"r"`: Q is empty.

    Raises
    ------
    RuntimeError
        If `mode` is another, or `A` no stack of matrices of floats or complex numbers. In a derivative: of mode
        `"r"`, and of `"complete"` for a matrix with more rows than columns.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.qr.html

    Examples
    --------
    >>> import retrograd
    >>> Q, R = retrograd.linalg.qr(retrograd.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> retrograd.allclose(Q @ R, retrograd.tensor([[3.0, 1.0], [4.0, 2.0]]))
    True
    """
    if mode not in ("reduced", "r", "complete"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    check_matrices("linalg.qr", A)
    check_floating("linalg.qr", A)
    implemented("geqrf_cpu", A)
    q, r = _linalg_qr(A, mode)
    return return_types.linalg_qr(tensor([], dtype=A.dtype, device=A.device) if mode == "r" else q, r)


def _factors(A: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
    check_matrices("linalg.svd", A)
    check_floating("linalg.svd", A)
    implemented("linalg_svd_cpu", A)
    u, s, vh = _linalg_svd(A, full)
    if not is_finite(s):
        raise LinAlgError(
            "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values."
        )
    return u, s, vh


def _check_driver(driver: Any) -> None:
    if driver is not None:
        raise RuntimeError(
            "retrograd.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )


@of_linalg
@in_float32
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """Unitary U and Vh, and non-negative, descending S, with ``A == U @ diag(S) @ Vh``.

    Singular vectors are unique up to a sign (a factor of modulus 1 of a complex pair) where singular values
    differ: a loss that depends on it has no meaningful gradient, and where values coincide there is none at all.

    Parameters
    ----------
    full_matrices
        Whether U and Vh are square; otherwise they have as many columns and rows as there are values.

    Raises
    ------
    LinAlgError
        If an element is not finite.
    RuntimeError
        If `A` is no stack of matrices of floats or complex numbers, or a `driver` is given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.svd.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.svd(retrograd.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    _check_driver(driver)
    return return_types.linalg_svd(*_factors(A, full_matrices))


@of_linalg
@in_float32
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, descending.

    Raises
    ------
    LinAlgError
        If an element is not finite.
    RuntimeError
        If `A` is no stack of matrices of floats or complex numbers, or a `driver` is given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.svdvals.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.svdvals(retrograd.tensor([[0.0, 2.0], [1.0, 0.0]]))
    tensor([2., 1.])
    """
    _check_driver(driver)
    return _factors(A, False)[1]


def _check_eigh(A: Tensor, UPLO: str) -> bool:
    """Whether the upper triangle is meant."""
    check_square("linalg.eigh", A)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    implemented("linalg_eigh_cpu", A)
    return UPLO.upper() == "U"


@of_linalg
@in_float32
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """The eigenvalues of Hermitian matrices, ascending, and their eigenvectors, which are orthonormal columns.

    Eigenvectors are unique up to a sign (a factor of modulus 1) where eigenvalues differ; see `svd`.

    Parameters
    ----------
    UPLO
        Which triangle is looked at, `"L"` or `"U"`.

    Raises
    ------
    RuntimeError
        If `A` is no stack of square matrices, or `UPLO` is something else.
    NotImplementedError
        If the type is not floating-point or complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigh.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.eigh(retrograd.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    return return_types.linalg_eigh(*_linalg_eigh(A, _check_eigh(A, UPLO)))


@of_linalg
@in_float32
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of Hermitian matrices, ascending.

    Raises
    ------
    RuntimeError
        As for `eigh`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigvalsh.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.eigvalsh(retrograd.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([1., 2.])
    """
    return _linalg_eigh(A, _check_eigh(A, UPLO))[0]


def _eig(name: str, A: Tensor) -> tuple[Tensor, Tensor]:
    check_square(name, A)
    if A.dtype.category < Category.FLOAT:
        raise RuntimeError(f"Unknown Complex ScalarType for {A.dtype.type_name}")
    implemented("linalg_eig_out_cpu", A)
    return _linalg_eig(A)


@of_linalg
@in_float32
def eig(A: Tensor) -> Any:
    """The eigenvalues of square matrices, and eigenvectors of length 1 as columns; complex in any case.

    Eigenvectors are unique up to a factor of modulus 1 where eigenvalues differ; see `svd`.

    Raises
    ------
    RuntimeError
        If `A` is no stack of square matrices of floats or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eig.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.eig(retrograd.tensor([[1.0, 0.0], [0.0, 2.0]])).eigenvalues
    tensor([1.+0.j, 2.+0.j])
    """
    return return_types.linalg_eig(*_eig("linalg.eig", A))


@of_linalg
@in_float32
def eigvals(A: Tensor) -> Tensor:
    """The eigenvalues of square matrices, complex, in no order.

    Raises
    ------
    RuntimeError
        If `A` is no stack of square matrices of floats or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.eigvals.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.eigvals(retrograd.tensor([[0.0, 0.0], [0.0, 2.0]]))
    tensor([0.+0.j, 2.+0.j])
    """
    return _eig("linalg.eigvals", A)[0]


def tolerance(A: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """Below what singular values count as zero: absolutely, and as a part of the greatest; numbers or tensors."""
    for name, each in (("atol", atol), ("rtol", rtol)):
        if isinstance(each, Tensor) and each.is_complex():
            kind = each.dtype.type_name
            raise RuntimeError(f"retrograd.linalg.pinv: {name} tensor of complex type is not supported. Got {kind}")
    precise = finfo(float64 if A.dtype.name in ("float64", "complex128") else float32).eps * max(A.shape[-2:])
    if isinstance(atol, Tensor) and rtol is None:
        return atol, publics["where"](atol > 0, 0.0, precise)
    low = 0.0 if atol is None else atol
    if rtol is None:
        rtol = 0.0 if low > 0 else precise
    return tuple(each if isinstance(each, Tensor) else float(each) for each in (low, rtol))  # type: ignore[return-value]


@of_linalg
@in_float32
def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """How many singular values exceed ``max(atol, rtol * greatest)``.

    Parameters
    ----------
    tol
        An older name of `atol`.
    hermitian
        Whether the matrices are Hermitian: then the lower triangles and the moduli of eigenvalues count.
    atol, rtol
        As for `pinv`.

    Raises
    ------
    RuntimeError
        If `A` has less than two dimensions, or another type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_rank.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.matrix_rank(retrograd.ones(3, 3))
    tensor(1)
    """
    if A.ndim < 2:
        raise RuntimeError("retrograd.linalg.matrix_rank: The input tensor input must have at least 2 dimensions.")
    if A.dtype.category < Category.FLOAT or is_low(A):
        raise RuntimeError("This function doesn't handle types other than float and double")
    with no_grad():
        if not A.numel():
            return A.real.sum((-2, -1)).long()
        low, ratio = tolerance(A, tol if atol is None else atol, 0.0 if tol is not None and rtol is None else rtol)
        sizes = eigvalsh(A).abs() if hermitian else svdvals(A)
        limit = sizes.amax(-1) * ratio
        limit = publics["maximum"](limit, low) if isinstance(low, Tensor) else limit.clamp(min=low)
        return (sizes > limit.unsqueeze(-1)).sum(-1)
