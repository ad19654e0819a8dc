"""Gradients of convolutions by themselves, from the gradient of what they give.

Source: https://docs.pytorch.org/docs/stable/nn.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.ops.arguments import expand_pair
from retrograd.ops.neural import _convolution_input, _convolution_weight
from retrograd.tensor import Tensor

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]

Ints = int | Sequence[int]


_SETTINGS = ("stride", "padding", "dilation")


def _gradient(operator: Any, grad: Tensor, other: Tensor, size: Sequence[int], groups: int, *settings: Ints) -> Tensor:
    """What an adjoint of the convolution gives, its settings spelled out for each dimension."""
    spelled = [expand_pair(each, len(size) - 2, name) for each, name in zip(settings, _SETTINGS, strict=True)]
    made: Tensor = operator(grad, other, tuple(size), *spelled, groups)
    return made


def _by_input(dims: int) -> Callable[..., Tensor]:
    def gradient(
        input_size: Sequence[int],
        weight: Tensor,
        grad_output: Tensor,
        stride: Ints = 1,
        padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> Tensor:
        return _gradient(_convolution_input, grad_output, weight, input_size, groups, stride, padding, dilation)

    return _named(gradient, f"conv{dims}d_input", f"The gradient of `conv{dims}d` by an input of size `input_size`.")


def _by_weight(dims: int) -> Callable[..., Tensor]:
    def gradient(
        input: Tensor,
        weight_size: Sequence[int],
        grad_output: Tensor,
        stride: Ints = 1,
        padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> Tensor:
        return _gradient(_convolution_weight, grad_output, input, weight_size, groups, stride, padding, dilation)

    return _named(gradient, f"conv{dims}d_weight", f"The gradient of `conv{dims}d` by a weight of size `weight_size`.")


def _named(function: Any, name: str, text: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


conv1d_input, conv2d_input, conv3d_input = (_by_input(dims) for dims in (1, 2, 3))
conv1d_weight, conv2d_weight, conv3d_weight = (_by_weight(dims) for dims in (1, 2, 3))
