"""Times and tables of them: PyTorch's texts, and statistics, of given times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd
from retrograd.utils import benchmark

GIVEN = """
import itertools
from importlib import import_module
B = import_module(torch.__name__ + ".utils.benchmark")

def measured(times, number=10, stmt="x + y", setup="pass", **task):
    return B.Measurement(number, times, B.TaskSpec(stmt, setup, **task))

MANY = [
    measured(
        [(1 + i * 0.7) * 1e-5 * (1 + 0.01 * j * (i % 4) * 3) for j in range(7)],
        label=label, sub_label=sub_label, description=description, num_threads=threads,
    )
    for i, (label, sub_label, description, threads) in enumerate(
        itertools.product(["sum", "product"], ["small", "large one"], ["numpy", "jax backend"], [1, 2])
    )
]
"""


def test_measurements_show_what_they_are() -> None:
    assert_same(
        """
        more = [
            measured([1e-3], setup="x = 1", description="d"), measured([12.0], 1, env="there"),
            measured([1e-3, 2e-3, 3e-3, 4e-3, 5e-3], setup="x = 1\\ny = 2", stmt="a\\nb", sub_label="q", num_threads=4),
            measured([1e-7, 1.01e-7, 1.02e-7, 1.03e-7, 1.04e-7], label="l"),
        ]
        for each in (*MANY[:6], *more):
            print(each)
            print(each.median, round(each.mean * 1e12), each.iqr, each.significant_figures, each.times)
            print(each.title, each.as_row_name, each.env, each.label, each.num_threads, each.has_warnings)
        for each in B.Measurement.merge([*MANY[:2], *MANY[:3]]):
            print(each)
        print([B.select_unit(t)[0] for t in (1e-9, 1e-6, 1e-3, 1, 3e-5, 200.0)], B.unit_to_english("ms"))
        print(B.trim_sigfig(3.14159, 2), B.trim_sigfig(1234.0, 2), B.ordered_unique([3, 1, 3]))
        """,
        GIVEN,
    )


@pytest.mark.parametrize("options", ["", "t", "h", "th", "c", "r", "thc"])
def test_tables_are_pytorchs(options: str) -> None:
    assert_same(
        f"""
        table = B.Compare(MANY[:5])
        table.extend_results(MANY[5:-3])
        if "t" in {options!r}:
            table.trim_significant_figures()
        if "h" in {options!r}:
            table.highlight_warnings()
        if "c" in {options!r} or "r" in {options!r}:
            table.colorize(rowwise="r" in {options!r})
        print(repr(str(table)))
        """,
        GIVEN,
    )


def test_tables_tell_circumstances_apart() -> None:
    assert_same(
        """
        print(B.Compare([
            measured([(i + 1) * 1e-3, (i + 2) * 1e-3], label="l", sub_label=s, description=d, env=e, num_threads=t)
            for i, (s, d, e, t) in enumerate(itertools.product("ab", "cd", ["main", "branch"], [1, 4]))
        ]))
        """,
        GIVEN,
    )


def test_what_is_refused() -> None:
    assert_same(
        """
        for act in (
            lambda: B.Timer(3), lambda: B.Timer("x", language="rust"), lambda: B.Timer("x", global_setup="q"),
            lambda: B.Compare([3]), lambda: B.Timer("x").repeat(), lambda: B.Timer("x").autorange(),
            lambda: B.trim_sigfig(1.0, 1.5), lambda: MANY[0].nothing,
        ):
            attempt(act)
        """,
        GIVEN,
    )
    with pytest.raises(NotImplementedError, match=r"C\+\+"):
        benchmark.Timer("x", language="c++")


def ticking(*steps: float) -> Iterator[float]:
    """Moments that are so far apart, in turn; 1 after those."""
    now = 0.0
    for step in (*steps, *[1.0] * 1000):
        yield now
        now += step


def test_the_clock_decides_how_often_it_runs() -> None:
    runs: list[int] = []
    clock = ticking().__next__
    timer = benchmark.Timer("runs.append(1)", timer=clock, globals={"runs": runs}, label="l", num_threads=2)
    found = timer.timeit(1000)
    assert (len(runs), found.raw_times, found.number_per_run) == (1010, [1.0], 1000)
    assert (found.title, found.num_threads) == ("l", 2)

    told: list[tuple[int, float]] = []
    # Five times of nothing, 1e-6 each; a first block too short to count, a second; then blocks of ten runs.
    clock = ticking(*[1e-6, 0.0] * 5, 1e-5, 0.0, 0.05, 0.0, *[0.2, 0.0] * 3).__next__
    runs.clear()
    found = benchmark.Timer("runs.append(1)", timer=clock, globals={"runs": runs}).blocked_autorange(
        lambda *block: told.append(block), min_run_time=0.5
    )
    assert found.number_per_run == 10
    assert found.raw_times == pytest.approx([0.2, 0.2, 0.2])
    assert told == [(10, each) for each in found.raw_times]
    assert len(runs) == 1 + 10 + 3 * 10

    steps = [*[1e-6, 0.0] * 5, 0.1, 0.0, *[each for n in (1.0, 2.0, 3.0, 4.0, *[2.5] * 20) for each in (n, 0.0)]]
    found = benchmark.Timer("pass", timer=ticking(*steps).__next__).adaptive_autorange(0.1, max_run_time=100.0)
    assert len(found.raw_times) > 4
    assert found.meets_confidence(0.1)
    found = benchmark.Timer("pass", timer=ticking(*steps).__next__).adaptive_autorange(0.1, max_run_time=6.5)
    assert found.raw_times == pytest.approx([1.0, 2.0, 3.0, 4.0])


def test_statements_know_the_package_and_threads(backend: str) -> None:
    before = retrograd.get_num_threads()
    seen: list[int] = []
    timer = benchmark.Timer(
        """
            y = x @ x
            seen.append(torch.get_num_threads())
        """,
        setup="x = torch.ones(3, 3)",
        globals={"seen": seen},
        num_threads=1,
    )
    assert timer.timeit(3).median > 0
    assert set(seen) == {1}
    assert retrograd.get_num_threads() == before
    assert timer._task_spec.stmt == "y = x @ x\nseen.append(torch.get_num_threads())"


def test_it_waits_for_what_computes_ahead() -> None:
    pytest.importorskip("jax")
    with retrograd.use_backend("jax"):
        x = retrograd.ones(500, 500)
        y = x
        for _ in range(50):
            y = y @ x * 1e-3
        benchmark.timer()
        assert y._array.is_ready()
