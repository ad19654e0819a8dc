"""What the node of a custom Function keeps of the tensors that its `ctx` has saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retrograd.autograd.explaining import note_stale
from retrograd.autograd.modes import current_mode, no_grad
from retrograd.ops.plan import (
    PACKED,
    Packed,
    array_now,
    check_unpacked,
    edge_now,
    hooked_twice,
    is_stale,
    stale_message,
    without_cycle,
)
from retrograd.storage import VERSION, share
from retrograd.tensor import Tensor, wrap_array

if TYPE_CHECKING:
    from retrograd.autograd.function import BackwardCFunction

__all__ = ["pack", "pack_one", "unpack"]


def pack(node: BackwardCFunction, position: int, tensor: Any, outputs: tuple[Any, ...], made: tuple[Any, ...]) -> Any:
    """A saved tensor as (array, version cell, version, kernels, origin, tangents); no output is kept with its edge.

    The origin is the output's number, the edge of any other tensor, or the leaf itself.
    """
    if tensor is None:
        return None
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"save_for_backward can only save variables, but argument {position} is of type {type(tensor).__name__}"
        )
    for number, (before, after) in enumerate(zip(outputs, made, strict=True)):
        if tensor is before and isinstance(after, Tensor):
            own = after._edge is not None and after._edge[0] is node
            origin, tensor = number if own else after._edge, after
            break
    else:
        origin = _origin(tensor)
    tangents = None if tensor._tensor_meta is None else tensor._tensor_meta.tangents
    entry = (tensor._array, tensor._cell, tensor._cell[0], tensor._kernels, origin, tangents)
    hooks = current_mode().saved_hooks
    return _packed(node, entry, *hooks[-1], tensor) if hooks else entry


def pack_one(
    node: BackwardCFunction, index: int, pack_hook: Callable[..., Any], unpack_hook: Callable[..., Any]
) -> None:
    """Pass one saved tensor of a node that is there already through a pair of hooks."""
    entry = node._holds[index]
    if type(entry[0]) is Packed:
        raise hooked_twice()
    made = _packed(node, entry, lambda tensor: pack_hook(tensor.detach()), unpack_hook)
    node._holds = (*node._holds[:index], made, *node._holds[index + 1 :])


def _packed(
    node: BackwardCFunction, entry: tuple[Any, ...], pack_hook: Callable[..., Any], unpack_hook: Callable[..., Any],
    given: Tensor | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    kept = _rebuilt(node, entry)
    kept._cell = entry[1]  # so that a hook can tell whether its memory is written to
    if given is not None and given is not kept and not kept._kernels.mutable:
        share(given, kept)
    with no_grad():
        packed = Packed(without_cycle(pack_hook(kept), node), unpack_hook)
    node._need_extras()  # Note [Watched nodes]: the unpack hook may register hooks on the node
    return (packed, PACKED, 0, *entry[3:])


def _origin(tensor: Tensor) -> Any:
    """A leaf or a constant is kept itself; of a computed tensor only its place in the graph."""
    return tensor if tensor.is_leaf else tensor._edge


def _rebuilt(node: BackwardCFunction, entry: tuple[Any, ...]) -> Tensor:
    array, _, _, k, origin, tangents = entry
    if isinstance(origin, Tensor) and origin._array is array:
        return origin
    made = wrap_array(array, k)
    if tangents is not None:
        made._own_meta().tangents = tangents
    if type(origin) is int:
        made._edge = (node, origin)
    elif isinstance(origin, Tensor):
        made._edge = origin._edge
    else:
        made._edge = origin
    return made


def unpack(node: BackwardCFunction, index: int, entry: Any) -> Tensor | None:
    if entry is None:
        return None
    array, cell, version, k, origin, tangents = entry
    if type(array) is Packed:
        unpacked = array.unpack(array.value)
        check_unpacked(unpacked)
        return _rebuilt(node, (unpacked._array, cell, version, k, origin, tangents))
    if is_stale(cell, version, None):  # in PyTorch, too, what a Function has saved may have been detached since
        edge: Any
        if type(origin) is int:
            edge = (node, origin)
        else:
            edge = None if isinstance(origin, Tensor) else edge_now(origin, cell)
        error = stale_message(k.names[array.dtype], tuple(array.shape), edge, cell[0] & VERSION, version & VERSION)
        raise note_stale(error, node, f"saved_tensors[{index}]", cell)
    if cell[0] != version:
        source = origin._edge if isinstance(origin, Tensor) else origin
        is_result = type(origin) is int
        array = array_now(array, cell, version, None if is_result else source, is_result)
    return _rebuilt(node, (array, *entry[1:]))
