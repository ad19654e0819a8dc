"""A server that starts again on what it has kept: who is waited for, which step is next, and with which numbers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ps_harness import Learner, all_of, clients, serving, start, starting_again

from retrograd.distributed import link as link_module


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_REPEAT", 0.1)
    monkeypatch.setattr(link_module, "_HELLO_AGAIN", 0.1)


@pytest.mark.parametrize(
    "consistency",
    [{}, {"staleness": 1, "deterministic": True}, {"staleness": 1}],
    ids=["in step", "deterministic", "bounded"],
)
def test_a_durable_run_goes_on_with_the_numbers_that_it_would_have_had(
    consistency: dict[str, Any], tmp_path: Path
) -> None:
    # Where updates are applied in the order in which they come, the end is the same only without momentum.
    momentum = ({"lr": 0.5, "momentum": 0.0 if consistency == {"staleness": 1} else 0.5},)
    keeping = {"durable": True, "every": 3, "recovery": 60, **consistency}

    def learn(members: Sequence[Learner], steps: range) -> None:
        for step in steps:
            values = [float(step * (rank + 1)) for rank in range(len(members))]
            all_of(*(lambda c=c, v=v: c.learn(v, momentum) for c, v in zip(members, values, strict=True)))

    def train(folder: Path, *, killed: bool) -> list[np.ndarray]:
        with serving(2, folder=folder, **keeping) as [server], clients(server) as members:
            all_of(*(lambda c=c: c.begin(1.0, groups=momentum) for c in members))
            learn(members, range(1, 4))
            with starting_again(server, *members) if killed else nullcontext(server) as server:
                learn(members, range(4, 7))
                all_of(*(each.barrier for each in members))
                assert [(each.rejoined, each.step) for each in members] == [(0, 6), (0, 6)]
                return server.within(lambda: [each.copy() for each in server.state.weights()])

    whole, broken = (train(tmp_path / str(killed), killed=killed) for killed in (False, True))
    for ours, theirs in zip(whole, broken, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_all_are_waited_for_when_a_snapshot_from_before_they_came_is_all_there_is(tmp_path: Path) -> None:
    with serving(2, folder=tmp_path, recovery=60) as [former], clients(former) as [first, second]:
        start(first, second)
        all_of(first.learn, second.learn)
        with starting_again(former, first, second) as server:
            for w, _ in all_of(first.learn, second.learn):  # computed with weights that are gone
                np.testing.assert_array_equal(w, 1.0)
            assert (first.rejoined, second.rejoined, server.state.position.version) == (1, 1, 0)
            for w, _ in all_of(first.learn, second.learn):
                np.testing.assert_array_equal(w, 1 - 0.5 * 2)
            assert (first.step, second.step) == (1, 1)


def test_one_that_dies_while_the_server_is_back_from_before_it_came_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with (
        serving(2, timeout=2.0, on_loss="continue", folder=tmp_path, recovery=60) as [former],
        clients(former) as [first, second],
    ):
        start(first, second)
        former.stop()
        second.close(say_goodbye=False)
        with starting_again(former, first) as server:
            first.learn()  # computed with weights that are gone: it joins again
            w, _ = first.learn()
            np.testing.assert_array_equal(w, 1 - 0.5 * 2)
            assert server.roster[1].state == "lost"


def test_a_snapshot_s_step_is_the_next_for_workers_that_were_further(tmp_path: Path) -> None:
    # Order 1 and 2 are the workers' joining, so the second snapshot holds one step.
    with serving(2, every=3, folder=tmp_path, recovery=60) as [former], clients(former) as [first, second]:
        start(first, second)
        for _ in range(3):
            all_of(first.learn, second.learn)
        with starting_again(former, first, second) as server:
            assert server.frontier == 1
            all_of(first.learn, second.learn)
            assert (first.step, second.step, server.frontier) == (2, 2, 2)
            np.testing.assert_array_equal(first.arrays[0], 1 - 2 * 0.5 * 2)


def test_a_pull_that_a_former_life_was_asked_is_answered(tmp_path: Path) -> None:
    with serving(1, every=2, folder=tmp_path, recovery=60) as [former], clients(former) as [client]:
        client.begin(1.0)
        for _ in range(2):
            client.learn(1.0)
        with starting_again(former, client):
            w, _ = client.fetch()
            np.testing.assert_array_equal(w, 0.5)
            assert client.step == 1
            w, _ = client.learn(1.0)
            np.testing.assert_array_equal(w, 0.0)


def test_who_had_left_is_not_waited_for(tmp_path: Path) -> None:
    with serving(2, durable=True, folder=tmp_path, recovery=60) as [former], clients(former) as [first, second]:
        start(first, second)
        second.close()
        first.learn()
        with starting_again(former, first, second):
            first.learn()
            first.barrier()
            np.testing.assert_array_equal(first.arrays[0], 1 - 2 * 0.5 * 2)
