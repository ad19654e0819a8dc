"""What a client notes of what the program asks of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Self

from msgspec import Struct, field

from .errors import DistributedError
from .link import Request
from .messages import Array, FrameSpec
from .protocol import size_of
from .shared import WORTH_SHARING, Segment, room_for
from .transport import Channel, Hearing

__all__ = ["BegunPush", "Call", "Desk", "HeartbeatLine", "Rejoined"]


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
    sent: dict[tuple[int, int], int] = {}
    """Of each slice, by server and index, the state of the gradient that was sent."""


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
        self.segment.array(self._frames[index], self._offsets[index])[...] = gradient
        return self._offsets[index]


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
