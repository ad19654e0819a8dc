"""Solutions by triangular factors that are there already, and these factors taken apart."""

from __future__ import annotations

import math
import warnings
from typing import Any

from retrograd.dtypes import int32, int64
from retrograd.levels import is_mapped
from retrograd.ops import return_types
from retrograd.ops.autocasting import in_float32
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.creation import empty, tensor
from retrograd.ops.declare import publics
from retrograd.ops.factories import arange, eye
from retrograd.ops.flags import told
from retrograd.ops.grouped import one_node
from retrograd.ops.indexing import gather, where
from retrograd.ops.linalg_checks import of_linalg
from retrograd.ops.linalg_lu import lu_factor, lu_factor_ex
from retrograd.ops.linalg_solving import solve_triangular
from retrograd.ops.shape import expand
from retrograd.tensor import Tensor

__all__ = ["lu_solve"]


def _order(pivots: Tensor, rows: int) -> Tensor:
    """Which row of the matrix each row of its factors is, from the exchanges that made them."""
    if is_mapped(pivots):
        return _order_by_exchanges(pivots.long() - 1, rows)
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
    orders = []
    for exchanges in flat.tolist():
        order = list(range(rows))
        for row, other in enumerate(exchanges):
            order[row], order[other - 1] = order[other - 1], order[row]
        orders.append(order)
    return tensor(orders, dtype=int64, device=pivots.device).reshape(*pivots.shape[:-1], rows)


def _order_by_exchanges(others: Tensor, rows: int) -> Tensor:
    """As `_order`, without a look at the elements: `others` has the row, from 0, with which each is exchanged."""
    places = arange(rows, device=others.device)
    order = expand(places, (*others.shape[:-1], rows))
    for row in range(others.shape[-1]):
        other = others[..., row : row + 1]
        its, own = gather(order, -1, other), order[..., row : row + 1]
        order = where(places == row, its, where(places == other, own, order))
    return order


def _rows(B: Tensor, order: Tensor) -> Tensor:
    """The rows of `B` in another order."""
    return gather(B, -2, expand(order.unsqueeze(-1), B.shape))


def _inverse(order: Tensor) -> Tensor:
    found: Tensor = order.argsort(-1)
    return found


def _check(LU: Tensor, pivots: Tensor, B: Tensor, left: bool) -> None:
    name = "linalg.lu_solve"
    if LU.dtype is not B.dtype:
        raise RuntimeError(
            f"{name}: Expected LU and B to have the same dtype, but found LU of type {LU.dtype.type_name} and B of "
            f"type {B.dtype.type_name} instead"
        )
    if pivots.dtype is not int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of scalar type retrograd.int32")
    n = LU.shape[-1]
    if LU.ndim < 2 or LU.shape[-2] != n:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {LU.shape[-2]} by {n} matrices")
    if pivots.shape[-1] != n:
        raise RuntimeError(f"{name}: Number of pivots per batch should be same as the dimension of the matrix")
    if tuple(pivots.shape[:-1]) != tuple(LU.shape[:-2]):
        raise RuntimeError(f"{name}: Batch dimensions of LU and pivots should match")
    if B.shape[-2 if left else -1] != n:
        equation = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {equation} "
            f"({n}x{n} and {B.shape[-2]}x{B.shape[-1]})"
        )


@of_linalg
def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """The X of ``A @ X == B``, by what `lu_factor` gave for `A`; of ``X @ A == B`` if not `left`.

    With `adjoint`, the conjugate transpose of `A` stands for it.

    Raises
    ------
    RuntimeError
        If shapes or types do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_solve.html

    Examples
    --------
    >>> import retrograd
    >>> LU, pivots = retrograd.linalg.lu_factor(retrograd.tensor([[0.0, 2.0], [4.0, 0.0]]))
    >>> retrograd.linalg.lu_solve(LU, pivots, retrograd.tensor([[2.0], [4.0]])).T
    tensor([[1., 1.]])
    """
    _check(LU, pivots, B, left)
    return _solve_by_factors(LU, pivots, B, left, adjoint)


@one_node("LinalgLuSolveBackward0", "LU", "B", saves="LU adjoint left pivots result=result0")
def _solve_by_factors(LU: Tensor, pivots: Tensor, B: Tensor, left: bool, adjoint: bool) -> Tensor:
    if not left:
        return _from_left(LU, pivots, B.mH, not adjoint).mH
    return _from_left(LU, pivots, B, adjoint)


def _from_left(LU: Tensor, pivots: Tensor, B: Tensor, adjoint: bool) -> Tensor:
    lead = broadcast_shapes(tuple(LU.shape[:-2]), tuple(B.shape[:-2]))
    n = LU.shape[-1]
    factors, right = expand(LU, (*lead, n, n)), expand(B, (*lead, *B.shape[-2:]))
    order = expand(_order(pivots, n), (*lead, n))
    if not adjoint:
        below = solve_triangular(factors, _rows(right, order), upper=False, unitriangular=True)
        return solve_triangular(factors, below, upper=True)
    above = solve_triangular(factors.mH, right, upper=False)
    return _rows(solve_triangular(factors.mH, above, upper=True, unitriangular=True), _inverse(order))


@in_float32
def _lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """`linalg.lu_solve` with the right side first; deprecated.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lu_solve.html
    """
    warnings.warn(
        "retrograd.lu_solve is deprecated in favor of retrograd.linalg.lu_solve, which has its arguments reversed.",
        UserWarning,
        stacklevel=2,
    )
    found: Tensor = lu_solve(LU_data, LU_pivots, b)
    return found


@told(pivot=("_lu_with_info", 0), get_infos=None)
def _lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """`linalg.lu_factor`, or with `get_infos` `linalg.lu_factor_ex`; deprecated.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lu.html
    """
    warnings.warn(
        "retrograd.lu is deprecated in favor of retrograd.linalg.lu_factor / retrograd.linalg.lu_factor_ex and will be "
        "removed in a future PyTorch release.",
        UserWarning,
        stacklevel=2,
    )
    if get_infos:
        return return_types._lu_with_info(*lu_factor_ex(A, pivot=pivot))
    return tuple(lu_factor(A, pivot=pivot))


def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """The permutation and both triangles of what `lu_factor` gave; parts not asked for are empty.

    Raises
    ------
    RuntimeError
        If the pivots are not int32.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lu_unpack.html

    Examples
    --------
    >>> import retrograd
    >>> A = retrograd.tensor([[0.0, 2.0], [4.0, 0.0]])
    >>> P, L, U = retrograd.lu_unpack(*retrograd.linalg.lu_factor(A))
    >>> bool((P @ L @ U == A).all())
    True
    """
    if unpack_pivots and LU_pivots.dtype is not int32:
        raise RuntimeError(
            "retrograd.lu_unpack: LU_pivots is expected to be a contiguous tensor of retrograd.int32 dtype.\n"
            "Note: this function is intended to be used with the output produced by retrograd.linalg.lu_factor"
        )
    return return_types.lu_unpack(*_unpacked(LU_data, LU_pivots, unpack_data, unpack_pivots))


@one_node("LuUnpackBackward0", "LU_data", outputs=(1, 2))
def _unpacked(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool, unpack_pivots: bool) -> tuple[Tensor, ...]:
    rows, columns = LU_data.shape[-2:]
    least = min(rows, columns)
    options: Any = {"dtype": LU_data.dtype, "device": LU_data.device}
    P, L, U = (empty(0, **options) for _ in range(3))
    one = eye(rows, **options)
    if unpack_pivots:
        P = one[_order(LU_pivots, rows)].mT.clone()
    if unpack_data:
        L = LU_data[..., :, :least].tril(-1) + one[:, :least]
        U = LU_data[..., :least, :].triu()
    return P, L, U


publics["lu"] = _lu
publics["lu_solve"] = _lu_solve
publics["lu_unpack"] = lu_unpack
