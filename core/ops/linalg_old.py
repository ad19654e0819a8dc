"""The functions of `retrograd.linalg` that PyTorch had before it, under their older names, and as methods."""

from __future__ import annotations

from typing import Any

from retrograd.ops import linalg_norms, linalg_products, linalg_solving, linalg_spectra, return_types
from retrograd.ops.arguments import as_int
from retrograd.ops.autocasting import in_float32
from retrograd.ops.batching import each_leading, leading
from retrograd.ops.declare import Array, composite, op, publics
from retrograd.ops.factorizations import _cholesky, _h, _linalg_slogdet, _triangle
from retrograd.ops.flags import flagged
from retrograd.ops.graph import G
from retrograd.ops.grouped import one_node
from retrograd.ops.linalg_checks import check_floating, check_square, implemented
from retrograd.ops.linalg_solving import equally_many, factorized
from retrograd.ops.refused import no_float
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
    if not isinstance(rcond, (int, float)):
        raise no_float(rcond)
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
@flagged
@in_float32
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The triangular factors of positive definite matrices: `retrograd.linalg.cholesky`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cholesky.html
    """
    check_square("cholesky", input)
    implemented("cholesky_cpu", input)
    return factorized("cholesky", input, upper, (_cholesky, _upper_cholesky))


@one_node("CholeskyBackward0", "A", saves="result=result0 upper")
def _upper_cholesky(A: Tensor, upper: bool = True) -> Tensor:
    return _cholesky(A.mH).mH


def _check_equation(name: str, b: Tensor, A: Tensor) -> None:
    """Refuse what is no ``A @ X == b``."""
    n, m = A.shape[-2:]
    if n != m:
        raise RuntimeError(f"A must be batches of square matrices, but they are {n} by {m} matrices")
    if b.shape[-2] != n:
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {n} by {n} but each b matrix is "
            f"{b.shape[-2]} by {b.shape[-1]}"
        )
    if b.dtype is not A.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {b.dtype.type_name} and A of type "
            f"{A.dtype.type_name} instead."
        )
    implemented(f"{name}_cpu", A)


def _solved(K: Any, x: Any, factor: Any, upper: bool) -> Any:
    """``inv(A) @ x``, where a triangle of `factor` is the Cholesky factor of A."""
    if K is G:
        return _cholesky_solve(x, factor, upper)
    low = _h(K, factor) if upper else factor
    return K.solve_triangular(_h(K, low), K.solve_triangular(low, x, False, False), True, False)


def _of_factor(K: Any, inner: Any, factor: Any, upper: bool) -> Any:
    """The gradient of a Cholesky factor of A, where that of A is ``-inner``. All of its elements have one, in PyTorch,
    although one triangle alone is read."""
    return -(K.matmul(factor, inner) if upper else K.matmul(inner, factor))


def _of_product(K: Any, t: Any, factor: Any, upper: bool) -> Any:
    """The tangent of A from that of its factor."""
    half = K.matmul(_h(K, t), factor) if upper else K.matmul(t, _h(K, factor))
    return half + _h(K, half)


def _solve_factor_vjp(K: Any, g: Any, self: Any, input2: Any, result: Any, upper: bool) -> Any:
    half = K.matmul(_solved(K, g, input2, upper), _h(K, result))
    return _of_factor(K, half + _h(K, half), input2, upper)


@op(
    name="_cholesky_solve",
    node="CholeskySolveBackward0",
    vjp={
        "self": lambda K, g, input2, upper: _solved(K, g, input2, upper),
        "input2": _solve_factor_vjp,
    },
    jvp={
        "self": lambda K, t, input2, upper: _solved(K, t, input2, upper),
        "input2": lambda K, t, input2, result, upper: (
            -_solved(K, K.matmul(_of_product(K, t, input2, upper), result), input2, upper)
        ),
    },
    holomorphic=False,
    batch=each_leading,
    kept=("self", "result"),
)
def _cholesky_solve(K, self: Array, input2: Array, upper: bool) -> Array:
    return _solved(K, self, input2, upper)


def _inverse_vjp(K: Any, g: Any, self: Any, result: Any, upper: bool) -> Any:
    return _of_factor(K, K.matmul(result, K.matmul(g + _h(K, g), result)), self, upper)


def _inverse_jvp(K: Any, t: Any, self: Any, result: Any, upper: bool) -> Any:
    return -K.matmul(result, K.matmul(_of_product(K, t, self, upper), result))


@op(
    name="_cholesky_inverse",
    node="CholeskyInverseBackward0",
    vjp={"self": _inverse_vjp},
    jvp={"self": _inverse_jvp},
    holomorphic=False,
    batch=leading,
)
def _cholesky_inverse(K, self: Array, upper: bool) -> Array:
    inverse = K.solve_triangular(_h(K, self) if upper else self, _eye_like(K, self), False, False)
    return K.matmul(_h(K, inverse), inverse)


def _eye_like(K: Any, x: Any) -> Any:
    return K.broadcast_to(K.eye(x.shape[-1], x.shape[-1], x.dtype), tuple(x.shape))


@composite
@flagged
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
    _check_equation("cholesky_solve", input, input2)
    factor, right = equally_many(input2, input)
    return _cholesky_solve(right, factor, upper)


@composite
@flagged
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
    implemented("cholesky_inverse_out_cpu", input)
    return _cholesky_inverse(input, upper)


def _triangular_factor(A: Any, upper: bool, transpose: bool) -> tuple[Any, bool]:
    """The matrix of the equation, and whether it is its upper triangle that counts."""
    return (A.mT, not upper) if transpose else (A, upper)


def _triangular_vjp(K: Any, g: Any, A: Any, upper: bool, transpose: bool, unitriangular: bool) -> Any:
    if g[0] is None:
        return None
    factor, of_upper = _triangular_factor(A, upper, not transpose)
    return K.solve_triangular(factor, g[0], of_upper, unitriangular)


def _coefficients_vjp(K: Any, g: Any, A: Any, result0: Any, upper: bool, transpose: bool, unitriangular: bool) -> Any:
    solved = _triangular_vjp(K, g, A, upper, transpose, unitriangular)
    if solved is None:
        return g[1]
    product = K.matmul(result0, solved.mT) if transpose else K.matmul(solved, result0.mT)
    found = _triangle(K, -product, upper, unitriangular)
    return found if g[1] is None else found + g[1]


def _triangular_jvp(K: Any, t: Any, A: Any, upper: bool, transpose: bool, unitriangular: bool) -> Any:
    factor, of_upper = _triangular_factor(A, upper, transpose)
    return K.solve_triangular(factor, t, of_upper, unitriangular), None


def _coefficients_jvp(K: Any, t: Any, A: Any, result0: Any, upper: bool, transpose: bool, unitriangular: bool) -> Any:
    moved = _triangle(K, t, upper, unitriangular)
    right = -K.matmul(moved.mT if transpose else moved, result0)
    return _triangular_jvp(K, right, A, upper, transpose, unitriangular)[0], t


@op(
    name="_triangular_solve",
    node="TriangularSolveBackward0",
    vjp={"self": _triangular_vjp, "A": _coefficients_vjp},
    jvp={"self": _triangular_jvp, "A": _coefficients_jvp},
    outputs=2,
    batch=each_leading,
    kept=("self", "result0"),
)
def _triangular_solve(
    K, self: Array, A: Array, upper: bool, transpose: bool, unitriangular: bool
) -> tuple[Array, Array]:
    factor, of_upper = _triangular_factor(A, upper, transpose)
    return K.solve_triangular(factor, self, of_upper, unitriangular), K.copy(A)


@composite
@flagged
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
    for which, each in (("b", input), ("A", A)):
        if each.ndim < 2:
            raise RuntimeError(
                f"retrograd.triangular_solve: Expected {which} to have at least 2 dimensions, but it has {each.ndim} "
                "dimensions instead"
            )
    _check_equation("triangular_solve", input, A)
    factor, right = equally_many(A, input)
    return return_types.triangular_solve(*_triangular_solve(right, factor, upper, transpose, unitriangular))


@composite
@flagged
@in_float32
def qr(input: Tensor, some: bool = True) -> Any:
    """QR factorizations: `retrograd.linalg.qr`, complete if not `some`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.qr.html
    """
    return return_types.qr(*linalg_spectra.qr(input, "reduced" if some else "complete"))


@composite
@flagged
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
@flagged
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
    count = x.shape[0] if N is None else as_int(N)
    powers = linalg_products.vander(x, max(count, 2))[:, :count]
    return powers if increasing else powers.flip(1)


@composite
@flagged
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The norm of all elements as a vector, along dimensions: `retrograd.linalg.vector_norm`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.vector_norm.html
    """
    return linalg_norms.vector_norm(input, 2, dim, keepdim)


@composite
@flagged
def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sums of singular values: `retrograd.linalg.matrix_norm` of order `"nuc"`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.matrix_norm.html
    """
    return linalg_norms.matrix_norm(input, "nuc", dim, keepdim)
