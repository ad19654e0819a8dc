"""`node(*grads)`: run one node by itself, outside of a pass.

No hooks are called and nothing is freed. The gradients are recorded as gradient mode says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrograd.autograd.accumulate import add_to_leaf, cast_for_leaf
from retrograd.autograd.engine import explain
from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import AccumulateGrad, Node
from retrograd.ops.graph import G
from retrograd.storage import OWN
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    Grads = Sequence[Tensor | None]

__all__ = ["call_node"]


def call_node(node: Node, grads: Grads) -> Any:
    """The gradients of a node's inputs, those that `next_functions` shows; the only one by itself.

    Raises
    ------
    TypeError
        If there is not one gradient, a tensor or None, for each output that can have one.
    """
    if len(grads) != node._n_differentiable:
        raise TypeError(f"expected {node._n_differentiable} arguments, got {len(grads)} instead")
    for i, each in enumerate(grads):
        if not (each is None or isinstance(each, Tensor)):
            raise TypeError(f"argument {i} is not a Variable")
    if isinstance(node, AccumulateGrad):
        _accumulate(node, grads[0])
        return ()
    shown = range(len(node._next_edges)) if node._shown_edges is None else node._shown_edges
    if not node._runs_undefined and all(each is None for each in grads):
        found: list[Tensor | None] = [None] * len(node._next_edges)
    else:
        found = [*_run(node, grads), *[None] * len(node._next_edges)]
    results = tuple(None if node._next_edges[i] is None else found[i] for i in shown)
    return results[0] if len(results) == 1 else results


def _run(node: Node, grads: Grads) -> Grads:
    given = grads[0] if node._n_outputs == 1 else [*grads, *[None] * (node._n_outputs - node._n_differentiable)]
    try:
        found: Grads = node._grad_plan.graph(G, given, node)
        return found  # as they are: a pass undoes broadcasting and promotion afterwards, in PyTorch too
    except Exception as error:
        explain(error, node, given)
        raise


def _accumulate(leaf: AccumulateGrad, grad: Tensor | None) -> None:
    if grad is None:
        return
    if leaf.meta.grad_dtype is not OWN:
        grad = cast_for_leaf(grad, leaf._kernels, leaf.meta.grad_dtype)
    records = current_mode().grad and grad.requires_grad
    add_to_leaf(leaf, grad if records else grad.detach().clone()._array, records)  # not the caller's memory
