"""Symmetric and Hermitian matrices, definite or not, as ``L @ D @ L.mT`` with small blocks on D's diagonal.

Of the functions of `retrograd.linalg` these alone have no derivatives, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

from retrograd.levels import bare
from retrograd.ops import return_types
from retrograd.ops.batching import each_leading, leading
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.declare import Array, op
from retrograd.ops.linalg_checks import check_floating, check_square, implemented, of_linalg
from retrograd.ops.shape import expand
from retrograd.ops.underived import no_slope, no_tangent
from retrograd.tensor import Tensor

__all__ = ["ldl_factor", "ldl_factor_ex", "ldl_solve"]


_FACTOR, _SOLVE = "linalg_ldl_factor_ex", "linalg_ldl_solve"


@op(
    "ldl",
    name=f"_{_FACTOR}",
    node="NotImplemented",
    vjp={"self": no_slope(_FACTOR)},
    jvp={"self": no_tangent(_FACTOR)},
    outputs=3,
    differentiable=1,
    batch=leading,
)
def _linalg_ldl_factor_ex(self: Array, hermitian: bool) -> Array:
    """Both factors in one matrix, which rows were exchanged, and the place of the first block that is zero, or 0."""


@op(
    "ldl_solve",
    name=f"_{_SOLVE}",
    node="NotImplemented",
    vjp={"LD": no_slope(_SOLVE), "B": no_slope(_SOLVE)},
    jvp={"LD": no_tangent(_SOLVE), "B": no_tangent(_SOLVE)},
    batch=each_leading,
)
def _linalg_ldl_solve(LD: Array, pivots: Array, B: Array, hermitian: bool) -> Array:
    """The solutions, for equally long stacks of matrices."""


def _factors(A: Tensor, hermitian: bool) -> tuple[Tensor, Tensor, Tensor]:
    check_square("retrograd.linalg.ldl_factor_ex", A)
    check_floating("retrograd.linalg.ldl_factor_ex", A)
    implemented("ldl_factor_kernel_cpu", A)
    packed, pivots, info = _linalg_ldl_factor_ex(A, hermitian)
    return packed, pivots, info


def _check_info(name: str, info: Tensor) -> None:
    for each in bare(info).reshape(-1).tolist():
        if each:
            raise RuntimeError(f"retrograd.linalg.{name}: Unknown error code: {each}.")


@of_linalg
def ldl_factor(input: Tensor, *, hermitian: bool = False) -> Any:
    """L and D in one matrix, from the lower triangle of `input`, and which rows were exchanged, as LAPACK has them.

    Parameters
    ----------
    hermitian
        Of complex numbers, whether `input` is Hermitian; otherwise it is symmetric.

    Raises
    ------
    RuntimeError
        If a block of D is zero, or `input` no stack of square matrices of floats or complex numbers.
    NotImplementedError
        If the type has 16 bits, or in forward mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.ldl_factor.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.ldl_factor(retrograd.tensor([[2.0, 1.0], [1.0, 0.0]]))
    retrograd.return_types.linalg_ldl_factor(
    LD=tensor([[ 2.0000,  0.0000],
            [ 0.5000, -0.5000]]),
    pivots=tensor([1, 2], dtype=retrograd.int32))
    """
    packed, pivots, info = _factors(input, hermitian)
    _check_info("ldl_factor", info)
    return return_types.linalg_ldl_factor(packed, pivots)


@of_linalg
def ldl_factor_ex(input: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """As `ldl_factor`, with the place of the first block of D that is zero instead of an error; 0 if none is.

    Raises
    ------
    RuntimeError
        If `check_errors` is set, as `ldl_factor`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.ldl_factor_ex.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.ldl_factor_ex(retrograd.zeros(2, 2)).info
    tensor(1, dtype=retrograd.int32)
    """
    packed, pivots, info = _factors(input, hermitian)
    if check_errors:
        _check_info("ldl_factor_ex", info)
    return return_types.linalg_ldl_factor_ex(packed, pivots, info)


def _check_equation(LD: Tensor, pivots: Tensor, B: Tensor) -> None:
    name = "retrograd.linalg.ldl_solve"
    check_square(name, LD)
    check_floating(name, LD)
    if B.dtype is not LD.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {B.dtype.type_name} and A of type "
            f"{LD.dtype.type_name} instead."
        )
    n, (rows, columns) = LD.shape[-1], (B.size(-2), B.size(-1))
    if rows != n:
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {n} by {n} but each b matrix is {rows} by "
            f"{columns}"
        )
    if tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise RuntimeError(
            f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
            f"{list(pivots.shape)} instead"
        )
    if pivots.dtype.is_floating_point or pivots.dtype.is_complex:
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {pivots.dtype.type_name}")
    implemented("ldl_solve_kernel_cpu", LD)


@of_linalg
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """The X of ``A @ X == B``, by what `ldl_factor` gave for A.

    Parameters
    ----------
    hermitian
        As it was for `ldl_factor`.

    Raises
    ------
    RuntimeError
        If shapes or types do not fit.
    NotImplementedError
        If the type has 16 bits, or in forward mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.ldl_solve.html

    Examples
    --------
    >>> import retrograd
    >>> LD, pivots = retrograd.linalg.ldl_factor(retrograd.tensor([[0.0, 2.0], [2.0, 0.0]]))
    >>> retrograd.linalg.ldl_solve(LD, pivots, retrograd.tensor([[2.0], [4.0]])).T
    tensor([[2., 1.]])
    """
    _check_equation(LD, pivots, B)
    lead, n = broadcast_shapes(tuple(LD.shape[:-2]), tuple(B.shape[:-2])), LD.shape[-1]
    factors, right = expand(LD, (*lead, n, n)), expand(B, (*lead, n, B.shape[-1]))
    return _linalg_ldl_solve(factors, expand(pivots, (*lead, n)), right, hermitian)
