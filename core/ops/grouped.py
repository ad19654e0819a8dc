"""Functions made of operators of which PyTorch has one node: theirs is around the nodes of the operators.

Note [Grouped]
    While the function runs, each of its tensors that requires a gradient is an alias, and the operators record nodes
    as ever, from those aliases to the result. Then the result gets a node of its own, whose edges are those of the
    tensors that were given. Its formula is a backward pass of its own, from the result as the operators made it to
    the aliases. The aliases lead on to the tensors that were given, so what a recorded pass makes of saved tensors
    does too, and derivatives of any order are those of the operators.

    Hooks on saved tensors see what PyTorch's node saves. Of what they keep the function is run again in the backward
    pass, as it would be by a checkpoint; so it is for functions alone that show all their inputs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from retrograd.autograd.anomaly import remember_call
from retrograd.autograd.engine import run_backward
from retrograd.autograd.explaining import freed_error, note_stale
from retrograd.autograd.modes import current_mode, is_grad_enabled, no_grad, set_mode
from retrograd.autograd.node import Edge, Freed, Node, next_sequence_number
from retrograd.ops.plan import Packed, edge_now, hooked_twice, is_stale, packed_by, stale_message
from retrograd.ops.saved_names import SavedTensor, presented
from retrograd.ops.shape import alias_of
from retrograd.tensor import Tensor, rebuild, wrap_array

__all__ = ["one_node"]

F = TypeVar("F", bound=Callable[..., Any])


class Grouped(Node):
    """The node of a call of such a function.

    `_holds` has the edges of the results as the operators made them (None: the function is to run again), those of the
    aliases, what the node shows, and how the function is run again.
    """

    __slots__ = ("_inputs_info", "_n_differentiable", "_n_outputs", "_output_info")
    __module__ = "builtins"
    _inputs_info: tuple[tuple[Any, Any, Any] | None, ...]
    _output_info: tuple[tuple[Any, Any, Any], ...]
    shows: ClassVar[tuple[tuple[str, str], ...]] = ()


class _Again(NamedTuple):
    """How a function is run again: what it takes beside tensors that the node shows."""

    function: Callable[..., Any]
    inputs: tuple[str, ...]
    places: tuple[int, ...]
    arguments: dict[str, Any]
    autocast: Any


class _Shown(NamedTuple):
    """A tensor that a node shows: what is needed to make it anew, so that it is not kept alive.

    In place of the array may stand what hooks have made of it.
    """

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
    runs_again = {source for _, source in shows}.issuperset(inputs)

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        places = {each: place for place, each in enumerate(signature.parameters)}

        @functools.wraps(function)
        def grouped(*args: Any, **kwargs: Any) -> Any:
            mode = current_mode()
            if not is_grad_enabled() or mode.inference:
                return function(*args, **kwargs)
            given = [args[at] if (at := places[each]) < len(args) else kwargs.get(each) for each in inputs]
            edges = [each._edge if isinstance(each, Tensor) else None for each in given]
            if not any(edges):
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            packs = runs_again and bool(mode.saved_hooks) and not mode.dual
            call = _Call(function, inputs, given, edges, bound.arguments, packs)
            made = call.made()
            kind = _class_of(name if isinstance(name, str) else name(made), shows)
            return call.recorded(kind(), made, outputs)

        return grouped  # type: ignore[return-value]

    return decorate


class _Call:
    """One call of a grouped function that is recorded; if it `packs`, what the node saves is for hooks."""

    def __init__(
        self, function: Callable[..., Any], names: Sequence[str], given: Sequence[Any], edges: Sequence[Edge | None],
        told: Mapping[str, Any], packs: bool = False,
    ) -> None:  # fmt: skip
        self.function = function
        self.edges = tuple(edges)
        self.given = dict(zip(names, given, strict=True))
        self.told = told
        self.packs = packs
        self.aliases = (
            {} if packs else {n: alias_of(self.given[n]) for n, edge in zip(names, edges, strict=True) if edge}
        )

    def made(self) -> Any:
        """The results as the operators make them."""
        told = {**self.told, **self.aliases}
        if not self.packs:
            return self.function(**told)
        with no_grad():
            return self.function(**told)

    def alias_edges(self) -> tuple[Edge | None, ...]:
        return tuple(self.aliases[each]._edge if each in self.aliases else None for each in self.given)

    def recorded(self, node: Grouped, made: Any, outputs: Sequence[int] | None) -> Any:
        """The results with the node, if one of them requires a gradient."""
        results = list(made) if isinstance(made, tuple) else [made]
        places = tuple(range(len(results)) if outputs is None else outputs)
        inner = None if self.packs else tuple(results[place]._edge for place in places)
        if inner is not None and not any(inner):
            return made
        node._n_outputs = node._n_differentiable = len(places)
        node._next_edges, node._kernels, node._grad_plan = self.edges, results[places[0]]._kernels, _PLAN
        node._seq_nr, node._grad_fix, node._node_extras = next_sequence_number(), None, None
        for number, place in enumerate(places):
            results[place] = _own(results[place], (node, number))
        node._output_info = tuple(_info(results[at]) for at in places)
        node._inputs_info = tuple(_info(each) if isinstance(each, Tensor) else None for each in self.given.values())
        self.save(node, inner, results, places)
        if current_mode().anomaly:
            remember_call(node)
        if not isinstance(made, tuple):
            return results[0]
        return type(made)(*results) if hasattr(made, "_fields") else tuple(results)

    def save(self, node: Grouped, inner: Any, results: Sequence[Tensor], places: tuple[int, ...]) -> None:
        """Fill `node._holds`."""
        values = dict(self.told)
        values |= {f"{name}_sym_sizes": tuple(each.shape) for name, each in self.given.items() if each is not None}
        values |= {f"result{place}": each for place, each in enumerate(results)}
        edges = dict(zip(self.given, self.edges, strict=True))
        shown = {name: _shown(values[source], edges.get(source)) for name, source in node.shows}
        sources = {source for _, source in node.shows}
        rest = {name: value for name, value in self.told.items() if name not in sources}
        again = _Again(self.function, tuple(self.given), places, rest, current_mode().autocast)
        node._holds = (inner, self.alias_edges(), shown, again)
        if self.packs:
            pair = current_mode().saved_hooks[-1]
            for name, source in _in_order_of_packing(node):
                shown[name] = _packed(node, name, shown[name], values[source], *pair)


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


def _in_order_of_packing(node: Grouped) -> list[tuple[str, str]]:
    """The tensors that a node shows, as PyTorch's packs them: inputs before results, each by their names."""
    shown = node._holds[2]
    tensors = [each for each in node.shows if isinstance(shown[each[0]], _Shown)]
    return sorted(tensors, key=lambda each: (each[1].startswith("result"), each[0]))


def _packed(
    node: Grouped, name: str, shown: _Shown, given: Tensor | None, pack: Callable[..., Any], unpack: Callable[..., Any]
) -> _Shown:
    """What the node keeps of a tensor that hooks have packed. A constant they see itself."""
    tensor = given if given is not None and given._edge is None else _tensor(node, name, shown)
    node._need_extras()  # Note [Watched nodes] in `retrograd.autograd.engine`
    return shown._replace(array=packed_by(pack, unpack, tensor, shown.array, node), cell=None)


def _tensor(node: Grouped, name: str, shown: _Shown) -> Tensor:
    """A tensor that a node shows, of which it has been checked that it is what it was."""
    source = dict(node.shows)[name]
    edge = shown.edge
    if source.startswith("result"):
        places, place = node._holds[3].places, int(source.removeprefix("result"))
        edge = (node, places.index(place)) if place in places else None
    array = shown.array.unpacked()._array if type(shown.array) is Packed else shown.array
    made = rebuild(array, shown.k, edge)
    if not made.dtype.is_differentiable:
        made._edge = None
    if shown.cell is not None:
        made._cell = shown.cell  # their versions are one
    return made


class _GroupedPlan:
    """How gradients of all grouped calls are computed."""

    __slots__ = ()
    holds_tensors = True
    unpacks = True

    def raw(self, K: Any, g: Any, node: Grouped) -> list[Any]:
        arrived = g if isinstance(g, list) else [g]
        grads = [None if each is None else wrap_array(each, node._kernels) for each in arrived]
        return [None if each is None else each._array for each in self.graph(None, grads, node)]

    def graph(self, G: Any, g: Any, node: Grouped) -> list[Any]:
        inner, aliases, shown, again = node._holds
        for name, each in shown.items():
            _check(node, name, each)
        if inner is None:
            inner, aliases = _run_again(node, shown, again)
        grads = g if isinstance(g, list) else [g]
        roots = [(edge, grad) for edge, grad in zip(inner, grads, strict=True) if edge is not None and grad is not None]
        if not roots:
            return [None] * len(aliases)
        # The operators' nodes are retained: they go with this node's `_holds`, and in a pass through what a recorded
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
        return [*(f"_saved_{name}" for name, _ in node.shows), *self._raw_names(node)]

    def saved_attribute(self, node: Grouped, name: str) -> Any:
        source = dict(node.shows).get(name)
        if source is None:
            raise AttributeError(f"'{type(node).__name__}' object has no attribute '_saved_{name}'")
        if type(node._holds) is Freed:
            raise freed_error(node)
        value = node._holds[2][name]
        if not isinstance(value, _Shown):
            return presented(name, value)
        _check(node, name, value)
        return _tensor(node, name, value)

    def raw_saved_attribute(self, node: Grouped, name: str) -> SavedTensor:
        if f"_raw_saved_{name}" not in self._raw_names(node):
            raise AttributeError(f"'{type(node).__name__}' object has no attribute '_raw_saved_{name}'")
        index = [each for each, _ in node.shows].index(name)
        return SavedTensor(node, index if isinstance(node._holds[2][name], _Shown) else None)

    def _raw_names(self, node: Grouped) -> list[str]:
        """Of those functions that can be run again."""
        if type(node._holds) is Freed:
            raise freed_error(node)
        _, _, shown, again = node._holds
        if not {source for _, source in node.shows}.issuperset(again.inputs):
            return []
        return [f"_raw_saved_{name}" for name, _ in node.shows if isinstance(shown[name], _Shown)]

    def unpack(self, node: Grouped, index: int, as_tensor: bool) -> Any:
        return self.saved_attribute(node, node.shows[index][0])

    def pack_one(self, node: Grouped, index: int, pack: Callable[..., Any], unpack: Callable[..., Any]) -> None:
        """Pass one saved tensor of a node that is there already through a pair of hooks."""
        name = node.shows[index][0]
        _, aliases, shown, again = node._holds
        if type(shown[name].array) is Packed:
            raise hooked_twice()
        packed = _packed(node, name, shown[name], None, lambda tensor: pack(tensor.detach()), unpack)
        node._holds = (None, aliases, {**shown, name: packed}, again)


def _run_again(node: Grouped, shown: Mapping[str, Any], again: _Again) -> tuple[Any, Any]:
    """The edges of results and aliases of another run of a node's function, of what the node has saved."""
    tensors = {source: _tensor(node, name, shown[name]) for name, source in _in_order_of_packing(node)}
    told = {source: shown[name] for name, source in node.shows} | again.arguments | tensors
    told = {name: value for name, value in told.items() if not name.startswith("result") and "_sym_" not in name}
    mode = current_mode()
    set_mode(mode.but(grad=True, saved_hooks=(), autocast=again.autocast))
    try:
        call = _Call(again.function, again.inputs, [told[each] for each in again.inputs], node._next_edges, told)
        made = call.made()
    finally:
        set_mode(mode)
    results = made if isinstance(made, tuple) else (made,)
    return tuple(results[place]._edge for place in again.places), call.alias_edges()


def _check(node: Grouped, name: str, shown: Any) -> None:
    """Raise if a tensor that the node has as it was has been written to."""
    known = isinstance(shown, _Shown) and shown.cell is not None  # else hooks keep it
    if known and is_stale(shown.cell, shown.version, _edge_of(node, name, shown)):
        raise _stale(node, name, shown)


def _edge_of(node: Grouped, name: str, shown: _Shown) -> Edge | None:
    return None if dict(node.shows)[name].startswith("result") else shown.edge


def _stale(node: Grouped, name: str, shown: _Shown) -> RuntimeError:
    edge = edge_now(shown.edge, shown.cell)
    type_name = shown.k.names[shown.array.dtype]
    error = stale_message(type_name, tuple(shown.array.shape), edge, shown.cell[0], shown.version)
    return note_stale(error, node, name, shown.cell)


_PLAN = _GroupedPlan()
