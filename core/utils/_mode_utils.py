"""What PyTorch's modes are written with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

__all__ = ["all_same_mode", "no_dispatch"]

no_dispatch = nullcontext
"""A context without `__torch_dispatch__`, which there is not outside of it either."""


def all_same_mode(modes: Sequence[Any]) -> bool:
    """Whether all are equal."""
    return all(each == modes[0] for each in modes)
