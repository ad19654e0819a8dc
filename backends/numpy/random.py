"""Threefry-2x32, the counter-based generator that every backend implements with the same bits.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.backends.threefry import PARITY, ROTATIONS

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]

# Note [Pieces of the stream]
#     A round is five passes over the blocks, so blocks are made in pieces that stay in the cache. A hundred
#     calls of NumPy cost the same for one block as for a thousand; a small request therefore makes a whole
#     piece ahead, and the next ones are served from it. The stream is a fixed function of key and block, so
#     what is kept can never be wrong.
_PIECE = 4096
_AHEAD = 1024

_TURNS = tuple(tuple((np.uint32(rotation), np.uint32(32 - rotation)) for rotation in group) for group in ROTATIONS)

_ahead: tuple[tuple[int, int], int, Array] | None = None  # key, first block, words; replaced as a whole


def random_bits(key: tuple[int, int], offset: int, count: int) -> Array:
    """`count` random 32-bit words: those of blocks `offset`, `offset + 1`, ... under `key`.

    Block i is Threefry-2x32 with 20 rounds of the 64-bit counter i (low word first); its two words
    are words 2i and 2i + 1 of the stream.

    Returns
    -------
    uint32 array of shape (count,)
    """
    if count <= _AHEAD:
        return _from_ahead(key, offset, count)
    blocks = (count + 1) // 2
    words = np.empty((blocks, 2), np.uint32)
    for start in range(0, blocks, _PIECE):
        _fill(words[start : start + _PIECE], key, offset + start)
    return words.reshape(-1)[:count]


def _from_ahead(key: tuple[int, int], offset: int, count: int) -> Array:
    """See Note [Pieces of the stream]."""
    global _ahead
    kept = _ahead
    if kept is None or kept[0] != key or not 0 <= offset - kept[1] <= _AHEAD - (count + 1) // 2:
        words = np.empty((_AHEAD, 2), np.uint32)
        _fill(words, key, offset)
        kept = _ahead = (key, offset, words.reshape(-1))
    start = 2 * (offset - kept[1])
    return kept[2][start : start + count].copy()


def _fill(words: Array, key: tuple[int, int], offset: int) -> None:
    """Write the two words of each block, from block `offset` on."""
    counter = np.arange(len(words), dtype=np.uint64) + np.uint64(offset % 2**64)
    x0 = counter.astype(np.uint32)
    x1 = (counter >> np.uint64(32)).astype(np.uint32)
    spare = np.empty_like(x1)
    schedule = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    x0 += np.uint32(schedule[0])
    x1 += np.uint32(schedule[1])
    for group in range(5):
        for left, right in _TURNS[group % 2]:
            x0 += x1
            np.right_shift(x1, right, spare)
            np.left_shift(x1, left, x1)
            np.bitwise_or(x1, spare, x1)
            np.bitwise_xor(x1, x0, x1)
        x0 += np.uint32(schedule[(group + 1) % 3])
        x1 += np.uint32((schedule[(group + 2) % 3] + group + 1) & 0xFFFFFFFF)
    words[:, 0] = x0
    words[:, 1] = x1


KERNELS = {"random_bits": random_bits}
