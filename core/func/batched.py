"""Batching as a backend: the kernels that `vmap` computes with.

Inside `vmap` a tensor's array is a `Batched`: a tensor of the level below with one more dimension
in front, which the mapped function does not see. Its kernels are those of this module: each is the
batching rule of one primitive, written with the differentiable operators `G` of the level below.
So all that is built on kernels (the graph, the derivative formulas, views and in-place writes)
works on batched tensors as on any others, and vmap, grad and jvp nest freely.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.backends.spec import OPTIONAL, Kernels
from retrograd.ops import decompositions
from retrograd.ops.graph import G
from retrograd.tensor import Tensor, wrap_array

__all__ = ["Batched", "BatchedKernels"]

Axes = tuple[int, ...]


class Batched:
    """An array of the mapped function: `value` with its leading dimension hidden if `mapped`."""

    __slots__ = ("__weakref__", "mapped", "table", "value")

    def __init__(self, value: Tensor, mapped: bool, table: BatchedKernels) -> None:
        self.value = value
        self.mapped = mapped
        self.table = table

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value._array.shape[self.mapped :])

    @property
    def ndim(self) -> int:
        return len(self.value._array.shape) - self.mapped

    @property
    def dtype(self) -> Any:
        return self.value._array.dtype

    @property
    def mT(self) -> Batched:  # the array API's name
        return Batched(self.value.mT, self.mapped, self.table)

    def __repr__(self) -> str:
        return f"Batched({self.value!r}, mapped={self.mapped})"


def _symbol(kernel: str, reverse: bool = False) -> Callable[[Any, Any], Any]:
    if reverse:
        return lambda self, other: getattr(self.table, kernel)(other, self)
    return lambda self, other: getattr(self.table, kernel)(self, other)


def _unary_symbol(kernel: str) -> Callable[[Any], Any]:
    return lambda self: getattr(self.table, kernel)(self)


for _name, _kernel in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor",
}.items():  # fmt: skip
    setattr(Batched, f"__{_name}__", _symbol(_kernel))
    setattr(Batched, f"__r{_name}__", _symbol(_kernel, reverse=True))
for _name, _kernel in {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}.items():  # fmt: skip
    setattr(Batched, f"__{_name}__", _symbol(_kernel))
for _name, _kernel in {"neg": "negative", "invert": "bitwise_invert", "abs": "abs"}.items():
    setattr(Batched, f"__{_name}__", _unary_symbol(_kernel))
Batched.__hash__ = object.__hash__  # type: ignore[method-assign]  # equality is elementwise, as a Tensor's


class BatchedKernels(Kernels):
    """The kernel table of one `vmap` call, on top of the table of the level below."""

    def __init__(self, lower: Any, size: int, randomness: str) -> None:
        self.level = lower.level + 1
        self.lower = lower
        self.size = size
        self.randomness = randomness
        super().__init__(
            lower.backend,
            lower.device,
            array_type=Batched,
            as_array=self._as_array,
            mutable=False,
            dtypes=lower.dtypes,
            names=lower.names,
            floats=lower.floats,
            owns=lambda array: True,
        )
        self.quiet = lower.quiet

    def __getattr__(self, name: str) -> Any:
        """A kernel's rule, bound to this table when first asked for.

        Where there is none, the kernel is run sample by sample; or, if it has no differentiable
        counterpart, composed of others.
        """
        rule = _RULES.get(name)
        if rule is None:
            if name.startswith("_"):
                raise AttributeError(name)
            composed = getattr(decompositions, name, None) if name in OPTIONAL and name not in vars(G) else None
            rule = functools.partial(_loop, name) if composed is None else composed
        bound = functools.partial(rule, self)
        self.__dict__[name] = bound
        return bound

    # -- in and out ----------------------------------------------------------------------------

    def wrap(self, value: Tensor, mapped: bool) -> Batched:
        return Batched(value, mapped, self)

    def _as_array(self, value: Any) -> Batched:
        return self.of(value)

    def of(self, value: Any) -> Batched:
        """Anything as an array of this level; what comes from below is the same for all samples."""
        if type(value) is Batched and value.table is self:
            return value
        return Batched(self.tensor(value), False, self)

    def tensor(self, value: Any) -> Tensor:
        return value if isinstance(value, Tensor) else wrap_array(value, self.lower)

    def lift(self, tensor: Tensor) -> Tensor:
        """A tensor from outside the mapped function, for use inside."""
        if tensor._k is self:
            return tensor
        if tensor._k is not self.lower and self.lower.level:
            tensor = self.lower.lift(tensor)
        return wrap_array(Batched(tensor, False, self), self)

    def random(self, draw: Callable[[Any, tuple[int, ...]], Any], shape: tuple[int, ...]) -> Batched:
        """Random numbers: `draw(table, shape)` at the level below, by the rule of this `vmap`."""
        if self.randomness == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                "'different' randomness flags on vmap or perform the randomness operation out of vmap"
            )
        if self.randomness == "same":
            return self.of(draw(self.lower, shape))
        return self.wrap(wrap_array(draw(self.lower, (self.size, *shape)), self.lower), True)

    def spread(self, array: Any) -> Tensor:
        """The tensor with the hidden dimension in front, repeated if all samples share it."""
        array = self.of(array)
        if array.mapped:
            return array.value
        return G.broadcast_to(G.reshape(array.value, (1, *array.shape)), (self.size, *array.shape))


Rule = Callable[..., Any]
_RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for name in names:
            _RULES[name] = function
        return function

    return register


def _is_array(value: Any) -> bool:
    return type(value) is Batched or hasattr(value, "shape")


def _loop(name: str, table: BatchedKernels, *arguments: Any) -> Any:
    """The rule of a kernel that has none: sample by sample."""
    kernel = getattr(G, name)
    rows = []
    for i in range(table.size):
        given = [_sample(table, each, i) for each in arguments]
        rows.append(kernel(*given))
    if isinstance(rows[0], tuple):
        return tuple(table.wrap(G.stack(list(column), 0), True) for column in zip(*rows, strict=True))
    return table.wrap(G.stack(rows, 0), True)


def _sample(table: BatchedKernels, value: Any, i: int) -> Any:
    if type(value) is Batched:
        return G.slice(value.value, (i,)) if value.mapped else value.value
    if isinstance(value, (tuple, list)):
        return type(value)(_sample(table, each, i) for each in value)
    return wrap_array(value, table.lower) if hasattr(value, "shape") and not isinstance(value, Tensor) else value


# -- elementwise -------------------------------------------------------------------------------


def _elementwise(name: str) -> Rule:
    def kernel(table: BatchedKernels, *arguments: Any) -> Batched:
        arrays = [table.of(each) if _is_array(each) else each for each in arguments]
        ndim = max(each.ndim for each in arrays if type(each) is Batched)
        mapped = any(each.mapped for each in arrays if type(each) is Batched)
        values = [_aligned(each, ndim) if type(each) is Batched else each for each in arrays]
        return table.wrap(getattr(G, name)(*values), mapped)

    return kernel


def _aligned(array: Batched, ndim: int) -> Tensor:
    """The value with ones between the hidden dimension and the others, so that these broadcast from the right."""
    if not array.mapped or array.ndim == ndim:
        return array.value
    shape = array.value._array.shape
    return G.reshape(array.value, (shape[0], *(1,) * (ndim - array.ndim), *shape[1:]))


for _kernel in """
    abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh digamma erf erfc erfinv exp expm1 floor imag
    isfinite isinf isnan lgamma log log10 log1p log2 logical_not negative real reciprocal round rsqrt sigmoid sign sin
    sinh softplus sqrt square tan tanh trunc zeros_like
    add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal
    floor_divide fmod greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor maximum
    minimum multiply nextafter not_equal pow remainder subtract
    where clip complex zero_where
""".split():
    _RULES[_kernel] = _elementwise(_kernel)


@rule("astype")
def _astype(table: BatchedKernels, x: Any, dtype: Any) -> Batched:
    x = table.of(x)
    return table.wrap(G.astype(x.value, dtype), x.mapped)


@rule("copy")
def _copy(table: BatchedKernels, x: Any) -> Batched:
    return table.of(x)


# -- reductions and scans ----------------------------------------------------------------------


def _reduction(name: str) -> Rule:
    def kernel(table: BatchedKernels, x: Any, axis: Axes, keepdims: bool) -> Batched:
        x = table.of(x)
        axes = tuple(each + x.mapped for each in axis)
        return table.wrap(getattr(G, name)(x.value, axes, keepdims), x.mapped)

    return kernel


for _kernel in ("all", "any", "logsumexp", "max", "mean", "min", "prod", "sum"):
    _RULES[_kernel] = _reduction(_kernel)


def _along(name: str) -> Rule:
    def kernel(table: BatchedKernels, x: Any, axis: int, *rest: Any) -> Batched:
        x = table.of(x)
        return table.wrap(getattr(G, name)(x.value, axis + x.mapped, *rest), x.mapped)

    return kernel


for _kernel in ("argsort", "cumprod", "cumsum", "log_softmax", "softmax", "sort"):
    _RULES[_kernel] = _along(_kernel)


def _arg(name: str) -> Rule:
    def kernel(table: BatchedKernels, x: Any, axis: int | None, keepdims: bool) -> Batched:
        x = table.of(x)
        if axis is None:
            ones = (1,) * x.ndim
            flat = G.reshape(x.value, (table.size, -1) if x.mapped else (-1,))
            found = getattr(G, name)(flat, int(x.mapped), False)
            shape = ((table.size,) if x.mapped else ()) + (ones if keepdims else ())
            return table.wrap(G.reshape(found, shape), x.mapped)
        return table.wrap(getattr(G, name)(x.value, axis + x.mapped, keepdims), x.mapped)

    return kernel


_RULES["argmax"] = _arg("argmax")
_RULES["argmin"] = _arg("argmin")


# -- shape -------------------------------------------------------------------------------------


@rule("reshape")
def _reshape(table: BatchedKernels, x: Any, shape: tuple[int, ...]) -> Batched:
    x = table.of(x)
    return table.wrap(G.reshape(x.value, (table.size, *shape) if x.mapped else tuple(shape)), x.mapped)


@rule("permute_dims")
def _permute_dims(table: BatchedKernels, x: Any, axes: Axes) -> Batched:
    x = table.of(x)
    if not x.mapped:
        return table.wrap(G.permute_dims(x.value, axes), False)
    return table.wrap(G.permute_dims(x.value, (0, *(each + 1 for each in axes))), True)


@rule("broadcast_to")
def _broadcast_to(table: BatchedKernels, x: Any, shape: tuple[int, ...]) -> Batched:
    x = table.of(x)
    if not x.mapped:
        return table.wrap(G.broadcast_to(x.value, tuple(shape)), False)
    return table.wrap(G.broadcast_to(_aligned(x, len(shape)), (table.size, *shape)), True)


def _joining(name: str) -> Rule:
    def kernel(table: BatchedKernels, xs: Sequence[Any], axis: int) -> Batched:
        return table.wrap(getattr(G, name)([table.spread(each) for each in xs], axis + 1), True)

    return kernel


_RULES["concat"] = _joining("concat")
_RULES["stack"] = _joining("stack")


@rule("flip")
def _flip(table: BatchedKernels, x: Any, axes: Axes) -> Batched:
    x = table.of(x)
    return table.wrap(G.flip(x.value, tuple(each + x.mapped for each in axes)), x.mapped)


@rule("roll")
def _roll(table: BatchedKernels, x: Any, shifts: tuple[int, ...], axes: Axes) -> Batched:
    x = table.of(x)
    return table.wrap(G.roll(x.value, shifts, tuple(each + x.mapped for each in axes)), x.mapped)


@rule("pad")
def _pad(table: BatchedKernels, x: Any, widths: tuple[tuple[int, int], ...], value: Any) -> Batched:
    x = table.of(x)
    return table.wrap(G.pad(x.value, ((0, 0), *widths) if x.mapped else widths, value), x.mapped)


def _triangle(name: str) -> Rule:
    def kernel(table: BatchedKernels, x: Any, k: int) -> Batched:
        x = table.of(x)
        return table.wrap(getattr(G, name)(x.value, k), x.mapped)

    return kernel


_RULES["tril"] = _triangle("tril")
_RULES["triu"] = _triangle("triu")


@rule("diagonal")
def _diagonal(table: BatchedKernels, x: Any, offset: int, axis1: int, axis2: int) -> Batched:
    x = table.of(x)
    return table.wrap(G.diagonal(x.value, offset, axis1 + x.mapped, axis2 + x.mapped), x.mapped)


@rule("undiagonal")
def _undiagonal(table: BatchedKernels, g: Any, shape: Any, offset: int, axis1: int, axis2: int) -> Batched:
    g = table.of(g)
    full = (table.size, *shape) if g.mapped else tuple(shape)
    return table.wrap(G.undiagonal(g.value, full, offset, axis1 + g.mapped, axis2 + g.mapped), g.mapped)


def _key(x: Batched, key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (slice(None), *key) if x.mapped else tuple(key)


@rule("slice")
def _slice(table: BatchedKernels, x: Any, key: tuple[Any, ...]) -> Batched:
    x = table.of(x)
    return table.wrap(G.slice(x.value, _key(x, key)), x.mapped)


@rule("unslice")
def _unslice(table: BatchedKernels, g: Any, shape: tuple[int, ...], key: tuple[Any, ...]) -> Batched:
    g = table.of(g)
    return table.wrap(G.unslice(g.value, (table.size, *shape) if g.mapped else tuple(shape), _key(g, key)), g.mapped)


@rule("slice_assign")
def _slice_assign(table: BatchedKernels, x: Any, key: tuple[Any, ...], value: Any) -> Batched:
    x = table.of(x)
    value = table.of(value) if _is_array(value) else table.of(table.lower.full((), value, x.dtype))
    if not x.mapped and not value.mapped:
        return table.wrap(G.slice_assign(x.value, tuple(key), value.value), False)
    spread = table.spread(x)
    target = len(G.slice(spread, (slice(None), *key))._array.shape) - 1
    return table.wrap(G.slice_assign(spread, (slice(None), *key), _aligned(value, target)), True)


# -- indexing ----------------------------------------------------------------------------------


def _split_indices(table: BatchedKernels, indices: Sequence[Any]) -> tuple[list[Any], bool]:
    arrays = [None if each is None else table.of(each) for each in indices]
    return arrays, any(each is not None and each.mapped for each in arrays)


def _raw(array: Batched, ndim: int) -> Any:
    """The raw index array of the level below, aligned so that several broadcast."""
    return _aligned(array, ndim)._array


def _lower_indices(table: BatchedKernels, arrays: list[Any], ndim: int, x_mapped: bool, mapped: bool) -> Any:
    """Index arrays for the level below: the sample's own number in front where indices differ by sample."""
    below = tuple(None if each is None else _raw(each, ndim) for each in arrays)
    if not x_mapped:
        return below
    if not mapped:
        return (None, *below)
    samples = table.lower.arange(0, table.size, 1, table.lower.dtypes["int64"])
    return (table.lower.reshape(samples, (table.size, *(1,) * ndim)), *below)


@rule("index")
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


@rule("index_put")
def _index_put(table: BatchedKernels, x: Any, indices: Sequence[Any], values: Any, accumulate: bool) -> Batched:
    x = table.of(x)
    arrays, mapped = _split_indices(table, indices)
    ndim = max((each.ndim for each in arrays if each is not None), default=0)
    values = table.of(values) if _is_array(values) else table.of(table.lower.full((), values, x.dtype))
    if not (x.mapped or mapped or values.mapped):
        below = _lower_indices(table, arrays, ndim, False, False)
        return table.wrap(G.index_put(x.value, below, values.value, accumulate), False)
    below = _lower_indices(table, arrays, ndim, True, mapped)
    joint = _joint_shape(arrays)
    rest = [n for i, n in enumerate(x.shape) if i >= len(arrays) or arrays[i] is None]
    places, adjacent = _places(arrays)
    at = places[0] if adjacent else 0
    shape = (*rest[:at], *joint, *rest[at:])
    full = G.broadcast_to(_aligned(values, len(shape)), (table.size, *shape))
    put = G.index_put(table.spread(x), below, _joint_front(full, arrays, len(joint), mapped), accumulate)
    return table.wrap(put, True)


def _joint_shape(arrays: list[Any]) -> tuple[int, ...]:
    from retrograd.ops.broadcasting import broadcast_shapes

    return broadcast_shapes(*(each.shape for each in arrays if each is not None))


@rule("gather")
def _gather(table: BatchedKernels, x: Any, positions: Any, axis: int) -> Batched:
    x, positions = table.of(x), table.of(positions)
    if not x.mapped and not positions.mapped:
        return table.wrap(G.gather(x.value, positions.value, axis), False)
    return table.wrap(G.gather(table.spread(x), table.spread(positions), axis + 1), True)


def _scattering(name: str) -> Rule:
    def kernel(table: BatchedKernels, x: Any, positions: Any, values: Any, axis: int) -> Batched:
        spread = [table.spread(each) for each in (x, positions, values)]
        return table.wrap(getattr(G, name)(*spread, axis + 1), True)

    return kernel


_RULES["scatter"] = _scattering("scatter")
_RULES["scatter_add"] = _scattering("scatter_add")


# -- products ----------------------------------------------------------------------------------


@rule("matmul")
def _matmul(table: BatchedKernels, a: Any, b: Any) -> Batched:
    a, b = table.of(a), table.of(b)
    ndim = max(a.ndim, b.ndim)
    return table.wrap(G.matmul(_aligned(a, ndim), _aligned(b, ndim)), a.mapped or b.mapped)


@rule("convolution")
def _convolution(table: BatchedKernels, x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    x, w = table.of(x), table.of(w)
    if w.mapped:
        return _loop("convolution", table, x, w, stride, padding, dilation, groups)
    if not x.mapped:
        return table.wrap(G.convolution(x.value, w.value, stride, padding, dilation, groups), False)
    count, n, *rest = x.value._array.shape
    out = G.convolution(G.reshape(x.value, (count * n, *rest)), w.value, stride, padding, dilation, groups)
    return table.wrap(G.reshape(out, (count, n, *out._array.shape[1:])), True)


# -- creation ----------------------------------------------------------------------------------


def _creation(name: str) -> Rule:
    def kernel(table: BatchedKernels, *arguments: Any) -> Batched:
        return table.of(getattr(table.lower, name)(*arguments))

    return kernel


for _kernel in ("arange", "empty", "eye", "from_host", "full", "linspace", "ones", "zeros"):
    _RULES[_kernel] = _creation(_kernel)


def _refuse(what: str) -> Rule:
    def kernel(table: BatchedKernels, *arguments: Any) -> Any:
        raise RuntimeError(what)

    return kernel


@rule("to_host")
def _to_host(table: BatchedKernels, x: Any) -> Any:
    x = table.of(x)
    if not x.mapped:
        return table.lower.to_host(x.value._array)
    raise RuntimeError(
        "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a "
        "Tensor, please try to rewrite what you're doing with other operations. If error is occurring somewhere inside "
        "PyTorch internals, please file a bug report."
    )


_RULES["nonzero"] = _refuse(
    "vmap: It looks like you're calling an operation whose result has a different shape for each sample (nonzero, or "
    "indexing with a mask); use where() instead"
)
