"""Waiting for what another process does, where nothing tells of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 60.0  # seconds; only a test that is about to fail comes near it


def wait_until(condition: Callable[[], T], what: str, timeout: float = DEADLINE) -> T:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        threading.Event().wait(0.005)
    return answer
