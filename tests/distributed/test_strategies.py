"""The rule of consistency: which updates follow from pushes, and who may go on, whoever comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.strategies import DataObject

from retrograd.distributed.errors import DistributedError, Mismatch, ProtocolError
from retrograd.distributed.messages import Source
from retrograd.distributed.strategies import BoundedStaleness, Claim, Decision, Strategy, Synchronous, strategy_for


def claim(rank: int, step: int, lr: float = 0.1, *, version: int = 0, finite: bool = True) -> Claim:
    return Claim(Source(rank, 0, step), step, version, ({"lr": lr},), finite)


def ranks(decision: Decision) -> list[int]:
    return [source.rank for source in decision.sources]


# ---- a run of workers that do as they are allowed ---------------------------------------------------------


@dataclass
class Run:
    """Workers that push, wait as long as they must, and push again; what happened to them."""

    rule: Strategy
    steps: dict[int, int] = field(default_factory=dict)
    """Of each worker the last step that it has pushed for."""
    read: dict[int, int] = field(default_factory=dict)
    """Of each worker the last step that it has been let go on after."""
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = dict.fromkeys(self.rule.clocks, 0)
        self.read = dict(self.steps)
        self.let_go()

    def free(self) -> list[int]:
        """Those who have read the weights and compute the next gradient."""
        return [rank for rank in self.steps if self.read[rank] == self.steps[rank]]

    def push(self, rank: int) -> None:
        self.steps[rank] += 1
        self.note(self.rule.offer(claim(rank, self.steps[rank])))

    def note(self, decisions: Sequence[Decision]) -> None:
        self.decisions += decisions
        self.let_go()

    def let_go(self) -> None:
        """Let those go on whom the server would answer."""
        settled = {(source.rank, source.seq) for each in self.decisions for source in (*each.sources, *each.dropped)}
        for rank, step in self.steps.items():
            # A deterministic run makes updates in its own time, and nobody waits for that of his own.
            counts = self.rule.older or step == 0 or (rank, step) in settled
            if counts and self.rule.may_answer(step, self.rule.frontier):
                # Who comes late for a step goes on from the one that the others are at.
                self.steps[rank] = self.read[rank] = max(step, self.rule.frontier if self.rule.staleness == 0 else 0)

    def orders(self) -> list[tuple[int, int, float]]:
        """What was applied, in its order."""
        return [(source.rank, source.seq, each.scale) for each in self.decisions for source in each.sources]


consistencies = st.one_of(
    st.builds(Synchronous, st.integers(1, 5)),
    st.builds(lambda size: Synchronous(size, size - 1), st.integers(1, 5)),
    st.builds(Synchronous, st.integers(2, 5), st.just(1)),
    st.builds(BoundedStaleness, st.integers(1, 5), st.sampled_from([1, 2, 5, inf])),
    st.builds(BoundedStaleness, st.integers(1, 5), st.sampled_from([1, 2, 5]), deterministic=st.just(True)),
)


@given(consistencies, st.data())
def test_nobody_is_ever_stuck_and_every_push_is_settled_once(rule: Strategy, data: DataObject) -> None:
    run = Run(rule)
    for _ in range(30):
        assert run.free(), "all wait, and nobody is left to wait for"
        run.push(data.draw(st.sampled_from(run.free()), label="who pushes"))
    settled = [source for each in run.decisions for source in (*each.sources, *each.dropped)]
    assert len(settled) == len(set(settled))


@given(consistencies, st.data())
def test_the_frontier_never_goes_back(rule: Strategy, data: DataObject) -> None:
    run = Run(rule)
    for _ in range(30):
        before = rule.frontier
        run.push(data.draw(st.sampled_from(run.free()), label="who pushes"))
        assert rule.frontier >= before
    frontiers = [each.frontier for each in run.decisions]
    assert frontiers == sorted(frontiers)
    assert rule.updates == sum(bool(each.sources) for each in run.decisions)


@given(st.integers(1, 5), st.sampled_from([1, 2, 5]), st.booleans(), st.data())
def test_who_goes_on_is_at_most_s_steps_ahead_of_the_slowest(
    size: int, staleness: int, deterministic: bool, data: DataObject
) -> None:
    run = Run(BoundedStaleness(size, staleness, deterministic=deterministic))
    for _ in range(40):
        run.push(data.draw(st.sampled_from(run.free()), label="who pushes"))
        slowest = min(run.steps.values())
        assert all(run.read[rank] - slowest <= staleness for rank in run.free())
        assert run.rule.frontier <= slowest


def test_the_bound_is_reached() -> None:
    run = Run(BoundedStaleness(2, 3))
    for step in range(1, 5):
        assert 0 in run.free(), step
        run.push(0)
    assert run.free() == [1]
    run.push(1)
    assert run.free() == [0, 1]


def test_without_a_bound_nobody_waits() -> None:
    run = Run(BoundedStaleness(2, inf))
    for _ in range(100):
        run.push(0)
    assert run.free() == [0, 1]
    assert run.rule.frontier == 0


# ---- in step ----------------------------------------------------------------------------------------------


@given(st.permutations(range(5)))
def test_a_step_is_one_update_in_the_order_of_ranks_whatever_the_order_of_arrival(order: list[int]) -> None:
    rule = Synchronous(5)
    for rank in order[:-1]:
        assert rule.offer(claim(rank, 1)) == []
    assert rule.offer(claim(order[-1], 1)) == [Decision(1, tuple(Source(rank, 0, 1) for rank in range(5)))]


def test_it_knows_whom_it_waits_for() -> None:
    rule = Synchronous(3)
    assert rule.awaited() == frozenset()
    rule.offer(claim(1, 1))
    assert rule.awaited() == {0, 2}
    behind = BoundedStaleness(3, 1)
    behind.offer(claim(1, 1))
    assert behind.awaited() == {0, 2}


def test_a_push_is_compared_with_one_other_and_not_with_all() -> None:
    compared = 0

    class Counted(dict):  # type: ignore[type-arg]
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return super().__eq__(other)

    rule = Synchronous(world_size=50)
    for rank in range(50):
        rule.offer(Claim(Source(rank, 0, 1), step=1, groups=(Counted(lr=0.1),)))
    assert rule.frontier == 1
    assert compared == 49


def test_workers_that_disagree_about_a_hyperparameter_are_told() -> None:
    rule = Synchronous(2)
    rule.offer(claim(1, 1, lr=0.2))
    with pytest.raises(Mismatch, match=r"workers 0 and 1 disagree about 'lr' .* group 0 at step 1: 0\.1 and 0\.2"):
        rule.offer(claim(0, 1, lr=0.1))
    assert rule.awaited() == {0}  # nothing has changed: the right value is still taken
    assert len(rule.offer(claim(0, 1, lr=0.2))) == 1


def test_where_steps_are_uneven_the_schedule_is_that_of_who_has_made_the_most() -> None:
    rule = Synchronous(3, backups=1)
    for step in (1, 2):
        rule.offer(claim(0, step, lr=0.5**step))
        rule.offer(claim(1, step, lr=0.5**step))
    [late] = rule.offer(claim(2, 1, lr=0.5))
    assert late.dropped
    # It stands at step 2 with the others, and has called its scheduler once.
    rule.offer(claim(2, 3, lr=0.5**2))
    [decision] = rule.offer(claim(1, 3, lr=0.5**3))
    assert ranks(decision) == [1, 2]
    assert decision.leading == 0
    rule.leave(0)
    rule.join(0)  # a new process, whose scheduler begins anew
    rule.offer(claim(0, 4, lr=1.0))
    [decision] = rule.offer(claim(2, 4, lr=0.5**3))
    assert ranks(decision) == [0, 2]
    assert decision.leading == 1


@pytest.mark.parametrize("rule", [Synchronous(2), BoundedStaleness(2, 1, deterministic=True)], ids=["sync", "ssp"])
def test_a_step_pushed_twice_and_a_stranger_s_are_refused(rule: Strategy) -> None:
    rule.offer(claim(1, 1))
    with pytest.raises(ProtocolError, match="worker 1 pushes step 1 a second time"):
        rule.offer(claim(1, 1))
    with pytest.raises(ProtocolError, match="worker 7 pushes and does not take part"):
        rule.offer(claim(7, 1))
    assert rule.offer(claim(0, 1))[-1].frontier == 1


def test_a_step_with_a_gradient_that_is_not_finite_is_left_out() -> None:
    rule = Synchronous(2)
    rule.offer(claim(0, 1, finite=False))
    [decision] = rule.offer(claim(1, 1))
    assert (decision.skip, ranks(decision), decision.frontier, rule.updates) == (True, [0, 1], 1, 0)
    loose = BoundedStaleness(1)
    [decision] = loose.offer(claim(0, 1, finite=False))
    assert (decision.skip, loose.updates) == (True, 0)


def test_backups_make_a_step_of_the_first_and_drop_the_late() -> None:
    rule = Synchronous(4, backups=1)
    assert rule.offer(claim(3, 1)) == rule.offer(claim(0, 1)) == []
    [decision] = rule.offer(claim(2, 1))
    assert (ranks(decision), decision.scale, decision.frontier) == ([0, 2, 3], 4 / 3, 1)
    [late] = rule.offer(claim(1, 1))
    assert (late.sources, [source.rank for source in late.dropped], late.frontier) == ((), [1], 1)
    assert rule.updates == 1
    for rank in (1, 2):
        assert rule.offer(claim(rank, 2)) == []
    assert ranks(rule.offer(claim(0, 2))[0]) == [0, 1, 2]


def test_backups_are_not_waited_for_when_workers_leave() -> None:
    rule = Synchronous(4, backups=1)
    assert rule.leave(0) == rule.leave(1) == []
    rule.offer(claim(2, 1))
    [decision] = rule.offer(claim(3, 1))
    assert (ranks(decision), decision.scale) == ([2, 3], 2.0)


# ---- bounded staleness ------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.integers(1, 4), st.sampled_from([1, 2, 5]), st.data())
def test_a_deterministic_run_makes_the_same_updates_in_any_order_of_arrival(
    size: int, staleness: int, data: DataObject
) -> None:
    """Also when some end early, and wait at a barrier for the others."""
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=size, max_size=size), label="steps of each")

    def orders() -> list[tuple[int, int, float]]:
        run = Run(BoundedStaleness(size, staleness, deterministic=True))
        at_barrier: set[int] = set()
        while moving := [rank for rank in run.free() if rank not in at_barrier]:
            rank = data.draw(st.sampled_from(moving), label="who moves")
            if run.steps[rank] < lengths[rank]:
                run.push(rank)
            else:
                at_barrier.add(rank)
                run.note(run.rule.pause(rank))
        return run.orders()

    first = orders()
    assert first == orders()
    assert [(step, rank) for rank, step, _ in first] == sorted(
        (step, rank) for rank in range(size) for step in range(1, lengths[rank] + 1)
    )


def test_a_rate_is_divided_by_the_updates_that_came_in_between() -> None:
    rule = BoundedStaleness(3, inf, scale_rate=True)
    rates = [rule.offer(claim(rank, 1))[0].rate for rank in range(3)]
    assert rates == [1, 1, 1 / 2]
    assert rule.offer(claim(0, 2, version=3))[0].rate == 1


def test_a_worker_at_a_barrier_takes_part_as_before() -> None:
    rule = BoundedStaleness(2, inf)
    rule.pause(1)
    [decision] = rule.offer(claim(0, 1))
    assert decision.scale == 1


# ---- coming, going, waiting -------------------------------------------------------------------------------


def test_gradients_stand_for_those_who_have_left() -> None:
    rule = Synchronous(4)
    rule.leave(3)
    for rank in (0, 1):
        rule.offer(claim(rank, 1))
    [decision] = rule.offer(claim(2, 1))
    assert (decision.scale, decision.frontier) == (4 / 3, 1)
    loose = BoundedStaleness(4, 1)
    loose.leave(3)
    assert loose.offer(claim(0, 1))[0].scale == 4 / 3


def test_who_waited_for_one_that_leaves_goes_on() -> None:
    rule = Synchronous(2)
    rule.offer(claim(0, 1))
    [decision] = rule.leave(1)
    assert (ranks(decision), decision.scale, decision.frontier) == ([0], 2.0, 1)
    loose = BoundedStaleness(2, 1)
    loose.offer(claim(0, 1))
    loose.offer(claim(0, 2))
    assert loose.leave(1) == [Decision(2)]


@pytest.mark.parametrize("rule", [Synchronous(3), BoundedStaleness(3, 1, deterministic=True)], ids=["sync", "ssp"])
def test_what_waited_of_one_that_leaves_goes_with_it(rule: Strategy) -> None:
    rule.offer(claim(2, 1))
    rule.offer(claim(0, 1))
    assert rule.leave(2) == []
    decisions = rule.offer(claim(1, 1))
    assert [rank for each in decisions for rank in ranks(each)] == [0, 1]
    assert decisions[-1].frontier == 1
    assert {each.scale for each in decisions} == {3 / 2}


@given(consistencies, st.data())
def test_who_joins_begins_where_the_others_are(rule: Strategy, data: DataObject) -> None:
    run = Run(rule)
    for _ in range(10):
        run.push(data.draw(st.sampled_from(run.free()), label="who pushes"))
    new = rule.world_size
    joined = rule.join(new)
    assert joined == rule.frontier
    run.steps[new] = run.read[new] = joined
    for _ in range(20):
        assert run.free(), "all wait, and nobody is left to wait for"
        run.push(data.draw(st.sampled_from(run.free()), label="who pushes"))
    assert rule.clocks.keys() == set(range(new + 1))


@pytest.mark.parametrize(
    "rule",
    [Synchronous(2), BoundedStaleness(2, 1), BoundedStaleness(2, 1, deterministic=True)],
    ids=["sync", "ssp", "deterministic"],
)
def test_nobody_waits_for_one_at_a_barrier_until_it_goes_on(rule: Strategy) -> None:
    run = Run(rule)
    run.push(0)
    run.push(1)
    run.note(rule.pause(1))
    for _ in range(4):
        run.push(0)
        assert 0 in run.free()
    assert rule.frontier == 5
    rule.resume(1)
    assert rule.clocks[1] == 5  # it has missed those, and is not held to be behind
    run.steps[1] = run.read[1] = 5
    for _ in range(2):
        run.push(0)
    assert run.free() == [1]


def test_a_pause_lets_a_waiting_step_be_made() -> None:
    rule = Synchronous(2)
    rule.offer(claim(0, 1))
    [decision] = rule.pause(1)
    assert ranks(decision) == [0]
    rule.leave(1)
    rule.resume(1)  # it has left in the meantime
    assert 1 not in rule.clocks


@pytest.mark.parametrize(
    ("rule", "ahead", "updates"),
    [(Synchronous(2), 0, 21), (BoundedStaleness(2, 1), 1, 23), (BoundedStaleness(2, 1, deterministic=True), 0, 23)],
    ids=["sync", "ssp", "deterministic"],
)
def test_it_goes_on_where_it_is_said_to_stand(rule: Strategy, ahead: int, updates: int) -> None:
    rule.restore({0: 7 + ahead, 1: 7, 5: 7}, made={}, frontier=7, updates=20)
    run = Run(rule)
    run.steps.update(rule.clocks)
    run.read.update(rule.clocks)
    for rank in (1, 5, 0):
        run.push(rank)
    assert (rule.frontier, rule.updates) == (8, updates)


# ---- what cannot be ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"backups": 2}, "2 backup workers leave none of 2 to wait for"),
        ({"staleness": 1, "backups": 1}, "backup workers are for steps that all do together"),
        ({"scale_rate": True}, "nothing is stale where all go in step"),
        ({"staleness": -1}, "a staleness of -1 is no bound"),
        ({"staleness": inf, "deterministic": True}, "a deterministic run needs a bound"),
    ],
)
def test_what_contradicts_itself_is_an_error(fields: dict[str, float], text: str) -> None:
    with pytest.raises(DistributedError, match=text):
        strategy_for(2, **fields)


def test_the_rule_is_one() -> None:
    assert isinstance(strategy_for(3), Synchronous)
    assert isinstance(strategy_for(3, deterministic=True), Synchronous)
    rule = strategy_for(3, 4, deterministic=True)
    assert isinstance(rule, BoundedStaleness)
    assert (rule.staleness, rule.older) == (4, 4)
    assert strategy_for(3, 4).older == 0
