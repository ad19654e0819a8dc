"""View steps: the ways in which one tensor can look into the memory of another.

A step is a small record with four readings. `apply` gives the view's array. `scatter` puts a new
value of the view back into the base (in-place writes on immutable libraries). `adjoint` carries a
gradient of the view back to the base. `restride` computes the view's layout from the base's,
without touching data, for libraries whose arrays have no strides.

Note [Chains]
    How a view comes from its base is a chain: its last step, and the chain of what that step was taken from.
    So the chains of views of views have all but their last step in common, whatever their length, and what is
    worked out of a chain (the arrays after a write, the layout) is worked out once for each step, not for each
    view. None is the chain of the base itself.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from operator import mul
from typing import Any, ClassVar

from retrograd.dtypes import DTYPES
from retrograd.ops.broadcasting import sum_to

__all__ = [
    "RECASTING",
    "AsComplex",
    "AsReal",
    "AsStrided",
    "Chain",
    "Conjugate",
    "Diagonal",
    "Expand",
    "Layout",
    "Part",
    "Permute",
    "Reshape",
    "Slice",
    "Step",
    "Unfold",
    "Unsqueeze",
    "branches_of",
    "contiguous_strides",
    "in_memory_order",
    "links_from",
    "links_to",
    "outside",
    "scatter_part",
    "span",
    "steps_of",
    "strides_along",
]  # fmt: skip

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the elements of a view lie in its storage, counted in elements."""

    shape: Shape
    strides: Shape
    offset: int = 0

    def is_dense(self) -> bool:
        """Whether the elements lie side by side, in any order, each once; true of one element, not of none."""
        axes = sorted((stride, n) for n, stride in zip(self.shape, self.strides, strict=True) if n != 1)
        expected = 1
        for stride, n in axes:
            if n == 0 or stride != expected:
                return False
            expected *= n
        return True

    def overlaps_itself(self) -> bool:
        """Whether several elements may lie in one place."""
        if 0 in self.shape:
            return False
        reach = 0
        for stride, n in sorted((stride, n) for n, stride in zip(self.shape, self.strides, strict=True) if n != 1):
            if stride <= reach:
                return True
            reach += stride * (n - 1)
        return False

    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without holes."""
        expected = contiguous_strides(self.shape)
        if self.strides == expected or 0 in self.shape:
            return True
        return all(n == 1 or have == want for n, have, want in zip(self.shape, self.strides, expected, strict=True))


def contiguous_strides(shape: Shape) -> Shape:
    """Strides of a row-major array of `shape`.

    Examples
    --------
    >>> from retrograd.views import contiguous_strides
    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(shape[i + 1], 1)
    return tuple(strides)


def span(shape: Shape, strides: Shape) -> int:
    """How many elements lie from the first to the last of a layout."""
    return 1 + sum(map(mul, shape, strides)) - sum(strides)


def outside(place: Layout, itemsize: int, nbytes: int, told: bool = True) -> RuntimeError:
    """The error of a view that goes beyond a memory of `nbytes` bytes; `told`: its strides were given."""
    needed = (place.offset + span(place.shape, place.strides)) * itemsize
    return RuntimeError(
        f"setStorage: sizes {list(place.shape)}, strides {list(place.strides) if told else []}, storage offset "
        f"{place.offset}, and itemsize {itemsize} requiring a storage size of {needed} are out of bounds for storage "
        f"of size {nbytes}"
    )


class Step:
    """One view operator with its arguments. See the module's text.

    Attributes
    ----------
    node_name
        Of a step that changes what the elements are, for which strides cannot stand: the node that PyTorch makes of
        it when a view looks for its edge anew.
    """

    __slots__ = ()
    node_name: ClassVar[str | None] = None

    def apply(self, K: Any, x: Any) -> Any:
        raise NotImplementedError

    def scatter(self, K: Any, base: Any, value: Any) -> Any:
        """By default for steps that only rearrange: every element of the base is in the view."""
        return self.adjoint(K, value, tuple(base.shape))

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        raise NotImplementedError

    def restride(self, layout: Layout) -> Layout:
        raise NotImplementedError

    def overlaps_itself(self) -> bool:
        """Whether several elements of the view are one of the base."""
        return False


@lru_cache(1024)
def _order_back(axes: Shape) -> Shape:
    """The order of axes that undoes an order."""
    back = [0] * len(axes)
    for i, axis in enumerate(axes):
        back[axis] = i
    return tuple(back)


@dataclass(frozen=True, slots=True)
class Permute(Step):
    """Axis i of the view is axis `axes[i]` of the base."""

    axes: Shape

    def apply(self, K: Any, x: Any) -> Any:
        return K.permute_dims(x, self.axes)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return K.permute_dims(g, _order_back(self.axes))

    def inverse(self, shape: Shape) -> Permute:
        """The step back, to a base of that shape."""
        return Permute(_order_back(self.axes))

    def restride(self, layout: Layout) -> Layout:
        shape = tuple(layout.shape[i] for i in self.axes)
        return Layout(shape, tuple(layout.strides[i] for i in self.axes), layout.offset)


@dataclass(frozen=True, slots=True)
class Reshape(Step):
    """The same elements in row-major order under another shape."""

    shape: Shape

    def apply(self, K: Any, x: Any) -> Any:
        return K.reshape(x, self.shape)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return K.reshape(g, shape)

    def inverse(self, shape: Shape) -> Reshape:
        """The step back, to a base of that shape."""
        return Reshape(shape)

    def restride(self, layout: Layout) -> Layout:
        strides = view_strides(layout.shape, layout.strides, self.shape)
        if strides is None:
            raise ValueError(f"no view of shape {self.shape} on {layout}")
        return Layout(self.shape, strides, layout.offset)


@dataclass(frozen=True, slots=True)
class Unsqueeze(Reshape):
    """A new axis of size 1 at `at`. Its stride is that of PyTorch's `unsqueeze`, which `view` would not give it."""

    at: int

    def restride(self, layout: Layout) -> Layout:
        ahead, behind = layout.strides[: self.at], layout.strides[self.at :]
        return Layout(self.shape, (*ahead, behind[0] * layout.shape[self.at] if behind else 1, *behind), layout.offset)


@dataclass(frozen=True, slots=True)
class Slice(Step):
    """Basic indexing, with an int or a (start, stop, step) per leading axis; indices are in range."""

    index: tuple[int | tuple[int, int, int], ...]

    def key(self) -> tuple[Any, ...]:
        return tuple([each if type(each) is int else slice(*each) for each in self.index])  # type: ignore[misc]

    def apply(self, K: Any, x: Any) -> Any:
        return K.slice(x, self.key())

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return K.unslice(g, shape, self.key())

    def scatter(self, K: Any, base: Any, value: Any) -> Any:
        return K.slice_assign(base, self.key(), value)

    def restride(self, layout: Layout) -> Layout:
        shape, strides, offset = [], [], layout.offset
        for i, (n, stride) in enumerate(zip(layout.shape, layout.strides, strict=True)):
            each = self.index[i] if i < len(self.index) else (0, n, 1)
            if isinstance(each, int):
                offset += each * stride
                continue
            start, stop, step = each
            shape.append(len(range(start, stop, step)))
            strides.append(stride * step)
            offset += start * stride
        return Layout(tuple(shape), tuple(strides), offset)


@dataclass(frozen=True, slots=True)
class Expand(Step):
    """Broadcasting to `shape`; not to be written through."""

    shape: Shape

    def apply(self, K: Any, x: Any) -> Any:
        return K.broadcast_to(x, self.shape)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return sum_to(K, g, shape)

    def overlaps_itself(self) -> bool:
        return True

    def scatter(self, K: Any, base: Any, value: Any) -> Any:
        key = [slice(None)] * len(self.shape)
        lead = len(self.shape) - len(base.shape)
        for i, n in enumerate(self.shape):
            if i < lead:
                key[i] = 0  # type: ignore[call-overload]
            elif base.shape[i - lead] != n:
                key[i] = slice(0, 1)
        return K.reshape(K.slice(value, tuple(key)), tuple(base.shape))

    def restride(self, layout: Layout) -> Layout:
        lead = len(self.shape) - len(layout.shape)
        strides = [
            stride if n == have else 0
            for n, have, stride in zip(self.shape[lead:], layout.shape, layout.strides, strict=True)
        ]
        for n in reversed(self.shape[:lead]):
            behind = len(strides)
            strides.insert(0, strides[0] * self.shape[-behind] if n == 1 and behind else 0)
        return Layout(self.shape, tuple(strides), layout.offset)


@dataclass(frozen=True, slots=True)
class Diagonal(Step):
    """The diagonal of two axes, as the last axis."""

    offset: int
    axis1: int
    axis2: int

    def apply(self, K: Any, x: Any) -> Any:
        return K.diagonal(x, self.offset, self.axis1, self.axis2)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return K.undiagonal(g, shape, self.offset, self.axis1, self.axis2)

    def scatter(self, K: Any, base: Any, value: Any) -> Any:
        mask = K.undiagonal(K.zeros_like(value) + 1, tuple(base.shape), *self._arguments())
        return K.where(mask > 0, K.undiagonal(value, tuple(base.shape), *self._arguments()), base)

    def _arguments(self) -> tuple[int, int, int]:
        return self.offset, self.axis1, self.axis2

    def restride(self, layout: Layout) -> Layout:
        rows, columns = layout.shape[self.axis1], layout.shape[self.axis2]
        row_stride, column_stride = layout.strides[self.axis1], layout.strides[self.axis2]
        length = max(min(rows + min(self.offset, 0), columns - max(self.offset, 0)), 0)
        start = self.offset * column_stride if self.offset >= 0 else -self.offset * row_stride
        rest = [i for i in range(len(layout.shape)) if i not in (self.axis1, self.axis2)]
        shape = (*(layout.shape[i] for i in rest), length)
        strides = (*(layout.strides[i] for i in rest), row_stride + column_stride)
        return Layout(shape, strides, layout.offset + (start if length else 0))


@dataclass(frozen=True, slots=True)
class AsReal(Step):
    """Complex numbers as pairs of real ones, in a new last axis."""

    node_name = "ViewAsRealBackward0"

    def apply(self, K: Any, x: Any) -> Any:
        return K.as_real(x)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return K.as_complex(g)

    def restride(self, layout: Layout) -> Layout:
        strides = (*(2 * each for each in layout.strides), 1)
        return Layout((*layout.shape, 2), strides, 2 * layout.offset)


@dataclass(frozen=True, slots=True)
class AsComplex(Step):
    """Pairs of real numbers, in the last axis, as complex ones."""

    node_name = "ViewAsComplexBackward0"

    def apply(self, K: Any, x: Any) -> Any:
        return K.as_complex(x)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return K.as_real(g)

    def restride(self, layout: Layout) -> Layout:
        strides = tuple(each // 2 for each in layout.strides[:-1])
        return Layout(layout.shape[:-1], strides, layout.offset // 2)


@dataclass(frozen=True, slots=True)
class Conjugate(Step):
    """Complex numbers as their conjugates. Arrays that share memory are not made so: see `retrograd.mirror`."""

    node_name = "ConjBackward0"

    def apply(self, K: Any, x: Any) -> Any:
        return K.conj(x)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return K.conj(g)

    def restride(self, layout: Layout) -> Layout:
        return layout


RECASTING = frozenset(each.node_name for each in (AsReal, AsComplex, Conjugate))
"""The nodes of the steps for which strides cannot stand."""


@dataclass(frozen=True, slots=True)
class Part(Step):
    """The real or imaginary parts of complex numbers."""

    imaginary: bool

    def apply(self, K: Any, x: Any) -> Any:
        return K.imag(x) if self.imaginary else K.real(x)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        zero = K.multiply(g, 0.0)
        return K.complex(zero, g) if self.imaginary else K.complex(g, zero)

    def scatter(self, K: Any, base: Any, value: Any) -> Any:
        return K.complex(K.real(base), value) if self.imaginary else K.complex(value, K.imag(base))

    def restride(self, layout: Layout) -> Layout:
        return Layout(layout.shape, tuple(2 * s for s in layout.strides), 2 * layout.offset + self.imaginary)


@dataclass(frozen=True, slots=True)
class AsStrided(Step):
    """Any layout on the base's elements, which lie in row-major order, and on those behind them after a resizing."""

    shape: Shape
    strides: Shape
    offset: int

    def apply(self, K: Any, x: Any) -> Any:
        if self.offset + span(self.shape, self.strides) > (size := prod(x.shape)) and 0 not in self.shape:
            itemsize = DTYPES[K.names[x.dtype]].itemsize
            raise outside(Layout(self.shape, self.strides, self.offset), itemsize, size * itemsize)
        return K.as_strided(x, self.shape, self.strides, self.offset)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        size, needed = prod(shape), self.offset + span(self.shape, self.strides)
        if needed > size and 0 not in self.shape:
            return K.reshape(K.slice(K.unstride(g, (needed,), self.strides, self.offset), (slice(0, size),)), shape)
        return K.unstride(g, shape, self.strides, self.offset)

    def scatter(self, K: Any, base: Any, value: Any) -> Any:
        return scatter_part(K, base, (self,), value)

    def restride(self, layout: Layout) -> Layout:
        return Layout(self.shape, self.strides, layout.offset + self.offset)

    def overlaps_itself(self) -> bool:
        return Layout(self.shape, self.strides).overlaps_itself()


@dataclass(frozen=True, slots=True)
class Unfold(Step):
    """All windows of `size` along an axis, `step` apart; the window is the last axis."""

    axis: int
    size: int
    step: int

    def restride(self, layout: Layout) -> Layout:
        n, along = layout.shape[self.axis], layout.strides[self.axis]
        shape = (
            *layout.shape[: self.axis],
            (n - self.size) // self.step + 1,
            *layout.shape[self.axis + 1 :],
            self.size,
        )
        strides = (*layout.strides[: self.axis], along * self.step, *layout.strides[self.axis + 1 :], along)
        return Layout(shape, strides, layout.offset)

    def _of_rows(self, shape: Shape) -> AsStrided:
        """The same of elements that lie in row-major order, as a library that shares no memory sees them."""
        layout = self.restride(Layout(shape, contiguous_strides(shape)))
        return AsStrided(layout.shape, layout.strides, 0)

    def apply(self, K: Any, x: Any) -> Any:
        if (sliding := getattr(K, "sliding", None)) is not None:
            return sliding(x, self.axis, self.size, self.step)
        return self._of_rows(tuple(x.shape)).apply(K, x)

    def adjoint(self, K: Any, g: Any, shape: Shape) -> Any:
        return self._of_rows(shape).adjoint(K, g, shape)

    def scatter(self, K: Any, base: Any, value: Any) -> Any:
        return self._of_rows(tuple(base.shape)).scatter(K, base, value)

    def overlaps_itself(self) -> bool:
        return self.step < self.size


def scatter_part(K: Any, base: Any, steps: tuple[Step, ...], value: Any) -> Any:
    """`base` with what `steps` lead to replaced; of several elements in one place the last remains.

    Where a step makes several elements of one, what further steps lead to can't be written to by writing all of
    them: those that stay as they are would be written, too.
    """
    table = getattr(value, "_kernels", K)  # of raw arrays, where K is of tensors
    shape = tuple(base.shape)
    places = table.reshape(table.arange(0, prod(shape), 1, table.dtypes["int64"]), shape)
    for step in steps:
        places = step.apply(table, places)
    flat, written = (K.reshape(each, (-1,)) for each in (base, value))
    return K.reshape(K.index_put(flat, (table.reshape(places, (-1,)),), written, False), shape)


class Chain:
    """The last of the steps from a base to a view, and the chain `before` it. See Note [Chains].

    Attributes
    ----------
    shape
        The shape of what the step is taken from.
    recast
        Whether a step, this or one before, changes what the elements are.
    conjugated
        Whether the elements are conjugates of what is in the memory, or parts of conjugates.
    """

    __slots__ = ("_layout", "before", "conjugated", "recast", "shape", "step")

    def __init__(self, before: Chain | None, step: Step, shape: Shape) -> None:
        self.before = before
        self.step = step
        self.shape = shape
        self.recast: bool = step.node_name is not None or (before is not None and before.recast)
        self.conjugated: bool = (before is not None and before.conjugated) is not (type(step) is Conjugate)
        self._layout: Layout | None = None

    def layout(self) -> Layout:
        """The view's layout, if the base is all of its memory in row-major order."""
        if self._layout is None:
            todo: list[Chain] = []
            for link in links_from(self):
                if link._layout is not None:
                    layout = link._layout
                    break
                todo.append(link)
            else:
                layout = Layout(todo[-1].shape, contiguous_strides(todo[-1].shape))
            for link in reversed(todo):
                layout = link._layout = link.step.restride(layout)
            return layout
        return self._layout


def strides_along(chain: Chain, base: Layout, found: Shape, shape: Shape) -> Shape:
    """The strides `found` of a view, but those of dimensions of size 1 as PyTorch's steps would have made them.

    Nothing is read by these, so that a library of arrays makes them what it likes; nor by any of no elements.
    """
    layout = base
    for link in links_to(chain):
        layout = link.step.restride(layout)
    empty = 0 in shape
    return tuple(made if n == 1 or empty else own for n, own, made in zip(shape, found, layout.strides, strict=True))


def links_from(chain: Chain | None) -> Iterator[Chain]:
    """The links of a chain, from the view to the base."""
    while chain is not None:
        yield chain
        chain = chain.before


def links_to(chain: Chain | None, known: Container[Chain | None] = ()) -> list[Chain]:
    """The links of a chain, from the base to the view; only those behind the last that is known."""
    links = []
    for link in links_from(chain):
        if link in known:
            break
        links.append(link)
    return links[::-1]


def steps_of(chain: Chain | None) -> tuple[Step, ...]:
    """The steps of a chain, from the base to the view."""
    return tuple(link.step for link in links_to(chain))


def branches_of(chains: Iterable[Chain | None]) -> dict[Chain | None, list[Chain]]:
    """The chains as a tree: what goes on from each chain that one of them goes through."""
    branches: dict[Chain | None, list[Chain]] = {}
    seen: set[Chain] = set()
    for chain in chains:
        for link in links_from(chain):
            if link in seen:
                break
            seen.add(link)
            branches.setdefault(link.before, []).append(link)
    return branches


def in_memory_order(layout: Layout) -> list[Step]:
    """The step, if there is need of one, that brings axes into the order in which they lie in memory."""
    order = tuple(sorted(range(len(layout.shape)), key=lambda i: -layout.strides[i]))
    return [] if order == tuple(range(len(order))) else [Permute(order)]


def view_strides(shape: Shape, strides: Shape, wanted: Shape) -> Shape | None:
    """Strides under which the same memory has shape `wanted`, or None if there are none.

    Runs of axes that lie in memory as one are matched with runs of the wanted axes of the same size.
    """
    if 0 in shape:
        return contiguous_strides(wanted)
    result = [1] * len(wanted)
    target = len(wanted) - 1
    size, base = 1, (strides[-1] if strides else 1)
    for axis in range(len(shape) - 1, -1, -1):
        size *= shape[axis]
        starts_run = axis == 0 or (shape[axis - 1] != 1 and strides[axis - 1] != size * base)
        if not starts_run:
            continue
        made = 1
        while target >= 0 and (made < size or wanted[target] == 1):
            result[target] = made * base
            made *= wanted[target]
            target -= 1
        if made != size:
            return None
        if axis > 0:
            size, base = 1, strides[axis - 1]
    while target >= 0 and wanted[target] == 1:
        result[target] = 1
        target -= 1
    return tuple(result) if target == -1 else None
