"""Pixels that move between channels and the places of an image."""

from __future__ import annotations

from typing import Any

from retrograd.ops.batching import leading
from retrograd.ops.declare import Array, op
from retrograd.ops.fused import fused

__all__: list[str] = []


def _moved(K: Any, x: Any, parts: tuple[int, ...], order: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """A copy of `x` whose last three axes were taken apart, brought into another order, and put together again."""
    lead = tuple(x.shape[:-3])
    n = len(lead)
    moved = K.permute_dims(K.reshape(x, lead + parts), (*range(n), *(n + place for place in order)))
    return K.reshape(K.copy(moved), lead + shape)


@op(
    name="_pixel_unshuffle",
    node="PixelUnshuffleBackward0",
    vjp={"self": lambda K, g, downscale_factor: fused(_pixel_shuffle)(K, g, downscale_factor)},
    jvp="linear",
    batch=leading,
)
def _pixel_unshuffle(K, self: Array, downscale_factor: int) -> Array:
    r = downscale_factor
    c, h, w = self.shape[-3:]
    return _moved(K, self, (c, h // r, r, w // r, r), (0, 2, 4, 1, 3), (c * r * r, h // r, w // r))


@op(
    name="_pixel_shuffle",
    node="PixelShuffleBackward0",
    vjp={"self": lambda K, g, upscale_factor: fused(_pixel_unshuffle)(K, g, upscale_factor)},
    jvp="linear",
    batch=leading,
)
def _pixel_shuffle(K, self: Array, upscale_factor: int) -> Array:
    r = upscale_factor
    c, h, w = self.shape[-3:]
    return _moved(K, self, (c // (r * r), r, r, h, w), (0, 3, 1, 4, 2), (c // (r * r), h * r, w * r))
