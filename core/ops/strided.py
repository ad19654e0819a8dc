"""Views of a memory by sizes and strides."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from retrograd import dtypes
from retrograd.autograd import tangents
from retrograd.autograd.node import UNTRACKED, AccumulateGrad
from retrograd.autograd.stale import BoundaryPlan, MultiViewPlan, ViewPlan
from retrograd.memory_bytes import elements_as_of
from retrograd.ops.arguments import as_int, as_tuple, wrap_dim
from retrograd.ops.declare import composite
from retrograd.ops.shape import make_view
from retrograd.storage import Storage, share
from retrograd.tensor import Tensor
from retrograd.views import AsStrided, Layout, Reshape, Slice, Step, Unfold, outside, span

__all__ = ["strided_layout", "strided_view"]


@composite
def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """A view of the storage with any sizes and strides, counted in elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.as_strided.html
    """
    size, stride, offset = strided_layout(input, size, stride, storage_offset)
    arguments = {"size": size, "stride": stride, "storage_offset": offset}
    return strided_view(input, "AsStridedBackward0", Layout(size, stride, offset), **arguments)


def strided_view(input: Tensor, name: str, place: Layout, **arguments: Any) -> Tensor:
    """The view of the memory of `input` that lies at `place` in it."""
    base = _seen_whole(input)
    layout, before = elements_as_of(base, input)
    begin = place.offset - layout.offset
    within = begin >= 0 and (0 in place.shape or begin + span(place.shape, place.strides) <= prod(layout.shape))
    if not within or not (layout.is_dense() or 0 in layout.shape):
        base, begin = _whole_memory(base), place.offset
        layout, before = elements_as_of(base, input)
    steps = (*before, AsStrided(place.shape, place.strides, begin))
    view = None if input._tensor_meta is None else input._tensor_meta.view
    made = make_view(base, name, *steps, creation=None if view is None else view.creation, **arguments)
    if input._edge is UNTRACKED and made._edge is not None and made._edge is not UNTRACKED:
        made._edge[0]._next_edges = (UNTRACKED,)  # what was viewed is not of the graph of the base
    return made


def _seen_whole(input: Tensor) -> Tensor:
    """The tensor that a strided view of `input`, which may see more of the memory, is to be one of for its gradient.

    It is the base, if nothing but views lies between. A view that was told to require a gradient is a leaf, and the
    gradients of its views are its own; those of a view that a custom Function has made go through the Function; and
    a base may have no tangent where its view has one.
    """
    base = input._base
    if base is None:
        return input
    if tangents.tangents_of(input):
        origin = input._own_meta().view.origin  # type: ignore[union-attr]  # it has a base
        base = base if origin is None else origin
        if len(tangents.tangents_of(base)) < len(tangents.tangents_of(input)):
            return input
    edge, end = input._edge, base._edge
    if edge is None or edge is UNTRACKED:
        return base
    while edge is not None and edge != end and isinstance(edge[0]._grad_plan, (ViewPlan, MultiViewPlan)):
        if isinstance(edge[0]._grad_plan, BoundaryPlan):
            alias = edge[0]._grad_plan.alias()
            return input if alias is None else alias
        edge = edge[0]._next_edges[0]
    if edge == end:
        return base if edge is not None else input
    if edge is not None and isinstance(edge[0], AccumulateGrad):
        leaf = edge[0].variable
        shares = leaf._tensor_meta is not None and leaf._tensor_meta.storage is input._tensor_meta.storage  # type: ignore[union-attr]
        if shares and leaf.requires_grad:  # else it was told off since
            leaf._cell = input._cell  # which one that the program has dropped, and is made anew, does not know
            return leaf
    return input


def _whole_memory(tensor: Tensor) -> Tensor:
    """All of the memory that a tensor, which looks at a part of it, shares; outside of the graph."""
    if tensor.requires_grad or tangents.tangents_of(tensor):
        raise RuntimeError("as_strided() of a part of a memory is not recorded, if it goes beyond the part")
    whole = Tensor._restore(tensor._own_meta().storage.array, tensor._kernels, None, None)  # type: ignore[union-attr]
    whole._cell = tensor._cell
    share(tensor, whole)
    whole._own_meta().chain = None
    return whole


def _elements_in(shared: Storage, input: Tensor) -> int:
    """How many elements like those of a tensor its memory holds."""
    holder = dtypes.DTYPES[input._kernels.names[shared.array.dtype]]
    return prod(shared.array.shape) * holder.itemsize // input.element_size()


def strided_layout(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """The arguments of `as_strided`, checked: sizes, strides and offset in the memory of `input`."""
    offset = input._layout().offset if storage_offset is None else as_int(storage_offset)
    size, stride = as_tuple(size), as_tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if stride and min(stride) < 0:
        raise RuntimeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    shared = None if input._tensor_meta is None else input._tensor_meta.storage
    count = input.numel() if shared is None else _elements_in(shared, input)
    if 0 not in size and offset + span(size, stride) > count:
        raise outside(Layout(size, stride, offset), input.element_size(), count * input.element_size())
    return size, stride, offset


@composite
def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of all windows of `size` along a dimension, `step` apart; the window is the last dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.unfold.html
    """
    at, size, step = wrap_dim(dimension, input.ndim), as_int(size), as_int(step)
    n = input._array.shape[at] if input.ndim else 1
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {dimension} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    # Without dimensions there is one window, of the only element or of none.
    steps: tuple[Step, ...] = (Unfold(at, size, step),) if input.ndim else (Reshape((1,)), Slice(((0, size, 1),)))
    return make_view(input, "UnfoldBackward0", *steps, dimension=dimension, size=size, step=step)
