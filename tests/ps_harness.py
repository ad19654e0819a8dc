"""What the tests of the parameter server share: a server in a thread, peers that misbehave, whole runs.

Nothing here sleeps to synchronise: tests wait for what they need, with a deadline far beyond it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq

from retrograd.distributed import protocol, transport
from retrograd.distributed.client import Client
from retrograd.distributed.environment import Environment
from retrograd.distributed.protocol import Array, Message, Slot, TensorSpec
from retrograd.distributed.server import Server, ServerOptions

DEADLINE = 180.0  # seconds; only a test that is about to fail comes near it

SGD = ({"lr": 0.5},)
TABLE = (TensorSpec("w", "float32", (3,)), TensorSpec("b", "float32", ()))
SLOTS = tuple(Slot(index, row.dtype, row.shape) for index, row in enumerate(TABLE))


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition to become true, and return its value."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        threading.Event().wait(0.01)
    raise AssertionError(f"waited {DEADLINE:g} s in vain for {what}")


def weights(value: float = 1.0) -> list[Array]:
    return [np.full(row.shape, value, np.float32) for row in TABLE]


# ---- a server in a thread ---------------------------------------------------------------------------------


@contextmanager
def serving(world_size: int = 1, **options: Any) -> Iterator[Server]:
    """A server that answers in a thread of its own until the block ends."""
    server = Server(ServerOptions(world_size, **options))
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            server.turn(0.01)
        server.channel.close()
        server._context.term()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join()


@contextmanager
def clients(server: Server, count: int | None = None, timeout: float = 10.0) -> Iterator[list[Client]]:
    """Clients of ranks 0, 1, ..., each with its heartbeat."""
    size = len(server.roster)
    made: list[Client] = []
    try:
        for rank in range(size if count is None else count):
            place = Environment(rank, size, (server.address,), server.options.run, timeout)
            made.append(Client(place))
        yield made
    finally:
        for client in made:
            client.close()


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in threads at the same time; what each returned or raised, in their order."""
    results: list[Any] = [None] * len(calls)

    def run(index: int, call: Callable[[], Any]) -> None:
        try:
            results[index] = call()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive(), "a call hangs"
    return results


def start(*members: Client, value: float = 1.0) -> None:
    """Let clients agree on the table above, with all weights equal to `value`."""
    together(*(lambda c=c: c.initialize("SGD", SGD, TABLE, weights(value)) for c in members))


class Peer:
    """Somebody at the server's port who does exactly what a test says."""

    def __init__(self, address: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.channel = transport.connect(self._context, address)

    def send(self, message: Message, arrays: Sequence[Array] = ()) -> None:
        assert self.channel.poll(DEADLINE, to_send=True)
        self.channel.send(message, arrays)

    def send_raw(self, *frames: bytes) -> None:
        assert self.channel.poll(DEADLINE, to_send=True)
        self.channel.socket.send_multipart(frames)

    def receive(self) -> tuple[Message, list[Array]]:
        assert self.channel.poll(DEADLINE), "no answer"
        return protocol.decode(self.channel.receive())

    def ask(self, message: Message, arrays: Sequence[Array] = ()) -> Message:
        self.send(message, arrays)
        return self.receive()[0]

    def join(self, rank: int, world_size: int, **fields: Any) -> Message:
        hello = {"run": "", "role": "worker", "incarnation": 1, **fields}
        return self.ask(protocol.Hello(world_size=world_size, rank=rank, **hello))

    def close(self) -> None:
        self._context.destroy(linger=0)


@contextmanager
def peer_of(server: Server | str) -> Iterator[Peer]:
    peer = Peer(server if isinstance(server, str) else server.address)
    try:
        yield peer
    finally:
        peer.close()


# ---- whole runs -------------------------------------------------------------------------------------------


def environment(**variables: str) -> dict[str, str]:
    """This process's environment, one numerical thread, and nothing of a run around it."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RETROGRAD_")}
    return {**inherited, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **variables}


def write_script(folder: Path, body: str, name: str = "script.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(body), encoding="utf-8")
    return path


def launch_command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "retrograd.distributed", *map(str, arguments)]


def run_launcher(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        launch_command(*arguments),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


class Launch:
    """A launcher that runs while the test does something to it."""

    def __init__(self, *arguments: str | Path, **variables: str) -> None:
        self.popen = subprocess.Popen(
            launch_command(*arguments),
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.family: list[psutil.Process] = []

    def know_family(self, count: int) -> list[psutil.Process]:
        """Remember the server and the workers, once there are so many."""
        me = psutil.Process(self.popen.pid)
        self.family = wait_until(
            lambda: found if len(found := me.children(recursive=True)) >= count else None, f"{count} children"
        )
        return self.family

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Its exit code and all that it wrote; by then all of its family must have ended."""
        output, _ = self.popen.communicate(timeout=DEADLINE)
        return self.popen.returncode, output

    def assert_nobody_is_left(self) -> None:
        _, alive = psutil.wait_procs(self.family, timeout=10)
        assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []

    def abandon(self) -> None:
        """End what a failed test has left; only what it started itself."""
        for process in self.family:
            if process.is_running():
                process.kill()
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


@contextmanager
def launched(*arguments: str | Path, **variables: str) -> Iterator[Launch]:
    launch = Launch(*arguments, **variables)
    try:
        yield launch
    finally:
        launch.abandon()
