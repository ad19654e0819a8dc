"""Who takes part: workers that are silent, fail, leave, join late and come back, on one server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faults.proxy import FaultProxy
from msgspec import structs
from ps_harness import (
    DEADLINE,
    TABLE,
    Learner,
    all_of,
    clients,
    peer_of,
    place_in,
    push,
    serving,
    sliced,
    start,
    together,
    wait_until,
)

import retrograd as rg
from retrograd.distributed import client as client_module, protocol
from retrograd.distributed.errors import DistributedError, RemoteError, WorkerLost
from retrograd.distributed.incoming import Arrived
from retrograd.distributed.messages import Hello
from retrograd.distributed.roster import Member, Roster
from retrograd.distributed.server import Server, ServerOptions

# ---- the run ends -----------------------------------------------------------------------------------------


def test_a_silent_worker_is_named_and_those_who_wait_are_told() -> None:
    with serving(2, timeout=1.5) as [server], clients(server, count=1) as [client], peer_of(server) as silent:
        silent.join(1, 2)
        start(client)
        [failure] = together(client.learn)
        with pytest.raises(WorkerLost, match=r"lost worker 1 \(last step 0, last heard of 1\.\d s ago\)"):
            raise failure
        np.testing.assert_array_equal(server.state.weights()[0], 1.0)
        with pytest.raises(WorkerLost):  # and on every later request, at once
            client.barrier()


def test_a_worker_that_fails_is_named_with_its_error() -> None:
    with serving(2) as [server], clients(server) as [first, second]:
        start(first, second)
        pushing, _ = together(first.learn, lambda: second.close("ValueError: boom"))
        with pytest.raises(WorkerLost, match="worker 1 failed after step 0: ValueError: boom"):
            raise pushing


def test_a_server_that_stood_still_waits_for_who_has_not_come_yet() -> None:
    with serving(2) as [server], clients(server, count=1) as [first]:
        server.within(lambda: server.siblings.tick(server.now(), 1.5))
        assert server.failure is None
        second = Learner(place_in(server, rank=1))
        try:
            start(first, second)
            all_of(first.learn, second.learn)
        finally:
            second.close()


@pytest.mark.parametrize("lost", ["bye", "farewell", "connection"])
@pytest.mark.parametrize("error", [None, "ValueError: boom"])
def test_a_goodbye_that_is_lost_is_said_again(lost: str, error: str | None) -> None:
    with serving(1) as [server], FaultProxy(server.address) as proxy:
        learner = Learner(replace(place_in(server), servers=(proxy.address,)))
        start(learner)
        if lost == "connection":
            assert proxy.cut()
            learner.close(error)
        else:
            fault = proxy.drop(lost, times=1)
            learner.close(error)
            assert fault.hits == 1
        assert server.roster[0].state == ("left" if error is None else "lost")
        assert error is None or (server.failure is not None and error in str(server.failure.error))


def test_who_is_not_let_in_everywhere_leaves_its_place_to_another() -> None:
    with serving(2, shards=2) as servers, clients(*servers, count=1) as [first]:
        with pytest.raises(DistributedError, match="name all servers in their order"):
            Learner(replace(place_in(*servers, rank=1), servers=tuple(each.address for each in reversed(servers))))
        wait_until(lambda: all(each.roster[1].state == "expected" for each in servers), "the worker has gone")
        second = Learner(place_in(*servers, rank=1))
        try:
            start(first, second)
            all_of(first.learn, second.learn)
            assert [each.failure for each in servers] == [None, None]
        finally:
            second.close()


def test_who_withdraws_was_never_there() -> None:
    roster = Roster(2, elastic=True)
    hello = Hello("run", "worker", 2, 7, rank=1)

    def come(hello: Hello) -> Member:
        return roster.admit(hello, b"peer", 0.0)

    roster.withdraw(come(hello))
    assert [each.state for each in roster] == ["expected", "expected"]
    assert roster.of_peer(b"peer") is None
    member = come(structs.replace(hello, incarnation=8))
    member.takes_part, member.step = True, 5
    roster.remove(member, "lost")
    roster.withdraw(come(structs.replace(hello, incarnation=9)))
    assert (roster[1].state, roster[1].step) == ("lost", 5)
    come(structs.replace(hello, incarnation=9))  # it can come back nevertheless
    roster.withdraw(roster.admit(structs.replace(hello, incarnation=10), b"other", 60.0))  # over a life that is asleep
    assert roster[1].state == "lost"
    roster.withdraw(come(structs.replace(hello, rank=5)))
    assert 5 not in roster


def test_the_launcher_tells_of_a_death_before_silence_does() -> None:
    with serving(2) as [server], clients(server, count=1) as [client], peer_of(server) as launcher:
        assert isinstance(launcher.hello(0, 2, role="launcher"), protocol.Welcome)
        launcher.send(protocol.Exited(1, True, "its process was killed by signal 9 (SIGKILL)"))
        with pytest.raises(WorkerLost, match=r"lost worker 1 \(never joined\): its process was killed by signal 9"):
            client.barrier()
        status = launcher.ask(protocol.StatusRequest())
        assert isinstance(status, protocol.Status)
        assert (status.culprit, status.workers[1].state) == (1, "lost")


def test_a_server_that_fails_in_an_update_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(1) as [server], clients(server) as [client]:
        client.begin(1.0)

        def fail(self: object) -> None:
            raise FloatingPointError("overflow")

        monkeypatch.setattr(rg.optim.SGD, "step", fail)
        for _ in range(2):
            with pytest.raises(RemoteError, match="the server failed in update 1: FloatingPointError: overflow"):
                client.learn(1.0)


def test_a_server_whose_launcher_has_died_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(ServerOptions(1))
    thread = threading.Thread(target=server.serve)
    thread.start()
    with peer_of(server) as launcher:
        launcher.hello(0, 1, role="launcher")
        monkeypatch.setattr("os.getppid", lambda: 1)
        thread.join(DEADLINE)
        assert not thread.is_alive()
        assert "the launcher has died" in str(server.failure)


def test_a_time_in_which_the_server_stood_still_is_nobody_s_silence() -> None:
    now = [100.0]
    server = Server(ServerOptions(1, timeout=10.0), clock=lambda: now[0])
    try:
        server.turn(0.0)
        server._handle(protocol.Hello("", "worker", 1, 7, 0), b"somebody", [])
        now[0] += 60.0  # a whole machine that was stopped, for instance
        server.turn(0.0)
        assert server.roster[0].state == "joined"
        for _ in range(21):
            now[0] += 0.5
            server.turn(0.0)
        assert "no sign of life for 10 s" in str(server.failure)
    finally:
        server.close()


def test_heartbeats_carry_the_report_to_the_launcher() -> None:
    with serving(1) as [server], clients(server) as [client], peer_of(server) as launcher:
        client._report = lambda: protocol.Report(step=3, total=9, loss=0.5)
        launcher.hello(0, 1, role="launcher")
        wait_until(lambda: launcher.ask(protocol.StatusRequest()).workers[0].report.step == 3, "the report")


def test_the_server_ends_when_everyone_has_left() -> None:
    server = Server(ServerOptions(1))
    thread = threading.Thread(target=server.serve)
    thread.start()
    with clients(server):
        pass
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert server.failure is None


# ---- the others go on -------------------------------------------------------------------------------------


def test_those_who_wait_for_one_that_leaves_go_on_with_the_mean_over_them() -> None:
    with serving(3) as [server], clients(server) as members:
        start(*members)
        *pushed, _ = all_of(members[0].learn, members[1].learn, members[2].close)
        for w, _ in pushed:  # the sum of two gradients is that of three times their mean
            np.testing.assert_allclose(w, 1 - 0.5 * 2 * 3 / 2, rtol=1e-6)
        all_of(members[0].barrier, members[1].barrier)
        assert [each.state for each in server.roster] == ["joined", "joined", "left"]


def test_those_at_a_barrier_do_not_wait_for_one_that_leaves() -> None:
    with serving(2) as [server], clients(server) as [first, second]:
        start(first, second)
        all_of(first.barrier, second.close)


def test_a_worker_at_a_barrier_is_not_waited_for_by_those_with_more_batches() -> None:
    with serving(2) as [server], clients(server) as [first, second]:
        start(first, second)

        def train(client: Any, steps: int) -> None:
            for _ in range(steps):
                client.learn(1.0)
            client.barrier()

        all_of(lambda: train(first, 1), lambda: train(second, 3))
        # One step of two gradients, and two steps of one gradient that stands for two.
        np.testing.assert_array_equal(server.state.weights()[0], 1 - 0.5 * 2 - 2 * 0.5 * 2)
        np.testing.assert_array_equal(first.arrays[0], server.state.weights()[0])
        assert (server.frontier, first.step) == (3, 3)
        all_of(first.learn, second.learn)  # in step again
        assert (first.step, second.step) == (4, 4)


def lose(server: Any, rank: int) -> None:
    """Let a server believe that it has not heard of a worker for long."""
    server.within(lambda: server.lose(server.roster[rank], f"lost worker {rank}: as the test says"))


def test_a_lost_worker_is_left_out_if_the_run_goes_on() -> None:
    with serving(2, on_loss="continue") as [server], clients(server) as [first, second]:
        start(first, second)
        waiting = threading.Thread(target=first.learn)
        waiting.start()
        wait_until(lambda: server.roster[0].waiting, "the first to wait")
        lose(server, 1)
        waiting.join(DEADLINE)
        np.testing.assert_array_equal(first.arrays[0], 1 - 0.5 * 2)
        assert (server.failure, server.roster[1].state) == (None, "lost")


def test_a_push_of_a_worker_that_is_lost_before_its_step_is_complete_is_dropped() -> None:
    with serving(3, on_loss="continue") as [server], clients(server) as members:
        start(*members)
        lost = threading.Thread(target=lambda: together(lambda: members[2].learn(100.0)))
        lost.start()
        wait_until(lambda: server.roster[2].waiting, "its push")
        lose(server, 2)
        *pushed, _ = all_of(members[0].learn, members[1].learn, lambda: None)
        for w, _ in pushed:
            np.testing.assert_allclose(w, 1 - 0.5 * 2 * 3 / 2, rtol=1e-6)
        lost.join(DEADLINE)


def test_a_late_push_of_a_lost_worker_is_refused_and_it_comes_back_with_fresh_weights() -> None:
    with serving(2, on_loss="continue") as [server], clients(server) as [first, second]:
        start(first, second)
        lose(server, 1)
        w, _ = first.learn(1.0)
        np.testing.assert_array_equal(w, 0.0)
        w, _ = second.learn(100.0)  # goes into nothing
        np.testing.assert_array_equal(w, 0.0)
        assert (second.rejoined, second.step, first.rejoined) == (1, 1, 0)
        for w, _ in all_of(first.learn, second.learn):  # and now both are counted on again
            np.testing.assert_array_equal(w, 0.0 - 0.5 * 2)
        assert (first.step, second.step, server.state.position.version) == (2, 2, 2)


def test_a_lost_worker_comes_back_at_a_barrier() -> None:
    with serving(3, on_loss="continue") as [server], clients(server) as members:
        start(*members)
        lose(server, 2)
        all_of(members[0].learn, members[1].learn)
        waiting = [threading.Thread(target=members[rank].barrier) for rank in (0, 2)]
        for thread in waiting:
            thread.start()
        wait_until(lambda: all(server.roster[rank].barriers for rank in (0, 2)), "the two at the barrier")
        members[1].barrier()
        for thread in waiting:
            thread.join(DEADLINE)
        assert members[2].rejoined == 1
        np.testing.assert_array_equal(members[2].arrays[0], members[0].arrays[0])


def test_a_lost_worker_comes_back_in_a_pull() -> None:
    with serving(2, on_loss="continue") as [server], clients(server) as [first, second]:
        start(first, second)
        lose(server, 1)
        first.learn(1.0)
        w, _ = second.fetch()
        np.testing.assert_array_equal(w, 0.0)
        assert (second.rejoined, second.step) == (1, 1)


def test_a_new_worker_joins_while_the_others_train() -> None:
    with serving(2, on_loss="continue") as [server], clients(server) as [first, second]:
        start(first, second)
        all_of(first.learn, second.learn)
        with peer_of(server) as third:
            welcome = third.hello(2, 2)
            assert isinstance(welcome, protocol.Welcome)
            assert (welcome.step, welcome.initialized, welcome.takes_part) == (1, True, False)
            third.join(2, 2)
            [w, _] = third.begin()
            np.testing.assert_array_equal(w, 1 - 0.5 * 2)
            waiting = threading.Thread(target=all_of, args=(first.learn, second.learn))
            waiting.start()
            wait_until(lambda: all(server.roster[rank].waiting for rank in (0, 1)), "the two")
            third.send(push(2, 2), sliced(4.0))
            third.receive()
            waiting.join(DEADLINE)
            # Gradients are scaled by 2/3: what was the mean over two is the mean over three.
            np.testing.assert_allclose(first.arrays[0], 0.0 - 0.5 * (1 + 1 + 4) * 2 / 3, rtol=1e-6)


def test_a_worker_that_starts_again_takes_its_place_once_the_old_one_is_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(2, on_loss="continue") as [server], clients(server, count=1) as [first], peer_of(server) as former:
        former.join(1, 2)
        start(first)
        former.begin()
        with peer_of(server) as again:
            early = again.hello(1, 2, incarnation=2)
            assert isinstance(early, protocol.Error)
            assert early.kind == "taken"
            member = server.roster[1]
            server.within(lambda: setattr(member, "heard", member.heard - 3600))
            again.join(1, 2, incarnation=2)
            again.begin()
            assert (server.roster[1].state, server.roster[1].incarnation) == ("joined", 2)
            answer = former.ask(push(2, 1), sliced())  # the former life has no say any more
            assert isinstance(answer, protocol.Error)
            assert answer.kind == "stranger"


def test_in_a_run_that_fails_with_a_worker_nobody_takes_its_place() -> None:
    with serving(1) as [server], peer_of(server) as former, peer_of(server) as again:
        former.hello(0, 1)
        member = server.roster[0]
        server.within(lambda: setattr(member, "heard", member.heard - 5))
        answer = again.hello(0, 1, incarnation=2)
        assert isinstance(answer, protocol.Error)
        assert answer.kind == "taken"


def test_all_workers_may_leave_and_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.1)
    with serving(2, on_loss="continue") as [server]:
        with clients(server) as members:
            start(*members)
            all_of(*(each.learn for each in members))
        wait_until(lambda: all(each.state == "left" for each in server.roster), "both to leave")
        with clients(server) as members:
            start(*members, value=7.0)
            for w, _ in all_of(*(each.learn for each in members)):
                np.testing.assert_array_equal(w, 1 - 2 * 0.5 * 2)


def test_a_worker_that_is_lost_while_it_takes_its_weights_gets_fresh_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.1)
    with serving(2, on_loss="continue") as [server], clients(server) as [first, second]:
        start(first, second)
        life, deliver, calls = second.links[0].incarnation, second.deliver, []
        step = threading.Thread(target=first.learn)

        def deliver_late(arrived: Sequence[Arrived]) -> None:
            deliver(arrived)
            calls.extend(arrived)
            if len(calls) == len(TABLE):  # all of the answer is here, and the call is not over
                step.join(DEADLINE)
                lose(server, 1)
                first.learn(1.0)
                wait_until(lambda: second.links[0].incarnation != life, "it to hear of that")

        monkeypatch.setattr(second, "deliver", deliver_late)
        step.start()
        second.learn(1.0)
        np.testing.assert_array_equal(second.arrays[0], 1 - 2 * 0.5 * 2)
        assert (second.rejoined, second.step, first.step) == (1, 2, 2)
        all_of(first.learn, second.learn)
        assert server.state.position.version == 3
