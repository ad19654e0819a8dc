"""Reductions of pieces of a tensor that follow one another, and pieces of several tensors side by side.

Source: https://docs.pytorch.org/docs/stable/generated/torch.segment_reduce.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from retrograd.dtypes import Category
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.arrange import cat, stack
from retrograd.ops.checks import not_implemented
from retrograd.ops.factories import full_like, zeros
from retrograd.ops.flags import flagged
from retrograd.ops.grouped import one_node
from retrograd.ops.indexing import where
from retrograd.ops.shape import reshape
from retrograd.tensor import Tensor

__all__ = ["segment_reduce"]

_OF_NOTHING = {"sum": 0.0, "mean": math.nan, "max": -math.inf, "min": math.inf, "prod": 1.0}


@flagged
@one_node("SegmentReduceBackward0", "data", saves="axis data initial lengths offsets reduce result=result0")
def segment_reduce(
    data: Tensor, reduce: str, *, lengths: Tensor | None = None, indices: Tensor | None = None,
    offsets: Tensor | None = None, axis: int = 0, unsafe: bool = False, initial: float | None = None,
) -> Tensor:  # fmt: skip
    """Pieces of a dimension that follow one another, each reduced to one slice.

    Parameters
    ----------
    reduce
        `"sum"`, `"mean"`, `"max"` or `"amax"`, `"min"` or `"amin"`, or `"prod"`.
    lengths
        How long the pieces are; its leading dimensions are those of `data` in front of `axis`.
    offsets
        Or: where they begin, and where the last one ends.
    unsafe
        Whether the lengths need not add up to the size of the dimension.
    initial
        What each reduction begins with; that of nothing is this.

    Raises
    ------
    RuntimeError
        If there is no such reduction, or the lengths do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.segment_reduce.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.segment_reduce(retrograd.tensor([1.0, 2.0, 3.0]), "sum", lengths=retrograd.tensor([2, 1]))
    tensor([3., 3.])
    """
    at = wrap_dim(axis, data.ndim)
    reduce = {"amax": "max", "amin": "min"}.get(reduce, reduce)
    if reduce not in _OF_NOTHING:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    if not data.is_floating_point():
        raise not_implemented("_segment_reduce_cpu", data.dtype)
    given: Any = offsets if lengths is None else lengths
    if given.dtype.category is not Category.INTEGER:
        raise not_implemented("_segment_reduce_lengths_cpu_kernel1", given.dtype)
    sizes = given.tolist()
    if lengths is not None and not unsafe:
        _check_lengths(lengths, data.shape[at])
    return _reduced(data, reduce, sizes, lengths is None, at, initial)


def _check_lengths(lengths: Tensor, size: int) -> None:
    if lengths.numel() and int(lengths.min()) < 0:
        raise RuntimeError("lengths contains negative value!")
    if lengths.numel() and bool((lengths.sum(-1) != size).any()):
        raise RuntimeError(
            "segment_reduce(): Expected all rows of lengths along axis to sum to data.size(lengths.dim()-1) when "
            "!unsafe."
        )


def _reduced(data: Tensor, reduce: str, sizes: list[Any], are_offsets: bool, at: int, initial: float | None) -> Tensor:
    if at:
        rows = zip(data.unbind(0), sizes, strict=True)
        return stack([_reduced(row, reduce, own, are_offsets, at - 1, initial) for row, own in rows])
    edges = sizes if are_offsets else [0, *accumulate(sizes)]
    return stack([_piece(data[begin:end], reduce, initial) for begin, end in pairwise(edges)])


def _piece(piece: Tensor, reduce: str, initial: float | None) -> Tensor:
    """One piece, reduced; what it begins with counts as an element, but not in the number that a mean divides by.

    Nor has it a part in the gradient of an element that is as large, or as small.
    """
    count = piece.shape[0]
    if not count:
        value = _OF_NOTHING[reduce] if initial is None else initial
        return full_like(piece.sum(0), value)
    if reduce in ("sum", "mean"):
        total = piece.sum(0) + (0.0 if initial is None else initial)
        return total if reduce == "sum" else total / count
    if reduce == "prod":
        return piece.prod(0) * (1.0 if initial is None else initial)
    found = piece.amax(0) if reduce == "max" else piece.amin(0)
    if initial is None:
        return found
    return where(found < initial if reduce == "max" else found > initial, initial, found)


def _chunk_cat(tensors: Sequence[Tensor], dim: int, num_chunks: int) -> Tensor:
    """Each tensor cut into `num_chunks` along `dim`, zeros at its end making them even, and the cuts side by side.

    The result has the chunks as dimension `dim`, and behind it one of all that is in a chunk.
    """
    if not len(tensors):
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    if num_chunks <= 0:
        raise RuntimeError("_chunk_cat expects positive num_chunks")
    if any(each.dtype is not tensors[0].dtype for each in tensors):
        raise RuntimeError("_chunk_cat expects all input tensors with the same dtype")
    parts = []
    for each in tensors:
        at = wrap_dim(dim, each.ndim)
        missing = -each.shape[at] % num_chunks
        shape = tuple(missing if i == at else n for i, n in enumerate(each.shape))
        padded = cat([each, zeros(shape, dtype=each.dtype, device=each.device)], at) if missing else each
        parts.append(reshape(padded, (*padded.shape[:at], num_chunks, -1)))
    return cat(parts, -1)


_segment_reduce = segment_reduce
"""The name that it had first."""
