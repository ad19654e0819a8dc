"""Tensors from, and as, arrays of other libraries in the same memory, by the DLPack protocol.

Source: https://docs.pytorch.org/docs/stable/dlpack.html
"""

from __future__ import annotations

from typing import Any

from retrograd.ops.creation import from_dlpack
from retrograd.tensor import Tensor

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """The capsule that the tensor gives to other libraries.

    Source: https://docs.pytorch.org/docs/stable/dlpack.html#torch.utils.dlpack.to_dlpack

    Examples
    --------
    >>> import retrograd
    >>> type(retrograd.utils.dlpack.to_dlpack(retrograd.ones(2))).__name__
    'PyCapsule'
    """
    return tensor.__dlpack__()
