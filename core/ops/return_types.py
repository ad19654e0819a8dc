"""The named tuples that operators with several results return; printed as PyTorch's.

`retrograd.return_types.max` is what `retrograd.max(x, dim)` returns, and so on.

Source: https://docs.pytorch.org/docs/stable/torch.compiler_api.html (`torch.return_types`)
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

__all__ = [
    "aminmax",
    "cummax",
    "cummin",
    "frexp",
    "geqrf",
    "histogram",
    "histogramdd",
    "kthvalue",
    "linalg_cholesky_ex",
    "linalg_eig",
    "linalg_eigh",
    "linalg_inv_ex",
    "linalg_ldl_factor",
    "linalg_ldl_factor_ex",
    "linalg_lstsq",
    "linalg_lu",
    "linalg_lu_factor",
    "linalg_lu_factor_ex",
    "linalg_qr",
    "linalg_slogdet",
    "linalg_solve_ex",
    "linalg_svd",
    "lu_unpack",
    "max",
    "median",
    "min",
    "mode",
    "nanmedian",
    "qr",
    "slogdet",
    "sort",
    "svd",
    "topk",
    "triangular_solve",
]  # fmt: skip


def return_type(name: str, *fields: str) -> Any:
    """A named tuple class that prints a field a line."""
    base = namedtuple(name, fields)  # type: ignore[misc]  # the fields are not known to a type checker
    members = {"__slots__": (), "__repr__": _text, "__module__": "retrograd.return_types"}
    return type(name, (base,), members)


def _text(self: Any) -> str:
    lines = ",\n".join(f"{field}={getattr(self, field)!r}" for field in self._fields)
    return f"retrograd.return_types.{type(self).__name__}(\n{lines})"


aminmax = return_type("aminmax", "min", "max")
cummax = return_type("cummax", "values", "indices")
cummin = return_type("cummin", "values", "indices")
frexp = return_type("frexp", "mantissa", "exponent")
geqrf = return_type("geqrf", "a", "tau")
histogram = return_type("histogram", "hist", "bin_edges")
histogramdd = return_type("histogramdd", "hist", "bin_edges")
kthvalue = return_type("kthvalue", "values", "indices")
linalg_cholesky_ex = return_type("linalg_cholesky_ex", "L", "info")
linalg_eig = return_type("linalg_eig", "eigenvalues", "eigenvectors")
linalg_eigh = return_type("linalg_eigh", "eigenvalues", "eigenvectors")
linalg_inv_ex = return_type("linalg_inv_ex", "inverse", "info")
linalg_ldl_factor = return_type("linalg_ldl_factor", "LD", "pivots")
linalg_ldl_factor_ex = return_type("linalg_ldl_factor_ex", "LD", "pivots", "info")
linalg_lstsq = return_type("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
linalg_lu = return_type("linalg_lu", "P", "L", "U")
linalg_lu_factor = return_type("linalg_lu_factor", "LU", "pivots")
linalg_lu_factor_ex = return_type("linalg_lu_factor_ex", "LU", "pivots", "info")
linalg_qr = return_type("linalg_qr", "Q", "R")
linalg_slogdet = return_type("linalg_slogdet", "sign", "logabsdet")
linalg_svd = return_type("linalg_svd", "U", "S", "Vh")
_lu_with_info = return_type("_lu_with_info", "LU", "pivots", "info")
linalg_solve_ex = return_type("linalg_solve_ex", "result", "info")
lu_unpack = return_type("lu_unpack", "P", "L", "U")
max = return_type("max", "values", "indices")
median = return_type("median", "values", "indices")
min = return_type("min", "values", "indices")
mode = return_type("mode", "values", "indices")
nanmedian = return_type("nanmedian", "values", "indices")
qr = return_type("qr", "Q", "R")
slogdet = return_type("slogdet", "sign", "logabsdet")
sort = return_type("sort", "values", "indices")
svd = return_type("svd", "U", "S", "V")
topk = return_type("topk", "values", "indices")
triangular_solve = return_type("triangular_solve", "solution", "cloned_coefficient")
