"""What stands beside the graph: checkpointing, pictures. Modules are imported when first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_SUBMODULES = (
    "_contextlib", "_foreach_utils", "_mode_utils", "_python_dispatch", "_pytree", "benchmark", "checkpoint", "data",
    "deterministic", "dlpack", "flop_counter", "hooks", "model_zoo", "module_tracker", "tensorboard", "viz", "weak",
)  # fmt: skip

__all__ = [*_SUBMODULES, "swap_tensors"]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"retrograd.utils.{name}")
    if name == "swap_tensors":
        from retrograd.utils.swapping import swap_tensors

        return swap_tensors
    raise AttributeError(f"module 'retrograd.utils' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
