"""`swap_tensors`: two tensor objects exchange all that they are."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from retrograd.autograd.node import AccumulateGrad, Node
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from retrograd.storage import View

__all__ = ["swap_tensors"]

_SLOTS = ("_array", "_break", "_cell", "_edge", "_kernels", "_tensor_meta")


def swap_tensors(t1: Tensor, t2: Tensor) -> None:
    """Exchange the contents, classes and attributes of two tensors: whoever holds one now has the other.

    Raises
    ------
    RuntimeError
        If one of them has views that the graph knows, or somebody holds a weak reference to it: those would be left
        behind.

    Source: https://docs.pytorch.org/docs/stable/torch.html (`torch.utils.swap_tensors`)

    Examples
    --------
    >>> import retrograd
    >>> a, b = retrograd.ones(2), retrograd.zeros(3)
    >>> retrograd.utils.swap_tensors(a, b)
    >>> a, b
    (tensor([0., 0., 0.]), tensor([1., 1.]))
    """
    for name, each in (("t1", t1), ("t2", t2)):
        if any(view.base is each for view in _views_beside(each)):
            raise RuntimeError(f"Cannot swap {name} because there are views of it")
        if weakref.getweakrefcount(each) > len(_references(each)):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    if t1 is t2:
        return
    for slot in _SLOTS:
        one, other = getattr(t1, slot), getattr(t2, slot)
        setattr(t1, slot, other)
        setattr(t2, slot, one)
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
    for each in (t1, t2):
        _take_over(each)


def _views_beside(tensor: Tensor) -> Iterator[View]:
    storage = None if tensor._tensor_meta is None else tensor._tensor_meta.storage
    for alias in () if storage is None else storage.live():
        view = alias._own_meta().view
        if view is not None:
            yield view


def _references(tensor: Tensor) -> list[object]:
    """Why there is a weak reference of ours to a tensor: at most one, since those without a callback are one object."""
    if tensor._tensor_meta is not None and tensor._tensor_meta.storage is not None:
        return [tensor._tensor_meta.storage]
    if tensor._edge is None:
        return []
    node, position = tensor._edge
    return [node] if type(node) is AccumulateGrad or position in _retaining(node) else []


def _retaining(node: Node) -> dict[int, weakref.ref[Tensor]]:
    """By number of output, the tensors that retain the gradient which arrives there."""
    return (None if node._node_extras is None else node._node_extras.retain) or {}


def _take_over(tensor: Tensor) -> None:
    """Let the graph and the storage know the object that stands there now."""
    if tensor._tensor_meta is not None and tensor._tensor_meta.storage is not None:
        tensor._tensor_meta.storage.add(tensor)
    if tensor._edge is None:
        return
    node, position = tensor._edge
    if type(node) is AccumulateGrad:
        node._variable, node.variable_type = weakref.ref(tensor), type(tensor)
    elif position in (retain := _retaining(node)):
        retain[position] = weakref.ref(tensor)
