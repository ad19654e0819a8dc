"""`save` and `load`: tensors and the containers they stand in, in a file that cannot run code.

A file is a zip archive without compression. `structure.json` says what the object is; each tensor's
elements are an entry of their own, raw, in row-major order and little-endian. So a file can be read
with any zip and JSON library, and loading one constructs nothing but the types listed in `save`.

Note [Structure]
    In `structure.json` None, bools, ints, finite floats and strings stand for themselves. Anything
    else is an object with one key that names its type: `{"list": [...]}`,
    `{"dict": [[key, value], ...]}`, `{"tensor": 3}` for an entry of the table of tensors, and so on.
"""

from __future__ import annotations

import json
import math
import os
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from retrograd.device import device, kernels_of
from retrograd.dtypes import DTYPES, dtype
from retrograd.parameter import Parameter
from retrograd.size import Size
from retrograd.tensor import Tensor
from retrograd.views import steps_of

__all__ = ["load", "save"]

MAP_LOCATION: TypeAlias = Callable[[Any, str], Any] | device | str | Mapping[str, str] | None
"""What `load` takes to tell where tensors go."""

_FORMAT: Final = "retrograd"
_VERSION: Final = 1

# -- saving ------------------------------------------------------------------------------------


class _Encoder:
    """Turns an object into what `structure.json` holds, and collects its tensors."""

    def __init__(self) -> None:
        self.tensors: list[dict[str, Any]] = []
        self.data: list[Tensor] = []  # one tensor for each array
        self._known: dict[int, int] = {}
        self._entries: dict[Any, int] = {}
        self._kept: list[Tensor] = []  # alive while their ids are in use
        self._open: set[int] = set()

    def encode(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        if isinstance(value, Tensor) and value._kernels.sparse:
            return {"sparse": self._sparse(value, path)}
        if isinstance(value, Tensor):
            return {"tensor": self._tensor(value, path)}
        encode = _ENCODERS.get(type(value))
        if encode is None:
            raise TypeError(_unsupported(value, path))
        if id(value) in self._open:
            raise ValueError(f"retrograd.save: {path} contains itself")
        self._open.add(id(value))
        encoded = encode(self, value, path)
        self._open.discard(id(value))
        return encoded

    def items(self, value: Any, path: str) -> list[Any]:
        return [self.encode(each, f"{path}[{i}]") for i, each in enumerate(value)]

    def pairs(self, value: Mapping[Any, Any], path: str) -> list[Any]:
        return [
            [self.encode(key, f"the key {key!r} of {path}"), self.encode(each, f"{path}[{key!r}]")]
            for key, each in value.items()
        ]

    def _sparse(self, tensor: Tensor, path: str) -> list[Any]:
        """The parts of a sparse tensor, by name or in order."""
        if type(tensor) not in (Tensor, Parameter):
            raise TypeError(_unsupported(tensor, path))
        parts = [self.encode(part, f"{path}.{name}()") for name, part in tensor._array.parts()]
        is_parameter, shape = type(tensor) is Parameter, list(tensor.shape)
        return [tensor.layout.name, parts, shape, tensor._array.coalesced, is_parameter, tensor.requires_grad]

    def _tensor(self, tensor: Tensor, path: str) -> int:
        if type(tensor) not in (Tensor, Parameter):
            raise TypeError(_unsupported(tensor, path))
        if id(tensor) in self._known:
            return self._known[id(tensor)]
        self._kept.append(tensor)
        memory = _memory(tensor)
        entry = self._entries.get(memory)
        if entry is None:
            entry = self._entries[memory] = len(self.data)
            self.data.append(tensor)
        number = self._known[id(tensor)] = len(self.tensors)
        self.tensors.append({
            "data": entry,
            "dtype": tensor.dtype.name,
            "shape": list(tensor.shape),
            "device": str(tensor.device),
            "requires_grad": tensor.requires_grad,
            "parameter": type(tensor) is Parameter,
        })  # fmt: skip
        return number


def _memory(tensor: Tensor) -> Any:
    """Equal for tensors that are the same elements of the same memory.

    Where arrays are immutable, independent tensors may have one array; what is shared there is the storage.
    """
    meta = tensor._tensor_meta
    if tensor._kernels.mutable:
        return id(tensor._array)
    if meta is None or meta.storage is None:
        return id(tensor)
    return id(meta.storage), steps_of(meta.chain)


def _encode_ordered(encoder: _Encoder, value: OrderedDict[Any, Any], path: str) -> Any:
    encoded = {"OrderedDict": encoder.pairs(value, path)}
    metadata = getattr(value, "_metadata", None)  # of a module's state_dict
    if metadata is not None:
        encoded["metadata"] = encoder.encode(metadata, f"{path}._metadata")
    return encoded


_ENCODERS: dict[type, Callable[[_Encoder, Any, str], Any]] = {
    list: lambda encoder, value, path: {"list": encoder.items(value, path)},
    tuple: lambda encoder, value, path: {"tuple": encoder.items(value, path)},
    set: lambda encoder, value, path: {"set": encoder.items(sorted(value, key=repr), path)},
    dict: lambda encoder, value, path: {"dict": encoder.pairs(value, path)},
    OrderedDict: _encode_ordered,
    Size: lambda encoder, value, path: {"Size": list(value)},
    complex: lambda encoder, value, path: {"complex": [repr(value.real), repr(value.imag)]},
    bytes: lambda encoder, value, path: {"bytes": value.hex()},
    dtype: lambda encoder, value, path: {"dtype": value.name},
    device: lambda encoder, value, path: {"device": str(value)},
}


def _unsupported(value: Any, path: str) -> str:
    kind = type(value)
    hint = ""
    if hasattr(value, "state_dict"):
        hint = "; save its state_dict() instead"
    elif hasattr(value, "__array__"):
        hint = "; make it a tensor with retrograd.tensor first"
    return (
        f"retrograd.save cannot store {path}, which is of type {kind.__module__}.{kind.__qualname__}{hint}. "
        "It stores tensors, numbers, strings, bytes, None, dtypes, devices, and lists, tuples, sets, dicts "
        "and OrderedDicts of them"
    )


def save(
    obj: Any,
    f: str | os.PathLike[str] | IO[bytes],
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a file.

    Tensors that share one array (tied weights) share it again when loaded; other views are stored as
    tensors of their own. An existing file is replaced only when the new one is complete.

    Parameters
    ----------
    obj
        Tensors and parameters, numbers, strings, bytes, None, dtypes, devices, and lists, tuples, sets,
        dicts and OrderedDicts of these, as the state dicts of modules and optimizers are.
    f
        A path, or a file open for writing bytes.
    pickle_module, pickle_protocol, _use_new_zipfile_serialization, _disable_byteorder_record
        Accepted for PyTorch's sake: nothing is pickled.

    Raises
    ------
    TypeError
        If there is anything else in `obj`; the message says where. The file is not touched.
    ValueError
        If a container contains itself.

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
    encoder = _Encoder()
    root = encoder.encode(obj, "obj")
    structure = {"format": _FORMAT, "version": _VERSION, "root": root, "tensors": encoder.tensors}
    if not isinstance(f, (str, os.PathLike)):
        _write(f, structure, encoder.data)
        return
    path = Path(f)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            _write(file, structure, encoder.data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write(file: IO[bytes], structure: dict[str, Any], data: list[Tensor]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("structure.json", json.dumps(structure))
        for number, tensor in enumerate(data):
            host = tensor._kernels.to_host(tensor._array).reshape(-1)
            if not host.flags.c_contiguous:
                host = host.copy()
            if sys.byteorder == "big":
                host = host.byteswap()
            with archive.open(_entry(number), "w", force_zip64=True) as entry:
                entry.write(host.view("uint8").data)


def _entry(number: int) -> str:
    return f"data/{number}"


# -- loading -----------------------------------------------------------------------------------


class _Decoder:
    """The reverse of `_Encoder`."""

    def __init__(self, archive: zipfile.ZipFile, tensors: list[Any], map_location: Any) -> None:
        self.archive = archive
        self.tensors = tensors
        self.map_location = map_location if callable(map_location) else None
        self.place = _placing(None if callable(map_location) else map_location)
        self._made: dict[int, Tensor] = {}
        self._by_entry: dict[int, Tensor] = {}

    def decode(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kind = next(iter(value))
        if kind == "tensor":
            return self._tensor(value[kind])
        if kind == "sparse":
            return self._sparse(*value[kind])
        if kind == "OrderedDict":
            made = OrderedDict(self._pairs(value[kind]))
            if "metadata" in value:
                made._metadata = self.decode(value["metadata"])  # type: ignore[attr-defined]
            return made
        if kind == "dict":
            return dict(self._pairs(value[kind]))
        if kind in _SEQUENCES:
            return _SEQUENCES[kind](self.decode(each) for each in value[kind])
        return _DECODERS[kind](value[kind])

    def _sparse(self, layout: str, parts: Any, shape: Any, coalesced: bool, parameter: bool, requires: bool) -> Tensor:
        from retrograd.sparse.construction import of_parts

        cls = Parameter if parameter else Tensor
        return of_parts(layout, [self.decode(each) for each in parts], tuple(shape), coalesced, cls, requires)

    def _pairs(self, pairs: Any) -> list[tuple[Any, Any]]:
        return [(self.decode(key), self.decode(value)) for key, value in pairs]

    def _tensor(self, number: int) -> Tensor:
        if number not in self._made:
            self._made[number] = self._make(self.tensors[number])
        return self._made[number]

    def _make(self, record: Mapping[str, Any]) -> Tensor:
        entry = record["data"]
        first = self._by_entry.get(entry)
        made = self._read(record) if first is None else first.detach()
        self._by_entry.setdefault(entry, made)
        if record["parameter"]:
            return Parameter(made, requires_grad=record["requires_grad"])
        return made.requires_grad_(record["requires_grad"])

    def _read(self, record: Mapping[str, Any]) -> Tensor:
        from retrograd.ops.creation import from_bytes

        content = self.archive.read(_entry(record["data"]))
        saved = record["device"]
        made = from_bytes(content, DTYPES[record["dtype"]], tuple(record["shape"]), self.place(saved))
        found = self.map_location(made.untyped_storage(), saved) if self.map_location else None
        return made if found is None else made.to(found.device)


_SEQUENCES: dict[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "set": set, "Size": Size}

_DECODERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "bytes": bytes.fromhex,
    "dtype": DTYPES.__getitem__,
    "device": device,
}


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: MAP_LOCATION = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read what `save` has written.

    Parameters
    ----------
    f
        A path, or a file open for reading bytes.
    map_location
        Where tensors go: a device; a dict from the device each was saved from to another; or a function of
        the memory of each and of the device that it was saved from, which gives that memory or other, or
        None. By default the current device, wherever they were.
    pickle_module, weights_only, mmap, pickle_load_args
        Accepted for PyTorch's sake: a file never holds code, and is read.

    Raises
    ------
    RuntimeError
        If it is no such file, or a damaged one.

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
    name = os.fspath(f) if isinstance(f, (str, os.PathLike)) else "the file"
    try:
        with zipfile.ZipFile(f) as archive:
            structure = _structure(archive, name)
            return _Decoder(archive, structure["tensors"], map_location).decode(structure["root"])
    except zipfile.BadZipFile as error:
        raise RuntimeError(
            f"{name} is not a file that retrograd.save has written, or it is damaged ({error})"
        ) from error
    except (KeyError, IndexError, TypeError, ValueError, RecursionError, EOFError) as error:
        raise RuntimeError(f"{name} is damaged: {type(error).__name__}: {error}") from error


def _structure(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    if "structure.json" not in archive.namelist():
        raise RuntimeError(
            f"{name} is a zip archive, but not one that retrograd.save has written. A file of torch.save "
            "holds pickled code: load it with PyTorch and save its arrays"
        )
    structure: dict[str, Any] = json.loads(archive.read("structure.json"))
    if structure["format"] != _FORMAT or structure["version"] > _VERSION:
        raise RuntimeError(
            f"{name} has format {structure['format']!r}, version {structure['version']}; this version of "
            f"retrograd reads {_FORMAT!r} up to version {_VERSION}"
        )
    return structure


def _placing(map_location: Any) -> Callable[[str], Any]:
    """From the device a tensor was saved from to the kernels of the one it goes to."""
    if isinstance(map_location, Mapping):
        return lambda saved: kernels_of(map_location.get(saved))
    target = kernels_of(map_location)
    return lambda saved: target
