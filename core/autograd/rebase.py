"""What an in-place write does to the graph: histories are rebased, as PyTorch does.

Note [Rebase]
    After a recorded write to a tensor, the tensor's edge is the write's node. If the tensor is a
    view, it is the *base* that has changed: its edge becomes a `CopySlices` node, which cuts the
    view's part out of the base's gradient, passes it through the write's node and puts it back.
    All live views of the base, the written one included, then get a fresh edge that leads to the
    base by their view steps. PyTorch does this lazily, when a view's `grad_fn` is next read; here
    it is done at once, so that reading an edge stays one attribute access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrograd.autograd import hooks
from retrograd.autograd.modes import Mode
from retrograd.autograd.node import AccumulateGrad, Edge, Node, next_sequence_number, short_name
from retrograd.ops.broadcasting import settle
from retrograd.storage import check_write, scatter_steps, sign

if TYPE_CHECKING:
    from retrograd.tensor import Tensor
    from retrograd.views import Step

__all__ = ["AsStridedBackward0", "CopySlices", "ViewPlan", "check_writable", "make_view_node", "rebase"]


class ViewPlan:
    """The gradient of any view: the adjoints of its steps, last first."""

    __slots__ = ()
    holds_tensors = False

    def raw(self, K: Any, g: Any, node: Node) -> tuple[Any]:
        steps, shapes = node.saved[:2]
        for step, shape in zip(reversed(steps), reversed(shapes), strict=True):
            g = step.adjoint(K, g, shape)
        return (g,)

    graph = raw

    def saved_attribute(self, node: Node, name: str) -> Any:
        arguments = (node.saved or ((), (), {}))[2]
        if name not in arguments:
            raise AttributeError(f"'{node.name()}' object has no attribute '_saved_{name}'")
        return arguments[name]


_VIEW_PLAN = ViewPlan()


class AsStridedBackward0(Node):
    """The node of a view whose base was written to."""

    __slots__ = ()


def make_view_node(
    cls: type[Node], steps: tuple[Step, ...], base: Any, edge: Edge, k: Any, arguments: dict[str, Any]
) -> Node:
    """A node for the view that `steps` make of the array `base`."""
    node = cls()
    node.edges = (edge,)
    node.k = k
    node.extras = None
    node.fix = None
    node.seq = next_sequence_number()
    node.plan = _VIEW_PLAN
    if len(steps) == 1:
        shapes: tuple[Any, ...] = (tuple(base.shape),)
    else:
        shapes = ()
        for step in steps:
            shapes += (tuple(base.shape),)
            base = step.apply(k, base)
    node.saved = (steps, shapes, arguments)
    return node


class _CopySlicesPlan:
    """See Note [Rebase]. `node.saved` is (steps, inner node)."""

    __slots__ = ()
    holds_tensors = True
    unpacks = True

    def raw(self, K: Any, g: Any, node: Node) -> list[Any]:
        return self._through(K, g, node, node.saved[1].plan.raw)

    def graph(self, G: Any, g: Any, node: Node) -> list[Any]:
        return self._through(G, g, node, node.saved[1].plan.graph)

    def _through(self, K: Any, g: Any, node: Node, inner_gradients: Any) -> list[Any]:
        steps, inner = node.saved
        part = g
        for step in steps:
            part = step.apply(K, part)
        grads = inner_gradients(K, part, inner)
        if inner.fix is not None:
            grads = settle(K, grads, inner.fix)
        grads = list(grads) or [None]
        own = grads[0] if grads[0] is not None else K.zeros_like(part)
        base = scatter_steps(K, g, steps, own) if node.edges[0] is not None else None
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

    __slots__ = ()


def check_writable(tensor: Tensor, mode: Mode, records: bool) -> None:
    """Refuse a write before anything has changed.

    Parameters
    ----------
    records
        Whether the write would be recorded: grad mode is on and an input requires a gradient.

    Raises
    ------
    RuntimeError
        With PyTorch's texts.
    """
    check_write(tensor)
    meta = tensor._meta
    view = None if meta is None else meta.view
    if view is not None and view.creation == "inference" and mode.grad and view.base._edge is not None:
        raise RuntimeError(_creation_text(tensor, view))  # its own edge was never made
    if mode.grad and view is not None and (records or view.base._edge is not None):
        _check_view(tensor, view)
    elif records:
        edge = tensor._edge
        if edge is not None and type(edge[0]) is AccumulateGrad:
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if view is not None:
        layout = tensor._layout()
        if any(stride == 0 and n > 1 for n, stride in zip(layout.shape, layout.strides, strict=True)):
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to a single memory "
                "location. Please clone() the tensor before performing the operation."
            )


def _check_view(tensor: Tensor, view: Any) -> None:
    base_edge = view.base._edge
    if view.creation is not None:
        raise RuntimeError(_creation_text(tensor, view))
    if base_edge is not None and type(base_edge[0]) is AccumulateGrad:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def _creation_text(tensor: Tensor, view: Any) -> str:
    origin = f"Output {tensor.output_nr} of {short_name(view.node_name)} is a view and is being modified inplace."
    if view.creation in ("no_grad", "inference"):
        inference = view.creation == "inference"
        block = "inference_mode" if inference else "no_grad"
        return (
            f"A view was created in {block.removesuffix('_mode')} mode and is being modified inplace "
            f"{'in normal mode' if inference else 'with grad mode enabled'}. Given that this use case is ambiguous "
            "and error-prone, it is forbidden. You can clarify your code by moving both "
            f"the view and the inplace either both inside the {block} block (if you don't want the inplace to be "
            "tracked) or both outside (if you want the inplace to be tracked)."
        )
    if view.creation == "multi":
        return (
            f"{origin} This view is the output of a function that returns multiple views. Such functions do not "
            "allow the output views to be modified inplace. You should replace the inplace operation by an "
            "out-of-place one."
        )
    return (
        f"{origin} This view was created inside a custom Function (or because an input was returned as-is) and the "
        "autograd logic to handle view+inplace would override the custom backward associated with the custom "
        "Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output "
        "of the custom Function."
    )


def rebase(tensor: Tensor, node: Node, by: str) -> None:
    """Make `node`, of the write to `tensor` by operator `by`, the origin of what it wrote. See Note [Rebase]."""
    meta = tensor._meta
    view = None if meta is None else meta.view
    base = tensor if view is None else view.base
    _move_edge(base, (node if view is None else _copy_slices(base, view.steps, node), 0))
    # Whoever saved the old value is told by whom it was overwritten: see `retrograd.ops.plan.stale_error`.
    sign(tensor._cell, by, type(node), None if node.extras is None else node.extras.stack)
    storage = None if base._meta is None else base._meta.storage
    if storage is not None:
        for alias in storage.live():
            _refresh(alias, base)


def _copy_slices(base: Tensor, steps: tuple[Step, ...], inner: Node) -> CopySlices:
    node = CopySlices()
    node.edges = (base._edge, *inner.edges[1:])
    node.k = base._k
    node.extras = None
    node.fix = None
    node.seq = next_sequence_number()
    node.plan = _COPY_SLICES_PLAN if inner.plan.holds_tensors else _COPY_SLICES_PLAN_WITHOUT_TENSORS
    node.saved = (steps, inner)
    return node


def _refresh(alias: Tensor, base: Tensor) -> None:
    view = alias._own_meta().view
    if view is not None and view.base is base:
        assert base._edge is not None  # it has just been rebased
        node = make_view_node(
            AsStridedBackward0, view.steps, base._array, base._edge, base._k, _strided_arguments(alias)
        )
        _move_edge(alias, (node, 0))


def _strided_arguments(alias: Tensor) -> dict[str, Any]:
    layout = alias._layout()
    return {"size": layout.shape, "stride": layout.strides, "storage_offset": layout.offset}


def _move_edge(tensor: Tensor, edge: Edge) -> None:
    """Give a tensor its new origin; if it retains its gradient, it does so there."""
    retains = tensor._meta is not None and tensor._meta.retains_grad
    if retains:
        hooks.forget_retained(tensor, tensor._edge)
    tensor._edge = edge
    if retains:
        hooks.retain_grad(tensor)
