"""Many rows added at once on NumPy: the quick way gives the bits of the slow one, and refuses what that refuses."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from retrograd.backends.numpy import indexing


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
