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
