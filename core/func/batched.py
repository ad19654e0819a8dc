"""Batching as a backend: the arrays and the table of kernels that `vmap` computes with.

Inside `vmap` a tensor's array is a `Batched`: a tensor of the level below with one more dimension
in front, which the mapped function does not see. Its kernels are batching rules, written with the
differentiable operators `G` of the level below: those of operators stand beside their derivatives
(`retrograd.ops.batching`), those of the remaining primitives in `retrograd.func.rules`. So all that
is built on kernels (the graph, the derivative formulas, views and in-place writes) works on batched
tensors as on any others, and vmap, grad and jvp nest freely.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retrograd.backends.spec import OPTIONAL, REQUIRED, Kernels
from retrograd.func import rules
from retrograd.levels import PLAIN, below, transforms
from retrograd.ops import decompositions
from retrograd.ops.batching import kernel_rules, warn_of_loop
from retrograd.ops.dispatch import call
from retrograd.ops.graph import G
from retrograd.storage import Storage, share
from retrograd.symbols import with_symbols
from retrograd.tensor import Tensor, wrap_array
from retrograd.views import Chain, Layout, Step

if TYPE_CHECKING:
    from retrograd.ops.declare import Op

__all__ = ["Batched", "BatchedKernels"]


@with_symbols("table")
class Batched:
    """An array of the mapped function: `value` with its leading dimension hidden if `mapped`.

    Attributes
    ----------
    given
        Of an argument of the mapped function the tensor that it is of, and which of the dimensions is hidden: a
        custom Function's `vmap` sees these. None of all others, and where that is `value` and its first dimension.
    """

    __slots__ = ("__weakref__", "given", "mapped", "table", "value")

    def __init__(self, value: Tensor, mapped: bool, table: BatchedKernels) -> None:
        self.value = value
        self.mapped = mapped
        self.table = table
        self.given: tuple[Tensor, int] | None = None

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

    def aligned(self, ndim: int) -> Tensor:
        """The value with ones behind the hidden dimension, so that it broadcasts from the right with `ndim` others."""
        if not self.mapped or self.ndim == ndim:
            return self.value
        shape = self.value._array.shape
        return G.reshape(self.value, (shape[0], *(1,) * (ndim - self.ndim), *shape[1:]))

    def __repr__(self) -> str:
        return f"Batched({self.value!r}, mapped={self.mapped})"


class _Entered(Storage):
    """The memory of an argument of a mapped function: what is written to it is written to the caller's tensor."""

    __slots__ = ()

    def write(self, k: Any, chain: Any, value: Any, cell: Any = None) -> None:
        outside: Tensor = self.array.value
        super().write(k, chain, value, cell)
        with below(self.array.table):
            outside.copy_(self.array.value)
        self.array.value = outside


class BatchedKernels(Kernels):
    """The kernel table of one `vmap` call, on top of the table of the level below.

    Attributes
    ----------
    level
        How many `vmap`s there are from the backend's own table to this one.
    lower
        The table of the level below.
    size, randomness
        Those of the `vmap` call.
    closed
        Whether the call has ended: a tensor of this level that is still around has escaped.
    """

    def __init__(self, lower: Any, size: int, randomness: str) -> None:
        self.level = lower.level + 1
        self.lower = lower
        self.size = size
        self.randomness = randomness
        self.closed = False
        self._bound: list[str] = []
        self._forwards: dict[Op, Callable[..., Any]] = {}
        super().__init__(
            lower.backend,
            lower.device,
            array_type=Batched,
            mutable=False,
            dtypes=lower.dtypes,
            names=lower.names,
            floats=lower.floats,
            owns=lambda array: True,
        )
        self.quiet = lower.quiet

    @property
    def base(self) -> Any:
        """The backend's own table, below all levels."""
        return self.lower.base

    # -- kernels ---------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """A kernel's rule, bound to this table when first asked for."""
        if name.startswith("_"):
            raise AttributeError(name)
        self.check_open()
        bound = self.__dict__[name] = self._bind(name)
        self._bound.append(name)
        return bound

    def _bind(self, name: str) -> Callable[..., Any]:
        rule = kernel_rules.get(name)
        if rule is not None:
            return functools.partial(rule, self, getattr(G, name))
        primitive = rules.PRIMITIVES.get(name)
        if primitive is not None:
            return functools.partial(primitive, self)
        composed = decompositions.derived.get(name) or (name in OPTIONAL and getattr(decompositions, name))
        if composed:
            return functools.partial(composed, self)
        if name not in REQUIRED and name not in vars(G):
            return super().__getattr__(name)  # raises
        return functools.partial(_looped, self, name)

    def forward_of(self, op: Op) -> Callable[..., Any]:
        """How an operator runs on this level: by its own rule, by its body or by its kernel."""
        made = self._forwards.get(op)
        if made is None:
            made = self._forwards[op] = self._make_forward(op)
        return made

    def _make_forward(self, op: Op) -> Callable[..., Any]:
        self.check_open()
        if op.batch is not None:
            plain = all(each.kind is not each.KEYWORD_ONLY for each in op.signature.parameters.values())
            return functools.partial(_by_rule, op, op.public if plain else functools.partial(call, op))
        if op.body is not None:
            return op.body
        assert op.kernel is not None  # an operator has one of the two
        kernel = getattr(self, op.kernel)
        return lambda K, *arguments: kernel(*arguments)

    def check_open(self) -> None:
        """Refuse to compute with tensors that have outlived the `vmap` call."""
        if self.closed:
            raise RuntimeError(
                "Either your tensor may have escaped from inside a function being vmapped and this is a user error "
                "(see https://pytorch.org/functorch/stable/ux_limitations.html), or there is an internal functorch "
                "error in `gen_vmap_plumbing` Please file an issue if it looks like the latter"
            )

    def close(self) -> None:
        """End the call: from now on tensors of this level can be looked at, but not be computed with."""
        self.closed = True
        self._forwards.clear()
        for name in self._bound:
            del self.__dict__[name]
        self._bound.clear()

    # -- in and out ------------------------------------------------------------------------------

    def wrap(self, value: Tensor, mapped: bool) -> Batched:
        return Batched(value, mapped, self)

    def as_array(self, value: Any) -> Batched:
        return self.of(value)

    def of(self, value: Any) -> Batched:
        """Anything as an array of this level; what comes from below is the same for all samples."""
        if type(value) is Batched and value.table is self:
            return value
        if isinstance(value, Tensor) and value._kernels is self:
            return value._array
        return Batched(self.tensor(value), False, self)

    def tensor(self, value: Any) -> Tensor:
        """Anything as a tensor of the level below."""
        if isinstance(value, Tensor):
            return self.lower.lift(value) if self.lower.level else value
        return wrap_array(self.lower.of(value) if self.lower.level else value, self.lower)

    def lift(self, tensor: Tensor) -> Tensor:
        """A tensor from outside the mapped function, for use inside."""
        if tensor._kernels is self:
            return tensor
        if tensor._kernels.sparse:
            raise RuntimeError("expand is unsupported for Sparse tensors")
        if tensor._kernels is not self.lower:
            if tensor._kernels.level:
                tensor._kernels.check_open()
            if not self.lower.level:
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but found at least two devices, {self.backend}:"
                    f"{self.device} and {tensor.device}! vmap() computes on one backend: move a tensor with "
                    f".to('{self.backend}')"
                )
            tensor = self.lower.lift(tensor)
        return wrap_array(Batched(tensor, False, self), self)

    def enter(self, tensor: Tensor) -> Tensor:
        """An argument that all samples share, as one of this level, or of one inside of it if it is of that already.

        What is written to it has a graph or tangents at this level; the caller's tensor gets the values.
        """
        if tensor._kernels.level >= self.level or tensor._kernels.base is not self.base or tensor._kernels.sparse:
            return self.lift(tensor)
        if tensor._kernels is not self.lower:
            tensor = self.lower.enter(tensor)
        return self.entered(Batched(tensor, False, self))

    def entered(self, array: Batched) -> Tensor:
        """The tensor of an argument's array: what is written to it is written to the caller's."""
        inside = wrap_array(array, self)
        inside._own_meta().storage = _Entered(inside)
        return inside

    def detached(self, tensor: Tensor) -> Tensor:
        """`tensor.detach()`: outside of the graphs of the levels below, too."""
        alias = wrap_array(_DETACH.apply(self, tensor._array), self)
        alias._cell = tensor._cell
        share(tensor, alias)
        meta = alias._own_meta()
        meta.chain = Chain(meta.chain, _DETACH, tuple(tensor._array.shape))
        return alias

    def random(self, draw: Callable[[Any, tuple[int, ...]], Any], shape: tuple[int, ...]) -> Batched:
        """Random numbers: `draw(table, shape)` at the level below, by the rule of this `vmap`."""
        self.check_randomness()
        if self.randomness == "same":
            return self.of(draw(self.lower, shape))
        return self.wrap(wrap_array(draw(self.lower, (self.size, *shape)), self.lower), True)

    def check_randomness(self) -> None:
        if self.randomness == "error" and PLAIN in transforms():
            raise RuntimeError(
                "vmap: We do not yet support calling random operations inside of vmap. Please perform random "
                "operations outside of vmap as a workaround"
            )
        if self.randomness == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                "'different' randomness flags on vmap or perform the randomness operation out of vmap"
            )

    def spread(self, array: Any) -> Tensor:
        """The tensor with the hidden dimension in front, repeated if all samples share it."""
        array = self.of(array)
        if array.mapped:
            return array.value
        return G.broadcast_to(G.reshape(array.value, (1, *array.shape)), (self.size, *array.shape))

    def spread_like(self, array: Any, other: Any) -> Batched:
        """A new array, to which each sample may write if `other` differs by sample; None: if anything does."""
        array = self.of(array)
        if other is None:
            return self.wrap(self.spread(array), True)
        other = self.of(other)
        mapped = array.mapped or other.mapped
        value = self.spread(array) if mapped else array.value
        if self.lower.level:
            value = wrap_array(self.lower.spread_like(value._array, other.value._array), self.lower)
        return self.wrap(value, mapped)


def _by_rule(op: Op, below: Callable[..., Any], K: BatchedKernels, *arguments: Any) -> Any:
    result = op.batch(K, below, *arguments)  # type: ignore[misc]  # the caller has looked
    return op.body(K, *arguments) if result is NotImplemented and op.body is not None else result


class _Detach(Step):
    """A tensor outside of the graphs of the levels below.

    What is written to it is seen through the tensor itself, whose place in those graphs stays what it is.
    """

    def apply(self, K: Any, x: Batched) -> Batched:
        return Batched(x.value.detach(), x.mapped, x.table)

    def scatter(self, K: Any, base: Batched, value: Batched) -> Batched:
        written = wrap_array(value.value._array, value.value._kernels)
        if base.mapped == value.mapped:
            written._edge = base.value._edge
        return Batched(written, value.mapped, base.table)

    def restride(self, layout: Layout) -> Layout:
        return layout


_DETACH = _Detach()


# -- without a rule ------------------------------------------------------------------------------


def _looped(table: BatchedKernels, name: str, *arguments: Any) -> Any:
    """A kernel without a rule: run sample by sample, and say so."""
    warn_of_loop(name, 2)
    if not table.size:
        raise RuntimeError("The fallback path does not support vmap over dims of size 0.")
    kernel = getattr(G, name)
    rows = [kernel(*(_sample(table, each, i) for each in arguments)) for i in range(table.size)]
    if isinstance(rows[0], tuple):
        return tuple(table.wrap(G.stack(list(column), 0), True) for column in zip(*rows, strict=True))
    return table.wrap(G.stack(rows, 0), True)


def _sample(table: BatchedKernels, value: Any, i: int) -> Any:
    if type(value) is Batched:
        return G.slice(value.value, (i,)) if value.mapped else value.value
    if isinstance(value, (tuple, list)):
        return type(value)(_sample(table, each, i) for each in value)
    return table.tensor(value) if hasattr(value, "shape") else value
