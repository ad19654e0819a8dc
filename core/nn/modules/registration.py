"""What may be registered with a module, under which name, and the hooks that are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrograd.nn.modules.hooks import global_hooks
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.nn.modules.module import Module

__all__ = ["check_name", "registered", "type_name"]


def type_name(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"retrograd.{value.dtype.type_name}Tensor"
    module = type(value).__module__
    name = type(value).__qualname__
    return name if module in ("builtins", "") else f"{module}.{name}"


def check_name(module: Module, kind: str, name: Any, present: dict[str, Any]) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{kind} name should be a string. Got {type_name(name)}")
    if kind == "module":
        if hasattr(module, name) and name not in present:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError('module name can\'t be empty string ""')
        return
    if "." in name:
        raise KeyError(f'{kind} name can\'t contain "."')
    if name == "":
        raise KeyError(f'{kind} name can\'t be empty string ""')
    if hasattr(module, name) and name not in present:
        raise KeyError(f"attribute '{name}' already exists")


def registered(kind: str, module: Module, name: str, value: Any) -> Any:
    for hook in global_hooks.registration[kind].values():
        changed = hook(module, name, value)
        value = value if changed is None else changed
    return value
