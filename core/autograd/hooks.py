"""Hooks on tensors and nodes, and the handles that remove them.

The engine calls a node's hooks in PyTorch's order: tensor pre-hooks, node pre-hooks, then
`retain_grad`, the node itself, node post-hooks, and for a leaf the post-accumulate hooks.
"""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from retrograd.autograd.node import UNTRACKED, Extras, name_of

if TYPE_CHECKING:
    from retrograd.autograd.node import AccumulateGrad, Edge, Node
    from retrograd.tensor import Tensor

__all__ = [
    "HooksOfTensor", "RemovableHandle", "forget_retained", "hooks_of", "keep_hooks", "post_accumulate_hooks_of",
    "register_node_hook", "register_node_prehook",
    "register_post_accumulate_hook", "register_tensor_hook", "retain_at", "run_node_pre_hooks",
    "run_post_accumulate_hooks", "run_post_hooks", "run_tensor_hooks",
]  # fmt: skip

_next_id = itertools.count().__next__


class RemovableHandle:
    """Removes one hook from the dict that holds it; also a context manager that does so at its end."""

    __module__ = "retrograd.utils.hooks"
    __slots__ = ("__weakref__", "_extra", "_hooks", "id")

    def __init__(self, hooks_dict: dict[int, Any], *, extra_dict: Any = None) -> None:
        self.id = _next_id()
        self._hooks = hooks_dict
        more = () if extra_dict is None else extra_dict
        self._extra: Sequence[dict[int, Any]] = [more] if isinstance(more, dict) else more

    def remove(self) -> None:
        for each in (self._hooks, *self._extra):
            each.pop(self.id, None)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._hooks, self.id, tuple(self._extra)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        hooks, self.id, *extra = state
        self._hooks = {} if hooks is None else hooks
        self._extra = extra[0] if extra and extra[0] is not None else ()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


def _add(hooks: dict[int, Any], entry: Any) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = entry
    return handle


def _pre_hooks(node: Node) -> dict[int, Any]:
    return _pre_hooks_in(node._need_extras())


def _hooks_of_leaf(tensor: Tensor) -> Extras:
    meta = tensor._own_meta()
    if meta.hooks is None:
        meta.hooks = Extras()
    return meta.hooks


def _pre_hooks_in(extras: Extras) -> dict[int, Any]:
    if extras.pre_hooks is None:
        extras.pre_hooks = {}
    return extras.pre_hooks


def register_tensor_hook(tensor: Tensor, hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(grad)` called when the gradient of `tensor` is known; its result replaces it."""
    assert tensor._edge is not None  # the method has refused a tensor that requires no gradient
    node, position = tensor._edge
    if tensor._edge is UNTRACKED:  # no gradient arrives, until the tensor is told to have one
        return _add(_pre_hooks_in(_hooks_of_leaf(tensor)), ("tensor", hook, 0))
    return _add(_pre_hooks(node), ("tensor", hook, position))


class HooksOfTensor(OrderedDict[int, Callable[..., Any]]):
    """The hooks of a tensor by the numbers of their handles, as `Tensor._backward_hooks` shows them.

    What is deleted here is a hook no longer.
    """

    def __init__(self, hooks: dict[int, Any], position: int) -> None:
        super().__init__((i, hook) for i, (kind, hook, at) in hooks.items() if kind == "tensor" and at == position)
        self._hooks, self._position = hooks, position

    def __repr__(self) -> str:
        return repr(OrderedDict(self))

    def __setitem__(self, number: int, hook: Callable[..., Any]) -> None:
        super().__setitem__(number, hook)
        if hasattr(self, "_hooks"):  # else it is being filled
            self._hooks[number] = ("tensor", hook, self._position)

    def __delitem__(self, number: int) -> None:
        super().__delitem__(number)
        del self._hooks[number]

    def clear(self) -> None:
        for number in list(self):
            del self[number]

    def pop(self, number: int, *default: Any) -> Any:
        found = super().pop(number, *default)
        self._hooks.pop(number, None)
        return found


def hooks_of(tensor: Tensor) -> HooksOfTensor | None:
    """`Tensor._backward_hooks`: None as long as the tensor has never had a hook."""
    edge = tensor._edge
    if edge is None or edge is UNTRACKED:
        extras, position = None if tensor._tensor_meta is None else tensor._tensor_meta.hooks, 0
    else:
        extras, position = edge[0]._node_extras, edge[1]
    if extras is None or extras.pre_hooks is None:
        return None
    return HooksOfTensor(extras.pre_hooks, position)


def keep_hooks(tensor: Tensor, edge: Edge | None) -> None:
    """Let a tensor that loses its edge keep its hooks, for when it has one again.

    The node that it loses calls them, too: where it has no others, both have one dict, from which handles remove.
    """
    if edge is None or edge[0]._node_extras is None or edge[0]._node_extras.pre_hooks is None:
        return
    hooks, position = edge[0]._node_extras.pre_hooks, edge[1]
    kept = _hooks_of_leaf(tensor)
    if all(kind == "tensor" and at == 0 for kind, _, at in hooks.values()):
        kept.pre_hooks = hooks
    else:
        mine = {i: hook for i, (kind, hook, at) in hooks.items() if kind == "tensor" and at == position}
        kept.pre_hooks = {i: ("tensor", hook, 0) for i, hook in mine.items()} or None


def post_accumulate_hooks_of(tensor: Tensor) -> dict[int, Callable[..., Any]] | None:
    """`Tensor._post_accumulate_grad_hooks`: None as long as the tensor has never had one."""
    return None if tensor._tensor_meta is None else tensor._tensor_meta.post_accumulate_hooks


def register_node_prehook(node: Node, hook: Callable[..., Any]) -> RemovableHandle:
    return _add(_pre_hooks(node), ("node", hook, 0))


def register_node_hook(node: Node, hook: Callable[..., Any]) -> RemovableHandle:
    extras = node._need_extras()
    if extras.post_hooks is None:
        extras.post_hooks = {}
    return _add(extras.post_hooks, hook)


def register_post_accumulate_hook(leaf: Tensor, hook: Callable[..., Any]) -> RemovableHandle:
    meta = leaf._own_meta()
    if meta.post_accumulate_hooks is None:
        meta.post_accumulate_hooks = OrderedDict()
    return _add(meta.post_accumulate_hooks, hook)


def retain_at(tensor: Tensor, edge: Edge) -> None:
    """Keep the gradient of `tensor`, which is that of an output of a node."""
    node, position = edge
    extras = node._need_extras()
    if extras.retain is None:
        extras.retain = {}
    extras.retain[position] = weakref.ref(tensor)


def forget_retained(tensor: Tensor, edge: Any) -> None:
    """Stop keeping the gradient at an edge that `tensor` no longer has."""
    if edge is not None and edge[0]._node_extras is not None and edge[0]._node_extras.retain:
        reference = edge[0]._node_extras.retain.get(edge[1])
        if reference is not None and reference() is tensor:
            del edge[0]._node_extras.retain[edge[1]]


def run_tensor_hooks(node: Node, grads: list[Tensor | None]) -> list[Tensor | None]:
    """Pass the gradients of a node's outputs through the hooks of those tensors."""
    assert node._node_extras is not None  # hooks are what extras are made for
    for kind, hook, position in list((node._node_extras.pre_hooks or {}).values()):
        if kind == "tensor":
            replaced = _call(hook, f"the gradient of output {position} of {name_of(node)}", grads[position])
            if replaced is not None:
                grads[position] = _check_replacement(replaced, grads[position], hook)
    return grads


def run_node_pre_hooks(node: Node, grads: list[Tensor | None]) -> list[Tensor | None]:
    """Pass the gradients of a node's outputs through the node's own pre-hooks."""
    assert node._node_extras is not None
    seen, others = grads[: node._n_differentiable], grads[node._n_differentiable :]
    for kind, hook, _ in list((node._node_extras.pre_hooks or {}).values()):
        if kind == "node":
            replaced = _call(hook, name_of(node), tuple(seen))
            if replaced is not None:
                seen = _check_tuple(replaced, seen, hook)
    return seen + others


def run_post_hooks(
    node: Node, grad_inputs: list[Tensor | None], grad_outputs: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Pass the gradients of a node's inputs, those that `next_functions` shows, through its post-hooks."""
    assert node._node_extras is not None
    shown = range(len(grad_inputs)) if node._shown_edges is None else node._shown_edges
    grads = [grad_inputs[i] for i in shown]
    for hook in list((node._node_extras.post_hooks or {}).values()):
        replaced = _call(hook, name_of(node), tuple(grads), tuple(grad_outputs[: node._n_differentiable]))
        if replaced is not None:
            grads = _check_tuple(replaced, grads, hook)
    for i, grad in zip(shown, grads, strict=True):
        grad_inputs[i] = grad
    return grad_inputs


def run_post_accumulate_hooks(leaf: AccumulateGrad) -> None:
    """Tell the hooks of a leaf that a gradient has been added to it."""
    for hook in list((leaf.meta.post_accumulate_hooks or {}).values()):
        returned = _call(hook, f"a leaf of shape {list(leaf.variable.shape)}", leaf.variable)
        if returned is not None:
            _check_replacement(returned, leaf.variable, hook)
        if returned is not None and returned is not leaf.variable:
            raise RuntimeError("Tensor post accumulate grad hooks should return None.")


def _call(hook: Callable[..., Any], place: str, *args: Any) -> Any:
    """Call a hook; if it raises, say where it was registered."""
    try:
        return hook(*args)
    except Exception as error:
        error.add_note(f"Raised by the hook {_name(hook)!r} on {place}.")
        raise


def _check_tuple(replaced: Any, grads: Sequence[Any], hook: Callable[..., Any]) -> list[Any]:
    if not isinstance(replaced, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(replaced).__name__}'")
    if len(replaced) != len(grads):
        raise RuntimeError(
            f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(replaced)}, "
            f"but expected {len(grads)})"
        )
    return [
        None if new is None else _check_replacement(new, old, hook) for new, old in zip(replaced, grads, strict=True)
    ]


def _check_replacement(replaced: Any, grad: Tensor | None, hook: Callable[..., Any]) -> Tensor:
    from retrograd.tensor import Tensor

    if grad is None:
        raise RuntimeError("can't replace a None gradient with a non-None value")
    if not isinstance(replaced, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(replaced).__name__}'")
    was, got = _type(grad), _type(replaced)
    if was != got:
        raise RuntimeError(f"hook '{_name(hook)}' has changed the type of value (was {was} got {got})")
    if replaced._kernels is not grad._kernels and replaced._kernels.level == grad._kernels.level:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the device of value (was {grad.device} got {replaced.device})"
        )
    if replaced.shape != grad.shape:
        raise RuntimeError(f"hook '{_name(hook)}' has changed the size of value")
    return replaced


_WITH_CLASSES = frozenset(("Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short"))
"""Types of which PyTorch's text about hooks names the class of tensors."""


def _type(tensor: Tensor) -> str:
    name, k = tensor.dtype.type_name, tensor._kernels
    if name in _WITH_CLASSES and not k.meta:
        return f"retrograd.{'sparse.' if k.sparse else ''}{name}Tensor"
    return f"{'Sparse' if k.sparse else ''}{'Meta' if k.meta else 'CPU'}{name}Type"


def _name(hook: Callable[..., Any]) -> str:
    return getattr(hook, "__name__", "<unknown>")
