"""Settings of PyTorch's engine that a program may make. Most change nothing: there is nothing to choose between.

They keep and show the state that PyTorch's show, per thread or task, so that programs which set them
run and those which ask are told what was set.
"""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import ContextVar

__all__ = ["enforce_grad_layout_policy", "is_multithreading_enabled", "set_multithreading_enabled"]


class _Setting(ContextDecorator):
    """Set at once when made; as a context manager or decorator, until its end."""

    _state: ContextVar[bool]

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self.prev = self._state.get()
        self._state.set(self.mode)

    def __enter__(self) -> None:
        self._state.set(self.mode)

    def __exit__(self, *exc_info: object) -> None:
        self._state.set(self.prev)

    def clone(self) -> _Setting:
        return type(self)(self.mode)

    _recreate_cm = clone  # each call of a decorated function sets and restores on its own

    def __call__(self, orig_func):  # type: ignore[no-untyped-def]
        self._state.set(self.prev)  # used as a decorator: the caller's setting stays as it was
        return super().__call__(orig_func)


class set_multithreading_enabled(_Setting):  # PyTorch's name
    """Accepted and remembered; without effect, since a backward pass runs in the thread that called it.

    PyTorch uses a thread for each accelerator unless this is switched off. Here several threads may
    each run a pass of their own, and one pass never spreads over threads.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad_mode.set_multithreading_enabled.html

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.autograd.set_multithreading_enabled(False):
    ...     retrograd.autograd.is_multithreading_enabled()
    False
    """

    __module__ = "retrograd.autograd.grad_mode"
    _state = ContextVar("retrograd.multithreading", default=True)

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)


class enforce_grad_layout_policy(_Setting):  # PyTorch's name
    """Whether a leaf's first gradient is copied if its strides differ from the leaf's; on by default.

    Without effect on a backend whose arrays have no strides.
    """

    _state = ContextVar("retrograd.grad_layout", default=True)

    def __init__(self, enable: bool = True) -> None:
        super().__init__(enable)


class _force_original_view_tracking(_Setting):  # PyTorch's name
    """Accepted and remembered; without effect, since here a gradient always goes back the way that a view was made.

    PyTorch goes by strides from a view whose base was written to, unless this is switched on.
    """

    __module__ = "retrograd.autograd.grad_mode"
    _state = ContextVar("retrograd.view_replay", default=False)


def is_multithreading_enabled() -> bool:
    """What `set_multithreading_enabled` has set last; True by default."""
    return set_multithreading_enabled._state.get()
