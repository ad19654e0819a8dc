"""A cluster in virtual time: the parameter server's own rules on simulated machines and links.

What is real: :mod:`retrograd.distributed.strategies` decides who waits and what makes an update, `cut` and `place`
say what lies where, `sum_in_order` adds gradients up, and gradients are those of a problem that is being solved, at
the weights that each worker has read. What is simulated: how long computing and sending take.

A transfer takes ``latency + bytes / bandwidth``. A worker's connections to the servers share its link; a server's link
takes one push after another, in the order in which they began, and so does its processor. Only the events that a
strategy sees are events here, so that 10,000 workers are possible; transfers are arithmetic on arrays over servers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from retrograd.distributed.gradients import sum_in_order
from retrograd.distributed.messages import Source, TensorSpec
from retrograd.distributed.placement import SLICE_BYTES, bytes_of, cut, place
from retrograd.distributed.strategies import Claim, Decision, Strategy

__all__ = ["Cluster", "Cores", "Costs", "Law", "Network", "Problem", "Result", "heavy", "shares_of", "steady"]

Law = Callable[[np.random.Generator, int], float]
"""Seconds of computing of one step of the worker with this rank."""


def steady(seconds: float) -> Law:
    """Everyone takes the same time."""
    return lambda random, rank: seconds


def heavy(
    seconds: float, spread: float = 0.1, rare: float = 0.02, factor: float = 5.0, slow: int = 0, slowness: float = 2.0
) -> Law:
    """Log-normal around `seconds`; rarely `factor` times as much; and for the first `slow` ranks always `slowness`."""

    def law(random: np.random.Generator, rank: int) -> float:
        time = seconds * float(np.exp(spread * random.standard_normal()))
        return time * (factor if random.random() < rare else 1.0) * (slowness if rank < slow else 1.0)

    return law


@dataclass(frozen=True, slots=True)
class Network:
    """Links: seconds, and bytes a second of each machine in each direction."""

    latency: float = 50e-6
    bandwidth: float = 1.25e9  # 10 Gbit/s


@dataclass(frozen=True, slots=True)
class Costs:
    """What processors need for a step, in seconds, beside the worker's own computing."""

    worker: float = 300e-6
    """On a worker, for sending and taking the weights."""
    push: float = 150e-6
    """On a server, for each push."""
    update: float = 100e-6
    """On a server, for each update, however small."""
    per_byte: float = 0.5e-9
    """On a server, to add up and apply a byte of a gradient."""
    beside: float = 0.0
    """On a server, for each step of a worker, while that computes: parts of its push that come during backward, and
    what is foreseen of the next step. Nobody waits for it, where there is a processor for it."""


class Problem:
    """Logistic regression on Gaussian data.

    Each worker draws from all samples; or if `skewed`, from a share of its own, in the order of the first feature, so
    that what the servers get depends on how often each worker pushes.
    """

    def __init__(
        self, world_size: int, columns: int = 32, batch: int = 8, seed: int = 0, *, skewed: bool = False
    ) -> None:
        random = np.random.default_rng(seed)
        self.x = random.standard_normal((4096, columns)).astype(np.float32)
        self.x *= np.geomspace(1, 1 if skewed else 0.1, columns, dtype=np.float32)
        scores = self.x @ random.standard_normal(columns).astype(np.float32) * (1 if skewed else 3)
        if skewed:  # the shares disagree about the second and third feature
            scores += 2 * np.abs(self.x[:, 0]) * self.x[:, 1] - 6 * (self.x[:, 0] < -1) * self.x[:, 2]
        self.y = (scores + random.standard_normal(4096) > 0).astype(np.float32)
        self.weights = np.zeros(columns, np.float32)
        order = np.argsort(self.x[:, 0])
        self._shares = np.array_split(order, world_size) if skewed else [order] * world_size
        self._batch, self._world_size, self._random = batch, world_size, random

    def gradient(self, weights: np.ndarray, rank: int = 0) -> np.ndarray:
        """Of a worker's mean loss, divided by the number of workers, so that the sum is the mean."""
        share = self._shares[rank]
        mine = share[self._random.integers(0, len(share), self._batch)]
        x, y = self.x[mine], self.y[mine]
        wrong = 1 / (1 + np.exp(-(x @ weights))) - y
        return (x.T @ wrong / np.float32(self._batch * self._world_size)).astype(np.float32)

    def best(self) -> float:
        """The smallest loss there is, by gradient descent on all samples."""
        weights = np.zeros_like(self.weights)
        for _ in range(3000):
            wrong = 1 / (1 + np.exp(-(self.x @ weights))) - self.y
            weights -= self.x.T @ wrong / np.float32(len(self.x))
        return self.loss(weights)

    def loss(self, weights: np.ndarray | None = None) -> float:
        """Of all samples, at the present weights or others."""
        scores = self.x @ (self.weights if weights is None else weights)
        return float(np.mean(np.logaddexp(0, scores) - self.y * scores))


def shares_of(nbytes: Sequence[int], servers: int, slice_bytes: int = SLICE_BYTES) -> np.ndarray:
    """Bytes that each server owns of a model whose tensors have these sizes, by the real placement."""
    table = [TensorSpec(f"t{number}", "float32", (max(1, size // 4),)) for number, size in enumerate(nbytes)]
    shares = place(cut(table, slice_bytes), table, servers)
    return np.array([sum(bytes_of(piece, table) for piece in share) for share in shares], float)


class Cores:
    """Processors that all processes of one machine share equally.

    Parameters
    ----------
    env : simpy.Environment
    speeds
        How fast each process goes when 1, 2, ... want to, and the last of them for more; relative to one alone.
    """

    def __init__(self, env: simpy.Environment, speeds: Sequence[float]) -> None:
        self._env, self._speeds = env, speeds
        self._left: dict[simpy.Event, float] = {}
        self._since = 0.0
        self._turn = 0

    def work(self, seconds: float) -> simpy.Event:
        """An event at the end of so much work."""
        self._catch_up()
        done = self._env.event()
        self._left[done] = seconds
        self._plan()
        return done

    def _speed(self) -> float:
        count = len(self._left)
        last = len(self._speeds)
        return self._speeds[count - 1] if count <= last else self._speeds[-1] * last / count

    def _catch_up(self) -> None:
        passed, self._since = self._env.now - self._since, self._env.now
        if self._left:
            speed = self._speed()
            for each in self._left:
                self._left[each] -= passed * speed

    def _plan(self) -> None:
        self._turn += 1
        if self._left:
            wait = max(0.0, min(self._left.values())) / self._speed()
            self._env.process(self._ring(self._turn, wait))

    def _ring(self, turn: int, wait: float) -> Generator[simpy.Event, Any, None]:
        yield self._env.timeout(wait)
        if turn == self._turn:
            self._catch_up()
            for each in [each for each, left in self._left.items() if left <= 1e-12]:
                del self._left[each]
                each.succeed()
            self._plan()


@dataclass(slots=True)
class Result:
    """What a simulated run came to."""

    seconds: float = 0.0
    steps: int = 0
    """Of all workers together."""
    waiting: float = 0.0
    """The part of the workers' time in which they neither computed nor sent nor received."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Time and loss."""
    durations: list[float] = field(default_factory=list)
    """Seconds of each worker's each step."""
    most_ahead: int = 0
    """How many steps a worker was ahead of the slowest when it went on."""
    dropped: int = 0

    @property
    def throughput(self) -> float:
        return self.steps / self.seconds

    def time_to(self, loss: float) -> float:
        """When the loss was first reached; infinity if never."""
        return next((at for at, value in self.curve if value <= loss), float("inf"))

    def settled_at(self, loss: float, looks: int = 20) -> float:
        """When the mean of so many looks at the loss was first below; infinity if never."""
        times, values = np.array(self.curve).T
        means = np.convolve(values, np.ones(looks) / looks, "valid")
        below = np.flatnonzero(means <= loss)
        return float(times[looks - 1 + below[0]]) if len(below) else float("inf")


class Cluster:
    """Workers and servers of one run.

    Parameters
    ----------
    strategy : Strategy
        Of the package itself; its `world_size` is the number of workers.
    shares
        Bytes of each server; see `shares_of`.
    law : Law
        How long workers compute.
    network, costs
        Links and processors.
    rate : float
        Learning rate of the problem that is solved.
    speeds
        If given, all processes are on one machine with these processors (see `Cores`), and `network` adds nothing.
    """

    def __init__(
        self,
        strategy: Strategy,
        shares: np.ndarray,
        law: Law,
        network: Network = Network(),
        costs: Costs = Costs(),
        *,
        rate: float = 1.0,
        seed: int = 0,
        speeds: Sequence[float] | None = None,
        problem: Problem | None = None,
    ) -> None:
        self.strategy, self.shares, self.law = strategy, shares, law
        self.network, self.costs, self.rate = network, costs, rate
        self.env = simpy.Environment()
        self.problem = problem or Problem(strategy.world_size, seed=seed)
        self.result = Result()
        self._cores = None if speeds is None else Cores(self.env, speeds)
        self._server = simpy.Resource(self.env)
        """On one machine: the server's process, which does one thing after another however many cores there are."""
        self._updated = self.env.event()
        """The end of the last update there."""
        self._random = np.random.default_rng(seed)
        self._gradients: dict[Source, np.ndarray] = {}
        self._settled: dict[Source, simpy.Event] = {}
        self._waiting: list[tuple[float, int, simpy.Event]] = []
        """Who waits, by the frontier that each waits for."""
        self._count = 0
        servers = len(shares)
        self._into, self._out, self._busy = np.zeros(servers), np.zeros(servers), np.zeros(servers)
        """When the servers' links and processors are free again."""
        self._sent = float(shares.sum()) / network.bandwidth
        """Seconds that a worker's own link needs for all shares."""
        self._look = max(1, strategy.world_size // 4) if strategy.staleness else 1

    def run(self, seconds: float = float("inf"), steps: int = 1 << 60, target: float = -1.0) -> Result:
        """Run until some time, until everyone has done so many steps, or until a loss is reached."""
        self._target, self._over = target, self.env.event()
        self._steps = steps
        for rank in range(self.strategy.world_size):
            self.env.process(self._work(rank))
        if seconds < float("inf"):
            self.env.process(self._end(seconds))
        self.env.run(self._over)
        self.result.seconds = self.env.now
        self.result.waiting /= max(self.env.now * self.strategy.world_size, 1e-12)
        return self.result

    def _end(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(seconds)
        self._finish()

    def _finish(self) -> None:
        if not self._over.triggered:
            self._over.succeed()

    # ---- a worker --------------------------------------------------------------------------------------------

    def _work(self, rank: int) -> Generator[simpy.Event, Any, None]:
        step, seq, version, weights = 0, 0, 0, self.problem.weights.copy()
        while step < self._steps:
            began = self.env.now
            yield from self._compute(rank)
            step, seq = step + 1, seq + 1
            source = Source(rank, 0, seq)
            self._gradients[source] = self.problem.gradient(weights, rank)
            yield from self._push()
            arrived = self.env.now
            yield from self._agree(Claim(source, step, version))
            self.result.waiting += self.env.now - arrived
            step = max(step, self.strategy.frontier if self.strategy.staleness == 0 else 0)
            version, weights = self.strategy.updates, self.problem.weights.copy()
            yield from self._pull()
            yield self._process(self.costs.worker / 2)
            self.result.steps += 1
            self.result.durations.append(self.env.now - began)
            self.result.most_ahead = max(
                self.result.most_ahead, step - min(self.strategy.clocks.values(), default=step)
            )
        self._leave(rank)

    def _compute(self, rank: int) -> Generator[simpy.Event, Any, None]:
        """Forward and backward, during which a server may already have to do, and what it takes to send the rest."""
        seconds = self.law(self._random, rank)
        if self._cores is not None and self.costs.beside:
            yield self._process(seconds / 2)
            self.env.process(self._served(self.costs.beside))
            seconds /= 2
        yield self._process(seconds + self.costs.worker / 2)

    def _leave(self, rank: int) -> None:
        self._carry_out(self.strategy.leave(rank))
        if not self.strategy.clocks:
            self._finish()

    def _agree(self, claim: Claim) -> Generator[simpy.Event, Any, None]:
        """Wait until the push is settled, and the strategy lets its worker read."""
        settled = self._settled[claim.source] = self.env.event()
        self._carry_out(self.strategy.offer(claim))
        yield settled
        if not self.strategy.may_answer(claim.step, self.strategy.frontier):
            self._count += 1
            may = self.env.event()
            heapq.heappush(self._waiting, (claim.step - self.strategy.staleness, self._count, may))
            yield may

    def _process(self, seconds: float) -> simpy.Event:
        return self.env.timeout(seconds) if self._cores is None else self._cores.work(seconds)

    # ---- the way there and back ------------------------------------------------------------------------------

    def _push(self) -> Generator[simpy.Event, Any, None]:
        if self._cores is not None:
            yield from self._served(self.costs.push)
            return
        now, each = self.env.now, self.shares / self.network.bandwidth
        begin = now + self.network.latency
        # A worker's connections share its link, so that no share has come before all have left it.
        self._into = np.maximum(self._into, begin) + each
        come = np.maximum(self._into, begin + self._sent)
        self._busy = np.maximum(self._busy, come) + self.costs.push + self._handling()
        yield self.env.timeout(float(self._busy.max()) - now)

    def _served(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        """Work of the server's process, when it has done all before it."""
        with self._server.request() as turn:
            yield turn
            yield self._process(seconds)

    def _handling(self) -> np.ndarray | float:
        """Adding up and applying is done when a push arrives, where each is an update of its own."""
        return self.shares * self.costs.per_byte + (self.costs.update if self.strategy.staleness else 0.0)

    def _pull(self) -> Generator[simpy.Event, Any, None]:
        if self._cores is not None:
            yield self._updated
            return
        now, each = self.env.now, self.shares / self.network.bandwidth
        begin = now + self.network.latency + (0.0 if self.strategy.staleness else self.costs.update)
        self._out = np.maximum(self._out, begin) + each
        done = max(float(self._out.max()), begin + self._sent)
        yield self.env.timeout(done - now)

    # ---- the servers -----------------------------------------------------------------------------------------

    def _carry_out(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            if decision.sources:
                self._update(decision)
            self.result.dropped += len(decision.dropped)
            for source in (*decision.sources, *decision.dropped):
                self._gradients.pop(source)
                self._settled.pop(source).succeed()
        while self._waiting and self._waiting[0][0] <= self.strategy.frontier:
            heapq.heappop(self._waiting)[2].succeed()

    def _update(self, decision: Decision) -> None:
        if self._cores is not None:
            self._updated = self.env.process(self._served(self.costs.update))
        total = sum_in_order([{0: self._gradients[source]} for source in decision.sources])[0]
        self.problem.weights -= np.float32(self.rate * decision.rate * decision.scale) * total
        if self.strategy.updates % self._look == 0:
            loss = self.problem.loss()
            self.result.curve.append((self.env.now, loss))
            if loss <= self._target:
                self._finish()
