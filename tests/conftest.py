"""What every test shares: one BLAS thread, a compiler in a hurry, the backends to run on, a seal on global state."""

import os

# Before anything imports NumPy, whose BLAS reads these once: one thread for each test process.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import gc
import importlib.util
import mmap
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import retrograd
from retrograd.backends import registry
from retrograd.backends.array_api import array_api_backend
from retrograd.backends.spec import hookimpl

pytest.register_assert_rewrite("expressions", "programs")

from programs import skip_if_lacking  # noqa: E402 - so that its failures show what was compared
from shared_programs import forget_context, share  # noqa: E402

# The author of another backend runs these tests with its name here. "strict" is array-api-strict, as a third backend.
BACKENDS = tuple(os.environ.get("RETROGRAD_TEST_BACKENDS", "numpy,jax").split(","))

# Most of the time of the tests is XLA's: on JAX each kernel is compiled anew for each kind and shape of arguments, and
# runs once or twice. So here, and in the processes that tests start, XLA spends less on making code fast: what is
# tested is which program a kernel is, not how well XLA optimises it. Measured, in seconds of processor time for each
# compilation: 0.035 as JAX comes, 0.031 without most optimisations, 0.017 without the fusion emitters as well, which
# run MLIR's passes on each fusion. `.ci/run` tests each kernel as XLA compiles it for users too, and trains the demo
# so: with JAX_DISABLE_MOST_OPTIMIZATIONS=0 all of this is left alone, and programs share nothing.
#
# There is no persistent compilation cache. JAX writes its files in place, without a lock: a process that reads what
# another is writing gets half of it, and a warning, which is an error here.
_NO_FUSION_EMITTERS = "--xla_cpu_use_fusion_emitters=false"


def _xla_knows(flag: str) -> bool:
    """Whether the name of a flag stands in XLA's library: it ends a process that sets one it does not know."""
    jaxlib = importlib.util.find_spec("jaxlib")
    if jaxlib is None or jaxlib.origin is None:
        return False
    library = max(Path(jaxlib.origin).parent.glob("*.so"), key=lambda each: each.stat().st_size)
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
        return code.find(flag.removeprefix("--").partition("=")[0].encode()) >= 0


_AS_FOR_USERS = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "0"
if "JAX_DISABLE_MOST_OPTIMIZATIONS" not in os.environ:  # xdist's workers inherit it
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    if _xla_knows(_NO_FUSION_EMITTERS):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_NO_FUSION_EMITTERS}"

# No deadline, since a first call may compile for seconds; the same examples in each run; and one `backend`
# may serve all examples of a test.
settings.register_profile(
    "retrograd", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("retrograd")


def pytest_configure(config: pytest.Config) -> None:
    """Where Python is told to leave no bytecode, have it aside for this run: hundreds of processes are started."""
    if os.environ.get("PYTHONDONTWRITEBYTECODE") and not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="retrograd-bytecode-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        del os.environ["PYTHONDONTWRITEBYTECODE"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Keeps Python's collector from looking through the tests themselves: a million objects that stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the backend that is the default while the test runs, once for each of `BACKENDS`."""
    name: str = request.param
    if name in ("numpy", "jax") and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    unregister = _register_strict() if name == "strict" else lambda: None
    try:
        with retrograd.use_backend(name):
            yield name
    finally:
        unregister()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Skips a test of a type that the backend's library lacks, which none of the built-in ones does."""
    try:
        return (yield)
    except TypeError as error:
        skip_if_lacking(str(error))
        raise


def _register_strict() -> Callable[[], None]:
    spec = array_api_backend("strict", "array_api_strict", install="pip install array-api-strict")
    return registry.register(SimpleNamespace(retrograd_backends=hookimpl(lambda: [spec])))


def pytest_runtest_setup() -> None:
    """Has JAX, once a test has loaded it, make no more for each program than it needs."""
    if "jax" in sys.modules and not _AS_FOR_USERS:
        share()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Has JAX forget its programs between files, which share few of them."""
    if "jax" in sys.modules and (nextitem is None or nextitem.path != item.path):
        sys.modules["jax"].clear_caches()
        forget_context()


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
    """Fails a test that leaves grad mode, default dtype or default backend other than it found them.

    And lets functions not ask any more whether somebody takes them over, as they do once a test defines such a class.
    """
    before = _global_state()
    yield
    if (interposing := sys.modules.get("retrograd.interposing")) is not None:
        interposing.uninstall()
    after = _global_state()
    if after != before:
        _restore(before)  # so that only the test that leaked fails
        leaks = (f"{what} {before[what]} -> {after[what]}" for what in before if after[what] != before[what])
        pytest.fail("the test leaked state: " + ", ".join(leaks), pytrace=False)
