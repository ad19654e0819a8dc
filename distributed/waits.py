"""What the workers that wait for an answer wait for, and for whom."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .messages import Barrier, Fetch, Init, Load, Pull, Push, Source
from .roster import Member

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Waits"]

log = logging.getLogger("retrograd.distributed.server")

_LONG = 10.0  # seconds after which it is said who is missing, and between two times that it is


class Waits:
    """Says of a worker that waits whether it must.

    Parameters
    ----------
    server : Server
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._next_warning = 0.0

    def holds_up(self, member: Member) -> bool:
        """Whether something must happen before a waiting member can be answered."""
        server, request = self._server, member.waiting
        if isinstance(request, Init):
            return server.state is None or not member.takes_part
        if isinstance(request, Barrier):
            return bool(self._absent_from_barrier(member))
        assert server.state is not None
        if isinstance(request, Fetch | Load):
            return False
        assert isinstance(request, Push | Pull)
        if isinstance(request, Push):
            source = Source(member.rank, member.incarnation, request.seq)
            # A deterministic run makes updates in its own time, and its workers go on before theirs is made.
            if not server.state.has_settled(source) and not (server.office.older and server.office.has_taken(source)):
                return True
            if not request.reply:
                return False
        return not server.office.may_answer(request.step, server.frontier)

    def _absent_from_barrier(self, member: Member) -> list[int]:
        return [each.rank for each in self._server.roster if each.is_counted_on and each.barriers < member.barriers]

    def _awaited_by(self, member: Member) -> frozenset[int]:
        """The ranks that must do something before a waiting member can be answered."""
        match member.waiting:
            case Barrier():
                return frozenset(self._absent_from_barrier(member))
            case Init():
                return frozenset({0}) - {member.rank}
            case _:
                return self._server.office.awaited()

    def warn(self, now: float) -> None:
        """Say who is missing, every ten seconds: a run that hangs silently helps nobody."""
        roster, frontier = self._server.roster, self._server.frontier
        since = [member.waiting_since for member in roster.waiting()]
        if not since or now - min(since) < _LONG or now < self._next_warning:
            return
        self._next_warning = now + _LONG
        awaited = frozenset().union(*map(self._awaited_by, roster.waiting()))
        names = ", ".join(roster[rank].describe(now) for rank in sorted(awaited) if rank in roster)
        log.warning("step %d has waited %.0f s for %s", frontier + 1, now - min(since), names or "the first server")
