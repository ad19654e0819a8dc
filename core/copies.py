"""Copies of tensors by Python's own means: `copy.copy`, `copy.deepcopy` and `pickle`.

A copy is a leaf. Tensors that share memory share it again in what is copied together, not in what is pickled: so it
is in PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrograd._utils import _rebuild_meta_tensor_no_storage, meta_arguments
from retrograd.device import kernels_of
from retrograd.levels import is_mapped
from retrograd.parameter import Parameter
from retrograd.storage import share
from retrograd.tensor import Tensor, wrap_array
from retrograd.views import AsStrided, Chain, Conjugate, contiguous_strides, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from retrograd.storage import Storage

__all__ = ["copied", "copied_memory", "deep_copied", "reduced", "without_attributes"]


def copied(tensor: Tensor) -> Tensor:
    """Another leaf with the same memory and a version of its own."""
    if tensor._kernels.sparse:
        rebuild, arguments = reduced(tensor)
        return rebuild(*arguments)
    made = type(tensor)._restore(tensor._array, tensor._kernels, None, None)
    share(tensor, made)
    made._break = tensor._break
    return _finished(made, tensor)


def deep_copied(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """A copy with its memory, its gradient and its attributes; of a parameter, its memory alone.

    Raises
    ------
    RuntimeError
        If it is not a leaf.
    """
    if id(tensor) in memo:
        known: Tensor = memo[id(tensor)]
        return known
    if not tensor.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
            "moment.  If you were attempting to deepcopy a module, this may be because of a torch.nn.utils."
            "weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001"
        )
    k, meta = tensor._kernels, tensor._tensor_meta
    if issubclass(type(tensor), Parameter):  # PyTorch's copies of parameters have neither gradients nor attributes
        copied_alone = type(tensor)._restore(k.copy(tensor._array), k, None, None)
        memo[id(tensor)] = copied_alone._set_requires_grad(tensor.requires_grad)
        return copied_alone
    if meta is None or meta.storage is None or k.level or any(type(each) is Conjugate for each in steps_of(meta.chain)):
        made = type(tensor)._restore(k.copy(tensor._array), k, None, None)
    else:
        base = copied_memory(meta.storage, k, memo)
        array = base._array
        for step in steps_of(meta.chain):
            array = step.apply(k, array)
        if array.dtype != tensor._array.dtype:  # it was looked at as another type
            array = k.reinterpret(array, tensor._array.dtype)
        made = type(tensor)._restore(array, k, None, None)
        share(base, made)
        made._tensor_meta.chain = meta.chain
    memo[id(tensor)] = made
    _finished(made, tensor)
    if meta is not None and meta.grad is not None:
        made._own_meta().grad = deep_copied(meta.grad, memo)
    return made


def copied_memory(shared: Storage, k: Any, memo: dict[int, Any]) -> Tensor:
    """A tensor of all of a copy of a memory: one for the tensors and the storages that are copied together."""
    base: Tensor | None = memo.get(id(shared))
    if base is None:
        base = memo[id(shared)] = wrap_array(k.copy(shared.array), k)
    return base


def _finished(made: Tensor, tensor: Tensor) -> Tensor:
    made._set_requires_grad(tensor.requires_grad)
    made.__dict__.update(tensor.__dict__)
    return made


def reduced(tensor: Tensor) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    """What `pickle` keeps of a tensor: its memory, whether it requires a gradient, and its attributes.

    A function and its arguments, as in PyTorch: subclasses add arguments of their own.
    """
    made = without_attributes(tensor)
    return (_rebuilt_with, (*made, tensor.__dict__)) if tensor.__dict__ else made


def without_attributes(tensor: Tensor) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    """`reduced`, without the attributes."""
    from retrograd.utils.hooks import warn_if_has_hooks

    if is_mapped(tensor):
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")
    warn_if_has_hooks(tensor)
    if tensor._kernels.sparse:
        return tensor._array.reduced(type(tensor), tensor.requires_grad)
    if tensor._kernels.meta:
        return _rebuilt_meta, (type(tensor), *meta_arguments(tensor))
    meta, k, layout = tensor._tensor_meta, tensor._kernels, None
    array = tensor._array
    if tensor.is_conj():
        of_memory = without_attributes(tensor.detach().conj())[1][2:]
        return _rebuilt_conjugated, (type(tensor), tensor.requires_grad, *of_memory)
    if meta is not None and meta.storage is not None and not tensor.is_neg() and _is_row_major(meta.storage.array, k):
        array, layout = meta.storage.array, tensor._layout()  # the whole memory, so that the strides stay what they are
    placed = None if layout is None else (layout.shape, layout.strides, layout.offset)
    arguments = (type(tensor), tensor.requires_grad, k.to_host(array), str(tensor.device), placed)
    return _rebuilt, arguments


def _is_row_major(array: Any, k: Any) -> bool:
    return not k.mutable or tuple(k.strides(array)) == contiguous_strides(tuple(array.shape))


def _rebuilt_meta(cls: type[Tensor], *arguments: Any) -> Any:
    made = _rebuild_meta_tensor_no_storage(*arguments)
    return cls._restore(made._array, made._kernels, None, None)._set_requires_grad(made.requires_grad)


def _rebuilt(cls: type[Tensor], requires_grad: bool, host: Any, where: str, placed: Any = None) -> Any:
    k = kernels_of(where)
    base = wrap_array(k.from_host(host, True), k)
    if placed is None or placed == (tuple(host.shape), contiguous_strides(host.shape), 0):
        return cls._restore(base._array, k, None, None)._set_requires_grad(requires_grad)
    step = AsStrided(*placed)
    made = cls._restore(step.apply(k, base._array), k, None, None)
    share(base, made)
    made._tensor_meta.chain = Chain(None, step, tuple(host.shape))
    return made._set_requires_grad(requires_grad)


def _rebuilt_with(rebuild: Callable[..., Tensor], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> Tensor:
    made = rebuild(*arguments)
    if hasattr(made, "__setstate__"):
        made.__setstate__(attributes)
    else:
        made.__dict__.update(attributes)
    return made


def _rebuilt_conjugated(cls: Any, requires_grad: bool, *of_memory: Any) -> Any:
    made = _rebuilt(Tensor, False, *of_memory).conj().detach()
    return (made if cls is Tensor else made.as_subclass(cls))._set_requires_grad(requires_grad)
