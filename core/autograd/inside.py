"""What programs take from `torch._C._autograd` by name: versions that are set, and the stack of hooks on saved tensors.

`retrograd._C._autograd` is this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.graph import saved_tensors_hooks
from retrograd.autograd.modes import current_mode, set_mode
from retrograd.ops.saved_names import SavedTensor
from retrograd.storage import VERSION
from retrograd.tensor import Tensor

__all__ = ["SavedTensor"]


def _unsafe_set_version_counter(tensors: Sequence[Tensor], versions: Sequence[int]) -> None:
    """Set how many writes the memory of tensors has seen. What was saved of them is checked against that.

    Raises
    ------
    RuntimeError
        If a version is negative.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2)
    >>> retrograd._C._autograd._unsafe_set_version_counter((x,), (5,)); x._version
    5
    """
    for tensor, version in zip(tensors, versions, strict=True):
        if version < 0:
            raise RuntimeError(f"Cannot set a version_counter to a value below 0: {version}")
        tensor._cell[0] = (tensor._cell[0] & ~VERSION) | version


def _push_saved_tensors_default_hooks(pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
    """Have what nodes save go through a pair of functions, until it is popped."""
    saved_tensors_hooks(pack_hook, unpack_hook).__enter__()


def _pop_saved_tensors_default_hooks() -> None:
    """Drop the innermost pair."""
    saved_tensors_hooks(_same, _same).__exit__()


def _same(value: Any) -> Any:
    return value


def _top_saved_tensors_default_hooks(ignore_is_tracing: bool) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """The innermost pair; None if there is none."""
    hooks = current_mode().saved_hooks
    return hooks[-1] if hooks else None


def _saved_tensors_hooks_is_enabled() -> bool:
    """Whether `saved_tensors_hooks` may be entered."""
    return current_mode().saved_hooks_disabled is None


def _saved_tensors_hooks_get_disabled_error_message() -> str | None:
    """The error with which they are refused; None if they are not."""
    return current_mode().saved_hooks_disabled


def _saved_tensors_hooks_disable(error_message: str, fail_if_non_empty: bool = True) -> None:
    """Refuse `saved_tensors_hooks` from now on."""
    mode = current_mode()
    if fail_if_non_empty and mode.saved_hooks:
        raise RuntimeError(error_message)
    set_mode(mode.but(saved_hooks_disabled=error_message))


def _saved_tensors_hooks_enable() -> None:
    """Allow them again."""
    set_mode(current_mode().but(saved_hooks_disabled=None))


def _get_current_graph_task_keep_graph() -> bool:
    """Whether the backward pass that is running retains the graph; True if none is running."""
    from retrograd.autograd.engine import active_task

    task = active_task()
    return True if task is None else task.retain_graph
