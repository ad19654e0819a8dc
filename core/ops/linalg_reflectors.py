"""Products of Householder reflections: what QR factorizations are made of.

A reflection is ``I - tau * v @ v.mH``. The vectors of several stand below the diagonal of a matrix; each begins with
the 1 that stands on the diagonal in its place.

Note [Products of reflections]
    With V the matrix of vectors, D that of the taus on its diagonal and S what is above the diagonal of ``V.mH @ V``,
    the product of all is ``I - V @ inv(I + D @ S) @ D @ V.mH``. The inverse is that of a triangle with ones on its
    diagonal, which exists for all taus; everything else here is the derivative of that.

    Schreiber and Van Loan, "A storage-efficient WY representation for products of Householder transformations", 1989.
"""

from __future__ import annotations

from typing import Any

from retrograd.ops import return_types
from retrograd.ops.autocasting import in_float32
from retrograd.ops.batching import each_leading, leading
from retrograd.ops.declare import Array, composite, op
from retrograd.ops.factorizations import _diagonal, _h, _keys, _plus, _standing
from retrograd.ops.flags import flagged
from retrograd.ops.linalg_checks import check_tensors, implemented, of_linalg
from retrograd.ops.underived import no_slope, no_tangent
from retrograd.tensor import Tensor

__all__ = ["householder_product"]

# -- formulas ------------------------------------------------------------------------------------


def _ones_on_diagonal(K: Any, like: Any, rows: int) -> Any:
    """The first columns of the identity, as many as a vector has elements."""
    ndim = len(like.shape) + 1
    return K.undiagonal(K.zeros_like(like) + 1, (*like.shape[:-1], rows, like.shape[-1]), 0, ndim - 2, ndim - 1)


def _vectors(K: Any, packed: Any, tau: Any) -> Any:
    """V of Note [Products of reflections]."""
    count = tau.shape[-1]
    below = packed if packed.shape[-1] == count else K.slice(packed, _keys(packed, slice(0, count)))
    return K.tril(below, -1) + _ones_on_diagonal(K, tau, packed.shape[-2])


def _summed_rows(K: Any, x: Any) -> Any:
    return K.sum(x, (len(x.shape) - 1,), False)


def _applied(K: Any, v: Any, tau: Any, x: Any, adjoint: bool) -> Any:
    """``Q @ x``, or ``Q.mH @ x``."""
    triangle = _standing(K, tau) * K.triu(K.matmul(_h(K, v), v), 1)
    inside = K.matmul(_h(K, v), x)
    if adjoint:
        inside = _standing(K, K.conj(tau)) * K.solve_triangular(_h(K, triangle), inside, False, True)
    else:
        inside = K.solve_triangular(triangle, _standing(K, tau) * inside, True, True)
    return x - K.matmul(v, inside)


def _applied_vjp(K: Any, g: Any, v: Any, tau: Any, x: Any, adjoint: bool) -> tuple[Any, Any, Any]:
    """The gradients of the vectors, the taus and `x`."""
    rows, up = _standing(K, tau), _h(K, v)
    above = K.triu(K.matmul(up, v), 1)
    triangle, inside, back = rows * above, K.matmul(up, x), -K.matmul(up, g)
    if adjoint:
        solved = K.solve_triangular(_h(K, triangle), inside, False, True)
        outer = K.conj(rows) * solved
        g_tau = _summed_rows(K, K.conj(back) * solved)
        g_inside = K.solve_triangular(triangle, rows * back, True, True)
        g_triangle = -K.triu(K.matmul(solved, _h(K, g_inside)), 1)
    else:
        outer = K.solve_triangular(triangle, rows * inside, True, True)
        solved = K.solve_triangular(_h(K, triangle), back, False, True)
        g_tau = _summed_rows(K, solved * K.conj(inside))
        g_inside = K.conj(rows) * solved
        g_triangle = -K.triu(K.matmul(solved, _h(K, outer)), 1)
    g_tau = g_tau + _summed_rows(K, g_triangle * K.conj(above))
    g_above = K.conj(rows) * g_triangle
    g_v = K.matmul(x, _h(K, g_inside)) - K.matmul(g, _h(K, outer)) + K.matmul(v, g_above + _h(K, g_above))
    return g_v, g_tau, g + K.matmul(v, g_inside)


def _applied_jvp(K: Any, v: Any, tau: Any, x: Any, adjoint: bool, t_v: Any, t_tau: Any) -> Any:
    """The tangent that comes from that of the vectors or (the other is None) that of the taus."""
    rows, up = _standing(K, tau), _h(K, v)
    above, inside = K.triu(K.matmul(up, v), 1), K.matmul(up, x)
    triangle = rows * above
    if t_v is None:
        t_rows, t_inside = _standing(K, t_tau), None
        t_triangle = t_rows * above
    else:
        t_rows, t_inside = None, K.matmul(_h(K, t_v), x)
        t_triangle = rows * K.triu(K.matmul(_h(K, t_v), v) + K.matmul(up, t_v), 1)
    if adjoint:
        solved = K.solve_triangular(_h(K, triangle), inside, False, True)
        outer = K.conj(rows) * solved
        moved = _plus(t_inside, -K.matmul(_h(K, t_triangle), solved))
        t_outer = K.conj(rows) * K.solve_triangular(_h(K, triangle), moved, False, True)
        t_outer = t_outer if t_rows is None else t_outer + K.conj(t_rows) * solved
    else:
        outer = K.solve_triangular(triangle, rows * inside, True, True)
        moved = (rows * t_inside if t_rows is None else t_rows * inside) - K.matmul(t_triangle, outer)
        t_outer = K.solve_triangular(triangle, moved, True, True)
    found = -K.matmul(v, t_outer)
    return found if t_v is None else found - K.matmul(t_v, outer)


def _tangent_of_vectors(K: Any, t: Any, tau: Any) -> Any:
    """From that of the matrix below whose diagonal they stand."""
    count = tau.shape[-1]
    return K.tril(t if t.shape[-1] == count else K.slice(t, _keys(t, slice(0, count))), -1)


def _below(K: Any, g_v: Any, packed: Any) -> Any:
    """The gradient of the matrix below whose diagonal the vectors stand."""
    found = K.tril(g_v, -1)
    count = g_v.shape[-1]
    return found if packed.shape[-1] == count else K.unslice(found, tuple(packed.shape), _keys(packed, slice(0, count)))


# -- operators -----------------------------------------------------------------------------------


@op(
    "geqrf",
    name="_geqrf",
    node="GeqrfBackward0",
    vjp={"self": no_slope("geqrf", listed=True)},
    jvp={"self": no_tangent("geqrf", listed=True)},
    outputs=2,
    batch=leading,
)
def _geqrf(self: Array) -> Array:
    """R and, below it, the vectors whose reflections make Q; and their taus."""


def _start(K: Any, input: Any) -> Any:
    """As many columns of the identity as the matrix has."""
    return _ones_on_diagonal(K, _diagonal(K, input), input.shape[-2])


def _product_vjp(K: Any, g: Any, input: Any, tau: Any) -> tuple[Any, Any]:
    g_v, g_tau, _ = _applied_vjp(K, g, _vectors(K, input, tau), tau, _start(K, input), False)
    return _below(K, g_v, input), g_tau


def _product_jvp_input(K: Any, t: Any, input: Any, tau: Any) -> Any:
    t_v = _tangent_of_vectors(K, t, tau)
    return _applied_jvp(K, _vectors(K, input, tau), tau, _start(K, input), False, t_v, None)


def _product_jvp_tau(K: Any, t: Any, input: Any, tau: Any) -> Any:
    return _applied_jvp(K, _vectors(K, input, tau), tau, _start(K, input), False, None, t)


@op(
    name="_linalg_householder_product",
    node="LinalgHouseholderProductBackward0",
    vjp={"*": _product_vjp},
    jvp={"input": _product_jvp_input, "tau": _product_jvp_tau},
    holomorphic=False,
    batch=each_leading,
    kept=("result",),
)
def _linalg_householder_product(K, input: Array, tau: Array) -> Array:
    """The first columns of a product of reflections."""
    return _applied(K, _vectors(K, input, tau), tau, _start(K, input), False)


def _ormqr_vjp(
    K: Any, g: Any, self: Any, input2: Any, input3: Any, left: bool, transpose: bool
) -> tuple[Any, Any, Any]:
    """From the right, ``x @ Q`` is ``(Q.mH @ x.mH).mH``."""
    v = _vectors(K, self, input2)
    if left:
        g_v, g_tau, g_x = _applied_vjp(K, g, v, input2, input3, transpose)
    else:
        g_v, g_tau, g_x = _applied_vjp(K, _h(K, g), v, input2, _h(K, input3), not transpose)
        g_x = _h(K, g_x)
    return _below(K, g_v, self), g_tau, g_x


def _ormqr_jvp(K: Any, v: Any, tau: Any, x: Any, t_v: Any, t_tau: Any, left: bool, transpose: bool) -> Any:
    if left:
        return _applied_jvp(K, v, tau, x, transpose, t_v, t_tau)
    return _h(K, _applied_jvp(K, v, tau, _h(K, x), not transpose, t_v, t_tau))


def _ormqr_jvp_vectors(K: Any, t: Any, self: Any, input2: Any, input3: Any, left: bool, transpose: bool) -> Any:
    t_v = _tangent_of_vectors(K, t, input2)
    return _ormqr_jvp(K, _vectors(K, self, input2), input2, input3, t_v, None, left, transpose)


def _ormqr_jvp_tau(K: Any, t: Any, self: Any, input2: Any, input3: Any, left: bool, transpose: bool) -> Any:
    return _ormqr_jvp(K, _vectors(K, self, input2), input2, input3, None, t, left, transpose)


def _multiplied(K: Any, x: Any, self: Any, input2: Any, left: bool, transpose: bool) -> Any:
    v = _vectors(K, self, input2)
    if left:
        return _applied(K, v, input2, x, transpose)
    return _h(K, _applied(K, v, input2, _h(K, x), not transpose))


@op(
    name="_ormqr",
    node="OrmqrBackward0",
    vjp={"*": _ormqr_vjp},
    jvp={"self": _ormqr_jvp_vectors, "input2": _ormqr_jvp_tau, "input3": _multiplied},
    holomorphic=False,
    batch=each_leading,
    kept=("result",),
)
def _ormqr(K, self: Array, input2: Array, input3: Array, left: bool, transpose: bool) -> Array:
    """A product of reflections, times a matrix, from either side."""
    return _multiplied(K, input3, self, input2, left, transpose)


# -- what users call -----------------------------------------------------------------------------


@composite
@in_float32
def geqrf(input: Tensor) -> Any:
    """QR factorizations as LAPACK leaves them: R, below it the vectors of reflections that make Q, and their taus.

    `householder_product` makes Q of them, and `ormqr` multiplies by it. It has no derivative; `linalg.qr` has.

    Raises
    ------
    RuntimeError
        If `input` has less than two dimensions.
    NotImplementedError
        If its type is not floating-point or complex, or a derivative is asked for.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.geqrf.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.tensor([[3.0, 1.0], [4.0, 2.0]])
    >>> a, tau = retrograd.geqrf(A)
    >>> retrograd.allclose(retrograd.linalg.householder_product(a, tau) @ a.triu(), A)
    True
    """
    check_tensors("geqrf", input=input)
    if input.ndim < 2:
        raise RuntimeError("retrograd.geqrf: input must have at least 2 dimensions.")
    implemented("geqrf_cpu", input)
    return return_types.geqrf(*_geqrf(input))


def _last(tensor: Tensor) -> int:
    if not tensor.ndim:
        raise IndexError("Dimension specified as -1 but tensor has no dimensions")
    return int(tensor.shape[-1])


def _check_dimensions(name: str, input: Tensor, tau: Tensor) -> None:
    """Refuse taus that are no vectors for matrices."""
    if input.ndim - tau.ndim != 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {tau.ndim} and "
            f"input.ndim is equal to {input.ndim}"
        )


def _check_leading(name: str, which: str, lead: tuple[int, ...], input: Tensor) -> None:
    if lead != tuple(input.shape[:-2]):
        raise RuntimeError(
            f"{name}: Expected batch dimensions of {which} to be equal to input.shape[:-2], but got {list(lead)}"
        )


@of_linalg
@in_float32
def householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of the reflections ``I - tau * v @ v.mH``, as many as `input` has.

    Parameters
    ----------
    input
        Tall matrices, or square ones: below the diagonal, in each column, a vector that begins with 1 on it.
    tau
        Of each column its factor; columns behind the last factor are no vectors.

    Raises
    ------
    RuntimeError
        If shapes or types do not fit.
    NotImplementedError
        If the type is not floating-point or complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.householder_product.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.householder_product(retrograd.tensor([[0.0], [1.0]]), retrograd.tensor([1.0]))
    tensor([[ 0.],
            [-1.]])
    """
    name = "retrograd.linalg.householder_product"
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if input.shape[-2] < input.shape[-1]:
        raise RuntimeError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if input.shape[-1] < _last(tau):
        raise RuntimeError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    _check_dimensions(name, input, tau)
    _check_leading(name, "tau", tuple(tau.shape[:-1]), input)
    if tau.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {tau.dtype.type_name} does not match input dtype {input.dtype.type_name}"
        )
    implemented("orgqr_cpu", input)
    return _linalg_householder_product(input, tau)


@composite
def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """`linalg.householder_product`, under the name that LAPACK has for it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.orgqr.html
    """
    check_tensors("orgqr", input=input, input2=input2)
    found: Tensor = householder_product(input, input2)
    return found


def _check_ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool) -> None:
    name, side = "retrograd.ormqr", -2 if left else -1
    for which, each in (("input", input), ("other", other)):
        if each.ndim < 2:
            raise RuntimeError(f"{name}: {which} must have at least 2 dimensions.")
    if other.shape[side] != input.shape[-2]:
        raise RuntimeError(f"{name}: other.shape[{side}] must be equal to input.shape[-2]")
    if _last(tau) != min(other.shape[side], input.shape[-1]):
        raise RuntimeError(f"{name}: tau.shape[-1] must be equal to min(other.shape[{side}], input.shape[-1])")
    _check_dimensions(name, input, tau)
    if other.ndim != input.ndim:
        raise RuntimeError(
            f"{name}: Expected other to have the same number of dimensions as input, but got other.ndim equal to "
            f"{other.ndim} and input.ndim is equal to {input.ndim}"
        )
    _check_leading(name, "tau", tuple(tau.shape[:-1]), input)
    _check_leading(name, "other", tuple(other.shape[:-2]), input)
    for which, each in (("tau", tau), ("other", other)):
        if each.dtype is not input.dtype:
            raise RuntimeError(
                f"{name}: Expected input and {which} to have the same dtype, but input has dtype"
                f"{input.dtype.type_name} and {which} has dtype {each.dtype.type_name}"
            )
    implemented("ormqr_cpu", input)


@composite
@flagged
@in_float32
def ormqr(input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    """``Q @ input3``, where Q is the square product of reflections whose vectors are in `input` and taus in `input2`.

    Parameters
    ----------
    left
        Otherwise ``input3 @ Q``.
    transpose
        Whether the conjugate transpose of Q stands for it.

    Raises
    ------
    RuntimeError
        If shapes or types do not fit.
    NotImplementedError
        If the type is not floating-point or complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ormqr.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.tensor([[3.0, 1.0], [4.0, 2.0]])
    >>> a, tau = retrograd.geqrf(A)
    >>> retrograd.allclose(retrograd.ormqr(a, tau, A, transpose=True), a.triu(), atol=1e-6)
    True
    """
    check_tensors("ormqr", input=input, input2=input2, input3=input3)
    _check_ormqr(input, input2, input3, left)
    return _ormqr(input, input2, input3, left, transpose)
