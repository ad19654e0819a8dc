"""Convolutions and pools equal PyTorch's."""

from typing import Any

import numpy as np
import pytest
from kernel_samples import CONVOLUTIONS, POOLS, numbers, to_host

from retrograd.backends import windows
from retrograd.device import kernels_of


@pytest.fixture(params=["numpy", "jax"])
def k(request: pytest.FixtureRequest) -> Any:
    pytest.importorskip(request.param)
    return kernels_of(request.param)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_and_its_adjoints(k: Any, name: str) -> None:
    torch = pytest.importorskip("torch")
    x_shape, w_shape, stride, padding, dilation, groups = CONVOLUTIONS[name]
    settings = (stride, padding, dilation, groups)
    x, w = numbers(x_shape, "float64"), numbers(w_shape, "float64", 1)
    x_leaf, w_leaf = (torch.tensor(each, requires_grad=True) for each in (x, w))
    convolve = getattr(torch.nn.functional, f"conv{len(stride)}d")
    expected = convolve(x_leaf, w_leaf, None, *settings)
    g = numbers(tuple(expected.shape), "float64", 2)
    expected.backward(torch.tensor(g))
    x_, w_, g_ = map(k.from_host, (x, w, g))
    results = (
        (k.convolution(x_, w_, *settings), expected.detach()),
        (k.convolution_input(g_, w_, x_shape, *settings), x_leaf.grad),
        (k.convolution_weight(g_, x_, w_shape, *settings), w_leaf.grad),
    )
    for result, wanted in results:
        np.testing.assert_allclose(to_host(k, result), wanted.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("with_nan", [False, True])
@pytest.mark.parametrize("name", POOLS)
def test_max_pool(k: Any, name: str, with_nan: bool) -> None:
    torch = pytest.importorskip("torch")
    spatial, *settings = POOLS[name]
    x = numbers((2, 3, *spatial), "float32")
    if with_nan:
        x.flat[::7] = np.nan
    pool = getattr(torch.nn.functional, f"max_pool{len(spatial)}d")
    values, positions = pool(torch.tensor(x), *settings, return_indices=True)
    result = k.max_pool(k.from_host(x), *settings)
    np.testing.assert_array_equal(to_host(k, result[0]), values.numpy())
    np.testing.assert_array_equal(to_host(k, result[1]), positions.numpy())


def test_large_batches_are_convolved_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from retrograd.backends.numpy import neural

    x, w = numbers((7, 3, 6, 6), "float64"), numbers((8, 3, 3, 3), "float64", 1)
    g = numbers((7, 8, 4, 4), "float64", 2)
    settings = ((1, 1), (0, 0), (1, 1), 1)

    def results() -> list[Any]:
        return [
            neural.convolution(x, w, *settings),
            neural.convolution_input(g, w, x.shape, *settings),
            neural.convolution_weight(g, x, w.shape, *settings),
        ]

    whole = results()
    monkeypatch.setattr(neural, "_COLUMN_BYTES", 9000)  # two samples at a time
    for part, expected in zip(results(), whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-12)


def test_half_types_accumulate_in_float32() -> None:
    numpy = kernels_of("numpy")
    x = np.full((1, 4096, 1, 1), 1.0, np.float16)
    w = np.ones((1, 4096, 1, 1), np.float16)
    result = numpy.convolution(x, w, (1, 1), (0, 0), (1, 1), 1)
    assert result.dtype == np.float16
    assert result.item() == 4096.0


def test_empty_batch(k: Any) -> None:
    x, w = k.zeros((0, 2, 5, 5), k.dtypes["float32"]), k.ones((3, 2, 3, 3), k.dtypes["float32"])
    settings = ((1, 1), (0, 0), (1, 1), 1)
    out = k.convolution(x, w, *settings)
    assert out.shape == (0, 3, 3, 3)
    assert k.convolution_input(out, w, (0, 2, 5, 5), *settings).shape == (0, 2, 5, 5)
    assert not to_host(k, k.convolution_weight(out, x, (3, 2, 3, 3), *settings)).any()


def test_a_window_that_starts_behind_the_end_does_not_count() -> None:
    assert windows.pooled((4,), (2,), (3,), (0,), (1,), True) == (2,)
    assert windows.pooled((5,), (1,), (3,), (0,), (1,), True) == (2,)
    assert windows.pooled((3,), (2,), (3,), (1,), (1,), True) == (2,)
