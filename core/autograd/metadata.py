"""What a node's outputs are: shape, type and device, as far as the node lets it be known.

A node does not keep its output's shape, which every call would pay for; one with several outputs does. Who gets at
a node by a tensor has that at hand, and it is noted what it is (`see_output`). What other nodes keep mostly tells:
a saved result, a view's steps, the inputs' shapes where nothing was broadcast.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from retrograd.autograd.node import AccumulateGrad, Edge, Freed, Node, seen_outputs
from retrograd.device import device
from retrograd.dtypes import DTYPES, dtype
from retrograd.size import Size

__all__ = ["InputMetadata", "metadata_of"]


class InputMetadata(NamedTuple):
    """Of an output of a node, and so of the gradient that arrives there."""

    shape: Size
    dtype: dtype
    device: device
    is_nested_tensor: bool = False
    is_cpp_nested_tensor: bool = False


def metadata_of(node: Node, position: int) -> InputMetadata | None:
    """What an output of `node` is; None if that cannot be known."""
    while True:
        seen = seen_outputs.get(node, {}).get(position)
        found = _own(node, position) if seen is None else _made(*seen)
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
    info = getattr(node, "output_info", None) or (None if node.extras is None else node.extras.outputs)
    if info is not None:
        return None if info[position] is None else _made(info[position][0], info[position][1], info[position][2])
    plan = node.plan
    for index, name in enumerate(getattr(plan, "names", ())):
        kind, number, _ = plan.op.source_of(name)
        if kind == "result" and number == position and type(node.saved) is not Freed:
            return _of_array(plan.unpack(node, index, as_tensor=False), node.k)
    return _of_view(node, position)


def _of_view(node: Node, position: int) -> InputMetadata | None:
    from retrograd.autograd.stale import MultiViewPlan, ViewPlan

    if not isinstance(node.plan, (ViewPlan, MultiViewPlan)) or node.edges[0] is None:
        return None
    base = metadata_of(*node.edges[0])
    return None if base is None else base._replace(shape=Size(node.plan.shape_of_output(node, base.shape, position)))


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


def _made(shape: Any, native: Any, k: Any) -> InputMetadata:
    return InputMetadata(Size(tuple(shape)), DTYPES[k.names[native]], device(k))
