"""PyTorch's newer front of the profiler: `retrograd.autograd.profiler` with a schedule.

Source: https://docs.pytorch.org/docs/stable/profiler.html
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from retrograd.autograd import profiler as _profiler
from retrograd.autograd.profiler import record_function
from retrograd.autograd.profiler_util import EventList

__all__ = [
    "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function", "schedule",
    "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip


class ProfilerActivity(Enum):
    """What to measure. Only time on the host is; the names are accepted."""

    CPU = 0
    XPU = 1
    CUDA = 2


class ProfilerAction(Enum):
    """What the profiler does in one step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """What is measured on this machine."""
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """False: PyTorch's library that measures accelerators is not used here."""
    return False


def tensorboard_trace_handler(
    dir_name: str,
    worker_name: str | None = None,
    use_gzip: bool = False,
    use_python_export: bool = False,
) -> Callable[[profile], None]:
    """An `on_trace_ready` that writes each cycle to a trace file of its own in a folder.

    Parameters
    ----------
    dir_name
        The folder; made if it is not there.
    worker_name
        What the names of the files begin with: by default the machine's name and the number of the process.
    use_gzip
        Compress the files.
    use_python_export
        Accepted: there is one way to write them here.

    Raises
    ------
    RuntimeError
        If the folder cannot be made.

    Source: https://docs.pytorch.org/docs/stable/profiler.html#torch.profiler.tensorboard_trace_handler
    """

    def handler(prof: profile) -> None:
        try:
            os.makedirs(dir_name, exist_ok=True)
        except OSError as error:
            raise RuntimeError(f"Can't create directory: {dir_name}") from error
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        file_name = f"{worker}.{time.time_ns()}.pt.trace.json"
        prof.export_chrome_trace(os.path.join(dir_name, f"{file_name}.gz" if use_gzip else file_name))

    return handler


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """Cycles of `wait` idle steps, `warmup` steps that are not kept and `active` ones that are.

    Parameters
    ----------
    repeat
        How many cycles; 0: without end.
    skip_first
        Idle steps before the first cycle.
    skip_first_wait
        Other than 0: the first cycle begins with its `warmup`.

    Raises
    ------
    AssertionError
        If a number is negative, or `active` is 0.

    Source: https://docs.pytorch.org/docs/stable/profiler.html#torch.profiler.schedule

    Examples
    --------
    >>> from retrograd.profiler import schedule
    >>> [schedule(wait=1, warmup=1, active=2)(step).name for step in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError(
            f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} (need >= 0), "
            f"active={active} (need > 0), repeat={repeat} (need >= 0), skip_first={skip_first} (need >= 0)."
        )
    length = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step >= 0 and skip_first_wait:
            step += wait
        if step < 0 or (repeat and step >= repeat * length):
            return ProfilerAction.NONE
        place = step % length
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def _always(step: int) -> ProfilerAction:
    return ProfilerAction.RECORD


class profile:
    """Record operators and nodes, in all steps or in those of a schedule.

    Parameters
    ----------
    activities
        Accepted: time is measured on the host.
    schedule
        From the number of a step (see `step`) what to do in it.
    on_trace_ready
        Called with this object when the steps of a cycle have been recorded.
    record_shapes, profile_memory, with_stack
        As in `retrograd.autograd.profiler.profile`.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.profiler import profile
    >>> with profile() as prof:
    ...     x = retrograd.ones(3) * 2
    >>> 'aten::mul' in [each.key for each in prof.key_averages()]
    True
    """

    def __init__(
        self,
        *,
        activities: Iterable[Any] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        custom_trace_id_callback: Callable[[], str] | None = None,
        post_processing_timeout_s: float | None = None,
    ) -> None:
        self.schedule = schedule or _always
        self.on_trace_ready = on_trace_ready
        self.step_num = 0
        self.current_action = ProfilerAction.NONE
        self.profiler: _profiler.profile | None = None
        self._options: dict[str, Any] = {
            "record_shapes": record_shapes, "profile_memory": profile_memory, "with_stack": with_stack,
        }  # fmt: skip
        self._recording = False

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with step 0."""
        self._take(self.schedule(self.step_num))

    def stop(self) -> None:
        """End; what has been recorded of an unfinished cycle is handed over too."""
        if self._recording:
            self._end()

    def step(self) -> None:
        """Say that one step of the program has ended and the next begins."""
        if self._recording and self.current_action is ProfilerAction.RECORD_AND_SAVE:
            self._end()
        self.step_num += 1
        self._take(self.schedule(self.step_num))

    def _take(self, action: ProfilerAction) -> None:
        self.current_action = action
        wanted = action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if wanted and not self._recording:
            self.profiler = _profiler.profile(**self._options)
            self.profiler.__enter__()
            self._recording = True

    def _end(self) -> None:
        assert self.profiler is not None
        self.profiler.__exit__(None, None, None)
        self._recording = False
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _finished(self, purpose: str) -> _profiler.profile:
        if self.profiler is None:
            raise AssertionError(f"Profiler must be initialized before {purpose}")
        return self.profiler

    def events(self) -> EventList:
        """All events of the last cycle."""
        return self._finished("accessing events").function_events

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """A sum for each name."""
        return self._finished("getting key averages").key_averages(
            group_by_input_shape, group_by_stack_n, group_by_overload_name
        )

    def export_chrome_trace(self, path: str | Path) -> None:
        """Write a trace file for Perfetto or `chrome://tracing`."""
        self._finished("exporting chrome trace").export_chrome_trace(path)

    def export_stacks(self, path: str | Path, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks for flame-graph tools."""
        self._finished("exporting stacks").export_stacks(path, metric)
