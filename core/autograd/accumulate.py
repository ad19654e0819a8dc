"""A leaf's gradient: what may be assigned to `.grad`, of which type it is, and how a pass adds to it."""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

from retrograd import dtypes
from retrograd.autograd.policies import enforce_grad_layout_policy
from retrograd.dtypes import cpp_name
from retrograd.storage import OWN, announce, bump, refuse_overlap
from retrograd.tensor import Tensor, has_node, own_edge, wrap_array
from retrograd.views import Layout, contiguous_strides

if TYPE_CHECKING:
    from retrograd.autograd.node import AccumulateGrad

__all__ = ["add_to_leaf", "cast_for_leaf", "check_grad", "grad_dtype_of", "set_grad_dtype"]


# -- rules of assignment -------------------------------------------------------------------------


def check_grad(tensor: Tensor, value: Any) -> None:
    """Refuse what `tensor.grad` cannot be, with PyTorch's texts."""
    if not isinstance(value, Tensor):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value).__name__}")
    if value is tensor:
        raise RuntimeError("can't assign Variable as its own grad")
    wanted = tensor.dtype if has_node(tensor) else grad_dtype_of(tensor)
    if wanted is not None and value.dtype is not wanted:
        raise RuntimeError(
            f"attempting to assign a gradient with dtype '{cpp_name(value.dtype)}' to a tensor with grad_dtype "
            f"'{wanted.type_name}'. The gradient must match the tensor's grad_dtype (defaults to the tensor's dtype). "
            "You can set the tensor's grad_dtype attribute with a specific dtype, or None to allow any dtype. Set "
            "grad_dtype with caution. Diverging the dtypes of a tensor and its gradient may break downstream systems "
            "that assume they match."
        )
    if tensor._kernels.sparse and not value._kernels.sparse:
        raise RuntimeError("attempting to assign a gradient to a tensor that has data of a different type")
    if value._kernels.dense is not tensor._kernels.dense:
        raise RuntimeError(
            f"attempting to assign a gradient with device type '{value.device}' to a tensor with device type "
            f"'{tensor.device}'. Please ensure that the gradient and the tensor are on the same device"
        )
    if value.shape != tensor.shape:
        raise RuntimeError(
            f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
            f"'{list(tensor.shape)}'. Please ensure that the gradient and the tensor are the same size"
        )


def grad_dtype_of(tensor: Tensor) -> dtypes.dtype | None:
    """`tensor.grad_dtype`."""
    if has_node(tensor):
        raise RuntimeError("grad_dtype can only be accessed on leaf tensors.")
    wanted = OWN if tensor._tensor_meta is None else tensor._tensor_meta.grad_dtype
    return tensor.dtype if wanted is OWN else wanted  # type: ignore[return-value]  # OWN is the one object it may be


def set_grad_dtype(tensor: Tensor, value: Any) -> None:
    """`tensor.grad_dtype = value`."""
    if value is not None and not isinstance(value, dtypes.dtype):
        raise RuntimeError(f"grad_dtype must be a retrograd.dtype or None, but got {type(value).__name__}")
    held = None if value is None else tensor.grad
    if value is not None and held is not None and held.dtype is not value:
        raise RuntimeError(
            f"Cannot set grad_dtype to '{value.type_name}' because there is already a gradient with dtype "
            f"'{cpp_name(held.dtype)}'. Please clear the gradient (.grad = None) before changing grad_dtype, or ensure "
            "the new grad_dtype matches the existing gradient's dtype."
        )
    if has_node(tensor):
        raise RuntimeError("grad_dtype can only be set on leaf tensors.")
    tensor._own_meta().grad_dtype = value


# -- adding up -----------------------------------------------------------------------------------


def cast_for_leaf(grad: Any, k: Any, wanted: dtypes.dtype | None) -> Any:
    """A gradient (an array, or a tensor) in the type that its leaf asks for; None: any."""
    if wanted is None:
        return grad
    if isinstance(grad, Tensor):
        return grad.to(wanted)
    k = getattr(grad, "side", k)
    native = k.dtypes[wanted.name]
    return grad if grad.dtype == native else k.astype(grad, native)


def add_to_leaf(leaf: AccumulateGrad, grad: Any, create_graph: bool) -> None:
    """Add to the leaf's gradient, in place where no graph is being recorded."""
    meta, k = leaf.meta, leaf._kernels
    with leaf.lock:
        held = meta.grad
        if k.sparse or hasattr(grad, "side") or (held is not None and held._kernels is not k):
            from retrograd.sparse.gradients import add_to

            add_to(leaf, grad, create_graph)
        elif held is None:
            if create_graph:
                meta.grad = _recorded_copy(grad, leaf)
                return
            # The array becomes `.grad` as it is if nobody else can see it: referred to by the
            # caller's variable, ours and the argument of getrefcount. Otherwise it is copied.
            if k.mutable and (getrefcount(grad) > 3 or not k.owns(grad)):
                grad = k.copy(grad) if grad.shape == leaf._array.shape else _fitted(grad, leaf)
            if k.mutable and len(grad.shape) > 1:
                grad = _laid_out(grad, leaf, k)
            elif not k.mutable and (given := tuple(grad.shape)) != (shape := tuple(leaf._array.shape)):
                grad = grad if contiguous_strides(given) == contiguous_strides(shape) else _fitted(grad, leaf)
            meta.grad = wrap_array(grad if type(grad) is k.array_type else k.as_array(grad), k)
        elif create_graph:
            meta.grad = held + grad
        else:
            _add_in_place(held, grad, k)


def _fitted(grad: Any, leaf: AccumulateGrad) -> Any:
    """A copy of a gradient in the shape that its leaf has been given meanwhile, by assigning to `.data`."""
    made = wrap_array(leaf._kernels.zeros(tuple(leaf._array.shape), grad.dtype), leaf._kernels)
    return made.copy_(wrap_array(grad, leaf._kernels))._array  # refuses with PyTorch's text


def _laid_out(grad: Any, leaf: AccumulateGrad, k: Any) -> Any:
    """A gradient with its leaf's strides, or row-major if the leaf has holes; copied where it is not so already."""
    if not enforce_grad_layout_policy._state.get():
        return grad
    like = leaf._array
    shape, wanted = tuple(like.shape), k.strides(like)
    given, have = tuple(grad.shape), k.strides(grad)
    if not Layout(shape, wanted).is_dense():
        if given != shape and Layout(given, have).is_contiguous():
            return grad
        wanted = contiguous_strides(shape)
    if given != shape:
        return grad if have == wanted else _fitted(grad, leaf)
    if all(n == 1 or a == b for n, a, b in zip(shape, have, wanted, strict=True)):
        return grad
    order = sorted(range(len(shape)), key=lambda axis: -wanted[axis])
    made = k.copy(k.permute_dims(grad, tuple(order)))  # row-major
    return k.permute_dims(made, tuple(order.index(axis) for axis in range(len(shape))))


def _add_in_place(held: Tensor, grad: Any, k: Any) -> None:
    array = held._array
    if k.mutable and own_edge(held) is None and type(held._cell) is list:
        announce(held)
        try:
            k.add(array, grad, array)
        except (TypeError, ValueError):
            held.add_(wrap_array(grad, k))  # refuses with PyTorch's text
        else:
            bump(held)
    elif array.shape == grad.shape and array.dtype == grad.dtype:
        refuse_overlap(held, ())
        held._write(k.add(array, grad))
    else:
        held.add_(wrap_array(grad, k))


def _recorded_copy(grad: Tensor, leaf: AccumulateGrad) -> Tensor:
    """A gradient of a recorded pass is copied, so that `.grad` is not a tensor the program has."""
    from retrograd.ops.inplace import _copy

    if not leaf.variable._layout().is_dense():
        return grad.clone()
    made: Tensor = _copy(grad.detach(), grad)
    if made._kernels.mutable and made.ndim > 1:
        made._set_array(_laid_out(made._array, leaf, made._kernels))
    return made
