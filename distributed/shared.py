"""Memory that two processes of one machine share, so that payloads need not go through a socket.

Note [A segment has no name]
    A segment is an anonymous file in memory (``memfd``), known by the process that made it, its descriptor
    there, and a random token that stands in its first bytes. Another process of the same user opens it through
    ``/proc``. It is gone when the last process that has it ends, however it ends: there is nothing to clean up
    and nothing to find for others. It is sealed, so that nobody can shorten it under a reader. Where any of this
    is not to be had (another system, another container, another user) payloads take the socket.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import stat
from typing import Self

from .errors import ProtocolError
from .messages import Array, FrameSpec, SharedSegment
from .protocol import array_at, dtype_of

__all__ = ["ALIGNMENT", "WORTH_SHARING", "Segment", "host_name", "is_available", "room_for"]

log = logging.getLogger("retrograd.distributed.shared")

ALIGNMENT = 64
"""Arrays stand at multiples of this, which is a cache line and as much as vector instructions ask for."""

WORTH_SHARING = 1 << 18
"""Bytes from which a payload goes through shared memory: below, a message that holds it is as fast."""

_TOKEN_BYTES = 16
_HEAD = ALIGNMENT  # the token stands before the first array
_SEALS = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")


def is_available() -> bool:
    """Whether this system has what segments are made of."""
    return hasattr(os, "memfd_create") and all(hasattr(fcntl, name) for name in _SEALS)


def host_name() -> str:
    """A name for this machine, user and process space, within which segments can be opened; empty if none can."""
    if not is_available():
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot}/{os.getuid()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def room_for(frames: list[FrameSpec]) -> list[int]:
    """Where arrays stand that follow one another, and as the last number the end of all.

    >>> room_for([FrameSpec("float32", (3,)), FrameSpec("float32", (20,))])
    [64, 128, 256]
    """
    offsets = [_HEAD]
    for frame in frames:
        size = dtype_of(frame.dtype).itemsize
        for length in frame.shape:
            size *= length
        offsets.append(offsets[-1] + -(-size // ALIGNMENT) * ALIGNMENT)
    return offsets


class Segment:
    """A piece of shared memory. It lasts as long as anyone has an array in it."""

    def __init__(self, memory: mmap.mmap, handle: SharedSegment, descriptor: int | None = None) -> None:
        self.handle = handle
        """What another process needs to open it."""
        self._memory = memory
        self._descriptor = descriptor

    @classmethod
    def create(cls, size: int) -> Self:
        """A new segment in which arrays can stand up to `size`."""
        descriptor = os.memfd_create("retrograd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())
            memory = mmap.mmap(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        token = os.urandom(_TOKEN_BYTES)
        memory[:_TOKEN_BYTES] = token
        return cls(memory, SharedSegment(os.getpid(), descriptor, size, token.hex()), descriptor)

    @classmethod
    def create_if_there_is_room(cls, size: int) -> Self | None:
        """The same, or None where the system refuses it, as by a limit on files or descriptors; a warning says so."""
        try:
            return cls.create(size)
        except OSError as error:
            log.warning("payloads take the socket, since no memory of %d bytes can be shared: %s", size, error)
            return None

    @classmethod
    def open(cls, handle: SharedSegment) -> Self:
        """Another process's segment.

        Raises
        ------
        ProtocolError
            When there is no such segment, or this process may not open it.
        """
        try:
            # Not blocking: a hostile peer might name a pipe.
            descriptor = os.open(f"/proc/{handle.pid}/fd/{handle.descriptor}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise ProtocolError(f"shared memory of process {handle.pid} cannot be opened: {error.strerror}") from None
        try:
            _check(descriptor, handle)
            memory = mmap.mmap(descriptor, handle.size)
        finally:
            os.close(descriptor)
        if memory[:_TOKEN_BYTES].hex() != handle.token:
            raise ProtocolError(f"descriptor {handle.descriptor} of process {handle.pid} is another one's memory")
        return cls(memory, handle)

    def array(self, frame: FrameSpec, offset: int) -> Array:
        """The array that stands at an offset.

        Raises
        ------
        ProtocolError
            When it does not fit, or stands askew.
        """
        if offset < _HEAD or offset % ALIGNMENT:
            raise ProtocolError(f"no array stands at {offset} in shared memory")
        return array_at(frame, memoryview(self._memory), offset)

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def _seals() -> int:
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def _check(descriptor: int, handle: SharedSegment) -> None:
    status = os.fstat(descriptor)
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0
    if not stat.S_ISREG(status.st_mode) or status.st_size != handle.size or not seals & fcntl.F_SEAL_SHRINK:
        raise ProtocolError(
            f"descriptor {handle.descriptor} of process {handle.pid} is no shared memory of {handle.size} bytes"
        )
