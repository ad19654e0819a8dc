"""The backward pass.

Gradients flow from the roots along edges, each node once, in the order of descending sequence
numbers (see Note [Sequence numbers]); a leaf's `AccumulateGrad` runs as soon as the last node that
feeds it has. Nothing here recurses, and nothing is kept between two passes.

Note [Raw and graph mode]
    In an ordinary backward pass gradients are raw arrays and formulas run on kernels: no tensor is
    made. With `create_graph` they are tensors and the same formulas run on differentiable
    operators. `Plan.raw` and `Plan.graph` are the two readings of one formula. Inside forward mode
    gradients are tensors in any case, since they may have tangents; under a profiler, so that it sees
    the operators.

Note [Undefined gradients]
    Where a formula or a hook gives None, nothing is computed any more, but the nodes behind it run as in PyTorch: their
    hooks are called with None, what they saved is freed, and a leaf's post-accumulate hooks are told.

Note [Threads]
    A pass runs in the thread that called it and keeps its state in a `_Task` of its own, so several
    may run at once, through graphs that share leaves (each leaf's `.grad` is added to under the
    leaf's lock) and through one graph, if all passes but the last retain it. The order in which
    threads add is theirs; hooks run once per pass, in its thread. Modes and the running task are
    `ContextVar`s: neither a thread nor an asyncio task sees another's.

Note [Watched nodes]
    The loop of `_Task.run` is the hot path: it handles inline a node with one output, no hooks and
    nobody who asks for its gradient. All else (`run_special`) is found by four cheap tests, and what
    costs something per node is done there: hooks, captures, anomaly mode, the profiler. A freed node
    needs no test: its formula fails on unpacking `Freed`, and `explain` says what happened. A node that
    has saved by `saved_tensors_hooks` has `_node_extras` from the beginning: the unpack hook, which runs within its
    formula, may register a post-hook. That one is not told the gradients that had arrived, as in PyTorch.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar, copy_context
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from weakref import ref

from retrograd.autograd import anomaly, explaining, hooks
from retrograd.autograd.accumulate import add_to_leaf, cast_for_leaf
from retrograd.autograd.modes import current_mode, set_mode
from retrograd.autograd.node import UNTRACKED, AccumulateGrad, Edge, Freed, Node, renumbered
from retrograd.autograd.resized import fit_gradients
from retrograd.layout import contiguous_format
from retrograd.ops.broadcasting import settle
from retrograd.ops.graph import G
from retrograd.storage import OWN, expanded_dims

if TYPE_CHECKING:
    from retrograd.tensor import Tensor

__all__ = ["run_backward"]

_by_sequence = attrgetter("_seq_nr")
_current_task: ContextVar[_Task | None] = ContextVar("retrograd.backward", default=None)

_next_number: Callable[[], int] = itertools.count().__next__

Grad = Any  # a raw array, or a Tensor in graph mode
_DEEP = 32  # passes within each other in one thread

Captures = dict[Node, list[tuple[int, int]]]  # node -> (output number, slot of the result)


def run_backward(
    roots: Sequence[tuple[Edge, Tensor]],
    *,
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Edge] | None = None,
    accumulate: bool = True,
) -> list[Tensor | None]:
    """Propagate the roots' gradients through the graph.

    Parameters
    ----------
    roots
        Where to start: edges with the gradient to send along each.
    retain_graph
        Keep what the nodes saved, so that the graph can be walked again.
    create_graph
        Record the pass itself. See Note [Raw and graph mode].
    inputs
        Walk only as far as these edges. Without it, all leaves are reached.
    accumulate
        With `inputs`: whether gradients are added to the leaves' `.grad` or returned.

    Returns
    -------
    The gradients of `inputs`, None where there is no path; empty if `accumulate`.
    """
    within = _current_task.get()
    if within is not None and within.depth % _DEEP == _DEEP - 1 and not within.in_new_thread:
        within.in_new_thread = True
        try:
            options = {"retain_graph": retain_graph, "create_graph": create_graph, "accumulate": accumulate}
            return _in_new_thread(partial(run_backward, roots, inputs=inputs, **options))
        finally:
            within.in_new_thread = False
    order, pending = _walk(edge[0] for edge, _ in roots)
    outer = current_mode()
    # A gradient of a level of `vmap` that the graph is not of: its arrays are not for the nodes' kernels.
    on_tensors = create_graph or bool(outer.dual) or any(_is_of_others(edge[0]._kernels, grad) for edge, grad in roots)
    task = _Task(retain_graph, on_tensors, pending)
    task.depth = 0 if within is None else within.depth + 1
    task.freed.root, task.freed.accumulates = type(roots[0][0][0]), accumulate
    if inputs is not None:
        task.restrict(order, inputs, accumulate)
    set_mode(outer.but(grad=create_graph))
    token = _current_task.set(task)
    grad: Tensor | None
    try:
        with roots[0][1]._kernels.quiet():
            for (node, position), grad in roots:
                task.deliver(node, position, grad if task.on_tensors else grad._array)
                task.given.append(ref(grad))
                grad = None
            del roots
            task.run(order)
        if task.callbacks:
            task.call_back()
    finally:
        if task.profiler is not None:
            task.evaluate(None)
        _current_task.reset(token)
        set_mode(outer)
    return task.captured


def _in_new_thread(call: Callable[[], list[Tensor | None]]) -> list[Tensor | None]:
    """Call in a thread with an empty stack, and wait: passes within passes may be deeper than Python recurses."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((call(), None))
        except BaseException as error:
            outcome.extend((None, error))

    thread = threading.Thread(target=copy_context().run, args=(run,), name="retrograd-backward")
    thread.start()
    thread.join()
    found, error = outcome
    if error is not None:
        raise error
    return found


def active_task() -> _Task | None:
    """The backward pass that is running in this thread or task, if there is one."""
    return _current_task.get()


def current_task() -> _Task:
    """The backward pass that is running in this thread or task."""
    task = _current_task.get()
    if task is None:
        raise RuntimeError("no backward pass is running")
    return task


def _walk(roots: Iterable[Node]) -> tuple[list[Node], dict[Node, int]]:
    """All nodes that can be reached, in the order to run them, and how many edges lead to each leaf."""
    seen = dict.fromkeys(roots)
    pending: dict[Node, int] = {node: 0 for node in seen if type(node) is AccumulateGrad}
    stack = [node for node in seen if node not in pending]
    order = []
    while stack:
        node = stack.pop()
        order.append(node)
        for edge in node._next_edges:
            if edge is None or edge is UNTRACKED:
                continue
            target = edge[0]
            if type(target) is AccumulateGrad:
                pending[target] = pending.get(target, 0) + 1
            elif target not in seen:
                seen[target] = None
                stack.append(target)
    order.sort(key=_by_sequence, reverse=True)
    if renumbered and not renumbered.isdisjoint(order):
        order = _by_given_numbers(order)
    return order, pending


def _by_given_numbers(order: Sequence[Node]) -> list[Node]:
    """The nodes, each after those that feed it, and otherwise by the numbers that the program has given them."""
    waits = dict.fromkeys(order, 0)
    for edge in (edge for node in order for edge in node._next_edges):
        if edge is not None and edge[0] in waits:
            waits[edge[0]] += 1
    arrival = itertools.count()
    ready = [(-node._sequence_nr(), next(arrival), node) for node in order if not waits[node]]
    heapq.heapify(ready)
    found: list[Node] = []
    while ready:
        node = heapq.heappop(ready)[-1]
        found.append(node)
        for edge in node._next_edges:
            if edge is not None and edge[0] in waits:
                waits[edge[0]] -= 1
                if not waits[edge[0]]:
                    heapq.heappush(ready, (-edge[0]._sequence_nr(), next(arrival), edge[0]))
    return found


class _Task:
    """The state of one backward pass."""

    __slots__ = (
        "__weakref__", "accumulate", "buffers", "callbacks", "captured", "captures", "check_nan", "depth", "evaluated",
        "freed", "given", "in_new_thread", "needed", "number", "on_tensors", "order", "own", "pending", "profiler",
        "reached", "retain_graph", "running", "shown", "watched",
    )  # fmt: skip

    def __init__(self, retain_graph: bool, on_tensors: bool, pending: dict[Node, int]) -> None:
        self.retain_graph = retain_graph
        self.pending = pending
        self.buffers: dict[Node, Any] = {}
        self.own: set[Node] = set()  # buffers that hold a sum of ours, which may be added to in place
        self.given: list[ref[Tensor]] = []  # the gradients of the roots, until any is to be seen
        self.shown: dict[int, ref[Tensor]] = {}  # by the id of its array, each that user code has seen
        self.needed: set[Node] | None = None
        self.captures: Captures = {}
        self.captured: list[Any] = []
        self.accumulate = True
        self.reached: set[Node] | None = None  # all nodes and leaves, once somebody asks
        self.running: Node | None = None  # the node whose formulas or hooks run; known where it is needed
        mode = current_mode()
        self.check_nan = mode.anomaly and mode.check_nan
        self.profiler = mode.profiler
        self.on_tensors = on_tensors or self.profiler is not None
        self.evaluated: Any = None  # a profiler's event: the node's whose gradients are computed and handed on
        self.watched = self.check_nan or self.profiler is not None
        self.callbacks: list[Callable[[], Any]] = []
        self.freed = Freed()
        self.number = _next_number()
        self.depth = 0  # passes in whose midst this one has begun
        self.in_new_thread = False  # whether one within this one runs in a thread of its own
        if mode.anomaly:
            self.freed.stack = anomaly.stack_of_caller()

    def restrict(self, order: list[Node], inputs: Sequence[Edge], accumulate: bool) -> None:
        """Walk only the nodes between the roots and `inputs`."""
        self.accumulate = accumulate
        self.captured = [] if accumulate else [None] * len(inputs)
        for slot, (node, position) in enumerate(inputs):
            self.captures.setdefault(node, []).append((position, slot))
        needed = set(self.captures)
        for node in reversed(order):
            if any(edge is not None and edge[0] in needed for edge in node._next_edges):
                needed.add(node)
        self.needed = needed

    def will_run(self, node: Node) -> bool:
        """Whether `node` is part of this pass."""
        if self.needed is not None and node not in self.needed:
            return False
        if self.reached is None:
            self.reached = {*self.order, *self.pending}
        return node in self.reached

    def execution_order(self) -> list[Node]:
        """The nodes of this pass in the order in which they run, a leaf's as soon as all that feed it have."""
        left = dict.fromkeys(self.pending, 0)
        for edge in (edge for node in self.order for edge in node._next_edges):
            if edge is not None and edge[0] in left:
                left[edge[0]] += 1
        found = [leaf for leaf, count in left.items() if count == 0]
        for node in self.order:
            found.append(node)
            for edge in node._next_edges:
                if edge is not None and edge[0] in left:
                    left[edge[0]] -= 1
                    found += [edge[0]] if left[edge[0]] == 0 else []
        return [node for node in found if self.needed is None or node in self.needed]

    def asks_for(self, leaf: Node) -> bool:
        """Whether the caller is to be given the gradient of a leaf, to which it is not added."""
        return not self.accumulate and leaf in self.captures and leaf in self.pending

    def call_back(self) -> None:
        """What was to be called when all gradients are there; a callback may add another."""
        for each in self.callbacks:
            each()

    def run(self, order: list[Node]) -> None:
        self.order = order
        buffers, pending, needed, captures = self.buffers, self.pending, self.needed, self.captures
        on_tensors, keep, freed, watched = self.on_tensors, self.retain_graph, self.freed, self.watched
        ready = [leaf for leaf, count in pending.items() if count == 0]
        self.finish_leaves(ready)
        for node in order:
            grad = buffers.pop(node, None)
            if needed is not None and node not in needed:
                grads: Sequence[Any] = ()
            elif node._node_extras is not None or node._n_outputs != 1 or watched or node in captures:
                grads = self.run_special(node, grad)
            elif grad is None and not node._runs_undefined:
                grads = self.pass_undefined(node)
            else:
                try:
                    grads = (
                        node._grad_plan.graph(G, grad, node)
                        if on_tensors
                        else node._grad_plan.raw(node._kernels, grad, node)
                    )
                    if node._grad_fix is not None:
                        grads = settle(G if on_tensors else node._kernels, grads, node._grad_fix)
                except Exception as error:
                    explain(error, node, grad)
                    raise
                if not keep and node._holds and node._grad_plan.holds_tensors:
                    node._holds = freed
            if not grads:
                grads = (None,) * len(node._next_edges)
            grad = None
            for edge, grad in zip(node._next_edges, grads):  # noqa: B905 - trailing Nones may be left out
                if edge is None:
                    continue
                target, position = edge
                if grad is not None:
                    if position == 0 and target._n_outputs == 1 and target not in buffers:
                        buffers[target] = grad
                    else:
                        self.deliver(target, position, grad)
                if target in pending:
                    left = pending[target] = pending[target] - 1
                    if left == 0:
                        ready.append(target)
            # Only now that nothing here refers to the gradients may a leaf keep one as it is.
            grad = grads = None  # type: ignore[assignment]  # both are set anew before they are read
            if ready:
                self.finish_leaves(ready)

    def finish_leaves(self, ready: list[Node]) -> None:
        for leaf in ready:
            self.finish_leaf(leaf)
        ready.clear()

    def deliver(self, node: Node, position: int, grad: Grad) -> None:
        """Add one gradient to what has arrived at an output of `node`."""
        buffers = self.buffers
        if node._kernels is None:  # `UNTRACKED`: it goes nowhere
            return
        if node._n_outputs != 1:
            parts = buffers.setdefault(node, {})
            parts[position] = parts[position] + grad if position in parts else grad
        elif node not in buffers:
            buffers[node] = grad
        elif node in self.own and buffers[node].shape != () and type(grad) is node._kernels.array_type:
            buffers[node] = node._kernels.add(buffers[node], grad, buffers[node])
        else:
            total = buffers[node] = _sum_of(buffers[node], grad) if self.on_tensors else buffers[node] + grad
            if not self.on_tensors and node._kernels.mutable and type(total) is node._kernels.array_type:
                self.own.add(node)

    def run_special(self, node: Node, grad: Grad) -> Sequence[Grad]:
        """A node with several outputs, with hooks, whose gradient is asked for, or in a pass that is watched."""
        if self.profiler is not None:
            self.evaluate(node)
        arrived = [grad] if node._n_outputs == 1 else [(grad or {}).get(i) for i in range(node._n_outputs)]
        extras = node._node_extras
        if extras is not None and extras.shapes:
            arrived = fit_gradients(G if self.on_tensors else node._kernels, node, arrived, self.order)
        came = arrived
        if extras is not None and (extras.pre_hooks or extras.retain):
            arrived = self.call_tensor_hooks(node, arrived)
        if not self.accumulate:  # else `backward` has told the tensor to retain its gradient
            leads_on = self.leads_on(node)
            given = came if leads_on else arrived  # PyTorch calls the hooks of what it passes on after it has captured
            for position, slot in self.captures.get(node, ()):
                self.captured[slot] = self.wrap(node._output_kernels(position), given[position])
            if not leads_on:
                return ()
        if extras is not None and extras.pre_hooks:
            arrived = self.call_node_pre_hooks(node, arrived)
        if extras is not None and extras.indices and type(node._holds) is not Freed:
            from retrograd.ops.plan import check_indices

            check_indices(node, extras.indices)
        in_time = extras is not None and bool(extras.post_hooks)
        grads = self.gradients(node, arrived)
        if extras is not None and extras.post_hooks:
            self.running = node
            told = self.wrap_outputs(node, arrived) if in_time else []
            given = self.wrap_inputs(node, grads)
            made = hooks.run_post_hooks(node, list(given), told)
            self.running = None
            self.pass_on_writes(arrived, told)
            self.pass_on_writes(grads, given)
            grads = [self.unwrap(each) for each in made]
        if self.check_nan:
            anomaly.check_nan(node, self.wrap_outputs(node, arrived), self.wrap_inputs(node, grads))
        if not self.retain_graph and node._holds and node._grad_plan.holds_tensors:
            node._holds = self.freed
        return grads

    def evaluate(self, node: Node | None) -> None:
        """Tell the profiler that a node's turn begins, and so that of the one before has ended; None: nobody's."""
        if self.evaluated is not None:
            self.profiler.end(self.evaluated)
        self.evaluated = None if node is None else self.profiler.begin_evaluation(node)

    def leads_on(self, node: Node) -> bool:
        """Whether anybody behind `node` is to have a gradient."""
        return self.needed is None or any(edge is not None and edge[0] in self.needed for edge in node._next_edges)

    def pass_undefined(self, node: Node) -> Sequence[Grad]:
        """A node that no gradient has reached, or behind which nobody wants one, counts as run, but computes nothing.

        See Note [Undefined gradients].
        """
        if type(node._holds) is Freed:
            explaining.raise_freed(ValueError(), node)
        if not self.retain_graph and node._holds and node._grad_plan.holds_tensors:
            node._holds = self.freed
        return ()

    def gradients(self, node: Node, arrived: Sequence[Grad]) -> Sequence[Grad]:
        """Run the formulas of a node, and let who watches the pass know."""
        kernels = G if self.on_tensors else node._kernels
        given = arrived[0] if node._n_outputs == 1 else arrived
        outer, self.running = self.running, node
        event = None if self.profiler is None else self.profiler.begin_node(node, given)
        try:
            if not node._runs_undefined and (all(each is None for each in arrived) or not self.leads_on(node)):
                return self.pass_undefined(node)
            grads = (node._grad_plan.graph if self.on_tensors else node._grad_plan.raw)(kernels, given, node)
            if event is not None:  # what undoes broadcasting is of the node's turn, but not of the node
                self.profiler.end(event, grads)
                event = None
            return grads if node._grad_fix is None else settle(kernels, grads, node._grad_fix)
        except Exception as error:
            explain(error, node, given)
            raise
        finally:
            self.running = outer
            if event is not None:
                self.profiler.end(event)

    def call_tensor_hooks(self, node: Node, arrived: list[Grad]) -> list[Grad]:
        """The hooks of the node's outputs; those that retain their gradient keep what comes out."""
        wrapped = self.call_hooks(hooks.run_tensor_hooks, node, arrived)
        retain = node._node_extras.retain  # type: ignore[union-attr]  # the caller has looked
        for position, reference in (retain or {}).items():
            tensor = reference()
            if tensor is not None and (grad := wrapped[position]) is not None:
                _accumulate_into(tensor._own_meta(), grad)
        return [self.unwrap(each) for each in wrapped]

    def call_node_pre_hooks(self, node: Node, arrived: list[Grad]) -> list[Grad]:
        return [self.unwrap(each) for each in self.call_hooks(hooks.run_node_pre_hooks, node, arrived)]

    def call_hooks(
        self, run: Callable[..., list[Tensor | None]], node: Node, arrived: list[Grad]
    ) -> list[Tensor | None]:
        """What hooks make of the gradients that have arrived at a node."""
        given = self.wrap_outputs(node, arrived)
        self.running = node
        made = run(node, list(given))
        self.running = None
        self.pass_on_writes(arrived, given)
        arrived[:] = [self.unwrap(each) for each in given]
        return made

    def pass_on_writes(self, arrays: Sequence[Grad], tensors: Sequence[Tensor | None]) -> None:
        """Give what user code has written to gradients in place to all that has the same gradient.

        Where arrays can be written to, it has it already: they are one memory. Others have been replaced.
        """
        if self.on_tensors:
            return
        for array, tensor in zip(arrays, tensors, strict=False):  # trailing ones may have been left out
            if tensor is None or tensor._array is array or tensor._kernels.mutable:
                continue
            self.shown[id(tensor._array)] = ref(tensor)
            for node, held in self.buffers.items():
                if held is array:
                    self.buffers[node] = tensor._array
                elif type(held) is dict:
                    held.update((position, tensor._array) for position, each in held.items() if each is array)

    def wrap_outputs(self, node: Node, arrived: Sequence[Grad]) -> list[Tensor | None]:
        """The gradients that have arrived at a node, as tensors."""
        return [self.wrap(node._output_kernels(i), each) for i, each in enumerate(arrived)]

    def wrap_inputs(self, node: Node, grads: Sequence[Grad]) -> list[Tensor | None]:
        """The gradients that a node has computed, one for each edge, as tensors: where it moves, on another device."""
        made: list[Tensor | None] = [None] * len(node._next_edges)
        for i, (edge, grad) in enumerate(zip(node._next_edges, grads)):  # noqa: B905 - trailing Nones may be left out
            if edge is not None and self.needed is not None and not node._runs_undefined and edge[0] not in self.needed:
                continue
            if grad is not None:
                made[i] = self.wrap(node._input_kernels(i) if edge is None else edge[0]._output_kernels(edge[1]), grad)
        return made

    def wrap(self, k: Any, grad: Grad) -> Tensor | None:
        """A gradient as user code sees it: as one tensor, wherever it goes."""
        if grad is None or self.on_tensors:
            return grad
        from retrograd.tensor import side_of, wrap_array

        shown, number = self.shown, id(grad)
        while self.given:
            if (tensor := (given := self.given.pop())()) is not None:
                shown[id(tensor._array)] = given
        if number in shown and (tensor := shown[number]()) is not None and tensor._array is grad:
            return tensor
        tensor = wrap_array(grad, k if type(grad) is k.array_type else side_of(grad, k))
        if repeated := expanded_dims(tensor):
            tensor = _expanded(tensor, repeated)
        shown[number] = ref(tensor)
        return tensor

    def unwrap(self, grad: Tensor | None) -> Grad:
        return grad if grad is None or self.on_tensors else grad._array

    def finish_leaf(self, leaf: Node) -> None:
        """All gradients of a leaf are there: run its hooks and store or return it."""
        extras = leaf._node_extras
        if self.needed is not None and leaf not in self.captures:
            self.buffers.pop(leaf, None)
            return
        if self.profiler is not None:
            self.evaluate(leaf)
        if leaf.meta.grad_dtype is not OWN and leaf in self.buffers:
            self.buffers[leaf] = cast_for_leaf(self.buffers[leaf], leaf._kernels, leaf.meta.grad_dtype)
        if extras is not None and extras.pre_hooks:
            self.buffers[leaf] = self.call_tensor_hooks(leaf, [self.buffers.pop(leaf, None)])[0]
        if not self.accumulate:
            grad = self.buffers.pop(leaf, None)
            for _, slot in self.captures[leaf]:
                self.captured[slot] = self.wrap(leaf._kernels, grad)
            return
        if extras is not None and extras.pre_hooks:
            self.buffers[leaf] = self.call_node_pre_hooks(leaf, [self.buffers.pop(leaf)])[0]
        grad = self.store(leaf)  # type: ignore[arg-type]  # it is an `AccumulateGrad`
        self.running = leaf
        if leaf.meta.post_accumulate_hooks:
            hooks.run_post_accumulate_hooks(leaf)  # type: ignore[arg-type]
        if extras is not None and extras.post_hooks:
            hooks.run_post_hooks(leaf, [], [self.wrap(leaf._kernels, grad)])
        self.running = None

    def store(self, leaf: AccumulateGrad) -> Grad:
        """Add what has arrived at a leaf to its `.grad`; popped here, so that no other variable refers to it."""
        grad = self.buffers.pop(leaf, None)
        variable = leaf._variable()
        told_off = variable is not None and not variable.requires_grad  # since the graph was made
        if grad is None or told_off:
            return grad
        if variable is not None and not variable.is_leaf:
            raise RuntimeError("leaf variable has been moved into the graph interior")
        event = None if self.profiler is None else self.profiler.begin_node(leaf, grad)
        adds = leaf.meta.grad is not None
        # In a pass on tensors that is not recorded, `.grad` is a plain one: without a tangent, as in PyTorch.
        records = self.on_tensors and current_mode().grad
        add_to_leaf(leaf, grad._array if self.on_tensors and not records else grad, records)
        if event is not None:
            if adds and not records:
                self.profiler.note("aten::add_", event.time_range.start)
            self.profiler.end(event)
        return grad


def _expanded(tensor: Tensor, dims: list[int]) -> Tensor:
    """A gradient whose elements are one along some dimensions as a view of them, which refuses what it would repeat."""
    from retrograd.ops.shape import expand

    array, k = tensor._array, tensor._kernels
    once = tuple(slice(0, 1) if i in dims else slice(None) for i in range(len(array.shape)))
    tensor._array = k.slice(array, once)
    made: Tensor = expand(tensor, tuple(array.shape))
    made._array = array
    return made


def _sum_of(held: Tensor, grad: Tensor) -> Tensor:
    """The sum of two gradients; one of a sparse and a dense one is dense, which stands on the left."""
    return grad + held if held._kernels.sparse and not grad._kernels.sparse else held + grad


def _is_of_others(k: Any, grad: Tensor) -> bool:
    """Whether the nodes of table `k` cannot take the array of a gradient as it is."""
    own = grad._kernels
    return own is not k and own.dense is not k.dense


def _accumulate_into(meta: Any, grad: Tensor) -> None:
    """Keep a gradient for a tensor that is no leaf: a copy, since others (hooks, the caller) may have it, too."""
    escaped = meta.grad is not None and getattr(meta.grad._kernels, "closed", False)  # one of a pass that was mapped
    adds = meta.grad is not None and not escaped
    meta.grad = meta.grad + grad if adds else grad.clone(memory_format=contiguous_format)


def explain(error: Exception, node: Node, grad: Any) -> None:
    """Attach to an error of a formula what is known about its operator; of a freed node, raise another instead."""
    if current_mode().anomaly:
        anomaly.warn_of_error(node)
    explaining.raise_freed(error, node)
    explaining.note_formula(error, node, grad)
