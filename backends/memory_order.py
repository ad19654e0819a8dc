"""In which order of axes PyTorch lays the elements of results in memory."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["axes_in_order"]

Shape = tuple[int, ...]


def axes_in_order(steps: Sequence[Shape], shape: Shape) -> list[int]:
    """The axes of a result from the outermost to the innermost.

    Of two axes that one is the outer for which the first operand takes longer steps, then, if that is broadcast along
    one of them, the next operand; and where none tells, the one that comes first.

    Parameters
    ----------
    steps
        The strides of each operand along the axes of the result, 0 where it is broadcast.
    shape
        The shape of the result.

    Examples
    --------
    >>> axes_in_order([(1, 0, 4), (12, 4, 1)], (4, 3, 2))
    [0, 1, 2]
    >>> axes_in_order([(1, 4, 0), (1, 2, 8)], (4, 3, 2))
    [2, 1, 0]
    """
    axes = list(range(len(shape) - 1, -1, -1))  # the innermost first
    for i in range(1, len(shape)):
        place = i
        for j in range(i - 1, -1, -1):
            is_outer = _is_outer(axes[j], axes[place], steps, shape)
            if is_outer is False:
                break
            if is_outer:
                axes[j], axes[place], place = axes[place], axes[j], j
    return axes[::-1]


def _is_outer(inner: int, outer: int, steps: Sequence[Shape], shape: Shape) -> bool | None:
    """Whether the axis that is taken for the inner one has the longer steps; None if nothing tells."""
    for each in steps:
        one, other = each[inner], each[outer]
        if one and other:
            if one != other:
                return one > other
            if shape[inner] > shape[outer]:
                return True
    return None
