"""Signs of life: a thread that tells the server this worker lives, and hears that the server does.

It has a connection of its own, since a ZeroMQ socket belongs to one thread, and since heartbeats must
pass while the other connection is filled by a large tensor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import zmq

from . import protocol, transport
from .errors import ProtocolError
from .protocol import Report

__all__ = ["INTERVAL", "Heart"]

INTERVAL = 0.5
"""Seconds between two heartbeats. The peer is given up after many of them (``RETROGRAD_TIMEOUT``)."""


class Heart:
    """Beats in the background from `start` until `stop`.

    Parameters
    ----------
    context : zmq.Context
    address : str
        The server's.
    rank, incarnation : int
        Whose life it tells of.
    report
        Called for what goes along with each beat: how far the worker is.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        address: str,
        rank: int,
        incarnation: int,
        report: Callable[[], Report],
    ) -> None:
        self._identity = (rank, incarnation)
        self._context, self._address, self._report = context, address, report
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retrograd-heartbeat", daemon=True)
        # One tuple, replaced as a whole, so that the other thread never sees half of it: when the pulse
        # came, when the beat that it answers had gone out, and what it says.
        self._pulse = (time.monotonic(), 0.0, protocol.Pulse(0, 0))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def heard(self) -> float:
        """When the server last gave a sign of life, on the monotonic clock."""
        return self._pulse[0]

    def misses(self, seq: int, since: float) -> bool:
        """Whether the server, asked after the moment `since`, should have done something about a request.

        That is so when it has not received request `seq`, or believes that it has answered it. While it
        has received it and not answered, it waits for other workers, and so may we.
        """
        _, asked, pulse = self._pulse
        return asked > since and not pulse.answered < seq <= pulse.received

    def _run(self) -> None:
        channel = transport.connect(self._context, self._address)
        try:
            while not self._stop.is_set():
                asked = time.monotonic()
                self._beat(channel, asked)
                self._stop.wait(max(0.0, INTERVAL - (time.monotonic() - asked)))
        finally:
            channel.close()

    def _beat(self, channel: transport.Channel, asked: float) -> None:
        rank, incarnation = self._identity
        try:
            channel.send(protocol.Heartbeat(rank, incarnation, self._report()))
        except zmq.Again:
            return  # not connected: the silence speaks for itself
        while channel.poll(INTERVAL):
            try:
                message, _ = protocol.decode(channel.receive())
            except ProtocolError:
                continue
            if isinstance(message, protocol.Pulse):
                self._pulse = (time.monotonic(), asked, message)
                return
