"""Weights and biases that a normalization multiplies with and adds."""

from __future__ import annotations

from typing import Any

from retrograd.nn import init
from retrograd.nn.modules.module import Module
from retrograd.ops.factories import empty
from retrograd.parameter import Parameter

__all__ = ["register_affine", "reset_affine"]


def register_affine(module: Module, shape: Any, device: Any, dtype: Any, **wanted: bool) -> None:
    """A parameter of each name, or None where it is not wanted."""
    for name, made in wanted.items():
        module.register_parameter(name, Parameter(empty(shape, device=device, dtype=dtype)) if made else None)


def reset_affine(module: Any) -> None:
    """Weights of one, biases of zero, where there are any."""
    if module.weight is not None:
        init.ones_(module.weight)
    if getattr(module, "bias", None) is not None:
        init.zeros_(module.bias)
