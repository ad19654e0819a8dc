"""Inverses, systems of equations, determinants, powers and exponentials: functions of `retrograd.linalg`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import Category, finfo, float32, int64
from retrograd.levels import bare
from retrograd.ops import return_types
from retrograd.ops.arguments import as_int
from retrograd.ops.autocasting import in_float32
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.creation import tensor
from retrograd.ops.declare import publics
from retrograd.ops.factories import eye, zeros
from retrograd.ops.factorizations import (
    _linalg_cholesky,
    _linalg_det,
    _linalg_inv,
    _linalg_matrix_exp,
    _linalg_pinv,
    _linalg_slogdet,
    _linalg_solve,
    _linalg_solve_triangular,
)
from retrograd.ops.grouped import one_node
from retrograd.ops.linalg import matmul
from retrograd.ops.linalg_checks import (
    check_floating,
    check_matrices,
    check_square,
    implemented,
    infos_of,
    is_finite,
    is_low,
    of_linalg,
    raise_for_element,
    zero_pivots,
)
from retrograd.ops.linalg_spectra import qr, svd, svdvals, tolerance
from retrograd.ops.shape import expand, movedim, reshape, squeeze, unsqueeze
from retrograd.tensor import Tensor

__all__ = [
    "cholesky", "cholesky_ex", "det", "equally_many", "factorized", "inv", "inv_ex", "lstsq", "matrix_exp",
    "matrix_power", "pinv", "slogdet", "solve", "solve_triangular", "tensorinv", "tensorsolve",
]  # fmt: skip

# -- inverses ------------------------------------------------------------------------------------

_SINGULAR = (
    "The diagonal element {} is zero, the inversion could not be completed because the input matrix is singular."
)


def _check_inv(A: Tensor) -> None:
    check_square("linalg.inv", A)
    check_floating("linalg.inv", A, low=False)


@of_linalg
@in_float32
def inv(A: Tensor) -> Tensor:
    """The inverses of square matrices: ``A @ inv(A)`` is the identity.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    RuntimeError
        If `A` is no stack of square matrices of floats or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.inv.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.inv(retrograd.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    _check_inv(A)
    found = _linalg_inv(A)
    if not is_finite(found):
        raise_for_element("linalg.inv", A, zero_pivots(A), _SINGULAR)
    return found


@of_linalg
@in_float32
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """The inverses, and for each matrix which pivot is zero: 0 if none is, and it has an inverse.

    Raises
    ------
    LinAlgError
        If a matrix is singular and `check_errors` is set.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.inv_ex.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.inv_ex(retrograd.zeros(2, 2)).info
    tensor(1, dtype=retrograd.int32)
    """
    _check_inv(A)
    infos = zero_pivots(A)
    if check_errors:
        raise_for_element("linalg.inv_ex", A, infos, _SINGULAR)
    return return_types.linalg_inv_ex(_linalg_inv(A), infos_of(A, infos))


@of_linalg
def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """The pseudoinverse of Moore and Penrose, which is the inverse where there is one.

    Singular values that are at most ``max(atol, rtol * greatest)`` count as zero.

    Parameters
    ----------
    rcond
        An older name of `rtol`.
    hermitian
        Whether the matrices are Hermitian: then their lower triangles decide, and eigenvalues do.
    atol, rtol
        Numbers, or tensors with one for each matrix. By default 0, and the type's precision times the greater
        side; an `atol` makes the default `rtol` 0.

    Raises
    ------
    RuntimeError
        If `A` has less than two dimensions, or another type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.pinv.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.pinv(retrograd.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    if A.ndim < 2 or A.dtype.category < Category.FLOAT or is_low(A):
        raise RuntimeError(
            f"linalg.pinv({A.dtype.type_name}{{{list(A.shape)}}}): expected a tensor with 2 or more dimensions of "
            "float, double, cfloat or cdouble types"
        )
    if hermitian:
        check_square("linalg.pinv", A)
    low, ratio = tolerance(A, atol, rcond if rtol is None else rtol)
    if not A.numel():
        return _pinv_of_nothing(A)
    if isinstance(low, Tensor) or isinstance(ratio, Tensor):
        return _pinv_each(A, low, ratio)
    return _linalg_pinv(A, low, ratio, hermitian)


@one_node("LinalgPinvBackward0", "A", saves="result=result0 self=A")
def _pinv_of_nothing(A: Tensor) -> Tensor:
    return A.mT.conj().clone()


@one_node("LinalgPinvBackward0", "A", saves="result=result0 self=A")
def _pinv_each(A: Tensor, low: Any, ratio: Any) -> Tensor:
    """With a tolerance for each matrix."""
    u, s, vh = svd(A, full_matrices=False)
    limit = publics["maximum"](*publics["broadcast_tensors"](_last(low, s), _last(ratio, s) * s[..., :1].detach()))
    counts = s > limit
    inverse = publics["where"](counts, 1 / publics["where"](counts, s, 1.0), 0.0)
    return matmul(vh.mH * inverse.unsqueeze(-2), u.mH)


def _last(value: Any, like: Tensor) -> Tensor:
    """A number or a tensor of numbers, with a dimension behind."""
    made = value if isinstance(value, Tensor) else tensor(value, dtype=like.dtype, device=like.device)
    return unsqueeze(made.to(like.dtype), -1)


# -- equations -----------------------------------------------------------------------------------


def _check_solvable(name: str, A: Tensor, B: Tensor, left: bool) -> None:
    """Refuse a right side that does not fit."""
    if A.shape[-2] != B.shape[-2 if left else -1]:
        (n, m), (rows, columns) = A.shape[-2:], B.shape[-2:]
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B "
            f"({n}x{m} and {rows}x{columns})"
        )


def equally_many(A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the same leading dimensions."""
    if A.ndim == 2 and B.ndim == 2:
        return A, B
    lead = broadcast_shapes(tuple(A.shape[:-2]), tuple(B.shape[:-2]))
    return expand(A, (*lead, *A.shape[-2:])), expand(B, (*lead, *B.shape[-2:]))


@of_linalg
@in_float32
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The X of ``A @ X == B``, or of ``X @ A == B`` if not `left`.

    Parameters
    ----------
    B
        Matrices; or vectors, if it has one dimension or the shape of `A` without its last.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    RuntimeError
        If shapes or types do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.tensor([[2.0, 0.0], [0.0, 4.0]])
    >>> retrograd.linalg.solve(A, retrograd.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    found, first, _ = _solved("linalg.solve", A, B, left)
    if not is_finite(found):
        text = "The solver failed because the input matrix is singular."
        raise_for_element("retrograd.linalg.solve", first, zero_pivots(first), text)
    return found


def _solved(name: str, A: Tensor, B: Tensor, left: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The solutions, whatever they are, and both sides as they were used."""
    check_floating(name, A)
    check_square(name, A)
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {A.dtype.type_name} and B of type "
            f"{B.dtype.type_name} instead"
        )
    is_vector = B.ndim == 1 or (B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]))
    right = unsqueeze(B, -1) if is_vector else B
    if is_vector and not left:
        (n, m), rows = A.shape[-2:], B.shape[-1]
        raise RuntimeError(f"{name}: Incompatible shapes of A and B for the equation XA = B ({n}x{m} and {rows}x1)")
    _check_solvable(name, A, right, left)
    implemented("lu_cpu", A)
    first, second = equally_many(A, right)
    if left and first is A and second is B:
        return _linalg_solve(A, B), A, B
    return _solved_otherwise(A, B, left, is_vector), first, second


@one_node("LinalgSolveExBackward0", "A", "B", saves="A left result=result0")
def _solved_otherwise(A: Tensor, B: Tensor, left: bool, is_vector: bool) -> Tensor:
    """From the right, of vectors, or of stacks that are to be expanded."""
    first, second = equally_many(A, unsqueeze(B, -1) if is_vector else B)
    found = _linalg_solve(first, second) if left else _linalg_solve(first.mT, second.mT).mT
    return squeeze(found, -1) if is_vector else found


@of_linalg
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """As `solve`, with the places of pivots that are zero, or 0, beside the solutions instead of an error.

    Raises
    ------
    LinAlgError
        If `check_errors` is set and a matrix is singular.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve_ex.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.solve_ex(retrograd.zeros(2, 2), retrograd.ones(2)).info
    tensor(1, dtype=retrograd.int32)
    """
    found, first, _ = _solved("linalg.solve", A, B, left)
    infos = zero_pivots(first)
    if check_errors and any(infos):
        text = "The solver failed because the input matrix is singular."
        raise_for_element("retrograd.linalg.solve_ex", first, infos, text)
    return return_types.linalg_solve_ex(found, infos_of(first, infos))


@of_linalg
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """The X of ``A @ X == B``, or of ``X @ A == B`` if not `left`, where one triangle of `A` counts.

    A zero on the diagonal makes infinities, and no error.

    Parameters
    ----------
    upper
        Whether it is the upper triangle.
    unitriangular
        Whether the diagonal counts as ones.

    Raises
    ------
    RuntimeError
        If shapes do not fit.
    NotImplementedError
        If the type is not floating-point or complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.solve_triangular.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.tensor([[2.0, 1.0], [0.0, 4.0]])
    >>> retrograd.linalg.solve_triangular(A, retrograd.tensor([[3.0], [4.0]]), upper=True)
    tensor([[1.],
            [1.]])
    """
    name = "linalg.solve_triangular"
    check_square(name, A)
    check_matrices(name, B, "B")
    _check_solvable(name, A, B, left)
    implemented("triangular_solve_cpu", A)
    if A.dtype is not B.dtype:
        A = A.to(B.dtype)
    first, second = equally_many(A, B)
    if left:
        return _linalg_solve_triangular(first, second, upper, unitriangular)
    return _solved_from_right(first, second, upper, unitriangular)


@one_node("LinalgSolveTriangularBackward0", "A", "B", saves="left result=result0 self=A unitriangular upper")
def _solved_from_right(A: Tensor, B: Tensor, upper: bool, unitriangular: bool, left: bool = False) -> Tensor:
    return _linalg_solve_triangular(A.mT, B.mT, not upper, unitriangular).mT


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def _check_lstsq(A: Tensor, B: Tensor, driver: str) -> Tensor:
    """The right side as matrices."""
    name = "retrograd.linalg.lstsq"
    if A.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype {A.dtype.type_name} and "
            f"other's dtype {B.dtype.type_name}"
        )
    if driver not in _DRIVERS:
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)")
    is_vector = B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1])
    if A.shape[-2] != B.shape[-1 if is_vector or B.ndim == 1 else -2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-{1 if B.ndim < A.ndim else 2})")
    return unsqueeze(B, -1) if is_vector or B.ndim == 1 else B


@of_linalg
@in_float32
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The X of least ``norm(A @ X - B)``, and of these the least; with `"gels"` for matrices `A` of full rank only.

    Parameters
    ----------
    rcond
        Singular values that are at most this times the greatest count as zero, and not in `rank`.
    driver
        PyTorch's name of an algorithm of LAPACK, on which depends what is given beside the solution: with
        `"gels"` no rank, singular values with `"gelsd"` and `"gelss"`. The solution is by a QR factorization, if all
        matrices have full rank, otherwise by their singular values.

    Raises
    ------
    RuntimeError
        If shapes or types do not fit, or the driver is not known.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lstsq.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.tensor([[1.0], [1.0]])
    >>> retrograd.linalg.lstsq(A, retrograd.tensor([[1.0], [3.0]])).solution
    tensor([[2.0000]])
    """
    driver = driver or "gelsy"
    right = _check_lstsq(A, B, driver)
    implemented("linalg_lstsq_cpu", A)
    n, m = A.shape[-2:]
    values = rank = limit = None
    if driver != "gels":
        ratio = _least_ratio(A, rcond, driver)
        with no_grad():
            values = svdvals(A)
            rank = (values > ratio * values[..., :1]).sum(-1)
        if not A.is_meta and bool((bare(rank) < min(n, m)).any()):
            limit = ratio
    overdetermined = n > m and driver != "gelsy" and limit is None
    found, residuals = _least_squares(A, B, right is not B, overdetermined, limit)
    nothing = tensor([], dtype=int64, device=A.device)
    return return_types.linalg_lstsq(
        found,
        residuals,
        nothing if rank is None else rank,
        values if driver in ("gelsd", "gelss") else zeros((0,), dtype=A.dtype.to_real(), device=A.device),
    )


def _least_ratio(A: Tensor, rcond: float | None, driver: str) -> float:
    """The part of the greatest singular value that one has to exceed; to drivers by SVD a negative one is none."""
    precision: float = finfo(A.dtype).eps
    if rcond is None:
        return precision * max(A.shape[-2:])
    return precision if rcond < 0 and driver != "gelsy" else rcond


@one_node("LinalgLstsqBackward0", "A", "B", saves="b=B self=A solution=result0")
def _least_squares(
    A: Tensor, B: Tensor, is_vector: bool, overdetermined: bool, limit: float | None
) -> tuple[Tensor, Tensor]:
    """The solutions and, if asked for, the squares of what remains; with a limit for matrices without full rank."""
    first, second = equally_many(A, unsqueeze(B, -1) if is_vector else B)
    if limit is not None:
        found = matmul(_linalg_pinv(first, 0.0, limit, False), second)
    elif A.shape[-2] >= A.shape[-1]:
        q, r = qr(first)
        found = _linalg_solve_triangular(r, matmul(q.mH, second), True, False)
    else:
        q, r = qr(first.mH)
        found = matmul(q, _linalg_solve_triangular(r.mH, second, False, False))
    if overdetermined:
        left = (matmul(first, found) - second).abs().square().sum(-2)
    else:
        left = zeros((0,), dtype=A.dtype.to_real(), device=A.device)
    return squeeze(found, -1) if is_vector else found, left


def _product(shape: Any) -> int:
    count = 1
    for each in shape:
        count *= each
    return count


@of_linalg
@in_float32
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of ``X -> tensordot(A, X, A.ndim - ind)``.

    Raises
    ------
    RuntimeError
        If the first `ind` dimensions have not as many elements as the others, or `ind` is not positive.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.tensorinv.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.tensorinv(retrograd.eye(6).reshape(6, 2, 3), ind=1).shape
    retrograd.Size([2, 3, 6])
    """
    ind = as_int(ind)
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    shape = tuple(A.shape)
    first, last = _product(shape[:ind]), _product(shape[ind:])
    if first != last:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{last} != {first}"
        )
    return reshape(inv(reshape(A, first, last)), (*shape[ind:], *shape[:ind]))


@of_linalg
@in_float32
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """The X of ``tensordot(A, X, X.ndim) == B``.

    Parameters
    ----------
    dims
        Dimensions of `A` that are moved to its end first.

    Raises
    ------
    RuntimeError
        If the elements of `A` are not a square matrix.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.tensorsolve.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.eye(6).reshape(2, 3, 6)
    >>> retrograd.linalg.tensorsolve(A, retrograd.ones(2, 3)).shape
    retrograd.Size([6])
    """
    if dims is not None:
        A = movedim(A, tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    last = tuple(A.shape[B.ndim :])
    n, first = _product(last), B.numel()
    if n != first:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {n} != {first}"
        )
    return reshape(solve(reshape(A, n, n), reshape(B, n)), last)


# -- determinants --------------------------------------------------------------------------------


@of_linalg
def det(A: Tensor) -> Tensor:
    """The determinants of square matrices.

    Raises
    ------
    RuntimeError
        If `A` is no stack of square matrices of floats or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.det.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.det(retrograd.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor(8.)
    """
    check_square("linalg.det", A)
    check_floating("linalg.det", A)
    implemented("lu_cpu", A)
    return _linalg_det(A)


@of_linalg
def slogdet(A: Tensor) -> Any:
    """The signs of determinants and the logarithms of their moduli: 0 and -inf for singular matrices.

    Raises
    ------
    RuntimeError
        If `A` is no stack of square matrices of floats or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.slogdet.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.slogdet(retrograd.tensor([[-1.0, 0.0], [0.0, 1.0]])).sign
    tensor(-1.)
    """
    check_square("linalg.slogdet", A)
    check_floating("linalg.slogdet", A, low=False)
    return return_types.linalg_slogdet(*_linalg_slogdet(A))


# -- positive definite matrices ------------------------------------------------------------------

_INDEFINITE = (
    "The factorization could not be completed because the input is not positive-definite (the leading minor of order "
    "{} is not positive-definite)."
)


def _minors(factors: Tensor, A: Tensor) -> list[int]:
    """Of each matrix, the order of the first leading minor that is not positive definite; 0 if all are."""
    k, array, n = bare(A)._kernels, bare(A)._array, A.shape[-1]
    lead = (slice(None),) * (bare(A).ndim - 2)
    found: list[int] = []
    for order in range(1, n + 1):
        minor = k.cholesky(k.slice(array, (*lead, slice(0, order), slice(0, order))))
        last = k.to_host(k.slice(minor, (*lead, order - 1, order - 1))).reshape(-1).tolist()
        found = found or [0] * len(last)
        found = [was or (order if each != each else 0) for was, each in zip(found, last, strict=True)]
    return found


Factorize = Callable[[Tensor], Tensor]


def factorized(name: str, A: Tensor, upper: bool, kinds: tuple[Factorize, Factorize] | None = None) -> Tensor:
    """The Cholesky factor, or the error for the first matrix that has none."""
    check_square(name, A)
    check_floating(name, A)
    implemented("cholesky_cpu", A)
    lower, adjoint = kinds or (_linalg_cholesky, _upper)
    found = adjoint(A) if upper else lower(A)
    if not is_finite(found):
        below = found.mH if upper else found
        raise_for_element(name, A, _minors(below, A.mH if upper else A), _INDEFINITE)
    return found


@one_node("LinalgCholeskyExBackward0", "A", saves="L=result0 upper")
def _upper(A: Tensor, upper: bool = True) -> Tensor:
    return _linalg_cholesky(A.mH).mH


@of_linalg
@in_float32
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L of ``A == L @ L.mH``, for Hermitian, positive definite matrices.

    Parameters
    ----------
    upper
        Whether to give ``L.mH``, from the upper triangle of `A`.

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite.
    RuntimeError
        If `A` is no stack of square matrices of floats or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cholesky.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.cholesky(retrograd.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    return factorized("linalg.cholesky", A, upper)


@of_linalg
@in_float32
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """As `cholesky`, with the order of the first bad minor of each matrix instead of an error; 0 is good.

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite and `check_errors` is set.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.cholesky_ex.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.cholesky_ex(-retrograd.eye(2)).info
    tensor(1, dtype=retrograd.int32)
    """
    if check_errors:
        factorized("linalg.cholesky_ex", A, upper)
    check_square("linalg.cholesky", A)
    check_floating("linalg.cholesky", A)
    implemented("cholesky_cpu", A)
    found = _upper(A) if upper else _linalg_cholesky(A)
    minors = _minors(found.mH, A.mH) if upper else _minors(found, A)
    return return_types.linalg_cholesky_ex(found, infos_of(A, minors))


# -- functions of a matrix -----------------------------------------------------------------------


@of_linalg
def matrix_power(A: Tensor, n: int) -> Tensor:
    """The product of `n` factors `A`; for negative `n`, of inverses.

    Raises
    ------
    LinAlgError
        If `n` is negative and a matrix singular.
    RuntimeError
        If `A` is no stack of square matrices.
    TypeError
        If `n` is no integer.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_power.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.matrix_power(retrograd.tensor([[1, 1], [0, 1]]), 3)
    tensor([[1, 3],
            [0, 1]])
    """
    n = as_int(n)
    check_square("linalg.matrix_power", A)
    if n < 0:
        return matrix_power(inv(A), -n)
    if n == 0:
        one = eye(A.shape[-1], dtype=A.dtype, device=A.device)
        return A.clone().copy_(expand(one, tuple(A.shape)))
    if n == 3:
        return matmul(matmul(A, A), A)
    result, square = None, A
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        square = matmul(square, square) if n else square
    assert result is not None  # `n` was positive
    return result.clone() if result is A else result


@of_linalg
def matrix_exp(A: Tensor) -> Tensor:
    """The exponential: the sum of ``A**k / k!`` over all `k`.

    Raises
    ------
    RuntimeError
        If `A` is no stack of square matrices of floats or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_exp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.matrix_exp(retrograd.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    check_square("linalg.matrix_exp", A)
    check_floating("linalg.matrix_exp", A)
    if is_low(A):
        return _linalg_matrix_exp(A.to(float32)).to(A.dtype)
    return _linalg_matrix_exp(A)
