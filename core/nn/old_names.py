"""Functions by the names that they had before their underscore, with PyTorch's warnings."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

__all__ = ["old_name"]


def old_name(new: Callable[..., Any], module: str) -> Callable[..., Any]:
    """The function `new_` of a module as `new`, which warns of its name."""
    name = new.__name__

    @functools.wraps(new)
    def old(*args: Any, **kwargs: Any) -> Any:
        text = f"`{module}.{name[:-1]}` is now deprecated in favor of `{module}.{name}`."
        warnings.warn(text, FutureWarning, stacklevel=2)
        return new(*args, **kwargs)

    old.__name__ = old.__qualname__ = name[:-1]
    old.__doc__ = f"The old name of `{name}`."
    return old
