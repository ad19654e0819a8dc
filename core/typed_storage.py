"""Memory as elements of a type: `TypedStorage`, which PyTorch keeps for old programs, and its classes by type."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from copy import copy, deepcopy
from functools import wraps
from numbers import Integral
from typing import Any

from retrograd import dtypes
from retrograd.dtypes import dtype, get_default_dtype
from retrograd.tensor import Tensor
from retrograd.untyped_storage import UntypedStorage, untyped_storage

__all__ = [
    "BFloat16Storage", "BoolStorage", "ByteStorage", "CharStorage", "ComplexDoubleStorage", "ComplexFloatStorage",
    "DoubleStorage", "FloatStorage", "HalfStorage", "IntStorage", "LongStorage", "ShortStorage", "Storage",
    "TypedStorage", "UntypedStorage", "is_storage",
]  # fmt: skip

_DEPRECATED = (
    "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage class. "
    "This should only matter to you if you are using storages directly.  To access UntypedStorage directly, use "
    "tensor.untyped_storage() instead of tensor.storage()"
)
_has_warned = [False]


def _warn(stacklevel: int = 2) -> None:
    """Warn once in a process, as PyTorch does."""
    if not _has_warned[0]:
        warnings.warn(_DEPRECATED, UserWarning, stacklevel=stacklevel + 1)
        _has_warned[0] = True


def _deprecated(method: Any) -> Any:
    @wraps(method)
    def warned(self: Any, *args: Any, **kwargs: Any) -> Any:
        _warn()
        return method(self, *args, **kwargs)

    return warned


_FORMS = (
    "{} received an invalid combination of arguments. Expected one of:\n * (*, retrograd.device device, "
    "retrograd.dtype dtype)\n * (int size, *, retrograd.device device, retrograd.dtype dtype)\n * (Sequence data, *, "
    "retrograd.device device, retrograd.dtype dtype)\n * (*, UntypedStorage wrap_storage, retrograd.dtype dtype)\n{}"
)


class TypedStorage:
    """A memory and the type of its elements. Deprecated by PyTorch in favour of `UntypedStorage`, and warned of once.

    Parameters
    ----------
    args
        How many elements (0 by default), or a sequence of their values.
    dtype, device
        Their type, by default the default type, and where they are.
    wrap_storage
        Instead of `args`: the memory.

    Source: https://docs.pytorch.org/docs/stable/storage.html#torch.TypedStorage
    """

    __module__ = "retrograd.storage"

    is_sparse = is_cuda = is_hpu = False
    dtype: dtype

    def __init__(
        self, *args: Any, device: Any = None, dtype: Any = None, wrap_storage: Any = None, _internal: bool = False
    ) -> None:
        if not _internal:
            _warn()
        self.dtype = get_default_dtype() if dtype is None else dtype
        self._untyped_storage: UntypedStorage
        if wrap_storage is None:
            self._untyped_storage = _made(args, self.dtype, device)
        else:
            _check_wrapped(args, dtype, device, wrap_storage)
            self._untyped_storage = wrap_storage

    def _like(self, untyped: UntypedStorage) -> TypedStorage:
        return TypedStorage(wrap_storage=untyped, dtype=self.dtype, _internal=True)

    def _values(self) -> Tensor:
        return self._untyped_storage._as_tensor(self.dtype)

    # -- what it is --------------------------------------------------------------------------------

    @property
    def _dtype(self) -> dtypes.dtype:
        return self.dtype

    @property
    def device(self) -> Any:
        """Where it is."""
        return self._untyped_storage.device

    @property
    def filename(self) -> None:
        """None: it is in no file that has a name."""
        return self._untyped_storage.filename

    @property
    def _cdata(self) -> int:
        return self._untyped_storage._cdata

    def _size(self) -> int:
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    @_deprecated
    def size(self) -> int:
        """How many elements it has."""
        return self._size()

    __len__ = size

    @_deprecated
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self._untyped_storage.nbytes()

    @_deprecated
    def element_size(self) -> int:
        """The size of an element in bytes."""
        return self.dtype.itemsize

    @_deprecated
    def untyped(self) -> UntypedStorage:
        """The memory."""
        return self._untyped_storage

    @_deprecated
    def data_ptr(self) -> int:
        """An address that is equal for the same memory."""
        return self._untyped_storage.data_ptr()

    @_deprecated
    def get_device(self) -> int | None:
        """The number of its device; None on a CPU."""
        return self._untyped_storage.get_device()

    @_deprecated
    def resizable(self) -> bool:
        """True."""
        return self._untyped_storage.resizable()

    @_deprecated
    def pickle_storage_type(self) -> str:
        """The name of its class by type."""
        return _NAMES[self.dtype]

    @_deprecated
    def __repr__(self) -> str:
        is_meta = self._untyped_storage._kernels.meta
        text = "..." if is_meta else " " + "\n ".join(map(str, self._values().tolist()))
        kind = f"{type(self).__module__}.{type(self).__name__}"
        return f"{text}\n[{kind}(dtype={self.dtype}, device={self.device}) of size {self._size()}]"

    # -- elements ----------------------------------------------------------------------------------

    @_deprecated
    def tolist(self) -> list[Any]:
        """Its elements."""
        values: list[Any] = self._values().tolist()
        return values

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    @_deprecated
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        if not isinstance(index, int):
            raise RuntimeError(f"can't index a {type(self)} with {type(index)}")
        if not -self._size() <= index < self._size():
            raise IndexError(f"index {index} out of range for storage of size {self._size()}")
        return self._values()[index].item()

    @_deprecated
    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(index, int | slice):
            raise RuntimeError(f"can't index a {type(self)} with {type(index)}")
        if is_storage(value):
            raise RuntimeError(f"cannot set item with value type {type(value)}")
        self._values()[index] = value

    @_deprecated
    def fill_(self, value: Any) -> TypedStorage:
        """Set all elements to `value`."""
        self._values().fill_(value)
        return self

    @_deprecated
    def copy_(self, source: Any, non_blocking: bool | None = None) -> TypedStorage:
        """Copy all bytes of a storage of the same size."""
        self._untyped_storage.copy_(getattr(source, "_untyped_storage", source))
        return self

    @_deprecated
    def resize_(self, size: int) -> None:
        """Make it `size` elements long, in place."""
        self._untyped_storage.resize_(size * self.dtype.itemsize)

    # -- copies ------------------------------------------------------------------------------------

    @_deprecated
    def clone(self) -> TypedStorage:
        """A copy."""
        return self._like(self._untyped_storage.clone())

    @_deprecated
    def __copy__(self) -> TypedStorage:
        return self._like(copy(self._untyped_storage))

    @_deprecated
    def __deepcopy__(self, memo: dict[Any, Any]) -> TypedStorage:
        return self._like(deepcopy(self._untyped_storage, memo))

    @_deprecated
    def cpu(self) -> TypedStorage:
        """Itself, or a copy on NumPy's CPU."""
        return self._like(self._untyped_storage.cpu())

    @_deprecated
    def to(self, *, device: Any, non_blocking: bool = False) -> TypedStorage:
        """A copy on a device; itself, if it is there."""
        return self._like(self._untyped_storage.to(device=device))

    @_deprecated
    def cuda(self, device: Any = None, non_blocking: bool = False) -> Any:
        """Raises: there is no such device."""
        return self._untyped_storage.cuda(device)

    @_deprecated
    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of its class by type; with another, a copy as such."""
        if dtype is None:
            return f"retrograd.{_NAMES[self.dtype]}"
        return self._untyped_storage.type(dtype)

    # -- sharing -----------------------------------------------------------------------------------

    @_deprecated
    def is_shared(self) -> bool:
        """Whether other processes may see it."""
        return self._untyped_storage.is_shared()

    @_deprecated
    def share_memory_(self) -> TypedStorage:
        """`UntypedStorage.share_memory_`."""
        self._untyped_storage.share_memory_()
        return self

    @_deprecated
    def is_pinned(self, device: Any = None) -> bool:
        """False: memory is not pinned here."""
        return False

    @_deprecated
    def pin_memory(self, device: Any = None) -> TypedStorage:
        """Itself: memory is not pinned here."""
        return self


def _made(args: tuple[Any, ...], type_: dtype, device: Any) -> UntypedStorage:
    if len(args) > 1:
        raise RuntimeError(_FORMS.format("TypedStorage.__init__", "Too many positional arguments"))
    if not args:
        return UntypedStorage(device=device)
    (given,) = args
    if isinstance(given, Integral):
        return UntypedStorage(int(given) * type_.itemsize, device=device)
    if not isinstance(given, Sequence):
        raise TypeError(_FORMS.format("TypedStorage.__init__", f"Argument type not recognized: {type(given)}"))
    from retrograd.ops.creation import tensor

    return untyped_storage(tensor(given, dtype=type_, device=device))


def _check_wrapped(args: tuple[Any, ...], type_: Any, device: Any, wrapped: Any) -> None:
    name = "TypedStorage.__init__"
    if args:
        raise RuntimeError(_FORMS.format(name, "No positional arguments should be given when using 'wrap_storage'"))
    if type_ is None:
        raise RuntimeError(_FORMS.format(name, "Argument 'dtype' must be specified"))
    if not isinstance(type_, dtypes.dtype):
        raise TypeError(_FORMS.format(name, f"Argument 'dtype' must be retrograd.dtype, not {type(type_)}"))
    if device is not None:
        text = "Argument 'device' should not be specified when 'wrap_storage' is given"
        raise RuntimeError(_FORMS.format(name, text))
    if not isinstance(wrapped, UntypedStorage):
        text = f"Argument 'wrap_storage' must be UntypedStorage, but got {type(wrapped)}"
        raise TypeError(_FORMS.format(name, text))


def _conversion(name: str) -> Any:
    def convert(self: TypedStorage) -> TypedStorage:
        _warn()
        values = self._values().to(_CONVERSIONS[name], copy=True)
        return TypedStorage(wrap_storage=untyped_storage(values), dtype=values.dtype, _internal=True)

    convert.__name__ = name
    convert.__doc__ = f"A copy of its elements as {_CONVERSIONS[name].name}."
    return convert


_CONVERSIONS = {
    "double": dtypes.float64, "float": dtypes.float32, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
    "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
    "bool": dtypes.bool_, "complex_double": dtypes.complex128, "complex_float": dtypes.complex64,
}  # fmt: skip
for _name in _CONVERSIONS:
    setattr(TypedStorage, _name, _conversion(_name))


# -- classes by type -------------------------------------------------------------------------------


class _LegacyStorageMeta(type):
    dtype: dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return type(instance) is TypedStorage and instance.dtype is cls.dtype


class _LegacyStorage(TypedStorage, metaclass=_LegacyStorageMeta):
    """A typed storage of one type; calls give a `TypedStorage`."""

    def __new__(cls, *args: Any, wrap_storage: Any = None, **options: Any) -> Any:
        _warn()
        if cls is _LegacyStorage:
            raise RuntimeError("Only child classes of _LegacyStorage can be instantiated")
        _check_form(cls, args, wrap_storage, options)
        return TypedStorage(*args, wrap_storage=wrap_storage, dtype=cls.dtype, _internal=True, **options)


def _check_form(cls: type, args: tuple[Any, ...], wrapped: Any, options: dict[str, Any]) -> None:
    forms = (
        f"{cls}.__new__ received an invalid combination of arguments. Expected one of:\n * no arguments\n"
        " * (int size)\n * (Sequence data)\n * (*, UntypedStorage wrap_storage)\n"
    )
    for name in ("device", "dtype"):
        if options.get(name) is not None:
            raise RuntimeError(f"{forms}Keyword argument '{name}' cannot be specified")
    if wrapped is not None and args:
        raise RuntimeError(f"{forms}No positional arguments should be given when using 'wrap_storage'")
    if len(args) > 1:
        raise RuntimeError(f"{forms}Too many positional arguments")
    if args and not isinstance(args[0], Integral | Sequence):
        raise TypeError(f"{forms}Argument type not recognized: {type(args[0])}")
    if wrapped is not None and not isinstance(wrapped, UntypedStorage):
        raise TypeError(f"{forms}Argument 'wrap_storage' must be UntypedStorage, but got {type(wrapped)}")


def _of_type(type_: dtype, name: str) -> Any:
    doc = f"A `TypedStorage` of elements of {type_.name}."
    namespace = {"dtype": type_, "__module__": "retrograd", "__doc__": doc}
    return _LegacyStorageMeta(name, (_LegacyStorage,), namespace)


_NAMES = {
    dtypes.float64: "DoubleStorage", dtypes.float32: "FloatStorage", dtypes.float16: "HalfStorage",
    dtypes.bfloat16: "BFloat16Storage", dtypes.int64: "LongStorage", dtypes.int32: "IntStorage",
    dtypes.int16: "ShortStorage", dtypes.int8: "CharStorage", dtypes.uint8: "ByteStorage", dtypes.bool_: "BoolStorage",
    dtypes.complex128: "ComplexDoubleStorage", dtypes.complex64: "ComplexFloatStorage",
}  # fmt: skip
(
    DoubleStorage, FloatStorage, HalfStorage, BFloat16Storage, LongStorage, IntStorage, ShortStorage, CharStorage,
    ByteStorage, BoolStorage, ComplexDoubleStorage, ComplexFloatStorage,
) = (_of_type(type_, name) for type_, name in _NAMES.items())  # fmt: skip

Storage: Any = FloatStorage


def storage_type_of(type_: dtype) -> Any:
    """The class of typed storages of a type; `UntypedStorage`, if it has none."""
    return globals()[_NAMES[type_]] if type_ in _NAMES else UntypedStorage


def is_storage(obj: Any) -> bool:
    """Whether `obj` is a storage.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.is_storage.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.is_storage(retrograd.ones(2).untyped_storage())
    True
    """
    return isinstance(obj, UntypedStorage | TypedStorage)


# -- of tensors ------------------------------------------------------------------------------------


def typed_storage(self: Tensor) -> TypedStorage:
    """The memory of this tensor and its type, without a warning."""
    return TypedStorage(wrap_storage=untyped_storage(self), dtype=self.dtype, _internal=True)


def storage(self: Tensor) -> TypedStorage:
    """The memory of this tensor with the type of its elements. Deprecated in favour of `untyped_storage`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.storage.html
    """
    _warn()
    return typed_storage(self)


def storage_type(self: Tensor) -> Any:
    """The class of this tensor's typed storage.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.storage_type.html
    """
    return storage_type_of(self.dtype)


def share_memory_(self: Tensor) -> Tensor:
    """Move the memory of this tensor, and of all that share it, to where other processes may see it; in place.

    Raises
    ------
    RuntimeError
        On a backend whose arrays cannot be written to, as JAX's.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.share_memory_.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.zeros(2).share_memory_().is_shared()
    True
    """
    untyped_storage(self).share_memory_()
    return self


def is_shared(self: Tensor) -> bool:
    """Whether other processes may see the memory of this tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.is_shared.html
    """
    return untyped_storage(self).is_shared()
