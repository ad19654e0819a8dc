"""Slopes of samples: `gradient`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.ops.arguments import wrap_dim
from retrograd.ops.arrange import cat
from retrograd.ops.checks import is_number
from retrograd.ops.declare import publics
from retrograd.tensor import Tensor

__all__: list[str] = []


def gradient(
    input: Tensor, *, spacing: Any = 1, dim: int | Sequence[int] | None = None, edge_order: int = 1
) -> list[Tensor]:
    """The slopes of samples along each of `dim`, by default all: from both neighbours, and at the ends from one side.

    Parameters
    ----------
    spacing
        The distance of neighbours: a number, a number for each dimension, or tensors of coordinates.
    edge_order
        1 or 2: of which order of accuracy the slopes at the ends are.

    Raises
    ------
    RuntimeError
        If a dimension has fewer than ``edge_order + 1`` samples, or `spacing` does not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gradient.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.gradient(retrograd.tensor([1.0, 4.0, 9.0, 16.0]))
    (tensor([3., 4., 6., 7.]),)
    """
    axes = _axes(input, dim)
    if edge_order not in (1, 2):
        raise RuntimeError("retrograd.gradient only supports edge_order=1 and edge_order=2.")
    spacing = 1 if spacing is None else spacing
    if isinstance(spacing, (list, tuple)):
        if len(spacing) != len(axes) and dim is not None:
            raise RuntimeError(
                "retrograd.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to "
                f"have the same length, but got a spacing argument of length {len(spacing)} and a dim argument of "
                f"length {len(axes)}."
            )
        if len(spacing) != len(axes):
            raise RuntimeError(
                "retrograd.gradient expected spacing to be unspecified, a scalar, or a list of length equal to "
                f"'self.dim() = {len(axes)}', since dim argument was not given, but got a list of length {len(spacing)}"
            )
        spacings = list(spacing)
    else:
        spacings = [spacing] * len(axes)
    for axis in axes:
        if input.shape[axis] < edge_order + 1:
            raise RuntimeError("retrograd.gradient expected each dimension size to be at least edge_order+1")
    x = input if input.is_floating_point() or input.is_complex() else input.float()
    return tuple(_slopes(x, axis, each, edge_order) for axis, each in zip(axes, spacings, strict=True))  # type: ignore[return-value]


def _axes(input: Tensor, dim: int | Sequence[int] | None) -> list[int]:
    if dim is None:
        return list(range(input.ndim))
    given = [dim] if isinstance(dim, int) else list(dim)
    axes = [wrap_dim(each, input.ndim) for each in given]
    for each in axes:
        if axes.count(each) > 1:
            raise RuntimeError(f"dim {each} appears multiple times in the list of dims")
    return axes


def _slopes(x: Tensor, axis: int, spacing: Any, edge_order: int) -> Tensor:
    size = x.shape[axis]
    if is_number(spacing) or not spacing.ndim:
        steps = None
        one: Any = spacing
    else:
        if spacing.shape[0] != size:
            raise RuntimeError("retrograd.gradient expected coordinates for every element of a dimension")
        steps = (spacing[1:] - spacing[:-1]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        one = None

    def at(start: int, length: int) -> Tensor:
        return x.narrow(axis, start, length)

    def step(start: int, length: int) -> Any:
        return one if steps is None else steps.narrow(axis, start, length)

    inner = None
    if size > 2:
        before, after = step(0, size - 2), step(1, size - 2)
        weights = -after / (before * (before + after)), (after - before) / (before * after)
        inner = weights[0] * at(0, size - 2) + weights[1] * at(1, size - 2)
        inner = inner + before / (after * (before + after)) * at(2, size - 2)
    if edge_order == 1:
        first = (at(1, 1) - at(0, 1)) / step(0, 1)
        last = (at(size - 1, 1) - at(size - 2, 1)) / step(size - 2, 1)
    else:
        first = _end(at(0, 1), at(1, 1), at(2, 1), step(0, 1), step(1, 1))
        last = -_end(at(size - 1, 1), at(size - 2, 1), at(size - 3, 1), step(size - 2, 1), step(size - 3, 1))
    return cat([first, last] if inner is None else [first, inner, last], axis)


def _end(end: Tensor, next_: Tensor, other: Tensor, near: Any, far: Any) -> Tensor:
    """The slope of the parabola through three samples at the first of them; `near` is the distance of the second."""
    both = near + far
    return -(both + near) / (near * both) * end + both / (near * far) * next_ - near / (far * both) * other


publics["gradient"] = gradient
