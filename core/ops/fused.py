"""Operators used inside derivative formulas.

A formula runs on raw arrays or on tensors (Note [One formula, two modes]). Where it needs more than
kernels, namely the adjoint of another operator that is made of several kernels, that adjoint is
declared as an operator too, and `fused` calls it in either mode: its body on arrays, or the
operator itself, which is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.ops.declare import op_of
from retrograd.ops.graph import G

__all__ = ["fused"]


def fused(operator: Callable[..., Any]) -> Callable[..., Any]:
    """A function `(K, *arguments)` that computes `operator`, whose arguments are all given in order."""
    body: Any = op_of(operator).body

    def call(K: Any, *arguments: Any) -> Any:
        return operator(*arguments) if K is G else body(K, *arguments)

    return call
