"""Steps like the one before, each made at once when all that it takes has come.

Note [A step like the one before]
    As a rule nothing happens in a run but steps, and one differs from another in three numbers: all workers push
    gradients of the same slices with the same hyperparameters as the last time. So a server knows beforehand, byte by
    byte, how the next message of each worker begins. One that does begin so has passed all checks that its predecessor
    has passed, and is *held* until those of all workers are there. Then the step is made in one go.

    A message that is held has not been handled, as far as anyone can tell. Whatever else there is to do (any other
    message, the look at the clock) comes after it: what is held is handled first, one after the other, as if it had
    just come. So the server does the same as without, and there is one set of rules, in `Server`, `Lead` and `State`.

    Only what is the same each time can be left out. Where something else is asked for (several servers, other
    consistencies, a journal, clipping, compression) every push is handled by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from msgspec import Struct, structs

from .errors import Mismatch, ProtocolError
from .gradients import Gradient, fullest
from .lead import Lead
from .messages import Order, Push, Source
from .protocol import Foreseen, Frame, decode
from .roster import Member
from .staging import Contribution

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Routine"]


class _Expected(Struct, eq=False):
    """What a worker sends next, if its step is like the one before."""

    member: Member
    foreseen: Foreseen[Push]
    source: Source
    lent: dict[int, Gradient]
    """Of gradients in the worker's shared memory, where they lie each time."""
    sent: list[int]
    """Of the others, in the order of their frames, the slices."""
    frames: Sequence[Frame] = ()
    """What has come, and is held."""
    contribution: Contribution | None = None

    def takes(self, frames: Sequence[Frame], most: float) -> bool:
        """Hold a message that is the one expected, unless it needs a closer look, as an element above `most` does."""
        if self.frames or (arrays := self.foreseen.read(frames)) is None or not self.member.has_read():
            return False
        gradients = self.lent | dict(zip(self.sent, arrays, strict=True))
        full = fullest(gradients.values()) if most else None
        if full is not None and full > most:
            return False
        push = self.foreseen.message
        self.contribution = Contribution(self.source, push.step, push.version, push.groups, gradients, full)
        self.frames = frames
        return True

    def go_on(self, version: int) -> None:
        """Expect the next step's, which is computed with weights of that version."""
        push = self.foreseen.message
        self.foreseen.go_on(seq=push.seq + 1, step=push.step + 1, version=version)
        self.source = structs.replace(self.source, seq=push.seq + 1)
        self.frames, self.contribution = (), None


class Routine:
    """Makes steps that are like the one before; see Note [A step like the one before].

    Parameters
    ----------
    server : Server
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        options = server.options
        self._most = 1 / options.world_size if server.office.looks else 0.0
        """How full an element may be without anyone having to look at the sum; 0: nobody looks."""
        self._is_possible = options.shards == 1 and not (
            options.staleness or options.backups or options.durable or options.clip
        )
        self._lead = cast(Lead, server.office)  # as it is wherever this is possible
        self._last: dict[int, tuple[Member, Push]] = {}
        """The last push of each worker that was handled by itself, and that was whole."""
        self._expected: dict[bytes, _Expected] = {}
        """By the way that it comes, in the order of ranks, in which gradients are added up. Empty unless all that there
        is to do is the next step."""
        self._missing = 0
        self._order: Order | None = None
        """What they will make."""

    def takes(self, way: bytes, frames: Sequence[Frame]) -> bool:
        """Whether a message is cared for: held for its step, or the last one that its step has waited for."""
        expected = self._expected.get(way)
        if expected is None or not (
            expected.takes(frames, self._most)
            or (self._has_other_groups(frames, expected) and expected.takes(frames, self._most))
        ):
            return False
        self._missing -= 1
        if not self._missing:
            self._make_step()
        return True

    def _has_other_groups(self, frames: Sequence[Frame], expected: _Expected) -> bool:
        """Whether a message, the first of its step, is as expected but for hyperparameters: then all expect these."""
        state, push = self._server.state, expected.foreseen.message
        if state is None or self._missing < len(self._expected):
            return False
        try:
            message, _ = decode(frames)
            if not isinstance(message, Push) or message != structs.replace(push, groups=message.groups):
                return False
            state.check_groups(message.groups, expected.member.rank)
        except (Mismatch, ProtocolError):  # which is said when the message is handled by itself
            return False
        for each in self._expected.values():
            each.foreseen.go_on(groups=message.groups)
        return True

    def give_up(self) -> list[tuple[bytes, Sequence[Frame]]]:
        """What is held, in the order of ranks; no more is from now on."""
        held = [(way, each.frames) for way, each in self._expected.items() if each.frames]
        self._expected, self._missing = {}, 0
        return held

    def _make_step(self) -> None:
        server, order, everyone = self._server, self._order, self._expected
        state, now = server.state, server.now()
        assert state is not None
        assert order is not None
        contributions = []
        for way, each in everyone.items():
            assert each.contribution is not None
            each.member.take_in(each.foreseen.message, way, now)
            contributions.append(each.contribution)
        if not server.make(state, order, contributions):
            self._expected = {}
            return
        # Everyone waits for the weights, and nobody for what is written down about the step.
        server.answers.send_foreseen([each.member for each in everyone.values()])
        self._lead.has_given(order)
        server.write_down(state, order, contributions)
        if server.failure is not None:
            self._expected = {}
            return
        for each in everyone.values():
            each.go_on(state.position.version)
        self._get_ready()

    def _get_ready(self) -> None:
        """Know what is to be done and said when all that is expected has come."""
        self._missing = len(self._expected)
        self._order = self._lead.foresee([each.source for each in self._expected.values()])
        self._server.answers.foresee()

    def learn(self, member: Member, push: Push) -> None:
        """Note a push that was handled by itself; expect the next step if it has completed one."""
        if not self._is_possible or not _is_plain(push):
            return
        self._last[member.rank] = member, push
        if push.step == self._server.frontier and self._is_time():
            assert self._server.state is not None
            version = self._server.state.position.version
            everyone = [self._last[rank] for rank in sorted(self._lead.strategy.clocks)]
            self._expected = {each.way: _expected(each, last, version) for each, last in everyone}
            self._get_ready()

    def _is_time(self) -> bool:
        """Whether everybody who takes part has had the answer to a push for this step, and the next is all there is."""
        server, lead = self._server, self._lead
        if server.failure is not None or server.orders or not server.staging.is_empty or not lead.is_idle:
            return False
        ranks = lead.strategy.clocks
        return ranks.keys() <= self._last.keys() and all(
            member is server.roster.get(rank)
            and member.takes_part
            and member.waiting is None
            and push.step == server.frontier
            and push.seq == member.answered == member.received
            for rank, (member, push) in self._last.items()
            if rank in ranks
        )


def _is_plain(push: Push) -> bool:
    """Whether a push is one whole message of dense gradients, which is answered by weights."""
    return (
        push.parts == 1
        and push.reply
        and push.present == tuple(slot.index for slot in push.tensors)
        and all(slot.codec == "none" and slot.rows < 0 for slot in push.tensors)
    )


def _expected(member: Member, last: Push, version: int) -> _Expected:
    lent: dict[int, Gradient] = {}
    sent = []
    for slot in last.tensors:
        if slot.offset < 0:
            sent.append(slot.index)
        else:
            assert member.segment is not None
            lent[slot.index] = member.segment.array(slot.frames()[0], slot.offset)
    expected = _Expected(member, Foreseen(last), Source(member.rank, member.incarnation, last.seq), lent, sent)
    expected.go_on(version)
    return expected
