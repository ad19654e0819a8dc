"""Events of the profiler: one per call of an operator or node, sums over them, the table and the trace file.

Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.profiler.profile
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from retrograd.autograd import profiler_output
from retrograd.autograd.profiler_output import format_time as _format_time

__all__ = ["EVALUATION", "DeviceType", "EventList", "FunctionEvent", "FunctionEventAvg", "Interval", "MemoryRecord"]

EVALUATION: Final = "autograd::engine::evaluate_function: "
"""What the names of events begin with that are the turn of a node in a backward pass."""

_STEP: Final = "ProfilerStep#"
"""What those of the steps of a schedule begin with; all count under one name."""


DeviceType = Enum(
    "DeviceType",
    "CPU CUDA MKLDNN OPENGL OPENCL IDEEP HIP FPGA MAIA XLA Vulkan Metal XPU MPS Meta HPU VE Lazy IPU MTIA PrivateUse1",
    start=0,
)
"""Where an event ran. Here all are on the host."""


class MemoryRecord(NamedTuple):
    """An allocation, or (negative) a release, and what is allocated after it."""

    time: float
    thread: int
    size: int
    total: int
    address: int


class Interval:
    """A stretch of time, in microseconds since the profiler was entered."""

    __slots__ = ("end", "start")

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end

    def elapsed_us(self) -> float:
        return self.end - self.start

    def __repr__(self) -> str:
        return f"Interval({self.start:.3f}, {self.end:.3f})"


class _Measured:
    """The derived numbers and their texts, for a call and for a sum of calls."""

    count: int
    cpu_time_total: float
    self_cpu_time_total: float
    cpu_memory_usage: int
    self_cpu_memory_usage: int

    @property
    def cpu_time(self) -> float:
        """Microseconds per call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        return _format_time(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        return _format_time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        return _format_time(self.self_cpu_time_total)

    # What programs ask of PyTorch's events and what has no meaning here: there are no events of devices.
    is_async = is_remote = is_legacy = False
    node_id = -1
    device_type = DeviceType.CPU
    use_device = None
    overload_name = ""
    flops = 0
    device_time = device_time_total = self_device_time_total = 0.0
    cuda_time = cuda_time_total = self_cuda_time_total = 0.0
    device_memory_usage = self_device_memory_usage = cuda_memory_usage = self_cuda_memory_usage = 0


class FunctionEvent(_Measured):
    """One call of an operator, a node of a backward pass, or a region named by `record_function`.

    Attributes
    ----------
    name
        `aten::mul` for an operator, `MulBackward0` for a node, or the region's name.
    sequence_nr
        That of the node: the same for the operator's call and for its part of the backward pass; -1
        if no node was recorded.
    time_range
        When it ran.
    thread, fwd_thread
        The system's number of the thread; for a node also that of the operator's call.
    cpu_memory_usage
        Bytes allocated for results, by this call and those inside; views allocate nothing.
    input_shapes, stack
        If the profiler was asked for them.
    scope
        0 for an operator, and for the turn of a node in a backward pass; 1 for the node itself, 7 for a named region.
    cpu_parent, cpu_children
        The event that was running when it began, None after the last list of events that has it is gone; and those that
        began inside of it.
    """

    count = 1
    fwd_thread: int | None = None

    def __init__(self, name: str, scope: int, thread: int, parent: FunctionEvent | None) -> None:
        self.id = 0
        self.trace_name = name
        self.name = self.key = "ProfilerStep*" if name.startswith(_STEP) else name
        self.scope = scope
        self.thread = thread
        self._parent = None if parent is None else weakref.ref(parent)  # so that events free each other
        self.cpu_children: list[FunctionEvent] = []
        self.sequence_nr = -1
        self.input_shapes: list[Any] = []
        self.stack: list[str] = []
        self.self_cpu_memory_usage = 0
        self.time_range = Interval(0.0, 0.0)
        if parent is not None:
            parent.cpu_children.append(self)

    @property
    def cpu_parent(self) -> FunctionEvent | None:
        return None if self._parent is None else self._parent()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_parent": self.cpu_parent}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parent = state.pop("_parent")
        vars(self).update(state, _parent=None if parent is None else weakref.ref(parent))

    @property
    def is_user_annotation(self) -> bool:
        return self.scope == 7

    @property
    def is_backward(self) -> bool:
        """Whether it is a node of a backward pass, or the turn of one."""
        return self.scope == 1 or self.name.startswith(EVALUATION)

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        return self.cpu_time_total - sum(each.cpu_time_total for each in self.cpu_children)

    @property
    def cpu_memory_usage(self) -> int:  # type: ignore[override]
        total, stack = 0, [self]
        while stack:
            event = stack.pop()
            total += event.self_cpu_memory_usage
            stack += event.cpu_children
        return total

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} overload_name= device_type={self.device_type} node_id=-1 "
            f"cpu_time={self.cpu_time_str} start_us={self.time_range.start} end_us={self.time_range.end} "
            f"cpu_children={[each.id for each in self.cpu_children]} None_time=0.000us name={self.name} "
            f"thread={self.thread} input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage} "
            f"None_memory_usage=0 is_async=False is_remote=False seq_nr={self.sequence_nr} is_legacy=False>"
        )


class FunctionEventAvg(_Measured):
    """The sum of all calls of one name."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.count = 0
        self.cpu_time_total = 0.0
        self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = 0
        self.self_cpu_memory_usage = 0
        self.input_shapes: Any = None
        self.stack: list[str] | None = None
        self.is_user_annotation = False

    def add(self, other: FunctionEvent) -> FunctionEventAvg:
        """Count one more call."""
        if self.key is None:
            self.key = other.key
        if not self.count:
            self.input_shapes, self.stack = other.input_shapes, other.stack
            self.is_user_annotation = other.is_user_annotation
        self.count += 1
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.cpu_memory_usage += other.cpu_memory_usage
        self.self_cpu_memory_usage += other.self_cpu_memory_usage
        return self

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str}  self_cuda_time=0.000us cuda_time=0.000us "
            f"input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage} cuda_memory_usage=0>"
        )


class EventList(list[Any]):
    """Events, or sums of events, with what can be made of them."""

    def __init__(
        self,
        events: Iterable[Any] = (),
        profile_memory: bool = False,
        with_stack: bool = False,
        memory: Iterable[MemoryRecord] = (),
        trace: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(events)
        self._profile_memory = profile_memory
        self._with_stack = with_stack
        self._memory = list(memory)
        self._trace = dict(trace or {})  # what else a trace file says

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds, each counted once."""
        return sum(each.self_cpu_time_total for each in self)

    def total_average(self) -> FunctionEventAvg:
        """The sum of all."""
        total = FunctionEventAvg("Total")
        for each in self:
            total.add(each)
        total.key = "Total"
        return total

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """A sum for each name; and, if asked for, for each of its input shapes or last lines of its stack."""
        sums: dict[Any, FunctionEventAvg] = {}
        for each in self:
            key = [each.key, each.is_user_annotation]
            if group_by_input_shapes:
                key.append(str(each.input_shapes))
            if group_by_stack_n:
                key += each.stack[:group_by_stack_n]
            sums.setdefault(tuple(key), FunctionEventAvg()).add(each)
        for each in sums.values():
            if not group_by_input_shapes:
                each.input_shapes = ""
            each.stack = (each.stack or [])[:group_by_stack_n]
        return EventList(sums.values(), self._profile_memory, self._with_stack)

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int | None = 75,
        max_name_column_width: int | None = 55,
        max_shapes_column_width: int | None = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """The numbers as text, a row for each name.

        Parameters
        ----------
        sort_by
            An attribute of the events, as `cpu_time`, `cpu_time_total`, `self_cpu_time_total`,
            `cpu_memory_usage`, `self_cpu_memory_usage` or `count`; descending.
        row_limit
            At most so many rows; -1: all.
        top_level_events_only
            Only events that are inside of no other.
        time_unit
            `"s"`, `"ms"` or `"us"` for all times; by default whichever fits each.

        Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.profiler.profile.table
        """
        events = list(self)
        if sort_by is not None:
            events.sort(key=lambda each: getattr(each, sort_by), reverse=True)
        rows = [each for each in events if not top_level_events_only or getattr(each, "cpu_parent", None) is None]
        widths = profiler_output.Widths(max_name_column_width, max_shapes_column_width, max_src_column_width)
        return profiler_output.table(
            events, rows[:row_limit] if row_limit >= 0 else rows, widths, self._profile_memory, time_unit, header,
            top_level_events_only,
        )  # fmt: skip

    def export_chrome_trace(self, path: str | Path) -> None:
        """Write a trace that `chrome://tracing` and Perfetto open; arrows lead from a call to its backward."""
        profiler_output.write_trace(self, self._memory, path, os.getpid(), self._trace)

    def export_stacks(self, path: str | Path, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks, with the microseconds spent in each, in the form that flame-graph tools read."""
        if metric != "self_cpu_time_total":
            raise ValueError("metric should be one of: ['self_cpu_time_total']")
        lines = [
            ";".join(reversed(each.stack)) + f" {int(each.self_cpu_time_total)}"
            for each in self
            if each.stack and int(each.self_cpu_time_total) > 0
        ]
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def __str__(self) -> str:
        return self.table()
