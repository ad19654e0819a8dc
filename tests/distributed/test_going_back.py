"""Several servers without a journal: one that dies comes back from before the others, and all go back together.

With snapshots at every third order and two workers, whose joining is orders 1 and 2, there is one of steps 1, 4, 7 ...
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ps_harness import (
    DEADLINE,
    Learner,
    LiveServer,
    all_of,
    clients,
    serving,
    start,
    starting_again,
    together,
    wait_until,
)

from retrograd.distributed import client as client_module, follower as follower_module, link as link_module, messages
from retrograd.distributed.errors import ServerLost
from retrograd.distributed.follower import Follower

MOMENTUM = ({"lr": 0.5, "momentum": 0.5},)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "_REPORT", 0.05)
    monkeypatch.setattr(link_module, "_REPEAT", 0.1)
    monkeypatch.setattr(link_module, "_HELLO_AGAIN", 0.1)
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.05)


def learn(members: Sequence[Learner], steps: range) -> None:
    for step in steps:
        all_of(*(lambda c=c, g=float(step): c.learn(g, MOMENTUM) for c in members))


def alone(steps: range) -> float:
    """What each weight is when two workers have pushed the number of each of these steps as their gradients."""
    weight, velocity = 1.0, 0.0
    for step in steps:
        velocity = 0.5 * velocity + 2 * step
        weight -= 0.5 * velocity
    return weight


def wait_for_snapshot(servers: Sequence[LiveServer], order: int) -> None:
    """Wait until all servers have written it."""
    wait_until(lambda: all(order in each.keeper.clocks for each in servers), f"the snapshots of order {order}")


def weights_of(servers: Sequence[LiveServer]) -> list[np.ndarray]:
    return [
        each for server in servers for each in server.within(lambda s=server: [w.copy() for w in s.state.weights()])
    ]


@pytest.mark.parametrize("again", [0, 1, 2], ids=["the first", "the second", "the third"])
def test_all_go_back_to_a_snapshot_that_all_have_and_go_on_from_there(again: int, tmp_path: Path) -> None:
    with serving(2, 3, folder=tmp_path, every=3, recovery=60) as servers, clients(*servers) as members:
        all_of(*(lambda c=c: c.begin(1.0, groups=MOMENTUM) for c in members))
        learn(members, range(1, 7))
        wait_for_snapshot(servers, 6)
        with starting_again(servers[again], *members) as server:
            now = [server if index == again else each for index, each in enumerate(servers)]
            # The gradients of the weights that are gone are lost, and the weights of step 4 are there.
            learn(members, range(7, 8))
            assert [(each.rejoined > 0, each.step) for each in members] == [(True, 4), (True, 4)]
            for member in members:
                for array in member.now():
                    np.testing.assert_array_equal(array, alone(range(1, 5)))
            learn(members, range(5, 9))
            all_of(*(each.barrier for each in members))
            assert [each.step for each in members] == [8, 8]
            for array in [*weights_of(now), *members[0].now(), *members[1].now()]:
                np.testing.assert_array_equal(array, alone(range(1, 9)))
            assert [each.state.position.version for each in now] == [8, 8, 8]


def test_a_server_whose_snapshot_is_damaged_has_all_go_back_further(tmp_path: Path) -> None:
    with serving(2, 2, folder=tmp_path, every=3, recovery=60) as servers, clients(*servers) as members:
        all_of(*(lambda c=c: c.begin(1.0, groups=MOMENTUM) for c in members))
        learn(members, range(1, 7))
        wait_for_snapshot(servers, 6)
        [newest] = tmp_path.glob("server-0/snapshot-*6.safetensors")
        damaged = bytearray(newest.read_bytes())
        damaged[-1] ^= 1
        newest.write_bytes(damaged)
        with starting_again(servers[1], *members):
            learn(members, range(7, 8))
            for member in members:
                for array in member.now():
                    np.testing.assert_array_equal(array, alone(range(1, 2)))
            learn(members, range(2, 4))
            assert [each.step for each in members] == [3, 3]
            for array in members[0].now():
                np.testing.assert_array_equal(array, alone(range(1, 4)))


@pytest.mark.parametrize("staleness", [0, 1])
def test_a_worker_that_pulls_meanwhile_never_sees_two_times_at_once(
    staleness: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say, may_report = Follower._send, threading.Event()

    def say_late(self: Follower, message: messages.Message) -> None:
        if not isinstance(message, messages.Follow) or may_report.is_set():
            say(self, message)

    options: dict[str, Any] = {"folder": tmp_path, "every": 2, "recovery": 60, "staleness": staleness}
    with serving(1, 2, **options) as servers, clients(*servers) as [client]:
        client.begin(1.0)
        for _ in range(4):  # the snapshots hold steps 1 and 3
            client.learn(1.0)
        wait_for_snapshot(servers, 4)
        monkeypatch.setattr(Follower, "_send", say_late)
        asked = client.links[1].seq + 1
        with starting_again(servers[1], client) as server:
            found: list[Any] = []
            pulling = threading.Thread(target=lambda: found.extend(together(client.fetch)))
            pulling.start()
            wait_until(lambda: server.roster[0].received >= asked, "the one that has come back to hear of it")
            pulling.join(0.3)
            assert pulling.is_alive()  # nobody knows yet that it is behind, so it says nothing
            may_report.set()
            pulling.join(DEADLINE)
            [(w, b)] = found
            np.testing.assert_array_equal(w, 1 - 3 * 0.5)
            assert b.item() == 1 - 3 * 0.5


def test_a_worker_that_dies_meanwhile_is_missed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"folder": tmp_path, "every": 3, "recovery": 60, "timeout": 2.0, "on_loss": "continue"}
    with serving(2, 2, **options) as servers, clients(*servers) as [first, second]:
        start(first, second)
        for _ in range(3):
            all_of(first.learn, second.learn)
        wait_for_snapshot(servers, 3)
        second.close(say_goodbye=False)
        with starting_again(servers[1], first):
            first.learn()
            assert first.rejoined
            w, _ = first.learn()  # its gradient is taken twice, for both of two workers
            np.testing.assert_array_equal(w, 1 - 2 * 0.5 * 2)
            assert servers[0].roster[1].state == "lost"


def test_where_nothing_is_kept_that_all_have_the_run_ends(tmp_path: Path) -> None:
    with serving(2, 2, folder=tmp_path, every=3, keep=1, recovery=60) as servers, clients(*servers) as members:
        start(*members)
        for _ in range(3):
            all_of(*(each.learn for each in members))
        wait_for_snapshot(servers, 3)
        for path in tmp_path.glob("server-0/*.safetensors"):
            path.unlink()
        servers[0].within(lambda: setattr(servers[0].keeper, "clocks", ()))
        with starting_again(servers[1], *members):
            for failure in together(*(each.learn for each in members)):
                with pytest.raises(ServerLost, match="servers stand at different points, at orders 5 "):
                    raise failure
            wait_until(lambda: servers[0].failure, "the first to know")


@pytest.mark.parametrize("again", [0, 1])
def test_schedules_that_have_got_out_of_step_do_not_end_the_run(again: int, tmp_path: Path) -> None:
    with serving(2, 2, folder=tmp_path, every=3, recovery=60) as servers, clients(*servers) as members:
        start(*members)
        all_of(*(each.learn for each in members))
        with starting_again(servers[again], *members):
            before = all_of(*(each.learn for each in members))[0][0]
            rates = [({"lr": 0.125},), ({"lr": 0.25},)]
            after = all_of(*(lambda c=c, r=r: c.learn(1.0, r) for c, r in zip(members, rates, strict=True)))
            for weight, bias in after:
                np.testing.assert_array_equal(weight, before - 0.125 * 2)  # both have made as many steps: the first's
                assert bias == weight[0]


def test_what_the_first_server_alone_had_done_and_answered_is_undone(tmp_path: Path) -> None:
    with serving(2, 2, folder=tmp_path, every=3, recovery=60) as servers, clients(*servers) as members:
        start(*members)
        all_of(*(each.learn for each in members))
        wait_for_snapshot(servers, 3)
        lead, send = servers[0], servers[0].outbox.send

        def send_no_order(*sent: Any) -> Any:
            return None if isinstance(sent[1], messages.Order) else send(*sent)

        lead.within(lambda: setattr(lead.outbox, "send", send_no_order))
        found: list[Any] = []
        learning = threading.Thread(target=lambda: found.extend(together(*(each.learn for each in members))))
        learning.start()
        wait_until(lambda: lead.frontier == 2 and all(each.answered == each.received for each in lead.roster), "it")
        # It dies, both stand at order 3, and the workers think that it has made step 2.
        with starting_again(lead, *members):
            learning.join(DEADLINE)
            for w, b in found:
                np.testing.assert_array_equal(w, 1 - 0.5 * 2)
                assert b.item() == 1 - 0.5 * 2
            for w, b in all_of(*(each.learn for each in members)):
                np.testing.assert_array_equal(w, 1 - 2 * 0.5 * 2)
                assert b.item() == 1 - 2 * 0.5 * 2


def test_one_that_was_given_up_joins_again_also_after_that(tmp_path: Path) -> None:
    options: dict[str, Any] = {"folder": tmp_path, "every": 4, "recovery": 60, "on_loss": "continue"}
    with serving(2, 2, **options) as servers, clients(*servers) as [first, second]:
        start(first, second)
        all_of(first.learn, second.learn)
        with ExitStack() as stack:
            with second._lock:  # so that it hears of nothing until all have gone back
                servers[0].within(lambda: servers[0].lose(servers[0].roster[1], "as the test says"))  # order 4
                wait_for_snapshot(servers, 4)
                first.learn()
                stack.enter_context(starting_again(servers[1], first, second))
                first.learn()
                assert first.rejoined
            second.learn()  # of weights that are gone
            assert second.rejoined
            for w, _ in all_of(first.learn, second.learn):
                np.testing.assert_array_equal(w, 1 - 2 * 0.5 * 2)
