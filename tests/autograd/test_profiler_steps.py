"""The profiler with a schedule, and what its trace files must be for viewers to read them."""

from __future__ import annotations

import gzip
import json
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd.profiler import (
    ProfilerAction,
    ProfilerActivity,
    profile as scheduled_profile,
    schedule,
    tensorboard_trace_handler,
)


def step(x: Any) -> None:
    (x @ x).tanh().view(64).sum().backward()


# -- schedules -----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _without_the_warning_of_cleared_events() -> Any:
    """It comes once per process, in PyTorch too: whichever test is first would see it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Warning: Profiler clears events")
        yield


def test_a_schedule() -> None:
    assert [schedule(skip_first=1, wait=0, warmup=1, active=1, repeat=1)(i).name for i in range(5)] == [
        "NONE", "WARMUP", "RECORD_AND_SAVE", "NONE", "NONE",
    ]  # fmt: skip
    seen = []
    x = retrograd.rand(8, 8, requires_grad=True)
    with scheduled_profile(
        activities=[ProfilerActivity.CPU],
        schedule=schedule(wait=1, warmup=1, active=2, repeat=2),
        on_trace_ready=lambda prof: seen.append([each.count for each in prof.key_averages() if each.key == "aten::mm"]),
    ) as prof:
        for _ in range(10):
            step(x)
            prof.step()
    assert seen == [[6], [6]]  # of each step one product forward and two backward
    assert prof.current_action is ProfilerAction.NONE
    with pytest.raises(AssertionError, match=r"schedule arguments. Got wait=0 .* active=0 \(need > 0\)"):
        schedule(wait=0, warmup=0, active=0)
    assert [schedule(wait=2, warmup=1, active=1, skip_first=1, skip_first_wait=1)(i).name for i in range(5)] == [
        "NONE", "WARMUP", "RECORD_AND_SAVE", "NONE", "NONE",
    ]  # fmt: skip


@pytest.mark.parametrize("use_gzip", [False, True])
def test_each_cycle_is_written_to_a_folder(use_gzip: bool, tmp_path: Path) -> None:
    x = retrograd.rand(8, 8, requires_grad=True)
    folder = tmp_path / "traces"
    with scheduled_profile(
        schedule=schedule(wait=0, warmup=1, active=1, repeat=2),
        on_trace_ready=tensorboard_trace_handler(str(folder), "worker", use_gzip=use_gzip),
    ) as prof:
        for _ in range(5):
            step(x)
            prof.step()
    files = sorted(folder.iterdir())
    assert len(files) == 2
    for each in files:
        assert each.name.startswith("worker.")
        assert each.name.endswith(".pt.trace.json.gz" if use_gzip else ".pt.trace.json")
        content = gzip.decompress(each.read_bytes()) if use_gzip else each.read_bytes()
        assert "aten::mm" in [event["name"] for event in json.loads(content)["traceEvents"]]
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError, match="Can't create directory"):
        tensorboard_trace_handler(str(tmp_path / "file" / "below"))(prof)


def test_what_never_ran_has_no_results() -> None:
    for ask, purpose in (
        (scheduled_profile().events, "accessing events"),
        (scheduled_profile().key_averages, "getting key averages"),
        (lambda: scheduled_profile().export_chrome_trace("x"), "exporting chrome trace"),
    ):
        with pytest.raises(AssertionError, match=f"Profiler must be initialized before {purpose}"):
            ask()


def test_without_a_schedule_all_is_recorded() -> None:
    x = retrograd.rand(8, 8, requires_grad=True)
    with scheduled_profile(record_shapes=True) as prof:
        step(x)
        prof.step()
        step(x)
    assert sum(each.name == "aten::mm" for each in prof.events()) == 6


LOGGED = """
P, A = torch.profiler, torch.profiler.ProfilerAction
def log(schedule, steps, **options):
    seen = []
    def ready(prof):
        seen.append(("ready", prof.step_num, prof.current_action.name, bool(prof.events())))
    with P.profile(schedule=schedule, on_trace_ready=ready, activities=[P.ProfilerActivity.CPU], **options) as prof:
        for _ in range(steps):
            torch.ones(2).exp()
            prof.step()
            seen.append((prof.step_num, prof.current_action.name))
    names = [each.name for each in prof.events() if "Step" in each.name] if prof.profiler else None
    return seen, prof.current_action.name, names
"""


def test_cycles_end_when_and_as_they_do_in_pytorch() -> None:
    assert_same(
        """
        for options in (
            {"wait": 1, "warmup": 1, "active": 2}, {"wait": 0, "warmup": 0, "active": 1},
            {"wait": 0, "warmup": 1, "active": 1, "repeat": 2}, {"wait": 0, "warmup": 0, "active": 2},
            {"wait": 2, "warmup": 1, "active": 3, "skip_first": 1, "skip_first_wait": 1},
        ):
            for steps in range(9):
                print(log(P.schedule(**options), steps), log(P.schedule(**options), steps, acc_events=True))
        print(log(None, 2))
        """,
        LOGGED,
    )


def test_every_change_from_one_action_to_another() -> None:
    assert_same(
        """
        import warnings
        some = (A.NONE, A.WARMUP, A.RECORD, A.RECORD_AND_SAVE)
        for before in some:
            for after in some:
                if (before, after) != (A.RECORD, A.WARMUP):  # of which PyTorch breaks down
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        print(before.name, after.name, log(lambda i: (before, after, A.NONE)[min(i, 2)], 2))
                    print([str(each.message) for each in caught if "Incorrect" in str(each.message)])
        attempt(log, lambda i: A.DEVICE_STOPPED, 1)
        """,
        LOGGED,
    )


def test_what_is_recorded_can_be_told_within() -> None:
    assert_same(
        """
        CPU, CUDA = torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA
        def seen(prof):
            return [each.name for each in prof.events() if each.name in ("aten::exp", "aten::sin", "aten::cos")]
        x = torch.ones(2)
        with torch.profiler.profile(custom_trace_id_callback=lambda: "number", activities=[CPU, CUDA]) as prof:
            x.exp(); prof.toggle_collection_dynamic(False, [CPU]); x.sin()
            prof.toggle_collection_dynamic(True, [CPU]); x.cos()
        print(seen(prof), prof.get_trace_id())
        prof = torch.profiler.profile()
        print(prof.get_trace_id())
        attempt(prof.stop); attempt(prof.start_trace); attempt(prof.step)
        prof.prepare_trace(); prof.start_trace(); x.exp(); prof.stop_trace()
        print(seen(prof), len(prof.get_trace_id()))
        attempt(torch.profiler.profile, activities=[]); attempt(torch.profiler.profile, activities=["cpu"])
        attempt(lambda: torch.profiler.profile(activities=[CUDA]).start())
        attempt(torch.profiler.profile, schedule=3)
        """
    )


# -- trace files ---------------------------------------------------------------------------------


def traced(path: Path) -> dict[str, Any]:
    """The trace of two steps, one of them in another thread's graph, with everything in it."""
    x, w = retrograd.rand(8, 8, requires_grad=True), retrograd.rand(8, 8, requires_grad=True)
    with scheduled_profile(record_shapes=True, profile_memory=True, with_stack=True) as prof:
        with retrograd.profiler.record_function("region"):
            loss = ((x @ w).tanh().view(64) * 2).sum()
        loss.backward(create_graph=True)
        step(x)
        with pytest.raises(RuntimeError, match="size of tensor"):
            x + retrograd.ones(3)
    prof.add_metadata("who", 'a "name"')
    prof.add_metadata_json("sizes", "[1, 2]")
    prof.export_chrome_trace(path)
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def test_every_event_of_a_trace_is_one_of_the_format(tmp_path: Path, backend: str) -> None:
    document = traced(tmp_path / "trace.json")
    assert document["schemaVersion"] == 1
    assert document["displayTimeUnit"] == "ms"
    assert type(document["baseTimeNanoseconds"]) is int
    assert document["who"] == 'a "name"'
    assert document["sizes"] == [1, 2]
    required = {
        "X": {"name", "cat", "ts", "dur", "pid", "tid", "args"}, "M": {"name", "pid", "args"},
        "s": {"id", "cat", "name", "ts", "pid", "tid"}, "f": {"id", "cat", "name", "ts", "pid", "tid", "bp"},
        "i": {"name", "ts", "pid", "tid", "s"},
    }  # fmt: skip
    rows = set()
    for each in document["traceEvents"]:
        assert required[each["ph"]] <= each.keys(), each
        assert type(each["pid"]) is int
        assert type(each["tid"]) is int
        assert each["ph"] == "M" or each["ts"] >= 0
        assert each.get("dur", 0) >= 0
        assert isinstance(each.get("args", {}), dict)
        assert each.get("bp", "e") == "e"
        assert each.get("s", "t") == "t"
        rows.add((each["ph"] == "M" and each["name"] == "thread_name", each["tid"]))
    named = {tid for is_name, tid in rows if is_name}
    assert {tid for is_name, tid in rows if not is_name} - {0} <= named


def test_complete_events_of_a_thread_nest(tmp_path: Path) -> None:
    by_thread = defaultdict(list)
    for each in traced(tmp_path / "trace.json")["traceEvents"]:
        if each["ph"] == "X":
            by_thread[each["tid"]].append((each["ts"], -each["dur"], each["name"]))
    inside = 0
    for calls in by_thread.values():
        open_until: list[float] = []
        for start, minus, name in sorted(calls):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            end = start - minus
            assert not open_until or end <= open_until[-1] + 1e-6, name
            inside += bool(open_until)
            open_until.append(end)
    assert inside > 20


def test_flows_lead_from_calls_to_nodes(tmp_path: Path) -> None:
    events = traced(tmp_path / "trace.json")["traceEvents"]
    starts, ends = ({each["id"]: each for each in events if each["ph"] == ph} for ph in "sf")
    assert len(starts) == len([each for each in events if each["ph"] == "s"]) >= 9
    assert starts.keys() == ends.keys()
    at = {(each["tid"], each["ts"]): each["args"].get("Sequence number") for each in events if each["ph"] == "X"}
    for key, start in starts.items():
        end = ends[key]
        assert start["ts"] <= end["ts"]
        assert (start["cat"], start["name"]) == (end["cat"], end["name"])
        # Each binds to the event that begins there, and both are of one node.
        assert at[start["tid"], start["ts"]] == at[end["tid"], end["ts"]] is not None
