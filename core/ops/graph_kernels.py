"""What the remaining kernels mean in graph mode: kernels whose signature no operator has.

See `retrograd.ops.graph`. Creation kernels are not here: a formula that needs zeros has something
to make them like.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.ops import arrange, indexing, subscript
from retrograd.ops.batching import along, elementwise, joined
from retrograd.ops.declare import Array, op, publics
from retrograd.ops.graph import graph_kernel
from retrograd.tensor import Tensor, wrap_array

__all__: list[str] = []


@graph_kernel("where", batch=elementwise)
def _where(condition: Tensor, self: Any, other: Any) -> Tensor:
    return indexing.where(condition, self, other)


@graph_kernel("zero_where", batch=elementwise)
def _zero_where(x: Tensor, condition: Tensor) -> Tensor:
    return publics["masked_fill"](x, condition, 0)


@graph_kernel("row_major", batch=elementwise)
def _row_major(x: Tensor) -> Tensor:
    return x


@graph_kernel("gather")
def _gather(x: Tensor, positions: Any, axis: int) -> Tensor:
    return indexing._gather(x, axis, _tensor(positions, x))


@graph_kernel("scatter")
def _scatter(x: Tensor, positions: Any, values: Any, axis: int) -> Tensor:
    return indexing._scatter(x, axis, _tensor(positions, x), values)


@graph_kernel("scatter_add")
def _scatter_add(x: Tensor, positions: Any, values: Any, axis: int) -> Tensor:
    return indexing._scatter_add(x, axis, _tensor(positions, x), values)


@graph_kernel("index_put")
def _index_put(x: Tensor, indices: Any, values: Any, accumulate: bool) -> Tensor:
    if not isinstance(values, Tensor):
        values = wrap_array(x._kernels.full((), values, x._array.dtype), x._kernels)
    return subscript.index_put_raw(x, indices, values, accumulate)


def _tensor(array: Any, like: Tensor) -> Tensor:
    """A position table as a tensor: formulas may have it raw."""
    return array if isinstance(array, Tensor) else wrap_array(array, like._kernels)


@graph_kernel("mean", batch=along)
def _mean(x: Tensor, axis: Sequence[int], keepdims: bool) -> Tensor:
    return publics["mean"](x, axis, keepdims) if axis else x


@graph_kernel("prod", batch=along)
def _prod(x: Tensor, axis: Sequence[int], keepdims: bool) -> Tensor:
    for each in sorted(axis, reverse=True):
        x = publics["prod"](x, each, keepdims)
    return x


@graph_kernel("logsumexp", batch=along)
def _logsumexp(x: Tensor, axis: Sequence[int], keepdims: bool) -> Tensor:
    return publics["logsumexp"](x, axis, keepdims)


def _predicate(name: str) -> None:
    @graph_kernel(name, batch=along)
    def reduce(x: Tensor, axis: Sequence[int], keepdims: bool) -> Tensor:
        return publics[name](x, axis, keepdims) if axis else x.bool()


_predicate("all")
_predicate("any")


def _position(name: str) -> None:
    @graph_kernel(name)
    def reduce(x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
        return publics[name](x, axis, keepdims)


_position("argmax")
_position("argmin")


@op("argsort", name="_argsort", batch=along)
def _argsort(self: Array, axis: int, descending: bool, stable: bool) -> Array:
    """Positions that sort along a non-negative axis."""


@graph_kernel("sort", batch=along)
def _sort(x: Tensor, axis: int, descending: bool, stable: bool) -> Tensor:
    return publics["sort"](x, dim=axis, descending=descending, stable=stable)[0]


def _same(name: str) -> None:
    """Kernels whose public function has the kernel's own signature."""

    @graph_kernel(name, batch=elementwise)
    def call(*arguments: Any) -> Any:
        return publics[name](*arguments)


for _name in ("complex", "imag", "pow", "real", "square"):
    _same(_name)


@graph_kernel("conj", batch=elementwise)
def _conj(x: Tensor) -> Tensor:
    return publics["_conj"](x) if x.is_complex() else x


@graph_kernel("clip", batch=elementwise)
def _clip(x: Tensor, low: Any, high: Any) -> Tensor:
    return publics["clamp"](x, low, high)


@graph_kernel("stack", batch=joined)
def _stack(xs: Sequence[Tensor], axis: int) -> Tensor:
    return arrange._stack(list(xs), axis)


# -- any layout --------------------------------------------------------------------------------


@op(
    "as_strided",
    name="_as_strided_copy",
    node="AsStridedBackward0",
    vjp={"self": lambda K, g, self_shape, strides, offset: K.unstride(g, self_shape, strides, offset)},
    jvp="linear",
)
def _as_strided_copy(self: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    """The elements of a layout, as a copy."""


@op(
    "unstride",
    name="_unstride",
    node="AsStridedBackwardBackward0",
    vjp={"self": lambda K, g, self_shape, strides, offset: K.as_strided(g, self_shape, strides, offset)},
    jvp="linear",
)
def _unstride(self: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    """Zeros of `shape` with the elements of `self` added where `as_strided` would read."""
