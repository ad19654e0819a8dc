"""A plugin package, installed with pip into a folder of its own, is found through its entry point."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "plugins" / "counting_backend"

USE = """
import retrograd
from retrograd.backends import available
import retrograd_counting_backend as plugin

assert available()["counting"] == "counting", available()

# Its own backend.
a = retrograd.ones(2, 3, device="counting", requires_grad=True)
(a @ a.t()).sum().backward()
assert str(a.grad.device) == "counting:cpu"
assert a.grad.tolist() == [[4.0] * 3] * 2
assert plugin.calls == {"counting.matmul": 3}, plugin.calls  # one forward, two backward

# And one kernel of NumPy's: every addition comes by, those of the backward pass included.
plugin.calls.clear()
x = retrograd.tensor([1.0, 2.0], requires_grad=True)
y = x + x
assert plugin.calls == {"numpy.add": 1}, plugin.calls
assert y.tolist() == [2.0, 4.0]
y.sum().backward()
assert x.grad.tolist() == [2.0, 2.0]

with retrograd.use_backend("counting"):
    assert str(retrograd.zeros(1).device) == "counting:cpu"
try:
    x + a
except RuntimeError as error:
    assert "numpy:cpu and counting:cpu" in str(error), error
else:
    raise AssertionError("mixed backends")
print("done")
"""

BROKEN = """
import warnings
import retrograd

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert retrograd.ones(2).tolist() == [1.0, 1.0]
(warning,) = caught
print(warning.category.__name__, warning.message)
"""


def run(code: str, site: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=site, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed; from a copy, since a build writes next to its sources."""
    source = tmp_path_factory.mktemp("source")
    for file in PACKAGE.iterdir():
        if file.is_file():
            (source / file.name).write_bytes(file.read_bytes())
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.processes
def test_an_installed_plugin_brings_a_backend_and_replaces_a_kernel(site: Path) -> None:
    assert run(USE, site) == "done"


@pytest.mark.processes
def test_a_broken_installed_plugin_only_warns(tmp_path: Path) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[retrograd]\nbroken = broken_plugin\n")
    (tmp_path / "broken_plugin.py").write_text("import a_library_that_is_not_there\n")
    text = run(BROKEN, tmp_path)
    assert text == (
        "RuntimeWarning retrograd plugin 'broken' (broken_plugin, of package 'broken') is ignored, because "
        "it cannot be loaded: ModuleNotFoundError: No module named 'a_library_that_is_not_there'"
    )
