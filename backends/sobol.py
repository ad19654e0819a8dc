"""Sobol' sequences, as arrays of the host: points that fill a cube evenly, by the direction numbers of Joe and Kuo.

S. Joe and F. Y. Kuo, Constructing Sobol sequences with better two-dimensional projections, 2008. SciPy has the numbers.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

__all__ = ["BITS", "Sequence"]

Host = np.ndarray[Any, Any]

BITS = 30
"""Of a coordinate."""


class Sequence:
    """The points of one dimension, plain or scrambled by a seed, one after another."""

    def __init__(self, dimension: int, scramble: bool, seed: int | None) -> None:
        from scipy.stats import qmc  # takes long to load

        self._points = qmc.Sobol(dimension, scramble=scramble, bits=BITS, seed=np.random.default_rng(seed))

    def draw(self, count: int) -> Host:
        """The next points, as rows."""
        if not count:
            return np.empty((0, self._points.d))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The balance properties", UserWarning)
            return np.asarray(self._points.random(count))

    def skip(self, count: int) -> None:
        """Leave points out."""
        if count:
            self._points.fast_forward(count)

    def restart(self) -> None:
        """Go back to the first point, scrambled as before."""
        self._points.reset()
