"""A worker of `parameter_server.py` and `simulate_cluster.py`: trains a small model, and writes what it took.

It is started by ``retrograd launch``. Each worker writes one JSON object to ``FOLDER/worker.RANK.json``.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import retrograd as rg
import retrograd.distributed as dist
import retrograd.nn.functional as F
from retrograd import nn
from retrograd.distributed import worker

T = TypeVar("T")


def cnn(wide: bool) -> nn.Module:
    """The CNN of ``examples/train_digits.py``; `wide` with a hidden layer of 2048, so that bytes matter."""
    head = (nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 10)) if wide else (nn.Linear(512, 10),)
    convolutions = (nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
    return nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Flatten(), *head)


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32).reshape(-1, 1, 8, 8), labels.astype(np.int64)


def regression(rows: int = 2048, columns: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of ten classes that a linear map with noise has made."""
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, columns)).astype(np.float32)
    scores = x @ random.standard_normal((columns, 10)) + 4 * random.standard_normal((rows, 10))
    return x, scores.argmax(1).astype(np.int64)


class Embedding(nn.Module):
    """The mean of a few rows of a large table, and a linear map of it."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(rows, columns), nn.Linear(columns, 10)

    def forward(self, numbers: rg.Tensor) -> rg.Tensor:
        return self.head(self.table(numbers).mean(1))


def build(options: argparse.Namespace) -> tuple[nn.Module, tuple[np.ndarray, np.ndarray]]:
    rg.manual_seed(0)
    match options.model:
        case "cnn" | "wide":
            return cnn(options.model == "wide"), digits()
        case "mlp":
            data = regression()
            return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10)), data
        case _:
            random = np.random.default_rng(0)
            numbers = random.integers(0, options.rows, (2048, 8))
            return Embedding(options.rows, 64), (numbers, numbers[:, 0] % 10)


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train for some steps; samples, seconds, waiting, bytes, and loss over time."""
    model, (x, y) = build(options)
    optimizer = dist.ServerOptimizer(
        rg.optim.SGD, model.parameters(), lr=options.lr, overlap=not options.no_overlap, momentum=options.momentum
    )
    rank, size = dist.rank(), dist.world_size()
    random = np.random.default_rng(rank)
    clock = Clock(options.straggle if rank == size - 1 and size > 1 else 0.0)
    client = worker.current().client
    assert client is not None
    share, curve = options.batch // size, []
    for step in range(options.steps + options.warm):
        idle = clock.wait_for_turn(options.turn)
        if time.monotonic() > options.until:
            if step <= options.warm:
                raise SystemExit(
                    f"--until came before the first {options.warm} steps, which are not counted, were made"
                )
            break
        if step == options.warm:
            clock.begin()
            waited, sent, served = client.waited, client.bytes_sent, server_seconds()
        elif step > options.warm:
            served += idle
        mine = random.integers(0, len(x), share)
        clock.compute(lambda mine=mine: backward(model, optimizer, x[mine], y[mine], options))
        before, cpu = time.perf_counter(), time.process_time()
        optimizer.step()
        clock.stepped(time.perf_counter() - before, time.process_time() - cpu)
        if step >= options.warm and (step - options.warm) % options.look == 0:
            curve.append((clock.elapsed(), clock.aside(lambda: full_loss(model, x, y))))
    return {
        "rank": rank,
        "samples": len(clock.steps) * share,
        "seconds": clock.elapsed(),
        "waited": client.waited - waited,
        "bytes": client.bytes_sent - sent,
        "compute": clock.computed,
        "compute_cpu": clock.work,
        "steps": clock.steps,
        "step_cpu": statistics.median(clock.cpu),
        "server_cpu": (server_seconds() - served) / len(clock.steps),
        "curve": curve,
        "loss": full_loss(model, x, y),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


@functools.cache
def clocks_of_servers() -> list[int]:
    """Linux's clocks of the processes of the servers that the same launcher has started; none where there are none."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if parent == str(os.getppid()) and b"server" in words:
            found.append((~int(folder.name) << 3) | 2)
    return found


def server_seconds() -> float:
    """Processor time that the servers have taken."""
    return sum(time.clock_gettime(clock) for clock in clocks_of_servers())


def until_turn(seconds: float, number: int, count: int) -> float:
    """Seconds until it is the turn of run `number` of so many, each of which has some by the machine's clock."""
    left = (number - time.monotonic() / seconds) % count
    return left * seconds if left <= count - 1 else 0.0


def a_turn(text: str) -> tuple[float, int, int]:
    seconds, number, count = text.split(",")
    return float(seconds), int(number), int(count)


class Clock:
    """The time of training, without that of looking at the loss."""

    def __init__(self, straggle: float) -> None:
        self._straggle = straggle
        self.begin()

    def begin(self) -> None:
        self._start, self._aside = time.perf_counter(), 0.0
        self.computed: list[float] = []
        self.work: list[float] = []
        self.steps: list[float] = []
        self.cpu: list[float] = []

    def wait_for_turn(self, turn: tuple[float, int, int] | None) -> float:
        """Wait aside; what the servers have done meanwhile, in seconds of processors."""
        idle = 0.0
        while turn is not None and (left := until_turn(*turn)):
            before = server_seconds()
            self.aside(lambda left=left: time.sleep(left))
            idle += server_seconds() - before
        return idle

    def compute(self, work: Callable[[], None]) -> None:
        """Do a step's computation, and as a straggler be slow."""
        start, cpu = time.perf_counter(), time.process_time()
        work()
        time.sleep(self._straggle)
        self.computed.append(time.perf_counter() - start)
        self.work.append(time.process_time() - cpu)

    def stepped(self, seconds: float, cpu: float) -> None:
        self.steps.append(seconds)
        self.cpu.append(cpu)

    def aside(self, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = work()
        self._aside += time.perf_counter() - start
        return result

    def elapsed(self) -> float:
        return time.perf_counter() - self._start - self._aside


def backward(model: nn.Module, optimizer: Any, x: np.ndarray, y: np.ndarray, options: argparse.Namespace) -> None:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(rg.tensor(x)), rg.tensor(y), reduction="sum") / options.batch
    loss.backward()
    if options.dense:  # no row is zero, so that the whole table travels
        model.table.weight.grad.add_(1e-12)


def full_loss(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    with rg.no_grad():
        return float(F.cross_entropy(model(rg.tensor(x[:512])), rg.tensor(y[:512])).item())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--model", choices=("cnn", "wide", "mlp", "embedding"), default="cnn")
    parser.add_argument("--batch", type=int, default=64, help="over all workers")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warm", type=int, default=5, help="steps that are not counted")
    parser.add_argument("--look", type=int, default=1_000_000, help="steps between looks at the loss")
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--rows", type=int, default=20_000, help="of the embedding")
    parser.add_argument("--dense", action="store_true", help="let every row of the embedding have a gradient")
    parser.add_argument("--straggle", type=float, default=0.0, help="seconds that the last worker sleeps in each step")
    parser.add_argument(
        "--turn",
        type=a_turn,
        metavar="S,K,N",
        help="compute only in every Nth span of S seconds, as number K of N runs",
    )
    parser.add_argument("--until", type=float, default=float("inf"), help="end then, by the machine's clock")
    parser.add_argument("--no-overlap", action="store_true")
    options = parser.parse_args()
    dist.init()
    result = train(options)
    (options.folder / f"worker.{dist.rank()}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
