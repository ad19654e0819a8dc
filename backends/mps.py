"""Apple's GPUs, which are no devices under this name here.

Source: https://docs.pytorch.org/docs/stable/backends.html#torch-backends-mps
"""

from __future__ import annotations

__all__ = ["is_available", "is_built"]


def is_available() -> bool:
    """False."""
    return False


def is_built() -> bool:
    """False."""
    return False
