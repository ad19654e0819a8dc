"""What the tests of the parameter server share: servers in threads, peers that misbehave, whole runs.

Nothing here sleeps to synchronise: tests wait for what they need, with a deadline far beyond it.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import zmq

from retrograd.distributed import protocol, transport
from retrograd.distributed.client import Client
from retrograd.distributed.environment import Environment
from retrograd.distributed.incoming import Arrived
from retrograd.distributed.messages import AnyMessage, Array, Groups, Message, Slot, TensorSpec
from retrograd.distributed.placement import cut, view
from retrograd.distributed.server import Server, ServerOptions

# Seconds; only a test that is about to fail comes near it.
DEADLINE = float(os.environ.get("TEST_DEADLINE", "180"))

SGD: Groups = ({"lr": 0.5},)
TABLE = (TensorSpec("w", "float32", (3,)), TensorSpec("b", "float32", ()))
SLICES = tuple(cut(TABLE))
"""The table on one server: each tensor is one slice there."""
SLOTS = tuple(Slot(index, TABLE[each.tensor].dtype, each.shape) for index, each in enumerate(SLICES))


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition to become true, and return its value."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        threading.Event().wait(0.01)
    raise AssertionError(f"waited {DEADLINE:g} s in vain for {what}")


def weights(value: float = 1.0, table: Sequence[TensorSpec] = TABLE) -> list[Array]:
    """An array for each tensor, all elements of which are `value`."""
    return [np.full(row.shape, value, row.dtype) for row in table]


def sliced(value: float = 1.0) -> list[Array]:
    """The same for the slices of `TABLE`, as one server has them."""
    return [np.full(each.shape, value, np.float32) for each in SLICES]


# ---- servers in threads -----------------------------------------------------------------------------------


class LiveServer(Server):
    """A server that answers in a thread of its own until it is stopped."""

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options)
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            while not self._calls.empty():
                call, result = self._calls.get()
                result.put(call())
            self.turn(0.01)
        self.close()

    def within(self, call: Callable[[], Any]) -> Any:
        """Do something in the server's thread, between two messages; what it returned."""
        result: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._calls.put((call, result))
        return result.get(timeout=DEADLINE)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def serving(world_size: int = 1, shards: int = 1, **options: Any) -> Iterator[list[LiveServer]]:
    """The servers of a run, the first one first, each answering in a thread of its own until the block ends."""
    with ExitStack() as stack:
        servers: list[LiveServer] = []
        for shard in range(shards):
            lead = servers[0].address if shard else ""
            servers.append(LiveServer(ServerOptions(world_size, shard=shard, shards=shards, lead=lead, **options)))
            stack.callback(servers[-1].stop)
        yield servers


@contextmanager
def starting_again(former: LiveServer, *members: Learner) -> Iterator[LiveServer]:
    """Another life of a server, which dies now, with the same options. At the end the workers leave before it does."""
    former.stop()
    server = LiveServer(replace(former.options, bind=former.address))
    try:
        yield server
    finally:
        for each in members:
            each.close()
        server.stop()


# ---- workers ----------------------------------------------------------------------------------------------


class Learner(Client):
    """A client with the arrays that the servers' weights are written into."""

    def __init__(self, place: Environment) -> None:
        self.arrays: list[Array] = []
        self._closed = False
        super().__init__(place)

    def close(self, error: str | None = None, *, say_goodbye: bool = True) -> None:
        if not self._closed:
            self._closed = True
            super().close(error, say_goodbye=say_goodbye)

    def deliver(self, arrived: Sequence[Arrived]) -> None:
        for piece, array, rows in arrived:
            view(self.arrays[piece.tensor], piece)[... if rows is None else rows] = array

    def begin(
        self,
        values: Sequence[Array] | float = 1.0,
        optimizer: str = "SGD",
        groups: Groups = SGD,
        table: Sequence[TensorSpec] = TABLE,
    ) -> list[Array]:
        """Agree on what is trained; the weights that the servers have given."""
        values = weights(values, table) if isinstance(values, float | int) else values
        self.arrays = [np.full(row.shape, np.nan, row.dtype) for row in table]
        self.initialize(optimizer, groups, table, values, self.deliver)
        return self.now()

    def learn(self, gradients: Sequence[Array | None] | float = 1.0, groups: Groups = SGD) -> list[Array]:
        """Do a step with a gradient for each tensor, or for none where it is ``None``; the weights then."""
        if isinstance(gradients, float | int):
            gradients = [np.full_like(each, gradients) for each in self.arrays]
        present = {index: each for index, each in enumerate(gradients) if each is not None}
        self.push(groups, present, self.deliver)
        return self.now()

    def fetch(self) -> list[Array]:
        """Pull; the weights then."""
        self.pull(self.deliver)
        return self.now()

    def now(self) -> list[Array]:
        """A copy of the weights as this worker has them."""
        return [each.copy() for each in self.arrays]


def place_in(*servers: Server, rank: int = 0, timeout: float = 10.0) -> Environment:
    """A worker's place among servers."""
    options = servers[0].options
    return Environment(rank, options.world_size, tuple(each.address for each in servers), options.run, timeout)


@contextmanager
def clients(*servers: Server, count: int | None = None, timeout: float = 10.0) -> Iterator[list[Learner]]:
    """Clients of ranks 0, 1, ..., each with its heartbeat."""
    with ExitStack() as stack:
        made: list[Learner] = []
        for rank in range(servers[0].options.world_size if count is None else count):
            made.append(Learner(place_in(*servers, rank=rank, timeout=timeout)))
            stack.callback(made[-1].close)
        yield made


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


def all_of(*calls: Callable[[], Any]) -> list[Any]:
    """The same for calls of which none may raise."""
    results = together(*calls)
    for each in results:
        if isinstance(each, Exception):
            raise each
    return results


def start(*members: Learner, value: float = 1.0) -> None:
    """Let clients agree on the table above, with all weights equal to `value`."""
    all_of(*(lambda c=c: c.begin(value) for c in members))


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

    def receive(self) -> tuple[AnyMessage, list[Array]]:
        assert self.channel.poll(DEADLINE), "no answer"
        return protocol.decode(self.channel.receive())

    def ask(self, message: Message, arrays: Sequence[Array] = ()) -> AnyMessage:
        self.send(message, arrays)
        return self.receive()[0]

    def hello(self, rank: int, world_size: int, **fields: Any) -> AnyMessage:
        """Say who this is; what the server answers."""
        hello = {"run": "", "role": "worker", "incarnation": 1, **fields}
        return self.ask(protocol.Hello(world_size=world_size, rank=rank, **hello))

    def join(self, rank: int, world_size: int, **fields: Any) -> None:
        """Say who this is, and ask to take part in training `TABLE` from weights of 1; not for the answer."""
        welcome = self.hello(rank, world_size, **fields)
        assert isinstance(welcome, protocol.Welcome), welcome
        first = rank == 0 and not welcome.initialized
        init = protocol.Init(1, "SGD", SGD, TABLE, SLICES if first else (), weights=first)
        self.send(init, sliced() if first else ())

    def begin(self) -> list[Array]:
        """Take the answer to `join`; the weights."""
        ready, _ = self.receive()
        assert isinstance(ready, protocol.Ready), ready
        message, arrays = self.receive()
        assert isinstance(message, protocol.Weights), message
        return arrays

    def close(self) -> None:
        self.channel.close()
        self._context.destroy(linger=0)


def push(seq: int, step: int, **fields: Any) -> protocol.Push:
    """A whole push of a gradient for each slice of `TABLE`."""
    return protocol.Push(**{"tensors": SLOTS, "seq": seq, "step": step, "groups": SGD, "present": (0, 1), **fields})


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

    def is_running(self) -> bool:
        """Whether it is, else it is a failure of the test, which waits for something in a run that is over."""
        assert self.popen.poll() is None, f"the launcher has ended with exit code {self.popen.returncode}"
        return True

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
        if not self.popen.stdout or not self.popen.stdout.closed:
            print("\nthe launcher has written:\n" + self.popen.communicate()[0])  # what a failed test shows


@contextmanager
def launched(*arguments: str | Path, **variables: str) -> Iterator[Launch]:
    launch = Launch(*arguments, **variables)
    try:
        yield launch
    finally:
        launch.abandon()
