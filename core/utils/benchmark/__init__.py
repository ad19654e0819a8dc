"""Timing statements, and tables that compare them.

Source: https://docs.pytorch.org/docs/stable/benchmark_utils.html
"""

from __future__ import annotations

from retrograd.utils.benchmark.utils.common import (
    Measurement,
    TaskSpec,
    ordered_unique,
    select_unit,
    set_torch_threads,
    trim_sigfig,
    unit_to_english,
)
from retrograd.utils.benchmark.utils.compare import Colorize, Compare
from retrograd.utils.benchmark.utils.timer import Language, Timer, timer

__all__ = [
    "Colorize", "Compare", "Language", "Measurement", "TaskSpec", "Timer", "ordered_unique", "select_unit",
    "set_torch_threads", "timer", "trim_sigfig", "unit_to_english",
]  # fmt: skip
