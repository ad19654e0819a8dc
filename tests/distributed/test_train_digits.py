"""The example reaches what it promises, on both backends, and with the bits of a run alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ps_harness import environment, run_launcher

pytest.importorskip("sklearn")
pytestmark = pytest.mark.processes

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "train_digits.py"


def saved(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as weights:
        return dict(weights)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_two_workers_reach_97_percent(backend: str, model: str) -> None:
    pytest.importorskip(backend)
    done = run_launcher("launch", "--workers", "2", "--backend", backend, EXAMPLE, "--model", model)
    assert done.returncode == 0, done.stdout + done.stderr
    [accuracy] = re.findall(r"test accuracy ([\d.]+)%", done.stdout)
    assert float(accuracy) >= 97


@pytest.mark.parametrize(("model", "workers"), [("mlp", 1), ("mlp", 3), ("cnn", 1), ("cnn", 2)])
def test_n_workers_end_with_the_weights_of_n_shards(model: str, workers: int, tmp_path: Path) -> None:
    arguments = ["--model", model, "--epochs", "2", "--save"]
    alone, many = tmp_path / "alone.npz", tmp_path / "many.npz"
    command = [sys.executable, str(EXAMPLE), *arguments, str(alone), "--accumulate", str(workers)]
    subprocess.run(command, env=environment(RETROGRAD_BACKEND="numpy"), check=True, capture_output=True, timeout=60)
    done = run_launcher("launch", "--workers", str(workers), "--backend", "numpy", EXAMPLE, *arguments, many)
    assert done.returncode == 0, done.stdout + done.stderr
    expected, got = saved(alone), saved(many)
    assert expected.keys() == got.keys()
    for name, weight in expected.items():
        assert weight.tobytes() == got[name].tobytes(), name
