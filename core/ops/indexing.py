"""Reading and writing parts of tensors by name: gathering, scattering and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd import dtypes
from retrograd.autograd.explaining import remember_break
from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import name_of
from retrograd.levels import is_mapped
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.batching import elementwise, refuse_dynamic, sample_by_sample
from retrograd.ops.broadcasting import broadcast_shapes, sum_to
from retrograd.ops.checks import extremes, not_implemented, within
from retrograd.ops.declare import Array, Raw, composite, op, op_of, publics
from retrograd.ops.dispatch import result_type
from retrograd.ops.factories import zeros_like
from retrograd.ops.flags import no_flag
from retrograd.ops.given_indices import watching
from retrograd.ops.grouped import one_node
from retrograd.ops.inplace import check_broadcast
from retrograd.ops.options import checked_number
from retrograd.ops.reducing import deliver
from retrograd.ops.shape import expand, reshape
from retrograd.ops.slice_checks import check_added, check_copied, check_positions, check_range, check_scatter
from retrograd.ops.subscript import constant, lifted_to, raw_indices, remade
from retrograd.tensor import Tensor, wrap_array


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
    if input._kernels.sparse:
        from retrograd.sparse.choosing import index_select as of_sparse

        return of_sparse(input, at, index)
    if index.dtype not in (dtypes.int32, dtypes.int64):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    vector = index if index.ndim else reshape(index, -1)
    if not input.ndim and vector.numel() != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {vector.numel()} value(s)")
    size = input._array.shape[at] if input.ndim else 1
    if not within(vector, size):
        low, high = extremes(vector)
        if not size:
            raise RuntimeError("index_select(): self indexing axis dim should be positive")
        if not input.numel():
            raise RuntimeError(f"INDICES element is out of DATA bounds, id={low if low < 0 else high} axis_dim={size}")
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
    kept={"self": ("dim", "alpha", "source_shape"), "source": ("source", "source_shape")},
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
    at = wrap_dim(dim, input.ndim)
    check_added(input, at, index, source)
    if not input.ndim:
        return of_scalar(index_add, input, dim, index, source, alpha=alpha)
    return _index_add(input, at, _written_places(input, at, as_vector(index)), source, alpha)


def _written_places(input: Tensor, at: int, index: Tensor) -> Tensor:
    """The index of a dimension that is to be written at; where that writes nothing, it is not looked at."""
    return zeros_like(index.long()) if input._array.shape[at] and not input.numel() else index.long()


def of_scalar(function: Any, input: Tensor, dim: int, index: Tensor, *rest: Any, **options: Any) -> Tensor:
    """What a function that writes at `index` gives for tensors without dimensions, which count as having one."""
    wrap_dim(dim, 0)
    if rest and isinstance(rest[0], Tensor):
        return _of_scalar_with(input, rest[0], function, index, rest[1:], options)
    return _of_scalar(input, function, index, rest, options)


def _name_within(made: Tensor) -> str:
    """That of the node of the function, of which a view without dimensions is the result."""
    assert made._edge is not None
    edge = made._edge[0]._next_edges[0]
    assert edge is not None
    return name_of(edge[0])


@one_node(_name_within, "input")
def _of_scalar(input: Tensor, function: Any, index: Tensor, rest: Any, options: Any) -> Tensor:
    return reshape(function(reshape(input, 1), 0, reshape(index, -1), *map(as_vector, rest), **options), ())


@one_node(_name_within, "input", "source")
def _of_scalar_with(input: Tensor, source: Tensor, function: Any, index: Tensor, rest: Any, options: Any) -> Tensor:
    source, index = as_vector(source), reshape(index, -1)
    return reshape(function(reshape(input, 1), 0, index, source, *rest, **options), ())


def as_vector(value: Any) -> Any:
    """A tensor without dimensions as one with one; anything else as it is."""
    return reshape(value, 1) if isinstance(value, Tensor) and not value.ndim else value


def _filling(name: str, node: str) -> Any:
    """Setting slices; `places` is the raw index with None for each dimension in front of it."""

    @op(
        name=name,
        node=node,
        vjp={
            "self": lambda K, g, places: K.index_fill_zero(g, places),
            "source": lambda K, g, places, source_shape: (
                sum_to(K, K.index(g, places), source_shape)
                if "Copy" in node
                else K.sum(g - K.index_fill_zero(g, places), tuple(range(len(g.shape))), False)
            ),
        },
        jvp="linear",
        kept={"self": ("source_shape",), "source": ("source",)} if "Copy" in node else (),
        order=() if "Copy" in node else ("self",),
    )
    def operator(K, self: Array, places: Raw, source: Array) -> Array:
        """A copy of `self` with `source` at `places`."""
        return K.index_put(self, places, source, False)

    return operator


_index_fill = _filling("_index_fill", "IndexFillBackward0")
op_of(_index_fill).node_class._shown_edges = (0,)  # a number is no input of PyTorch's node
_index_fill_tensor = _filling("_index_fill_tensor", "IndexFillBackward1")
_index_copy = _filling("_index_copy", "IndexCopyBackward0")


@composite
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with the slices that `index` names filled with `value`.

    Raises
    ------
    IndexError
        If one is out of range, or `index` is not of type `int64`.
    RuntimeError
        If `index` has more than one dimension, or `value` any.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_fill_.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.index_fill(retrograd.zeros(3), 0, retrograd.tensor([0, -1]), 5)
    tensor([5., 0., 5.])
    """
    at = wrap_dim(dim, input.ndim)
    fill = _index_fill_tensor if isinstance(value, Tensor) else _index_fill
    values = value if isinstance(value, Tensor) else constant(input, value)
    if values.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {values.ndim} dimension(s)."
        )
    if not input.ndim:
        places = _filled_places(reshape(input, 1), 0, index)
        return reshape(fill(lifted_to(reshape(input, 1), (index, values)), places, values), ())
    source, places, shape = lifted_to(input, (index, values)), _filled_places(input, at, index), tuple(input.shape)
    return watching((*(None,) * at, index), shape, remade, fill, source, places, values)


def _filled_places(input: Tensor, at: int, index: Tensor) -> Any:
    """The raw index of `index_fill`, in range."""
    if index.dtype is not dtypes.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    return raw_indices(input, [None] * at + [index])


def index_folded(target: Tensor, dims: list[int], dim: int, index: Tensor, value: Any) -> tuple[int, Tensor, Any]:
    """The arguments of `index_fill_` for the part of a tensor expanded along `dims` that has each element once."""
    at = wrap_dim(dim, target.ndim)
    if at not in dims:
        return dim, index, value
    _filled_places(target, at, index)  # raises if one is out of range
    return dim, zeros_like(reshape(index, -1)[:1]), value


@composite
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with the slices that `index` names replaced by those of `source`."""
    at = wrap_dim(dim, input.ndim)
    check_copied(input, at, index, source)
    if not input.ndim:
        return of_scalar(index_copy, input, dim, index, source)
    places = (None,) * at + (_written_places(input, at, as_vector(index))._array,)
    target, given = lifted_to(input, (index, source)), (*(None,) * at, index)
    return watching(given, tuple(input.shape), remade, _index_copy, target, places, source)


# -- gather and scatter ------------------------------------------------------------------------


@op(
    name="_gather",
    node="GatherBackward0",
    vjp={"self": lambda K, g, self_shape, dim, index: K.scatter_zeros(g, self_shape, dim, index)},
    jvp="linear",
    kept=("self",),
)
def _gather(K, self: Array, dim: int, index: Array) -> Array:
    """`index`: integers, in range."""
    return K.gather(self, index, dim)


def _gathered(K: Any, g: Any, shape: Any, dim: int, index: Any) -> Any:
    from retrograd.sparse.gradients import gathered_gradient

    return gathered_gradient(K, g, shape, dim, index)


@op(
    name="_gather_sparse",
    node="GatherBackward0",
    vjp={"self": lambda K, g, self_shape, dim, index: _gathered(K, g, self_shape, dim, index)},
    jvp="linear",
    kept=("self",),
)
def _gather_sparse(K, self: Array, dim: int, index: Array) -> Array:
    """`_gather`, with a sparse gradient."""
    return K.gather(self, index, dim)


op_of(_gather_sparse).compiles = False


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


@one_node(lambda made: "GatherBackward0", "input")
def _gather_as_vectors(input: Tensor, index: Tensor, sparse_grad: bool) -> Tensor:
    """`gather` where one has no dimensions, which counts as having one."""
    picked = (_gather_sparse if sparse_grad else _gather)(as_vector(input), 0, reshape(index, -1).long())
    return reshape(picked, index.shape)


@composite
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Elements at the positions `index` along `dim`, each at its own place of the other dimensions.

    With `sparse_grad` the gradient of `input` is a sparse tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gather.html
    """
    if type(sparse_grad) is not bool:
        raise no_flag("gather", "sparse_grad", sparse_grad)
    at = wrap_dim(dim, input.ndim)
    if input.ndim < 2 and index.ndim < 2 and not input.ndim == index.ndim == 1:
        check_positions("gather", input, at, index)
        return _gather_as_vectors(input, index, sparse_grad and input.ndim == 1)
    if not index.numel() and index.ndim != input.ndim:
        return gather(reshape(input, -1), 0, reshape(index, -1)).reshape(index.shape)
    for i, (n, size) in enumerate(zip(index._array.shape, input._array.shape, strict=False)):
        if i != at and n > size and index.ndim == input.ndim:
            raise RuntimeError(
                f"Size does not match at dimension {i} expected index {list(index.shape)} to be no larger than self "
                f"{list(input.shape)} apart from dimension {at}"
            )
    check_positions("gather", input, at, index)
    return (_gather_sparse if sparse_grad else _gather)(input, at, index.long())


@op(
    name="_scatter",
    node="ScatterBackward0",
    vjp={
        "self": lambda K, g, dim, index: K.scatter_fill_zero(g, dim, index),
        "src": lambda K, g, dim, index, src_shape: in_corner(K, K.gather(g, index, dim), src_shape),
    },
    jvp="linear",
)
def _scatter(K, self: Array, dim: int, index: Array, src: Array) -> Array:
    """A copy of `self` with `src` set at `index`."""
    return K.scatter(self, index, corner(K, src, index.shape), dim)


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


@op(
    name="_scatter_value",
    node="ScatterBackward1",
    vjp={"self": lambda K, g, dim, index: K.scatter_fill_zero(g, dim, index)},
    jvp={"self": lambda K, t, dim, index: K.scatter_fill_zero(t, dim, index)},
)
def _scatter_value(K, self: Array, dim: int, index: Array, value: float) -> Array:
    """A copy of `self` with a number at `index`."""
    return K.scatter(self, index, K.full(tuple(index.shape), value, self.dtype), dim)


def corner(K: Any, src: Any, shape: Any) -> Any:
    """The part of `src` that an index of `shape` reads: from the start of every dimension."""
    if tuple(src.shape) == tuple(shape):
        return src
    return K.slice(src, tuple(slice(0, n) for n in shape))


def in_corner(K: Any, g: Any, shape: Any) -> Any:
    if tuple(g.shape) == tuple(shape):
        return g
    return K.unslice(g, tuple(shape), tuple(slice(0, n) for n in g.shape))


@composite
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """A copy with the elements of `src` (a tensor or a number) written where `gather` would read.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.scatter.html
    """
    src = src if value is None else value
    if not input.ndim:
        return of_scalar(scatter, input, dim, index, src, reduce=reduce)
    at = wrap_dim(dim, input.ndim)
    check_scatter(input, at, index, src)
    index, src = as_vector(index), as_vector(src)
    if reduce not in (None, "add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    check_range(input, at, index)
    index = index.long()
    if not isinstance(src, Tensor):
        if reduce is None:
            return _scatter_value(input, at, index, checked_number(src, input.dtype))
        src = expand(constant(input, src), tuple(index.shape))
    if reduce == "add":
        return _scatter_add(input, at, index, src)
    if reduce == "multiply":
        return publics["scatter_reduce"](input, at, index, src, "prod")
    return _scatter(input, at, index, src)


@op(
    name="_scatter_add",
    node="ScatterAddBackward0",
    vjp={
        "self": lambda K, g: g,
        "src": lambda K, g, dim, index, src_shape: in_corner(K, K.gather(g, index, dim), src_shape),
    },
    jvp="linear",
    kept={"self": ("dim",)},
)
def _scatter_add(K, self: Array, dim: int, index: Array, src: Array) -> Array:
    """A copy of `self` with `src` added at `index`."""
    return K.scatter_add(self, index, corner(K, src, index.shape), dim)


@composite
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy with the elements of `src` added where `gather` would read; repeated positions add up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_add_.html
    """
    if not input.ndim:
        return of_scalar(scatter_add, input, dim, index, src)
    at = wrap_dim(dim, input.ndim)
    check_scatter(input, at, index, src)
    check_range(input, at, index)
    return _scatter_add(input, at, as_vector(index).long(), as_vector(src))


@composite
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened tensor at `index`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.take.html
    """
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"take(): Expected a long tensor for index, but got {index.dtype.type_name}")
    flat = flat_positions("take(): tried to take from an", index, input.numel())
    return watching((index,), tuple(input.shape), _taken, _take, lifted_to(input, (flat,)), (flat._array,))


def _taken(shape: tuple[int, ...], given: Sequence[Any]) -> tuple[Any]:
    """The index array of `take`, of the index that was given."""
    return (flat_positions("take(): tried to take from an", given[0], math.prod(shape))._array,)


def flat_positions(doing: str, index: Tensor, count: int) -> Tensor:
    """Positions in a flattened tensor, none of them negative; all checked. `doing` begins the error of an empty one."""
    if not index.numel():
        return index
    if not count:
        raise IndexError(f"{doing} empty tensor")
    if within(index, count):
        return index
    low, high = extremes(index)
    if low < -count or high >= count:
        wrong = low if low < -count else high
        raise IndexError(f"out of range: tried to access index {wrong} on a tensor of {count} elements.")
    return index.remainder(count)


@op(
    name="_take",
    node="TakeBackward0",
    vjp={
        "self": lambda K, g, self_shape, places: K.reshape(
            K.index_put_zeros(g, (math.prod(self_shape),), places), tuple(self_shape)
        )
    },
    jvp="linear",
    kept=("self",),
)
def _take(K, self: Array, places: Raw) -> Array:
    """`places`: raw positions in the flattened array, in range and not negative."""
    return K.index(K.reshape(self, (-1,)), places)


@composite
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with broadcasting; without `dim`, of the flattened tensor. With it, indices may be negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.take_along_dim.html
    """
    if dim is None:
        return gather(reshape(input, -1), 0, reshape(indices, -1))
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(
            f"retrograd.take_along_dim(): dtype of indices should be Long but got {indices.dtype.type_name}"
        )
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "retrograd.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    if not input.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    at = wrap_dim(dim, input.ndim)
    own = list(input.shape)
    own[at] = 1
    wanted = list(indices.shape)
    wanted[at] = 1
    common = list(broadcast_shapes(own, wanted))
    source = [*common[:at], input.shape[at], *common[at + 1 :]]
    target = [*common[:at], indices.shape[at], *common[at + 1 :]]
    if indices.numel() and extremes(indices)[0] < 0:
        indices = where(indices < 0, indices.remainder(input.shape[at]), indices)
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
def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where `condition` holds, else `other`; with `condition` alone, the coordinates where it holds.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.where.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([-1.0, 2.0])
    >>> retrograd.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if out is not None:
        return deliver("where", out, where(condition, input, other), (condition, input, other))
    if input is None and other is None:
        if is_mapped(condition):
            refuse_dynamic("where")
        return tuple(wrap_array(each, condition._kernels) for each in condition._kernels.nonzero(condition._array))
    if condition.dtype not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype.type_name}"
        )
    mask = condition if condition.dtype is dtypes.bool_ else condition.bool()
    if isinstance(input, Tensor) and isinstance(other, Tensor) and input._kernels is other._kernels is mask._kernels:
        shape = mask._array.shape
        if input._array.dtype == other._array.dtype and input._array.shape == other._array.shape == shape:
            return _where(mask, input, other)  # nothing broadcasts, and nothing is promoted
    broadcast_shapes(*(tuple(each._array.shape) for each in (mask, input, other) if isinstance(each, Tensor)))
    dtype = result_type(input, other)
    return _where(mask, *(_as_operand(each, mask, dtype) for each in (input, other)))


def _as_operand(value: Any, like: Tensor, dtype: dtypes.dtype) -> Tensor:
    if not isinstance(value, Tensor):
        # Of 16-bit types, what is too large is infinite.
        k, wide = like._kernels.base, dtypes.float64 if dtype in (dtypes.float16, dtypes.bfloat16) else dtype
        number = wrap_array(k.full((), checked_number(value, wide), k.dtypes[wide.name]), k)
        return number if wide is dtype else number.to(dtype)
    if value._kernels.base is not like._kernels.base and value.ndim == 0:
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
    order=(),
)
def _masked_fill(K, self: Array, mask: Array, value: float) -> Array:
    """`mask` is bool and broadcasts."""
    return K.row_major(K.where(mask, K.full((), value, self.dtype), self))


@op(
    name="_masked_fill_tensor",
    node="MaskedFillBackward1",
    vjp={
        "self": lambda K, g, mask, self_shape: sum_to(K, K.where(mask, K.zeros_like(g), g), self_shape),
        "value": lambda K, g, mask: sum_to(K, K.where(mask, g, K.zeros_like(g)), ()),
    },
    jvp="linear",
    batch=elementwise,
    order=(),
)
def _masked_fill_tensor(K, self: Array, mask: Array, value: Array) -> Array:
    """`value`: of no dimension and of the type of `self`."""
    return K.row_major(K.where(mask, value, self))


@composite
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A copy with `value` where `mask` holds.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.masked_fill_.html
    """
    broadcast_shapes(tuple(mask._array.shape), tuple(input._array.shape))
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.type_name.lower()}"
        )
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        if not is_mapped(value) and not value._kernels.meta:
            checked_number(value.detach().item(), input.dtype)
        return _masked_fill_tensor(input, mask, value.to(input.device).to(input.dtype))
    return _masked_fill(input, mask, checked_number(value, input.dtype))


def mask_folded(target: Tensor, dims: list[int], mask: Tensor, value: Any) -> tuple[Tensor, Any]:
    """The arguments of `masked_fill_` for the part of a tensor expanded along `dims` that has each element once."""
    if mask.dtype is not dtypes.bool_:
        return mask, value  # refused later
    check_broadcast(tuple(target._array.shape), tuple(mask._array.shape))
    for dim in dims:
        at = dim - target.ndim + mask.ndim
        if at >= 0:
            mask = mask.any(at, keepdim=True)
    return mask, value


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
    if mask.dtype not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes(tuple(mask._array.shape), tuple(input._array.shape)) or (1,)
    source = input if tuple(input._array.shape) == shape else expand(input, shape)
    if mask._kernels.base is not input._kernels.base:
        mask = mask.to(input.device)
    return watching((mask,), shape, _coordinates, _masked_select, source, _coordinates(shape, (mask,)))


def _coordinates(shape: tuple[int, ...], given: Sequence[Any]) -> Any:
    """The index arrays of `masked_select`, of the mask."""
    (mask,) = given
    return mask._kernels.nonzero(expand(mask, shape)._array)


@op(
    name="_masked_select",
    node="MaskedSelectBackward0",
    vjp={"self": lambda K, g, self_shape, places: K.index_put_zeros(g, self_shape, places)},
    jvp="linear",
    kept=("self",),
)
def _masked_select(K, self: Array, places: Raw) -> Array:
    """`places`: the raw coordinates of what is selected."""
    return K.index(self, places)


@composite
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy with the elements where `mask` holds replaced by those of `source`, in order."""
    shape = broadcast_shapes(tuple(mask._array.shape), tuple(input._array.shape))
    if source.dtype is not input.dtype:
        kinds = f"{input.dtype.type_name} and {source.dtype.type_name}"
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got{kinds}")
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(
            f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype.type_name}"
        )
    if input.dtype in dtypes.FLOAT8:
        raise not_implemented("masked_scatter", input.dtype)
    mask = mask if tuple(mask.shape) == shape else expand(mask, shape)
    if any(map(is_mapped, (input, mask, source))):
        return _scattered_by_rank(input, mask, reshape(source, -1))
    count = int(mask.sum().item())
    if source.numel() < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    if not shape:
        return _scattered_scalar(input, mask, source)
    target = input if tuple(input.shape) == shape else expand(input, shape)
    return watching((mask,), shape, _coordinates, _masked_scatter, target, _coordinates(shape, (mask,)), source)


@one_node(_name_within, "input", "source")
def _scattered_scalar(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    return reshape(masked_scatter(reshape(input, 1), reshape(mask, 1), source), ())


def _scattered_by_rank(input: Tensor, mask: Tensor, elements: Tensor) -> Tensor:
    """As `_scattered`, inside `vmap`: each place takes the element whose number is how many are taken before it."""
    rank = reshape(mask, -1).cumsum(0) - 1
    if rank.numel() and extremes(rank)[1] >= elements.shape[0]:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    if not elements.shape[0]:
        return expand(input, mask.shape).clone()
    taken = elements.index_select(0, rank.clamp(0))
    return where(mask, reshape(taken, mask.shape), input)


def _back_in_order(K: Any, g: Any, places: Any, shape: Any) -> Any:
    """The gradient of the elements that were taken in order, and zeros for those that were not."""
    taken = K.index(g, places)
    rest = math.prod(shape) - taken.shape[0]
    return K.reshape(K.pad(taken, ((0, rest),), 0) if rest else taken, tuple(shape))


@op(
    name="_masked_scatter",
    node="MaskedScatterBackward0",
    vjp={
        "self": lambda K, g, places: K.index_fill_zero(g, places),
        "source": lambda K, g, places, source_shape: _back_in_order(K, g, places, source_shape),
    },
    jvp="linear",
    kept=("source_shape", "self_shape"),
)
def _masked_scatter(K, self: Array, places: Raw, source: Array) -> Array:
    """`places`: the raw coordinates of what is replaced."""
    count = places[0].shape[0]
    return K.index_put(self, places, K.slice(K.reshape(source, (-1,)), (slice(0, count),)), False)


@composite
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The coordinates of the non-zero elements, a row each; or one tensor per dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nonzero.html
    """
    if type(as_tuple) is not bool:
        raise no_flag("nonzero", "as_tuple", as_tuple)
    if is_mapped(input):
        if as_tuple:
            raise RuntimeError(
                "Batching rule not implemented for aten::nonzero_numpy. We could not generate a fallback."
            )
        refuse_dynamic("nonzero")
    if input.dtype in dtypes.FLOAT8:
        raise not_implemented("nonzero_count_cpu", input.dtype)
    k = input._kernels
    source = input if input.ndim else reshape(input, 1)
    columns = [wrap_array(each, k) for each in k.nonzero(source._array)]
    if not as_tuple:
        none = k.zeros((columns[0].numel(), 0), k.dtypes["int64"])
        columns = [wrap_array(k.stack([each._array for each in columns], 1) if input.ndim else none, k)]
    remember_break("nonzero", (input,), columns, False, current_mode().grad)
    return tuple(columns) if as_tuple else columns[0]


@composite
def argwhere(input: Tensor) -> Tensor:
    """The coordinates of the non-zero elements, a row each."""
    if is_mapped(input):
        return sample_by_sample("argwhere", nonzero, input)
    return nonzero(input)
