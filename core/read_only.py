"""Attributes that cannot be set: they say so in the words of PyTorch, whose are attributes of classes in C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["is_refusal", "seal"]


def seal(cls: type, owner: str | None = None) -> None:
    """Let every property of a class that cannot be set, or deleted, refuse in PyTorch's words.

    They stay plain properties, which the interpreter reads fastest. `owner` is the class that is named in them; None:
    that of the object.
    """
    for name, found in list(vars(cls).items()):
        if type(found) is property and found.fset is None:
            refuse = _refusal(name, owner)
            setattr(cls, name, property(found.fget, refuse, refuse, found.__doc__))


def _refusal(name: str, owner: str | None) -> Callable[..., None]:
    def refuse(self: Any, *value: Any) -> None:
        raise AttributeError(f"attribute {name!r} of {owner or type(self).__name__!r} objects is not writable")

    refuse.__name__ = name
    _refusals.add(refuse)
    return refuse


_refusals: set[Callable[..., None]] = set()


def is_refusal(function: object) -> bool:
    """Whether this only says that an attribute cannot be set."""
    return function in _refusals
