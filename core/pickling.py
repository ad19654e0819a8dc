"""Writing pickles as `torch.save` does: tensors by PyTorch's functions that make them, their memory beside the pickle.

Note [Names in files]
    A file names classes and functions as PyTorch does, so that either library reads the other's: `torch` stands for
    `retrograd`, at the beginning of the name of a module, for everything there is, and the module is the one that
    PyTorch has it in (`retrograd.places`). Who reads it goes the other way.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from types import FunctionType
from typing import Any, ClassVar

from retrograd import _tensor, _utils
from retrograd.device import device
from retrograd.dtypes import dtype
from retrograd.layout import layout
from retrograd.parameter import Parameter
from retrograd.size import Size
from retrograd.tensor import Tensor
from retrograd.typed_storage import TypedStorage, storage_type_of, typed_storage
from retrograd.unpickling import as_torch
from retrograd.untyped_storage import UntypedStorage
from retrograd.utils.hooks import warn_if_has_hooks

__all__ = ["Pickler", "tag_of"]


def tag_of(where: device) -> str:
    """What files say of a device: `"cpu"` of one that every reader has."""
    return "cpu" if where.type.endswith("cpu") else str(where)


class Pickler(pickle._Pickler):
    """Pickles an object, and collects its storages.

    Python's own pickler, not that in C: only it can write names that it does not find.

    Attributes
    ----------
    storages
        In the order of their keys, which are their numbers.
    """

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def __init__(self, file: io.BytesIO, protocol: int, legacy: bool) -> None:
        super().__init__(file, protocol)
        self.storages: list[UntypedStorage] = []
        self._legacy = legacy
        self._keys: dict[int, int] = {}
        self._types: dict[int, dtype] = {}

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, TypedStorage):
            storage, type_, kind = obj._untyped_storage, obj.dtype, storage_type_of(obj.dtype)
        elif isinstance(obj, UntypedStorage):
            storage, type_, kind = obj, None, UntypedStorage
        else:
            return None
        number = self._keys.setdefault(storage._cdata, len(self._keys))
        if number == len(self.storages):
            self.storages.append(storage)
        if self._types.setdefault(number, type_) is not type_:  # type: ignore[arg-type]  # None: bytes
            raise RuntimeError("Cannot save multiple tensors or storages that view the same data as different types")
        size = storage.nbytes() // (1 if type_ is None else type_.itemsize)
        made = ("storage", kind, str(number), tag_of(storage.device), size)
        return (*made, None) if self._legacy else made

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Tensor):
            own = type(obj).__reduce_ex__ is not Tensor.__reduce_ex__
            return NotImplemented if own else _reduced(obj)
        if isinstance(obj, dtype):
            return obj.name
        if isinstance(obj, layout):
            from retrograd.serialization import _get_layout

            return _get_layout, (f"torch.{obj.name}",)
        if isinstance(obj, Size):
            return Size, (tuple(obj),)
        if isinstance(obj, device):
            return device, ("cpu" if str(obj) == "numpy:cpu" else str(obj),)
        return NotImplemented

    def save_global(self, obj: Any, name: str | None = None) -> None:
        found = getattr(obj, "__module__", None)
        if not isinstance(found, str) or found.partition(".")[0] != "retrograd":
            super().save_global(obj, name=name)  # type: ignore[misc]
            return
        named = name or getattr(obj, "__qualname__", None) or obj.__name__
        _check_found(obj, found, named)
        self.write(pickle.GLOBAL + f"{as_torch(found, named)}\n{named}\n".encode())  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]

    dispatch[FunctionType] = save_global


def _check_found(obj: Any, module: str, name: str) -> None:
    from importlib import import_module

    found: Any = import_module(module)
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        found = None
    if found is not obj:
        raise pickle.PicklingError(f"Can't pickle {obj!r}: it's not found as {module}.{name}")


def _reduced(tensor: Tensor) -> Any:
    """How a file makes a tensor."""
    kind, state = type(tensor), tensor.__dict__
    warn_if_has_hooks(tensor)
    if kind is Parameter:
        function: Any = _utils._rebuild_parameter_with_state if state else _utils._rebuild_parameter
        arguments: Any = (tensor.detach(), tensor.requires_grad, OrderedDict())
        return function, (*arguments, dict(state)) if state else arguments
    function, arguments = _by_parts(tensor)
    if kind is Tensor and not state:
        return function, arguments
    return _tensor._rebuild_from_type_v2, (function, kind, arguments, dict(state))


def _by_parts(tensor: Tensor) -> Any:
    if tensor.layout is not _strided():
        parts: tuple[Any, ...] = (*(part.detach() for _, part in tensor._array.parts()), tensor.size())
        if tensor.is_sparse:
            parts = (*parts, tensor.is_coalesced())
        return _utils._rebuild_sparse_tensor, (tensor.layout, parts)
    if tensor._kernels.meta:
        return _utils._rebuild_meta_tensor_no_storage, _utils.meta_arguments(tensor)
    bits = {"conj": True} if tensor.is_conj() else {}
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    memory = tensor.detach().conj() if bits else tensor
    layout = memory._layout()
    storage = typed_storage(memory if type(memory) is Tensor else memory.detach())
    requires_grad = tensor.requires_grad
    arguments: Any = (storage, layout.offset, layout.shape, layout.strides, requires_grad, OrderedDict())
    if storage_type_of(tensor.dtype) is UntypedStorage:
        arguments = (storage._untyped_storage, *arguments[1:], tensor.dtype)
        return _utils._rebuild_tensor_v3, (*arguments, bits) if bits else arguments
    return _utils._rebuild_tensor_v2, (*arguments, bits) if bits else arguments


def _strided() -> Any:
    import retrograd

    return retrograd.strided
