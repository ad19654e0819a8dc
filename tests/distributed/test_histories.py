"""Histories that hypothesis makes up: the real server and the real conversations, in virtual time.

Messages are lost, doubled and overtake each other, connections end, the network parts, the server loses power and
comes back from its journal or its last snapshot, workers die, join again and stand still. After each step the oracle
of `faults.world` must hold: no push twice, none lost that was acknowledged, and the log replayed by one process gives
the same weights bit by bit. When all faults have ended, all who live must come to the end of their steps.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from faults.machine import PICK, pick
from faults.world import AWAY, World
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

EXAMPLES = int(os.environ.get("TEST_HISTORIES", "40"))
STEPS = 40


class History(RuleBasedStateMachine):
    """A run of three workers, of which others think that they may come and go."""

    options: ClassVar[dict[str, Any]] = {}
    parts = 2

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        options = {"on_loss": "continue", "every": 5, "recovery": 3600.0, **self.options}
        self.world = World(Path(self.folder.name), 3, parts=self.parts, **options).__enter__()
        self.world.network.rules.append(self.decide)
        self.plan: list[list[float]] = []
        """What becomes of the next messages: when they arrive, how often."""
        # Who has never been let in gives up soon; and who is in no snapshot is waited for until a launcher tells.
        self.world.train(2)

    def decide(self, flight: object) -> list[float]:
        return self.plan.pop() if self.plan else [0.01]

    # ---- what the program does -----------------------------------------------------------------------------

    @rule(rank=PICK, steps=st.integers(1, 3))
    def worker_goes_on(self, rank: int, steps: int) -> None:
        worker = pick([*self.world.workers.values()], rank)
        worker.train(max(worker.step, worker.goal) + steps)

    @rule(steps=st.integers(1, 3))
    def all_go_on(self, steps: int) -> None:
        goal = max(each.goal for each in self.world.workers.values()) + steps
        for each in self.world.workers.values():
            each.train(goal)

    @rule(seconds=st.sampled_from([0.02, 0.3, 1.0, 3.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.network.run_for(seconds)
        self.check()

    # ---- what befalls it -----------------------------------------------------------------------------------

    @rule(fates=st.lists(st.sampled_from([[], [0.0], [0.0, 0.4], [0.7], [2.5, 0.1]]), min_size=1, max_size=6))
    def messages_fare_badly(self, fates: list[list[float]]) -> None:
        self.plan = list(fates)

    @rule(rank=PICK, arrive=st.integers(0, 2))
    def connection_ends(self, rank: int, arrive: int) -> None:
        name = pick([*self.world.workers.values()], rank).name
        self.world.network.cut(name, "server", arrive=arrive)
        self.world.network.cut(name + ".pulse", "server")

    @rule()
    def server_loses_power(self) -> None:
        self.world.kill_server()

    @rule(point=st.sampled_from(["server.after_apply_before_ack", "server.after_ack", "journal.before_flush"]))
    def server_dies_at_work(self, point: str) -> None:
        with self.world.killing(f"{point}:1"):
            self.world.network.run_for(1.5)
        self.check()

    @precondition(lambda self: len(self.world.workers) > 1)
    @rule(rank=PICK)
    def worker_dies(self, rank: int) -> None:
        pick([*self.world.workers.values()], rank).kill()

    @precondition(lambda self: len(self.world.workers) < 3)
    @rule()
    def worker_starts_again(self) -> None:
        rank = min({0, 1, 2} - self.world.workers.keys())
        self.plan.clear()
        self.world.network.heal()
        worker = self.world.start_worker(rank)
        self.world.wait(lambda: worker.link.welcome is not None, "the server to let it in", within=60)

    @rule(rank=PICK, direction=st.sampled_from(["to", "from"]))
    def nothing_passes(self, rank: int, direction: str) -> None:
        name = pick([*self.world.workers.values()], rank).name
        for each in (name, name + ".pulse"):
            self.world.network.block(*((each, "server") if direction == "to" else ("server", each)))

    @rule()
    def network_heals(self) -> None:
        self.world.network.heal()

    @rule(rank=PICK)
    def worker_stands_still_or_goes_on(self, rank: int) -> None:
        name, network = pick([*self.world.workers.values()], rank).name, self.world.network
        for each in (name, name + ".pulse"):
            (network.resume if network.is_paused(each) else network.pause)(each)

    # ---- what must hold ------------------------------------------------------------------------------------

    def check(self) -> None:
        if self.world.network.is_up("server"):  # else it has perhaps read half of what its former life had kept
            self.world.check()

    def finish(self) -> None:
        """All faults have ended: all who live do some more steps, and come to the same."""
        world = self.world
        self.plan.clear()
        world.network.calm()
        world.network.run_for(AWAY + 15.0)
        for each in world.workers.values():
            each.leaves = True  # one that is further than the others need not wait
        world.train(max(each.goal for each in world.workers.values()) + 3)
        self.check()
        assert world.server.failure is None
        assert world.server.frontier >= 3

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else a step has failed, and that is what is to be seen
                self.finish()
        finally:
            self.world.__exit__(None, None, None)
            self.folder.cleanup()


class Durable(History):
    options: ClassVar = {"durable": True}


class Bounded(History):
    options: ClassVar = {"durable": True, "staleness": 2}


class Deterministic(History):
    options: ClassVar = {"durable": True, "staleness": 1, "deterministic": True}


class FromSnapshots(History):
    options: ClassVar = {}


@pytest.mark.parametrize("kind", [Durable, Bounded, Deterministic, FromSnapshots], ids=lambda each: each.__name__)
def test_all_histories_end_well(kind: type[History]) -> None:
    run_state_machine_as_test(
        kind, settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, print_blob=False)
    )
