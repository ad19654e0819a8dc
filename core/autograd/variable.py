"""`Variable`, which tensors were once wrapped in to have gradients."""

from __future__ import annotations

import warnings
from typing import Any

from retrograd.tensor import Tensor

__all__ = ["Variable", "VariableMeta"]


class VariableMeta(type):
    """Every tensor is an instance of `Variable`."""

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
