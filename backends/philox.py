"""Philox4x64 with 10 rounds over any array namespace: the random bits that all backends have in common.

A counter-based generator: block i of the stream is a fixed function of the key and i, so that any part of a
stream can be made anywhere, in any order. NumPy has it in C, which `backends/numpy/random.py` calls.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["WORDS", "philox", "words_of"]

WORDS: Final = 8
"""32-bit words in a block."""

_MULTIPLIERS: Final = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL: Final = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_LOW: Final = 0xFFFFFFFF


def philox(word: Any, key: tuple[Any, Any], counter: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
    """The four words of each block.

    Parameters
    ----------
    word
        Makes a uint64 scalar array of a Python int.
    key
        Two uint64 scalar arrays.
    counter
        Four uint64 arrays, the lowest word first. Sums and products wrap around.
    """
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        high0, low0 = _product(word, _MULTIPLIERS[0], c0)
        high1, low1 = _product(word, _MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + word(_WEYL[0]), k1 + word(_WEYL[1])
    return c0, c1, c2, c3


def _product(word: Any, factor: int, x: Any) -> tuple[Any, Any]:
    """The upper and the lower 64 bits of `factor * x`, from products of halves that 64 bits hold."""
    f_low, f_high = word(factor & _LOW), word(factor >> 32)
    low, half = word(_LOW), word(32)
    x_low, x_high = x & low, x >> half
    crossed = x_low * f_high
    middle = ((x_low * f_low) >> half) + (crossed & low) + x_high * f_low
    return x_high * f_high + (crossed >> half) + (middle >> half), x * word(factor)


def words_of(word: Any, key: tuple[Any, Any], blocks: Any) -> list[Any]:
    """The 32-bit words of blocks, as uint64 arrays: first all first words, then all second ones, up to the eighth.

    Parameters
    ----------
    blocks
        The blocks' numbers, a uint64 array.
    """
    none = blocks ^ blocks
    found = philox(word, key, (blocks, none, none, none))
    return [part for each in found for part in (each & word(_LOW), each >> word(32))]
