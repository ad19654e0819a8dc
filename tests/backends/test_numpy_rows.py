"""Quick ways on NumPy, of rows, positions and windows: they give what the slow ones give, and refuse what those do."""

from __future__ import annotations

from itertools import product
from unittest import mock

import numpy as np
import pytest

from retrograd.backends.numpy import indexing, neural, reductions


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(
    ("shape", "index"), [((100, 64), (300,)), ((50, 4, 8), (20, 30)), ((7, 1024), (64,))], ids=["2-d", "3-d", "wide"]
)
def test_the_sum_is_that_of_one_after_the_other(dtype: str, shape: tuple[int, ...], index: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, shape[0], index)
    values = random.standard_normal((*index, *shape[1:])).astype(dtype)
    start = np.zeros(shape, dtype)
    expected = start.copy()
    np.add.at(expected, rows, values)
    with mock.patch.object(indexing, "_add_rows", wraps=indexing._add_rows) as quick:
        found = indexing.index_put(start, (rows,), values, True)
    assert quick.called
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()
    assert not start.any()


def test_numbers_from_the_end_are_taken_and_those_beyond_refused() -> None:
    values = np.ones((64, 64), np.float32)
    rows = np.arange(64) % 5
    zeros = np.zeros((5, 64), np.float32)
    np.testing.assert_array_equal(
        indexing.index_put(zeros, (rows - 5,), values, True), indexing.index_put(zeros, (rows,), values, True)
    )
    with pytest.raises(IndexError, match="out of bounds"):
        indexing.index_put(zeros, (rows + 1,), values, True)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_positions_as_one_number_or_one_for_each_axis(axis: int) -> None:
    random = np.random.default_rng(0)
    positions = random.permuted(np.indices((16, 15, 14))[axis], axis=axis)
    x, values = (random.standard_normal((18, 18, 18)).astype(np.float32) for _ in range(2))
    values = values[tuple(map(slice, positions.shape))]
    kernels = (
        lambda: indexing.gather(x, positions, axis),
        lambda: indexing.scatter(x, positions, values, axis),
        lambda: indexing.scatter_add(x, positions, values, axis),
    )
    for kernel in kernels:
        quick = kernel()
        with mock.patch.object(indexing, "_MANY", positions.size + 1):
            assert quick.tobytes() == kernel().tobytes()
        positions[0, 0, 0], kept = 18, positions[0, 0, 0]
        with pytest.raises(IndexError, match="out of bounds"):
            kernel()
        positions[0, 0, 0] = kept


def test_whether_integers_are_within() -> None:
    for type_ in (np.int64, np.int32, np.uint8):
        assert indexing.within(np.array([[0, 2], [1, 2]], type_), 3)
        assert not indexing.within(np.array([0, 3], type_), 3)
    assert not indexing.within(np.array([0, -1]), 3)
    assert not indexing.within(np.array([0, -1], np.int32), 3)


@pytest.mark.parametrize("special", [0.0, -np.inf, np.nan])
def test_windows_seen_at_once_or_tap_by_tap(special: float) -> None:
    x = np.random.default_rng(0).integers(-3, 3, (2, 3, 7, 8)).astype(np.float32)
    x[0, 0, 2, 3:5] = x[1, :, 4:] = special
    looks = 0
    for kernel, stride, padding, dilation, ceil_mode in product((2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True)):
        settings = ((kernel, 2), (stride,) * 2, (padding,) * 2, (dilation, 1), ceil_mode)
        with mock.patch.object(neural, "_pooled_at_once", wraps=neural._pooled_at_once) as look:
            quick = neural.max_pool(x, *settings)
        looks += look.called
        with mock.patch.object(neural, "_LITTLE", 0):
            slow = neural.max_pool(x, *settings)
        for one, other in zip(quick, slow, strict=True):
            np.testing.assert_array_equal(one, other)
    assert looks > 20


def test_a_window_that_sees_padding_alone_is_left_to_the_taps() -> None:
    value, place = neural.max_pool(np.ones((1, 1, 1), np.float32), (2,), (1,), (3,), (5,), False)
    assert value.tolist() == [[[-np.inf, -np.inf]]]
    assert place.dtype == np.int64


def test_running_extrema_keep_the_type_and_go_on_from_nan() -> None:
    x = np.array([[1.0, 3.0], [np.nan, 2.0], [5.0, 4.0]], np.float32).T
    np.testing.assert_array_equal(reductions.running(x, 1, True), [[1, np.nan, np.nan], [3, 3, 4]])
    np.testing.assert_array_equal(reductions.running(x, 1, False), [[1, np.nan, np.nan], [3, 2, 2]])
    assert reductions.running(x, 1, True).flags.c_contiguous
    assert reductions.running(np.array([True, False]), 0, False).dtype == bool
