"""What programs take from PyTorch's extension module by name: the switches of `__torch_function__`, the pass that runs.

Source: https://docs.pytorch.org/docs/stable/notes/extending.html#extending-torch-python-api
"""

from __future__ import annotations

import weakref as _weakref
from typing import Any as _Any

from retrograd.autograd import delayed as _functions, inside as _autograd  # noqa: F401  # PyTorch's names for them
from retrograd.autograd.engine import active_task as _active_task
from retrograd.autograd.modes import is_grad_enabled as is_grad_enabled, set_grad_enabled as _set_grad_enabled_now
from retrograd.autograd.node import Node as _Node
from retrograd.autograd.policies import (
    _force_original_view_tracking as _view_tracking,
    set_multithreading_enabled as _set_multithreading_enabled,
)
from retrograd.levels import transforms as _transforms
from retrograd.overrides import (
    DisableTorchFunction as DisableTorchFunction,
    DisableTorchFunctionSubclass as DisableTorchFunctionSubclass,
    _disabled_torch_function_impl as _disabled_torch_function_impl,
    taking as _taking,
)
from retrograd.tensor import Tensor as TensorBase, Tensor as _Tensor

_TensorBase, _TensorMeta = TensorBase, type  # here a tensor has no class below its own, and no class of classes

__all__ = ["DisableTorchFunction", "DisableTorchFunctionSubclass"]


def _is_torch_function_enabled() -> bool:
    """Whether objects may take functions over in this thread."""
    return _taking.objects


def _is_torch_function_mode_enabled() -> bool:
    """Whether this thread is within a `TorchFunctionMode`."""
    return bool(_taking.modes)


def _log_api_usage_once(event: str) -> None:
    """Nothing: uses are not counted."""


def _get_tracing_state() -> None:
    """None: no call is being traced, under `retrograd.jit.trace` neither."""


def _are_functorch_transforms_active() -> bool:
    """Whether this thread is within a function that `func` transforms."""
    return bool(_transforms())


def _current_graph_task_id() -> int:
    """The number of the backward pass that is running in this thread or task, which grows by each; -1 if none is."""
    task = _active_task()
    return -1 if task is None else task.number


def _current_graph_task_execution_order() -> list[_Node]:
    """The nodes that the backward pass that is running runs, in that order.

    Raises
    ------
    RuntimeError
        If none is running, or it might use several threads: see `set_multithreading_enabled`.
    """
    task = _active_task()
    if task is None:
        raise RuntimeError("_current_graph_task_execution_order should only be called during the backward pass")
    if _set_multithreading_enabled._state.get():
        raise RuntimeError(
            "get_current_graph_task_execution_order expects the current backward to be executed with multithreading "
            "disabled, e.g. by running:\n\n>>> with retrograd.autograd.set_multithreading_enabled(False):\n"
            "...     retrograd.autograd.grad(...)\n"
        )
    return task.execution_order()


def _current_autograd_node() -> _Node | None:
    """The node that a backward pass of this thread or task is running, with its hooks; None if there is none.

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2, requires_grad=True)
    >>> y = x * 2
    >>> handle = y.register_hook(lambda grad: print(retrograd._C._current_autograd_node().name()))
    >>> y.sum().backward()
    MulBackward0
    """
    task = _active_task()
    return None if task is None else task.running


def _will_engine_execute_node(node: _Any) -> bool:
    """Whether the backward pass that is running runs a node, or has run it.

    Raises
    ------
    RuntimeError
        If it is no node, no pass is running, or it is a leaf's and `grad` has been asked for its gradient.
    """
    if not isinstance(node, _Node):
        raise RuntimeError(f"_will_engine_execute_node expects an grad_fn, but got {type(node).__name__}")
    task = _active_task()
    if task is None:
        raise RuntimeError("_get_should_execute_nodes should only be called during the backward pass")
    if task.asks_for(node):
        raise RuntimeError(
            "A leaf node was passed to _will_engine_execute_node but we are currently running autograd.grad(). This is "
            "currently not supported."
        )
    return task.will_run(node)


class _WeakTensorRef:
    """A weak reference to a tensor."""

    def __init__(self, tensor: _Tensor) -> None:
        self._reference = _weakref.ref(tensor)

    def expired(self) -> bool:
        """Whether the tensor is gone."""
        return self._reference() is None


def _is_view_replay_enabled() -> bool:
    """What `_force_original_view_tracking` has set last; False by default."""
    return _view_tracking._state.get()


def _set_grad_enabled(enabled: bool) -> None:
    """Switch recording on or off."""
    _set_grad_enabled_now(enabled)
