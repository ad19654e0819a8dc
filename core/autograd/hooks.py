"""Hooks on tensors and nodes, and the handles that remove them.

The engine calls a node's hooks in PyTorch's order: tensor pre-hooks, node pre-hooks, then
`retain_grad`, the node itself, node post-hooks, and for a leaf the post-accumulate hooks.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrograd.autograd.node import Node
    from retrograd.tensor import Tensor

__all__ = [
    "RemovableHandle", "register_node_hook", "register_node_prehook", "register_post_accumulate_hook",
    "register_tensor_hook",
]  # fmt: skip

_next_id = itertools.count().__next__


class RemovableHandle:
    """Removes one hook from the dict that holds it; also a context manager that does so at its end."""

    __slots__ = ("__weakref__", "_hooks", "id")

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.id = _next_id()
        self._hooks = hooks

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


def _add(hooks: dict[int, Any], entry: Any) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = entry
    return handle


def _pre_hooks(node: Node) -> dict[int, Any]:
    extras = node._extras()
    if extras.pre_hooks is None:
        extras.pre_hooks = {}
    return extras.pre_hooks


def register_tensor_hook(tensor: Tensor, hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(grad)` called when the gradient of `tensor` is known; its result replaces it."""
    assert tensor._edge is not None  # the method has refused a tensor that requires no gradient
    node, position = tensor._edge
    return _add(_pre_hooks(node), ("tensor", hook, position))


def register_node_prehook(node: Node, hook: Callable[..., Any]) -> RemovableHandle:
    return _add(_pre_hooks(node), ("node", hook, 0))


def register_node_hook(node: Node, hook: Callable[..., Any]) -> RemovableHandle:
    extras = node._extras()
    if extras.post_hooks is None:
        extras.post_hooks = {}
    return _add(extras.post_hooks, hook)


def register_post_accumulate_hook(leaf: Tensor, hook: Callable[..., Any]) -> RemovableHandle:
    meta = leaf._own_meta()
    if meta.post_accumulate_hooks is None:
        meta.post_accumulate_hooks = {}
    return _add(meta.post_accumulate_hooks, hook)


def retain_grad(tensor: Tensor) -> None:
    assert tensor._edge is not None  # the method has refused a tensor that requires no gradient
    node, position = tensor._edge
    extras = node._extras()
    if extras.retain is None:
        extras.retain = {}
    extras.retain[position] = weakref.ref(tensor)


def forget_retained(tensor: Tensor, edge: Any) -> None:
    """Stop keeping the gradient at an edge that `tensor` no longer has."""
    if edge is not None and edge[0].extras is not None and edge[0].extras.retain:
        reference = edge[0].extras.retain.get(edge[1])
        if reference is not None and reference() is tensor:
            del edge[0].extras.retain[edge[1]]


def run_tensor_hooks(node: Node, grads: list[Tensor | None]) -> list[Tensor | None]:
    """Pass the gradients of a node's outputs through the hooks of those tensors."""
    assert node.extras is not None  # hooks are what extras are made for
    for kind, hook, position in list((node.extras.pre_hooks or {}).values()):
        if kind == "tensor" and (grad := grads[position]) is not None:
            replaced = hook(grad)
            if replaced is not None:
                grads[position] = _check_replacement(replaced, grad, hook)
    return grads


def run_node_pre_hooks(node: Node, grads: list[Tensor | None]) -> list[Tensor | None]:
    """Pass the gradients of a node's outputs through the node's own pre-hooks."""
    assert node.extras is not None
    for kind, hook, _ in list((node.extras.pre_hooks or {}).values()):
        if kind == "node":
            replaced = hook(tuple(grads))
            if replaced is not None:
                grads = _check_count(replaced, grads, hook)
    return grads


def run_post_hooks(
    node: Node, grad_inputs: list[Tensor | None], grad_outputs: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Pass the gradients of a node's inputs through its post-hooks."""
    assert node.extras is not None
    for hook in list((node.extras.post_hooks or {}).values()):
        replaced = hook(tuple(grad_inputs), tuple(grad_outputs))
        if replaced is not None:
            grad_inputs = _check_count(replaced, grad_inputs, hook)
    return grad_inputs


def _check_count(replaced: Any, grads: Sequence[Any], hook: Callable[..., Any]) -> list[Any]:
    replaced = list(replaced) if isinstance(replaced, (tuple, list)) else [replaced]
    if len(replaced) != len(grads):
        raise RuntimeError(
            f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(replaced)}, "
            f"but expected {len(grads)})"
        )
    return replaced


def _check_replacement(replaced: Any, grad: Tensor, hook: Callable[..., Any]) -> Tensor:
    from retrograd.tensor import Tensor

    if not isinstance(replaced, Tensor):
        raise TypeError(
            f"hook '{_name(hook)}' has returned {type(replaced).__name__}, but a gradient must be a Tensor or None"
        )
    if replaced.shape != grad.shape:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the size of value: expected {list(grad.shape)}, "
            f"got {list(replaced.shape)}"
        )
    if replaced.dtype is not grad.dtype:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the type of value: expected {grad.dtype}, got {replaced.dtype}"
        )
    return replaced


def _name(hook: Callable[..., Any]) -> str:
    return getattr(hook, "__name__", type(hook).__name__)
