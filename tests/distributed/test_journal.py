"""The journal: what was appended comes back in order, what was flushed always, and a failure takes nothing away."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from disk_faults import disk_of_one_megabyte, files_of_at_most, peak_of, refuse, run_python, running_python
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from journals import NAME, RECORDS, Record, flip, leave, logs, read, write

from retrograd.distributed.errors import DistributedError, FolderInUse, JournalError
from retrograd.distributed.journal import Journal
from retrograd.distributed.segments import FIRST, Segment

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


def test_what_is_written_after_a_rewind_follows_what_is_left(tmp_path: Path) -> None:
    with Journal(tmp_path, segment_bytes=1) as journal:  # each record has a segment of its own
        for clock in (1, 2, 3, 4):
            journal.append(clock, [b"past"])
        journal.rewind(2)
        for clock in (3, 4):
            journal.append(clock, [b"again"])
    with Journal(tmp_path) as journal:  # no segment is missing in between
        assert [(clock, *frames) for clock, frames in journal.replay(after=0)] == [
            (1, b"past"), (2, b"past"), (3, b"again"), (4, b"again"),
        ]  # fmt: skip


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


def test_a_write_that_stops_early_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda descriptor, buffers: real(descriptor, [buffers[0][:7]]))
    write(tmp_path)
    assert read(tmp_path) == RECORDS


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


def test_nothing_is_promised_of_a_file_that_somebody_has_removed(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(1, [b"one"])
        journal.flush()
        shutil.rmtree(tmp_path)
        journal.append(2, [b"two"])
        for _ in range(2):
            with pytest.raises(JournalError, match="somebody has removed its file"):
                journal.flush()


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


# ---- memory ------------------------------------------------------------------------------------------------


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
