"""The profiler: what each operator and each node of the backward pass takes in time and memory.

While it is off it costs nothing: it is a field of the `Mode`, so that operators compare the mode with
the two plain ones as ever and come here only from their general path, and the engine looks once per
pass. While it is on, it sees the calls of this thread or task (and of tasks started in it) by
operators, views, in-place writes, nodes and leaves; a function made of operators, like `matmul`,
shows as those. A backward pass runs its formulas operator by operator, so that each shows inside of
its node; without a profiler they run on raw arrays, and on JAX are compiled, which takes less time.

Memory is what the results of a call occupy, each array once, so it is the same in every run and on every
backend. What is freed counts against the event that runs then, or, outside of all, against one called
`[memory]`, as in PyTorch.

Source: https://docs.pytorch.org/docs/stable/autograd.html#profiler
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
import traceback
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from retrograd.autograd.anomaly import frames_of_caller
from retrograd.autograd.modes import Mode, current_mode, set_mode
from retrograd.autograd.node import name_of
from retrograd.autograd.profiler_util import (
    EVALUATION,
    EventList,
    FunctionEvent,
    FunctionEventAvg,
    Interval,
    MemoryRecord,
)

if TYPE_CHECKING:
    from retrograd.autograd.node import Node

__all__ = [
    "EnforceUnique", "EventList", "FunctionEvent", "FunctionEventAvg", "KinetoStepTracker", "emit_itt", "emit_nvtx",
    "kineto_available", "profile", "record_function",
]  # fmt: skip


def _profiler_enabled() -> bool:
    """Whether a profiler is on in this thread or task."""
    return current_mode().profiler is not None


def kineto_available() -> bool:
    """False: PyTorch's library that measures accelerators is not used here."""
    return False


_running: ContextVar[FunctionEvent | None] = ContextVar("retrograd.profiler", default=None)


class Recorder:
    """What `Mode.profiler` holds while a profiler is on."""

    closed = False

    def __init__(self, record_shapes: bool, profile_memory: bool, with_stack: bool) -> None:
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.events: list[FunctionEvent] = []
        self.memory: list[MemoryRecord] = []
        self.epoch, self.origin = time.time_ns(), time.perf_counter_ns()
        self._plain: dict[Mode, Mode] = {}
        self._live: dict[int, Any] = {}  # weak references to the arrays that have been counted
        self._allocated = 0

    def begin(self, name: str, scope: int, inputs: Sequence[Any] = ()) -> FunctionEvent:
        """Start an event inside the one that is running."""
        event = FunctionEvent(name, scope, threading.get_native_id(), _running.get())
        self.events.append(event)  # one operation, so that threads may share the list
        if self.record_shapes:
            event.input_shapes = _shapes(inputs)
        if self.with_stack:
            event.stack = [_place(each) for each in reversed(frames_of_caller())]
        _running.set(event)
        event.time_range.start = self.now()
        return event

    def note(self, name: str, began: float, result: Any = ()) -> None:
        """An event that has just ended, and in which nothing else has run."""
        event = self.begin(name, 0)
        event.time_range.start = began
        self.end(event, result)

    def now(self) -> float:
        """Microseconds since the profiler was entered."""
        return (time.perf_counter_ns() - self.origin) / 1e3

    def end(self, event: FunctionEvent, results: Any = ()) -> None:
        event.time_range.end = self.now()
        _running.set(event.cpu_parent)
        if self.profile_memory:
            for array, nbytes in _own_arrays(results):
                self._take(array, nbytes, event)

    def close(self) -> None:
        """Count nothing any more, and let go of what is watched."""
        self.closed = True
        self._live.clear()
        self._plain.clear()  # each `Mode` in it holds this recorder

    def _take(self, array: Any, nbytes: int, event: FunctionEvent) -> None:
        """Count an array that `event` has allocated, and note when it is freed."""
        key, size = id(array), nbytes
        if key in self._live:
            return
        try:
            self._live[key] = weakref.ref(array, lambda _: self._free(key, size))
        except TypeError:  # an array of a library that does not tell
            self._live[key] = array
        event.self_cpu_memory_usage += size
        self._note(event.thread, size, key)

    def _free(self, key: int, size: int) -> None:
        if self.closed:
            return
        del self._live[key]
        running = _running.get()
        if running is None:
            running = FunctionEvent("[memory]", 0, threading.get_native_id(), None)
            running.time_range = Interval(self.now(), self.now())
            self.events.append(running)
        running.self_cpu_memory_usage -= size
        self._note(running.thread, -size, key)

    def _note(self, thread: int, size: int, key: int) -> None:
        self._allocated += size
        self.memory.append(MemoryRecord(self.now(), thread, size, self._allocated, key))

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run an operator as an event. What it does inside takes the ordinary way."""
        mode = current_mode()
        inputs = args[1:] if args and not hasattr(args[0], "_array") else args
        event = self.begin(name, 0, inputs)
        result: Any = ()
        set_mode(self._without(mode))
        try:
            result = function(*args, **kwargs)
        finally:
            set_mode(mode)
            self.end(event, () if name.endswith("_") else result)
        edge = getattr(result[0] if isinstance(result, tuple) and result else result, "_edge", None)
        if edge is not None and edge[0]._next_edges:
            event.sequence_nr = edge[0]._seq_nr
        return result

    def group(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Run what is made of operators as an event in which theirs are."""
        event = self.begin(name, 0, [each for each in args if not isinstance(each, int)])
        try:
            result = function(*args)
        finally:
            self.end(event)  # what it gives has been counted within
        return result

    def _without(self, mode: Mode) -> Mode:
        plain = self._plain.get(mode)
        if plain is None:
            plain = mode.but(profiler=None)
            if not self.closed:
                self._plain[mode] = plain
        return plain

    def begin_function(self, name: str, inputs: Sequence[Any], node: Node) -> FunctionEvent:
        """Start the event of a custom Function's `forward`."""
        return self._of_node(self.begin(name, 0, inputs), node)

    def begin_evaluation(self, node: Node) -> FunctionEvent:
        """Start the event of a node's turn: its own, its hooks, and that its gradients are added up."""
        return self._of_node(self.begin(EVALUATION + name_of(node), 0), node)

    def begin_node(self, node: Node, given: Any) -> FunctionEvent:
        """Start the event of a node of the backward pass."""
        return self._of_node(self.begin(name_of(node), 1, given if isinstance(given, list) else (given,)), node)

    def _of_node(self, event: FunctionEvent, node: Node) -> FunctionEvent:
        if node._next_edges:
            event.sequence_nr = node._seq_nr
        return event


@cache
def operator_name(node_name: str) -> str:
    """PyTorch's name of an operator, from that of its node: `aten::log_softmax` of `LogSoftmaxBackward0`."""
    name = re.sub(r"Backwards?\d*$", "", node_name)
    if name == "ToCopy":
        return "aten::_to_copy"
    return "aten::" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _shapes(inputs: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for each in inputs:
        if isinstance(each, (list, tuple)) and each and hasattr(each[0], "_array"):
            found.append([list(part.shape) for part in each])
        else:
            found.append(list(each.shape) if hasattr(each, "shape") and hasattr(each, "dtype") else [])
    return found


def _own_arrays(results: Any) -> Iterator[tuple[Any, int]]:
    """The arrays of the results that are memory of their own, and their bytes; views occupy nothing."""
    for each in results if isinstance(results, (tuple, list)) else (results,):
        array: Any = getattr(each, "_array", each)
        meta = getattr(each, "_tensor_meta", None)
        if getattr(array, "base", None) is None and (meta is None or meta.view is None):
            nbytes = _bytes_of(array)
            if nbytes is not None:
                yield array, nbytes


def _bytes_of(array: Any) -> int | None:
    """The memory of an array of any library; None of what is no array."""
    if (nbytes := getattr(array, "nbytes", None)) is not None:
        return int(nbytes)
    if not hasattr(array, "__array_namespace__"):
        return None
    library, type_ = array.__array_namespace__(), array.dtype  # the standard has no `nbytes`
    if library.isdtype(type_, "bool"):
        return math.prod(array.shape)
    bits = (library.iinfo if library.isdtype(type_, "integral") else library.finfo)(type_).bits
    return math.prod(array.shape) * (bits // 8) * (2 if library.isdtype(type_, "complex floating") else 1)


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename}({frame.lineno}): {frame.name}"


class profile:
    """Record every operator and node that runs inside this context.

    Parameters
    ----------
    enabled
        If not, nothing is recorded.
    record_shapes
        Keep the shapes of the inputs.
    profile_memory
        Count the bytes of results.
    with_stack
        Keep the source lines of the calls.
    acc_events
        Keep the events of a recording when the next one begins, as in the cycles of a schedule.
    custom_trace_id_callback
        What gives the number of a trace, in place of a random one.
    use_cuda, use_device, with_flops, with_modules, use_kineto, use_cpu, experimental_config,
    post_processing_timeout_s, activity_filters
        Accepted and without effect: backends run their devices in their own way, and what is measured
        is the time on the host.

    Raises
    ------
    RuntimeError
        If entered twice, or exported before it has ended.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.profiler.profile

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.ones(3, requires_grad=True)
    >>> with retrograd.autograd.profiler.profile() as prof:
    ...     (x * x).sum().backward()
    >>> for event in prof.function_events:
    ...     if event.cpu_parent is None:
    ...         print(event.name)
    aten::mul
    aten::sum
    autograd::engine::evaluate_function: SumBackward0
    autograd::engine::evaluate_function: MulBackward0
    autograd::engine::evaluate_function: torch::autograd::AccumulateGrad
    >>> [event.name for event in prof.function_events if event.cpu_parent and event.cpu_parent.name == "MulBackward0"]
    ['aten::mul', 'aten::mul']
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        experimental_config: Any = None,
        acc_events: bool = False,
        custom_trace_id_callback: Callable[[], str] | None = None,
        post_processing_timeout_s: float | None = None,
        activity_filters: Any = None,
    ) -> None:
        self.enabled = enabled
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.acc_events = acc_events
        self.custom_trace_id_callback = custom_trace_id_callback
        self.trace_id: str | None = None
        self.entered = False
        self._events: EventList | None = None
        self._recorder: Recorder | None = None
        self._outer: Any = None

    def __enter__(self) -> profile | None:
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self._start_trace()
        return self

    def _start_trace(self) -> None:
        self.entered = True
        self.trace_id = self.create_trace_id()
        mode, before = current_mode(), self._recorder
        self._outer = mode.profiler
        self._recorder = Recorder(self.record_shapes, self.profile_memory, self.with_stack)
        if self.acc_events and before is not None:
            self._recorder.epoch, self._recorder.origin = before.epoch, before.origin
        set_mode(mode.but(profiler=self._recorder))

    def create_trace_id(self) -> str:
        """A number for the next trace."""
        own = self.custom_trace_id_callback
        return f"{uuid.uuid4().int:032X}" if own is None else own()

    def toggle_collection_dynamic(self, enabled: bool, activities: Iterable[Any]) -> None:
        """Stop recording, or go on with it, if `activities` has that of the host among them."""
        from retrograd.profiler import ProfilerActivity

        if ProfilerActivity.CPU in activities and self._recorder is not None and not self._recorder.closed:
            set_mode(current_mode().but(profiler=self._recorder if enabled else self._outer))

    def __exit__(self, *exc_info: object) -> None:
        if not self.enabled or self._recorder is None:
            return
        set_mode(current_mode().but(profiler=self._outer))
        self._recorder.close()
        recorded, memory = self._recorder.events, self._recorder.memory
        if self.acc_events and self._events is not None:
            recorded, memory = [*self._events, *recorded], [*self._events._memory, *memory]
        trace = {"trace_id": self.trace_id, "baseTimeNanoseconds": self._recorder.epoch}
        self._events = EventList(_finished(recorded), self.profile_memory, self.with_stack, memory, trace)

    @property
    def function_events(self) -> EventList:
        """All events, in the order they began; none before the end."""
        return EventList() if self._events is None else self._events

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, group_by_overload_name: bool = False
    ) -> EventList:
        """A sum for each name."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def total_average(self) -> FunctionEventAvg:
        """The sum of all events."""
        return self.function_events.total_average()

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int | None = 75,
        max_name_column_width: int | None = 55,
        max_shapes_column_width: int | None = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """All events as text; see `EventList.table`."""
        return self.function_events.table(
            sort_by, row_limit, max_src_column_width, max_name_column_width, max_shapes_column_width, header,
            top_level_events_only,
        )  # fmt: skip

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds spent in all events, each counted once."""
        return self.function_events.self_cpu_time_total

    def export_chrome_trace(
        self, path: str | Path, metadata: Mapping[str, str] | None = None, use_python_export: bool = False
    ) -> None:
        """Write a trace file for Perfetto or `chrome://tracing`; `metadata` adds members to it, of JSON."""
        if self._events is None:
            raise RuntimeError("Profiler didn't finish running")
        self._events._trace |= {key: json.loads(value) for key, value in (metadata or {}).items()}
        self._events.export_chrome_trace(path)

    def export_stacks(self, path: str | Path, metric: str = "self_cpu_time_total") -> None:
        """Write the stacks for flame-graph tools; needs `with_stack`."""
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        self.function_events.export_stacks(path, metric)

    def __repr__(self) -> str:
        return repr(self.function_events)

    def __str__(self) -> str:
        return self.function_events.table()


def _finished(events: Iterable[FunctionEvent]) -> list[FunctionEvent]:
    """Number the events, end those that never did, and tell nodes in which thread their operator ran."""
    found = list(events)
    threads: dict[int, int] = {}  # of the calls, by the number of the node that each has recorded
    for number, event in enumerate(found, 1):
        event.id = number
        if event.time_range.end < event.time_range.start:
            event.time_range = Interval(event.time_range.start, event.time_range.start)
        if event.is_backward:
            event.fwd_thread = threads.get(event.sequence_nr)
        elif event.scope == 0 and event.sequence_nr >= 0:
            threads.setdefault(event.sequence_nr, event.thread)
    return found


class record_function(ContextDecorator):
    """Name a region of the program, as an event that holds those inside; also a decorator.

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.profiler.record_function

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.autograd.profiler import profile, record_function
    >>> with profile() as prof:
    ...     with record_function("double"):
    ...         x = retrograd.ones(3) * 2
    >>> [event.name for event in prof.function_events][0]
    'double'
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self._entered: list[tuple[Recorder, FunctionEvent] | None] = []

    def _recreate_cm(self) -> record_function:
        return type(self)(self.name, self.args)

    def __enter__(self) -> record_function:
        recorder = current_mode().profiler
        self._entered.append(None if recorder is None else (recorder, recorder.begin(self.name, 7)))
        return self

    def __exit__(self, *exc_info: object) -> None:
        entered = self._entered.pop()
        if entered is not None:
            entered[0].end(entered[1])


class emit_nvtx:
    """Would name operators in the traces of NVIDIA's tools: those see a library that is not used here.

    Raises
    ------
    AssertionError
        When it is entered, unless `enabled` is False.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.profiler.emit_nvtx.html
    """

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled = enabled
        self.record_shapes = record_shapes

    def __enter__(self) -> None:
        if self.enabled:
            raise AssertionError("Torch not compiled with CUDA enabled")

    def __exit__(self, *exc_info: object) -> None:
        pass


class emit_itt(emit_nvtx):
    """Would name operators in the traces of Intel's tools: without one that listens, as here, nobody sees it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.profiler.emit_itt.html
    """

    def __enter__(self) -> emit_itt | None:  # type: ignore[override]  # the other never gets that far
        return self if self.enabled else None


class EnforceUnique:
    """Refuses what it has seen before.

    Examples
    --------
    >>> from retrograd.autograd.profiler import EnforceUnique
    >>> unique = EnforceUnique()
    >>> unique.see("event", 1)
    >>> unique.see("event", 1)
    Traceback (most recent call last):
    RuntimeError: duplicate key: ('event', 1)
    """

    def __init__(self) -> None:
        self.seen: set[Any] = set()

    def see(self, *key: Any) -> None:
        """Take note of a key.

        Raises
        ------
        RuntimeError
            If it has been seen.
        """
        if key in self.seen:
            raise RuntimeError(f"duplicate key: {key}")
        self.seen.add(key)


class KinetoStepTracker:
    """Counts the steps of a program, which several may tell of: a profiler, optimizers. Theirs is the largest count.

    Examples
    --------
    >>> from retrograd.autograd.profiler import KinetoStepTracker
    >>> before = KinetoStepTracker.current_step()
    >>> KinetoStepTracker.increment_step("mine") - before
    1
    >>> KinetoStepTracker.erase_step_count("mine")
    True
    """

    _current_step = 0
    _step_dict: ClassVar[dict[str, int]] = {}

    @classmethod
    def init_step_count(cls, requester: str) -> None:
        """Count on for `requester` from where the program is."""
        cls._step_dict[requester] = cls._current_step

    @classmethod
    def erase_step_count(cls, requester: str) -> bool:
        """Forget it; whether it was known."""
        return cls._step_dict.pop(requester, None) is not None

    @classmethod
    def increment_step(cls, requester: str) -> int:
        """`requester` has made a step: how many the program has made."""
        cls._step_dict[requester] = cls._step_dict.get(requester, cls._current_step) + 1
        cls._current_step = max(cls._current_step, *cls._step_dict.values())
        return cls._current_step

    @classmethod
    def current_step(cls) -> int:
        """How many steps the program has made."""
        return cls._current_step
