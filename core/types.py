"""Types that annotations in PyTorch's programs name: numbers, sizes, devices.

Source: https://docs.pytorch.org/docs/stable/type_info.html
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

from retrograd.autograd.graph import GradientEdge
from retrograd.device import device
from retrograd.dtypes import dtype
from retrograd.layout import layout
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["Device", "FileLike", "Number", "Storage"]

_device, _dtype, _layout = device, dtype, layout
_int = builtins.int
_float = builtins.float
_bool = builtins.bool
_complex = builtins.complex

Number: TypeAlias = int | float | bool
"""A Python number, for which PyTorch's programs ask by `isinstance` too."""

_Number = (bool, int, float)
Device: TypeAlias = device | str | int | None
FileLike: TypeAlias = str | os.PathLike[str] | Any
Storage: TypeAlias = Any

_size: TypeAlias = Size | list[int] | tuple[int, ...]
_symsize: TypeAlias = Size | Sequence[int]
_dispatchkey: TypeAlias = str
_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
_TensorOrTensorsOrGradEdge: TypeAlias = Tensor | Sequence[Tensor] | GradientEdge | Sequence[GradientEdge]
