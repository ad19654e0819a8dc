"""What a server writes down between two snapshots: records, each of a clock and some frames, in order.

The records lie in segments, files whose form :mod:`~retrograd.distributed.segments` describes. Here is when they
are written, flushed, begun and dropped, and what is made of damage.

Notes
-----
Note [Torn tail or damage]
    Bytes that are no record are found in a sound journal, too: a process may die while it writes, and a machine
    that loses its power may lose any part of what was not yet flushed, in any order. But what `flush` returned
    for must be there. So, of the bytes at offset X of a segment that are not a whole record:

    * In a segment that another follows: damage. A segment is flushed before the next one is made.
    * In the last segment, if the head of some record behind X is whole and has ``flushed`` > X: damage. It was
      written after X had become durable.
    * Otherwise: a torn tail. It is cut off at X, with a warning.

    Every flush is followed by a note of it, which the next flush makes durable, or the system within seconds. So
    the rule errs in one case: damage to what was flushed last, together with the note of it, is taken for a torn
    tail. Where a segment that is not the last must end is known: the next one begins with the clock it ends with.

Knows nothing of sockets, servers or what the frames mean.
"""

from __future__ import annotations

import errno
import logging
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from .disk import FolderLock, reported_as, sync_data, sync_folder, write_all
from .errors import JournalError
from .failpoints import failpoint
from .segments import FIRST, MAX_FRAMES, Damaged, Segment, claims_flushed, encode, encode_note, frames_of, heads

__all__ = ["Journal"]

Frame: TypeAlias = bytes | bytearray | memoryview

log = logging.getLogger("retrograd.distributed.journal")

_BEFORE_ALL = -1  # the clock before the first


class Journal:
    """An append-only log in a folder, which one process at a time has open.

    Belongs to one thread. What `append` has written survives the death of the process; for what survives the
    death of the machine there is `flush`, once for all records appended before it.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    sync : bool
        Whether anything waits for the disk. Without it, what a loss of power leaves may be taken for damage.
    segment_bytes : int
        How long a segment may be when a record is added to it.
    server : int
        The number of the server, for fail-points.

    Raises
    ------
    FolderInUse
        When another has it open.
    JournalError
        When the folder cannot be made or read, or a segment in it does not begin like one.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Journal(Path(folder.name)) as journal:
    ...     for clock in (1, 2, 3):
    ...         journal.append(clock, [b"head", bytes(clock)])
    ...     journal.flush()
    >>> with Journal(Path(folder.name)) as journal:
    ...     list(journal.replay(after=1))
    [(2, [b'head', b'\\x00\\x00']), (3, [b'head', b'\\x00\\x00\\x00'])]
    >>> folder.cleanup()
    """

    def __init__(self, folder: Path, *, sync: bool = True, segment_bytes: int = 64 << 20, server: int = 0) -> None:
        self.folder = Path(folder)
        self._sync = sync
        self._server = server
        self._segment_bytes = segment_bytes
        self._tail: _Tail | None = None  # known once the last segment has been read
        self._clock = _BEFORE_ALL  # of the last record
        self._broken = ""
        with reported_as(JournalError, "cannot open the journal", self.folder):
            self._lock = FolderLock(self.folder, "journal.lock", sync=sync)
            try:
                self._segments = Segment.all_in(self.folder)
            except BaseException:
                self._lock.release()
                raise
        self._number = self._segments[-1].number if self._segments else 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written, or what was is gone."""
        return not self._segments

    # ---- what a server calls -------------------------------------------------------------------------------

    def append(self, clock: int, frames: Sequence[Frame]) -> None:
        """Write a record behind all others.

        Parameters
        ----------
        clock : int
            That of the state after the update that the record is about. Never below that of the record before.
        frames : sequence of bytes-like
            Each in one piece, in any number, of any length. They are read where they lie, and may be written to
            again when this returns.

        Raises
        ------
        JournalError
            When it cannot be written. The journal is as it was.
        ValueError
            When the clock goes backward.
        """
        self._recover()
        if not max(self._clock, 0) <= clock < 2**63:
            raise ValueError(f"a record of clock {clock} after one of clock {self._clock}: rewind the journal first")
        if len(frames) > MAX_FRAMES:
            raise ValueError(f"a record of {len(frames)} frames, where {MAX_FRAMES} is the most")
        if self._tail is None or self._tail.end >= self._segment_bytes:
            self._tail = self._begin(self._clock)
        tail = self._tail
        views = [_flat(frame) for frame in frames]
        self._write(tail, encode(tail.segment, tail.end, clock, views, tail.flushed), views)
        self._clock, tail.dirty = clock, True

    def flush(self) -> None:
        """Return once all appended records would survive a loss of power.

        Raises
        ------
        JournalError
            When the disk refuses. How much it has is unknown, and to ask again would not tell, since the system
            forgets what it failed to write. So the journal does nothing more; opened anew, it is what is left.
        """
        self._check()
        tail = self._tail
        if tail is None or not tail.dirty:
            return
        self._make_durable(tail)
        with suppress(JournalError):  # the note is a help, and a disk may be full
            self._write(tail, encode_note(tail.segment, tail.end, self._clock, tail.flushed), ())

    def replay(self, after: int) -> Iterator[tuple[int, list[bytes]]]:
        """The clock and the frames of each record with a clock above `after`, in order.

        A torn tail is cut off, with a warning in the log that names the file and the offset.

        Raises
        ------
        JournalError
            At a damaged record, see Note [Torn tail or damage], and where a segment is missing; or when records
            that should come have been dropped by `cut`.
        """
        self._recover()
        for index, segment in enumerate(chain := self._from(after)):
            follower = chain[index + 1] if index + 1 < len(chain) else None
            yield from self._replay_segment(segment, follower, after)

    def cut(self, before: int) -> None:
        """Drop the segments that hold only records up to clock `before`, and begin a new one.

        To be called when a snapshot is safe, with the clock of the *oldest* one that is kept: then each of them
        can still be replayed from. `replay` from a lower clock is refused from then on.

        Raises
        ------
        JournalError
            When a file cannot be made or removed. No record above `before` is lost.
        """
        self._recover()
        with reported_as(JournalError, "cannot drop old records", self.folder):
            if self._tail is None or self._tail.end > FIRST or before > self._clock:
                self._tail = self._begin(max(self._clock, before))
            old = [one for one, follower in pairwise(self._segments) if follower.after <= before]
            failpoint("journal.before_cut", self._server)
            self._drop(old)

    def rewind(self, clock: int) -> None:
        """Drop all records above a clock, durably: those of a future that will not come about.

        For when the servers of a run agree on a clock that is not the newest of each. What lies behind the last
        record of `clock` goes whether it can be read or not.

        Raises
        ------
        JournalError
            When damage comes before the last record that should stay.
        """
        self._check()
        with reported_as(JournalError, "cannot drop records", self.folder):
            future = [segment for segment in self._segments if segment.after > clock]
            self._leave_tail()
            self._drop(future[::-1])  # the newest first, so that there is no gap at any time
            if self._segments:
                self._number = self._segments[-1].number  # nor one later
                self._tail = self._open_last(clock, may_be_torn=not future)
            else:
                self._clock = clock

    def close(self) -> None:
        """Flush, and let another have the journal. Does nothing the second time."""
        try:
            if not self._broken:
                self.flush()
        finally:
            self._leave_tail()
            self._lock.release()
            self._broken = self._broken or "it was closed"

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- writing -------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._broken:
            raise JournalError(f"{self.folder}: this journal can no longer be used: {self._broken}")

    def _write(self, tail: _Tail, start: bytes, views: Sequence[memoryview]) -> None:
        """Write a record whole, or leave the segment as it is."""
        try:
            write_all(tail.descriptor, [start])
            failpoint("journal.torn", self._server)
            write_all(tail.descriptor, views)
        except BaseException as error:
            try:
                os.ftruncate(tail.descriptor, tail.end)
            except OSError as again:
                self._broken = f"half a record at offset {tail.end} could not be taken back: {again.strerror}"
            if isinstance(error, OSError):
                path = str(tail.segment.path)
                raise JournalError(error.errno, f"cannot append to the journal: {error.strerror}", path) from error
            raise
        tail.end += len(start) + sum(map(len, views))

    def _make_durable(self, tail: _Tail) -> None:
        if tail.flushed == tail.end:
            return
        failpoint("journal.before_flush", self._server)
        if self._sync:
            try:
                sync_data(tail.descriptor)
            except OSError as error:
                self._broken = f"what follows offset {tail.flushed} could not be flushed: {error.strerror}"
                raise JournalError(error.errno, self._broken, str(tail.segment.path)) from error
        if not os.fstat(tail.descriptor).st_nlink:  # what is on disk then is gone with this process
            self._broken = "somebody has removed its file"
            raise JournalError(errno.ENOENT, self._broken, str(tail.segment.path))
        tail.flushed, tail.dirty = tail.end, False
        failpoint("journal.after_flush", self._server)

    def _begin(self, after: int) -> _Tail:
        """Make the next segment. The one before is durable first, and stays the last one if that fails.

        It gets no note, but what notes it has are durable, too: a segment that another follows is whole.
        """
        if self._tail is not None:
            self._make_durable(self._tail)
        with reported_as(JournalError, "cannot begin a segment of the journal", self.folder):
            segment = Segment.make(self.folder, self._number + 1, after, sync=self._sync, server=self._server)
            tail = _Tail(segment, FIRST)
        self._leave_tail()
        self._segments.append(segment)
        self._number, self._clock = segment.number, after
        return tail

    def _leave_tail(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _drop(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            segment.path.unlink(missing_ok=True)
            self._segments.remove(segment)
        if segments and self._sync:
            sync_folder(self.folder)

    # ---- reading -------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Find the end of the journal, and cut off what a crash has left behind it."""
        self._check()
        if self._tail is None and self._segments:
            with reported_as(JournalError, "cannot read the journal", self.folder):
                self._tail = self._open_last(2**63, may_be_torn=True)

    def _open_last(self, upto: int, may_be_torn: bool) -> _Tail:
        """Open the last segment to append to it, without the records above clock `upto`."""
        segment = self._segments[-1]
        with segment.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            end, self._clock = FIRST, segment.after
            try:
                for head in heads(file, segment, size):
                    if head.clock > upto:
                        break
                    frames_of(file, segment, head)
                    end, self._clock = head.end, head.clock
            except Damaged as damage:
                torn = may_be_torn and not claims_flushed(file, segment, damage.offset, size)
                if not torn and self._clock != upto:
                    raise _error(segment, damage) from None
                log.warning(
                    "%s: cutting off %d bytes at offset %d, behind the record of clock %d: %s",
                    segment.path, size - damage.offset, damage.offset, self._clock, damage,
                )  # fmt: skip
        tail = _Tail(segment, end)
        if end < size:
            os.ftruncate(tail.descriptor, end)
        if self._sync:  # whoever wrote it may not have flushed it, and what is replayed must not vanish again
            sync_data(tail.descriptor)
        return tail

    def _from(self, after: int) -> list[Segment]:
        """The segments in which there may be records above a clock."""
        if not self._segments:
            return []
        reaching = [index for index, segment in enumerate(self._segments) if segment.after <= after]
        if not reaching:
            raise JournalError(
                f"{self.folder} cannot be replayed from clock {after}: it reaches back to {self._segments[0].after}"
            )
        chain = self._segments[reaching[-1] :]
        for one, follower in pairwise(chain):
            if follower.number != one.number + 1:
                raise JournalError(f"{self.folder}: no segment between {one.path.name} and {follower.path.name}")
        return chain

    def _replay_segment(
        self, segment: Segment, follower: Segment | None, after: int
    ) -> Iterator[tuple[int, list[bytes]]]:
        with reported_as(JournalError, "cannot read the journal", segment.path), segment.path.open("rb") as file:
            size, last = os.fstat(file.fileno()).st_size, segment.after
            try:
                for head in heads(file, segment, size):
                    if head.clock > after and not head.is_note:
                        yield head.clock, frames_of(file, segment, head)
                    last = head.clock
            except Damaged as damage:
                raise _error(segment, damage) from None
            if follower is not None and follower.after != last:
                missing = f"it ends with clock {last}, and {follower.path.name} goes on behind {follower.after}"
                raise _error(segment, Damaged(size, missing))


class _Tail:
    """The segment that is appended to."""

    def __init__(self, segment: Segment, end: int) -> None:
        self.segment = segment
        self.end = end
        """Where the next record begins."""
        self.flushed = end
        """Up to where the segment is known to be durable."""
        self.dirty = False
        """Whether there are records behind `flushed`, and not only the note of it."""
        # At its end, wherever that is after a record was taken back.
        self.descriptor = os.open(segment.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self.close = weakref.finalize(self, os.close, self.descriptor)


def _error(segment: Segment, damage: Damaged) -> JournalError:
    return JournalError(f"{segment.path}: damaged at offset {damage.offset}: {damage}")


def _flat(frame: Frame) -> memoryview:
    """The bytes of a frame, not a copy."""
    view = memoryview(frame)
    return view.cast("B") if view.nbytes else memoryview(b"")
