"""The parameter server's benchmarks run, and their figures add up; how fast anything is, no test says."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def load(name: str) -> ModuleType:
    """A benchmark as a module; its folder is no package."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))  # as for a script there
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *arguments: str) -> list[list[str]]:
    """The words of the lines that a benchmark prints."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split() for line in done.stdout.splitlines() if line.strip()]


def test_ratio_is_of_pairs():
    ratio = load("parameter_server").ratio
    # One slow moment that hits both sides leaves the ratio as it is; the ratio of medians would be 1.
    assert ratio([1, 10, 100], [2, 20, 100]) == (0.5, 0.5, 0.75)
    assert ratio([3.0], [2.0]) == (1.5, 1.5, 1.5)


def test_raw_parts_are_those_of_a_push():
    from retrograd.distributed.messages import TensorSpec
    from retrograd.distributed.outbox import PART_BYTES
    from retrograd.distributed.placement import SLICE_BYTES, cut

    module = load("ps_step")
    assert (module.PART, module.SLICE) == (PART_BYTES, SLICE_BYTES)
    array = np.zeros(3 << 19, np.float32)  # 6 MiB
    parts = list(module.parts_of(array))
    assert [len(frames) for frames in parts] == [4, 2]
    pieces = cut([TensorSpec("w", "float32", array.shape)])
    assert [frame.size for frames in parts for frame in frames] == [piece.size for piece in pieces]


def test_raw_arithmetic_is_the_servers():
    module = load("ps_step")
    weights = np.ones(4, np.float32)
    frames = [type("Frame", (), {"buffer": np.full(4, value, np.float32).data}) for value in (100.0, 200.0, 300.0)]
    module._update(list(module.parts_of(weights)), [[frame] for frame in frames])
    np.testing.assert_allclose(weights, 1 - module.LR * 600, rtol=1e-6)


@pytest.mark.parametrize(
    ("section", "arguments", "rows"),
    [("wire", ("--workers", "1", "--elements", "1000"), 2), ("compression", (), 2)],
)
def test_sections_print_a_table(section, arguments, rows):
    lines = run("parameter_server", section, "--quick", *arguments)
    assert lines[0][0] == f"{section}:"
    assert len(lines) == 2 + rows
    if section == "compression":
        assert [line[0] for line in lines[2:]] == ["none", "fp16"]
        assert lines[3][3] == "0.500"  # of the bytes


def test_an_unknown_section_is_named():
    done = subprocess.run(
        [sys.executable, str(FOLDER / "parameter_server.py"), "steps"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "no section steps" in done.stderr


# ---- the simulated cluster -----------------------------------------------------------------------------------


def test_shared_processors_slow_everyone_down():
    simpy = pytest.importorskip("simpy")
    model = load("cluster_model")
    env = simpy.Environment()
    cores = model.Cores(env, (1.0, 1.0, 2 / 3))  # two processors
    ends = {}

    def work(name, seconds):
        yield cores.work(seconds)
        ends[name] = env.now

    for name, seconds in (("short", 1.0), ("long", 2.0), ("longest", 3.0)):
        env.process(work(name, seconds))
    env.run()
    # Three share two until 1 s of work is done by each at 1.5; then each has one, and goes at full speed.
    assert ends == pytest.approx({"short": 1.5, "long": 2.5, "longest": 3.5})


@pytest.mark.parametrize(
    ("speeds", "workers", "expected"),
    [
        ((1.0, 1.0, 1.0), 1, 10 + 1 + 2),  # a processor for each: what the server does beside costs nothing
        ((1.0, 0.5), 1, 10 + 3 + 1 + 2),  # one processor for all
        ((1.0, 1.0, 1.0), 2, 5 + 3 + 3 + 1 + 1 + 2),  # the server is one process: everything waits for it
        ((1.0, 0.5), 2, 2 * (10 + 3 + 1) + 2),
    ],
)
def test_a_server_has_work_that_one_worker_does_not_wait_for(speeds, workers, expected):
    pytest.importorskip("simpy")
    from retrograd.distributed.strategies import strategy_for

    model = load("cluster_model")
    costs = model.Costs(worker=0.0, push=1.0, update=2.0, per_byte=0.0, beside=3.0)
    cluster = model.Cluster(
        strategy_for(workers), np.ones(1), model.steady(10.0), model.Network(), costs, speeds=speeds
    )
    result = cluster.run(steps=1)
    assert result.durations == pytest.approx([expected] * workers)


def test_costs_are_all_that_a_server_has_done():
    pytest.importorskip("simpy")
    costs_of = load("simulate_cluster").costs_of
    costs = costs_of(step=5.0, worker=1.0, server=7.0, update=1.5)
    assert (costs.worker, costs.push, costs.update, costs.beside) == (1.0, 2.5, 1.5, 3.0)
    costs = costs_of(step=5.0, worker=1.0, server=3.0, update=1.5)  # the rest of the step is waking up
    assert (costs.push, costs.beside) == (2.5, 0.0)


def test_runs_take_turns(monkeypatch):
    train = load("ps_train")
    for now, left in ((0.0, 4.0), (3.5, 0.5), (4.0, 0.0), (5.9, 0.0), (6.0, 4.0), (9.0, 1.0)):
        monkeypatch.setattr(train.time, "monotonic", lambda now=now: now)
        assert train.until_turn(2.0, 2, 3) == pytest.approx(left)
    assert train.until_turn(2.0, 0, 1) == 0.0  # alone


@pytest.mark.parametrize(("staleness", "expected"), [(0, 10), (1, 10), (float("inf"), 1)])
def test_a_worker_waits_as_its_strategy_says(staleness, expected):
    pytest.importorskip("simpy")
    from retrograd.distributed.strategies import strategy_for

    model = load("cluster_model")

    def law(random, rank):
        return 10.0 if rank == 0 else 1.0

    free = model.Costs(0.0, 0.0, 0.0, 0.0)
    network = model.Network(0.0, 1e30)
    cluster = model.Cluster(strategy_for(2, staleness), np.ones(1), law, network, free)
    result = cluster.run(seconds=99.5)
    # The slow one has done 9 steps; the fast one as many as it may be ahead, or one each second.
    assert result.steps - 9 == pytest.approx(99 / expected + (staleness if staleness < 2 else 0), abs=1)
    assert result.most_ahead <= staleness


def test_a_push_takes_as_long_as_its_narrowest_link():
    pytest.importorskip("simpy")
    from retrograd.distributed.strategies import strategy_for

    model = load("cluster_model")
    free = model.Costs(0.0, 0.0, 0.0, 0.0)

    def seconds(workers, servers):
        shares = np.full(servers, 8.0 / servers)
        network = model.Network(0.0, 1.0)
        return model.Cluster(strategy_for(workers), shares, model.steady(0.0), network, free).run(steps=1).seconds

    assert seconds(1, 1) == 16  # there and back
    assert seconds(4, 1) == 64
    assert seconds(4, 2) == 32
    assert seconds(4, 4) == 16
    assert seconds(4, 8) == 16  # the worker's own link


def test_shares_are_those_of_the_real_placement():
    pytest.importorskip("simpy")
    model = load("cluster_model")
    assert model.shares_of([4000, 8000], 2, slice_bytes=4000).tolist() == [8000, 4000]
    assert model.shares_of([100_000_000], 200).astype(bool).sum() == 96  # more servers than slices


def test_simulation_runs():
    pytest.importorskip("simpy")
    lines = run("simulate_cluster", "scale", "claims", "--quick")
    assert ["1000", "200"] in [line[:2] for line in lines]
    assert [line[2] for line in lines if line[:2] == ["same", "direction"]] == ["yes", "yes"]
