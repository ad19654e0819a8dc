"""Intel's MKL: NumPy or JAX may use it, this package does not.

Source: https://docs.pytorch.org/docs/stable/backends.html#torch-backends-mkl
"""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """False."""
    return False
