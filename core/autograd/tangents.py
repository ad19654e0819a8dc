"""Tangents: what forward mode carries along with tensors, and how it gets through all that makes tensors.

Note [Levels]
    Each forward-mode derivative has a `Level` of its own, and a tensor holds its tangents by level. The
    mode lists the active levels, outermost first. A tangent at a level is computed while only the
    levels outside of it are active: so it is a tensor which carries tangents at those, and never at its
    own or an inner one. With levels 1 outside of 2, a tensor holds x, its tangents at 1 and at 2, and
    the latter its own tangent at 1: the second derivative. A tensor from outside of a level has no
    tangent there, and so is a constant to it; a tangent of a level that has ended is never asked for.
    That is all that keeps one perturbation apart from another.

Note [Rules]
    What happens to tangents is always a `Rule`: a function from the tangents of some tensors to those of
    others, made where the primal values are known. An ordinary level runs it at once. A `Tape` keeps it,
    hands out placeholders in place of tangents, and runs all its rules later, on any tangents and as
    often as one likes: `retrograd.func.linearize`.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from retrograd.autograd.modes import GRAD, NO_GRAD, Mode, current_mode, set_mode
from retrograd.layout import contiguous_format
from retrograd.levels import innermost_vmap
from retrograd.tensor import Tensor, wrap_array
from retrograd.views import links_to

if TYPE_CHECKING:
    from retrograd.ops.declare import Op
    from retrograd.views import Chain

__all__ = [
    "Level", "Rule", "Tape", "base_at", "call", "carry", "check_writable_tangents", "clone_tangents", "detached",
    "entered", "keep_tangents", "move_tangents", "only", "outwards", "push", "push_view", "push_write", "refuse_out",
    "set_all", "set_tangent", "take_tangent", "tangent_of", "tangents_of", "write_at", "zeros_of",
]  # fmt: skip

_next_number: Callable[[], int] = itertools.count().__next__

Tangents = Sequence[Any]  # a Tensor (a placeholder, on a Tape), or None where there is no tangent


class Rule(NamedTuple):
    """See Note [Rules].

    Attributes
    ----------
    run
        From tangents in to tangents out.
    uses
        The tensors whose values it reads when it runs.
    """

    run: Callable[[Tangents], Tangents]
    uses: tuple[Any, ...] = ()


class _Tangents(dict[int, Any]):
    """The tangents of a tensor by the numbers of levels; nodes that saved the tensor share it."""

    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__  # type: ignore[assignment]  # a dict has none; by identity


class Level:
    """One forward-mode derivative. See Note [Levels].

    Tensors know a level by its `number`, which no other has: so they do not keep it alive.

    Attributes
    ----------
    mapped_by
        The innermost `vmap` around it, or None.
    """

    __slots__ = ("__weakref__", "_recorded", "mapped_by", "number")

    def __init__(self) -> None:
        self.number = _next_number()
        self.mapped_by = innermost_vmap()
        self._recorded: weakref.WeakSet[_Tangents] | None = None

    def note_recorded(self, tangents: _Tangents) -> None:
        """Be told of a tangent of this level that has a graph."""
        if self._recorded is None:
            self._recorded = weakref.WeakSet()
            _recording[self.number] = self
        self._recorded.add(tangents)

    def end(self) -> None:
        """Drop the tangents that have a graph.

        The node that made a tensor may have saved it, with its tangent, and the tangent's graph may lead to
        that node: a cycle that would outlive the last tensor.
        """
        for tangents in self._recorded or ():
            tangents.pop(self.number, None)
        self._recorded = None

    def run(self, rule: Rule, tangents: Tangents, outputs: Sequence[Any]) -> Tangents:
        """The tangents of `outputs`."""
        return rule.run(tangents)

    def note_leaf(self, leaf: Tensor) -> None:
        """Be told of a leaf that a transform makes for itself, so that results need not depend on it."""


_recording: weakref.WeakValueDictionary[int, Level] = weakref.WeakValueDictionary()
"""The levels that have been told of a tangent with a graph, by number."""


class _Slot:
    """Stands on a `Tape` for a tangent that is not known yet."""

    __slots__ = ()


class Tape(Level):
    """A level that keeps its rules instead of running them. See Note [Rules]."""

    __slots__ = ("_rules", "_versions", "leaves")

    def __init__(self) -> None:
        super().__init__()
        self._rules: list[tuple[Rule, Tangents, Tangents]] = []
        self._versions: list[tuple[Any, int]] = []
        self.leaves: list[Tensor] = []

    def slot(self) -> Any:
        """A placeholder for the tangent of an input."""
        return _Slot()

    def run(self, rule: Rule, tangents: Tangents, outputs: Sequence[Any]) -> Tangents:
        slots = [_Slot() if isinstance(each, Tensor) and each.dtype.is_differentiable else None for each in outputs]
        self._rules.append((rule, tangents, slots))
        cells = [each._cell for each in rule.uses if isinstance(each, Tensor)]
        self._versions += [(cell, cell[0]) for cell in cells if type(cell) is list]
        return slots

    def note_leaf(self, leaf: Tensor) -> None:
        self.leaves.append(leaf)

    def is_intact(self) -> bool:
        """Whether every value that the rules read is still what it was."""
        return all(cell[0] == version for cell, version in self._versions)

    def play(self, given: dict[Any, Tensor | None], wanted: Sequence[Any]) -> list[Tensor | None]:
        """The tangents that stand at the placeholders `wanted`, from those of the inputs."""
        known: dict[Any, Any] = dict(given)
        for rule, before, after in self._rules:
            tangents = [known.get(each) for each in before]
            if any(each is not None for each in tangents):
                pushed = zip(after, rule.run(tangents), strict=True)
                known.update((slot, tangent) for slot, tangent in pushed if slot is not None)
        return [known.get(each) for each in wanted]


# -- levels --------------------------------------------------------------------------------------


class entered:
    """A context in which `level` is the innermost one."""

    __slots__ = ("_mode", "level")

    def __init__(self, level: Level) -> None:
        self.level = level

    def __enter__(self) -> Level:
        self._mode = current_mode()
        set_mode(self._mode.but(dual=(*self._mode.dual, self.level)))
        return self.level

    def __exit__(self, *exc_info: object) -> None:
        set_mode(self._mode)


class only:
    """A context in which only `levels` are active: what computes a tangent has none at its own level."""

    __slots__ = ("_mode", "levels")

    def __init__(self, levels: tuple[Level, ...]) -> None:
        self.levels = levels

    def __enter__(self) -> None:
        self._mode = current_mode()
        # Who provides results of operators (selective checkpointing) counts those of the program alone.
        set_mode(self._mode.at(self.levels))

    def __exit__(self, *exc_info: object) -> None:
        set_mode(self._mode)


def outwards() -> Iterator[tuple[Level, tuple[Level, ...]]]:
    """Each active level, outermost first, with the levels outside of it."""
    levels = current_mode().dual
    for i, level in enumerate(levels):
        yield level, levels[:i]


def tangent_of(tensor: Any, level: Level) -> Any:
    """The tangent that `tensor` has at `level`, or None."""
    meta = getattr(tensor, "_tensor_meta", None)
    return None if meta is None or meta.tangents is None else meta.tangents.get(level.number)


def take_tangent(tensor: Tensor, level: Level) -> Any:
    """The tangent that `tensor` had at `level`, which is over."""
    tangent = tangent_of(tensor, level)
    if tangent is not None:
        kept = {number: each for number, each in (tensor._own_meta().tangents or {}).items() if number != level.number}
        tensor._own_meta().tangents = kept or None
    return tangent


def set_tangent(tensor: Tensor, level: Level, tangent: Any) -> None:
    meta = tensor._own_meta()
    # A new dict, because nodes that saved the tensor may share the old one.
    meta.tangents = made = _Tangents(meta.tangents or ())
    made[level.number] = tangent
    for number, each in made.items():
        if getattr(each, "_edge", None) is not None:
            noting = level if number == level.number else _recording.get(number)
            if noting is not None:
                noting.note_recorded(made)


def tangents_of(tensor: Any) -> dict[Level, Any]:
    """All tangents of a tensor at the active levels."""
    found = ((level, tangent_of(tensor, level)) for level in current_mode().dual)
    return {level: tangent for level, tangent in found if tangent is not None}


def refuse_out(name: str, tensors: Sequence[Any]) -> None:
    """Refuse `out=` of the function `name` where one of its tensors has a tangent, which would be lost.

    Raises
    ------
    NotImplementedError
        As PyTorch.
    """
    if current_mode().dual and any(tangents_of(each) for each in tensors):
        raise NotImplementedError(
            f"Trying to use forward AD with {name}_out that does not support it because it is an out= function"
        )


def move_tangents(source: Any, target: Tensor) -> None:
    """Give `target` the tangents of `source` at the active levels, as they are."""
    for level, tangent in tangents_of(source).items():
        set_tangent(target, level, tangent)


def clone_tangents(source: Any, target: Tensor) -> None:
    """Give `target` copies of the tangents of `source`, which is about to be written to."""
    for level, outside in outwards():
        tangent = tangent_of(source, level)
        if tangent is not None:
            with only(outside):
                set_tangent(target, level, tangent.clone() if isinstance(tangent, Tensor) else tangent)


def detached(tensor: Tensor) -> Tensor:
    """The tensor outside of the graph, with its tangents: `detach()` is a constant to forward mode too."""
    alias = tensor._alias()
    move_tangents(tensor, alias)
    return alias


def carry(function: Callable[[Any], Any], source: Any, made: Tensor) -> None:
    """Give `made`, which the linear `function` makes of `source`, its tangents."""
    for level, outside in outwards():
        tangent = tangent_of(source, level)
        if tangent is not None:
            with only(outside):
                (pushed,) = level.run(Rule(lambda given: [function(given[0])]), [tangent], [made])
            set_tangent(made, level, pushed)


# -- through operators -----------------------------------------------------------------------------


def call(op: Op, mode: Mode, arguments: Sequence[Any]) -> Any:
    """Run an operator in forward mode, by its short path and then its rule; or NotImplemented.

    That is for calls out of the ordinary, which `retrograd.ops.dispatch` sees to: with more switched on than
    forward mode, inside of `vmap`, of anything that has to be made a tensor first.
    """
    plain = mode.at(())
    inputs = op.inputs_among(arguments)
    if mode.results is not None or (plain is not GRAD and plain is not NO_GRAD) or not all(map(_is_ordinary, inputs)):
        return NotImplemented
    set_mode(plain)
    try:
        result = op.run(arguments)
        outputs = (result,) if op.outputs == 1 else result
        if not op.vjp or not any(each.dtype.is_differentiable for each in outputs):
            return result
        values = {name: arguments[place] for name, place in op.param_places}
        for i, level in enumerate(mode.dual):
            if i:
                set_mode(mode.at(mode.dual[:i]))
            _push_at(level, op, inputs, outputs, values)
    finally:
        set_mode(mode)
    keep_tangents(inputs, outputs)
    return result


def _is_ordinary(input: Any) -> bool:
    if isinstance(input, Tensor):
        return not input._kernels.level
    return input is None or type(input) in (float, int, bool, complex)


def keep_tangents(inputs: Sequence[Any], outputs: Sequence[Tensor]) -> None:
    """Let the node of an operator that has just run keep the tangents of what it saved."""
    edge = next((each._edge for each in outputs if each._edge is not None), None)
    if edge is not None:
        edge[0]._grad_plan.keep_tangents(edge[0], inputs, outputs)


def push(op: Op, inputs: Sequence[Any], outputs: Sequence[Tensor], values: dict[str, Any]) -> None:
    """Give the results of an operator their tangents. `values` holds its other arguments by name."""
    if op.vjp and any(each.dtype.is_differentiable for each in outputs):
        for level, outside in outwards():
            with only(outside):
                _push_at(level, op, inputs, outputs, values)


def _push_at(level: Level, op: Op, inputs: Sequence[Any], outputs: Sequence[Tensor], values: dict[str, Any]) -> None:
    """The same at one level, while only the levels outside of it are active."""
    from retrograd.ops.jvp import rule_of

    tangents = [tangent_of(each, level) for each in inputs]
    present = [each is not None for each in tangents]
    if any(present):
        pushed = level.run(rule_of(op, inputs, outputs, values, present), tangents, outputs)
        set_all(level, outputs, pushed, tangents)


def set_all(level: Level, outputs: Sequence[Any], tangents: Tangents, given: Tangents) -> None:
    """Give the outputs their tangents: memory of their own, not that of the tangents they were computed from."""
    shared = {
        id(each._tensor_meta.storage) for each in given if isinstance(each, Tensor) and each._tensor_meta is not None
    }
    for output, tangent in zip(outputs, tangents, strict=True):
        if tangent is not None and isinstance(output, Tensor) and output.dtype.is_differentiable:
            if isinstance(tangent, Tensor) and _is_shared(tangent, given, shared):
                tangent = tangent.clone(memory_format=contiguous_format)
            set_tangent(output, level, tangent)


def _is_shared(tangent: Tensor, given: Tangents, memories: set[int]) -> bool:
    meta = tangent._tensor_meta
    if meta is not None and meta.storage is not None and id(meta.storage) in memories:
        return True
    return any(tangent is each for each in given)


# -- through views and writes ------------------------------------------------------------------------


def push_view(source: Tensor, made: Tensor, name: str, steps: Any) -> None:
    """A view's tangent is the same view of the tangent."""
    from retrograd.ops.shape import make_view

    carry(lambda tangent: make_view(tangent, name, *steps), source, made)


def push_write(target: Tensor, tangents: dict[Level, Any]) -> None:
    """An in-place write replaces the tangents of what was written to, and so of the base and its other views.

    A tangent that is there already is written to itself: whoever gave it to `make_dual` sees that.
    """
    for level, outside in outwards():
        write_at(level, outside, target, tangents.get(level))


def write_at(level: Level, outside: tuple[Level, ...], target: Tensor, new: Any) -> None:
    """The same at one level; `new` is the tangent of what was written."""
    base = base_at(target, level)
    own, part = tangent_of(base, level), tangent_of(target, level)
    if own is None and new is None and part is None:
        return
    with only(outside):
        if isinstance(part, Tensor):
            part.copy_(zeros_of(target)() if new is None else new)
            return
        aliases = _aliases(base, level)
        written = [base, *aliases]
        pushed = level.run(Rule(_rewriting(base, target, aliases)), [own, new], written)
    for each, tangent in zip(written, pushed, strict=True):
        set_tangent(each, level, tangent)


def check_writable_tangents(target: Any) -> None:
    """Refuse a write that would have to write to a tangent which the graph does not let be written to."""
    if current_mode().grad:
        for tangent in tangents_of(target).values():
            if isinstance(tangent, Tensor) and tangent.is_leaf and tangent.requires_grad:
                raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def base_at(tensor: Tensor, level: Level) -> Tensor:
    """Whose tangent at a level the tensor's is a part of: its base, or a view of that which was made dual there."""
    while (
        view := None if tensor._tensor_meta is None else tensor._tensor_meta.view
    ) is not None and view.dual != level.number:
        tensor = view.base if view.origin is None else view.origin
    return tensor


def _aliases(base: Tensor, level: Level) -> list[Tensor]:
    """The live views of a tensor that share its tangent at a level."""
    storage = None if base._tensor_meta is None else base._tensor_meta.storage
    live = () if storage is None else storage.live()
    return [each for each in live if each is not base and base_at(each, level) is base]


def _chain(tensor: Tensor) -> Chain | None:
    view = None if tensor._tensor_meta is None else tensor._tensor_meta.view
    return None if view is None else view.chain


def _rewriting(base: Tensor, target: Tensor, aliases: list[Tensor]) -> Callable[[Any], Tangents]:
    begin, at, chains = _chain(base), _chain(target), [_chain(each) for each in aliases]
    zeros_of_base, zeros_of_target, dtype = zeros_of(base), zeros_of(target), target.dtype

    def run(tangents: Tangents) -> Tangents:
        own, new = tangents
        new = zeros_of_target() if new is None else new.to(dtype)
        if target is base:
            whole = new.clone()  # which may be the tangent of what was written
        else:
            # Contiguous, because steps of any layout count the elements of such an array.
            whole = zeros_of_base() if own is None else own.clone(memory_format=contiguous_format)
            whole = _mapped_like(whole, new)
            _stepped({begin: whole}, at).copy_(new)
        known: dict[Chain | None, Tensor] = {begin: whole}
        return [whole, *(_stepped(known, each) for each in chains)]

    return run


def _mapped_like(tensor: Tensor, other: Tensor) -> Tensor:
    """The tensor, spread over the samples of a `vmap` if `other`, a part of which it is to hold, differs by them."""
    k = other._kernels
    if not k.level or not other._array.mapped:
        return tensor
    return wrap_array(k.wrap(k.spread(k.lift(tensor)._array), True), k)


def zeros_of(tensor: Tensor) -> Callable[[], Tensor]:
    k, array = tensor._kernels, tensor._array
    return lambda: wrap_array(k.zeros_like(array), k)


def _stepped(known: dict[Chain | None, Tensor], chain: Chain | None) -> Tensor:
    """The view that a chain leads to, from what is known of the chains before it, which is then known too."""
    from retrograd.ops.shape import make_view

    for link in links_to(chain, known):
        known[link] = make_view(known[link.before], "AsStridedBackward0", link.step)
    return known[chain]
