"""Views whose place in the graph is found anew when somebody asks for it.

Note [Stale views]
    A write to a memory changes what every view of it is: each then comes from the base as it is now.
    As in PyTorch, a view learns this when its `grad_fn` is next asked for: its new node leads to the
    base's, or, if it was made where writes to it are ambiguous (under `no_grad`, by an operator with
    several outputs, in a custom Function), an error says so.

    Reading an edge must stay one attribute access. So a view that has to look first is, until it has, an
    instance of a subclass of its class, by the same name, whose `_edge` is a property. Since it is not
    of the class itself, operators leave their generated fast path for the general one, which asks for
    the edge. `View.version` is the version that a view's edge belongs to; the slot of a stale view holds
    the edge it had.

    A view requires a gradient if it has a node, was told to, or its base requires one. In the last case
    alone it is a leaf without a sink for gradients: its edge is `UNTRACKED`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from retrograd.autograd import hooks
from retrograd.autograd.node import (
    LEAVES,
    UNTRACKED,
    AccumulateGrad,
    Edge,
    Node,
    changed_sink,
    name_of,
    next_sequence_number,
    short_name,
)
from retrograd.storage import VERSION, Meta, View, family
from retrograd.tensor import Tensor, has_node, own_edge
from retrograd.views import Chain, Layout, Shape, Step, contiguous_strides, links_from, links_to

if TYPE_CHECKING:
    from retrograd.storage import Storage

__all__ = [
    "AsStridedBackward0",
    "BoundaryPlan",
    "MultiViewPlan",
    "ViewPlan",
    "make_view_node",
    "make_views_node",
    "mark_stale",
    "move_edge",
    "multi_view_error",
    "refuse_write",
    "set_flag",
    "view_class",
    "view_now",
]  # fmt: skip

_give_edge: Any = Tensor.__dict__["_edge"].__set__
_lock = threading.RLock()


# -- becoming stale, and finding out -------------------------------------------------------------


class Stale:
    """What a stale view has in place of its class's attributes. See Note [Stale views]."""

    __slots__ = ()
    _fresh: type[Tensor]

    @property
    def _edge(self: Any) -> Edge | None:
        view: Any = self  # which the type checker would take for nothing but a Stale
        with _lock:
            if isinstance(self, Stale):
                edge = _found_anew(view)
                view.__class__ = view._fresh
                _give_edge(view, edge)
            return own_edge(view)

    @_edge.setter
    def _edge(self: Any, edge: Edge | None) -> None:
        self.__class__ = self._fresh
        _give_edge(self, edge)

    @property
    def requires_grad(self: Any) -> bool:
        return own_edge(self) is not None or self._tensor_meta.view.base._edge is not None

    @requires_grad.setter
    def requires_grad(self: Any, value: bool) -> None:
        self._fresh.requires_grad.fset(self, value)

    def _set_array(self: Any, array: Any) -> None:
        self._array = array
        edge = own_edge(self)
        if edge is not None and type(edge[0]) is AccumulateGrad:
            edge[0]._array = array

    @property
    def output_nr(self: Any) -> int:
        edge = own_edge(self)
        return 0 if edge is None else edge[1]


@cache
def _stale_class(cls: Any) -> Any:
    names = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__, "_fresh": cls}
    metaclass: Any = type(cls)
    return metaclass(cls.__name__, (Stale, cls), names)


def mark_stale(storage: Storage, cell: Any) -> None:
    """All views that share a version cell have to look for their edge when it is next asked for."""
    for relative in family(storage, cell):
        view = relative._own_meta().view
        if view is not None and not isinstance(relative, Stale):
            _become_stale(relative, view.base)


def _become_stale(view: Tensor, base: Tensor) -> None:
    edge = own_edge(view)
    if edge is None and base._edge is None:
        return  # nor will a look give anything else
    if edge is UNTRACKED:
        _give_edge(view, None)
    kind: Any = type(view)
    view.__class__ = _stale_class(kind)


def set_flag(tensor: Tensor, requires_grad: bool) -> None:
    """Give a leaf a sink for its gradient, or take it away; what its views are follows."""
    edge = own_edge(tensor)
    if has_node(tensor):
        return
    _give_edge(tensor, changed_sink(tensor, None if edge is UNTRACKED else edge, requires_grad))
    meta = tensor._own_meta()
    if meta.view is None:
        if meta.storage is not None:
            mark_stale(meta.storage, tensor._cell)
    elif not isinstance(tensor, Stale):
        _become_stale(tensor, meta.view.base)


def _found_anew(view_tensor: Tensor) -> Edge | None:
    """The edge of a stale view, as PyTorch's `grad_fn` and `gradient_edge` find it."""
    meta = view_tensor._own_meta()
    view = meta.view
    assert view is not None  # only views become stale
    own, base = own_edge(view_tensor), view.base
    if not has_node(view_tensor) and base._edge is None:
        return own
    version = view_tensor._cell[0] & VERSION
    if version != view.version:
        if view.creation is not None:
            refuse_write(view, own, "its base or another view of its base has been")
        edge = _regenerated(view_tensor, view), 0
        view.version = version
        _move_retained(view_tensor, meta, own, edge)
        return edge
    return own if own is not None else UNTRACKED


def _regenerated(tensor: Tensor, view: View) -> Node:
    """New nodes that lead from a view to its base: one for each change of the elements, and strides for the rest."""
    base, chain = view.base, view.chain
    if chain is None or not chain.recast:
        node = _node(AsStridedBackward0, base._edge, tensor._kernels, (chain, None), _strided(tensor._layout()))
        node._grad_plan = _CHAIN_PLAN
        return node
    edge, layout = base._edge, base._layout()
    for part in _parts(chain):
        for link in part:
            layout = link.step.restride(layout)
        cls: type[Node] = AsStridedBackward0
        arguments = _strided(layout)
        if (name := part[0].step.node_name) is not None:
            cls, arguments = view_class(name), {}
        node = _node(cls, edge, tensor._kernels, (part[-1], part[0].before), arguments)
        node._grad_plan = _CHAIN_PLAN
        edge = (node, 0)
    return node


def _parts(chain: Chain) -> list[list[Chain]]:
    """The links of a chain, from the base on, cut before and behind each that changes what the elements are."""
    parts: list[list[Chain]] = []
    cut = True
    for link in links_to(chain):
        changes = link.step.node_name is not None
        if cut or changes:
            parts.append([])
        parts[-1].append(link)
        cut = changes
    return parts


def _strided(layout: Layout) -> dict[str, Any]:
    return {"size": layout.shape, "stride": layout.strides, "storage_offset": layout.offset}


# -- refusals --------------------------------------------------------------------------------------


def refuse_write(view: View, edge: Edge | None, happened: str) -> None:
    """Raise PyTorch's error about a view that may not be written to while gradients are recorded.

    Parameters
    ----------
    edge
        The view's own edge, as it was made.
    happened
        What is not allowed, as PyTorch's sentence has it.
    """
    node = None if edge is None or type(edge[0]) in LEAVES else edge[0]
    creation = view.creation
    origin = "" if node is None or edge is None else f"Output {edge[1]} of {short_name(name_of(node))} is a view"
    if node is None or creation in ("no_grad", "inference"):
        prefix = "A view was created in" if node is None else f"{origin} of a view which was created in"
        if creation == "inference":
            raise RuntimeError(
                f"{prefix} inference mode and {happened} modified inplace in normal mode.{_moved(creation)}"
            )
        text = f"{prefix} no_grad mode and {happened} modified inplace with grad mode enabled."
    else:
        text = f"{origin} and {happened} modified inplace."
    raise RuntimeError(text + (_moved(creation) if creation == "no_grad" else _FORBIDDEN[creation]))


def multi_view_error(edge: Edge) -> RuntimeError:
    """The error about a use of one of several views, after a write to what they look at."""
    return RuntimeError(
        f"Output {edge[1]} of {short_name(name_of(edge[0]))} is a view and its base or another view of its base has "
        f"been modified inplace.{_FORBIDDEN['multi']}"
    )


def _moved(creation: str) -> str:
    block = "inference_mode" if creation == "inference" else "no_grad"
    return (
        " Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving "
        f"both the view and the inplace either both inside the {block} block (if you don't want the inplace to be "
        "tracked) or both outside (if you want the inplace to be tracked)."
    )


_FORBIDDEN: dict[Any, str] = {
    "multi": (
        " This view is the output of a function that returns multiple views. Such functions do not allow the output "
        "views to be modified inplace. You should replace the inplace operation by an out-of-place one."
    ),
    "function": (
        " This view was created inside a custom Function (or because an input was returned as-is) and the autograd "
        "logic to handle view+inplace would override the custom backward associated with the custom Function, leading "
        "to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom "
        "Function."
    ),
}


# -- nodes of views --------------------------------------------------------------------------------


class ViewPlan:
    """The gradient of any view: the adjoints of its steps, last first."""

    __slots__ = ()
    holds_tensors = False

    def raw(self, K: Any, g: Any, node: Node) -> tuple[Any]:
        steps, shapes = node._holds[:2]
        for step, shape in zip(reversed(steps), reversed(shapes), strict=True):
            g = step.adjoint(K, g, shape)
        return (g,)

    graph = raw

    def shape_of_output(self, node: Node, shape: Shape, position: int = 0) -> Shape:
        """The shape of the view that a node made of a tensor of that shape."""
        steps, shapes, _ = node._holds
        return steps[-1].restride(Layout(shapes[-1], contiguous_strides(shapes[-1]))).shape if steps else shape

    def saved_attribute(self, node: Node, name: str) -> Any:
        shown = _shown_arguments(node)
        if name not in shown:
            raise AttributeError(f"'{type(node).__name__}' object has no attribute '_saved_{name}'")
        return shown[name]

    def saved_names(self, node: Node) -> list[str]:
        """The attributes of a node that show what it has saved."""
        return [f"_saved_{name}" for name in _shown_arguments(node)]


class BoundaryPlan(ViewPlan):
    """That of an alias by which a transform differentiates: no view of it is one of what is behind it."""

    __slots__ = ("alias",)

    def __init__(self, alias: Tensor) -> None:
        self.alias = weakref.ref(alias)


class ChainPlan(ViewPlan):
    """The gradient of a view that looked for its edge anew: `node._holds` has its chain, and where that begins."""

    __slots__ = ()

    def raw(self, K: Any, g: Any, node: Node) -> tuple[Any]:
        chain, begin = node._holds[:2]
        for link in links_from(chain):
            if link is begin:
                break
            g = link.step.adjoint(K, g, link.shape)
        return (g,)

    graph = raw

    def shape_of_output(self, node: Node, shape: Shape, position: int = 0) -> Shape:
        chain: Chain | None = node._holds[0]
        if chain is not None:
            shape = chain.step.restride(Layout(chain.shape, contiguous_strides(chain.shape))).shape
        return shape


def view_now(edge: Edge | None) -> Any:
    """The array of a view as it is now, from that of the leaf that it is a view of; None: it is none of a leaf."""
    steps: tuple[Step, ...] = ()
    while edge is not None and type(edge[0]._grad_plan) in (ViewPlan, MultiViewPlan):
        node, position = edge
        taken = node._holds[0] if type(node._grad_plan) is ViewPlan else node._holds[0][position : position + 1]
        steps, edge = taken + steps, node._next_edges[0]
    if not steps or edge is None or not isinstance(leaf := edge[0], AccumulateGrad):
        return None
    array = leaf.variable._array
    for step in steps:
        array = step.apply(leaf._kernels, array)
    return array


_VIEW_PLAN = ViewPlan()
_CHAIN_PLAN = ChainPlan()
_SHOWING_SIZES = frozenset(
    f"{name}Backward"
    for name in (
        "Select Slice Squeeze Expand View ReshapeAlias Diagonal Unfold Split SplitWithSizes UnsafeSplit "
        "UnsafeSplitWithSizes"
    ).split()
)
"""The operators whose nodes show, as PyTorch's do, the shape of what they look at."""


def _shown_arguments(node: Node) -> dict[str, Any]:
    """The arguments of a view operator; as PyTorch shows them, without a sign."""
    _, shapes, arguments = node._holds
    name = type(node).__name__
    shown = {each: _unsigned(value) for each, value in arguments.items()}
    if name[:-1] in _SHOWING_SIZES:
        shown["self_sym_sizes"] = shapes[0]
    return dict(sorted(shown.items()))


def _unsigned(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(map(_unsigned, value))
    return value % 2**64 if isinstance(value, int) else value


@cache
def view_class(name: str, outputs: int = 1) -> type[Node]:
    """The class of a view operator's node; one for each name and number of outputs."""
    members = {"__slots__": (), "_n_outputs": outputs, "_n_differentiable": outputs, "__module__": "builtins"}
    return type(name, (Node,), members)


class AsStridedBackward0(Node):
    """The node of a view whose base was written to."""

    __slots__ = ()
    __module__ = "builtins"


def make_view_node(
    cls: type[Node], steps: tuple[Step, ...], base: Any, edge: Edge | None, k: Any, arguments: dict[str, Any]
) -> Node:
    """A node for the view that `steps` make of the array `base`."""
    if len(steps) == 1:
        shapes: tuple[Any, ...] = (tuple(base.shape),)
    else:
        shapes = ()
        for step in steps:
            shapes += (tuple(base.shape),)
            base = step.apply(k, base)
    return _node(cls, edge, k, (steps, shapes), arguments)


def _node(cls: type[Node], edge: Edge | None, k: Any, way: tuple[Any, Any], arguments: dict[str, Any]) -> Node:
    node = cls()
    node._next_edges = (edge,)
    node._kernels = k
    node._node_extras = None
    node._grad_fix = None
    node._seq_nr = next_sequence_number()
    node._grad_plan = _VIEW_PLAN
    node._holds = (*way, arguments)
    return node


class MultiViewPlan:
    """The gradient of an operator that returns all pieces of a dimension: theirs side by side."""

    __slots__ = ()
    holds_tensors = False

    def raw(self, K: Any, g: Any, node: Node) -> tuple[Any]:
        steps, (shape,), _ = node._holds
        parts = g if len(steps) > 1 else [g]
        given = next((each for each in parts if each is not None), None)
        if given is None:
            return (None,)
        place = steps[0].index[-1]
        axis = len(steps[0].index) - 1
        if type(place) is int:
            return (K.stack([K.zeros_like(given) if each is None else each for each in parts], axis),)
        if any(each is None for each in parts):
            return (_sum_of_adjoints(K, steps, parts, shape),)
        return (K.concat(parts, axis),)

    graph = raw
    saved_attribute = ViewPlan.saved_attribute
    saved_names = ViewPlan.saved_names

    def shape_of_output(self, node: Node, shape: Shape, position: int = 0) -> Shape:
        steps, (base,), _ = node._holds
        found: Shape = steps[position].restride(Layout(base, contiguous_strides(base))).shape
        return found


def _sum_of_adjoints(K: Any, steps: tuple[Step, ...], parts: Sequence[Any], shape: Shape) -> Any:
    """As one gradient, those of pieces some of which have none."""
    total = None
    for step, each in zip(steps, parts, strict=True):
        if each is not None:
            part = step.adjoint(K, each, shape)
            total = part if total is None else total + part
    return total


_MULTI_VIEW_PLAN = MultiViewPlan()


def make_views_node(
    cls: type[Node], steps: tuple[Step, ...], base: Any, edge: Edge, k: Any, arguments: dict[str, Any]
) -> Node:
    """The node that the views which the `steps` make of the array `base`, each alone, have in common."""
    node = make_view_node(cls, (), base, edge, k, arguments)
    node._grad_plan = _MULTI_VIEW_PLAN
    node._holds = (steps, (tuple(base.shape),), arguments)
    return node


# -- edges that move -------------------------------------------------------------------------------


def move_edge(tensor: Tensor, edge: Edge) -> None:
    """Give a tensor that was written to its new origin; if it retains its gradient, it does so there."""
    old = tensor._edge
    tensor._edge = edge
    if tensor._tensor_meta is not None:
        _move_retained(tensor, tensor._tensor_meta, old, edge)


def _move_retained(tensor: Tensor, meta: Meta, old: Edge | None, new: Edge) -> None:
    if meta.retains_grad:
        hooks.forget_retained(tensor, old)
        hooks.retain_at(tensor, new)
