"""The device `meta`: tensors with a shape, a type and strides, and no elements. See docs/decisions/0029."""

from __future__ import annotations

from retrograd.meta.arrays import MetaArray
from retrograd.meta.table import TABLE

__all__ = ["TABLE", "MetaArray"]
