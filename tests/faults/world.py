"""A whole run in virtual time: the real server, the real conversation of each worker, and a disk that loses power.

::

    with World(folder, workers=2, durable=True) as world:
        world.network.rules.append(Interference("weights", [], times=1))
        world.train(5)
        world.check()

`World.check` is the oracle: the log of what the server has applied, replayed by one process on gradients that the
*workers* remember, must give the same weights bit by bit. `Died` is raised where the process would end; what a new
server finds is what its former life had flushed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest import mock

import numpy as np
import zmq
from ps_harness import SLICES, SLOTS, TABLE

import retrograd as rg
from retrograd.distributed import failpoints, keeper, messages, protocol
from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import DistributedError
from retrograd.distributed.link import Link
from retrograd.distributed.messages import Array, Groups, Order, Source
from retrograd.distributed.server import Server, ServerOptions
from retrograd.distributed.staging import Contribution
from retrograd.distributed.state import State

from .simulation import Channel, Network

MOMENTUM: Groups = ({"lr": 0.125, "momentum": 0.5},)
HEARTBEAT = 0.5
AWAY = 2.0  # seconds until a dead server is started again
WITHIN = 300.0  # seconds of the network's time

Gradient = Callable[["Worker", int], list[Array]]


class Died(BaseException):
    """The process has ended here; nothing may catch it."""


class AtOnce(Executor):
    """Does in the caller's thread what a thread of its own would do: in a simulation nothing happens beside."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        result: Future[Any] = Future()
        try:
            result.set_result(call(*args, **kwargs))
        except DistributedError as error:
            result.set_exception(error)
        return result


class Disk:
    """The folder of a server, and how much of it would survive a loss of power."""

    def __init__(self, folder: Path) -> None:
        self._root, self._life = folder, 0
        self.folder = folder / "life-0"
        self._flushed: dict[tuple[int, int], int] = {}

    def flush(self, descriptor: int) -> None:
        """What `fsync` is here."""
        status = os.fstat(descriptor)
        self._flushed[status.st_dev, status.st_ino] = status.st_size

    def lose_power(self) -> None:
        """Keep what was flushed, in a new folder for the next life."""
        self._life += 1
        former, self.folder = self.folder, self._root / f"life-{self._life}"
        if former.exists():
            shutil.copytree(former, self.folder)
        for copy in self.folder.rglob("*"):
            if copy.is_file():
                status = (former / copy.relative_to(self.folder)).stat()
                os.truncate(copy, min(self._flushed.get((status.st_dev, status.st_ino), 0), status.st_size))
                now = copy.stat()
                self._flushed[now.st_dev, now.st_ino] = now.st_size

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.folder.rglob(pattern))


@dataclass
class Log:
    """The orders that the weights of the server's present life come from."""

    orders: list[Order] = field(default_factory=list)
    steps: dict[Source, int] = field(default_factory=dict)
    """For which step each push was."""
    weights: dict[int, bytes] = field(default_factory=dict)
    """What the weights were after each order."""

    def note(self, order: Order) -> None:
        self.back_to(order.number - 1)
        self.orders.append(order)

    def back_to(self, number: int) -> None:
        self.orders = [each for each in self.orders if each.number <= number]
        self.weights = {each: weights for each, weights in self.weights.items() if each <= number}

    def clocks(self, number: int, workers: int) -> dict[int, int]:
        """The steps of those who take part after an order, up to which their gradients are in or were dropped."""
        clocks = dict.fromkeys(range(workers), 0)
        for order in self.orders[:number]:
            for source in (*order.sources, *order.dropped):
                clocks[source.rank] = max(clocks.get(source.rank, 0), self.steps[source])
            clocks.update((each.rank, each.clock) for each in order.joined)
            for each in order.gone:
                clocks.pop(each.rank, None)
        return clocks

    def applied(self) -> list[Source]:
        return [source for order in self.orders if not order.skip for source in order.sources]

    def settled(self) -> set[Source]:
        return {source for order in self.orders for source in (*order.sources, *order.dropped)}


class RecordingServer(Server):
    """A server that keeps a log of what it has carried out."""

    def __init__(self, log: Log, options: ServerOptions, channel: Any, clock: Callable[[], float]) -> None:
        self.log = log
        super().__init__(options, channel, clock)
        log.back_to(0 if self.state is None else self.state.position.number)
        self._note_weights()

    def make(self, state: State, order: Order, contributions: Sequence[Contribution]) -> bool:
        self.log.note(order)  # before, since the server may die when a snapshot holds it already
        steps = {each.source: each.step for each in contributions}
        for source in (*order.sources, *order.dropped):
            self.log.steps[source] = steps[source] if source in steps else self.staging.get(source).step
        made = super().make(state, order, contributions)
        self._note_weights()
        if not made:
            self.log.back_to(order.number - 1)
        return made

    def _note_weights(self) -> None:
        if self.state is not None:
            self.log.weights[self.state.position.number] = _bytes(self.state.weights())


class ServerNode:
    """A server on the network; when it dies, the network is told."""

    def __init__(self, world: World) -> None:
        self._world = world

    def handle(self, peer: bytes, frames: Sequence[bytes]) -> None:
        self._world.alive(lambda server: server.handle(peer, frames))

    def tick(self, now: float) -> None:
        def look(server: Server) -> None:
            server._stopped |= server.siblings.tick(server.now(), 0.1)

        self._world.alive(look)


class World:
    """One server and its workers.

    Parameters
    ----------
    folder : Path
        For all that the server keeps.
    workers : int
        How many workers the run is for, each of which is started.
    gradient : callable, optional
        Gives the gradients of a worker's step; random ones by default.
    groups
        The optimizer's hyperparameters; that is SGD.
    parts : int
        Into how many messages a push is cut.
    keeps : bool
        Whether the server has a folder.
    options
        Of the server.
    """

    def __init__(
        self,
        folder: Path,
        workers: int = 2,
        *,
        gradient: Gradient | None = None,
        groups: Groups = MOMENTUM,
        parts: int = 1,
        keeps: bool = True,
        **options: Any,
    ) -> None:
        self.network = Network()
        self.disk = Disk(folder)
        self.log = Log()
        self.pushed: dict[Source, tuple[int, list[Array]]] = {}
        """What workers know that they have pushed."""
        self.acknowledged: list[Source] = []
        self.workers: dict[int, Worker] = {}
        self.gradient, self.groups, self.parts = gradient or random_gradient, groups, parts
        self.deaths = 0
        self._keeps, self._size, self._lives = keeps, workers, 0
        self._options = {"recovery": 60.0, "shared": False, "every": 1000, **options}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for name in ("fsync", "fdatasync"):
            self._stack.enter_context(mock.patch.object(os, name, self.disk.flush))
        self._stack.enter_context(mock.patch.object(keeper, "ThreadPoolExecutor", AtOnce))
        self._stack.callback(lambda: self.server.close())
        self.start_server()
        for rank in range(self._size):
            self.start_worker(rank)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # ---- who is there --------------------------------------------------------------------------------------

    def start_server(self) -> None:
        folder = self.disk.folder if self._keeps else None
        options = ServerOptions(self._size, folder=folder, **self._options)
        channel = Channel(self.network.endpoint("server"), protocol.encode, traffic=protocol.Traffic())
        try:
            self.server = RecordingServer(self.log, options, channel, self.network.clock.now)
        except Died:  # while it read what its former life had kept
            self.network.call_at(self.network.clock.now() + AWAY, self.start_server)
            return
        except DistributedError as error:
            raise AssertionError(f"the server cannot start: {error!r}") from error
        self.network.attach("server", ServerNode(self), tick=0.1)

    def start_worker(self, rank: int) -> Worker:
        self._lives += 1
        self.workers[rank] = Worker(self, rank, incarnation=self._lives)
        return self.workers[rank]

    def alive(self, act: Callable[[Server], None]) -> None:
        """Let the server do something, in which it may die; an error of any other kind it must not have."""
        try:
            act(self.server)
        except Died:
            self.network.crash("server")
            self.server.close()
            self.network.call_at(self.network.clock.now() + AWAY, self.start_server)
        except Exception as error:
            raise AssertionError(f"the server has ended with {error!r}") from error

    def die(self, *_: object) -> None:
        """What a process does that loses its power."""
        self.deaths += 1
        self.disk.lose_power()
        raise Died

    def kill_server(self) -> None:
        """End the server at once; it is started again."""
        if self.network.is_up("server"):
            self.alive(lambda server: self.die())

    def killing(self, points: str) -> ExitStack:
        """A block in which the server dies at fail-points, as ``server.after_ack:3``."""
        stack = ExitStack()
        failpoints.arm(";".join(f"{point.strip()}=raise" for point in points.split(";")))
        stack.callback(failpoints.disarm)
        stack.enter_context(mock.patch.object(failpoints.Rule, "act", self.die))
        return stack

    # ---- what happens --------------------------------------------------------------------------------------

    def train(self, steps: int, *ranks: int, within: float = WITHIN) -> None:
        """Let workers go on until they have done so many steps, and wait until all of these have."""
        members = [self.workers[rank] for rank in ranks or self.workers]
        for each in members:
            each.train(steps)
        self.network.run_until(lambda: all(each.is_done for each in members), f"{steps} steps", within=within)

    def push(self, *ranks: int) -> None:
        """Let workers ask for one more step, and do not wait for it."""
        for rank in ranks:
            self.workers[rank].train(self.workers[rank].step + 1)

    def errors(self) -> dict[int, DistributedError]:
        return {rank: each.error for rank, each in self.workers.items() if each.error is not None}

    def wait(self, condition: Callable[[], Any], what: str, within: float = WITHIN) -> None:
        self.network.run_until(condition, what, within=within)

    # ---- the oracle ----------------------------------------------------------------------------------------

    def check(self, *, failed: Sequence[int] = ()) -> None:
        """Assert what holds at every moment, and that nobody but `failed` was told of an error."""
        assert sorted(self.errors()) == sorted(failed), self.errors()
        if not failed:
            assert self.server.failure is None, self.server.failure
        assert [order.number for order in self.log.orders] == list(range(1, len(self.log.orders) + 1))
        applied = self.log.applied()
        assert len(applied) == len(set(applied)), "a push was applied twice"
        assert set(applied) <= self.pushed.keys()
        if self.server.options.durable or not self.deaths:
            # A deterministic run answers a push before the update is made, when it is kept.
            kept = {each.source for each in self.server.staging.whole()}
            assert self.acknowledged_to_the_living() <= self.log.settled() | kept, "an acknowledged push is lost"
        self.check_scales()
        state = self.server.state
        if state is not None:
            for ours, theirs in zip(self.replayed(), state.weights(), strict=True):
                assert ours.tobytes() == theirs.tobytes(), f"{ours} of the replayed log, and {theirs} on the server"

    def check_read(self, worker: Worker) -> None:
        """Assert that a worker has read weights that there were, and none older than its clock allows.

        A server that has come back without a journal may have undone what was read before, and with backup workers
        nobody waits for the last.
        """
        options = self.server.options
        if options.backups or (self.deaths and not options.durable):
            return
        read, oldest = _bytes(worker.weights), worker.step - options.staleness
        numbers = [number for number, weights in self.log.weights.items() if weights == read]
        assert numbers, f"worker {worker.rank} has read at step {worker.step} what there never was"
        clocks = [self.log.clocks(number, self._size) for number in numbers]
        assert any(not each or min(each.values()) >= oldest for each in clocks), (
            f"worker {worker.rank} has read at step {worker.step} what is older than step {oldest:g}: {clocks}"
        )

    def acknowledged_to_the_living(self) -> set[Source]:
        """What was acknowledged; of a life that was given up, only what is in an update before that is sure."""
        gone = {(each.rank, each.incarnation) for order in self.log.orders for each in order.gone}
        return {each for each in self.acknowledged if (each.rank, each.incarnation) not in gone}

    def check_scales(self) -> None:
        """In step: the order of ranks, one step for all, one update for each step, and the mean over who took part."""
        if self.server.options.staleness:
            return
        steps = [order.frontier for order in self.log.orders if order.sources]
        assert steps == sorted(set(steps)), "a step was done twice"
        for order in self.log.orders:
            ranks = [source.rank for source in order.sources]
            assert ranks == sorted(set(ranks))
            assert not ranks or order.scale == self._size / len(ranks)

    def replayed(self) -> list[Array]:
        """The weights that one process has after the updates of the log."""
        parameters = [rg.nn.Parameter(rg.tensor(each)) for each in initial()]
        optimizer = rg.optim.SGD(parameters, **self.groups[0])
        for order in self.log.orders:
            if not order.sources or order.skip:
                continue
            addends = [self.pushed[source][1] for source in order.sources]
            for parameter, gradients in zip(parameters, zip(*addends, strict=True), strict=True):
                total = gradients[0].copy()
                for each in gradients[1:]:
                    total = total + each
                parameter.grad = rg.tensor(total if order.scale == 1 else total * np.float32(order.scale))
            optimizer.step()
        return [np.asarray(each.detach().numpy()) for each in parameters]


class Worker:
    """A worker's program over the real conversation: it asks for the weights, and then does step after step."""

    def __init__(self, world: World, rank: int, incarnation: int) -> None:
        self.world, self.rank = world, rank
        self.name = f"worker{rank}.{incarnation}"
        network, server = world.network, world.server
        place = Environment(rank, server.options.world_size, ("sim://server",), server.options.run, 10.0)
        self.link = Link(place, 0, incarnation, "", network.clock.now())
        self.weights: list[Array] = [np.full(each.shape, np.nan, np.float32) for each in SLICES]
        self.step = self.version = self.rejoined = self.backlog = 0
        self.goal = 0
        self.error: DistributedError | None = None
        self.leaves = False
        """Whether it says goodbye when it is done."""
        self.has_left = False
        self.since: float | None = None
        """When it began to wait for an answer."""
        self._source: Source | None = None
        self._asked = 0.0
        self._channel = Channel(network.endpoint(self.name), protocol.encode, to="server")
        self._pulse = Channel(network.endpoint(self.name + ".pulse"), protocol.encode, to="server")
        network.attach(self.name, self, tick=0.1)
        network.attach(self.name + ".pulse", _Beat(self))
        self._join()

    # ---- the network's side --------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.world.network.clock.now()

    def handle(self, peer: bytes, frames: Sequence[bytes]) -> None:
        message, arrays = protocol.decode(frames)
        self.link.take(message, arrays, self.now)
        self._flush()

    def hear_pulse(self, frames: Sequence[bytes]) -> None:
        self.link.take_pulse(protocol.decode(frames)[0], self._asked, self.now)
        self._flush()

    def tick(self, now: float) -> None:
        self.link.tick(now, waiting_since=self.since)
        if now - self._asked > HEARTBEAT and not self.has_left:
            self._asked = now
            beat = messages.Heartbeat(self.rank, self.link.incarnation, messages.Report())
            _try_to_send(self._pulse, beat)
        if self.since is not None and self.link.must_join:
            self._rejoin()
        self._flush()

    def _flush(self) -> None:
        self.backlog = max(self.backlog, len(self.link.outgoing))
        while self.link.outgoing and _try_to_send(self._channel, *self.link.outgoing[0]):
            self.link.outgoing.popleft()

    # ---- the program ---------------------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        return self.error is not None or (self.since is None and self.step >= self.goal)

    def train(self, steps: int) -> None:
        self.goal = steps
        if self.since is None and not self.has_left:
            self._go_on()

    def kill(self) -> None:
        """End this process, and say nothing."""
        self.world.network.crash(self.name)
        self.world.network.crash(self.name + ".pulse")
        self.since = None
        self.world.workers.pop(self.rank)

    def leave(self, error: str | None = None) -> None:
        _try_to_send(self._channel, messages.Bye(error, messages.Report()))
        self.has_left = True

    def _join(self) -> None:
        self.since = self.now
        self._source = None
        first = self.rank == 0 and self.link.incarnation == 1
        request = self.link.begin(self._deliver, self._fail)
        init = messages.Init(request.seq, "SGD", self.world.groups, TABLE, SLICES if first else (), first, False)
        self.link.say(request, init, initial() if first else (), now=self.now)

    def _rejoin(self) -> None:
        evicted = self.link.evicted is not None
        self.world._lives += evicted
        self.link.begin_anew(self.world._lives if evicted else self.link.incarnation, self.now)
        self.rejoined += 1
        self._join()

    def _go_on(self) -> None:
        if self.step >= self.goal:
            if self.leaves:
                self.leave()
            return
        self.since = self.now
        request = self.link.begin(self._deliver, self._fail)
        step, gradients = self.step + 1, self.world.gradient(self, self.step + 1)
        self._source = Source(self.rank, self.link.incarnation, request.seq)
        self.world.pushed[self._source] = step, [each.copy() for each in gradients]
        parts = self.world.parts
        for part in range(parts):
            mine = range(part, len(SLOTS), parts)
            last = {"present": tuple(range(len(SLOTS))), "groups": self.world.groups, "parts": parts}
            tail = last if part == parts - 1 else {"parts": 0}
            slots = tuple(SLOTS[index] for index in mine)
            push = messages.Push(slots, request.seq, step, part=part, version=self.version, **tail)
            self.link.say(request, push, [gradients[index] for index in mine], now=self.now)
        self._flush()

    def _deliver(self, message: messages.AnyMessage, arrays: list[Array]) -> None:
        if isinstance(message, messages.Ready):
            return
        assert isinstance(message, messages.Weights)
        assert message.parts == 1
        came = iter(arrays)
        for slot in message.tensors:
            rows = next(came) if slot.rows >= 0 else ...
            self.weights[slot.index][rows] = next(came)
        self.step, self.version, self.since = message.step, message.version, None
        if self._source is not None:
            self.world.acknowledged.append(self._source)
            self.world.check_read(self)
        self._go_on()

    def _fail(self, error: DistributedError) -> None:
        self.error, self.since = error, None


class _Beat:
    """The connection on which a worker's heart beats."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def handle(self, peer: bytes, frames: Sequence[bytes]) -> None:
        self._worker.hear_pulse(frames)

    def tick(self, now: float) -> None:
        """The worker itself is told the time."""


def _try_to_send(channel: Channel, message: messages.Message, arrays: Sequence[Array] = ()) -> bool:
    try:
        channel.send(message, arrays)
    except zmq.Again:
        return False
    return True


def initial() -> list[Array]:
    """The weights of the beginning."""
    return [np.full(each.shape, 1.0, np.float32) for each in SLICES]


def _bytes(weights: Sequence[Array]) -> bytes:
    return b"".join(each.tobytes() for each in weights)


def random_gradient(worker: Worker, step: int) -> list[Array]:
    """Gradients whose sum depends on the order of addition."""
    random = np.random.default_rng([worker.rank, step, worker.link.incarnation])
    return [np.asarray(random.standard_normal(each.shape), np.float32) for each in SLICES]
