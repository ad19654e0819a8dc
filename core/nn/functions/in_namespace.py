"""Functions of layers as PyTorch's own namespace has them: `torch.batch_norm`, `torch.lstm` and their like.

They are those of `nn.functional` and `nn`, with other orders of arguments and with reductions as numbers: 0 for
`"none"`, 1 for `"mean"`, 2 for `"sum"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import bool_
from retrograd.nn.functions import linear as _linear, loss as _loss, normalization as _normalization
from retrograd.nn.functions.convolution import _convolve, _transpose
from retrograd.nn.functions.ctc import ctc_loss as _ctc_loss
from retrograd.nn.functions.pooling import max_pool1d
from retrograd.nn.functions.vision import channel_shuffle, pad as _pad
from retrograd.ops.conversion import to
from retrograd.ops.creation import empty
from retrograd.ops.recurrent import gru_gates, lstm_gates
from retrograd.tensor import Tensor

__all__ = [
    "alpha_dropout_", "batch_norm", "binary_cross_entropy_with_logits", "constant_pad_nd", "convolution",
    "cosine_embedding_loss", "ctc_loss", "dropout_", "embedding", "embedding_bag", "embedding_renorm_",
    "feature_alpha_dropout_", "feature_dropout", "feature_dropout_", "gru_cell", "hinge_embedding_loss",
    "instance_norm", "kl_div", "lstm_cell", "margin_ranking_loss", "max_pool1d_with_indices", "native_batch_norm",
    "native_channel_shuffle", "native_dropout", "native_group_norm", "native_layer_norm", "norm_except_dim",
    "poisson_nll_loss", "rnn_relu_cell", "rnn_tanh_cell", "triplet_margin_loss",
]  # fmt: skip

_REDUCTIONS = ("none", "mean", "sum")


# -- losses --------------------------------------------------------------------------------------

# Without a reduction each loss stands for itself, whatever the signature that PyTorch shows says.


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 0
) -> Tensor:
    """`nn.functional.binary_cross_entropy_with_logits` with the reduction as a number."""
    return _loss.binary_cross_entropy_with_logits(
        input, target, weight, reduction=_REDUCTIONS[reduction], pos_weight=pos_weight
    )


def kl_div(input: Tensor, target: Tensor, reduction: int = 0, *, log_target: bool = False) -> Tensor:
    """`nn.functional.kl_div` with the reduction as a number, and without a warning of the mean.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.kl_div(retrograd.zeros(2), retrograd.tensor([1.0, 0.0]), 0)
    tensor([0., 0.])
    """
    value = _loss.kl_div(input, target, reduction="none", log_target=log_target)
    return _loss._reduced(value, _REDUCTIONS[reduction])


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0
) -> Tensor:
    """`nn.functional.cosine_embedding_loss` with the reduction as a number."""
    return _loss.cosine_embedding_loss(input1, input2, target, margin, reduction=_REDUCTIONS[reduction])


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 0) -> Tensor:
    """`nn.functional.hinge_embedding_loss` with the reduction as a number."""
    return _loss.hinge_embedding_loss(input, target, margin, reduction=_REDUCTIONS[reduction])


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0
) -> Tensor:
    """`nn.functional.margin_ranking_loss` with the reduction as a number."""
    return _loss.margin_ranking_loss(input1, input2, target, margin, reduction=_REDUCTIONS[reduction])


def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """`nn.functional.poisson_nll_loss` with the reduction as a number."""
    return _loss.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_REDUCTIONS[reduction])


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: int = 0,
) -> Tensor:  # fmt: skip
    """`nn.functional.triplet_margin_loss` with the reduction as a number."""
    return _loss.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=_REDUCTIONS[reduction])


def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: int = 0,
    zero_infinity: bool = False,
) -> Tensor:  # fmt: skip
    """`nn.functional.ctc_loss` with the reduction as a number."""
    return _ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _REDUCTIONS[reduction], zero_infinity)


# -- embeddings ----------------------------------------------------------------------------------


def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """Rows of `weight`: `nn.functional.embedding` with the weight first; no `padding_idx` is -1."""
    skipped = None if padding_idx < 0 else padding_idx
    return _linear.embedding(indices, weight, skipped, None, 2.0, scale_grad_by_freq, sparse)


def embedding_bag(
    weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Bags of rows of `weight`, with the weight first and the mode as a number: 0 for sums, 1 means, 2 maxima.

    The other results, which PyTorch keeps for its backward pass, are empty here.
    """
    made = _linear.embedding_bag(
        indices, weight, offsets, scale_grad_by_freq=scale_grad_by_freq, mode=("sum", "mean", "max")[mode],
        sparse=sparse, per_sample_weights=per_sample_weights, include_last_offset=include_last_offset,
        padding_idx=padding_idx,
    )  # fmt: skip
    unused = empty(0, dtype=indices.dtype, device=weight.device)
    return made, unused, unused.clone(), unused.clone()


def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Rows of `input` that `indices` name shortened to a norm of at most `max_norm`, in place."""
    _linear._check_indices(indices, input.shape[0])
    _linear._shorten(input, indices, max_norm, norm_type)
    return input


# -- normalization -------------------------------------------------------------------------------


def batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
    training: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """`nn.functional.batch_norm` with the weight before the statistics."""
    return _normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
    use_input_stats: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Tensor:  # fmt: skip
    """`nn.functional.instance_norm` with the weight before the statistics."""
    return _normalization.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def native_batch_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None, running_var: Tensor | None,
    training: bool, momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """`batch_norm`, with the means and the inverse standard deviations of the channels, empty in evaluation."""
    made = _normalization.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return made, empty(0, dtype=input.dtype, device=input.device), empty(0, dtype=input.dtype, device=input.device)
    axes = [axis for axis in range(input.ndim) if axis != 1]
    fixed = input.detach()
    return made, fixed.mean(axes), (fixed.var(axes, correction=0) + eps).rsqrt()


def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`nn.functional.layer_norm`, with the means and the inverse standard deviations."""
    made = _normalization.layer_norm(input, normalized_shape, weight, bias, eps)
    axes = [*range(input.ndim - len(normalized_shape), input.ndim)]
    fixed = input.detach()
    return made, fixed.mean(axes, keepdim=True), (fixed.var(axes, correction=0, keepdim=True) + eps).rsqrt()


def native_group_norm(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`nn.functional.group_norm`, with the means and the inverse standard deviations of the groups."""
    made = _normalization.group_norm(input, group, weight, bias, eps)
    groups = input.reshape(N, group, C // group * HxW)
    return made, groups.mean(2), (groups.var(2, correction=0) + eps).rsqrt()


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norms of the slices along `dim`, with all dimensions kept; with -1, of the whole."""
    if dim == -1:
        return v.norm(pow)
    return v.norm(pow, [axis for axis in range(v.ndim) if axis != dim], keepdim=True)


# -- dropout -------------------------------------------------------------------------------------


def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` in place."""
    return _linear.dropout(input, p, train, inplace=True)


def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` in place."""
    return _linear.alpha_dropout(input, p, train, inplace=True)


def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_alpha_dropout` in place."""
    return _linear.feature_alpha_dropout(input, p, train, inplace=True)


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Zero whole channels: `nn.functional.dropout2d`."""
    return _linear._drop(input, p, train, False, 2)


def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_dropout` in place."""
    return _linear._drop(input, p, train, True, 2)


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """`dropout`, with the mask of what is kept."""
    if not train or p == 0:
        return input.clone(), (input.detach() == input.detach()).fill_(True)
    noise = _linear._noise(input, p, tuple(input.shape), scale=False)
    return input * (noise * (1 / (1 - p) if p < 1 else 0.0)), to(noise, bool_)


# -- layers --------------------------------------------------------------------------------------


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """`nn.functional.pad` with a number.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.constant_pad_nd(retrograd.ones(2), (1, 0), 3)
    tensor([3., 1., 1.])
    """
    return _pad(input, pad, "constant", value)


def convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
) -> Tensor:  # fmt: skip
    """A convolution of as many dimensions as the weight has, or, if `transposed`, its transpose."""
    dims = weight.ndim - 2
    stride, padding, dilation, output_padding = map(tuple, (stride, padding, dilation, output_padding))
    if transposed:
        return _transpose(
            f"conv_transpose{dims}d", dims, input, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return _convolve(f"conv{dims}d", dims, input, weight, bias, stride, padding, dilation, groups)


def max_pool1d_with_indices(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> tuple[Tensor, Tensor]:
    """`max_pool1d`, with the places of the maxima."""
    made: Any = max_pool1d(input, kernel_size, stride or None, padding, dilation, ceil_mode, True)
    return made


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """`channel_shuffle`."""
    return channel_shuffle(input, groups)


def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One step of an LSTM: the next ``(h, c)``."""
    hidden, state = hx
    gates = _linear.linear(input, w_ih, b_ih) + _linear.linear(hidden, w_hh, b_hh)
    made: tuple[Tensor, Tensor] = lstm_gates(gates, state)
    return made


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of a GRU."""
    return gru_gates(_linear.linear(input, w_ih, b_ih), _linear.linear(hx, w_hh, b_hh), hx)


def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of a recurrent layer with `tanh`."""
    return (_linear.linear(input, w_ih, b_ih) + _linear.linear(hx, w_hh, b_hh)).tanh()


def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Tensor:
    """One step of a recurrent layer with `relu`."""
    return (_linear.linear(input, w_ih, b_ih) + _linear.linear(hx, w_hh, b_hh)).relu()
