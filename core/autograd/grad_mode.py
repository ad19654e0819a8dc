"""The modes of recording, where PyTorch has them."""

from __future__ import annotations

from typing import Any

from retrograd.autograd.inference import inference_mode
from retrograd.autograd.modes import enable_grad, no_grad, set_grad_enabled
from retrograd.autograd.policies import (
    _force_original_view_tracking as _force_original_view_tracking,
    enforce_grad_layout_policy,
    set_multithreading_enabled,
)
from retrograd.storage import replace

__all__ = [
    "enable_grad", "enforce_grad_layout_policy", "inference_mode", "no_grad", "set_grad_enabled",
    "set_multithreading_enabled",
]  # fmt: skip


class _unsafe_preserve_version_counter:  # PyTorch's name
    """A context after which tensors have the versions they had before it, whatever has been written to them.

    For those who know that what was saved of them is as it was. Does nothing to inference tensors.
    """

    def __init__(self, tensors: Any) -> None:
        self.tensors = tensors if isinstance(tensors, tuple) else (tensors,)
        self.versions = [each._cell[0] if type(each._cell) is list else 0 for each in self.tensors]
        self.arrays = [each._array for each in self.tensors]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        for each, version, array in zip(self.tensors, self.versions, self.arrays, strict=True):
            each._cell[0] = version
            replace(each, array, each._array)
