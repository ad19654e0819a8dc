"""What is particular to the JAX backend: what compiles when, devices, and positions out of range."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from retrograd.backends.jax import compiling, shapes  # noqa: E402
from retrograd.device import kernels_of  # noqa: E402


@pytest.fixture
def k() -> Any:
    return kernels_of("jax")


def grown(function: Any, work: Callable[[], Any]) -> int:
    """How many programs `work` makes a jitted function compile."""
    before = function._cache_size()
    work()
    return int(function._cache_size() - before)


# -- what compiles when ------------------------------------------------------------------------


def test_a_loop_over_rows_compiles_once(k: Any) -> None:
    x = k.from_host(np.arange(60.0).reshape(20, 3))
    rows: list[Any] = []
    assert grown(shapes._read, lambda: rows.extend(k.slice(x, (i,)) for i in range(20))) == 1
    np.testing.assert_array_equal(np.stack(rows), np.asarray(x))


def test_a_loop_over_minibatches_compiles_once(k: Any) -> None:
    x = k.from_host(np.arange(66.0).reshape(33, 2))
    work = lambda: [k.slice(x, (slice(i, i + 4, 1),)) for i in range(0, 28, 4)]
    assert grown(shapes._read, work) == 1


def test_writes_at_other_positions_compile_once(k: Any) -> None:
    x = k.zeros((21, 3), k.dtypes["float32"])
    assert grown(shapes._write, lambda: [k.slice_assign(x, (i,), 1.5) for i in range(20)]) == 1
    g = k.ones((3,), x.dtype)
    assert grown(shapes._spread, lambda: [k.unslice(g, (21, 3), (i,)) for i in range(20)]) == 1


def test_fill_values_do_not_compile(k: Any) -> None:
    k.full((7, 3), 0.0, k.dtypes["float32"])
    assert grown(k.full, lambda: [k.full((7, 3), float(i), k.dtypes["float32"]) for i in range(5)]) == 0


def test_a_whole_slice_is_the_array_itself(k: Any) -> None:
    x = k.ones((3, 4), k.dtypes["float32"])
    assert k.slice(x, (slice(None), slice(0, 4, 1))) is x
    assert k.copy(x) is x


class Traced:
    """A formula that counts how often JAX traces it and Python runs it."""

    def __init__(self, formula: Callable[..., Any]) -> None:
        self.formula = formula
        self.traced = self.run = 0

    def __call__(self, K: Any, *arguments: Any) -> Any:
        if any(isinstance(each, jax.core.Tracer) for each in arguments):
            self.traced += 1
        else:
            self.run += 1
        return self.formula(K, *arguments)


def test_a_formula_of_arrays_is_compiled_at_once(k: Any) -> None:
    formula = Traced(lambda K, g, x: K.multiply(g, x) * 2)
    compiled = compiling.compile_formula(formula, ())
    x = k.full((3,), 2.0, k.dtypes["float32"])
    for _ in range(3):
        assert compiled(k, x, x).tolist() == [8, 8, 8]
    assert formula.traced == 1


def test_constants_that_come_back_are_compiled(k: Any) -> None:
    formula = Traced(lambda K, g, shape: K.broadcast_to(g, shape))
    compiled = compiling.compile_formula(formula, (1,))
    g = k.ones((1,), k.dtypes["float32"])
    for _ in range(4):
        assert compiled(k, g, (2, 3)).shape == (2, 3)
    assert (formula.traced, formula.run) == (1, 1)


def test_constants_that_never_come_back_are_not(k: Any) -> None:
    formula = Traced(lambda K, g, alpha: g * alpha)
    compiled = compiling.compile_formula(formula, (1,))
    g = k.ones((2,), k.dtypes["float32"])
    for step in range(1, 6):
        assert compiled(k, g, 1.0 / step).tolist() == pytest.approx([1.0 / step] * 2)
    assert (formula.traced, formula.run) == (0, 5)


def test_constants_that_cannot_be_hashed_run_uncompiled(k: Any) -> None:
    compiled = compiling.compile_formula(lambda K, g, dims: K.flip(g, tuple(dims)), (1,))
    g = k.from_host(np.array([1.0, 2.0]))
    for _ in range(3):
        assert compiled(k, g, [0]).tolist() == [2, 1]


def test_identity_is_no_program(k: Any) -> None:
    identity = lambda K, g: g
    assert compiling.compile_formula(identity, ()) is identity
    g = k.ones((2,), k.dtypes["float32"])
    scale = compiling.compile_formula(lambda K, g, alpha: g if alpha == 1 else g * alpha, (1,))
    assert all(scale(k, g, 1) is g for _ in range(3))


def test_none_is_an_argument(k: Any) -> None:
    compiled = compiling.compile_formula(lambda K, g, bias: g if bias is None else g + bias, ())
    g = k.ones((2,), k.dtypes["float32"])
    assert compiled(k, g, None).tolist() == [1, 1]
    assert compiled(k, g, g).tolist() == [2, 2]


def test_a_formula_that_reads_values_runs_uncompiled(k: Any) -> None:
    formula = Traced(lambda K, g: g * 2 if bool(K.any(g > 0, (0,), False)) else g)
    compiled = compiling.compile_formula(formula, ())
    g = k.ones((2,), k.dtypes["float32"])
    before = formula.run
    for _ in range(3):
        assert compiled(k, g).tolist() == [2, 2]
    assert (formula.traced, formula.run - before) == (1, 3)


def test_errors_of_a_formula_come_through(k: Any) -> None:
    compiled = compiling.compile_formula(lambda K, g, x: K.matmul(g, x), ())
    with pytest.raises(TypeError, match=r"matmul|dot"):
        compiled(k, k.ones((2, 3), k.dtypes["float32"]), k.ones((2, 3), k.dtypes["float32"]))


def test_kernels_run_under_an_outer_trace(k: Any) -> None:
    def step(x: Any) -> Any:
        x = k.slice_assign(x, (0,), k.slice(x, (1,)))
        bits = k.random_bits((1, 2), x[0, 0].astype(np.int64), 3)
        return k.as_array(k.index(x, (k.from_host(np.array([0, 1])),))), bits

    x = k.from_host(np.arange(6.0).reshape(3, 2))
    rows, bits = jax.jit(step)(x)
    assert rows.tolist() == [[2, 3], [2, 3]]
    assert bits.tolist() == k.random_bits((1, 2), 2, 3).tolist()


# -- positions and types -----------------------------------------------------------------------


@pytest.mark.parametrize("position", [4, -5])
def test_positions_out_of_range_are_errors(k: Any, position: int) -> None:
    x = k.ones((4, 2), k.dtypes["float32"])
    at = k.from_host(np.array([0, position]))
    text = f"index {position} is out of bounds for axis 0 with size 4"
    with pytest.raises(IndexError, match=text):
        k.index(x, (at,))
    with pytest.raises(IndexError, match=text):
        k.index_put(x, (at,), 1.0, False)
    with pytest.raises(IndexError, match=text):
        k.gather(x, k.reshape(at, (2, 1)), 0)


def test_64_bits(k: Any) -> None:
    assert k.from_host(np.array([2**40])).tolist() == [2**40]
    assert k.arange(0, 3, 1, k.dtypes["int64"]).dtype == np.int64
    assert k.to_host(k.full((), 0.1, k.dtypes["float64"])).item() == 0.1


def test_small_integers_wrap_around_as_in_c(k: Any) -> None:
    x = k.from_host(np.array([-1.0, 255.0, 257.0]))
    assert k.astype(x, k.dtypes["uint8"]).tolist() == [255, 255, 1]


# -- devices -----------------------------------------------------------------------------------

TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}

PLACING = """
import numpy as np
import retrograd
from retrograd.backends import registry

assert registry.load("jax").devices() == ("cpu:0", "cpu:1"), registry.load("jax").devices()
assert str(retrograd.device("jax")) == "jax:cpu:0"
k = registry.kernels("jax", "cpu:1")
f32 = k.dtypes["float32"]
second = {1}
made = {
    "arange": k.arange(0, 3, 1, f32), "empty": k.empty((2,), f32), "eye": k.eye(2, 2, f32),
    "full": k.full((), 1, f32), "from_host": k.from_host(np.ones(2)), "linspace": k.linspace(0, 1, 3, f32),
    "ones": k.ones((2,), f32), "zeros": k.zeros((2,), f32), "random_bits": k.random_bits((1, 2), 0, 4),
    "int": k.arange(0, 3, 1, k.dtypes["int64"]),
    "zeros_like": k.zeros_like(k.ones((2,), f32)), "sum": k.sum(k.ones((2,), f32) + 1.0, (0,), False),
    "nonzero": k.nonzero(k.ones((2,), f32))[0],
}
def formula(K, g, n):
    return K.zeros_like(g), K.full((2,), 3.0, g.dtype), None, K.eye(n, n, g.dtype)


formula = k.compile(formula, (1,))
for time in range(2):
    zeros, full, nothing, eye = formula(k, k.ones((2,), f32), 4)
    made |= {f"zeros {time}": zeros, f"full {time}": full, f"eye {time}": eye}
for name, array in made.items():
    assert {device.id for device in array.devices()} == second, (name, array.devices())

x = retrograd.ones(2, device="jax:cpu:1", requires_grad=True)
(x * 2 + 1).sum().backward()
assert str(x.grad.device) == "jax:cpu:1"
try:
    x + retrograd.ones(2, device="jax:cpu:0")
except RuntimeError as error:
    assert "jax:cpu:1 and jax:cpu:0" in str(error), error
else:
    raise AssertionError("mixed devices")
"""


@pytest.mark.processes
def test_new_arrays_go_to_their_device(tmp_path: Path) -> None:
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLACING],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
