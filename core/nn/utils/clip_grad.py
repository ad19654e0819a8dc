"""The norm of a model's gradients as a whole, and how they are kept within bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.nn.old_names import old_name
from retrograd.sparse.table import no_kernel
from retrograd.tensor import Tensor

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [each.grad for each in tensors if each.grad is not None]


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Tensor:
    """The norm of all tensors together, as if they were one vector.

    Raises
    ------
    RuntimeError
        If `error_if_nonfinite` and the norm is infinite or no number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.get_total_norm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.utils.get_total_norm([retrograd.tensor([3.0]), retrograd.tensor([4.0])])
    tensor(5.)
    """
    from retrograd.ops.arrange import stack
    from retrograd.ops.factories import zeros

    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    order = float(norm_type)
    if not given:
        return zeros(())
    first = given[0]
    norms = [_norm(each, order) for each in given]
    norms = [each if each._kernels is first._kernels else each.to(first.device) for each in norms]
    total = _norm(stack(norms), order)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so it cannot "
            "be clipped. "
            "To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


def _norm(tensor: Tensor, order: float) -> Tensor:
    """The vector norm of all elements.

    Raises
    ------
    NotImplementedError
        For a sparse tensor, as in PyTorch.
    """
    if tensor._kernels.sparse:
        raise no_kernel("linalg_vector_norm")
    size = tensor.abs()
    if order == math.inf:
        return size.max()
    if order == -math.inf:
        return size.min()
    if order == 0:
        return (size != 0).sum().to(size.dtype)
    if order == 2:
        return (size * size).sum().sqrt()
    return size.sum() if order == 1 else (size**order).sum() ** (1.0 / order)


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: Any = None
) -> None:
    """Scale all gradients, in place, so that a total norm of `total_norm` becomes at most `max_norm`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grads_with_norm_.html
    """
    grads = _gradients(parameters)
    if not grads:
        return
    # The small number keeps the quotient finite, and is PyTorch's.
    coefficient = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    for grad in grads:
        factor = coefficient if coefficient._kernels is grad._kernels else coefficient.to(grad.device)
        grad.mul_(factor)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Tensor:
    """Scale all gradients, in place, so that their norm as one vector is at most `max_norm`.

    Returns
    -------
    The norm before.

    Raises
    ------
    RuntimeError
        If `error_if_nonfinite` and the norm is infinite or no number.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html

    Examples
    --------
    >>> import retrograd
    >>> w = retrograd.nn.Parameter(retrograd.zeros(2))
    >>> w.grad = retrograd.tensor([3.0, 4.0])
    >>> retrograd.nn.utils.clip_grad_norm_([w], max_norm=1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(tensors), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(tensors, max_norm, total)
    return total


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: Any = None) -> None:
    """Bring every element of every gradient, in place, into [-clip_value, clip_value].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html
    """
    limit = float(clip_value)
    for grad in _gradients(parameters):
        grad.clamp_(-limit, limit)


clip_grad_norm = old_name(clip_grad_norm_, "retrograd.nn.utils")
