"""Factorizations and what follows from them, of stacks of matrices, by LAPACK.

Note [Failures are not-a-number]
    A kernel does not raise for one matrix of a stack: the result of a matrix that is singular, not positive
    definite, or for which an algorithm does not converge, is filled with NaN. The core looks for it, and has the
    texts of errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import get_blas_funcs, get_lapack_funcs

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]


def _each(*stacks: Array) -> Iterator[tuple[Array, ...]]:
    """The matrices of equally long stacks, one by one."""
    flat = [each.reshape(-1, *each.shape[-2:]) for each in stacks]
    return zip(*flat, strict=True)


def _forgiving(function: Callable[..., Any], *stacks: Array) -> Any:
    """`function` of stacks, with NaN for each matrix that it raises for; see Note [Failures are not-a-number]."""
    try:
        return function(*stacks)
    except np.linalg.LinAlgError:
        found = [_or_nan(function, *matrices) for matrices in _each(*stacks)]
    lead = stacks[0].shape[:-2]
    if not isinstance(found[0], tuple):
        return np.stack(found).reshape(*lead, *found[0].shape)
    return tuple(np.stack(each).reshape(*lead, *each[0].shape) for each in zip(*found, strict=True))


def _or_nan(function: Callable[..., Any], *matrices: Array) -> Any:
    try:
        return function(*matrices)
    except np.linalg.LinAlgError:
        likes = tuple(np.eye(*each.shape[-2:], dtype=each.dtype) for each in matrices)
        found = function(*likes)
        return tuple(each * np.nan for each in found) if isinstance(found, tuple) else found * np.nan


def cholesky(x: Array) -> Array:
    """The lower factor, from the lower triangle."""
    return np.tril(_forgiving(np.linalg.cholesky, x))  # also where it is NaN


def cofactor(x: Array) -> Array:
    """``det(x) * inv(x).T``; of singular matrices its limit, from products of all singular values but one."""
    found = np.linalg.det(x)[..., None, None] * inv(x).mT
    good = np.isfinite(found).all((-2, -1), keepdims=True)
    if good.all():
        return found
    u, s, vh = svd(x, False)
    others = np.where(np.eye(x.shape[-1], dtype=bool), 1, s[..., None, :]).prod(-1)
    sign = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return np.where(good, found, sign * ((u.conj() * others[..., None, :]) @ vh.conj()))


def eig(x: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of length 1, complex."""
    kind = np.result_type(x.dtype, np.complex64)

    def complex_eig(x: Array) -> tuple[Array, Array]:
        values, vectors = np.linalg.eig(x)
        return values.astype(kind), vectors.astype(kind)

    return _forgiving(complex_eig, x)


def eigh(x: Array, upper: bool) -> tuple[Array, Array]:
    """Ascending eigenvalues and eigenvectors of a Hermitian matrix, from one of its triangles."""
    return _forgiving(lambda each: tuple(np.linalg.eigh(each, "U" if upper else "L")), x)


def geqrf(x: Array) -> tuple[Array, Array]:
    """R, below it the vectors of the reflections that make Q, and their factors."""
    *lead, n, m = x.shape
    packed, tau = np.empty(x.shape, x.dtype), np.empty((*lead, min(n, m)), x.dtype)
    if packed.size:
        factorize = get_lapack_funcs("geqrf", dtype=x.dtype)
        for to, factors, (each,) in zip(packed.reshape(-1, n, m), tau.reshape(-1, min(n, m)), _each(x), strict=True):
            to[...], factors[...], *_ = factorize(each)
    return packed, tau


def inv(x: Array) -> Array:
    return _forgiving(np.linalg.inv, x)


def ldl(x: Array, hermitian: bool) -> tuple[Array, Array, Array]:
    """Both factors of each matrix, from its lower triangle, in one; the rows exchanged; the first block that is zero.

    A block of two rows has negative pivots. Both are counted from 1, as LAPACK does.
    """
    *lead, n, _ = x.shape
    packed, pivots = np.tril(x), np.empty((*lead, n), np.int32)
    info = np.zeros(lead, np.int32)
    if packed.size:
        names = ("hetrf", "hetrf_lwork") if hermitian and np.iscomplexobj(x) else ("sytrf", "sytrf_lwork")
        factorize, asked = get_lapack_funcs(names, dtype=x.dtype)
        room = int(asked(n, lower=1)[0].real)
        found = info.reshape(-1)
        for i, (to, swaps) in enumerate(zip(packed.reshape(-1, n, n), pivots.reshape(-1, n), strict=True)):
            to[...], swaps[...], found[i] = factorize(to, lower=1, lwork=room)
    return packed, pivots, info


def ldl_solve(packed: Array, pivots: Array, b: Array, hermitian: bool) -> Array:
    """``inv(A) @ b`` by what `ldl` gave for A."""
    out = b.copy()
    n = packed.shape[-1]
    if not out.size:
        return out
    with np.errstate(all="ignore"):
        for x, (factors,), swaps in zip(
            out.reshape(-1, *b.shape[-2:]), _each(packed), pivots.reshape(-1, n), strict=True
        ):
            _solve_by_blocks(factors, swaps.tolist(), x, hermitian)
    return out


def _solve_by_blocks(packed: Array, pivots: list[int], x: Array, hermitian: bool) -> None:
    """In the memory of `x`: by L, exchanging its rows, and D; then by L's transpose."""
    blocks, k = [], 0
    while k < len(pivots):
        size = 1 if pivots[k] > 0 else 2
        blocks.append((slice(k, k + size), slice(k + size, None), k + size - 1, abs(pivots[k]) - 1))
        k += size
    for here, below, row, other in blocks:
        x[[row, other]] = x[[other, row]]
        x[below] -= packed[below, here] @ x[here]
        block = np.tril(packed[here, here])
        above = np.tril(block, -1)
        block = block + (above.conj().T if hermitian else above.T)
        x[here] = np.linalg.inv(block) @ x[here] if len(block) == 2 else x[here] / block
    for here, below, row, other in reversed(blocks):
        left = packed[below, here]
        x[here] -= (left.conj().T if hermitian else left.T) @ x[below]
        x[[row, other]] = x[[other, row]]


def lu(x: Array) -> tuple[Array, Array, Array]:
    """Both factors in one matrix, which row each was exchanged with, and the order that the rows have then."""
    *lead, n, m = x.shape
    packed, pivots = np.empty(x.shape, x.dtype), np.empty((*lead, min(n, m)), np.int32)
    order = np.broadcast_to(np.arange(n), (*lead, n)).copy()
    if packed.size:
        getrf = get_lapack_funcs("getrf", dtype=x.dtype)
        steps, rows = pivots.reshape(-1, min(n, m)), order.reshape(-1, n)
        for to, swaps, places, (each,) in zip(packed.reshape(-1, n, m), steps, rows, _each(x), strict=True):
            to[...], swaps[...], _ = getrf(each)
            for i, k in enumerate(swaps.tolist()):
                places[[i, k]] = places[[k, i]]
    return packed, pivots, order


def matrix_exp(x: Array) -> Array:
    return scipy.linalg.expm(x) if x.size else x.copy()


def qr(x: Array, mode: str) -> tuple[Array, Array]:
    q, r = np.linalg.qr(x, "complete" if mode == "complete" else "reduced")
    return q, r


def slogdet(x: Array) -> tuple[Array, Array]:
    """The sign of the determinant and the logarithm of its modulus."""
    sign, log = np.linalg.slogdet(x)
    return np.asarray(sign), np.asarray(log)


def solve(a: Array, b: Array) -> Array:
    return _forgiving(np.linalg.solve, a, b)


def solve_triangular(a: Array, b: Array, upper: bool, unitriangular: bool) -> Array:
    """``inv(a) @ b``, where only one triangle of `a` is looked at."""
    out = np.empty(b.shape, b.dtype)
    if not out.size:
        return out
    trsm = get_blas_funcs("trsm", dtype=b.dtype)
    for to, left, right in _each(out, a, b):
        to[...] = trsm(1, left, right, lower=not upper, diag=unitriangular)
    return out


def svd(x: Array, full: bool) -> tuple[Array, Array, Array]:
    return _forgiving(lambda each: tuple(np.linalg.svd(each, full)), x)


KERNELS: dict[str, Callable[..., Any]] = {
    "cholesky": cholesky,
    "cofactor": cofactor,
    "det": np.linalg.det,
    "eig": eig,
    "eigh": eigh,
    "geqrf": geqrf,
    "inv": inv,
    "ldl": ldl,
    "ldl_solve": ldl_solve,
    "lu": lu,
    "matrix_exp": matrix_exp,
    "qr": qr,
    "slogdet": slogdet,
    "solve": solve,
    "solve_triangular": solve_triangular,
    "svd": svd,
}
