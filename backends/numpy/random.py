"""Threefry-2x32, the counter-based generator that every backend implements with the same bits.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def random_bits(key: tuple[int, int], offset: int, count: int) -> Array:
    """`count` random 32-bit words: those of blocks `offset`, `offset + 1`, ... under `key`.

    Block i is Threefry-2x32 with 20 rounds of the 64-bit counter i (low word first); its two words
    are words 2i and 2i + 1 of the stream.

    Returns
    -------
    uint32 array of shape (count,)
    """
    blocks = (count + 1) // 2
    counter = np.arange(offset, offset + blocks, dtype=np.uint64)
    x0 = (counter & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    x1 = (counter >> np.uint64(32)).astype(np.uint32)
    k0, k1 = np.uint32(key[0]), np.uint32(key[1])
    schedule = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0 += k0
    x1 += k1
    spare = np.empty_like(x1)
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 += x1
            np.right_shift(x1, np.uint32(32 - rotation), spare)
            x1 <<= np.uint32(rotation)
            x1 |= spare
            x1 ^= x0
        x0 += schedule[(group + 1) % 3]
        x1 += np.uint32((int(schedule[(group + 2) % 3]) + group + 1) & 0xFFFFFFFF)
    return np.stack((x0, x1), axis=1).reshape(-1)[:count]


KERNELS = {"random_bits": random_bits}
