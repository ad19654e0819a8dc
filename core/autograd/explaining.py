"""What follows PyTorch's sentence: notes on errors of the backward pass that say which, where and why.

`str(error)` is PyTorch's text, exactly. The rest is attached with `add_note`, so that a traceback
shows it and a program that compares texts does not see it. Nothing here runs unless an error does.

Note [What can be known]
    Always: the operator that saved a tensor and under which name, and the last operator that wrote
    to it (`retrograd.storage.sign`); the node that was freed and the pass that freed it (`Freed`);
    the operator whose formula raised, with the shapes it was given; of a tensor without a graph the
    first break on the way from the leaves, see Note [Breaks].
    In anomaly mode also: the source lines of the forward calls, of the break, of the write and of the
    pass; and of a tensor whose leaves require no gradient the first operator on them.

Note [Breaks]
    A tensor without an edge cannot be walked back from. So the result that an operator takes out of
    the graph (`no_grad`, `detach()`, `.data`, an integer type, no derivative) gets a `Break`, and what
    is computed from it gets the same one, in the slot `Tensor._break`. One `Break` is a text, made
    once for an operator and a reason, that refers to no tensor: nothing is kept alive, and an ordinary call,
    whose result has an edge, does no more than fill a slot. What leaves through Python's numbers
    (`item()`, `numpy()`) is lost.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple, NoReturn

from retrograd.autograd.modes import current_mode
from retrograd.autograd.node import Edge, Freed, Node, name_of
from retrograd.storage import VERSION

__all__ = [
    "DETACHED", "NOT_RECORDED", "TAKEN_AS_DATA", "Break", "break_at", "first_break", "freed_error", "note_formula",
    "note_gradient_of_function", "note_stale", "note_without_graph", "raise_freed", "remember_break",
    "stack_of", "taken_out", "unrecorded",
]  # fmt: skip


def stack_of(node: Node) -> str | None:
    """The stack of a node's forward call, if anomaly mode kept it."""
    return None if node._node_extras is None else node._node_extras.stack


def _at(what: str, stack: str | None) -> str:
    return "" if stack is None else f"\n{what}:\n{stack.rstrip()}"


# -- a formula that raises -----------------------------------------------------------------------


def note_formula(error: BaseException, node: Node, grad: Any) -> None:
    """Say which operator's gradient was being computed, from what, and where it was called."""
    if getattr(error, "_noted", None) is not None:
        return  # by a pass inside this one, or by whoever raised it
    arrived = grad if isinstance(grad, list) else [grad]
    shapes = " and ".join("None" if each is None else str(list(each.shape)) for each in arrived)
    error.add_note(
        f"Raised while {name_of(node)} computed the gradients of its inputs from that of its output, of shape {shapes}."
        + (
            _at(f"The forward call of {name_of(node)} was", stack_of(node))
            or " Run the forward pass inside retrograd.autograd.detect_anomaly() to be shown the line that called it."
        )
        + _induced(node)
    )
    _mark(error)


def _induced(node: Node) -> str:
    """In a graph of a backward pass: the nodes whose gradients were being computed when it was recorded."""
    text, origin = "", None if node._node_extras is None else node._node_extras.induced_by
    while origin is not None:
        name, stack, origin = origin
        text += f"\nIt was recorded while the gradients of {name} were computed." + _at(
            f"The forward call of {name} was", stack
        )
    return text


def _mark(error: BaseException) -> None:
    """Remember that an error is explained; one with `__slots__` is explained by every pass it leaves."""
    try:
        error._noted = True  # type: ignore[attr-defined]
    except AttributeError:
        return


# -- a freed graph -------------------------------------------------------------------------------

_FREED_CAUSES = """Usual causes:
  - backward() is called again on the same loss, or on two losses that share a part of their graph: add the losses \
first, or pass retain_graph=True to all but the last call;
  - a state that is carried over from one iteration to the next still hangs on the graph of the last one;
  - a value that is only logged or summed over iterations was not detached: use detach() or item() for it."""


def freed_error(node: Node) -> RuntimeError:
    """PyTorch's error for a node that a pass has freed, with a note on which and by which pass."""
    error = RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors after they have "
        "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
        "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or "
        "if you need to access saved tensors after calling backward."
    )
    freed = node._holds
    text = f"What {name_of(node)} had saved is gone"
    if type(freed) is Freed and freed.root is not None:
        call = ".backward()" if freed.accumulates else "autograd.grad()"
        text += f": an earlier {call} that began at {freed.root.__name__} has freed it"
    text += "."
    text += _at(f"The forward call of {name_of(node)} was", stack_of(node))
    if type(freed) is Freed:
        text += _at("The pass that freed it was started", freed.stack)
    error.add_note(f"{text}\n{_FREED_CAUSES}")
    _mark(error)
    return error


def raise_freed(error: Exception, node: Node) -> None:
    """If `node` failed because a pass has freed it, raise the error that says so in place of `error`."""
    if (
        type(node._holds) is Freed
        and getattr(node._grad_plan, "unpacks", True)
        and getattr(error, "_noted", None) is None
    ):
        raise freed_error(node) from None


# -- a saved tensor that was written to ----------------------------------------------------------


def note_stale(error: RuntimeError, node: Node, name: str, cell: Sequence[Any]) -> RuntimeError:
    """Say who saved the tensor that has changed, and who changed it; `cell` is its version cell."""
    text = f"It was saved by {name_of(node)}, as {name!r}, and "
    written = cell[1] if len(cell) > 1 else None
    if written is not None and written.version & VERSION == cell[0] & VERSION:
        text += f"was last written to by {written.name}."
        text += _at(f"The forward call of {name_of(node)} was", stack_of(node))
        text += _at(f"The call of {written.name} was", written.stack)
    else:
        before = "" if written is None else f"after {written.name}, "
        text += (
            f"{before}was last written to by something that is not an in-place operator: an optimizer's step, the "
            "accumulation into `.grad`, or increment_version()."
        )
        text += _at(f"The forward call of {name_of(node)} was", stack_of(node))
    error.add_note(
        f"{text}\nUse the out-of-place operator, clone() the tensor before one of the two, or write after backward()."
    )
    _mark(error)
    return error


# -- a tensor without a graph --------------------------------------------------------------------


def note_without_graph(error: RuntimeError, tensor: Any) -> RuntimeError:
    """Say what is known of why `tensor` has no graph; see Note [What can be known]."""
    error.add_note(_why_without_graph(tensor))
    return error


def _why_without_graph(tensor: Any) -> str:
    by_type = _why_by_type(tensor)
    if tensor._break is not None:
        return tensor._break.text if by_type is None else f"{by_type}\n{tensor._break.text}"
    return (
        by_type
        or _why_by_alias(tensor)
        or _why_by_mode()
        or "No graph leads to it, and nothing on its way took it out of one: either it was made with "
        "requires_grad=False, as were all leaves it was computed from, or the values went through Python or another "
        "library (item(), tolist(), numpy()). Say requires_grad_() on a leaf before the forward pass; inside "
        "retrograd.autograd.detect_anomaly() the first operator on such leaves is named."
    )


def _why_by_type(tensor: Any) -> str | None:
    if not tensor.dtype.is_differentiable:
        return (
            f"Its type is {tensor.dtype}, and only floating-point and complex tensors have gradients: look for a cast, "
            "a comparison, argmax() or the like on the way from the leaves."
        )
    if tensor.is_inference():
        return "It was made in inference_mode(), where nothing is recorded: use no_grad() or leave the block."
    return None


def _why_by_alias(tensor: Any) -> str | None:
    meta = tensor._tensor_meta
    if meta is None:
        return None
    view = meta.view
    if view is not None and view.base._edge is not None:
        made = f"made by {view.node_name} while recording was off (no_grad)"
        return f"It is a view, {made}, of a tensor that has a graph."
    for alias in () if meta.storage is None else meta.storage.live():
        if alias is not tensor and alias.requires_grad:
            way = "detach()" if alias._cell is tensor._cell else ".data"
            return f"It shares the memory of a tensor that requires a gradient: it was taken out of the graph by {way}."
    return None


def _why_by_mode() -> str | None:
    if not current_mode().grad:
        return "Recording is off here (no_grad or inference_mode): what is computed inside the block has no graph."
    return None


class Break(NamedTuple):
    """Why a tensor has no graph: at which operator, in a text, and whether an input had one. See Note [Breaks]."""

    within_a_graph: bool
    name: str
    text: str


@cache
def break_at(name: str, reason: str) -> Break:
    """The break of an operator that takes its result out of the graph."""
    return Break(True, name, f"The first break is at {name}: an input required a gradient, but {reason}.")


@cache
def unrecorded(name: str, dtype: Any) -> Break:
    """The break of an operator that leaves nothing in the graph though it is recorded."""
    return break_at(name, _reason(name, dtype, False, True))


NOT_RECORDED: Final = "recording was off (no_grad or inference_mode)"


DETACHED: Final = break_at("detach()", "detach() takes its result out of the graph")
TAKEN_AS_DATA: Final = break_at(".data", ".data takes its result out of the graph")


def remember_break(name: str, inputs: Sequence[Any], tensors: Sequence[Any], recorded: bool, grad: bool) -> None:
    """Leave with results that have no edge the first break on their way from the leaves."""
    from retrograd.tensor import own_edge

    within = known = False
    for each in inputs:
        if hasattr(each, "_break"):
            # Not `_edge`: a view that must not be used any more may be used where nothing is recorded.
            within = within or own_edge(each) is not None
            known = known or each._break is not None
    if not (within or known or current_mode().anomaly):
        return
    for tensor in tensors:
        if tensor._edge is None:
            tensor._break = first_break(name, inputs, within, tensor.dtype, recorded, grad)


def first_break(
    name: str, inputs: Sequence[Any], within_a_graph: bool, dtype: Any, recorded: bool, grad: bool
) -> Break | None:
    """The break of an operator's result of type `dtype` that has no edge; None if no input had a graph, ever."""
    anomaly_mode = current_mode().anomaly
    if within_a_graph:
        found = break_at(name, _reason(name, dtype, recorded, grad))
        return _with_call(found) if anomaly_mode else found
    breaks = [each._break for each in inputs if getattr(each, "_break", None) is not None]
    if breaks:
        return next((each for each in breaks if each.within_a_graph), breaks[0])
    if not anomaly_mode:
        return None
    text = (
        f"No leaf it was computed from requires a gradient; the first operator on them was {name}. Say "
        "requires_grad_() on a leaf before the forward pass."
    )
    return _with_call(Break(False, name, text))


def taken_out(edge: Edge | None, kept: Break | None, found: Break) -> Break | None:
    """The break of an alias that is taken out of the graph of a tensor with this `edge`, if it is in one."""
    if edge is None:
        return kept
    return _with_call(found) if current_mode().anomaly else found


def _reason(name: str, dtype: Any, recorded: bool, grad: bool) -> str:
    if not grad:
        return NOT_RECORDED
    if not dtype.is_differentiable:
        return f"its result is of type {dtype}, which has no gradient"
    return "that result is marked as not differentiable" if recorded else f"{name} has no derivative"


def _with_call(found: Break) -> Break:
    from retrograd.autograd.anomaly import stack_of_caller

    return found._replace(text=found.text + _at(f"The call of {found.name} was", stack_of_caller()))


# -- a custom Function's gradient ----------------------------------------------------------------


def note_gradient_of_function(error: RuntimeError, function: Any, position: int, got: str) -> NoReturn:
    """Raise `error` with the name of the Function and of the input whose gradient does not fit."""
    error.add_note(
        f"{function.__qualname__}.backward returned {got} as its {_ordinal(position + 1)} value, the gradient of "
        f"{_input_name(function, position)} of {function.__qualname__}.forward."
    )
    raise error


def _ordinal(number: int) -> str:
    return f"{number}{'th' if 10 < number % 100 < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _input_name(function: Any, position: int) -> str:
    from retrograd.autograd.function import Function

    parameters = list(inspect.signature(function.forward).parameters.values())
    if function.setup_context is Function.setup_context:
        parameters = parameters[1:]  # ctx
    for i, each in enumerate(parameters):
        if each.kind is each.VAR_POSITIONAL:
            return f"input {each.name}[{position - i}]"
        if i == position:
            return f"input {each.name!r}"
    return f"input {position}"
