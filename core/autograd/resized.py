"""Tensors that have been given another shape in place: their nodes still take gradients of the one they had.

A node does not know what its outputs are, which every call would pay for. So that the engine can tell, whoever
changes the shape (`set_`, `.data = ...`, `resize_`, `out=`) leaves a note at the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrograd.autograd.node import LEAVES, name_of
from retrograd.ops.broadcasting import broadcast_shapes, sum_to
from retrograd.tensor import own_edge

if TYPE_CHECKING:
    from retrograd.autograd.node import Node
    from retrograd.tensor import Tensor

__all__ = ["fit_gradients", "note_shape"]


def note_shape(tensor: Tensor) -> None:
    """Have gradients that arrive at the node of a tensor brought into its shape: it is about to take another."""
    edge = own_edge(tensor)
    if edge is None or type(edge[0]) in LEAVES:
        return
    extras = edge[0]._need_extras()
    if extras.shapes is None:
        extras.shapes = {}
    extras.shapes.setdefault(edge[1], tuple(tensor._array.shape))


def fit_gradients(K: Any, node: Node, arrived: Sequence[Any], order: Sequence[Node]) -> list[Any]:
    """What has arrived at a node, in the shapes that its outputs had.

    Parameters
    ----------
    order
        All nodes of the pass.

    Raises
    ------
    RuntimeError
        As PyTorch, if one does not reduce to its shape.
    """
    assert node._node_extras is not None  # the caller has looked
    assert node._node_extras.shapes is not None
    fitted = list(arrived)
    for position, shape in node._node_extras.shapes.items():
        grad = arrived[position]
        if grad is None or tuple(grad.shape) == shape:
            continue
        if not _reduces(tuple(grad.shape), shape):
            raise RuntimeError(
                f"{_source(node, position, order)} - got {list(grad.shape)} but expected shape compatible with "
                f"{list(shape)}"
            )
        fitted[position] = sum_to(K, grad, shape)
    return fitted


def _reduces(have: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    try:
        return broadcast_shapes(wanted, have) == have
    except RuntimeError:
        return False


def _source(node: Node, position: int, order: Sequence[Node]) -> str:
    """Who was the first to give a node a gradient: another node, or else who has called for the pass."""
    for each in order:
        for index, edge in enumerate(each._next_edges):
            if edge is not None and edge[0] is node and edge[1] == position:
                return f"Function {name_of(each)} returned an invalid gradient at index {index}"
    return "invalid gradient at index 0"
