"""Every way to say which backend new tensors go to, and which way wins."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import retrograd
from retrograd.backends import BackendError

pytest.importorskip("jax")


def here() -> str:
    return str(retrograd.ones(1).device)


# -- in a program ------------------------------------------------------------------------------


def test_device_argument() -> None:
    assert str(retrograd.ones(1, device="jax").device) == "jax:cpu"
    assert str(retrograd.zeros(1, device=retrograd.device("jax:cpu")).device) == "jax:cpu"
    assert here() == "numpy:cpu"


def test_use_backend_nests() -> None:
    with retrograd.use_backend("jax"):
        assert here() == "jax:cpu"
        assert retrograd.get_default_backend() == "jax"
        with retrograd.use_backend("numpy"):
            assert here() == "numpy:cpu"
        assert here() == "jax:cpu"
        assert str(retrograd.ones(1, device="numpy").device) == "numpy:cpu"
    assert here() == "numpy:cpu"


def test_use_backend_ends_with_an_error() -> None:
    with pytest.raises(KeyError), retrograd.use_backend("jax"):
        raise KeyError
    assert here() == "numpy:cpu"


def test_one_context_entered_twice() -> None:
    context = retrograd.use_backend("jax")
    with context, retrograd.use_backend("numpy"), context:
        assert here() == "jax:cpu"
    assert here() == "numpy:cpu"


def test_an_unknown_backend_changes_nothing() -> None:
    for choose in (retrograd.use_backend, retrograd.set_default_backend, retrograd.device):
        with pytest.raises(BackendError, match="unknown backend 'mlx'"):
            choose("mlx")
    assert here() == "numpy:cpu"


def test_set_default_backend_is_for_every_thread() -> None:
    retrograd.set_default_backend("jax")
    try:
        found = []
        thread = threading.Thread(target=lambda: found.append(here()))
        thread.start()
        thread.join()
        assert [here(), *found] == ["jax:cpu", "jax:cpu"]
        with retrograd.use_backend("numpy"):
            assert here() == "numpy:cpu"
    finally:
        retrograd.set_default_backend(None)
    assert here() == "numpy:cpu"


def test_use_backend_is_for_one_thread() -> None:
    inside, checked = threading.Event(), threading.Event()
    found = []

    def other() -> None:
        with retrograd.use_backend("jax"):
            found.append(here())
            inside.set()
            checked.wait(10)
            found.append(here())

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    found.append(here())
    checked.set()
    thread.join()
    assert found == ["jax:cpu", "numpy:cpu", "jax:cpu"]


def test_use_backend_is_for_one_task() -> None:
    async def work(backend: str) -> list[str]:
        found = []
        with retrograd.use_backend(backend):
            for _ in range(3):
                await asyncio.sleep(0)
                found.append(here())
        return [*found, here()]

    async def both() -> list[list[str]]:
        return await asyncio.gather(work("jax"), work("numpy"))

    on_jax, on_numpy = asyncio.run(both())
    assert on_jax == ["jax:cpu"] * 3 + ["numpy:cpu"]
    assert on_numpy == ["numpy:cpu"] * 4


def test_mixing_backends_names_both() -> None:
    with pytest.raises(RuntimeError) as caught:
        retrograd.ones(2) + retrograd.ones(2, device="jax")
    text = str(caught.value)
    assert "numpy:cpu and jax:cpu" in text
    assert ".to('numpy') or .to('jax')" in text


def test_moving_between_backends_has_a_gradient() -> None:
    x = retrograd.tensor([1.0, 2.0], requires_grad=True)
    y = (x.to("jax") ** 2).to("numpy") * 3
    y.sum().backward()
    assert str(y.device) == "numpy:cpu"
    assert str(x.grad.device) == "numpy:cpu"
    assert x.grad.tolist() == [6, 12]


# -- from outside ------------------------------------------------------------------------------

SHOW = "import retrograd; print(retrograd.ones(1).device)"


def run(folder: Path, code: str = SHOW, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "RETROGRAD_BACKEND"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder, env=clean | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def device_in(folder: Path, code: str = SHOW, **environment: str) -> str:
    done = run(folder, code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PYPROJECT = '[tool.retrograd]\nbackend = "jax"\n'
TOML = 'backend = "jax"\n'


@pytest.mark.processes
def test_environment(tmp_path: Path) -> None:
    assert device_in(tmp_path) == "numpy:cpu"
    assert device_in(tmp_path, RETROGRAD_BACKEND="jax") == "jax:cpu"


@pytest.mark.processes
def test_pyproject_of_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    below = tmp_path / "src" / "deep"
    below.mkdir(parents=True)
    assert device_in(below) == "jax:cpu"


@pytest.mark.processes
def test_retrograd_toml(tmp_path: Path) -> None:
    (tmp_path / "retrograd.toml").write_text('backend = "jax:cpu"\n')
    assert device_in(tmp_path) == "jax:cpu"


@pytest.mark.processes
def test_the_nearest_project_decides(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert device_in(inner) == "numpy:cpu"


@pytest.mark.processes
def test_what_wins(tmp_path: Path) -> None:
    (tmp_path / "retrograd.toml").write_text(TOML)
    assert device_in(tmp_path, RETROGRAD_BACKEND="numpy") == "numpy:cpu"
    chosen = (
        "import retrograd as rg; rg.set_default_backend('numpy'); print(rg.ones(1).device, end=' ');\n"
        "with rg.use_backend('jax'): print(rg.ones(1).device, rg.ones(1, device='numpy').device, end=' ')\n"
        "rg.set_default_backend(None); print(rg.ones(1).device)"
    )
    assert device_in(tmp_path, chosen) == "numpy:cpu jax:cpu numpy:cpu jax:cpu"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("backend = [", "cannot read the backend from"),
        ("backend = 3", "must be a string, not 3"),
        ('backend = "cupy"', "unknown backend 'cupy'; available: "),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "retrograd.toml").write_text(content)
    done = run(tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
