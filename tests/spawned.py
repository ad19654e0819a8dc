"""What `tests/test_multiprocessing.py` runs in other processes, which find it by this name."""

from __future__ import annotations

import os
import signal
from typing import Any

import retrograd

__all__ = ["be_killed", "fail", "leave", "put_index"]


def put_index(index: int, queue: Any) -> None:
    queue.put((index, (retrograd.ones(2) * index).tolist()))


def fail(index: int) -> None:
    if index == 1:
        raise ValueError("broken")


def leave(index: int) -> None:
    os._exit(3)


def be_killed(index: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
