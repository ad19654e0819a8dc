"""A worker: a process that reads the samples of batches, and sends them to the process that asked.

Note [Talk of loader and worker]
    One two-way pipe for each worker, no locks: a process that is killed leaves nothing locked. The loader sends
    `(number, index)`, `RESUME` before another epoch, or `None` at the end; the worker answers each of the first with
    `(number, data)` and the second with `(RESUME, None)`. Either side sees by the end of the pipe that the other is
    gone. In the worker a thread of its own listens and another one sends, so that neither waits for the other to
    read, and the next batch is read while one is sent. A worker that is left alone ends at once, or, if a sample
    takes longer, after `GRACE` seconds.
"""

from __future__ import annotations

import os
import queue
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from retrograd.device import get_default_device, set_default_backend, use_backend
from retrograd.dtypes import dtype, set_default_dtype
from retrograd.random import manual_seed
from retrograd.settings import set_num_threads
from retrograd.utils.data._utils.crossing import HOST, Crossing, packed, receive, send
from retrograd.utils.data._utils.fetch import Recipe

__all__ = ["GRACE", "RESUME", "ExceptionWrapper", "Exhausted", "Task", "WorkerInfo", "get_worker_info", "run"]

GRACE: Final = 5.0
"""Seconds that a worker has to end by itself."""

RESUME: Final = "resume"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Which worker this process is.

    Attributes
    ----------
    id
        Its number, from 0 on.
    num_workers
        How many there are.
    seed
        What its random numbers were seeded with.
    dataset
        Its copy of the data set.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Which worker of a `DataLoader` this process is; None in any other process.

    Source: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.get_worker_info

    Examples
    --------
    >>> from retrograd.utils.data import get_worker_info
    >>> get_worker_info() is None
    True
    """
    return _worker_info


@dataclass(frozen=True, slots=True)
class Task:
    """What all workers of an iterator are told at the beginning."""

    recipe: Recipe
    init_fn: Callable[[int], Any] | None
    base_seed: int
    num_workers: int
    default_dtype: dtype
    device: str


@dataclass(frozen=True, slots=True)
class Exhausted:
    """In place of data: the stream of this worker has ended."""

    worker_id: int


class _Verbatim(str):
    """A text that a KeyError shows as it is, with its line ends."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ExceptionWrapper:
    """In place of data: the exception that is being handled, to be raised elsewhere with its traceback as text."""

    def __init__(self, where: str) -> None:
        kind, error, trace = sys.exc_info()
        self.exc_type: Any = kind
        self.exc_msg = "".join(traceback.format_exception(kind, error, trace))
        self.where = where

    def error(self) -> Exception:
        """An exception of the same class to raise; a RuntimeError, if the class takes more than a message.

        It is made here and raised by the caller: a frame that holds it would be held by it, with the iterator.
        """
        text = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        try:
            if getattr(self.exc_type, "message", None):
                made: Exception = self.exc_type(message=text)
            else:
                made = self.exc_type(_Verbatim(text) if self.exc_type is KeyError else text)
        except Exception:
            return RuntimeError(text)
        return made


def run(crossing: Crossing, worker_id: int, connection: Connection) -> None:
    """What a worker's process does from its beginning to its end."""
    try:
        desk = _Desk(connection, worker_id, crossing.value)
        _begin(crossing.value, worker_id)
        _serve(crossing.value, worker_id, desk)
        desk.close()
    except KeyboardInterrupt:
        pass  # the loader's process was interrupted too, and says so


def _begin(task: Task, worker_id: int) -> None:
    global _worker_info
    set_default_backend(HOST)
    if str(get_default_device()) != HOST:  # forked inside of a block that says otherwise
        use_backend(HOST).__enter__()
    set_default_dtype(task.default_dtype)
    set_num_threads(1)
    seed = task.base_seed + worker_id
    random.seed(seed)
    manual_seed(seed)
    # Other numbers than those of `random`, whose algorithm is the same.
    entropy = [worker_id, task.base_seed & 0xFFFFFFFF, task.base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(entropy).generate_state(4))
    _worker_info = WorkerInfo(worker_id, task.num_workers, seed, task.recipe.dataset)


class _Desk:
    """Orders that come in and answers that go out, without waiting for either. See Note [Talk of loader and worker]."""

    def __init__(self, connection: Connection, worker_id: int, task: Task) -> None:
        self.where = f"in DataLoader worker process {worker_id}"
        self._moves = {HOST: task.device}
        self._connection = connection
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._alone = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._sender.start()

    def _listen(self) -> None:
        try:
            while True:
                self._orders.put(receive(self._connection))
        except (EOFError, OSError):
            pass
        except Exception:  # an index that cannot be read here
            traceback.print_exc()
        self._alone.set()
        self._orders.put(None)
        time.sleep(GRACE)  # for the main thread to end by itself, and all of this with it
        os._exit(1)  # a sample still keeps it busy, for nobody

    def _send(self) -> None:
        try:
            while (message := self._answers.get()) is not None:
                send(self._connection, message)
        except OSError:
            pass  # nobody reads any more: the listening thread has seen it too

    def next_order(self) -> Any:
        order = self._orders.get()
        return None if self._alone.is_set() else order

    def answer(self, number: Any, data: Any) -> None:
        """Send data, or the error of pickling it."""
        try:
            message = packed((number, data), self._moves)
        except Exception:
            error = data if isinstance(data, ExceptionWrapper) else ExceptionWrapper(self.where)
            message = self._packed_error(number, error)
        self._answers.put(message)

    def _packed_error(self, number: Any, error: ExceptionWrapper) -> Any:
        try:
            return packed((number, error), {})
        except Exception:  # a class that cannot be found by its name: the text says which
            error.exc_type = RuntimeError
            return packed((number, error), {})

    def close(self) -> None:
        """Send what is still to be sent, if somebody reads it."""
        self._answers.put(None)
        while self._sender.is_alive() and not self._alone.is_set():
            self._sender.join(0.1)


def _serve(task: Task, worker_id: int, desk: _Desk) -> None:
    """Answer orders until there are no more."""
    failure: ExceptionWrapper | None = None
    fetcher: Any = None
    ended = False
    try:
        if task.init_fn is not None:
            task.init_fn(worker_id)
        fetcher = task.recipe.fetcher()
    except Exception:
        failure = ExceptionWrapper(desk.where)
    while (order := desk.next_order()) is not None:
        if order == RESUME:
            ended = False
            try:
                fetcher = task.recipe.fetcher()
            except Exception:
                failure = ExceptionWrapper(desk.where)
            desk.answer(RESUME, None)
        elif not ended:
            number, index = order
            data, failure = failure or _fetched(fetcher, index, task.recipe.iterable, worker_id, desk.where), None
            ended = isinstance(data, Exhausted)
            desk.answer(number, data)


def _fetched(fetcher: Any, index: Any, iterable: bool, worker_id: int, where: str) -> Any:
    try:
        return fetcher.fetch(index)
    except Exception as error:
        if iterable and isinstance(error, StopIteration):
            return Exhausted(worker_id)
        return ExceptionWrapper(where)
