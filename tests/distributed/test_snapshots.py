"""Snapshots: what is saved comes back bit for bit, and whatever happens to a file, nothing else does."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import struct
import zlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from disk_faults import disk_of_one_megabyte, files_of_at_most, peak_of, refuse, run_python, running_python
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from retrograd.distributed import disk
from retrograd.distributed.disk import FolderLock
from retrograd.distributed.errors import DistributedError, FolderInUse, SnapshotError
from retrograd.distributed.snapshots import Array, Snapshot, SnapshotStore

NAME = "snapshot-{:012d}.safetensors"
LOG = "retrograd.distributed.snapshots"


def small(clock: int) -> Snapshot:
    tensors: dict[str, Array] = {
        "weights/0": np.full((2, 3), clock, np.float32),
        "moments/0": np.full(2, clock, np.complex64),
        "mask": np.array([True, False, True]),
    }
    return Snapshot(clock, b"\x81\xa5epoch\x02", tensors)


def same(one: Snapshot | None, other: Snapshot) -> bool:
    """Whether two snapshots are equal bit for bit, in the order of their tensors, too."""
    assert one is not None
    return (one.clock, one.meta, list(one.tensors)) == (other.clock, other.meta, list(other.tensors)) and all(
        (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        for a, b in zip(one.tensors.values(), other.tensors.values(), strict=True)
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def store_of(folder: Path, *clocks: int, keep: int = 10) -> SnapshotStore:
    store = SnapshotStore(folder, keep, sync=False)
    for clock in clocks:
        store.save(small(clock))
    return store


# ---- what comes back ---------------------------------------------------------------------------------------

DTYPES = [
    np.dtype(name)
    for name in "bool u1 u2 u4 u8 i1 i2 i4 i8 f2 f4 f8 c8 c16".split()
] + [np.dtype(ml_dtypes.bfloat16)]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2, 3, 4)], ids=str)
def test_round_trip(tmp_path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    # Any bits at all: among them are NaNs with a payload, infinities and subnormal numbers.
    raw = np.random.default_rng(0).integers(0, 256, int(np.prod(shape)) * dtype.itemsize, np.uint8)
    array = (raw % 2 if dtype.kind == "b" else raw).view(dtype).reshape(shape)
    snapshot = Snapshot(3, b"", {"x": array})
    with SnapshotStore(tmp_path, sync=False) as store:
        store.save(snapshot)
        assert same(store.load(3), snapshot)


@settings(max_examples=100)
@given(
    meta=st.binary(max_size=50),
    tensors=st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from(["f4", "i8", "?", "c8"]).flatmap(
            lambda t: hnp.arrays(t, hnp.array_shapes(min_dims=0, min_side=0))
        ),
        max_size=5,
    ),
)
def test_any_names_and_meta_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, meta: bytes, tensors: dict[str, Array]
) -> None:
    snapshot = Snapshot(1, meta, tensors)
    with SnapshotStore(tmp_path_factory.mktemp("any"), sync=False) as store:
        store.save(snapshot)
        assert same(store.load(1), snapshot)


def test_an_array_is_saved_as_it_reads_however_it_lies_in_memory(tmp_path: Path) -> None:
    grid = np.arange(12, dtype=np.float32).reshape(3, 4)
    strange = {"transposed": grid.T, "strided": grid[::2, ::-1], "big": grid.astype(">f4"), "scalar": np.float16(2)}
    with SnapshotStore(tmp_path, sync=False) as store:
        store.save(Snapshot(0, b"", strange))
        back = store.load(0).tensors
    for name, array in strange.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype.isnative
        assert back[name].flags.writeable
        assert back[name].flags.c_contiguous


def test_a_file_is_one_that_every_reader_of_the_format_reads(tmp_path: Path) -> None:
    bfloat16 = np.arange(4).astype(ml_dtypes.bfloat16)
    tensors: dict[str, Array] = {
        "bits": np.ones(3, np.bool_),
        "half": bfloat16,
        "wide": np.arange(3.0),
        "z": np.array([1 + 2j]),
        "n": np.zeros((0, 2)),
    }
    with SnapshotStore(tmp_path, sync=False) as store:
        path = store.save(Snapshot(5, b"meta", tensors))
    read = safetensors.numpy.load_file(path)
    shapes = {"bits": (3,), "half": (4,), "wide": (3,), "z": (1, 2), "n": (0, 2)}
    assert {name: array.shape for name, array in read.items()} == shapes
    assert read["half"].tobytes() == bfloat16.tobytes()
    np.testing.assert_array_equal(read["wide"], tensors["wide"])
    np.testing.assert_array_equal(read["z"], [[1.0, 2.0]])
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    # The widest first, so that each tensor is aligned in a file that is mapped into memory.
    offsets = {name: header[name]["data_offsets"] for name in tensors}
    assert offsets == {"wide": [0, 24], "z": [24, 40], "n": [40, 40], "half": [40, 48], "bits": [48, 51]}


def test_other_metadata_is_what_the_docstring_says(tmp_path: Path) -> None:
    with SnapshotStore(tmp_path, sync=False) as store:
        path = store.save(Snapshot(12, b"\x00\xff", {"w": np.ones((3, 2), np.complex64)}))
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata()
    crc = f"{zlib.crc32(np.ones((3, 2), np.complex64)):08x}"
    assert json.loads(metadata["retrograd.snapshot"]) == {
        "version": 1, "clock": 12, "meta": "AP8=", "tensors": [["w", "complex64", [3, 2], crc]],
    }  # fmt: skip
    assert metadata["retrograd.crc32"] == f"{zlib.crc32(metadata['retrograd.snapshot'].encode()):08x}"
    assert set(metadata) == {"retrograd.snapshot", "retrograd.crc32"}


@pytest.mark.parametrize(
    ("snapshot", "kind", "text"),
    [
        (Snapshot(-1, b"", {}), ValueError, "between 0 and"),
        (Snapshot(2**63, b"", {}), ValueError, "between 0 and"),
        (Snapshot(0, b"", {"x": np.array([object()])}), TypeError, "'x' has dtype object"),
        (Snapshot(0, b"", {"x": np.array(["a"])}), TypeError, "'x' has dtype <U1"),
        (Snapshot(0, b"", {"x": np.zeros(1, ml_dtypes.float8_e5m2)}), TypeError, "float8_e5m2"),
        (Snapshot(0, b"", {"__metadata__": np.zeros(1)}), ValueError, "__metadata__"),
        (Snapshot(0, bytes(75_000_100), {}), SnapshotError, "at most 100000000"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_no_file_can_hold_is_refused(tmp_path: Path, snapshot: Snapshot, kind: type[Exception], text: str) -> None:
    with SnapshotStore(tmp_path, sync=False) as store, pytest.raises(kind, match=text):
        store.save(snapshot)
    assert names(tmp_path) == []


# ---- which one, and how many -------------------------------------------------------------------------------


def test_latest_and_clocks(tmp_path: Path) -> None:
    store = store_of(tmp_path / "a" / "b", 5, 20, 1000, 10**13)
    assert store.clocks() == [5, 20, 1000, 10**13]
    assert same(store.latest(), small(10**13))
    assert same(store.latest(at_most=1000), small(1000))
    assert same(store.latest(at_most=999), small(20))
    assert store.latest(at_most=4) is None
    assert same(store.load(5), small(5))
    with pytest.raises(SnapshotError, match=NAME.format(6)) as caught:
        store.load(6)
    assert caught.value.errno == errno.ENOENT


def test_an_empty_or_absent_folder_has_none(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "absent")
    assert (store.latest(), store.clocks()) == (None, [])
    assert names(tmp_path) == []  # reading makes nothing


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("model.safetensors", "snapshot-1.safetensors", NAME.format(7) + ".bak", "journal-000000000001.log"):
        (tmp_path / name).write_text("mine")
    (tmp_path / NAME.format(9)).mkdir()
    store = store_of(tmp_path, 1, 2, keep=1)
    assert store.clocks() == [2]
    assert len(names(tmp_path)) == 6


def test_a_snapshot_of_the_same_clock_is_replaced(tmp_path: Path) -> None:
    store = store_of(tmp_path, 1)
    other = Snapshot(1, b"other", {})
    store.save(other)
    assert same(store.latest(), other)


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_last_few_are_kept(tmp_path: Path, keep: int) -> None:
    assert store_of(tmp_path, *range(10, 20), keep=keep).clocks() == list(range(20 - keep, 20))
    assert len(names(tmp_path)) == keep


def test_keeping_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        SnapshotStore(tmp_path, keep=0)


def test_the_one_just_saved_stays_although_its_clock_is_not_the_highest(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100, 101, 102, keep=2)
    store.save(small(50))
    assert 50 in store.clocks()
    assert same(store.load(50), small(50))


def test_those_known_to_be_damaged_do_not_count(tmp_path: Path) -> None:
    store = store_of(tmp_path, 1, 2, 3, 4, keep=4)
    for clock in (3, 4):
        damage(tmp_path / NAME.format(clock), -1)
    assert same(store.latest(), small(2))
    store.keep = 3
    store.save(small(5))
    assert store.clocks() == [1, 2, 3, 4, 5]
    store.save(small(6))
    assert store.clocks() == [2, 3, 4, 5, 6]
    store.save(small(7))
    assert store.clocks() == [5, 6, 7]


def test_rewind_drops_the_future(tmp_path: Path) -> None:
    store = store_of(tmp_path, 1, 2, 3)
    store.rewind(2)
    assert store.clocks() == [1, 2]
    store.rewind(0)
    assert store.clocks() == []


def test_a_snapshot_that_cannot_be_dropped_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(tmp_path, 1, keep=1)
    monkeypatch.setattr(os, "unlink", refuse(errno.EPERM))
    store.save(small(2))
    assert "cannot drop an old snapshot" in caplog.text
    assert same(store.latest(), small(2))


# ---- damage ------------------------------------------------------------------------------------------------


def damage(path: Path, offset: int, mask: int = 0xFF) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)


def test_a_file_cut_short_at_any_byte_is_skipped_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = store_of(tmp_path, 1, 2)
    path = tmp_path / NAME.format(2)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        caplog.clear()
        assert same(store.latest(), small(1)), length
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert str(path) in caplog.text
        with pytest.raises(SnapshotError, match="not a whole snapshot"):
            store.load(2)
    path.write_bytes(data + b"\0")
    assert same(store.latest(), small(1))
    path.write_bytes(data)
    assert same(store.latest(), small(2))


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    store = store_of(tmp_path, 2)
    path = tmp_path / NAME.format(2)
    data = bytearray(path.read_bytes())
    for offset in range(len(data)):
        for bit in (offset % 8, (offset + 3) % 8):
            data[offset] ^= 1 << bit
            path.write_bytes(data)
            data[offset] ^= 1 << bit
            with pytest.raises(SnapshotError):
                store.load(2)


@settings(max_examples=300)
@given(st.data())
def test_what_is_loaded_after_any_damage_is_what_was_saved(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    store = store_of(folder, 2)
    path = folder / NAME.format(2)
    mutated = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(mutated))] * 2)))
        mutated[start:end] = data.draw(st.binary(max_size=20) | st.just(bytes(end - start)))
    path.write_bytes(mutated)
    try:
        found = store.load(2)
    except SnapshotError:
        return
    assert same(found, small(2))


def forge(path: Path, contents: object, tensors: dict[str, Array], **changes: object) -> None:
    """A safetensors file with a table of contents of our choice, under the right checksum."""
    text = json.dumps(contents)
    metadata = {"retrograd.snapshot": text, "retrograd.crc32": f"{zlib.crc32(text.encode()):08x}"} | changes
    safetensors.numpy.save_file(tensors, path, metadata)  # type: ignore[arg-type]


WORD = np.zeros(2, np.float32)
CRC = f"{zlib.crc32(WORD):08x}"


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ([], "Expected `object`"),
        ({"version": 1, "clock": 4, "meta": "", "tensors": []}, "name different tensors"),
        ({"version": 1, "clock": 5, "meta": "", "tensors": [["w", "float32", [2], CRC]]}, "it is of clock 5"),
        ({"version": 2, "clock": 4, "meta": "", "tensors": [["w", "float32", [2], CRC]]}, "version 2"),
        ({"version": 1, "clock": 4, "meta": "", "tensors": [["v", "float32", [2], CRC]]}, "name different tensors"),
        ({"version": 1, "clock": 4, "meta": "", "tensors": [["w", "float32", [2], CRC]] * 2}, "name different tensors"),
        ({"version": 1, "clock": 4, "meta": "", "tensors": [["w", "float64", [1], CRC]]}, "another dtype or shape"),
        ({"version": 1, "clock": 4, "meta": "", "tensors": [["w", "complex64", [2], CRC]]}, "another dtype or shape"),
        ({"version": 1, "clock": 4, "meta": "", "tensors": [["w", "object", [2], CRC]]}, "another dtype or shape"),
        ({"version": 1, "clock": 4, "meta": "", "tensors": [["w", "float32", [2], "0000000g"]]}, "wrong checksum"),
        ({"version": 1, "clock": 4, "meta": "*", "tensors": [["w", "float32", [2], CRC]]}, "base64"),
        ({"version": 1, "clock": 4, "meta": "", "tensors": [["w", "float32", [2**70], CRC]]}, "another dtype or shape"),
    ],
)
def test_a_table_of_contents_that_lies_is_found_out(tmp_path: Path, contents: object, text: str) -> None:
    path = tmp_path / NAME.format(4)
    forge(path, contents, {"w": WORD})
    with pytest.raises(SnapshotError, match=text):
        SnapshotStore(tmp_path).load(4)


def test_the_forged_table_is_right_but_for_its_lies(tmp_path: Path) -> None:
    contents = {"version": 1, "clock": 4, "meta": "", "tensors": [["w", "float32", [2], CRC]]}
    forge(tmp_path / NAME.format(4), contents, {"w": WORD})
    assert same(SnapshotStore(tmp_path).load(4), Snapshot(4, b"", {"w": WORD}))
    forge(tmp_path / NAME.format(4), contents, {"w": WORD}, **{"retrograd.crc32": "00000000"})
    with pytest.raises(SnapshotError, match="table of contents has a wrong checksum"):
        SnapshotStore(tmp_path).load(4)


def test_a_safetensors_file_of_somebody_else_is_no_snapshot(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"w": WORD}, tmp_path / NAME.format(4))
    with pytest.raises(SnapshotError, match="wrong checksum"):
        SnapshotStore(tmp_path).load(4)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
lengths = st.sampled_from([0, 1, 8, 2**31, 2**32, 2**63, 2**64 - 1, 2**64])
specs = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "C64", "F4", "F8_E4M3", "nonsense"]),
        "shape": st.lists(lengths, max_size=4),
        "data_offsets": st.lists(lengths, min_size=2, max_size=2),
    }
)


@settings(max_examples=300)
@given(
    header=st.dictionaries(st.text(max_size=4) | st.just("__metadata__"), specs | json_values, max_size=4)
    | json_values
    | st.binary(max_size=60),
    length=st.none() | lengths,
    body=st.binary(max_size=40),
)
def test_hostile_files_raise_only_snapshot_errors(
    tmp_path_factory: pytest.TempPathFactory, header: object, length: int | None, body: bytes
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = struct.pack("<Q", len(text) if length is None else length % 2**64)
    (folder / NAME.format(0)).write_bytes(size + text + body)
    store = SnapshotStore(folder)
    with pytest.raises(SnapshotError):
        store.load(0)
    assert store.latest() is None


@settings(max_examples=200)
@given(contents=st.data())
def test_hostile_tables_raise_only_snapshot_errors(
    tmp_path_factory: pytest.TempPathFactory, contents: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    row: list[Any] = ["w", "float32", [2], CRC]
    row[contents.draw(st.integers(0, 3))] = contents.draw(json_values | st.lists(lengths, max_size=4))
    table: dict[str, Any] = {"version": 1, "clock": 4, "meta": "", "tensors": [row]}
    if contents.draw(st.booleans()):
        table[contents.draw(st.sampled_from(sorted(table)))] = contents.draw(json_values)
    forge(folder / NAME.format(4), table, {"w": WORD})
    try:
        found = SnapshotStore(folder).load(4)
    except SnapshotError:
        return
    assert same(found._replace(meta=b""), Snapshot(4, b"", {"w": WORD}))


def test_an_unreadable_disk_is_skipped_and_a_lack_of_permission_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of(tmp_path, 1, 2)
    real = Path.open

    def refusing(number: int) -> Any:
        def open_(path: Path, *args: Any) -> Any:
            if path.name == NAME.format(2):
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *args)

        return open_

    monkeypatch.setattr(Path, "open", refusing(errno.EIO))
    assert same(store.latest(), small(1))
    assert NAME.format(2) in caplog.text
    monkeypatch.setattr(Path, "open", refusing(errno.EACCES))
    with pytest.raises(SnapshotError, match="Permission denied"):
        store.latest()
    caplog.clear()
    monkeypatch.setattr(Path, "open", refusing(errno.ENOENT))  # dropped by the writer after it was listed
    assert same(store.latest(), small(1))
    assert caplog.text == ""


# ---- failure to write --------------------------------------------------------------------------------------


def big(clock: int, size: int = 100_000) -> Snapshot:
    return Snapshot(clock, b"", {"x": np.zeros(size, np.uint8)})


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    store = store_of(tmp_path, 1, 2)
    before = names(tmp_path)
    with (
        files_of_at_most(65_536),
        pytest.raises(SnapshotError, match="cannot save the snapshot: File too large") as caught,
    ):
        store.save(big(3))
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(tmp_path / NAME.format(3))
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, DistributedError)
    assert names(tmp_path) == before
    store.save(big(3))
    assert store.clocks() == [1, 2, 3]


@pytest.mark.processes
def test_a_full_disk(tmp_path: Path) -> None:
    with disk_of_one_megabyte(tmp_path / "disk") as folder, SnapshotStore(folder) as store:
        store.save(big(1, 400_000))
        store.save(big(2, 400_000))
        with pytest.raises(SnapshotError, match="No space left on device") as caught:
            store.save(big(3, 400_000))
        assert caught.value.errno == errno.ENOSPC
        assert names(folder) == [NAME.format(1), NAME.format(2)]
        assert same(store.latest(), big(2, 400_000))
        store.save(small(3))
        assert same(store.latest(), small(3))


@pytest.mark.parametrize("call", ["open", "writev", "lseek", "fsync", "replace"])
def test_a_call_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = SnapshotStore(tmp_path, keep=1)
    store.save(small(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse(errno.EIO))
        with pytest.raises(SnapshotError, match="Input/output error"):
            store.save(small(2))
    assert names(tmp_path) == [NAME.format(1)]
    assert same(store.latest(), small(1))


def test_an_interruption_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    store = SnapshotStore(tmp_path)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        SnapshotStore.save(store, small(2))
    assert not list(tmp_path.glob("snapshot*.tmp"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match="cannot save"):
        SnapshotStore(tmp_path / "file").save(small(1))
    with pytest.raises(SnapshotError, match="cannot save"):
        SnapshotStore(tmp_path / "file" / "below").save(small(1))


def test_a_name_that_could_not_be_made_durable_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SnapshotStore(tmp_path, keep=1)
    store.save(small(1))
    monkeypatch.setattr(disk, "sync_folder", refuse(errno.EIO))
    with pytest.raises(SnapshotError):
        store.save(small(2))
    assert 1 in store.clocks()  # which one survives a loss of power is unknown, so both stay


# ---- order, power and death --------------------------------------------------------------------------------


class Power:
    """Records which files and names are durable, and takes away all others.

    The mildest reading of what a file system promises: a file has its bytes once it is synced, and a name is what it
    was until its folder is synced.
    """

    def __init__(self, patch: pytest.MonkeyPatch, *, honest: bool = True) -> None:
        self.trace: list[str] = []
        self.durable: dict[int, bytes] = {}
        self.names: dict[str, bytes | None] = {}  # those not yet durable, and what they were before
        real_sync, real_replace = os.fsync, os.replace

        def fsync(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            folder = os.path.isdir(path)
            self.trace.append(f"sync {'folder' if folder else os.path.basename(path)}")
            if not honest:
                return
            real_sync(descriptor)
            if folder:
                self.names = {name: old for name, old in self.names.items() if os.path.dirname(name) != path}
            else:
                self.durable[os.fstat(descriptor).st_ino] = Path(path).read_bytes()

        def replace(source: Path, target: Path) -> None:
            self.trace.append(f"rename {target.name}")
            self.names[str(target)] = target.read_bytes() if target.exists() else None
            real_replace(source, target)

        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", replace)

    def fail(self, folder: Path) -> None:
        for path in folder.glob("snapshot-*.safetensors"):
            path.write_bytes(self.durable.get(path.stat().st_ino, b""))
        for name, old in self.names.items():
            Path(name).unlink(missing_ok=True) if old is None else Path(name).write_bytes(old)


def test_the_file_is_durable_before_it_is_renamed_and_the_name_before_older_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    power = Power(monkeypatch)
    real = os.unlink
    monkeypatch.setattr(os, "unlink", lambda path: (power.trace.append(f"remove {path.name}"), real(path)))
    store = SnapshotStore(tmp_path, keep=1)
    store.save(small(1))
    power.trace.clear()
    store.save(small(2))
    assert power.trace == [
        f"sync {NAME.format(2)}.tmp",
        f"rename {NAME.format(2)}",
        "sync folder",
        f"remove {NAME.format(1)}",
        "sync folder",
    ]


def test_without_sync_nothing_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Power(monkeypatch)
    with SnapshotStore(tmp_path / "new", keep=1, sync=False) as store:
        store.save(small(1))
        store.save(small(2))
    assert power.trace == [f"rename {NAME.format(1)}", f"rename {NAME.format(2)}"]


def test_new_folders_are_durable_in_those_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    power = Power(monkeypatch)
    SnapshotStore(tmp_path / "a" / "b").save(small(1))
    assert power.trace[:2] == ["sync folder"] * 2
    assert len(power.trace) == 5


@pytest.mark.parametrize("honest", [True, False], ids=["synced", "sync does nothing"])
def test_a_loss_of_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, honest: bool) -> None:
    power = Power(monkeypatch, honest=honest)
    store = SnapshotStore(tmp_path, keep=2)
    for clock in (1, 2, 3):
        store.save(small(clock))
    power.fail(tmp_path)
    if honest:
        assert same(store.latest(), small(3))
        assert store.clocks() == [2, 3]
    else:  # the mutant: this test notices when the syncing is left out
        assert store.latest() is None


@pytest.mark.processes
def test_a_server_killed_at_any_system_call_of_saving_leaves_a_whole_snapshot(tmp_path: Path) -> None:
    places = run_python(
        """
        import shutil, sys
        from pathlib import Path
        import numpy as np
        from disk_faults import crash_everywhere
        from retrograd.distributed.snapshots import Snapshot, SnapshotStore
        import logging
        logging.getLogger().addHandler(fail := logging.Handler())
        fail.emit = lambda record: sys.exit(f"logged: {record.getMessage()}")

        folder = Path(sys.argv[1]) / "snapshots"
        def snapshot(clock):
            return Snapshot(clock, bytes([clock]), {"w": np.full(1000, clock), "b": np.full(3, clock, np.float32)})

        def save(clock, keep=2):
            with SnapshotStore(folder, keep) as store:
                store.save(snapshot(clock))

        def prepare():
            shutil.rmtree(folder, ignore_errors=True)
            save(1)
            save(2)

        def work(tell):
            with SnapshotStore(folder, keep=2) as store:
                for clock in (3, 4, 5):
                    store.save(snapshot(clock))
                    tell(clock)

        def check(told):
            with SnapshotStore(folder, keep=2) as store:
                found = store.latest()
                assert found.clock in (max(told, 2), max(told, 2) + 1), (found.clock, told)
                for clock in store.clocks():
                    back = store.load(clock)
                    assert back.meta == bytes([clock]) and all((t == clock).all() for t in back.tensors.values())
                store.save(snapshot(9))
                assert len(store.clocks()) == 2 and not list(folder.glob("*.tmp"))

        print(crash_everywhere(prepare, work, check))
        """,
        tmp_path,
    )
    assert int(places) > 30


SAVES_FOREVER = """
    import sys
    from pathlib import Path
    import numpy as np
    from retrograd.distributed.snapshots import Snapshot, SnapshotStore
    store, clock = SnapshotStore(Path(sys.argv[1]), keep=2), 0
    while True:
        clock += 1
        store.save(Snapshot(clock, b"", {"w": np.full(50_000, clock), "b": np.full(3, clock, np.float32)}))
        print(clock, flush=True)
"""


@pytest.mark.processes
def test_a_server_killed_while_it_saves_in_a_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with running_python(SAVES_FOREVER, tmp_path) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(20)][-1]
            process.send_signal(signal.SIGKILL)
            told = int(([told, *process.stdout.read().split()])[-1])
        found = SnapshotStore(tmp_path).latest()
        assert found is not None
        assert found.clock in (told, told + 1)
        assert all((tensor == found.clock).all() for tensor in found.tensors.values())
        assert caplog.text == ""
        for path in tmp_path.glob("snapshot-*.safetensors"):
            path.unlink()


@pytest.mark.processes
def test_another_process_may_read_but_not_write(tmp_path: Path) -> None:
    with running_python(SAVES_FOREVER, tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        store = SnapshotStore(tmp_path)
        for _ in range(20):  # it is dropped and replaced all the time
            found = store.latest()
            assert found is None or (found.tensors["w"] == found.clock).all()
        with pytest.raises(FolderInUse, match=f"in use by process {process.pid}") as caught:
            store.save(small(1))
        assert isinstance(caught.value, DistributedError)
        with pytest.raises(FolderInUse):
            store.rewind(0)
    store.rewind(0)  # it is dead, so the folder is free
    store.save(small(1))
    assert names(tmp_path) == [NAME.format(1)]


def test_two_stores_of_one_process_do_not_share_a_folder(tmp_path: Path) -> None:
    first, second = store_of(tmp_path, 1), SnapshotStore(tmp_path)
    with pytest.raises(FolderInUse):
        second.save(small(2))
    first.close()
    first.close()
    second.save(small(2))
    second.close()
    lock = FolderLock(tmp_path, "snapshots.lock")
    del lock  # forgotten is released, too
    first.save(small(3))


@pytest.mark.processes
def test_without_safetensors_the_error_says_what_to_install() -> None:
    run_python(
        """
        import sys
        from retrograd.distributed.errors import DistributedError
        sys.modules["safetensors"] = None  # what makes an import of it fail
        try:
            import retrograd.distributed.snapshots
        except DistributedError as error:
            assert "pip install 'retrograd[distributed]'" in str(error)
        else:
            sys.exit("it was imported")
        """
    )


# ---- memory ------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_what_is_saved(tmp_path: Path) -> None:
    tensors: dict[str, Array] = {f"w{i}": np.zeros(2_000_000, np.float32) for i in range(8)}
    with SnapshotStore(tmp_path, sync=False) as store:
        assert peak_of(lambda: store.save(Snapshot(1, b"", tensors))) < 1_000_000
        # What is loaded, and less than one tensor besides.
        assert peak_of(lambda: store.load(1)) < 64_000_000 + 8_000_000
        # Tensors that do not lie in one piece are copied one at a time.
        strided: dict[str, Array] = {name: array[::2] for name, array in tensors.items()}
        assert peak_of(lambda: store.save(Snapshot(2, b"", strided))) < 4_000_000 + 1_000_000


def test_one_of_several_servers_keeps_what_all_have(tmp_path: Path) -> None:
    with SnapshotStore(tmp_path, keep=2, together=True) as store:
        for clock in range(1, 6):
            store.save(Snapshot(clock, b"", {}))
        assert store.clocks() == [1, 2, 3, 4, 5]  # nobody has said what the others have
        store.pinned = 3
        store.save(Snapshot(6, b"", {}))
        assert store.clocks() == [3, 4, 5, 6]
        for clock in range(7, 30):
            store.save(Snapshot(clock, b"", {}))
        assert store.clocks() == [3, *range(20, 30)]  # another cannot write, and this one's disk is not to fill up
        store.pinned = 29
        store.save(Snapshot(30, b"", {}))
        assert store.clocks() == [29, 30]
