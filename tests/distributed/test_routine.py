"""Steps like the one before: made in one go, to the same effect, and never at the expense of anything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
from frames import frames_entered
from hypothesis import given, settings, strategies as st
from msgspec import structs
from ps_harness import SGD, SLICES, SLOTS, TABLE, all_of, clients, push, serving, sliced, start

from retrograd.distributed import protocol
from retrograd.distributed.draft import Draft
from retrograd.distributed.messages import Barrier, Heartbeat, Hello, Init, Message, Pull, Report, TensorSpec
from retrograd.distributed.protocol import Foreseen, Frame
from retrograd.distributed.server import Server, ServerOptions
from retrograd.distributed.transport import Flight


class Wire:
    """A server's channel that keeps what is sent, and the time that the test says it is."""

    address = "tcp://127.0.0.1:1"
    user = None

    def __init__(self) -> None:
        self.said: list[tuple[bytes, list[bytes]]] = []
        self.now = 100.0

    def send_frames(self, frames: Sequence[Frame], to: bytes) -> Flight:
        self.said.append((to, list(map(bytes, frames))))
        return Flight()

    def send(self, message: Message, arrays: Sequence[Any] = (), *, to: bytes) -> Flight:
        return self.send_frames(protocol.encode(message, arrays), to)

    def offer_lane(self, peer: bytes) -> None:
        """There is none."""

    def join(self, poller: Any) -> None:
        """Nobody waits."""

    def cut_flood(self, limit: int, now: float) -> None:
        """Nobody sends too much."""

    def close(self) -> None:
        """Nothing to close."""


class Worker:
    """What a worker knows, from what it has been told."""

    def __init__(self) -> None:
        self.seq, self.step, self.version, self.waits = 1, 0, 0, True

    def hear(self, message: Message) -> None:
        if getattr(message, "seq", 0) != self.seq or isinstance(message, protocol.Ready):
            return
        self.waits = False
        if isinstance(message, protocol.Weights):
            self.version = message.version
        self.step = getattr(message, "step", self.step)


class Run:
    """A server without a network, and what its workers say to it."""

    def __init__(self, world_size: int = 2, *, alone: bool = False, **options: Any) -> None:
        self.wire = Wire()
        self.server = Server(ServerOptions(world_size, **options), self.wire, lambda: self.wire.now)  # type: ignore[arg-type]
        self.server.boot = 1
        self.singly = 0
        """Messages that were handled one by one."""
        handle = self.server._handle_alone

        def count(peer: bytes, frames: Sequence[Frame]) -> None:
            self.singly += 1
            handle(peer, frames)

        self.server._handle_alone = count  # type: ignore[method-assign]
        if alone:
            self.server.routine.takes = lambda way, frames: False  # type: ignore[method-assign]
        self.workers = [Worker() for _ in range(world_size)]
        for rank in range(world_size):
            self.say(rank, Hello("", "worker", world_size, incarnation=1 + rank, rank=rank))
            init = Init(1, "SGD", SGD, TABLE, () if rank else SLICES, weights=rank == 0)
            self.say(rank, init, () if rank else sliced())

    def say(self, rank: int, message: Message, arrays: Sequence[Any] = ()) -> None:
        heard = len(self.wire.said)
        self.server.handle(b"peer %d" % rank, list(map(bytes, protocol.encode(message, arrays))))
        for to, frames in self.wire.said[heard:]:
            self.workers[int(to[-1:])].hear(protocol.decode(frames)[0])

    def push(self, rank: int, value: float = 1.0, **fields: Any) -> None:
        """Let a worker push its next step."""
        self.workers[rank].seq += 1
        self.workers[rank].waits = True
        self.push_again(rank, value, **fields)

    def push_again(self, rank: int, value: float = 1.0, **fields: Any) -> None:
        worker = self.workers[rank]
        message = push(worker.seq, worker.step + 1, **{"version": worker.version, **fields})
        self.say(rank, message, sliced(value)[: len(message.tensors)])

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.server.close()

    @property
    def weights(self) -> list[Any]:
        assert self.server.state is not None
        return [each.tolist() for each in self.server.state.weights()]


def test_a_step_like_the_one_before_is_made_in_one_go() -> None:
    with Run(2) as run:
        before = run.singly
        for step in range(5):
            run.push(0, 1.0 + step)
            run.push(1)
        assert run.singly == before + 2  # the first step, from which the others are known
        assert run.weights == [[1 - 0.5 * 20] * 3, [1 - 0.5 * 20]]
        assert run.server.state is not None
        assert run.server.state.position.clocks == {0: 5, 1: 5}
        assert len(run.wire.said) == 2 * 3 + 2 * 5


def test_learning_rates_may_change_in_every_step() -> None:
    with Run() as run:
        before, expected = run.singly, 1.0
        for step in range(1, 6):
            groups = ({"lr": 1 / 2**step},)
            run.push(0, groups=groups)
            run.push(1, groups=groups)
            expected -= 2 / 2**step
            assert run.weights == [[expected] * 3, [expected]]
        assert run.singly == before + 2


def test_learning_rates_that_differ_among_workers_are_an_error_as_ever() -> None:
    with Run() as run:
        for _ in range(2):
            run.push(0)
            run.push(1)
        run.push(0, groups=({"lr": 0.25},))
        run.push(1)
        (frames,) = (frames for to, frames in run.wire.said[-1:] if to == b"peer 1")
        error, _ = protocol.decode(frames)
        assert isinstance(error, protocol.Error)
        assert (error.kind, "lr" in error.text) == ("mismatch", True)


def test_a_message_that_is_held_is_handled_before_any_other() -> None:
    with Run(2) as run:
        for _ in range(3):
            run.push(0)
            run.push(1)
        run.push(1)
        assert run.server.roster[1].received == 4  # it is held
        run.say(0, Heartbeat(0, 1, Report()))
        assert run.server.roster[1].received == 5
        assert [each.source.rank for each in run.server.staging.whole()] == [1]
        run.push(0)
        assert run.weights == [[1 - 0.5 * 8] * 3, [1 - 0.5 * 8]]


def test_the_look_at_the_clock_leaves_nothing_held() -> None:
    with Run(2) as run:
        for _ in range(3):
            run.push(0)
            run.push(1)
        run.push(0)
        run.server.tick(run.wire.now)
        assert run.server.roster[0].received == 5


@pytest.mark.parametrize(
    "options", [{"staleness": 1}, {"backups": 1}, {"clip": 1.0}], ids=["stale", "backups", "clipped"]
)
def test_where_more_is_asked_for_every_push_is_handled_by_itself(options: dict[str, Any]) -> None:
    with Run(2, **options) as run:
        before = run.singly
        for _ in range(4):
            run.push(0)
            run.push(1)
        assert run.singly == before + 8


def test_what_is_not_finite_gets_its_closer_look() -> None:
    with Run(2, nonfinite="skip") as run:
        for value in (1.0, 1.0, np.nan, 3e38, 1.0, 1.0):
            run.push(0, value)
            run.push(1, value)
        assert run.server.counters.skipped == 2
        assert run.weights == [[1 - 0.5 * 8] * 3, [1 - 0.5 * 8]]


KINDS = ["step"] * 6 + ["push", "again", "other rate", "beat", "tick", "pull", "pause", "parts", "short"]
actions = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 1), st.sampled_from([1.0, 0.25, np.inf, np.nan, 3e38])),
    max_size=25,
)


def act(run: Run, kind: str, rank: int, value: float) -> None:
    """Let the workers of a run do something, as far as they wait for no answer."""
    worker = run.workers[rank]
    if kind == "step":
        for each in (rank, 1 - rank):
            if not run.workers[each].waits:
                run.push(each, 0.5)
    elif kind == "again":
        run.push_again(rank, 0.5)
    elif kind == "beat":
        run.say(rank, Heartbeat(rank, 1 + rank, Report()))
    elif kind == "tick":
        run.wire.now += 0.1
        run.server.tick(run.wire.now)
    elif worker.waits:
        return
    elif kind in ("pull", "pause"):
        worker.seq, worker.waits = worker.seq + 1, True
        run.say(rank, Pull(worker.seq, worker.step) if kind == "pull" else Barrier(worker.seq))
    elif kind == "parts":
        run.push(rank, value, parts=0, present=())
        run.push_again(rank, tensors=(), part=1, parts=2)
    elif kind == "short":
        run.push(rank, value, tensors=SLOTS[:1], present=(0,))
    else:
        run.push(rank, value, groups=({"lr": 0.125},) if kind == "other rate" else SGD)


@settings(deadline=None, max_examples=200)
@given(actions, st.sampled_from(["reject", "skip", "allow"]))
def test_the_effect_is_that_of_handling_every_message_by_itself(
    todo: list[tuple[str, int, float]], nonfinite: Literal["reject", "skip", "allow"]
) -> None:
    with Run(nonfinite=nonfinite) as one, Run(nonfinite=nonfinite, alone=True) as other, np.errstate(all="ignore"):
        for action in [*todo, ("tick", 0, 0.0)]:
            act(one, *action)
            act(other, *action)
            assert one.wire.said == other.wire.said
        assert one.server.state is not None
        assert other.server.state is not None
        assert structs.asdict(one.server.state.position) == structs.asdict(other.server.state.position)
        assert repr(one.weights) == repr(other.weights)
        assert one.server.counters == other.server.counters


def test_a_worker_writes_its_next_push_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    filled = []
    fill = Draft.fill

    def note(*args: Any) -> Any:
        filled.append(arrays := fill(*args))
        return arrays

    monkeypatch.setattr(Draft, "fill", note)
    with serving(2) as (server,), clients(server) as members:
        start(*members)
        for step in range(1, 6):
            all_of(*(lambda c=c: c.learn(1.0) for c in members))
            assert members[0].now()[0].tolist() == [1.0 - step] * 3
        assert len(filled) == 8
        assert all(arrays is not None for arrays in filled)


@pytest.mark.parametrize("change", ["rate", "absent", "type"])
def test_a_push_that_is_another_one_is_not_the_draft(change: str) -> None:
    other: dict[str, Any] = {
        "rate": {"groups": ({"lr": 0.25},)},
        "absent": {"gradients": [np.ones(3, np.float32), None]},
        "type": {"gradients": [np.ones(3, np.float64), np.float32(1).reshape(())]},
    }[change]
    with serving(1) as (server,), clients(server) as (client,):
        start(client)
        client.learn(1.0)
        client.learn(1.0)
        assert client.now()[0].tolist() == [0.0] * 3
        if change == "type":
            with pytest.raises(Exception, match="float64"):
                client.learn(**other)
            return
        w, b = client.learn(**other)
        assert w.tolist() == [-0.25 if change == "rate" else -0.5] * 3
        assert b.tolist() == (-0.25 if change == "rate" else 0.0)
        w, b = client.learn(1.0)
        assert w.tolist() == [-0.75 if change == "rate" else -1.0] * 3


def test_what_is_foreseen_is_read_and_nothing_else() -> None:
    foreseen = Foreseen(push(3, 2))
    frames = protocol.encode(push(3, 2), sliced(2.0))
    arrays = foreseen.read(frames)
    assert arrays is not None
    assert [each.tolist() for each in arrays] == [[2.0] * 3, [2.0]]
    assert foreseen.read(frames[:2]) is None
    assert foreseen.read([*frames, b""]) is None
    assert foreseen.read([frames[0], frames[1], b"12"]) is None
    sealed = protocol.seal(frames)
    arrays = foreseen.read(sealed)
    assert arrays is not None
    assert [each.tolist() for each in arrays] == [[2.0] * 3, [2.0]]
    assert foreseen.read([sealed[0], bytes(12), sealed[2]]) is None
    assert foreseen.read([sealed[0][:8] + sealed[0][9:], *sealed[1:]]) is None
    foreseen.go_on(seq=4)
    assert foreseen.read(frames) is None
    assert foreseen.message == push(4, 2)


def test_a_step_like_the_one_before_is_so_many_calls() -> None:
    """Handled by themselves, the messages of a step take 413 calls."""
    with Run(2) as run:
        for _ in range(3):
            run.push(0)
            run.push(1)
        frames = [
            list(map(bytes, protocol.encode(push(5, 4, version=3), sliced(1.0)))),
            list(map(bytes, protocol.encode(push(5, 4, version=3), sliced(1.0)))),
        ]
        singly = run.singly
        calls = len(frames_entered(lambda: [run.server.handle(b"peer %d" % rank, frames[rank]) for rank in (0, 1)]))
        assert run.singly == singly
        assert calls < 135, calls


def test_everyone_is_answered_before_the_step_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    with Run(2) as run:
        for _ in range(3):
            run.push(0)
            run.push(1)
        write_down, said = Server.write_down, []

        def late(self: Server, *arguments: Any) -> None:
            said.append(len(run.wire.said))
            write_down(self, *arguments)

        monkeypatch.setattr(Server, "write_down", late)
        before = len(run.wire.said)
        run.push(0)
        run.push(1)
        assert said == [before + 2]
        assert [worker.version for worker in run.workers] == [4, 4]


def test_an_answer_that_was_written_before_holds_the_weights_of_now() -> None:
    """Where an optimizer, or whoever reads slowly, has the weights lie elsewhere than they did."""
    with Run(2) as run:
        for step in range(1, 7):
            assert run.server.state is not None
            if step in (4, 5):
                run.server.state.detach()
            run.push(0)
            run.push(1)
            for to, frames in run.wire.said[-2:]:
                message, arrays = protocol.decode(frames)
                assert isinstance(message, protocol.Weights)
                assert (to, message.version) in ((b"peer 0", step), (b"peer 1", step))
                assert [each.tolist() for each in arrays] == run.weights


def test_a_failed_update_is_told_to_everyone_and_no_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with Run(2) as run:
        for _ in range(3):
            run.push(0)
            run.push(1)
        assert run.server.state is not None

        def fails(*_: Any) -> None:
            raise RuntimeError("no memory")

        monkeypatch.setattr(run.server.state, "apply", fails)
        singly, heard = run.singly, len(run.wire.said)
        run.push(0)
        run.push(1)
        assert run.singly == singly
        told = [(to, protocol.decode(frames)[0]) for to, frames in run.wire.said[heard:]]
        assert sorted(to for to, _ in told) == [b"peer 0", b"peer 1"]
        assert all(
            isinstance(each, protocol.Error) and "update 4: RuntimeError: no memory" in each.text for _, each in told
        )


def test_a_step_like_the_one_before_is_so_many_calls_in_a_worker() -> None:
    """By the way that any push takes they are 175."""
    with serving(1) as (server,), clients(server) as (client,):
        start(client)
        gradients = {index: np.ones_like(each) for index, each in enumerate(client.arrays)}
        calls = [frames_entered(lambda: client.push(SGD, gradients, client.deliver)) for _ in range(8)]
        assert client.step == 8
        fewest = min(map(len, calls))  # now and then a heartbeat is due
        assert fewest < 65, fewest


def test_few_rows_and_large_tensors_go_on_as_they_did() -> None:
    table = (TensorSpec("embedding", "float32", (64, 8)), TensorSpec("wide", "float32", (300, 300)))
    rows = np.zeros((64, 8), np.float32)
    rows[5] = 1.0
    with serving(2) as (server,), clients(server) as members:
        all_of(*(lambda c=c: c.begin(1.0, table=table) for c in members))
        for step in range(1, 8):
            embedding = rows if step % 3 == 0 else np.full_like(rows, 0.5)
            wide = np.full((300, 300), 0.25, np.float32)
            all_of(*(lambda c=c, e=embedding, w=wide: c.learn([e, w]) for c in members))
            one, other = (c.now() for c in members)
            assert all(map(np.array_equal, one, other))
        dense, sparse = 5 * 0.5, 2 * 1.0
        assert one[0][5].tolist() == [1 - dense - sparse] * 8
        assert one[0][6].tolist() == [1 - dense] * 8
        assert one[1][0, 0] == 1 - 7 * 0.25
