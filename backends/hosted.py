"""Kernels on matrices, and Fourier transforms, of backends that have none: on the host, by NumPy's."""

from __future__ import annotations

from typing import Any

__all__ = [
    "cholesky", "cofactor", "det", "eig", "eigh", "fft", "geqrf", "inv", "ldl", "ldl_solve", "lu", "matrix_exp",
    "qr", "slogdet", "solve", "solve_triangular", "svd",
]  # fmt: skip

Array = Any


def _on_host(K: Any, name: str, *arguments: Any) -> Any:
    from retrograd.backends.numpy.linalg import KERNELS  # SciPy's, which a program may never need

    found = KERNELS[name](*(K.to_host(each) if hasattr(each, "shape") else each for each in arguments))
    return tuple(map(K.from_host, found)) if isinstance(found, tuple) else K.from_host(found)


def cholesky(K: Any, x: Array) -> Array:
    return _on_host(K, "cholesky", x)


def cofactor(K: Any, x: Array) -> Array:
    return _on_host(K, "cofactor", x)


def det(K: Any, x: Array) -> Array:
    return _on_host(K, "det", x)


def eig(K: Any, x: Array) -> tuple[Array, Array]:
    return _on_host(K, "eig", x)


def eigh(K: Any, x: Array, upper: bool) -> tuple[Array, Array]:
    return _on_host(K, "eigh", x, upper)


def fft(K: Any, x: Array, axes: tuple[int, ...], inverse: bool) -> Array:
    from retrograd.backends.numpy.fourier import fft as transformed

    return K.from_host(transformed(K.to_host(x), axes, inverse))


def geqrf(K: Any, x: Array) -> tuple[Array, Array]:
    return _on_host(K, "geqrf", x)


def inv(K: Any, x: Array) -> Array:
    return _on_host(K, "inv", x)


def ldl(K: Any, x: Array, hermitian: bool) -> tuple[Array, Array, Array]:
    return _on_host(K, "ldl", x, hermitian)


def ldl_solve(K: Any, packed: Array, pivots: Array, b: Array, hermitian: bool) -> Array:
    return _on_host(K, "ldl_solve", packed, pivots, b, hermitian)


def lu(K: Any, x: Array) -> tuple[Array, Array, Array]:
    return _on_host(K, "lu", x)


def matrix_exp(K: Any, x: Array) -> Array:
    return _on_host(K, "matrix_exp", x)


def qr(K: Any, x: Array, mode: str) -> tuple[Array, Array]:
    return _on_host(K, "qr", x, mode)


def slogdet(K: Any, x: Array) -> tuple[Array, Array]:
    return _on_host(K, "slogdet", x)


def solve(K: Any, a: Array, b: Array) -> Array:
    return _on_host(K, "solve", a, b)


def solve_triangular(K: Any, a: Array, b: Array, upper: bool, unitriangular: bool) -> Array:
    return _on_host(K, "solve_triangular", a, b, upper, unitriangular)


def svd(K: Any, x: Array, full: bool) -> tuple[Array, Array, Array]:
    return _on_host(K, "svd", x, full)
