"""Tensors from data: Python numbers and lists, NumPy arrays, buffers, other libraries' arrays.

One of the two places of the core where a host value is made, and so may use NumPy; the creation
functions that need no data are in `retrograd.ops.factories` and are exported here too.
"""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from retrograd.autograd.cautions import level_of_caller
from retrograd.backends.float8 import from_float32
from retrograd.dtypes import (
    DTYPES,
    FLOAT8,
    Category,
    bfloat16,
    bool_,
    dtype,
    get_default_dtype,
    int64,
    promote_types,
    uint64,
)
from retrograd.ops import factories
from retrograd.ops.factories import *  # noqa: F403 - one import for all creation functions
from retrograd.ops.flags import flagged
from retrograd.ops.options import (
    Destination,
    Options,
    as_dtype,
    as_number,
    as_size,
    checked_number,
    destination,
    dtype_of_number,
    finish,
)
from retrograd.ops.overloads import no_overload
from retrograd.ops.shape import alias_of
from retrograd.storage import fix, share
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "as_tensor", "asarray", "from_dlpack", "from_numpy", "frombuffer", "legacy_tensor", "tensor",
    *factories.__all__,
]  # fmt: skip

HostArray = np.ndarray[Any, Any]

# -- from Python's numbers and sequences -------------------------------------------------------

_PLAIN = (bool, int, float, complex)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple, range)) or (
        hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, (str, bytes, dict))
    )


def _shape_of(data: Any) -> tuple[int, ...]:
    """The shape of nested sequences, by the first element at each depth."""
    shape: list[int] = []
    while True:
        if isinstance(data, (Tensor, np.ndarray)):
            return (*shape, *(int(n) for n in data.shape))
        if not _is_sequence(data):
            return tuple(shape)
        shape.append(len(data))
        if shape[-1] == 0:
            return tuple(shape)
        data = data[0]


def _dtype_of(data: Any) -> dtype:
    """The type that holds all numbers in `data`.

    Raises
    ------
    TypeError
        For strings.
    RuntimeError
        For what is neither number nor sequence.
    """
    if isinstance(data, Tensor):
        return data.dtype
    if isinstance(data, (np.ndarray, np.generic)):
        return _dtype_of_host(data)
    if isinstance(data, _PLAIN):
        return dtype_of_number(data)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if not _is_sequence(data):
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    return _dtype_of_sequence(data)


def _dtype_of_sequence(data: Sequence[Any]) -> dtype:
    kinds = set(map(type, data))
    if not kinds:
        return get_default_dtype()
    if kinds.issubset(_PLAIN):
        samples = [kind(0) for kind in kinds]
    else:
        samples = data  # type: ignore[assignment]
    found: dtype | None = None
    for each in samples:
        own = dtype_of_number(each) if type(each) in kinds and type(each) in _PLAIN else _dtype_of(each)
        found = own if found is None else promote_types(found, own)
    return found  # type: ignore[return-value]


def _flatten(data: Any, shape: tuple[int, ...], depth: int, to: dtype, into: list[Any]) -> None:
    """Append the numbers of nested sequences in order, checking that they form an array of `shape`."""
    if depth == len(shape):
        into.append(_leaf(data, to))
        return
    if isinstance(data, (Tensor, np.ndarray)):
        data = data.tolist()
    if not _is_sequence(data):
        raise TypeError("not a sequence")
    if len(data) != shape[depth]:
        raise ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {len(data)})")
    if depth + 1 == len(shape) and set(map(type, data)).issubset(_PLAIN):
        into.extend(data)
        return
    for each in data:
        _flatten(each, shape, depth + 1, to, into)


def _leaf(value: Any, to: dtype) -> bool | int | float | complex:
    if isinstance(value, (Tensor, np.generic, np.ndarray)):
        number: bool | int | float | complex = value.item()
        return number
    if isinstance(value, _PLAIN):
        return value
    raise _wrong_number(value, to)


def _wrong_number(value: Any, to: dtype) -> TypeError:
    if to.category is Category.INTEGER:
        return TypeError(f"'{type(value).__name__}' object cannot be interpreted as an integer")
    return TypeError(f"must be real number, not {type(value).__name__}")


def _host_from_python(data: Any, wanted: dtype | None) -> tuple[HostArray, dtype]:
    """An array of Python data, and the type it is to have on the backend (which may lack it on the host)."""
    chosen = wanted or _dtype_of(data)
    if wanted is not None and isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    shape = _shape_of(data)
    numbers: list[Any] = []
    if math.prod(shape):
        _flatten(data, shape, 0, chosen, numbers)
    return _pack(numbers, chosen).reshape(shape), chosen


def _pack(numbers: list[Any], to: dtype) -> HostArray:
    """Python numbers as an array of type `to`, checked for overflow as PyTorch does."""
    if to is bool_:
        return np.array([bool(each) for each in numbers], np.bool_)
    if to.is_complex:
        return np.array(numbers, np.complex128).astype(to.name)
    kinds = set(map(type, numbers))
    if complex in kinds:
        raise _wrong_number(0j, to)
    if to.is_floating_point:
        return _round(np.array(numbers, np.float64), to)
    if kinds <= {int, bool}:
        return _pack_integers(numbers, to)
    return np.array([checked_number(each, to, to.name) for each in numbers], to.name)


def _pack_integers(numbers: list[int], to: dtype) -> HostArray:
    if to is uint64:
        return _pack_largest(numbers)
    try:
        wide = np.array(numbers, np.int64)
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None
    if to is int64 or not wide.size:
        return wide.astype(to.name)
    for extreme in (int(wide.min()), int(wide.max())):
        checked_number(extreme, to, to.name)
    return wide.astype(to.name)


def _pack_largest(numbers: list[int]) -> HostArray:
    if any(each < 0 for each in numbers):
        raise OverflowError("can't convert negative int to unsigned")
    if any(each >= 2**64 for each in numbers):
        raise OverflowError("int too big to convert")
    return np.array(numbers, np.uint64)


def _round(wide: HostArray, to: dtype) -> HostArray:
    """float64 to a floating type, through float32 for those of fewer bits, as C++ converts."""
    with np.errstate(over="ignore"):
        if to.itemsize <= 2:
            wide = wide.astype(np.float32)
        native = _host_type(to)
        return np.asarray(from_float32(np, wide, native)) if to in FLOAT8 else wide.astype(native)


def _host_type(type_: dtype) -> Any:
    """The host's type for one of ours; those that NumPy lacks come from ml_dtypes."""
    if type_ is not bfloat16 and type_ not in FLOAT8:
        return np.dtype(type_.name)
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, type_.name))


# -- from NumPy --------------------------------------------------------------------------------

_SUPPORTED = (
    "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, "
    "and bool"
)


_of_host: dict[Any, dtype] = {}  # NumPy composes a type's name anew each time


def _dtype_of_host(array: Any) -> dtype:
    found = _of_host.get(array.dtype) or DTYPES.get(array.dtype.name)
    if found is not None:
        _of_host[array.dtype] = found
    else:
        raise TypeError(
            f"can't convert np.ndarray of type {array.dtype.type.__module__}.{array.dtype.type.__name__}. "
            f"The only supported types are: {_SUPPORTED}."
        )
    return found


def _check_host(array: HostArray) -> None:
    """Refuse what no backend can hold as it is."""
    _dtype_of_host(array)
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte "
            "orders is currently not supported."
        )
    if any(stride < 0 for stride in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are "
            "not currently supported. (You can probably work around this by making a copy of your array  "
            "with array.copy().) "
        )


def _cast_host(array: HostArray, to: dtype) -> HostArray:
    """A copy of another type; values out of an integer's range become what the machine makes of them."""
    if array.dtype.kind == "c" and not to.is_complex and to is not bool_:
        array = array.real
    with np.errstate(all="ignore"):
        if to in FLOAT8:
            return _round(array, to)
        return array.astype(_host_type(to))


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor of a NumPy array: the same memory on the NumPy backend, a copy on others.

    Raises
    ------
    TypeError
        If it is no array, or of a type that tensors do not have.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.from_numpy.html

    Examples
    --------
    >>> import numpy, retrograd
    >>> a = numpy.zeros(2, numpy.float32)
    >>> t = retrograd.from_numpy(a)
    >>> a[0] = 1
    >>> t
    tensor([1., 0.])
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    _check_host(ndarray)
    _warn_if_read_only(ndarray)
    return _shared(ndarray, destination("from_numpy", {}))


def _warn_if_read_only(array: HostArray) -> None:
    if not array.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and retrograd does not support non-writable tensors. "
            "This means writing to this tensor will result in undefined behavior. You may want to copy the "
            "array to protect its data or make it writable before converting it to a tensor. This type of "
            "warning will be suppressed for the rest of this program.",
            UserWarning,
            stacklevel=3,
        )


def _shared(array: HostArray, to: Destination) -> Tensor:
    """A tensor in the array's own memory, where the backend can."""
    plain = np.asarray(array)
    made = finish(to.k.from_host(plain, not to.k.mutable), to)
    fix(made)
    return made


# -- the constructors --------------------------------------------------------------------------


def _warn_of_copying(name: str) -> None:
    warnings.warn(
        "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
        f"sourceTensor.detach().clone().requires_grad_(True), rather than {name}(sourceTensor).",
        UserWarning,
        stacklevel=level_of_caller(),
    )


def tensor(data: Any, **options: Unpack[Options]) -> Tensor:
    """A new tensor of a copy of `data`; a leaf of the graph.

    Parameters
    ----------
    data
        A number, nested sequences of numbers, a NumPy array or a tensor.
    dtype
        By default what the data say: bool, int64, the default floating-point type or its complex one;
        arrays and tensors keep theirs.
    device
        The backend, or backend and device; by default the current one.
    requires_grad
        Whether operators on it are recorded.

    Raises
    ------
    ValueError
        If sequences are ragged, or an integer does not fit in 64 bits.
    TypeError
        For strings and NumPy types that tensors do not have.
    RuntimeError
        For other objects, and for numbers out of the range of `dtype`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensor.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([[1.0, -1.0], [2.0, 0.5]])
    tensor([[ 1.0000, -1.0000],
            [ 2.0000,  0.5000]])
    >>> retrograd.tensor([1, 2], dtype=retrograd.float64)
    tensor([1., 2.], dtype=retrograd.float64)
    """
    if isinstance(data, Tensor):
        _warn_of_copying("retrograd.tensor")
        return _new("tensor", data, destination("tensor", options, data))
    return _new("tensor", data, destination("tensor", options))


def _new(name: str, data: Any, to: Destination) -> Tensor:
    """A tensor of a copy of any data."""
    if to.out is not None:
        raise TypeError(f"{name}() got an unexpected keyword argument 'out'")
    k = to.k
    if isinstance(data, Tensor):
        moved = k.copy(data._array) if data._kernels is k else k.from_host(data._kernels.to_host(data._array), True)
        chosen = to.native(data.dtype)
        return finish(moved if moved.dtype == chosen else k.astype(moved, chosen), to)
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
        _check_host(array)
        host, chosen = array if to.dtype is None else _cast_host(array, to.dtype), None
    else:
        host, chosen = _host_from_python(data, to.dtype)
    return finish(k.from_host(host, True), to)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory or graph where nothing has to change.

    A tensor of the right type and device is returned itself, and otherwise converted by a recorded
    operator; a NumPy array is shared on the NumPy backend.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.as_tensor.html

    Examples
    --------
    >>> import retrograd
    >>> t = retrograd.tensor([1.0])
    >>> retrograd.as_tensor(t) is t
    True
    """
    wanted = as_dtype("as_tensor", dtype)
    if isinstance(data, Tensor):
        return data.to(device=data.device if device is None else device, dtype=wanted or data.dtype)
    to = destination("as_tensor", {"dtype": wanted, "device": device})
    if isinstance(data, np.ndarray) and wanted in (None, DTYPES.get(data.dtype.name)):
        _check_host(data)
        _warn_if_read_only(data)
        return _shared(data, to)
    return _new("as_tensor", data, to)


@flagged
def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None
) -> Tensor:
    """`obj` as a tensor: another tensor, a NumPy array, an array of any DLPack library, a buffer or numbers.

    Parameters
    ----------
    copy
        True: always copy. False: never, an error where a copy is needed. None: only where needed.
    requires_grad
        By default that of a tensor that is given. False: without its graph; a leaf that is not copied no longer
        requires a gradient then.

    Raises
    ------
    ValueError
        If `copy` is False and a copy is needed.
    RuntimeError
        If elements of such a type cannot have a gradient.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.asarray.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.asarray([1, 2])
    tensor([1, 2])
    """
    wanted = as_dtype("asarray", dtype)
    if isinstance(obj, Tensor):
        if requires_grad is None and obj.requires_grad:
            _warn_of_inherited()
        requires_grad = obj.requires_grad if requires_grad is None else requires_grad
        return _requiring(_asarray_of_tensor(obj, wanted, device, copy), requires_grad)
    if not isinstance(obj, np.ndarray) and hasattr(obj, "__dlpack__"):
        obj = np.asarray(np.from_dlpack(obj))
    elif isinstance(obj, (bytearray, memoryview)):
        obj = np.frombuffer(obj, _host_type(wanted or get_default_dtype()))
    can_share = isinstance(obj, np.ndarray) and wanted in (None, DTYPES.get(obj.dtype.name))
    if copy is False and not can_share:
        if isinstance(obj, np.ndarray) and wanted is not None:
            raise _not_shared(DTYPES[obj.dtype.name], wanted)
        raise ValueError("can't alias arbitrary sequence into a tensor.")
    if copy is not True and can_share:
        made = as_tensor(obj, wanted, device)
    else:
        made = _new("asarray", obj, destination("asarray", {"dtype": wanted, "device": device}))
    return _requiring(made, bool(requires_grad))


@functools.cache
def _warn_of_inherited() -> None:
    """Once."""
    warnings.warn(
        "retrograd.asarray: unspecified requires_grad now defaults to obj.requires_grad instead of False. Pass "
        "requires_grad=False explicitly to get the old behavior and silence this warning.",
        stacklevel=4,
    )


def _requiring(made: Tensor, requires_grad: bool) -> Tensor:
    """The tensor itself, as a leaf if it is to have no gradient."""
    if not requires_grad:
        return made._set_requires_grad(False) if made.is_leaf else made.detach()
    if not made.dtype.is_differentiable:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return made if made.requires_grad else made._set_requires_grad()


def _not_shared(type_: dtype, wanted: dtype) -> ValueError:
    return ValueError(f"can't alias tensor with dtype '{type_.type_name}' into dtype '{wanted.type_name}'.")


def _asarray_of_tensor(obj: Tensor, wanted: dtype | None, device: Any, copy: bool | None) -> Tensor:
    made = as_tensor(obj, wanted, device)
    if copy is False and made is not obj:
        if made.device != obj.device or wanted is None:
            raise ValueError(f"can't alias tensor from device '{obj.device}' to '{made.device}'.")
        raise _not_shared(obj.dtype, wanted)
    return obj.clone() if copy and made is obj else made


@flagged
def frombuffer(buffer: Any, *, dtype: dtype, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A 1-dimensional tensor of the bytes of a Python buffer; the same memory on the NumPy backend.

    Raises
    ------
    ValueError
        If `offset` or `count` does not fit the buffer.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.frombuffer.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.frombuffer(bytearray([1, 2]), dtype=retrograd.uint8)
    tensor([1, 2], dtype=retrograd.uint8)
    """
    size = memoryview(buffer).nbytes
    if size == 0:
        raise ValueError(f"both buffer length ({size}) and count ({count}) must not be 0")
    if not 0 <= offset < size:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({size} bytes) - 1"
        )
    if count < 0 and (size - offset) % dtype.itemsize:
        raise ValueError(
            f"buffer length ({size - offset} bytes) after offset ({offset} bytes) must be a multiple of "
            f"element size ({dtype.itemsize})"
        )
    if count > 0 and offset + count * dtype.itemsize > size:
        raise ValueError(
            f"requested buffer length ({count} * {dtype.itemsize} bytes) after offset ({offset} bytes) must "
            f"not be greater than actual buffer length ({size} bytes)"
        )
    array = np.frombuffer(buffer, _host_type(dtype), count, offset)
    _warn_if_read_only(array)
    return _shared(array, destination("frombuffer", {"requires_grad": requires_grad}))


def from_bytes(content: bytes, type_: dtype, shape: tuple[int, ...], k: Any) -> Tensor:
    """A tensor of a copy of raw little-endian elements, on the device of `k`.

    Raises
    ------
    ValueError
        If there are too few or too many bytes.
    """
    flat = np.frombuffer(content, _host_type(type_))
    if sys.byteorder == "big":
        flat = flat.byteswap()
    return wrap_array(k.from_host(flat.reshape(shape), True), k)


class _Capsule:
    """An object that gives a capsule away, which NumPy takes from objects alone."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor of another library's array, through DLPack; the same memory on the NumPy backend if writable.

    Source: https://docs.pytorch.org/docs/stable/dlpack.html

    Examples
    --------
    >>> import numpy, retrograd
    >>> retrograd.from_dlpack(numpy.arange(3))
    tensor([0, 1, 2])
    """
    array = np.from_dlpack(ext_tensor if hasattr(ext_tensor, "__dlpack__") else _Capsule(ext_tensor))
    _check_host(array)
    to = destination("from_dlpack", {})
    return _shared(array if array.flags.writeable else array.copy(), to)


# -- the class as a constructor ----------------------------------------------------------------


def legacy_tensor(cls: Any, data: tuple[Any, ...], device: Any, type_: dtype | None = None) -> Any:
    """What `Tensor(...)` and `FloatTensor(...)` give: from sizes, an uninitialised tensor; from data, a copy.

    Raises
    ------
    TypeError
        If the single argument is neither an int, a sequence, an array nor a tensor.
    """
    chosen = type_ or get_default_dtype()
    to = destination("new", {"dtype": chosen, "device": device})
    made = _legacy(data, to, type_)
    if cls is Tensor:
        return made
    alias = cls._restore(made._array, made._kernels, None, None)
    share(made, alias)
    return alias


def _legacy(data: tuple[Any, ...], to: Destination, type_: dtype | None) -> Tensor:
    if not data:
        return finish(to.k.empty((0,), to.native()), to)
    only = data[0] if len(data) == 1 else None
    if isinstance(only, Tensor):
        return _legacy_alias(only, type_)
    if isinstance(only, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(only).__name__}'")
    if type(only).__name__ == "Size" or all(_is_index(each) for each in data):
        return finish(to.k.empty(as_size("new", data), to.native()), to)
    if len(data) > 1:
        if _is_index(data[0]):
            as_size("new", data)
        raise no_overload("new", data, {})
    if not _is_sequence(only) and not isinstance(only, np.ndarray):
        raise TypeError(f"new(): data must be a sequence (got {type(only).__name__})")
    return _new("new", only, to)


def _is_index(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, (Tensor, np.ndarray))


def _legacy_alias(source: Tensor, type_: dtype | None) -> Tensor:
    """A tensor of a tensor shares its memory, and so must have the constructor's type; `Tensor` takes any."""
    if type_ is not None and source.dtype is not type_:
        raise TypeError(f"expected TensorOptions(dtype={type_}) (got TensorOptions(dtype={source.dtype}))")
    return alias_of(source)


# -- methods -----------------------------------------------------------------------------------


def new_tensor(self: Tensor, data: Any, **options: Unpack[Options]) -> Tensor:
    """A new tensor of a copy of `data`, on this tensor's device; its type is that of the data, or `dtype`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.new_tensor.html
    """
    if isinstance(data, Tensor):
        _warn_of_copying("tensor.new_tensor")
    to = destination("new_tensor", options, self)
    if options.get("dtype") is None:
        own = data.dtype if isinstance(data, Tensor) else None
        is_array = isinstance(data, (np.ndarray, np.generic))
        to = to._replace(dtype=own or (_dtype_of_host(data) if is_array else self.dtype))
    return _new("new_tensor", data, to if isinstance(data, Tensor) else to._replace(k=to.k.base))


def new_zeros(self: Tensor, *size: Any, **options: Unpack[Options]) -> Tensor:
    """Zeros of a given shape, of this tensor's type and device."""
    shape = factories.size_and_options("new_zeros", size, options)  # type: ignore[arg-type]
    to = destination("new_zeros", options, self)
    return finish(to.k.zeros(shape, to.native()), to)


def new_ones(self: Tensor, *size: Any, **options: Unpack[Options]) -> Tensor:
    """Ones of a given shape, of this tensor's type and device."""
    shape = factories.size_and_options("new_ones", size, options)  # type: ignore[arg-type]
    to = destination("new_ones", options, self)
    return finish(to.k.ones(shape, to.native()), to)


def new_empty(self: Tensor, *size: Any, **options: Unpack[Options]) -> Tensor:
    """An uninitialised tensor of a given shape, of this tensor's type and device."""
    shape = factories.size_and_options("new_empty", size, options)  # type: ignore[arg-type]
    to = destination("new_empty", options, self)
    return finish(factories.uninitialized(to, shape), to)


def new_full(self: Tensor, size: Sequence[int], fill_value: Any, **options: Unpack[Options]) -> Tensor:
    """A tensor of a given shape with every element `fill_value`, of this tensor's type and device."""
    to = destination("new_full", options, self)
    value = checked_number(as_number("new_full", fill_value, "fill_value", 2), to.dtype)  # type: ignore[arg-type]
    return finish(to.k.full(as_size("new_full", (size,)), value, to.native()), to)


for _method in (new_tensor, new_zeros, new_ones, new_empty, new_full):
    _method.__qualname__ = f"Tensor.{_method.__name__}"
    setattr(Tensor, _method.__name__, _method)
