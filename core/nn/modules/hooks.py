"""Hooks on modules: the slow path of a call, and hooks on the gradients of a module's inputs and outputs."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from retrograd.autograd.function import Function
from retrograd.autograd.hooks import RemovableHandle
from retrograd.autograd.modes import is_grad_enabled
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.nn.modules.module import Module

__all__ = ["add_hook", "call_with_hooks", "global_hooks"]

Hooks = OrderedDict[int, Callable[..., Any]]


class _GlobalHooks:
    """The hooks of all modules, by kind."""

    def __init__(self) -> None:
        self.forward: Hooks = OrderedDict()
        self.forward_pre: Hooks = OrderedDict()
        self.backward: Hooks = OrderedDict()
        self.backward_pre: Hooks = OrderedDict()
        self.registration: dict[str, Hooks] = {
            "buffer": OrderedDict(), "parameter": OrderedDict(), "module": OrderedDict(),
        }  # fmt: skip
        self.with_kwargs: dict[int, bool] = {}
        self.always_called: dict[int, bool] = {}


global_hooks: Final = _GlobalHooks()


def add_hook(
    hooks: Any, hook: Callable[..., Any], prepend: bool = False, marks: Sequence[dict[int, bool]] = ()
) -> RemovableHandle:
    """Add a hook, also to each of `marks`, which say how it is called; the handle removes it from all."""
    handle = RemovableHandle(hooks, extra_dict=marks)
    hooks[handle.id] = hook
    for each in marks:
        each[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`module(*args, **kwargs)` with all that is registered on it or on all modules."""
    called: set[int] = set()
    state: list[Any] = [args, kwargs, None]
    try:
        return _call(module, state, called)
    except Exception:
        _run_always_called(module, state, called)
        raise


def _call(module: Module, state: list[Any], called: set[int]) -> Any:
    args, kwargs = _run_pre_hooks(module, state[0], state[1])
    state[0], state[1] = args, kwargs
    full = [*global_hooks.backward.values(), *(module._backward_hooks.values() if module._is_full else ())]
    before = [*global_hooks.backward_pre.values(), *module._backward_pre_hooks.values()]
    watcher = BackwardHook(module, full, before) if full or before else None
    if watcher is not None:
        args = watcher.setup_input_hook(args)
    result = module.forward(*args, **kwargs)
    for number, hook in (*global_hooks.forward.items(), *module._forward_hooks.items()):
        called.add(number)
        changed = _call_forward_hook(module, number, hook, state, result)
        result = result if changed is None else changed
        state[2] = result
    if watcher is not None:
        result = watcher.setup_output_hook(result)
    if module._backward_hooks and not module._is_full:
        _hook_last_node(module, result)
    return result


def _run_pre_hooks(module: Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
    for number, hook in (*global_hooks.forward_pre.items(), *module._forward_pre_hooks.items()):
        if number in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is None:
                continue
            if not isinstance(changed, tuple) or len(changed) != 2:
                raise RuntimeError(
                    f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                )
            args, kwargs = changed
            continue
        changed = hook(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def _call_forward_hook(module: Module, number: int, hook: Any, state: list[Any], result: Any) -> Any:
    if number in module._forward_hooks_with_kwargs or number in global_hooks.with_kwargs:
        return hook(module, state[0], state[1], result)
    return hook(module, state[0], result)


def _run_always_called(module: Module, state: list[Any], called: set[int]) -> None:
    """After an error: the hooks that were promised a call, their own errors only warned of."""
    for number, hook in (*global_hooks.forward.items(), *module._forward_hooks.items()):
        promised = number in module._forward_hooks_always_called or number in global_hooks.always_called
        if not promised or number in called:
            continue
        try:
            changed = _call_forward_hook(module, number, hook, state, state[2])
            state[2] = state[2] if changed is None else changed
        except Exception as error:
            warnings.warn(
                "module forward hook with ``always_call=True`` raised an exception that was silenced as "
                "another "
                f"error was raised in forward: {error}",
                stacklevel=3,
            )


def _hook_last_node(module: Module, result: Any) -> None:
    """The old kind of backward hook: on the node of the output."""
    while not isinstance(result, Tensor):
        result = next(v for v in result.values() if isinstance(v, Tensor)) if isinstance(result, dict) else result[0]
    if result.grad_fn is None:
        return
    for hook in module._backward_hooks.values():
        result.grad_fn.register_hook(lambda before, after, hook=hook: hook(module, before, after))


class BackwardHookFunction(Function):
    """The identity on several tensors: a node that hooks can be put on."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Any:
        ctx.mark_non_differentiable(*(each for each in tensors if not each.requires_grad))
        return tensors  # as they are: to be views of the inputs, which are not to be written to

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads


class BackwardHook:
    """Puts an identity around a module's inputs and outputs, and calls the hooks as gradients pass it."""

    def __init__(self, module: Module, hooks: list[Any], pre_hooks: list[Any]) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        self.input_places: Sequence[int] | None = None
        self.input_count = 0

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        def set_hook(node: Any) -> None:
            node.register_hook(self._on_inputs)

        args, self.input_places = _through_identity(args, set_hook)
        self.input_count = len(args)
        return args

    def setup_output_hook(self, result: Any) -> Any:
        if not isinstance(result, Tensor | tuple):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
                "but received "
                f"{type(result)}",
                stacklevel=4,
            )
            return result
        outputs = result if isinstance(result, tuple) else (result,)

        def set_hook(node: Any) -> None:
            node.register_prehook(self._on_outputs)

        outputs, self.output_places = _through_identity(outputs, set_hook)
        self.output_count = len(outputs)
        return outputs if isinstance(result, tuple) else outputs[0]

    def _on_outputs(self, grads: tuple[Any, ...]) -> Any:
        spread = _spread(grads, self.output_places, self.output_count)
        for hook in self.pre_hooks:
            changed = hook(self.module, spread)
            if changed is not None:
                spread = _checked(changed, spread, "Backward pre hook", "grad_output")
        self.grad_outputs = spread
        if self.input_places is None:  # no input has a gradient: the hooks see those of the outputs only
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs "
                "since no inputs "
                "require gradients. See "
                "https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module."
                "register_full_backward_hook for more details.",
                stacklevel=2,
            )
            for hook in self.hooks:
                found = hook(self.module, (None,) * self.input_count, spread)
                if found is not None and not (isinstance(found, tuple) and all(each is None for each in found)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return "
                        "None or None "
                        "for all gradients."
                    )
            self.grad_outputs = None
        return tuple(spread[i] for i in self.output_places or ())

    def _on_inputs(self, grad_inputs: tuple[Any, ...], _: Any) -> Any:
        if self.grad_outputs is None:
            return None  # the gradient has come past the outputs, as it does in a second derivative
        spread = _spread(grad_inputs, self.input_places, self.input_count)
        for hook in self.hooks:
            changed = hook(self.module, spread, self.grad_outputs)
            if changed is not None:
                spread = _checked(changed, spread, "Backward hook", "grad_input")
        self.grad_outputs = None
        return tuple(spread[i] for i in self.input_places or ())


def _through_identity(values: tuple[Any, ...], set_hook: Any) -> tuple[tuple[Any, ...], Sequence[int] | None]:
    """The values with their tensors passed through one identity node; and where the tensors stand."""
    places = [i for i, each in enumerate(values) if isinstance(each, Tensor)]
    if not is_grad_enabled() or not any(values[i].requires_grad for i in places):
        return values, None
    passed = BackwardHookFunction.apply(*(values[i] for i in places))
    passed = passed if isinstance(passed, tuple) else (passed,)
    set_hook(next(each.grad_fn for each in passed if each.grad_fn is not None))
    result = list(values)
    for i, each in zip(places, passed, strict=True):
        result[i] = each
    return tuple(result), places


def _spread(grads: Sequence[Any], places: Sequence[int] | None, count: int) -> tuple[Any, ...]:
    spread = [None] * count
    for i, grad in zip(places or (), grads, strict=False):
        spread[i] = grad
    return tuple(spread)


def _checked(changed: Any, expected: tuple[Any, ...], what: str, name: str) -> tuple[Any, ...]:
    if len(changed) != len(expected):
        raise RuntimeError(
            f"{what} returned an invalid number of {name}, got {len(changed)}, but expected {len(expected)}"
        )
    return tuple(changed)
