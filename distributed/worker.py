"""This process as one worker of a run: what `dist.init()` makes, and `dist.shutdown()` ends.

A process has one rank, so this is the one place of the package that keeps something for the process as a
whole. ZeroMQ is imported when there is a server to talk to, and not before.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from .environment import Environment
from .errors import DistributedError

if TYPE_CHECKING:
    from .client import Client
    from .messages import Report

__all__ = [
    "Worker",
    "barrier",
    "current",
    "init",
    "is_available",
    "is_initialized",
    "progress",
    "rank",
    "shutdown",
    "world_size",
]


class Worker:
    """One worker: its place in the run, its connection, and how far it is.

    Parameters
    ----------
    place : Environment or None
        ``None`` is a worker that is alone: rank 0 of 1, with no server.
    """

    def __init__(self, place: Environment | None) -> None:
        self.rank = 0 if place is None else place.rank
        self.world_size = 1 if place is None else place.world_size
        self.client: Client | None = None
        self._place = place
        self._others: list[Client] = []
        """The connections of further optimizers, each as of a run of its own."""
        self._parents: list[Client] = []
        """Of the process that this one was forked from; held, since to give them back is the parent's."""
        self._step = self._total = self._samples = 0
        self._loss: float | None = None
        self._began = self._latest = time.monotonic()
        self._waited_before = 0.0
        if place is not None:
            from .client import Client

            self.client = Client(place, self.report)

    @property
    def clients(self) -> list[Client]:
        return [] if self.client is None else [self.client, *self._others]

    def next_client(self) -> Client | None:
        """The connection for another optimizer; ``None`` for a worker that is alone."""
        if self.client is None or not self.client.initialized:
            return self.client
        from .client import Client
        from .siblings import run_of

        assert self._place is not None
        run = run_of(self._place.run, 1 + len(self._others))
        self._others.append(Client(replace(self._place, run=run), self.report))
        return self._others[-1]

    @property
    def step(self) -> int:
        """The last step that was noted."""
        return self._step

    def begin(self) -> None:
        """Time counts from here: building a model and waiting for others to start is not training."""
        self._began = self._latest = time.monotonic()
        self._waited_before = self._waited()

    def advance(self, step: int, total: int | None = None, loss: float | None = None, samples: int = 0) -> None:
        """Note that `step` is done; what is not given stays as it was."""
        self._step, self._latest = step, time.monotonic()
        self._total = self._total if total is None else total
        self._loss = self._loss if loss is None else loss
        self._samples += samples

    def _waited(self) -> float:
        return sum(each.waited for each in self.clients)

    def report(self) -> Report:
        """How far this worker is. The heartbeat's thread calls this at any moment."""
        from .messages import Report

        clients, seconds = self.clients, self._latest - self._began
        return Report(
            self._step,
            self._total,
            self._loss,
            self._samples,
            seconds,
            min(seconds, max(0.0, self._waited() - self._waited_before)),
            sum(each.bytes_sent for each in clients),
            sum(each.bytes_raw for each in clients),
            sum(link.retries for each in clients for link in each.links),
        )

    def forget_client(self) -> None:
        """Be a child of the process that joined: the connection is the parent's, and nothing of it may be touched."""
        self._parents, self.client = self.clients, None

    def close(self, error: str | None = None) -> None:
        try:
            for each in reversed(self.clients):
                each.close(error)  # with a last report, which asks the clients
        finally:
            self.client, self._others = None, []


_current: Worker | None = None
_uncaught: str | None = None
"""The exception that is ending this process, if any."""
_previous_hook = sys.excepthook


def init() -> None:
    """Join the run that the environment names; without one, be rank 0 of 1.

    A launcher (``retrograd launch``) sets the variables, see
    :mod:`retrograd.distributed.environment`. Calling it again does nothing.

    Raises
    ------
    ServerLost
        When the server does not answer.
    Refused
        When it does not let this process in.

    Examples
    --------
    >>> import retrograd.distributed as dist
    >>> dist.init()
    >>> dist.rank(), dist.world_size()
    (0, 1)
    >>> dist.shutdown()
    """
    global _current, _previous_hook
    if _current is not None:
        return
    _current = Worker(Environment.read())
    if _current.client is not None:
        # A worker that ends says goodbye by itself. One that ends by an exception says so, and the others
        # hear of it at once and not after a timeout.
        atexit.register(shutdown)
        _previous_hook, sys.excepthook = sys.excepthook, _note_uncaught


def is_available() -> bool:
    """False: there are no process groups under PyTorch's names, for which programs ask so before they use them."""
    return False


def is_initialized() -> bool:
    """Whether this process has joined a run, or is alone, by `init()`."""
    return _current is not None


def current() -> Worker:
    """This process's worker.

    Raises
    ------
    DistributedError
        Before `init()`.
    """
    if _current is None:
        raise DistributedError("this process has not joined a run: call retrograd.distributed.init() first")
    return _current


def rank() -> int:
    """Number of this worker, from 0."""
    return current().rank


def world_size() -> int:
    """Number of workers."""
    return current().world_size


def barrier() -> None:
    """Wait until every worker is here.

    Raises
    ------
    WorkerLost, ServerLost
        When one will never come.
    """
    client, size = current().client, current().world_size
    if client is not None:
        client.barrier()
    elif size > 1:
        raise DistributedError("a child that was forked has no part in the run: barrier() is for its parent")


def progress(step: int, total: int, *, loss: float | None = None, samples: int = 0) -> None:
    """Tell how far this worker is, for the launcher's progress bar and its table at the end.

    Costs nothing to speak of: it is sent along with the next heartbeat.

    Parameters
    ----------
    step, total : int
        Steps done, and steps to do.
    loss : float, optional
        The latest loss.
    samples : int, optional
        Samples that this worker has processed since the last call.
    """
    current().advance(step, total, loss, samples)


def shutdown() -> None:
    """Leave the run. The end of the process does it, too; calling it again does nothing."""
    global _current
    if _current is not None:
        leaving, _current = _current, None
        if leaving.client is not None:
            atexit.unregister(shutdown)
            sys.excepthook = _previous_hook
        leaving.close(_uncaught)


def _forked() -> None:
    """Leave the run to the parent: a child that ends must not say goodbye for it."""
    if _current is not None and _current.client is not None:
        _current.forget_client()
        atexit.unregister(shutdown)
        sys.excepthook = _previous_hook


def _about_to_fork() -> None:
    """Have all weights: a child cannot get what is still on its way."""
    for each in [] if _current is None else _current.clients:
        each.wait_for(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_about_to_fork, after_in_child=_forked)


def _note_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    global _uncaught
    _uncaught = f"{kind.__name__}: {error}" if str(error) else kind.__name__
    _previous_hook(kind, error, trace)
