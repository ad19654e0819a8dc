"""Who stands still, is cut off, sends nonsense or comes and goes: the faults 12 to 20, and some more.

Each is a function of a folder, which raises when the outcome is not what was promised. The same functions are run on
the product, and on mutants of it under which they must fail. All happens in virtual time; a hang is an
`AssertionError` when the network's time is up. The number is that of the fault in the list of `test_twenty_faults`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
from ps_harness import SLOTS, push, sliced

from retrograd.distributed import messages, protocol
from retrograd.distributed.errors import NonFiniteGradient, ServerLost
from retrograd.distributed.messages import Slot
from retrograd.distributed.protocol import Frame

from .complaints import Complaints
from .losses import Body
from .machine import pick
from .simulation import Channel, Endpoint, Interference, Landed, Weather
from .world import Worker, World, random_gradient

# ---- 12 to 15: who stands still, and who is cut off ---------------------------------------------------------


def zombie(folder: Path) -> None:
    """12: a worker stands still for a minute and goes on: its late push is refused, and it joins again."""
    with World(folder, 3, on_loss="continue") as world:
        world.train(2)
        late = world.workers[2]
        world.network.pause(late.name)
        world.network.pause(late.name + ".pulse")
        world.push(0, 1)
        world.network.run_for(60)
        assert world.server.roster[2].state == "lost"
        assert world.server.frontier == 3
        world.push(2)
        source = next(reversed([each for each in world.pushed if each.rank == 2]))
        world.network.resume(late.name)
        world.network.resume(late.name + ".pulse")
        world.train(6, within=60)
        world.check()
        assert source not in world.log.settled()
        assert late.rejoined == 1


def zombie_whose_push_is_late(folder: Path) -> None:
    """12, 14: nothing comes from a worker: it is given up in time, and the push that was under way is stale by then."""
    with World(folder, 2, on_loss="continue") as world:
        world.train(2)
        late = world.workers[1]
        world.network.block(late.name, "server")
        world.network.block(late.name + ".pulse", "server")
        world.push(1)
        world.train(4, 0, within=20)  # after the timeout
        source = next(reversed([each for each in world.pushed if each.rank == 1]))
        world.network.heal()
        world.train(8, within=30)
        world.check()
        assert source not in world.log.settled()
        assert (late.rejoined, world.server.state.position.clocks) == (1, {0: 8, 1: 8})


def straggler(folder: Path) -> None:
    """12: with a backup worker the gradient of who is slow is dropped for the step, and it goes on with the others."""
    with World(folder, 3, backups=1) as world:
        world.train(1)
        slow = world.workers[2].name
        world.network.rules.append(lambda flight: [3.0] if flight.source == slow and flight.kind == "push" else None)
        world.train(5, 0, 1, within=5)
        world.push(2)
        world.network.run_for(5)
        world.network.rules.pop()
        world.train(8, within=10)
        world.check()
        assert world.server.counters.dropped >= 1
        assert [len(order.sources) for order in world.log.orders if order.sources].count(2) >= 4


def bounded_staleness(folder: Path) -> None:
    """12: with a staleness of 2 nobody is more than two steps ahead of who stands still."""
    with World(folder, 2, staleness=2) as world:
        world.train(1)
        world.workers[0].train(9)
        world.network.run_for(5)
        assert (world.workers[0].step, world.server.roster[0].step) == (3, 4)
        world.train(9)
        world.check()


def nothing_is_read_too_old(folder: Path) -> None:
    """12: what is read in bad weather is never older than the reader's clock less the staleness."""
    for seed, options in enumerate(({"staleness": 2}, {"staleness": 2, "deterministic": True}, {"staleness": 0})):
        with World(folder / str(seed), 3, **options) as world:
            world.train(1)
            slow = world.workers[2].name
            world.network.rules.append(Weather(random.Random(seed), drop=0.05, duplicate=0.1, delay=(0.0, 0.3)))
            world.network.rules.append(lambda flight, slow=slow: [1.5] if flight.source == slow else None)
            world.train(8, within=300)
            world.check()


def server_stands_still(folder: Path) -> None:
    """13: the server stands still for 20 seconds: workers wait, nothing doubles, and nothing piles up."""
    with World(folder) as world:
        world.train(2)
        world.network.pause("server")
        for each in world.workers.values():
            each.train(5)
        world.network.run_for(20)
        assert sum(flight.kind == "push" for flight in world.network._places["server"].waiting) <= 2
        world.network.resume("server")
        world.train(5, within=10)
        world.check()
        assert world.server.state.position.version == 5
        assert max(each.backlog for each in world.workers.values()) <= 2


def one_way_to_the_worker(folder: Path) -> None:
    """14: nothing comes to a worker: it notices within the timeout; where it heals before, nothing doubles."""
    with World(folder, recovery=0.0) as world:
        world.train(2)
        for name in (world.workers[1].name, world.workers[1].name + ".pulse"):
            world.network.block("server", name)
        for each in world.workers.values():
            each.train(6)
        world.network.run_for(8)
        world.network.heal()
        world.train(6, within=60)
        world.check()
        assert world.server.state.position.version == 6
        for name in (world.workers[1].name, world.workers[1].name + ".pulse"):
            world.network.block("server", name)
        world.push(0, 1)
        world.wait(lambda: world.errors(), "the worker to notice", within=15)
        assert isinstance(world.workers[1].error, ServerLost)
        world.check(failed=[1])


def connections_cut(folder: Path) -> None:
    """15: connections are cut every half second: training goes on, each push counts once, HELLOs are few."""
    with World(folder) as world:
        hellos = Interference("hello", [0.05])
        world.network.rules += [lambda flight: [0.05], hellos]
        cuts = 60
        for number in range(1, cuts + 1):
            for each in world.workers.values():
                world.network.call_at(number * 0.5, lambda name=each.name: world.network.cut(name, "server"))
        world.train(60, within=120)
        world.network.run_for(max(0.0, cuts * 0.5 - world.network.clock.now()))
        world.check()
        assert world.server.state.position.version == 60
        ends = sum(what.startswith("the connection of") for _, what in world.network.trace)
        assert ends >= 20
        assert hellos.hits <= ends + 2  # one for each new connection


# ---- 16, 17: who sends too much, reads too little, or is hostile --------------------------------------------


class _Unread(Landed):
    landed = False

    def wait(self, timeout: float) -> bool:
        return self.landed

    def land(self) -> None:
        """Its time comes when the test says."""


class SlowReader(Channel):
    """A channel of a server whose weights to chosen peers are not read until the test says so."""

    slow = ""
    unread: list[_Unread] = []  # noqa: RUF012 (each test makes its own)

    def send_frames(self, frames: Sequence[Frame], to: bytes | None) -> Landed:
        landed = super().send_frames(frames, to)
        is_weights = isinstance(protocol.decode(frames)[0], messages.Weights)
        if self.slow and is_weights and to is not None and to.startswith(self.slow.encode()):
            landed = _Unread()
            self.unread.append(landed)
        return landed


def slow_reader(folder: Path) -> None:
    """16: a worker does not read: it is sent one answer and no more, and the others train on."""
    with World(folder, 2, staleness=float("inf")) as world:
        world.train(1)
        channel = SlowReader(world.network.endpoint("server"), protocol.encode, traffic=protocol.Traffic())
        channel.slow, channel.unread = world.workers[1].name, []
        world.server.channel = world.server.outbox._channel = channel
        world.workers[1].train(2)
        world.network.run_for(1)
        for _ in range(3):
            world.push(1)
            world.train(world.workers[0].step + 2, 0, within=2)
        assert len(channel.unread) == 1
        for each in channel.unread:
            each.landed = True
        channel.slow = ""
        world.train(9, within=10)
        world.check()


def greedy(folder: Path) -> None:
    """16: a worker sends more than it may have under way: it is refused, and memory stays within the budget."""
    size = sum(each.nbytes for each in sliced())
    with World(folder, 2, staleness=2, deterministic=True, budget=2 * 3 * size) as world:
        world.train(1)
        peer = Stranger(world, "greedy")
        _take_place_of_1(world, peer)
        for step in range(2, 50):  # without waiting for anybody
            peer.say(push(step + 1, step, groups=world.groups), sliced())
            assert world.server.staging.nbytes <= 3 * size
        assert peer.errors("protocol") == 48 - 3


def _take_place_of_1(world: World, peer: Stranger) -> None:
    """Continue the conversation of worker 1 as somebody else."""
    incarnation = world.server.roster[1].incarnation
    peer.say(protocol.Hello("", "worker", 2, incarnation, 1))
    assert isinstance(peer.heard[-1], protocol.Welcome), peer.heard


class Stranger:
    """Somebody on the network who says what a test wants."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.heard = world, []
        self._endpoint: Endpoint = world.network.endpoint(name)
        world.network.attach(name, self)

    def handle(self, peer: bytes, frames: tuple[bytes, ...]) -> None:
        self.heard.append(protocol.decode(frames)[0])

    def tick(self, now: float) -> None:
        """It does nothing by itself."""

    def say(self, message: object, arrays: object = ()) -> None:
        self.say_raw(protocol.encode(message, arrays))

    def say_raw(self, frames: object) -> None:
        self._endpoint.send("server", frames)
        self.world.network.run_for(0.0)

    def errors(self, kind: str) -> int:
        return sum(isinstance(each, protocol.Error) and each.kind == kind for each in self.heard)


def hostile(folder: Path) -> None:
    """17: random bytes, bent messages and impossible announcements: refused, counted, and the log is not filled."""
    with World(folder, 2) as world, Complaints() as warnings:
        world.train(1)
        peer, chance = Stranger(world, "hostile"), random.Random(3)
        valid = [bytes(each) for each in protocol.encode(push(9, 2), sliced())]
        for _ in range(300):
            frames = [bytearray(each) for each in valid]
            frame = pick(frames, chance.randrange(256))
            for _ in range(chance.randrange(1, 4)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            peer.say_raw(pick([frames, frames[:1], [chance.randbytes(50)], [], [*frames, b""]], chance.randrange(256)))
        world.train(5, within=5)
        world.check()
        assert world.server.counters.rejected > 100
        assert len(warnings.texts) < 30
        assert world.server.staging.nbytes == 0


def unfitting(folder: Path) -> None:
    """17: a member's messages that are well formed and do not fit change nothing."""
    with World(folder, 2) as world:
        world.train(1)
        peer = Stranger(world, "unfitting")
        _take_place_of_1(world, peer)
        wrong = [
            (push(20, 2, tensors=(Slot(0, "float32", (4,)), SLOTS[1])), [np.zeros(4, np.float32), sliced()[1]]),
            (push(20, 2, tensors=(Slot(0, "float64", (3,)), SLOTS[1])), [np.zeros(3), sliced()[1]]),
            (push(20, 2, tensors=(SLOTS[0], Slot(9, "float32", ()))), sliced()),
            (push(20, 2, tensors=SLOTS[:1]), sliced()[:1]),
            (push(20, 99), sliced()),
        ]
        for message, arrays in wrong:
            before = len(peer.heard)
            peer.say(message, arrays)
            assert [type(each) for each in peer.heard[before:]] == [protocol.Error], message
        assert (world.server.state.position.version, world.server.roster[1].step) == (1, 1)
        world.train(4, within=30)
        world.check()


# ---- 19, 20 and more ---------------------------------------------------------------------------------------


def poisoned(worker: Worker, step: int) -> list[np.ndarray]:
    gradients = random_gradient(worker, step)
    if worker.rank == 1 and step == 3:
        gradients[0][1] = np.nan
    return gradients


def nan_is_rejected(folder: Path) -> None:
    """19: a NaN in a gradient is refused: its worker is told, nothing has changed, and it may push another."""
    with World(folder, 2, gradient=poisoned) as world:
        world.train(2)
        world.push(0, 1)
        world.wait(lambda: world.errors(), "the worker to be told", within=5)
        assert isinstance(world.workers[1].error, NonFiniteGradient)
        assert all(np.isfinite(each).all() for each in world.server.state.weights())
        assert [each.nonfinite for each in world.server.roster] == [0, 1]
        world.workers[1].error, world.gradient = None, random_gradient
        world.train(5, within=10)
        world.check()


def nan_is_skipped(folder: Path) -> None:
    """19: or its step is left out, by all."""
    with World(folder, 2, gradient=poisoned, nonfinite="skip") as world:
        world.train(6, within=10)
        world.check()
        assert (world.server.counters.skipped, world.server.state.position.version) == (1, 5)
        assert all(np.isfinite(each).all() for each in world.server.state.weights())


def nan_is_allowed(folder: Path) -> None:
    """19: or goes in, where the run says so."""
    with World(folder, 2, gradient=poisoned, nonfinite="allow") as world:
        world.train(4, within=10)
        assert world.server.roster[1].nonfinite == 0
        assert np.isnan(world.server.state.weights()[0][1])


def too_large_together(worker: Worker, step: int) -> list[np.ndarray]:
    gradients = random_gradient(worker, step)
    if step == 3:
        gradients[0][1] = 3e38
    return gradients


def sum_overflows(folder: Path) -> None:
    """19: finite gradients whose sum is infinite: its step is left out, or all who made it are told."""
    with World(folder / "skip", 2, gradient=too_large_together, nonfinite="skip") as world:
        world.train(6, within=10)
        world.check()
        assert (world.server.counters.skipped, world.server.state.position.version) == (1, 5)
        assert all(np.isfinite(each).all() for each in world.server.state.weights())
    with World(folder / "reject", 2, gradient=too_large_together, staleness=0) as world:
        world.train(2)
        world.push(0, 1)
        world.wait(lambda: len(world.errors()) == 2, "both workers to be told", within=5)
        assert all(isinstance(each, NonFiniteGradient) for each in world.errors().values())
        assert all(np.isfinite(each).all() for each in world.server.state.weights())
        for each in world.workers.values():
            each.error = None
        world.gradient = random_gradient
        world.train(6, within=10)
        world.check()


TARGET = 3.0
SMALL = ({"lr": 0.05, "momentum": 0.0},)


def towards_the_target(worker: Worker, step: int) -> list[np.ndarray]:
    """Half of the gradient of the squared distance, with noise; the server sums two of them."""
    return [
        0.5 * (w - np.float32(TARGET)) + 0.01 * g
        for w, g in zip(worker.weights, random_gradient(worker, step), strict=True)
    ]


def churn(folder: Path) -> None:
    """20: workers die, leave and join at random for 1000 steps: the end is that of a run in which nobody does."""
    chance = random.Random(5)
    with World(folder, 2, gradient=towards_the_target, groups=SMALL, on_loss="continue", keeps=False) as world:
        world.train(1)
        for steps in range(20, 1001, 20):
            world.train(steps, within=120)
            rank = pick(sorted(world.workers), chance.randrange(256))
            if len(world.workers) < 4 and chance.random() < 0.6:
                world.start_worker(next(each for each in range(5) if each not in world.workers))
            elif len(world.workers) > 1:
                if chance.random() < 0.5:
                    world.workers[rank].leave()
                world.workers[rank].kill()
        world.check()
        joined = [each.clock for order in world.log.orders for each in order.joined]
        assert joined == sorted(joined)
        assert len(joined) > 10
        assert len(world.server.roster) <= 5
        assert world.server.staging.nbytes == 0
        for each in world.server.state.weights():
            np.testing.assert_allclose(each, TARGET, atol=0.05)


def uneven(folder: Path) -> None:
    """Extra: a worker has fewer batches: the others go on, and each step is the mean over who takes part."""
    with World(folder, 3) as world:
        world.workers[2].leaves = True
        world.train(4)
        assert world.workers[2].has_left
        world.train(9, 0, 1, within=5)
        world.check()
        assert [len(order.sources) for order in world.log.orders if order.sources] == [3] * 4 + [2] * 5


def one_worker(folder: Path) -> None:
    """Extra: one worker alone has what local training has, bit by bit."""
    with World(folder, 1) as world:
        world.train(12)
        world.check()
        assert len(world.log.applied()) == 12
        for ours, theirs in zip(world.replayed(), world.workers[0].weights, strict=True):
            assert ours.tobytes() == theirs.tobytes()
            assert (theirs != 1).all()


def all_die(folder: Path) -> None:
    """Extra: all workers die: the run is over, and nobody waits for ever."""
    with World(folder, 2, on_loss="continue") as world:
        world.train(5)
        for rank in (0, 1):
            world.workers[rank].kill()
        world.wait(lambda: world.server._stopped, "the server to end", within=15)
        world.check()


def clock_jumps(folder: Path) -> None:
    """Extra: the wall clock jumps by years: nobody is given up for it."""
    with World(folder, 2) as world:
        world.train(2)
        for jump in (1e9, -1e9):
            with mock.patch("time.time", lambda jump=jump: 1.7e9 + jump):
                world.network.run_for(5)
                world.train(world.workers[0].step + 3, within=5)
        world.check()


FAULTS: tuple[Body, ...] = (
    zombie,
    zombie_whose_push_is_late,
    straggler,
    bounded_staleness,
    nothing_is_read_too_old,
    server_stands_still,
    one_way_to_the_worker,
    connections_cut,
    slow_reader,
    greedy,
    hostile,
    unfitting,
    nan_is_rejected,
    nan_is_skipped,
    nan_is_allowed,
    sum_overflows,
    churn,
    uneven,
    one_worker,
    all_die,
    clock_jumps,
)
