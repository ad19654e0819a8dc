"""Anomaly mode: every node remembers its forward call, and the backward pass stops at the first NaN."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrograd.autograd import explaining
from retrograd.autograd.modes import ModeContext, current_mode, set_mode
from retrograd.autograd.node import name_of
from retrograd.levels import bare

if TYPE_CHECKING:
    from retrograd.autograd.node import Node
    from retrograd.tensor import Tensor

__all__ = [
    "check_nan", "detect_anomaly", "frames_of_caller", "is_anomaly_check_nan_enabled", "is_anomaly_enabled",
    "remember_call", "set_detect_anomaly", "stack_of_caller", "warn_of_error",
]  # fmt: skip

_OWN_FRAMES = (str(Path(__file__).parent.parent), "<operator ", "<symbol ")


class set_detect_anomaly(ModeContext):  # PyTorch's name
    """Switch anomaly mode on or off, at once; as a context manager, until its end.

    Parameters
    ----------
    mode
        On or off.
    check_nan
        Raise when a node of the backward pass gives NaN.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.autograd.set_detect_anomaly(True):
    ...     retrograd.is_anomaly_enabled()
    True
    """

    __slots__ = ("_before", "check_nan", "mode")
    __module__ = "retrograd.autograd.anomaly_mode"

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.mode = bool(mode)
        self.check_nan = check_nan
        self._before = current_mode()
        set_mode(self._before.but(**self.changes()))

    def changes(self) -> dict[str, Any]:
        return {"anomaly": self.mode, "check_nan": self.check_nan}

    def __enter__(self) -> None:
        set_mode(current_mode().but(**self.changes()))

    def __exit__(self, *exc_info: object) -> None:
        self._set_back(self._before)

    def clone(self) -> set_detect_anomaly:
        return set_detect_anomaly(self.mode, self.check_nan)

    def __call__(self, function: Callable[..., Any]) -> Any:
        self._set_back(self._before)  # used as a decorator: the caller's mode stays as it was
        return super().__call__(function)


class detect_anomaly(ModeContext):  # PyTorch's name
    """A context with anomaly mode on. For debugging: it is slow, and says so in a warning.

    Every node keeps the stack of its forward call, and every operator without a graph says why. An
    error of the backward pass shows them as notes, with a summary of the values if the error is a NaN.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection

    Examples
    --------
    >>> import retrograd, warnings
    >>> warnings.simplefilter("ignore")
    >>> with retrograd.autograd.detect_anomaly():
    ...     retrograd.is_anomaly_enabled()
    True
    """

    __slots__ = ("check_nan",)
    __module__ = "retrograd.autograd.anomaly_mode"

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            stacklevel=2,
        )

    def changes(self) -> dict[str, Any]:
        return {"anomaly": True, "check_nan": self.check_nan}

    def clone(self) -> detect_anomaly:
        made = object.__new__(type(self))  # without the warning, which was given when it was made
        made.check_nan = self.check_nan
        return made


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return current_mode().anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for NaN, if it is on."""
    mode = current_mode()
    return mode.check_nan or not mode.anomaly


# -- what nodes remember -------------------------------------------------------------------------


def frames_of_caller() -> traceback.StackSummary:
    """The stack of the user's call, without this package's own frames at its end."""
    frames = traceback.extract_stack()
    while len(frames) > 1 and frames[-1].filename.startswith(_OWN_FRAMES):
        frames.pop()
    return frames


def stack_of_caller() -> str:
    """`frames_of_caller` as text."""
    return "".join(traceback.format_list(frames_of_caller()))


def remember_call(node: Node) -> None:
    """Leave the stack of the call with its new node, and the node whose gradients are being computed, if any."""
    from retrograd.autograd.engine import active_task

    extras = node._need_extras()
    frames = traceback.format_list(frames_of_caller())
    extras.stack = "".join(frames)
    node.metadata["traceback_"] = frames
    task = active_task()
    running = None if task is None else task.running
    if running is not None:
        outer = None if running._node_extras is None else running._node_extras.induced_by
        node.metadata["parent_"] = running
        extras.induced_by = (name_of(running), explaining.stack_of(running), outer)


# -- what is said when something goes wrong ------------------------------------------------------


def warn_of_error(node: Node) -> None:
    """PyTorch's warning that precedes an error in anomaly mode. It never takes the place of the error."""
    stack = explaining.stack_of(node)
    _warn(
        f"Error detected in {name_of(node)}. "
        + (
            "No forward pass information available. Enable detect anomaly during forward pass for more information."
            if stack is None
            else f"Traceback of forward call that caused the error:\n{stack}"
        )
    )
    origin = None if node._node_extras is None else node._node_extras.induced_by
    while origin is not None:
        name, stack, origin = origin
        _warn(
            f"\n\nPrevious calculation was induced by {name}. "
            + (
                "No forward pass information available."
                if stack is None
                else f"Traceback of forward call that induced the previous calculation:\n{stack}"
            )
        )


def _warn(text: str) -> None:
    try:
        warnings.warn(text, stacklevel=3)
    except UserWarning:  # where warnings are errors: the error itself is better
        print(text, file=sys.stderr)


def check_nan(node: Node, arrived: Sequence[Tensor | None], grads: Sequence[Tensor | None]) -> None:
    """Raise if one of the gradients that `node` has computed holds a NaN."""
    shown = range(len(grads)) if node._shown_edges is None else node._shown_edges
    for number, position in enumerate(shown):
        grad = grads[position] if position < len(grads) else None
        if grad is not None and grad.dtype.is_differentiable and _count(grad.detach().isnan()):
            raise _nan_error(node, number, arrived, grads)


def _nan_error(
    node: Node, position: int, arrived: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> RuntimeError:
    error = RuntimeError(f"Function '{name_of(node)}' returned nan values in its {position}th output.")
    lines = [f"{name_of(node)} is the first node of this pass that returned a NaN."]
    lines += [f"  arrived:  gradient of output {i}: {_summary(each)}" for i, each in enumerate(arrived)]
    lines += [f"  saved:    {name}: {_summary(each)}" for name, each in _saved_tensors(node)]
    lines += [f"  returned: gradient of input {i}: {_summary(each)}" for i, each in enumerate(grads)]
    error.add_note("\n".join(lines))
    stack = explaining.stack_of(node)
    if stack is not None:
        error.add_note(f"The forward call of {name_of(node)} was:\n{stack.rstrip()}")
    warn_of_error(node)
    return error


def _saved_tensors(node: Node) -> list[tuple[str, Tensor]]:
    """What a node has saved; nothing of what hooks have packed, which may be unpacked once and has been."""
    from retrograd.ops.plan import Packed
    from retrograd.tensor import Tensor

    if any(type(part) is Packed for each in node._holds for part in (each if isinstance(each, tuple) else (each,))):
        return []
    names = [name.removeprefix("_saved_") for name in dir(node) if name.startswith("_saved_")]
    found = [(name, getattr(node, f"_saved_{name}")) for name in names]
    return [(name, each) for name, each in found if isinstance(each, Tensor)]


def _summary(tensor: Tensor | None) -> str:
    """Shape, type, range of the finite values and number of the others, in a line."""
    if tensor is None:
        return "None"
    from retrograd.autograd.modes import no_grad

    with no_grad():
        values = bare(tensor).detach()
        text = f"{list(values.shape)} {str(values.dtype).removeprefix('retrograd.')}"
        if not values.numel() or not values.dtype.is_differentiable:
            return text
        finite = values[values.isfinite()]
        if finite.numel() and not values.is_complex():
            text += f", min {finite.min().item():.4g}, max {finite.max().item():.4g}"
        return f"{text}, {_count(values.isnan())} nan, {_count(values.isinf())} inf"


def _count(flags: Tensor) -> int:
    return int(bare(flags).sum().item())
