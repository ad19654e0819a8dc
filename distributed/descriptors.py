"""How many files and connections a process may have open."""

from __future__ import annotations

import contextlib

__all__ = ["allow_all_descriptors"]


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
