"""When gradients become an update, and when a worker may go on: the consistency of a run.

There is one rule, bounded staleness: a worker that has done step `c` reads weights that hold everyone's
gradients up to step `c - s` at least. With s = 0 all go in step, and a step's gradients are one update from
their sum (:class:`Synchronous`); with s > 0 each push is an update of its own, and s = infinity never waits
(:class:`BoundedStaleness`).

A strategy does no arithmetic on weights and knows no sockets. It is told of pushes and of who comes and goes,
and says which updates follow. It stands on the first server alone; the others carry out what it decides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from math import inf
from typing import Literal, TypeAlias

from msgspec import Struct

from .errors import DistributedError, Mismatch, ProtocolError
from .messages import Groups, Source

__all__ = ["BoundedStaleness", "Claim", "Decision", "NonFinite", "Strategy", "Synchronous", "strategy_for"]

NonFinite: TypeAlias = Literal["reject", "skip", "allow"]
"""What to do with a NaN or an infinity in a gradient: refuse the push, leave the step out, or go on."""


class Claim(Struct, frozen=True):
    """A push that has arrived at every server, as far as consistency is concerned."""

    source: Source
    step: int
    version: int = 0
    """Updates that were in the weights which the gradients were computed with."""
    groups: Groups = ()
    finite: bool = True


class Decision(Struct, frozen=True):
    """What is to be done next; see the fields of the same names in `messages.Order`."""

    frontier: int
    sources: tuple[Source, ...] = ()
    leading: int = 0
    scale: float = 1.0
    rate: float = 1.0
    skip: bool = False
    dropped: tuple[Source, ...] = ()


class Strategy(ABC):
    """The consistency of a run.

    Parameters
    ----------
    world_size : int
        How many workers the run was started for. Gradients are scaled by ``world_size / n`` where only n
        take part, so that what was a mean over all is the mean over those.
    uneven : bool
        Whether workers may have made different numbers of steps, since some come late, go or come back. Their
        learning-rate schedules then differ, and an update has the hyperparameters of the worker that has made the
        most steps. Else that they differ is an error.
    """

    staleness: float = 0
    older: int = 0
    """How many steps back weights must be kept; 0 is none but the newest."""

    def __init__(self, world_size: int, *, uneven: bool = False) -> None:
        self.world_size = world_size
        self.uneven = uneven
        self.clocks = dict.fromkeys(range(world_size), 0)
        """Of each worker that takes part, the last step that it has pushed for."""
        self.made: dict[int, int] = {}
        """How many pushes it has made since it joined."""
        self._paused: dict[int, int] = {}
        self._waiting: dict[int, dict[int, Claim]] = {}
        """Pushes that are in no decision yet, by step and by rank."""
        self.frontier = 0
        """Steps that are done, by everyone on whom this consistency waits."""
        self.updates = 0

    @abstractmethod
    def offer(self, claim: Claim) -> list[Decision]:
        """Take note of a push, and return what can now be done, in its order.

        Raises
        ------
        Mismatch, ProtocolError
            When it cannot be combined with what others sent. Nothing has changed then.
        """

    @abstractmethod
    def awaited(self) -> frozenset[int]:
        """The ranks without which the frontier stays where it is; empty when nobody waits for it."""

    @abstractmethod
    def _advance(self) -> list[Decision]:
        """What can be done now that someone has come or gone."""

    def may_answer(self, step: int, frontier: int) -> bool:
        """Whether a worker that has pushed for `step` may read weights that everyone has brought to `frontier`."""
        return frontier >= step - self.staleness

    def join(self, rank: int) -> int:
        """Let a worker take part from now on; the step that it counts as having done."""
        self.clocks[rank], self.made[rank] = self.frontier, 0
        return self.frontier

    def leave(self, rank: int) -> list[Decision]:
        """Go on without a worker. What it has pushed and is in no decision yet goes with it."""
        for table in (self._paused, self.clocks, self.made):
            table.pop(rank, None)
        for claims in self._waiting.values():
            claims.pop(rank, None)
        return self._advance()

    def pause(self, rank: int) -> list[Decision]:
        """Do not wait for a worker, which itself waits for the others at a barrier, until it resumes."""
        if rank in self.clocks:
            self._paused[rank] = self.clocks.pop(rank)
        return self._advance()

    def refuse(self, ranks: Iterable[int]) -> None:
        """Undo that workers count as having pushed for their last steps: an update of them came to nothing."""
        for rank in self.clocks.keys() & set(ranks):
            self.clocks[rank] -= 1
            self.made[rank] = max(0, self.made.get(rank, 0) - 1)

    def is_waiting(self, rank: int) -> bool:
        """Whether something that a worker has pushed is in no decision yet."""
        return any(rank in claims for claims in self._waiting.values())

    def resume(self, rank: int) -> None:
        """Wait for a worker again."""
        if rank in self._paused:
            self.clocks[rank] = max(self._paused.pop(rank), self.frontier)

    def restore(self, clocks: dict[int, int], made: dict[int, int], frontier: int, updates: int) -> None:
        """Stand where a snapshot was made; pushes that were under way will come again."""
        self.clocks, self.made, self.frontier, self.updates = dict(clocks), dict(made), frontier, updates

    def _check(self, claim: Claim) -> None:
        if claim.source.rank not in self.clocks:
            raise ProtocolError(f"worker {claim.source.rank} pushes and does not take part")
        if claim.step <= self.clocks[claim.source.rank] and self.frontier < claim.step:
            raise ProtocolError(f"worker {claim.source.rank} pushes step {claim.step} a second time")


class Synchronous(Strategy):
    """Every step is one update, from the sum of everyone's gradients (bulk synchronous, BSP).

    The sum runs in the order of ranks, ``(g0 + g1) + g2 ...``, whatever the order of arrival. Floating point
    addition does not associate, so this is what makes a run repeatable, and bit-equal to one process that
    accumulates the same gradients in the same order.

    Parameters
    ----------
    world_size : int
    backups : int
        How many workers a step need not wait for: the first ``world_size - backups`` gradients make it, and
        those that come later are dropped (Chen et al., Revisiting Distributed Synchronous SGD, 2016).

    Examples
    --------
    >>> rule = Synchronous(world_size=2)
    >>> rule.offer(Claim(Source(1, 0, 1), step=1))
    []
    >>> rule.awaited()
    frozenset({0})
    >>> [decision] = rule.offer(Claim(Source(0, 0, 1), step=1))
    >>> [source.rank for source in decision.sources], decision.frontier
    ([0, 1], 1)
    """

    def __init__(self, world_size: int, backups: int = 0, *, uneven: bool = False) -> None:
        super().__init__(world_size, uneven=uneven or backups > 0)
        if not 0 <= backups < world_size:
            raise DistributedError(
                f"{backups} backup workers leave none of {world_size} to wait for: {world_size - 1} is the most"
            )
        self.backups = backups

    def offer(self, claim: Claim) -> list[Decision]:
        self._check(claim)
        rank = claim.source.rank
        if not self.uneven:
            for other in islice(self._waiting.get(claim.step, {}).values(), 1):  # all of which agree
                _check_same_groups(other, claim)
        self.clocks[rank] = max(claim.step, self.clocks[rank])
        self.made[rank] = self.made.get(rank, 0) + 1
        if claim.step <= self.frontier:
            return [Decision(self.frontier, dropped=(claim.source,))]
        self._waiting.setdefault(claim.step, {})[rank] = claim
        return self._advance()

    def _advance(self) -> list[Decision]:
        decisions = []
        while self.clocks and self._is_complete(arrived := self._waiting.get(self.frontier + 1, {})):
            del self._waiting[self.frontier + 1]
            skip = not all(claim.finite for claim in arrived.values())
            decisions.append(self._decision([arrived[rank].source for rank in sorted(arrived)], skip=skip))
        return decisions

    def _decision(self, sources: Sequence[Source], *, skip: bool) -> Decision:
        """The next step is made, of these pushes."""
        decision = self.foresee(sources, skip=skip)
        self.frontier += 1
        self.updates += not skip
        return decision

    def foresee(self, sources: Sequence[Source], *, skip: bool = False) -> Decision:
        """What the next step will be, of pushes that have come or of the next one of every worker."""
        ranks = [source.rank for source in sources]
        leading = max(range(len(ranks)), key=partial(self._experience, ranks))
        return Decision(self.frontier + 1, tuple(sources), leading, self.world_size / len(ranks), skip=skip)

    def all_offered(self, sources: Sequence[Source]) -> None:
        """Take note of the pushes of all workers for the next step, which are as they were foreseen.

        All are finite, and their hyperparameters fit together.
        """
        self.frontier += 1
        self.updates += 1
        for source in sources:
            self.clocks[source.rank] = self.frontier
            self.made[source.rank] = self.made.get(source.rank, 0) + 1

    def _experience(self, ranks: list[int], index: int) -> tuple[int, int]:
        return self.made.get(ranks[index], 0), -index

    def _is_complete(self, arrived: dict[int, Claim]) -> bool:
        if not arrived:
            return False
        if self.backups == 0:
            return self.clocks.keys() <= arrived.keys()
        return len(arrived) >= min(self.world_size - self.backups, len(self.clocks))

    def awaited(self) -> frozenset[int]:
        arrived = self._waiting.get(self.frontier + 1, {})
        return frozenset(self.clocks.keys() - arrived.keys()) if arrived else frozenset()


class BoundedStaleness(Strategy):
    """Each push is an update of its own; a worker waits when it is more than `staleness` steps ahead (SSP).

    Parameters
    ----------
    world_size : int
    staleness : float
        How many steps the fastest worker may be ahead of the slowest. ``math.inf``: nobody waits.
    deterministic : bool
        Make updates in the order of steps and ranks, and let a worker that has done step c read the weights
        of step ``c - staleness``, no older and no newer ones. Then a run gives the same numbers every time.
    scale_rate : bool
        Divide the learning rate by the number of updates that others made since the weights with which a
        gradient was computed were read, if there are several (Zhang et al., Staleness-aware Async-SGD, 2015).

    Examples
    --------
    >>> rule = BoundedStaleness(world_size=2, staleness=1)
    >>> rule.offer(Claim(Source(0, 0, 1), step=1))[0].frontier
    0
    >>> rule.may_answer(1, rule.frontier), rule.may_answer(2, rule.frontier)
    (True, False)
    """

    def __init__(
        self, world_size: int, staleness: float = inf, *, deterministic: bool = False, scale_rate: bool = False
    ) -> None:
        super().__init__(world_size)
        if not staleness > 0:
            raise DistributedError(f"a staleness of {staleness} is no bound: it must be more than 0, or inf")
        if deterministic and staleness == inf:
            raise DistributedError(
                "a deterministic run needs a bound on staleness, since with none speed decides: give a number of steps"
            )
        self.staleness = staleness
        self.deterministic = deterministic
        self.scale_rate = scale_rate
        self.older = int(staleness) if deterministic else 0

    def offer(self, claim: Claim) -> list[Decision]:
        self._check(claim)
        rank = claim.source.rank
        self.clocks[rank] = max(claim.step, self.clocks[rank])
        if self.deterministic and claim.step <= self.frontier:
            return [Decision(self.frontier, dropped=(claim.source,))]  # its step was done without it
        if self.deterministic:
            self._waiting.setdefault(claim.step, {})[rank] = claim
            return self._advance()
        self.frontier = max(self.frontier, min(self.clocks.values()))
        return [self._decide(claim, len(self.clocks) + len(self._paused))]

    def _advance(self) -> list[Decision]:
        if not self.deterministic:
            before, self.frontier = self.frontier, max(self.frontier, min(self.clocks.values(), default=0))
            return [Decision(self.frontier)] if self.frontier > before else []
        decisions = []
        while (arrived := self._waiting.get(self.frontier + 1, {})) and self.clocks.keys() <= arrived.keys():
            del self._waiting[self.frontier + 1]
            ranks = sorted(arrived)
            for rank in ranks:
                self.frontier += rank == ranks[-1]
                # Over those who have pushed for the step, and not over those who are here at the moment.
                decisions.append(self._decide(arrived[rank], len(ranks)))
        return decisions

    def _decide(self, claim: Claim, taking_part: int) -> Decision:
        behind = self.updates - claim.version
        rate = 1 / behind if self.scale_rate and behind > 1 else 1.0
        self.updates += claim.finite
        scale = self.world_size / taking_part
        return Decision(self.frontier, (claim.source,), scale=scale, rate=rate, skip=not claim.finite)

    def awaited(self) -> frozenset[int]:
        slowest = min(self.clocks.values(), default=0)
        return frozenset(rank for rank, clock in self.clocks.items() if clock == slowest)


def strategy_for(
    world_size: int,
    staleness: float = 0,
    *,
    backups: int = 0,
    deterministic: bool = False,
    scale_rate: bool = False,
    uneven: bool = False,
) -> Strategy:
    """The strategy with these properties; see the two classes.

    Raises
    ------
    DistributedError
        When they contradict each other.
    """
    if staleness == 0:
        if scale_rate:
            raise DistributedError("nothing is stale where all go in step: scaling by staleness needs a staleness")
        return Synchronous(world_size, backups, uneven=uneven)  # which is deterministic
    if backups:
        raise DistributedError("backup workers are for steps that all do together, so for a staleness of 0")
    return BoundedStaleness(world_size, staleness, deterministic=deterministic, scale_rate=scale_rate)


def _check_same_groups(ours: Claim, theirs: Claim) -> None:
    if ours.groups == theirs.groups:
        return
    mine, other = sorted((ours, theirs), key=lambda each: each.source.rank)
    number, name = _first_difference(mine.groups, other.groups)
    values = [each.groups[number].get(name) if number < len(each.groups) else "no such group" for each in (mine, other)]
    raise Mismatch(
        f"workers {mine.source.rank} and {other.source.rank} disagree about {name!r} of parameter group "
        f"{number} at step {theirs.step}: {values[0]} and {values[1]}. A step has one update, so set "
        "hyperparameters in the same way on every worker"
    )


def _first_difference(left: Groups, right: Groups) -> tuple[int, str]:
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                return number, name
    return min(len(left), len(right)), "params"
