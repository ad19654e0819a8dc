"""Attention whose scores a function changes, and of which a mask tells which count.

PyTorch compiles both into a kernel. Here all scores are computed, and a block mask saves nothing.

Source: https://docs.pytorch.org/docs/stable/nn.attention.flex_attention.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from retrograd.dtypes import float32, float64
from retrograd.nn.attention.block_masks import (
    BLOCK as _DEFAULT_SPARSE_BLOCK_SIZE,  # noqa: F401 - programs import it
    BlockMask,
    and_masks,
    create_block_mask,
    create_mask,
    noop_mask,
    or_masks,
    over_all,
    refuse_sliced,
)
from retrograd.ops.factories import arange
from retrograd.tensor import Tensor

__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask", "flex_attention",
    "noop_mask", "or_masks",
]  # fmt: skip


class AuxRequest(NamedTuple):
    """What `flex_attention` is to return besides."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What it has: the logarithm of the sum of exponentials, and the largest, of the scores of each query."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor] | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """``softmax(score_mod(scale * query @ key.mT, b, h, i, j)) @ value``, where the mask admits (b, h, i, j).

    Differentiable, also on a CPU, where PyTorch's is not.

    Parameters
    ----------
    query, key, value
        Of shapes (batch, heads, length, width).
    score_mod
        A function of a score, its batch, its head and both places, each without dimensions.
    block_mask
        From `create_block_mask`. A query of which no score counts has zeros.
    scale
        By default ``width ** -0.5``.
    enable_gqa
        Whether there may be several heads of queries for each of keys.
    return_lse, return_aux
        Whether to return statistics, too.
    kernel_options
        Accepted and without effect.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or the mask.
    RuntimeError
        If the mask is a part of one and has no function of its own.

    Source: https://docs.pytorch.org/docs/stable/nn.attention.flex_attention.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.attention.flex_attention import create_block_mask, flex_attention
    >>> x = retrograd.ones(1, 2, 4, 8)
    >>> causal = create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 4, 4)
    >>> flex_attention(x, x, x, lambda score, b, h, q, kv: score - (q - kv).abs(), block_mask=causal).shape
    retrograd.Size([1, 2, 4, 8])
    """
    _check(query, key, value, block_mask, enable_gqa)
    if return_lse and return_aux is not None:
        raise ValueError(
            "Cannot specify both return_lse and return_aux. return_lse is deprecated, please use "
            "return_aux=AuxRequest(lse=True) instead."
        )
    if key.shape[1] != query.shape[1]:
        each = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(each, 1), value.repeat_interleave(each, 1)
    kind = float64 if query.dtype is float64 else float32
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query @ key.transpose(-2, -1)).to(kind) * scale
    places = [arange(n, device=query.device) for n in scores.shape]
    if score_mod is not None:
        scores = over_all(score_mod, scores=True)(scores, *places)
    if block_mask is not None:
        admitted = over_all(block_mask.mask_mod, scores=False)(*places)
        scores = scores.masked_fill(~admitted, -math.inf)
    lse = scores.logsumexp(-1)
    empty = lse == -math.inf
    weights = (scores - lse.masked_fill(empty, 0.0).unsqueeze(-1)).exp()
    out = (weights.to(query.dtype) @ value).to(query.dtype)
    if return_aux is not None:
        return out, AuxOutput(lse if return_aux.lse else None, scores.max(-1).values if return_aux.max_scores else None)
    return (out, lse) if return_lse else out


def _check(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask | None, enable_gqa: bool) -> None:
    """Refuse what does not fit, in PyTorch's words."""
    if any(each.dim() != 4 for each in (query, key, value)):
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if query.size(-1) != key.size(-1):
        raise ValueError(
            "Expect query and key/value to have the same embedding dimension but got "
            f"E={query.size(-1)} and E={key.size(-1)}."
        )
    heads, of_keys = query.size(1), key.size(1)
    if not enable_gqa and heads != of_keys:
        raise ValueError(
            f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={of_keys}. Try "
            "setting enable_gqa=True for GQA."
        )
    if heads % of_keys:
        raise ValueError(
            f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={of_keys}."
        )
    if mask is None:
        if query.size(0) != key.size(0):
            raise ValueError(
                "Expect query and key/value to have the same batch size, or non-none block_mask, but got "
                f"block_mask=None, Bq={query.size(0)}, and Bkv={key.size(0)}."
            )
        return
    if mask.mask_mod is refuse_sliced:
        raise RuntimeError("Cannot use mask_mod from a sliced BlockMask")
    lengths = query.size(-2), key.size(-2)
    made_for = mask.shape[-2:]
    if lengths != made_for:
        kind = "smaller" if lengths[0] > made_for[0] or lengths[1] > made_for[1] else "larger"
        raise ValueError(
            f"block_mask was created for block_mask.shape={mask.shape} but got q_len={lengths[0]} and "
            f"kv_len={lengths[1]}. As the block mask was created for a {kind} length than you're using it for, you "
            "likely need to create a new block mask."
        )
