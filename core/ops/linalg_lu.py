"""Triangular factors of any matrices: functions of `retrograd.linalg`."""

from __future__ import annotations

from typing import Any

from retrograd.levels import bare
from retrograd.ops import return_types
from retrograd.ops.factories import eye
from retrograd.ops.factorizations import _linalg_lu
from retrograd.ops.grouped import one_node
from retrograd.ops.linalg_checks import implemented, infos_of, of_linalg, zero_pivots
from retrograd.tensor import Tensor

__all__ = ["lu", "lu_factor", "lu_factor_ex"]


def _factors(name: str, A: Tensor, pivot: bool) -> tuple[Tensor, Tensor, Tensor]:
    if A.ndim < 2:
        raise RuntimeError(f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead")
    implemented("lu_cpu", A)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    packed, pivots, order = _linalg_lu(A)
    return packed, pivots + 1, order


@of_linalg
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """Both triangular factors in one matrix, and which row each was exchanged with, counted from 1.

    Raises
    ------
    RuntimeError
        If a pivot is zero, `A` has less than two dimensions, or `pivot` is not set.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_factor.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.lu_factor(retrograd.tensor([[1.0, 2.0], [2.0, 2.0]])).pivots
    tensor([2, 2], dtype=retrograd.int32)
    """
    packed, pivots, _ = _factors("retrograd.lu_factor", A, pivot)
    for element, info in enumerate(zero_pivots(A)):
        if info:
            where = f"(Batch element {element}): " if bare(A).ndim > 2 else ""
            raise RuntimeError(
                f"retrograd.linalg.lu_factor: {where}U[{info},{info}] is zero and using it on lu_solve would result in "
                "a "
                "division by zero. If you still want to perform the factorization, consider calling "
                "linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
            )
    return return_types.linalg_lu_factor(packed, pivots)


@of_linalg
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """As `lu_factor`, with the place of the first pivot that is zero instead of an error; 0 if none is.

    Raises
    ------
    RuntimeError
        If `check_errors` is set, as `lu_factor`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu_factor_ex.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.linalg.lu_factor_ex(retrograd.zeros(2, 2)).info
    tensor(1, dtype=retrograd.int32)
    """
    if check_errors:
        lu_factor(A, pivot=pivot)
    packed, pivots, _ = _factors("retrograd.lu_factor", A, pivot)
    return return_types.linalg_lu_factor_ex(packed, pivots, infos_of(A, zero_pivots(A)))


@of_linalg
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """A permutation, a lower triangle with ones on its diagonal, and an upper one, whose product is `A`.

    Raises
    ------
    RuntimeError
        If `A` has less than two dimensions, or `pivot` is not set.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.lu.html

    Examples
    --------
    >>> import retrograd
    >>> P, L, U = retrograd.linalg.lu(retrograd.tensor([[1.0, 2.0], [2.0, 2.0]]))
    >>> P @ L @ U
    tensor([[1., 2.],
            [2., 2.]])
    """
    return return_types.linalg_lu(*_lu(A, pivot))


@one_node("LinalgLuBackward0", "A", outputs=(1, 2), saves="L=result1 P=result0 U=result2 pivot")
def _lu(A: Tensor, pivot: bool) -> tuple[Tensor, Tensor, Tensor]:
    packed, _, order = _factors("linalg.lu", A, pivot)
    n, m = A.shape[-2:]
    least = min(n, m)
    one = eye(n, dtype=A.dtype, device=A.device)
    low = packed[..., :, :least].tril(-1) + one[:, :least]
    return one[order].mT.clone(), low, packed[..., :least, :].triu()
