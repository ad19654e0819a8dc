"""The arithmetic of sliding windows: sizes and paddings that convolutions and pools of every backend share.

All arguments are tuples with one int per spatial axis. What follows from them is kept: a program has few windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["ceil_padding", "convolved", "offsets", "pooled", "taps"]

Ints = tuple[int, ...]


@lru_cache(1024)
def convolved(spatial: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Ints:
    """The spatial shape of a convolution's result.

    Examples
    --------
    >>> from retrograd.backends.windows import convolved
    >>> convolved((28, 28), (3, 3), (1, 1), (1, 1), (1, 1))
    (28, 28)
    """
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(spatial, kernel, stride, padding, dilation, strict=True)
    )


@lru_cache(1024)
def pooled(spatial: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool) -> Ints:
    """The spatial shape of a pool's result; with `ceil_mode` a last window may hang over the end.

    A window that would start in the padding behind the end does not count.
    """
    if not ceil_mode:
        return convolved(spatial, kernel, stride, padding, dilation)
    shape = []
    for n, k, s, p, d in zip(spatial, kernel, stride, padding, dilation, strict=True):
        count = -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1
        shape.append(count - 1 if (count - 1) * s >= n + p else count)
    return tuple(shape)


@lru_cache(1024)
def ceil_padding(
    spatial: Ints, out: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> tuple[tuple[int, int], ...]:
    """How much to pad before and behind each axis so that every one of `out` windows is inside."""
    return tuple(
        (p, max((m - 1) * s + d * (k - 1) + 1 - n - p, 0))
        for n, m, k, s, p, d in zip(spatial, out, kernel, stride, padding, dilation, strict=True)
    )


def offsets(kernel: Ints, dilation: Ints) -> Iterator[Ints]:
    """Where in its window each tap of the kernel lies, in row-major order."""
    return itertools.product(*(range(0, k * d, d) for k, d in zip(kernel, dilation, strict=True)))


@lru_cache(1024)
def taps(offset: Ints, out: Ints, stride: Ints) -> tuple[slice, ...]:
    """What one tap sees of the padded input, over all windows: an index for the spatial axes."""
    return tuple(slice(o, o + (m - 1) * s + 1, s) for o, m, s in zip(offset, out, stride, strict=True))
