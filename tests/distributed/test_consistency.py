"""How far ahead workers may be, and what they read there: with real clients, whose pace the test decides."""

from __future__ import annotations

import threading
from math import inf

import numpy as np
import pytest
from ps_harness import SGD, Learner, clients, serving, start, together, wait_until

RATE = SGD[0]["lr"]


def run_ahead(client: Learner, steps: int) -> threading.Thread:
    """Let a client do steps in a thread, as far as it may."""
    thread = threading.Thread(target=lambda: [client.learn(1.0) for _ in range(steps)], daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize(("staleness", "deterministic"), [(1, False), (3, False), (2, True)])
def test_a_worker_is_never_more_than_the_staleness_ahead(staleness: int, deterministic: bool, shards: int) -> None:
    with (
        serving(2, shards, staleness=staleness, deterministic=deterministic) as servers,
        clients(*servers) as [fast, slow],
    ):
        start(fast, slow)
        ahead = run_ahead(fast, staleness + 2)
        # It has pushed one step more than it has done: the push that it waits behind.
        wait_until(lambda: servers[0].roster[0].step == staleness + 1, "the fast one to be as far as it may")
        assert fast.step == staleness
        assert ahead.is_alive()
        slow.learn(1.0)
        wait_until(lambda: servers[0].roster[0].step == staleness + 2, "it to go on by one")
        assert fast.step == staleness + 1
        slow.learn(1.0)
        ahead.join(60)
        assert fast.step == staleness + 2


def test_without_a_bound_nobody_waits() -> None:
    with serving(2, staleness=inf) as servers, clients(*servers) as [fast, slow]:
        start(fast, slow)
        for _ in range(50):
            fast.learn(1.0)
        assert (fast.step, slow.step, servers[0].state.position.version) == (50, 0, 50)
        w, _ = slow.learn(1.0)
        np.testing.assert_array_equal(w, 1 - RATE * 51)


def test_a_deterministic_run_reads_the_weights_of_its_own_step_less_the_staleness() -> None:
    def run(who_is_first: int) -> list[list[np.ndarray]]:
        seen: list[list[np.ndarray]] = [[], []]
        with serving(2, staleness=1, deterministic=True) as servers, clients(*servers) as members:
            start(*members)
            for step in range(6):
                order = (who_is_first, 1 - who_is_first) if step % 2 else (1 - who_is_first, who_is_first)
                for rank in order:
                    seen[rank].append(members[rank].learn(float(rank + step))[0])
        return seen

    one, other = run(0), run(1)
    for mine, theirs in zip(one, other, strict=True):
        for step, (left, right) in enumerate(zip(mine, theirs, strict=True)):
            np.testing.assert_array_equal(left, right)
            # After step c + 1 (counted from 1) they read what all had pushed up to step c.
            np.testing.assert_array_equal(left, 1 - RATE * sum(2 * each + 1 for each in range(step)))


def test_a_late_gradient_counts_less_where_the_rate_is_scaled() -> None:
    with serving(2, staleness=inf, scale_rate=True) as servers, clients(*servers) as [fast, slow]:
        start(fast, slow)
        for _ in range(4):
            fast.learn(0.0)  # four updates that change nothing but the version
        w, _ = slow.learn(1.0)
        np.testing.assert_allclose(w, 1 - RATE / 4)


def test_backup_workers_are_not_waited_for_and_their_late_gradient_is_in_nothing() -> None:
    with serving(3, backups=1) as servers, clients(*servers) as members:
        start(*members)
        first, second, late = members
        together(lambda: first.learn(1.0), lambda: second.learn(1.0))
        w, _ = late.learn(100.0)
        np.testing.assert_array_equal(w, 1 - RATE * 2 * np.float32(3 / 2))  # the mean over two, times three
        assert (late.step, servers[0].counters.dropped) == (1, 1)
        together(lambda: late.learn(1.0), lambda: first.learn(1.0))
        assert servers[0].state.position.version == 2
