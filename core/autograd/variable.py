"""`Variable`, which tensors were once wrapped in to have gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from retrograd.autograd.engine import active_task
from retrograd.tensor import Tensor

__all__ = ["ImperativeEngine", "Variable", "VariableMeta"]


class ImperativeEngine:
    """The engine of backward passes, as programs for PyTorch reach it: `Variable._execution_engine`."""

    def queue_callback(self, callback: Callable[[], Any]) -> None:
        """Have `callback()` called at the end of the backward pass that is running, when all gradients are there.

        Callbacks are called in the order in which they were queued; a callback may queue another. If the pass fails,
        none is called; if one fails, its error is that of `backward`. A pass that a hook runs inside another has
        callbacks of its own.

        Raises
        ------
        RuntimeError
            If no backward pass is running.

        Examples
        --------
        >>> import retrograd
        >>> from retrograd.autograd import Variable
        >>> x = retrograd.ones(2, requires_grad=True)
        >>> def when_done(grad):
        ...     Variable._execution_engine.queue_callback(lambda: print(x.grad))
        >>> y = x * 3
        >>> handle = y.register_hook(when_done)
        >>> y.sum().backward()
        tensor([3., 3.])
        """
        task = active_task()
        if task is None:
            raise RuntimeError("Final callbacks can only be installed during backward pass.")
        task.callbacks.append(callback)

    def is_checkpoint_valid(self) -> bool:
        """Whether the pass that is running, if one is, goes to all leaves, as re-entrant checkpointing needs."""
        task = active_task()
        return task is None or task.needed is None


class VariableMeta(type):
    """Every tensor is an instance of `Variable`."""

    _execution_engine = ImperativeEngine()

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=VariableMeta):
    """An old name of tensors. Calling it gives a leaf with the memory of `data`.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#variable-deprecated

    Examples
    --------
    >>> import retrograd
    >>> retrograd.autograd.Variable(retrograd.ones(2), requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: bool | None = None) -> Any:
        if volatile is not None:
            warnings.warn(
                "volatile was removed and now has no effect. Use `with retrograd.no_grad():` instead.",
                UserWarning,
                stacklevel=2,
            )
        if data is None:
            from retrograd.ops.creation import empty

            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if requires_grad and not data.dtype.is_differentiable:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        return data.detach().requires_grad_(requires_grad)
