"""The server: one process that owns the weights and answers one message after the other.

There is one thread and one loop. Every message is decoded, checked and handled to its end before the next
is read, so no step is ever half applied and nothing needs a lock. What is *consistent* is decided by a
:class:`~retrograd.distributed.strategies.Strategy`; who *takes part* by the
:class:`~retrograd.distributed.roster.Roster`; what is *owned* is the
:class:`~retrograd.distributed.state.State`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatchmethod

import zmq

from . import protocol, transport
from .environment import DEFAULT_TIMEOUT
from .errors import DistributedError, Mismatch, ProtocolError, Refused, WorkerLost, kind_of
from .protocol import Array, Message
from .roster import Member, Request, Roster
from .state import State
from .strategies import Contribution, Source, Strategy, Synchronous, Update

__all__ = ["Failure", "Server", "ServerOptions"]

log = logging.getLogger("retrograd.distributed.server")

_TICK = 0.1  # seconds between looks at the clock when nothing arrives
_TURN = 1000  # messages between looks at the clock when they never end
_LOGGED_REJECTIONS = 10  # a hostile or broken peer must not fill the log


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server runs."""

    world_size: int
    bind: str = "tcp://127.0.0.1:*"
    backend: str | None = None
    run: str = ""
    timeout: float = DEFAULT_TIMEOUT
    insecure: bool = False
    max_frame: int = transport.DEFAULT_MAX_FRAME


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run cannot go on. It never recovers from one in this version."""

    error: DistributedError
    culprit: int | None = None


class Server:
    """Owns the weights of one run.

    Parameters
    ----------
    options : ServerOptions

    Raises
    ------
    AddressInUse, Refused
        When it cannot or must not listen at the address.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.roster = Roster(options.world_size)
        self.strategy: Strategy = Synchronous(options.world_size)
        self.state: State | None = None
        self.failure: Failure | None = None
        self.rejected = 0
        self.duplicates = 0
        self._weights: list[Array] = []
        self._flights: list[tuple[int, transport.Flight]] = []
        self._stopped = False
        self._parent = os.getppid()
        self._next_warning = 0.0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self.channel = transport.listen(
                self._context, options.bind, insecure=options.insecure, max_frame=options.max_frame
            )
        except DistributedError:
            self._context.term()
            raise

    @property
    def address(self) -> str:
        """Where it listens, with the port that was chosen."""
        return self.channel.address

    # ---- the loop ------------------------------------------------------------------------------------------

    def serve(self) -> bool:
        """Answer messages until the run is over; whether it ended without a failure."""
        log.info("serving %d workers at %s", len(self.roster), self.address)
        try:
            while not self._stopped:
                self.turn(_TICK)
        finally:
            self.channel.close()
            self._context.term()
        return self.failure is None

    def turn(self, timeout: float) -> None:
        """Handle what has arrived, waiting up to `timeout` seconds for it, and look after the silent."""
        if self.channel.poll(timeout):
            self._drain()
        # Only now: after a long step of its own the server finds everyone's heartbeats in its queue, and
        # must have read them before it calls anyone silent.
        self._watch(time.monotonic())

    def _drain(self) -> None:
        for _ in range(_TURN):
            try:
                peer, *frames = self.channel.receive()
            except zmq.Again:
                return
            self._dispatch(bytes(peer), frames)

    def _dispatch(self, peer: bytes, frames: Sequence[protocol.Frame]) -> None:
        seq = 0
        try:
            message, arrays = protocol.decode(frames)
            seq = getattr(message, "seq", 0)
            self._handle(message, peer, arrays)
        except ProtocolError as error:
            self._reject(peer, seq, error)
        except (Mismatch, Refused) as error:
            log.warning("%s", error)
            self._send_error(peer, seq, error)
        # Not a net for our own mistakes, which `_apply` reports: what remains is the network's.
        except zmq.ZMQError as error:
            if not transport.is_gone(error):
                raise
            log.warning("a peer went away before its answer: %s", error)

    def _reject(self, peer: bytes, seq: int, error: ProtocolError) -> None:
        self.rejected += 1
        if self.rejected <= _LOGGED_REJECTIONS:
            log.warning("dropped a message: %s", error)
        if self.rejected == _LOGGED_REJECTIONS:
            log.warning("further dropped messages are counted and not logged")
        self._send_error(peer, seq, error)

    def _send_error(self, peer: bytes, seq: int, error: DistributedError) -> None:
        try:
            self.channel.send(protocol.Error(kind_of(error), str(error), seq), to=peer)
        except zmq.ZMQError as failure:
            if not transport.is_gone(failure):
                raise

    # ---- one method a message ------------------------------------------------------------------------------

    @singledispatchmethod
    def _handle(self, message: Message, peer: bytes, arrays: list[Array]) -> None:
        raise ProtocolError(f"a server does not take {type(message).__name__.upper()}")

    @_handle.register
    def _(self, hello: protocol.Hello, peer: bytes, arrays: list[Array]) -> None:
        self._check_hello(hello)
        if hello.role == "launcher":
            self.roster.launchers.add(peer)
        else:
            self.roster.admit(hello, peer, time.monotonic())
        self.channel.send(protocol.Welcome(self._clock()), to=peer)

    @_handle.register
    def _(self, message: protocol.Heartbeat, peer: bytes, arrays: list[Array]) -> None:
        member = self.roster[message.rank] if message.rank < len(self.roster) else None
        if member is None or member.state != "joined" or member.incarnation != message.incarnation:
            raise ProtocolError(f"a heartbeat of rank {message.rank}, which has not joined or was declared lost")
        member.heard, member.report = time.monotonic(), message.report
        self.channel.send(protocol.Pulse(member.received, member.answered), to=peer)

    @_handle.register
    def _(self, message: protocol.Init, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        if self._is_new(member, message):
            if member.rank == 0:
                self._initialize(message, arrays)
            elif message.weights:
                raise ProtocolError(f"worker {member.rank} sends initial weights, which are worker 0's to send")
            self._await(member, message)
        self._serve_waiting()

    @_handle.register
    def _(self, message: protocol.Push, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        if self._is_new(member, message):
            source = Source(member.rank, member.incarnation, message.seq)
            state = self._check_push(member, message)
            if not state.has_applied(source):
                gradients = {slot.index: array for slot, array in zip(message.tensors, arrays, strict=True)}
                updates = self.strategy.offer(Contribution(source, message.step, message.groups, gradients))
                member.step = message.step
                self._await(member, message)
                self._apply(state, updates)
        self._serve_waiting()

    @_handle.register
    def _(self, message: protocol.Barrier, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        if self._is_new(member, message):
            member.barriers += 1
            self._await(member, message)
        self._serve_waiting()

    @_handle.register
    def _(self, message: protocol.Bye, peer: bytes, arrays: list[Array]) -> None:
        if peer in self.roster.launchers:
            self._stopped = True
            return
        member = self._member(peer)
        member.report = message.report or member.report
        if message.error is None:
            self.roster.remove(member, "left")
            self._check_for_the_left()
        else:
            self.roster.remove(member, "lost")
            self._fail(
                WorkerLost(f"worker {member.rank} failed after step {member.step}: {message.error}"),
                member.rank,
            )

    @_handle.register
    def _(self, message: protocol.Exited, peer: bytes, arrays: list[Array]) -> None:
        self._check_launcher(peer)
        if message.rank >= len(self.roster):
            raise ProtocolError(f"rank {message.rank} is not one of this run")
        member = self.roster[message.rank]
        if member.state == "expected" and not message.failed:
            # A script need not join. If another worker does and waits for this one, that is found now.
            self.roster.remove(member, "left")
            self._check_for_the_left()
        elif member.state in ("expected", "joined"):
            self._lose(member, message.text)

    @_handle.register
    def _(self, message: protocol.StatusRequest, peer: bytes, arrays: list[Array]) -> None:
        self._check_launcher(peer)
        self.channel.send(self.status(), to=peer)

    # ---- checks --------------------------------------------------------------------------------------------

    def _check_hello(self, hello: protocol.Hello) -> None:
        if hello.protocol != protocol.VERSION:
            older = "worker" if hello.protocol < protocol.VERSION else "server"
            raise Refused(
                f"the worker speaks protocol version {hello.protocol} and the server version "
                f"{protocol.VERSION}: upgrade retrograd on the {older}'s side"
            )
        if hello.run != self.options.run:
            raise Refused(
                f"this server at {self.address} serves run {self.options.run!r}, not {hello.run!r}: "
                "RETROGRAD_SERVERS or RETROGRAD_RUN is another run's"
            )
        if hello.world_size != len(self.roster):
            raise Refused(
                f"a worker of {hello.world_size} asks to join a run of {len(self.roster)}: start the server "
                "and all workers with the same world size"
            )

    def _member(self, peer: bytes) -> Member:
        """Who it is that sends a request. Everyone says HELLO first."""
        member = self.roster.of_peer(peer)
        if member is None:
            raise ProtocolError("a request from someone who has not said HELLO, or was declared lost")
        member.heard = time.monotonic()
        return member

    def _check_launcher(self, peer: bytes) -> None:
        if peer not in self.roster.launchers:
            raise ProtocolError("only a launcher may send this, and must say HELLO first")

    def _is_new(self, member: Member, request: Request) -> bool:
        """Whether a request is to be done, and not a repetition of one that was.

        A client repeats a request when the first, or its answer, seems lost. A repetition has no effect
        but that its answer is sent again, or, while it is not due yet, sent to the newest connection.
        """
        if self.failure is not None:
            self._send_error(member.peer, request.seq, self.failure.error)
            return False
        if request.seq == member.received + 1:
            return True
        if request.seq > member.received:
            raise ProtocolError(f"request {request.seq} of worker {member.rank} skips number {member.received + 1}")
        self.duplicates += 1
        if request.seq == member.received == member.answered:
            self._await(member, request)
        return False

    def _check_push(self, member: Member, push: protocol.Push) -> State:
        if self.state is None:
            raise ProtocolError(f"worker {member.rank} pushes before INIT")
        if push.step != member.step + 1:
            raise ProtocolError(f"worker {member.rank} pushes step {push.step} after step {member.step}")
        self.state.check_gradients(push.tensors, push.groups, member.rank)
        return self.state

    # ---- effects -------------------------------------------------------------------------------------------

    def _initialize(self, message: protocol.Init, arrays: list[Array]) -> None:
        if not message.weights:
            raise ProtocolError("worker 0 must send its weights")
        if self.state is not None:
            raise ProtocolError("worker 0 has sent its weights before")
        try:
            self.state = State(message.optimizer, message.groups, message.table, arrays, self.options.backend)
        except DistributedError:
            raise
        except Exception as error:
            log.exception("INIT failed")
            raise Mismatch(
                f"the server cannot make the optimizer {message.optimizer}: {type(error).__name__}: {error}"
            ) from error
        self._weights = self.state.weights()
        size = sum(array.nbytes for array in self._weights)
        log.info("%d tensors, %d bytes, optimizer %s", len(self._weights), size, message.optimizer)

    def _apply(self, state: State, updates: Sequence[Update]) -> None:
        for update in updates:
            try:
                self._land()
                state.apply(update)
            except Exception as error:
                # The weights may be half written, so nobody gets to see them again.
                log.exception("update %d failed", state.clock + 1)
                text = f"the server failed in update {state.clock + 1}: {type(error).__name__}: {error}"
                self._fail(DistributedError(text))
                return
            self._weights = state.weights()

    def _land(self) -> None:
        # Note [A buffer in flight is not written]. In step with the workers this never waits: each has
        # pushed again, so has received the weights that were sent to it.
        deadline = time.monotonic() + self.options.timeout
        for rank, flight in self._flights:
            if not flight.wait(deadline - time.monotonic()):
                raise WorkerLost(f"worker {rank} has not read its weights for {self.options.timeout:g} s")
        self._flights.clear()

    def _await(self, member: Member, request: Request) -> None:
        member.received, member.waiting, member.waiting_since = request.seq, request, time.monotonic()

    def _serve_waiting(self) -> None:
        for member in self.roster.waiting():
            if not self._awaited_by(member):
                self._answer(member)
        self._check_for_the_left()

    def _awaited_by(self, member: Member) -> frozenset[int]:
        """The ranks that must do something before a waiting member can be answered; empty when none."""
        match member.waiting:
            case protocol.Init():
                return frozenset() if self.state is not None else frozenset({0})
            case protocol.Push(step=step):
                return frozenset() if self.strategy.may_answer(step, self._clock()) else self.strategy.awaited()
            case _:
                return frozenset(other.rank for other in self.roster if other.barriers < member.barriers)

    def _answer(self, member: Member) -> None:
        request, member.waiting = member.waiting, None
        assert request is not None
        member.answered = request.seq
        try:
            self._send_answer(member, request)
        except Mismatch as error:
            log.warning("%s", error)
            self._send_error(member.peer, request.seq, error)
        except zmq.ZMQError as error:
            if not transport.is_gone(error):
                raise
            # Its connection broke. If it lives it says HELLO over a new one and asks again.
            log.warning("worker %d went away before its answer: %s", member.rank, error)

    def _send_answer(self, member: Member, request: Request) -> None:
        if isinstance(request, protocol.Barrier):
            self.channel.send(protocol.Released(request.seq), to=member.peer)
            return
        assert self.state is not None
        if isinstance(request, protocol.Init):
            self.state.check_table(request.optimizer, request.table, member.rank)
        answer = protocol.Weights(request.seq, self._clock(), self.state.slots())
        self._flights.append((member.rank, self.channel.send(answer, self._weights, to=member.peer)))

    # ---- when somebody is missing --------------------------------------------------------------------------

    def _watch(self, now: float) -> None:
        for member in self.roster.silent(now, self.options.timeout):
            self._lose(member, f"no sign of life for {self.options.timeout:g} s")
        # Not by its silence: whoever stops a launcher with Ctrl-Z means to come back.
        if self.roster.launchers and os.getppid() != self._parent:
            self._fail(DistributedError("the launcher has died: nobody is left to look after the run"))
            self._stopped = True
        if not self.roster.launchers and self.roster.is_over(given_up=self.failure is not None):
            self._stopped = True
        self._warn_of_long_waits(now)

    def _lose(self, member: Member, why: str) -> None:
        description = member.describe(time.monotonic())
        self.roster.remove(member, "lost")
        self._fail(WorkerLost(f"lost {description}: {why}"), member.rank)

    def _check_for_the_left(self) -> None:
        """Fail when a worker waits for one that has ended: uneven numbers of batches, as a rule."""
        left = {member.rank for member in self.roster if member.state == "left"}
        for member in self.roster.waiting() if left and self.failure is None else ():
            if gone := sorted(self._awaited_by(member) & left):
                absent = self.roster[gone[0]]
                text = (
                    f"worker {absent.rank} ended after step {absent.step} and worker {member.rank} waits for "
                    f"it at step {member.step}: give every worker the same number of steps"
                )
                self._fail(WorkerLost(text), absent.rank)
                return

    def _fail(self, error: DistributedError, culprit: int | None = None) -> None:
        """End the run: everyone who waits gets the error now, and everyone else on the next request."""
        if self.failure is None:
            self.failure = Failure(error, culprit)
            log.error("the run has failed: %s", error)
        for member in self.roster.waiting():
            assert member.waiting is not None
            self._send_error(member.peer, member.waiting.seq, self.failure.error)
            member.waiting = None

    def _warn_of_long_waits(self, now: float) -> None:
        """Say who is missing, every ten seconds: a run that hangs silently helps nobody."""
        since = [member.waiting_since for member in self.roster.waiting()]
        if not since or now - min(since) < 10 or now < self._next_warning:
            return
        self._next_warning = now + 10
        awaited = frozenset().union(*(self._awaited_by(member) for member in self.roster.waiting()))
        names = ", ".join(self.roster[rank].describe(now) for rank in sorted(awaited))
        log.warning("step %d has waited %.0f s for %s", self._clock() + 1, now - min(since), names)

    # ---- what it shows -------------------------------------------------------------------------------------

    def _clock(self) -> int:
        return 0 if self.state is None else self.state.clock

    def status(self) -> protocol.Status:
        """The run as the server sees it."""
        now = time.monotonic()
        return protocol.Status(
            step=self._clock(),
            failure=None if self.failure is None else str(self.failure.error),
            culprit=None if self.failure is None else self.failure.culprit,
            rejected=self.rejected,
            duplicates=self.duplicates,
            traffic=self.channel.traffic,
            workers=tuple(member.status(now) for member in self.roster),
        )
