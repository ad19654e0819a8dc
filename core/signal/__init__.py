"""PyTorch's module of functions for signals, of which there are windows."""

from __future__ import annotations

from retrograd.signal import windows as windows

__all__ = ["windows"]
