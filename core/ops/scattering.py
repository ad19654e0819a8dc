"""Copies with a part replaced, or with elements reduced into the places that an index names.

Note [Weights of a reduction]
    What `scatter_reduce` computes is, near a point, linear in its inputs: a place of the result moves by its own
    element times a weight, and by each element of `src` that goes there times its weight. The weights are written
    once (`_own_weight`, `_weights`); gradient and tangent are products with them. Of a maximum all elements that
    equal it share the weight evenly, as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd import dtypes
from retrograd.autograd.delayed import DelayedError
from retrograd.ops.arguments import as_int, as_tuple, wrap_dim
from retrograd.ops.checks import not_implemented, within
from retrograd.ops.conversion import contiguous
from retrograd.ops.declare import Array, Raw, composite, op
from retrograd.ops.factories import ones_like, zeros_like
from retrograd.ops.flags import flagged
from retrograd.ops.given_indices import watching
from retrograd.ops.graph import G, graph_kernel
from retrograd.ops.indexing import _scatter_add, as_vector, corner, flat_positions, in_corner, of_scalar, where
from retrograd.ops.shape import diagonal, expand, reshape, select, slice_assign, slice_dim
from retrograd.ops.slice_checks import check_range, check_scatter
from retrograd.ops.subscript import lifted_to
from retrograd.tensor import Tensor, wrap_array
from retrograd.views import Diagonal

__all__: list[str] = []

# -- reductions ----------------------------------------------------------------------------------


def _reduced(K: Any, self: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool) -> Any:
    """What `scatter_reduce` computes, of a `src` of the index's shape."""
    base = self
    if not include_self:
        # Of equals of `src` a maximum takes no notice; a sum begins with zeros and a product with ones.
        neutral = K.zeros_like(src) if reduce in ("sum", "mean") else _ones(K, src) if reduce == "prod" else src
        base = K.scatter(self, index, neutral, dim)
    if reduce == "sum":
        return K.scatter_add(base, index, src, dim)
    if reduce != "mean":
        return K.scatter_reduce(base, index, src, dim, reduce)
    return K.scatter_add(base, index, src, dim) / _counts(K, self, dim, index, src, include_self)


def _ones(K: Any, like: Any) -> Any:
    return K.zeros_like(like) + 1


def _counts(K: Any, self: Any, dim: int, index: Any, src: Any, include_self: bool) -> Any:
    """How many elements a mean is of; 1 where there are none."""
    own = _ones(K, self)
    if not include_self:
        own = K.scatter(own, index, K.zeros_like(src), dim)
    return K.scatter_add(own, index, _ones(K, src), dim)


def _as_number(K: Any, condition: Any, like: Any) -> Any:
    return K.astype(condition, like.dtype)


def _own_weight(K: Any, self: Any, src: Any, result: Any, dim: int, index: Any, reduce: str, include_self: bool) -> Any:
    """See Note [Weights of a reduction]: of the elements of `self`."""
    src = corner(K, src, index.shape)
    ones = _ones(K, self)
    if reduce == "sum":
        weight = ones
    elif reduce == "mean":
        weight = ones / _counts(K, self, dim, index, src, include_self)
    elif reduce == "prod":
        weight = K.scatter_reduce(ones, index, src, dim, "prod")
    else:
        weight = _as_number(K, self == result, self) / _sharers(K, self, src, result, dim, index, include_self)
    if include_self:
        return weight
    return K.scatter(weight, index, K.zeros_like(src), dim)


def _weights(K: Any, self: Any, src: Any, result: Any, dim: int, index: Any, reduce: str, include_self: bool) -> Any:
    """See Note [Weights of a reduction]: of the elements of `src` that the index reads."""
    src = corner(K, src, index.shape)
    if reduce == "sum":
        return _ones(K, src)
    if reduce == "mean":
        return _ones(K, src) / K.gather(_counts(K, self, dim, index, src, include_self), index, dim)
    if reduce == "prod":
        return _others_product(K, self, src, result, dim, index, include_self)
    equal = _as_number(K, src == K.gather(result, index, dim), self)
    return equal / K.gather(_sharers(K, self, src, result, dim, index, include_self), index, dim)


def _sharers(K: Any, self: Any, src: Any, result: Any, dim: int, index: Any, include_self: bool) -> Any:
    """How many elements equal the maximum; 1 where there are none."""
    own = _as_number(K, self == result, self)
    if not include_self:
        own = K.scatter(own, index, K.zeros_like(src), dim)
    count = K.scatter_add(own, index, _as_number(K, src == K.gather(result, index, dim), self), dim)
    return K.where(count == 0, _ones(K, self), count)


def _others_product(K: Any, self: Any, src: Any, result: Any, dim: int, index: Any, include_self: bool) -> Any:
    """The product of all elements but this: by division, except where this is zero."""
    is_zero = src == 0
    safe = K.where(is_zero, _ones(K, src), src)
    base = self if include_self else _ones(K, self)
    without_zeros = K.gather(K.scatter_reduce(base, index, safe, dim, "prod"), index, dim)
    zeros = K.scatter_add(K.zeros_like(self), index, _as_number(K, is_zero, self), dim)
    alone = K.gather(zeros, index, dim) == 1
    of_zero = K.where(alone, without_zeros, K.zeros_like(src))
    return K.where(is_zero, of_zero, K.gather(result, index, dim) / safe)


def _not_again(gradient: Any, src: Any, dim: int, index: Any, like: Any, called: str) -> Any:
    """The gradient of `src` in a product: where two zeros meet at a place, it cannot be differentiated.

    See Note [Weights of a reduction]: there, it changes with neither of them alone. `called` is for the error.
    """
    if not isinstance(gradient, Tensor) or not gradient.requires_grad or gradient._kernels.level:
        return gradient
    src, index = (each if isinstance(each, Tensor) else wrap_array(each, gradient._kernels) for each in (src, index))
    met = _scatter_add(zeros_like(like), dim, index, corner(G, (src == 0).to(like.dtype), index.shape)) > 1
    if not bool(met.any()):
        return gradient
    name, source = called.split()
    message = (
        f"Double backward is unsupported for {source} when >1 zeros in {source} are scattered to the same position"
    )
    return DelayedError(f"{name}(): {message} in self", 1)(gradient)


def _gradient_of_src(
    K: Any, g: Any, self: Any, src: Any, result: Any, dim: int, index: Any, reduce: str, include_self: bool,
    src_shape: Any, called: str,
) -> Any:  # fmt: skip
    weights = _weights(K, self, src, result, dim, index, reduce, include_self)
    found = in_corner(K, K.gather(g, index, dim) * weights, src_shape)
    return _not_again(found, src, dim, index, self, called) if reduce == "prod" else found


def _reduction(called: str) -> dict[str, Any]:
    """What the declarations have in common; `called` is what errors call them and their source."""
    return {
        "vjp": {
            "self": lambda K, g, self, src, result, dim, index, reduce, include_self: (
                g * _own_weight(K, self, src, result, dim, index, reduce, include_self)
            ),
            "src": lambda K, g, self, src, result, dim, index, reduce, include_self, src_shape: _gradient_of_src(
                K, g, self, src, result, dim, index, reduce, include_self, src_shape, called
            ),
        },
        "jvp": {
            "self": lambda K, t, self, src, result, dim, index, reduce, include_self: (
                t * _own_weight(K, self, src, result, dim, index, reduce, include_self)
            ),
            "src": lambda K, t, self, src, result, dim, index, reduce, include_self: K.scatter_add(
                K.zeros_like(self),
                index,
                corner(K, t, index.shape) * _weights(K, self, src, result, dim, index, reduce, include_self),
                dim,
            ),
        },
        "holomorphic": False,
    }


@op(name="_scatter_reduce", node="ScatterReduceBackward0", **_reduction("scatter_reduce src"))
def _scatter_reduce(K, self: Array, dim: int, index: Array, src: Array, reduce: str, include_self: bool) -> Array:
    """`index`: integers, in range."""
    return _reduced(K, self, dim, index, corner(K, src, index.shape), reduce, include_self)


@op(name="_index_reduce", node="IndexReduceBackward0", **_reduction("index_reduce source"))
def _index_reduce(K, self: Array, dim: int, index: Array, src: Array, reduce: str, include_self: bool) -> Array:
    """`index`: as long as `src` in every dimension."""
    return _reduced(K, self, dim, index, src, reduce, include_self)


@graph_kernel("scatter_reduce")
def _graph_scatter_reduce(x: Tensor, positions: Any, values: Tensor, axis: int, reduce: str) -> Tensor:
    index = positions if isinstance(positions, Tensor) else wrap_array(positions, x._kernels)
    return _scatter_reduce(x, axis, index, values, reduce, True)


_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


@composite
@flagged
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy with the elements of `src` reduced into the places where `gather` would read.

    Parameters
    ----------
    reduce
        `"sum"`, `"prod"`, `"mean"`, `"amax"` or `"amin"`.
    include_self
        Whether the element of `input` at a place takes part.

    Raises
    ------
    RuntimeError
        If the shapes do not fit, a position is out of range, the types differ, or there is no such reduction.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.scatter_reduce_.html

    Examples
    --------
    >>> import retrograd
    >>> x, index = retrograd.tensor([1.0, 2.0, 3.0, 4.0]), retrograd.tensor([0, 1, 0, 1])
    >>> retrograd.zeros(2).scatter_reduce(0, index, x, "amax")
    tensor([3., 4.])
    """
    at = wrap_dim(dim, input.ndim)
    check_scatter(input, at, index, src)
    if reduce not in _REDUCTIONS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if (input.is_complex() and reduce in ("amax", "amin")) or (input.dtype is dtypes.bool_ and reduce == "mean"):
        raise not_implemented(f"scatter_gather_tensor_cpu_reduce_{reduce}", input.dtype)
    if not input.ndim:
        return of_scalar(scatter_reduce, input, dim, index, src, reduce, include_self=include_self)
    wrap_dim(dim, src.ndim)
    check_range(input, at, index)
    return _call(_scatter_reduce, input, at, as_vector(index).long(), as_vector(src), reduce, include_self)


def _call(
    operator: Any, input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool
) -> Tensor:
    """The operator; a mean of whole numbers is a sum divided and rounded down."""
    if input.dtype is dtypes.bool_:  # a sum is whether one holds, a product whether all do
        reduce = {"sum": "amax", "prod": "amin"}.get(reduce, reduce)
    if reduce != "mean" or input.dtype.is_differentiable:
        return operator(input, dim, index, src, reduce, include_self)
    total, counts = (
        _scatter_reduce(own, dim, index, other, "sum", include_self)
        for own, other in ((input, src), (ones_like(input), ones_like(src)))
    )
    return total.floor_divide(where(counts == 0, ones_like(counts), counts))


@composite
@flagged
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy with the slices of `source` reduced into those that `index` names: by `prod`, `mean`, `amax` or `amin`.

    Raises
    ------
    RuntimeError, IndexError
        If there is no such reduction, the sizes do not fit, or an index is out of range.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.index_reduce_.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> retrograd.ones(2, 2).index_reduce(0, retrograd.tensor([0, 0]), x, "prod")
    tensor([[3., 8.],
            [1., 1.]])
    """
    if not input.ndim:
        return of_scalar(index_reduce, input, dim, index, source, reduce, include_self=include_self)
    at = wrap_dim(dim, input.ndim)
    if reduce not in _REDUCTIONS[1:]:
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    if source.dtype is not input.dtype:
        kinds = f"self ({input.dtype.type_name}) and source ({source.dtype.type_name})"
        raise RuntimeError(f"index_reduce_(): {kinds} must have the same scalar type")
    if input.is_complex() or input.dtype is dtypes.bool_:
        raise not_implemented("index_func_", input.dtype)
    if index.numel() != source.shape[at]:
        raise RuntimeError(
            f"index_reduce_(): Number of indices ({index.numel()}) should be equal to source.size(dim): "
            f"({source.shape[at]}), for dim: {at}"
        )
    own, given = tuple(input.shape), tuple(source.shape)
    if (*own[:at], *own[at + 1 :]) != (*given[:at], *given[at + 1 :]):
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = "
            f"{list(own)} source.shape = {list(given)}"
        )
    if not within(index, input.shape[at]):
        raise IndexError("index out of range in self")
    along = (1,) * at + (index.numel(),) + (1,) * (source.ndim - at - 1)
    positions = expand(reshape(index.long(), along), tuple(source.shape))
    return _call(_index_reduce, input, at, positions, source, reduce, include_self)


# -- by flat positions ---------------------------------------------------------------------------


@op(
    name="_put",
    node="PutBackward0",
    vjp={
        "self": lambda K, g, self_shape, index, accumulate: (
            g if accumulate else K.reshape(K.index_fill_zero(K.reshape(g, (-1,)), (index,)), tuple(self_shape))
        ),
        "source": lambda K, g, index, source_shape: K.reshape(
            K.index(K.reshape(g, (-1,)), (index,)), tuple(source_shape)
        ),
    },
    jvp="linear",
    kept={"self": ("accumulate",), "source": ("source", "accumulate")},
)
def _put(K, self: Array, index: Raw, source: Array, accumulate: bool) -> Array:
    """`index`: raw integers in one dimension, in range and not negative."""
    flat = K.index_put(K.reshape(self, (-1,)), (index,), K.reshape(source, (-1,)), accumulate)
    return K.reshape(flat, tuple(self.shape))


@composite
@flagged
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with the elements of `source` at the positions `index` of the flattened tensor, set or added.

    Raises
    ------
    RuntimeError
        If `index` is not of type int64, or the types differ.
    IndexError
        If a position is out of range, or there are not as many positions as elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.put_.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.zeros(2, 2).put(retrograd.tensor([0, -1]), retrograd.tensor([5.0, 6.0]))
    tensor([[5., 0.],
            [0., 6.]])
    """
    if index.dtype is not dtypes.int64:
        raise RuntimeError(f"put_(): Expected a long tensor for index, but got {index.dtype.type_name}")
    if input.dtype is not source.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = {input.dtype.type_name} "
            f"and source.dtype = {source.dtype.type_name}"
        )
    if index.numel() != source.numel():
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source.numel()}, index.numel() = {index.numel()}"
        )
    places, shape = _put_places(tuple(input.shape), (index,)), tuple(input.shape)
    target = lifted_to(input, (index, source))
    return watching((index,), shape, _put_places, _put, target, places, source, accumulate)


def _put_places(shape: tuple[int, ...], given: Sequence[Any]) -> Any:
    """The index array of `put`, of the index that was given."""
    flat = flat_positions("put_(): Tried to put elements into an", given[0], math.prod(shape))
    return reshape(flat, -1)._array


# -- a part of a tensor --------------------------------------------------------------------------


def _check_part(src: Tensor, part: Sequence[int]) -> None:
    if tuple(src._array.shape) != tuple(part):
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src.shape)}, slice size = {list(part)}"
        )


@composite
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """A copy of `input` with `src` in place of `input[start:end:step]` at `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.slice_scatter.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.slice_scatter(retrograd.zeros(4), retrograd.ones(2), 0, 1, 3)
    tensor([0., 1., 1., 0.])
    """
    at, step = wrap_dim(dim, input.ndim), as_int(step)
    start, end = (each if each is None else as_int(each) for each in (start, end))
    _check_part(src, slice_dim(input.detach(), at, start, end, step).shape)
    return slice_assign(input, (slice(None),) * at + (slice(start, end, step),), src.to(input.dtype))


@op(
    name="_select_scatter",
    node="SelectScatterBackward0",
    vjp={
        "self": lambda K, g, dim, index: K.slice_assign(g, _at(dim, index), K.zeros_like(K.slice(g, _at(dim, index)))),
        "src": lambda K, g, dim, index: K.slice(g, _at(dim, index)),
    },
    jvp="linear",
)
def _select_scatter(K, self: Array, src: Array, dim: int, index: int) -> Array:
    """`dim` and `index` are not negative."""
    return K.slice_assign(self, _at(dim, index), src)


def _at(dim: int, index: int) -> tuple[Any, ...]:
    return (slice(None),) * dim + (index,)


@composite
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of `input` with `src` in place of one index of `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.select_scatter.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.select_scatter(retrograd.zeros(2, 2), retrograd.ones(2), 0, 1)
    tensor([[0., 0.],
            [1., 1.]])
    """
    at = wrap_dim(dim, input.ndim)
    _check_part(src, select(input.detach(), at, index).shape)
    return _select_scatter(input, src.to(input.dtype), at, index % input.shape[at])


def _undiagonal(K: Any, g: Any, shape: Any, offset: int, dim1: int, dim2: int) -> Any:
    return Diagonal(offset, dim1, dim2).adjoint(K, g, tuple(shape))


@op(
    name="_diagonal_scatter",
    node="DiagonalScatterBackward0",
    vjp={
        "self": lambda K, g, offset, dim1, dim2: _on_diagonal(
            K, g, K.zeros_like(K.diagonal(g, offset, dim1, dim2)), offset, dim1, dim2
        ),
        "src": lambda K, g, offset, dim1, dim2: K.diagonal(g, offset, dim1, dim2),
    },
    jvp="linear",
)
def _diagonal_scatter(K, self: Array, src: Array, offset: int, dim1: int, dim2: int) -> Array:
    """The dimensions are not negative."""
    return _on_diagonal(K, self, src, offset, dim1, dim2)


def _on_diagonal(K: Any, x: Any, src: Any, offset: int, dim1: int, dim2: int) -> Any:
    there = _undiagonal(K, _ones(K, src), x.shape, offset, dim1, dim2) == 1
    return K.where(there, _undiagonal(K, src, x.shape, offset, dim1, dim2), x)


@composite
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of `input` with `src` in place of a diagonal.

    Raises
    ------
    RuntimeError
        If `src` has not the shape of that diagonal.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.diagonal_scatter.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.diagonal_scatter(retrograd.zeros(2, 2), retrograd.ones(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    axes = wrap_dim(dim1, input.ndim), wrap_dim(dim2, input.ndim)
    _check_part(src, diagonal(input.detach(), offset, *axes).shape)
    return _diagonal_scatter(input, src.to(input.dtype), offset, *axes)


@op(
    name="_as_strided_scatter",
    node="AsStridedScatterBackward0",
    vjp={
        "self": lambda K, g, size, stride, storage_offset: _on_layout(K, g, None, size, stride, storage_offset),
        "src": lambda K, g, size, stride, storage_offset: K.as_strided(g, size, stride, storage_offset),
    },
    jvp="linear",
)
def _as_strided_scatter(
    K, self: Array, src: Array, size: tuple[int, ...], stride: tuple[int, ...], storage_offset: int
) -> Array:
    """`self` is contiguous, and no two elements of the layout are one."""
    return _on_layout(K, self, src, size, stride, storage_offset)


def _on_layout(K: Any, x: Any, src: Any, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    shape = tuple(x.shape)
    there = K.unstride(_ones(K, K.as_strided(x, size, stride, offset)), shape, stride, offset) == 1
    return K.where(there, K.zeros_like(x) if src is None else K.unstride(src, shape, stride, offset), x)


@composite
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A copy of `input` with `src` in place of `input.as_strided(size, stride, storage_offset)`.

    The layout is that of the copy, which is contiguous; no two of its elements may be one. (The gradient of `input` is
    the derivative: zero where `src` stands. PyTorch 2.13 has it the other way round.)

    Raises
    ------
    RuntimeError
        If `src` has another shape, or the layout goes beyond the tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.as_strided_scatter.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.as_strided_scatter(retrograd.zeros(2, 2), retrograd.ones(2), (2,), (3,))
    tensor([[1., 0.],
            [0., 1.]])
    """
    sizes, strides = as_tuple(size), as_tuple(stride)
    plain = contiguous(input)
    offset = 0 if storage_offset is None else as_int(storage_offset)
    _check_part(src, plain.detach().clone().as_strided(sizes, strides, offset).shape)
    return _as_strided_scatter(plain, src.to(input.dtype), sizes, strides, offset)


# -- the main diagonal ---------------------------------------------------------------------------


@flagged
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write a number on the main diagonal, in place.

    Parameters
    ----------
    wrap
        Begin again below the end of the diagonal of a tall matrix, one row apart.

    Raises
    ------
    RuntimeError
        If there are less than two dimensions, or more that are not of one size.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.fill_diagonal_.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.zeros(2, 2).fill_diagonal_(3)
    tensor([[3., 0.],
            [0., 3.]])
    """
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.ndim > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    steps, offset = self.stride(), self.storage_offset()
    width = self.shape[1]
    starts = range(0, self.shape[0], width + 1) if wrap and self.ndim == 2 else (0,)
    for row in starts:
        count = min(width, self.shape[0] - row)
        self.as_strided((count,), (sum(steps),), offset + row * steps[0]).fill_(fill_value)
    return self
