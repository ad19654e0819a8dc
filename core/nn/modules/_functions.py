"""Functions of modules with a derivative of their own."""

from __future__ import annotations

from typing import Any

from retrograd.autograd.function import Function
from retrograd.autograd.modes import is_grad_enabled
from retrograd.ops.factories import arange
from retrograd.tensor import Tensor

__all__ = ["CrossMapLRN2d"]


def _summed(among: Tensor, x: Tensor) -> Tensor:
    """For each channel the sum of those that a matrix of bools says."""
    return (among.to(x.dtype) @ x.flatten(2)).reshape(x.shape)


def _distances(channels: int, device: Any) -> tuple[Tensor, Tensor]:
    """The numbers of channels, and by how much that of a column exceeds that of a row."""
    number = arange(channels, device=device)
    return number, number - number.unsqueeze(1)


class CrossMapLRN2d(Function):
    """Each channel over a power of the squares around it.

    Note [Windows of CrossMapLRN2d]
        What is summed is PyTorch's to the last channel, and two things about it surprise. The first channel stays in
        the sums of all that come after its window. And the backward pass sums over a window that begins one channel
        too early, and so is not the derivative. Programs that have been trained with this module rely on both.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> Tensor:
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        ctx.size, ctx.alpha, ctx.beta, ctx.k = size, alpha, beta, k
        reach = int((size - 1) / 2 + 1)
        number, distance = _distances(input.size(1), input.device)
        among = (distance.abs() < reach) | ((number == 0) & (number >= reach).unsqueeze(1))
        ctx.scale = _summed(among, input**2) * (alpha / size) + k
        output = ctx.scale**-beta * input
        ctx.save_for_backward(input, output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        input, output = ctx.saved_tensors
        channels, before = input.size(1), int(ctx.size - (ctx.size - 1) / 2)
        if before > ctx.size - 1:
            raise RuntimeError(
                f"start ({before}) + length ({channels}) exceeds dimension size ({channels + ctx.size - 1})."
            )
        if is_grad_enabled():
            raise RuntimeError(
                "mul(): functions with out=... arguments don't support automatic differentiation, but one of the "
                "arguments requires grad."
            )
        _, distance = _distances(channels, input.device)
        among = (distance >= -before) & (distance < ctx.size - before)
        around = _summed(among, grad_output * output / ctx.scale)
        slope = 2 * ctx.alpha * ctx.beta / ctx.size
        return ctx.scale**-ctx.beta * grad_output - slope * input * around, None, None, None, None
