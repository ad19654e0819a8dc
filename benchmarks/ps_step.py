"""A worker of `parameter_server.py`: the same step by the server, by gloo and by bare ZeroMQ, in alternating rounds.

It is started by ``retrograd launch`` and writes, as rank 0, the median step of each round and way to a file.

* ``ours``: `ServerOptimizer.step()` on one tensor, with its gradient rewritten before every step.
* ``gloo``: `torch.distributed.all_reduce` of the same bytes, and the same update.
* ``raw``: pyzmq alone, ROUTER and DEALER, the same frames in the same messages, and nothing done with them.
* ``raw+sum``: the same, and the server adds up and updates, and the workers copy the weights to their place.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zmq

import retrograd as rg
import retrograd.distributed as dist

PART, SLICE = 4 << 20, 1 << 20
"""Bytes of a message and of a frame in it, as the parameter server has them."""
LR = 1e-3
MOVE, SUM, STOP = b"m", b"s", b"x"


def parts_of(array: np.ndarray) -> Iterator[list[np.ndarray]]:
    """The messages in which an array travels, each a list of frames."""
    step, size = PART // array.itemsize, SLICE // array.itemsize
    for start in range(0, len(array), step):
        part = array[start : start + step]
        yield [part[each : each + size] for each in range(0, len(part), size)]


def serve_raw(workers: int, elements: int, file: Path) -> None:
    """Move the same bytes as a server does, and with `SUM` do the same arithmetic."""
    weights = np.zeros(elements, np.float32)
    answer = list(parts_of(weights))
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.bind("tcp://127.0.0.1:*")
    aside = file.with_suffix(".new")
    aside.write_text(socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0"))
    aside.rename(file)
    while True:
        came: dict[bytes, list[Any]] = {}
        for _ in range(workers * len(answer)):
            peer, kind, *frames = socket.recv_multipart(copy=False)
            came.setdefault(peer.bytes, []).extend(frames)
        if kind.bytes == STOP:
            return
        if kind.bytes == SUM:
            _update(answer, list(came.values()))
        for peer in came:
            for part in answer:
                socket.send_multipart([peer, kind.bytes, *part], copy=False)


def _update(answer: list[list[np.ndarray]], gradients: list[list[Any]]) -> None:
    for number, piece in enumerate(frame for part in answer for frame in part):
        each = [np.frombuffer(frames[number].buffer, np.float32) for frames in gradients]
        total = each[0] + each[1] if len(each) > 1 else each[0].copy()
        for more in each[2:]:
            total += more
        total *= LR
        piece -= total


class Raw:
    """A worker's side of `serve_raw`."""

    def __init__(self, elements: int, folder: Path) -> None:
        self.file = folder / "raw"
        self.server = None
        if dist.rank() == 0:
            words = ["--raw-server", str(dist.world_size()), "--elements", str(elements), "--folder", str(folder)]
            self.server = subprocess.Popen([sys.executable, __file__, *words])
        while not self.file.exists():
            time.sleep(0.01)
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.connect(self.file.read_text())
        self.gradient = np.zeros(elements, np.float32)
        self.weights = np.zeros(elements, np.float32)
        self.parts, self.homes = list(parts_of(self.gradient)), list(parts_of(self.weights))

    def step(self, kind: bytes) -> None:
        for part in self.parts:
            self.socket.send_multipart([kind, *part], copy=False)
        if kind == STOP:
            return
        for homes in self.homes:
            _, *frames = self.socket.recv_multipart(copy=False)
            for home, frame in zip(homes if kind == SUM else (), frames, strict=False):
                home[:] = np.frombuffer(frame.buffer, np.float32)

    def close(self) -> None:
        self.step(STOP)
        if self.server is not None:
            self.server.wait()


Way = tuple[Callable[[], None], Callable[[], object]]
"""What comes before a step, untimed, and the step."""


def ours(elements: int) -> Way:
    w = rg.nn.Parameter(rg.zeros(elements))
    # Without overlap: at the end of a step the weights are here, as they are with the others.
    optimizer = dist.ServerOptimizer(rg.optim.SGD, [w], lr=LR, overlap=False)
    source = rg.full((elements,), 1e-3)
    w.grad = rg.zeros(elements)
    return lambda: w.grad.copy_(source), optimizer.step


def gloo(elements: int, folder: Path) -> Way:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    import torch

    torch.set_num_threads(1)
    method = f"file://{folder / 'gloo'}"
    torch.distributed.init_process_group("gloo", init_method=method, rank=dist.rank(), world_size=dist.world_size())
    w, g, source = torch.zeros(elements), torch.zeros(elements), torch.full((elements,), 1e-3)

    def step() -> None:
        torch.distributed.all_reduce(g)
        w.add_(g, alpha=-LR)

    return lambda: g.copy_(source), step


def median_step(way: Way, steps: int) -> float:
    """Seconds of a step. The first is not counted: it waits for the others to have come this far."""
    before, step = way
    times = []
    for _ in range(steps + 1):
        before()
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def measure(options: argparse.Namespace) -> None:
    dist.init()
    ways: dict[str, Way] = {"ours": ours(options.elements)}
    if "gloo" in options.ways:
        ways["gloo"] = gloo(options.elements, options.folder)
    raw = Raw(options.elements, options.folder) if "raw" in options.ways else None
    if raw is not None:
        ways["raw"] = (lambda: raw.gradient.fill(1e-3), lambda: raw.step(MOVE))
        ways["raw+sum"] = (lambda: raw.gradient.fill(1e-3), lambda: raw.step(SUM))
    medians: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # the first round of all is slow for everyone: connections, page faults
        median_step(way, 2)
    for _ in range(options.rounds):
        for name, way in ways.items():
            medians[name].append(median_step(way, options.steps))
    if raw is not None:
        raw.close()
    if dist.rank() == 0:
        (options.folder / "result.json").write_text(json.dumps(medians))
    dist.barrier()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--elements", type=int, required=True, help="of float32")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ways", nargs="*", default=[], choices=("gloo", "raw"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--raw-server", type=int, metavar="WORKERS")
    options = parser.parse_args()
    if options.raw_server:
        serve_raw(options.raw_server, options.elements, options.folder / "raw")
    else:
        measure(options)


if __name__ == "__main__":
    main()
