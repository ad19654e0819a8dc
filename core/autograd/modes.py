"""What a thread or task does while it computes: record gradients or not, and the rarer states.

The state is one immutable `Mode` in a `ContextVar`: a new thread starts with gradients on (as in
PyTorch), an asyncio task starts with a copy of its parent's. An operator reads it once and
compares it with two singletons, `GRAD` and `NO_GRAD`; every other mode takes the general path of
`retrograd.ops.dispatch`. So a feature that is off costs nothing per call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar, overload

from retrograd.utils._contextlib import _DecoratorContextManager

__all__ = [
    "GRAD", "NO_GRAD", "Mode", "current_mode", "enable_grad", "is_grad_enabled", "no_grad",
    "set_grad_enabled", "set_mode",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])
_PUBLIC: Final = "retrograd.autograd.grad_mode"
"""Where PyTorch has these classes, and so what they show as their module."""


@dataclass(frozen=True, slots=True, eq=False)
class Mode:
    """An immutable description of how operators behave now.

    Attributes
    ----------
    grad
        Operators record a node where an input requires a gradient.
    inference
        New tensors are inference tensors: no version, never part of a graph.
    anomaly
        Nodes keep the stack of their forward call; `check_nan` looks at every gradient.
    saved_hooks
        The stack of (pack, unpack) pairs of `saved_tensors_hooks`, innermost last.
    saved_hooks_disabled
        The message with which `saved_tensors_hooks` is refused, or None.
    asked
        In inference mode, where nothing is recorded whatever one asks for: what `enable_grad` and
        its like have asked for, which `is_grad_enabled` repeats.
    dual
        The active levels of forward mode, outermost first: Note [Levels] in `retrograd.autograd.tangents`.
    dual_off
        The levels that have begun and are not active, as in inference mode.
    forward_off
        Whether levels of forward mode are not active when they begin.
    results
        None, or what is told of operators' results and may provide them: Note [Selective checkpoint]
        in `retrograd.utils.selective_checkpoint`.
    profiler
        None, or what is told of every operator and node: `retrograd.autograd.profiler`.
    mutation
        None, or what is told of every write before it happens: `retrograd.autograd.mutation`. Then there are
        saved hooks too.
    autocast
        None, or by what operators choose the types they run in: Note [Autocast] in `retrograd.ops.autocasting`.
    given
        None, or with saved hooks, of what the index arrays of the operator that runs were made:
        `retrograd.ops.given_indices`.
    """

    grad: bool = True
    inference: bool = False
    anomaly: bool = False
    check_nan: bool = False
    saved_hooks: tuple[tuple[Callable[..., Any], Callable[..., Any]], ...] = ()
    saved_hooks_disabled: str | None = None
    asked: bool = False
    dual: tuple[Any, ...] = ()
    dual_off: tuple[Any, ...] = ()
    forward_off: bool = False
    results: Any = None
    profiler: Any = None
    mutation: Any = None
    autocast: Any = None
    given: Any = None

    def but(self, **changes: Any) -> Mode:
        """This mode with some fields changed; the two plain modes are always the singletons."""
        if (self is GRAD or self is NO_GRAD) and changes in (_ON, _OFF):
            return GRAD if changes["grad"] else NO_GRAD
        if self.inference and "inference" not in changes and "grad" in changes:
            changes["asked"] = changes.pop("grad")
        changed = replace(self, **changes)
        if changed.dual or changed.dual_off or changed.results is not None or changed.is_special():
            return changed
        return GRAD if changed.grad else NO_GRAD

    def is_special(self) -> bool:
        """Whether anything is on but forward mode and what provides results."""
        return bool(
            self.inference
            or self.forward_off
            or self.anomaly
            or self.saved_hooks
            or self.saved_hooks_disabled
            or self.profiler is not None
            or self.autocast is not None
        )

    def at(self, levels: tuple[Any, ...]) -> Mode:
        """This mode with these levels of forward mode alone, and without what provides results."""
        if levels or self.is_special():
            return self.but(dual=levels, results=None)
        return GRAD if self.grad else NO_GRAD


_ON, _OFF = {"grad": True}, {"grad": False}
GRAD: Final = Mode(grad=True)
NO_GRAD: Final = Mode(grad=False)

_mode: ContextVar[Mode] = ContextVar("retrograd.mode", default=GRAD)
current_mode: Final = _mode.get
set_mode: Final = _mode.set


def is_grad_enabled() -> bool:
    """Whether operators record a graph in this thread or task now."""
    mode = current_mode()
    return mode.grad or mode.asked


class ModeContext(_DecoratorContextManager):
    """A context manager that changes the mode, and a decorator for functions of every kind.

    A subclass says what changes by `changes()`.
    """

    __slots__ = ("__dict__", "__weakref__", "_previous")

    _previous: list[tuple[Mode, Mode]]

    def changes(self) -> dict[str, Any]:
        raise NotImplementedError

    def __enter__(self) -> None:
        # A stack, so that one object can be entered again while it is active.
        stack: list[tuple[Mode, Mode]] | None = getattr(self, "_previous", None)
        if stack is None:
            stack = self._previous = []
        mode = current_mode()
        changed = mode.but(**self.changes())
        stack.append((mode, changed))
        set_mode(changed)

    def __exit__(self, *exc_info: object) -> None:
        before, during = self._previous.pop()
        if current_mode() is during:
            set_mode(before)
        else:
            self._set_back(before)

    def _set_back(self, before: Mode) -> None:
        """End this alone: what others have changed since, and have not ended, stays."""
        fields = {name: getattr(before, name) for name in self.changes()}
        if "grad" in fields and "inference" not in fields:
            fields["grad"] = before.grad or before.asked
        set_mode(current_mode().but(**fields))


class no_grad(ModeContext):  # PyTorch's name
    """Compute without recording: results do not require a gradient.

    As a decorator of a coroutine, a generator or an asynchronous generator it holds while the body runs.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.no_grad.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2, requires_grad=True)
    >>> with retrograd.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    __slots__ = ()
    __module__ = _PUBLIC

    @overload
    def __new__(cls, orig_func: None = None) -> Self: ...
    @overload
    def __new__(cls, orig_func: F) -> F: ...  # type: ignore[misc]  # as a decorator without parentheses
    def __new__(cls, orig_func: Any = None) -> Any:
        made = super().__new__(cls)
        return made if orig_func is None else made(orig_func)

    def changes(self) -> dict[str, Any]:
        return {"grad": False}


class enable_grad(ModeContext):  # PyTorch's name
    """Record again inside a `no_grad` region.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2, requires_grad=True)
    >>> with retrograd.no_grad(), retrograd.enable_grad():
    ...     (x * 2).requires_grad
    True
    """

    __slots__ = ()
    __module__ = _PUBLIC

    @overload
    def __new__(cls, orig_func: None = None) -> Self: ...
    @overload
    def __new__(cls, orig_func: F) -> F: ...  # type: ignore[misc]  # as a decorator without parentheses
    def __new__(cls, orig_func: Any = None) -> Any:
        made = super().__new__(cls)
        return made if orig_func is None else made(orig_func)

    def changes(self) -> dict[str, Any]:
        return {"grad": True}


class set_grad_enabled(ModeContext):  # PyTorch's name
    """Switch recording on or off, at once; as a context manager, until its end.

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.set_grad_enabled(False):
    ...     retrograd.is_grad_enabled()
    False
    """

    __slots__ = ("_before", "mode")
    __module__ = _PUBLIC

    def __init__(self, mode: bool) -> None:
        if type(mode) is not bool:
            raise TypeError(
                f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        self.mode = mode
        self._before = current_mode()
        set_mode(self._before.but(grad=mode))

    def changes(self) -> dict[str, Any]:
        return {"grad": self.mode}

    def __enter__(self) -> None:
        # The call has switched already; entering only takes note that __exit__ restores it.
        set_mode(current_mode().but(grad=self.mode))

    def __exit__(self, *exc_info: object) -> None:
        self._set_back(self._before)

    def clone(self) -> set_grad_enabled:
        return set_grad_enabled(self.mode)

    def __call__(self, orig_func: F) -> F:
        self._set_back(self._before)  # used as a decorator: the caller's mode stays as it was
        return super().__call__(orig_func)

    def __repr__(self) -> str:
        return f"{_PUBLIC}.{type(self).__name__}(mode={self.mode})"
