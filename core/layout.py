"""PyTorch's names for layouts and memory formats: there is one layout, and formats mostly change nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "channels_last", "channels_last_3d", "contiguous_format", "layout", "memory_format", "preserve_format",
    "strided",
]  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class layout:
    """How elements are laid out in memory: `strided`, for every tensor."""

    name: str

    def __repr__(self) -> str:
        return f"retrograd.{self.name}"


@dataclass(frozen=True, eq=False, slots=True)
class memory_format:
    """The order of a tensor's dimensions in memory."""

    name: str

    def __repr__(self) -> str:
        return f"retrograd.{self.name}"


strided: Final = layout("strided")
preserve_format: Final = memory_format("preserve_format")
contiguous_format: Final = memory_format("contiguous_format")
channels_last: Final = memory_format("channels_last")
channels_last_3d: Final = memory_format("channels_last_3d")
