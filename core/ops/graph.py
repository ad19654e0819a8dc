"""`G`: the differentiable operators under the kernels' names.

A derivative formula written against `K` runs on raw arrays with the backend's kernels, or on
tensors with this namespace; see Note [One formula, two modes]. An operator declared with a kernel
is registered here by its declaration; `graph_kernel` registers the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from retrograd.ops.batching import Rule, kernel_rules

__all__ = ["G", "graph_kernel"]


class GraphKernels:
    """See the module's text."""

    def register(self, name: str, function: Callable[..., Any]) -> None:
        self.__dict__.setdefault(name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a derivative formula calls K.{name}, which has no differentiable counterpart yet; declare an operator "
            f"with this kernel, or register one with @graph_kernel({name!r})"
        )


G: Final = GraphKernels()


def graph_kernel(name: str, batch: Rule | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function on tensors as what `K.<name>` means in graph mode, with its batching rule if it has one."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        G.__dict__[name] = function
        if batch is not None:
            kernel_rules[name] = batch
        return function

    return register
