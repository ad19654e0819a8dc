"""Tensors that take another shape in the memory that they share: `resize_`, and `out=` of another shape.

Note [Resizing]
    A tensor that takes another shape keeps its memory, and where in it it begins; if the memory is too small, it grows.
    So all that share it see what is written, and other tensors keep their shapes. A tensor that shares its memory with
    nobody, and is to hold what was just computed, takes the array as it is.

    Where a view lies in its base is written down anew, if one of the two has taken another shape: as sizes and
    strides, which is how PyTorch finds the way of a gradient after a write.
"""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

from retrograd.autograd.cautions import level_of_caller
from retrograd.autograd.resized import note_shape
from retrograd.memory_bytes import bytes_in, elements_as_of, extent, look_at, resize_memory, type_of
from retrograd.storage import Storage, announce, bump, check_write, family, leave, shared_of, write
from retrograd.tensor import Tensor
from retrograd.views import AsStrided, Chain, Layout, Shape, contiguous_strides

__all__ = ["put", "reserve", "resize", "trace_views"]


def put(out: Tensor, array: Any, cautious: bool = True) -> None:
    """Write an array of its type into `out`, which takes its shape.

    Parameters
    ----------
    array
        Nobody else's: it may become the memory of `out`.
    cautious
        Whether a warning tells that `out` had another shape and elements.

    Raises
    ------
    RuntimeError
        If `out` cannot be written to, or its memory cannot grow.
    """
    shape, before = tuple(array.shape), tuple(out._array.shape)
    if shape == before:
        write(out, array)
        return
    check_write(out)
    if cautious and 0 not in before:
        _warn(before, shape)
    announce(out)
    k, meta = out._kernels, out._tensor_meta
    alone = (meta is None or meta.storage is None) and prod(shape) >= prod(before)
    if alone or k.level or k.sparse:
        note_shape(out)
        leave(out)
        out._set_array(array)
    else:
        strides = k.strides(array) if k.mutable else contiguous_strides(shape)
        resize(out, shape, strides if Layout(shape, strides).is_dense() else contiguous_strides(shape))
        _assign(out, array)
    bump(out)


def _warn(before: Shape, shape: Shape) -> None:
    warnings.warn(
        f"An output with one or more elements was resized since it had shape {list(before)}, which does not match the "
        f"required output shape {list(shape)}. This behavior is deprecated, and in a future PyTorch release outputs "
        "will not be resized unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, "
        "inplace, to zero elements with t.resize_(0).",
        UserWarning,
        stacklevel=level_of_caller(),
    )


def _assign(tensor: Tensor, array: Any) -> None:
    k = tensor._kernels
    if k.mutable:
        k.assign(tensor._array, array)
    else:
        meta: Any = tensor._tensor_meta  # it has been resized, so it has a storage
        meta.storage.write(k, meta.chain, array)


def resize(tensor: Tensor, shape: Shape, strides: Shape | None = None) -> None:
    """Let a tensor have another shape in its memory, by default row by row. See Note [Resizing].

    Raises
    ------
    RuntimeError
        If its memory would have to grow and cannot.
    """
    k = tensor._kernels
    if k.level:
        _resize_samples(tensor, shape)
        return
    shared, meta = shared_of(tensor), tensor._own_meta()
    place = Layout(shape, contiguous_strides(shape) if strides is None else strides, tensor._layout().offset)
    reserve(shared, k, extent(place) * tensor.element_size())
    note_shape(tensor)
    looks_back = meta.chain is not None and meta.chain.conjugated
    look_at(tensor, shared, k, tensor.dtype, place, looks_back)
    trace_views(tensor)


def trace_views(tensor: Tensor) -> None:
    """Find anew how a tensor that looks at another part of a memory comes from its base, and its views from it."""
    meta = tensor._own_meta()
    if meta.view is not None:
        meta.view.chain = _way(meta.view.base, tensor, meta.view.chain)
    if meta.storage is not None and meta.storage.has_views:
        for each in family(meta.storage, tensor._cell):
            view = each._own_meta().view
            if view is not None and view.base is tensor:
                view.chain = _way(tensor, each, view.chain)


def _resize_samples(tensor: Tensor, shape: Shape) -> None:
    """As `resize`, inside `vmap`: PyTorch resizes that of all samples, whose elements move from one to another."""
    array = tensor._array
    if array.value.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    flat = array.value.reshape(-1)
    wanted = (*array.value.shape[: array.mapped], *shape)
    made = flat.new_zeros(max(prod(wanted), flat.numel()))
    made[: flat.numel()] = flat
    leave(tensor)
    tensor._set_array(tensor._kernels.wrap(made[: prod(wanted)].reshape(wanted), array.mapped))


def reserve(shared: Storage, k: Any, size: int) -> None:
    """Let a memory have as many bytes at least."""
    if size > bytes_in(shared, k):
        itemsize = type_of(shared, k).itemsize
        resize_memory(shared, k, -(-size // itemsize) * itemsize)


def _way(base: Tensor, view: Tensor, known: Chain | None) -> Chain | None:
    """The steps from a base to a view, from where they lie in memory; those that are `known`, if that does not tell."""
    layout, steps = elements_as_of(base, view)
    place = view._layout()
    begin = place.offset - layout.offset
    if begin < 0 or not (layout.is_dense() or 0 in layout.shape):
        return known
    chain, shape = None, tuple(base._array.shape)
    for step in (*steps, AsStrided(place.shape, place.strides, begin)):
        chain = Chain(chain, step, shape)
        shape = step.restride(Layout(shape, contiguous_strides(shape))).shape
    return chain
