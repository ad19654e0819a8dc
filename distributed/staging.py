"""Pushes on their way into the weights: parts that arrive, and whole ones that wait for their turn.

A push that never becomes whole, since its worker died, leaves no trace in the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from .errors import ProtocolError
from .gradients import Gradient, Gradients, fullest, fullness
from .messages import Groups, Push, Source

__all__ = ["Contribution", "Staging"]


_MOST_PARTS = 1 << 17  # of a push: also parts with nothing in them take memory


class Contribution(Struct):
    """One worker's gradients for one step, as far as this server owns the weights."""

    source: Source
    step: int
    version: int = 0
    groups: Groups = ()
    gradients: dict[int, Gradient] = {}
    known_fullness: float | None = None
    """See `fullness`; as far as somebody has looked."""

    @property
    def nbytes(self) -> int:
        return _nbytes(self.gradients)

    @property
    def fullness(self) -> float:
        """The largest of its gradients'."""
        if self.known_fullness is None:
            self.known_fullness = fullest(self.gradients.values())
        return self.known_fullness

    def is_finite(self) -> bool:
        return self.fullness <= 1


class _Assembly(Struct):
    """A push of which some parts have come. A slice counts as the latest part that holds it says."""

    gradients: dict[int, tuple[int, Gradient]] = {}
    fullness: dict[int, float] = {}
    seen: set[int] = set()
    last: Push | None = None

    def add(self, push: Push, gradients: dict[int, Gradient], *, looks: bool) -> None:
        self.seen.add(push.part)
        if len(self.seen) > _MOST_PARTS:
            raise ProtocolError(f"push {push.seq} has more than {_MOST_PARTS} parts")
        for index, gradient in gradients.items():
            if index not in self.gradients or self.gradients[index][0] <= push.part:
                self.gradients[index] = push.part, gradient
                if looks:
                    self.fullness[index] = fullness(gradient)
        if push.parts:
            self.last = push

    @property
    def is_whole(self) -> bool:
        return self.last is not None and len(self.seen) == self.last.parts

    def contribution(self, source: Source) -> Contribution:
        assert self.last is not None
        whole = _whole(source, self.last, {index: gradient for index, (_, gradient) in self.gradients.items()})
        if self.fullness and whole.gradients:
            whole.known_fullness = max(map(self.fullness.__getitem__, whole.gradients))
        return whole


def _whole(source: Source, last: Push, gradients: Mapping[int, Gradient]) -> Contribution:
    """A push of which this is the last part, and these the slices that have come."""
    if missing := [index for index in last.present if index not in gradients]:
        raise ProtocolError(f"push {source.seq} of worker {source.rank} lacks slices {missing[:5]} that it announces")
    present = {index: gradients[index] for index in last.present}
    return Contribution(source, last.step, last.version, last.groups, present)


class Staging:
    """All pushes that are not in the weights yet.

    Parameters
    ----------
    looks : bool
        Whether to see, part by part and while others are on their way, how large the numbers are.

    Examples
    --------
    >>> import numpy as np
    >>> staging, one = Staging(), np.float32([1])
    >>> staging.add(Source(0, 7, 2), Push((), seq=2, step=1, part=0, parts=0), {0: one})
    >>> whole = staging.add(Source(0, 7, 2), Push((), seq=2, step=1, part=1, parts=2, present=(0, 1)), {1: one})
    >>> sorted(whole.gradients), staging.nbytes
    ([0, 1], 8)
    """

    def __init__(self, *, looks: bool = False) -> None:
        self._looks = looks
        self._assemblies: dict[Source, _Assembly] = {}
        self._whole: dict[Source, Contribution] = {}

    def add(self, source: Source, push: Push, gradients: dict[int, Gradient]) -> Contribution | None:
        """Take a part; the whole push, if this was what it lacked.

        A worker makes one push after the other, so one that it began before this one it has given up.
        """
        if self._assemblies:
            if any(_is_former(source, each) for each in self._assemblies):
                return None  # of a push that was given up, and has come late
            for former in [each for each in self._assemblies if _is_former(each, source)]:
                del self._assemblies[former]
        assembly = self._assemblies.pop(source, None)
        if push.parts == 1:
            contribution = _whole(source, push, gradients)
            if self._looks:
                contribution.is_finite()
        else:
            assembly = assembly or _Assembly()
            assembly.add(push, gradients, looks=self._looks)
            if not assembly.is_whole:
                self._assemblies[source] = assembly
                return None
            contribution = assembly.contribution(source)
        self._whole[source] = contribution
        return contribution

    def put(self, contribution: Contribution) -> None:
        """Take a whole push."""
        self._whole[contribution.source] = contribution

    @property
    def is_empty(self) -> bool:
        return not self._assemblies and not self._whole

    def has(self, sources: Iterable[Source]) -> bool:
        for source in sources:  # noqa: SIM110 (`all` takes three times as long)
            if source not in self._whole:
                return False
        return True

    def get(self, source: Source) -> Contribution:
        return self._whole[source]

    def discard(self, sources: Iterable[Source]) -> None:
        for source in sources:
            self._whole.pop(source, None)

    def forget(self, rank: int, incarnation: int | None = None, *, but: int = -1) -> None:
        """Forget what has arrived of a worker: of one life of it, or of all but the life `but`."""
        for table in (self._assemblies, self._whole):
            for source in [each for each in table if each.rank == rank and each.incarnation != but]:
                if incarnation in (None, source.incarnation):
                    del table[source]

    def whole(self) -> Iterator[Contribution]:
        """All that are whole, in the order in which they became so."""
        return iter(list(self._whole.values()))

    def bytes_of(self, rank: int) -> int:
        """What is staged of one worker."""
        parts = sum(
            gradient.nbytes
            for source, assembly in self._assemblies.items()
            if source.rank == rank
            for _, gradient in assembly.gradients.values()
        )
        return parts + self._whole_of(rank)

    def bytes_with(self, source: Source, gradients: Gradients) -> int:
        """What will be staged of a worker when a part of a push is added, which may replace earlier parts."""
        size = _nbytes(gradients)
        if (assembly := self._assemblies.get(source)) is not None:
            earlier = assembly.gradients.items()
            size += sum(gradient.nbytes for index, (_, gradient) in earlier if index not in gradients)
        return size + self._whole_of(source.rank)

    def _whole_of(self, rank: int) -> int:
        return sum([each.nbytes for each in self._whole.values() if each.source.rank == rank])

    @property
    def nbytes(self) -> int:
        ranks = {source.rank for source in (*self._assemblies, *self._whole)}
        return sum(map(self.bytes_of, ranks))


def _is_former(source: Source, other: Source) -> bool:
    return source.rank == other.rank and source.incarnation == other.incarnation and source.seq < other.seq


def _nbytes(gradients: Gradients) -> int:
    return sum([gradient.nbytes for gradient in gradients.values()])
