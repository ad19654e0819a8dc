"""Custom Functions that PyTorch's programs of old find here."""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

from retrograd.autograd.function import Function
from retrograd.tensor import Tensor

__all__ = ["Resize", "Type"]


class Type(Function):
    """`tensor.type(dest_type)`, which one should call instead. Deprecated."""

    @staticmethod
    def forward(ctx: Any, i: Tensor, dest_type: Any) -> Tensor:
        warnings.warn(
            "`retrograd.autograd._functions.Type` is deprecated as of PyTorch 2.1, please use "
            "`retrograd.tensor.to(dtype=dtype)` instead.",
            FutureWarning,
            stacklevel=2,
        )
        ctx.input_type = i.dtype
        return i.type(dest_type)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return grad_output.to(ctx.input_type), None


class Resize(Function):
    """The same elements in another shape, in memory of their own.

    Raises
    ------
    RuntimeError
        If the shape has another number of elements.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(4, requires_grad=True)
    >>> retrograd.autograd._functions.Resize.apply(x, (2, 2))
    tensor([[1., 1.],
            [1., 1.]], grad_fn=<ResizeBackward>)
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: tuple[int, ...]) -> Tensor:
        ctx.input_sizes, ctx.numel = tensor.shape, prod(sizes)
        if tensor.numel() != ctx.numel:
            asked, given = ("x".join(map(str, each)) for each in (sizes, tensor.shape))
            raise RuntimeError(
                f"requested resize to {asked} ({ctx.numel} elements in total), but the given tensor has a size of "
                f"{given} ({tensor.numel()} elements). autograd's resize can only change the shape of a given tensor, "
                "while preserving the number of elements. "
            )
        return tensor.clone().reshape(sizes)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return grad_output.reshape(ctx.input_sizes), None
