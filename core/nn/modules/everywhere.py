"""Hooks on every module there is; see the methods of `Module` of the same names for hooks on one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.autograd.hooks import RemovableHandle
from retrograd.nn.modules.hooks import add_hook, global_hooks
from retrograd.nn.modules.module import Module

__all__ = [
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(module, args)` called before each call of every module."""
    Module._hooked = True
    return add_hook(global_hooks.forward_pre, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Have `hook(module, args, output)` called after each call of every module."""
    Module._hooked = True
    marks = *([global_hooks.with_kwargs] * with_kwargs), *([global_hooks.always_called] * always_call)
    return add_hook(global_hooks.forward, hook, marks=marks)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(module, grad_input, grad_output)` called for every module."""
    Module._hooked = True
    return add_hook(global_hooks.backward, hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(module, grad_output)` called for every module."""
    Module._hooked = True
    return add_hook(global_hooks.backward_pre, hook)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(module, name, buffer)` called whenever a buffer is registered."""
    return add_hook(global_hooks.registration["buffer"], hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(module, name, parameter)` called whenever a parameter is registered."""
    return add_hook(global_hooks.registration["parameter"], hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(module, name, part)` called whenever a module becomes part of another."""
    return add_hook(global_hooks.registration["module"], hook)
