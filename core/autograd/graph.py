"""Looking at the graph, and hooks on what it saves.

Source: https://docs.pytorch.org/docs/stable/autograd.html#autograd-graph
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from retrograd.autograd.api import GradientEdge, get_gradient_edge
from retrograd.autograd.hooks import RemovableHandle, register_tensor_hook
from retrograd.autograd.modes import ModeContext, current_mode, set_mode
from retrograd.autograd.mutation import allow_mutation_on_saved_tensors
from retrograd.autograd.node import Node
from retrograd.storage import bump
from retrograd.tensor import Tensor

__all__ = [
    "GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks",
    "get_gradient_edge", "increment_version", "region_activation_memory_budget", "register_multi_grad_hook",
    "save_on_cpu", "saved_tensors_hooks", "set_override_stale_capture_stream",
    "set_warn_on_accumulate_grad_stream_mismatch",
]  # fmt: skip


class saved_tensors_hooks(ModeContext):
    """Inside this context, what nodes save goes through a pair of functions.

    Parameters
    ----------
    pack_hook
        Called with each tensor when it is saved; what it returns is kept instead.
    unpack_hook
        Called with that when the tensor is needed; must return an equal tensor.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.saved_tensors_hooks

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(2, requires_grad=True)
    >>> with retrograd.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(force=True), retrograd.from_numpy):
    ...     y = x * x
    >>> y.sum().backward(); x.grad
    tensor([2., 2.])
    """

    __slots__ = ("pack_hook", "unpack_hook")

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        disabled = current_mode().saved_hooks_disabled
        if disabled is not None:
            raise RuntimeError(disabled)
        if not (callable(self.pack_hook) and callable(self.unpack_hook)):
            raise TypeError(
                "_push_saved_tensors_default_hooks(): incompatible function arguments. The following argument types "
                "are supported:\n    1. (arg0: collections.abc.Callable, arg1: collections.abc.Callable) -> None\n\n"
                f"Invoked with: {self.pack_hook!r}, {self.unpack_hook!r}"
            )
        set_mode(current_mode().but(**self.changes()))

    def changes(self) -> dict[str, Any]:
        return {"saved_hooks": (*current_mode().saved_hooks, (self.pack_hook, self.unpack_hook))}

    def __exit__(self, *exc_info: object) -> None:
        """Drop the innermost pair, whoever entered it."""
        mode = current_mode()
        if not mode.saved_hooks:
            raise RuntimeError("no saved_tensors_hooks are left that could be exited")
        set_mode(mode.but(saved_hooks=mode.saved_hooks[:-1]))

    def clone(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(self.pack_hook, self.unpack_hook)


class save_on_cpu(saved_tensors_hooks):
    """Inside this context, what nodes save is kept in host memory and moved back when needed.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.save_on_cpu
    """

    __slots__ = ()

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(_to_host, _from_host)

    def clone(self) -> save_on_cpu:
        return save_on_cpu()


def _to_host(tensor: Tensor) -> tuple[Any, Any]:
    import copy

    if tensor._kernels.sparse:
        return None, tensor.detach().clone()
    return tensor._kernels, copy.copy(tensor._kernels.to_host(tensor._array))


def _from_host(packed: tuple[Any, Any]) -> Tensor:
    from retrograd.tensor import wrap_array

    k, host = packed
    if k is None:
        return host  # a sparse tensor
    return wrap_array(k.from_host(host), k)


class disable_saved_tensors_hooks(ModeContext):
    """Inside this context, `saved_tensors_hooks` raises an error with the given message."""

    __slots__ = ("error_message",)

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message

    def __enter__(self) -> None:
        if current_mode().saved_hooks:
            raise RuntimeError(self.error_message)
        super().__enter__()

    def changes(self) -> dict[str, Any]:
        return {"saved_hooks_disabled": self.error_message}

    def clone(self) -> disable_saved_tensors_hooks:
        return disable_saved_tensors_hooks(self.error_message)


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Tell the graph that a tensor's memory was written to by other means than its operators; or several tensors'.

    Raises
    ------
    RuntimeError
        If it is something else.
    """
    if not isinstance(tensor, (Tensor, Iterable)):
        raise RuntimeError("increment_version expect a Iterable[Tensor] as input")
    tensors = (tensor,) if isinstance(tensor, Tensor) else tuple(tensor)
    if not isinstance(tensor, Tensor) and not all(isinstance(each, Tensor) for each in tensors):
        raise RuntimeError("increment_version expects each element of the iterable to be a tensor")
    for each in tensors:
        if type(each._cell) is list:  # an inference tensor has no version
            bump(each)


def _get_grad_fn_or_grad_acc(t: Any) -> Node | None:
    """The node of a tensor, the sink of a leaf, or that which an edge leads to."""
    if isinstance(t, GradientEdge):
        return t.node
    return get_gradient_edge(t).node


class _MultiHandle:
    """Removes the hooks of `register_multi_grad_hook`."""

    def __init__(self, handles: tuple[RemovableHandle, ...]) -> None:
        self.handles = handles

    def remove(self) -> None:
        for each in self.handles:
            each.remove()

    def __enter__(self) -> _MultiHandle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all") -> _MultiHandle:
    """Call `fn` once in a backward pass: with all gradients of `tensors` when they are there, or with the first.

    Parameters
    ----------
    tensors
        Tensors that require gradients.
    fn
        With mode `"all"`, gets a list with a gradient, or None, for each tensor; with `"any"`, one
        gradient.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.graph.register_multi_grad_hook
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    if any(not each.requires_grad for each in tensors):
        raise AssertionError("Expected gradient function to be set")
    lock = threading.Lock()
    if mode == "any":
        return _register_any(tensors, fn, lock)
    # By pass, since several may run at once; one that does not reach all tensors leaves nothing behind.
    state: WeakKeyDictionary[Any, dict[int, Tensor]] = WeakKeyDictionary()
    reachable: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
    nodes: list[ref[Any]] = []  # these hold the hooks, which hold the list

    def arrive(position: int, grad: Tensor) -> None:
        from retrograd.autograd.engine import current_task

        task = current_task()
        with lock:
            if task not in state:
                state[task] = {}
                reachable[task] = sum(task.will_run(node) for each in nodes if (node := each()) is not None)
            state[task][position] = grad
            complete = len(state[task]) == reachable[task]
            if complete:
                grads = state.pop(task)
                reachable.pop(task)
        if complete:
            fn([grads.get(i) for i in range(len(nodes))])

    handles = tuple(register_tensor_hook(each, lambda grad, i=i: arrive(i, grad)) for i, each in enumerate(tensors))
    nodes.extend(ref(edge[0]) for each in tensors if (edge := each._edge) is not None)
    return _MultiHandle(handles)


def _register_any(tensors: Sequence[Tensor], fn: Callable[..., None], lock: threading.Lock) -> _MultiHandle:
    called: WeakSet[Any] = WeakSet()

    def first(grad: Tensor) -> None:
        from retrograd.autograd.engine import current_task

        task = current_task()
        with lock:
            if task in called:
                return
            called.add(task)
        fn(grad)

    return _MultiHandle(tuple(register_tensor_hook(each, first) for each in tensors))


# -- what is there for the sake of programs that set it ------------------------------------------


def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """Nothing: there are no streams that a leaf and what its gradient comes from could differ in.

    Raises
    ------
    RuntimeError
        If it is no bool.
    """
    _check_bool(enabled)


def set_override_stale_capture_stream(enabled: bool) -> None:
    """Nothing: no streams are captured.

    Raises
    ------
    RuntimeError
        If it is no bool.
    """
    _check_bool(enabled)


def _check_bool(enabled: object) -> None:
    if type(enabled) is not bool:
        raise RuntimeError(f"enabled must be a bool, but got {type(enabled).__name__}")


def region_activation_memory_budget(budget: float) -> AbstractContextManager[None]:
    """Would say how much of a compiled region's results are kept: programs are not compiled, so it refuses.

    Raises
    ------
    TypeError, ValueError
        If it is no number from 0 to 1.
    RuntimeError
        Always, otherwise: as outside of `torch.compile`.
    """
    name = "retrograd.autograd.graph.region_activation_memory_budget"
    if isinstance(budget, bool) or not isinstance(budget, (int, float)):
        raise TypeError(f"{name}: expects a float, got {type(budget).__name__}")
    if not 0.0 <= budget <= 1.0:
        raise ValueError(f"{name}: must be in [0, 1], got {budget}")
    raise RuntimeError(f"{name} can only be used inside a retrograd.compile region; it has no effect in eager mode.")
