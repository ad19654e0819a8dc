"""Operators, one module a family; see `retrograd.ops.declare`. Those of programs' own: `retrograd.library`."""

from __future__ import annotations

import sys
from typing import Any


def load_library(path: str) -> None:
    """Refuse: there is nothing for which libraries of PyTorch's operators could be loaded.

    Raises
    ------
    OSError
        Always, as PyTorch does if it cannot load one.
    """
    raise OSError(f"Could not load this library: {path}")


def _none(name: str) -> None:
    return None


def __getattr__(name: str) -> Any:
    """The operators of a namespace of programs' own."""
    library = sys.modules.get("retrograd.library")  # without it there are none
    if library is not None and (found := getattr(library, "namespace_of", _none)(name)) is not None:
        return found
    raise AttributeError(f"module 'retrograd.ops' has no attribute {name!r}")
