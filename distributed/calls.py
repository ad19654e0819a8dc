"""What a client notes of what the program asks of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias

from msgspec import Struct, field

from . import crew
from .errors import DistributedError
from .gradients import Gradient, Rows, is_same
from .link import Request
from .messages import Array, FrameSpec, Slice, Slot
from .placement import view
from .protocol import size_of
from .shared import WORTH_SHARING, Segment, room_for
from .transport import Channel, Hearing

__all__ = ["BegunPush", "Call", "Desk", "HeartbeatLine", "Rejoined"]

Key: TypeAlias = tuple[int, int]
"""A slice, by its server's number and its index there."""


class Call(Struct, eq=False):
    """What the program waits for: an answer of each server that was asked."""

    inbox: deque[tuple[int, Any, list[Array]]] = field(default_factory=deque)
    began: float = 0.0
    missing: int = 0
    """Servers whose answer has not come, or not all of it."""
    as_asked: bool = True

    def deliver(self, shard: int) -> Callable[[Any, list[Array]], None]:
        return lambda message, arrays: self.inbox.append((shard, message, arrays))

    def fail(self, error: DistributedError) -> None:
        self.inbox.append((-1, error, []))


class BegunPush(Struct, eq=False):
    """A push that has begun, perhaps before its step is over."""

    requests: list[Request]
    call: Call
    parts: list[int]
    sent: dict[Key, Gradient] = {}
    """Of each slice that has left the gradient as it was sent, which the program cannot change."""

    def keep(self, key: Key, slot: Slot, arrays: list[Array], desk: Desk | None) -> list[Array]:
        """Note what is sent of a slice before its step is over; the arrays that are to be sent."""
        if slot.rows >= 0:
            self.sent[key] = Rows(slot.shape, *arrays)
        elif slot.offset >= 0 and desk is not None:
            self.sent[key] = desk.array(slot.index)
        else:
            arrays = [arrays[0].copy()]
            self.sent[key] = arrays[0]
        return arrays

    def changed(self, gradients: Mapping[int, Array], layout: Sequence[Sequence[tuple[int, int, Slice]]]) -> set[Key]:
        """Those slices of a step's gradients that have not left, or are not as they were then."""
        found: set[Key] = set()
        left: list[tuple[Key, Gradient, Array]] = []
        nbytes = 0
        for tensor, gradient in gradients.items():
            for shard, index, piece in layout[tensor]:
                if (sent := self.sent.get((shard, index))) is None:
                    found.add((shard, index))
                else:
                    left.append(((shard, index), sent, view(gradient, piece)))
                    nbytes += sent.nbytes
        same = crew.each(lambda each: is_same(each[1], each[2]), left, nbytes)
        return found | {key for (key, _, _), is_so in zip(left, same, strict=True) if not is_so}


class Desk:
    """Shared memory with a place for the gradient of each slice of a server."""

    def __init__(self, frames: list[FrameSpec], offsets: list[int], segment: Segment) -> None:
        self._frames, self._offsets, self.segment = frames, offsets, segment

    @classmethod
    def of(cls, frames: list[FrameSpec]) -> Self | None:
        """One for these slices, if they are large enough for it and the system has the memory."""
        if sum(map(size_of, frames)) < WORTH_SHARING:
            return None
        segment = Segment.create_if_there_is_room((offsets := room_for(frames))[-1])
        return None if segment is None else cls(frames, offsets, segment)

    def put(self, index: int, gradient: Array) -> int:
        """Lay down a gradient; where it lies."""
        self.array(index)[...] = gradient
        return self._offsets[index]

    def array(self, index: int) -> Array:
        """What lies there."""
        return self.segment.array(self._frames[index], self._offsets[index])


class HeartbeatLine:
    """The connection on which the heart beats: it must pass while the other one is full of tensors."""

    def __init__(self, channel: Channel, requests: Channel, now: float) -> None:
        self.channel = channel
        self.asked = 0.0
        self.hearing = Hearing(channel, now)
        self.answers = Hearing(requests, now)
        """Of the connection for requests."""


class Rejoined:
    """Says that what follows are the weights of a new life."""
