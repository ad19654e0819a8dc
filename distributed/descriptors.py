"""Files and connections of the operating system: how many a process may have open, and how it waits for several."""

from __future__ import annotations

import contextlib
import select
from typing import Protocol, cast

import zmq

__all__ = ["POLLIN", "Poller", "allow_all_descriptors", "new_poller"]

POLLIN = 1
"""Of `select` and of ZeroMQ alike."""


class Poller(Protocol):
    """What waits for descriptors."""

    def register(self, fd: int, eventmask: int = ..., /) -> object:
        """Wait for this one, too."""

    def unregister(self, fd: int, /) -> object:
        """And no more."""

    def poll(self, timeout: int | None = ..., /) -> list[tuple[int, int]]:
        """Those that are readable, or will never be again, within so many milliseconds."""


def new_poller() -> Poller:
    """A poller that waits for nothing yet."""
    return select.poll() if hasattr(select, "poll") else cast(Poller, zmq.Poller())


def allow_all_descriptors() -> None:
    """Let this process have as many open as the system lets it, and not as few as a shell is given.

    Each peer of a server costs one, and so does each stranger who connects and says nothing, until ZeroMQ hangs up
    after half a minute. A server that has none left can write no snapshot and let in no worker.
    """
    try:
        import resource
    except ImportError:  # no Unix
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
