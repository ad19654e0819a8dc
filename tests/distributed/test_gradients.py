"""Gradients on a server: rows and whole matrices mean the same, sums run from left to right, nothing hides a NaN."""

from __future__ import annotations

import functools
import math
import operator

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st

from retrograd.distributed.compression import codec_for
from retrograd.distributed.errors import ProtocolError
from retrograd.distributed.gradients import (
    Gradient,
    Rows,
    dense,
    fullness,
    is_finite,
    overflows,
    scaled,
    square_norm,
    sum_in_order,
    summed,
    unpack,
)
from retrograd.distributed.messages import Array, Slot

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(name) for name in ("float16", "float32", "float64", "complex64")] + [BFLOAT16]


def many_magnitudes(shape: tuple[int, ...], seed: int, dtype: np.dtype = DTYPES[1]) -> Array:
    """Numbers of which another order of addition gives another sum."""
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * 10.0 ** random.integers(-3, 3, shape)).astype(dtype)


@st.composite
def row_gradients(draw: st.DrawFn) -> list[Rows]:
    """Gradients of a matrix, each of some of its rows."""
    rows, columns = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    chosen = draw(st.lists(st.sets(st.integers(0, rows - 1)).map(sorted), min_size=1, max_size=5))
    return [
        Rows((rows, columns), np.array(numbers, np.int64), many_magnitudes((len(numbers), columns), seed + index))
        for index, numbers in enumerate(chosen)
    ]


# ---- sums -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_sum_runs_from_left_to_right(dtype: np.dtype) -> None:
    addends = [many_magnitudes((50,), seed, dtype) for seed in range(5)]
    expected = functools.reduce(operator.add, addends)
    assert summed(addends).tobytes() == expected.tobytes()
    assert summed(addends).dtype == dtype
    other = functools.reduce(operator.add, addends[::-1])
    assert expected.tobytes() != other.tobytes()  # so the order matters, and was held


def test_addends_stay_as_they_are() -> None:
    arrays = [np.ones(3, np.float32) for _ in range(3)]
    total = sum_in_order([{0: array} for array in arrays])
    np.testing.assert_array_equal(total[0], 3)
    np.testing.assert_array_equal(arrays, 1)


def test_a_sum_of_several_is_put_where_it_is_wanted() -> None:
    out, one = np.empty(3, np.float32), np.ones(3, np.float32)
    assert summed([one, one, one], out) is out
    np.testing.assert_array_equal(out, 3)
    assert summed([one], out) is one


def test_a_slice_without_a_gradient_stays_without_one() -> None:
    total = sum_in_order([{1: np.float32([1])}, {1: np.float32([2]), 2: np.float32([3])}])
    assert total.keys() == {1, 2}
    assert (total[1].item(), total[2].item()) == (3, 3)


@given(row_gradients())
def test_a_sum_of_rows_has_the_bits_of_the_sum_of_matrices(addends: list[Rows]) -> None:
    expected = functools.reduce(operator.add, map(dense, addends))
    total = summed(addends)
    assert isinstance(total, Rows)
    assert total.numbers.tolist() == sorted({number for each in addends for number in each.numbers.tolist()})
    assert dense(total).tobytes() == expected.tobytes()


@given(row_gradients(), st.integers(0, 4))
def test_rows_and_matrices_add_up_together(addends: list[Rows], position: int) -> None:
    whole = many_magnitudes(addends[0].shape, 7)
    mixed: list[Gradient] = [*addends[:position], whole, *addends[position:]]
    expected = functools.reduce(operator.add, map(dense, mixed))
    assert dense(summed(mixed)).tobytes() == expected.tobytes()


@given(row_gradients())
def test_rows_are_not_changed_by_a_sum(addends: list[Rows]) -> None:
    before = [each.values.copy() for each in addends]
    summed(addends)
    scaled(summed(addends), 2.0)
    for each, values in zip(addends, before, strict=True):
        assert each.values.tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_scaled_gradient_has_its_dtype(dtype: np.dtype) -> None:
    array = np.ones((2, 2), dtype)
    half = scaled(array, 0.5)
    assert (half.dtype, half[0, 0]) == (dtype, 0.5)
    rows = scaled(Rows((4, 2), np.array([1, 3]), array), 0.5)
    assert isinstance(rows, Rows)
    assert (rows.values.dtype, rows.values[0, 0], rows.shape) == (dtype, 0.5, (4, 2))
    assert scaled(array, 1.0) is array


# ---- what is not finite -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_element_that_is_not_finite_is_found(dtype: np.dtype, bad: float) -> None:
    for position in (0, 511, 1023):
        array = np.zeros((32, 32), dtype)
        assert is_finite(array)
        array.reshape(-1)[position] = bad
        assert not is_finite(array)
        assert not is_finite(Rows((64, 32), np.arange(32), array))
        assert is_finite(Rows((64, 32), np.arange(0), array[:0]))


@pytest.mark.parametrize("dtype", [*DTYPES], ids=str)
def test_large_numbers_are_finite(dtype: np.dtype) -> None:
    """Also where their squares, or the sum of those, are not."""
    largest = float(ml_dtypes.finfo(dtype).max)
    assert is_finite(np.full((3, 3), largest, dtype))
    assert is_finite(np.full(1 << 16, math.sqrt(largest) * 0.99, dtype))
    array = np.full((3, 3), largest, dtype)
    array[1, 1] = math.nan
    assert not is_finite(array)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_may_overflow_is_known_by_its_largest_magnitude(dtype: np.dtype) -> None:
    largest = float(ml_dtypes.finfo(dtype).max)
    for size in (1, 1 << 16):
        array = np.zeros(size, dtype)
        assert fullness(array) == 0
        array[-1] = -largest / 2
        assert fullness(array) == pytest.approx(0.5, rel=1e-2)
        assert not overflows([{0: array}, {0: array}], 0.99)
        assert overflows([{0: array}, {0: array}, {0: array}], 1.0)
        assert not overflows([{0: array}, {0: -array}, {0: array}], 1.0)
        assert overflows([{0: array}], 3.0)


def test_numbers_far_from_overflow_are_known_to_be_so() -> None:
    assert 1e-38 < fullness(np.ones(1 << 16, np.float32)) < 1e-30
    assert fullness(np.array([1j * np.inf, 0], np.complex64)) == np.inf
    assert fullness(np.array([3, -4], np.int8)) == 0


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64"])
def test_integers_are_finite(dtype: str) -> None:
    assert is_finite(np.ones(3, dtype))


@given(st.lists(st.floats(width=32), max_size=20))
def test_finite_is_what_is_finite(numbers: list[float]) -> None:
    assert is_finite(np.array(numbers, np.float32)) == all(map(math.isfinite, numbers))


# ---- norms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_norm_is_that_of_all_elements(dtype: np.dtype) -> None:
    one, other = many_magnitudes((6, 7), 1, dtype), many_magnitudes((9,), 2, dtype)
    wide = np.complex128 if dtype.kind == "c" else np.float64
    expected = sum(float((np.abs(each.astype(wide)) ** 2).sum()) for each in (one, other))
    assert square_norm([one, other]) == pytest.approx(expected, rel=1e-5)
    assert square_norm([Rows((100, 7), np.arange(6), one), other]) == square_norm([one, other])


def test_a_norm_of_imaginary_numbers_is_no_sum_of_their_squares() -> None:
    assert square_norm([np.complex64([3j, 4])]) == 25


def test_small_numbers_of_half_precision_are_squared_in_double() -> None:
    tiny = np.full(100, 1e-4, np.float16)  # whose squares are nothing in float16
    assert square_norm([tiny]) == pytest.approx(100 * float(tiny[0]) ** 2)
    large = np.full(100, 1e4, np.float16)  # whose squares are too large for it
    assert square_norm([large]) == pytest.approx(100 * float(large[0]) ** 2)


# ---- off the wire -----------------------------------------------------------------------------------------


def test_what_is_unpacked_is_what_was_packed() -> None:
    fp16 = codec_for("fp16").encode(2, np.float32([0.5, 2]))
    slots = (
        Slot(4, "float32", (2,)),
        Slot(1, "float32", (5, 2), rows=2),
        Slot(2, "float32", (2,), codec="fp16", numbers=fp16.numbers),
    )
    whole, numbers, values = np.float32([1, 2]), np.array([0, 4]), np.float32([[1, 2], [3, 4]])
    found = unpack(slots, [whole, numbers, values, *fp16.frames])
    assert list(found) == [4, 1, 2]
    assert found[4] is whole
    assert isinstance(found[1], Rows)
    assert dense(found[1]).tolist() == [[1, 2], [0, 0], [0, 0], [0, 0], [3, 4]]
    np.testing.assert_array_equal(dense(found[2]), np.float32([0.5, 2]))


@pytest.mark.parametrize("numbers", [[-1, 0], [0, 3], [1, 1], [2, 1], [2**62, 2**62 + 1], [-(2**63), 2**63 - 1]])
def test_rows_that_are_none_are_refused(numbers: list[int]) -> None:
    slot = Slot(0, "float32", (3, 1), rows=2)
    with pytest.raises(ProtocolError, match="row numbers of slot 0 do not ascend within its 3 rows"):
        unpack([slot], [np.array(numbers), np.ones((2, 1), np.float32)])


def test_no_rows_at_all_are_a_gradient_of_zeros() -> None:
    found = unpack([Slot(0, "float32", (3, 1), rows=0)], [np.empty(0, np.int64), np.empty((0, 1), np.float32)])
    assert dense(found[0]).tolist() == [[0], [0], [0]]
    assert is_finite(found[0])
    assert square_norm(found.values()) == 0
