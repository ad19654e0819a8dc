"""Where PyTorch keeps the handles of hooks."""

from __future__ import annotations

from retrograd.autograd.hooks import RemovableHandle

__all__ = ["RemovableHandle"]
