"""Modules on several devices or in several processes, as a program of one process sees them.

Training in many processes is in `retrograd.distributed`, with names of its own.

Source: https://docs.pytorch.org/docs/stable/nn.html#dataparallel-layers-multi-gpu-distributed
"""

from __future__ import annotations

from typing import Any

from retrograd.nn.modules.module import Module
from retrograd.nn.modules.parallel import DataParallel

__all__ = ["DataParallel", "DistributedDataParallel"]


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
