"""Has the C library keep the memory that tensors on their way need again and again.

ZeroMQ allocates every frame that it receives. glibc gives freed blocks of megabytes back to the system at once,
and gets the next ones from it page by page, each cleared: that takes as long as the bytes take to travel.
"""

from __future__ import annotations

import ctypes
import functools
import os

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT = 256 << 20  # bytes of free memory that stay with the process
_LARGEST = 1 << 30  # bytes of a block that may come from them


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep up to 256 MiB of what it frees; whether the C library can.

    Whoever has set glibc's own variables (``MALLOC_TRIM_THRESHOLD_`` and the others) knows better.
    """
    if any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False  # not glibc
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT))
