"""A short way between two processes of one machine, for messages that fit into one packet.

Note [Lanes]
    Over ZeroMQ a message wakes two threads on its way: the sender's, which writes to the socket, and the receiver's,
    which reads from it. For a small step that takes longer than all else. So a server offers each worker of its own
    machine a *lane*: a socket of the operating system (``AF_UNIX``, ``SOCK_SEQPACKET``) by which one process hands a
    message to the other itself.

    A lane is never the only way. What does not fit, and what the other does not take at once, goes over ZeroMQ, and so
    does everything when the lane is gone; nobody is told of that, and what was in it is said again as after any loss.
    Greetings, INIT and heartbeats always go over ZeroMQ, so who may take part and who is alive is decided there alone.

    Who opens a lane shows the token that was in its WELCOME, so it is who that was said to; both look whether
    the other is a process of the same user. And a lane is opened only where the worker's address has the port at
    which the server listens: a way that was chosen on purpose, through a tunnel or a proxy, is not left.

Note [A packet]
    The number of frames, their lengths (all of 4 bytes, little-endian), and the frames, each of these at a multiple
    of 16 bytes.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import sys
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Self

from .descriptors import POLLIN, Poller
from .messages import LaneOffer
from .protocol import Frame

__all__ = ["Door", "Lane", "Lanes", "Promise", "are_available", "lane_of", "owner_of"]

_MOST = 128 << 10  # bytes of a packet; Linux takes somewhat more, by default, of what nobody has read
_MOST_FRAMES = 256
_ALIGNMENT = 16
_PADDING = bytes(_ALIGNMENT)
_WORD = struct.Struct("<I")
_MARK = b"lane "  # ZeroMQ's own routing ids have five bytes, and the first is zero
_CREDENTIALS = struct.Struct("3i")
_MOST_PROMISES = 4096
_MOST_STRANGERS = 64


def are_available() -> bool:
    """Whether this system has what lanes are made of."""
    return sys.platform == "linux" and hasattr(socket, "SO_PEERCRED")


def lane_of(peer: bytes) -> bytes:
    """The routing id of the lane of a peer, beside its own.

    >>> owner_of(lane_of(b"peer")), owner_of(b"peer")
    (b'peer', b'peer')
    """
    return _MARK + peer


def owner_of(way: bytes) -> bytes:
    """The routing id of the peer to whom a way leads: a lane's or, over ZeroMQ, its own."""
    return way.removeprefix(_MARK)


@dataclass(frozen=True, slots=True)
class Promise:
    """For whom a lane is: the peer, and the name of the key with which it was let in."""

    peer: bytes
    user: str | None


class Lane:
    """One end of a lane. Nothing in here waits.

    Parameters
    ----------
    connection : socket.socket
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self.descriptor = connection.fileno()
        """By which one can wait for what comes."""
        self.promise: Promise | None = None
        """On a server: whose it is, once that has been shown."""
        self.is_open = True
        """Whether it is a way; else it is only there to be closed."""

    @classmethod
    def open(cls, offer: LaneOffer) -> Self | None:
        """The lane that a server offers; ``None`` if there is no way to it, as from another network space."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lane = cls(connection)
        try:
            connection.connect("\0" + offer.name)
            lane.is_open = _is_ours(connection)
        except OSError:
            lane.is_open = False
        if lane.is_open and lane.send([bytes.fromhex(offer.token)]):
            return lane
        lane.close()
        return None

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send a message; whether it is on its way. If not, it must take another."""
        lengths = [len(each) for each in frames]
        head = 4 + 4 * len(lengths)
        if len(lengths) > _MOST_FRAMES or head + sum(lengths) > _MOST - _ALIGNMENT * (1 + len(lengths)):
            return False
        pieces: list[Frame] = [struct.pack(f"<{len(lengths) + 1}I", len(lengths), *lengths), _PADDING[: -head % 16]]
        for each, length in zip(frames, lengths, strict=True):
            pieces.append(each)
            if length % _ALIGNMENT:
                pieces.append(_PADDING[: -length % _ALIGNMENT])
        try:
            self._socket.sendmsg(pieces)
        except BlockingIOError:
            return False
        except OSError:
            self.is_open = False
            return False
        return True

    def receive(self, room: bytearray) -> list[Frame] | None:
        """The frames of the next message; ``None`` if there is none, or no more ever since the other end is closed.

        `room` is where it is received, and free again afterwards.
        """
        try:
            size = self._socket.recv_into(room)
        except BlockingIOError:
            return None
        except OSError:
            size = 0
        frames = _frames_of(memoryview(room[:size])) if 0 < size <= _MOST else None
        self.is_open = frames is not None
        return frames

    def close(self) -> None:
        """Give the descriptor back, for which nobody may wait any more."""
        self._socket.close()


class Door:
    """Where lanes to a server begin: an address that only who was told it can know, and the tokens given out."""

    def __init__(self) -> None:
        self.name = f"retrograd-{secrets.token_hex(16)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._socket.bind("\0" + self.name)  # a name in no file system, which goes with the socket
        self._socket.listen(_MOST_STRANGERS)
        self.descriptor = self._socket.fileno()
        self._promises: dict[bytes, Promise] = {}
        self.is_open = True
        """Whether it is a door; else it is only there to be closed."""

    def promise(self, peer: bytes, user: str | None) -> str:
        """A token for the lane of a peer, good for one."""
        while len(self._promises) >= _MOST_PROMISES:
            del self._promises[next(iter(self._promises))]
        token = secrets.token_bytes(16)
        self._promises[token] = Promise(peer, user)
        return token.hex()

    def enter(self) -> Lane | None:
        """Who has come, and has yet to show a token; ``None`` if there is nobody, or nobody of ours."""
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError:  # there are no descriptors left, as a rule, and whoever has come stays at the door
            self.is_open = False
            return None
        if _is_ours(connection):
            return Lane(connection)
        connection.close()
        return None

    def admit(self, lane: Lane, room: bytearray) -> Promise | None:
        """Let someone in who has sent a token; the lane of who has sent anything else is no way."""
        frames = lane.receive(room)
        lane.promise = self._promises.pop(bytes(frames[0]), None) if frames else None
        lane.is_open = lane.promise is not None
        return lane.promise

    def close(self) -> None:
        """Let nobody in any more."""
        self._socket.close()


class Lanes:
    """The lanes of a channel: on a server those of all its workers, on a worker the one to its server.

    Parameters
    ----------
    pollers
        Those that wait for what comes on the channel; there may be more of them later.
    """

    def __init__(self, pollers: Sequence[Poller]) -> None:
        self.inbox: deque[tuple[str | None, list[Frame]]] = deque()
        """What has come: under which key, and the frames; on a server the first is the routing id of the lane."""
        self._pollers = pollers
        self._lanes: dict[int, Lane] = {}
        self._by_way: dict[bytes, Lane] = {}
        self._door: Door | None = None
        self._room = bytearray()

    @property
    def are_open(self) -> bool:
        return bool(self._lanes) or self._door is not None

    @property
    def descriptors(self) -> list[int]:
        """All for which somebody must wait."""
        return [*self._lanes, *([] if self._door is None else [self._door.descriptor])]

    def offer(self, peer: bytes, user: str | None, port: int) -> LaneOffer | None:
        """What a peer needs to open a lane to this server, which listens at `port`; ``None`` if there can be none."""
        if self._door is None:
            try:
                self._door = Door()
            except OSError:
                return None
            self._register(self._door.descriptor)
        return LaneOffer(self._door.name, self._door.promise(peer, user), port)

    def follow(self, offer: LaneOffer | None) -> None:
        """Have the lane that a server offers, and none of a former offer."""
        for lane in list(self._lanes.values()):
            self._drop(lane)
        if offer is not None and (opened := Lane.open(offer)) is not None:
            self._add(opened)
            self._by_way[b""] = opened

    def send(self, frames: Sequence[Frame], way: bytes = b"") -> bool:
        """Send a message by a lane, on a server by the one that `way` names; whether there is one that takes it."""
        lane = self._by_way.get(way)
        if lane is None or lane.send(frames):
            return lane is not None
        if not lane.is_open:
            self._drop(lane)
        return False

    def sort(self, ready: Container[int]) -> None:
        """Take a message from each lane of which a poller says that there is something, and let in who has come."""
        if self._door is not None and self._door.descriptor in ready and (came := self._door.enter()) is not None:
            strangers = [each for each in self._lanes.values() if each.promise is None]
            if len(strangers) >= _MOST_STRANGERS:
                self._drop(strangers[0])
            self._add(came)
        if self._door is not None and not self._door.is_open:
            self._shut()
        for descriptor in [each for each in self._lanes if each in ready]:
            self._take(self._lanes[descriptor])

    def _take(self, lane: Lane) -> None:
        promise = lane.promise
        if promise is not None:  # on a server, also when its door is shut
            if (frames := lane.receive(self._room)) is not None:
                self.inbox.append((promise.user, [lane_of(promise.peer), *frames]))
        elif lane is self._by_way.get(b""):
            if (frames := lane.receive(self._room)) is not None:
                self.inbox.append((None, frames))
        elif self._door is None:
            lane.is_open = False  # a stranger, whose token nobody knows any more
        elif (promise := self._door.admit(lane, self._room)) is not None:
            self._by_way[lane_of(promise.peer)] = lane
        if not lane.is_open:
            self._drop(lane)

    def _add(self, lane: Lane) -> None:
        self._room = self._room or bytearray(_MOST + 1)  # one byte more, by which one that is too long is seen
        self._lanes[lane.descriptor] = lane
        self._register(lane.descriptor)

    def _register(self, descriptor: int) -> None:
        for poller in self._pollers:
            poller.register(descriptor, POLLIN)

    def _drop(self, lane: Lane) -> None:
        del self._lanes[lane.descriptor]
        self._by_way = {way: each for way, each in self._by_way.items() if each is not lane}
        for poller in self._pollers:
            poller.unregister(lane.descriptor)
        lane.close()

    def close(self) -> None:
        """Close all of them, and let nobody in any more."""
        for lane in list(self._lanes.values()):
            self._drop(lane)
        self._shut()

    def _shut(self) -> None:
        if self._door is not None:
            for poller in self._pollers:
                poller.unregister(self._door.descriptor)
            self._door.close()
            self._door = None


def _frames_of(packet: memoryview) -> list[Frame] | None:
    """The frames of a packet, which lie in it; ``None`` if it is none."""
    count = _WORD.unpack_from(packet)[0] if len(packet) >= _WORD.size else _MOST_FRAMES + 1
    start = 4 + 4 * count
    if count > _MOST_FRAMES or len(packet) < start:
        return None
    lengths = struct.unpack_from(f"<{count}I", packet, 4)
    frames: list[Frame] = []
    for length in lengths:
        start += -start % _ALIGNMENT
        frames.append(packet[start : start + length])
        start += length
    return frames if start <= len(packet) else None


def _is_ours(connection: socket.socket) -> bool:
    """Whether the other end belongs to the same user."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[1] == os.getuid())
