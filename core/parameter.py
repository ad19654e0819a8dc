"""`Parameter`: a tensor that a module lists among its parameters."""

from __future__ import annotations

from typing import Any

from retrograd import overrides
from retrograd.overrides import kind_of
from retrograd.storage import share
from retrograd.tensor import Tensor

__all__ = ["Parameter"]


class _ParameterMeta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        return cls is Parameter and isinstance(instance, Tensor) and "_is_param" in instance.__dict__


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that a module lists among its parameters; requires a gradient unless told otherwise.

    Parameters
    ----------
    data
        The initial value, shared. An empty tensor by default. Of one of a subclass of `Tensor`, the parameter is a
        tensor of that class, which `isinstance` holds for a `Parameter` too.
    requires_grad
        Whether its gradient is wanted.

    Raises
    ------
    RuntimeError
        If the type of `data` can have no gradient, or `data.detach()` is not of its class.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.Parameter(retrograd.zeros(2))
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    __module__ = "retrograd.nn.parameter"
    __slots__ = ()
    __torch_function__: Any = overrides._disabled_torch_function_impl

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        if data is None:
            from retrograd.ops.creation import empty

            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter(): argument 'data' must be Tensor, not {type(data).__name__}")
        if type(data) is not Tensor and overrides.has_torch_function_unary(data):
            return _parameter_of_its_class(data, requires_grad)
        if requires_grad and not data.dtype.is_differentiable:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        made = cls._restore(data._array, data._kernels, None, None)
        made._cell = data._cell
        share(data, made)
        made._set_requires_grad(requires_grad)
        return made

    def __repr__(self) -> str:  # type: ignore[override] # it takes no contents, as in PyTorch
        return "Parameter containing:\n" + super().__repr__()


def _parameter_of_its_class(data: Any, requires_grad: bool) -> Any:
    made = data.detach().requires_grad_(requires_grad)
    if kind_of(made) is not kind_of(data):
        given, found = kind_of(data).__name__, kind_of(made).__name__
        raise RuntimeError(
            f"Creating a Parameter from an instance of type {given} requires that detach() returns an instance of the "
            f"same type, but return type {found} was found instead. To use the type as a Parameter, please correct the "
            "detach() semantics defined by its __torch_dispatch__() implementation."
        )
    made._is_param = True
    return made
