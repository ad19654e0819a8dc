"""A watcher's connection to the servers: it asks how the run goes, and tells which process has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

from . import protocol, transport
from .errors import ProtocolError, from_kind
from .security import ClientKeys

__all__ = ["Monitor"]


class Monitor:
    """Watches a run. No call waits, so that whoever owns it can look after other things, too.

    Parameters
    ----------
    addresses
        Of the servers, the first one first.
    run : str
        Name of the run.
    world_size : int
    keys : str, optional
        Folder or file with the watcher's key.
    """

    def __init__(self, addresses: Sequence[str], run: str, world_size: int, keys: str | None = None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        mine = ClientKeys.read(keys, "launcher") if keys else None
        self._channels = [transport.connect(self._context, address, mine) for address in addresses]
        self._watch = transport.Watch(self._channels)
        self._hello = protocol.Hello(run, "launcher", world_size, 0)
        self._greeted = [False] * len(addresses)
        self.statuses: list[protocol.Status | None] = [None] * len(addresses)
        """The latest that each server has told."""
        self.refusal: Exception | None = None
        """Why a server does not let this watcher in."""

    @property
    def status(self) -> protocol.Status | None:
        """The latest that the first server has told."""
        return self.statuses[0]

    def ask(self) -> None:
        """Ask for the status; :meth:`read` finds it when it has come."""
        for index in range(len(self._channels)):
            if not self._greeted[index]:
                self._greeted[index] = self._send(index, self._hello)
            self._send(index, protocol.StatusRequest())

    def read(self, timeout: float = 0.0) -> bool:
        """Take in what the servers have told; whether there was a status of the first one among it."""
        self._watch.wait(timeout)
        news = [self._read(index) for index in range(len(self._channels))]
        return any(news)

    def _read(self, index: int) -> bool:
        channel, news = self._channels[index], False
        while channel.poll(0.0):
            try:
                message, _ = protocol.decode(channel.receive())
            except ProtocolError:
                continue
            if isinstance(message, protocol.Status):
                self.statuses[index], news = message, index == 0
            elif isinstance(message, protocol.Error):
                self._greeted[index] = False  # a server that has started again does not know us
                if message.kind == "refused":
                    self.refusal = from_kind(message.kind, message.text)
        if text := channel.refusal():
            self.refusal = from_kind("refused", text)
        return news

    def tell_exited(self, rank: int, failed: bool, text: str) -> None:
        """Tell the first server that a worker's process has ended, which it would else learn from silence."""
        self._send(0, protocol.Exited(rank, failed, text))

    def close(self, *, end_run: bool = True) -> None:
        """Say goodbye, which ends the servers; or leave without a word."""
        for index in range(len(self._channels)):
            if end_run:
                self._send(index, protocol.Bye())
            self._channels[index].close()
        self._context.term()

    def _send(self, index: int, message: Any) -> bool:
        try:
            self._channels[index].send(message)
        except zmq.Again:
            return False
        return True
