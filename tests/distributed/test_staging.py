"""Pushes that arrive in parts: in any order, in several versions, half, twice, or never whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from retrograd.distributed import staging as staging_module
from retrograd.distributed.errors import ProtocolError
from retrograd.distributed.gradients import Rows
from retrograd.distributed.messages import Array, Push, Source
from retrograd.distributed.staging import Contribution, Staging

SOURCE = Source(1, 7, 2)
GROUPS = ({"lr": 0.5},)


def filled(value: float, size: int = 1) -> Array:
    return np.full(size, value, np.float32)


def part(number: int, parts: int = 0, present: tuple[int, ...] = (), seq: int = 2) -> Push:
    """A part of a push; with `parts` the last."""
    return Push((), seq, step=3, part=number, parts=parts, version=9, groups=GROUPS if parts else (), present=present)


def whole_push(staging: Staging, source: Source, size: int = 1) -> Contribution:
    contribution = staging.add(source, part(0, 1, (0,), source.seq), {0: filled(1, size)})
    assert contribution is not None
    return contribution


@given(st.permutations(range(4)))
def test_parts_may_come_in_any_order(order: list[int]) -> None:
    staging = Staging()
    for count, number in enumerate(order, start=1):
        push = part(number, 4, (0, 1, 2, 3)) if number == 3 else part(number)
        whole = staging.add(SOURCE, push, {number: filled(number)})
        assert (whole is not None) == (count == 4)
    assert whole is not None
    assert {index: each.item() for index, each in whole.gradients.items()} == {0: 0, 1: 1, 2: 2, 3: 3}
    assert (whole.source, whole.step, whole.version, whole.groups) == (SOURCE, 3, 9, GROUPS)


@given(st.permutations(range(3)))
def test_the_latest_part_that_holds_a_slice_counts(order: list[int]) -> None:
    staging = Staging()
    for number in order:
        push = part(number, 3, (0,)) if number == 2 else part(number)
        whole = staging.add(SOURCE, push, {0: filled(number)} if number < 2 else {})
    assert whole is not None
    assert whole.gradients[0].item() == 1


@given(st.permutations([0, 1, 2, 0, 1]))
def test_a_part_that_comes_twice_is_one(order: list[int]) -> None:
    staging = Staging()
    found = []
    for number in order:
        push = part(number, 3, (0, 1, 2)) if number == 2 else part(number)
        found.append(staging.add(SOURCE, push, {number: filled(number)}))
    [whole, *_] = [each for each in found if each is not None]
    assert sorted(whole.gradients) == [0, 1, 2]
    assert len(list(staging.whole())) == 1


def test_only_slices_that_are_present_count() -> None:
    staging = Staging()
    staging.add(SOURCE, part(0), {0: filled(1), 1: filled(2)})
    whole = staging.add(SOURCE, part(1, 2, (1,)), {})
    assert whole is not None
    assert list(whole.gradients) == [1]  # the other had a gradient when it left, and none at the step


def test_what_comes_late_of_a_push_that_was_given_up_is_dropped() -> None:
    staging = Staging()
    for seq in range(20, 10, -1):
        staging.add(Source(1, 1, seq), Push((), seq, 1, part=0, parts=0), {0: filled(1, 5)})
    assert staging.nbytes == 20


def test_there_is_an_end_of_parts_with_nothing_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, "_MOST_PARTS", 100)
    staging = Staging()
    for number in range(100):
        staging.add(SOURCE, part(number), {})
    with pytest.raises(ProtocolError, match="push 2 has more than 100 parts"):
        staging.add(SOURCE, part(100), {})
    assert staging.add(Source(1, 7, 3), part(0, 1, (), 3), {}) is not None


def test_a_push_without_a_gradient_is_one() -> None:
    whole = Staging().add(SOURCE, part(0, 1), {})
    assert whole is not None
    assert whole.gradients == {}
    assert whole.is_finite()


def test_a_slice_that_is_announced_and_missing_is_an_error_and_leaves_no_trace() -> None:
    staging = Staging()
    with pytest.raises(ProtocolError, match=r"push 2 of worker 1 lacks slices \[4, 5\] that it announces"):
        staging.add(SOURCE, part(0, 1, (0, 4, 5)), {0: filled(1)})
    assert staging.nbytes == 0
    assert not staging.has([SOURCE])


def test_gradients_that_are_replaced_are_not_counted_twice() -> None:
    staging = Staging()
    for number in range(5):
        assert staging.bytes_with(SOURCE, {0: filled(1, 10)}) == 40
        staging.add(SOURCE, part(number), {0: filled(1, 10)})
    assert staging.nbytes == staging.bytes_of(1) == 40
    assert staging.bytes_with(SOURCE, {1: filled(1, 10)}) == 80
    assert staging.bytes_with(Source(2, 7, 2), {1: filled(1, 10)}) == 40


def test_rows_take_the_bytes_of_their_numbers_and_values() -> None:
    staging = Staging()
    rows = Rows((1000, 4), np.arange(2), np.zeros((2, 4), np.float32))
    assert staging.bytes_with(SOURCE, {0: rows}) == 2 * 8 + 2 * 4 * 4
    staging.add(SOURCE, part(0), {0: rows})
    assert staging.nbytes == 2 * 8 + 2 * 4 * 4


def test_a_push_that_was_begun_is_given_up_with_the_next() -> None:
    staging = Staging()
    staging.add(SOURCE, part(0), {0: filled(1, 10)})
    staging.add(Source(1, 8, 1), part(0, seq=1), {0: filled(1)})  # of another life
    staging.add(Source(2, 7, 3), part(0, seq=3), {0: filled(1)})  # of another worker
    assert staging.bytes_of(1) == 44
    staging.add(Source(1, 7, 3), part(0, seq=3), {1: filled(1)})
    assert (staging.bytes_of(1), staging.bytes_of(2)) == (8, 4)


def test_what_is_settled_is_gone() -> None:
    staging = Staging()
    sources = [Source(rank, 7, 2) for rank in range(3)]
    for source in sources:
        whole_push(staging, source)
    assert staging.has(sources)
    assert [each.source for each in staging.whole()] == sources
    staging.discard([*sources[:2], Source(9, 9, 9)])
    assert not staging.has(sources)
    assert [each.source for each in staging.whole()] == sources[2:]
    assert staging.nbytes == 4


@pytest.mark.parametrize("begun", [False, True], ids=["whole", "begun"])
def test_a_worker_or_one_life_of_it_can_be_forgotten(begun: bool) -> None:
    def filled_staging() -> Staging:
        staging = Staging()
        for source in lives:
            if begun:
                staging.add(source, part(0, seq=source.seq), {0: filled(1)})
            else:
                whole_push(staging, source)
        return staging

    lives = [Source(1, 7, 2), Source(1, 8, 1), Source(2, 7, 2)]
    staging = filled_staging()
    staging.forget(1)
    assert (staging.bytes_of(1), staging.bytes_of(2)) == (0, 4)
    staging = filled_staging()
    staging.forget(1, 7)
    assert (staging.bytes_of(1), staging.bytes_of(2)) == (4, 4)
    staging = filled_staging()
    staging.forget(1, but=8)
    assert (staging.bytes_of(1), staging.bytes_of(2)) == (4, 4)
    assert staging.has([Source(1, 8, 1)]) == (not begun)


def test_what_is_put_back_is_whole() -> None:
    staging = Staging()
    contribution = Contribution(SOURCE, 3, gradients={0: filled(1, 5)})
    staging.put(contribution)
    assert staging.get(SOURCE) is contribution
    assert staging.nbytes == 20


def test_what_is_not_finite_is_seen_as_it_comes_and_forgotten_when_it_is_replaced() -> None:
    staging = Staging(looks=True)
    staging.add(SOURCE, part(0), {0: filled(np.nan), 1: filled(1)})
    whole = staging.add(SOURCE, part(1, 2, (0, 1)), {0: filled(2)})
    assert whole is not None
    assert whole.known_fullness is not None
    assert whole.is_finite()
    other = Source(2, 1, 1)
    whole = staging.add(other, part(0, 1, (0, 1)), {0: filled(np.inf), 1: filled(1)})
    assert whole is not None
    assert whole.known_fullness == np.inf


def test_a_contribution_knows_whether_it_is_finite() -> None:
    contribution = Contribution(SOURCE, 1, gradients={0: filled(3), 1: filled(4)})
    assert contribution.is_finite()
    assert not Contribution(SOURCE, 1, gradients={0: filled(3), 1: filled(np.nan)}).is_finite()
