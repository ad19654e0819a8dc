"""`save` and `load`: any object with tensors in a file, in PyTorch's format.

A file is a zip archive without compression. `data.pkl` is a pickle of the object, in which storages stand by number;
each storage's bytes are an entry of their own. Unless told otherwise, `load` reads a file as one that cannot run code:
see `retrograd.unpickling`. Names are PyTorch's: Note [Names in files] in `retrograd.pickling`.
"""

from __future__ import annotations

import io
import mmap as mapping
import os
import pickle
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from retrograd import layout as layouts
from retrograd._utils import _validate_loaded_sparse_tensors
from retrograd.device import device, kernels_of
from retrograd.dtypes import dtype, uint8
from retrograd.memory_bytes import host_bytes, memory_of
from retrograd.pickling import Pickler, tag_of
from retrograd.typed_storage import TypedStorage
from retrograd.unpickling import (
    WeightsUnpickler,
    add_safe_globals as add_safe_globals,
    as_ours,
    clear_safe_globals as clear_safe_globals,
    get_safe_globals as get_safe_globals,
    globals_of,
    known_names,
    safe_globals as safe_globals,
)
from retrograd.untyped_storage import UntypedStorage

__all__ = ["load", "save"]

MAP_LOCATION: TypeAlias = Callable[[Any, str], Any] | device | str | Mapping[str, str] | None
"""What `load` takes to tell where tensors go."""

FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]

DEFAULT_PROTOCOL: Final = 2
_ALIGNMENT: Final = 64

# -- options -----------------------------------------------------------------------------------


class LoadEndianness(Enum):
    """The order of bytes of files that do not say which it is."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


_endianness: list[LoadEndianness | None] = [None]


def get_default_load_endianness() -> LoadEndianness | None:
    """What `set_default_load_endianness` has set; None: that of little ends."""
    return _endianness[0]


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """Set the order of bytes of files that do not say which it is."""
    if not isinstance(endianness, LoadEndianness) and endianness is not None:
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _endianness[0] = endianness


def _get_layout(name: str) -> Any:
    """The layout of a name with its module."""
    made = getattr(layouts, name.rpartition(".")[2])
    if not isinstance(made, layouts.layout):
        raise KeyError(name)
    return made


# -- places ------------------------------------------------------------------------------------

_packages: list[tuple[int, Callable[[Any], Any], Callable[[Any, str], Any]]] = []


def register_package(
    priority: int, tagger: Callable[[Any], str | None], deserializer: Callable[[Any, str], Any]
) -> None:
    """Let files say of storages what `tagger` gives, and `deserializer` place those that are tagged so.

    Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#torch.serialization.register_package
    """
    _packages.append((priority, tagger, deserializer))
    _packages.sort(key=lambda each: each[0])


def location_tag(storage: Any) -> str:
    """What a file says of the device of a storage."""
    for _, tagger, _ in _packages:
        if location := tagger(storage):
            return location
    return tag_of(storage.device)


def default_restore_location(storage: Any, location: str) -> Any:
    """The storage where a file, or `map_location`, says; `"cpu"` is the current backend's.

    Raises
    ------
    RuntimeError
        If there is no such device.
    """
    for _, _, deserializer in _packages:
        if (found := deserializer(storage, location)) is not None:
            return found
    if location.startswith("cuda"):
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but retrograd.cuda.is_available() is False. If you are "
            "running on a CPU-only machine, please use retrograd.load with map_location=retrograd.device('cpu') to map "
            "your storages to the CPU."
        )
    try:
        return storage.to(device=location)
    except RuntimeError as error:
        raise RuntimeError(
            f"don't know how to restore data location of retrograd.storage.UntypedStorage (tagged with {location}): "
            f"{error}"
        ) from error


def _restorer(map_location: Any) -> Callable[[Any, str], Any]:
    if map_location is None:
        return lambda storage, saved: storage if saved == "cpu" else default_restore_location(storage, saved)
    if isinstance(map_location, Mapping):
        return lambda storage, saved: default_restore_location(storage, map_location.get(saved, saved))
    if isinstance(map_location, bytes):
        map_location = map_location.decode()
    if isinstance(map_location, str | device):
        return lambda storage, saved: default_restore_location(storage, str(map_location))

    def restored(storage: Any, saved: str) -> Any:
        found = map_location(storage, saved)
        return default_restore_location(storage, saved) if found is None else found

    return restored


# -- saving ------------------------------------------------------------------------------------


def save(
    obj: object,
    f: FileLike,
    pickle_module: Any = None,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a file, which PyTorch can read as well if its classes are there.

    Tensors that share memory share it again when loaded; the whole memory of a view is written. An existing file is
    replaced only when the new one is complete.

    Parameters
    ----------
    obj
        Anything that can be pickled: a `state_dict`, a module, tensors in containers.
    f
        A path, or a file open for writing bytes.
    pickle_module
        Accepted for PyTorch's sake.
    pickle_protocol
        The protocol of the pickle. `load` reads others than 2 only with `weights_only=False`.
    _use_new_zipfile_serialization
        If false, the format of PyTorch's before 1.6.

    Raises
    ------
    pickle.PicklingError, AttributeError, TypeError
        If something cannot be pickled. The file is not touched.
    RuntimeError
        If tensors see one memory as different types.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.save.html

    Examples
    --------
    >>> import io, retrograd
    >>> file = io.BytesIO()
    >>> retrograd.save({"weight": retrograd.ones(2), "step": 3}, file)
    >>> _ = file.seek(0)
    >>> retrograd.load(file)
    {'weight': tensor([1., 1.]), 'step': 3}
    """
    is_path = isinstance(f, str | os.PathLike)
    if not is_path and not hasattr(f, "write"):
        raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
    body = io.BytesIO()
    pickler = Pickler(body, pickle_protocol, legacy=not _use_new_zipfile_serialization)
    pickler.dump(obj)

    def write(file: IO[bytes], name: str) -> None:
        if _use_new_zipfile_serialization:
            _write(file, name, body.getvalue(), pickler.storages, not _disable_byteorder_record)
        else:
            _write_legacy(file, body.getvalue(), pickler.storages, pickle_protocol)

    if not is_path:
        write(f, "archive")  # type: ignore[arg-type]
        return
    path = Path(f)  # type: ignore[arg-type]
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            write(file, path.stem or "archive")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write(file: IO[bytes], name: str, body: bytes, storages: list[UntypedStorage], says_order: bool) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, f"{name}/data.pkl", body)
        _add(archive, f"{name}/.format_version", b"1")
        _add(archive, f"{name}/.storage_alignment", str(_ALIGNMENT).encode())
        if says_order:
            _add(archive, f"{name}/byteorder", sys.byteorder.encode())
        for number, storage in enumerate(storages):
            _add(archive, f"{name}/data/{number}", host_bytes(storage._shared, storage._kernels).data)
        _add(archive, f"{name}/version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, content: Any) -> None:
    """Add an entry whose bytes begin at a multiple of the alignment, so that a file can be mapped."""
    entry = zipfile.ZipInfo(name)
    entry.file_size = len(content)
    assert archive.fp is not None
    begin = archive.fp.tell() + 30 + len(name.encode()) + 4
    padding = -begin % _ALIGNMENT
    entry.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    with archive.open(entry, "w") as stream:
        stream.write(content)


_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION: Final = 1001


def _write_legacy(file: IO[bytes], body: bytes, storages: list[UntypedStorage], protocol: int) -> None:
    system = {
        "protocol_version": _LEGACY_VERSION,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    for each in (_MAGIC, _LEGACY_VERSION, system):
        pickle.dump(each, file, protocol=protocol)
    file.write(body)
    pickle.dump([str(number) for number in range(len(storages))], file, protocol=protocol)
    for storage in storages:
        content = host_bytes(storage._shared, storage._kernels)
        # PyTorch counts elements of the type that the pickle tells.
        file.write(struct.pack("<q", content.size // storage._shared.array.dtype.itemsize))
        file.write(content.data)


# -- loading -----------------------------------------------------------------------------------

_UNSAFE: Final = (
    "In PyTorch 2.6, we changed the default value of the `weights_only` argument in `retrograd.load` from `False` to "
    "`True`. Re-running `retrograd.load` with `weights_only` set to `False` will likely succeed, but it can result in "
    "arbitrary code execution. Do it only if you got the file from a trusted source."
)
_DOCS: Final = (
    "\n\nCheck the documentation of retrograd.load to learn more about types accepted by default with weights_only "
    "https://pytorch.org/docs/stable/generated/torch.load.html."
)


def _failed(message: str) -> pickle.UnpicklingError:
    if "was not an allowed global by default." in message:
        text = (
            "Weights only load failed. This file can still be loaded, to do so you have two options, \033[1mdo those "
            f"steps only if you trust the source of the checkpoint\033[0m. \n\t(1) {_UNSAFE}\n\t(2) Alternatively, to "
            "load with `weights_only=True` please check the recommended steps in the following error message.\n\t"
            f"WeightsUnpickler error: {message}"
        )
        return pickle.UnpicklingError(text + _DOCS)
    asks = (
        ""
        if "is blocked" in message
        else "Please file an issue with the following so that we can make `weights_only=True` compatible with your use "
        "case: WeightsUnpickler error: "
    )
    return pickle.UnpicklingError(f"Weights only load failed. {_UNSAFE}\n{asks}\n\n{message}{_DOCS}")


class _Reader:
    """Reads the pickle of a file, and its storages as the pickle asks for them."""

    def __init__(
        self,
        read: Callable[[str], Any],
        swapped: bool,
        map_location: Any,
        weights_only: bool,
        options: Mapping[str, Any],
    ) -> None:
        self.read = read
        self.swapped = swapped
        self.restore = _restorer(map_location)
        self.weights_only = weights_only
        self.options = options
        self.storages: dict[str, UntypedStorage] = {}

    def object(self, file: IO[bytes]) -> Any:
        """The object that comes next in a file."""
        if not self.weights_only:
            return _Unpickler(file, self.storage, **self.options).load()
        try:
            return WeightsUnpickler(file, self.storage).load()
        except pickle.UnpicklingError as error:
            raise _failed(str(error)) from None

    def storage(self, identifier: Any) -> TypedStorage:
        """The storage that the pickle names."""
        kind, type_, key, location, size, *_ = identifier
        assert kind == "storage", f"Unknown typename for persistent_load, expected 'storage' but got '{kind}'"
        element: dtype = uint8 if type_ is UntypedStorage else type_.dtype
        if key not in self.storages:
            self.storages[key] = self.restore(self.made(key, size, element), location)
        return TypedStorage(wrap_storage=self.storages[key], dtype=element, _internal=True)

    def made(self, key: str, size: int, element: dtype) -> UntypedStorage:
        """A storage on the current device."""
        k = kernels_of(None)
        return UntypedStorage._of(memory_of(self.read(key), element, k, self.swapped), k)


class _Unpickler(pickle._Unpickler):
    """Reads any pickle: code in it runs."""

    def __init__(self, file: IO[bytes], storage: Callable[[Any], Any], **options: Any) -> None:
        super().__init__(file, **options)
        self._storage = storage

    def persistent_load(self, pid: Any) -> Any:
        return pid[1] if pid[0] == "module" else self._storage(pid)

    def find_class(self, module_name: str, global_name: str) -> Any:
        module = as_ours(module_name)
        if module != module_name and global_name.endswith("Storage"):
            import retrograd

            return getattr(retrograd, global_name)  # of any device
        return super().find_class(module, global_name)


def load(
    f: FileLike,
    map_location: MAP_LOCATION = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what `save`, or PyTorch's, has written.

    Parameters
    ----------
    f
        A path, or a file open for reading bytes, which can seek.
    map_location
        Where tensors go: a device; a dict from the place each was saved from (`"cpu"`, or the device's name) to
        another; or a function of the memory of each and of its place, which gives that memory or other, or None. By
        default tensors of a CPU go to the current backend, and others to where they were.
    pickle_module
        Whose `Unpickler` reads; by default the standard library's.
    weights_only
        Whether nothing is made but tensors, containers, numbers, strings and what `add_safe_globals` names. True,
        unless there is a `pickle_module`. If false, a file can run any code.
    mmap
        On NumPy, let tensors be in the file itself, of which they read what is used; writes do not reach it.
    pickle_load_args
        For the unpickler, if not `weights_only`.

    Raises
    ------
    pickle.UnpicklingError
        If a file names what is not allowed, or is no such file.
    RuntimeError
        If it is damaged, or a place cannot be had.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.load.html

    Examples
    --------
    >>> import io, retrograd
    >>> file = io.BytesIO()
    >>> retrograd.save(retrograd.tensor([1, 2]), file)
    >>> _ = file.seek(0)
    >>> retrograd.load(file, map_location="numpy")
    tensor([1, 2])
    """
    weights_only = _is_weights_only(weights_only, pickle_module, pickle_load_args)
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as file:
            return _loaded(file, map_location, weights_only, bool(mmap), pickle_load_args)
    if mmap:
        raise ValueError("f must be a file path in order to use the mmap argument")
    _check_seekable(f)
    return _loaded(f, map_location, weights_only, False, pickle_load_args)


def _is_weights_only(given: bool | None, pickle_module: Any, options: Mapping[str, Any]) -> bool:
    weights_only = pickle_module is None if given is None else given
    forced, forbidden = (
        os.getenv(f"TORCH_FORCE_{name}WEIGHTS_ONLY_LOAD", "0").lower() in ("1", "y", "yes", "true")
        for name in ("", "NO_")
    )
    if forced and forbidden:
        raise RuntimeError(
            "Only one of `TORCH_FORCE_WEIGHTS_ONLY_LOAD` or `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` should be set, but both "
            "were set."
        )
    if forced or (forbidden and given is None):
        weights_only = forced
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if weights_only and options:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", stacklevel=3)
    return weights_only


def _check_seekable(file: Any) -> None:
    try:
        file.seek(file.tell())
    except (io.UnsupportedOperation, AttributeError) as error:
        raise type(error)(
            f"{error}. You can only retrograd.load from a file that is seekable. Please pre-load the data into a "
            "buffer like io.BytesIO and try to load from it instead."
        ) from None


_DAMAGED: Final[tuple[type[Exception], ...]] = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, EOFError, struct.error
)  # fmt: skip
"""What the reading of a damaged pickle ends with."""


def _loaded(file: IO[bytes], map_location: Any, weights_only: bool, mapped: bool, options: Mapping[str, Any]) -> Any:
    begin = file.tell()
    first = file.read(4)
    if not first:
        raise EOFError("Ran out of input")
    is_archive = first == b"PK\x03\x04"
    file.seek(begin)
    options = {"encoding": "utf-8", **options}
    damaged = _DAMAGED if weights_only else ()
    try:
        if is_archive:
            made = _from_archive(file, map_location, weights_only, mapped, options)
            _validate_loaded_sparse_tensors()
            return made
        if mapped:
            raise RuntimeError(
                "mmap can only be used with files saved with `retrograd.save(_use_new_zipfile_serialization=True), "
                "please retrograd.save your checkpoint with this option in order to use mmap."
            )
        made = _from_legacy(file, map_location, weights_only, options)
        _validate_loaded_sparse_tensors()
        return made
    except zipfile.BadZipFile as error:
        raise RuntimeError(f"PytorchStreamReader failed reading zip archive: {error}") from error
    except damaged as error:
        raise RuntimeError(f"the file is damaged: {type(error).__name__}: {error}") from error


def _from_archive(
    file: IO[bytes], map_location: Any, weights_only: bool, mapped: bool, options: Mapping[str, Any]
) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        found = next((each for each in names if each.endswith("/data.pkl") or each == "data.pkl"), None)
        if found is None:
            raise RuntimeError("PytorchStreamReader failed locating file data.pkl: file not found")
        root = found.removesuffix("data.pkl")
        if f"{root}constants.pkl" in names:
            raise RuntimeError("retrograd.load: the file is a TorchScript archive, which PyTorch alone can run")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else _default_order()
        if order not in (b"little", b"big"):
            raise ValueError("Unknown endianness type: " + order.decode())
        swapped = order != sys.byteorder.encode()
        read = _mapped(file, archive, root) if mapped else _copied(archive, root)
        return _Reader(read, swapped, map_location, weights_only, options).object(io.BytesIO(archive.read(found)))


def _default_order() -> bytes:
    chosen = get_default_load_endianness()
    if chosen is LoadEndianness.NATIVE:
        return sys.byteorder.encode()
    return b"big" if chosen is LoadEndianness.BIG else b"little"


def _copied(archive: zipfile.ZipFile, root: str) -> Callable[[str], Any]:
    return lambda key: bytearray(archive.read(f"{root}data/{key}"))


def _mapped(file: IO[bytes], archive: zipfile.ZipFile, root: str) -> Callable[[str], Any]:
    """Parts of a private map of the file."""
    memory = memoryview(mapping.mmap(file.fileno(), 0, access=mapping.ACCESS_COPY))

    def read(key: str) -> Any:
        entry = archive.getinfo(f"{root}data/{key}")
        name, extra = struct.unpack_from("<HH", memory, entry.header_offset + 26)
        begin = entry.header_offset + 30 + name + extra
        return memory[begin : begin + entry.file_size]

    return read


def _from_legacy(file: IO[bytes], map_location: Any, weights_only: bool, options: Mapping[str, Any]) -> Any:
    """What PyTorch before 1.6 has written: pickles, one after another, and then bytes."""
    pending: dict[str, tuple[UntypedStorage, int]] = {}
    reader = _LegacyReader(pending, map_location, weights_only, options)
    magic = reader.object(file)
    if magic != _MAGIC:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = reader.object(file)
    if version != _LEGACY_VERSION:
        raise RuntimeError(f"Invalid protocol version: {version}")
    system = reader.object(file)
    made = reader.object(file)
    for key in reader.object(file):
        storage, itemsize = pending[str(key)]
        (count,) = struct.unpack("<q", file.read(8))
        content = bytearray(file.read(count * itemsize))
        if system.get("little_endian", True) != (sys.byteorder == "little"):
            content = bytearray(b"".join(content[i : i + itemsize][::-1] for i in range(0, len(content), itemsize)))
        storage.copy_(UntypedStorage._of(memory_of(content, uint8, kernels_of("numpy")), kernels_of("numpy")))
    return made


class _LegacyReader(_Reader):
    """Makes storages of zeros, which are filled when the pickle has been read."""

    def __init__(
        self, pending: dict[str, tuple[UntypedStorage, int]], map_location: Any, weights_only: bool, options: Any
    ) -> None:
        super().__init__(lambda key: b"", False, map_location, weights_only, options)
        self.pending = pending

    def storage(self, identifier: Any) -> TypedStorage:
        if len(identifier) > 5 and identifier[5] is not None:
            raise RuntimeError("retrograd.load: views of storages in files of PyTorch's before 0.4 are not read")
        made = super().storage(identifier)
        self.pending[str(identifier[2])] = made._untyped_storage, made.dtype.itemsize
        return made

    def made(self, key: str, size: int, element: dtype) -> UntypedStorage:
        k = kernels_of(None)
        return UntypedStorage._of(memory_of(bytearray(size * element.itemsize), element, k), k)


def get_unsafe_globals_in_checkpoint(f: FileLike) -> list[str]:
    """The names in a file that `load(weights_only=True)` would refuse.

    Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#torch.serialization.get_unsafe_globals_in_checkpoint

    Examples
    --------
    >>> import io, retrograd
    >>> from fractions import Fraction
    >>> file = io.BytesIO()
    >>> retrograd.save([Fraction(1, 2), retrograd.ones(2)], file)
    >>> _ = file.seek(0)
    >>> retrograd.serialization.get_unsafe_globals_in_checkpoint(file)
    ['fractions.Fraction']
    """
    with zipfile.ZipFile(f) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("data.pkl"))
        found = globals_of(io.BytesIO(archive.read(name)))
    return sorted(found - known_names())
