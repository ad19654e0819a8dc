"""Factorizations of matrices, and inverses, determinants and exponentials: the operators behind `retrograd.linalg`.

Note [Conjugates here]
    Where an operator is not holomorphic its formula is written in full, for complex numbers too: the adjoint of
    what `jvp` would do. ``_h(K, x)`` is the conjugate transpose, which is the transpose of a real matrix.
"""

from __future__ import annotations

from typing import Any

from retrograd.ops.batching import each_leading, leading
from retrograd.ops.declare import Array, op

__all__: list[str] = []

# -- what formulas are made of -------------------------------------------------------------------


def _h(K: Any, x: Any) -> Any:
    """The conjugate transpose."""
    return K.conj(x.mT)


def _column(K: Any, x: Any) -> Any:
    """A number a matrix, so that it scales the matrix."""
    return K.reshape(x, (*x.shape, 1, 1))


def _row(K: Any, x: Any) -> Any:
    """A vector that scales the columns of a matrix."""
    return K.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))


def _standing(K: Any, x: Any) -> Any:
    """A vector that scales the rows of a matrix."""
    return K.reshape(x, (*x.shape, 1))


def _total(K: Any, x: Any) -> Any:
    """The sum of each matrix' elements."""
    ndim = len(x.shape)
    return K.sum(x, (ndim - 2, ndim - 1), False)


def _diagonal(K: Any, x: Any) -> Any:
    ndim = len(x.shape)
    return K.diagonal(x, 0, ndim - 2, ndim - 1)


def _diagonal_matrix(K: Any, x: Any) -> Any:
    ndim = len(x.shape)
    return K.undiagonal(x, (*x.shape, x.shape[-1]), 0, ndim - 1, ndim)


def _hollow(K: Any, x: Any) -> Any:
    """The matrix with zeros on its diagonal."""
    return K.tril(x, -1) + K.triu(x, 1)


def _gaps(K: Any, x: Any) -> Any:
    """``x[j] - x[i]`` in row i and column j, and 1 where i is j."""
    return (_row(K, x) - _standing(K, x)) + _diagonal_matrix(K, K.zeros_like(x) + 1)


def _is_complex(x: Any) -> bool:
    return "complex" in str(x.dtype)


def _plus(a: Any, b: Any) -> Any:
    """The sum of what there is."""
    return b if a is None else a if b is None else a + b


# -- inverses ------------------------------------------------------------------------------------


@op(
    "inv",
    name="_linalg_inv",
    node="LinalgInvExBackward0",
    vjp={"self": lambda K, g, result: -K.matmul(result.mT, K.matmul(g, result.mT))},
    jvp={"self": lambda K, t, result: -K.matmul(result, K.matmul(t, result))},
    batch=leading,
)
def _linalg_inv(self: Array) -> Array:
    """The inverses of square matrices."""


@op(
    "solve",
    name="_linalg_solve",
    node="LinalgSolveExBackward0",
    vjp={
        "self": lambda K, g, self, result: -K.matmul(K.solve(self.mT, g), result.mT),
        "other": lambda K, g, self: K.solve(self.mT, g),
    },
    jvp={
        "self": lambda K, t, self, result: -K.solve(self, K.matmul(t, result)),
        "other": lambda K, t, self: K.solve(self, t),
    },
    batch=each_leading,
)
def _linalg_solve(self: Array, other: Array) -> Array:
    """``inv(self) @ other`` for equally long stacks of matrices."""


def _triangle(K: Any, x: Any, upper: bool, unitriangular: bool) -> Any:
    """What of a matrix counts as a triangular one."""
    return K.triu(x, int(unitriangular)) if upper else K.tril(x, -int(unitriangular))


def _triangular_self_vjp(K: Any, g: Any, self: Any, result: Any, upper: bool, unitriangular: bool) -> Any:
    solved = K.solve_triangular(self.mT, g, not upper, unitriangular)
    return _triangle(K, -K.matmul(solved, result.mT), upper, unitriangular)


def _triangular_self_jvp(K: Any, t: Any, self: Any, result: Any, upper: bool, unitriangular: bool) -> Any:
    moved = K.matmul(_triangle(K, t, upper, unitriangular), result)
    return -K.solve_triangular(self, moved, upper, unitriangular)


@op(
    "solve_triangular",
    name="_linalg_solve_triangular",
    node="LinalgSolveTriangularBackward0",
    vjp={
        "self": _triangular_self_vjp,
        "other": lambda K, g, self, upper, unitriangular: K.solve_triangular(self.mT, g, not upper, unitriangular),
    },
    kept=("result",),
    jvp={
        "self": _triangular_self_jvp,
        "other": lambda K, t, self, upper, unitriangular: K.solve_triangular(self, t, upper, unitriangular),
    },
    batch=each_leading,
)
def _linalg_solve_triangular(self: Array, other: Array, upper: bool, unitriangular: bool) -> Array:
    """``inv(self) @ other``, where one triangle of `self` counts."""


def _pinv_vjp(K: Any, g: Any, self: Any, result: Any) -> Any:
    """The adjoint of ``-P t P + P P^H t^H (1 - A P) + (1 - P A) t^H P^H P``."""
    adjoint, back = _h(K, result), _h(K, g)
    left = K.matmul(back, K.matmul(result, adjoint))
    right = K.matmul(K.matmul(adjoint, result), back)
    return (
        left
        - K.matmul(self, K.matmul(result, left))
        + right
        - K.matmul(K.matmul(right, result), self)
        - K.matmul(adjoint, K.matmul(g, adjoint))
    )


def _pinv_jvp(K: Any, t: Any, self: Any, result: Any) -> Any:
    adjoint, back = _h(K, result), _h(K, t)
    left = K.matmul(K.matmul(result, adjoint), back)
    right = K.matmul(back, K.matmul(adjoint, result))
    return (
        left
        - K.matmul(K.matmul(left, self), result)
        + right
        - K.matmul(result, K.matmul(self, right))
        - K.matmul(result, K.matmul(t, result))
    )


@op(
    name="_linalg_pinv",
    node="LinalgPinvBackward0",
    vjp={"self": _pinv_vjp},
    jvp={"self": _pinv_jvp},
    holomorphic=False,
)
def _linalg_pinv(K, self: Array, atol: float, rtol: float, hermitian: bool) -> Array:
    """The inverse on the span of the singular vectors whose values exceed ``max(atol, rtol * greatest)``."""
    if hermitian:
        s, u = K.eigh(self, False)
        vh = _h(K, u)
    else:
        u, s, vh = K.svd(self, False)
    size = K.abs(s)
    limit = K.max(size, (len(size.shape) - 1,), True) * rtol
    counts = size > (K.maximum(limit, K.zeros_like(limit) + atol) if atol else limit)
    inverse = K.where(counts, 1 / K.where(counts, s, K.zeros_like(s) + 1), K.zeros_like(s))
    return K.matmul(_h(K, vh) * _row(K, inverse), _h(K, u))


# -- determinants --------------------------------------------------------------------------------


def _cofactor_vjp(K: Any, g: Any, self: Any, result: Any) -> Any:
    inverse = K.inv(self).mT
    return _column(K, _total(K, g * result)) * inverse - K.matmul(result, K.matmul(g.mT, inverse))


@op(
    "cofactor",
    name="_linalg_cofactor",
    node="LinalgDetBackward0Backward0",
    vjp={"self": _cofactor_vjp},
    jvp={"self": _cofactor_vjp},  # a symmetric bilinear form's derivative: the same from both sides
    batch=leading,
)
def _linalg_cofactor(self: Array) -> Array:
    """The derivative of the determinant: ``det(self) * inv(self).T``, of singular matrices too."""


@op(
    "det",
    name="_linalg_det",
    node="LinalgDetBackward0",
    vjp={"self": lambda K, g, self: _column(K, g) * K.cofactor(self)},
    kept=("result",),
    jvp={"self": lambda K, t, self: _total(K, K.cofactor(self) * t)},
    batch=leading,
)
def _linalg_det(self: Array) -> Array:
    """The determinants of square matrices."""


def _slogdet_vjp(K: Any, g: Any, self: Any, result0: Any) -> Any:
    """Of complex matrices the sign is a number of modulus 1, whose angle is the imaginary part of the logarithm."""
    sign, log = g
    if not _is_complex(self):
        return K.zeros_like(self) if log is None else _column(K, log) * K.inv(self).mT
    zero = K.zeros_like(K.real(result0))
    angle = zero if sign is None else -K.imag(K.conj(sign) * result0)
    return _column(K, K.complex(zero if log is None else log, angle)) * _h(K, K.inv(self))


def _slogdet_jvp(K: Any, t: Any, self: Any, result0: Any) -> Any:
    change = _total(K, K.inv(self).mT * t)
    if not _is_complex(self):
        return None, change
    return result0 * K.complex(K.zeros_like(K.imag(change)), K.imag(change)), K.real(change)


@op(
    "slogdet",
    name="_linalg_slogdet",
    node="LinalgSlogdetBackward0",
    vjp={"self": _slogdet_vjp},
    jvp={"self": _slogdet_jvp},
    holomorphic=False,
    outputs=2,
    batch=leading,
)
def _linalg_slogdet(self: Array) -> Array:
    """The signs of determinants, and the logarithms of their moduli."""


# -- triangular factors --------------------------------------------------------------------------


def _half_lower(K: Any, x: Any) -> Any:
    """The lower triangle with half of the diagonal."""
    return (K.tril(x, 0) + K.tril(x, -1)) / 2


def _cholesky_vjp(K: Any, g: Any, result: Any) -> Any:
    up = _h(K, result)
    half = _half_lower(K, K.matmul(up, g))
    even = (half + _h(K, half)) / 2
    left = K.solve_triangular(up, even, True, False)
    return _h(K, K.solve_triangular(up, _h(K, left), True, False))


def _cholesky_jvp(K: Any, t: Any, result: Any) -> Any:
    even = (t + _h(K, t)) / 2
    left = K.solve_triangular(result, even, False, False)
    both = _h(K, K.solve_triangular(result, _h(K, left), False, False))
    return K.matmul(result, _half_lower(K, both))


@op(
    "cholesky",
    name="_linalg_cholesky",
    node="LinalgCholeskyExBackward0",
    vjp={"self": _cholesky_vjp},
    jvp={"self": _cholesky_jvp},
    holomorphic=False,
    batch=leading,
)
def _linalg_cholesky(self: Array) -> Array:
    """The lower triangular L of each ``L @ L^H``."""


@op(
    "cholesky",
    name="_cholesky",
    node="CholeskyBackward0",
    vjp={"self": _cholesky_vjp},
    jvp={"self": _cholesky_jvp},
    holomorphic=False,
    batch=leading,
)
def _cholesky(self: Array) -> Array:
    """The same, of PyTorch's older function."""


def _qr_square_vjp(K: Any, gq: Any, gr: Any, q: Any, r: Any) -> Any:
    """The gradient of ``q @ r``, where `r` is square."""
    middle = None if gr is None else K.matmul(r, _h(K, gr))
    if gq is not None:
        middle = _plus(middle, -K.matmul(_h(K, gq), q))
    low = K.tril(middle, -1)
    even = low + _h(K, low) + _diagonal_matrix(K, K.real(_diagonal(K, middle)))
    inner = _plus(gq, K.matmul(q, even))
    return _h(K, K.solve_triangular(r, _h(K, inner), True, False))


def _placed(K: Any, order: Any, x: Any) -> Any:
    """The order of rows as a table for `gather` and `scatter_add` of matrices."""
    return K.broadcast_to(_standing(K, order), tuple(x.shape))


def _split(K: Any, x: Any, packed: Any) -> tuple[Any, Any, Any]:
    """Of what has the form of packed factors: the square part, what is below it, and what is right of it."""
    n, m = packed.shape[-2:]
    least = min(n, m)
    lead = (slice(None),) * (len(packed.shape) - 2)
    part = slice(0, least)
    below = K.slice(x, (*lead, slice(least, n), part)) if n > m else None
    right = K.slice(x, (*lead, part, slice(least, m))) if m > n else None
    return (x if n == m else K.slice(x, (*lead, part, part))), below, right


def _joined(K: Any, square: Any, below: Any, right: Any) -> Any:
    axis = len(square.shape) - 2
    if below is not None:
        return K.concat([square, below], axis)
    return square if right is None else K.concat([square, right], axis + 1)


def _lu_vjp(K: Any, g: Any, self: Any, result0: Any, result2: Any) -> Any:
    """With ``self[order] == L @ U``: what is below L or right of U is the solution of a triangular system."""
    square, below, right = _split(K, result0, result0)
    g_square, g_below, g_right = _split(K, g[0], result0)
    low, up = K.tril(g_square, -1), K.triu(g_square, 0)
    if below is not None:
        g_below = _right_solved(K, square, g_below)
        up = up - K.triu(K.matmul(below.mT, g_below), 0)
    if right is not None:
        g_right = K.solve_triangular(square.mT, g_right, True, True)
        low = low - K.tril(K.matmul(g_right, right.mT), -1)
    lower = K.tril(square, -1)
    inner = K.tril(K.matmul(lower.mT, low) + low, -1) + K.triu(K.matmul(up, K.triu(square, 0).mT), 0)
    inner = _right_solved(K, square, K.solve_triangular(square.mT, inner, True, True))
    whole = _joined(K, inner, g_below, g_right)
    return K.scatter_add(K.zeros_like(self), _placed(K, result2, whole), whole, len(whole.shape) - 2)


def _right_solved(K: Any, packed: Any, x: Any) -> Any:
    """``x @ inv(U).T``."""
    return K.solve_triangular(packed, x.mT, True, False).mT


def _lu_jvp(K: Any, t: Any, result0: Any, result2: Any) -> Any:
    square, below, right = _split(K, result0, result0)
    moved = K.gather(t, _placed(K, result2, t), len(t.shape) - 2)
    inner, t_below, t_right = _split(K, moved, result0)
    inner = K.solve_triangular(square, inner, False, True)
    inner = K.solve_triangular(square.mT, inner.mT, False, False).mT
    low, up = K.tril(inner, -1), K.triu(inner, 0)
    low, up = K.matmul(K.tril(square, -1), low) + low, K.matmul(up, K.triu(square, 0))
    if below is not None:
        t_below = K.solve_triangular(square.mT, (t_below - K.matmul(below, up)).mT, False, False).mT
    if right is not None:
        t_right = K.solve_triangular(square, t_right - K.matmul(low, right), False, True)
    return _joined(K, low + up, t_below, t_right), None, None


@op(
    "lu",
    name="_linalg_lu",
    node="LinalgLuFactorExBackward0",
    vjp={"self": _lu_vjp},
    jvp={"self": _lu_jvp},
    kept=("result1",),
    outputs=3,
    differentiable=1,
    batch=leading,
)
def _linalg_lu(self: Array) -> Array:
    """Both triangular factors in one matrix, which row each was exchanged with, and the order of rows."""


def _check_qr(mode: str, q: Any, r: Any) -> None:
    """Refuse a derivative where what there is does not decide about it."""
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
            "linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr."
        )
    if mode == "complete" and q.shape[-2] > r.shape[-1]:
        raise RuntimeError("The QR decomposition is not differentiable when mode='complete' and nrows > ncols.")


def _qr_square_jvp(K: Any, t: Any, q: Any, r: Any) -> tuple[Any, Any]:
    """The tangents of `q` and `r`: ``q^H dq`` is skew, and ``dr r^-1`` a triangle with a real diagonal."""
    change = _h(K, K.solve_triangular(_h(K, r), _h(K, t), False, False))
    inside = K.matmul(_h(K, q), change)
    low = K.tril(inside, -1)
    triangle = inside - (low - _h(K, low))
    if _is_complex(q):
        turn = K.imag(_diagonal(K, inside))
        triangle = triangle - _diagonal_matrix(K, K.complex(K.zeros_like(turn), turn))
    return change - K.matmul(q, triangle), K.matmul(triangle, r)


def _qr_jvp(K: Any, t: Any, result0: Any, result1: Any, mode: str) -> tuple[Any, Any]:
    _check_qr(mode, result0, result1)
    n, m = result1.shape[-2:]
    if n == m:
        return _qr_square_jvp(K, t, result0, result1)
    head, tail = _keys(result1, slice(0, n)), _keys(result1, slice(n, m))
    dq, dr = _qr_square_jvp(K, K.slice(t, head), result0, K.slice(result1, head))
    right = K.matmul(result0, K.slice(result1, tail))
    behind = K.matmul(_h(K, dq), right) + K.matmul(_h(K, result0), K.slice(t, tail))
    return dq, K.concat([dr, behind], len(dr.shape) - 1)


def _qr_vjp(K: Any, g: Any, result0: Any, result1: Any, mode: str) -> Any:
    _check_qr(mode, result0, result1)
    gq, gr = g
    n, m = result1.shape[-2:]
    if n == m:
        return _qr_square_vjp(K, gq, gr, result0, result1)
    # A wide matrix: its left part decides about Q.
    head, tail = _keys(result1, slice(0, n)), _keys(result1, slice(n, m))
    left = K.slice(result1, head)
    if gr is None:
        part = _qr_square_vjp(K, gq, None, result0, left)
        return K.unslice(part, (*part.shape[:-1], m), head)
    behind = K.slice(gr, tail)
    gq = _plus(gq, K.matmul(K.matmul(result0, K.slice(result1, tail)), _h(K, behind)))
    part = _qr_square_vjp(K, gq, K.triu(K.slice(gr, head), 0), result0, left)
    shape = (*part.shape[:-1], m)
    return K.unslice(part, shape, head) + K.unslice(K.matmul(result0, behind), shape, tail)


def _keys(x: Any, last: slice) -> tuple[slice, ...]:
    """The index of some columns."""
    return (*(slice(None),) * (len(x.shape) - 1), last)


@op(
    "qr",
    name="_linalg_qr",
    node="LinalgQrBackward0",
    vjp={"self": _qr_vjp},
    jvp={"self": _qr_jvp},
    holomorphic=False,
    outputs=2,
    batch=leading,
)
def _linalg_qr(self: Array, mode: str) -> Array:
    """Orthonormal columns and an upper triangle."""


# -- spectra -------------------------------------------------------------------------------------


def _eigh_vjp(K: Any, g: Any, result0: Any, result1: Any) -> Any:
    values, vectors = g
    middle = None if values is None else _diagonal_matrix(K, values)
    if vectors is not None:
        inner = K.matmul(_h(K, result1), vectors)
        # Orthonormal vectors only turn: what is Hermitian in `inner` does not count.
        middle = _plus(_hollow(K, (inner - _h(K, inner)) * 0.5) / _gaps(K, result0), middle)
    elif _is_complex(result1):
        middle = K.astype(middle, result1.dtype)
    return K.matmul(result1, K.matmul(middle, _h(K, result1)))


def _eigh_jvp(K: Any, t: Any, result0: Any, result1: Any) -> Any:
    inner = K.matmul(_h(K, result1), K.matmul(t, result1))
    return K.real(_diagonal(K, inner)), K.matmul(result1, _hollow(K, inner) / _gaps(K, result0))


@op(
    "eigh",
    name="_linalg_eigh",
    node="LinalgEighBackward0",
    vjp={"self": _eigh_vjp},
    jvp={"self": _eigh_jvp},
    holomorphic=False,
    outputs=2,
    batch=leading,
)
def _linalg_eigh(self: Array, upper: bool) -> Array:
    """Eigenvalues, ascending, and eigenvectors of Hermitian matrices."""


def _eig_vjp(K: Any, g: Any, self_dtype: Any, result0: Any, result1: Any) -> Any:
    values, vectors = g
    middle = None if values is None else _diagonal_matrix(K, values)
    adjoint = _h(K, result1)
    if vectors is not None:
        inner = K.matmul(adjoint, vectors)
        # each vector has length 1: what would stretch it does not count
        inner = inner - K.matmul(adjoint, result1) * _row(K, K.real(_diagonal(K, inner)))
        middle = _plus(middle, _hollow(K, inner) / _gaps(K, K.conj(result0)))
    found = K.solve(adjoint, K.matmul(middle, adjoint))
    return found if "complex" in str(self_dtype) else K.real(found)


def _eig_jvp(K: Any, t: Any, result0: Any, result1: Any) -> Any:
    inside = K.solve(result1, K.matmul(K.astype(t, result1.dtype), result1))
    moved = K.matmul(result1, _hollow(K, inside) / _gaps(K, result0))
    stretch = K.real(_diagonal(K, K.matmul(_h(K, result1), moved)))
    return _diagonal(K, inside), moved - result1 * _row(K, stretch)


@op(
    "eig",
    name="_linalg_eig",
    node="LinalgEigBackward0",
    vjp={"self": _eig_vjp},
    jvp={"self": _eig_jvp},
    holomorphic=False,
    outputs=2,
    batch=leading,
)
def _linalg_eig(self: Array) -> Array:
    """Eigenvalues and eigenvectors of square matrices, complex."""


def _skew(K: Any, x: Any) -> Any:
    return x - _h(K, x)


def _columns(K: Any, x: Any, count: int) -> Any:
    """The first columns of a matrix."""
    return x if x is None or x.shape[-1] == count else K.slice(x, _keys(x, slice(0, count)))


def _svd_vjp(K: Any, g: Any, result0: Any, result1: Any, result2: Any) -> Any:
    """The vectors that complete a basis (`full`) are not looked at: they are any."""
    count = result1.shape[-1]
    gu, gs, gvh = g
    u, v = _columns(K, result0, count), _columns(K, _h(K, result2), count)
    gu, gv = _columns(K, gu, count), None if gvh is None else _columns(K, _h(K, gvh), count)
    if gu is None and gv is None:
        return K.matmul(u * _row(K, gs), _h(K, v))
    middle = None if gs is None else _diagonal_matrix(K, gs)
    squares = _gaps(K, result1 * result1)
    inside_u = None if gu is None else K.matmul(_h(K, u), gu)
    inside_v = None if gv is None else K.matmul(_h(K, v), gv)
    if inside_u is not None:
        middle = _plus(_hollow(K, _skew(K, inside_u)) / squares * _row(K, result1), middle)
        if _is_complex(u):
            middle = middle + _diagonal_matrix(K, _diagonal(K, _skew(K, inside_u)) / (2 * result1))
    if inside_v is not None:
        middle = _plus(_standing(K, result1) * (_hollow(K, _skew(K, inside_v)) / squares), middle)
    found = K.matmul(u, K.matmul(middle, _h(K, v)))
    inverse = 1 / result1
    if gu is not None and u.shape[-2] > count:
        found = found + K.matmul((gu - K.matmul(u, inside_u)) * _row(K, inverse), _h(K, v))
    if gv is not None and v.shape[-2] > count:
        found = found + K.matmul(u * _row(K, inverse), _h(K, gv - K.matmul(v, inside_v)))
    return found


def _svd_jvp(K: Any, t: Any, result0: Any, result1: Any, result2: Any) -> Any:
    """The vectors that complete a basis have no tangent. Of complex pairs the left vector turns."""
    count = result1.shape[-1]
    u, v = _columns(K, result0, count), _columns(K, _h(K, result2), count)
    inside = K.matmul(_h(K, u), K.matmul(t, v))
    back = _h(K, inside)
    squares, rows, columns = _gaps(K, result1 * result1), _standing(K, result1), _row(K, result1)
    inside_u = _hollow(K, inside * columns + rows * back) / squares
    inside_v = _hollow(K, rows * inside + back * columns) / squares
    if _is_complex(u):
        turn = K.imag(_diagonal(K, inside)) / result1
        inside_u = inside_u + _diagonal_matrix(K, K.complex(K.zeros_like(turn), turn))
    du, dv = K.matmul(u, inside_u), K.matmul(v, inside_v)
    if u.shape[-2] > count:
        du = du + (K.matmul(t, v) - K.matmul(u, inside)) / columns
    if v.shape[-2] > count:
        dv = dv + (K.matmul(_h(K, t), u) - K.matmul(v, back)) / columns
    return _completed(K, du, result0), K.real(_diagonal(K, inside)), _h(K, _completed(K, dv, _h(K, result2)))


def _completed(K: Any, x: Any, like: Any) -> Any:
    """A matrix with columns of zeros behind, as many as another has."""
    count, wanted = x.shape[-1], like.shape[-1]
    return x if count == wanted else K.unslice(x, (*x.shape[:-1], wanted), _keys(x, slice(0, count)))


@op(
    "svd",
    name="_linalg_svd",
    node="LinalgSvdBackward0",
    vjp={"self": _svd_vjp},
    jvp={"self": _svd_jvp},
    kept=("full",),
    holomorphic=False,
    outputs=3,
    batch=leading,
)
def _linalg_svd(self: Array, full: bool) -> Array:
    """Left singular vectors, descending singular values, and right singular vectors as rows."""


# -- the exponential -----------------------------------------------------------------------------


def _exp_derivative(K: Any, x: Any, t: Any) -> Any:
    """The derivative of the exponential at `x` along `t`: a corner of the exponential of a larger matrix."""
    n = x.shape[-1]
    axis = len(x.shape) - 1
    upper, lower = K.concat([x, t], axis), K.concat([K.zeros_like(x), x], axis)
    found = K.matrix_exp(K.concat([upper, lower], axis - 1))
    everything = (slice(None),) * (axis - 1)
    return K.slice(found, (*everything, slice(0, n), slice(n, 2 * n)))


@op(
    "matrix_exp",
    name="_linalg_matrix_exp",
    node="LinalgMatrixExpBackward0",
    vjp={"self": lambda K, g, self: _exp_derivative(K, self.mT, g)},
    jvp={"self": lambda K, t, self: _exp_derivative(K, self, t)},
    batch=leading,
)
def _linalg_matrix_exp(self: Array) -> Array:
    """The exponentials of square matrices."""
