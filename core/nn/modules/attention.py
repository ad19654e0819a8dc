"""Attention with several heads."""

from __future__ import annotations

from typing import Any

from retrograd.nn import functional as F, init
from retrograd.nn.functions.multihead import canonical_mask
from retrograd.nn.modules.linear import NonDynamicallyQuantizableLinear
from retrograd.nn.modules.module import Module
from retrograd.ops.factories import empty
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention of several heads; see `functional.multi_head_attention_forward`.

    The projections of the inputs start uniformly after Glorot, that of the output as in `Linear`, all biases
    with zero, and `bias_k` and `bias_v` normally after Glorot.

    Parameters
    ----------
    embed_dim, num_heads
        The size of queries and results, and into how many heads it is divided.
    dropout
        The probability with which a weight is zeroed while training.
    bias
        Whether the projections have one.
    add_bias_kv
        Whether there is a learned key and value beside those that are given.
    add_zero_attn
        Whether there is a key and value of zeros beside those that are given.
    kdim, vdim
        The sizes of keys and values; `embed_dim` by default.
    batch_first
        Whether inputs are (N, L, size) and not (L, N, size).

    Raises
    ------
    ValueError, AssertionError
        If `num_heads` does not divide `embed_dim`, or one of them is not positive.

    Source: Vaswani et al., "Attention is all you need", 2017;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html

    Examples
    --------
    >>> import retrograd
    >>> attention = retrograd.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = retrograd.ones(5, 3, 8)
    >>> output, weights = attention(x, x, x)
    >>> output.shape, weights.shape
    (retrograd.Size([5, 3, 8]), retrograd.Size([5, 3, 3]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                f"num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        self._make_weights(bias, add_bias_kv, {"device": device, "dtype": dtype})
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _make_weights(self, bias: bool, add_bias_kv: bool, options: dict[str, Any]) -> None:
        size, packed = self.embed_dim, self._qkv_same_embed_dim
        shapes = {
            "q_proj_weight": None if packed else (size, size),
            "k_proj_weight": None if packed else (size, self.kdim),
            "v_proj_weight": None if packed else (size, self.vdim),
            "in_proj_weight": (3 * size, size) if packed else None,
            "in_proj_bias": (3 * size,) if bias else None,
        }
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else Parameter(empty(shape, **options)))
        self.out_proj = NonDynamicallyQuantizableLinear(size, size, bias=bias, **options)
        self.bias_k = Parameter(empty((1, 1, size), **options)) if add_bias_kv else None
        self.bias_v = Parameter(empty((1, 1, size), **options)) if add_bias_kv else None

    def _reset_parameters(self) -> None:
        """Draw all weights anew, except those of the output."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        padding = canonical_mask(key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask")
        turned = self.batch_first and query.ndim == 3
        if turned:
            # What is one tensor must stay one: its projections are computed together.
            inputs = {id(each): each.transpose(1, 0) for each in (query, key, value)}
            query, key, value = (inputs[id(each)] for each in (query, key, value))
        output, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias,
            self.bias_k, self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias,
            training=self.training,
            key_padding_mask=padding,
            need_weights=need_weights,
            attn_mask=canonical_mask(attn_mask, "attn_mask", query.dtype),
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )  # fmt: skip
        return output.transpose(1, 0) if turned else output, weights
