"""Who takes part in a run: which workers have joined, are waiting, have left or fallen silent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .errors import Refused
from .protocol import Barrier, Hello, Init, Push, Report, WorkerStatus

__all__ = ["Member", "Request", "Roster"]

Request: TypeAlias = Init | Push | Barrier
"""A message that is answered when its time has come, and not at once."""


@dataclass(slots=True)
class Member:
    """One worker as the server knows it."""

    rank: int
    state: Literal["expected", "joined", "left", "lost"] = "expected"
    incarnation: int = 0
    peer: bytes = b""
    """Routing id of its connection, which changes when the connection does."""
    heard: float = 0.0
    """When it last gave a sign of life, on the monotonic clock."""
    step: int = 0
    """The last step that it has pushed for."""
    received: int = 0
    answered: int = 0
    """Numbers of its last request and of the last one that was answered."""
    barriers: int = 0
    """How many barriers it has reached."""
    waiting: Request | None = None
    waiting_since: float = 0.0
    report: Report = field(default_factory=Report)

    def status(self, now: float) -> WorkerStatus:
        silent = 0.0 if self.state == "expected" else max(0.0, now - self.heard)
        return WorkerStatus(self.rank, self.state, self.step, silent, self.report)

    def describe(self, now: float) -> str:
        """Name, last step and how long ago: what every message about a missing worker says.

        >>> Member(1, "joined", step=12, heard=3.0).describe(now=7.5)
        'worker 1 (last step 12, last heard of 4.5 s ago)'
        """
        if self.state == "expected":
            return f"worker {self.rank} (never joined)"
        return f"worker {self.rank} (last step {self.step}, last heard of {now - self.heard:.1f} s ago)"


class Roster:
    """The workers of a run by rank, and whose connection is whose."""

    def __init__(self, world_size: int) -> None:
        self.members = [Member(rank) for rank in range(world_size)]
        self.launchers: set[bytes] = set()
        """Those who started the run, watch it, and end it."""
        self._by_peer: dict[bytes, Member] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __getitem__(self, rank: int) -> Member:
        return self.members[rank]

    def __len__(self) -> int:
        return len(self.members)

    def of_peer(self, peer: bytes) -> Member | None:
        return self._by_peer.get(peer)

    def admit(self, hello: Hello, peer: bytes, now: float) -> Member:
        """Let a worker in, or the same one again over a new connection.

        Raises
        ------
        Refused
            When its rank is another process's.
        """
        if hello.rank >= len(self.members):
            raise Refused(f"rank {hello.rank} is not one of this run, which has {len(self.members)} workers")
        member = self.members[hello.rank]
        if member.state != "expected" and member.incarnation != hello.incarnation:
            raise Refused(
                f"rank {hello.rank} is taken: another process joined with it and has since "
                f"{'been running' if member.state == 'joined' else member.state}. Give each worker a "
                "RETROGRAD_RANK of its own; a worker that has ended cannot come back in this version"
            )
        if member.state in ("left", "lost"):
            raise Refused(f"worker {hello.rank} was declared {member.state} and cannot come back in this version")
        self._by_peer.pop(member.peer, None)
        self._by_peer[peer] = member
        member.state, member.incarnation, member.peer, member.heard = "joined", hello.incarnation, peer, now
        return member

    def remove(self, member: Member, state: Literal["left", "lost"]) -> None:
        self._by_peer.pop(member.peer, None)
        member.state, member.waiting = state, None

    def silent(self, now: float, timeout: float) -> list[Member]:
        """Those who should give signs of life and have given none for `timeout` seconds."""
        return [each for each in self.members if each.state == "joined" and now - each.heard > timeout]

    def waiting(self) -> Iterable[Member]:
        return [each for each in self.members if each.waiting is not None]

    def is_over(self, given_up: bool) -> bool:
        """Whether everyone has come and gone; nobody is expected any more in a run that is given up."""
        states = {each.state for each in self.members}
        return "joined" not in states and (given_up or "expected" not in states)
