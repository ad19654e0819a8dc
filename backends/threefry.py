"""Threefry-2x32 with 20 rounds over any array namespace: the random bits that all backends have in common.

A counter-based generator: block i of the stream is a fixed function of the key and i, so that any part of a
stream can be made anywhere, in any order. `backends/numpy/random.py` is the same algorithm with its buffers
reused.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["PARITY", "ROTATIONS", "threefry"]

ROTATIONS: Final = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY: Final = 0x1BD11BDA


def threefry(word: Any, k0: Any, k1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """The two words of each block.

    Parameters
    ----------
    word
        Makes a uint32 scalar array of a small Python int.
    k0, k1
        The key, as uint32 scalar arrays.
    x0, x1
        Low and high words of the blocks' counters, as uint32 arrays. Additions wrap around.
    """
    schedule = (k0, k1, k0 ^ k1 ^ word(PARITY))
    x0 = x0 + k0
    x1 = x1 + k1
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << word(rotation)) | (x1 >> word(32 - rotation))) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + schedule[(group + 2) % 3] + word(group + 1)
    return x0, x1
