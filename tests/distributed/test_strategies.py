"""Synchronous aggregation: one update a step, summed in the order of ranks, whoever comes first."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from hypothesis import given, strategies as st

from retrograd.distributed.errors import Mismatch
from retrograd.distributed.strategies import Contribution, Source, Synchronous, sum_in_order


def contribution(rank: int, gradients: dict[int, np.ndarray], lr: float = 0.1) -> Contribution:
    return Contribution(Source(rank, 0, 1), 1, ({"lr": lr},), gradients)


@given(st.permutations(range(5)), st.integers(0, 2**32 - 1))
def test_the_sum_runs_in_the_order_of_ranks_whatever_the_order_of_arrival(order: list[int], seed: int) -> None:
    # Over many magnitudes, so that another order of addition gives other bits.
    random = np.random.default_rng(seed)
    sent = (random.standard_normal((5, 20)) * 10.0 ** random.integers(-6, 6, (5, 20))).astype(np.float32)
    rule = Synchronous(5)
    for rank in order[:-1]:
        assert rule.offer(contribution(rank, {0: sent[rank]})) == []
    [update] = rule.offer(contribution(order[-1], {0: sent[order[-1]]}))
    expected = functools.reduce(operator.add, sent)
    assert update.gradients[0].tobytes() == expected.tobytes()
    assert [source.rank for source in update.sources] == [0, 1, 2, 3, 4]


def test_the_workers_own_arrays_stay_as_they_are() -> None:
    arrays = [np.ones(3, np.float32) for _ in range(3)]
    total = sum_in_order([{0: array} for array in arrays])
    np.testing.assert_array_equal(total[0], 3)
    np.testing.assert_array_equal(arrays, 1)


def test_a_tensor_without_a_gradient_stays_without_one() -> None:
    total = sum_in_order([{1: np.float32([1])}, {1: np.float32([2]), 2: np.float32([3])}])
    assert total.keys() == {1, 2}
    assert (total[1].item(), total[2].item()) == (3, 3)


def test_scalars_stay_arrays() -> None:
    total = sum_in_order([{0: np.array(1.0, np.float32)}] * 3)
    assert isinstance(total[0], np.ndarray)
    assert (total[0].shape, total[0].dtype, total[0].item()) == ((), np.float32, 3)


def test_it_knows_whom_it_waits_for() -> None:
    rule = Synchronous(3)
    assert rule.awaited() == frozenset()
    rule.offer(contribution(1, {}))
    assert rule.awaited() == {0, 2}


def test_workers_that_disagree_about_a_hyperparameter_are_told() -> None:
    rule = Synchronous(2)
    rule.offer(contribution(1, {}, lr=0.2))
    with pytest.raises(Mismatch, match=r"workers 0 and 1 disagree about 'lr' .* group 0 at step 1: 0\.1 and 0\.2"):
        rule.offer(contribution(0, {}, lr=0.1))
    assert rule.awaited() == {0}  # nothing has changed: the right value is still taken
    assert len(rule.offer(contribution(0, {}, lr=0.2))) == 1
