"""`Parameter` and `Buffer`, which a module registers when they are assigned to it, and those without a shape yet."""

from __future__ import annotations

from typing import Any

from retrograd.overrides import _disabled_torch_function_impl
from retrograd.parameter import Parameter
from retrograd.storage import share
from retrograd.tensor import Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


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
        made = Tensor._restore(data._array, data._kernels, None, None)
        share(data, made)
        made.requires_grad_(data.requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made


class UninitializedTensorMixin:
    """What parameters and buffers share that have no shape yet."""

    __slots__ = ()

    cls_to_become: type[Tensor]
    __torch_function__: Any = _disabled_torch_function_impl

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Get memory, of the shape that is known now; the tensor becomes an ordinary one."""
        from retrograd.ops.factories import empty

        device = self.device if device is None else device
        dtype = self.dtype if dtype is None else dtype
        # First of all: an operator would ask this one for its shape.
        self.__class__ = self.cls_to_become
        self.data = empty(shape, device=device, dtype=dtype)

    @property
    def shape(self) -> Any:
        """Nothing to be known yet.

        Raises
        ------
        RuntimeError
            Always.
        """
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call "
            "`forward` to initialize the parameters before accessing their attributes."
        )

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        """One of another type or on another device; see `Tensor.to`."""
        moved = self.data.to(*args, **kwargs)
        if moved.dtype == self.dtype and moved.device == self.device:
            return self
        return type(self)(self.requires_grad, moved.device, moved.dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        return type(self), (self.requires_grad,)

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype)
        return memo[id(self)]


def is_lazy(param: Any) -> bool:
    """Whether it is a parameter or buffer without a shape yet."""
    return isinstance(param, UninitializedTensorMixin)


def _without_elements(device: Any, dtype: Any) -> Tensor:
    from retrograd.ops.factories import empty

    return empty(0, device=device, dtype=dtype)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc] # `repr` takes no contents
    """A parameter whose shape is known at the first call of its module only.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.UninitializedParameter.html

    Examples
    --------
    >>> import retrograd
    >>> weight = retrograd.nn.UninitializedParameter()
    >>> weight
    <UninitializedParameter>
    >>> weight.materialize((2, 3))
    >>> weight.shape
    retrograd.Size([2, 3])
    """

    __module__ = "retrograd.nn.parameter"
    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return Parameter.__new__(cls, _without_elements(device, dtype), requires_grad)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc] # as above
    """A buffer whose shape is known at the first call of its module only.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.UninitializedBuffer.html
    """

    __module__ = "retrograd.nn.parameter"
    __slots__ = ()
    cls_to_become = Tensor

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> Any:
        data = _without_elements(device, dtype)
        made = cls._restore(data._array, data._kernels, None, None)
        share(data, made)
        made.requires_grad_(requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made
