"""The journal: what was appended comes back in order, what was flushed always, and damage is never taken for data."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import shutil
import signal
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from disk_faults import disk_of_one_megabyte, files_of_at_most, peak_of, refuse, run_python, running_python
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from retrograd.distributed import disk, segments
from retrograd.distributed.errors import DistributedError, FolderInUse, JournalError
from retrograd.distributed.journal import Journal
from retrograd.distributed.segments import FIRST, Head, Segment

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


# ---- what comes back ---------------------------------------------------------------------------------------


def test_records_come_back_in_order(tmp_path: Path) -> None:
    gradient = np.arange(6, dtype=np.float32).reshape(2, 3)
    with Journal(tmp_path) as journal:
        assert list(journal.replay(-1)) == []
        journal.append(1, [b"head", gradient.data, bytearray(b"x"), memoryview(b"")])
        journal.append(1, [])
        journal.append(7, [np.zeros((0, 3)).data])
        gradient[:] = 0  # it was read, and is free again
        journal.flush()
        assert [clock for clock, _ in journal.replay(0)] == [1, 1, 7]
        assert list(journal.replay(6)) == [(7, [b""])]
        assert list(journal.replay(7)) == []
    first = (1, [b"head", np.arange(6, dtype=np.float32).tobytes(), b"x", b""])
    assert read(tmp_path, 0) == [first, (1, []), (7, [b""])]


def test_more_records_are_added_to_a_journal_that_is_there(tmp_path: Path) -> None:
    for record in RECORDS:
        write(tmp_path, [record])
    assert read(tmp_path) == RECORDS
    assert len(logs(tmp_path)) == 1


def test_a_record_of_many_frames(tmp_path: Path) -> None:
    frames = [bytes([i % 256]) * (i % 3) for i in range(3000)]  # more than one `writev` takes
    write(tmp_path, [(0, frames)])
    assert read(tmp_path) == [(0, frames)]


def test_a_clock_never_goes_backward(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        with pytest.raises(ValueError, match="clock -1"):
            journal.append(-1, [])
        with pytest.raises(ValueError, match=str(2**63)):
            journal.append(2**63, [])
        journal.append(5, [])
        with pytest.raises(ValueError, match="clock 4 after one of clock 5: rewind"):
            journal.append(4, [])
    with Journal(tmp_path) as journal, pytest.raises(ValueError, match="clock 4 after one of clock 5"):
        journal.append(4, [])


def test_a_frame_lies_in_one_piece(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        with pytest.raises(TypeError, match="contiguous"):
            journal.append(1, [b"one", np.arange(6)[::2].data])
        journal.append(1, [b"whole"])
    assert read(tmp_path) == [(1, [b"whole"])]


def test_a_closed_journal_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(1, [])
    journal.close()
    journal.close()
    for call in (lambda: journal.append(2, []), journal.flush, lambda: next(journal.replay(0)), lambda: journal.cut(0)):
        with pytest.raises(JournalError, match="it was closed"):
            call()
    assert read(tmp_path) == [(1, [])]


# ---- segments ----------------------------------------------------------------------------------------------


def test_segments_are_begun_by_size(tmp_path: Path) -> None:
    write(tmp_path, segment_bytes=150)
    assert logs(tmp_path) == [NAME.format(number) for number in range(1, 4)]
    assert read(tmp_path) == RECORDS
    assert read(tmp_path, after=4) == RECORDS[4:]
    assert [segment.after for segment in Segment.all_in(tmp_path)] == [-1, 2, 4]


def test_cut_drops_what_no_kept_snapshot_needs(tmp_path: Path) -> None:
    with Journal(tmp_path, sync=False) as journal:
        for clock, frames in RECORDS:
            journal.append(clock, frames)
            if clock in (2, 4):
                journal.cut(before=2)  # the snapshots of clocks 2 and 4 are kept
        assert list(journal.replay(2)) == RECORDS[2:]
        assert list(journal.replay(4)) == RECORDS[4:]
        assert logs(tmp_path) == [NAME.format(2), NAME.format(3)]
        with pytest.raises(JournalError, match="cannot be replayed from clock 1: it reaches back to 2"):
            next(journal.replay(1))
        journal.cut(before=5)
        assert list(journal.replay(5)) == RECORDS[5:]
        assert logs(tmp_path) == [NAME.format(3), NAME.format(4)]
        journal.cut(before=6)
        assert logs(tmp_path) == [NAME.format(4)]
        journal.cut(before=6)
        assert logs(tmp_path) == [NAME.format(4)]
    assert read(tmp_path, after=6) == []
    with pytest.raises(JournalError, match="reaches back to 6"):
        read(tmp_path, after=5)
    write(tmp_path, [(7, [b"more"])])
    assert read(tmp_path, after=6) == [(7, [b"more"])]


def test_cut_ahead_of_the_journal(tmp_path: Path) -> None:
    with Journal(tmp_path, sync=False) as journal:
        journal.cut(before=10)  # training went on from a snapshot of clock 10, without a journal before it
        with pytest.raises(JournalError, match="reaches back to 10"):
            next(journal.replay(9))
        journal.append(11, [])
        journal.cut(before=20)
        with pytest.raises(ValueError, match="clock 19"):
            journal.append(19, [])
        journal.append(21, [])
    assert read(tmp_path, after=20) == [(21, [])]


def test_a_segment_that_is_missing_is_missed(tmp_path: Path) -> None:
    write(tmp_path, segment_bytes=150)
    (tmp_path / NAME.format(2)).unlink()
    assert read(tmp_path, after=4) == RECORDS[4:]  # nothing of it is needed
    with Journal(tmp_path) as journal, pytest.raises(JournalError, match=r"no segment between .*001.log and .*003.log"):
        list(journal.replay(1))
    (tmp_path / NAME.format(1)).unlink()
    with pytest.raises(JournalError, match="reaches back to 4"):
        read(tmp_path, after=3)


def test_a_segment_is_known_by_its_beginning(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / NAME.format(1)).rename(tmp_path / NAME.format(2))
    with pytest.raises(JournalError, match="is segment 1 under another name"):
        Journal(tmp_path)
    (tmp_path / NAME.format(2)).write_bytes(b"")
    with pytest.raises(JournalError, match=rf"{NAME.format(2)}: damaged at offset 0") as caught:
        Journal(tmp_path)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, DistributedError)
    start = struct.pack("<8sIQq8s", b"RGJOURNL", 2, 2, -1, bytes(8))
    (tmp_path / NAME.format(2)).write_bytes(start + struct.pack("<I", zlib.crc32(start)))
    with pytest.raises(JournalError, match="version 2 of the format"):
        Journal(tmp_path)
    (tmp_path / NAME.format(2)).unlink()
    with Journal(tmp_path):  # the attempts before have let go of the folder
        pass


def test_files_of_others_are_left_alone_and_leftovers_are_not(tmp_path: Path) -> None:
    for name in ("snapshot-000000000001.safetensors", "journal-1.log", "notes.tmp"):
        (tmp_path / name).write_text("mine")
    (tmp_path / (NAME.format(1) + ".tmp")).write_text("half a segment")
    write(tmp_path)
    assert logs(tmp_path) == sorted(["snapshot-000000000001.safetensors", "journal-1.log", "notes.tmp", NAME.format(1)])


def test_rewind_drops_the_future(tmp_path: Path) -> None:
    write(tmp_path, segment_bytes=150)
    with Journal(tmp_path, sync=False) as journal:
        journal.rewind(6)
        assert list(journal.replay(0)) == RECORDS
        journal.rewind(3)
        assert list(journal.replay(0)) == RECORDS[:3]
        journal.append(4, [b"another"])
        assert list(journal.replay(2)) == [RECORDS[2], (4, [b"another"])]
    assert read(tmp_path) == [*RECORDS[:3], (4, [b"another"])]
    with Journal(tmp_path, sync=False) as journal:
        journal.cut(3)
        journal.rewind(2)  # behind all that is left
        journal.append(3, [b"anew"])
        with pytest.raises(JournalError, match="reaches back to 2"):
            next(journal.replay(1))
    assert read(tmp_path, after=2) == [(3, [b"anew"])]


def test_rewind_is_the_way_out_of_damage(tmp_path: Path) -> None:
    offsets = write(tmp_path)
    flip(tmp_path / NAME.format(1), offsets[3])
    with Journal(tmp_path, sync=False) as journal:
        with pytest.raises(JournalError):
            journal.rewind(4)  # record 4 should stay, and cannot be read
        journal.rewind(3)
        assert list(journal.replay(0)) == RECORDS[:3]
    assert read(tmp_path) == RECORDS[:3]


Clock = st.integers(0, 3)


class Model(RuleBasedStateMachine):
    """A journal does what a list does, over any life with any number of deaths."""

    @initialize(size=st.sampled_from([1, 150, 10_000]))
    def begin(self, size: int) -> None:
        self.folder = Path(os.environ["PYTEST_JOURNALS"]) / secrets.token_hex(8)
        self.size = size
        self.records: list[Record] = []
        self.clock, self.floor = 0, -1
        self.journal = Journal(self.folder, sync=False, segment_bytes=size)

    @rule(step=Clock, frames=st.lists(st.binary(max_size=60), max_size=3))
    def append(self, step: int, frames: list[bytes]) -> None:
        self.clock += step
        self.journal.append(self.clock, frames)
        self.records.append((self.clock, frames))

    @rule()
    def flush(self) -> None:
        self.journal.flush()

    @rule(die=st.booleans())
    def reopen(self, die: bool) -> None:
        leave(self.journal) if die else self.journal.close()
        self.journal = Journal(self.folder, sync=False, segment_bytes=self.size)

    @rule(back=Clock)
    def cut(self, back: int) -> None:
        before = max(self.clock - back, 0)
        self.journal.cut(before)
        self.floor = max(self.floor, before)
        self.clock = max(self.clock, before)

    @precondition(lambda self: self.clock > 0)
    @rule(back=Clock)
    def rewind(self, back: int) -> None:
        self.clock = max(self.clock - back, self.floor, 0)
        self.journal.rewind(self.clock)
        self.records = [record for record in self.records if record[0] <= self.clock]

    @invariant()
    def replays(self) -> None:
        for after in range(max(self.floor, self.clock - 4), self.clock + 1):
            assert list(self.journal.replay(after)) == [record for record in self.records if record[0] > after]

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            assert not list(self.folder.glob("*.tmp"))
            shutil.rmtree(self.folder)


class TestModel(Model.TestCase):
    settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

    @pytest.fixture(autouse=True)
    def journals(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_JOURNALS", str(tmp_path))


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


# ---- failure to write --------------------------------------------------------------------------------------


def test_a_record_that_does_not_fit_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    with Journal(tmp_path, sync=False) as journal:
        journal.append(1, [b"small"])
        with files_of_at_most(4096):
            for _ in range(2):
                with pytest.raises(JournalError, match="cannot append to the journal: File too large") as caught:
                    journal.append(2, [b"head", bytes(5000)])
            journal.append(2, [b"fits"])
        assert caught.value.errno == errno.EFBIG
        assert caught.value.filename == str(tmp_path / NAME.format(1))
        journal.append(3, [bytes(5000)])
        journal.flush()
        assert [clock for clock, _ in journal.replay(0)] == [1, 2, 3]
    assert read(tmp_path) == [(1, [b"small"]), (2, [b"fits"]), (3, [bytes(5000)])]


@pytest.mark.processes
def test_a_full_disk(tmp_path: Path) -> None:
    with disk_of_one_megabyte(tmp_path / "disk") as folder, Journal(folder, segment_bytes=300_000) as journal:
        clock = 0

        def append(times: int) -> None:
            nonlocal clock
            for _ in range(times):
                journal.append(clock + 1, [bytes(90_000)])
                journal.flush()
                clock += 1

        with pytest.raises(JournalError, match="No space left on device"):
            append(times=20)
        assert [each for each, _ in journal.replay(0)] == list(range(1, clock + 1))
        first = clock - 3
        journal.cut(first - 1)
        append(times=1)
        assert [each for each, _ in journal.replay(first - 1)] == list(range(first, clock + 1))


def test_a_segment_that_cannot_be_begun_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path, sync=False, segment_bytes=150) as journal:
        for record in RECORDS[:2]:
            journal.append(*record)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse(errno.ENOSPC))
            for call in (lambda: journal.append(*RECORDS[2]), lambda: journal.cut(1)):
                with pytest.raises(JournalError, match="No space left"):
                    call()
        assert logs(tmp_path) == [NAME.format(1)]
        journal.append(*RECORDS[2])
        assert list(journal.replay(0)) == RECORDS[:3]


def test_after_a_flush_that_failed_nothing_more_is_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append(*RECORDS[0])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse(errno.EIO))
        with pytest.raises(JournalError, match="could not be flushed: Input/output error") as caught:
            journal.flush()
    assert caught.value.errno == errno.EIO
    for call in (
        journal.flush,
        lambda: journal.append(*RECORDS[1]),
        lambda: next(journal.replay(0)),
        lambda: journal.rewind(0),
    ):
        with pytest.raises(JournalError, match="can no longer be used: what follows offset"):
            call()
    journal.close()
    assert read(tmp_path) == RECORDS[:1]  # what is left of it; here the disk was well


def test_a_record_that_cannot_be_taken_back_ends_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append(*RECORDS[0])
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", refuse(errno.EIO))
        patch.setattr(os, "ftruncate", refuse(errno.EIO))
        with pytest.raises(JournalError, match="cannot append"):
            journal.append(*RECORDS[1])
    with pytest.raises(JournalError, match="could not be taken back"):
        journal.append(*RECORDS[1])
    journal.close()


def test_a_note_that_does_not_fit_is_not_missed(tmp_path: Path) -> None:
    with Journal(tmp_path, sync=False) as journal:
        journal.append(1, [bytes(4000)])
        with files_of_at_most(journal._tail.end):  # type: ignore[union-attr]
            journal.flush()
        journal.append(2, [])
    assert [clock for clock, _ in read(tmp_path)] == [1, 2]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal(tmp_path / "file")


# ---- deaths and others -------------------------------------------------------------------------------------


@pytest.mark.processes
def test_a_server_killed_at_any_system_call_of_the_journal(tmp_path: Path) -> None:
    places = run_python(
        """
        import shutil, sys
        from pathlib import Path
        from disk_faults import crash_everywhere
        from retrograd.distributed.journal import Journal

        folder = Path(sys.argv[1]) / "journal"
        def record(clock):
            return clock, [b"push", bytes([clock]) * 40]

        def prepare():
            shutil.rmtree(folder, ignore_errors=True)
            with Journal(folder, segment_bytes=300) as journal:
                for clock in range(1, 4):
                    journal.append(*record(clock))

        def work(tell):
            with Journal(folder, segment_bytes=300) as journal:
                for clock in range(4, 12):
                    journal.append(*record(clock))
                    if clock % 3 == 0:
                        journal.flush()
                        tell(clock)
                    if clock == 8:
                        journal.cut(5)
                journal.rewind(10)
                journal.append(*record(11))

        def check(told):
            with Journal(folder, segment_bytes=300) as journal:
                found = list(journal.replay(5))
                clocks = [clock for clock, _ in found]
                assert clocks == list(range(6, 6 + len(clocks))), clocks
                assert found == [record(clock) for clock in clocks]
                assert max([5, *clocks]) >= told, (clocks, told)
                journal.append(*record(20))
                assert list(journal.replay(5)) == [*found, record(20)]
            assert not list(folder.glob("*.tmp"))

        print(crash_everywhere(prepare, work, check))
        """,
        tmp_path,
    )
    assert int(places) > 50


APPENDS_FOREVER = """
    import sys
    from pathlib import Path
    from retrograd.distributed.journal import Journal
    journal, clock = Journal(Path(sys.argv[1]), segment_bytes=2_000_000), 0
    while True:
        for _ in range(5):
            clock += 1
            journal.append(clock, [b"push", clock.to_bytes(8, "little") * 10_000])
        journal.flush()
        if clock % 50 == 0:
            journal.cut(clock - 40)
        print(clock, flush=True)
"""


@pytest.mark.processes
def test_a_server_killed_while_it_appends_in_a_loop(tmp_path: Path) -> None:
    with running_python(APPENDS_FOREVER, tmp_path) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(40)][-1]
        with pytest.raises(FolderInUse, match=f"in use by process {process.pid}"):
            Journal(tmp_path)
        process.send_signal(signal.SIGKILL)
        told = int([told, *process.stdout.read().split()][-1])
    with Journal(tmp_path) as journal:  # it is dead, so the folder is free
        start = max(told - 40, 0) // 50 * 50
        clocks = []
        for clock, (kind, frame) in journal.replay(start):
            assert (kind, frame) == (b"push", clock.to_bytes(8, "little") * 10_000)
            clocks.append(clock)
    assert clocks == list(range(start + 1, start + 1 + len(clocks)))
    assert clocks[-1] >= told


def test_a_folder_is_one_journal_s_at_a_time(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    with pytest.raises(FolderInUse, match=f"{tmp_path} is in use by process {os.getpid()}"):
        Journal(tmp_path)
    del first  # forgotten is released, too
    Journal(tmp_path).close()


# ---- hostile files, and memory -----------------------------------------------------------------------------


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


def test_memory_does_not_grow_with_the_journal(tmp_path: Path) -> None:
    block = np.zeros(1_000_000, np.uint8)
    with Journal(tmp_path, sync=False) as journal:
        journal.append(0, [])
        assert peak_of(lambda: [journal.append(clock, [block.data, block.data]) for clock in range(1, 20)]) < 100_000
    with Journal(tmp_path, sync=False) as journal:
        assert peak_of(lambda: sum(len(frames) for _, frames in journal.replay(0))) < 5_000_000
    # Nor while a broken one is searched for a record that vouches for the bytes before it.
    flip(tmp_path / NAME.format(1), FIRST + 100)
    with Journal(tmp_path, sync=False) as journal:

        def search() -> None:
            with pytest.raises(JournalError):
                next(journal.replay(0))

        assert peak_of(search) < 5_000_000


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


def test_every_system_call_goes_through_one_place() -> None:
    # `disk_faults` and the tests above patch calls of `os`; a call by another name would escape them.
    assert disk.os is os
