"""Automatic differentiation: the graph, the backward pass, and what changes or watches them.

Names are imported when first used: `retrograd.tensor` needs the nodes of this package, and most of
what users call here needs tensors.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "Function": "function",
    "GradcheckError": "gradcheck",
    "NestedIOFunction": "function",
    "Variable": "variable",
    "_calculate_shape": "api",
    "_force_original_view_tracking": "policies",
    "_profiler_enabled": "profiler",
    "_unsafe_preserve_version_counter": "grad_mode",
    "backward": "api",
    "detect_anomaly": "anomaly",
    "enable_grad": "modes",
    "enforce_grad_layout_policy": "policies",
    "grad": "api",
    "gradcheck": "gradcheck",
    "gradgradcheck": "gradcheck",
    "inference_mode": "inference",
    "kineto_available": "profiler",
    "is_multithreading_enabled": "policies",
    "no_grad": "modes",
    "set_detect_anomaly": "anomaly",
    "set_grad_enabled": "modes",
    "set_multithreading_enabled": "policies",
}
_SUBMODULES = (
    "_functions", "anomaly_mode", "forward_ad", "function", "functional", "grad_mode", "graph", "profiler",
    "profiler_util", "variable",
)  # fmt: skip

_UNLISTED = {"kineto_available"}  # there, as in PyTorch, but not a part of the interface

__all__ = sorted(name for name in {*_MODULE_OF, *_SUBMODULES} - _UNLISTED if not name.startswith("_"))


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"retrograd.autograd.{name}")
    if name in _MODULE_OF:
        value = globals()[name] = getattr(import_module(f"retrograd.autograd.{_MODULE_OF[name]}"), name)
        return value
    raise AttributeError(f"module 'retrograd.autograd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
