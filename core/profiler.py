"""PyTorch's newer front of the profiler: `retrograd.autograd.profiler` with a schedule.

Source: https://docs.pytorch.org/docs/stable/profiler.html
"""

from __future__ import annotations

import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from retrograd.autograd import profiler as _profiler
from retrograd.autograd.profiler import kineto_available, record_function
from retrograd.autograd.profiler_util import EventList

__path__: list[str] = []  # PyTorch has a package here: its modules are found by `retrograd.places`
__all__ = [
    "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function", "schedule",
    "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip


class ProfilerActivity(Enum):
    """What to measure. Only time on the host is; the names are accepted."""

    CPU = 0
    XPU = 1
    CUDA = 2
    HPU = 3
    MTIA = 4
    PrivateUse1 = 5


class ProfilerAction(Enum):
    """What the profiler does in one step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3
    DEVICE_STOPPED = 4


def supported_activities() -> set[ProfilerActivity]:
    """What is measured on this machine."""
    return {ProfilerActivity.CPU}


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
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)
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


_RECORDING: Final = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


@cache
def _warn_of_cleared_events() -> None:
    """Once per process, as PyTorch does."""
    warnings.warn(
        "Warning: Profiler clears events at the end of each cycle. Only events from the current cycle will be "
        "reported. To keep events across cycles, set acc_events=True.",
        stacklevel=5,
    )


def _checked_activities(activities: Iterable[Any] | None) -> set[Any]:
    found = supported_activities() if activities is None else set(activities)
    if not any(isinstance(each, ProfilerActivity) for each in found):
        raise AssertionError("No valid profiler activities found")
    return found


class profile:
    """Record operators and nodes, in all steps or in those of a schedule.

    Parameters
    ----------
    activities
        `ProfilerActivity.CPU` must be among them: time is measured on the host.
    schedule
        From the number of a step (see `step`) what to do in it. Each step that is recorded is an event of its own.
    on_trace_ready
        Called with this object when the steps of a cycle have been recorded.
    record_shapes, profile_memory, with_stack, acc_events, custom_trace_id_callback
        As in `retrograd.autograd.profiler.profile`.
    with_flops, with_modules, experimental_config, execution_trace_observer, post_processing_timeout_s
        Accepted and without effect.

    Raises
    ------
    AssertionError
        If no activity is one; when recording begins, if that of the host is missing.

    Source: https://docs.pytorch.org/docs/stable/profiler.html#torch.profiler.profile

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
        on_trace_ready: Callable[..., Any] | None = None,
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
        if use_cuda is not None:
            text = "`use_cuda` is deprecated, use `activities` argument instead"
            warnings.warn(text, FutureWarning, stacklevel=2)
        self.activities = _checked_activities(activities)
        self.record_steps = schedule is not None
        self.schedule = schedule or _always
        self.on_trace_ready = on_trace_ready
        self.acc_events = acc_events
        self.custom_trace_id_callback = custom_trace_id_callback
        self.step_num = 0
        self.current_action = self._action()
        self.step_rec_fn: record_function | None = None
        self.profiler: _profiler.profile | None = None
        self.preset_metadata: dict[str, str] = {}
        self._options: dict[str, Any] = {
            "record_shapes": record_shapes, "profile_memory": profile_memory, "with_stack": with_stack,
            "acc_events": acc_events,
        }  # fmt: skip

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- steps -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with step 0."""
        self._change(ProfilerAction.NONE, self.current_action)
        self._begin_step()

    def stop(self) -> None:
        """End; what has been recorded of an unfinished cycle is handed over too."""
        self._end_step()
        self._change(self.current_action, None)

    def step(self) -> None:
        """Say that one step of the program has ended and the next begins."""
        self._end_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = self._action()
        self._change(before, self.current_action)
        self._begin_step()

    def _action(self) -> ProfilerAction:
        action = self.schedule(self.step_num)
        if action is ProfilerAction.DEVICE_STOPPED:
            raise ValueError(
                "ProfilerAction.DEVICE_STOPPED is set internally by the profiler and must not be returned by a "
                "user-provided schedule"
            )
        return action

    def _begin_step(self) -> None:
        if self.record_steps:
            self.step_rec_fn = record_function(f"ProfilerStep#{self.step_num}")
            self.step_rec_fn.__enter__()

    def _end_step(self) -> None:
        if self.step_rec_fn is not None:
            self.step_rec_fn.__exit__(None, None, None)
            self.step_rec_fn = None

    def _change(self, before: ProfilerAction, after: ProfilerAction | None) -> None:
        """Go from what is done in one step to what is done in the next; None: there is none."""
        saves = before is ProfilerAction.RECORD_AND_SAVE or (before is ProfilerAction.RECORD and after is None)
        goes_on = before is ProfilerAction.RECORD and after in _RECORDING
        is_dropped = before is ProfilerAction.WARMUP and after in (ProfilerAction.NONE, None)
        if after is not None and not saves and not goes_on and (before in _RECORDING or is_dropped):
            warnings.warn(f"Incorrect schedule: {before.name} followed by {after.name}", stacklevel=3)
        if is_dropped:
            self.start_trace()
        if (before in _RECORDING and not goes_on) or is_dropped:
            self.stop_trace()
        if saves and self.on_trace_ready is not None:
            self.on_trace_ready(self)
        if after is ProfilerAction.WARMUP or after in _RECORDING:
            if not goes_on and before is not ProfilerAction.WARMUP:
                self.prepare_trace()
            if after in _RECORDING and not goes_on:
                self.start_trace()

    # -- the trace -------------------------------------------------------------------------------

    def prepare_trace(self) -> None:
        """Get ready to record; what has been recorded is let go of, unless events accumulate."""
        for each in (ProfilerActivity.CUDA, ProfilerActivity.XPU):
            if each in self.activities:
                text = f"{each.name} is not available, disabling {each.name} profiling"
                warnings.warn(text, stacklevel=4)
        if ProfilerActivity.CPU not in self.activities:
            raise AssertionError("No activities specified for the profiler")
        if self.profiler is not None:
            if self.acc_events:
                return
            _warn_of_cleared_events()
        made = self.profiler = _profiler.profile(**self._options)
        made.custom_trace_id_callback = self.custom_trace_id_callback

    def start_trace(self) -> None:
        """Record from now on."""
        self._made("starting trace")._start_trace()

    def stop_trace(self) -> None:
        """Record no more."""
        self._made("stopping trace").__exit__(None, None, None)

    def toggle_collection_dynamic(self, enable: bool, activities: Iterable[ProfilerActivity]) -> None:
        """Within a trace, stop recording `activities`, or go on with it.

        Examples
        --------
        >>> import retrograd
        >>> from retrograd.profiler import ProfilerActivity, profile
        >>> x = retrograd.ones(3)
        >>> with profile() as prof:
        ...     x = x.exp()
        ...     prof.toggle_collection_dynamic(False, [ProfilerActivity.CPU])
        ...     x = x.sin()
        >>> [each.name for each in prof.events()]
        ['aten::exp']
        """
        if self.profiler is not None:
            self.profiler.toggle_collection_dynamic(enable, activities)

    def set_custom_trace_id_callback(self, callback: Callable[[], str]) -> None:
        """Let `callback` give the numbers of the next traces."""
        self.custom_trace_id_callback = callback

    def get_trace_id(self) -> str | None:
        """The number of the last trace; None before the first."""
        return None if self.profiler is None else self.profiler.trace_id

    def add_metadata(self, key: str, value: str) -> None:
        """Add a member to trace files: a text."""
        self.preset_metadata[key] = json.dumps(value)

    def add_metadata_json(self, key: str, value: str) -> None:
        """Add a member to trace files: `value`, which is JSON."""
        self.preset_metadata[key] = value

    def preset_metadata_json(self, key: str, value: str) -> None:
        """`add_metadata_json`, before the profiler has begun."""
        self.preset_metadata[key] = value

    def _made(self, purpose: str) -> _profiler.profile:
        if self.profiler is None:
            raise AssertionError(f"Profiler must be initialized before {purpose}")
        return self.profiler

    def events(self) -> EventList:
        """All events of the last cycle."""
        return self._made("accessing events").function_events

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """A sum for each name."""
        return self._made("getting key averages").key_averages(
            group_by_input_shape, group_by_stack_n, group_by_overload_name
        )

    def export_chrome_trace(self, path: str | Path, use_python_export: bool = False) -> None:
        """Write a trace file for Perfetto or `chrome://tracing`."""
        self._made("exporting chrome trace").export_chrome_trace(path, self.preset_metadata)

    def export_stacks(self, path: str | Path, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks for flame-graph tools."""
        self._made("exporting stacks").export_stacks(path, metric)
