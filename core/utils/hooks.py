"""Where PyTorch keeps the handles of hooks, and what goes with hooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from retrograd.autograd.hooks import RemovableHandle

if TYPE_CHECKING:
    from retrograd.nn.modules.hooks import BackwardHook as BackwardHook
    from retrograd.tensor import Tensor

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]

Hook = TypeVar("Hook", bound=Callable[..., Any])


def unserializable_hook(f: Hook) -> Hook:
    """Say of a hook that it need not be saved with its tensor, so that `warn_if_has_hooks` is silent about it."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


def warn_if_has_hooks(tensor: Tensor) -> None:
    """Warn of each hook of a tensor that `unserializable_hook` has not marked: hooks are not saved."""
    for hook in (tensor._backward_hooks or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can decorate the "
                "function with @retrograd.utils.hooks.unserializable_hook to suppress this warning",
                stacklevel=2,
            )


def __getattr__(name: str) -> Any:
    if name == "BackwardHook":  # modules are not needed for the rest
        from retrograd.nn.modules.hooks import BackwardHook

        return BackwardHook
    raise AttributeError(f"module 'retrograd.utils.hooks' has no attribute {name!r}")
