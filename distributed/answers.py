"""What a server answers a worker whose time has come: its weights, by the shortest way there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import structs

from . import messages
from .messages import Array, Slot, Weights
from .roster import Member, Request
from .shared import WORTH_SHARING
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
        self._said: tuple[State, int, int, _News] | None = None
        """Of weights that are few: whose and which version they are, who had which, and what that was told."""

    def send(self, member: Member, request: Request) -> None:
        """Answer a request that nothing stands against any more."""
        server = self._server
        if isinstance(request, messages.Barrier):
            server.office.resumed(member)
            server.outbox.send(member.way, messages.Released(request.seq, member.step))
            return
        state = server.state
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
        if readable is None and state.nbytes < WORTH_SHARING:
            return server.outbox.send_weights(member.way, answer, *self._few(state, known))
        weights = state.weights(readable)
        if request.shared and server.is_neighbour(member) and state.is_shared(weights):
            assert state.segment is not None
            answer = structs.replace(answer, segment=state.segment.handle)
            slots, arrays = _news(state, state.slots(in_segment=True), weights, known)
            sent = server.outbox.send(member.way, structs.replace(answer, tensors=tuple(slots)), arrays)
            return [sent, Loan(state.segment)]
        return server.outbox.send_weights(member.way, answer, *_news(state, state.slots(), weights, known))

    def _few(self, state: State, known: int) -> _News:
        """What there is to say of few weights: the same, as a rule, to all workers."""
        said, version = self._said, state.position.version
        if said is None or said[0] is not state or said[1:3] != (version, known):
            self._said = said = state, version, known, _news(state, state.slots(), state.weights(), known)
        return said[3]


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
