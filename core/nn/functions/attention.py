"""Attention."""

from __future__ import annotations

import math
from typing import Any

from retrograd.dtypes import Category, get_default_dtype
from retrograd.nn.functions.linear import dropout
from retrograd.ops.autocasting import in_lower_type
from retrograd.ops.elementwise import _mul_number
from retrograd.ops.factories import full, zeros
from retrograd.ops.flags import no_flag
from retrograd.ops.indexing import where
from retrograd.ops.softmax import _safe_softmax, _softmax_of_finite
from retrograd.tensor import Tensor

__all__ = ["scaled_dot_product_attention"]


@in_lower_type
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    r"""``softmax(query @ key.T * scale + mask) @ value``.

    Shapes: query (\*, L, E), key (\*, S, E), value (\*, S, Ev); result (\*, L, Ev).

    Parameters
    ----------
    attn_mask
        Added to the scores; or, if bool, true where attention is allowed.
    dropout_p
        Weights are zeroed with this probability.
    is_causal
        Allow attention to earlier positions only.
    scale
        :math:`1 / \sqrt{E}` by default.
    enable_gqa
        Let several heads of `query` share one of `key` and `value`.

    Raises
    ------
    RuntimeError
        If a mask is given together with `is_causal`.

    Source: Vaswani et al., "Attention is all you need", 2017;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
    """
    if type(is_causal) is not bool:
        raise no_flag("scaled_dot_product_attention", "is_causal", is_causal)
    if type(enable_gqa) is not bool:
        raise no_flag("scaled_dot_product_attention", "enable_gqa", enable_gqa)
    if query.dtype.category < Category.FLOAT:
        kinds = get_default_dtype().type_name, query.dtype.type_name
        raise RuntimeError("expected scalar type {} but found {}".format(*kinds))
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (each.repeat_interleave(repeats, -3) for each in (key, value))
    bias = _bias(query, key, attn_mask, is_causal)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    root = math.sqrt(factor) if factor >= 0 else math.nan
    scores = _mul_number(query, root) @ _mul_number(key.transpose(-2, -1), root)
    weigh = _softmax_of_finite if attn_mask is None else _safe_softmax
    weights = weigh(scores if bias is None else scores + bias, scores.ndim - 1)
    return dropout(weights, dropout_p) @ value


def _bias(query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor | None:
    """What is added to the scores."""
    if is_causal and mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    options: dict[str, Any] = {"dtype": query.dtype, "device": query.device}
    if is_causal:
        return full((query.shape[-2], key.shape[-2]), -math.inf, **options).triu(1)
    if mask is None or mask.dtype.is_floating_point:
        return mask
    return where(mask, zeros((), **options), full((), -math.inf, **options))
