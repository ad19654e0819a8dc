"""Distances and similarities between vectors."""

from __future__ import annotations

from retrograd.dtypes import promote_types
from retrograd.ops.arguments import as_float
from retrograd.ops.checks import is_half, not_implemented
from retrograd.ops.differences import row_norms
from retrograd.ops.elementwise import _add_number
from retrograd.ops.factories import triu_indices
from retrograd.ops.flags import no_flag
from retrograd.ops.grouped import one_node
from retrograd.ops.refused import tensors_only
from retrograd.ops.shape import broadcast_tensors
from retrograd.tensor import Tensor

__all__ = ["cosine_similarity", "pairwise_distance", "pdist"]


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`; lengths count as at least `eps`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cosine_similarity.html

    Examples
    --------
    >>> import retrograd
    >>> a, b = retrograd.tensor([[1.0, 0.0]]), retrograd.tensor([[3.0, 4.0]])
    >>> retrograd.nn.functional.cosine_similarity(a, b)
    tensor([0.6000])
    """
    common = promote_types(x1.dtype, x2.dtype)
    if not common.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {common.type_name}")
    if x1.shape != x2.shape:
        x1, x2 = broadcast_tensors(x1, x2)
    lengths = (each.norm(2, dim, keepdim=True).clamp_min(eps) for each in (x1, x2))
    first, second = (each / length for each, length in zip((x1, x2), lengths, strict=True))
    return (first * second).sum(dim)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pairwise_distance.html
    """
    if type(keepdim) is not bool:
        raise no_flag("pairwise_distance", "keepdim", keepdim)
    tensors_only(x1, x2)
    apart = _add_number(x1 - x2, eps)
    return _norm(apart, as_float(p), (apart.ndim - 1,), keepdim)


@one_node("NormBackward1", "input", saves="dim keepdim p result=result0 self=input")
def _norm(input: Tensor, p: float, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return input.norm(p, dim, keepdim=keepdim)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The p-norm distances between all pairs of rows, in one vector."""
    if not input.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    if is_half(input.dtype):
        raise not_implemented("pdist", input.dtype)
    return _pdist(input, float(p))


@one_node("PdistBackward0", "input", saves="p result=result0 self=input")
def _pdist(input: Tensor, p: float) -> Tensor:
    first, second = triu_indices(input.shape[0], input.shape[0], 1, device=input.device)
    return row_norms(input[first] - input[second], p)
