"""Which rows of the weights have changed since when, so that a worker is sent no others."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from .gradients import Gradient, Rows
from .messages import Array, Groups, Slice
from .placement import LOOKS_AT_ROWS

__all__ = ["Touched", "leaves_other_rows"]

_MOST_UPDATES = 10_000  # remembered; a worker that is further behind is sent everything


def leaves_other_rows(optimizer: str, groups: Groups) -> bool:
    """Whether an optimizer leaves a row as it is when its gradient is zero, whatever came before.

    >>> leaves_other_rows("SGD", ({"lr": 0.1, "momentum": 0},)), leaves_other_rows("Adam", ({"lr": 0.1},))
    (True, False)
    """
    if optimizer in LOOKS_AT_ROWS:
        return True
    if any(group.get("weight_decay") for group in groups):
        return False
    if optimizer == "SGD":
        return not any(group.get("momentum") for group in groups)
    return optimizer == "Adagrad"


class Touched:
    """A log of changed rows for each slice.

    Examples
    --------
    >>> log = Touched([Slice(0, 0, 8, columns=2)])
    >>> log.note(1, [Rows((4, 2), np.array([2]), np.ones((1, 2)))], by_rows=True)
    >>> log.since(0, 0).tolist(), log.since(1, 0).tolist()
    ([2], [])
    >>> log.note(2, [np.ones((4, 2))], by_rows=True)
    >>> log.since(1, 0) is None  # all of them
    True
    """

    def __init__(self, slices: Sequence[Slice], version: int = 0) -> None:
        self._rows = [piece.shape[0] if piece.columns else 0 for piece in slices]
        self._whole = [version] * len(slices)
        """Of each slice, the last update of which it is not known what it left alone."""
        self._logs: list[deque[tuple[int, Array]]] = [deque() for _ in slices]
        self._logged = [0] * len(slices)
        """How many rows each log holds."""

    def note(self, version: int, gradients: Sequence[Gradient | None], *, by_rows: bool) -> None:
        """Note update number `version`, made with one gradient for each slice; without one it stays as it is."""
        for index, gradient in enumerate(gradients):
            if gradient is None:
                continue
            if not by_rows or not isinstance(gradient, Rows):
                self._forget(index, version)
                continue
            log = self._logs[index]
            log.append((version, gradient.numbers))
            self._logged[index] += len(gradient.numbers)
            while self._logged[index] > self._rows[index] or len(log) > _MOST_UPDATES:
                oldest, rows = log.popleft()
                self._whole[index] = oldest
                self._logged[index] -= len(rows)

    def _forget(self, index: int, version: int) -> None:
        self._whole[index], self._logged[index] = version, 0
        self._logs[index].clear()

    def since(self, version: int, index: int) -> Array | None:
        """The numbers of the rows that have changed since an update, ascending; ``None``: perhaps all."""
        if version < self._whole[index]:
            return None
        changed = [rows for at, rows in self._logs[index] if at > version]
        if not changed:
            return np.empty(0, np.int64)
        return np.unique(np.concatenate(changed))
