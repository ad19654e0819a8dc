"""Convolution and pooling on NumPy arrays, by windows and one matrix product.

Layout is PyTorch's: input (N, C, *spatial), weight (O, C / groups, *kernel).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]
KERNELS: dict[str, Any] = {}
