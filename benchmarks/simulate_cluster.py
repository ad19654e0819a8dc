"""The parameter server on 10 to 10,000 workers and 1 to 200 servers, in virtual time.

    python benchmarks/simulate_cluster.py [scale] [claims] [check] [--quick] [--plot FILE] [--calibrate]

The package's own strategies, placement and sums run on simulated links and straggler laws (see `cluster_model.py`).

* ``scale``: samples and waiting as workers and servers grow, and the time to a loss. ``--plot`` draws it.
* ``claims``: what papers say of parameter servers, and what comes out here.
* ``check``: real runs of 1 to 4 workers on this machine against what the simulation says of them. It measures what
  a step costs here with one worker (its own work, the server's that it waits for, and the server's that it does not)
  and what several processes get of the processors and caches, and says how far the simulation is off. All of these
  take turns of two seconds, so that others' load is in all alike; but a machine of its own is better.

``--calibrate`` measures the processors' costs here first, and uses them in all sections; else those of a 2-core
machine of 2.5 GHz are taken.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import ps_train
from cluster_model import Cluster, Costs, Network, Problem, Result, heavy, shares_of, steady

import retrograd
from retrograd.distributed.strategies import strategy_for

inf = math.inf
MODEL = (100_000_000,)
"""Bytes of the tensors of the model that travels in the simulations: 25 million numbers, as ResNet-50 has."""
COMPUTE = 0.2
"""Seconds of computing of a step in the simulations."""


# ---- what it costs here --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """A step of one worker alone with a server on this machine."""

    computes: np.ndarray
    """Seconds of computing of its steps: the median of what they took, and around it as their work varies. What others
    on the machine take is shared by turns, and does not strike one worker or another."""
    costs: Costs
    speeds: tuple[float, ...]
    """How fast each of 1, 2, ... busy processes is, relative to one alone."""

    def law(self, random: np.random.Generator, rank: int) -> float:
        """Any of the steps that were measured."""
        return float(random.choice(self.computes))


def _spin(model: str, seconds: float, start: float) -> float:
    """How often in a second a worker computes its gradients, of the same images as in a run, for about that time.

    Its weights are new each time, and its gradients are copied to where a server would read them: of what is in the
    caches, a run of several has no more than that.
    """
    options = argparse.Namespace(model=model, batch=16, dense=False)
    network, (x, y) = ps_train.build(options)
    optimizer = retrograd.optim.SGD(network.parameters(), lr=0.0)
    parameters = [each.detach().numpy() for each in network.parameters()]
    came, went = [each.copy() for each in parameters], [each.copy() for each in parameters]
    count, began = 0, inf
    while (now := time.perf_counter()) < began + seconds:
        if began == inf and now >= start:
            began = now
        ps_train.backward(network, optimizer, x[:16], y[:16], options)
        for mine, new, sent, each in zip(parameters, came, went, network.parameters(), strict=True):
            np.copyto(sent, each.grad.numpy())
            np.copyto(mine, new)
        count += began < inf
    return count / (now - began)  # the last one ends later than it should


class Spinners:
    """Processes that compute as workers do, one or several at a time, to see what each gets of this machine.

    The caches and others' load are in it. They are of sessions of their own, as launched processes are, since Linux
    shares processors by sessions.
    """

    def __init__(self, model: str, most: int = 5) -> None:
        from parameter_server import ONE_THREAD

        os.environ.update(ONE_THREAD)  # as of the workers that are launched
        self._model = model
        self._rates: dict[int, list[float]] = {busy: [] for busy in range(1, 1 + most)}
        self._turns = itertools.cycle(self._rates)
        self._pool = multiprocessing.get_context("spawn").Pool(most, os.setsid)
        self._pool.starmap(_spin, [(model, 0.2, 0.0)] * most, chunksize=1)

    def look(self, seconds: float) -> None:
        """Let so many of them compute as is their turn, for so long; Linux takes a while to spread them out."""
        busy = next(self._turns)
        start = time.perf_counter() + seconds / 8
        rates = self._pool.starmap(_spin, [(self._model, seconds * 3 / 4, start)] * busy, chunksize=1)
        self._rates[busy].append(statistics.mean(rates))

    def speeds(self) -> tuple[float, ...]:
        """How fast each of 1, 2, ... busy processes is, relative to one alone."""
        self._pool.terminate()
        means = [statistics.median(each) for each in self._rates.values() if each]
        return tuple(min(1.0, mean / means[0]) for mean in means)


def measure_update(nbytes: int) -> tuple[float, float]:
    """Seconds of an update with one gradient, and more for each byte of another one, by the real `State`."""
    from retrograd.distributed.messages import TensorSpec
    from retrograd.distributed.placement import cut
    from retrograd.distributed.state import Position, State

    def seconds(elements: int, count: int) -> float:
        table = (TensorSpec("w", "float32", (elements,)),)
        slices = tuple(cut(table))
        groups = ({"lr": 0.01},)
        state = State(Position("SGD", groups, table, slices), [np.zeros(each.size, np.float32) for each in slices])
        gradient = {index: np.full(each.size, 1e-3, np.float32) for index, each in enumerate(slices)}
        times = []
        for _ in range(20):
            start = time.perf_counter()
            state.apply([gradient] * count, groups)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    one, two = (seconds(nbytes // 4, count) for count in (1, 2))
    return one, max(0.0, (two - one) / nbytes)


def measure(model: str, steps: int) -> Measured:
    """Costs of a model's step with one worker."""
    spinners = Spinners(model)
    for _ in range(5):
        spinners.look(2.0)
    [alone] = _trained(model, 1, steps)
    return _measured(alone, spinners)


def _measured(alone: dict, spinners: Spinners) -> Measured:
    update, per_byte = measure_update(4 * alone["parameters"])
    costs = costs_of(statistics.median(alone["steps"]), alone["step_cpu"], alone["server_cpu"], update)
    work = np.array(alone["compute_cpu"])
    computes = statistics.median(alone["compute"]) / np.median(work) * work
    return Measured(computes, replace(costs, per_byte=per_byte), spinners.speeds())


def costs_of(step: float, worker: float, server: float, update: float) -> Costs:
    """What a worker that is alone with a server tells of the processors' work.

    Parameters
    ----------
    step
        Seconds that it waits in `step()`, of which `worker` are its own work.
    server
        Processor time of the server for each step, of which `update` are the update. What the worker does not wait
        for, the server does beside it.
    """
    worker = min(worker, max(0.0, step - update))
    push = max(0.0, step - worker - update)
    return Costs(worker, push, update, beside=max(0.0, server - push - update))


def _trained(model: str, workers: int, steps: int, *flags: object) -> list[dict]:
    from parameter_server import trained

    return trained("--model", model, "--batch", 16 * workers, "--steps", steps, *flags, workers=workers)


def predicted(measured: Measured, workers: int, nbytes: int) -> float:
    """Seconds of a step in step on this machine: the median."""
    costs = measured.costs
    update = costs.update + (workers - 1) * costs.per_byte * nbytes
    costs = replace(costs, update=update, per_byte=0.0)
    shares = np.array([float(nbytes)])
    cluster = Cluster(strategy_for(workers), shares, measured.law, costs=costs, speeds=measured.speeds)
    return statistics.median(cluster.run(steps=200).durations)


def in_turns(model: str, counts: Sequence[int], seconds: float, turn: float) -> tuple[Measured, dict[int, list[dict]]]:
    """Runs of so many workers, and what a prediction needs: all at once, but of which one computes at a time.

    They take turns of `turn` seconds, so that others' load is in all of them alike.
    """
    turns, until = len(counts) + 1, time.monotonic() + seconds
    with ThreadPoolExecutor(turns) as threads:
        running = {}
        for number, workers in enumerate(counts):
            flags = ("--turn", f"{turn},{number},{turns}", "--until", until)
            running[workers] = threads.submit(_trained, model, workers, 1 << 30, *flags)
        spinners = Spinners(model)
        time.sleep(turn * turns)  # all have started by then
        while time.monotonic() < until:
            time.sleep(ps_train.until_turn(turn, 0, turns))  # once in a turn, or it would reach into the next one
            time.sleep(ps_train.until_turn(turn, turns - 1, turns))
            spinners.look(turn)
        results = {workers: each.result() for workers, each in running.items()}
    return _measured(results[1][0], spinners), results


def check(options: argparse.Namespace) -> None:
    """Real runs against the simulation: ms of a step in which each worker computes on 16 images"""
    print(f"{'model':>8}{'workers':>9}{'real':>9}{'simulated':>11}{'off by':>9}   (to reach: 20 %)")
    counts = sorted({1, *(options.workers or (1, 2, 3, 4))})
    for model in ("cnn", "wide"):
        measured, results = in_turns(model, counts, *((30.0, 1.0) if options.quick else (150.0, 2.0)))
        for workers, result in results.items():
            real = statistics.median(
                computing + step
                for each in result
                for computing, step in zip(each["compute"], each["steps"], strict=True)
            )
            said = predicted(measured, workers, 4 * result[0]["parameters"])
            print(f"{model:>8}{workers:9}{real * 1e3:9.2f}{said * 1e3:11.2f}{said / real - 1:+9.0%}", flush=True)


# ---- how it grows --------------------------------------------------------------------------------------------


def scale(options: argparse.Namespace) -> None:
    """In step, 100 MB of weights, 10 Gbit/s, 0.2 s of computing with stragglers; ideal is no waiting and no sending"""
    print(f"{'workers':>9}{'servers':>9}{'steps/s':>10}{'of ideal':>10}{'waiting':>9}{'s to loss 0.3':>15}")
    sizes = [(10, 1), (10, 2), (10, 10), (100, 1), (100, 10), (100, 50), (1000, 10), (1000, 100), (1000, 200)]
    sizes += [] if options.quick else [(10_000, 100), (10_000, 200)]
    drawn: dict[int, list[tuple[int, Result]]] = {}
    for workers, servers in sizes:
        steps = 3 if options.quick or workers > 1000 else 30
        problem = Problem(workers)
        run = Cluster(
            strategy_for(workers),
            shares_of(MODEL, servers),
            heavy(COMPUTE),
            costs=options.costs,
            rate=8.0,
            problem=problem,
        ).run(steps=steps)
        drawn.setdefault(workers, []).append((servers, run))
        ideal = workers / COMPUTE
        reached = run.time_to(0.3)
        print(
            f"{workers:9}{servers:9}{run.throughput:10.1f}{run.throughput / ideal:10.1%}{run.waiting:9.1%}"
            f"{f'{reached:.1f}' if reached < inf else f'> {run.seconds:.0f}':>15}",
            flush=True,
        )
    if options.plot:
        plot(drawn, options.plot)


def plot(drawn: dict[int, list[tuple[int, Result]]], file: Path) -> None:
    """Throughput and waiting by servers, a line for each number of workers."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install matplotlib") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for workers, runs in drawn.items():
        servers = [count for count, _ in runs]
        left.plot(servers, [run.throughput * COMPUTE / workers for _, run in runs], "o-", label=f"{workers} workers")
        right.plot(servers, [run.waiting for _, run in runs], "o-", label=f"{workers} workers")
    for axes, title in ((left, "part of the ideal throughput"), (right, "part of the time spent waiting")):
        axes.set(xscale="log", xlabel="servers", ylim=(0, 1), title=title)
        axes.legend()
    figure.tight_layout()
    figure.savefig(file)


# ---- what papers say -----------------------------------------------------------------------------------------


def time_to(target: float, staleness: float, *, backups: int = 0, workers: int = 32, rate: float = 8.0) -> float:
    """Virtual seconds to a loss, the median over seeds; infinity if it is not reached."""
    times = []
    for seed in range(3):
        rule = strategy_for(workers, staleness, backups=backups)
        run = Cluster(rule, shares_of([1_000_000], 4), heavy(COMPUTE, rare=0.05, factor=8), rate=rate, seed=seed)
        times.append(run.run(seconds=120, target=target).time_to(target))
    return statistics.median(times)


def time_near_best(excess: float, staleness: float, workers: int = 32) -> float:
    """The same to within `excess` of the best loss there is, and to stay there, with slow workers and unlike data."""
    times = []
    for seed in range(3):
        problem = Problem(workers, columns=8, seed=seed, skewed=True)
        law = heavy(COMPUTE, rare=0.05, factor=8, slow=workers // 8)
        run = Cluster(strategy_for(workers, staleness), shares_of([1_000_000], 4), law, seed=seed, problem=problem)
        times.append(run.run(seconds=100).settled_at((1 + excess) * problem.best()))
    return statistics.median(times)


def listed(times: dict[float, float], name: str, unit: str = " s") -> str:
    return ", ".join(f"{name}={key}: {f'{each:.1f}{unit}' if each < inf else 'never'}" for key, each in times.items())


def best_is_between(times: dict[float, float]) -> bool:
    """Whether a bound between none and infinity is clearly better than both."""
    middle = min(each for key, each in times.items() if key not in (0, inf))
    return middle < 0.95 * min(times[0], times[inf])


Claim = tuple[str, str, bool, str]
"""What is said and by whom; ours; whether it is the same direction; why."""


def ssp(options: argparse.Namespace) -> Claim:
    times = {bound: time_near_best(0.005, bound) for bound in (0, 1, 2, 4, 8, 16, inf)}
    return (
        "SSP (Ho 2013), bounded delay (Li 2014): some staleness beats none and infinity (to 0.5 % above the best)",
        listed(times, "s"),
        best_is_between(times),
        "a bound hides rare delays; without one, slow workers' data count for less, and training ends elsewhere. "
        "Each worker has data of its own; one in eight is twice as slow",
    )


def ssp_far(options: argparse.Namespace) -> Claim:
    times = {bound: time_near_best(0.05, bound) for bound in (0, 1, 2, 4, 8, 16, inf)}
    return (
        "the same, to 5 % above the best loss",
        listed(times, "s"),
        best_is_between(times),
        "so far from the end it does not matter whose data count for less, and the problem is convex: old gradients "
        "do little harm",
    )


def invariant(options: argparse.Namespace) -> Claim:
    ahead = {}
    for bound in (0, 1, 4, 16):
        run = Cluster(strategy_for(16, bound), shares_of([1_000_000], 2), heavy(COMPUTE, slow=2)).run(steps=40)
        ahead[bound] = run.most_ahead
    return (
        "SSP (Ho 2013): nobody is more than s steps ahead",
        ", ".join(f"s={bound}: {most}" for bound, most in ahead.items()),
        all(most <= bound for bound, most in ahead.items()),
        "the strategy's own rule, seen from outside",
    )


def backup(options: argparse.Namespace) -> Claim:
    times = {count: time_to(0.2, 0, backups=count) for count in (0, 1, 2, 4, 8)}
    asynchronous = time_to(0.2, inf)
    return (
        "backup workers (Chen 2016): a few make a step faster than none, and beat asynchronous",
        listed(times, "b") + f", asynchronous: {asynchronous:.1f} s",
        min(times.values()) < times[0] and min(times.values()) < asynchronous,
        "the slowest of 32 need not be waited for, as they say. But asynchronous training of a convex problem on like "
        "data pays nothing for old gradients, and theirs was a deep network",
    )


def byteps(options: argparse.Namespace) -> Claim:
    network, free = Network(latency=0.0), Costs(0.0, 0.0, 0.0, 0.0)
    size, worst, cells = float(MODEL[0]), 0.0, []
    for workers, servers in ((2, 1), (4, 1), (4, 2), (4, 4), (16, 4), (16, 16)):
        rule = strategy_for(workers)
        run = Cluster(rule, shares_of(MODEL, servers), steady(0.0), network, free).run(steps=4)
        formula = 2 * max(size, workers * size / servers) / network.bandwidth  # there and back
        ours = run.seconds / 4
        worst = max(worst, abs(ours / formula - 1))
        cells.append(f"n={workers} k={servers}: {ours / formula:.2f}")
    return (
        "BytePS (2020): each way takes max(M/B, nM/(kB)); times of the formula's",
        ", ".join(cells),
        worst < 0.35,
        "the same bytes over the same narrow places; below 1, because who has all weights pushes again while others "
        "still pull",
    )


def all_reduce(options: argparse.Namespace) -> Claim:
    size, network, free, cells, won = float(MODEL[0]), Network(), Costs(0.0, 0.0, 0.0, 0.0), [], []
    for workers, servers in ((8, 1), (8, 4), (8, 8), (8, 16)):
        run = Cluster(strategy_for(workers), shares_of(MODEL, servers), steady(0.0), network, free).run(steps=4)
        ring = 2 * (workers - 1) * size / (workers * network.bandwidth)
        cells.append(f"k={servers}: {ring / (run.seconds / 4):.2f}")
        won.append(ring / (run.seconds / 4))
    return (
        "BytePS (2020): with as many servers as workers a PS beats all-reduce, by up to 2",
        "ring all-reduce's time by ours, n=8: " + ", ".join(cells),
        won[-1] > 1,
        "theirs pushes and pulls different layers at once, so uses both directions of a link; a step here first "
        "pushes all and then pulls all, which takes M/B twice",
    )


def servers(options: argparse.Namespace) -> Claim:
    rates = {
        count: Cluster(strategy_for(64), shares_of(MODEL, count), heavy(COMPUTE)).run(steps=8).throughput
        for count in (1, 4, 16, 64, 200)
    }
    return (
        "OSDI'14, DistBelief: more servers carry more workers",
        "n=64, " + ", ".join(f"k={count}: {rate:.0f}/s" for count, rate in rates.items()),
        rates[16] > 1.5 * rates[1],
        "until the workers' links are the narrow place; 100 MB in slices of 1 MiB fill no more than 96 servers",
    )


def speed_up(options: argparse.Namespace) -> Claim:
    # Each push is a step of its own size there, and here a part of one.
    times = {count: time_to(0.2, inf, workers=count, rate=0.5 * count) for count in (1, 4, 16)}
    return (
        "DistBelief (2012): Downpour SGD is faster with more workers, less than n times",
        ", ".join(f"n={count}: {times[1] / each:.1f} times" for count, each in times.items()),
        1 < times[1] / times[4] < times[1] / times[16] <= 16,
        "each worker adds as many steps as another, until steps of old gradients get in each other's way",
    )


CLAIMS: tuple[Callable[[argparse.Namespace], Claim], ...] = (
    ssp, ssp_far, invariant, backup, byteps, all_reduce, servers, speed_up,
)  # fmt: skip


def claims(options: argparse.Namespace) -> None:
    """What papers say, and what comes out here"""
    for number, each in enumerate(CLAIMS[2:3] + CLAIMS[4:5] if options.quick else CLAIMS, start=1):
        claim, ours, same, why = each(options)
        print(f"{number}. claim           {claim}")
        print(f"   ours            {ours}")
        print(f"   same direction  {'yes' if same else 'no'}\n   why             {why}", flush=True)
    print(
        "not simulated: P3 and ByteScheduler, whose gain is that the forward pass starts on the first layers' weights "
        "before the last\nhave come (measured by the section link of parameter_server.py); GeePS and 1-bit SGD, whose "
        "gains are of GPUs and of speech models."
    )


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {each.__name__: each for each in (scale, claims, check)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--workers", type=int, nargs="+", help="of check: how many")
    parser.add_argument("--calibrate", action="store_true", help="measure the processors' costs on this machine first")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="of scale: draw it, as SVG or PNG")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes: to see that it works")
    options = parser.parse_args(argv)
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"no section {', '.join(sorted(unknown))}")
    options.costs = Costs()
    if options.calibrate:
        options.costs = measure("cnn", 40).costs
        print("measured here:", options.costs)
    for name in options.sections or SECTIONS:
        print(f"\n{name}: {SECTIONS[name].__doc__}\n")
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
