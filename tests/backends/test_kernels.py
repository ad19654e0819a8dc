"""Every kernel of every backend gives what NumPy's gives: values, dtypes and shapes."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from kernel_samples import all_samples, assert_same, numbers, to_host

from retrograd.backends import registry
from retrograd.backends.array_api import array_api_backend
from retrograd.backends.spec import OPTIONAL, REQUIRED, hookimpl
from retrograd.device import kernels_of
from retrograd.ops import decompositions

SAMPLES = all_samples()
BY_KERNEL = {name: [each for each in SAMPLES if each.kernel == name] for name in sorted(REQUIRED | OPTIONAL)}


class StrictPlugin:
    """`array-api-strict`, which refuses all that the standard does not promise."""

    @staticmethod
    @hookimpl
    def retrograd_backends() -> Iterator[Any]:
        yield array_api_backend("strict", "array_api_strict", install="pip install array-api-strict")


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Any]:
    module = {"jax": "jax", "strict": "array_api_strict"}[request.param]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    unregister = registry.register(StrictPlugin)
    yield kernels_of(request.param)
    unregister()


def test_the_table_has_every_kernel() -> None:
    elsewhere = {"empty", "from_host", "to_host"}  # no values to compare, or a part of each comparison
    assert {name for name, samples in BY_KERNEL.items() if not samples} == elsewhere


@pytest.mark.parametrize("name", [name for name, samples in BY_KERNEL.items() if samples])
@pytest.mark.parametrize("table", ["jax", "strict"], indirect=True)
def test_kernel_equals_numpys(name: str, table: Any) -> None:
    failures = []
    ran = 0
    for sample in BY_KERNEL[name]:
        if not sample.dtypes() <= set(table.dtypes):
            continue
        ran += 1
        try:
            assert_same(sample.run(table), sample.run(kernels_of("numpy")), sample.exact)
        except Exception as error:
            failures.append(f"{sample}: {type(error).__name__}: {error}")
    assert ran
    assert not failures, f"{len(failures)} of {ran} samples:\n" + "\n".join(failures)


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_decomposition_equals_the_fused_kernel(name: str) -> None:
    numpy = kernels_of("numpy")
    composed = getattr(decompositions, name)
    fused = getattr(numpy, name)
    for sample in BY_KERNEL[name]:
        if sample.dtypes() & {"float16", "bfloat16"}:
            continue  # fused kernels accumulate in float32, compositions round at each step
        expected = sample.run(numpy)
        try:
            setattr(numpy, name, lambda *arguments: composed(numpy, *arguments))
            assert_same(sample.run(numpy), expected)
        finally:
            setattr(numpy, name, fused)


def test_completing_a_table_keeps_its_own_kernels() -> None:
    numpy = kernels_of("numpy")
    softmax = numpy.softmax
    assert decompositions.complete(numpy).softmax is softmax
    assert set(vars(numpy)) >= OPTIONAL


@pytest.mark.parametrize("table", ["jax", "strict"], indirect=True)
def test_host_arrays_go_in_and_come_out(table: Any) -> None:
    for dtype in ("float32", "int64", "bool", "complex128"):
        host = numbers((64, 64), dtype)
        array = table.from_host(host)
        assert_same(to_host(table, array), host, exact=True)
        before = host.copy()
        host[:] = 1
        assert_same(to_host(table, array), before, exact=True)  # a copy, not a view of `host`


@pytest.mark.parametrize(("name", "units"), [("log1p", 4), ("expm1", 5)])
def test_what_is_computed_in_quick_passes_is_off_by_few_units_in_the_last_place(name: str, units: int) -> None:
    random = np.random.default_rng(0)
    sizes = np.exp(random.uniform(-60, 4, 20_000))
    x = np.concatenate([sizes, -sizes, random.uniform(-1, 3, 20_000), [0.0, -0.0]]).astype(np.float32)
    x = x[x > -1]
    table = kernels_of("numpy")
    with table.quiet():
        found = getattr(table, name)(x)
    exact = getattr(np, name)(x.astype(np.float64))
    off = np.abs(found - exact) / np.spacing(np.maximum(np.abs(exact), 1e-30).astype(np.float32))
    assert off.max() <= units
    assert np.array_equal(np.signbit(found), np.signbit(exact))
