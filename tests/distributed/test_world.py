"""Runs in virtual time: what the tests of faults stand on, and what is easiest seen there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from faults.simulation import Weather
from faults.world import World


@pytest.mark.parametrize(
    "options",
    [{}, {"durable": True}, {"parts": 2}, {"staleness": 1}, {"staleness": 2, "deterministic": True}],
    ids=["in step", "durable", "in parts", "bounded", "deterministic"],
)
def test_a_run_in_bad_weather_is_the_log_of_what_was_applied(options: dict[str, object], tmp_path: Path) -> None:
    with World(tmp_path, 3, **options) as world:
        world.network.rules.append(Weather(random.Random(7), drop=0.1, duplicate=0.1, delay=(0.0, 0.3)))
        world.train(10)
        world.check()
        assert world.server.frontier >= 10 - options.get("staleness", 0)


def test_a_durable_server_that_loses_power_has_lost_nothing(tmp_path: Path) -> None:
    with World(tmp_path, durable=True, every=4) as world:
        for steps in (3, 6, 9):
            world.train(steps)
            world.kill_server()
        world.train(12)
        world.check()
        assert (world.deaths, world.server.state.position.version) == (3, 12)
        assert [each.rejoined for each in world.workers.values()] == [0, 0]


def test_a_worker_that_was_idle_while_the_server_went_back_pushes_nothing_of_before(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.train(3)
        former = len(world.pushed)
        world.kill_server()  # it comes back with the snapshot from before the workers joined
        world.network.run_for(10)
        assert world.server.frontier == 0
        for each in world.workers.values():
            each.train(5)
        world.network.run_until(lambda: world.server.frontier == 5, "five steps")
        world.check()
        assert [each.rejoined for each in world.workers.values()] == [1, 1]
        lost = list(world.pushed)[: former + 2]  # the first push after that is of weights that are gone
        assert not set(world.log.applied()) & set(lost)


def test_several_workers_of_a_deterministic_run_may_leave_before_their_updates_are_made(tmp_path: Path) -> None:
    with World(tmp_path, 3, staleness=2, deterministic=True) as world:
        world.train(1)
        for rank in (1, 2):
            world.workers[rank].leaves = True
            world.train(3, rank)
        world.train(6, 0)
        world.check()
        assert [each.state for each in world.server.roster] == ["joined", "left", "left"]
        assert len(world.log.applied()) >= 3 + 3 + 4
