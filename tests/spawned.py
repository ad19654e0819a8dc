"""What `tests/test_multiprocessing.py` runs in other processes, which find it by this name."""

from __future__ import annotations

import os
import signal
from typing import Any

import retrograd

__all__ = ["be_killed", "fail", "leave", "put_index", "write_to_what_comes"]


def put_index(index: int, queue: Any) -> None:
    queue.put((index, (retrograd.ones(2) * index).tolist()))


def fail(index: int) -> None:
    if index == 1:
        raise ValueError("broken")


def leave(index: int) -> None:
    os._exit(3)


def be_killed(index: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_to_what_comes(queue: Any, answers: Any, given: Any, model: Any) -> None:
    given.add_(1)
    with retrograd.no_grad():
        for parameter in model.parameters():
            parameter.fill_(5)
    x, part = queue.get()
    x[0] = 100
    part[-1] = 50
    assert x.untyped_storage() == part.untyped_storage()
    turned = retrograd.arange(4.0).view(2, 2).t()
    answers.put((x, retrograd.nn.Parameter(retrograd.zeros(1)), turned, retrograd.tensor(3)))
    queue.get()
