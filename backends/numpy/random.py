"""Philox4x64, the counter-based generator that every backend implements with the same bits: NumPy's own.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograd.backends.philox import WORDS

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]

# Note [Ahead in the stream]
#     To set up NumPy's generator costs as much as a thousand words. A small request therefore makes the next ones
#     ahead, and those that follow are served from them. The stream is a fixed function of key and block, so what is
#     kept can never be wrong.
_AHEAD = 256  # blocks
_SMALL = _AHEAD * WORDS // 2  # words

_ahead: tuple[tuple[int, int], int, Array] | None = None  # key, first block, words; replaced as a whole


def random_bits(key: tuple[int, int], offset: int, count: int) -> Array:
    """`count` random 32-bit words: those of blocks `offset`, `offset + 1`, ... under `key`.

    Block i is Philox4x64 with 10 rounds of the counter i; its four words, the lower half of each first, are words
    8i to 8i + 7 of the stream.

    Returns
    -------
    uint32 array of shape (count,)
    """
    if count <= _SMALL:
        return _from_ahead(key, offset, count)
    return _words(key, offset, -(-count // WORDS))[:count]


def _from_ahead(key: tuple[int, int], offset: int, count: int) -> Array:
    """See Note [Ahead in the stream]."""
    global _ahead
    kept = _ahead
    if kept is None or kept[0] != key or not 0 <= offset - kept[1] <= _AHEAD - -(-count // WORDS):
        kept = _ahead = (key, offset, _words(key, offset, _AHEAD))
    start = WORDS * (offset - kept[1])
    return kept[2][start : start + count].copy()


def _words(key: tuple[int, int], offset: int, blocks: int) -> Array:
    """The words of some blocks."""
    before = (offset - 1) % 2**256  # NumPy counts on before it makes a block
    counter = np.array([before >> shift & (2**64 - 1) for shift in (0, 64, 128, 192)], np.uint64)
    generator = np.random.Philox(key=np.array(key, np.uint64), counter=counter)
    return generator.random_raw(4 * blocks).astype("<u8", copy=False).view("<u4").astype(np.uint32, copy=False)


KERNELS = {"random_bits": random_bits}
