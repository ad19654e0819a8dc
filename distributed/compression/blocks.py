"""Gradients in blocks of equal length, each with numbers of its own in the frames."""

from __future__ import annotations

import numpy as np

from ..errors import ProtocolError
from .arrays import CHUNK, Array
from .codec import Numbers, only_integer

__all__ = ["block_length", "in_blocks"]


def block_length(numbers: Numbers) -> int:
    """The length of a block that a header's one number gives.

    Blocks end where chunks and bytes do: their length is a power of two from 8 to `CHUNK`.

    >>> block_length((256,))
    256
    """
    length = only_integer(numbers, 8, CHUNK, "length of a block")
    if length & (length - 1):
        raise ProtocolError(f"the length of a block must be a power of two, and {length} came")
    return length


def in_blocks(values: Array, length: int) -> Array:
    """A flat array as rows of one block each; a view, unless zeros must fill the last block up.

    >>> in_blocks(np.arange(1, 12), 8)
    array([[ 1,  2,  3,  4,  5,  6,  7,  8],
           [ 9, 10, 11,  0,  0,  0,  0,  0]])
    """
    missing = -values.size % length
    if missing:
        values = np.concatenate([values, np.zeros(missing, values.dtype)])
    return values.reshape(-1, length)
