"""Shuffling of channels as a module."""

from __future__ import annotations

from retrograd.nn import functional as F
from retrograd.nn.modules.module import Module
from retrograd.tensor import Tensor

__all__ = ["ChannelShuffle"]


class ChannelShuffle(Module):
    """Deal the channels out again, one from each of `groups` groups.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ChannelShuffle.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.arange(4).reshape(1, 4, 1)
    >>> retrograd.nn.ChannelShuffle(2)(x).flatten()
    tensor([0, 2, 1, 3])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
