"""How much of a server's weights has come, where they come in several messages."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from .messages import Array, Slice, Weights

__all__ = ["Arrived", "Incoming"]

Arrived: TypeAlias = tuple[Slice, Array, Array | None]
"""Weights that have come: those of a slice, or of its rows of the given numbers."""

_ALL = 1 << 62


class Incoming(Struct, eq=False):
    """One answer with weights, as far as it has come."""

    version: int
    step: int
    reached: int = 0
    """The slices below this index have come, or need not come since they have not changed."""
    ends: dict[int, int] = {}
    """Of each part that has come, the index after its last slice. They may come out of order, where one is lost."""
    first_missing: int = 0

    def note(self, message: Weights) -> bool:
        """Note that a part has come; whether it was the last that was missing."""
        self.ends[message.part] = message.tensors[-1].index + 1 if message.tensors else 0
        while self.first_missing in self.ends:
            self.reached = max(self.reached, self.ends[self.first_missing])
            self.first_missing += 1
        if len(self.ends) < message.parts:
            return False
        self.reached = _ALL
        return True
