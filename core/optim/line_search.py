"""A search along a line for a step that satisfies the strong Wolfe conditions.

Source: Nocedal, Wright, "Numerical Optimization", 2006, algorithms 3.5 and 3.6, with the interpolation and the
safeguards of M. Schmidt's minFunc, as PyTorch has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retrograd.tensor import Tensor

__all__ = ["Trial", "strong_wolfe"]


@dataclass(frozen=True, slots=True)
class Trial:
    """What is known of a step: its length, the loss there, its gradient, and the slope along the line."""

    length: Any
    loss: Any
    gradient: Tensor
    slope: Any


def _minimum_of_cubic(a: Trial, b: Trial, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic polynomial through two trials, with their slopes, is least between the bounds."""
    low, high = bounds or (min(a.length, b.length), max(a.length, b.length))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.length - b.length)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if a.length > b.length:
        a, b = b, a
    least = b.length - (b.length - a.length) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(least, low), high)


class _Conditions:
    """The Wolfe conditions with respect to the beginning of the line."""

    def __init__(self, start: Trial, c1: float, c2: float) -> None:
        self.start, self.c1, self.c2 = start, c1, c2

    def too_high(self, trial: Trial) -> Any:
        """Whether the loss has not decreased enough, for so long a step."""
        return trial.loss > self.start.loss + self.c1 * trial.length * self.start.slope

    def flat_enough(self, trial: Trial) -> Any:
        return abs(trial.slope) <= -self.c2 * self.start.slope


def strong_wolfe(
    evaluate: Callable[[Any], Trial],
    start: Trial,
    length: Any,
    scale: Any,
    max_steps: int,
    tolerance: float = 1e-9,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> tuple[Trial, int]:
    """Find a step with enough decrease and a slope that is flat enough, or the best one in so many trials.

    Parameters
    ----------
    evaluate
        Gives the trial of a step of some length.
    start
        The trial of no step.
    length
        The first length to try.
    scale
        The largest component of the direction: a bracket smaller than `tolerance` in it ends the search.

    Returns
    -------
    tuple
        The trial, and how many were evaluated.
    """
    conditions = _Conditions(start, c1, c2)
    bracket, steps = _bracket(evaluate, conditions, length, max_steps)
    if len(bracket) == 1:
        return bracket[0], steps + 1
    return _zoom(evaluate, conditions, bracket, scale * 1.0, tolerance, steps, max_steps)


def _bracket(
    evaluate: Callable[[Any], Trial], conditions: _Conditions, length: Any, max_steps: int
) -> tuple[list[Trial], int]:
    """Go on in growing steps: until one trial will do, or two have such a one between them."""
    previous, trial = conditions.start, evaluate(length)
    for step in range(max_steps):
        if conditions.too_high(trial) or (step > 1 and trial.loss >= previous.loss):
            return [previous, trial], step
        if conditions.flat_enough(trial):
            return [trial], step
        if trial.slope >= 0:
            return [previous, trial], step
        bounds = trial.length + 0.01 * (trial.length - previous.length), trial.length * 10
        previous, trial = trial, evaluate(_minimum_of_cubic(previous, trial, bounds))
    return [conditions.start, trial], max_steps


def _zoom(
    evaluate: Callable[[Any], Trial],
    conditions: _Conditions,
    bracket: list[Trial],
    scale: Any,
    tolerance: float,
    steps: int,
    max_steps: int,
) -> tuple[Trial, int]:
    """Narrow a bracket. Its better end is the result, should no trial satisfy the conditions."""
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    stuck = False
    while steps < max_steps and not abs(bracket[1].length - bracket[0].length) * scale < tolerance:
        length, stuck = _away_from_ends(_minimum_of_cubic(bracket[0], bracket[1]), bracket, stuck)
        trial = evaluate(length)
        steps += 1
        if conditions.too_high(trial) or trial.loss >= bracket[low].loss:
            bracket[1 - low] = trial
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if conditions.flat_enough(trial):
            return trial, steps + 1
        if trial.slope * (bracket[1 - low].length - bracket[low].length) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = trial
    return bracket[low], steps + 1


def _away_from_ends(length: Any, bracket: list[Trial], stuck: bool) -> tuple[Any, bool]:
    """Move a length that is near an end for the second time, or at it, a tenth of the bracket away from there."""
    low, high = sorted(each.length for each in bracket)
    margin = 0.1 * (high - low)
    if not min(high - length, length - low) < margin:
        return length, False
    if not (stuck or length >= high or length <= low):
        return length, True
    return (high - margin if abs(length - high) < abs(length - low) else low + margin), False
