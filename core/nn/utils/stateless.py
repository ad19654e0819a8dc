"""`functional_call` under the name that it once had."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Any

from retrograd.nn.modules.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`retrograd.func.functional_call`, with PyTorch's warning that this name is the old one."""
    warnings.warn(
        "`retrograd.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a "
        "future version of PyTorch. Please use `retrograd.func.functional_call` instead which is a drop-in "
        "replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return _functional_call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)


def _functional_call(*args: Any, **options: Any) -> Any:
    """`retrograd.func.functional_call`."""
    from retrograd.func.modules import functional_call as current  # which needs modules

    return current(*args, **options)


def _reparametrize_module(
    module: Module,
    parameters_and_buffers: dict[str, Any],
    tie_weights: bool = False,
    strict: bool = False,
    stack_weights: bool = False,
) -> AbstractContextManager[None]:
    """A context in which a module has other parameters and buffers.

    `stack_weights` asks that they are put back in reverse order, so that those in several places are as before; here
    they always are.
    """
    from retrograd.func.modules import reparametrized  # which needs modules

    return reparametrized(module, parameters_and_buffers, tie_weights, strict)
