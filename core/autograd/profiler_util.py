"""Events of the profiler: one per call of an operator or node, sums over them, the table and the trace file.

Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.profiler.profile
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Interval"]


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
        return format_time(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        return format_time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        return format_time(self.self_cpu_time_total)


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
        0 for an operator, 1 for a node of a backward pass, 7 for a named region.
    """

    count = 1
    fwd_thread: int | None = None

    def __init__(self, name: str, scope: int, thread: int, parent: FunctionEvent | None) -> None:
        self.id = 0
        self.name = self.key = self.trace_name = name
        self.scope = scope
        self.thread = thread
        self.cpu_parent = parent
        self.cpu_children: list[FunctionEvent] = []
        self.sequence_nr = -1
        self.input_shapes: list[Any] = []
        self.stack: list[str] = []
        self.self_cpu_memory_usage = 0
        self.time_range = Interval(0.0, 0.0)
        if parent is not None:
            parent.cpu_children.append(self)

    @property
    def is_user_annotation(self) -> bool:
        return self.scope == 7

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
            f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} "
            f"start_us={self.time_range.start:.3f} end_us={self.time_range.end:.3f} "
            f"cpu_children={[each.id for each in self.cpu_children]} thread={self.thread} "
            f"input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage}>"
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
        self.input_shapes: list[Any] | None = None
        self.stack: list[str] | None = None
        self.is_user_annotation = False

    def add(self, event: FunctionEvent) -> FunctionEventAvg:
        """Count one more call."""
        if self.key is None:
            self.key = event.key
        if not self.count:
            self.input_shapes, self.stack = event.input_shapes, event.stack
            self.is_user_annotation = event.is_user_annotation
        self.count += 1
        self.cpu_time_total += event.cpu_time_total
        self.self_cpu_time_total += event.self_cpu_time_total
        self.cpu_memory_usage += event.cpu_memory_usage
        self.self_cpu_memory_usage += event.self_cpu_memory_usage
        return self

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str} input_shapes={self.input_shapes} "
            f"cpu_memory_usage={self.cpu_memory_usage}>"
        )


class EventList(list[Any]):
    """Events, or sums of events, with what can be made of them."""

    def __init__(self, events: Iterable[Any] = (), profile_memory: bool = False, with_stack: bool = False) -> None:
        super().__init__(events)
        self._profile_memory = profile_memory
        self._with_stack = with_stack

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

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """A sum for each name; and, if asked for, for each of its input shapes or last lines of its stack."""
        sums: dict[Any, FunctionEventAvg] = {}
        for each in self:
            key = [each.key]
            if group_by_input_shape:
                key.append(str(each.input_shapes))
            if group_by_stack_n:
                key += each.stack[:group_by_stack_n]
            sums.setdefault(tuple(key), FunctionEventAvg()).add(each)
        for each in sums.values():
            if not group_by_input_shape:
                each.input_shapes = None
            each.stack = (each.stack or [])[:group_by_stack_n]
        return EventList(sums.values(), self._profile_memory, self._with_stack)

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """The numbers as text, a row for each name.

        Parameters
        ----------
        sort_by
            One of `cpu_time`, `cpu_time_total`, `self_cpu_time_total`, `cpu_memory_usage`,
            `self_cpu_memory_usage`, `count`; descending.
        row_limit
            At most so many rows.
        """
        rows = list(self)
        if sort_by is not None:
            rows.sort(key=lambda each: getattr(each, sort_by), reverse=True)
        if top_level_events_only:
            rows = [each for each in rows if getattr(each, "cpu_parent", None) is None]
        rows = rows[:row_limit] if row_limit >= 0 else rows
        columns = list(self._columns(rows, max_name_column_width, max_shapes_column_width, max_src_column_width))
        return _laid_out(columns, header, self.self_cpu_time_total)

    def _columns(self, rows: list[Any], name: int, shapes: int, source: int) -> Iterator[tuple[str, int, list[str]]]:
        """(head, width, cells) of each column."""
        total = self.self_cpu_time_total
        names = [_cut(each.key, name) for each in rows]
        yield "Name", max([len(each) for each in names] + [4]) + 2, names
        yield "Self CPU %", 12, [_percent(each.self_cpu_time_total, total) for each in rows]
        yield "Self CPU", 12, [each.self_cpu_time_total_str for each in rows]
        yield "CPU total %", 12, [_percent(each.cpu_time_total, total) for each in rows]
        yield "CPU total", 12, [each.cpu_time_total_str for each in rows]
        yield "CPU time avg", 12, [each.cpu_time_str for each in rows]
        if self._profile_memory:
            yield "CPU Mem", 12, [format_memory(each.cpu_memory_usage) for each in rows]
            yield "Self CPU Mem", 12, [format_memory(each.self_cpu_memory_usage) for each in rows]
        yield "# of Calls", 12, [str(each.count) for each in rows]
        if any(each.input_shapes for each in rows):
            cells = [_cut(str(each.input_shapes), shapes) for each in rows]
            yield "Input Shapes", max([len(each) for each in cells] + [12]) + 2, cells
        if self._with_stack and any(each.stack for each in rows):
            cells = [_cut(each.stack[0], source) if each.stack else "" for each in rows]
            yield "Source Location", max([len(each) for each in cells] + [15]) + 2, cells

    def export_chrome_trace(self, path: str | Path) -> None:
        """Write a trace that `chrome://tracing` and Perfetto open; arrows lead from a call to its backward."""
        Path(path).write_text(json.dumps({"traceEvents": _trace(self)}), encoding="utf-8")

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


def _laid_out(columns: list[tuple[str, int, list[str]]], header: str | None, total: float) -> str:
    def line(cells: Iterable[str]) -> str:
        return "".join(f"{each:>{width}}  " for each, (_, width, _) in zip(cells, columns, strict=True))

    rule = line("-" * width for _, width, _ in columns)
    head = [] if header is None else ["=" * len(rule), header]
    rows = [line(cells) for cells in zip(*(cells for _, _, cells in columns), strict=True)]
    body = [*head, rule, line(head for head, _, _ in columns), rule, *rows, rule]
    return "\n".join([*body, f"Self CPU time total: {format_time(total)}", ""])


def _trace(events: Iterable[FunctionEvent]) -> list[dict[str, Any]]:
    """The list of events of Chrome's trace format."""
    process = os.getpid()
    found: list[dict[str, Any]] = []
    forwards: dict[int, FunctionEvent] = {}
    for each in events:
        arguments: dict[str, Any] = {"Sequence number": each.sequence_nr}
        if each.input_shapes:
            arguments["Input Dims"] = each.input_shapes
        if each.self_cpu_memory_usage:
            arguments["Bytes"] = each.self_cpu_memory_usage
        if each.stack:
            arguments["Call stack"] = ";".join(each.stack)
        place = {"pid": process, "tid": each.thread, "ts": each.time_range.start}
        found.append({
            "ph": "X", "cat": "user_annotation" if each.scope == 7 else "cpu_op", "name": each.name,
            "dur": each.time_range.elapsed_us(), **place, "args": arguments,
        })  # fmt: skip
        if each.scope == 0 and each.sequence_nr >= 0:
            forwards.setdefault(each.sequence_nr, each)
        elif each.scope == 1 and each.sequence_nr in forwards:
            start = forwards[each.sequence_nr]
            flow = {"cat": "fwdbwd", "name": "fwdbwd", "id": each.id, "pid": process}
            found.append({"ph": "s", **flow, "tid": start.thread, "ts": start.time_range.start})
            found.append({"ph": "f", "bp": "e", **flow, "tid": each.thread, "ts": each.time_range.start})
    return found


def _cut(text: str, width: int) -> str:
    return text if width <= 0 or len(text) <= width else text[: width - 3] + "..."


def _percent(part: float, whole: float) -> str:
    return f"{part * 100 / whole:.2f}%" if whole else "NaN"


def format_time(microseconds: float) -> str:
    """`1.500us`, `2.000ms` or `3.000s`."""
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3f}s"
    if microseconds >= 1e3:
        return f"{microseconds / 1e3:.3f}ms"
    return f"{microseconds:.3f}us"


def format_memory(nbytes: int) -> str:
    """`12 B`, `1.50 KB`, `2.00 MB` or `3.00 GB`."""
    for unit, size in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if abs(nbytes) >= size:
            return f"{nbytes / size:.2f} {unit}"
    return f"{nbytes} B"
