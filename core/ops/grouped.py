"""Functions made of operators of which PyTorch has one node: theirs is around the nodes of the operators.

Note [Grouped]
    While the function runs, each of its tensors that requires a gradient is an alias, and the operators record nodes
    as ever, from those aliases to the result. Then the result gets a node of its own, whose edges are those of the
    tensors that were given. Its formula is a backward pass of its own, from the result as the operators made it to
    the aliases. The aliases lead on to the tensors that were given, so what a recorded pass makes of saved tensors
    does too, and derivatives of any order are those of the operators.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from retrograd.autograd.anomaly import remember_call
from retrograd.autograd.engine import run_backward
from retrograd.autograd.explaining import freed_error, note_stale
from retrograd.autograd.modes import current_mode, is_grad_enabled
from retrograd.autograd.node import Edge, Freed, Node, next_sequence_number
from retrograd.ops.plan import edge_now, is_stale, stale_message
from retrograd.ops.saved_names import presented
from retrograd.ops.shape import alias_of
from retrograd.tensor import Tensor, rebuild, wrap_array

__all__ = ["one_node"]

F = TypeVar("F", bound=Callable[..., Any])


class Grouped(Node):
    """The node of a call of such a function.

    `saved` has the edges of the results as the operators made them, those of the aliases, and what the node shows.
    """

    __slots__ = ("differentiable", "inputs_info", "output_info", "outputs")
    __module__ = "builtins"
    inputs_info: tuple[tuple[Any, Any, Any] | None, ...]
    output_info: tuple[tuple[Any, Any, Any], ...]
    shows: ClassVar[tuple[tuple[str, str], ...]] = ()


class _Shown(NamedTuple):
    """A tensor that a node shows: what is needed to make it anew, so that it is not kept alive."""

    array: Any
    k: Any
    edge: Edge | None
    cell: Any = None
    version: int = 0


@functools.cache
def _class_of(name: str, shows: tuple[tuple[str, str], ...]) -> type[Grouped]:
    return type(name, (Grouped,), {"__slots__": (), "__module__": "builtins", "shows": shows})


def one_node(
    name: str | Callable[[Any], str], *inputs: str, outputs: Sequence[int] | None = None, saves: str = ""
) -> Callable[[F], F]:
    """A decorator: let a call of the function be one node. See Note [Grouped].

    Parameters
    ----------
    name
        The node's name, or what gives it for the results as the operators made them.
    inputs
        The parameters that are tensors, in the order of the node's edges.
    outputs
        Which of the results can have a gradient; all by default.
    saves
        The names of `_saved_` attributes, which are those of parameters; after `=` that of the parameter, or `result`
        with the place of the result.
    """
    shows = tuple((each.partition("=")[0], each.partition("=")[2] or each) for each in saves.split())

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        places = {each: place for place, each in enumerate(signature.parameters)}

        @functools.wraps(function)
        def grouped(*args: Any, **kwargs: Any) -> Any:
            if not is_grad_enabled() or current_mode().inference:
                return function(*args, **kwargs)
            given = [args[at] if (at := places[each]) < len(args) else kwargs.get(each) for each in inputs]
            edges = [each._edge if isinstance(each, Tensor) else None for each in given]
            if not any(edges):
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            call = _Call(inputs, given, edges)
            made = function(**{**bound.arguments, **call.aliases})
            kind = _class_of(name if isinstance(name, str) else name(made), shows)
            return call.recorded(kind(), made, outputs, bound.arguments)

        return grouped  # type: ignore[return-value]

    return decorate


class _Call:
    """One call of a grouped function that is recorded."""

    def __init__(self, names: Sequence[str], given: Sequence[Any], edges: Sequence[Edge | None]) -> None:
        self.edges = tuple(edges)
        self.given = dict(zip(names, given, strict=True))
        self.sources = dict(zip(names, edges, strict=True))
        self.aliases = {each: alias_of(self.given[each]) for each, edge in self.sources.items() if edge is not None}

    def recorded(self, node: Grouped, made: Any, outputs: Sequence[int] | None, told: Mapping[str, Any]) -> Any:
        """The results with the node, if one of them requires a gradient."""
        results = list(made) if isinstance(made, tuple) else [made]
        places = range(len(results)) if outputs is None else outputs
        inner = tuple(results[place]._edge for place in places)
        if not any(inner):
            return made
        node.outputs = node.differentiable = len(inner)
        node.edges, node.k, node.plan = self.edges, results[places[0]]._kernels, _PLAN
        node.seq, node.fix, node.extras = next_sequence_number(), None, None
        for number, place in enumerate(places):
            results[place] = _own(results[place], (node, number))
        node.output_info = tuple(_info(results[at]) for at in places)
        node.inputs_info = tuple(_info(each) if isinstance(each, Tensor) else None for each in self.given.values())
        aliases = tuple(self.aliases[each]._edge if each in self.aliases else None for each in self.given)
        sources = {name: _shown(self.given.get(name, value), self.sources.get(name)) for name, value in told.items()}
        sources |= {f"{name}_sym_sizes": tuple(each.shape) for name, each in self.given.items() if each is not None}
        sources |= {f"result{place}": _shown(each, None) for place, each in enumerate(results)}
        node.saved = (inner, aliases, {name: sources[source] for name, source in node.shows})
        if current_mode().anomaly:
            remember_call(node)
        if not isinstance(made, tuple):
            return results[0]
        return type(made)(*results) if hasattr(made, "_fields") else tuple(results)


def _info(tensor: Tensor) -> tuple[Any, Any, Any]:
    return tuple(tensor._array.shape), tensor._array.dtype, tensor._kernels


def _own(result: Tensor, edge: Edge) -> Tensor:
    """A result as one of the group's: no view of what the operators made."""
    meta = result._tensor_meta
    if meta is not None and meta.view is not None:
        return rebuild(result._array, result._kernels, edge, meta.tangents)
    result._edge = edge
    return result


def _shown(value: Any, edge: Edge | None) -> Any:
    if not isinstance(value, Tensor):
        return value
    return _Shown(value._array, value._kernels, edge, value._cell, value._cell[0])


class _GroupedPlan:
    """How gradients of all grouped calls are computed."""

    __slots__ = ()
    holds_tensors = True
    unpacks = True

    def raw(self, K: Any, g: Any, node: Grouped) -> list[Any]:
        arrived = g if isinstance(g, list) else [g]
        grads = [None if each is None else wrap_array(each, node.k) for each in arrived]
        return [None if each is None else each._array for each in self.graph(None, grads, node)]

    def graph(self, G: Any, g: Any, node: Grouped) -> list[Any]:
        inner, aliases, shown = node.saved
        for name, each in shown.items():
            if isinstance(each, _Shown) and is_stale(each.cell, each.version, _edge_of(node, name, each)):
                raise _stale(node, name, each)
        grads = g if isinstance(g, list) else [g]
        roots = [(edge, grad) for edge, grad in zip(inner, grads, strict=True) if edge is not None and grad is not None]
        if not roots:
            return [None] * len(aliases)
        # The operators' nodes are retained: they go with this node's `saved`, and in a pass through what a recorded
        # pass made of saved results they are reached by themselves, too.
        found = iter(
            run_backward(
                roots,
                retain_graph=True,
                create_graph=is_grad_enabled(),
                inputs=[each for each in aliases if each is not None],
                accumulate=False,
            )
        )
        return [None if each is None else next(found) for each in aliases]

    def saved_names(self, node: Grouped) -> list[str]:
        return [f"_saved_{name}" for name, _ in node.shows]

    def saved_attribute(self, node: Grouped, name: str) -> Any:
        source = dict(node.shows).get(name)
        if source is None:
            raise AttributeError(f"'{type(node).__name__}' object has no attribute '_saved_{name}'")
        if type(node.saved) is Freed:
            raise freed_error(node)
        _, _, shown = node.saved
        value = shown[name]
        if not isinstance(value, _Shown):
            return presented(name, value)
        if is_stale(value.cell, value.version, _edge_of(node, name, value)):
            raise _stale(node, name, value)
        edge = (node, 0) if source.startswith("result") else value.edge
        made = rebuild(value.array, value.k, edge)
        if not made.dtype.is_differentiable:
            made._edge = None
        return made


def _edge_of(node: Grouped, name: str, shown: _Shown) -> Edge | None:
    return None if dict(node.shows)[name].startswith("result") else shown.edge


def _stale(node: Grouped, name: str, shown: _Shown) -> RuntimeError:
    edge = edge_now(shown.edge, shown.cell)
    type_name = shown.k.names[shown.array.dtype]
    error = stale_message(type_name, tuple(shown.array.shape), edge, shown.cell[0], shown.version)
    return note_stale(error, node, name, shown.cell)


_PLAN = _GroupedPlan()
