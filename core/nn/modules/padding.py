"""Padding as modules; `retrograd.nn.functional.pad` says what each computes."""

from __future__ import annotations

from typing import Any

from retrograd.nn import functional as F
from retrograd.nn.modules.module import Module
from retrograd.ops.arguments import expand_pair
from retrograd.tensor import Tensor

__all__ = [
    "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d",
    "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d",
    "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


class _Pad(Module):
    dims: int
    mode: str = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = expand_pair(padding, 2 * self.dims, "padding")

    def forward(self, input: Tensor) -> Tensor:
        if self.mode == "circular" and input.ndim not in (self.dims + 1, self.dims + 2):
            raise ValueError(f"expected {self.dims + 1}D or {self.dims + 2}D input (got {input.ndim}D input)")
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """Surround with a value, along one dimension."""

    dims = 1


class ConstantPad2d(_ConstantPadNd):
    """Surround images with a value."""

    dims = 2


class ConstantPad3d(_ConstantPadNd):
    """Surround with a value, along three dimensions."""

    dims = 3


class ZeroPad1d(_Pad):
    """Surround with zeros, along one dimension."""

    dims = 1


class ZeroPad2d(_Pad):
    """Surround images with zeros."""

    dims = 2


class ZeroPad3d(_Pad):
    """Surround volumes with zeros."""

    dims = 3


class ReflectionPad1d(_Pad):
    """Surround with the mirror image, along one dimension."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Surround images with their mirror images."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Surround volumes with their mirror images."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Surround with the edge, along one dimension."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Surround images with their edges."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Surround volumes with their edges."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Surround with the other end, along one dimension."""

    dims, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Surround images with their other ends."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Surround volumes with their other ends."""

    dims, mode = 3, "circular"
