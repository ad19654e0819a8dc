"""Gradients of convolutions by themselves, from the gradient of what they give.

Source: https://docs.pytorch.org/docs/stable/nn.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.ops.arguments import expand_pair
from retrograd.ops.neural import _convolution, _convolution_input, _convolution_weight
from retrograd.tensor import Tensor

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]

Ints = int | Sequence[int]


_SETTINGS = ("stride", "padding", "dilation")


def _gradient(operator: Any, grad: Tensor, other: Tensor, size: Sequence[int], groups: int, *settings: Ints) -> Tensor:
    """What an adjoint of the convolution gives, its settings spelled out for each dimension."""
    made: Tensor = operator(grad, other, tuple(size), *_spelled(len(size), *settings), groups)
    return made


def _spelled(ndim: int, *settings: Ints) -> list[tuple[int, ...]]:
    return [expand_pair(each, ndim - 2, name) for each, name in zip(settings, _SETTINGS, strict=True)]


def convolution_backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, bias_sizes: Sequence[int] | None, stride: Ints, padding: Ints,
    dilation: Ints, transposed: bool, output_padding: Ints, groups: int, output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """The gradients of a convolution by input, weight and bias, of which `output_mask` wants some; others are None."""
    settings = stride, padding, dilation
    of_input = of_weight = of_bias = None
    if output_mask[0] and transposed:
        spelled = _spelled(input.ndim, *settings)
        of_input = _convolution(grad_output, weight, None, *spelled, groups)
    elif output_mask[0]:
        of_input = _gradient(_convolution_input, grad_output, weight, input.shape, groups, *settings)
    if output_mask[1]:
        inner, outer = (input, grad_output) if transposed else (grad_output, input)
        of_weight = _gradient(_convolution_weight, inner, outer, weight.shape, groups, *settings)
    if output_mask[2]:
        of_bias = grad_output.sum((0, *range(2, grad_output.ndim)))
    return of_input, of_weight, of_bias


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
