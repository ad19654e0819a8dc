"""What a server keeps of its whole state: a file for each of the last few clocks, whole or not there at all.

A snapshot is a safetensors file, ``snapshot-000000001200.safetensors``, that any reader of the format opens::

    header length | {"__metadata__": {...}, "weights/0": {...}, ...} | bytes of the tensors

Its metadata has two entries. ``retrograd.snapshot`` is a table of contents in JSON::

    {"version": 1, "clock": 1200, "meta": "<base64>",
     "tensors": [["weights/0", "complex64", [3, 2], "a1b2c3d4"], ...]}

with the tensors in the order in which they were given and, for each, its NumPy dtype, its shape and the CRC-32
of its bytes; ``retrograd.crc32`` is the checksum of that table. The format has no type for every complex
number, so one is stored as two real numbers, in a last dimension of 2 that the shape in the table does not have.

Nothing is ever written into a file that has its final name. The tensors are streamed into a file beside it,
behind a hole in which the header is put last, so that a file that was cut short is not even a safetensors file;
it is made durable, renamed, and the folder made durable (:func:`~retrograd.distributed.disk.written_aside`).

Knows nothing of sockets, servers or what the tensors mean.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from .disk import ASIDE, FolderLock, reported_as, sync_folder, write_all, written_aside
from .errors import DistributedError, SnapshotError
from .failpoints import failpoint

try:
    from safetensors import SafetensorError, safe_open
except ModuleNotFoundError:
    raise DistributedError("snapshots need safetensors: pip install 'retrograd[distributed]'") from None

__all__ = ["Snapshot", "SnapshotStore"]

Array: TypeAlias = npt.NDArray[Any]

log = logging.getLogger("retrograd.distributed.snapshots")

_VERSION = 1
_CONTENTS, _CHECKSUM = "retrograd.snapshot", "retrograd.crc32"
_NAME = re.compile(r"snapshot-(\d{12,})\.safetensors")
_CHUNK = 1 << 20  # bytes, written as soon as they are summed and while they are in the cache
_SPARE = 8  # snapshots beyond `keep` in which servers of one run look for one that all have
_MAX_HEADER = 100_000_000  # what readers of the format accept

# The name of a dtype in the header. A complex number is two of the real ones.
_CODES = {
    "bool": "BOOL",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "F32",
    "complex128": "F64",
}


class Snapshot(NamedTuple):
    """The state of a server after update number `clock`."""

    clock: int
    meta: bytes
    """What is not a tensor, in a form that the caller chose."""
    tensors: Mapping[str, Array]


class SnapshotStore:
    """The snapshots in a folder. One process writes there; any number may read.

    Parameters
    ----------
    folder : Path
        Made by the first `save` if it is not there.
    keep : int
        How many snapshots stay. More than one, so that there is another when the newest turns out damaged.
    sync : bool
        Whether `save` waits for the disk. Without it a snapshot survives the death of the process but, possibly,
        not that of the machine.
    server : int
        The number of the server, for fail-points.
    together : bool
        Whether there are other servers, with which a snapshot may have to be found that all have. Then `pinned`, the
        newest that all are known to have, stays, and what is newer stays longer.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with SnapshotStore(Path(folder.name), keep=2) as store:
    ...     for clock in (10, 20, 30):
    ...         path = store.save(Snapshot(clock, b"", {"w": np.full(3, clock, np.float32)}))
    ...     store.clocks(), path.name, store.latest(at_most=25).tensors["w"]
    ([20, 30], 'snapshot-000000000030.safetensors', array([20., 20., 20.], dtype=float32))
    >>> folder.cleanup()
    """

    def __init__(
        self, folder: Path, keep: int = 3, *, sync: bool = True, server: int = 0, together: bool = False
    ) -> None:
        if keep < 1:
            raise ValueError(f"at least one snapshot must be kept, and keep is {keep}")
        self.folder = Path(folder)
        self.keep = keep
        self._sync = sync
        self._server = server
        self._together = together
        self.pinned: int | None = None
        self._lock: FolderLock | None = None
        self._damaged: set[int] = set()

    def save(self, snapshot: Snapshot) -> Path:
        """Write a snapshot and, once it is safe, drop those that are one too many.

        An older snapshot of the same clock is replaced. The tensors are read while `save` runs and never
        copied as a whole, so nobody may write to them until it returns.

        Returns
        -------
        Path
            The file, which is whole and durable.

        Raises
        ------
        SnapshotError
            When it cannot be written. All older snapshots are as they were, and no file is left behind.
        FolderInUse
            When another process saves to this folder.
        TypeError, ValueError
            When the snapshot is none that a file can hold: a tensor of objects, a negative clock.
        """
        entries = _entries(snapshot)
        path = self._path(snapshot.clock)
        with reported_as(SnapshotError, "cannot save the snapshot", path):
            self._own()
            with written_aside(path, "snapshot", sync=self._sync, server=self._server) as descriptor:
                _write(descriptor, snapshot, entries, self._server)
        self._damaged.discard(snapshot.clock)
        failpoint("snapshot.before_prune", self._server)
        self._prune(snapshot.clock)
        return path

    def own(self) -> None:
        """Keep other processes from saving here, from now on until `close`.

        Raises
        ------
        FolderInUse
            When another does.
        """
        with suppress(SnapshotError), reported_as(SnapshotError, "cannot lock the folder", self.folder):
            self._own()  # a full disk costs a snapshot, and is told of then

    def latest(self, at_most: int | None = None) -> Snapshot | None:
        """The newest snapshot that is whole, or None if there is none.

        One that is damaged is skipped, with a warning in the log that names it and says what is wrong.

        Parameters
        ----------
        at_most : int or None
            The highest clock that will do.

        Raises
        ------
        SnapshotError
            When a snapshot cannot be read for a reason that does not lie in it, such as a lack of permission:
            to go on with an older one would be a surprise.
        """
        for clock in reversed(self.clocks()):
            if at_most is not None and clock > at_most:
                continue
            try:
                return self._read(clock)
            except SnapshotError as error:
                if error.errno == errno.ENOENT:  # dropped meanwhile by the process that saves
                    continue
                if error.errno not in (None, errno.EIO):
                    raise
                log.warning("skipping a damaged snapshot: %s", error)
                self._damaged.add(clock)
        return None

    def load(self, clock: int) -> Snapshot:
        """The snapshot of a clock.

        Raises
        ------
        SnapshotError
            When there is none, or it cannot be read, or is not exactly what was saved.
        """
        return self._read(clock)

    def clocks(self) -> list[int]:
        """The clocks there are snapshots of, whole or not, in ascending order."""
        return sorted(clock for clock, _ in self._files())

    def rewind(self, clock: int) -> None:
        """Drop all snapshots after a clock: those of a future that will not come about.

        For when the servers of a run agree on a clock that is not the newest of each.
        """
        with reported_as(SnapshotError, "cannot drop snapshots", self.folder):
            self._own()
            self._drop([each for each in self.clocks() if each > clock])

    def close(self) -> None:
        """Let another process save to the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> SnapshotStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _path(self, clock: int) -> Path:
        return self.folder / f"snapshot-{clock:012d}.safetensors"

    def _files(self) -> Iterator[tuple[int, Path]]:
        with reported_as(SnapshotError, "cannot list the snapshots", self.folder):
            found = list(self.folder.iterdir()) if self.folder.exists() else []
        for path in found:
            match = _NAME.fullmatch(path.name)
            if match and path == self._path(int(match[1])) and path.is_file():
                yield int(match[1]), path

    def _read(self, clock: int) -> Snapshot:
        return _read(self._path(clock), clock)

    def _own(self) -> None:
        """Take the folder, and clear away what a process that died while it saved has left there."""
        if self._lock is not None:
            return
        self._lock = FolderLock(self.folder, "snapshots.lock", sync=self._sync)
        for path in self.folder.iterdir():
            if path.name.endswith(ASIDE) and _NAME.fullmatch(path.name.removesuffix(ASIDE)):
                path.unlink()

    def _prune(self, newest: int) -> None:
        """Drop all that are older than the `keep` newest ones, not counting those known to be damaged.

        The one just saved stays in any case, even if its clock is not the highest.
        """
        clocks = self.clocks()
        others = [clock for clock in clocks if clock != newest and clock not in self._damaged]
        spare = len(others) - (self.keep - 1)
        if spare < 0:
            return
        oldest = min([newest, *others[spare:]])
        longer = self._kept_longer(clocks) if self._together else frozenset()
        try:
            self._drop([clock for clock in clocks if clock < oldest and clock not in longer])
        except OSError as error:
            log.warning("cannot drop an old snapshot: %s", error)

    def _kept_longer(self, clocks: list[int]) -> frozenset[int]:
        """What another server may have too: `pinned`, and newer ones, but not without end if nobody can have them."""
        first = -1 if self.pinned is None else self.pinned
        return frozenset(clock for clock in clocks[-self.keep - _SPARE :] if clock > first) | {first}

    def _drop(self, clocks: list[int]) -> None:
        for clock in clocks:
            self._path(clock).unlink(missing_ok=True)
        self._damaged.difference_update(clocks)
        if clocks and self._sync:
            sync_folder(self.folder)


# ---- a file ------------------------------------------------------------------------------------------------


class _Entry(NamedTuple):
    """A tensor on its way into a file."""

    name: str
    array: Array
    dtype: str
    shape: tuple[int, ...]
    """Of the array; what is stored of a complex one has a dimension more."""


class _Row(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A tensor in the table of contents."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    crc32: str


class _Contents(Struct, frozen=True, forbid_unknown_fields=True):
    """The table of contents."""

    version: int
    clock: int
    meta: bytes
    tensors: tuple[_Row, ...]


class _Damaged(Exception):
    """What is wrong with a file that was opened."""


def _entries(snapshot: Snapshot) -> list[_Entry]:
    """The tensors of a snapshot, seen to be such as a file can hold."""
    if not 0 <= snapshot.clock < 2**63:
        raise ValueError(f"a clock must be between 0 and 2**63 - 1, and this one is {snapshot.clock}")
    entries = []
    for name, tensor in snapshot.tensors.items():
        array = np.asarray(tensor)
        if array.dtype.name not in _CODES:
            raise TypeError(f"tensor {name!r} has dtype {array.dtype}, which no snapshot holds")
        if name == "__metadata__":
            raise ValueError("a tensor may not be named '__metadata__': the file format has another use for it")
        entries.append(_Entry(name, array, array.dtype.name, array.shape))
    return entries


def _write(descriptor: int, snapshot: Snapshot, entries: list[_Entry], server: int) -> None:
    """Stream a snapshot into an empty file: its tensors first, behind a hole, then the header into the hole."""
    # The format wants the widest elements first, so that a reader may map the file into memory.
    ordered = sorted(entries, key=_width, reverse=True)
    sums = {entry.name: "00000000" for entry in entries}
    hole = len(_header(snapshot, entries, ordered, sums))
    os.lseek(descriptor, hole, os.SEEK_SET)
    for entry in ordered:
        sums[entry.name] = _stream(descriptor, _bytes_of(entry.array))
    failpoint("snapshot.torn", server)
    os.lseek(descriptor, 0, os.SEEK_SET)
    write_all(descriptor, [_header(snapshot, entries, ordered, sums)])


def _header(snapshot: Snapshot, entries: list[_Entry], ordered: list[_Entry], sums: Mapping[str, str]) -> bytes:
    """The header and the length before it. How long it is does not depend on `sums`."""
    rows = tuple(_Row(entry.name, entry.dtype, entry.shape, sums[entry.name]) for entry in entries)
    contents = msgspec.json.encode(_Contents(_VERSION, snapshot.clock, snapshot.meta, rows))
    header: dict[str, Any] = {"__metadata__": {_CONTENTS: contents.decode(), _CHECKSUM: _crc32(contents)}}
    offset = 0
    for entry in ordered:
        end = offset + entry.array.nbytes
        stored = _stored_shape(entry.dtype, entry.shape)
        header[entry.name] = {"dtype": _CODES[entry.dtype], "shape": stored, "data_offsets": (offset, end)}
        offset = end
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise SnapshotError(
            f"a snapshot with a header of {len(text)} bytes could not be read again: at most {_MAX_HEADER} are "
            f"allowed, and it has {len(entries)} tensors and {len(snapshot.meta)} bytes of meta"
        )
    return struct.pack("<Q", len(text)) + text


def _stream(descriptor: int, data: memoryview) -> str:
    """Write bytes; their checksum."""
    crc = 0
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        crc = zlib.crc32(chunk, crc)
        write_all(descriptor, [chunk])
    return f"{crc:08x}"


def _read(path: Path, clock: int) -> Snapshot:
    """The snapshot in a file, or `SnapshotError`."""
    with reported_as(SnapshotError, "cannot read the snapshot", path):
        with path.open("rb"):
            pass  # so that the system's refusal comes with its number, which the package below does not give
        try:
            # Not mapped into memory: where a disk cannot read a page, a process that touches it is killed.
            with safe_open(path, framework="numpy", backend="pread") as file:
                return _unpack(file, clock)
        except (SafetensorError, msgspec.MsgspecError, _Damaged) as error:
            raise SnapshotError(f"{path} is not a whole snapshot: {error}") from None


def _unpack(file: Any, clock: int) -> Snapshot:
    """The snapshot in a safetensors file, each byte of it seen to be what was saved.

    What the package has made sure of: the tensors of the header fill the rest of the file exactly.
    """
    metadata = file.metadata() or {}
    text = metadata.get(_CONTENTS, "").encode()
    if _crc32(text) != metadata.get(_CHECKSUM):
        raise _Damaged("its table of contents has a wrong checksum")
    contents = msgspec.json.decode(text, type=_Contents)
    if contents.version != _VERSION:
        raise _Damaged(f"it has version {contents.version} of the format, and this retrograd reads {_VERSION}")
    if contents.clock != clock:
        raise _Damaged(f"it is of clock {contents.clock}")
    if sorted(file.keys()) != sorted(row.name for row in contents.tensors):
        raise _Damaged("its header and its table of contents name different tensors")
    return Snapshot(clock, contents.meta, {row.name: _tensor(file, row) for row in contents.tensors})


def _tensor(file: Any, row: _Row) -> Array:
    """A tensor, if it and its place in the header are what the table of contents says."""
    stored = file.get_slice(row.name)
    expected = (_CODES.get(row.dtype), list(_stored_shape(row.dtype, row.shape)))
    if (stored.get_dtype(), stored.get_shape()) != expected:
        raise _Damaged(f"the header has another dtype or shape for tensor {row.name!r} than the table of contents")
    array: Array = file.get_tensor(row.name)
    if _crc32(_bytes_of(array)) != row.crc32:
        raise _Damaged(f"tensor {row.name!r} has a wrong checksum")
    return array.view(row.dtype).reshape(row.shape) if row.dtype.startswith("complex") else array


def _bytes_of(array: Array) -> memoryview:
    """The bytes of an array in C order and little-endian; its own memory where it is so already."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    # As unsigned integers: bfloat16 has no buffer protocol, and NumPy offers none for arrays without elements.
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data


def _stored_shape(dtype: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 2) if dtype.startswith("complex") else shape


def _width(entry: _Entry) -> int:
    """Bytes of an element as it is stored."""
    return entry.array.dtype.itemsize // (2 if entry.dtype.startswith("complex") else 1)


def _crc32(data: bytes | memoryview) -> str:
    return f"{zlib.crc32(data):08x}"
