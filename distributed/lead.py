"""Who decides: the first server, which leads, and gives the others orders.

A step must come out the same on all servers, also when a worker dies in the middle of it. So one of them
decides for all. Every server tells the first when the whole of a push has arrived (STAGED); once all have it,
the first asks the strategy what follows, and sends it round as a numbered ORDER; all carry out all orders in
their sequence. A push that some server never received is in no order, and so nowhere in the weights.

With one server there is nobody to tell and nobody to wait for, and no message more.

Note [All go back together]
    A server that has died and kept no journal comes back as its last snapshot was, which is before what the
    others have done. All then go back to the newest snapshot that every one of them has: first the followers,
    the lead last, and it answers nobody meanwhile. To its workers a server that has gone back is one that has
    died and come back without them: they take part again, with the weights that there are. So nobody goes on
    with weights of two different times.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

from msgspec import structs

from . import messages
from .errors import (
    DistributedError,
    Mismatch,
    NonFiniteGradient,
    ProtocolError,
    Refused,
    ServerLost,
    Stranger,
    Taken,
    from_kind,
    kind_of,
)
from .messages import Error, Follow, Joined, Order, Source, Staged, Weigh, Weighed
from .office import Office
from .roster import Member
from .staging import Contribution
from .state import Position
from .strategies import Claim, Decision, Synchronous

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Lead"]

log = logging.getLogger("retrograd.distributed.server")

_REPORT = 0.5  # seconds between two reports of a follower
_ASLEEP = 1.5  # seconds without a report after which another process may be that server
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
    snapshots: frozenset[int] = frozenset()
    """The orders up to which its snapshots go."""


@dataclass(slots=True)
class _Return:
    """All servers are to stand at order `number` again; `former` are the lives that followers had before."""

    number: int
    former: dict[int, int]


@dataclass(slots=True)
class _Gathering:
    """A push of which some servers have the whole."""

    shards: set[int] = field(default_factory=set)
    finite: bool = True
    large: bool = False


class Lead(Office):
    """Makes the decisions of a run.

    Parameters
    ----------
    server : Server
        The one that it is part of, which is itself the first to carry out every order.
    """

    judges = True

    def __init__(self, server: Server) -> None:
        self._shards = {index: _Shard(index, heard=server.now()) for index in range(1, server.options.shards)}
        super().__init__(server)

    def begin_again(self) -> None:
        super().begin_again()
        self.number = 0
        self._return: _Return | None = None
        """Where all are going back to, if they do."""
        self._unheard: set[int] = set()
        """Followers that must say what snapshots they have before that is decided."""
        self._ready: set[int] = set()
        """Followers that have weights."""
        self._gatherings: dict[Source, _Gathering] = {}
        self._taken: set[Source] = set()
        """Pushes that are whole everywhere, and in no order that was carried out."""
        self._leaving: list[Member] = []
        """Workers that have left, and of which not all is made that they have pushed."""
        self._pending: deque[Order] = deque()
        """Orders that are decided and not given: the first waits to be weighed."""
        self._weighed: dict[int, Weighed] = {}
        """What each server has answered for the first of them."""
        self._large: set[Source] = set()
        """Pushes the sum of which may be infinite."""
        self._asked = 0.0
        self._log: deque[Order] = deque()
        """Orders that some follower may not have carried out."""

    # ---- what it decides -----------------------------------------------------------------------------------

    def staged(self, contribution: Contribution) -> None:
        """The whole of a push has arrived here."""
        self._gather(self.staged_by(contribution), 0)

    def foresee(self, sources: Sequence[Source]) -> Order:
        """The order for the next push of every worker, in the order of ranks, if nothing else happens before."""
        assert isinstance(self.strategy, Synchronous)
        return _order(self.number + 1, self.strategy.foresee(sources))

    def has_given(self, order: Order) -> None:
        """Take note of an order that was foreseen: none of its pushes needed a closer look."""
        assert isinstance(self.strategy, Synchronous)
        self.strategy.all_offered(order.sources)
        self.number = order.number

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way here."""
        return self.may_speak and not (
            self._gatherings or self._taken or self._pending or self._large or self._leaving or self._unheard
        )

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
                self._weighed[shard.index] = message
                self._proceed()
        elif self.server.state is None or not self.server.state.has_settled(message.source):
            self._gather(message, shard.index)
        self.server.serve_waiting()

    def _gather(self, message: Staged, shard: int) -> None:
        if message.source in self._taken or self._return is not None:
            return
        gathering = self._gatherings.setdefault(message.source, _Gathering())
        gathering.shards.add(shard)
        gathering.finite &= message.finite
        gathering.large |= message.large
        if len(gathering.shards) == self.server.options.shards:
            del self._gatherings[message.source]
            if gathering.large and gathering.finite:
                self._large.add(message.source)
            self._offer(self.server.staging.get(message.source), gathering.finite)

    def _offer(self, contribution: Contribution, finite: bool) -> None:
        source, step = contribution.source, contribution.step
        self._taken.add(source)
        if not finite and source.rank in self.server.roster:
            self._count_nonfinite(self.server.roster[source.rank], step)
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

    def _count_nonfinite(self, member: Member, step: int) -> None:
        count = member.nonfinite = member.nonfinite + 1
        # The first, second, fourth ...: where losses are scaled it happens often, and the log must not fill.
        if self.server.options.nonfinite == "skip" and count & (count - 1) == 0:
            log.warning(
                "step %d is left out: the gradients of worker %d hold a NaN or an infinity (%d of its steps so far)",
                step, member.rank, count,
            )  # fmt: skip

    def wants_to_join(self, member: Member) -> None:
        """A worker has asked for the weights: from the next order on the others count on it."""
        if self.server.state is not None and self.may_speak and not member.takes_part:
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
        self._pending.append(_order(self.number, decision, **fields))
        self._proceed()

    def _proceed(self) -> None:
        while self._pending:
            order = self._pending[0]
            if self._must_be_weighed(order):
                weighed = self._weigh(order)
                if weighed is None:
                    return
                order = weighed
            self._pending.popleft()
            self._weighed.clear()
            if self._shards:
                if not self.server.keep(order):  # before others act on it: they must not be ahead of what is kept here
                    return
                self._log.append(order)
                self._send_orders()
            self.server.carry_out(order)
            self._taken.difference_update(order.sources, order.dropped, order.refused)
            self._large.difference_update(order.sources, order.dropped, order.refused)

    def _must_be_weighed(self, order: Order) -> bool:
        clips = self.server.options.clip and order.sources
        return not order.skip and bool(clips or not self._large.isdisjoint(order.sources))

    def _weigh(self, order: Order) -> Order | None:
        """The order, once all servers have told of their part of its sum, as it may be by what they told."""
        if 0 not in self._weighed:
            self._weighed[0] = self.weigh(order.number, order.sources, order.scale)
            self._ask(order)
        if len(self._weighed) < self.server.options.shards:
            return None
        if any(each.overflow for each in self._weighed.values()):
            return self._without_sum(order)
        if not self.server.options.clip:
            return order
        # Added up in the order of servers, so that it is the same number every time.
        norm = sqrt(sum(self._weighed[index].squares for index in sorted(self._weighed)))
        return structs.replace(order, clip=min(1.0, self.server.options.clip / (norm + 1e-6)))

    def _without_sum(self, order: Order) -> Order:
        """An order in place of one for an update by what is not finite."""
        self.strategy.updates -= 1
        ranks = ", ".join(str(source.rank) for source in order.sources)
        text = (
            f"the gradients of workers {ranks} for step {order.frontier} are finite, and their sum is not. Divide each "
            "worker's loss by the size of the global batch, or clip gradients before step()"
        )
        log.warning("step %d is left out: %s", order.frontier, text)
        if self.server.options.nonfinite == "skip":
            return structs.replace(order, skip=True)
        self.strategy.refuse([source.rank for source in order.sources])
        refused = (*order.sources, *order.refused)
        return structs.replace(order, sources=(), refused=refused, kind="nonfinite", text=text)

    def _ask(self, order: Order) -> None:
        self._asked = self.server.now()
        for shard in self._shards.values():
            if shard.peer and shard.index not in self._weighed:
                self.server.outbox.send(shard.peer, Weigh(order.number, order.sources, order.scale))

    # ---- what it tells -------------------------------------------------------------------------------------

    def has_taken(self, source: Source) -> bool:
        """Whether a push that is whole here is so everywhere."""
        return source in self._taken

    def awaited(self) -> frozenset[int]:
        return self.strategy.awaited()

    # ---- the followers -------------------------------------------------------------------------------------

    def follow(self, message: Follow, peer: bytes) -> None:
        """A follower says how far it is."""
        self.server.check_key("server")
        shard = self._shards.get(message.shard)
        if shard is None:
            raise Refused(f"server {message.shard} is none of the {len(self._shards) + 1} of this run: see --shard")
        if message.run != self.server.options.run:
            raise Refused(
                f"server {message.shard} is of run {message.run!r}, and server 0 of {self.server.options.run!r}: start "
                "all servers of a run with the same --run"
            )
        if message.protocol != messages.VERSION:
            older = "server 0" if message.protocol > messages.VERSION else f"server {message.shard}"
            raise Refused(
                f"server {message.shard} speaks protocol version {message.protocol} and server 0 {messages.VERSION}: "
                f"upgrade retrograd on the side of {older}"
            )
        now = self.server.now()
        if shard.peer != peer and shard.boot not in (0, message.boot) and now - shard.heard < _ASLEEP:
            raise Taken(
                f"server {message.shard} is another process, which has said so first and is running: end one of the "
                "two, or give each a --shard of its own"
            )
        if shard.peer != peer or (shard.sent > message.number and now - shard.sent_at > _OVERDUE):
            shard.peer, shard.sent = peer, message.number
        came_back = shard.boot not in (0, message.boot)
        shard.heard, shard.number, shard.boot = now, message.number, message.boot
        shard.snapshots = frozenset(message.snapshots)
        self._ready.discard(message.shard)
        if message.initialized and self._has_gap(shard, came_back=came_back):
            self._go_back(shard)
            if self._has_gap(shard, came_back=came_back):
                return
        if message.initialized:
            self._ready.add(message.shard)
        common = max(self._common(), default=None)
        self.server.keeper.pin(common)
        self.server.outbox.send(peer, messages.Pulse(self.server.boot, self.number, self.number, common))
        while self._log and all(each.number >= self._log[0].number for each in self._shards.values()):
            self._log.popleft()
        self._send_orders()
        self.initialized()
        self.server.serve_waiting()

    def _has_gap(self, shard: _Shard, *, came_back: bool) -> bool:
        """Whether a follower cannot be told all that it has missed, or has lost what that needs."""
        first = self._log[0].number if self._log else self.number - len(self._pending) + 1
        needs_pushes = any(order.sources for order in self._log if order.number > shard.number)
        has_lost_them = came_back and needs_pushes and not self.server.options.durable
        is_told = first - 1 <= shard.number <= self.number
        return self._return is not None or bool(self._unheard) or has_lost_them or not is_told

    def _go_back(self, shard: _Shard) -> None:
        """Have all servers go back, now that one has said how far it is; see Note [All go back together]."""
        going, told = self._return, [shard]
        if going is None or (shard.boot != going.former[shard.index] and shard.number != going.number):
            # Also when a snapshot has turned out to be damaged.
            self._unheard = (self._unheard or set(self._shards)) - {shard.index}
            going, told = self._begin_return(), list(self._shards.values())
        if going is None:
            return
        for each in told:
            if each.boot == going.former[each.index]:
                self.server.outbox.send(each.peer, messages.Rewind(going.number, each.boot))
        if all(each.boot != going.former[each.index] for each in self._shards.values()):
            self.server.go_back(going.number)
            self._ready = {each.index for each in self._shards.values() if each.number == self.number}

    def _begin_return(self) -> _Return | None:
        """Decide where to go back to, once all have said what snapshots they have."""
        self._return = None
        if self._unheard:
            return None
        common = self._common()
        if not common:
            points = ", ".join(f"{each.number} (server {each.index})" for each in self._shards.values())
            self.server.fail(
                ServerLost(
                    f"servers stand at different points, at orders {self.number} (server 0), {points}, and there is no "
                    "snapshot that all have: the logs say why some could not be written. Start the run anew; with "
                    "--durable nothing is lost"
                )
            )
            return None
        log.warning("a server has come back from before others: all go back to order %d", max(common))
        self._return = _Return(max(common), {each.index: each.boot for each in self._shards.values()})
        return self._return

    def _common(self) -> frozenset[int]:
        """The orders up to which there is a snapshot on every server, as far as is known here."""
        return frozenset(self.server.keeper.clocks).intersection(*(each.snapshots for each in self._shards.values()))

    def kept(self) -> None:
        """There may be a new snapshot."""

    @property
    def may_speak(self) -> bool:
        """Whether all servers stand where the run does, so that a worker that asks them gets one answer."""
        return self._return is None and len(self._ready) == len(self._shards)

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
        if self._weighed and now - self._asked > _OVERDUE:
            self._ask(self._pending[0])
        limit = self.server.options.timeout + self.server.options.recovery
        for shard in self._shards.values():
            if now - shard.heard > limit and self.server.failure is None and self.server.state is not None:
                self.server.fail(ServerLost(f"server {shard.index} has given no sign of life for {limit:g} s"))

    def forgive(self, seconds: float) -> None:
        for shard in self._shards.values():
            shard.heard += seconds

    def drain(self) -> None:
        """Nothing comes from above."""

    def close(self) -> None:
        """Nothing to close."""

    # ---- coming back ---------------------------------------------------------------------------------------

    def restored(self, position: Position, *, anew: bool) -> None:
        """Stand where a former life stood; pushes that were under way will come again."""
        self.number = position.number
        if not anew and not self.server.options.durable:
            # Workers may have had its answer to an order that no other server got. So all go back.
            self._unheard = set(self._shards)
        self.strategy.restore(position.clocks, position.made, position.frontier, position.version)

    def replayed(self, order: Order) -> None:
        """An order of a former life is carried out again."""
        if self._shards:
            self._log.append(order)


def _order(number: int, decision: Decision, **fields: Any) -> Order:
    return Order(
        number,
        decision.frontier,
        decision.sources,
        decision.leading,
        decision.scale,
        decision.rate,
        skip=decision.skip,
        dropped=decision.dropped,
        **fields,
    )
