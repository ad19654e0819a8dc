"""Row numbers of a matrix' elements, and pointers to where its rows begin: each from the other.

Source: https://docs.pytorch.org/docs/stable/sparse.html#sparse-csr-tensor
"""

from __future__ import annotations

from typing import Any

from retrograd.dtypes import Category, int32, int64
from retrograd.ops.arrange import cat, stack
from retrograd.ops.checks import not_implemented
from retrograd.ops.counting import searchsorted
from retrograd.ops.factories import arange
from retrograd.tensor import Tensor

__all__ = ["_convert_indices_from_coo_to_csr", "_convert_indices_from_csr_to_coo"]


def _convert_indices_from_coo_to_csr(input: Tensor, size: int, *, out_int32: bool = False) -> Tensor:
    """Where each of `size` rows begins, and where the last one ends, from the row of each element, in order.

    Raises
    ------
    RuntimeError
        If the rows are not a vector.
    NotImplementedError
        If they are no integers.

    Examples
    --------
    >>> import retrograd
    >>> retrograd._convert_indices_from_coo_to_csr(retrograd.tensor([0, 0, 2, 3]), 4)
    tensor([0, 2, 2, 3, 4])
    """
    if input.ndim != 1:
        raise RuntimeError(f"Input is supposed to be a vector, but got {input.ndim} dimensional tensor.")
    if input.dtype.category is not Category.INTEGER:
        raise not_implemented("convert_indices_from_coo_to_csr_cpu", input.dtype)
    found: Tensor = searchsorted(input, arange(size + 1, dtype=input.dtype, device=input.device), out_int32=out_int32)
    return found


def _convert_indices_from_csr_to_coo(
    crow_indices: Tensor, col_indices: Tensor, *, out_int32: bool = False, transpose: bool = False
) -> Tensor:
    """Row and column of each element, below one another; of a batch of matrices their numbers above these.

    Parameters
    ----------
    out_int32
        Whether the result is of int32, not int64.
    transpose
        Whether the columns are above the rows.

    Examples
    --------
    >>> import retrograd
    >>> retrograd._convert_indices_from_csr_to_coo(retrograd.tensor([0, 2, 2, 3]), retrograd.tensor([1, 2, 0]))
    tensor([[0, 0, 2],
            [1, 2, 0]])
    """
    kind: Any = int32 if out_int32 else int64
    counts: Any = crow_indices.diff().reshape(-1)
    number = arange(counts.numel(), device=crow_indices.device).repeat_interleave(counts)
    height = crow_indices.shape[-1] - 1
    below = stack([number % height if height else number, col_indices.reshape(-1)])
    if transpose:
        below = below.flip(0)
    batch = tuple(crow_indices.shape[:-1])
    if not batch:
        return below.to(kind)
    number = number // height if height else number
    above = []
    for length in reversed(batch):
        above.append(number % length)
        number = number // length
    return cat([stack(above[::-1]), below]).to(kind)
