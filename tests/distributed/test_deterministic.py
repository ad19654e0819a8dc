"""A deterministic run whose workers go on before their update is made: what they have pushed counts all the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ps_harness import Learner, all_of, clients, peer_of, push, serving, sliced, start, starting_again, wait_until

from retrograd.distributed import client as client_module, link as link_module, messages
from retrograd.distributed.errors import NonFiniteGradient

SSP: dict[str, Any] = {"staleness": 2, "deterministic": True}


@pytest.mark.parametrize("shards", [1, 2])
def test_what_a_worker_has_pushed_counts_when_it_leaves_before_the_others(shards: int) -> None:
    with serving(2, shards, **SSP) as servers, clients(*servers) as [fast, slow]:
        start(fast, slow)
        for value in (1.0, 2.0):
            fast.learn(value)
        fast.close()
        wait_until(lambda: all(each.roster[0].state == "left" for each in servers), "its goodbye")
        for value in (3.0, 4.0, 5.0):
            slow.learn(value)
        slow.close()
        # The last gradient is one of a step that it made alone, and stands for two.
        expected = 1 - 0.5 * (1 + 2 + 3 + 4 + 2 * 5)
        wait_until(lambda: all(each.state.position.version == 5 for each in servers), "the last update")
        found = [weight for each in servers for weight in each.state.weights()]
        assert sorted(weight.size for weight in found) == [1, 3]
        for weight in found:
            np.testing.assert_allclose(weight, expected)
        assert [each.staging.nbytes for each in servers] == [0] * shards


def test_what_the_last_has_not_pushed_for_is_made_when_it_leaves() -> None:
    with serving(2, **SSP) as [server], clients(server) as [fast, slow]:
        start(fast, slow)
        for _ in range(2):
            fast.learn(1.0)
        fast.close()
        wait_until(lambda: server.roster[0].state == "left", "its goodbye")
        slow.learn(1.0)
        slow.close()
        wait_until(lambda: server.state.position.version == 3, "the last update")
        np.testing.assert_array_equal(server.state.weights()[0], 1 - 0.5 * (1 + 1 + 2))


def test_the_last_worker_s_barrier_waits_for_no_update() -> None:
    with serving(2, **SSP) as [server], clients(server) as [fast, slow]:
        start(fast, slow)
        for _ in range(2):
            fast.learn(1.0)
        slow.learn(1.0)
        all_of(fast.barrier, slow.barrier)
        assert server.state.position.version == 3
        assert (fast.step, slow.step) == (2, 2)


def test_one_that_comes_back_before_its_former_pushes_are_made_begins_anew() -> None:
    with serving(2, on_loss="continue", **SSP) as [server], clients(server) as [fast, slow]:
        start(fast, slow)
        for _ in range(2):
            fast.learn(100.0)
        fast.close()
        wait_until(lambda: server.roster[0].state == "left", "its goodbye")
        with clients(server, count=1) as [again]:
            again.begin(9.0)
            np.testing.assert_array_equal(again.arrays[0], 1.0)
            all_of(lambda: again.learn(1.0), lambda: slow.learn(1.0))
            wait_until(lambda: server.frontier == 1, "the step")
            np.testing.assert_array_equal(server.state.weights()[0], 1 - 0.5 * 2)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_push_that_is_refused_is_no_worker_s_step(shards: int) -> None:
    with serving(2, shards, **SSP) as servers, clients(*servers) as [fast, slow]:
        start(fast, slow)
        bad = [np.full(each.shape, np.nan, np.float32) for each in fast.arrays]
        bad[0][:] = 1.0  # so that only one of two servers has something to say against it
        with pytest.raises(NonFiniteGradient, match="gradients of worker 0 for step 1 hold a NaN"):
            fast.learn(bad)
        for _ in range(2):
            fast.learn(1.0)
        assert fast.step == 2
        for _ in range(2):
            slow.learn(1.0)
        wait_until(lambda: all(each.state.position.version == 4 for each in servers), "the updates")
        np.testing.assert_array_equal(fast.fetch()[0], 1.0)  # of step 0, two steps ago


def test_what_was_answered_and_not_made_outlives_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_REPEAT", 0.1)
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.1)
    keeping: dict[str, Any] = {"folder": tmp_path, "durable": True, "recovery": 60, **SSP}
    with serving(2, **keeping) as [former], clients(former) as [fast, slow]:
        start(fast, slow)
        for value in (1.0, 2.0):
            fast.learn(value)
        with starting_again(former, fast, slow) as server:
            for value in (3.0, 4.0):
                slow.learn(value)
            wait_until(lambda: server.state.position.version == 4, "four updates")
            np.testing.assert_array_equal(server.state.weights()[0], 1 - 0.5 * (1 + 2 + 3 + 4))
            fast.learn(5.0)
            assert (fast.step, fast.rejoined, server.counters.rejected) == (3, 0, 0)


def test_a_push_under_way_when_the_server_dies_is_made_once(tmp_path: Path) -> None:
    with serving(2, folder=tmp_path, durable=True, every=1) as [former]:
        with peer_of(former) as one, peer_of(former) as other:
            one.join(0, 2)
            other.join(1, 2, incarnation=2)
            one.begin()
            other.begin()
            one.send(push(2, 1), sliced())
            wait_until(lambda: former.roster[0].waiting, "the push")
            former.within(lambda: former.keeper.snapshot(former))  # which holds it
        with starting_again(former) as server, peer_of(server) as one, peer_of(server) as other:
            welcome = one.hello(0, 2)
            other.hello(1, 2, incarnation=2)
            assert isinstance(welcome, messages.Welcome)
            assert (welcome.received, welcome.step, welcome.takes_part) == (2, 1, True)
            one.send(push(2, 1, tensors=()))
            other.send(push(2, 1), sliced())
            for each in (one, other):
                _, arrays = each.receive()
                np.testing.assert_array_equal(arrays[0], 1 - 0.5 * 2)
            assert server.state.position.version == 1


@pytest.mark.parametrize("every", [1, 3, 100])
def test_what_is_read_after_a_restart_is_what_would_have_been_read(
    every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_REPEAT", 0.1)
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.1)

    def train(folder: Path, *, killed: bool) -> list[float]:
        keeping: dict[str, Any] = {"folder": folder, "durable": True, "recovery": 60, "every": every, **SSP}
        seen: list[float] = []

        def learn(members: Sequence[Learner], steps: int) -> None:
            for _ in range(steps):  # what they push depends on what they have read
                found = all_of(*(lambda c=c: c.learn(0.1 * float(c.arrays[0][0]) + 1) for c in members))
                seen.extend(float(w[0]) for w, _ in found)

        with serving(2, **keeping) as [server], clients(server) as members:
            start(*members)
            learn(members, 4)
            with starting_again(server, *members) if killed else nullcontext():
                learn(members, 4)
        return seen

    assert train(tmp_path / "broken", killed=True) == train(tmp_path / "whole", killed=False)
