"""Batching rules of convolutions: one convolution of many channels for the convolutions of all samples.

Note [Samples as channels]
    Input (N, C, *spatial), weight (O, C / groups, *kernel), result (N, O, *spatial). If only the inputs
    differ by sample, the samples join the batch N. If only the weights do, they are more output
    channels of one convolution. If both do, each sample is a group of its own: channels of its inputs
    see only its weights. The adjoints of a convolution are batched likewise.
"""

from __future__ import annotations

from typing import Any

from retrograd.ops.batching import Rule, each_leading

__all__ = ["convolution", "convolution_input", "convolution_weight", "unpool"]

Ints = tuple[int, ...]


def _merged(value: Any, axis: int, groups: int = 1) -> Any:
    """The hidden dimension moved into `axis` of the samples, in each of its groups in front of the sample's own."""
    count, *shape = value.shape
    lead, n, rest = shape[:axis], shape[axis], shape[axis + 1 :]
    split = value.reshape(count, *lead, groups, n // groups, *rest)
    return split.movedim(0, axis + 1).reshape(*lead, count * n, *rest)


def _parted(B: Any, value: Any, axis: int, groups: int = 1) -> Any:
    """The inverse of `_merged`, as an array of the level."""
    *lead, n = value.shape[: axis + 1]
    rest = value.shape[axis + 1 :]
    own = n // B.size
    split = value.reshape(*lead, groups, B.size, own // groups, *rest)
    return B.wrap(split.movedim(axis + 1, 0).reshape(B.size, *lead, own, *rest), True)


def convolution(B: Any, call: Rule, x: Any, w: Any, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Any:
    """See Note [Samples as channels]."""
    x, w, settings = B.of(x), B.of(w), (stride, padding, dilation)
    if x.mapped and w.mapped:
        return _parted(B, call(_merged(x.value, 1), _merged(w.value, 0), *settings, B.size * groups), 1)
    if w.mapped:
        return _parted(B, call(x.value, _merged(w.value, 0, groups), *settings, groups), 1, groups)
    if x.mapped:
        return _parted(B, call(_merged(x.value, 0), w.value, *settings, groups), 0)
    return B.wrap(call(x.value, w.value, *settings, groups), False)


def convolution_input(
    B: Any, call: Rule, g: Any, w: Any, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Any:
    """See Note [Samples as channels]; `shape` is the input's."""
    g, w, settings = B.of(g), B.of(w), (stride, padding, dilation)
    n, channels, *spatial = shape
    wide = (n, B.size * channels, *spatial)
    if g.mapped and w.mapped:
        return _parted(B, call(_merged(g.value, 1), _merged(w.value, 0), wide, *settings, B.size * groups), 1)
    if w.mapped:
        return _parted(B, call(g.value, _merged(w.value, 1), wide, *settings, groups), 1, groups)
    if g.mapped:
        many = (B.size * n, channels, *spatial)
        return _parted(B, call(_merged(g.value, 0), w.value, many, *settings, groups), 0)
    return B.wrap(call(g.value, w.value, shape, *settings, groups), False)


def convolution_weight(
    B: Any, call: Rule, g: Any, x: Any, shape: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Any:
    """See Note [Samples as channels]; `shape` is the weight's."""
    g, x, settings = B.of(g), B.of(x), (stride, padding, dilation)
    n, channels, *kernel = shape
    tall = (B.size * n, channels, *kernel)
    if g.mapped and x.mapped:
        return _parted(B, call(_merged(g.value, 1), _merged(x.value, 1), tall, *settings, B.size * groups), 0)
    if g.mapped:
        return _parted(B, call(_merged(g.value, 1, groups), x.value, tall, *settings, groups), 0, groups)
    if x.mapped:
        wide = (n, B.size * channels, *kernel)
        return _parted(B, call(g.value, _merged(x.value, 1, groups), wide, *settings, groups), 1)
    return B.wrap(call(g.value, x.value, shape, *settings, groups), False)


def unpool(B: Any, call: Rule, grad: Any, indices: Any, shape: Ints, *rest: Any) -> Any:
    """Of a gradient and the positions that a pool had chosen; `shape` is the pool's input's."""
    mapped = B.of(grad).mapped or B.of(indices).mapped
    wide = (B.size, *shape) if mapped else shape
    return each_leading(B, lambda g, i: call(g, i, wide, *rest), grad, indices)
