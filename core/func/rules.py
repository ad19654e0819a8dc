"""Batching rules of the primitives that are no single operator's: shapes, indexing, creation, the host.

The rules of operators stand in their declarations; see `retrograd.ops.batching`. Here are those of
kernels that several operators share, or that an operator calls in another form than its own. A rule
is called like the kernel, with the table of the level in front.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from retrograd.ops.batching import Rule, is_array, refuse_dynamic
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.graph import G
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.func.batched import Batched, BatchedKernels

__all__ = ["PRIMITIVES"]

PRIMITIVES: dict[str, Rule] = {}
"""The rule of each kernel of this module, by the kernel's name."""


def primitive(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for name in names:
            PRIMITIVES[name] = function
        return function

    return register


# -- shape ---------------------------------------------------------------------------------------


@primitive("permute_dims")
def _permute_dims(table: BatchedKernels, x: Any, axes: tuple[int, ...]) -> Batched:
    x = table.of(x)
    if not x.mapped:
        return table.wrap(G.permute_dims(x.value, axes), False)
    return table.wrap(G.permute_dims(x.value, (0, *(each + 1 for each in axes))), True)


@primitive("broadcast_to")
def _broadcast_to(table: BatchedKernels, x: Any, shape: tuple[int, ...]) -> Batched:
    x = table.of(x)
    if not x.mapped:
        return table.wrap(G.broadcast_to(x.value, tuple(shape)), False)
    return table.wrap(G.broadcast_to(x.aligned(len(shape)), (table.size, *shape)), True)


def _key(x: Batched, key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (slice(None), *key) if x.mapped else tuple(key)


@primitive("slice")
def _slice(table: BatchedKernels, x: Any, key: tuple[Any, ...]) -> Batched:
    x = table.of(x)
    return table.wrap(G.slice(x.value, _key(x, key)), x.mapped)


@primitive("unslice")
def _unslice(table: BatchedKernels, g: Any, shape: tuple[int, ...], key: tuple[Any, ...]) -> Batched:
    g = table.of(g)
    return table.wrap(G.unslice(g.value, (table.size, *shape) if g.mapped else tuple(shape), _key(g, key)), g.mapped)


@primitive("slice_assign")
def _slice_assign(table: BatchedKernels, x: Any, key: tuple[Any, ...], value: Any) -> Batched:
    x = table.of(x)
    value = table.of(value) if is_array(value) else table.of(table.lower.full((), value, x.dtype))
    if not x.mapped and not value.mapped:
        return table.wrap(G.slice_assign(x.value, tuple(key), value.value), False)
    spread = table.spread(x)
    target = len(G.slice(spread, (slice(None), *key))._array.shape) - 1
    return table.wrap(G.slice_assign(spread, (slice(None), *key), value.aligned(target)), True)


@primitive("as_strided")
def _as_strided(
    table: BatchedKernels, x: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> Batched:
    """A layout is one on the sample's own memory: the samples follow each other."""
    x = table.of(x)
    if not x.mapped:
        return table.wrap(G.as_strided(x.value, shape, strides, offset), False)
    step = math.prod(x.shape)
    return table.wrap(G.as_strided(G.copy(x.value), (table.size, *shape), (step, *strides), offset), True)


@primitive("unstride")
def _unstride(table: BatchedKernels, g: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Batched:
    g = table.of(g)
    if not g.mapped:
        return table.wrap(G.unstride(g.value, shape, strides, offset), False)
    return table.wrap(G.unstride(g.value, (table.size, *shape), (math.prod(shape), *strides), offset), True)


# -- positions -----------------------------------------------------------------------------------


def _position(name: str) -> None:
    @primitive(name)
    def kernel(table: BatchedKernels, x: Any, axis: int | None, keepdims: bool) -> Batched:
        x = table.of(x)
        if axis is not None:
            return table.wrap(getattr(G, name)(x.value, axis + x.mapped, keepdims), x.mapped)
        ones = (1,) * x.ndim
        flat = G.reshape(x.value, (table.size, -1) if x.mapped else (-1,))
        found = getattr(G, name)(flat, int(x.mapped), False)
        shape = ((table.size,) if x.mapped else ()) + (ones if keepdims else ())
        return table.wrap(G.reshape(found, shape), x.mapped)


_position("argmax")
_position("argmin")


# -- indexing ----------------------------------------------------------------------------------


def _split_indices(table: BatchedKernels, indices: Sequence[Any]) -> tuple[list[Any], bool]:
    arrays = [None if each is None else table.of(each) for each in indices]
    return arrays, any(each is not None and each.mapped for each in arrays)


def _raw(array: Batched, ndim: int) -> Any:
    """The raw index array of the level below, aligned so that several broadcast."""
    return array.aligned(ndim)._array


def _lower_indices(table: BatchedKernels, arrays: list[Any], ndim: int, x_mapped: bool, mapped: bool) -> Any:
    """Index arrays for the level below: the sample's own number in front where indices differ by sample."""
    below = tuple(None if each is None else _raw(each, ndim) for each in arrays)
    if not x_mapped:
        return below
    if not mapped:
        return (None, *below)
    samples = table.lower.arange(0, table.size, 1, table.lower.dtypes["int64"])
    return (table.lower.reshape(samples, (table.size, *(1,) * ndim)), *below)


@primitive("index")
def _index(table: BatchedKernels, x: Any, indices: Sequence[Any]) -> Batched:
    x = table.of(x)
    arrays, mapped = _split_indices(table, indices)
    ndim = max((each.ndim for each in arrays if each is not None), default=0)
    if not x.mapped and not mapped:
        return table.wrap(G.index(x.value, tuple(_lower_indices(table, arrays, ndim, False, False))), False)
    source = table.spread(x) if mapped else x.value
    picked = G.index(source, _lower_indices(table, arrays, ndim, True, mapped))
    return table.wrap(_joint_back(picked, arrays, ndim, mapped), True)


def _places(arrays: list[Any]) -> tuple[list[int], bool]:
    places = [i for i, each in enumerate(arrays) if each is not None]
    return places, bool(places) and places == list(range(places[0], places[-1] + 1))


def _joint_back(picked: Tensor, arrays: list[Any], ndim: int, mapped: bool) -> Tensor:
    """Put the hidden dimension first and the indexed dimensions where they belong without it."""
    places, adjacent = _places(arrays)
    total = len(picked._array.shape)
    if not mapped:
        if adjacent:
            return picked  # the hidden dimension was in front of the indexed ones
        axes = (ndim, *range(ndim), *range(ndim + 1, total))  # they went in front of it
        return G.permute_dims(picked, axes)
    before = places[0] if adjacent else 0
    if before == 0:
        return picked  # the sample's number is adjacent to them
    # The sample's number and the others are apart, so all went to the front: (hidden, joint, rest).
    rest = list(range(1 + ndim, total))
    return G.permute_dims(picked, (0, *rest[:before], *range(1, 1 + ndim), *rest[before:]))


def _joint_front(value: Tensor, arrays: list[Any], ndim: int, mapped: bool) -> Tensor:
    """The inverse of `_joint_back`, for values to be put."""
    places, adjacent = _places(arrays)
    total = len(value._array.shape)
    if not mapped:
        if adjacent:
            return value
        return G.permute_dims(value, (*range(1, ndim + 1), 0, *range(ndim + 1, total)))
    before = places[0] if adjacent else 0
    if before == 0:
        return value
    joint = range(1 + before, 1 + before + ndim)
    return G.permute_dims(value, (0, *joint, *range(1, 1 + before), *range(1 + before + ndim, total)))


@primitive("index_put")
def _index_put(table: BatchedKernels, x: Any, indices: Sequence[Any], values: Any, accumulate: bool) -> Batched:
    x = table.of(x)
    arrays, mapped = _split_indices(table, indices)
    ndim = max((each.ndim for each in arrays if each is not None), default=0)
    values = table.of(values) if is_array(values) else table.of(table.lower.full((), values, x.dtype))
    if not (x.mapped or mapped or values.mapped):
        below = _lower_indices(table, arrays, ndim, False, False)
        return table.wrap(G.index_put(x.value, below, values.value, accumulate), False)
    below = _lower_indices(table, arrays, ndim, True, mapped)
    joint = _joint_shape(arrays)
    rest = [n for i, n in enumerate(x.shape) if i >= len(arrays) or arrays[i] is None]
    places, adjacent = _places(arrays)
    at = places[0] if adjacent else 0
    shape = (*rest[:at], *joint, *rest[at:])
    full = G.broadcast_to(values.aligned(len(shape)), (table.size, *shape))
    put = G.index_put(table.spread(x), below, _joint_front(full, arrays, len(joint), mapped), accumulate)
    return table.wrap(put, True)


def _joint_shape(arrays: list[Any]) -> tuple[int, ...]:
    return broadcast_shapes(*(each.shape for each in arrays if each is not None))


@primitive("gather")
def _gather(table: BatchedKernels, x: Any, positions: Any, axis: int) -> Batched:
    x, positions = table.of(x), table.of(positions)
    if not x.mapped and not positions.mapped:
        return table.wrap(G.gather(x.value, positions.value, axis), False)
    return table.wrap(G.gather(table.spread(x), table.spread(positions), axis + 1), True)


def _scattering(name: str) -> None:
    @primitive(name)
    def kernel(table: BatchedKernels, x: Any, positions: Any, values: Any, axis: int, *how: str) -> Batched:
        spread = [table.spread(each) for each in (x, positions, values)]
        return table.wrap(getattr(G, name)(*spread, axis + 1, *how), True)


_scattering("scatter")
_scattering("scatter_add")
_scattering("scatter_reduce")


# -- products ------------------------------------------------------------------------------------


@primitive("matmul")
def _matmul(table: BatchedKernels, a: Any, b: Any) -> Batched:
    a, b = table.of(a), table.of(b)
    ndim = max(a.ndim, b.ndim)
    return table.wrap(G.matmul(a.aligned(ndim), b.aligned(ndim)), a.mapped or b.mapped)


# -- creation ------------------------------------------------------------------------------------


def _creation(name: str) -> None:
    @primitive(name)
    def kernel(table: BatchedKernels, *arguments: Any) -> Batched:
        return table.of(getattr(table.lower, name)(*arguments))


for _kernel in ("arange", "empty", "eye", "from_host", "full", "linspace", "ones", "zeros"):
    _creation(_kernel)


# -- what cannot be ------------------------------------------------------------------------------


@primitive("to_host")
def _to_host(table: BatchedKernels, x: Any) -> Any:
    x = table.of(x)
    if not x.mapped:
        return table.lower.to_host(x.value._array)
    raise RuntimeError(
        "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a "
        "Tensor, please try to rewrite what you're doing with other operations. If error is occurring somewhere inside "
        "PyTorch internals, please file a bug report."
    )


@primitive("nonzero")
def _nonzero(table: BatchedKernels, x: Any) -> Any:
    x = table.of(x)
    if not x.mapped:
        return tuple(table.of(each) for each in table.lower.nonzero(x.value._array))
    refuse_dynamic("nonzero")


@primitive("random_bits")
def _random_bits(table: BatchedKernels, *arguments: Any) -> NoReturn:
    """Never called: random numbers are drawn at the level below, by `BatchedKernels.random`."""
    raise NotImplementedError("random bits are drawn at the level below")
