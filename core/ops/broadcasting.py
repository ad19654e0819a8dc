"""Undo in the gradient what broadcasting and promotion did in the forward call; once, for every operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["broadcast_shapes", "settle", "sum_to"]

Shape = tuple[int, ...]


def sum_to(K: Any, g: Any, shape: Shape) -> Any:
    """Sum `g` over the axes along which an array of `shape` was broadcast to give its shape."""
    if tuple(g.shape) == tuple(shape):
        return g
    lead = len(g.shape) - len(shape)
    axes = [*range(lead)]
    axes += [lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    if axes:
        g = K.sum(g, tuple(axes), True)
    return K.reshape(g, tuple(shape)) if lead else g


def settle(K: Any, grads: Sequence[Any], fix: Sequence[tuple[Any, Any] | None]) -> list[Any]:
    """Bring each gradient to its input's shape and dtype; `fix` holds those, None where they agree."""
    settled = list(grads)
    for i, (grad, target) in enumerate(zip(grads, fix)):  # noqa: B905 - trailing Nones may be left out
        if grad is None or target is None:
            continue
        shape, dtype = target
        if shape is not None:
            grad = sum_to(K, grad, shape)
        if dtype is not None:
            grad = K.astype(grad, dtype)
        settled[i] = grad
    return settled


def broadcast_shapes(*shapes: Sequence[int]) -> Shape:
    """The shape that all `shapes` broadcast to.

    Raises
    ------
    RuntimeError
        With PyTorch's text, if two sizes of one dimension differ and neither is 1.
    """
    ndim = max((len(shape) for shape in shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        for i, n in enumerate(reversed(tuple(shape)), 1):
            have = result[-i]
            if have == 1:
                result[-i] = n
            elif n not in (1, have):
                raise RuntimeError(
                    f"The size of tensor a ({have}) must match the size of tensor b ({n}) at non-singleton "
                    f"dimension {ndim - i}"
                )
    return tuple(result)
