"""Large writes in place, which NumPy's backend computes block by block: the same numbers, and no memory for them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import pytest

import retrograd as rg
from retrograd import Tensor
from retrograd.backends import registry
from retrograd.backends.numpy.backend import NumpyBackend
from retrograd.backends.spec import BackendSpec, Kernels, hookimpl

SIZE = 300_001  # several blocks of each type, none of which divides it

F = rg.nn.functional
WRITES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "add": lambda x, a, b: x.add_(a, alpha=-0.3),
    "sub": lambda x, a, b: x.sub_(a, alpha=0.3),
    "itself": lambda x, a, b: x.add_(x, alpha=0.3),
    "addcmul": lambda x, a, b: x.addcmul_(a, b, value=0.7),
    "addcdiv": lambda x, a, b: x.addcdiv_(a, b, value=0.7),
    "lerp": lambda x, a, b: x.lerp_(a, 0.1),
    "lerp from the far end": lambda x, a, b: x.lerp_(a, 0.9),
    "lerp by tensor": lambda x, a, b: x.lerp_(a, b),
    "one number": lambda x, a, b: x.add_(a[0], alpha=2),
    "clamp": lambda x, a, b: x.clamp_(-0.5, 0.5),
    "masked_fill": lambda x, a, b: x.masked_fill_(a > 0, 0.25),
    "elu": lambda x, a, b: F.elu_(x),
    "silu": lambda x, a, b: F.silu(x, inplace=True),
    "relu": lambda x, a, b: x.relu_(),
    "round": lambda x, a, b: x.round_(decimals=1),
}


def operands(dtype: rg.dtype) -> list[Tensor]:
    values = np.random.default_rng(0).standard_normal((3, SIZE))
    values[0, ::1000], values[0, 1::1000] = np.nan, np.inf
    return [rg.tensor(each).to(dtype) for each in values]


@pytest.mark.parametrize("dtype", [rg.float16, rg.float32, rg.float64], ids=str)
@pytest.mark.parametrize("name", WRITES)
def test_a_large_write_gives_the_numbers_of_a_small_one(name: str, dtype: rg.dtype) -> None:
    x, *others = operands(dtype)
    if name == "one number":
        expected = x + 2 * others[0][0]
    else:
        starts = range(0, SIZE, 10_000)
        pieces = [[each[start : start + 10_000].clone() for each in (x, *others)] for start in starts]
        expected = rg.cat([WRITES[name](*each) for each in pieces])
    assert WRITES[name](x, *others) is x
    np.testing.assert_array_equal(x.numpy(), expected.numpy())


@pytest.mark.parametrize("layout", ["columns", "steps", "expanded"])
def test_what_does_not_lie_in_one_piece_is_written_too(layout: str) -> None:
    x, other, _ = operands(rg.float32)
    x, other = x[:-1].reshape(500, -1), other[:-1].reshape(500, -1)
    if layout == "columns":
        x = x.t()
        other = other.reshape(x.shape)
    elif layout == "steps":
        x, other = x[:, ::2], other[:, ::2]
    else:
        other = other[:1].expand(x.shape)
    expected = x.numpy() + np.float32(0.5) * other.numpy()
    x.add_(other, alpha=0.5)
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize("kind", ["behind", "before", "one element"])
def test_what_overlaps_is_read_before_it_is_written(kind: str) -> None:
    memory = np.arange(SIZE + 1, dtype=np.float32)
    target = memory[1:] if kind == "behind" else memory[:-1]
    source = {"behind": memory[:-1], "before": memory[1:], "one element": memory[SIZE // 2 :][:1].reshape(())}[kind]
    expected = target + 2 * source
    rg.from_numpy(target).add_(rg.from_numpy(source), alpha=2)
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("name", ["add", "addcdiv", "lerp"])
def test_a_large_write_takes_no_memory_for_its_steps(name: str) -> None:
    x, a, b = (rg.full((4_000_000,), value) for value in (1.0, 2.0, 3.0))
    WRITES[name](x, a, b)
    tracemalloc.start()
    try:
        WRITES[name](x, a, b)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 5
    finally:
        tracemalloc.stop()


class Renamed(NumpyBackend):
    def kernels(self, device: str) -> Kernels:
        table = super().kernels(device)
        table.backend = "watched"
        return table


def test_a_kernel_of_a_plugin_is_called_for_blocks() -> None:
    class Watch:
        sizes: ClassVar[list[int]] = []

        @staticmethod
        @hookimpl
        def retrograd_backends() -> Iterable[BackendSpec]:
            yield BackendSpec("watched", load=Renamed)

        @staticmethod
        @hookimpl
        def retrograd_kernels(backend: str, kernels: Kernels) -> dict[str, Callable[..., object]]:
            def multiply(a: Any, b: Any) -> object:
                Watch.sizes.append(a.size)
                return a * b

            return {"multiply": multiply} if backend == "watched" else {}

    unregister = registry.register(Watch)
    try:
        x = rg.ones(SIZE, device="watched")
        x.add_(rg.ones(SIZE, device="watched"), alpha=2)
    finally:
        unregister()
    assert (x == 3).all()
    assert len(Watch.sizes) == 3
    assert sum(Watch.sizes) == SIZE


def test_what_is_refused_has_not_changed_anything() -> None:
    x = rg.zeros(SIZE)
    with pytest.raises(RuntimeError):
        x.add_(rg.zeros(SIZE + 1), alpha=2)
    with pytest.raises(RuntimeError):
        x.lerp_(rg.ones(SIZE, dtype=rg.float64), 0.1)
    assert not x.any()
    assert x._version == 0
