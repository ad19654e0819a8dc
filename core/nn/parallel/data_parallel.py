"""The module of PyTorch's in which `DataParallel` is."""

from __future__ import annotations

from retrograd.nn.modules.parallel import DataParallel as DataParallel

__all__ = ["DataParallel"]
