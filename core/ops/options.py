"""The keywords that all creation functions share: `dtype`, `device`, `requires_grad`, `out` and their kin."""

from __future__ import annotations

import math
from functools import cache
from operator import index
from typing import Any, Final, NamedTuple, TypedDict

from retrograd import dtypes
from retrograd.autograd.modes import current_mode
from retrograd.autograd.tangents import tangents_of
from retrograd.device import current_kernels, device, kernels_of
from retrograd.dtypes import (
    Category,
    bool_,
    complex64,
    complex128,
    dtype,
    finfo,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int64,
)
from retrograd.layout import layout, strided
from retrograd.ops.arguments import as_ints
from retrograd.ops.flags import no_flag
from retrograd.ops.refused import c_name, no_ints
from retrograd.resizing import put
from retrograd.storage import INFERENCE, sign
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "Destination", "Options", "as_dtype", "as_number", "as_size", "bad_size", "c_name", "checked_number", "described",
    "destination", "dtype_of_number", "fill_number", "finish", "fresh", "shown_type",
]  # fmt: skip


class Options(TypedDict, total=False):
    """What a creation function takes by keyword.

    `layout` and `pin_memory` are accepted for PyTorch's sake and change nothing, and `memory_format` says only whether
    what is made like another tensor has its strides: there is one layout, and backends pin their own memory.
    """

    out: Tensor | None
    dtype: dtype | None
    device: device | str | None
    requires_grad: bool
    layout: Any
    pin_memory: bool
    memory_format: Any


class Destination(NamedTuple):
    """Where a new tensor goes and as what; `dtype` None means that the data decide.

    `began` is when its making began, if a profiler wants to know; `like` the array that it is made like, inside `vmap`.
    """

    name: str
    dtype: dtypes.dtype | None
    k: Any
    requires_grad: bool
    out: Tensor | None
    began: float | None = None
    like: Any = None

    def native(self, default: dtypes.dtype | None = None) -> Any:
        """The backend's type for this destination's, or for `default` if the caller asked for none."""
        chosen = self.dtype or default or get_default_dtype()
        return self.k.dtypes[chosen.name]


def destination(name: str, options: Options, like: Tensor | None = None) -> Destination:
    """Read and check the keywords of the function `name`; `like` gives the type and device by default.

    Raises
    ------
    TypeError
        For a keyword there is not, or a value of the wrong type.
    RuntimeError
        If `dtype` contradicts `out`, or cannot require a gradient.
    """
    profiler = current_mode().profiler
    began = None if profiler is None else profiler.now()
    if not options and like is None:
        return Destination(name, None, current_kernels(), False, None, began)
    for given in options:
        if given not in Options.__annotations__:
            raise TypeError(f"{name}() got an unexpected keyword argument '{given}'")
    wanted = as_dtype(name, options.get("dtype"))
    where = options.get("device")
    out = options.get("out")
    requires_grad = options.get("requires_grad", False)
    for flag in ("requires_grad", "pin_memory"):
        if type(options.get(flag, False)) is not bool:
            raise no_flag(name, flag, options.get(flag))
    if where is not None and not isinstance(where, (str, device)):
        raise TypeError(f"{name}(): argument 'device' must be retrograd.device, not {type(where).__name__}")
    if out is not None:
        return _into(name, out, wanted, requires_grad, began)
    if like is not None:
        wanted = wanted or like.dtype
        k = like._kernels if where is None else kernels_of(where)
    else:
        k = kernels_of(where)
    if "layout" in options or k.sparse:
        k = _for_layout(k, options.get("layout"))
    array = like._array if k.level and like is not None and k is like._kernels else None
    return Destination(name, wanted, k, requires_grad, None, began, array)


def _for_layout(k: Any, wanted: layout | None) -> Any:
    """The table of tensors of that layout; None: of that which they have."""
    if wanted is None or wanted is strided:
        return k if wanted is None else k.dense
    from retrograd.sparse.table import sparse_side

    return sparse_side(k)


def _into(name: str, out: Any, wanted: dtype | None, requires_grad: bool, began: float | None) -> Destination:
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if wanted is not None and wanted is not out.dtype:
        raise RuntimeError(f"dtype {wanted.type_name} does not match dtype of out parameter ({out.dtype.type_name})")
    return Destination(name, out.dtype, out._kernels, requires_grad, out, began)


_PYTHON_TYPES: dict[Any, dtype] = {bool: bool_, int: int64, float: float64, complex: complex128}


def as_dtype(name: str, value: Any) -> dtype | None:
    """A `dtype=` argument: a dtype, one of Python's number types, or None."""
    if value is None or isinstance(value, dtype):
        return value
    if isinstance(value, type) and value in _PYTHON_TYPES:
        return _PYTHON_TYPES[value]
    raise TypeError(f"{name}(): argument 'dtype' must be retrograd.dtype, not {type(value).__name__}")


def fresh(array: Any, k: Any) -> Tensor:
    """A new tensor around `array`, of the kind that the present mode makes."""
    made = wrap_array(array, k)
    if current_mode().inference:
        made._cell = INFERENCE
    return made


_NAMES = {"tensor": "lift_fresh", "new_tensor": "lift_fresh", "as_tensor": "lift_fresh", "from_numpy": "lift_fresh"}
"""What PyTorch's profiler calls functions that are no operators there."""


def finish(array: Any, to: Destination) -> Tensor:
    """The new tensor around `array`; or `out`, overwritten (and resized if its shape differs)."""
    if to.out is not None:
        if tangents_of(to.out):
            raise NotImplementedError(f"Trying to use forward AD with aten::{to.name} that does not support it.")
        put(to.out, array, cautious=False)
        sign(to.out._cell, f"{to.name}(out=...)", None, None)
        made = to.out
    else:
        k = to.k.side_for(array, to.name) if to.k.sparse else to.k
        made = fresh(k.spread_like(array, to.like) if k.level else array, k)
    if to.began is not None and not to.name.endswith("_") and (profiler := current_mode().profiler) is not None:
        profiler.note(f"aten::{_NAMES.get(to.name, to.name)}", to.began, made)
    if to.requires_grad:
        if not made.dtype.is_differentiable:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        made._set_requires_grad()
    return made


def as_size(name: str, size: tuple[Any, ...], argument: str = "size") -> tuple[int, ...]:
    """Sizes given one by one or as one sequence, checked.

    Raises
    ------
    TypeError
        If one is no integer, or none is given.
    RuntimeError
        If one is negative.
    """
    if not size:
        raise TypeError(f'{name}() missing 1 required positional arguments: "{argument}"')
    try:
        shape = as_ints(size)
    except (TypeError, AttributeError):
        raise bad_size(name, size, argument) from None
    if shape and min(shape) < 0:
        bad = next(n for n in shape if n < 0)
        if name == "zeros":
            raise RuntimeError("zeros: Dimension size must be non-negative.")
        raise RuntimeError(f"Trying to create tensor with negative dimension {bad}: {list(shape)}")
    if math.prod(shape) >= _TOO_MANY:
        raise RuntimeError(f"Storage size calculation overflowed with sizes={list(shape)}")
    return shape


_TOO_MANY: Final = 2**59
"""Elements of which, at up to 16 bytes each, no memory can be addressed."""


def bad_size(name: str, size: tuple[Any, ...], argument: str) -> TypeError:
    """The error of sizes that are no integers."""
    given = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    if type(given[0]) is bool:
        return no_ints(given[0])
    if given is size and not hasattr(size[0], "__index__"):
        return TypeError(
            f"{name}(): argument '{argument}' (position 1) must be tuple of ints, not {type(size[0]).__name__}"
        )
    position, wrong = next((i, each) for i, each in enumerate(given) if not _has_index(each))
    return TypeError(
        f"{name}(): argument '{argument}' failed to unpack the object at pos {position + 1} with error "
        f'"type must be tuple of ints,but got {type(wrong).__name__}"'
    )


def _has_index(value: Any) -> bool:
    try:
        index(value)
    except (TypeError, AttributeError):  # of a tensor of several elements, too
        return False
    return True


def as_number(name: str, value: Any, argument: str, position: int) -> bool | int | float | complex:
    """A number, from a Python one, a NumPy scalar or a tensor of one element.

    Raises
    ------
    TypeError
        If `value` is none of these.
    """
    if isinstance(value, (bool, int, float, complex)):
        return value.item() if hasattr(value, "item") else value
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        number: bool | int | float | complex = value.item()
        return number
    raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be Number, not {type(value).__name__}")


def dtype_of_number(value: bool | int | float | complex) -> dtype:
    """The type a tensor gets from a Python number."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    return get_default_dtype() if isinstance(value, float) else get_default_dtype().to_complex()


@cache
def _largest(of: dtype) -> float:
    return finfo(of).max


def _too_large(value: float) -> bool:
    return math.isfinite(value) and abs(value) > _largest(float32)


_C_NAMES = {
    "uint8": "uint8_t", "uint16": "uint16_t", "uint32": "uint32_t", "uint64": "uint64_t",
    "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t",
    **{each.name: dtypes.cpp_name(each) for each in dtypes.DTYPES.values() if each.is_floating_point},
}  # fmt: skip


def described(value: Any) -> str:
    """What an argument of the wrong type is, as PyTorch's errors about overloads say."""
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of [{', '.join(type(each).__name__ for each in value)}]"
    return c_name(value)


_OLD_TYPES = frozenset("Byte Char Short Int Long Half Float Double".split())


def shown_type(of: dtype, sparse: str = "") -> str:
    """How some of PyTorch's texts name a tensor's type: the younger ones by the name that they have in C++."""
    return (
        f"retrograd.{sparse}{of.type_name}Tensor" if sparse or of.type_name in _OLD_TYPES else f"CPU{of.type_name}Type"
    )


def fill_number(value: bool | int | float | complex, to: dtype) -> Any:
    """As `checked_number`, but what is too large for a type of 16 bits or less becomes infinite
    there, or its largest number.

    Raises
    ------
    OverflowError
        If it is an integer of more than 64 bits.
    RuntimeError
        If it is out of the type's range.
    """
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise OverflowError("can't convert negative int to unsigned" if value < 0 else "int too big to convert")
    return checked_number(value, float64 if to.category is Category.FLOAT and to.itemsize <= 2 else to)


def checked_number(value: bool | int | float | complex, to: dtype, type_name: str | None = None) -> Any:
    """`value` as a number of the type's category; integers of an unsigned type may be negative and wrap.

    Raises
    ------
    RuntimeError
        If it is out of the type's range, or a complex number with an imaginary part for a real type. Those of 8 bits
        take any number, and make of it what a conversion does.
    """
    if to in dtypes.FLOAT8:
        to = float64
    if to is bool_:
        return bool(value)
    if to.is_complex:
        parts = complex(value)
        if to is complex64 and any(map(_too_large, (parts.real, parts.imag))):
            raise RuntimeError("value cannot be converted to type c10::complex<float> without overflow")
        return parts
    fits = not isinstance(value, complex) or value.imag == 0
    real = value.real
    if to.category is Category.INTEGER:
        limits = iinfo(to)
        lowest = limits.min if to.is_signed else -limits.max
        fits = fits and math.isfinite(real) and lowest <= int(real) <= limits.max
        if fits:
            return int(real) if to.is_signed else int(real) % (limits.max + 1)
    elif fits and (not math.isfinite(real) or abs(real) <= _largest(to)):
        return float(real)
    raise RuntimeError(f"value cannot be converted to type {type_name or _C_NAMES[to.name]} without overflow")
