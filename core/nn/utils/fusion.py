"""Joins a layer with the batch normalization behind it, for evaluation: one layer that computes the same."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from retrograd.nn.modules.module import Module
from retrograd.nn.parameter import Parameter
from retrograd.ops.factories import ones_like, zeros_like
from retrograd.tensor import Tensor

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]

Layer = TypeVar("Layer", bound=Module)


def fuse_conv_bn_eval(conv: Layer, bn: Any, transpose: bool = False) -> Layer:
    """A convolution that computes what `conv` and the batch normalization `bn` behind it do.

    Parameters
    ----------
    conv, bn : Module
        Both in evaluation mode; `bn` has running statistics. Neither is changed.
    transpose : bool
        Whether `conv` is a transposed convolution.

    Raises
    ------
    AssertionError
        If one of them is in training mode, or `bn` has no running statistics.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fuse_conv_bn_eval.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd import nn
    >>> conv, bn = nn.Conv2d(1, 2, 3).eval(), nn.BatchNorm2d(2).eval()
    >>> x = retrograd.ones(1, 1, 4, 4)
    >>> retrograd.allclose(nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=1e-6)
    True
    """
    fused: Any = _copied(conv, bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
    bn_w: Tensor | None, bn_b: Tensor | None, transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    r"""The weight and bias of the fused convolution: :math:`w \gamma / \sqrt{v + \epsilon}`, and what follows for b.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fuse_conv_bn_weights.html
    """
    bias = zeros_like(bn_rm) if conv_b is None else conv_b
    scale = (ones_like(bn_rm) if bn_w is None else bn_w) * (bn_rv + bn_eps).rsqrt()
    shape = [1, -1] if transpose else [-1, 1]
    weight = (conv_w * scale.reshape(shape + [1] * (conv_w.ndim - 2))).to(conv_w.dtype)
    shifted = (bias - bn_rm) * scale + (zeros_like(bn_rm) if bn_b is None else bn_b)
    return Parameter(weight, conv_w.requires_grad), Parameter(shifted.to(bias.dtype), bias.requires_grad)


def fuse_linear_bn_eval(linear: Layer, bn: Any) -> Layer:
    """A linear layer that computes what `linear` and the batch normalization `bn` behind it do.

    Raises
    ------
    AssertionError
        If one of them is in training mode, `bn` has no running statistics, or another number of features.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fuse_linear_bn_eval.html
    """
    fused: Any = _copied(linear, bn)
    if not (fused.out_features == bn.num_features or bn.num_features == 1):
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"linear.out_features={fused.out_features} and bn.num_features={bn.num_features}"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor, bn_b: Tensor
) -> tuple[Parameter, Parameter]:
    """The weight and bias of the fused linear layer; see `fuse_conv_bn_weights`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.fuse_linear_bn_weights.html
    """
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _copied(layer: Layer, bn: Any) -> Layer:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("BatchNorm layer without running statistics cannot be fused")
    return copy.deepcopy(layer)
