"""The ordinary in-place call: an operator on plain arrays, where nothing is recorded.

It does what `retrograd.ops.inplace.call_inplace` does, without what only some writes need. Whatever it cannot
do, and whatever a kernel refuses, it leaves to that function before anything has changed.
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.autograd.explaining import NOT_RECORDED, break_at
from retrograd.autograd.modes import GRAD, NO_GRAD, Mode, current_mode
from retrograd.dtypes import bool_, int64
from retrograd.levels import births
from retrograd.ops.batching import elementwise
from retrograd.ops.declare import Op
from retrograd.ops.specialise import LARGE
from retrograd.parameter import Parameter
from retrograd.storage import bump, sign
from retrograd.tensor import Tensor

__all__ = ["assigned", "fits", "is_plain", "leave_break", "wrote"]

_PLAIN = (Tensor, Parameter)
_SMALL = 65504
"""The largest number of the smallest floating-point type."""


def is_plain(target: Tensor, mode: Mode) -> bool:
    """Whether a write to `target` of what has no edge and another memory is nothing but an assignment."""
    if (mode is not GRAD and mode is not NO_GRAD) or births or type(target) not in _PLAIN:
        return False
    if mode is GRAD and target._edge is not None:
        return False
    k, meta = target._kernels, target._tensor_meta
    if not k.mutable or type(target._cell) is not list:
        return False
    return meta is None or meta.storage is None or 0 not in k.strides(target._array)


_NUMBERS = {"float": (int, float), "float | None": (float, type(None), int), "int": (int,)}


def wrote(op: Op, target: Tensor, rest: tuple[Any, ...], mode: Mode) -> bool:
    """Write the result of `op` into its first input, if that is an ordinary write; whether it was, and is done."""
    if not is_plain(target, mode):
        return False
    for _, place, kind in op.numbers:
        if type(rest[place - 1]) not in _NUMBERS[kind]:
            return False  # unless it stands for one, it is refused
    k, array = target._kernels, target._array
    if array.dtype in k.halves:
        return False  # it is computed in another type, or refused
    inputs = _inputs(op, target, rest, mode)
    if inputs is None:
        return False
    alone = op.kernel is not None and _is_kernel_alone(op, array.dtype in k.floats, rest)
    if op.check is not None and array.dtype not in k.floats:
        return False  # of other types it may not be
    kernel: Any = getattr(k, op.kernel) if alone else None  # type: ignore[arg-type]  # it has one
    is_large = math.prod(array.shape) >= LARGE
    takes_out = is_large and kernel in k.takes_out
    try:
        if takes_out and all(getattr(each, "shape", ()) in (array.shape, ()) for each in inputs):
            with k.quiet():  # a warning that a program has made an error would be raised after the write
                kernel(*inputs, array)
        elif not (is_large and _wrote_in_blocks(op, k, array, rest)):
            result = _computed(op, k, array, rest) if kernel is None else kernel(*inputs)
            if result.shape != array.shape or result.dtype != array.dtype:
                return False
            k.assign(array, result)
    except Exception:  # of whatever kind: the general path finds it again and says it in PyTorch's words
        return False
    leave_break(op.written_name, target, rest)
    bump(target)
    sign(target._cell, op.written_name, None, None)
    return True


def assigned(target: Tensor, key: Any, value: Any) -> bool:
    """`target[key] = value`, if that is an ordinary write; whether it was, and is done.

    For ints and slices, and for a mask of the target's shape or integers that count along its first dimension.
    """
    mode = current_mode()
    if not is_plain(target, mode):
        return False
    k, array, name, at = target._kernels, target._array, "fill_", None
    if type(key) is Tensor:
        at = key._array
        if key._kernels is not k or k.assign_at is None or not (_is_mask_of(array, key) or _counts_along(array, key)):
            return False
        if key is target or _share(key, target):
            return False  # what is refused is told elsewhere
    elif not all(map(_is_basic, key if type(key) is tuple else (key,))):
        return False
    if type(value) in _PLAIN:
        name, records = "copy_", mode is GRAD and value._edge is not None
        if value._kernels is not k or value._array.dtype is not array.dtype or records or _share(value, target):
            return False
        given = value._array
        if at is not None and given.shape not in ((), _shape_at(array, at)):
            return False
    elif fits(value, k, array.dtype):
        given = value
    else:
        return False
    try:
        if at is not None:
            name = "index_put_"
            k.assign_at(array, at, given)
        else:
            k.assign(k.slice(array, key if type(key) is tuple else (key,)), given)
    except Exception:  # as in `wrote`
        return False
    leave_break(name, target, (value,))
    bump(target)
    sign(target._cell, name, None, None)
    return True


def _share(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors look at one memory."""
    meta, own = one._tensor_meta, other._tensor_meta
    return own is not None and own.storage is not None and meta is not None and meta.storage is own.storage


def _is_mask_of(array: Any, key: Tensor) -> bool:
    return key.dtype is bool_ and key._array.shape == array.shape != ()


def _counts_along(array: Any, key: Tensor) -> bool:
    return key.dtype is int64 and array.shape != () and key._array.shape != ()


def _shape_at(array: Any, at: Any) -> tuple[int, ...] | None:
    """The shape of the parts that integers name; None if it depends on how many elements a mask names."""
    return None if at.dtype == bool else (*at.shape, *array.shape[1:])


def _is_basic(index: Any) -> bool:
    """Whether an index means the same to every library: an int, or a slice with a positive step."""
    if type(index) is not slice:
        return type(index) is int
    bounds = index.start, index.stop, index.step
    return all(each is None or type(each) is int for each in bounds) and (bounds[2] is None or bounds[2] > 0)


def fits(value: Any, k: Any, native: Any) -> bool:
    """Whether a number is, without a closer look, one that an array of that native type may be filled with."""
    if native in k.floats:
        return type(value) in (int, float) and -_SMALL <= value <= _SMALL
    return type(value) is int and 0 <= value < 128 and "int" in k.names[native]


def _inputs(op: Op, target: Tensor, rest: tuple[Any, ...], mode: Mode) -> list[Any] | None:
    """The inputs as a kernel takes them; None if an argument is out of the ordinary."""
    k, array, meta = target._kernels, target._array, target._tensor_meta
    dtype = array.dtype
    storage = None if meta is None else meta.storage
    numbers = (int, float) if dtype in k.floats else (int,)
    found = [array]
    for (name, kind), value in zip(op.arguments[1:], rest, strict=True):
        if type(value) in _PLAIN:
            if kind is None or value._kernels is not k:
                return None
            if value._array.dtype is not dtype and not _may_differ(op, value._array.dtype, k):
                return None
            if mode is GRAD and value._edge is not None:
                return None
            meta = value._tensor_meta
            if storage is not None and meta is not None and meta.storage is storage and value is not target:
                return None  # parts of one memory may overlap
            found.append(value._array)
        elif kind is None:
            if isinstance(value, Tensor):
                return None
        elif kind == "tensor" and op.promote is not None and type(value) in numbers and name in op.as_numbers:
            found.append(value)
        else:
            return None
    return found


def _may_differ(op: Op, dtype: Any, k: Any) -> bool:
    """Whether an input of another type than the first, as an index is, is nothing that a closer look would refuse."""
    return op.promote is None and op.check is None and dtype not in k.float8


def _is_kernel_alone(op: Op, is_float: bool, rest: tuple[Any, ...]) -> bool:
    """Whether the operator is its kernel, called with the inputs; a body is for other types and arguments."""
    if op.body is None:
        return not op.params
    for name, place in op.param_places:
        if name not in op.defaults or rest[place - 1] != op.defaults[name]:
            return False
    return is_float


def _computed(op: Op, k: Any, array: Any, rest: tuple[Any, ...]) -> Any:
    return op.forward_for(k)(k, array, *(each._array if type(each) in _PLAIN else each for each in rest))


def _wrote_in_blocks(op: Op, k: Any, array: Any, rest: tuple[Any, ...]) -> bool:
    if k.in_blocks is None or op.body is None or op.batch is not elementwise or array.dtype not in k.floats:
        return False
    return k.in_blocks(k, op.body, [array, *(each._array if type(each) in _PLAIN else each for each in rest)])


def leave_break(name: str, target: Tensor, rest: tuple[Any, ...]) -> None:
    """See Note [Breaks] in `retrograd.autograd.explaining`."""
    if target._edge is None and target._break is None:
        for each in rest:
            if type(each) in _PLAIN and (each._break is not None or each._edge is not None):
                found = each._break or break_at(name, NOT_RECORDED)
                target._break = found
                if target._tensor_meta is not None and target._tensor_meta.view is not None:
                    base = target._tensor_meta.view.base
                    base._break = base._break or found
                return
