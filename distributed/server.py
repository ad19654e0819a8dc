"""The server: one process that owns weights and answers one message after the other.

There is one thread and one loop. Every message is decoded, checked and handled to its end before the next
is read, so no step is ever half applied and nothing needs a lock. What is *consistent* is decided on the
first server, by :class:`~retrograd.distributed.lead.Lead`, and comes as numbered orders that every server
carries out in the same sequence; who *takes part* is kept by the
:class:`~retrograd.distributed.roster.Roster`; what is on its way into the weights, by
:class:`~retrograd.distributed.staging.Staging`; what is *owned* is the
:class:`~retrograd.distributed.state.State`; and what must outlive the process, by the
:class:`~retrograd.distributed.keeper.Keeper`.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import zmq
from msgspec import structs

import retrograd as rg

from . import protocol, recovery, transport
from .allocator import keep_freed_memory
from .answers import Answers
from .errors import Damaged, DistributedError, Mismatch, ProtocolError, Refused, Stranger, Taken, WorkerLost, from_kind
from .failpoints import failpoint
from .follower import Follower
from .gradients import Gradients, unpack
from .keeper import Keeper
from .lanes import owner_of
from .lead import Lead
from .messages import Array, Message, Order, Source
from .metrics import Sink
from .outbox import Outbox
from .roster import Member, Request, Roster
from .routine import Routine
from .security import Role, ServerKeys
from .server_options import ServerOptions
from .server_status import Counters, half_of_memory, status_of
from .shared import ALIGNMENT, Segment, host_name
from .siblings import Siblings
from .sparing import Sparing
from .staging import Contribution, Staging
from .state import Position, State
from .transport import Flight
from .waits import Waits

__all__ = ["Failure", "Server", "ServerOptions"]

log = logging.getLogger("retrograd.distributed.server")

_TICK = 0.1  # seconds between looks at the clock when nothing arrives
_TURN = 1000  # messages between looks at the clock when they never end
_GRACE = 1.0  # seconds in which a worker whose process has ended in peace may still be heard saying goodbye


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run cannot go on."""

    error: DistributedError
    culprit: int | None = None


_Handler = TypeVar("_Handler", bound=Callable[..., None])
_HANDLERS: dict[type[Message], Callable[..., None]] = {}


def _on(*kinds: type[Message]) -> Callable[[_Handler], _Handler]:
    """The method decorated handles messages of these kinds."""

    def note(handler: _Handler) -> _Handler:
        _HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return note


class Server:
    """Owns the weights of one run, or with several servers a part of them.

    Parameters
    ----------
    options : ServerOptions
    channel : Channel, optional
        Where it listens; by default what `options` says.
    clock : callable, optional
        Gives the time in seconds.
    siblings : Siblings, optional
        Those whose process and channel it shares; by default it is the first.

    Raises
    ------
    AddressInUse, Refused
        When it cannot or must not listen at the address.
    """

    def __init__(
        self,
        options: ServerOptions,
        channel: transport.Channel | None = None,
        clock: Callable[[], float] = time.monotonic,
        siblings: Siblings | None = None,
    ) -> None:
        self.options = options
        self.siblings = siblings or Siblings(self)
        self.now = clock
        self.boot = _new_life()
        self.roster = Roster(options.world_size, elastic=options.on_loss == "continue")
        self.staging = self._new_staging()
        self.state: State | None = None
        self.failure: Failure | None = None
        self.counters = Counters()
        self._log_rejection, self._log_refusal = Sparing(log), Sparing(log)
        self.launchers: set[bytes] = set()
        """Those who started the run, watch it, and end it."""
        self.orders: deque[Order] = deque()
        """Orders that cannot be carried out yet."""
        self.keeper = Keeper(options)
        self._stopped = False
        self._host = host_name()
        self._ticked = -math.inf
        self._lent: list[Flight] = []
        """Memory of a former life, which workers may be reading."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._keys = None if options.keys is None else ServerKeys.read(options.keys)
            self.channel = channel or recovery.listen(self, self._context, self._keys)
            self.outbox = Outbox(self.channel)
            self.answers = Answers(self)
            self.office: Lead | Follower = Lead(self) if options.shard == 0 else Follower(self, self._context)
            self.routine, self.waits = Routine(self), Waits(self)
            if siblings is None:
                self.watch_all()
            recovery.restore(self)
            recovery.note_address(self)
        except BaseException:
            self._context.destroy(linger=0)
            self.keeper.close()
            raise

    def watch_all(self) -> None:
        """Wait for what comes to this server and to its siblings."""
        self._watch = transport.Watch([self.channel, *(each for one in self.siblings for each in one.office.channels)])

    def another(self, options: ServerOptions, siblings: Siblings) -> Server:
        """A server for another optimizer, in this process."""
        return Server(options, self.channel, self.now, siblings)

    def _new_staging(self) -> Staging:
        return Staging(looks=self.options.nonfinite != "allow")

    @property
    def address(self) -> str:
        """Where it listens, with the port that was chosen."""
        return self.channel.address

    # ---- the loop ------------------------------------------------------------------------------------------

    def serve(self, sinks: Sequence[Sink] = ()) -> bool:
        """Answer messages until the run is over; whether it ended without a failure, and what is to be kept is.

        The server's numbers go into `sinks` meanwhile.
        """
        keep_freed_memory()
        log.info("serving %d workers at %s", self.options.world_size, self.address)
        try:
            while not self._stopped:
                self.turn(_TICK)
                if any(sink.is_due() for sink in sinks):
                    status = self.status()
                    for sink in sinks:
                        sink.take([status])
            kept = [each.keeper.finish(each) for each in self.siblings]
        finally:
            self.close()
        return self.failure is None and all(kept)

    def stop(self) -> None:
        """Have `serve` end after the message that it is at."""
        self._stopped = True

    def close(self) -> None:
        """Give the address and all memory back."""
        for each in self.siblings:
            each.office.close()
        self.channel.close()
        for each in self.siblings:
            each.keeper.close()
            each._context.term()

    def turn(self, timeout: float) -> None:
        """Handle what has arrived, waiting up to `timeout` seconds for it, and look after the silent."""
        if self._watch.wait(timeout):
            self._drain()
            for each in self.siblings:
                each.office.drain()
        # Only now: after a long step of its own the server finds everyone's heartbeats in its queue, and
        # must have read them before it calls anyone silent.
        if (passed := (now := self.now()) - self._ticked) >= timeout:
            self._ticked = now
            self._stopped |= self.siblings.tick(now, passed)

    def _drain(self) -> None:
        for _ in range(_TURN):
            if not self.channel.has_message():
                return
            peer, *frames = self.channel.receive()
            self.handle(bytes(peer), frames)

    def handle(self, peer: bytes, frames: Sequence[protocol.Frame]) -> None:
        """Handle one message to its end, or as :class:`~retrograd.distributed.routine.Routine` does."""
        if self.routine.takes(peer, frames):
            return
        other = self.siblings.of(peer)
        if other is not None and other is not self:
            other.handle(peer, frames)
            return
        self._interrupt()
        self._handle_alone(peer, frames)

    def _interrupt(self) -> None:
        """Handle what is held for a step like the one before: something else comes."""
        for peer, frames in self.routine.give_up():
            self._handle_alone(peer, frames)

    def _handle_alone(self, peer: bytes, frames: Sequence[protocol.Frame]) -> None:
        seq = incarnation = 0
        try:
            message, arrays = protocol.decode(frames)
            seq, incarnation = getattr(message, "seq", 0), getattr(message, "incarnation", 0)
            self._handle(message, peer, arrays)
        except ProtocolError as error:
            self._reject(peer, seq, error)
        except Stranger as error:
            self.outbox.send_error(peer, error, seq, incarnation)
        except (Mismatch, Refused) as error:
            self._log_refusal(logging.INFO if isinstance(error, Taken) else logging.WARNING, "%s", error)
            self.outbox.send_error(peer, error, seq, incarnation)

    def _reject(self, peer: bytes, seq: int, error: ProtocolError) -> None:
        self.counters.rejected += 1
        self._log_rejection(logging.WARNING, "dropped a message: %s", error)
        # Who is told that it is a stranger says HELLO, and then again what was damaged.
        self.outbox.send_error(peer, Stranger(str(error)) if isinstance(error, Damaged) else error, seq)

    # ---- one method a message ------------------------------------------------------------------------------

    def _handle(self, message: Message, peer: bytes, arrays: list[Array]) -> None:
        handler = _HANDLERS.get(type(message))
        if handler is None:
            raise ProtocolError(f"a server does not take {type(message).__name__.upper()}")
        handler(self.siblings.claim(self, message, peer), message, peer, arrays)

    @_on(protocol.Hello)
    def _(self, hello: protocol.Hello, peer: bytes, arrays: list[Array]) -> None:
        peer = owner_of(peer)
        self._check_hello(hello)
        self.siblings.check_cut(hello)
        self.check_key(hello.role, hello.rank if hello.role == "worker" else None)
        if hello.role == "launcher":
            self.launchers.add(peer)
            received, takes_part, step, shared = 0, False, self.frontier, False
        else:
            former = self.roster.get(hello.rank)
            if former is not None and former.state != "joined":
                former = None
            member = self.roster.admit(hello, peer, self.now())
            if former is not None and former is not member:
                self.office.gone(former)  # the same worker's former life, which nobody has seen end
            received, takes_part = member.received, member.takes_part
            step = member.step if takes_part else self.frontier
            shared = self.is_neighbour(member)
        options = self.options
        welcome = protocol.Welcome(
            boot=self.boot,
            step=step,
            initialized=self.state is not None,
            takes_part=takes_part,
            received=received,
            shard=options.shard,
            shards=options.shards,
            slice_bytes=options.slice_bytes,
            compression=options.compression,
            credit=self.credit,
            recovery=options.recovery,
            shared=shared,
            lane=self.channel.offer_lane(peer) if shared else None,
            version=0 if self.state is None else self.state.position.version,
            incarnation=hello.incarnation,
        )
        self.outbox.send(peer, welcome)

    @_on(protocol.Heartbeat)
    def _(self, message: protocol.Heartbeat, peer: bytes, arrays: list[Array]) -> None:
        member = self.roster.get(message.rank)
        if member is None or member.state != "joined" or member.incarnation != message.incarnation:
            raise Stranger(f"a heartbeat of rank {message.rank}, which has not joined or was declared lost")
        self.check_key("worker", message.rank)
        member.heard, member.report = self.now(), message.report
        self.outbox.send(peer, protocol.Pulse(self.boot, member.received, member.answered))

    @_on(protocol.Init)
    def _(self, message: protocol.Init, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        if self._is_new(member, message, peer):
            if message.weights and member.rank != 0:
                raise ProtocolError(f"worker {member.rank} sends initial weights, which are worker 0's to send")
            if message.weights and self.state is None:
                self._initialize(message, arrays)
            if self.state is not None:
                self.state.check_table(message.optimizer, message.table, member.rank)
            self._await(member, message, peer)
            self.office.wants_to_join(member)
        self.serve_waiting()

    @_on(protocol.Push)
    def _(self, message: protocol.Push, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        source = Source(member.rank, member.incarnation, message.seq)
        if self._is_new(member, message, peer):
            self._check_push(member, message)
            gradients = unpack(message.tensors, self._with_shared(member, message, arrays))
            self._check_credit(source, gradients)
            contribution = self.staging.add(source, message, gradients)
            if contribution is None:
                return
            member.step = message.step
            self._await(member, message, peer)
            if self._keeps(lambda: self.keeper.note(contribution)):
                self.office.staged(contribution)
        self.serve_waiting()
        self.routine.learn(member, message)

    @_on(protocol.Pull, protocol.Fetch)
    def _(self, message: protocol.Pull | protocol.Fetch, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        if self._is_new(member, message, peer):
            self._await(member, message, peer)
        self.serve_waiting()

    @_on(protocol.Load)
    def _(self, message: protocol.Load, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        if self._is_new(member, message, peer):
            if self.state is None:
                raise ProtocolError(f"worker {member.rank} loads an optimizer's state before INIT")
            self.state.load(message.entries, arrays)
            self._keep_now()
            self._await(member, message, peer)
        self.serve_waiting()

    @_on(protocol.Barrier)
    def _(self, message: protocol.Barrier, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        if self._is_new(member, message, peer):
            member.barriers += 1
            self._await(member, message, peer)
            self.office.paused(member)
        self.serve_waiting()

    @_on(protocol.Landed)
    def _(self, message: protocol.Landed, peer: bytes, arrays: list[Array]) -> None:
        member = self._member(peer)
        if message.seq == member.answered:
            member.land()

    @_on(protocol.Bye)
    def _(self, message: protocol.Bye, peer: bytes, arrays: list[Array]) -> None:
        if peer in self.launchers:
            self._stopped = True
            return
        member = self._member(peer)
        member.report = message.report or member.report
        if message.withdrawn and not member.received:
            log.info("worker %d could not join everywhere, and may come again: %s", member.rank, message.error)
            self.roster.withdraw(member)
        elif message.error is None:
            self.leave(member)
        else:
            self.lose(member, f"worker {member.rank} failed after step {member.step}: {message.error}")
        self.outbox.send(peer, protocol.Farewell())

    @_on(protocol.Exited)
    def _(self, message: protocol.Exited, peer: bytes, arrays: list[Array]) -> None:
        self._check_launcher(peer)
        if message.rank not in self.roster:
            raise ProtocolError(f"rank {message.rank} is not one of this run")
        for each in self.siblings:
            each.note_exit(message)

    def note_exit(self, message: protocol.Exited) -> None:
        """A worker's process has ended, as its launcher has seen."""
        member = self.roster[message.rank]
        if member.state == "lost" or (member.state == "left" and not message.failed):
            return
        if message.failed:  # even if it has said goodbye before
            self.lose(member, f"lost {member.describe(self.now())}: {message.text}")
        elif member.state == "expected":
            self.leave(member)  # a script need not join
        else:
            member.exited = self.now()  # its own farewell, on another connection, may still be under way

    @_on(protocol.StatusRequest)
    def _(self, message: protocol.StatusRequest, peer: bytes, arrays: list[Array]) -> None:
        if message.visit:
            self.check_key("launcher")
        else:
            self._check_launcher(peer)
        self.outbox.send(peer, self.status())

    @_on(protocol.Echo)
    def _(self, message: protocol.Echo, peer: bytes, arrays: list[Array]) -> None:
        self.check_key("launcher")
        answer = structs.replace(message, time=time.time(), version=rg.__version__, protocol=protocol.VERSION)
        self.outbox.send(peer, answer, arrays)

    @_on(protocol.Follow)
    def _(self, message: protocol.Follow, peer: bytes, arrays: list[Array]) -> None:
        self.office.follow(message, peer)

    @_on(protocol.Staged, protocol.Weighed, protocol.Error)
    def _(self, message: protocol.Staged | protocol.Weighed | protocol.Error, peer: bytes, arrays: list[Array]) -> None:
        self.office.hear(message, peer)

    # ---- checks --------------------------------------------------------------------------------------------

    def _check_hello(self, hello: protocol.Hello) -> None:
        if hello.oldest > protocol.VERSION or hello.protocol < protocol.OLDEST_VERSION:
            older = "server" if hello.oldest > protocol.VERSION else "worker"
            raise Refused(
                f"the worker speaks protocol versions {hello.oldest} to {hello.protocol} and the server "
                f"{protocol.OLDEST_VERSION} to {protocol.VERSION}: upgrade retrograd on the {older}'s side"
            )
        if hello.run != self.options.run:
            raise Refused(
                f"this server at {self.address} serves run {self.options.run!r}, not {hello.run!r}: "
                "RETROGRAD_SERVERS or RETROGRAD_RUN is another run's"
            )
        if hello.world_size != self.options.world_size:
            raise Refused(
                f"a worker of {hello.world_size} asks to join a run of {self.options.world_size}: start the server "
                "and all workers with the same world size"
            )

    def check_key(self, role: Role, rank: int | None = None) -> None:
        """Raise `Refused` unless the key with which the last message came may be used for this."""
        if self._keys is not None:
            self._keys.keyring.allows(self.channel.user, role, rank)

    def _member(self, peer: bytes) -> Member:
        """Who it is that sends a request. Everyone says HELLO first."""
        member = self.roster.of_peer(owner_of(peer))
        if member is None:
            raise Stranger("a request from someone who has not said HELLO, or was declared lost")
        member.heard = self.now()
        return member

    def _check_launcher(self, peer: bytes) -> None:
        if peer not in self.launchers:
            raise Stranger("only a launcher may send this, and must say HELLO first")

    def _is_new(self, member: Member, request: Request, peer: bytes) -> bool:
        """Whether a request is to be done, and not a repetition of one that was.

        A client repeats a request when the first, or its answer, seems lost. A repetition has no effect
        but that its answer is sent again, or, while it is not due yet, sent to the newest connection.
        """
        if self.failure is not None:
            self.outbox.send_error(peer, self.failure.error, request.seq)
            return False
        if request.seq > member.received:
            member.land()
            return True
        if isinstance(request, protocol.Push) and not request.parts:
            return False
        self.counters.duplicates += 1
        if request.seq == member.received == member.answered:
            self._await(member, request, peer)
        return False

    def _with_shared(self, member: Member, push: protocol.Push, arrays: Sequence[Array]) -> list[Array]:
        """All arrays of a push: those that came with it, and those that lie in the worker's shared memory."""
        if push.segment is None:
            return list(arrays)
        if not self.is_neighbour(member):
            raise ProtocolError(
                f"worker {member.rank} is on another machine, and has no memory in common with this one"
            )
        if member.segment is None or member.segment.handle != push.segment:
            member.segment = Segment.open(push.segment)
        came, all_of_them = iter(arrays), []
        for slot in push.tensors:
            offset = slot.offset
            for frame in slot.frames():
                if slot.offset < 0:
                    all_of_them.append(next(came))
                    continue
                array = member.segment.array(frame, offset)
                offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
                # What is answered before it is in the weights must not lie where the worker writes again.
                all_of_them.append(array.copy() if self.office.older else array)
        return all_of_them

    def is_neighbour(self, member: Member) -> bool:
        """Whether a worker can share memory with this server."""
        return self.options.shared and bool(self._host) and member.host == self._host

    def _check_push(self, member: Member, push: protocol.Push) -> None:
        if self.state is None:
            raise ProtocolError(f"worker {member.rank} pushes before INIT")
        # Only the first server knows for certain which step is next: a worker has that from it, and may be told
        # that a push is refused, and send another, before the other servers hear of it.
        if self.office.judges and not member.step < push.step <= max(member.step, self.frontier) + 1:
            raise ProtocolError(f"worker {member.rank} pushes step {push.step} after step {member.step}")
        self.state.check_gradients(push.tensors, member.rank)
        if push.parts:
            self.state.check_groups(push.groups, member.rank)

    def _check_credit(self, source: Source, gradients: Gradients) -> None:
        if self.staging.bytes_with(source, gradients) > self.credit:
            raise ProtocolError(
                f"worker {source.rank} has more than {self.credit} bytes of gradients under way, which is what it may"
            )

    # ---- effects -------------------------------------------------------------------------------------------

    def _initialize(self, message: protocol.Init, arrays: list[Array]) -> None:
        position = Position(
            message.optimizer,
            message.groups,
            message.table,
            message.slices,
            clocks=dict.fromkeys(range(self.options.world_size), 0),
            shard=self.options.shard,
            shards=self.options.shards,
        )
        try:
            self.state = State(position, arrays, self.options.backend, self.office.older, shared=self.options.shared)
        except DistributedError:
            raise
        except Exception as error:
            log.exception("INIT failed")
            raise Mismatch(
                f"the server cannot make the optimizer {message.optimizer}: {type(error).__name__}: {error}"
            ) from error
        if self.state.nbytes * (1 + self.office.older) > self.credit:
            need, self.state = self.state.nbytes * (1 + self.office.older), None
            raise Refused(
                f"gradients of {need} bytes from each of {self.options.world_size} workers do not fit into the "
                f"server's budget of {self.budget} bytes: raise --budget, or take more servers"
            )
        log.info("%d slices, %d bytes, optimizer %s", len(message.slices), self.state.nbytes, message.optimizer)
        self._keep_now()
        self.office.initialized()

    def carry_out(self, order: Order) -> None:
        """Do what the first server has decided, or put it off until all that it needs is here."""
        self.orders.append(order)
        while self.orders and self.failure is None:
            order = self.orders[0]
            if not self.staging.has(order.sources):
                return
            self.orders.popleft()
            self._carry_out(order)

    def _carry_out(self, order: Order) -> None:
        state = self.state
        assert state is not None
        contributions = [self.staging.get(source) for source in order.sources]
        if self.keep(order) and self.make(state, order, contributions):
            self.write_down(state, order, contributions)

    def make(self, state: State, order: Order, contributions: Sequence[Contribution]) -> bool:
        """Have the weights as an order says; whether that went well."""
        position = state.position
        if contributions and not order.skip:
            failpoint("server.before_apply", self.options.shard)
            self._apply(state, contributions, order)
            if self.failure is not None:
                return False
        position.number = order.number
        if order.frontier > position.frontier:
            position.frontier = order.frontier
            state.remember()
        if contributions:
            failpoint("server.after_apply_before_ack", self.options.shard)
        return True

    def write_down(self, state: State, order: Order, contributions: Sequence[Contribution]) -> None:
        """Take note of all that an order means beside the weights."""
        self.counters.skipped += order.skip
        self.counters.dropped += len(order.dropped)
        settled = (*order.sources, *order.dropped, *order.refused)
        state.settle(settled)
        self.staging.discard(settled)
        position = state.position
        for source in (*order.sources, *order.dropped):
            position.made[source.rank] = position.made.get(source.rank, 0) + 1
        for each in contributions:
            position.clocks[each.source.rank] = max(each.step, position.clocks.get(each.source.rank, 0))
        self._note_members(order, position)
        for source in order.refused:
            self._refuse(source, from_kind(order.kind, order.text))
        self.keeper.snapshot_if_due(self)
        self.office.kept()

    def _keep_now(self) -> None:
        """Keep what is in no journal, so that what the journal says next has something to go on from."""
        if not self.keeper.snapshot(self) and self.options.durable:
            self.fail(DistributedError("no snapshot can be written, and the run is to be durable: the log says why"))

    def keep(self, order: Order) -> bool:
        """Make an order safe before anyone acts on it; whether that went well."""
        return self.failure is None and self._keeps(lambda: self.keeper.order(order))

    def _keeps(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except DistributedError as error:
            # A durable run promises that what it has answered is on disk.
            self.fail(DistributedError(f"the journal cannot be written, and the run is to be durable: {error}"))
        return self.failure is None

    def _apply(self, state: State, contributions: Sequence[Contribution], order: Order) -> None:
        try:
            self._land(state)
            gradients = [each.gradients for each in contributions]
            state.apply(gradients, contributions[order.leading].groups, order.scale * order.clip, order.rate)
        except Exception as error:
            # The weights may be half written, so nobody gets to see them again.
            self.keeper.is_over = True
            log.exception("update %d failed", state.position.version + 1)
            text = f"the server failed in update {state.position.version + 1}: {type(error).__name__}: {error}"
            self.fail(DistributedError(text))

    def _land(self, state: State) -> None:
        # Note [A buffer in flight is not written]. In step with the workers nothing is in flight now: each
        # has pushed again, so has received the weights that were sent to it. For one that reads slowly
        # there is a copy, and not more than one, since it is sent nothing else before it has read this.
        for member in self.roster:
            for flight in member.flights:
                if not flight.landed:
                    state.detach()
                    return

    def _note_members(self, order: Order, position: Position) -> None:
        for each in order.joined:
            position.clocks[each.rank], position.incarnations[each.rank] = each.clock, each.incarnation
            position.made[each.rank] = 0
            self.staging.forget(each.rank, but=each.incarnation)
            member = self.roster.get(each.rank)
            if member is not None and member.incarnation == each.incarnation:
                member.takes_part, member.step = True, each.clock
        for each in order.gone:
            for table in (position.clocks, position.incarnations, position.made):
                table.pop(each.rank, None)
            self.staging.forget(each.rank, each.incarnation)
            member = self.roster.get(each.rank)
            if member is not None and member.incarnation == each.incarnation and member.is_counted_on:
                self.roster.remove(member, "lost")

    def _refuse(self, source: Source, error: DistributedError) -> None:
        """Tell a worker that its push went into nothing."""
        member = self.roster.get(source.rank)
        if member is None or member.incarnation != source.incarnation or member.received != source.seq:
            return
        log.warning("%s", error)
        member.waiting, member.answered, member.step = None, source.seq, member.step - 1
        self.outbox.send_error(member.way, error, source.seq)

    # ---- answers -------------------------------------------------------------------------------------------

    def _await(self, member: Member, request: Request, peer: bytes) -> None:
        member.received, member.waiting, member.waiting_since = request.seq, request, self.now()
        member.way = peer

    def serve_waiting(self) -> None:
        """Answer everyone whose time has come."""
        if self.failure is not None:
            self.fail(self.failure.error)  # who has begun to wait since
        if not self.office.may_speak:
            return
        for member in self.roster.waiting():
            if not self.waits.holds_up(member) and all(flight.landed for flight in member.flights):
                self.answer(member)

    def answer(self, member: Member) -> None:
        """Answer what a member waits for; nothing if it has been told that this failed."""
        request, member.waiting = member.waiting, None
        if request is None:
            return
        member.answered = request.seq
        try:
            self.answers.send(member, request)
            if isinstance(request, protocol.Push):
                failpoint("server.after_ack", self.options.shard)
        except Mismatch as error:
            log.warning("%s", error)
            self.outbox.send_error(member.way, error, request.seq)

    # ---- when somebody comes, goes or is missing -------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look at the time: who is silent, what is due."""
        self._interrupt()
        self.keeper.look()
        self.serve_waiting()
        for member in list(self.roster):
            if member.exited is not None and now - member.exited > _GRACE and member.state == "joined":
                self.leave(member)
        for member in self.roster.silent(now, self.options.timeout):
            self.lose(member, f"lost {member.describe(now)}: no sign of life for {self.options.timeout:g} s")
        self.office.tick(now)
        self.waits.warn(now)

    def leave(self, member: Member) -> None:
        """Go on without a worker that has said goodbye."""
        self.roster.remove(member, "left")
        self.office.gone(member, in_peace=True)
        self.serve_waiting()

    def lose(self, member: Member, why: str) -> None:
        """End the run because a worker is lost; or, if the run is meant to, go on without it."""
        if not self.office.judges:
            if self.failure is not None:  # nobody waits for it any more, and this server not for its goodbye
                self.roster.remove(member, "lost")
            return
        self.roster.remove(member, "lost")
        if self.options.on_loss == "fail":
            self.fail(WorkerLost(why), member.rank)
            return
        log.warning("%s; going on with the others", why)
        self.office.gone(member)
        self.serve_waiting()

    def fail(self, error: DistributedError, culprit: int | None = None) -> None:
        """End the run: everyone who waits gets the error now, and everyone else on the next request."""
        if self.failure is None:
            self.failure = Failure(error, culprit)
            log.error("the run has failed: %s", error)
            self.office.failed(error)
            self.siblings.fail(error, culprit)
        for member in self.roster.waiting():
            assert member.waiting is not None
            self.outbox.send_error(member.way, self.failure.error, member.waiting.seq)
            member.waiting = None

    # ---- coming back ---------------------------------------------------------------------------------------

    def go_back(self, number: int) -> None:
        """Stand where this server stood at order `number`, as if it had died and come back; all workers join again."""
        log.warning("going back to order %d", number)
        self.boot = _new_life()
        self.state = None
        self.staging = self._new_staging()
        self.orders.clear()
        self._lent = [flight for member in self.roster for flight in member.flights]
        self.roster.scatter(self.now())
        self.office.begin_again()
        self.keeper.rewind(number)
        recovery.restore(self, anew=True)

    # ---- what it shows -------------------------------------------------------------------------------------

    @property
    def frontier(self) -> int:
        return 0 if self.state is None else self.state.position.frontier

    @property
    def budget(self) -> int:
        return self.options.budget or half_of_memory()

    @property
    def credit(self) -> int:
        """Bytes of gradients that a worker may have under way."""
        return self.budget // max(1, self.options.world_size)

    def status(self) -> protocol.Status:
        """The run as the server sees it."""
        return status_of(self)


def _new_life() -> int:
    """A number that no other life of this server has."""
    return int.from_bytes(os.urandom(7), "little")
