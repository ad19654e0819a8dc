"""The launcher's connection to the server: it asks how the run goes, and tells which process has ended."""

from __future__ import annotations

import zmq

from . import protocol, transport
from .errors import ProtocolError

__all__ = ["Monitor"]


class Monitor:
    """Watches a run. No call waits, so that whoever owns it can look after other things, too."""

    def __init__(self, address: str, run: str, world_size: int) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._channel = transport.connect(self._context, address)
        self._hello = protocol.Hello(run, "launcher", world_size, 0)
        self._greeted = False
        self.status: protocol.Status | None = None
        """The latest that the server has told."""

    def ask(self) -> None:
        """Ask for the status; :meth:`read` finds it when it has come."""
        if not self._greeted:
            self._greeted = self._send(self._hello)
        self._send(protocol.StatusRequest())

    def read(self, timeout: float = 0.0) -> bool:
        """Take in what the server has told; whether there was a status among it."""
        news = False
        while self._channel.poll(0.0 if news else timeout):
            try:
                message, _ = protocol.decode(self._channel.receive())
            except ProtocolError:
                continue
            if isinstance(message, protocol.Status):
                self.status, news = message, True
        return news

    def tell_exited(self, rank: int, failed: bool, text: str) -> None:
        """Tell the server that a worker's process has ended, which it would else learn from silence."""
        self._send(protocol.Exited(rank, failed, text))

    def close(self) -> None:
        """Say goodbye, which ends the server."""
        self._send(protocol.Bye())
        self._channel.close()
        self._context.term()

    def _send(self, message: protocol.Message) -> bool:
        try:
            self._channel.send(message)
        except zmq.Again:
            return False
        return True
