"""Measurements side by side in a table."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from retrograd.utils.benchmark.utils.common import (
    Measurement,
    ordered_unique,
    select_unit,
    trim_sigfig,
    unit_to_english,
)

__all__ = ["Colorize", "Compare"]

_BOLD, _END = "\033[1m", "\033[0m"
_BEST, _GOOD, _BAD, _WORST = "\033[92m", "\033[34m", "\033[2m\033[91m", "\033[31m"

Cell: TypeAlias = Measurement | None


class Colorize(enum.Enum):
    """Whether times of a table are coloured, and what they are compared with."""

    NONE = "none"
    COLUMNWISE = "columnwise"
    ROWWISE = "rowwise"


class Compare:
    """Measurements as tables, one for each label: a row for each second label, a column for each description.

    Source: https://docs.pytorch.org/docs/stable/benchmark_utils.html#torch.utils.benchmark.Compare

    Examples
    --------
    >>> from retrograd.utils.benchmark import Compare, Measurement, TaskSpec
    >>> found = [
    ...     Measurement(1, [n * 1e-6], TaskSpec(stmt, "pass", label="powers", description=how))
    ...     for stmt, how, n in (("x * x", "mul", 2), ("x ** 2", "mul", 7), ("x * x", "pow", 3), ("x ** 2", "pow", 11))
    ... ]
    >>> print(*map(str.rstrip, str(Compare(found)).splitlines()), sep=chr(10))
    [---------- powers ---------]
                  |  mul  |  pow
    1 threads: ------------------
          x * x   |  2.0  |   3.0
          x ** 2  |  7.0  |  11.0
    <BLANKLINE>
    Times are in microseconds (us).
    """

    def __init__(self, results: Iterable[Measurement]) -> None:
        self._results: list[Measurement] = []
        self.extend_results(results)
        self._trims = False
        self._colorize = Colorize.NONE
        self._highlights = False

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Add measurements.

        Raises
        ------
        ValueError
            If one is none.
        """
        results = [*results]
        for each in results:
            if not isinstance(each, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(each)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Show no more figures than mean something."""
        self._trims = True

    def colorize(self, rowwise: bool = False) -> None:
        """Colour times by how they compare with the best of their column, or row."""
        self._colorize = Colorize.ROWWISE if rowwise else Colorize.COLUMNWISE

    def highlight_warnings(self) -> None:
        """Mark times that vary much."""
        self._highlights = True

    def print(self) -> None:
        """Print the tables."""
        print(str(self))

    def __str__(self) -> str:
        by_label: dict[str | None, list[Measurement]] = {}
        for each in Measurement.merge(self._results):
            by_label.setdefault(each.task_spec.label, []).append(each)
        return "\n".join(
            _Table(results, self._colorize, self._trims, self._highlights).render() for results in by_label.values()
        )


def _row_key(each: Measurement) -> tuple[int, str | None, str]:
    return each.task_spec.num_threads, each.task_spec.env, each.as_row_name


class _Table:
    """The measurements of one label."""

    def __init__(self, results: Sequence[Measurement], colorize: Colorize, trims: bool, highlights: bool) -> None:
        self.results = results
        self.colorize = colorize
        self.trims = trims
        self.highlights = highlights
        self.unit, self.scale = select_unit(min(each.median for each in results))
        self.rows = sorted(ordered_unique(map(_row_key, results)), key=lambda key: key[:2])  # in order of statements
        self.titles = ordered_unique(each.task_spec.description for each in results)
        found = {(_row_key(each), each.task_spec.description): each for each in results}
        self.cells = [[found.get((row, title)) for title in self.titles] for row in self.rows]
        self.formats = [_Format(column, self) for column in zip(*self.cells, strict=True)]

    def render(self) -> str:
        """The table as text."""
        names = self.names()
        texts = [[each.shown(cell) for each, cell in zip(self.formats, row, strict=True)] for row in self.cells]
        heads = ["", *(title or "" for title in self.titles)]
        whole = [heads, *([name, *row] for name, row in zip(names, texts, strict=True))]
        widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
        lines = ["  |  ".join(text.center(width) for text, width in zip(heads, widths, strict=True))]
        total = len(lines[0])
        for i, row in enumerate(whole[1:]):
            if i == 0 or self.rows[i][0] != self.rows[i - 1][0]:
                lines.append(f"{self.rows[i][0]} threads: ".ljust(total, "-"))
            cells = (self.coloured(i, j, text.center(widths[j + 1])) for j, text in enumerate(row[1:]))
            lines.append("  |  ".join((row[0].ljust(widths[0]), *cells)))
        title = f" {self.results[0].task_spec.label or ''} ".center(total - 2, "-")
        return "\n".join([f"[{title}]", *lines, "", *self.notes()])

    def notes(self) -> list[str]:
        found = [f"Times are in {unit_to_english(self.unit)}s ({self.unit})."]
        if self.highlights and any(each.has_warnings for each in self.results):
            found.append("(! XX%) Measurement has high variance, where XX is the IQR / median * 100.")
        return [*found, ""]

    def names(self) -> list[str]:
        """What stands in front of each row; circumstances where they differ, and change."""
        envs = {each.task_spec.env for each in self.results}
        width = max(len(str(each)) for each in envs) if len(envs) > 1 else 0
        found, before = [], (-1, "")
        for threads, env, name in self.rows:
            changes = len(envs) > 1 and (threads, env) != before
            found.append("  " + (f"({env})" if changes else "").ljust(width + 4) + name)
            before = threads, env or ""
        return found

    def coloured(self, i: int, j: int, text: str) -> str:
        """A cell's text in the colour of how it compares."""
        cell = self.cells[i][j]
        if self.colorize is Colorize.NONE or cell is None:
            return text
        group = (row for key, row in zip(self.rows, self.cells, strict=True) if key[0] == self.rows[i][0])
        others = self.cells[i] if self.colorize is Colorize.ROWWISE else [row[j] for row in group]
        best = min(each.median for each in others if each is not None)
        return _in_colour(text, cell.median, best)


class _Format:
    """How the times of a column are written."""

    def __init__(self, column: Sequence[Cell], table: _Table) -> None:
        self.table = table
        present = [each for each in column if each is not None]
        self.marks = table.highlights and any(each.has_warnings for each in present)
        digits = [math.ceil(math.log10(each.median / table.scale)) for each in present]
        self.decimals = 1
        if table.trims:
            self.decimals = min(max(m.significant_figures - n, 0) for m, n in zip(present, digits, strict=True))
        self.length = max(digits) + self.decimals + bool(self.decimals)

    def shown(self, cell: Cell) -> str:
        """The time of a cell, and whether it varies much."""
        if cell is None:
            return " " * len(self._text(1.0, ""))
        value = cell.median / self.table.scale
        if self.table.trims:
            value = trim_sigfig(value, cell.significant_figures)
        is_marked = self.marks and cell.has_warnings
        return self._text(value, f" (! {cell.iqr / cell.median * 100:.0f}%)" if is_marked else "")

    def _text(self, value: float, mark: Any) -> str:
        return f"{value:>{max(self.length, 0)}.{self.decimals}f}{mark:>{7 if self.marks else 0}}"


def _in_colour(text: str, value: float, best: float) -> str:
    if value <= best * 1.01 or value <= best + 100e-9:
        return _BEST + _BOLD + text + _END * 2
    if value <= best * 1.1:
        return _GOOD + _BOLD + text + _END * 2
    if value >= best * 5:
        return _WORST + _BOLD + text + _END * 2
    return _BAD + text + _END * 2 if value >= best * 2 else text
