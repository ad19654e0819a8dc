"""What a node's outputs are: shape, type and device, as far as the node lets it be known.

A node does not keep its outputs' shapes, which every call would pay for. What it does keep mostly tells
them: a saved result, a view's steps, the inputs' shapes where nothing was broadcast. `get_gradient_edge`
has the tensor at hand, and notes what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from retrograd.autograd.node import AccumulateGrad, Edge, Freed, Node
from retrograd.device import device
from retrograd.dtypes import DTYPES, dtype
from retrograd.size import Size

if TYPE_CHECKING:
    from retrograd.tensor import Tensor

__all__ = ["InputMetadata", "metadata_of", "note_output"]


class InputMetadata(NamedTuple):
    """Of an output of a node, and so of the gradient that arrives there."""

    shape: Size
    dtype: dtype
    device: device
    is_nested_tensor: bool = False
    is_cpp_nested_tensor: bool = False


_noted: WeakKeyDictionary[Node, dict[int, InputMetadata]] = WeakKeyDictionary()


def note_output(tensor: Tensor, edge: Edge) -> None:
    """Remember what the tensor at an edge is, as long as the node is."""
    _noted.setdefault(edge[0], {})[edge[1]] = InputMetadata(tensor.shape, tensor.dtype, tensor.device)


def metadata_of(node: Node, position: int) -> InputMetadata | None:
    """What an output of `node` is; None if that cannot be known."""
    while True:
        found = _noted.get(node, {}).get(position) or _own(node, position)
        if found is not None:
            return found
        step = _like_an_input(node)
        if step is None:
            return None
        node, position = step


def _own(node: Node, position: int) -> InputMetadata | None:
    """What the node tells by itself, without a look at its inputs."""
    if type(node) is AccumulateGrad:
        return _of_array(node._array, node.k)
    info = getattr(node, "output_info", None)
    if info is not None:
        return None if info[position] is None else _made(info[position][0], info[position][1], info[position][2])
    plan = node.plan
    for index, name in enumerate(getattr(plan, "names", ())):
        kind, number, _ = plan.op.source_of(name)
        if kind == "result" and number == position and type(node.saved) is not Freed:
            return _of_array(plan.unpack(node, index, as_tensor=False), node.k)
    return _of_view(node)


def _of_view(node: Node) -> InputMetadata | None:
    from retrograd.autograd.stale import ViewPlan

    if not isinstance(node.plan, ViewPlan) or node.edges[0] is None:
        return None
    base = metadata_of(*node.edges[0])
    return None if base is None else base._replace(shape=Size(node.plan.shape_of_output(node, base.shape)))


def _like_an_input(node: Node) -> Edge | None:
    """The edge to an input of the output's shape and type: one that was neither broadcast nor promoted."""
    op = getattr(node.plan, "op", None)
    if op is None or op.promote is None:
        return None
    for i, edge in enumerate(node.edges):
        if edge is not None and (node.fix is None or node.fix[i] is None):
            return edge
    return None


def _of_array(array: Any, k: Any) -> InputMetadata:
    return _made(tuple(array.shape), array.dtype, k)


def _made(shape: tuple[int, ...], native: Any, k: Any) -> InputMetadata:
    return InputMetadata(Size(shape), DTYPES[k.names[native]], device(k))
