"""What tests of programs use: comparing within tolerances, and making tensors of every kind.

Source: https://docs.pytorch.org/docs/stable/testing.html
"""

from __future__ import annotations

from retrograd.testing.comparison import assert_allclose, assert_close
from retrograd.testing.creation import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
