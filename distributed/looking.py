"""The commands ``retrograd status`` and ``retrograd doctor``: look at a run, and at the way to it, from outside."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import zmq

import retrograd as rg

from . import messages, protocol, run_options, transport
from .console import placement_table, server_table, worker_table
from .errors import DistributedError, ProtocolError, from_kind
from .security import ClientKeys

__all__ = ["add_commands", "diagnose", "status_of"]

_PATIENCE = 5.0  # seconds for a server to answer
_ROUNDS = 50  # echoes of each size; fewer of large ones
_SIZES = tuple(1 << power for power in (10, 14, 16, 18, 20, 22, 24))
_BYTES = 64 << 20  # most bytes sent for one size


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``status`` and ``doctor`` to the commands of the command line."""
    status = commands.add_parser("status", help="show a run: its workers, its servers, and what lies where")
    doctor = commands.add_parser("doctor", help="measure the way to a server: round trips, throughput, versions")
    for parser, run in ((status, _status), (doctor, _doctor)):
        parser.add_argument(
            "addresses", type=run_options.address, metavar="ADDRESS", nargs="+", help="of the run's servers"
        )
        parser.add_argument("--keys", metavar="PATH", help="folder or file with a launcher's key")
        parser.set_defaults(run=run)


class _Visitor:
    """A connection that asks one question after another."""

    def __init__(self, address: str, keys: str | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.address = address
        try:
            mine = ClientKeys.read(keys, "launcher") if keys else None
            self.channel = transport.connect(self._context, address, mine)
        except BaseException:
            self._context.term()
            raise

    def __enter__(self) -> _Visitor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.channel.socket.close(0)
        self.channel.close()
        self._context.term()

    def ask(self, question: messages.Message, arrays: Sequence[messages.Array] = ()) -> messages.AnyMessage:
        """What the server answers.

        Raises
        ------
        DistributedError
            When it does not, or says that it will not.
        """
        deadline = time.monotonic() + _PATIENCE
        sent = False
        while time.monotonic() < deadline:
            if not sent and self.channel.poll(0.05, to_send=True):
                self.channel.send(question, arrays)
                sent = True
            if sent and self.channel.poll(0.05):
                try:
                    message, _ = protocol.decode(self.channel.receive())
                except ProtocolError as error:
                    raise DistributedError(
                        f"whoever answers at {self.address} is no retrograd server: {error}"
                    ) from None
                if isinstance(message, messages.Error):
                    raise from_kind(message.kind, message.text)
                return message
            if text := self.channel.refusal():
                raise from_kind("refused", text)
        raise DistributedError(f"no server answers at {self.address}: is it running, and is the address right?")


def status_of(address: str, keys: str | None = None) -> messages.Status:
    """What a server tells of its run."""
    with _Visitor(address, keys) as visitor:
        answer = visitor.ask(messages.StatusRequest(visit=True))
    assert isinstance(answer, messages.Status)
    return answer


def _status(options: argparse.Namespace) -> int:
    from rich.console import Console

    statuses = [status_of(address, options.keys) for address in options.addresses]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(worker_table(statuses[0]))
    console.print(server_table(statuses))
    console.print(placement_table(statuses))
    for status in statuses:
        if status.failure:
            console.print(f"server {status.shard}: the run has failed: {status.failure}", style="bold red")
    return 0


def diagnose(address: str, keys: str | None = None) -> list[tuple[int, float, float]]:
    """For each size of a message its bytes, the median time of a round trip in seconds, and bytes a second."""
    found = []
    with _Visitor(address, keys) as visitor:
        for size in _SIZES:
            payload = np.zeros(size, np.uint8)
            slot = messages.Slot(0, "uint8", (size,))
            times = []
            for _ in range(max(5, min(_ROUNDS, _BYTES // size))):
                began = time.perf_counter()
                visitor.ask(messages.Echo((slot,)), (payload,))
                times.append(time.perf_counter() - began)
            median = statistics.median(times)
            found.append((size, median, 2 * size / median))
    return found


def _doctor(options: argparse.Namespace) -> int:
    for address in options.addresses:
        with _Visitor(address, options.keys) as visitor:
            began = time.time()
            answer = visitor.ask(messages.Echo(()))
            ended = time.time()
        assert isinstance(answer, messages.Echo)
        theirs, ours = f"{answer.version}, protocol {answer.protocol}", f"{rg.__version__}, protocol {messages.VERSION}"
        print(f"{address}: retrograd {theirs}; here {ours}")
        offset, within = 1e3 * (answer.time - (began + ended) / 2), 500 * (ended - began)
        print(f"  its clock is {abs(offset):.1f} ms {'ahead' if offset > 0 else 'behind'}, within {within:.1f} ms")
        for size, median, rate in diagnose(address, options.keys):
            print(f"  {size:>9} bytes there and back: {median * 1e3:8.3f} ms, {rate / 1e6:8.1f} MB/s")
    return 0
