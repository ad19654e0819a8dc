"""What a measurement is: times, and what was timed."""

from __future__ import annotations

import contextlib
import math
import statistics
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from retrograd.settings import get_num_threads, set_num_threads

__all__ = [
    "Measurement", "TaskSpec", "ordered_unique", "select_unit", "set_torch_threads", "trim_sigfig", "unit_to_english",
]  # fmt: skip

_MOST_FIGURES = 4
_LEAST_INTERVAL = 25e-9  # seconds
_WIDE, _VERY_WIDE = 0.1, 0.25
"""From which share of the median on the middle half of the times is warned of."""


@dataclass(frozen=True, repr=False)
class TaskSpec:
    """What was timed: all that a `Timer` is made of but the globals."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label, or else the statement, and the second label."""
        if self.label is None and "\n" in self.stmt:
            second = f" ({self.sub_label})" if self.sub_label else ""
            return f"stmt:{second}\n{textwrap.indent(self.stmt, '  ')}"
        first = self.stmt if self.label is None else self.label
        return f"{first}: {self.sub_label}" if self.sub_label else first

    def setup_str(self) -> str:
        """The setup, if there is any."""
        if self.setup in ("", "pass"):
            return ""
        return f"setup:\n{textwrap.indent(self.setup, '  ')}" if "\n" in self.setup else f"setup: {self.setup}"

    def summarize(self) -> str:
        """Title, description and setup, as a measurement shows them."""
        sections = (self.title, self.description or "", self.setup_str())
        return "\n".join(f"{each}\n" if "\n" in each else each for each in sections if each)


_OF_TASK = frozenset(each.name for each in fields(TaskSpec))


@dataclass(repr=False)
class Measurement:
    """What a `Timer` has measured. The attributes of its `task_spec` are its own, too.

    Attributes
    ----------
    number_per_run
        How often the statement ran for each of the times.
    raw_times
        Times in seconds.
    task_spec
        What was timed.
    metadata
        The user's own.

    Source: https://docs.pytorch.org/docs/stable/benchmark_utils.html#torch.utils.benchmark.Measurement

    Examples
    --------
    >>> import retrograd.utils.benchmark as benchmark
    >>> task = benchmark.TaskSpec("x + y", "pass", label="sum", sub_label="small", num_threads=2)
    >>> found = benchmark.Measurement(10, [1e-5, 2e-5, 3e-5], task)
    >>> found.title, found.num_threads, found.has_warnings
    ('sum: small', 2, True)
    >>> print(*str(found).splitlines()[1:3], sep=chr(10))
    sum: small
      Median: 2.00 us
    """

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name in _OF_TASK:
            return getattr(self.task_spec, name)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def times(self) -> list[float]:
        """Seconds for each single run."""
        return [each / self.number_per_run for each in self.raw_times]

    @property
    def median(self) -> float:
        """Of `times`."""
        return _quantile(sorted(self.times), 0.5)

    @property
    def mean(self) -> float:
        """Of `times`."""
        return statistics.fmean(self.times)

    @property
    def iqr(self) -> float:
        """How far apart the first and the third quartile are."""
        low, high = self._quartiles()
        return high - low

    def _quartiles(self) -> tuple[float, float]:
        ordered = sorted(self.times)
        return _quantile(ordered, 0.25), _quantile(ordered, 0.75)

    @property
    def significant_figures(self) -> int:
        """About how many figures of the median mean something: from the spread of the middle half of the times."""
        ordered = sorted(self.times)
        middle = ordered[len(ordered) // 4 : math.ceil(3 * len(ordered) / 4)]
        interval = max(1.645 * statistics.pstdev(middle) / math.sqrt(len(middle)), _LEAST_INTERVAL)
        return min(max(math.floor(math.log10(self.median / interval)), 1), _MOST_FIGURES)

    def meets_confidence(self, threshold: float = _WIDE) -> bool:
        """Whether the middle half of the times are closer together than this share of the median."""
        return self.iqr / self.median < threshold

    @property
    def has_warnings(self) -> bool:
        """Whether the times are so far apart that it is worth a warning."""
        return not self.meets_confidence(_WIDE)

    def _warning(self) -> str:
        if not self.has_warnings:
            return ""
        gross = not self.meets_confidence(_VERY_WIDE)
        why = (
            "This suggests significant environmental influence." if gross else "This could indicate system fluctuation."
        )
        share = self.iqr / self.median * 100
        return f"\n  WARNING: Interquartile range is {share:.1f}% of the median measurement.\n           {why}"

    @property
    def title(self) -> str:
        """The task's."""
        return self.task_spec.title

    @property
    def as_row_name(self) -> str:
        """How a table calls it."""
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def __repr__(self) -> str:
        n, threads = len(self.raw_times), self.task_spec.num_threads
        unit, scale = select_unit(self.median)
        low, high = (each / scale for each in self._quartiles())
        lines = [
            object.__repr__(self),
            self.task_spec.summarize(),
            f"  {'Median: ' if n > 1 else ''}{self.median / scale:.2f} {unit}",
            f"  IQR:    {high - low:.2f} {unit} ({low:.2f} to {high:.2f})",
            f"  {n} measurement{'s' if n > 1 else ''}, {self.number_per_run} runs "
            f"{'per measurement,' if n > 1 else ','} {threads} thread{'s' if threads > 1 else ''}",
        ]
        if n < 4:  # of which quartiles tell nothing
            del lines[3]
        return "\n".join(lines) + self._warning()

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """One for each task: of the times of all that are of it, each of a single run."""
        times: dict[TaskSpec, list[float]] = {}
        for each in measurements:
            times.setdefault(each.task_spec, []).extend(each.times)
        return [Measurement(1, found, task) for task, found in times.items()]


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


_UNITS = {"ns": (1e-9, "nanosecond"), "us": (1e-6, "microsecond"), "ms": (1e-3, "millisecond"), "s": (1.0, "second")}


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which a time is a number of one to three digits, and how long that is.

    Examples
    --------
    >>> from retrograd.utils.benchmark import select_unit
    >>> select_unit(3e-5)
    ('us', 1e-06)
    """
    unit = {-3: "ns", -2: "us", -1: "ms"}.get(int(math.log10(t) // 3), "s")
    return unit, _UNITS[unit][0]


def unit_to_english(u: str) -> str:
    """The unit's name."""
    return _UNITS[u][1]


def trim_sigfig(x: float, n: int) -> float:
    """`x` rounded to `n` significant figures.

    Examples
    --------
    >>> from retrograd.utils.benchmark import trim_sigfig
    >>> trim_sigfig(3.14159, 2)
    3.1
    """
    if n != int(n):
        raise AssertionError("Number of significant figures must be an integer")
    return round(x, int(n) - math.ceil(math.log10(abs(x))))


def ordered_unique(elements: Iterable[Any]) -> list[Any]:
    """Each element once, in the order in which they came first."""
    return [*dict.fromkeys(elements)]


@contextlib.contextmanager
def set_torch_threads(n: int) -> Iterator[None]:
    """A context with that many threads for an operator."""
    before = get_num_threads()
    try:
        set_num_threads(n)
        yield
    finally:
        set_num_threads(before)
