"""Modules on several devices or in several processes, as a program of one process sees them.

Training in many processes is in `retrograd.distributed`, with names of its own.

Source: https://docs.pytorch.org/docs/stable/nn.html#dataparallel-layers-multi-gpu-distributed
"""

from __future__ import annotations

from retrograd.nn.parallel.data_parallel import DataParallel
from retrograd.nn.parallel.distributed import DistributedDataParallel

__all__ = ["DataParallel", "DistributedDataParallel"]
