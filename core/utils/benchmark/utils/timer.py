"""Times a statement."""

from __future__ import annotations

import enum
import statistics
import textwrap
import timeit
from collections.abc import Callable
from typing import Any, NoReturn

from retrograd.device import current_kernels
from retrograd.utils.benchmark.utils.common import Measurement, TaskSpec, set_torch_threads

__all__ = ["Language", "Timer", "timer"]

_MOST_RUNS = 2**31 - 1


def timer() -> float:
    """Seconds from some moment on, once the current backend has done what it was asked for."""
    wait = current_kernels().wait
    if wait is not None:
        wait()
    return timeit.default_timer()


class Language(enum.Enum):
    """What a statement is written in."""

    PYTHON = 0
    CPP = 1


class Timer:
    """Times a Python statement.

    As `timeit.Timer`, but warmed up, with a set number of threads, waiting for backends that compute ahead, and with
    results that know what they are of.

    Parameters
    ----------
    stmt, setup
        What is timed, and what runs once before. `torch` is retrograd in both, unless `globals` says otherwise.
    timer
        Gives the time, in seconds.
    globals
        What names mean in both.
    label, sub_label, description, env
        Texts for tables: of the whole, of the row, of the column, of the circumstances.
    num_threads
        How many threads an operator may use.
    language
        Python; C++ is not timed here.

    Raises
    ------
    ValueError
        If `stmt` is no text, or for another language or a `global_setup`, which is one of C++.
    NotImplementedError
        For C++.

    Source: https://docs.pytorch.org/docs/stable/benchmark_utils.html#torch.utils.benchmark.Timer

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils.benchmark import Timer
    >>> found = Timer("x @ x", "x = torch.ones(4, 4)", label="product").timeit(100)
    >>> found.number_per_run, found.title, found.mean > 0
    (100, 'product', True)
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: Language | str = Language.PYTHON,
    ) -> None:
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if language in (Language.CPP, "cpp", "c++"):
            raise NotImplementedError("statements in C++ are not timed here")
        if language not in (Language.PYTHON, "py", "python"):
            raise ValueError(f"Invalid language `{language}`.")
        if global_setup:
            raise ValueError(
                f"global_setup is C++ only, got `{global_setup}`. Most likely this code can simply be moved to `setup`."
            )
        import retrograd

        self._globals = {"torch": retrograd, **(globals or {})}
        stmt, setup = _without_indent(stmt), _without_indent(setup)
        self._timer = timeit.Timer(stmt, setup, timer, self._globals)
        self._task_spec = TaskSpec(stmt, setup, global_setup, label, sub_label, description, env, num_threads)

    def _timeit(self, number: int) -> float:
        return max(self._timer.timeit(number), 1e-9)  # never 0

    def timeit(self, number: int = 1000000) -> Measurement:
        """One time, of `number` runs."""
        with set_torch_threads(self._task_spec.num_threads):
            self._timeit(max(int(number // 100), 2))  # to warm up
            return Measurement(number, [self._timeit(number)], self._task_spec)

    def repeat(self, repeat: int = -1, number: int = -1) -> NoReturn:
        """Refused: see `blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback: Any = None) -> NoReturn:
        """Refused: see `blocked_autorange`."""
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def blocked_autorange(
        self, callback: Callable[[int, float], Any] | None = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Times of blocks of runs, as long as all together take `min_run_time` seconds.

        A block has so many runs that asking for the time does not count.

        Parameters
        ----------
        callback
            Is called with the number of runs and the time of each block.
        """
        with set_torch_threads(self._task_spec.num_threads):
            number = self._runs_in_block(min_run_time)
            return self._measured(number, lambda times: True, min_run_time, None, callback)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Callable[[int, float], Any] | None = None,
    ) -> Measurement:
        """As `blocked_autorange`, until the middle half of the times differ by less than a share of their median.

        Parameters
        ----------
        threshold
            The share.
        min_run_time, max_run_time
            Seconds that all takes at least, and after which it ends in any case.
        """

        def is_enough(times: list[float]) -> bool:
            return len(times) > 3 and Measurement(number, times, self._task_spec).meets_confidence(threshold)

        with set_torch_threads(self._task_spec.num_threads):
            number = self._runs_in_block(0.05)
            return self._measured(number, is_enough, min_run_time, max_run_time, callback)

    def _measured(
        self,
        number: int,
        is_enough: Callable[[list[float]], bool],
        least: float,
        most: float | None,
        callback: Callable[[int, float], Any] | None,
    ) -> Measurement:
        times: list[float] = []
        while sum(times) < least or not is_enough(times):
            times.append(self._timeit(number))
            if callback is not None:
                callback(number, times[-1])
            if most and sum(times) > most:
                break
        return Measurement(number, times, self._task_spec)

    def _runs_in_block(self, least: float) -> int:
        """So many that what it costs to begin and end a block is nothing against them. It warms up, too."""
        overhead = statistics.median_low(self._timeit(0) for _ in range(5))
        number = 1
        while True:
            taken = self._timeit(number)
            is_negligible = overhead / taken <= 1e-4 and taken >= least / 1000
            if is_negligible or taken > least or number * 10 > _MOST_RUNS:
                return number
            number *= 10

    def collect_callgrind(self, number: int = 100, **options: Any) -> NoReturn:
        """Raises: instructions are not counted here."""
        raise NotImplementedError("collect_callgrind(): instructions are not counted here")


def _without_indent(code: str) -> str:
    """Code as it stands in a text that is indented with the function it is in."""
    return textwrap.dedent(code).removeprefix("\n").rstrip()
