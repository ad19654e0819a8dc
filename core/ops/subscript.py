"""The protocol of `x[...]` and `x[...] = y`, and the operators for tensors among the indices.

Basic indices (ints, slices, None, ...) become view operators, one node each as in PyTorch;
tensors among the indices become one `index` (reading) or `index_put_` (writing).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from operator import index as as_index
from typing import Any, NoReturn

from retrograd import dtypes
from retrograd.autograd.modes import current_mode
from retrograd.levels import is_mapped
from retrograd.ops import expanded, inplace
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.broadcasting import broadcast_shapes, sum_to
from retrograd.ops.checks import extremes, within
from retrograd.ops.declare import Array, Raw, composite, op, op_of
from retrograd.ops.flags import flagged
from retrograd.ops.given_indices import watching
from retrograd.ops.options import c_name, fill_number
from retrograd.ops.plain_writes import assigned
from retrograd.ops.shape import alias_of, expand, reshape, selected, slice_dim, unsqueeze
from retrograd.storage import expanded_dims, refuse_overlap
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "constant",
    "getitem",
    "index",
    "index_put",
    "index_put_",
    "index_put_raw",
    "lifted_to",
    "raw_indices",
    "remade",
    "setitem",
]

Indices = tuple[Tensor | None, ...]
Masks = tuple[tuple[int, int], ...]
"""Which of the indices are the coordinates of a mask: the first, and how many. Nodes show the mask."""

# -- the indexing protocol ---------------------------------------------------------------------


def getitem(self: Tensor, key: Any) -> Tensor:
    """`self[key]`: a view for basic indices, a copy if there are tensors, lists or arrays among them.

    Raises
    ------
    IndexError
        If there are too many indices, one is out of range, or a mask has the wrong shape.
    """
    if type(key) is int:
        return _select_checked(self, 0, key, 0) if self._array.shape else _no_index_on_scalar(key)
    if type(key) is slice:
        return _sliced(self, 0, key) if self._array.shape else _no_slice_of_scalar()
    if key is None:
        return unsqueeze(self, 0)
    if type(key) is tuple and _BASIC.issuperset(map(type, key)) and (viewed := _selected(self, key)) is not None:
        return alias_of(self) if viewed is self else viewed
    picking = key if type(key) is tuple else (key,)
    if _TENSOR.issuperset(map(type, picking)) and (picked := _picked(self, picking)) is not None:
        return picked
    viewed, indices, masks, given = _view_part(self, key)
    if any(each is not None for each in indices):
        return index(viewed, indices, masks, given)
    return alias_of(self) if viewed is self else viewed


_BASIC = frozenset((int, slice, type(None), type(Ellipsis)))


def _selected(self: Tensor, key: tuple[Any, ...]) -> Tensor | None:
    """`_view_part` of nothing but ints, slices, None and one `...`; None if there are too many of them."""
    skipped = key.count(Ellipsis)
    unnamed = len(self._array.shape) - (len(key) - key.count(None) - skipped)
    if unnamed < 0 or skipped > 1:
        return None
    viewed, dim = self, 0
    for position, each in enumerate(key):
        if type(each) is int:
            viewed = _select_checked(viewed, dim, each, position)
            continue
        if each is None:
            viewed = unsqueeze(viewed, dim)
        elif each is Ellipsis:
            dim += unnamed - 1
        elif not _takes_all(each, viewed._array.shape[dim]):
            viewed = _sliced(viewed, dim, each)
        dim += 1
    return viewed


_TENSOR = frozenset((Tensor,))


def _picked(self: Tensor, key: tuple[Tensor, ...]) -> Tensor | None:
    """What a mask, or tensors of one shape with positions from the front, pick; None in any other case."""
    k, shape = self._kernels, self._array.shape
    arrays = tuple([each._array for each in key])
    if not 0 < len(key) <= len(shape) or k.level or any(each._kernels is not k for each in key):
        return None
    common = arrays[0].shape
    if len(key) == 1 and key[0].dtype is dtypes.bool_:
        ndim = len(common)
        if not ndim or common != shape[:ndim]:
            return None
        return watching(key, shape, remade, _index, self, tuple(k.nonzero(arrays[0])), ((0, ndim),))
    for each, array, size in zip(key, arrays, shape, strict=False):
        if each.dtype is not dtypes.int64 or array.shape != common or not common:
            return None
        if not within(each, size):
            return None
    return watching(key, shape, remade, _index, self, arrays, ())


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """`self[key] = value`, differentiable by both; raises before anything is changed.

    Raises
    ------
    TypeError
        If `value` is neither a number nor a tensor.
    IndexError
        As `getitem`.
    """
    if assigned(self, key, value):
        return
    value = _assignable(self, value)
    if key is False:
        return
    indices: Indices = ()
    masks: Masks = ()
    given: list[Tensor | None] = []
    if key is True:
        viewed = unsqueeze(self, 0)
    elif type(key) in (int, slice) and not self._array.shape:
        _no_index_on_scalar(key) if type(key) is int else _no_slice_of_scalar()
    else:
        viewed, indices, masks, given = _view_part(self, key)
    if any(each is not None for each in indices):
        put = _without_leading_ones(value) if isinstance(value, Tensor) else constant(self, value)
        _put_at(viewed, list(indices), masks, given, put, False)
    else:
        _copy_to(viewed, value)


def _assignable(self: Tensor, value: Any) -> Any:
    """A value to assign: a tensor, or a number that fits the type of `self`."""
    if isinstance(value, Tensor):
        return value.to(self.device) if value._kernels.base is not self._kernels.base and value.ndim == 0 else value
    if not isinstance(value, bool) and isinstance(value, Integral):
        value = as_index(value)
        if not -(2**63) <= value < 2**63:
            raise ValueError("Overflow when unpacking long long")
    elif not isinstance(value, (bool, float, complex)):
        raise TypeError(f"can't assign a {c_name(value)} to a {self.type()}")
    return fill_number(value, self.dtype)


def _copy_to(target: Tensor, value: Any) -> None:
    if not isinstance(value, Tensor):
        refuse_overlap(target, ())
        recorded = current_mode().grad and target.requires_grad
        inplace.fill_(target, constant(target, value) if recorded else value)
        return
    shape, have = tuple(target._array.shape), tuple(value._array.shape)
    if not have and shape:
        inplace.fill_(target, value)
        return
    inplace.copy_(target, _check_fits(value if have == shape else _without_leading_ones(value), shape))


def _without_leading_ones(value: Tensor) -> Tensor:
    """What is assigned, as PyTorch takes it: without its leading dimensions of one element, too many or not."""
    have = tuple(value._array.shape)
    if not have or have[0] != 1:
        return value
    return reshape(value, have[next((i for i, n in enumerate(have) if n != 1), len(have)) :])


def _check_fits(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    have = tuple(value._array.shape)
    if len(have) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(have), reversed(shape), strict=False)):
        return expand(value, shape)  # raises with PyTorch's text
    return value


def constant(self: Tensor, value: Any) -> Tensor:
    """A tensor of `value`, of the type and on the device of `self`."""
    from retrograd.ops.creation import tensor

    return tensor(value, dtype=self.dtype, device=self.device)


def _no_index_on_scalar(key: int) -> Any:
    if key:
        raise IndexError(f"index {key} is out of bounds for dimension 0 with size 0")
    raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ "
                     "to convert a 0-dim tensor to a number")  # fmt: skip


def _no_slice_of_scalar() -> Any:
    raise IndexError("slice() cannot be applied to a 0-dim tensor.")


def _view_part(self: Tensor, key: Any) -> tuple[Tensor, Indices, Masks, list[Tensor | None]]:
    """Apply the basic indices of `key`; the others come back, one per dimension of the view, and as they were given."""
    items = _as_items(key)
    specified = sum(_dims_taken(each) for each in items)
    if specified > self.ndim:
        raise IndexError(f"too many indices for tensor of dimension {self.ndim}")
    crowded = sum(each is Ellipsis for each in items) > 1
    viewed, dim = self, 0
    indices: list[Tensor | None] = []
    given: list[Tensor | None] = []
    masks: Masks = ()
    for position, each in enumerate(items):
        if crowded:
            _check_reached(viewed, dim, each, position)
        if each is Ellipsis:
            skipped = self.ndim - specified
            dim += skipped
            indices += [None] * skipped
            given += [None] * skipped
        elif each is None:
            viewed = unsqueeze(viewed, dim)
            indices.append(None)
            given.append(None)
            dim += 1
        elif isinstance(each, bool):
            viewed = unsqueeze(viewed, dim)
            indices.append(_true_or_false(self, each))
            given.append(indices[-1])
            dim += 1
        elif isinstance(each, slice):
            viewed = viewed if _takes_all(each, viewed._array.shape[dim]) else _sliced(viewed, dim, each)
            indices.append(None)
            given.append(None)
            dim += 1
        elif isinstance(each, Tensor):
            taken = _index_tensors(viewed, dim, each)
            masks += _mask_at(dim, each)
            indices += taken
            given.append(each)
            dim += len(taken)
        else:
            viewed = _select_checked(viewed, dim, each, position)
    return viewed, tuple(indices), masks, given


def _check_reached(viewed: Tensor, dim: int, item: Any, position: int) -> None:
    """Refuse an item behind the last dimension: each of several `...` skips all dimensions that nothing names."""
    taken = 0 if isinstance(item, bool) else _dims_taken(item)
    if not taken or dim + taken <= viewed.ndim:
        return
    if isinstance(item, Tensor):
        raise IndexError(f"too many indices for tensor of dimension {viewed.ndim} (got {dim + taken})")
    if isinstance(item, int):
        raise IndexError(f"index {item} is out of bounds for dimension {position} with size 0")
    wrap_dim(dim, viewed.ndim)


def _as_items(key: Any) -> list[Any]:
    if _is_sequence(key) and not isinstance(key, tuple) and len(key) < 32 and any(map(_asks_for_a_tuple, key)):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch "
            "2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, "
            "x[torch.tensor(seq)], which will result either in an error or a different result",
            UserWarning,
            stacklevel=4,
        )
        key = tuple(key)
    items = list(key) if isinstance(key, tuple) else [key]
    return [_as_item(each) for each in items]


def _asks_for_a_tuple(item: Any) -> bool:
    """Whether an item makes PyTorch read a sequence of indices as a tuple of them."""
    return item is None or item is Ellipsis or isinstance(item, (slice, Tensor)) or _is_sequence(item)


def _is_sequence(item: Any) -> bool:
    """Whether it has items by number, as far as C can tell: lists, tuples, and objects with `__getitem__`."""
    if isinstance(item, (list, tuple)):
        return True
    return (
        hasattr(type(item), "__getitem__") and not isinstance(item, (dict, Tensor)) and not hasattr(item, "__array__")
    )


def _as_item(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, (bool, slice)):
        return item
    if isinstance(item, Tensor):
        if item.ndim == 0 and item.dtype.category <= dtypes.Category.INTEGER and not is_mapped(item):
            is_mask = item.dtype in (dtypes.bool_, dtypes.uint8)
            return bool(item.item()) if is_mask else int(item.item())
        return item
    if isinstance(item, Integral):
        return as_index(item)
    if isinstance(item, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(item).__name__}'")
    if hasattr(item, "__array__") or _is_sequence(item):
        if getattr(item, "ndim", 1) == 0:
            return _as_item(item.item()) if hasattr(item, "__len__") else _refuse_item(item)
        from retrograd.ops.creation import tensor

        made = tensor(item if hasattr(item, "__array__") else list(item))
        if made.is_complex():
            raise TypeError("'complex' object cannot be interpreted as an integer")
        return made if made.dtype in (dtypes.bool_, dtypes.uint8) else made.long()
    return as_index(item) if hasattr(item, "__index__") else _refuse_item(item)


def _refuse_item(item: Any) -> NoReturn:
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
        f"{c_name(item)})"
    )


def _dims_taken(item: Any) -> int:
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, Tensor) and item.dtype in (dtypes.bool_, dtypes.uint8):
        return item.ndim
    return 1


_BOUNDS = frozenset((int, type(None)))


def _bounds(item: slice) -> tuple[int | None, int | None, int]:
    start, stop, step = item.start, item.stop, item.step
    if not _BOUNDS.issuperset((type(start), type(stop), type(step))):
        for each in (start, stop, step):
            if each is not None and not hasattr(each, "__index__"):
                raise TypeError("slice indices must be integers or None or have an __index__ method")
        start, stop, step = (None if each is None else as_index(each) for each in (start, stop, step))
    if step == 0:
        raise ValueError("slice step cannot be zero")
    return start, stop, 1 if step is None else step


def _takes_all(item: slice, size: int) -> bool:
    if item.start is None and item.stop is None and item.step is None:
        return True
    start, stop, step = _bounds(item)
    return step == 1 and not start and (stop is None or stop >= size)


def _sliced(viewed: Tensor, dim: int, item: slice) -> Tensor:
    start, stop, step = _bounds(item)
    return slice_dim(viewed, dim, start, stop, step)


def _select_checked(viewed: Tensor, dim: int, index: int, position: int) -> Tensor:
    size = viewed._array.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {position} with size {size}")
    return selected(viewed, dim, index)


def _true_or_false(self: Tensor, value: bool) -> Tensor:
    k = self._kernels
    return wrap_array(k.zeros((1 if value else 0,), k.dtypes["int64"]), k)


def _index_tensors(viewed: Tensor, dim: int, item: Tensor) -> list[Tensor]:
    """An index tensor as integer tensors, one for each dimension it takes: a mask gives its coordinates."""
    if item.dtype in (dtypes.bool_, dtypes.uint8):
        if item.dtype is dtypes.uint8:
            warnings.warn(
                "indexing with dtype retrograd.uint8 is now deprecated, please use a dtype retrograd.bool instead.",
                UserWarning,
                stacklevel=5,
            )
        shape = tuple(viewed._array.shape[dim : dim + item.ndim])
        for i, (n, size) in enumerate(zip(item.shape, shape, strict=False)):
            if n != size:
                raise IndexError(
                    f"The shape of the mask {list(item.shape)} at index {i} does not match the shape of the indexed "
                    f"tensor {list(viewed.shape)} at index {dim + i}"
                )
        if is_mapped(item):
            _refuse_mask()
        item = _beside(item, viewed)
        return [wrap_array(each, item._kernels) for each in item._kernels.nonzero(item._array)]
    if item.dtype not in (dtypes.int64, dtypes.int32):
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    item = _beside(item, viewed)
    return [item if item.dtype is dtypes.int64 else item.long()]


def _mask_at(dim: int, item: Tensor) -> Masks:
    return ((dim, item.ndim),) if item.dtype in (dtypes.bool_, dtypes.uint8) else ()


def _refuse_mask() -> NoReturn:
    raise RuntimeError(
        "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over indexing "
        "with a boolean mask."
    )


def _beside(item: Tensor, viewed: Tensor) -> Tensor:
    """An index tensor on the backend of what it indexes; inside `vmap` one from outside stays there."""
    if item._kernels.base is viewed._kernels.base:
        return item
    return item.to(viewed.device)


# -- advanced indexing -------------------------------------------------------------------------


@op(
    "index",
    name="_index",
    node="IndexBackward0",
    vjp={"self": lambda K, g, self_shape, indices: K.index_put_zeros(g, self_shape, indices)},
    jvp="linear",
    kept=("masks",),
)
def _index(K, self: Array, indices: Raw, masks: Masks = ()) -> Array:
    """`indices`: raw index arrays or None, in range, one per leading dimension."""
    return K.index(self, indices)


@op(
    name="_index_put_zeros",
    node="IndexBackwardBackward0",
    vjp={"self": lambda K, g, indices: K.index(g, indices)},
    jvp="linear",
    graph="index_put_zeros",
)
def _index_put_zeros(K, self: Array, shape: tuple[int, ...], indices: Raw) -> Array:
    """Zeros of `shape` with the elements of `self` added at `indices`: the adjoint of `index`."""
    return K.index_put(K.zeros(shape, self.dtype), indices, self, True)


def index(
    input: Tensor, indices: Sequence[Tensor | None], masks: Masks = (), given: Sequence[Tensor | None] | None = None
) -> Tensor:
    """Elements at positions given by integer tensors that broadcast together; None takes a whole dimension.

    `given` is what they were made of, if that is something else: see `retrograd.ops.given_indices`.

    Raises
    ------
    IndexError
        If a position is out of range or the index tensors do not broadcast.
    """
    source = lifted_to(input, indices)
    shape = tuple(source._array.shape)
    raw = raw_indices(source, indices)
    return watching(indices if given is None else given, shape, remade, _index, source, raw, masks)


def lifted_to(input: Tensor, others: Sequence[Tensor | None]) -> Tensor:
    """`input` at the innermost level of `vmap` that one of the others belongs to."""
    deepest = max((each._kernels for each in (input, *others) if each is not None), key=lambda k: k.level)
    if deepest is input._kernels or isinstance(input, inplace.Target):
        return input
    return deepest.lift(input) if deepest.level else input


def raw_indices(input: Tensor, indices: Sequence[Tensor | None]) -> Any:
    """Index arrays with negative positions counted from the end; all checked, if there is anything to read."""
    return _raw(tuple(input._array.shape), indices)


def remade(shape: tuple[int, ...], given: Sequence[Tensor | None]) -> Any:
    """The same from what was given."""
    indices: list[Tensor | None] = []
    for each in given:
        if each is not None and each.dtype in (dtypes.bool_, dtypes.uint8):
            indices += [wrap_array(found, each._kernels) for found in each._kernels.nonzero(each._array)]
        else:
            indices.append(None if each is None else each.long())
    return _raw(shape, indices)


def _raw(shape: tuple[int, ...], indices: Sequence[Tensor | None]) -> Any:
    joint = _joint_shape([tuple(each._array.shape) for each in indices if each is not None])
    taken = [n for n, each in zip(shape, indices, strict=False) if each is not None]
    if 0 in taken and 0 not in joint:
        raise IndexError("index is out of bounds for dimension with size 0")
    reads = 0 not in shape and 0 not in joint
    raw: list[Any] = []
    for dim, each in enumerate(indices):
        if each is None:
            raw.append(None)
        elif reads:
            raw.append(_in_range(each, dim, shape[dim]))
        else:
            raw.append(each._kernels.zeros(joint, each._kernels.dtypes["int64"]))
    while raw and raw[-1] is None:
        raw.pop()
    return tuple(raw)


def _in_range(index: Tensor, dim: int, size: int) -> Any:
    """The array of an index of a dimension, without negative positions."""
    array, k = index._array, index._kernels
    if within(index, size):
        return array
    low, high = extremes(index)
    if low < -size or high >= size:
        wrong = high if high >= size else low
        raise IndexError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")
    return k.where(k.less(array, 0), k.add(array, size), array)


def _joint_shape(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return broadcast_shapes(*shapes)
    except RuntimeError:
        listed = ", ".join(str(list(shape)) for shape in shapes)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}"
        ) from None


@op(
    name="_index_put",
    node="IndexPutBackward0",
    vjp={
        "self": lambda K, g, indices, accumulate: g if accumulate else K.index_fill_zero(g, indices),
        "values": lambda K, g, indices, values_shape: sum_to(K, K.index(g, indices), values_shape),
    },
    jvp="linear",
    kept=("accumulate", "self_shape", "masks"),
)
def index_put_raw(K, self: Array, indices: Raw, values: Array, accumulate: bool, masks: Masks = ()) -> Array:
    """A copy of `self` with `values` set or added."""
    return K.index_put(self, indices, values, accumulate)


@op(
    name="_index_fill_zero",
    node="IndexPutBackward0",
    vjp={"self": lambda K, g, indices: K.index_fill_zero(g, indices)},
    jvp="linear",
    graph="index_fill_zero",
)
def _index_fill_zero(K, self: Array, indices: Raw) -> Array:
    """A copy of `self` with zeros at `indices`."""
    return K.index_put(self, indices, 0, False)


@flagged
def index_put_(self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """Write `values` at the positions `index` would read, in place; or add them, repeated positions included.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_put_.html
    """
    return _put_at(self, *_as_indices(self, indices), list(indices), values, accumulate)


def _put_at(
    self: Tensor, indices: list[Tensor | None], masks: Masks, given: list[Tensor | None], values: Tensor,
    accumulate: bool,
) -> Tensor:  # fmt: skip
    """Write `values` at `indices`, which were made of `given`."""
    values = _fill_value(self, indices, masks, values, accumulate)
    _check_values(self, indices, values)
    raw = raw_indices(self, indices)
    dims = expanded_dims(self)
    if not dims:
        refuse_overlap(self, (*indices, values), apart=True)
    if not dims and (overlapping := expanded.in_memory(self)):
        memory, places = overlapping
        at = wrap_array(places._kernels.index(places._array, raw), places._kernels)
        index_put_(memory, (at,), expand(values, at.shape), accumulate)
        return self
    if dims:
        expanded.warn("index_put_", "indices] = tensor")
        put, raw, values = _put_folded(self, dims, raw, values, accumulate)
        given = [None if each is None else wrap_array(each, put._kernels) for each in raw]
    else:
        put = self
    mode = current_mode()
    if put._is_view() and mode.grad:  # then the node of the write is not that of the tensor
        raw = tuple(None if each is None else put._kernels.copy(each) for each in raw)
        given = given if mode.saved_hooks else []
    args = op_of(index_put_raw), put, raw, values, accumulate, masks
    watching(given, tuple(put._array.shape), remade, inplace.call_inplace, *args)
    return self


def _fill_value(
    self: Tensor, indices: Sequence[Tensor | None], masks: Masks, values: Tensor, accumulate: bool
) -> Tensor:
    """The values; a single one for a single mask, which is `masked_fill` to PyTorch, in the type of `self`."""
    alone = len(masks) == 1 and sum(each is not None for each in indices) == masks[0][1] and not accumulate
    return values.to(self.dtype) if alone and values.numel() == 1 else values


def _put_folded(
    self: Tensor, dims: Sequence[int], raw: Any, values: Tensor, accumulate: bool
) -> tuple[Tensor, Any, Tensor]:
    """Target, indices and values for the part of a tensor expanded along `dims` that has each element once.

    Of the values for one element in memory the last remains, or all are added.
    """
    raw, k = list(raw), self._kernels
    # Each dimension that is not indexed stands in the result under its number, as a negative one.
    places = _indexed_shape(tuple(~i for i in range(self.ndim)), raw)
    for dim in dims:
        n = self._array.shape[dim]
        if dim < len(raw) and raw[dim] is not None:
            raw[dim] = k.zeros_like(raw[dim])
            continue
        at = places.index(~dim) - len(places) + values.ndim
        if at < 0 or values._array.shape[at] == 1:
            values = (values * n).to(values.dtype) if accumulate else values
        elif accumulate:
            values = values.sum(at, keepdim=True, dtype=values.dtype)
        else:
            values = slice_dim(values, at, n - 1, n, 1)
    # The values may be in the memory that is written to, which PyTorch does not look for here.
    return expanded.once(self, dims, values), tuple(raw), values.clone()


def _as_indices(self: Tensor, indices: Any) -> tuple[list[Tensor | None], Masks]:
    """The indices of `index_put`, each mask as the coordinates where it holds."""
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            f"index_put(): argument 'indices' (position 1) must be tuple of Tensors, not {type(indices).__name__}"
        )
    found: list[Tensor | None] = []
    masks: Masks = ()
    for each in indices:
        masks += () if each is None else _mask_at(len(found), each)
        found += [None] if each is None else _index_tensors(self, len(found), each)
    if len(found) > self.ndim:
        raise IndexError(f"too many indices for tensor of dimension {self.ndim} (got {len(found)})")
    return found, masks


def _check_values(self: Tensor, indices: Sequence[Tensor | None], values: Tensor) -> None:
    """The values must broadcast to the indexed shape: checked before anything is written."""
    shape = _indexed_shape(tuple(self._array.shape), indices)
    have = tuple(values._array.shape)
    if len(have) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(have), reversed(shape), strict=False)):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(have)} cannot be broadcast to indexing result of shape "
            f"{list(shape)}"
        )
    if values.dtype is not self.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {self.dtype.type_name} for the "
            f"destination and {values.dtype.type_name} for the source."
        )


def _indexed_shape(shape: tuple[int, ...], raw: Any) -> tuple[int, ...]:
    where = [i for i, each in enumerate(raw) if each is not None]
    joint = _joint_shape([tuple(raw[i].shape) for i in where])
    rest = [n for i, n in enumerate(shape) if i >= len(raw) or raw[i] is None]
    adjacent = where == list(range(where[0], where[-1] + 1)) if where else True
    at = where[0] if where and adjacent else 0
    return (*rest[:at], *joint, *rest[at:])


@composite
@flagged
def index_put(input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put_` on a copy."""
    found, masks = _as_indices(input, indices)
    values = _fill_value(input, found, masks, values, accumulate)
    source = lifted_to(input, [*found, values])
    _check_values(source, found, values)
    raw, shape = raw_indices(source, found), tuple(source._array.shape)
    return watching(indices, shape, remade, index_put_raw, source, raw, values, accumulate, masks)
