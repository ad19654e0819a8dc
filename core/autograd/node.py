"""Nodes of the graph: what an operator leaves behind so that its gradient can be computed.

A node points to the nodes of its inputs (`_next_edges`) and never to its output, so that dropping the
last tensor of a graph drops the graph at once, without the garbage collector.

Note [Sequence numbers]
    `seq` grows with every node made in this process. A node's edges existed before it did, so
    descending sequence numbers are a topological order of any graph, and the engine needs no
    other. Only where the program has given nodes other numbers (`renumbered`) it has to look.
"""

from __future__ import annotations

import itertools
import re
import threading
import weakref
from abc import ABCMeta
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from retrograd.read_only import seal

if TYPE_CHECKING:
    from retrograd.tensor import Tensor

__all__ = [
    "LEAVES", "SHOWN", "UNGENERATED", "UNTRACKED", "AccumulateGrad", "Edge", "Extras", "Freed", "Node", "Untracked",
    "changed_sink", "extras_of_outputs", "name_of", "next_sequence_number", "renumbered", "see_output", "seen_outputs",
    "short_name",
]  # fmt: skip

Edge = tuple["Node", int]

renumbered: Final[weakref.WeakSet[Node]] = weakref.WeakSet()
"""Those that are there."""

UNGENERATED: Final = "torch::autograd::"
"""The prefix of the nodes that PyTorch does not generate from a table of operators."""

next_sequence_number: Final[Callable[[], int]] = itertools.count().__next__


def short_name(node_name: str) -> str:
    """The operator's part of a node's name, as error texts have it: `Mul`, or `Sum1` of `SumBackward1`."""
    return re.sub(r"Backward0?(\d*)$", r"\1", node_name)


class Extras:
    """What few nodes have: hooks, metadata, the stack of the forward call.

    Class attributes are the defaults, so that an empty one costs little; mutable members are made
    when first needed.
    """

    pre_hooks: dict[int, tuple[str, Callable[..., Any], int]] | None = None
    post_hooks: dict[int, Callable[..., Any]] | None = None
    retain: dict[int, weakref.ref[Tensor]] | None = None
    metadata: dict[Any, Any] | None = None
    sequence_nr: int | None = None
    stack: str | None = None
    shapes: dict[int, tuple[int, ...]] | None = None
    """See `retrograd.autograd.resized`."""
    indices: tuple[tuple[list[Any], int, str, tuple[int, ...]], ...] = ()
    """Of the indices that were given: cell, version, type and shape. What the formulas have are arrays."""
    outputs: tuple[tuple[Any, Any, Any], ...] | None = None
    """Of an operator with several results, their shapes, types and kernels."""
    induced_by: tuple[str, str | None, Any] | None = None
    """In anomaly mode, of a node recorded by a backward pass: name, stack and own inducer of the node that ran."""

    def keep_hooks_of_tensors(self) -> None:
        """Forget what went with the node, which is no more."""
        pre_hooks = self.pre_hooks or {}
        for number in [each for each, (kind, _, _) in pre_hooks.items() if kind == "node"]:
            del pre_hooks[number]
        self.post_hooks = self.metadata = self.retain = None


class Freed(tuple[()]):
    """What a node has in place of `_holds` once a pass has freed it: nothing, and which pass that was.

    A formula that unpacks it fails, so the engine needs no test for freed nodes before it runs one.
    """

    root: type[Node] | None = None
    accumulates: bool = True
    stack: str | None = None


class Node(metaclass=ABCMeta):
    """One step of the backward pass, of a class of its operator's own.

    Attributes
    ----------
    _next_edges
        For each differentiable input, the node that made it and which of its outputs it is; None
        where no gradient is wanted.
    _holds
        What the plan's formulas need, flattened (see `retrograd.ops.plan`); a `Freed` once freed.
    _grad_plan
        How to compute the inputs' gradients.
    _seq_nr
        See Note [Sequence numbers].
    _kernels
        The kernels of the forward call.
    _grad_fix
        None, or for each input the (shape, dtype) its gradient must be brought to, where the
        forward call broadcast or promoted.
    _node_extras
        None, or hooks and metadata.
    """

    __module__ = "retrograd.autograd.graph"
    __slots__ = (
        "__weakref__", "_grad_fix", "_grad_plan", "_holds", "_kernels", "_next_edges", "_node_extras", "_seq_nr",
    )  # fmt: skip

    _next_edges: tuple[Edge | None, ...]
    _holds: tuple[Any, ...]
    _grad_plan: Any
    _seq_nr: int
    _kernels: Any
    _grad_fix: tuple[tuple[Any, Any] | None, ...] | None
    _node_extras: Extras | None

    _n_outputs: int = 1
    """How many outputs the forward call had. Above one, gradients arrive as a list."""

    _n_differentiable: int = 1
    """How many of them, the first ones, can have a gradient: hooks and callers of the node see no others."""

    _shown_edges: tuple[int, ...] | None = None
    """Which of the edges `next_functions` shows: not those of inputs that never have a gradient. None: all."""

    _name_prefix: str = ""
    """What stands before the class's name in PyTorch's name of the node, which programs compare with."""

    _runs_undefined: bool = False
    """Whether the engine calls the node even if no gradient has reached it."""

    def name(self) -> str:
        """The node's type, as PyTorch names it: `MulBackward0`, `torch::autograd::AccumulateGrad`."""
        return self._name_prefix + type(self).__name__

    @property
    def requires_grad(self) -> bool:
        """True: a node is there because a gradient is wanted."""
        return True

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The edges to the nodes that this node's gradients go to."""
        from retrograd.autograd.metadata import see_inputs

        see_inputs(self)
        edges = self._next_edges if self._shown_edges is None else [self._next_edges[i] for i in self._shown_edges]
        return tuple((None, 0) if edge is None or edge is UNTRACKED else edge for edge in edges)

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dict for the user's own notes."""
        extras = self._need_extras()
        if extras.metadata is None:
            extras.metadata = {}
        return extras.metadata

    @property
    def _input_metadata(self) -> tuple[Any, ...]:
        """Shape, type and device of what arrives at each output; None where the node cannot know."""
        from retrograd.autograd.metadata import metadata_of

        found = (metadata_of(self, i) for i in range(self._n_differentiable))
        # PyTorch shows lists here.
        return tuple(None if each is None else each._replace(shape=list(each.shape)) for each in found)  # type: ignore[arg-type]

    def _output_kernels(self, position: int) -> Any:
        """The kernels of one of the outputs, and so of its gradient."""
        return self._kernels

    def _input_kernels(self, place: int) -> Any:
        """The kernels of the gradient of an input that has no edge."""
        return self._kernels

    def _need_extras(self) -> Extras:
        if self._node_extras is None:
            self._node_extras = Extras()
        return self._node_extras

    def _sequence_nr(self) -> int:
        own = None if self._node_extras is None else self._node_extras.sequence_nr
        return self._seq_nr if own is None else own

    def _set_sequence_nr(self, sequence_nr: int) -> None:
        """Run before nodes of smaller numbers, among those that have all their gradients: Note [Sequence numbers]."""
        self._need_extras().sequence_nr = sequence_nr
        renumbered.add(self)

    def register_prehook(self, fn: Callable[..., Any]) -> Any:
        """Call `fn(grad_outputs)` before the node runs; what it returns replaces them."""
        from retrograd.autograd.hooks import register_node_prehook

        return register_node_prehook(self, fn)

    def register_hook(self, fn: Callable[..., Any]) -> Any:
        """Call `fn(grad_inputs, grad_outputs)` after the node ran; what it returns replaces `grad_inputs`."""
        from retrograd.autograd.hooks import register_node_hook

        return register_node_hook(self, fn)

    def _register_hook_dict(self, tensor: Tensor) -> None:
        """Nothing: hooks of a tensor are its node's from the beginning. Kept for PyTorch's sake.

        Raises
        ------
        TypeError
            If it is no tensor.
        """
        if not hasattr(tensor, "_edge"):
            raise TypeError("_register_hook_dict expected a variable")

    def __call__(self, *grads: Tensor | None, **named: Any) -> Any:
        """Run this node by itself: the gradients of its inputs from those of its outputs.

        Examples
        --------
        >>> import retrograd
        >>> x = retrograd.tensor(3.0, requires_grad=True)
        >>> with retrograd.no_grad():
        ...     x.sin().grad_fn(retrograd.tensor(2.0))
        tensor(-1.9800)
        """
        from retrograd.autograd.calling import call_node

        if named:
            raise TypeError("keyword arguments are not supported")
        return call_node(self, grads)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"cannot pickle '{type(self).__name__}' object")

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_saved_", "_raw_saved_")):
            # The slot itself, because `self._grad_plan` would come back here while it is empty.
            slot: Any = type(self)._grad_plan  # type: ignore[misc]  # mypy takes it for the plan
            if (plan := slot.__get__(self)) is not None:
                if name.startswith("_saved_"):
                    return plan.saved_attribute(self, name.removeprefix("_saved_"))
                if hasattr(plan, "raw_saved_attribute"):
                    return plan.raw_saved_attribute(self, name.removeprefix("_raw_saved_"))
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __dir__(self) -> list[str]:
        names = getattr(self._grad_plan, "saved_names", None)
        return [*SHOWN, *(() if names is None else names(self))]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"


seal(Node)
SHOWN = [name for name in dir(object) if name != "__weakref__"] + (
    "_input_metadata _register_hook_dict _sequence_nr _set_sequence_nr metadata name next_functions register_hook "
    "register_prehook requires_grad"
).split()
"""What `dir` shows of every node, beside what it has saved: as in PyTorch, not the slots."""

# Those that `torch.autograd.graph.Node` lacks. Classes of nodes, which inherit these methods, are not abstract.
Node.__abstractmethods__ = frozenset(
    "_input_metadata _register_hook_dict _sequence_nr metadata name next_functions register_hook "
    "register_prehook".split()
)


seen_outputs: Final[weakref.WeakKeyDictionary[Node, dict[int, tuple[Any, Any, Any]]]] = weakref.WeakKeyDictionary()
"""Of nodes that the program has looked at: by number of output, its shape, type and kernels."""


def extras_of_outputs(outputs: Sequence[Tensor]) -> Extras:
    """What a node keeps that has several outputs with a gradient."""
    made = Extras()
    made.outputs = tuple((each._array.shape, each._array.dtype, each._kernels) for each in outputs)
    return made


def see_output(tensor: Tensor, edge: Edge) -> None:
    """Remember what the tensor at an edge is, as long as the node is."""
    seen_outputs.setdefault(edge[0], {})[edge[1]] = (tensor._array.shape, tensor._array.dtype, tensor._kernels)


def name_of(node: Node) -> str:
    """The node's name, also where a custom Function has given its `ctx` another attribute `name`."""
    return type(node).name(node)


class AccumulateGrad(Node):
    """The sink of a leaf: adds what arrives to the leaf's `.grad`.

    As those of all nodes, its class shows as PyTorch's does: `<class 'AccumulateGrad'>`.

    The leaf holds its node and the node the leaf's metadata, but the leaf itself only weakly: two
    objects that keep each other alive would wait for the garbage collector.
    """

    __slots__ = ("_array", "_variable", "lock", "meta", "variable_type")

    __module__ = "builtins"
    _name_prefix = UNGENERATED

    def __init__(self, variable: Tensor) -> None:
        self._next_edges = ()
        self._holds = ()
        self._grad_plan = None
        self._seq_nr = next_sequence_number()
        self._kernels = variable._kernels
        self._grad_fix = None
        self._node_extras = None
        self.lock = threading.Lock()
        self.meta = variable._own_meta()
        self.variable_type = getattr(variable, "_fresh", type(variable))
        self._array = variable._array
        self._variable = weakref.ref(variable)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), "variable"]

    def _sequence_nr(self) -> int:
        return 2**64 - 1  # in PyTorch, too, it does not count: it runs as soon as it can

    @property
    def variable(self) -> Tensor:
        """The leaf. If the program dropped it, an equal one with the same gradient and memory."""
        variable = self._variable()
        if variable is None:
            variable = self.variable_type._restore(self._array, self._kernels, (self, 0), self.meta)
            self._variable = weakref.ref(variable)
        return variable

    @variable.setter
    def variable(self, value: Any) -> None:
        raise AttributeError("attribute 'variable' of 'AccumulateGrad' objects is not writable")


def changed_sink(leaf: Tensor, edge: Edge | None, wanted: bool) -> Edge | None:
    """The edge, once `edge`, of a leaf that is to have a gradient, or is not. It keeps its hooks meanwhile."""
    has_sink = edge is not None and type(edge[0]) is AccumulateGrad
    if wanted == has_sink:
        return edge
    if has_sink:
        assert edge is not None
        leaf._own_meta().sink = weakref.ref(edge[0])
        if edge[0]._node_extras is not None:
            leaf._own_meta().hooks = edge[0]._node_extras
        return None
    node = _former_sink(leaf)
    if node is None:
        node = AccumulateGrad(leaf)
        if node.meta.hooks is not None:
            node.meta.hooks.keep_hooks_of_tensors()
    node._node_extras, node.meta.hooks = node.meta.hooks, None
    return node, 0


def _former_sink(leaf: Tensor) -> AccumulateGrad | None:
    """The node that a leaf had, if a graph still has it."""
    meta = leaf._tensor_meta
    node: Any = None if meta is None or meta.sink is None else meta.sink()
    if node is None or node._kernels is not leaf._kernels:
        return None
    node._array = leaf._array
    return node


class Untracked(Node):
    """Where gradients of views go that require one only because their base does: nowhere.

    See Note [Stale views] in `retrograd.autograd.stale`.
    """

    __slots__ = ()

    def __init__(self) -> None:
        self._next_edges = ()
        self._holds = ()
        self._grad_plan = None
        self._seq_nr = -1
        self._kernels = None
        self._grad_fix = None
        self._node_extras = None


UNTRACKED: Final[Edge] = (Untracked(), 0)
"""The edge of every such view."""

LEAVES: Final = (AccumulateGrad, Untracked)
"""The nodes that edges of leaves lead to."""
