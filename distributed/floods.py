"""Cuts connections off over which a message comes that never ends.

ZeroMQ hands out a message when its last frame has come, and holds the others until then, as many as there are: the
bound on a frame does not bound them. So a server looks, once a second, how many bytes have come over each connection
since its last whole message, which the operating system knows, and cuts off the one with the most when it is too much
for all of them together. Outside Linux it does not look.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from .connections import cut_off, passed

if TYPE_CHECKING:
    from .roster import Member

__all__ = ["Cut", "Floods"]

_INTERVAL = 1.0  # seconds between two looks
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
_SOURCE = int(zmq.SRCFD)  # deprecated, and without a successor


class Cut(NamedTuple):
    """A connection that was cut off."""

    peer: bytes
    """The routing id with which its last whole message came, if there was one."""
    address: str
    nbytes: int
    """How much of a message had come, where there may be `limit` of all together."""
    limit: int

    def describe(self, member: Member | None) -> str:
        """What is said of it, if it was known to be a worker's, or else."""
        whose = "a connection" if member is None else f"the connection of worker {member.rank}"
        return (
            f"cut off {whose} from {self.address}: {self.nbytes} bytes of a message have come that does not end, and "
            f"{self.limit} are the most that may wait for an end"
        )


class Floods:
    """What comes into a server's socket, by connection.

    Parameters
    ----------
    socket : zmq.Socket
        Which is not bound yet.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._monitor: zmq.Socket[bytes] | None = None
        self._begun: dict[int, int] = {}
        """By descriptor the bytes that had come, by the first look after it, when the last whole message had."""
        self._whole: dict[int, bytes] = {}
        """Where a whole message has come from since the last look."""
        self._peers: dict[int, bytes] = {}
        self._looked = 0.0
        if sys.platform == "linux":
            self._monitor = socket.get_monitor_socket(_EVENTS)

    def note(self, routing_id: zmq.Frame) -> None:
        """A whole message has come, and this is its first frame."""
        try:
            self._whole[routing_id.get(_SOURCE)] = routing_id.bytes
        except zmq.ZMQError:  # not over a connection of the operating system
            return

    def look(self, limit: int, now: float) -> Cut | None:
        """Cut off who has sent the most of an endless message, if more than `limit` bytes of such have come."""
        if self._monitor is None or now - self._looked < _INTERVAL:
            return None
        self._looked = now
        self._follow_events(self._monitor)
        pending = {}
        for descriptor in self._begun:
            so_far = passed(descriptor)
            if so_far is None or descriptor in self._whole:
                self._begun[descriptor] = 0 if so_far is None else so_far.received
            else:
                pending[descriptor] = so_far.received - self._begun[descriptor]
        self._peers.update((each, peer) for each, peer in self._whole.items() if each in self._begun)
        self._whole.clear()
        if sum(pending.values()) <= limit:
            return None
        worst = max(pending, key=pending.__getitem__)
        return Cut(self._peers.get(worst, b""), cut_off(worst), pending[worst], limit)

    def _follow_events(self, monitor: zmq.Socket[bytes]) -> None:
        """Know which connections there are."""
        while monitor.poll(0):
            event: Any = recv_monitor_message(monitor)
            descriptor = int(event["value"])
            self._begun.pop(descriptor, None)
            self._peers.pop(descriptor, None)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._begun[descriptor] = 0

    def close(self) -> None:
        """Look no more."""
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(0)
