"""Files that outlive a crash: whole writes, durable names, and one writer for each folder.

What :mod:`~retrograd.distributed.snapshots` and :mod:`~retrograd.distributed.journal` share. Every system call
whose order matters for durability is made here, and none of them is made anywhere else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from .errors import FolderInUse, JournalError, SnapshotError
from .failpoints import failpoint

__all__ = [
    "ASIDE",
    "FolderLock",
    "reported_as",
    "sync_data",
    "sync_folder",
    "write_all",
    "written_aside",
]

ASIDE = ".tmp"
"""What the name of a file that is still being written ends in. Such a file is worth nothing."""

Buffer: TypeAlias = bytes | bytearray | memoryview

_MOST_BUFFERS = 512  # of one `writev`; the system allows at least 1024


@contextlib.contextmanager
def reported_as(kind: type[SnapshotError] | type[JournalError], what: str, path: Path) -> Iterator[None]:
    """Turn what the system refuses into an error of `kind`, which says `what` could not be done to `path`.

    >>> with reported_as(SnapshotError, "cannot read the snapshot", Path("gone")):
    ...     open("gone").close()
    Traceback (most recent call last):
    retrograd.distributed.errors.SnapshotError: [Errno 2] cannot read the snapshot: No such file or directory: 'gone'
    """
    try:
        yield
    except (SnapshotError, JournalError, FolderInUse):
        raise
    except OSError as error:
        raise kind(error.errno, f"{what}: {error.strerror or error}", str(path)) from error


class FolderLock:
    """The right to write to a folder, held by one process, and by one object in it, at a time.

    The lock is on a file in the folder and not the file's existence, so the kernel releases it when its holder
    dies, in whatever way. A child made by `fork` without `exec` shares it.

    Raises
    ------
    FolderInUse
        When another holds it. The text names the folder, and the process if it is of this machine.
    OSError
        When the folder or the file in it cannot be made.
    """

    def __init__(self, folder: Path, name: str, *, sync: bool = True) -> None:
        _make_folder(folder, sync)
        self.path = folder / name
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._close = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            self.release()
            who = f"process {holder}" if holder else "another process"
            raise FolderInUse(f"{folder} is in use by {who}: each server needs a folder of its own") from None
        with contextlib.suppress(OSError):  # informs people; a full disk is no reason not to hold the lock
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let another have it. Does nothing the second time."""
        self._close()


def write_all(descriptor: int, buffers: Iterable[Buffer]) -> None:
    """Write all bytes of all buffers, where `write` itself may stop early."""
    waiting = [view for buffer in buffers if len(view := memoryview(buffer))]
    while waiting:
        written = os.writev(descriptor, waiting[:_MOST_BUFFERS])
        done = 0
        while done < len(waiting) and written >= len(waiting[done]):
            written -= len(waiting[done])
            done += 1
        del waiting[:done]
        if written:
            waiting[0] = waiting[0][written:]


def sync_data(descriptor: int) -> None:
    """Return once the bytes of a file, and its length, would survive a loss of power."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_folder(folder: Path) -> None:
    """Return once the names in a folder would survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def written_aside(path: Path, kind: str, *, sync: bool = True, server: int = 0) -> Iterator[int]:
    """Make a file that has all of its bytes as soon as it has its name, whatever happens in between.

    Yields the descriptor of an empty file beside `path`. When the block ends, the file is made durable, takes
    the name, and the name is made durable. When the block raises, or one of these steps fails, the file is
    removed and what `path` was stays.

    `kind` and `server` name the fail-points: ``{kind}.before_sync``, ``{kind}.before_rename`` and
    ``{kind}.after_rename``.
    """
    aside = path.with_name(path.name + ASIDE)
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            yield descriptor
            failpoint(f"{kind}.before_sync", server)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        failpoint(f"{kind}.before_rename", server)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    failpoint(f"{kind}.after_rename", server)
    if sync:
        sync_folder(path.parent)


def _make_folder(folder: Path, sync: bool) -> None:
    """Make a folder and those above it; each new one's name is durable in the one that holds it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent, sync)
    folder.mkdir(exist_ok=True)
    if sync:
        sync_folder(folder.parent)
