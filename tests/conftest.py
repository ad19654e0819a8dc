"""What every test shares: one BLAS thread, the backends to run on, and a seal on global state."""

import os

# Before anything imports NumPy, whose BLAS reads these once: one thread for each test process.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import retrograd

BACKENDS = ("numpy", "jax")

# No deadline, since a first call may compile for seconds; the same examples in each run; and one `backend`
# may serve all examples of a test.
settings.register_profile(
    "retrograd", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("retrograd")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the backend that is the default while the test runs, once for each built-in backend."""
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    with retrograd.use_backend(name):
        yield name


def _global_state() -> dict[str, Any]:
    return {
        "grad mode": retrograd.is_grad_enabled(),
        "default dtype": retrograd.get_default_dtype(),
        "default backend": retrograd.get_default_backend(),
    }


def _restore(state: dict[str, Any]) -> None:
    retrograd.set_grad_enabled(state["grad mode"])
    retrograd.set_default_dtype(state["default dtype"])
    retrograd.set_default_backend(state["default backend"])


@pytest.fixture(autouse=True)
def seal() -> Iterator[None]:
    """Fails a test that leaves grad mode, default dtype or default backend other than it found them."""
    before = _global_state()
    yield
    after = _global_state()
    if after != before:
        _restore(before)  # so that only the test that leaked fails
        leaks = (f"{what} {before[what]} -> {after[what]}" for what in before if after[what] != before[what])
        pytest.fail("the test leaked state: " + ", ".join(leaks), pytrace=False)
