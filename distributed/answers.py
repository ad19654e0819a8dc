"""What a server answers a worker whose time has come: its weights, by the shortest way there is."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from msgspec import structs

from . import messages
from .failpoints import failpoint
from .messages import Array, Slot, Weights
from .protocol import Frame, encode
from .roster import Member, Request
from .shared import WORTH_SHARING, Segment
from .state import State
from .transport import Flight, Loan

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Answers"]

_FEW = 0.5  # the share of rows up to which rows travel by number


class Answers:
    """Answers requests.

    A worker of the same machine reads large weights where they lie; others are sent them, the first tensors
    first. Of a matrix of which little has changed since the weights that the worker has, only that is sent, and
    of a slice that has not changed at all, nothing.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._said: _Said | None = None
        """What the last worker was told that got all in one short message."""
        self._foreseen: _Said | None = None
        """What follows on it, if the next step is like the last one."""

    def send(self, member: Member, request: Request) -> None:
        """Answer a request that nothing stands against any more."""
        server, state = self._server, self._server.state
        if isinstance(request, messages.Barrier):
            server.office.resumed(member)
            server.outbox.send(member.way, messages.Released(request.seq, member.step))
            return
        assert state is not None
        if isinstance(request, messages.Fetch):
            entries, arrays = state.entries()
            kept = [array.copy() for array in arrays]  # an update may come before they have left
            server.outbox.send(member.way, messages.Kept(request.seq, tuple(entries)), kept)
            return
        if isinstance(request, messages.Init):
            state.check_table(request.optimizer, request.table, member.rank)
            server.outbox.send(member.way, messages.Ready(request.seq, member.step, state.position.slices))
        # With backup workers the others may be ahead of a worker that came too late for its step.
        step = max(member.step, server.frontier if server.office.in_step else 0)
        if isinstance(request, messages.Load) or (isinstance(request, messages.Push) and not request.reply):
            server.outbox.send(member.way, messages.Done(request.seq, step))
            return
        member.flights = self._send_weights(member, request, state, step)

    def _send_weights(self, member: Member, request: Request, state: State, step: int) -> list[Flight]:
        server = self._server
        assert isinstance(request, messages.Init | messages.Push | messages.Pull)
        readable = server.office.readable(step, server.frontier)
        known = request.version if isinstance(request, messages.Push) and readable is None else 0
        answer = Weights((), request.seq, step, state.position.version)
        lends = request.shared and server.is_neighbour(member)
        if readable is None and (said := self._short(state, answer, known, lends=lends)) is not None:
            return self._say(member, said)
        news = _news(state, state.slots(), state.weights(readable), known)
        return server.outbox.send_weights(member.way, answer, *news)

    def _say(self, member: Member, said: _Said) -> list[Flight]:
        flight = self._server.outbox.send_frames(member.way, said.frames, Weights)
        return [flight] if said.segment is None else [flight, Loan(said.segment)]

    def _short(self, state: State, answer: Weights, known: int, *, lends: bool) -> _Said | None:
        """All weights in one short message, if they are few or the worker reads them where they lie.

        It is the same, as a rule, for all workers.
        """
        key = answer.seq, answer.step, answer.version, known, lends
        if self._said is not None and self._said.state is state and self._said.key == key:
            return self._said
        weights, segment = state.weights(), None
        if state.nbytes >= WORTH_SHARING:
            if not lends or not state.is_shared(weights):
                return None
            segment = state.segment
        slots, arrays = _news(state, state.slots(in_segment=segment is not None), weights, known)
        answer = structs.replace(answer, tensors=tuple(slots))
        if segment is not None:
            awaited = not self._server.office.is_in_lockstep
            answer = structs.replace(answer, segment=segment.handle, awaited=awaited)
        self._said = _Said(state, key, encode(answer, arrays), segment, answer, weights)
        return self._said

    # ---- steps like the one before: see the Note of that name in `routine` ---------------------------------------

    def foresee(self) -> None:
        """Write what follows on the last answer, while nobody waits for it."""
        said, self._foreseen = self._said, None
        if said is None or said.state is not self._server.state or not said.is_of_a_step():
            return
        seq, step, version, known, lends = said.key
        answer = structs.replace(said.answer, seq=seq + 1, step=step + 1, version=version + 1)
        arrays = [said.weights[slot.index] for slot in answer.tensors if slot.offset < 0]
        key = seq + 1, step + 1, version + 1, known + 1, lends
        self._foreseen = said._replace(key=key, answer=answer, frames=encode(answer, arrays))

    def send_foreseen(self, members: Sequence[Member]) -> None:
        """Answer everyone's push for a step that was like the one before."""
        server, said = self._server, self._foreseen
        assert server.state is not None
        version = server.state.position.version
        # Where an update makes new arrays, what was written holds the old ones.
        is_right = said is not None and all(map(is_, said.weights, server.state.weights()))
        for member in members:
            push = member.waiting
            assert isinstance(push, messages.Push)
            lends = push.shared and server.is_neighbour(member)
            if not is_right or said is None or said.key != (push.seq, push.step, version, push.version, lends):
                server.answer(member)
                continue
            member.waiting, member.answered = None, push.seq
            member.flights = self._say(member, said)
            failpoint("server.after_ack", server.options.shard)
        self._said = said if is_right else self._said


class _Said(NamedTuple):
    """A message with weights, and whose and which they were."""

    state: State
    key: tuple[int, int, int, int, bool]
    """Its request, the step, the version, the version that the worker had, and whether it may read memory of ours."""
    frames: list[Frame]
    segment: Segment | None
    answer: Weights
    weights: Sequence[Array]

    def is_of_a_step(self) -> bool:
        """Whether it says all that one update has changed, in whole slices."""
        _, _, version, known, _ = self.key
        return known + 1 == version and all(slot.rows < 0 for slot in self.answer.tensors)


_News: TypeAlias = tuple[list[Slot], list[Array]]


def _news(state: State, slots: Sequence[Slot], weights: Sequence[Array], known: int) -> _News:
    """What has changed since the version that a worker has: slots, and the arrays that go with them."""
    some: list[Slot] = []
    arrays: list[Array] = []
    for slot, array in zip(slots, weights, strict=True):
        rows = state.touched.since(known, slot.index) if known else None
        if rows is None or len(rows) > _FEW * len(array):
            some.append(slot)
            arrays += [array] if slot.offset < 0 else []
        elif len(rows):
            some.append(structs.replace(slot, rows=len(rows), offset=-1))
            arrays += [rows, array[rows]]
    return some, arrays
