"""Warnings of what reads a tensor as it is probably not meant to be read."""

from __future__ import annotations

import sys
import warnings

__all__ = ["level_of_caller", "warn_of_conversion", "warn_of_non_leaf_grad", "warn_of_old_order", "warn_once"]

_warned: set[str] = set()


def level_of_caller() -> int:
    """The `stacklevel` with which whoever calls this warns at the first line outside of this library."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("retrograd."):
        frame, level = frame.f_back, level + 1
    return level


def warn_once(key: str, text: str) -> None:
    """Warn once in a process, as PyTorch does."""
    if key not in _warned:
        _warned.add(key)
        warnings.warn(text, UserWarning, stacklevel=level_of_caller())


def warn_of_conversion() -> None:
    warn_once(
        "conversion",
        "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
        "Consider using tensor.detach() first.",
    )


def warn_of_non_leaf_grad() -> None:
    warnings.warn(
        "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
        "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
        "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure "
        "you access the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more information.",
        UserWarning,
        stacklevel=level_of_caller(),
    )


def warn_of_old_order(name: str, old: str, new: str) -> None:
    """Once, whichever function it is."""
    warn_once(
        "order",
        f"This overload of {name} is deprecated:\n\t{name}({old})\n"
        f"Consider using one of the following signatures instead:\n\t{name}({new})",
    )
