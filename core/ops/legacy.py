"""Typed constructors from PyTorch's first years: `FloatTensor([1, 2])`, and `Tensor.type` that names them."""

from __future__ import annotations

from typing import Any

from retrograd import dtypes
from retrograd.ops.conversion import typename
from retrograd.ops.creation import legacy_tensor
from retrograd.ops.flags import no_flag
from retrograd.ops.overloads import no_overload
from retrograd.tensor import Tensor

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
    "IntTensor",
    "LongTensor", "ShortTensor",
]  # fmt: skip


class _TypedTensor(type):
    """The type of the constructors. Tensors are their instances if of their type."""

    dtype: dtypes.dtype

    def __call__(cls, *data: Any, device: Any = None) -> Any:
        return legacy_tensor(Tensor, data, device, cls.dtype)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype


def _make(type_: dtypes.dtype) -> Any:
    name = f"{type_.type_name}Tensor"
    doc = f"Makes tensors of type {type_}: from sizes, uninitialised ones; from data, copies."
    return _TypedTensor(name, (), {"dtype": type_, "__doc__": doc, "__module__": "retrograd"})


BoolTensor = _make(dtypes.bool_)
ByteTensor = _make(dtypes.uint8)
CharTensor = _make(dtypes.int8)
ShortTensor = _make(dtypes.int16)
IntTensor = _make(dtypes.int32)
LongTensor = _make(dtypes.int64)
HalfTensor = _make(dtypes.float16)
BFloat16Tensor = _make(dtypes.bfloat16)
FloatTensor = _make(dtypes.float32)
DoubleTensor = _make(dtypes.float64)

_BY_NAME = {f"{each.type_name}Tensor": each for each in dtypes.DTYPES.values()}


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False, **_: Any) -> Any:
    """The name of this tensor's type, `"retrograd.FloatTensor"`; with `dtype`, this tensor as that type.

    Parameters
    ----------
    dtype
        A dtype, a typed constructor or the name of one.

    Raises
    ------
    ValueError
        If there is no type of that name.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.type.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([1]).type()
    'retrograd.LongTensor'
    >>> retrograd.tensor([1]).type("retrograd.FloatTensor")
    tensor([1.])
    """
    if type(non_blocking) is not bool:
        raise no_flag("type", "non_blocking", non_blocking)
    if dtype is None:
        return typename(self)
    if isinstance(dtype, str):
        prefix, _dot, name = dtype.rpartition(".")
        if prefix not in ("retrograd", "torch") or name not in _BY_NAME:
            raise ValueError(f"invalid type: '{dtype}'")
        return self.to(_BY_NAME[name])
    if dtype is Tensor:
        return self.to(dtypes.get_default_dtype())
    wanted = dtype if isinstance(dtype, Tensor) else getattr(dtype, "dtype", dtype)
    if isinstance(wanted, dtypes.dtype):
        return self.to(wanted)
    if isinstance(dtype, type):
        raise ValueError(f"invalid type: '{_name_in_c(dtype)}'")
    raise TypeError("dtype must be a type, str, or dtype object")


def _name_in_c(kind: type) -> str:
    """The name that C code has of a class: with its module, if it was made in C and is not Python's own."""
    made_in_python = kind.__flags__ & 1 << 9  # Py_TPFLAGS_HEAPTYPE
    return kind.__name__ if made_in_python or kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


type_.__name__ = "type"
Tensor.type = type_  # type: ignore[attr-defined]


def new(self: Tensor, *data: Any, device: Any = None, **named: Any) -> Any:
    """A tensor of this one's type: uninitialised, of the sizes given, or a copy of the data given.

    `new_empty` and `new_tensor` are clearer about which of the two is meant. Of a sparse tensor: a sparse one that
    stores nothing, of the sizes given, or one of ``indices``, ``values`` and, if it is given, a ``size``.

    Raises
    ------
    TypeError
        If the single argument is neither an int, a sequence, an array nor a tensor of this type.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2, dtype=retrograd.int64)
    >>> x.new([3]), x.new(2, 3).shape
    (tensor([3]), retrograd.Size([2, 3]))
    """
    if self._kernels.sparse:
        from retrograd.sparse.old_forms import new_sparse

        return new_sparse(self, data, named, device)
    if named:
        raise no_overload("new", data, named)
    return legacy_tensor(Tensor, data, self.device if device is None else device, self.dtype)


new.__qualname__ = "Tensor.new"
Tensor.new = new  # type: ignore[attr-defined]
