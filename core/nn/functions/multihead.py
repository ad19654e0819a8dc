"""Attention with several heads, the projections before and after it included."""

from __future__ import annotations

import math
import warnings
from typing import Any

from retrograd.dtypes import bool_
from retrograd.nn.functions.attention import scaled_dot_product_attention
from retrograd.nn.functions.linear import dropout, linear
from retrograd.nn.functions.vision import pad
from retrograd.ops.arrange import cat
from retrograd.ops.factories import full, zeros
from retrograd.ops.indexing import where
from retrograd.ops.softmax import softmax
from retrograd.tensor import Tensor

__all__ = ["multi_head_attention_forward"]

Mask = Tensor | None


def canonical_mask(mask: Mask, name: str, target_type: Any, other: Mask = None, other_name: str = "") -> Mask:
    """A mask as numbers to add to the scores; minus infinity where a bool mask is true.

    Raises
    ------
    AssertionError
        If it is neither bool nor floating-point.
    """
    if mask is None:
        return None
    if mask.dtype is not bool_ and not mask.dtype.is_floating_point:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and mask.dtype != other.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    if mask.dtype.is_floating_point:
        return mask
    options: dict[str, Any] = {"dtype": target_type, "device": mask.device}
    return where(mask, full((), -math.inf, **options), zeros((), **options))


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Mask = None,
    need_weights: bool = True,
    attn_mask: Mask = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    r"""Attention of several heads to projections of the inputs; `nn.MultiheadAttention` without its weights.

    ``concat(softmax(Q_h @ K_h.T / sqrt(E / num_heads) + mask) @ V_h for each head h) @ W_out.T + b_out``

    Shapes: query (L, N, E), key (S, N, Ek), value (S, N, Ev), or all without N; results (L, N, E) and
    (N, L, S), or (N, num_heads, L, S) unless `average_attn_weights`.

    Parameters
    ----------
    embed_dim_to_check, num_heads
        E, and into how many heads it is divided.
    in_proj_weight, in_proj_bias
        The projections of query, key and value, one below the other.
    q_proj_weight, k_proj_weight, v_proj_weight
        The same one by one, if `use_separate_proj_weight`.
    bias_k, bias_v
        One more key and value, for all samples.
    add_zero_attn
        Whether there is one more key and value of zeros.
    key_padding_mask, attn_mask
        (N, S), and (L, S) or (N * num_heads, L, S): true where attention is forbidden, or added to the scores.
    static_k, static_v
        Keys and values, (N * num_heads, S, E / num_heads), to be used in place of the projected.
    need_weights
        Whether the weights are a second result and not None.
    is_causal
        A hint that `attn_mask` is the causal one.

    Raises
    ------
    AssertionError, RuntimeError
        If shapes, types or arguments do not fit.

    Source: Vaswani et al., "Attention is all you need", 2017;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html

    Examples
    --------
    >>> import retrograd
    >>> x, w = retrograd.ones(3, 1, 4), retrograd.ones(12, 4)
    >>> output, weights = retrograd.nn.functional.multi_head_attention_forward(
    ...     x, x, x, 4, 2, w, None, None, None, False, 0.0, retrograd.eye(4), None
    ... )
    >>> output.shape, weights.shape
    (retrograd.Size([3, 1, 4]), retrograd.Size([1, 3, 3]))
    """
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = _as_batch(query, key, value)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    padding = canonical_mask(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
    mask, is_causal = _attention_mask(attn_mask, padding, query, need_weights, is_causal)
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias, separate)
    mask = _checked_mask(mask, len(query), len(key), query.shape[1] * num_heads)
    if bias_k is not None and bias_v is not None:
        _check_no_statics(static_k, static_v)
        k, v = (cat([x, extra.repeat(1, x.shape[1], 1)]) for x, extra in ((k, bias_k), (v, bias_v)))
        mask, padding = _widened(mask), _widened(padding)
    elif bias_k is not None or bias_v is not None:
        set_, missing = ("bias_k", "bias_v") if bias_v is None else ("bias_v", "bias_k")
        raise AssertionError(f"{set_} is set but {missing} is None")
    q = _heads(q, num_heads)
    k = _heads(k, num_heads) if static_k is None else _static(static_k, "static_k", q)
    v = _heads(v, num_heads) if static_v is None else _static(static_v, "static_v", q)
    if add_zero_attn:
        k, v = (pad(each, (0, 0, 0, 1)) for each in (k, v))
        mask, padding = _widened(mask), _widened(padding)
    mask = _merged(mask, padding, q, k)
    result, weights = _attend(q, k, v, mask, dropout_p if training else 0.0, need_weights, is_causal)
    output = linear(result.permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias)
    if weights is not None and average_attn_weights:
        weights = weights.mean(1)
    if not batched:
        output, weights = output.squeeze(1), None if weights is None else weights.squeeze(0)
    return output, weights


def _as_batch(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """The inputs as a batch of one; those that are one tensor stay one."""
    batches = {id(each): each.unsqueeze(1) for each in (query, key, value)}
    return tuple(batches[id(each)] for each in (query, key, value))


def _check_ranks(query: Tensor, key: Tensor, value: Tensor, padding: Mask, mask: Mask, heads: int) -> bool:
    """Whether there is a batch; everything must agree on it."""
    if query.ndim not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor"
        )
    batched = query.ndim == 3
    given = f"For {'batched' if batched else 'unbatched'} ({query.ndim}-D) `query`, expected"
    if key.ndim != query.ndim or value.ndim != query.ndim:
        raise AssertionError(
            f"{given} `key` and `value` to be {query.ndim}-D but found {key.ndim}-D and {value.ndim}-D tensors "
            "respectively"
        )
    if padding is not None and padding.ndim != query.ndim - 1:
        raise AssertionError(
            f"{given} `key_padding_mask` to be `None` or {query.ndim - 1}-D but found {padding.ndim}-D tensor instead"
        )
    if mask is not None and mask.ndim not in (2, 3):
        raise AssertionError(f"{given} `attn_mask` to be `None`, 2-D or 3-D but found {mask.ndim}-D tensor instead")
    expected = (heads, len(query), len(key))
    if mask is not None and not batched and mask.ndim == 3 and tuple(mask.shape) != expected:
        raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {mask.shape}")
    return batched


def _attention_mask(mask: Mask, padding: Mask, query: Tensor, need_weights: bool, causal: bool) -> tuple[Mask, bool]:
    """The mask that is added, and whether there is a causal one in its place."""
    if causal and mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if causal and padding is None and not need_weights:
        return None, True
    return canonical_mask(mask, "attn_mask", query.dtype), False


def _check_sizes(query: Tensor, key: Tensor, value: Tensor, expected: int, heads: int, separate: bool) -> None:
    size = query.shape[-1]
    if size != expected:
        raise AssertionError(f"was expecting embedding dimension of {expected}, but got {size}")
    if size % heads:
        raise AssertionError(f"embed_dim {size} not divisible by num_heads {heads}")
    if separate and key.shape[:2] != value.shape[:2]:
        raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}")
    if not separate and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")


def _projected(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    separate: tuple[Tensor | None, ...] | None,
) -> tuple[Tensor, ...]:
    """Query, key and value after their linear layers; in one product where they are one tensor."""
    if separate is None:
        if weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        if query is key and key is value:
            return linear(query, weight, bias).chunk(3, -1)
        weights = weight.chunk(3)
    else:
        for name, each in zip("qkv", separate, strict=True):
            if each is None:
                raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        weights = separate
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    inputs = (query, key, value)
    return tuple(linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))


def _checked_mask(mask: Mask, length: int, sources: int, rows: int) -> Mask:
    """The mask, (1 or `rows`, length, sources)."""
    if mask is None:
        return None
    if mask.ndim not in (2, 3):
        raise RuntimeError(f"attn_mask's dimension {mask.ndim} is not supported")
    expected = (rows, length, sources)[3 - mask.ndim :]
    if tuple(mask.shape) != expected:
        raise RuntimeError(f"The shape of the {mask.ndim}D attn_mask is {mask.shape}, but should be {expected}.")
    return mask.unsqueeze(0) if mask.ndim == 2 else mask


def _check_no_statics(static_k: Tensor | None, static_v: Tensor | None) -> None:
    for name, static in (("key", static_k), ("value", static_v)):
        if static is not None:
            raise AssertionError(f"bias cannot be added to static {name}.")


def _widened(mask: Mask) -> Mask:
    """A mask that also allows one more key."""
    return None if mask is None else pad(mask, (0, 1))


def _heads(x: Tensor, heads: int) -> Tensor:
    """(N, heads, length, size of a head) from (length, N, E)."""
    return x.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)


def _static(given: Tensor, name: str, q: Tensor) -> Tensor:
    for dim, expected in ((0, q.shape[0] * q.shape[1]), (2, q.shape[3])):
        if given.shape[dim] != expected:
            raise AssertionError(f"expecting {name}.size({dim}) of {expected}, but got {given.shape[dim]}")
    return given.unflatten(0, (q.shape[0], q.shape[1]))


def _merged(mask: Mask, padding: Mask, q: Tensor, k: Tensor) -> Mask:
    """The sum of both masks, that broadcasts to (N, heads, L, S)."""
    if mask is not None:
        mask = mask.unsqueeze(0) if len(mask) == 1 else mask.unflatten(0, (q.shape[0], q.shape[1]))
    if padding is None:
        return mask
    for dim, expected in ((0, len(q)), (1, k.shape[2])):
        if padding.shape[dim] != expected:
            raise AssertionError(
                f"Expected key_padded_mask.shape[{dim}] to be {expected}, but got {padding.shape[dim]}"
            )
    padding = padding.unsqueeze(1).unsqueeze(1)
    return padding if mask is None else mask + padding


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Mask, dropout_p: float, need_weights: bool, is_causal: bool
) -> tuple[Tensor, Tensor | None]:
    if not need_weights:
        return scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal), None
    scores = (q * math.sqrt(1.0 / q.shape[-1])) @ k.transpose(-2, -1)
    weights = softmax(scores if mask is None else scores + mask, -1)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return weights @ v, weights
