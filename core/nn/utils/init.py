"""Modules whose initial values nobody needs."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from retrograd.nn.modules.module import Module
from retrograd.random import fork_rng

__all__ = ["skip_init"]

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """A module with parameters of any value, to be overwritten; the random generator is left as it was.

    Parameters
    ----------
    module_cls
        The class, whose constructor must have a parameter `device`.
    args, kwargs
        For the constructor.

    Raises
    ------
    RuntimeError
        If it is no class of modules, or takes no device.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.skip_init.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.utils.skip_init(retrograd.nn.Linear, 5, 1)
    Linear(in_features=5, out_features=1, bias=True)
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    with fork_rng():
        return module_cls(*args, **kwargs)
