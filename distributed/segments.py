"""The files that a journal consists of: their form, byte by byte, and how one is read without trusting it.

A journal is a row of segments, ``journal-000000000003.log``, numbered without a gap. All numbers in them are
little-endian::

    segment:  magic 8 | version 4 | number 8 | after 8 | salt 8 | CRC-32 of all these 4 | record | record | ...
    record:   mark 4 | frames 4 | clock 8 | bytes 8 | flushed 8 | CRC-32 of the body 4 | CRC-32 of the head 4
              body: length 8 of each frame | frame | frame | ...

`after` is the clock of the last record before the segment, `bytes` what all frames of the record take, and
`flushed` the offset up to which the segment was known to be durable when the record was written. A record whose
`frames` is 2**32 - 1 is a note: it has no body and says nothing but that.

Checksums of records begin with the segment's random salt, and that of a head covers its offset, too. So what lies
in another file, or in a tensor that a stranger sent, is never taken for a record.

What the records mean, and what to do about damage, is for :mod:`~retrograd.distributed.journal`.
"""

from __future__ import annotations

import re
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .disk import ASIDE, write_all, written_aside
from .errors import JournalError

__all__ = [
    "FIRST",
    "MAX_FRAMES",
    "Damaged",
    "Head",
    "Segment",
    "claims_flushed",
    "encode",
    "encode_note",
    "frames_of",
    "heads",
]

_MAGIC, _VERSION = b"RGJOURNL", 1
_SEGMENT = struct.Struct("<8sIQq8s")
_MARK = b"\xd5RJ\x9a"
_HEAD = struct.Struct("<4sIQQQI")
_SUM = struct.Struct("<I")
_NOTE = 2**32 - 1  # in place of the number of frames
_NAME = re.compile(r"journal-(\d{12,})\.log")
_CHUNK = 1 << 20

MAX_FRAMES = _NOTE - 1
FIRST = _SEGMENT.size + _SUM.size
"""Offset of the first record in a segment."""


class Damaged(Exception):
    """The bytes at an offset are not a whole record."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


class Segment(NamedTuple):
    """A file of a journal, of which the first bytes have been read and found right."""

    path: Path
    number: int
    after: int
    """Clock of the last record of the segment before."""
    seed: int
    """What the checksums of its records begin with."""

    @classmethod
    def make(cls, folder: Path, number: int, after: int, *, sync: bool, server: int) -> Segment:
        """Make an empty segment, durable under its name."""
        path = folder / f"journal-{number:012d}.log"
        salt = secrets.token_bytes(8)
        start = _SEGMENT.pack(_MAGIC, _VERSION, number, after, salt)
        with written_aside(path, "segment", sync=sync, server=server) as descriptor:
            write_all(descriptor, [start, _SUM.pack(zlib.crc32(start))])
        return cls(path, number, after, zlib.crc32(salt))

    @classmethod
    def open(cls, path: Path) -> Segment:
        """The segment in a file, or `JournalError`."""
        with path.open("rb") as file:
            start = file.read(FIRST)
        if len(start) < FIRST or _SUM.pack(zlib.crc32(start[:-4])) != start[-4:]:
            raise JournalError(f"{path}: damaged at offset 0: no segment begins like this")
        magic, version, number, after, salt = _SEGMENT.unpack(start[:-4])
        if (magic, version) != (_MAGIC, _VERSION):
            raise JournalError(f"{path}: version {version} of the format, and this retrograd reads {_VERSION}")
        if path.name != f"journal-{number:012d}.log":
            raise JournalError(f"{path}: is segment {number} under another name")
        return cls(path, number, after, zlib.crc32(salt))

    @classmethod
    def all_in(cls, folder: Path) -> list[Segment]:
        """The segments in a folder, in order. One that was still being made when its process died is removed."""
        found = []
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name):
                found.append(cls.open(path))
            elif path.name.endswith(ASIDE) and _NAME.fullmatch(path.name.removesuffix(ASIDE)):
                path.unlink()
        return sorted(found, key=lambda segment: segment.number)


class Head(NamedTuple):
    """What a record says about itself, under a checksum that was right."""

    offset: int
    frames: int
    clock: int
    payload: int
    flushed: int
    crc32: int

    @property
    def is_note(self) -> bool:
        return self.frames == _NOTE

    @property
    def body(self) -> int:
        return self.offset + _HEAD.size + _SUM.size

    @property
    def end(self) -> int:
        return self.body + (0 if self.is_note else 8 * self.frames + self.payload)


# ---- writing -----------------------------------------------------------------------------------------------


def encode(segment: Segment, offset: int, clock: int, frames: Sequence[memoryview], flushed: int) -> bytes:
    """All of a record but its frames, which follow."""
    lengths = struct.pack(f"<{len(frames)}Q", *map(len, frames))
    crc = zlib.crc32(lengths, segment.seed)
    for frame in frames:
        crc = zlib.crc32(frame, crc)
    return _encode_head(segment, Head(offset, len(frames), clock, sum(map(len, frames)), flushed, crc)) + lengths


def encode_note(segment: Segment, offset: int, clock: int, flushed: int) -> bytes:
    """A record that says what is flushed."""
    return _encode_head(segment, Head(offset, _NOTE, clock, 0, flushed, 0))


def _encode_head(segment: Segment, head: Head) -> bytes:
    fields = _HEAD.pack(_MARK, *head[1:])
    return fields + _SUM.pack(_head_crc(segment, head.offset, fields))


def _head_crc(segment: Segment, offset: int, fields: bytes) -> int:
    return zlib.crc32(fields, zlib.crc32(offset.to_bytes(8, "little"), segment.seed))


# ---- reading -----------------------------------------------------------------------------------------------


def heads(file: BinaryIO, segment: Segment, size: int) -> Iterator[Head]:
    """The heads of the records in the first `size` bytes of a segment, notes included.

    Raises
    ------
    Damaged
        Where the bytes are no head, or announce more than is there. Bodies are not looked at.
    """
    offset = FIRST
    while offset < size:
        head = _head_at(file, segment, offset)
        if head is None:
            raise Damaged(offset, f"{size - offset} bytes that do not begin like a record")
        if head.end > size:
            raise Damaged(offset, f"a record of {head.end - offset} bytes of which {size - offset} are there")
        yield head
        offset = head.end


def frames_of(file: BinaryIO, segment: Segment, head: Head) -> list[bytes]:
    """The frames of a record that `heads` gave, or `Damaged`."""
    if head.is_note:
        return []
    file.seek(head.body)
    lengths = file.read(8 * head.frames)
    sizes = struct.unpack(f"<{head.frames}Q", lengths)
    # That all of them together fit into the file is known; that each does is known here.
    if sum(sizes) != head.payload:
        raise Damaged(head.offset, "a record whose frames are not as long as it is")
    crc, frames = zlib.crc32(lengths, segment.seed), []
    for size in sizes:
        frame = file.read(size)
        crc = zlib.crc32(frame, crc)
        frames.append(frame)
    if crc != head.crc32:
        raise Damaged(head.offset, "a record with a wrong checksum")
    return frames


def claims_flushed(file: BinaryIO, segment: Segment, offset: int, size: int) -> bool:
    """Whether a record behind an offset was written in the knowledge that the bytes at it were durable."""
    return any(
        head is not None and head.flushed > offset
        for place in _marks(file, offset + 1, size)
        if (head := _head_at(file, segment, place))
    )


def _head_at(file: BinaryIO, segment: Segment, offset: int) -> Head | None:
    file.seek(offset)
    fields, crc = file.read(_HEAD.size), file.read(_SUM.size)
    if len(crc) < _SUM.size or _SUM.pack(_head_crc(segment, offset, fields)) != crc:
        return None
    mark, *rest = _HEAD.unpack(fields)
    return Head(offset, *rest) if mark == _MARK else None


def _marks(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    """The offsets at which a record might begin."""
    while start < size:
        file.seek(start)
        chunk = file.read(min(_CHUNK, size - start))
        if len(chunk) < len(_MARK):
            return
        place = chunk.find(_MARK)
        while place >= 0:
            yield start + place
            place = chunk.find(_MARK, place + 1)
        start += len(chunk) - len(_MARK) + 1  # a mark may lie across the end of a chunk
