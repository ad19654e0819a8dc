"""Journals to test with: written, read, left behind by a process that died, and damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from retrograd.distributed.journal import Journal
from retrograd.distributed.segments import FIRST

Record: TypeAlias = tuple[int, list[bytes]]

NAME = "journal-{:012d}.log"
RECORDS: list[Record] = [(clock, [b"push", bytes([clock]) * clock, b""]) for clock in range(1, 7)]


def write(folder: Path, records: list[Record] = RECORDS, *, flush: bool = True, **options: Any) -> list[int]:
    """A journal of these records; where each of them begins, and where the last one ends."""
    offsets = []
    journal = Journal(folder, **({"sync": False} | options))
    for clock, frames in records:
        journal.append(clock, frames)
        offsets.append(journal._tail.end)  # type: ignore[union-attr]
    if flush:
        journal.close()
    else:
        leave(journal)
    return [FIRST, *offsets]


def leave(journal: Journal) -> None:
    """What becomes of a journal when its process dies."""
    journal._leave_tail()
    journal._lock.release()


def read(folder: Path, after: int = -1) -> list[Record]:
    with Journal(folder, sync=False) as journal:
        return list(journal.replay(after))


def logs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def flip(path: Path, offset: int, mask: int = 0xFF) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)
