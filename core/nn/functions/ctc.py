"""Connectionist temporal classification."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Final

from retrograd.dtypes import float32, float64, int64
from retrograd.ops.arrange import cat, stack
from retrograd.ops.autocasting import in_float32
from retrograd.ops.creation import tensor
from retrograd.ops.factories import full, zeros
from retrograd.ops.flags import no_flag
from retrograd.ops.grouped import one_node
from retrograd.ops.indexing import where
from retrograd.ops.shape import narrow
from retrograd.tensor import Tensor

__all__ = ["ctc_loss"]

_NEVER: Final = -1e30  # the logarithm of what cannot be; finite, for the difference of two infinities is none


@in_float32
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    r"""The negative logarithm of the probability of all ways in which a sequence may be spelled.

    A way has one label in each step: those of the target in their order, each once or several times in a row, and
    blanks before, between and after; between two equal labels there must be one.

    As in PyTorch, the gradient is that by what `log_softmax` was computed of, so that `log_probs` must be its result.

    Parameters
    ----------
    log_probs
        Logarithms of probabilities, (T, N, C) or (T, C).
    targets
        Labels, (N, S), or all after one another.
    input_lengths, target_lengths
        How many steps, and labels, count for each sample.
    blank
        The label that stands for nothing.
    reduction
        `"none"`, `"sum"`, or `"mean"`: of the losses over the lengths of their targets.
    zero_infinity
        Whether the loss of a target that is too long for its input is zero, and not infinite.

    Raises
    ------
    RuntimeError
        If shapes, lengths or `blank` do not fit.

    Source: Graves et al., "Connectionist temporal classification", 2006;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.ctc_loss.html

    Examples
    --------
    >>> import retrograd
    >>> log_probs = retrograd.zeros(3, 1, 2).log_softmax(-1)
    >>> loss = retrograd.nn.functional.ctc_loss(log_probs, retrograd.tensor([[1]]), [3], [1])
    >>> (-loss).exp()  # six of the eight sequences of three labels spell the target
    tensor(0.7500)
    """
    if type(zero_infinity) is not bool:
        raise no_flag("ctc_loss", "zero_infinity", zero_infinity, 7)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    inputs, lengths = _counts(input_lengths, "input_lengths"), _counts(target_lengths, "target_lengths")
    batched = log_probs.ndim == 3
    if not batched:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.unsqueeze(0) if targets.ndim == 1 else targets
    labels = _checked_labels(log_probs, targets, inputs, lengths, blank)
    loss = _losses(log_probs, labels, inputs, blank, zero_infinity)
    if reduction == "mean":
        loss = loss / tensor([max(each, 1) for each in lengths], dtype=loss.dtype, device=loss.device)
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    return loss if batched else loss.squeeze(0)


def _counts(given: Any, name: str) -> list[int]:
    if not isinstance(given, Tensor):
        return [int(each) for each in given]
    if given.dtype.is_floating_point or given.dtype.is_complex:
        raise RuntimeError(f"{name} must be integral")
    return [int(each) for each in given.reshape(-1).tolist()]


def _checked_labels(
    log_probs: Tensor, targets: Tensor, inputs: list[int], lengths: list[int], blank: int
) -> list[list[int]]:
    """The labels of each sample."""
    where_ = "(while checking arguments for ctc_loss_allocate_outputs)"
    if log_probs.dtype not in (float32, float64):
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{log_probs.dtype.type_name}'")
    if log_probs.ndim != 3:
        raise RuntimeError(
            f"Expected 3-dimensional tensor, but got {log_probs.ndim}-dimensional tensor for argument #1 'log_probs' "
            f"{where_}"
        )
    steps, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    for name, given in (("input_lengths", inputs), ("target_lengths", lengths)):
        if len(given) != batch:
            raise RuntimeError(f"{name} must be of size batch_size")
    for each in lengths:
        if each < 0:
            raise RuntimeError(f"Expected target_lengths to have value at least 0, but got value {each} {where_}")
    expected = sum(lengths) if targets.ndim == 1 else batch
    found = tuple(targets.shape)
    if found[0] != expected:
        raise RuntimeError(
            f"Expected tensor to have size {expected} at dimension 0, but got size {found[0]} for argument #2 "
            f"'targets' {where_}"
        )
    if targets.ndim > 1 and found[1] < max(lengths):
        raise RuntimeError(
            f"Expected tensor to have size at least {max(lengths)} at dimension 1, but got size {found[1]} for "
            f"argument #2 'targets' {where_}"
        )
    for each in inputs:
        if not 0 <= each <= steps:
            bound = f"most {steps}" if each > steps else "least 0"
            raise RuntimeError(f"Expected input_lengths to have value at {bound}, but got value {each} {where_}")
    return _split(targets.to(int64).tolist(), lengths)


def _split(targets: list[Any], lengths: list[int]) -> list[list[int]]:
    if targets and isinstance(targets[0], list):
        return [row[:length] for row, length in zip(targets, lengths, strict=True)]
    ends = [sum(lengths[: place + 1]) for place in range(len(lengths))]
    return [targets[end - length : end] for end, length in zip(ends, lengths, strict=True)]


@one_node("CtcLossBackward0", "log_probs", saves="blank log_probs result0 zero_infinity")
def _losses(log_probs: Tensor, labels: list[list[int]], inputs: list[int], blank: int, zero_infinity: bool) -> Tensor:
    """The loss of each sample."""
    options: dict[str, Any] = {"dtype": log_probs.dtype, "device": log_probs.device}
    counts = tensor(inputs, device=log_probs.device)
    ends = _end_states(log_probs, labels, inputs, counts, blank)
    loss = -ends.logsumexp(0)
    counted = tensor([range(len(log_probs))], device=log_probs.device).t() < counts
    # Zero, with the gradient that makes of one by `log_probs` one by what they were computed of.
    surplus = where(counted.unsqueeze(-1), log_probs.exp(), zeros((), **options)).sum(-1).sum(0)
    surplus = surplus - surplus.detach()
    loss = loss + surplus
    if not all(inputs):
        empty = tensor([not count for count in inputs], device=log_probs.device)
        loss = where(empty, full((), -0.0, **options), loss)
    # Equal neighbours need a blank between them.
    least = [len(row) + sum(a == b for a, b in pairwise(row)) for row in labels]
    too_long = [need > count for need, count in zip(least, inputs, strict=True)]
    if any(too_long):
        impossible = tensor(too_long, device=log_probs.device)
        loss = where(impossible, full((), 0.0 if zero_infinity else math.inf, **options), loss)
        if not zero_infinity:
            # The gradient of an infinite loss is no number: that of a root at zero, times zero.
            loss = loss + where(impossible, surplus, zeros((), **options)).sqrt() * 0.0
    return loss


def _end_states(log_probs: Tensor, labels: list[list[int]], inputs: list[int], counts: Tensor, blank: int) -> Tensor:
    """The logarithms of the probabilities to have spelled all labels, after the last and after the blank behind it."""
    steps, batch, _ = log_probs.shape
    states = 2 * max(len(row) for row in labels) + 1
    spelled = [[blank] * states for _ in labels]
    for line, row in zip(spelled, labels, strict=True):
        line[1 : 2 * len(row) : 2] = row
    may_skip = [[s >= 2 and line[s] != line[s - 2] for s in range(states)] for line in spelled]
    device = log_probs.device
    skip = tensor(may_skip, device=device)
    index = tensor(spelled, dtype=int64, device=device)
    emitted = log_probs.gather(2, index.unsqueeze(0).expand(steps, batch, states))
    never = full((), _NEVER, dtype=log_probs.dtype, device=device)
    begins = tensor([[s < 2 for s in range(states)]], device=device)
    first, *later = emitted.unbind(0)
    alpha = where(begins, first, never)
    before, shut = never.expand(batch, 2), where(skip, zeros((), dtype=never.dtype, device=device), never)
    for step, seen in enumerate(later, 1):
        moved = cat([before, alpha], 1)
        ways = stack([alpha, narrow(moved, 1, 1, states), narrow(moved, 1, 0, states) + shut])
        spelled_on = ways.logsumexp(0) + seen
        if step < min(inputs):
            alpha = spelled_on
        else:
            alpha = where((counts > step).unsqueeze(1), spelled_on, alpha)
    last = tensor([[2 * len(row), max(2 * len(row) - 1, 0)] for row in labels], dtype=int64, device=device)
    ended = alpha.gather(1, last)
    has_label = tensor([[True, len(row) > 0] for row in labels], device=device)
    return where(has_label, ended, never).t()
