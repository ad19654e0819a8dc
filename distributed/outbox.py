"""What a server sends, and what it does when nobody takes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import zmq
from msgspec import structs

from . import transport
from .errors import DistributedError, kind_of
from .messages import Array, Error, Message, Pulse, Slot, Weights
from .protocol import Frame, encode
from .sparing import Sparing
from .transport import Channel, Flight

__all__ = ["PART_BYTES", "Outbox", "parts_of"]

log = logging.getLogger("retrograd.distributed.server")

PART_BYTES = 4 << 20
"""Bytes of tensors in one message, if there is more than one slice. While a message is on its way nothing
else passes on its connection, and the other side can do nothing with it."""

WEIGHTS_BYTES = 1 << 20
"""The same for weights that are more than that: who gets them goes on with the first."""

_MOST_PARTS = 48
"""Of one answer or push: as many messages wait at once, and ZeroMQ takes no more than so many for a peer."""


class Outbox:
    """Sends a server's messages. A peer that has gone is no error: if it lives it asks again."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.in_vain = 0
        """Messages that nobody took."""
        self._log = Sparing(log)

    def send(self, peer: bytes, message: Message, arrays: Sequence[Array] = ()) -> Flight:
        """Send one message to a peer."""
        return self.send_frames(peer, encode(message, arrays), type(message))

    def send_frames(self, peer: bytes, frames: Sequence[Frame], kind: type[Message]) -> Flight:
        """Send one message of a kind that is encoded already."""
        try:
            return self._channel.send_frames(frames, peer)
        except zmq.ZMQError as error:
            if not transport.is_gone(error):
                raise
            self.in_vain += 1
            text, name = "a peer went away before its %s: %s", kind.__name__.upper()
            if kind is Pulse:
                log.debug(text, name, error)  # who leaves, or is busy, may miss the answer to a heartbeat
            else:
                self._log(logging.INFO, text, name, error)
            return Flight()

    def send_error(self, peer: bytes, error: DistributedError, seq: int, incarnation: int = 0) -> None:
        """Tell a peer why request `seq` is not done, or its life `incarnation` is not let in."""
        self.send(peer, Error(kind_of(error), str(error), seq, incarnation))

    def send_weights(
        self, peer: bytes, answer: Weights, slots: Sequence[Slot], arrays: Sequence[Array]
    ) -> list[Flight]:
        """Send weights in as many messages as they take, the first tensors first."""
        parts = list(parts_of(slots, arrays, WEIGHTS_BYTES))
        return [
            self.send(peer, structs.replace(answer, tensors=tuple(some), part=part, parts=len(parts)), several)
            for part, (some, several) in enumerate(parts)
        ]


def parts_of(
    slots: Sequence[Slot], arrays: Sequence[Array], most: int = 0
) -> Iterator[tuple[Sequence[Slot], Sequence[Array]]]:
    """Divide slots and their frames, if they are more than `PART_BYTES`, into messages of about that much, or `most`.

    There is at least one, which may be empty.
    """
    total = sum(array.nbytes for array in arrays)
    if total <= PART_BYTES:
        yield slots, arrays
        return
    most = max(most or PART_BYTES, 2 * total // _MOST_PARTS)  # any two that follow one another are more than this
    some: list[Slot] = []
    several: list[Array] = []
    size, frames = 0, iter(arrays)
    for slot in slots:
        mine = [next(frames) for _ in slot.frames()] if slot.offset < 0 else []
        nbytes = sum(array.nbytes for array in mine)
        if some and size + nbytes > most:
            yield some, several
            some, several, size = [], [], 0
        some.append(slot)
        several.extend(mine)
        size += nbytes
    yield some, several
