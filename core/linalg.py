"""Linear algebra: factorizations, inverses, spectra and norms of stacks of matrices, with `torch.linalg`'s names.

All functions take matrices in the last two dimensions, whatever is in front of them, real and complex ones.

Source: https://docs.pytorch.org/docs/stable/linalg.html
"""

from __future__ import annotations

from retrograd.ops.linalg import matmul as matmul
from retrograd.ops.linalg_checks import LinAlgError as LinAlgError
from retrograd.ops.linalg_ldl import (
    ldl_factor as ldl_factor,
    ldl_factor_ex as ldl_factor_ex,
    ldl_solve as ldl_solve,
)
from retrograd.ops.linalg_lu import lu as lu, lu_factor as lu_factor, lu_factor_ex as lu_factor_ex
from retrograd.ops.linalg_lu_solving import lu_solve as lu_solve
from retrograd.ops.linalg_norms import (
    cond as cond,
    matrix_norm as matrix_norm,
    norm as norm,
    vector_norm as vector_norm,
)
from retrograd.ops.linalg_products import (
    cross as cross,
    diagonal as diagonal,
    multi_dot as multi_dot,
    vander as vander,
    vecdot as vecdot,
)
from retrograd.ops.linalg_reflectors import householder_product as householder_product
from retrograd.ops.linalg_solving import (
    cholesky as cholesky,
    cholesky_ex as cholesky_ex,
    det as det,
    inv as inv,
    inv_ex as inv_ex,
    lstsq as lstsq,
    matrix_exp as matrix_exp,
    matrix_power as matrix_power,
    pinv as pinv,
    slogdet as slogdet,
    solve as solve,
    solve_ex as solve_ex,
    solve_triangular as solve_triangular,
    tensorinv as tensorinv,
    tensorsolve as tensorsolve,
)
from retrograd.ops.linalg_spectra import (
    eig as eig,
    eigh as eigh,
    eigvals as eigvals,
    eigvalsh as eigvalsh,
    matrix_rank as matrix_rank,
    qr as qr,
    svd as svd,
    svdvals as svdvals,
)

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals",
    "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu",
    "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank",
    "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals",
    "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip
