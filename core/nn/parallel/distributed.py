"""Modules in several processes, as a program of one process sees them."""

from __future__ import annotations

from typing import Any

from retrograd.nn.modules.module import Module

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """The name of a type, for `isinstance`: no process group can have been initialized, so that none can be made.

    Raises
    ------
    ValueError
        When one is made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html
    """

    def __init__(self, module: Module, *arguments: Any, **options: Any) -> None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
