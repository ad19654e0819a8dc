"""Who decides: the first server, which leads, and the others, which follow.

A step must come out the same on all servers, also when a worker dies in the middle of it. So one of them
decides for all. Every server tells the first when the whole of a push has arrived (STAGED); once all have it,
the first asks the strategy what follows, and sends it round as a numbered ORDER; all carry out all orders in
their sequence. A push that some server never received is in no order, and so nowhere in the weights.

With one server there is nobody to tell and nobody to wait for, and no message more.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

import zmq
from msgspec import structs

from . import messages, protocol, transport
from .errors import (
    DistributedError,
    Mismatch,
    NonFiniteGradient,
    ProtocolError,
    ServerLost,
    Stranger,
    from_kind,
    kind_of,
)
from .gradients import square_norm, sum_in_order
from .messages import Error, Follow, Joined, Order, Source, Staged, Weigh, Weighed
from .roster import Member
from .security import ClientKeys
from .staging import Contribution
from .state import Position
from .strategies import Claim, Decision, Strategy, strategy_for

if TYPE_CHECKING:
    from .server import Server
    from .server_options import ServerOptions

__all__ = ["Follower", "Lead"]

log = logging.getLogger("retrograd.distributed.server")

_REPORT = 0.5  # seconds between two reports of a follower
_OVERDUE = 1.0  # seconds after which a message among servers is taken for lost, and sent again


@dataclass(slots=True)
class _Shard:
    """A follower as the lead knows it."""

    index: int
    peer: bytes = b""
    boot: int = 0
    heard: float = 0.0
    number: int = 0
    """The last order that it says it has carried out."""
    sent: int = 0
    """The last order that was sent to it, at the time `sent_at`."""
    sent_at: float = 0.0


@dataclass(slots=True)
class _Gathering:
    """A push of which some servers have the whole."""

    shards: set[int] = field(default_factory=set)
    finite: bool = True


class Lead:
    """Makes the decisions of a run.

    Parameters
    ----------
    server : Server
        The one that it is part of, which is itself the first to carry out every order.
    """

    judges = True
    """Whether it may declare workers lost."""
    channels: tuple[transport.Channel, ...] = ()

    def __init__(self, server: Server) -> None:
        options = server.options
        self.server = server
        self.strategy = _rule(options)
        self.number = 0
        self._shards = {index: _Shard(index, heard=server.now()) for index in range(1, options.shards)}
        self._ready: set[int] = set()
        """Followers that have weights."""
        self._gatherings: dict[Source, _Gathering] = {}
        self._taken: set[Source] = set()
        """Pushes that are whole everywhere, and in no order that was carried out."""
        self._leaving: list[Member] = []
        """Workers that have left, and of which not all is made that they have pushed."""
        self._pending: deque[Order] = deque()
        """Orders that are decided and not given: the first waits to be weighed."""
        self._squares: dict[int, float] = {}
        """What each server has answered for the first of them."""
        self._asked = 0.0
        self._log: deque[Order] = deque()
        """Orders that some follower may not have carried out."""

    # ---- what it decides -----------------------------------------------------------------------------------

    def staged(self, contribution: Contribution) -> None:
        """The whole of a push has arrived here."""
        self._gather(Staged(contribution.source, _is_admissible(contribution, self.server)), 0)

    def hear(self, message: Staged | Weighed | Error, peer: bytes) -> None:
        """A follower has got the whole of a push, answers what it was asked, or cannot go on."""
        shard = next((each for each in self._shards.values() if each.peer == peer), None)
        if shard is None:
            raise Stranger(
                f"{type(message).__name__.upper()} from someone who is no server of this run, or not yet again"
            )
        if isinstance(message, Error):
            self.server.fail(from_kind(message.kind, message.text))
        elif isinstance(message, Weighed):
            if self._pending and message.number == self._pending[0].number:
                self._squares[shard.index] = message.squares
                self._proceed()
        elif self.server.state is None or not self.server.state.has_settled(message.source):
            self._gather(message, shard.index)
        self.server.serve_waiting()

    def _gather(self, message: Staged, shard: int) -> None:
        if message.source in self._taken:
            return
        gathering = self._gatherings.setdefault(message.source, _Gathering())
        gathering.shards.add(shard)
        gathering.finite &= message.finite
        if len(gathering.shards) == self.server.options.shards:
            del self._gatherings[message.source]
            self._offer(self.server.staging.get(message.source), gathering.finite)

    def _offer(self, contribution: Contribution, finite: bool) -> None:
        source, step = contribution.source, contribution.step
        self._taken.add(source)
        if not finite and source.rank in self.server.roster:
            self.server.roster[source.rank].nonfinite += 1
        try:
            if not finite and self.server.options.nonfinite == "reject":
                raise NonFiniteGradient(
                    f"the gradients of worker {source.rank} for step {step} hold a NaN or an infinity, and nothing was "
                    "changed. retrograd.autograd.set_detect_anomaly(True) finds where it comes from; a run started "
                    "with --non-finite skip leaves such steps out"
                )
            decisions = self.strategy.offer(Claim(source, step, contribution.version, contribution.groups, finite))
        except (Mismatch, NonFiniteGradient, ProtocolError) as error:
            # It can go into no step. Everyone forgets it, and its worker is told why.
            self._give(Decision(self.strategy.frontier), refused=(source,), kind=kind_of(error), text=str(error))
        else:
            self._carry_out(decisions)

    def wants_to_join(self, member: Member) -> None:
        """A worker has asked for the weights: from the next order on the others count on it."""
        if self._are_ready() and not member.takes_part:
            self._let_go(lambda former: former.rank == member.rank)
            joined = Joined(member.rank, member.incarnation, self.strategy.join(member.rank))
            self._give(Decision(self.strategy.frontier), joined=(joined,))

    def initialized(self) -> None:
        """The weights are here: whoever has asked for them may have them, once all servers have theirs."""
        for member in self.server.roster.waiting():
            if isinstance(member.waiting, messages.Init):
                self.wants_to_join(member)

    def gone(self, member: Member, *, in_peace: bool = False) -> None:
        """A worker has left or was lost: nobody waits for it any more.

        Of one that has left in peace counts what it has pushed: it goes when all of that is made.
        """
        if in_peace and self.strategy.is_waiting(member.rank):
            self._leaving.append(member)
            self._carry_out(self.strategy.pause(member.rank))
            return
        for source in [each for each in self._gatherings if each.rank == member.rank]:
            del self._gatherings[source]
        self._taken = {each for each in self._taken if each.rank != member.rank}
        before = self.strategy.frontier
        decisions = self.strategy.leave(member.rank)
        if self.server.state is not None:
            self._give(Decision(before), gone=(Joined(member.rank, member.incarnation, member.step),))
            self._carry_out(decisions)

    def paused(self, member: Member) -> None:
        """A worker waits at a barrier: until it goes on nobody waits for its gradients."""
        if member.takes_part:
            self._carry_out(self.strategy.pause(member.rank))

    def resumed(self, member: Member) -> None:
        """A worker leaves a barrier."""
        self.strategy.resume(member.rank)
        member.step = max(member.step, self.strategy.clocks.get(member.rank, 0))

    def _carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            self._give(decision)
        if self._leaving:
            self._let_go(lambda member: not self.strategy.is_waiting(member.rank))

    def _let_go(self, which: Callable[[Member], bool]) -> None:
        # One by one: that one goes may make updates that let others go.
        while (member := next(filter(which, self._leaving), None)) is not None:
            self._leaving.remove(member)
            self.gone(member)

    def _give(self, decision: Decision, **fields: Any) -> None:
        """Make an order of a decision. It is given when all before it are."""
        self.number += 1
        order = Order(
            self.number,
            decision.frontier,
            decision.sources,
            decision.scale,
            decision.rate,
            skip=decision.skip,
            dropped=decision.dropped,
            **fields,
        )
        self._pending.append(order)
        self._proceed()

    def _proceed(self) -> None:
        while self._pending:
            order = self._pending[0]
            if self.server.options.clip and order.sources and not order.skip:
                clip = self._weigh(order)
                if clip is None:
                    return
                order = structs.replace(order, clip=clip)
            self._pending.popleft()
            self._squares.clear()
            if not self.server.keep(order):  # before others act on it: they must not be ahead of what is kept here
                return
            if self._shards:
                self._log.append(order)
                self._send_orders()
            self.server.carry_out(order)
            self._taken.difference_update(order.sources, order.dropped, order.refused)

    def _weigh(self, order: Order) -> float | None:
        """What brings the step's gradients within the norm that they may have, once all servers have told theirs."""
        if 0 not in self._squares:
            self._squares[0] = _squares(self.server, order.sources, order.scale)
            self._ask(order)
        if len(self._squares) < self.server.options.shards:
            return None
        # Added up in the order of servers, so that it is the same number every time.
        norm = sqrt(sum(self._squares[index] for index in sorted(self._squares)))
        return min(1.0, self.server.options.clip / (norm + 1e-6))

    def _ask(self, order: Order) -> None:
        self._asked = self.server.now()
        for shard in self._shards.values():
            if shard.peer and shard.index not in self._squares:
                self.server.outbox.send(shard.peer, Weigh(order.number, order.sources, order.scale))

    # ---- what it tells -------------------------------------------------------------------------------------

    @property
    def in_step(self) -> bool:
        """Whether all workers count the same steps."""
        return self.strategy.staleness == 0

    @property
    def older(self) -> int:
        """How many steps back weights must be kept."""
        return self.strategy.older

    def may_answer(self, step: int, frontier: int) -> bool:
        return self.strategy.may_answer(step, frontier)

    def has_taken(self, source: Source) -> bool:
        """Whether a push that is whole here is so everywhere."""
        return source in self._taken

    def readable(self, step: int, frontier: int) -> int | None:
        """The frontier whose weights a worker may read after `step`; ``None``: the newest."""
        return max(0, step - self.strategy.older) if self.strategy.older else None

    def awaited(self) -> frozenset[int]:
        return self.strategy.awaited()

    def describe(self) -> str:
        return describe(self.server.options)

    # ---- the followers -------------------------------------------------------------------------------------

    def follow(self, message: Follow, peer: bytes) -> None:
        """A follower says how far it is."""
        self.server.check_key("server")
        shard = self._shards.get(message.shard)
        if shard is None or message.run != self.server.options.run or message.protocol != messages.VERSION:
            raise ProtocolError(f"server {message.shard} is none of the {len(self._shards) + 1} of this run")
        now = self.server.now()
        if shard.peer != peer or (shard.sent > message.number and now - shard.sent_at > _OVERDUE):
            shard.peer, shard.sent = peer, message.number
        came_back = shard.boot not in (0, message.boot)
        shard.heard, shard.number, shard.boot = now, message.number, message.boot
        if message.initialized:
            self._check_gap(message, came_back=came_back)
            self._ready.add(message.shard)
        else:
            self._ready.discard(message.shard)
        self.server.outbox.send(peer, messages.Pulse(self.server.boot, self.number, self.number))
        while self._log and all(each.number >= self._log[0].number for each in self._shards.values()):
            self._log.popleft()
        self._send_orders()
        self.initialized()
        self.server.serve_waiting()

    def _check_gap(self, message: Follow, *, came_back: bool) -> None:
        """See that a follower which has come back can be told all that it has missed, and has what that needs."""
        first = self._log[0].number if self._log else self.number - len(self._pending) + 1
        needs_pushes = any(order.sources for order in self._log if order.number > message.number)
        has_lost_them = came_back and needs_pushes and not self.server.options.durable
        if has_lost_them or not first - 1 <= message.number <= self.number:
            self.server.fail(
                ServerLost(
                    f"servers stand at different points: number {message.shard} has carried out order "
                    f"{message.number}, and the first one has orders {first} to {self.number}. Only a durable run "
                    "survives the loss of one of several servers: start it with --durable"
                )
            )

    def _are_ready(self) -> bool:
        return self.server.state is not None and len(self._ready) == len(self._shards)

    def _send_orders(self) -> None:
        for shard in self._shards.values():
            for order in self._log if shard.peer else ():
                if order.number > shard.sent:
                    self.server.outbox.send(shard.peer, order)
                    shard.sent, shard.sent_at = order.number, self.server.now()

    def failed(self, error: DistributedError) -> None:
        """The run has failed: the followers must not go on."""
        for shard in self._shards.values():
            if shard.peer:
                self.server.outbox.send_error(shard.peer, error, 0)

    def tick(self, now: float) -> None:
        """See whether a follower has fallen silent, or not heard a question."""
        if self._squares and now - self._asked > _OVERDUE:
            self._ask(self._pending[0])
        limit = self.server.options.timeout + self.server.options.recovery
        for shard in self._shards.values():
            if now - shard.heard > limit and self.server.failure is None and self.server.state is not None:
                self.server.fail(ServerLost(f"server {shard.index} has given no sign of life for {limit:g} s"))

    def drain(self) -> None:
        """Nothing comes from above."""

    def close(self) -> None:
        """Nothing to close."""

    # ---- coming back ---------------------------------------------------------------------------------------

    def restored(self, position: Position) -> None:
        """Stand where a former life stood; pushes that were under way will come again."""
        self.number = position.number
        self.strategy.restore(position.clocks, position.frontier, position.version)

    def replayed(self, order: Order) -> None:
        """An order of a former life is carried out again."""
        if self._shards:
            self._log.append(order)


class Follower:
    """Carries out what the first server decides.

    Parameters
    ----------
    server : Server
        The one that it is part of.
    context : zmq.Context
        For the connection to the first.
    """

    judges = False

    def __init__(self, server: Server, context: zmq.Context[Any]) -> None:
        self.server = server
        self._rule = _rule(server.options)
        keys = server.options.keys
        self._uplink = transport.connect(
            context, server.options.lead, None if keys is None else ClientKeys.read(keys, "server")
        )
        self.channels = (self._uplink,)
        self._boot = 0
        self._reported = 0.0
        self._heard = server.now()
        self._staged_at: dict[Source, float] = {}

    # ---- what happens here is told above -------------------------------------------------------------------

    def staged(self, contribution: Contribution) -> None:
        """The whole of a push has arrived here."""
        self._staged_at[contribution.source] = self.server.now()
        self._send(Staged(contribution.source, _is_admissible(contribution, self.server)))

    def wants_to_join(self, member: Member) -> None:
        """The first server hears of it from the worker itself."""

    def gone(self, member: Member, *, in_peace: bool = False) -> None:
        """The first server hears of it from the worker itself."""

    def paused(self, member: Member) -> None:
        """Barriers are the first server's."""

    resumed = paused

    def initialized(self) -> None:
        self._report(self.server.now())

    def failed(self, error: DistributedError) -> None:
        self._send(Error(kind_of(error), str(error)))

    def _report(self, now: float) -> None:
        state, options = self.server.state, self.server.options
        self._reported = now
        number = 0 if state is None else state.position.number
        self._send(Follow(options.run, options.shard, number, state is not None, self.server.boot))

    def _send(self, message: messages.Message) -> None:
        try:
            self._uplink.send(message)
        except zmq.Again:
            return  # not connected: it is sent again

    # ---- what comes from above -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Do what the first server has said."""
        while True:
            try:
                frames = self._uplink.receive()
            except zmq.Again:
                return
            try:
                message, _ = protocol.decode(frames)
            except ProtocolError as error:
                log.warning("dropped a message of the first server: %s", error)
                continue
            self._heard = self.server.now()
            self._take(message)

    def _take(self, message: messages.AnyMessage) -> None:
        state = self.server.state
        if isinstance(message, Order) and state is not None:
            expected = (self.server.orders[-1].number if self.server.orders else state.position.number) + 1
            if message.number == expected:
                self.server.carry_out(message)
                self.server.serve_waiting()
        elif isinstance(message, Weigh):
            # A server that has just come back may have to wait for the workers to send again; it is asked again.
            if self.server.staging.has(message.sources):
                squares = _squares(self.server, message.sources, message.scale)
                self._send(Weighed(message.number, self.server.options.shard, squares))
        elif isinstance(message, messages.Pulse):
            if message.boot != self._boot:
                self._boot = message.boot
                self._staged_at = dict.fromkeys(self._staged_at, 0.0)
        elif isinstance(message, Error):
            error = from_kind(message.kind, message.text)
            if isinstance(error, Stranger):
                self._introduce()
            else:
                self.server.fail(error)

    def _introduce(self) -> None:
        """The connection is a new one: say who this is, and once more what the first server may not have heard."""
        self._staged_at = dict.fromkeys(self._staged_at, 0.0)
        self._report(self.server.now())
        self._repeat_staged(self.server.now())

    def tick(self, now: float) -> None:
        """Say how far this server is, and repeat what seems lost."""
        if now - self._reported > _REPORT:
            self._report(now)
            self._repeat_staged(now)
        limit = self.server.options.timeout + self.server.options.recovery
        if now - self._heard > limit and self.server.failure is None and self.server.state is not None:
            self.server.fail(ServerLost(f"the first server has given no sign of life for {limit:g} s"))

    def _repeat_staged(self, now: float) -> None:
        for contribution in self.server.staging.whole():
            if now - self._staged_at.get(contribution.source, 0.0) > _OVERDUE:
                self.staged(contribution)
        whole = {each.source for each in self.server.staging.whole()}
        self._staged_at = {source: at for source, at in self._staged_at.items() if source in whole}

    def follow(self, message: Follow, peer: bytes) -> None:
        raise ProtocolError("FOLLOW is for the first server, and this is another")

    def hear(self, message: Staged | Weighed | Error, peer: bytes) -> None:
        raise ProtocolError(f"{type(message).__name__.upper()} is for the first server, and this is another")

    # ---- what it tells -------------------------------------------------------------------------------------

    @property
    def in_step(self) -> bool:
        return self._rule.staleness == 0

    @property
    def older(self) -> int:
        return self._rule.older

    def may_answer(self, step: int, frontier: int) -> bool:
        return self._rule.may_answer(step, frontier)

    def has_taken(self, source: Source) -> bool:
        return True

    def readable(self, step: int, frontier: int) -> int | None:
        return max(0, step - self._rule.older) if self._rule.older else None

    def awaited(self) -> frozenset[int]:
        return frozenset()

    def describe(self) -> str:
        return describe(self.server.options)

    def restored(self, position: Position) -> None:
        """All that it needs is in the state."""

    def replayed(self, order: Order) -> None:
        """All that it needs is in the state."""

    def close(self) -> None:
        self._uplink.close()


def _rule(options: ServerOptions) -> Strategy:
    return strategy_for(
        options.world_size,
        options.staleness,
        backups=options.backups,
        deterministic=options.deterministic,
        scale_rate=options.scale_rate,
    )


def _is_admissible(contribution: Contribution, server: Server) -> bool:
    return server.options.nonfinite == "allow" or contribution.is_finite()


def _squares(server: Server, sources: Sequence[Source], scale: float) -> float:
    """The sum of the squares of a step's gradients, as far as they are this server's."""
    total = sum_in_order([server.staging.get(source).gradients for source in sources])
    return square_norm(total.values()) * scale**2


def describe(options: ServerOptions) -> str:
    """The consistency of a run in a word or two."""
    if options.staleness == 0:
        return f"synchronous, {options.backups} backups" if options.backups else "synchronous"
    bound = f"staleness {options.staleness:g}"
    return f"{bound}, deterministic" if options.deterministic else bound
