"""Hypothesis decides what happens on a simulated network, and finds the shortest history that goes wrong.

A subclass of `NetworkMachine` attaches its nodes, adds rules for what clients do, invariants that always hold, and
says in `finish` what must come about once all faults have ended.
"""

from __future__ import annotations

import sys
from typing import Any

from hypothesis import Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from .simulation import Network, by_hand

PICK = st.integers(min_value=0, max_value=255)
"""Which of several things; the remainder by their number."""


def pick(things: list[Any], number: int) -> Any:
    """One of several things, the first if hypothesis has a choice."""
    return things[number % len(things)]


class NetworkMachine(RuleBasedStateMachine):
    """A network on which messages arrive late, twice, in any order or not at all, and nodes stand still."""

    servers: tuple[str, ...] = ("server",)
    clients: tuple[str, ...] = ("worker0", "worker1")

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()
        self.network.rules.append(by_hand)

    @precondition(lambda self: self.network.deliverable)
    @rule(number=PICK)
    def message_arrives(self, number: int) -> None:
        self.network.deliver(pick(self.network.deliverable, number))

    @precondition(lambda self: self.network.in_flight)
    @rule(number=PICK)
    def message_is_lost(self, number: int) -> None:
        self.network.lose(pick(self.network.in_flight, number))

    @precondition(lambda self: self.network.in_flight)
    @rule(number=PICK)
    def message_is_doubled(self, number: int) -> None:
        self.network.double(pick(self.network.in_flight, number))

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.network.run_for(seconds)

    @rule(client=PICK, server=PICK, arrive=st.integers(0, 3))
    def connection_ends(self, client: int, server: int, arrive: int) -> None:
        self.network.cut(pick([*self.clients], client), pick([*self.servers], server), arrive=arrive)

    @rule(node=PICK)
    def node_stands_still_or_goes_on(self, node: int) -> None:
        name = pick([*self.servers, *self.clients], node)
        if self.network.is_paused(name):
            self.network.resume(name)
        else:
            self.network.pause(name)

    @rule(client=PICK, server=PICK, both=st.booleans())
    def network_is_partitioned(self, client: int, server: int, both: bool) -> None:
        one, other = pick([*self.clients], client), pick([*self.servers], server)
        self.network.block(one, other)
        if both:
            self.network.block(other, one)

    @rule()
    def network_heals(self) -> None:
        self.network.heal()

    def finish(self) -> None:
        """What must come about in the end; all faults have ended, and time has not passed yet."""

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:  # else a step has failed, and that is what is to be seen
            self.network.calm()
            self.finish()


def assert_found_out(machine: type[NetworkMachine], examples: int = 200) -> None:
    """Assert that hypothesis finds a history in which a machine fails, without looking for the shortest."""
    find = settings(max_examples=examples, phases=[Phase.generate], report_multiple_bugs=False, print_blob=False)
    try:
        run_state_machine_as_test(machine, settings=find)
    except AssertionError:
        return
    raise AssertionError(f"{examples} histories, and {machine.__name__} fails in none")
