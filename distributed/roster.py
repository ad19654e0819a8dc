"""Who takes part in a run: which workers have joined, are waiting, have left or fallen silent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .errors import Evicted, Refused, Taken
from .messages import MAX_WORKERS, Barrier, Fetch, Hello, Init, Load, Pull, Push, Report, WorkerStatus
from .shared import Segment
from .transport import Flight

__all__ = ["Member", "Request", "Roster"]

Request: TypeAlias = Init | Push | Pull | Barrier | Fetch | Load
"""A message that is answered when its time has come, and not at once."""

_ASLEEP = 1.5  # seconds without a heartbeat, of which there are two a second, after which a rank may be taken over


@dataclass(slots=True)
class Member:
    """One worker as the server knows it."""

    rank: int
    state: Literal["expected", "joined", "left", "lost"] = "expected"
    incarnation: int = 0
    peer: bytes = b""
    """Routing id of its connection, which changes when the connection does."""
    way: bytes = b""
    """Where its last request came from, and the answer goes: the same, or its lane's."""
    heard: float = 0.0
    """When it last gave a sign of life, on the monotonic clock."""
    takes_part: bool = False
    """Whether it has the weights, and the others count on its gradients."""
    step: int = 0
    """The last step that it has pushed for."""
    received: int = 0
    answered: int = 0
    """Numbers of its last whole request and of the last one that was answered."""
    barriers: int = 0
    """How many barriers it has reached."""
    waiting: Request | None = None
    waiting_since: float = 0.0
    flights: list[Flight] = field(default_factory=list)
    """Weights on their way to it."""
    before: Member | None = None
    """Who had its rank before it came: its former life, or one that was expected."""
    exited: float | None = None
    """When its process was seen to have ended in peace, until its own farewell comes."""
    nonfinite: int = 0
    host: str = ""
    segment: Segment | None = None
    """Shared memory in which its gradients lie."""
    report: Report = field(default_factory=Report)

    def take_in(self, push: Push, way: bytes, now: float) -> None:
        """Note that a whole push has come which needs no check."""
        self.step, self.received, self.waiting, self.way = push.step, push.seq, push, way
        self.waiting_since = self.heard = now

    def land(self) -> None:
        """It has read what it was sent: it says so, or asks for something more."""
        for flight in self.flights:
            flight.land()

    def has_read(self) -> bool:
        """Whether what it was sent has left, now that it asks for something more."""
        for flight in self.flights:
            flight.land()
            if not flight.landed:
                return False
        return True

    def status(self, now: float, frontier: int) -> WorkerStatus:
        silent = 0.0 if self.state == "expected" else max(0.0, now - self.heard)
        behind = max(0, self.step - frontier)
        return WorkerStatus(self.rank, self.state, self.step, silent, self.report, behind, self.nonfinite)

    def describe(self, now: float) -> str:
        """Name, last step and how long ago: what every message about a missing worker says.

        >>> Member(1, "joined", step=12, heard=3.0).describe(now=7.5)
        'worker 1 (last step 12, last heard of 4.5 s ago)'
        """
        if self.state == "expected":
            return f"worker {self.rank} (never joined)"
        return f"worker {self.rank} (last step {self.step}, last heard of {now - self.heard:.1f} s ago)"

    @property
    def is_counted_on(self) -> bool:
        """Whether others wait for it: it is here, or is still to come."""
        return self.state in ("expected", "joined")


class Roster:
    """The workers of a run by rank, and whose connection is whose.

    Parameters
    ----------
    world_size : int
        Workers that are expected.
    elastic : bool
        Whether more may join, and those that were lost may come back.
    """

    def __init__(self, world_size: int, *, elastic: bool = False) -> None:
        self.world_size = world_size
        self.elastic = elastic
        self._members = {rank: Member(rank) for rank in range(world_size)}
        self._by_peer: dict[bytes, Member] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __getitem__(self, rank: int) -> Member:
        return self._members[rank]

    def get(self, rank: int) -> Member | None:
        return self._members.get(rank)

    def __contains__(self, rank: int) -> bool:
        return rank in self._members

    def __len__(self) -> int:
        return len(self._members)

    def of_peer(self, peer: bytes) -> Member | None:
        return self._by_peer.get(peer)

    def admit(self, hello: Hello, peer: bytes, now: float) -> Member:
        """Let a worker in, or the same one again over a new connection.

        Raises
        ------
        Taken
            When its rank is another process's.
        Evicted
            When it was declared lost.
        Refused
            When it cannot take part.
        """
        member = self._member_for(hello, now)
        if member.state in ("expected", "left", "lost") or member.incarnation != hello.incarnation:
            self._forget_peer(member)
            again, before = member.state != "expected", member
            before.before, before.segment, before.flights = None, None, []  # what it held is not kept
            member = self._members[hello.rank] = Member(hello.rank, nonfinite=member.nonfinite, before=before)
            # It meets the others at the next barrier, not at the first.
            member.barriers = min((each.barriers for each in self if each.takes_part), default=0) if again else 0
        self._forget_peer(member)
        self._by_peer[peer] = member
        member.state, member.incarnation, member.peer, member.heard = "joined", hello.incarnation, peer, now
        member.host, member.way, member.flights = hello.host, peer, []
        return member

    def _member_for(self, hello: Hello, now: float) -> Member:
        if hello.rank not in self._members:
            if not self.elastic or hello.rank >= MAX_WORKERS:
                raise Refused(
                    f"rank {hello.rank} is not one of this run, which has {self.world_size} workers and takes no "
                    "others: start it with --on-loss continue to let workers come and go"
                )
            self._members[hello.rank] = Member(hello.rank)
        member = self._members[hello.rank]
        same = member.incarnation == hello.incarnation
        if same and member.state == "lost":
            raise Evicted(f"worker {hello.rank} was declared lost, and the others have gone on without it")
        if same and member.state == "left":
            raise Refused(f"worker {hello.rank} has said goodbye before")
        if not same and member.state == "lost" and not self.elastic:
            raise Refused(f"worker {hello.rank} was declared lost, and this run does not take workers back")
        if not same and member.state == "joined" and not (self.elastic and now - member.heard > _ASLEEP):
            if not member.peer:
                raise Taken(
                    f"rank {hello.rank} is kept for the process that had it before this server started again. If that "
                    "one is gone, too, start the server with --resume, which goes on with new workers"
                )
            raise Taken(
                f"rank {hello.rank} is taken: another process joined with it and has since been running. Give each "
                "worker a RETROGRAD_RANK of its own"
            )
        return member

    def remove(self, member: Member, state: Literal["left", "lost"]) -> None:
        self._forget_peer(member)
        member.state, member.waiting, member.takes_part, member.flights = state, None, False, []

    def withdraw(self, member: Member) -> None:
        """Be as before a worker came, which has asked nothing and goes again."""
        self._forget_peer(member)
        before = member.before or Member(member.rank)
        self._members[member.rank] = before
        if before.state == "joined":  # whose life it took over
            self.remove(before, "lost")
        elif before.state == "expected" and member.rank >= self.world_size:
            del self._members[member.rank]

    def restore(self, member: Member) -> None:
        """Count on a worker that took part in the server's former life."""
        self._members[member.rank] = member

    def silent(self, now: float, timeout: float) -> list[Member]:
        """Those who should give signs of life and have given none for `timeout` seconds.

        One that is expected need not, unless it was there in the server's former life (`expect_again`).
        """
        watched = (each for each in self if each.state == "joined" or (each.state == "expected" and each.heard))
        return [each for each in watched if now - each.heard > timeout]

    def expect_again(self, rank: int, now: float) -> None:
        """Expect a worker that may have joined a server which has come back from before that."""
        if rank in self._members and self._members[rank].state == "expected":
            self._members[rank].heard = now

    def scatter(self, now: float) -> None:
        """Forget whose connection is whose: those who are here must say HELLO again."""
        self._by_peer.clear()
        for member in list(self):
            if member.state == "joined":
                self._members[member.rank] = Member(member.rank, heard=now, nonfinite=member.nonfinite)

    def waiting(self) -> Iterable[Member]:
        return [each for each in self if each.waiting is not None]

    def forgive(self, seconds: float) -> None:
        """Do not take for anybody's silence a time in which nobody listened.

        Of one that is yet to come there is nothing to forgive: `silent` would take it for a sign of life.
        """
        for member in self:
            if member.state != "expected" or member.heard:
                member.heard += seconds

    def is_over(self, given_up: bool) -> bool:
        """Whether everyone has come and gone; nobody is expected any more in a run that is given up."""
        states = {each.state for each in self}
        return "joined" not in states and (given_up or "expected" not in states)

    def _forget_peer(self, member: Member) -> None:
        self._by_peer.pop(member.peer, None)
