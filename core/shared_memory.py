"""Memory that several processes see: files in memory that have no name, whose descriptors are passed on.

A segment is there as long as a process has it mapped, or its descriptor open; nothing is left behind however
processes end. How tensors get there and to other processes: `retrograd.sharing`.
"""

from __future__ import annotations

import mmap
import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd.memory_bytes import host_bytes

if TYPE_CHECKING:
    from retrograd.storage import Storage

__all__ = ["Segment", "is_available", "is_in_shared_memory", "mapped", "segment_of", "shared_copy"]


class Segment(mmap.mmap):
    """A mapped file without a name."""

    descriptor: int
    identity: tuple[int, int]

    @classmethod
    def new(cls, size: int) -> Segment:
        """A segment of zeros."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("retrograd", os.MFD_CLOEXEC)
        else:
            import tempfile

            descriptor, path = tempfile.mkstemp(prefix="retrograd-")
            os.unlink(path)
        os.ftruncate(descriptor, max(size, 1))
        return cls.of(descriptor, size)

    @classmethod
    def of(cls, descriptor: int, size: int) -> Segment:
        """The segment of an open file, whose descriptor is the segment's from now on."""
        made = cls(descriptor, max(size, 1))
        made.descriptor = descriptor
        status = os.fstat(descriptor)
        made.identity = status.st_dev, status.st_ino
        weakref.finalize(made, os.close, descriptor).atexit = False
        return made


def mapped(descriptor: int, size: int, native: Any) -> Any:
    """The bytes of a segment, of which a process has been given the descriptor, as elements of a type of NumPy's."""
    return np.frombuffer(Segment.of(descriptor, size), "uint8")[:size].view(native)


def is_available() -> bool:
    """Whether descriptors can be passed on."""
    return os.name == "posix"


def segment_of(array: Any) -> Segment | None:
    """The segment that an array is in."""
    while True:
        if isinstance(array, Segment):
            return array
        base = getattr(array, "base", None)
        array = base if base is not None else getattr(array, "obj", None)
        if array is None:
            return None


def is_in_shared_memory(array: Any) -> bool:
    """Whether an array is in memory that other processes may see."""
    return segment_of(array) is not None


def shared_copy(shared: Storage, k: Any) -> Any:
    """A copy of a storage's memory in a segment, as a vector.

    Raises
    ------
    RuntimeError
        On a backend whose arrays cannot be written to, or which are not the host's.
    """
    if not k.mutable or not isinstance(shared.array, np.ndarray) or not is_available():
        raise RuntimeError(
            f"share_memory_(): tensors of {k.backend}:{k.device} cannot be in memory that processes share; NumPy's can "
            'where files have descriptors: x.to("numpy").share_memory_()'
        )
    content = host_bytes(shared, k)
    array = np.frombuffer(Segment.new(content.size), "uint8")[: content.size]
    array[:] = content
    return array.view(shared.array.dtype)
