"""Torn tails, damage, losses of power and hostile files: the journal gives what was appended, or an error.

The rule is Note [Torn tail or damage] in distributed/journal.py.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from disk_faults import peak_of
from hypothesis import given, settings, strategies as st
from journals import NAME, RECORDS, Record, flip, leave, read, write

from retrograd.distributed import segments
from retrograd.distributed.errors import JournalError
from retrograd.distributed.journal import Journal
from retrograd.distributed.segments import FIRST, Head, Segment

# ---- torn tails and damage ---------------------------------------------------------------------------------


def test_a_tail_torn_at_any_byte_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    offsets = write(tmp_path, flush=False)
    path = tmp_path / NAME.format(1)
    data = path.read_bytes()
    assert len(data) == offsets[-1]
    for length in range(FIRST, len(data) + 1):
        path.write_bytes(data[:length])
        caplog.clear()
        whole = sum(offset <= length for offset in offsets) - 1
        assert read(tmp_path) == RECORDS[:whole], length
        if length in offsets:
            assert caplog.text == ""
        else:
            (warning,) = caplog.records
            assert warning.levelno == logging.WARNING
            assert f"{path}: cutting off {length - offsets[whole]} bytes at offset {offsets[whole]}" in caplog.text
        assert path.stat().st_size == offsets[whole]
        write(tmp_path, [(9, [b"goes on"])])
        assert read(tmp_path) == [*RECORDS[:whole], (9, [b"goes on"])]


def test_a_segment_that_another_follows_cannot_be_torn(tmp_path: Path) -> None:
    write(tmp_path, segment_bytes=150)
    path = tmp_path / NAME.format(2)
    data = path.read_bytes()
    for length in range(FIRST, len(data) - segments._HEAD.size - 4):  # without the note at its end nothing is missing
        path.write_bytes(data[:length])
        with pytest.raises(JournalError, match=rf"{NAME.format(2)}: damaged at offset"):
            read(tmp_path)
    path.write_bytes(data)
    assert read(tmp_path) == RECORDS


def test_records_cut_off_between_segments_are_missed(tmp_path: Path) -> None:
    offsets = write(tmp_path, RECORDS[:2])
    with Journal(tmp_path) as journal:
        journal.cut(0)
        journal.append(*RECORDS[2])
    os.truncate(tmp_path / NAME.format(1), offsets[1])
    text = (
        f"{NAME.format(1)}: damaged at offset {offsets[1]}: it ends with clock 1, and {NAME.format(2)} goes on behind 2"
    )
    with pytest.raises(JournalError, match=re.escape(text)):
        read(tmp_path)


def test_a_bit_flipped_in_what_was_flushed_is_an_error_that_says_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    offsets = write(tmp_path, flush=True)
    path = tmp_path / NAME.format(1)
    data = bytearray(path.read_bytes())
    assert len(data) > offsets[-1]  # the note of the flush
    for place in range(len(data)):
        mask = 1 << (place % 8)
        data[place] ^= mask
        path.write_bytes(data)
        data[place] ^= mask
        caplog.clear()
        if place < offsets[-1]:
            begin = max((offset for offset in offsets if offset <= place), default=0)
            with pytest.raises(JournalError, match=re.escape(f"{path}: damaged at offset {begin}")):
                read(tmp_path)
        else:
            assert read(tmp_path) == RECORDS
            assert "cutting off" in caplog.text
    path.write_bytes(data)
    assert read(tmp_path) == RECORDS


def test_damage_to_what_was_not_flushed_cuts_off_what_follows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    offsets = write(tmp_path, flush=False)
    path = tmp_path / NAME.format(1)
    data = path.read_bytes()
    for record in range(len(RECORDS)):
        for place in (offsets[record], offsets[record] + 20, offsets[record + 1] - 1):
            path.write_bytes(data)
            flip(path, place)
            assert read(tmp_path) == RECORDS[:record]
            assert f"at offset {offsets[record]}" in caplog.text


def test_a_record_after_a_flush_vouches_for_those_before(tmp_path: Path) -> None:
    with Journal(tmp_path, sync=False) as journal:
        journal.append(*RECORDS[0])
        journal.flush()
        note = journal._tail.end  # type: ignore[union-attr]
        journal.append(*RECORDS[1])
        end = journal._tail.end  # type: ignore[union-attr]
        leave(journal)
        journal._broken = "it died"
    path = tmp_path / NAME.format(1)
    data = path.read_bytes()
    # Even with both notes gone: the head of the second record says that the first one was durable.
    flip(path, note - 1)
    flip(path, FIRST + 50)
    with pytest.raises(JournalError, match=f"damaged at offset {FIRST}"):
        read(tmp_path)
    # And of the second one nothing says so.
    path.write_bytes(data[:end])
    flip(path, end - 1)
    assert read(tmp_path) == RECORDS[:1]


def test_a_record_in_a_tensor_vouches_for_nothing_even_at_its_own_offset(tmp_path: Path) -> None:
    # A stranger sends, as a gradient, the bytes of another journal in which everything has been flushed.
    write(tmp_path / "other")
    stolen = (tmp_path / "other" / NAME.format(1)).read_bytes()
    offsets = write(tmp_path, RECORDS[:1])
    begin = (tmp_path / NAME.format(1)).stat().st_size
    frame = begin + segments._HEAD.size + 4 + 8
    write(tmp_path, [(2, [stolen[frame:]])], flush=False)
    assert (tmp_path / NAME.format(1)).read_bytes()[frame:] == stolen[frame:]
    flip(tmp_path / NAME.format(1), begin)
    assert read(tmp_path) == RECORDS[:1]
    assert offsets[1] < begin  # behind it is a note, which is not damaged


def test_a_record_of_the_same_segment_vouches_for_nothing_at_another_offset(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / NAME.format(1)
    stolen = path.read_bytes()
    with Journal(tmp_path, sync=False) as journal:
        journal.rewind(1)
    begin = path.stat().st_size
    write(tmp_path, [(2, [b"shifted", stolen])], flush=False)
    flip(path, begin)
    assert read(tmp_path) == RECORDS[:1]


class Disk:
    """Follows which bytes of the journal are durable, and takes away others."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.durable: dict[str, int] = {}
        self.trace: list[str] = []
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, lambda descriptor, name=name: self.sync(name, descriptor))
        real = os.replace

        def replace(source: Path, target: Path) -> None:
            self.trace.append(f"rename {target.name}")
            self.durable[str(target)] = self.durable.pop(str(source), 0)
            real(source, target)

        patch.setattr(os, "replace", replace)

    def sync(self, name: str, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.trace.append(f"{name} {'folder' if os.path.isdir(path) else os.path.basename(path)}")
        self.durable[path] = os.fstat(descriptor).st_size

    def fail(self, folder: Path, draw: Any) -> None:
        """Of what is not durable, any part is lost, and the file may end anywhere behind what is."""
        for path in folder.glob("journal-*.log"):
            data, safe = bytearray(path.read_bytes()), self.durable[str(path)]
            blocks = range(safe, len(data), 16)
            for block in draw(st.lists(st.sampled_from(blocks), max_size=4)) if blocks else []:
                data[block : block + 16] = bytes(len(data[block : block + 16]))
            del data[draw(st.integers(safe, len(data))) :]
            path.write_bytes(data)


@settings(max_examples=200)
@given(data=st.data())
def test_a_loss_of_power_loses_nothing_that_was_flushed_and_is_never_taken_for_damage(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("power") / "journal"
    records: list[Record] = []
    flushed = 0
    with pytest.MonkeyPatch.context() as patch:
        power = Disk(patch)
        for _ in range(data.draw(st.integers(1, 3))):  # lives
            journal = Journal(folder, segment_bytes=data.draw(st.sampled_from([200, 10_000])))
            replayed = list(journal.replay(-1))
            assert flushed <= len(replayed) <= len(records)
            assert replayed == records[: len(replayed)]
            records = replayed
            flushed = len(records)  # what was replayed is acted on, so it must stay
            for size in data.draw(st.lists(st.none() | st.integers(0, 100), max_size=8)):
                if size is None:
                    journal.flush()
                    flushed = len(records)
                else:
                    records.append((len(records), [secrets.token_bytes(size)]))
                    journal.append(*records[-1])
            leave(journal)
            power.fail(folder, data.draw)
        with Journal(folder) as journal:
            replayed = list(journal.replay(-1))
    assert flushed <= len(replayed)
    assert replayed == records[: len(replayed)]


@pytest.mark.parametrize("sync", [True, False], ids=["synced", "sync does nothing"])
def test_a_loss_of_power_of_all_that_is_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    power = Disk(monkeypatch)
    journal = Journal(tmp_path, sync=True)
    journal.append(*RECORDS[0])
    monkeypatch.setattr(journal, "_sync", sync)
    journal.append(*RECORDS[1])
    journal.flush()
    journal.append(*RECORDS[2])
    leave(journal)
    for path in tmp_path.glob("*.log"):
        os.truncate(path, power.durable[str(path)])
    assert read(tmp_path) == (RECORDS[:2] if sync else [])  # the mutant loses what it has confirmed


def test_what_has_been_replayed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, sync=True, flush=False)  # by a process that died
    power = Disk(monkeypatch)
    with Journal(tmp_path) as journal:
        next(journal.replay(0))
        assert power.trace == [f"fdatasync {NAME.format(1)}"]


def test_many_records_are_made_durable_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Disk(monkeypatch)
    with Journal(tmp_path) as journal:
        journal.flush()
        assert power.trace == []
        journal.append(*RECORDS[0])
        first = NAME.format(1)
        assert power.trace == [f"fsync {first}.tmp", f"rename {first}", "fsync folder"]
        power.trace.clear()
        for record in RECORDS[1:]:
            journal.append(*record)
        assert power.trace == []
        journal.flush()
        journal.flush()
        assert power.trace == [f"fdatasync {first}"]


def test_a_segment_is_durable_before_the_next_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path) as journal:
        journal.append(*RECORDS[0])
        power = Disk(monkeypatch)
        real = os.unlink
        monkeypatch.setattr(os, "unlink", lambda path: (power.trace.append(f"remove {path.name}"), real(path)))
        journal.cut(1)
        first, second = NAME.format(1), NAME.format(2)
        assert power.trace == [
            f"fdatasync {first}",
            f"fsync {second}.tmp",
            f"rename {second}",
            "fsync folder",
            f"remove {first}",
            "fsync folder",
        ]


def test_without_sync_nothing_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Disk(monkeypatch)
    write(tmp_path / "new", sync=False, segment_bytes=150)
    read(tmp_path / "new")
    assert [line for line in power.trace if "sync" in line] == []


def test_a_mark_that_lies_across_the_pieces_of_a_search_is_found(tmp_path: Path) -> None:
    for shift in range(-5, 6):
        folder = tmp_path / str(shift)
        # The search begins behind FIRST, and the note around the end of the first piece.
        size = segments._CHUNK + 1 - (segments._HEAD.size + 4 + 8) + shift
        offsets = write(folder, [(1, [bytes(size)])])
        path = folder / NAME.format(1)
        assert path.read_bytes()[offsets[1] :].startswith(segments._MARK)
        flip(path, FIRST)
        with pytest.raises(JournalError, match=f"offset {FIRST}"):
            read(folder)


# ---- hostile files -----------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(data=st.data())
def test_any_damage_gives_a_journal_error_or_the_records_before_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    write(folder, flush=data.draw(st.booleans()), segment_bytes=data.draw(st.sampled_from([150, 10_000])))
    for path in sorted(folder.glob("*.log")):
        mutated = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(0, 2))):
            start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(mutated))] * 2)))
            mutated[start:end] = data.draw(st.binary(max_size=20) | st.just(bytes(end - start)))
        path.write_bytes(mutated)
    found = []
    try:
        with Journal(folder, sync=False) as journal:
            found.extend(journal.replay(-1))
    except JournalError:
        pass
    assert found == RECORDS[: len(found)]


@settings(max_examples=200)
@given(data=st.binary(max_size=300), whole=st.booleans())
def test_random_files_raise_only_journal_errors(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, whole: bool
) -> None:
    folder = tmp_path_factory.mktemp("random")
    start = segments._SEGMENT.pack(b"RGJOURNL", 1, 1, -1, bytes(8))
    start += struct.pack("<I", zlib.crc32(start))
    (folder / NAME.format(1)).write_bytes(start + segments._MARK + data if whole else data)
    try:
        assert read(folder) == []
    except JournalError:
        assert not whole


BIG = [2**20, 2**31, 2**32 - 2, 2**40, 2**62, 2**63, 2**64 - 1]


@pytest.mark.parametrize("field", ["frames", "payload", "a length", "two lengths"])
@pytest.mark.parametrize("claim", BIG)
def test_a_length_is_held_against_the_file_before_it_is_used(tmp_path: Path, field: str, claim: int) -> None:
    write(tmp_path)
    path = tmp_path / NAME.format(1)
    segment = Segment.open(path)
    data = path.read_bytes()

    def forged() -> Iterator[bytes]:
        frames = min(claim, 2**32 - 2) if field == "frames" else 2
        sizes = {"a length": [claim, 4], "two lengths": [claim, (8 - claim) % 2**64]}.get(field, [4, 4])
        body = struct.pack("<2Q", *sizes) + b"somebody"
        payload = claim if field == "payload" else 8
        head = Head(len(data), frames, 7, payload, len(data), zlib.crc32(body, segment.seed))
        yield segments._encode_head(segment, head) + body

    path.write_bytes(data + b"".join(forged()))
    found: list[Record] = []
    assert peak_of(lambda: found.extend(read(tmp_path))) < 300_000
    assert found == RECORDS
