"""What a run tells to programs: Prometheus over HTTP, lines of JSON, TensorBoard's event files.

All are fed from the same :class:`~retrograd.distributed.messages.Status` that people see as a table, by the
launcher for all servers, or by a server that was started by hand for itself.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from .errors import DistributedError
from .messages import Status

__all__ = ["JsonLines", "Prometheus", "Sample", "Sink", "TensorBoard", "samples_of", "sinks_for"]

log = logging.getLogger("retrograd.distributed.metrics")


class Sample(NamedTuple):
    """One number: its name, whose it is, and whether it only ever grows."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    counts: bool = False
    help: str = ""


class _Number(NamedTuple):
    """A number of each server or worker: its name, for people, and where it stands; None is left out.

    Names follow Prometheus' conventions: seconds, bytes, and ``_total`` for what only grows.
    """

    name: str
    help: str
    of: Callable[[Any], float | None]

    def samples(self, owner: Any, labels: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
        value = self.of(owner)
        if value is not None:
            yield Sample(self.name, value, labels, self.name.endswith("_total"), self.help)


_OF_A_SERVER = (
    _Number("retrograd_updates_total", "Updates that are in the weights.", lambda status: status.version),
    _Number("retrograd_step", "Steps that everyone has done.", lambda status: status.step),
    _Number("retrograd_memory_bytes", "Memory of the server's process.", lambda status: status.memory),
    _Number("retrograd_queued_bytes", "Gradients that wait to be applied.", lambda status: status.queued),
    _Number("retrograd_rejected_total", "Messages that were not understood.", lambda status: status.rejected),
    _Number("retrograd_duplicates_total", "Requests that came again.", lambda status: status.duplicates),
    _Number("retrograd_skipped_total", "Steps left out for a NaN or infinity.", lambda status: status.skipped),
    _Number("retrograd_dropped_total", "Pushes that came too late.", lambda status: status.dropped),
    _Number("retrograd_received_bytes_total", "Bytes received.", lambda status: status.traffic.bytes_received),
    _Number("retrograd_sent_bytes_total", "Bytes sent.", lambda status: status.traffic.bytes_sent),
    _Number(
        "retrograd_snapshot_age_seconds",
        "Age of the snapshot.",
        lambda status: None if status.snapshot is None else status.snapshot_age,
    ),
)
_OF_A_WORKER = (
    _Number("retrograd_worker_up", "Whether the worker takes part.", lambda worker: worker.state == "joined"),
    _Number("retrograd_worker_step", "The last step that the worker has pushed for.", lambda worker: worker.step),
    _Number("retrograd_worker_ahead_steps", "Steps ahead of the slowest worker.", lambda worker: worker.behind),
    _Number("retrograd_worker_silent_seconds", "Time since its last sign of life.", lambda worker: worker.silent),
    _Number("retrograd_worker_samples_total", "Samples processed.", lambda worker: worker.report.samples),
    _Number("retrograd_worker_seconds_total", "Time spent on training.", lambda worker: worker.report.seconds),
    _Number("retrograd_worker_waiting_seconds_total", "Of that, time waited.", lambda worker: worker.report.waiting),
    _Number(
        "retrograd_worker_sent_bytes_total", "Bytes of gradients as they were sent.", lambda worker: worker.report.sent
    ),
    _Number(
        "retrograd_worker_raw_bytes_total", "Bytes of gradients before compression.", lambda worker: worker.report.raw
    ),
    _Number("retrograd_worker_retries_total", "Requests that were repeated.", lambda worker: worker.report.retries),
    _Number("retrograd_worker_nonfinite_total", "Pushes with a NaN or infinity.", lambda worker: worker.nonfinite),
    _Number("retrograd_worker_loss", "The latest loss.", lambda worker: worker.report.loss),
)


def samples_of(statuses: Sequence[Status]) -> Iterator[Sample]:
    """All numbers in the statuses of a run's servers. Those of workers are the first server's, which leads.

    In a run of a script with several optimizers each has a label that says which one it is about.
    """
    several = any(status.others for status in statuses)
    for status in (each for server in statuses for each in server.by_optimizer()):
        labels = (("optimizer", str(status.optimizer)),) if several else ()
        for number in _OF_A_SERVER:
            yield from number.samples(status, (*labels, ("server", str(status.shard))))
        for worker in status.workers if status.shard == statuses[0].shard else ():
            for number in _OF_A_WORKER:
                yield from number.samples(worker, (*labels, ("worker", str(worker.rank))))


class Sink(ABC):
    """Takes the numbers of a run every now and then."""

    interval = 1.0
    """Seconds between two calls of `write`."""

    def __init__(self) -> None:
        self._written = 0.0
        self._refused = False

    def take(self, statuses: Sequence[Status]) -> None:
        """Write the numbers, if it is time. A full disk is no reason to end a run: it is said once."""
        if not self.is_due():
            return
        self._written = time.monotonic()
        try:
            self.write(statuses)
            self._refused = False
        except OSError as error:
            if not self._refused:
                log.warning("the run's numbers cannot be written, and training goes on: %s", error)
            self._refused = True

    def is_due(self) -> bool:
        """Whether it is time: to gather the numbers is work, too."""
        return time.monotonic() - self._written >= self.interval

    @abstractmethod
    def write(self, statuses: Sequence[Status]) -> None:
        """Write the numbers."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more comes."""


class Prometheus(Sink):
    """Serves the latest numbers over HTTP, in Prometheus' text format.

    Parameters
    ----------
    port : int
        On this machine's loopback address; 0 is any free one, and `address` tells which.
    """

    interval = 0.1

    def __init__(self, port: int) -> None:
        super().__init__()
        client = _need("prometheus_client", "--metrics")
        self._latest: list[Sample] = []
        registry = client.CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = client.start_http_server(port, "127.0.0.1", registry)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise DistributedError(f"metrics cannot be served at port {port}: {why}") from None
        self.address = f"http://127.0.0.1:{self._server.server_port}/metrics"

    def write(self, statuses: Sequence[Status]) -> None:
        self._latest = list(samples_of(statuses))

    def collect(self) -> Iterable[Any]:
        """What `prometheus_client` asks a collector for."""
        families: dict[str, Any] = {}
        from prometheus_client import core

        for sample in self._latest:
            if sample.name not in families:
                kind = core.CounterMetricFamily if sample.counts else core.GaugeMetricFamily
                families[sample.name] = kind(sample.name, sample.help, labels=[name for name, _ in sample.labels])
            families[sample.name].add_metric([value for _, value in sample.labels], sample.value)
        return families.values()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class JsonLines(Sink):
    """Appends a line of JSON every second: the time, and all numbers by name and owner.

    JSON has no NaN and no infinity, so a loss that is none is null.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(self, statuses: Sequence[Status]) -> None:
        line: dict[str, Any] = {"time": time.time()}
        for sample in samples_of(statuses):
            owner = ".".join(f"{name}{value}" for name, value in sample.labels)
            name = sample.name.removeprefix("retrograd_").removeprefix("worker_")
            line.setdefault(owner, {})[name] = sample.value if math.isfinite(sample.value) else None
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # which `take` has spoken of
            self._file.close()


class TensorBoard(Sink):
    """Writes event files that TensorBoard shows, with steps on the horizontal axis."""

    interval = 2.0

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._writer = _need("tensorboardX", "--tensorboard").SummaryWriter(str(folder))

    def write(self, statuses: Sequence[Status]) -> None:
        for sample in samples_of(statuses):
            owner = "/".join(value for _, value in sample.labels)
            self._writer.add_scalar(f"{sample.name}/{owner}", sample.value, statuses[0].step)

    def close(self) -> None:
        self._writer.close()


def sinks_for(port: int | None, log: Path | None, board: Path | None) -> list[Sink]:
    """The sinks that are asked for.

    Raises
    ------
    DistributedError
        When a library is missing, or the port or file cannot be used.
    """
    sinks: list[Sink] = []
    try:
        sinks += [] if port is None else [Prometheus(port)]
        sinks += [] if log is None else [JsonLines(log)]
        sinks += [] if board is None else [TensorBoard(board)]
    except OSError as error:
        raise DistributedError(f"cannot write metrics: {error}") from None
    return sinks


def _need(module: str, flag: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise DistributedError(f"{flag} needs {module}: pip install 'retrograd[metrics]'") from None
