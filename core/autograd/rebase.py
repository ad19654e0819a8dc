"""What an in-place write does to the graph: histories are rebased, as PyTorch does.

Note [Rebase]
    After a recorded write to a tensor, the tensor's edge is the write's node. If the tensor is a
    view, it is the *base* that has changed: its edge becomes a `CopySlices` node, which cuts the
    view's part out of the base's gradient, passes it through the write's node and puts it back.
    The view itself then gets an edge that leads to the base by its view steps; so do the base's other
    views when they are next asked: Note [Stale views] in `retrograd.autograd.stale`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from retrograd.autograd.modes import Mode
from retrograd.autograd.node import UNGENERATED, Node, next_sequence_number
from retrograd.autograd.stale import mark_stale, move_edge, refuse_write
from retrograd.ops.broadcasting import settle
from retrograd.storage import INFERENCE, check_write, scatter_steps, sign
from retrograd.tensor import has_node, own_edge
from retrograd.views import steps_of

if TYPE_CHECKING:
    from retrograd.tensor import Tensor
    from retrograd.views import Chain

__all__ = ["CopySlices", "check_writable", "rebase"]


class _CopySlicesPlan:
    """See Note [Rebase]. `node._holds` is (chain of steps, inner node)."""

    __slots__ = ()
    holds_tensors = True
    unpacks = True

    def raw(self, K: Any, g: Any, node: Node) -> list[Any]:
        return self._through(K, g, node, node._holds[1]._grad_plan.raw)

    def graph(self, G: Any, g: Any, node: Node) -> list[Any]:
        return self._through(G, g, node, node._holds[1]._grad_plan.graph)

    def _through(self, K: Any, g: Any, node: Node, inner_gradients: Any) -> list[Any]:
        chain, inner = node._holds
        steps = steps_of(chain)
        part = g
        for step in steps:
            part = step.apply(K, part)
        grads = inner_gradients(K, part, inner)
        if inner._grad_fix is not None:
            grads = settle(K, grads, inner._grad_fix)
        grads = list(grads) or [None]
        own = grads[0] if grads[0] is not None else K.zeros_like(part)
        base = scatter_steps(K, g, steps, own) if node._next_edges[0] is not None else None
        return [base, *grads[1:]]

    def saved_attribute(self, node: Node, name: str) -> Any:
        raise AttributeError(f"'CopySlices' object has no attribute '_saved_{name}'")


class _CopySlicesPlanWithoutTensors(_CopySlicesPlan):
    """Of a write whose node saved no tensors: such a graph can be walked again and again."""

    __slots__ = ()
    holds_tensors = False


_COPY_SLICES_PLAN = _CopySlicesPlan()
_COPY_SLICES_PLAN_WITHOUT_TENSORS = _CopySlicesPlanWithoutTensors()


class CopySlices(Node):
    """The node of a base that was written to through a view."""

    __slots__ = ("_shown_edges",)

    __module__ = "builtins"
    _name_prefix = UNGENERATED


def check_writable(tensor: Tensor, mode: Mode, records: bool, others: Iterable[Any] | None = None) -> None:
    """Refuse a write before anything has changed.

    Parameters
    ----------
    records
        Whether the write would be recorded: grad mode is on and an input requires a gradient.
    others
        The other operands, if known. If they are no normal tensors either, nor numbers that stand for such, PyTorch
        says of an inference tensor that it is one, even if it is a leaf.

    Raises
    ------
    RuntimeError
        With PyTorch's texts.
    """
    meta = tensor._tensor_meta
    view = None if meta is None else meta.view
    is_leaf = records and tensor.requires_grad and not has_node(tensor)
    if is_leaf and view is None:
        if others is not None and all(getattr(each, "_cell", None) is INFERENCE for each in others):
            check_write(tensor)
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    check_write(tensor)
    if records and view is not None:
        if view.creation is not None:
            refuse_write(view, own_edge(tensor), "is being")
        if tensor.requires_grad and view.base.is_leaf:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        if is_leaf:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def rebase(tensor: Tensor, node: Node, by: str) -> None:
    """Make `node`, of the write to `tensor` by operator `by`, the origin of what it wrote. See Note [Rebase]."""
    view = None if tensor._tensor_meta is None else tensor._tensor_meta.view
    base = tensor if view is None else view.base
    move_edge(base, (node if view is None else _copy_slices(base, view.chain, node), 0))
    # Whoever saved the old value is told by whom it was overwritten: see `retrograd.ops.plan.stale_error`.
    assert base._edge is not None  # it has just been given
    sign(tensor._cell, by, type(base._edge[0]), None if node._node_extras is None else node._node_extras.stack)
    storage = None if base._tensor_meta is None else base._tensor_meta.storage
    if storage is not None:
        mark_stale(storage, tensor._cell)  # those that had no edge before, and so no reason to look
        tensor._edge  # noqa: B018 - the view that was written to looks at once


def _copy_slices(base: Tensor, chain: Chain | None, inner: Node) -> CopySlices:
    node = CopySlices()
    node._next_edges = (base._edge, *inner._next_edges[1:])
    node._shown_edges = inner._shown_edges
    node._kernels = base._kernels
    node._node_extras = None
    node._grad_fix = None
    node._seq_nr = next_sequence_number()
    node._grad_plan = _COPY_SLICES_PLAN if inner._grad_plan.holds_tensors else _COPY_SLICES_PLAN_WITHOUT_TENSORS
    node._holds = (chain, inner)
    return node
