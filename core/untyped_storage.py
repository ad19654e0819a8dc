"""Memory itself, as PyTorch shows it: `UntypedStorage`, a sequence of bytes that tensors share."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from retrograd import dtypes
from retrograd.copies import copied_memory
from retrograd.device import device, kernels_of
from retrograd.dtypes import dtype
from retrograd.memory_bytes import bytes_in, host_bytes, look_at, move, new_memory, resize_memory, type_of, write_bytes
from retrograd.shared_memory import is_in_shared_memory, shared_copy
from retrograd.storage import Storage, shared_of
from retrograd.tensor import Tensor
from retrograd.views import Layout

__all__ = ["UntypedStorage", "untyped_storage"]

_CONVERSIONS = {
    "double": dtypes.float64, "float": dtypes.float32, "half": dtypes.float16, "bfloat16": dtypes.bfloat16,
    "long": dtypes.int64, "int": dtypes.int32, "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8,
    "bool": dtypes.bool_, "complex_double": dtypes.complex128, "complex_float": dtypes.complex64,
}  # fmt: skip


class UntypedStorage:
    """The memory that a tensor and its aliases share, as bytes, without types and shapes.

    Two are equal if they are the same memory.

    Parameters
    ----------
    args
        How many bytes (0 by default), or a sequence of their values.
    device
        Where they are.

    Raises
    ------
    RuntimeError, TypeError
        If the arguments are others, or the number negative.

    Source: https://docs.pytorch.org/docs/stable/storage.html#torch.UntypedStorage

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.arange(2.0)
    >>> memory = x.untyped_storage()
    >>> memory.nbytes(), memory[7], x[1:].untyped_storage() == memory
    (8, 63, True)
    >>> x, _ = retrograd.zeros(2, dtype=retrograd.uint8), memory.fill_(0)
    >>> x.set_(memory).shape
    retrograd.Size([8])
    """

    __module__ = "retrograd.storage"
    __slots__ = ("__weakref__", "_kernels", "_shared")

    is_cuda = is_hpu = is_sparse = is_sparse_csr = False

    def __init__(self, *args: Any, device: Any = None) -> None:
        self._kernels = kernels_of(device)
        self._shared = new_memory(_new_bytes(args, self._kernels), self._kernels)

    @classmethod
    def _of(cls, shared: Storage, k: Any) -> UntypedStorage:
        made = object.__new__(cls)
        made._shared, made._kernels = shared, k
        return made

    # -- what it is --------------------------------------------------------------------------------

    def nbytes(self) -> int:
        """Its size in bytes."""
        return bytes_in(self._shared, self._kernels)

    size = __len__ = nbytes

    def element_size(self) -> int:
        """1: its elements are bytes."""
        return 1

    @property
    def device(self) -> device:
        """The backend and device that hold it."""
        return device(self._kernels)

    def get_device(self) -> int | None:
        """The number of its device; None on a CPU."""
        return self.device.index

    def data_ptr(self) -> int:
        """An address that is equal for the same memory."""
        return int(self._kernels.address(self._shared.array)) if self._kernels.mutable else id(self._shared)

    @property
    def _cdata(self) -> int:
        return id(self._shared)

    @property
    def filename(self) -> None:
        """None: it is in no file that has a name."""
        return None

    def resizable(self) -> bool:
        """Whether it can be made larger or smaller: not if it is shared with an array or other processes."""
        return not self._shared.fixed

    def untyped(self) -> UntypedStorage:
        """Itself."""
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other._shared is self._shared

    def __hash__(self) -> int:
        return hash(self._shared)

    def __repr__(self) -> str:
        text = "..." if self._kernels.meta else " " + "\n ".join(map(str, self.tolist()))
        return f"{text}\n[{type(self).__module__}.{type(self).__name__}(device={self.device}) of size {self.nbytes()}]"

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes()

    # -- bytes -------------------------------------------------------------------------------------

    def tolist(self) -> list[int]:
        """Its bytes."""
        return list(host_bytes(self._shared, self._kernels).tobytes())

    def __iter__(self) -> Iterator[int]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return int(host_bytes(self._shared, self._kernels)[self._position(index)])
        start, stop = self._range(index)
        k = self._kernels
        part = host_bytes(self._shared, k)[start:stop]
        return self._of(new_memory(k.from_host(part, not k.mutable), k), k)

    def __setitem__(self, index: Any, value: Any) -> None:
        place = slice(*self._range(index)) if isinstance(index, slice) else self._position(index)
        write_bytes(self._shared, self._kernels, place, _as_byte(value))

    def _position(self, index: Any) -> int:
        if not hasattr(index, "__index__"):
            raise TypeError(f"can't index a retrograd.UntypedStorage with {type(index).__name__}")
        size, position = self.nbytes(), operator.index(index)
        if not -size <= position < size:
            raise IndexError(
                f"index {position + size if position < 0 else position} out of range for storage of size {size}"
            )
        return position % size

    def _range(self, index: slice) -> tuple[int, int]:
        start, stop, step = index.indices(self.nbytes())
        if step != 1:
            raise RuntimeError(f"Trying to slice with a step of {step}, but only a step of 1 is supported")
        return start, max(start, stop)

    def fill_(self, value: int) -> UntypedStorage:
        """Set all bytes to `value`."""
        write_bytes(self._shared, self._kernels, slice(None), _as_byte(value))
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> UntypedStorage:
        """Copy all bytes of a storage of the same size.

        Raises
        ------
        RuntimeError
            If the sizes differ.
        """
        given = source.untyped()
        if given.nbytes() != self.nbytes():
            raise RuntimeError(
                f"size does not match, self was {self.nbytes()} bytes but src was {given.nbytes()} bytes"
            )
        write_bytes(self._shared, self._kernels, slice(None), host_bytes(given._shared, given._kernels))
        return self

    def resize_(self, size: int) -> UntypedStorage:
        """Make it `size` bytes long, in place; new bytes are 0.

        A tensor that is larger than the memory then must not be used until it is large enough again.
        """
        if size < 0:
            raise RuntimeError(f"retrograd.UntypedStorage: size must be non-negative, but got {size}")
        type_ = type_of(self._shared, self._kernels)
        if size % type_.itemsize:
            raise RuntimeError(f"a memory of elements of {type_} cannot be made {size} bytes long")
        resize_memory(self._shared, self._kernels, size)
        return self

    def byteswap(self, dtype: dtype) -> None:
        """Reverse the bytes of each element, as of that type; of complex numbers, of each part."""
        width = dtype.to_real().itemsize
        host = host_bytes(self._shared, self._kernels)
        write_bytes(self._shared, self._kernels, slice(None), host.reshape(-1, width)[:, ::-1].reshape(-1).copy())

    # -- copies ------------------------------------------------------------------------------------

    def new(self) -> UntypedStorage:
        """An empty one on the same device."""
        return type(self)(device=self.device)

    def clone(self) -> UntypedStorage:
        """A copy."""
        return type(self)(self.nbytes(), device=self.device).copy_(self)

    __copy__ = clone

    def __deepcopy__(self, memo: dict[Any, Any]) -> UntypedStorage:
        return type(self)._of(shared_of(copied_memory(self._shared, self._kernels, memo)), self._kernels)

    def __reduce_ex__(self, protocol: Any) -> Any:
        host = host_bytes(self._shared, self._kernels)
        return _rebuilt, (bytearray(host.tobytes()), str(self.device))

    def to(self, *, device: Any, non_blocking: bool = False) -> UntypedStorage:
        """A copy on a device; itself, if it is there."""
        k = kernels_of(device)
        if k is self._kernels:
            return self
        made = type(self)(self.nbytes(), device=device)
        return made if k.meta else made.copy_(self)

    def cpu(self) -> UntypedStorage:
        """Itself, or a copy on NumPy's."""
        return self if self.device.type.endswith("cpu") else self.to(device="numpy")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> NoReturn:
        """Raises: there is no such device."""
        raise AssertionError("Torch not compiled with CUDA enabled")

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of its class; with one of a typed storage, a copy as such."""
        if dtype is None:
            return f"{type(self).__module__}.{type(self).__name__}"
        import retrograd

        kind = getattr(retrograd, dtype.rpartition(".")[2]) if isinstance(dtype, str) else dtype
        return kind(self.nbytes(), device=self.device).copy_(self) if kind is not type(self) else self

    def _to(self, dtype: Any) -> Any:
        from retrograd.typed_storage import TypedStorage

        if not isinstance(dtype, dtypes.dtype):
            raise TypeError(f"Argument 'dtype' must be retrograd.dtype, not {type(dtype)}")
        values = self._as_tensor(dtypes.uint8).to(dtype, copy=True)
        return TypedStorage(wrap_storage=untyped_storage(values), dtype=dtype, _internal=True)

    def _as_tensor(self, type_: dtype) -> Tensor:
        """All of it as a vector."""
        k = self._kernels
        made: Tensor = Tensor._restore(k.zeros((0,), k.dtypes[type_.name]), k, None, None)
        look_at(made, self._shared, k, type_, Layout((self.nbytes() // type_.itemsize,), (1,)))
        return made

    # -- sharing -----------------------------------------------------------------------------------

    def is_shared(self) -> bool:
        """Whether other processes may see it."""
        return is_in_shared_memory(self._shared.array)

    def share_memory_(self) -> UntypedStorage:
        """Move it, and all tensors that have it, into memory that other processes may see.

        Raises
        ------
        RuntimeError
            On a backend whose arrays cannot be written to.
        """
        if not self.is_shared():
            move(self._shared, self._kernels, shared_copy(self._shared, self._kernels))
        self._shared.fixed = True
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """False: memory is not pinned here."""
        return False

    def pin_memory(self, device: Any = None) -> UntypedStorage:
        """Itself: memory is not pinned here."""
        return self

    @classmethod
    def _new_shared(cls, size: int, *, device: Any = "cpu") -> UntypedStorage:
        return cls(size, device=device).share_memory_()


def _conversion(name: str, type_: dtype) -> Any:
    def convert(self: UntypedStorage) -> Any:
        return self._to(type_)

    convert.__name__ = name
    convert.__doc__ = f"A typed storage of its bytes, each as a number of type {type_.name}."
    return convert


for _name, _type in _CONVERSIONS.items():
    setattr(UntypedStorage, _name, _conversion(_name, _type))


def _new_bytes(args: tuple[Any, ...], k: Any) -> Any:
    native = k.dtypes["uint8"]
    if not args:
        return k.zeros((0,), native)
    (given, *others) = args
    if others:
        kinds = ", ".join(type(each).__name__ for each in args)
        raise TypeError(
            f"retrograd.UntypedStorage() received an invalid combination of arguments - got ({kinds}), but expected "
            "one of:\n * (*, int allocator = None, retrograd.device device = None)\n"
            " * (int size, *, int allocator = None, retrograd.device device = None)\n"
            " * (object sequence, *, int allocator = None, retrograd.device device = None)\n"
        )
    if isinstance(given, int):
        if given < 0:
            raise RuntimeError(f"retrograd.UntypedStorage(): the size must not be negative, but is {given}")
        return k.zeros((given,), native)
    if not isinstance(given, Sequence):
        raise RuntimeError(f"retrograd.UntypedStorage(): Expected a sequence type, but got {type(given).__name__}")
    for each in given:
        if not isinstance(each, int):
            raise RuntimeError(
                "retrograd.UntypedStorage(): tried to construct a storage from a sequence "
                f"({type(given).__name__}), but one of the items was of type {type(each).__name__} instead of int"
            )
    host = k.to_host(k.zeros((len(given),), native)).copy()
    host[:] = bytearray(each % 256 for each in given)
    return k.from_host(host, not k.mutable)


def _as_byte(value: Any) -> int:
    return operator.index(value) % 256


def _rebuilt(content: bytearray, where: str) -> UntypedStorage:
    k = kernels_of(where)
    host = k.to_host(k.zeros((len(content),), k.dtypes["uint8"])).copy()
    host[:] = content
    return UntypedStorage._of(new_memory(k.from_host(host, not k.mutable), k), k)


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory of this tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.untyped_storage.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.arange(4.0)
    >>> x.untyped_storage().nbytes(), x[2:].untyped_storage() == x.untyped_storage()
    (16, True)
    """
    if self._kernels.level:
        raise NotImplementedError("Cannot access storage of BatchedTensorImpl")
    return UntypedStorage._of(shared_of(self), self._kernels)
