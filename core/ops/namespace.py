"""Loads every operator module and collects what the namespace `retrograd` exports.

The modules of this package are found by looking, so that an operator family is added by adding its
file.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from retrograd import ops
from retrograd.ops import methods
from retrograd.ops.declare import publics

__all__ = ["load"]

_EXPORTED_WHOLE = (
    "retrograd.ops.creation", "retrograd.ops.conversion", "retrograd.ops.legacy", "retrograd.ops.sampling",
    "retrograd.layout", "retrograd.printing", "retrograd.random", "retrograd.serialization",
)  # fmt: skip
"""Modules of functions that are no operators: their `__all__` is exported."""

_INTERNAL = {"legacy_tensor", "printoptions", "tensor_text"}


def load() -> dict[str, Callable[..., Any]]:
    """Put the operators on `Tensor` and return the functions of the namespace."""
    for found in pkgutil.iter_modules(ops.__path__):
        import_module(f"{ops.__name__}.{found.name}")
    methods.attach()
    exported = {name: function for name, function in publics.items() if not name.startswith("_")}
    for module_name in _EXPORTED_WHOLE:
        module = import_module(module_name)
        exported |= {name: getattr(module, name) for name in module.__all__ if name not in _INTERNAL}
    return exported
