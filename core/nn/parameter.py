"""`Parameter` and `Buffer`: the tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any

from retrograd.storage import share
from retrograd.tensor import Parameter, Tensor

__all__ = ["Buffer", "Parameter"]


class _BufferMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) or (
            isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)
        )


class Buffer(metaclass=_BufferMeta):
    """A tensor that belongs to a module's state without being trained.

    Calling the class gives an ordinary tensor (which shares the memory of `data`) with a mark that a
    module looks for when it is assigned to an attribute.

    Parameters
    ----------
    data
        The value. An empty tensor by default.
    persistent
        Whether it is part of `state_dict`.

    Examples
    --------
    >>> import retrograd
    >>> module = retrograd.nn.Module()
    >>> module.mean = retrograd.nn.Buffer(retrograd.zeros(2))
    >>> dict(module.named_buffers())
    {'mean': tensor([0., 0.])}
    """

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            from retrograd.ops.creation import empty

            data = empty(0)
        made = Tensor._restore(data._array, data._k, None, None)
        share(data, made)
        made.requires_grad_(data.requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made
