"""PyTorch's module of its class of tensors, by which files of `torch.save` name a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd._utils import _set_obj_state
from retrograd.tensor import Tensor

__all__ = ["Tensor"]


def _rebuild_from_type_v2(func: Callable[..., Any], new_type: type, args: tuple[Any, ...], state: Any) -> Any:
    """A tensor of a subclass, or with attributes."""
    made = func(*args)
    if type(made) is not new_type:
        made = made.as_subclass(new_type)
    if getattr(type(made), "__setstate__", None) is not None:
        made.__setstate__(state)
        return made
    return _set_obj_state(made, state)
