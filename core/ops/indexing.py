"""Reading and writing parts of tensors: `x[...]`, `x[...] = y`, gathering, scattering and masks.

Basic indices (ints, slices, None, ...) become view operators, one node each as in PyTorch;
tensors among the indices become one `index` (reading) or `index_put_` (writing).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from retrograd import dtypes
from retrograd.autograd.tangents import tangents_of
from retrograd.levels import is_mapped
from retrograd.ops import inplace
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.batching import elementwise, refuse_dynamic
from retrograd.ops.broadcasting import broadcast_shapes, sum_to
from retrograd.ops.checks import extremes
from retrograd.ops.declare import Array, Raw, composite, op, op_of
from retrograd.ops.dispatch import number_as, result_type
from retrograd.ops.shape import alias_of, expand, reshape, select, slice_dim, unsqueeze
from retrograd.tensor import Tensor, wrap_array

__all__ = ["getitem", "setitem"]

Indices = tuple[Tensor | None, ...]

# -- the indexing protocol ---------------------------------------------------------------------


def getitem(self: Tensor, key: Any) -> Tensor:
    """`self[key]`: a view for basic indices, a copy if there are tensors, lists or arrays among them.

    Raises
    ------
    IndexError
        If there are too many indices, one is out of range, or a mask has the wrong shape.
    """
    if type(key) is int:
        return _select_checked(self, 0, key) if self._array.shape else _no_index_on_scalar()
    viewed, indices = _view_part(self, key)
    if any(each is not None for each in indices):
        return index(viewed, indices)
    return alias_of(self) if viewed is self else viewed


def setitem(self: Tensor, key: Any, value: Any) -> None:
    """`self[key] = value`, differentiable by both; raises before anything is changed."""
    viewed, indices = _view_part(self, key)
    if isinstance(value, (bool, int, float, complex)) and not any(each is not None for each in indices):
        inplace.fill_(alias_of(self) if viewed is self else viewed, value)
        return
    if isinstance(value, Tensor):
        if value._k.base is not self._k.base and value.ndim == 0:
            value = value.to(self.device)
    else:
        value = _constant(self, value)
    if any(each is not None for each in indices):
        index_put_(viewed, indices, value.to(viewed.dtype))
        return
    shape = tuple(viewed._array.shape)
    lead = len(value._array.shape) - len(shape)
    if lead > 0 and all(n == 1 for n in value._array.shape[:lead]):
        value = reshape(value, tuple(value._array.shape)[lead:])
    if viewed is self:
        viewed = alias_of(self)
    inplace.copy_(viewed, _check_fits(value, shape))


def _check_fits(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    have = tuple(value._array.shape)
    if len(have) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(have), reversed(shape), strict=False)):
        return expand(value, shape)  # raises with PyTorch's text
    return value


def _constant(self: Tensor, value: Any) -> Tensor:
    from retrograd.ops.creation import tensor

    made = tensor(value, device=self.device)
    return made if made.dtype is self.dtype else made.to(self.dtype)


def _no_index_on_scalar() -> Any:
    raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ "
                     "to convert a 0-dim tensor to a number")  # fmt: skip


def _view_part(self: Tensor, key: Any) -> tuple[Tensor, Indices]:
    """Apply the basic indices of `key`; the others come back, one per dimension of the view."""
    items = _as_items(key)
    specified = sum(_dims_taken(each) for each in items)
    if specified > self.ndim:
        raise IndexError(f"too many indices for tensor of dimension {self.ndim}")
    viewed, dim = self, 0
    indices: list[Tensor | None] = []
    for each in items:
        if each is Ellipsis:
            skipped = self.ndim - specified
            dim += skipped
            indices += [None] * skipped
        elif each is None:
            viewed = unsqueeze(viewed, dim)
            indices.append(None)
            dim += 1
        elif isinstance(each, bool):
            viewed = unsqueeze(viewed, dim)
            indices.append(_true_or_false(self, each))
            dim += 1
        elif isinstance(each, slice):
            viewed = _sliced(viewed, dim, each)
            indices.append(None)
            dim += 1
        elif isinstance(each, Tensor):
            taken = _index_tensors(viewed, dim, each)
            indices += taken
            dim += len(taken)
        else:
            viewed = _select_checked(viewed, dim, each)
    return viewed, tuple(indices)


def _as_items(key: Any) -> list[Any]:
    if isinstance(key, list) and len(key) < 32 and any(_asks_for_a_tuple(each) for each in key):
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
    """Whether an item makes PyTorch read a list of indices as a tuple of them."""
    return item is None or item is Ellipsis or isinstance(item, (list, tuple, slice, Tensor))


def _as_item(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, (bool, slice)):
        return item
    if isinstance(item, Tensor):
        if item.ndim == 0 and item.dtype.category <= dtypes.Category.INTEGER and not is_mapped(item):
            is_mask = item.dtype in (dtypes.bool_, dtypes.uint8)
            return bool(item.item()) if is_mask else int(item.item())
        return item
    if isinstance(item, (list, range)) or hasattr(item, "__array__"):
        if getattr(item, "ndim", 1) == 0 and hasattr(item, "__index__"):
            return item.__index__()
        from retrograd.ops.creation import tensor

        made = tensor(list(item) if isinstance(item, range) else item)
        return made.long() if made.numel() == 0 and made.dtype.is_floating_point else made
    if hasattr(item, "__index__"):
        return item.__index__()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
        f"{type(item).__name__})"
    )


def _dims_taken(item: Any) -> int:
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, Tensor) and item.dtype in (dtypes.bool_, dtypes.uint8):
        return item.ndim
    return 1


def _sliced(viewed: Tensor, dim: int, item: slice) -> Tensor:
    start, stop, step = (None if each is None else int(each) for each in (item.start, item.stop, item.step))
    step = 1 if step is None else step
    if step == 1 and start is None and stop is None:
        return viewed
    return slice_dim(viewed, dim, start, stop, step)


def _select_checked(viewed: Tensor, dim: int, index: int) -> Tensor:
    size = viewed._array.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    return select(viewed, dim, index)


def _true_or_false(self: Tensor, value: bool) -> Tensor:
    k = self._k
    return wrap_array(k.zeros((1 if value else 0,), k.dtypes["int64"]), k)


def _index_tensors(viewed: Tensor, dim: int, item: Tensor) -> list[Tensor]:
    """An index tensor as integer tensors, one for each dimension it takes: a mask gives its coordinates."""
    if item.dtype in (dtypes.bool_, dtypes.uint8):
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
        return [wrap_array(each, item._k) for each in item._k.nonzero(item._array)]
    if item.dtype.category is not dtypes.Category.INTEGER:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    item = _beside(item, viewed)
    return [item if item.dtype is dtypes.int64 else item.long()]


def _refuse_mask() -> NoReturn:
    raise RuntimeError(
        "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over indexing "
        "with a boolean mask."
    )


def _beside(item: Tensor, viewed: Tensor) -> Tensor:
    """An index tensor on the backend of what it indexes; inside `vmap` one from outside stays there."""
    if item._k.base is viewed._k.base:
        return item
    return item.to(viewed.device)


# -- advanced indexing -------------------------------------------------------------------------


@op(
    "index",
    name="_index",
    node="IndexBackward0",
    vjp={"self": lambda K, g, self_shape, indices: K.index_put_zeros(g, self_shape, indices)},
    jvp="linear",
)
def _index(K, self: Array, indices: Raw) -> Array:
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


def index(input: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """Elements at positions given by integer tensors that broadcast together; None takes a whole dimension.

    Raises
    ------
    IndexError
        If a position is out of range or the index tensors do not broadcast.
    """
    source = _lifted_to(input, indices)
    return _index(source, _raw_indices(source, indices))


def _lifted_to(input: Tensor, others: Sequence[Tensor | None]) -> Tensor:
    """`input` at the innermost level of `vmap` that one of the others belongs to."""
    deepest = max((each._k for each in (input, *others) if each is not None), key=lambda k: k.level)
    if deepest is input._k or isinstance(input, inplace.Target):
        return input
    return deepest.lift(input) if deepest.level else input


def _raw_indices(input: Tensor, indices: Sequence[Tensor | None]) -> Any:
    """Index arrays with negative positions counted from the end; all checked."""
    raw: list[Any] = []
    for dim, each in enumerate(indices):
        if each is None:
            raw.append(None)
            continue
        size = input._array.shape[dim]
        array, k = each._array, each._k
        if each.numel():
            low, high = extremes(each)
            if low < -size or high >= size:
                wrong = high if high >= size else low
                raise IndexError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")
            if low < 0:
                array = k.where(k.less(array, 0), k.add(array, size), array)
        raw.append(array)
    shapes = [tuple(each.shape) for each in raw if each is not None]
    try:
        broadcast_shapes(*shapes)
    except RuntimeError:
        listed = ", ".join(str(list(shape)) for shape in shapes)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {listed}"
        ) from None
    while raw and raw[-1] is None:
        raw.pop()
    return tuple(raw)


@op(
    name="_index_put",
    node="IndexPutBackward0",
    vjp={
        "self": lambda K, g, indices, accumulate: g if accumulate else K.index_fill_zero(g, indices),
        "values": lambda K, g, indices, values_shape: sum_to(K, K.index(g, indices), values_shape),
    },
    jvp="linear",
)
def _index_put(K, self: Array, indices: Raw, values: Array, accumulate: bool) -> Array:
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


def index_put_(self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """Write `values` at the positions `index` would read, in place; or add them, repeated positions included.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_put_.html
    """
    raw = _raw_indices(self, [_as_index(each) for each in indices])
    _check_values(self, raw, values)
    return inplace.call_inplace(op_of(_index_put), self, raw, values, accumulate)


def _as_index(each: Any) -> Any:
    if isinstance(each, Tensor) and each.dtype is dtypes.bool_ and each.ndim == 1:
        if is_mapped(each):
            _refuse_mask()
        return wrap_array(each._k.nonzero(each._array)[0], each._k)
    return each


def _check_values(self: Tensor, raw: Any, values: Tensor) -> None:
    """The values must broadcast to the indexed shape: checked before anything is written."""
    if values.dtype is not self.dtype:
        raise RuntimeError(
            f"Index put requires the source and destination dtypes match, got {self.dtype.type_name} for the "
            f"destination and {values.dtype.type_name} for the source."
        )
    shape = _indexed_shape(tuple(self._array.shape), raw)
    have = tuple(values._array.shape)
    if len(have) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(have), reversed(shape), strict=False)):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(have)} cannot be broadcast to indexing result of shape "
            f"{list(shape)}"
        )


def _indexed_shape(shape: tuple[int, ...], raw: Any) -> tuple[int, ...]:
    where = [i for i, each in enumerate(raw) if each is not None]
    joint = broadcast_shapes(*(tuple(raw[i].shape) for i in where))
    rest = [n for i, n in enumerate(shape) if i >= len(raw) or raw[i] is None]
    adjacent = where == list(range(where[0], where[-1] + 1)) if where else True
    at = where[0] if where and adjacent else 0
    return (*rest[:at], *joint, *rest[at:])


@composite
def index_put(input: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put_` on a copy."""
    found = [_as_index(each) for each in indices]
    source = _lifted_to(input, [*found, values])
    raw = _raw_indices(source, found)
    _check_values(source, raw, values)
    return _index_put(source, raw, values, accumulate)


@op(
    name="_index_select",
    node="IndexSelectBackward0",
    vjp={"self": lambda K, g, self_shape, dim, index: K.index_put_zeros(g, self_shape, _positions(dim, index))},
    jvp="linear",
)
def _index_select(K, self: Array, dim: int, index: Array) -> Array:
    """`index`: an integer vector, in range."""
    return K.index(self, (None,) * dim + (index,))


def _positions(dim: int, index: Any) -> tuple[Any, ...]:
    """Raw index arrays that take `index` of a dimension; formulas may have it as a tensor."""
    return (None,) * dim + (index._array if isinstance(index, Tensor) else index,)


@composite
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """A copy of the indices of a dimension that the vector `index` lists.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.index_select.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.index_select(retrograd.arange(4), 0, retrograd.tensor([3, 0]))
    tensor([3, 0])
    """
    at = wrap_dim(dim, input.ndim)
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError(f"index_select(): Expected dtype int32 or int64 for index, but got {index.dtype.type_name}")
    vector = reshape(index, -1)
    size = input._array.shape[at] if input.ndim else 1
    low, high = extremes(vector) if vector.numel() else (0, 0)
    if low < 0 or (vector.numel() and high >= size):
        raise IndexError("index out of range in self")
    source = input if input.ndim else reshape(input, 1)
    picked = _index_select(source, at, vector.long())
    return picked if input.ndim else reshape(picked, ())


@op(
    name="_index_add",
    node="IndexAddBackward0",
    vjp={
        "self": lambda K, g: g,
        "source": lambda K, g, dim, index, alpha: K.index(g, _positions(dim, index)) * alpha,
    },
    jvp="linear",
)
def _index_add(K, self: Array, dim: int, index: Array, source: Array, alpha: float) -> Array:
    """A copy of `self` with `alpha * source` added at `index` of `dim`."""
    scaled = source if alpha == 1 else K.multiply(source, alpha)
    return K.index_put(self, (None,) * dim + (index,), scaled, True)


@composite
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """A copy with the slices of `source` added to those that `index` names.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_add_.html
    """
    return _index_add(input, wrap_dim(dim, input.ndim), index.long(), source, alpha)


@composite
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with the slices that `index` names filled with `value`."""
    at = wrap_dim(dim, input.ndim)
    values = value if isinstance(value, Tensor) else _constant(input, value)
    return _index_put(_lifted_to(input, (index, values)), (None,) * at + (index.long()._array,), values, False)


@composite
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with the slices that `index` names replaced by those of `source`."""
    at = wrap_dim(dim, input.ndim)
    return _index_put(_lifted_to(input, (index, source)), (None,) * at + (index.long()._array,), source, False)


# -- gather and scatter ------------------------------------------------------------------------


@op(
    name="_gather",
    node="GatherBackward0",
    vjp={"self": lambda K, g, self_shape, dim, index: K.scatter_zeros(g, self_shape, dim, index)},
    jvp="linear",
)
def _gather(K, self: Array, dim: int, index: Array) -> Array:
    """`index`: integers, in range."""
    return K.gather(self, index, dim)


@op(
    name="_scatter_zeros",
    node="GatherBackwardBackward0",
    vjp={"self": lambda K, g, dim, index: K.gather(g, index, dim)},
    jvp="linear",
    graph="scatter_zeros",
)
def _scatter_zeros(K, self: Array, shape: tuple[int, ...], dim: int, index: Array) -> Array:
    """Zeros of `shape` with `self` added at `index`: the adjoint of `gather`."""
    return K.scatter_add(K.zeros(shape, self.dtype), index, self, dim)


def _checked(name: str, input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The index of a gather or scatter, if it fits."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}(): Expected dtype int64 for index")
    if index.ndim != max(input.ndim, index.ndim if not input.ndim else input.ndim) and index.numel():
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as {'input' if name == 'gather' else 'self'} tensor"
        )
    size = input._array.shape[dim] if input.ndim else 1
    if index.numel():
        low, high = extremes(index)
        if low < 0 or high >= size:
            wrong = low if low < 0 else high
            raise RuntimeError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")
    return index


@composite
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Elements at the positions `index` along `dim`, each at its own place of the other dimensions.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gather.html
    """
    at = wrap_dim(dim, input.ndim)
    for i, (n, size) in enumerate(zip(index._array.shape, input._array.shape, strict=False)):
        if i != at and n > size and index.ndim == input.ndim:
            raise RuntimeError(
                f"Size does not match at dimension {i} expected index {list(index.shape)} to be no larger than self "
                f"{list(input.shape)} apart from dimension {at}"
            )
    return _gather(input, at, _checked("gather", input, at, index))


@op(
    name="_scatter",
    node="ScatterBackward0",
    vjp={
        "self": lambda K, g, dim, index: K.scatter_fill_zero(g, dim, index),
        "src": lambda K, g, dim, index, src_shape: _in_corner(K, K.gather(g, index, dim), src_shape),
    },
    jvp="linear",
)
def _scatter(K, self: Array, dim: int, index: Array, src: Array) -> Array:
    """A copy of `self` with `src` set at `index`."""
    return K.scatter(self, index, _corner(K, src, index.shape), dim)


@op(
    name="_scatter_fill_zero",
    node="ScatterBackward1",
    vjp={"self": lambda K, g, dim, index: K.scatter_fill_zero(g, dim, index)},
    jvp="linear",
    graph="scatter_fill_zero",
)
def _scatter_fill_zero(K, self: Array, dim: int, index: Array) -> Array:
    """A copy of `self` with zeros at `index`."""
    return K.scatter(self, index, K.zeros(tuple(index.shape), self.dtype), dim)


def _corner(K: Any, src: Any, shape: Any) -> Any:
    """The part of `src` that an index of `shape` reads: from the start of every dimension."""
    if tuple(src.shape) == tuple(shape):
        return src
    return K.slice(src, tuple(slice(0, n) for n in shape))


def _in_corner(K: Any, g: Any, shape: Any) -> Any:
    if tuple(g.shape) == tuple(shape):
        return g
    return K.unslice(g, tuple(shape), tuple(slice(0, n) for n in g.shape))


@composite
def scatter(input: Tensor, dim: int, index: Tensor, src: Any, *, reduce: str | None = None) -> Tensor:
    """A copy with the elements of `src` (a tensor or a number) written where `gather` would read.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.scatter.html
    """
    at = wrap_dim(dim, input.ndim)
    index = _checked("scatter", input, at, index)
    if not isinstance(src, Tensor):
        src = expand(_constant(input, src), tuple(index.shape))
    if src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    if reduce == "add":
        return _scatter_add(input, at, index, src)
    if reduce is not None:
        raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce!r}; 'multiply' is not offered")
    return _scatter(input, at, index, src)


@op(
    name="_scatter_add",
    node="ScatterAddBackward0",
    vjp={
        "self": lambda K, g: g,
        "src": lambda K, g, dim, index, src_shape: _in_corner(K, K.gather(g, index, dim), src_shape),
    },
    jvp="linear",
)
def _scatter_add(K, self: Array, dim: int, index: Array, src: Array) -> Array:
    """A copy of `self` with `src` added at `index`."""
    return K.scatter_add(self, index, _corner(K, src, index.shape), dim)


@composite
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy with the elements of `src` added where `gather` would read; repeated positions add up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_add_.html
    """
    at = wrap_dim(dim, input.ndim)
    return _scatter_add(input, at, _checked("scatter", input, at, index), src)


@composite
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened tensor at `index`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.take.html
    """
    return getitem(reshape(input, -1), index)


@composite
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with broadcasting; without `dim`, of the flattened tensor."""
    if dim is None:
        return gather(reshape(input, -1), 0, reshape(indices, -1))
    at = wrap_dim(dim, input.ndim)
    own = list(input.shape)
    own[at] = 1
    wanted = list(indices.shape)
    wanted[at] = 1
    common = list(broadcast_shapes(own, wanted))
    source = [*common[:at], input.shape[at], *common[at + 1 :]]
    target = [*common[:at], indices.shape[at], *common[at + 1 :]]
    return gather(expand(input, source), at, expand(indices, target))


# -- masks -------------------------------------------------------------------------------------


@op(
    name="_where",
    node="WhereBackward0",
    vjp={
        "self": lambda K, g, condition, self_shape: sum_to(K, K.where(condition, g, K.zeros_like(g)), self_shape),
        "other": lambda K, g, condition, other_shape: sum_to(K, K.where(condition, K.zeros_like(g), g), other_shape),
    },
    jvp="linear",
    batch=elementwise,
)
def _where(K, condition: Array, self: Array, other: Array) -> Array:
    """Shapes broadcast and the types of `self` and `other` agree."""
    return K.where(condition, self, other)


@composite
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """`input` where `condition` holds, else `other`; with `condition` alone, the coordinates where it holds.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.where.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([-1.0, 2.0])
    >>> retrograd.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        if is_mapped(condition):
            refuse_dynamic("where")
        return tuple(wrap_array(each, condition._k) for each in condition._k.nonzero(condition._array))
    if condition.dtype not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype.type_name}"
        )
    mask = condition if condition.dtype is dtypes.bool_ else condition.bool()
    broadcast_shapes(*(tuple(each._array.shape) for each in (mask, input, other) if isinstance(each, Tensor)))
    dtype = result_type(input, other)
    return _where(mask, *(_as_operand(each, mask, dtype) for each in (input, other)))


def _as_operand(value: Any, like: Tensor, dtype: dtypes.dtype) -> Tensor:
    if not isinstance(value, Tensor):
        from retrograd.ops.creation import full

        return full((), number_as(value, dtype), dtype=dtype, device=like.device)
    if value._k.base is not like._k.base and value.ndim == 0:
        value = value.to(like.device)
    return value if value.dtype is dtype else value.to(dtype)


def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """`self` where `condition` holds, else `other`."""
    return where(condition, self, other)


@op(
    name="_masked_fill",
    node="MaskedFillBackward0",
    vjp={"self": lambda K, g, mask, self_shape: sum_to(K, K.where(mask, K.zeros_like(g), g), self_shape)},
    jvp={"self": lambda K, t, mask: K.where(mask, K.zeros_like(t), t)},
    batch=elementwise,
)
def _masked_fill(K, self: Array, mask: Array, value: float) -> Array:
    """`mask` is bool and broadcasts."""
    return K.where(mask, K.full((), value, self.dtype), self)


@composite
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A copy with `value` where `mask` holds.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.masked_fill_.html
    """
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.type_name.lower()}"
        )
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        if value._edge is not None or tangents_of(value):
            return where(mask, value.to(input.dtype), input)
        value = value.item()
    broadcast_shapes(tuple(input._array.shape), tuple(mask._array.shape))
    return _masked_fill(input, mask, number_as(value, input.dtype))


@composite
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` holds, in one dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.masked_select.html
    """
    if is_mapped(mask):
        raise RuntimeError(
            "vmap: Attempted to vmap over `mask` in retrograd.masked_select(self, mask) We cannot support this because "
            "for each batch this would return a differently shaped Tensor. Please file an issue at "
            "https://github.com/pytorch/pytorch/issues if you need this feature."
        )
    shape = broadcast_shapes(tuple(input._array.shape), tuple(mask._array.shape))
    if not shape:
        return getitem(reshape(input, 1), reshape(mask, 1))
    return getitem(expand(input, shape), expand(mask, shape))


@composite
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy with the elements where `mask` holds replaced by those of `source`, in order."""
    shape = broadcast_shapes(tuple(input._array.shape), tuple(mask._array.shape))
    mask = expand(mask, shape)
    count = int(mask.sum().item())
    if source.numel() < count:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes and enough elements")
    copy = expand(input, shape).clone()
    setitem(copy, mask, reshape(source, -1)[:count])
    return copy


@composite
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The coordinates of the non-zero elements, a row each; or one tensor per dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nonzero.html
    """
    if is_mapped(input):
        if as_tuple:
            raise RuntimeError(
                "Batching rule not implemented for aten::nonzero_numpy. We could not generate a fallback."
            )
        refuse_dynamic("nonzero")
    k = input._k
    source = input if input.ndim else reshape(input, 1)
    columns = [wrap_array(each, k) for each in k.nonzero(source._array)]
    if as_tuple:
        return tuple(columns)
    if not input.ndim:
        return wrap_array(k.zeros((columns[0].numel(), 0), k.dtypes["int64"]), k)
    return wrap_array(k.stack([each._array for each in columns], 1), k)


@composite
def argwhere(input: Tensor) -> Tensor:
    """The coordinates of the non-zero elements, a row each."""
    return nonzero(input)
