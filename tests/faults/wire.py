"""As much of ZMTP 3 as a bystander needs: where a message begins and ends, and what its header says.

ZMTP is what ZeroMQ speaks over TCP (https://rfc.zeromq.org/spec/23). Each side sends a greeting of 64 bytes, then
frames: an octet of flags, the length in one octet or eight, the body. Whatever is not ZMTP 3 passes as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

Header: TypeAlias = dict[str, Any]

MAGIC = b"RGP1"
SEALED = b"RGP2"  # a checksum of four bytes follows
CHUNK = 65_536
_GREETING = 64
_MORE, _LONG = 1, 2  # flags of a frame


@dataclass(frozen=True, slots=True)
class Message:
    """One ZeroMQ message: its bytes on the wire, its frames, and the header if the first frame is one of ours."""

    raw: bytes
    frames: tuple[bytes, ...]
    header: Header | None

    @classmethod
    def of(cls, frames: Sequence[bytes]) -> Message:
        """The message that consists of `frames`."""
        return cls(_encode(frames), tuple(frames), header_of(frames[0]))


def header_of(frame: bytes) -> Header | None:
    """The header in a first frame; ``None`` when it is something else, as everything on an encrypted connection is.

    >>> header_of(b"RGP1" + msgspec.msgpack.encode({"type": "push"})), header_of(b"hello")
    ({'type': 'push'}, None)
    """
    start = {MAGIC: len(MAGIC), SEALED: len(SEALED) + 4}.get(frame[: len(MAGIC)])
    if start is None:
        return None
    try:
        header = msgspec.msgpack.decode(frame[start:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def pieces(data: bytes) -> Iterable[bytes]:
    """Cut bytes into chunks; nothing at all is one empty chunk."""
    if len(data) <= CHUNK:
        return (data,)
    return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))


async def split(reader: asyncio.StreamReader) -> AsyncIterator[bytes | Message]:
    """One direction of a connection, as whole messages and as bytes that belong to none.

    A message is given out once it has arrived whole; what is left of one that never does, as bytes. ZMTP's own
    commands, which have the form of messages, are given out as such, and have no header.
    """
    greeting = b""
    # The greeting passes byte by byte: each side waits for the beginning of the other's before it goes on.
    while len(greeting) < _GREETING and greeting[:1] in (b"", b"\xff"):
        if not (piece := await reader.read(_GREETING - len(greeting))):
            return
        greeting += piece
        yield piece
    if not _is_version_3(greeting):
        while piece := await reader.read(CHUNK):
            yield piece
        return
    raw = bytearray()
    try:
        while True:
            frames = await _read_frames(reader, raw)
            data = bytes(raw)
            raw.clear()
            yield Message(data, frames, header_of(frames[0]))
    except asyncio.IncompleteReadError as end:
        if rest := bytes(raw) + end.partial:
            yield rest


async def _read_frames(reader: asyncio.StreamReader, raw: bytearray) -> tuple[bytes, ...]:
    """Read one message; what was read is in `raw` even if it ends half-way."""

    async def read(size: int) -> bytes:
        data = await reader.readexactly(size)
        raw.extend(data)
        return data

    frames: list[bytes] = []
    flags = _MORE
    while flags & _MORE:
        flags = (await read(1))[0]
        size = int.from_bytes(await read(8 if flags & _LONG else 1), "big")
        frames.append(await read(size))
    return tuple(frames)


def _is_version_3(greeting: bytes) -> bool:
    return len(greeting) == _GREETING and greeting[0] == 0xFF and greeting[9] == 0x7F and greeting[10] == 3


def _encode(frames: Sequence[bytes]) -> bytes:
    parts = []
    for index, frame in enumerate(frames):
        more = _MORE if index < len(frames) - 1 else 0
        is_long = len(frame) > 255
        head = bytes([more | (_LONG if is_long else 0)])
        parts += [head, len(frame).to_bytes(8 if is_long else 1, "big"), frame]
    return b"".join(parts)
