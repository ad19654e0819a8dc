"""Index tensors and masks, which operators take as arrays: writes to them are noticed, hooks see what was given.

A formula has index arrays in the form that kernels take: in range, not negative, and the coordinates of a mask. What
the program gave is another tensor, and PyTorch's nodes save that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from retrograd.autograd.modes import current_mode, set_mode
from retrograd.ops.plan import Packed, packed_by
from retrograd.tensor import Tensor

__all__ = ["Given", "PackedIndices", "watching"]

Indices = Sequence[Tensor | None]


class Given(NamedTuple):
    """The tensors that were given, None for a dimension without one, and how the arrays follow from them."""

    tensors: Indices
    remade: Callable[[Indices], Any]

    def packed(self, pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor]) -> PackedIndices:
        made = tuple(None if each is None else packed_by(pack, unpack, each, each._array) for each in self.tensors)
        return PackedIndices(made, self.remade)


class PackedIndices:
    """What a node keeps in place of its index arrays while hooks keep the tensors that they were made of."""

    __slots__ = ("packed", "remade")

    def __init__(self, packed: Sequence[Packed | None], remade: Callable[[Indices], Any]) -> None:
        self.packed = packed
        self.remade = remade

    def unpacked(self) -> Any:
        """The index arrays, of what the unpack hook gives."""
        return self.remade([None if each is None else each.unpacked() for each in self.packed])


def watching(
    given: Indices, shape: tuple[int, ...], remade: Callable[[tuple[int, ...], Indices], Any],
    function: Callable[..., Tensor], *args: Any,
) -> Tensor:  # fmt: skip
    """`function(*args)`, whose node will not go on if one of the indices is written to before that.

    It has them as they are; with hooks on saved tensors, as `remade(shape, indices)` of what these give.
    """
    mode = current_mode()
    if mode.saved_hooks and mode.grad:
        set_mode(mode.but(given=Given(given, partial(remade, shape))))
        try:
            return function(*args)
        finally:
            set_mode(mode)
    result = function(*args)
    if mode.grad and result._edge is not None:
        watched = tuple(
            (each._cell, each._cell[0], each._kernels.names[each._array.dtype], tuple(each._array.shape))
            for each in given
            if each is not None and type(each._cell) is list
        )
        if watched:
            result._edge[0]._need_extras().indices = watched
    return result
