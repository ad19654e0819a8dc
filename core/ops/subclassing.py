"""Tensors of classes of a program's own: a tensor's memory under another class.

What operators give is a plain `Tensor`, whatever class their inputs are of.
"""

from __future__ import annotations

from typing import Any

from retrograd.ops.shape import alias_of
from retrograd.storage import share
from retrograd.tensor import Tensor

__all__: list[str] = []


def _under(cls: Any, source: Tensor) -> Any:
    """Another tensor, of class `cls`, that is to the graph and in memory what `source` is."""
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(
            "Creating a Tensor subclass from a class that does not inherit from Tensor is not possible. Make sure your "
            "class inherits from Tensor."
        )
    made = cls._restore(source._array, source._kernels, source._edge, None)
    made._cell = source._cell
    share(source, made)
    made._tensor_meta.view = source._tensor_meta.view  # type: ignore[union-attr]  # which `share` has made
    return made


def _make_subclass(
    cls: Any, data: Tensor, require_grad: bool = False, dispatch_strides: bool = False, dispatch_device: bool = False
) -> Any:
    """A leaf of class `cls` in the memory of `data`.

    Raises
    ------
    TypeError
        If `cls` is no class of tensors, or `data` no tensor.

    Examples
    --------
    >>> import retrograd
    >>> class Named(retrograd.Tensor):
    ...     name = ""
    >>> x = retrograd.zeros(2)
    >>> named = retrograd.Tensor._make_subclass(Named, x, True)
    >>> named.name, named.requires_grad, named.data_ptr() == x.data_ptr()
    ('', True, True)
    """
    if not isinstance(data, Tensor):
        raise TypeError(f"_make_subclass(): argument 'data' (position 2) must be Tensor, not {type(data).__name__}")
    if require_grad and not data.dtype.is_differentiable:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    made = _under(cls, data.detach())
    made._tensor_meta.view = None  # of a leaf
    made._set_requires_grad(require_grad)
    return made


def as_subclass(self: Tensor, cls: Any) -> Any:
    """A view of the whole tensor, of class `cls`.

    Raises
    ------
    TypeError
        If `cls` is no class of tensors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.as_subclass.html
    """
    return _under(cls, alias_of(self))


as_subclass.__qualname__ = "Tensor.as_subclass"
Tensor.as_subclass = as_subclass  # type: ignore[attr-defined]
Tensor._make_subclass = staticmethod(_make_subclass)  # type: ignore[attr-defined]
