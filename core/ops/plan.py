"""What a node saves and how its gradients are computed, for one operator and one set of inputs.

An operator's derivative formulas name what they need by their parameters::

    other=lambda K, g, self, alpha: ...

`self` is an input, `alpha` an argument; `result` would be the output, `self_shape` and
`self_dtype` an input's shape and type, `self_transposed` whether a matrix lies in memory by columns.
A `Plan` is made once for each subset of inputs that require a gradient: it holds the formulas of
those inputs only, and so a node saves only what they name, and what its operator's `kept=` says
PyTorch's node saves too.

Note [Saved tuple]
    A node's `_holds` is flat, because it is made on every call: a tensor takes three places, its
    array, its version cell and the version at the time; anything else takes one. `Plan.raw` is
    generated to unpack exactly that, compare the versions and call the formulas. When a version
    differs (or hooks have packed the tensor, which is marked by a version that never fits), the
    slow reading in this module finds out what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from retrograd.autograd.explaining import freed_error, note_stale
from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import LEAVES, Freed, name_of
from retrograd.dtypes import DTYPES
from retrograd.ops import saved_names
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.storage import MOVED, PARTED, REPLACED, VERSION, changed, current, share

if TYPE_CHECKING:
    from retrograd.autograd.node import Edge, Node
    from retrograd.ops.declare import Op
    from retrograd.tensor import Tensor

__all__ = [
    "CONSTANT",
    "PACKED",
    "Packed",
    "Plan",
    "PlanOfPackedIndices",
    "array_now",
    "check_unpacked",
    "edge_now",
    "hooked_twice",
    "is_stale",
    "packed_by",
    "stale_error",
]  # fmt: skip

Tangents = dict[int, "Tensor"]

CONSTANT: Final = [0]
"""The version cell of a saved Python number: it never changes."""

PACKED: Final = [-1]
"""The version cell of a tensor that `saved_tensors_hooks` packed: it fits no version."""


class Packed:
    """What a pack hook made of a saved tensor, with the hook that undoes it, and the tensor's tangents.

    `like` is the array that was packed, if what comes back has to have its type.
    """

    __slots__ = ("dtype", "shape", "tangents", "unpack", "value")

    def __init__(self, value: Any, unpack: Callable[[Any], Tensor], like: Any = None) -> None:
        self.value = value
        self.unpack = unpack
        self.tangents: Tangents | None = None
        self.shape = None if like is None else tuple(like.shape)
        self.dtype = None if like is None else like.dtype

    def unpacked(self) -> Any:
        """What the unpack hook gives, which must fit in with the shape of what was packed."""
        made = self.unpack(self.value)
        check_unpacked(made)
        if self.shape is None:
            return made
        broadcast_shapes(self.shape, tuple(made._array.shape))
        return made if made._array.dtype == self.dtype else made.to(DTYPES[made._kernels.names[self.dtype]])


class Dual:
    """A saved tensor with its version and its tangents: what forward over reverse needs."""

    __slots__ = ("array", "cell", "tangents", "version")

    def __init__(self, array: Any, cell: list[Any], version: int, tangents: Tangents) -> None:
        self.array = array
        self.cell = cell
        self.version = version
        self.tangents = tangents


class Plan:
    """See the module's text.

    Attributes
    ----------
    names
        What is saved, in order; `is_tensor` says of each whether it is a tensor.
    holds_tensors
        Whether a node of this plan has anything to free after a pass.
    raw
        `raw(K, g, node)` gives the gradients as a sequence aligned with the node's edges.
    unpacks
        Whether `raw` fails on a freed node, as it does unless it runs a user's code.
    """

    unpacks = True

    __slots__ = (
        "formulas", "holds_tensors", "is_tensor", "mask", "names", "op", "raw", "single", "sources",
    )  # fmt: skip

    def __init__(self, op: Op, mask: tuple[bool, ...], compile_: Callable[..., Any] | None = None) -> None:
        self.op = op
        self.mask = mask
        self.single = "*" not in op.vjp
        wanted = [name for name, on in zip(op.inputs, mask, strict=True) if on] if self.single else ["*"]
        self.formulas: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
            name: (op.vjp[name], op.needs[name]) for name in wanted if name in op.vjp
        }
        kept = (n for name in self.formulas for n in op.kept.get(name, ()))
        self.names = tuple(dict.fromkeys([*(n for _, needs in self.formulas.values() for n in needs), *kept]))
        self.is_tensor = tuple(op.is_saved_tensor(name) for name in self.names)
        self.holds_tensors = any(self.is_tensor)
        self.sources = tuple(op.source_of(name) for name in self.names)
        # Written when it first runs: most of an operator's plans never do.
        self.raw: Callable[..., Any] = partial(self._first_raw, compile_)

    # -- saving --------------------------------------------------------------------------------

    def save(
        self, inputs: Sequence[Any], arrays: Sequence[Any], outputs: Sequence[Tensor], values: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Flatten what the formulas need; see Note [Saved tuple].

        `inputs` are the call's tensors (or numbers), `arrays` the same after promotion, `outputs`
        the results and `values` the other arguments by name.
        """
        saved: list[Any] = []
        for kind, index, name in self.sources:
            if kind == "input":
                saved += _cell(inputs[index], arrays[index])
            elif kind == "result":
                saved += (outputs[index]._array, outputs[index]._cell, outputs[index]._cell[0])
            elif kind == "shape":
                saved.append(None if arrays[index] is None else tuple(arrays[index].shape))
            elif kind == "transposed":
                saved.append(is_transposed(inputs[index]._kernels, arrays[index]))
            elif kind == "dtype":
                saved.append(inputs[index]._array.dtype)
            elif kind == "shapes":
                saved.append(tuple(tuple(each._array.shape) for each in inputs))
            elif kind == "dtypes":
                saved.append(tuple(each._array.dtype for each in inputs))
            elif kind == "result_shape":
                saved.append(tuple(outputs[index]._array.shape))
            elif kind == "needs":
                saved.append(self.mask)
            else:
                saved.append(values[name])
        return tuple(saved)

    def save_results(self, node: Node, outputs: Sequence[Tensor]) -> None:
        """After an in-place write: what the node of the write has saved of its result is the new value."""
        found = [(position, self.sources[i][1]) for position, i in self._tensor_positions() if self._is_result(i)]
        if found:
            saved = list(node._holds)
            for position, number in found:
                out = outputs[number]
                saved[position : position + 3] = (out._array, out._cell, out._cell[0])
            node._holds = tuple(saved)

    def _is_result(self, index: int) -> bool:
        return self.sources[index][0] == "result"

    def _edge_of(self, node: Node, index: int) -> Edge | None:
        """Where a saved input came from; None of a result."""
        kind, position, _ = self.sources[index]
        return None if kind == "result" else node._next_edges[position]

    def pack(
        self, node: Node, inputs: Sequence[Any] = (), outputs: Sequence[Any] = (), results: bool | None = None
    ) -> None:
        """Pass the saved tensors of a new node through the innermost `saved_tensors_hooks`.

        `inputs` and `outputs` are the call's, whose memory a hook sees; a constant it sees itself. `results` says
        which tensors: the operator's results, its inputs, or (None) both.
        """
        mode = current_mode()
        pack, unpack = mode.saved_hooks[-1]
        saved = list(node._holds or ())
        if mode.given is not None and results is not True:
            self._pack_indices(node, saved, mode.given.packed(pack, unpack))
        for position, index in self._in_order_of_packing(node):
            if saved[position + 1] is not CONSTANT and results in (None, self._is_result(index)):
                kind, number, _ = self.sources[index]
                call = inputs if kind == "input" else outputs if kind == "result" else ()
                given = call[number] if number < len(call) else None
                saved[position : position + 3] = self._packed(node, index, saved[position], pack, unpack, given)
        node._holds = tuple(saved)

    def _pack_indices(self, node: Node, saved: list[Any], packed: Any) -> None:
        """Let the node keep what hooks have made of its indices: `retrograd.ops.given_indices`."""
        from retrograd.ops.declare import ConjugatedPlan

        for name in self.op.raw.intersection(self.names):
            index = self.names.index(name)
            saved[sum(3 if each else 1 for each in self.is_tensor[:index])] = packed
            slow = PlanOfPackedIndices(self)
            node._grad_plan = slow if node._grad_plan is self else ConjugatedPlan(slow)
            node._need_extras()  # Note [Watched nodes]

    def _in_order_of_packing(self, node: Node) -> list[tuple[int, int]]:
        """PyTorch's: inputs before results, each by the names under which they are shown."""
        shown = saved_names.names_by_source(self, node)
        return sorted(
            self._tensor_positions(),
            key=lambda entry: (self._is_result(entry[1]), shown.get(self.names[entry[1]], self.names[entry[1]])),
        )

    def pack_one(self, node: Node, index: int, pack: Callable[..., Any], unpack: Callable[..., Any]) -> None:
        """The same for one saved tensor of a node that is there already."""
        value = self._entry(node, index)[0]
        if type(value) is Packed:
            raise hooked_twice()
        position = next(first for first, second in self._tensor_positions() if second == index)
        # PyTorch's hook sees it outside of the graph.
        made = self._packed(node, index, value, lambda tensor: pack(tensor.detach()), unpack)
        node._holds = (*node._holds[:position], *made, *node._holds[position + 3 :])

    def _packed(
        self, node: Node, index: int, array: Any, pack: Callable[..., Any], unpack: Callable[..., Any],
        given: Any = None,
    ) -> tuple[Any, ...]:  # fmt: skip
        """What stands in the saved tuple for a tensor that `pack` has been called with."""
        from retrograd.tensor import own_edge, rebuild

        promoted = self._promoted(node, index) is not None
        if given is not None and given._array is not array and not promoted:
            given = None  # what is saved has been made of it
        edge = None if given is None else own_edge(given)
        if given is not None and edge is None:
            tensor = given
        elif given is not None and promoted:
            tensor = rebuild(given._array, node._kernels, edge)
        else:
            tensor = self._as_tensor(node, index, array, as_given=True)
        if tensor._array is (array if given is None else given._array):
            tensor._cell = self._entry(node, index)[1]  # so that a hook can tell whether its memory is written to
            if edge is not None and not node._kernels.mutable:
                share(given, tensor)
        packed = packed_by(pack, unpack, tensor, array, node)
        node._need_extras()  # Note [Watched nodes]: `unpack` may register hooks on the node
        return packed, PACKED, 0

    def keep_tangents(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        """In forward mode, let the saved tensors of a new node keep their tangents."""
        saved = list(node._holds or ())
        for position, index in self._tensor_positions():
            kind, number, _ = self.sources[index]
            source = outputs[number] if kind == "result" else inputs[number]
            meta = getattr(source, "_tensor_meta", None)
            if meta is None or meta.tangents is None:
                continue
            if type(saved[position]) is Packed:
                saved[position].tangents = meta.tangents
            else:
                array, cell, version = saved[position : position + 3]
                saved[position : position + 3] = (Dual(array, cell, version, meta.tangents), PACKED, 0)
        node._holds = tuple(saved)

    # -- unpacking -----------------------------------------------------------------------------

    def _tensor_positions(self) -> list[tuple[int, int]]:
        """(position in the saved tuple, index of the name) of every saved tensor."""
        found, position = [], 0
        for index, is_tensor in enumerate(self.is_tensor):
            if is_tensor:
                found.append((position, index))
            position += 3 if is_tensor else 1
        return found

    def _entry(self, node: Node, index: int) -> tuple[Any, ...]:
        position = sum(3 if each else 1 for each in self.is_tensor[:index])
        if type(node._holds) is Freed:
            raise freed_error(node)
        return node._holds[position : position + (3 if self.is_tensor[index] else 1)]

    def unpack(self, node: Node, index: int, as_tensor: bool, as_given: bool = False) -> Any:
        """One saved value, checked: a tensor (or its array), or the argument itself.

        `as_given`: an input that was promoted, in the type that it had before.
        """
        entry = self._entry(node, index)
        if not self.is_tensor[index]:
            return entry[0].unpacked() if self.names[index] in self.op.raw and hasattr(entry[0], "packed") else entry[0]
        value, cell, version = entry
        if type(value) is Packed:
            unpacked = value.unpacked()
            array = unpacked._array
            return self._as_tensor(node, index, array, value.tangents, as_given) if as_tensor else array
        tangents = None
        if type(value) is Dual:
            value, cell, version, tangents = value.array, value.cell, value.version, value.tangents
        if cell[0] != version:
            if is_stale(cell, version, self._edge_of(node, index)):
                raise stale_error(node, self, index, value, cell, version)
            value = array_now(value, cell, version, self._edge_of(node, index), self.sources[index][0] == "result")
        if not as_tensor or (cell is CONSTANT and not (node._kernels.level and hasattr(value, "shape"))):
            return value  # a number too, which any backend's arithmetic takes as it is; that of `vmap` takes tensors
        return self._as_tensor(node, index, value, tangents, as_given)

    def _promoted(self, node: Node, index: int) -> Any:
        """The type that a saved input had before it was promoted; None: it was not."""
        kind, position, _ = self.sources[index]
        fix = None if kind == "result" or node._grad_fix is None else node._grad_fix[position]
        return None if fix is None else fix[1]

    def _as_tensor(
        self, node: Node, index: int, array: Any, tangents: Tangents | None = None, as_given: bool = False
    ) -> Any:
        """The saved tensor as a part of the graph: an input by its edge, an output by this node. None of None."""
        from retrograd.tensor import rebuild

        if array is None:
            return None
        kind, position, _ = self.sources[index]
        edge = (node, position) if kind == "result" else node._next_edges[position]
        own = self._promoted(node, index)
        if own is None or (edge is None and tangents is None and not as_given):
            made = rebuild(array, node._kernels, edge, tangents)
            if kind == "result" and (position >= node._n_differentiable or not made.dtype.is_differentiable):
                made._edge = None  # indices, as of max(), or statistics
            return made
        # It was promoted: the edge and the tangents belong to the tensor before that.
        made = rebuild(array if array.dtype == own else node._kernels.astype(array, own), node._kernels, edge, tangents)
        return made if as_given else self.op.cast(made, array.dtype)

    def graph(self, G: Any, g: Any, node: Node) -> Sequence[Any]:
        """The formulas on tensors, so that they are recorded themselves."""
        values = {name: self.unpack(node, i, as_tensor=True) for i, name in enumerate(self.names)}
        return self.evaluate(G, g, values)

    def slow_raw(self, K: Any, g: Any, node: Node) -> Sequence[Any]:
        """`raw` without assumptions: unpacks through hooks, and raises where a version differs."""
        values = {name: self.unpack(node, i, as_tensor=False) for i, name in enumerate(self.names)}
        return self.evaluate(K, g, values)

    def evaluate(self, K: Any, g: Any, values: dict[str, Any]) -> Sequence[Any]:
        """The gradients by the formulas, of what is saved by name."""
        if not self.single:
            formula, needs = self.formulas["*"]
            return formula(K, g, *(values[name] for name in needs))
        grads = []
        for name in self.op.inputs:
            found = self.formulas.get(name)
            grads.append(None if found is None else found[0](K, g, *(values[each] for each in found[1])))
        return grads

    def saved_attribute(self, node: Node, name: str) -> Any:
        """`node._saved_<name>`."""
        return saved_names.saved_value(self, node, name)

    def raw_saved_attribute(self, node: Node, name: str) -> Any:
        """`node._raw_saved_<name>`."""
        return saved_names.raw_saved_value(self, node, name)

    def saved_names(self, node: Node) -> list[str]:
        """The attributes of a node that show what it has saved."""
        shown = [f"_saved_{name}" for name in saved_names.saved_names(self, node)]
        return [*shown, *(f"_raw_saved_{name}" for name in saved_names.raw_saved_names(self, node))]

    def _first_raw(self, compile_: Callable[..., Any] | None, K: Any, g: Any, node: Node) -> Sequence[Any]:
        self.raw = self._generate(compile_)
        return self.raw(K, g, node)

    # -- generating ----------------------------------------------------------------------------

    def _generate(self, compile_: Callable[..., Any] | None) -> Callable[..., Any]:
        """Write and compile `raw` for this plan. See Note [Saved tuple]."""
        scope: dict[str, Any] = {"slow": self.slow_raw}
        unpacked: list[str] = []
        checks: list[str] = []
        for name, is_tensor in zip(self.names, self.is_tensor, strict=True):
            unpacked.append(f"v_{name}")
            if is_tensor:
                unpacked += [f"cell_{name}", f"version_{name}"]
                checks.append(f"cell_{name}[0] != version_{name}")
        calls = {}
        for name, (formula, needs) in self.formulas.items():
            key = "f_all" if name == "*" else f"f_{name}"
            scope[key] = formula if compile_ is None else self._compiled(compile_, formula, needs)
            calls[name] = f"{key}(K, g{''.join(f', v_{each}' for each in needs)})"
        if self.single:
            results = "".join(f"{calls.get(name, 'None')}, " for name in self.op.inputs)
            results = f"({results})"
        else:
            results = calls.get("*", "()")
        lines = ["def raw(K, g, node):"]
        if compile_ is not None:  # which takes arrays: a sparse gradient is none
            lines.append("    if hasattr(g, 'side'): return slow(g.side, g, node)")
        if unpacked:
            lines.append(f"    {', '.join(unpacked)}, = node._holds")
        if checks:
            lines.append(f"    if {' or '.join(checks)}: return slow(K, g, node)")
        lines.append(f"    return {results}")
        source = "\n".join(lines)
        exec(compile(source, f"<gradients of {self.op.name}>", "exec"), scope)
        return scope["raw"]

    def _compiled(
        self, compile_: Callable[..., Any], formula: Callable[..., Any], needs: tuple[str, ...]
    ) -> Callable[..., Any]:
        """The formula as one compiled function: arrays are its arguments, all else is fixed."""
        static = tuple(
            i + 1 for i, name in enumerate(needs) if not self.op.is_saved_tensor(name) and name not in self.op.raw
        )
        return compile_(formula, static)


class PlanOfPackedIndices:
    """The plan of a node whose indices hooks have packed: it looks at all that is saved."""

    __slots__ = ("plan", "raw")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.raw = plan.slow_raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)


def is_transposed(k: Any, array: Any) -> bool:
    """Whether a matrix lies in memory column by column, where libraries let that be seen."""
    return bool(k.is_transposed(array)) if k.mutable else False


def _cell(tensor: Any, array: Any) -> tuple[Any, list[int], int]:
    cell = getattr(tensor, "_cell", None)  # a number has none
    return (array, CONSTANT, 0) if cell is None else (array, cell, cell[0])


def without_cycle(packed: Any, node: Node) -> Any:
    """What a pack hook has returned; the node's own result, returned as it is, without its way back to the node."""
    edge = getattr(packed, "_edge", None)
    return packed.detach() if edge is not None and edge[0] is node else packed


def packed_by(
    pack: Callable[[Tensor], Any], unpack: Callable[[Any], Tensor], tensor: Tensor, array: Any, node: Node | None = None
) -> Packed:
    """What a pair of hooks makes of a tensor that stands for `array`; by `node`, if it may be a result of that."""
    before = tensor._cell[0]
    with _no_grad():
        made = pack(tensor)
        packed = Packed(made if node is None else without_cycle(made, node), unpack, array)
    if changed(tensor._cell[0], before):
        raise RuntimeError(
            "A saved tensor pack hook is modifying its input in place. Tensors provided as input to pack hook "
            "cannot be modified by in-place operations as this can lead to unexpected side-effects. Please open "
            "an issue if you need to perform in-place operations on the input to a pack hook."
        )
    return packed


def _no_grad() -> Any:
    from retrograd.autograd.modes import no_grad

    return no_grad()


def check_unpacked(value: Any) -> None:
    from retrograd.tensor import Tensor

    if not isinstance(value, Tensor):
        raise TypeError(
            f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(value).__name__}"
        )


def is_stale(cell: list[Any], version: int, edge: Edge | None) -> bool:
    """Whether what a node has saved cannot be used: its memory was written to, or it lost the history it had.

    `edge` leads to that history; None: it had none, or has the node's own, being a result.
    """
    return _counted(cell[0], edge) != _counted(version, edge)


def _counted(version: int, edge: Edge | None) -> int:
    """A version without what `detach_` added, of a tensor that cannot have lost its history: views keep theirs."""
    from retrograd.autograd.stale import MultiViewPlan, ViewPlan

    can_lose = edge is not None and type(edge[0]) not in LEAVES
    loses = can_lose and not isinstance(edge[0]._grad_plan, (ViewPlan, MultiViewPlan))  # type: ignore[index]
    return version & (REPLACED - 1 if loses else VERSION)


def array_now(array: Any, cell: list[Any], version: int, edge: Edge | None, of_result: bool) -> Any:
    """What has taken the place of a saved tensor's array, which is not stale: Note [Replaced arrays]."""
    found = current(cell, array, edge, of_result)
    if found is array and edge is not None and cell[0] // MOVED == version // MOVED:
        from retrograd.autograd.stale import view_now

        seen = view_now(edge)
        if seen is not None and (seen.shape, seen.dtype) == (array.shape, array.dtype):
            return seen
    return found


def stale_error(node: Node, plan: Plan, index: int, array: Any, cell: list[Any], expected: int) -> RuntimeError:
    """The error for a saved tensor that was written to; PyTorch's sentence."""
    from retrograd.autograd.stale import MultiViewPlan, multi_view_error

    type_name = node._kernels.names[array.dtype]
    kind, position, _ = plan.sources[index]
    found = _counted(cell[0], plan._edge_of(node, index))
    if kind == "result":
        edge: Any = (node, position)
    else:
        edge = node._next_edges[position]
        if edge is not None and edge[0]._n_outputs != 1 and isinstance(edge[0]._grad_plan, MultiViewPlan):
            return note_stale(multi_view_error(edge), node, plan.names[index], cell)
        edge = edge_now(edge, cell)
    sparse = "sparse." if hasattr(array, "side") else ""
    error = stale_message(type_name, tuple(array.shape), edge, found, expected, sparse)
    return note_stale(error, node, plan.names[index], cell)


def check_indices(node: Node, indices: Sequence[tuple[list[Any], int, str, tuple[int, ...]]]) -> None:
    """Raise where the memory of an index was written to, which a formula may have as it is."""
    for cell, version, type_name, shape in indices:
        if changed(cell[0], version):
            raise note_stale(stale_message(type_name, shape, None, cell[0], version), node, "indices", cell)


def hooked_twice() -> RuntimeError:
    """PyTorch's error for a saved tensor that has hooks already."""
    return RuntimeError(
        "Calling register_hooks on a saved tensor whose hooks have already been set. Hint: only one pair of "
        "hooks is allowed at a time."
    )


def edge_now(edge: Any, cell: list[Any]) -> Any:
    """Where an input that was `edge` comes from now: a recorded write has left its node in the cell."""
    if edge is None or len(cell) == 1 or cell[1] is None or cell[1].node is None:
        return edge
    from retrograd.autograd.stale import AsStridedBackward0, ViewPlan
    from retrograd.views import RECASTING

    if isinstance(edge[0]._grad_plan, ViewPlan):
        return edge if name_of(edge[0]) in RECASTING else (AsStridedBackward0(), 0)
    return object.__new__(cell[1].node), 0


def stale_message(
    type_name: str, shape: tuple[int, ...], edge: Any, found: int, expected: int, sparse: str = ""
) -> RuntimeError:
    """PyTorch's sentence about a saved tensor that was written to; `sparse` stands before the type of one that is."""
    from retrograd.autograd.node import AccumulateGrad, short_name
    from retrograd.dtypes import DTYPES
    from retrograd.ops.options import shown_type

    if (found ^ expected) & (REPLACED - 1) >= PARTED:
        return RuntimeError(
            "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_()."
            "This is not supported, please use out-of-place `.detach()` instead"
        )
    found, expected = found & VERSION, expected & VERSION
    origin = ""
    if edge is not None and type(edge[0]) is not AccumulateGrad:
        origin = f", which is output {edge[1]} of {short_name(name_of(edge[0]))},"
    if current_mode().anomaly:
        hint = (
            "Hint: the backtrace further above shows the operation that failed to compute its gradient. "
            "The variable in question was changed in there or anywhere later. Good luck!"
        )
    else:
        hint = (
            "Hint: enable anomaly detection to find the operation that failed to compute its gradient, "
            "with retrograd.autograd.set_detect_anomaly(True, check_nan=False)."
        )
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{shown_type(DTYPES[type_name], sparse)} {list(shape)}]{origin} is at version {found}; "
        f"expected version {expected} instead. {hint}"
    )
