"""The servers that follow: they carry out what the first one decides, and tell it what has arrived."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import zmq

from . import messages, protocol, transport
from .errors import DistributedError, ProtocolError, ServerLost, Stranger, Taken, from_kind, kind_of
from .messages import Error, Follow, Order, Rewind, Source, Staged, Weigh, Weighed
from .office import Office
from .roster import Member
from .security import ClientKeys
from .staging import Contribution
from .state import Position

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Follower"]

log = logging.getLogger("retrograd.distributed.server")

_REPORT = 0.5  # seconds between two reports
_TAKEN = 3.0  # seconds after which whoever has this server's place is no former life of it, at least
_OVERDUE = 1.0  # seconds after which a message to the first server is taken for lost, and sent again


class Follower(Office):
    """Carries out what the first server decides.

    Parameters
    ----------
    server : Server
        The one that it is part of.
    context : zmq.Context
        For the connection to the first.
    """

    def __init__(self, server: Server, context: zmq.Context[Any]) -> None:
        super().__init__(server)
        keys = server.options.keys
        self._uplink = transport.connect(
            context, server.options.lead, None if keys is None else ClientKeys.read(keys, "server")
        )
        self.channels = (self._uplink,)
        self._boot = 0
        self._reported = 0.0
        self._told: tuple[int, ...] = ()
        """The snapshots that the first server has heard of."""
        self._heard = server.now()
        self._taken: tuple[float, Taken] | None = None
        """Since when the first server has another in this one's place, and what it says."""
        self._hearing = transport.Hearing(self._uplink, self._heard)

    def begin_again(self) -> None:
        super().begin_again()
        self._staged_at: dict[Source, float] = {}
        self.may_speak = False
        """Whether the first server has said that this one stands where the run does."""

    # ---- what happens here is told above -------------------------------------------------------------------

    def staged(self, contribution: Contribution) -> None:
        """The whole of a push has arrived here."""
        self._staged_at[contribution.source] = self.server.now()
        self._send(self.staged_by(contribution))

    def wants_to_join(self, member: Member) -> None:
        """A worker has asked for the weights; the first server, which it has asked too, may have let it in before."""
        position = None if self.server.state is None else self.server.state.position
        if position is not None and position.incarnations.get(member.rank) == member.incarnation:
            member.takes_part, member.step = True, position.clocks[member.rank]

    def gone(self, member: Member, *, in_peace: bool = False) -> None:
        """The first server hears of it from the worker itself."""

    def paused(self, member: Member) -> None:
        """Barriers are the first server's."""

    resumed = paused

    def initialized(self) -> None:
        # Before there was nothing to miss the first server for, which may have been started later.
        self._heard = self.server.now()
        self._report(self._heard)

    def failed(self, error: DistributedError) -> None:
        self._send(Error(kind_of(error), str(error)))

    def _report(self, now: float) -> None:
        state, options = self.server.state, self.server.options
        self._reported = now
        number = 0 if state is None else state.position.number
        kept = self._told = self.server.keeper.clocks
        self._send(Follow(options.run, options.shard, number, state is not None, self.server.boot, snapshots=kept))

    def kept(self) -> None:
        """There may be a new snapshot: all drop only what is older than the newest that all have."""
        # Not in the midst of what a former life has done: the first server would take it for all that there is.
        if not self.server.keeper.is_replaying and self.server.keeper.clocks != self._told:
            self._report(self.server.now())

    def _send(self, message: messages.Message) -> None:
        try:
            self._uplink.send(message)
        except zmq.Again:
            return  # not connected: it is sent again

    # ---- what comes from above -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Do what the first server has said."""
        while self._uplink.has_message():
            frames = self._uplink.receive()
            self._hearing.heard(self.server.now())
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
                self._send(self.weigh(message.number, message.sources, message.scale))
        elif isinstance(message, messages.Pulse):
            if message.boot != self._boot:
                self._boot = message.boot
                self._staged_at = dict.fromkeys(self._staged_at, 0.0)
            self._taken = None
            self.server.keeper.pin(message.common)
            if not self.may_speak:
                self.may_speak = True
                self.server.serve_waiting()
        elif isinstance(message, Rewind):
            if message.boot == self.server.boot:
                self.server.go_back(message.number)
                self._report(self.server.now())
        elif isinstance(message, Error):
            error = from_kind(message.kind, message.text)
            if isinstance(error, Stranger):
                self._introduce()
            elif isinstance(error, Taken):
                # It may be a former life of this one, which is given up soon.
                self._taken = self._taken or (self.server.now(), error)
            else:
                self.server.fail(error)

    def _introduce(self) -> None:
        """The connection is a new one: say who this is, and once more what the first server may not have heard."""
        self._staged_at = dict.fromkeys(self._staged_at, 0.0)
        self._report(self.server.now())
        self._repeat_staged(self.server.now())

    def forgive(self, seconds: float) -> None:
        self._heard += seconds

    def tick(self, now: float) -> None:
        """Say how far this server is, and repeat what seems lost."""
        if now - self._reported > _REPORT:
            self._report(now)
            self._repeat_staged(now)
            self._hearing.look(now)
        if self._taken is not None and now - self._taken[0] > max(self.server.options.timeout, _TAKEN):
            self.server.fail(self._taken[1])
        limit = self.server.options.timeout + self.server.options.recovery
        if now - self._heard > limit and self.server.failure is None and self.server.state is not None:
            self.server.fail(
                ServerLost(f"the first server, at {self._uplink.address}, has given no sign of life for {limit:g} s")
            )

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

    def has_taken(self, source: Source) -> bool:
        return True

    def awaited(self) -> frozenset[int]:
        step = self.server.frontier + 1
        return frozenset(each.rank for each in self.server.roster if each.is_counted_on and each.step < step)

    def restored(self, position: Position, *, anew: bool) -> None:
        """All that it needs is in the state."""

    def replayed(self, order: Order) -> None:
        """All that it needs is in the state."""

    def close(self) -> None:
        self._uplink.close()
