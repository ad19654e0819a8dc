"""Factorizations of stacks of matrices, and what follows from them.

What fails is NaN: see Note [Failures are not-a-number] in `retrograd.backends.numpy.linalg`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg
from jax import lax

from retrograd.backends.jax.compiling import jit

__all__ = ["KERNELS"]

Array = jax.Array


def cholesky(x: Array) -> Array:
    return jnp.linalg.cholesky(x, symmetrize_input=False)


def cofactor(x: Array) -> Array:
    """``det(x) * inv(x).T``; of singular matrices its limit, from products of all singular values but one."""
    found = jnp.linalg.det(x)[..., None, None] * jnp.linalg.inv(x).mT
    good = jnp.isfinite(found).all((-2, -1), keepdims=True)

    def limit() -> Array:
        u, s, vh = svd(x, False)
        others = jnp.where(jnp.eye(x.shape[-1], dtype=bool), 1, s[..., None, :]).prod(-1)
        sign = (jnp.linalg.det(u) * jnp.linalg.det(vh))[..., None, None]
        return jnp.where(good, found, sign * ((u.conj() * others[..., None, :]) @ vh.conj()))

    return lax.cond(good.all(), lambda: found, limit)


def eig(x: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eig(x)
    return values, vectors


def eigh(x: Array, upper: bool) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(x, "U" if upper else "L", symmetrize_input=False)
    return values, vectors


def geqrf(x: Array) -> tuple[Array, Array]:
    packed, tau = jnp.linalg.qr(x, "raw")
    return packed.mT, tau


def lu(x: Array) -> tuple[Array, Array, Array]:
    packed, pivots, order = lax.linalg.lu(x)
    return packed, pivots, order.astype(jnp.int64)


def matrix_exp(x: Array) -> Array:
    return jax.scipy.linalg.expm(x, max_squarings=48) if x.size else x


def qr(x: Array, mode: str) -> tuple[Array, Array]:
    q, r = jnp.linalg.qr(x, "complete" if mode == "complete" else "reduced")
    return q, r


def slogdet(x: Array) -> tuple[Array, Array]:
    sign, log = jnp.linalg.slogdet(x)
    return sign, log


def solve_triangular(a: Array, b: Array, upper: bool, unitriangular: bool) -> Array:
    return lax.linalg.triangular_solve(a, b, left_side=True, lower=not upper, unit_diagonal=unitriangular)


def svd(x: Array, full: bool) -> tuple[Array, Array, Array]:
    u, s, vh = jnp.linalg.svd(x, full)
    return u, s, vh


KERNELS = {
    "cholesky": jit()(cholesky),
    "cofactor": jit()(cofactor),
    "det": jit()(jnp.linalg.det),
    "eig": jit()(eig),
    "eigh": jit(1)(eigh),
    "geqrf": jit()(geqrf),
    "inv": jit()(jnp.linalg.inv),
    "lu": jit()(lu),
    "matrix_exp": jit()(matrix_exp),
    "qr": jit(1)(qr),
    "slogdet": jit()(slogdet),
    "solve": jit()(jnp.linalg.solve),
    "solve_triangular": jit(2, 3)(solve_triangular),
    "svd": jit(1)(svd),
}
