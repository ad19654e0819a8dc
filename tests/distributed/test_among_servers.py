"""What servers say to each other: lost, said again, over a new connection, and when one of them fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ps_harness import (
    DEADLINE,
    LiveServer,
    all_of,
    clients,
    peer_of,
    serving,
    start,
    starting_again,
    together,
    wait_until,
)

from retrograd.distributed import (
    client as client_module,
    follower as follower_module,
    lead as lead_module,
    link as link_module,
    messages,
)
from retrograd.distributed.errors import DistributedError, RemoteError, ServerLost
from retrograd.distributed.follower import Follower
from retrograd.distributed.lead import Lead
from retrograd.distributed.messages import Message
from retrograd.distributed.server import Server, ServerOptions


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost is said again soon."""
    monkeypatch.setattr(lead_module, "_OVERDUE", 0.2)
    monkeypatch.setattr(lead_module, "_ASLEEP", 0.3)
    monkeypatch.setattr(follower_module, "_TAKEN", 0.6)
    monkeypatch.setattr(follower_module, "_OVERDUE", 0.2)
    monkeypatch.setattr(follower_module, "_REPORT", 0.1)
    monkeypatch.setattr(link_module, "_REPEAT", 0.1)
    monkeypatch.setattr(link_module, "_HELLO_AGAIN", 0.1)
    monkeypatch.setattr(client_module, "HEARTBEAT", 0.1)


class Loss:
    """Loses the first messages of a kind that one server sends to another."""

    def __init__(self, kind: type[Message], count: int) -> None:
        self.kind, self.left = kind, count

    def __call__(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def lossy(*args: Any) -> Any:
            if self.left and any(isinstance(each, self.kind) for each in args):
                self.left -= 1
                return None
            return send(*args)

        return lossy


@pytest.mark.parametrize("kind", [messages.Order, messages.Weigh, messages.Staged, messages.Weighed, messages.Follow])
def test_a_message_that_is_lost_is_said_again(kind: type[Message]) -> None:
    loss = Loss(kind, 3)
    with serving(2, 2, clip=1e9) as servers, clients(*servers) as members:
        lead, follower = servers
        lead.within(lambda: setattr(lead.outbox, "send", loss(lead.outbox.send)))
        follower.within(lambda: setattr(follower.office, "_send", loss(follower.office._send)))
        start(*members)
        for step in range(1, 4):
            for w, b in all_of(*(each.learn for each in members)):
                np.testing.assert_array_equal(w, 1 - step)
                assert b.item() == 1 - step
        assert loss.left == 0
        assert [each.state.position.version for each in servers] == [3, 3]


@pytest.mark.parametrize("kind", [messages.Staged, messages.Weighed])
def test_a_message_that_comes_twice_is_one(kind: type[Message]) -> None:
    with serving(2, 3, clip=1e9) as servers, clients(*servers) as members:
        for follower in servers[1:]:

            def twice(message: Message, send: Callable[[Message], None] = follower.office._send) -> None:
                send(message)
                if isinstance(message, kind):
                    send(message)

            follower.within(lambda f=follower, t=twice: setattr(f.office, "_send", t))
        start(*members)
        for step in range(1, 4):
            for w, _ in all_of(*(each.learn for each in members)):
                np.testing.assert_array_equal(w, 1 - step)
        assert servers[0].within(lambda: servers[0].office._gatherings) == {}


def test_what_is_repeated_while_a_step_waits_leaves_nothing_behind() -> None:
    with serving(2, 2) as servers, clients(*servers) as [first, second]:
        lead, follower = servers
        start(first, second)
        waiting = threading.Thread(target=first.learn)
        waiting.start()
        wait_until(lambda: lead.roster[0].waiting and follower.roster[0].waiting, "the push")
        reports: list[Message] = []

        def count(message: Message, send: Callable[[Message], None] = follower.office._send) -> None:
            reports.extend([message] if isinstance(message, messages.Staged) else [])
            send(message)

        follower.within(lambda: setattr(follower.office, "_send", count))
        wait_until(lambda: len(reports) >= 2, "it to be reported again")
        second.learn()
        waiting.join(DEADLINE)
        assert lead.within(lambda: dict(lead.office._gatherings)) == {}
        assert [each.staging.nbytes for each in servers] == [0, 0]


def test_a_server_whose_connection_is_new_presents_itself_again() -> None:
    with serving(2, 2) as servers, clients(*servers) as members:
        lead, follower = servers
        start(*members)
        all_of(*(each.learn for each in members))
        # As when the connection between the two breaks: the first one knows nobody of that name.
        follower.within(lambda: setattr(follower.office, "_reported", follower.now() + 3600))
        lead.within(lambda: setattr(lead.office._shards[1], "peer", b""))
        for w, _ in all_of(*(each.learn for each in members)):
            np.testing.assert_array_equal(w, -1.0)
        assert [each.failure for each in servers] == [None, None]


def test_a_stranger_among_servers_is_told_so_and_has_no_say() -> None:
    with serving(1, 2) as servers, clients(*servers) as [client], peer_of(servers[0]) as stranger:
        client.begin(1.0)
        source = messages.Source(0, client.links[0].incarnation, 2)
        for message in (messages.Staged(source, False), messages.Weighed(3, 1, 1e9), messages.Error("remote", "boo")):
            answer = stranger.ask(message)
            assert isinstance(answer, messages.Error)
            assert answer.kind == "stranger"
        answer = stranger.ask(messages.Follow("another run", 1, 0, True))
        assert isinstance(answer, messages.Error)
        assert answer.kind == "refused"
        np.testing.assert_array_equal(client.learn(1.0)[0], 0.5)
        assert [each.failure for each in servers] == [None, None]


def test_a_worker_that_others_have_left_behind_gets_the_weights_of_one_step_from_all() -> None:
    with serving(3, 2, backups=1) as servers, clients(*servers) as [first, second, late]:
        start(first, second, late)
        all_of(first.learn, second.learn)
        loss = Loss(messages.Order, 10**6)  # the second server is left behind ...
        lead = servers[0]
        lead.within(lambda: setattr(lead.outbox, "send", loss(lead.outbox.send)))
        others = [threading.Thread(target=together, args=(each.learn,)) for each in (first, second)]
        for each in others:
            each.start()
        wait_until(lambda: lead.frontier == 2, "the first server to make the second step")
        found: list[Any] = []
        third = threading.Thread(target=lambda: found.extend(together(late.fetch)))
        third.start()
        wait_until(lambda: all(each.roster[2].answered > 1 for each in servers), "both to answer the late one")
        loss.left = 0  # ... and hears of the step after that
        for each in (*others, third):
            each.join(DEADLINE)
        [(w, b)] = found
        np.testing.assert_array_equal(w, 1 - 2 * 0.5 * 3)
        assert b.item() == 1 - 2 * 0.5 * 3
        assert late.step == 2


# ---- one of them fails ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_the_failure_of_one_is_that_of_all(shard: int) -> None:
    with serving(2, 3) as servers, clients(*servers) as [first, second]:
        start(first, second)
        [failure] = fail_while_waiting(servers[shard], first.barrier)
        with pytest.raises(RemoteError, match="the disk is on fire"):
            raise failure
        wait_until(lambda: all(each.failure for each in servers), "all to hear of it")
        with pytest.raises(RemoteError, match="the disk is on fire"):
            second.learn()


def fail_while_waiting(server: LiveServer, call: Callable[[], Any]) -> list[Any]:
    """Let a server fail while a worker waits; what the worker is told."""
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.extend(together(call)))
    waiting.start()
    wait_until(lambda: server.roster[0].state == "joined", "the worker")
    server.within(lambda: server.fail(DistributedError("the disk is on fire")))
    waiting.join(DEADLINE)
    return found


@pytest.mark.parametrize("gone", [0, 1])
def test_a_server_that_is_gone_ends_the_run(gone: int) -> None:
    with serving(2, 2, timeout=1.0) as servers:
        with clients(*servers, timeout=1.0) as members:
            start(*members)
            all_of(*(each.learn for each in members))
            servers[gone].stop()
            for failure in together(*(each.learn for each in members)):
                with pytest.raises(ServerLost):
                    raise failure
        other = servers[1 - gone]
        wait_until(lambda: other.failure, "the other to notice")
        assert "has given no sign of life for 1 s" in str(other.failure.error)


def test_a_server_that_came_back_where_no_worker_looks_for_it_ends_with_the_run(tmp_path: Path) -> None:
    with serving(1, 2, timeout=1.0, folder=tmp_path, durable=True) as servers, clients(*servers) as [worker]:
        start(worker)
        worker.learn()
        servers[1].stop()
        again = LiveServer(replace(servers[1].options, bind="tcp://127.0.0.2:*"))
        try:
            worker.close(say_goodbye=False)
            wait_until(lambda: again._stopped, "it to give up")
            assert "lost worker 0" in str(again.failure.error)
        finally:
            again.stop()


def test_a_server_that_is_started_twice_ends_and_the_run_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(1, 2, timeout=1.0) as servers, clients(*servers) as [worker]:
        start(worker)
        twin = LiveServer(servers[1].options)
        try:
            wait_until(lambda: twin._stopped, "the second to give up")
            assert "server 1 is another process, which has said so first and is running" in str(twin.failure.error)
            w, _ = worker.learn()
            np.testing.assert_array_equal(w, 0.5)
            assert [each.failure for each in servers] == [None, None]
        finally:
            twin.stop()


def test_a_server_that_is_started_again_at_once_waits_for_its_place(tmp_path: Path) -> None:
    with serving(1, 2, folder=tmp_path, durable=True, timeout=3.0) as servers, clients(*servers) as [worker]:
        start(worker)
        worker.learn()
        with starting_again(servers[1], worker) as again:
            w, _ = worker.learn()
            np.testing.assert_array_equal(w, 0.0)
            assert again.failure is None


def test_a_server_without_a_port_of_its_own_comes_back_where_it_was(tmp_path: Path) -> None:
    with serving(1, folder=tmp_path, durable=True) as [server], clients(server) as [worker]:
        start(worker)
        worker.learn()
        server.stop()
        assert server.options.bind == "tcp://127.0.0.1:*"
        again = LiveServer(server.options)
        try:
            assert again.address == server.address
            w, _ = worker.learn()
            np.testing.assert_array_equal(w, 0.0)
        finally:
            worker.close()
            again.stop()


def test_a_server_that_comes_back_elsewhere_says_where_it_is_looked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(1, folder=tmp_path, durable=True) as [server]:
        with clients(server) as [worker]:
            start(worker)
            worker.close(say_goodbye=False)
        server.stop()
        other = LiveServer(replace(server.options, bind="tcp://127.0.0.2:*"))
        other.stop()
        expected = (
            f"look for this server at {server.address}, where it listened before, and it listens at {other.address}"
        )
        assert expected in caplog.text
        caplog.clear()
        LiveServer(replace(server.options, resume=True)).stop()
        assert "look for this server" not in caplog.text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"shard": 3}, "server 3 is none of the 2 of this run: see --shard"),
        ({"run": "other"}, "server 1 is of run 'other', and server 0 of '': start all servers of a run with the same"),
        (
            {"protocol": 1},
            f"server 1 speaks protocol version 1 and server 0 {messages.VERSION}: upgrade retrograd on the side of "
            "server 1",
        ),
        (
            {"protocol": 9},
            f"server 1 speaks protocol version 9 and server 0 {messages.VERSION}: upgrade retrograd on the side of "
            "server 0",
        ),
    ],
)
def test_a_server_that_is_none_of_the_run_is_told_why(fields: dict[str, Any], text: str) -> None:
    with serving(1, 2) as servers, peer_of(servers[0]) as peer:
        answer = peer.ask(messages.Follow(**{"run": "", "shard": 1, "number": 0, "initialized": False, **fields}))
        assert isinstance(answer, messages.Error)
        assert answer.kind == "refused"
        assert text in answer.text


def test_a_server_of_another_run_ends_with_the_reason() -> None:
    with serving(1, 2) as servers:
        other = LiveServer(ServerOptions(1, run="other", shard=1, shards=2, lead=servers[0].address))
        try:
            wait_until(lambda: other._stopped, "it to give up")
            assert "server 1 is of run 'other', and server 0 of ''" in str(other.failure.error)
            assert servers[0].failure is None
        finally:
            other.stop()


def test_a_server_that_reads_its_journal_says_how_far_it_is_only_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, said = Follower._send, []

    def note(self: Follower, message: Message) -> None:
        if isinstance(message, messages.Follow) and message.initialized:
            said.append((message.boot, message.number))
        send(self, message)

    with serving(1, 2, folder=tmp_path, durable=True, every=3, recovery=60.0) as servers, clients(*servers) as [client]:
        client.begin(1.0)
        for _ in range(7):
            client.learn(1.0)
        wait_until(lambda: 6 in servers[1].keeper.clocks, "the snapshot")
        monkeypatch.setattr(Follower, "_send", note)
        with starting_again(servers[1], client) as server:
            for w in (client.learn(1.0)[0], client.learn(1.0)[0]):
                assert w[0] in (1 - 8 * 0.5, 1 - 9 * 0.5)
            assert min(number for boot, number in said if boot == server.boot) == 8  # orders: one to join, seven steps
            assert client.rejoined == 0


def test_the_first_may_be_started_long_after_the_others() -> None:
    second = LiveServer(ServerOptions(1, shard=1, shards=2, lead="tcp://127.0.0.1:9", timeout=60.0))
    try:
        second.within(lambda: setattr(second.office, "_heard", second.now() - 100))  # it has waited so long
        with peer_of(second) as peer:
            peer.join(0, 1)
            wait_until(lambda: second.state, "the weights")
            second.within(lambda: second.tick(second.now()))
            assert second.failure is None
            second.within(lambda: setattr(second.office, "_heard", second.now() - 100))  # and now that it is needed
            wait_until(lambda: second.failure, "it to notice")
    finally:
        second.stop()


# ---- one of them starts again -----------------------------------------------------------------------------


def test_a_durable_first_server_still_has_the_orders_before_its_snapshot(tmp_path: Path) -> None:
    """It may have died right after a snapshot, and before another server got the order that this one goes up to."""
    with serving(1, 2, folder=tmp_path, durable=True, every=2, recovery=60.0) as servers, clients(*servers) as members:
        start(*members)
        for _ in range(9):
            members[0].learn()
        options = servers[0].options
    again = Server(replace(options, bind="tcp://127.0.0.1:*"))
    try:
        assert isinstance(again.office, Lead)
        assert again.state is not None
        kept = [order.number for order in again.office._log]
        assert kept == list(range(min(kept), again.state.position.number + 1))
        assert len(again.keeper.clocks) == 3
        assert min(kept) == min(again.keeper.clocks) + 1, "also for one that is several snapshots behind"
        [shard] = again.office._shards.values()
        shard.number = min(again.keeper.clocks)
        assert not again.office._has_gap(shard, came_back=True)
    finally:
        again.close()


@pytest.mark.parametrize("again", [0, 1, 2], ids=["the first", "the second", "the third"])
@pytest.mark.parametrize("staleness", [0, 1])
def test_a_durable_server_that_starts_again_goes_on_with_the_others(again: int, staleness: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "folder": tmp_path, "durable": True, "every": 4, "recovery": 60.0,
        "staleness": staleness, "deterministic": staleness > 0,
    }  # fmt: skip
    with serving(2, 3, **options) as servers, clients(*servers) as members:
        start(*members)
        for _ in range(3):
            all_of(*(each.learn for each in members))
        with starting_again(servers[again], *members) as server:
            for _ in range(3):
                all_of(*(each.learn for each in members))
            all_of(*(each.barrier for each in members))
            for w, b in all_of(*(each.fetch for each in members)):
                np.testing.assert_array_equal(w, 1 - (6 - staleness))
                assert b.item() == 1 - (6 - staleness)
            assert [(each.step, each.rejoined) for each in members] == [(6, 0), (6, 0)]
            # Where a staleness is, the last update is made in its own time.
            updates = 12 if staleness else 6
            wait_until(lambda: server.state.position.version == updates, f"{updates} updates")
