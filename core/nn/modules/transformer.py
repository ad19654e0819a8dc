"""The transformer: encoder, decoder and both."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

from retrograd.autograd.modes import is_grad_enabled
from retrograd.nn import functional as F, init
from retrograd.nn.functions.multihead import canonical_mask
from retrograd.nn.modules.activation import GELU, ReLU
from retrograd.nn.modules.attention import MultiheadAttention
from retrograd.nn.modules.container import ModuleList
from retrograd.nn.modules.dropout import Dropout
from retrograd.nn.modules.linear import Linear
from retrograd.nn.modules.module import Module
from retrograd.nn.modules.normalization import LayerNorm
from retrograd.ops.factories import full
from retrograd.tensor import Tensor

__all__ = [
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
    "TransformerEncoderLayer",
]  # fmt: skip

Activation = str | Callable[[Tensor], Tensor]
Mask = Tensor | None


def _activation(given: Activation) -> Callable[[Tensor], Tensor]:
    if not isinstance(given, str):
        return given
    if given not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {given}")
    return F.relu if given == "relu" else F.gelu


def _subsequent_mask(size: int, device: Any = None, dtype: Any = None) -> Tensor:
    return full((size, size), -math.inf, dtype=dtype, device=device).triu(1)


def _is_causal(mask: Mask, given: bool | None, x: Tensor, batch_first: bool) -> bool:
    """What the caller says; or, if that is nothing, whether `mask` is the causal one."""
    if given is not None or mask is None:
        return given is True
    size = x.shape[1 if batch_first and x.ndim == 3 else 0]
    expected = _subsequent_mask(size, mask.device, mask.dtype)
    return mask.shape == expected.shape and bool((mask == expected).all())


class _Layer(Module):
    """What the layers of encoder and decoder share: attention to the sequence itself, and what comes last."""

    def _setup(
        self,
        attentions: tuple[str, ...],
        sizes: tuple[int, int, int],
        dropout: float,
        eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        options: dict[str, Any],
    ) -> None:
        d_model, nhead, dim_feedforward = sizes
        for name in attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **options
            )
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **options)
        self.norm_first = norm_first
        numbers = range(1, len(attentions) + 2)
        for number in numbers:
            self.add_module(f"norm{number}", LayerNorm(d_model, eps=eps, bias=bias, **options))
        for number in numbers:
            self.add_module(f"dropout{number}", Dropout(dropout))

    def _sa_block(self, x: Tensor, attn_mask: Mask, key_padding_mask: Mask, is_causal: bool = False) -> Tensor:
        """Attention of the sequence to itself."""
        result, _ = self.self_attn(
            x, x, x, attn_mask=attn_mask, key_padding_mask=key_padding_mask, need_weights=False, is_causal=is_causal
        )
        attended: Tensor = self.dropout1(result)
        return attended

    def _feed(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return result


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, then two linear layers; each added to its input and normalised.

    ``x = norm1(x + attention(x)); x = norm2(x + linear2(activation(linear1(x))))``

    Parameters
    ----------
    d_model, nhead
        The size of each element, and the number of heads of the attention.
    dim_feedforward
        The size between the two linear layers.
    dropout
        The probability of dropout, in the attention and after each step.
    activation
        `"relu"`, `"gelu"` or a function.
    layer_norm_eps
        Added to variances.
    batch_first
        Whether sequences are (N, L, size) and not (L, N, size).
    norm_first
        Whether the input of each step is normalised and not the sum after it.
    bias
        Whether linear layers and norms have one.

    Raises
    ------
    RuntimeError
        If the name of the activation is unknown.

    Source: Vaswani et al., "Attention is all you need", 2017;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.TransformerEncoderLayer.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)
    >>> layer(retrograd.ones(5, 3, 8)).shape
    retrograd.Size([5, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._setup(
            ("self_attn",), (d_model, nhead, dim_feedforward), dropout, layer_norm_eps, batch_first, norm_first,
            bias, {"device": device, "dtype": dtype},
        )  # fmt: skip
        self.activation = _activation(activation)
        is_relu = self.activation is F.relu or isinstance(activation, ReLU)
        is_gelu = self.activation is F.gelu or isinstance(activation, GELU)
        self.activation_relu_or_gelu = 1 if is_relu else 2 if is_gelu else 0

    def forward(
        self, src: Tensor, src_mask: Mask = None, src_key_padding_mask: Mask = None, is_causal: bool = False
    ) -> Tensor:
        padding = canonical_mask(src_key_padding_mask, "src_key_padding_mask", src.dtype, src_mask, "src_mask")
        mask = canonical_mask(src_mask, "src_mask", src.dtype)
        if self.norm_first:
            x = src + self._sa_block(self.norm1(src), mask, padding, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(src + self._sa_block(src, mask, padding, is_causal))
        result: Tensor = self.norm2(x + self._ff_block(x))
        return result

    def _ff_block(self, x: Tensor) -> Tensor:
        """The two linear layers."""
        result: Tensor = self.dropout2(self._feed(x))
        return result


class TransformerDecoderLayer(_Layer):
    """Attention of a sequence to itself and to an encoder's output, then two linear layers.

    The parameters are those of `TransformerEncoderLayer`.

    Source: Vaswani et al., "Attention is all you need", 2017;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.TransformerDecoderLayer.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16)
    >>> layer(retrograd.ones(5, 3, 8), retrograd.ones(7, 3, 8)).shape
    retrograd.Size([5, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._setup(
            ("self_attn", "multihead_attn"), (d_model, nhead, dim_feedforward), dropout, layer_norm_eps,
            batch_first, norm_first, bias, {"device": device, "dtype": dtype},
        )  # fmt: skip
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory_mask, memory_key_padding_mask, memory_is_causal)
        if self.norm_first:
            x = tgt + self._sa_block(self.norm1(tgt), *own)
            x = x + self._mha_block(self.norm2(x), memory, *other)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(tgt + self._sa_block(tgt, *own))
        x = self.norm2(x + self._mha_block(x, memory, *other))
        result: Tensor = self.norm3(x + self._ff_block(x))
        return result

    def _mha_block(
        self, x: Tensor, mem: Tensor, attn_mask: Mask, key_padding_mask: Mask, is_causal: bool = False
    ) -> Tensor:
        """Attention of the sequence to the encoder's output."""
        result, _ = self.multihead_attn(
            x, mem, mem, attn_mask=attn_mask, key_padding_mask=key_padding_mask, is_causal=is_causal,
            need_weights=False,
        )  # fmt: skip
        attended: Tensor = self.dropout2(result)
        return attended

    def _ff_block(self, x: Tensor) -> Tensor:
        """The two linear layers."""
        result: Tensor = self.dropout3(self._feed(x))
        return result


class TransformerEncoder(Module):
    """Copies of a `TransformerEncoderLayer`, one after the other.

    Parameters
    ----------
    encoder_layer, num_layers
        What is copied (its weights too), and how often.
    norm
        A module for the result.
    enable_nested_tensor
        Whether an evaluation that records no gradients may take padded elements for absent: what comes out of
        the last layer for them is zero then. It needs a layer that PyTorch does this for, and `batch_first`.
    mask_check
        Whether that is only done if all padding is at the end.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.TransformerEncoder.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> encoder = retrograd.nn.TransformerEncoder(layer, num_layers=2)
    >>> encoder(retrograd.ones(3, 5, 8)).shape
    retrograd.Size([3, 5, 8])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        reason = _why_padding_counts(encoder_layer)
        if enable_nested_tensor and reason:
            warnings.warn(
                f"enable_nested_tensor is True, but self.use_nested_tensor is False because {reason}", stacklevel=2
            )
        self.use_nested_tensor = enable_nested_tensor and not reason
        self.mask_check = mask_check

    def forward(
        self, src: Tensor, mask: Mask = None, src_key_padding_mask: Mask = None, is_causal: bool | None = None
    ) -> Tensor:
        padding = canonical_mask(src_key_padding_mask, "src_key_padding_mask", src.dtype, mask, "mask")
        mask = canonical_mask(mask, "mask", src.dtype)
        causal = _is_causal(mask, is_causal, src, self.layers[0].self_attn.batch_first)
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=mask, is_causal=causal, src_key_padding_mask=padding)
        if padding is not None and mask is None and self._drops_padding(src, padding):
            output = output.masked_fill((padding != 0).unsqueeze(-1), 0.0)
        return output if self.norm is None else self.norm(output)

    def _drops_padding(self, src: Tensor, padding: Tensor) -> bool:
        """Whether PyTorch would compute with a nested tensor here."""
        layer = self.layers[0]
        if not self.use_nested_tensor or layer.training or src.ndim != 3:
            return False
        if is_grad_enabled() and any(each.requires_grad for each in (src, *layer.parameters())):
            return False
        kept = padding == 0
        return not self.mask_check or not bool((kept[:, 1:] & ~kept[:, :-1]).any())


class TransformerDecoder(Module):
    """Copies of a `TransformerDecoderLayer`, one after the other.

    Parameters
    ----------
    decoder_layer, num_layers
        What is copied (its weights too), and how often.
    norm
        A module for the result.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.TransformerDecoder.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16)
    >>> decoder = retrograd.nn.TransformerDecoder(layer, num_layers=2)
    >>> decoder(retrograd.ones(5, 3, 8), retrograd.ones(7, 3, 8)).shape
    retrograd.Size([5, 3, 8])
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        causal = _is_causal(tgt_mask, tgt_is_causal, tgt, self.layers[0].self_attn.batch_first)
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return output if self.norm is None else self.norm(output)


class Transformer(Module):
    """An encoder, and a decoder that attends to its output.

    All weights with more than one dimension start uniformly after Glorot.

    Parameters
    ----------
    num_encoder_layers, num_decoder_layers
        How many layers each has.
    custom_encoder, custom_decoder
        Modules to be used in place of these.
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        See `TransformerEncoderLayer`.

    Source: Vaswani et al., "Attention is all you need", 2017;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Transformer.html

    Examples
    --------
    >>> import retrograd
    >>> model = retrograd.nn.Transformer(8, 2, 1, 1, dim_feedforward=16, batch_first=True)
    >>> model(retrograd.ones(3, 7, 8), retrograd.ones(3, 5, 8)).shape
    retrograd.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        layer: tuple[Any, ...] = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias,
            device, dtype,
        )  # fmt: skip
        norm = {"eps": layer_norm_eps, "bias": bias, "device": device, "dtype": dtype}
        if custom_encoder is None:
            encoder_layer, last = TransformerEncoderLayer(*layer), LayerNorm(d_model, **norm)
            custom_encoder = TransformerEncoder(encoder_layer, num_encoder_layers, last)
        self.encoder = custom_encoder
        if custom_decoder is None:
            decoder_layer, last = TransformerDecoderLayer(*layer), LayerNorm(d_model, **norm)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, last)
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        """Draw all weights with more than one dimension anew."""
        for weight in self.parameters():
            if weight.ndim > 1:
                init.xavier_uniform_(weight)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Mask = None,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        src_key_padding_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.size(batch) != tgt.size(batch):
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        result: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return result

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask: minus infinity above the diagonal, and zero elsewhere.

        Examples
        --------
        >>> import retrograd
        >>> retrograd.nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[0., -inf],
                [0., 0.]])
        """
        return _subsequent_mask(sz, device, dtype)


def _copies(module: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(module) for _ in range(count)])


def _why_padding_counts(layer: Any) -> str:
    """What keeps PyTorch from computing with nested tensors; nothing if nothing does."""
    if not isinstance(layer, TransformerEncoderLayer):
        return "encoder_layer was not TransformerEncoderLayer"
    attention = layer.self_attn
    reasons = {
        "norm_first was True": layer.norm_first,
        "self_attn.batch_first was not True(use batch_first for better inference performance)": (
            not attention.batch_first
        ),
        "self_attn._qkv_same_embed_dim was not True": not attention._qkv_same_embed_dim,
        "self_attn was passed bias=False": attention.in_proj_bias is None,
        "activation_relu_or_gelu was not True": not layer.activation_relu_or_gelu,
        "norm1.eps was not equal to encoder_layer.norm2.eps": layer.norm1.eps != layer.norm2.eps,
        "self_attn.num_heads is odd": attention.num_heads % 2 == 1,
    }
    return next((f"encoder_layer.{text}" for text, holds in reasons.items() if holds), "")
