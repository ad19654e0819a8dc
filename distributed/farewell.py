"""How a worker leaves: it says goodbye to every server until each has heard it.

A goodbye that is lost with its connection would look like a worker that died, some seconds later and to all others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import zmq

from .errors import Stranger, kind_of
from .link import Link
from .messages import Bye, Error, Farewell
from .transport import Channel

__all__ = ["say_goodbye"]

_PATIENCE = 2.0  # seconds that all of it may take
_AGAIN = 0.4  # seconds without an answer after which something is done about it
_ANEW = 2  # the try at which the connection is made anew: one that was cut comes up by itself
_STRANGER = kind_of(Stranger(""))


def say_goodbye(ways: Iterable[tuple[Link, Channel]], bye: Bye) -> None:
    """Tell the servers that we leave, and wait until each has heard it, or two seconds are over.

    Those that have failed us are not told, but by one that withdraws: they may have let it in before.
    """
    deadline = time.monotonic() + _PATIENCE
    partings = [
        _Parting(link, channel, bye, deadline)
        for link, channel in ways
        if link.failure is None or (bye.withdrawn and link.was_let_in)
    ]
    for each in partings:
        each.say()
    for each in partings:
        if each.link.was_let_in:
            each.wait()


class _Parting:
    """A goodbye to one server."""

    def __init__(self, link: Link, channel: Channel, bye: Bye, deadline: float) -> None:
        self.link, self._channel, self._bye, self._deadline = link, channel, bye, deadline

    @property
    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def say(self, *, again: bool = False) -> None:
        """Say it, if there is a connection by then; `again` to a server that does not know us over this one."""
        if self._channel.poll(self._left if self.link.was_let_in else 0.0, to_send=True):
            with contextlib.suppress(zmq.Again):
                if again:
                    self._channel.send(self.link.hello)
                self._channel.send(self._bye)

    def wait(self) -> None:
        """Wait until the server has heard it."""
        tries = 0
        while self._left:
            if not self._channel.poll(min(_AGAIN, self._left)):
                tries += 1
                # What is sent at once goes over the connection that is given up.
                if tries == _ANEW:
                    self._channel.reconnect()
                else:
                    self.say(again=True)
            for message, _ in self._channel.messages():
                if isinstance(message, Farewell) or (isinstance(message, Error) and self._settles(message)):
                    return
                if isinstance(message, Error) and message.kind == _STRANGER:
                    self.say(again=True)

    def _settles(self, error: Error) -> bool:
        """Whether this says that the server does not count on us: its answer to a goodbye, or to HELLO."""
        return error.seq == 0 and error.kind != _STRANGER
