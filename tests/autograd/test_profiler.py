"""The profiler: what it sees, how events hang together, its table and its trace; and that it is free while off."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd.autograd import profiler
from retrograd.autograd.modes import GRAD, current_mode

STEP = ["aten::matmul", "aten::mm", "aten::tanh", "aten::view", "aten::sum"]
BACK = ["SumBackward0", "ViewBackward0", "TanhBackward0", "MmBackward0", "torch::autograd::AccumulateGrad"]
TURN = "autograd::engine::evaluate_function: "


def step(x: Any) -> None:
    (x @ x).tanh().view(64).sum().backward()


def recorded(**options: Any) -> profiler.profile:
    x = retrograd.rand(8, 8, requires_grad=True)
    with profiler.profile(**options) as prof:
        step(x)
    return prof


def names(prof: profiler.profile) -> list[str]:
    return [each.name for each in prof.function_events]


def test_operators_and_nodes_in_order(backend: str) -> None:
    found = recorded().function_events
    assert [each.name for each in found if not each.is_backward][: len(STEP)] == STEP
    assert [each.name for each in found if each.scope == 1] == BACK
    assert [each.name for each in found if each.is_backward and each.scope == 0] == [TURN + each for each in BACK]


def test_operators_run_inside_of_nodes_and_nodes_in_their_turn(backend: str) -> None:
    assert_same(
        """
        x, w = torch.ones(3, 3, requires_grad=True), torch.ones(3, 3, requires_grad=True)
        one = torch.ones((), requires_grad=True)
        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a): return a * 2
            @staticmethod
            def backward(ctx, g): return g + g.sin()
        def program(**options):
            loss = ((Double.apply(x) @ w).exp() * w + one).sum()
            torch.autograd.backward(loss, torch.ones(()), **options)
        operators = "aten::mm aten::mul aten::exp aten::expand aten::sum aten::sin".split()
        program()
        for options in ({}, {"create_graph": True}, {"inputs": [x, w, one]}):
            with torch.autograd.profiler.profile() as prof:
                program(**options)
            for each in prof.function_events:
                if each.name in operators or "Backward" in each.name or "AccumulateGrad" in each.name:
                    print(each.name, "in", each.cpu_parent and each.cpu_parent.name, each.scope)
        print(x.grad.requires_grad, one.grad)
        """
    )


def test_forward_and_backward_are_tied_by_sequence_number() -> None:
    events: dict[str, Any] = {}
    for each in recorded().function_events:
        events.setdefault(each.name, each)
    for forward, backward in zip(STEP[1:], reversed(BACK[:4]), strict=True):
        assert events[forward].sequence_nr == events[backward].sequence_nr >= 0
        assert events[backward].fwd_thread == events[forward].thread == threading.get_native_id()
    assert events[BACK[4]].sequence_nr == -1


def test_in_place_views_and_non_differentiable_operators() -> None:
    x = retrograd.rand(4, 4)
    with profiler.profile() as prof:
        x.add_(1)
        x[0].zero_()
        x.unbind()
        x.argmax()
        x.copy_(x > 0)
        retrograd.nn.functional.linear(x, x, x[0])
    found = names(prof)
    for name in ("aten::add_", "aten::zero_", "aten::unbind", "aten::argmax", "aten::copy_", "aten::addmm"):
        assert found.count(name) == 1, (name, found)


def test_memory_is_that_of_results(backend: str) -> None:
    events = {each.name: each for each in recorded(profile_memory=True).function_events}
    forward: dict[str, int] = {}
    for each in recorded(profile_memory=True).function_events:
        forward.setdefault(each.name, each.self_cpu_memory_usage)
    assert [forward[name] for name in STEP] == [0, 256, 256, 0, 4]
    assert events["TanhBackward0"].cpu_memory_usage == 256
    assert events["MmBackward0"].cpu_memory_usage == 512


def test_memory_that_is_freed_is_subtracted(backend: str) -> None:
    x = retrograd.rand(8, 8)
    with profiler.profile(profile_memory=True) as prof:
        with profiler.record_function("inside"):
            kept = (x * 2).exp().tanh()
        del kept
        again = x * 3
    events = {each.name: each for each in prof.function_events if each.name != "aten::mul"}
    # Two of the three results are freed in the region, the third after it and outside of all.
    assert events["inside"].self_cpu_memory_usage == -512
    assert events["inside"].cpu_memory_usage == 256
    assert events["[memory]"].cpu_memory_usage == -256
    assert sum(each.self_cpu_memory_usage for each in prof.function_events) == again.numel() * 4 == 256
    assert [each.cpu_memory_usage for each in prof.key_averages() if each.key == "aten::mul"] == [512]


def test_what_is_freed_after_the_profile_is_not_counted() -> None:
    with profiler.profile(profile_memory=True) as prof:
        kept = retrograd.ones(8)
    before = [each.cpu_memory_usage for each in prof.function_events]
    del kept
    assert [each.cpu_memory_usage for each in prof.function_events] == before == [32]


def test_shapes_and_stacks_if_asked_for() -> None:
    prof = recorded(record_shapes=True, with_stack=True)
    mm = prof.function_events[0]
    assert mm.input_shapes == [[8, 8], [8, 8]]
    assert mm.stack[0].startswith(__file__)
    assert mm.stack[0].endswith(": step")
    plain = recorded().function_events[0]
    assert plain.input_shapes == []
    assert plain.stack == []


def test_regions_hold_what_runs_inside() -> None:
    @profiler.record_function("decorated")
    def work() -> Any:
        return retrograd.ones(2) * 2

    with profiler.profile() as prof:
        with profiler.record_function("outer"), profiler.record_function("inner"):
            retrograd.ones(2) + 1
        work()
    events = {each.name: each for each in prof.function_events}
    assert events["aten::add"].cpu_parent is events["inner"]
    assert events["inner"].cpu_parent is events["outer"]
    assert events["outer"].cpu_parent is None
    assert events["aten::mul"].cpu_parent is events["decorated"]
    assert events["outer"].is_user_annotation
    outer = events["outer"]
    assert outer.cpu_time_total >= outer.self_cpu_time_total >= 0
    assert outer.cpu_time_total == pytest.approx(outer.self_cpu_time_total + events["inner"].cpu_time_total)


def test_a_recorded_pass_shows_the_operators_of_its_formulas() -> None:
    x = retrograd.rand(3, requires_grad=True)
    with profiler.profile() as prof:
        retrograd.autograd.grad((x * x).sum(), x, create_graph=True)
    events = [each for each in prof.function_events if each.name == "aten::mul"]
    assert [each.cpu_parent.name if each.cpu_parent else None for each in events] == [
        None,
        "MulBackward0",
        "MulBackward0",
    ]


def test_sums_by_name() -> None:
    x = retrograd.rand(8, 8, requires_grad=True)
    with profiler.profile(record_shapes=True) as prof:
        for _ in range(3):
            step(x)
        x[0] * x[0]
    sums = {each.key: each for each in prof.key_averages()}
    assert sums["aten::mm"].count == 9  # one forward and two backward, each time
    assert sums["aten::mm"].cpu_time == pytest.approx(sums["aten::mm"].cpu_time_total / 9)
    assert prof.total_average().count == len(prof.function_events)
    assert prof.total_average().self_cpu_time_total == pytest.approx(prof.self_cpu_time_total)
    with profiler.profile(record_shapes=True) as prof:
        x[0].detach().exp()
        x.detach().exp()
    by_shape = prof.key_averages(group_by_input_shape=True)
    assert [each.input_shapes for each in by_shape if each.key == "aten::exp"] == [[[8]], [[8, 8]]]


def test_the_table() -> None:
    prof = recorded(profile_memory=True, record_shapes=True)
    table = prof.key_averages(group_by_input_shape=True).table(sort_by="cpu_memory_usage", row_limit=4, header="HEAD")
    lines = table.splitlines()
    assert lines[1] == "HEAD"
    for head in (
        "Name",
        "Self CPU %",
        "Self CPU",
        "CPU total",
        "CPU time avg",
        "CPU Mem",
        "# of Calls",
        "Input Shapes",
    ):
        assert head in lines[3]
    assert lines[5].split()[0] == "aten::mm"
    assert "768 B" in lines[5]
    assert len(lines) == 11
    assert lines[-1].startswith("Self CPU time total: ")
    assert str(prof).count("aten::mm ") == 3


@pytest.mark.parametrize(
    "options",
    [
        {}, {"sort_by": "cpu_time_total"}, {"sort_by": "self_cpu_memory_usage", "row_limit": 2}, {"time_unit": "ms"},
        {"header": "HEAD", "top_level_events_only": True}, {"max_name_column_width": 12},
        {"max_shapes_column_width": 9}, {"sort_by": "cuda_time_total"},
        {"max_name_column_width": None, "max_shapes_column_width": None, "row_limit": -1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("memory", [False, True])
def test_the_table_is_laid_out_as_pytorch_lays_it_out(options: dict[str, Any], memory: bool) -> None:
    util = pytest.importorskip("torch.autograd.profiler_util")
    found = [each for each in recorded(profile_memory=True, record_shapes=True).function_events if each.scope != 7]
    theirs = [
        util.FunctionEvent(
            each.id, each.name, 1, each.time_range.start, each.time_range.end, input_shapes=each.input_shapes,
            cpu_memory_usage=each.cpu_memory_usage,
        )
        for each in found
    ]  # fmt: skip
    for each, other in zip(found, theirs, strict=True):
        if each.cpu_parent in found:
            other.set_cpu_parent(theirs[found.index(each.cpu_parent)])
            other.cpu_parent.append_cpu_child(other)
    ours = profiler.EventList(found, memory).table(**options)
    assert ours == util.EventList(theirs, profile_memory=memory).table(**options)


def test_the_trace_shows_memory(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    ones = retrograd.ones(8)
    with profiler.profile(profile_memory=True) as prof:
        (ones * 2).exp()
    prof.export_chrome_trace(path)
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    steps = [each["args"] for each in events if each["ph"] == "i"]
    assert [each["Bytes"] for each in steps] == [32, 32, -32, -32]
    assert [each["Total Allocated"] for each in steps] == [32, 64, 32, 0]
    assert "[memory]" not in {each["name"] for each in events if each["ph"] == "X"}


def test_stacks_for_flame_graphs(tmp_path: Path) -> None:
    path = tmp_path / "stacks.txt"
    recorded(with_stack=True).export_stacks(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines
    assert all(line.rpartition(" ")[2].isdigit() for line in lines)
    with pytest.raises(AssertionError, match="with_stack"):
        recorded().export_stacks(path)


def test_what_raises_is_ended_all_the_same() -> None:
    x, y = retrograd.rand(3, requires_grad=True), retrograd.rand(4)
    with profiler.profile() as prof, pytest.raises(RuntimeError):
        x + y
    with prof_of_nothing() as after:
        pass
    assert after.function_events == []
    assert [each.name for each in prof.function_events] == ["aten::add"]
    assert current_mode() is GRAD


def prof_of_nothing() -> profiler.profile:
    return profiler.profile()


def test_misuse() -> None:
    prof = profiler.profile()
    with pytest.raises(RuntimeError, match="Profiler didn't finish running"):
        prof.export_chrome_trace("nowhere")
    with prof, pytest.raises(RuntimeError, match="not reentrant"):
        prof.__enter__()
    with profiler.profile(enabled=False) as off:
        retrograd.ones(2) * 2
    assert off is None


@pytest.mark.parametrize("ask", ["key_averages()", "table()", "function_events", "total_average().count"])
def test_what_has_not_ended_has_no_events_yet(ask: str) -> None:
    assert_same(
        f"""
    prof = torch.autograd.profiler.profile()
    attempt(lambda: repr(prof.{ask}))
    with prof:
        torch.ones(2) * 2
        attempt(lambda: repr(prof.{ask}))
        print([str(prof), repr(prof), prof.self_cpu_time_total])
    print(len(prof.key_averages()) > 0)
    """
    )


FACTORIES = (
    "ones(2)", "zeros(2)", "empty(2)", "full((2,), 1.)", "rand(2)", "randn(2)", "randint(3, (2,))", "randperm(3)",
    "arange(3)", "linspace(0, 1, 3)", "eye(2)", "ones_like(t)", "zeros_like(t)", "empty_like(t)", "full_like(t, 2.)",
    "rand_like(t)", "randn_like(t)", "logspace(0, 1, 2)", "tril_indices(2, 2)",
)  # fmt: skip
METHODS = (
    "new_zeros(2)", "new_ones(2)", "new_full((2,), 1.)", "new_empty(2)", "fill_(2)", "zero_()", "normal_()",
    "uniform_()", "detach()",
)  # fmt: skip


@pytest.mark.parametrize("call", [*(f"torch.{each}" for each in FACTORIES), *(f"t.{each}" for each in METHODS)])
def test_what_makes_tensors_is_seen_under_its_name_in_pytorch(call: str) -> None:
    assert_same(f"""
    t = torch.ones(2)
    with torch.autograd.profiler.profile() as prof:
        {call}
    print(prof.function_events[0].name)
    """)


def test_making_a_tensor_takes_time_and_memory(backend: str) -> None:
    with profiler.profile(profile_memory=True) as prof:
        kept = retrograd.zeros(1000)
    (event,) = prof.function_events
    assert event.name == "aten::zeros"
    assert event.cpu_time_total > 0
    assert event.cpu_memory_usage == 4 * len(kept)


def test_it_costs_nothing_while_off() -> None:
    assert current_mode() is GRAD
    with profiler.profile():
        assert current_mode() is not GRAD
    assert current_mode() is GRAD
    assert profiler.record_function("region").__enter__()._entered == [None]


def test_other_threads_and_tasks_are_not_seen() -> None:
    def elsewhere() -> None:
        retrograd.ones(2) * 2

    ones = retrograd.ones(2)

    async def task(prof: Any) -> None:
        with prof:
            await asyncio.sleep(0)
            ones + 1
            await asyncio.sleep(0)

    async def both(one: Any, other: Any) -> None:
        await asyncio.gather(task(one), task(other))

    with profiler.profile() as prof:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert names(prof) == []
    one, other = profiler.profile(), profiler.profile()
    asyncio.run(both(one, other))
    assert names(one) == names(other) == ["aten::add"]


def test_products_are_in_the_events_of_what_was_called(backend: str) -> None:
    assert_same(
        """
        x, w, b = torch.ones(2, 3, requires_grad=True), torch.ones(3, 4, requires_grad=True), torch.ones(4)
        calls = (
            lambda: x @ w, lambda: torch.matmul(torch.ones(2, 2, 3), w), lambda: F.linear(x, w.t()),
            lambda: F.linear(x, w.t(), b), lambda: x[0] @ w, lambda: x @ w[:, 0], lambda: x[0] @ x[0],
        )
        names = ("aten::mm", "aten::addmm", "aten::mv", "aten::dot", "aten::linear", "aten::matmul")
        for call in calls:
            with torch.autograd.profiler.profile() as prof:
                call()
            seen = [each for each in prof.function_events if each.name in names]
            print([(each.name, each.cpu_parent and each.cpu_parent.name) for each in seen])
        """
    )
