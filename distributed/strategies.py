"""When gradients become an update, and when a worker may go on: the consistency of a run.

A strategy does no arithmetic on weights and knows no sockets. It is handed contributions as they arrive
and says which updates follow from them. That is all that differs between synchronous, asynchronous and
bounded-staleness training, and so all that a new kind of consistency has to say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import Mismatch
from .protocol import Array, Groups

__all__ = ["Contribution", "Source", "Strategy", "Synchronous", "Update", "sum_in_order"]


@dataclass(frozen=True, slots=True)
class Source:
    """Which push something came from; never the same twice, over all workers and all their lives."""

    rank: int
    incarnation: int
    seq: int


@dataclass(frozen=True, slots=True)
class Contribution:
    """One worker's gradients for one step. A tensor that got none is absent from `gradients`."""

    source: Source
    step: int
    groups: Groups
    gradients: Mapping[int, Array]


@dataclass(frozen=True, slots=True)
class Update:
    """What the optimizer is to do next, and whose pushes are done with it."""

    groups: Groups
    gradients: Mapping[int, Array]
    sources: tuple[Source, ...]


class Strategy(ABC):
    """The consistency of a run."""

    @abstractmethod
    def offer(self, contribution: Contribution) -> list[Update]:
        """Take a contribution, and return the updates that can now be made, in their order.

        Raises
        ------
        Mismatch
            When it cannot be combined with what others sent. Nothing has changed then.
        """

    @abstractmethod
    def may_answer(self, step: int, clock: int) -> bool:
        """Whether a worker that has pushed for `step` may have the weights after `clock` updates."""

    @abstractmethod
    def awaited(self) -> frozenset[int]:
        """The ranks without which no further update comes; empty when none waits."""


@dataclass(slots=True)
class Synchronous(Strategy):
    """Every step is one update, from the sum of everyone's gradients (bulk synchronous, BSP).

    The sum runs in the order of ranks, ``(g0 + g1) + g2 ...``, whatever the order of arrival. Floating
    point addition does not associate, so this is what makes a run repeatable, and bit-equal to one process
    that accumulates the same gradients in the same order.

    Examples
    --------
    >>> rule = Synchronous(world_size=2)
    >>> ones = np.ones(2, np.float32)
    >>> rule.offer(Contribution(Source(1, 0, 1), 1, (), {0: ones}))
    []
    >>> rule.awaited()
    frozenset({0})
    >>> [update] = rule.offer(Contribution(Source(0, 0, 1), 1, (), {0: ones}))
    >>> update.gradients[0]
    array([2., 2.], dtype=float32)
    """

    world_size: int
    _waiting: dict[int, Contribution] = field(default_factory=dict)

    def offer(self, contribution: Contribution) -> list[Update]:
        for other in self._waiting.values():
            _check_same_groups(other, contribution)
        self._waiting[contribution.source.rank] = contribution
        if len(self._waiting) < self.world_size:
            return []
        in_order = [self._waiting[rank] for rank in range(self.world_size)]
        self._waiting = {}
        return [
            Update(
                groups=in_order[0].groups,
                gradients=sum_in_order(each.gradients for each in in_order),
                sources=tuple(each.source for each in in_order),
            )
        ]

    def may_answer(self, step: int, clock: int) -> bool:
        return clock >= step

    def awaited(self) -> frozenset[int]:
        if not self._waiting:
            return frozenset()
        return frozenset(range(self.world_size)).difference(self._waiting)


def sum_in_order(gradients: Iterable[Mapping[int, Array]]) -> dict[int, Array]:
    """Add sets of gradients from left to right, as repeated ``backward()`` adds into ``.grad``.

    A tensor that is absent from some of the sets is the sum of the others; absent from all, it stays
    absent, and the optimizer skips it.

    >>> a, b = np.float32([1]), np.float32([2])
    >>> sum_in_order([{0: a}, {}, {0: b, 1: b}])
    {0: array([3.], dtype=float32), 1: array([2.], dtype=float32)}
    """
    total: dict[int, Array] = {}
    owned: set[int] = set()  # indices whose array is a fresh sum and not, as the first addend, a worker's
    for addend in gradients:
        for index, gradient in addend.items():
            if index not in total:
                total[index] = gradient
            elif index in owned:
                np.add(total[index], gradient, out=total[index])
            else:
                # A 0-d sum must stay an array: NumPy would make it a scalar.
                total[index] = np.asarray(np.add(total[index], gradient))
                owned.add(index)
    return total


def _check_same_groups(ours: Contribution, theirs: Contribution) -> None:
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
