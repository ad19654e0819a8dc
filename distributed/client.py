"""A worker's side of the conversation: ask, and wait for the answer or for the server's death.

The client moves arrays and numbers and knows nothing of tensors, which is
:class:`~retrograd.distributed.optimizer.ServerOptimizer`'s part.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import zmq

from . import protocol, transport
from .environment import Environment
from .errors import DistributedError, ProtocolError, ServerLost, from_kind
from .heartbeat import Heart
from .protocol import Array, Groups, Message, Report, Slot, TensorSpec

__all__ = ["Client"]

M = TypeVar("M", bound=Message)

_POLL = 0.2  # seconds between looks at the server's pulse while an answer is awaited
_RESEND_AFTER = 2.0  # seconds before a request that the server does not know of is sent again


class Client:
    """A connection to the server of a run.

    Parameters
    ----------
    place : Environment
        Which rank of which run this is, and where the server listens.
    report : callable
        Gives the worker's :class:`~retrograd.distributed.protocol.Report` at any moment. It is called from
        the heartbeat's thread.

    Raises
    ------
    ServerLost
        When no server answers at the address in time.
    Refused
        When the server belongs to another run, or the rank is taken.
    """

    def __init__(self, place: Environment, report: Callable[[], Report] = Report) -> None:
        if len(place.servers) != 1:
            raise DistributedError(
                f"RETROGRAD_SERVERS names {len(place.servers)} servers ({','.join(place.servers)}), and this "
                "version trains with one"
            )
        self.place = place
        self.address = place.servers[0]
        self.step = 0
        """Steps completed."""
        self.initialized = False
        """Whether it is agreed what is trained."""
        self.waited = 0.0
        """Seconds spent waiting for answers."""
        self._report = report
        self._seq = 0
        # Tells this life of the worker from an earlier one with the same rank; 63 bits fit the field.
        self._incarnation = int.from_bytes(os.urandom(8), "little") >> 1
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self.channel = transport.connect(self._context, self.address)
            self._heart = Heart(self._context, self.address, place.rank, self._incarnation, report)
            self._greet()
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._heart.start()

    def initialize(
        self, optimizer: str, groups: Groups, table: Sequence[TensorSpec], weights: Sequence[Array]
    ) -> list[Array]:
        """Agree on what is trained, and get rank 0's weights; only rank 0's `weights` are sent."""
        first = self.place.rank == 0
        message = protocol.Init(self._seq + 1, optimizer, groups, tuple(table), first)
        _, arrays = self._request(message, weights if first else (), protocol.Weights)
        self.initialized = True
        return arrays

    def push(self, groups: Groups, slots: Sequence[Slot], gradients: Sequence[Array]) -> list[Array]:
        """Send this step's gradients, and get the weights after its update.

        The gradients' memory may be written again once this returns: the server has received all of it.
        """
        message = protocol.Push(self._seq + 1, self.step + 1, groups, tuple(slots))
        answer, arrays = self._request(message, gradients, protocol.Weights)
        self.step = message.step
        if answer.step < message.step:
            raise ProtocolError(f"the server answered step {message.step} with the weights of step {answer.step}")
        return arrays

    def barrier(self) -> None:
        """Wait until every worker is here."""
        self._request(protocol.Barrier(self._seq + 1), (), protocol.Released)

    def close(self, error: str | None = None) -> None:
        """Say goodbye, in peace or with the `error` that ends this worker, and end the heartbeat."""
        self._heart.stop()
        with contextlib.suppress(zmq.Again):  # when the server has gone before us
            self.channel.send(protocol.Bye(error and error[:10_000], self._report()))
        self.channel.close()
        self._context.term()

    # ---- the conversation ----------------------------------------------------------------------------------

    def _greet(self) -> None:
        deadline = time.monotonic() + self.place.timeout
        self._send(self._hello(), (), deadline)
        while True:
            if not self.channel.poll(deadline - time.monotonic()):
                raise self._lost(f"no server has answered for {self.place.timeout:g} s")
            message, _ = protocol.decode(self.channel.receive())
            if isinstance(message, protocol.Error):
                raise from_kind(message.kind, message.text)
            if isinstance(message, protocol.Welcome):
                return

    def _hello(self) -> Message:
        place = self.place
        return protocol.Hello(place.run, "worker", place.world_size, self._incarnation, place.rank)

    def _send(self, message: Message, arrays: Sequence[Array], deadline: float) -> None:
        if not self.channel.poll(deadline - time.monotonic(), to_send=True):
            raise self._lost(f"no connection for {self.place.timeout:g} s")
        self.channel.send(message, arrays)

    def _request(
        self,
        message: protocol.Init | protocol.Push | protocol.Barrier,
        arrays: Sequence[Array],
        expected: type[M],
    ) -> tuple[M, list[Array]]:
        began = sent = time.monotonic()
        self._send(message, arrays, began + self.place.timeout)
        try:
            while True:
                if (answer := self._next_answer(message.seq, expected)) is not None:
                    self._seq = message.seq
                    return answer
                now = time.monotonic()
                # Silence counts from the beginning of the wait at the earliest: while this process was
                # stopped, or its interpreter busy, the pulse could not be heard.
                silence = now - max(began, self._heart.heard)
                if silence > self.place.timeout:
                    raise self._lost(f"no sign of life for {silence:.0f} s")
                if now - sent > _RESEND_AFTER and self._heart.misses(message.seq, sent + _RESEND_AFTER / 2):
                    sent = now
                    self._send(self._hello(), (), now + self.place.timeout)
                    self._send(message, arrays, now + self.place.timeout)
        finally:
            self.waited += time.monotonic() - began

    def _next_answer(self, seq: int, expected: type[M]) -> tuple[M, list[Array]] | None:
        """The answer to request `seq`, if it comes before the next look at the pulse."""
        if not self.channel.poll(_POLL):
            return None
        message, arrays = protocol.decode(self.channel.receive())
        if isinstance(message, protocol.Error) and message.seq in (0, seq):
            raise from_kind(message.kind, message.text)
        # Anything else belongs to a request that was repeated, and answered twice.
        if isinstance(message, expected) and getattr(message, "seq", None) == seq:
            return message, arrays
        return None

    def _lost(self, what: str) -> ServerLost:
        return ServerLost(
            f"worker {self.place.rank} has lost the server at {self.address} in step {self.step + 1}: "
            f"{what}. The server has died, or the network between has; its log says more. Start the run again"
        )
