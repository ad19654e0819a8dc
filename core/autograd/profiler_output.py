"""What a profile is written as: a table, laid out as PyTorch's, and a trace for Perfetto."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from retrograd.autograd.profiler_util import FunctionEvent, MemoryRecord

__all__ = ["Widths", "format_memory", "format_time", "table", "write_trace"]


# -- the table -----------------------------------------------------------------------------------


class Widths(NamedTuple):
    """The most that the columns of names, shapes and source lines may take; None: as much as they need."""

    name: int | None
    shapes: int | None
    source: int | None


_NUMBER = 12


class _Column(NamedTuple):
    head: str
    width: int
    cells: list[str]
    left: bool = False


def table(
    events: Sequence[Any],
    rows: Sequence[Any],
    widths: Widths,
    memory: bool,
    time_unit: str | None,
    header: str | None,
    top_level: bool,
) -> str:
    """The rows, in columns as wide as all the events need."""
    if not events:
        return ""
    total = sum(each.self_cpu_time_total for each in events)
    columns = list(_columns(events, rows, widths, memory, time_unit, total))
    rule = "".join("-" * each.width + "  " for each in columns)
    double = "=" * (len(rule) - 2)
    lines = [double, header] if header is not None else []
    if top_level:
        lines += [double, "This report only display top-level ops statistics"]
    cells = zip(*(each.cells for each in columns), strict=True)
    lines += [rule, _line(columns, [each.head for each in columns]), rule]
    lines += [*(_line(columns, row) for row in cells), rule]
    return "\n".join([*lines, f"Self CPU time total: {_time(total, time_unit)}", ""])


def _line(columns: Sequence[_Column], cells: Iterable[str]) -> str:
    return "".join(
        f"{each:<{column.width}}  " if column.left else f"{each:>{column.width}}  "
        for column, each in zip(columns, cells, strict=True)
    )


def _columns(
    events: Sequence[Any], rows: Sequence[Any], widths: Widths, memory: bool, unit: str | None, total: float
) -> Iterator[_Column]:
    width = _width((each.key for each in events), widths.name)
    yield _Column("Name", width, [_cut(each.key, widths.name) for each in rows])
    yield _Column("Self CPU %", _NUMBER, [_percent(each.self_cpu_time_total, total) for each in rows])
    yield _Column("Self CPU", _NUMBER, [_time(each.self_cpu_time_total, unit) for each in rows])
    yield _Column("CPU total %", _NUMBER, [_percent(each.cpu_time_total, total) for each in rows])
    yield _Column("CPU total", _NUMBER, [_time(each.cpu_time_total, unit) for each in rows])
    yield _Column("CPU time avg", _NUMBER, [_time(each.cpu_time, unit) for each in rows])
    if memory:
        yield _Column("CPU Mem", _NUMBER, [format_memory(each.cpu_memory_usage) for each in rows])
        yield _Column("Self CPU Mem", _NUMBER, [format_memory(each.self_cpu_memory_usage) for each in rows])
    yield _Column("# of Calls", _NUMBER, [str(each.count) for each in rows])
    if any(each.input_shapes for each in events):
        width = _width((str(each.input_shapes) for each in events), widths.shapes)
        yield _Column("Input Shapes", width, [str(each.input_shapes)[:width] for each in rows])
    if any(each.stack for each in events):
        width = _width((line for each in events for line in each.stack or ()), widths.source)
        yield _Column("Source Location", width, [_end(each.stack, width) for each in rows], left=True)


def _width(texts: Iterable[str], most: int | None) -> int:
    needed = max(map(len, texts)) + 4
    return needed if most is None else min(needed, most)


def _cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) < most - 3 else text[: most - 3] + "..."


def _end(stack: Sequence[str] | None, width: int) -> str:
    """The first line of a stack, or as much of its end as there is room for."""
    line = stack[0] if stack else ""
    return line if len(line) <= width else "..." + line[len(line) - width + 3 :]


def _percent(part: float, whole: float) -> str:
    return f"{part * 100 / whole:.2f}%" if whole else "NaN"


def _time(microseconds: float, unit: str | None) -> str:
    if unit == "s":
        return f"{microseconds / 1e6:.3f}s"
    if unit == "ms":
        return f"{microseconds / 1e3:.3f}ms"
    return f"{microseconds:.3f}us" if unit == "us" else format_time(microseconds)


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


# -- the trace -----------------------------------------------------------------------------------


def write_trace(
    events: Sequence[FunctionEvent],
    memory: Sequence[MemoryRecord],
    path: str | Path,
    process: int,
    more: Mapping[str, Any],
) -> None:
    """Write the events in the format of `chrome://tracing`, which Perfetto reads, as PyTorch lays it out.

    `more` are members of the document by name, as `baseTimeNanoseconds`: when the times count from.
    """
    found = [*_named(process, {each.thread for each in events}), *_trace(events, process)]
    document = {
        "schemaVersion": 1,
        "deviceProperties": [],
        "displayTimeUnit": "ms",
        **more,
        "traceEvents": [*found, *(_memory_event(each, process) for each in memory)],
        "traceName": str(path),
    }
    text = json.dumps(document).encode()
    Path(path).write_bytes(gzip.compress(text) if str(path).endswith(".gz") else text)


def _named(process: int, threads: Iterable[int]) -> Iterator[dict[str, Any]]:
    """The names of the rows that a viewer shows."""
    yield {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "ts": 0, "args": {"name": "python"}}
    for each in sorted(threads):
        arguments = {"name": f"thread {each} (python)"}
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": each, "ts": 0, "args": arguments}


def _trace(events: Sequence[FunctionEvent], process: int) -> Iterator[dict[str, Any]]:
    forwards: dict[int, FunctionEvent] = {}
    for number, each in enumerate(events):
        if each.name == "[memory]":
            continue
        place = {"pid": process, "tid": each.thread, "ts": each.time_range.start}
        yield {
            "ph": "X", "cat": "user_annotation" if each.scope == 7 else "cpu_op", "name": each.trace_name, **place,
            "dur": each.time_range.elapsed_us(), "args": _arguments(each, number),
        }  # fmt: skip
        if each.scope == 0 and each.sequence_nr >= 0 and not each.is_backward:
            forwards.setdefault(each.sequence_nr, each)
        elif each.scope == 1 and each.sequence_nr in forwards:
            start = forwards[each.sequence_nr]
            flow = {"cat": "fwdbwd", "name": "fwdbwd", "id": each.id, "pid": process}
            yield {"ph": "s", **flow, "tid": start.thread, "ts": start.time_range.start}
            yield {"ph": "f", "bp": "e", **flow, "tid": each.thread, "ts": each.time_range.start}


def _arguments(event: FunctionEvent, number: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {"External id": event.id, "Record function id": 0, "Ev Idx": number}
    if event.sequence_nr >= 0:
        arguments |= {"Sequence number": event.sequence_nr, "Fwd thread id": event.fwd_thread or 0}
    if event.input_shapes:
        arguments["Input Dims"] = event.input_shapes
    if event.self_cpu_memory_usage:
        arguments["Bytes"] = event.self_cpu_memory_usage
    if event.stack:
        arguments["Call stack"] = ";".join(event.stack)
    return arguments


def _memory_event(record: MemoryRecord, process: int) -> dict[str, Any]:
    arguments = {
        "Total Reserved": 0, "Total Allocated": record.total, "Bytes": record.size, "Device Id": -1, "Device Type": 0,
        "Addr": record.address,
    }  # fmt: skip
    return {
        "ph": "i", "cat": "cpu_instant_event", "s": "t", "name": "[memory]", "pid": process, "tid": record.thread,
        "ts": record.time, "args": arguments,
    }  # fmt: skip
