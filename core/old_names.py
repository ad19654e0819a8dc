"""Names from PyTorch's first years that programs still have: of products of sparse matrices, and of what is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from retrograd.ops.linalg import mm
from retrograd.sparse.products import hspmm, sspaddmm

__all__ = ["dsmm", "eig", "hsmm", "lstsq", "matrix_rank", "saddmm", "solve", "spmm", "symeig"]

dsmm = spmm = mm
hsmm, saddmm = hspmm, sspaddmm


def _gone(name: str, instead: str) -> Callable[..., NoReturn]:
    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"This function was deprecated since version 1.9 and is now removed. {instead}")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Gone. {instead}\n\n    Raises\n    ------\n    RuntimeError\n        Always."
    return function


eig = _gone("eig", "`linalg.eig` returns complex tensors; `linalg.eigvals` the eigenvalues alone.")
lstsq = _gone("lstsq", "`linalg.lstsq(A, B)` takes its arguments in the other order and returns named fields.")
matrix_rank = _gone("matrix_rank", "Use `linalg.matrix_rank`, in which `symmetric` is called `hermitian`.")
solve = _gone("solve", "`linalg.solve(A, B)` takes its arguments in the other order; `lu_factor` gives the LU factors.")
symeig = _gone("symeig", "`linalg.eigh` looks at the lower triangle by default (`UPLO='U'`: at the upper one).")
