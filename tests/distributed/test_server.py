"""The server, message by message: what it applies, what it refuses, whom it tells."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zmq
from ps_harness import SGD, SLOTS, TABLE, clients, peer_of, serving, start, together, wait_until, weights

from retrograd.distributed import heartbeat, protocol
from retrograd.distributed.errors import AddressInUse, Mismatch, Refused, RemoteError, WorkerLost
from retrograd.distributed.protocol import Slot, TensorSpec
from retrograd.distributed.server import Server, ServerOptions


def initialized(server: Server, peer: Any, rank: int = 0) -> None:
    """Let a bare peer join and agree on the table."""
    assert isinstance(peer.join(rank, len(server.roster)), protocol.Welcome)
    init = protocol.Init(1, "SGD", SGD, TABLE, rank == 0)
    peer.send(init, weights() if rank == 0 else ())


def push(seq: int, step: int, **fields: Any) -> protocol.Push:
    return protocol.Push(**{"seq": seq, "step": step, "groups": SGD, "tensors": SLOTS, **fields})


# ---- what it does -----------------------------------------------------------------------------------------


def test_one_worker_s_step_is_the_optimizer_s() -> None:
    with serving(1) as server, clients(server) as [client]:
        client.initialize("SGD", SGD, TABLE, weights(1.0))
        w, b = client.push(SGD, SLOTS, weights(1.0))
        np.testing.assert_array_equal(w, 0.5)
        assert (b.shape, b.item()) == ((), 0.5)


def test_workers_get_rank_0_s_weights_and_the_sum_of_all_gradients() -> None:
    with serving(3) as server, clients(server) as members:
        together(*(lambda c=c, v=v: c.initialize("SGD", SGD, TABLE, weights(v)) for v, c in enumerate(members)))
        pushed = together(*(lambda c=c, v=v: c.push(SGD, SLOTS, weights(v)) for v, c in enumerate(members)))
    for w, _ in pushed:
        np.testing.assert_array_equal(w, 0 - 0.5 * (0 + 1 + 2))


def test_a_parameter_without_a_gradient_stays() -> None:
    with serving(1) as server, clients(server) as [client]:
        client.initialize("SGD", ({"lr": 0.5, "weight_decay": 1.0},), TABLE, weights(1.0))
        # Weight decay would move it, if its gradient were zero and not absent.
        w, b = client.push(({"lr": 0.5, "weight_decay": 1.0},), SLOTS[:1], weights(0.0)[:1])
        np.testing.assert_array_equal(w, 0.5)
        assert b.item() == 1.0


def test_a_change_of_the_learning_rate_holds_from_that_step_on() -> None:
    with serving(1) as server, clients(server) as [client]:
        client.initialize("SGD", SGD, TABLE, weights(1.0))
        w, _ = client.push(({"lr": 0.25},), SLOTS, weights(1.0))
        np.testing.assert_array_equal(w, 0.75)


def test_a_step_costs_each_worker_one_message_out_and_one_in() -> None:
    steps = 20
    with serving(2) as server, clients(server) as members:
        start(*members)
        before = [(c.channel.traffic.messages_sent, c.channel.traffic.messages_received) for c in members]
        bytes_before = [c.channel.traffic.bytes_sent for c in members]
        for _ in range(steps):
            together(*(lambda c=c: c.push(SGD, SLOTS, weights(0.0)) for c in members))
        for client, (sent, received), old in zip(members, before, bytes_before, strict=True):
            traffic = client.channel.traffic
            assert (traffic.messages_sent - sent, traffic.messages_received - received) == (steps, steps)
            payload = sum(array.nbytes for array in weights())
            assert payload * steps < traffic.bytes_sent - old < (payload + 150) * steps


def test_a_barrier_opens_when_everyone_is_there() -> None:
    with serving(2) as server, clients(server) as [first, second]:
        waiting = threading.Thread(target=first.barrier)
        waiting.start()
        wait_until(lambda: server.roster[0].waiting, "the first to wait")
        assert waiting.is_alive()
        second.barrier()
        waiting.join()


@pytest.mark.parametrize("size", [1 << 10, 1 << 20], ids=["copied", "not copied"])
def test_large_tensors_arrive_whole_step_after_step(size: int) -> None:
    table, slots = (TensorSpec("w", "float32", (size,)),), (Slot(0, "float32", (size,)),)
    with serving(1) as server, clients(server) as [client]:
        client.initialize("SGD", ({"lr": 1.0},), table, [np.zeros(size, np.float32)])
        gradient = np.empty(size, np.float32)
        for step in range(1, 11):
            gradient[:] = -1  # the same memory each time
            [w] = client.push(({"lr": 1.0},), slots, [gradient])
            gradient[:] = np.nan
            np.testing.assert_array_equal(w, step)


# ---- exactly once -----------------------------------------------------------------------------------------


def test_a_repeated_push_is_answered_again_and_not_applied_again() -> None:
    with serving(1) as server, peer_of(server) as peer:
        initialized(server, peer)
        peer.receive()
        answers = []
        for _ in range(3):
            peer.send(push(2, 1), weights())
            answers.append(peer.receive())
        for message, (w, _) in answers:
            assert message == protocol.Weights(2, 1, SLOTS)
            np.testing.assert_array_equal(w, 0.5)
        assert (server.state.clock, server.duplicates) == (1, 2)


def test_a_push_repeated_while_the_step_waits_is_counted_once() -> None:
    with serving(2) as server, peer_of(server) as one, peer_of(server) as other:
        initialized(server, one)
        initialized(server, other, rank=1)
        one.receive(), other.receive()
        one.send(push(2, 1), weights())
        one.send(push(2, 1), weights())
        wait_until(lambda: server.duplicates == 1, "the repetition")
        assert server.state.clock == 0
        other.send(push(2, 1), weights())
        assert one.receive()[0] == other.receive()[0] == protocol.Weights(2, 1, SLOTS)
        np.testing.assert_array_equal(server.state.weights()[0], 1 - 0.5 * 2)


def test_a_worker_s_new_connection_gets_the_answer_that_its_old_one_asked_for() -> None:
    with serving(2) as server, peer_of(server) as other:
        with peer_of(server) as broken:
            initialized(server, broken)
            initialized(server, other, rank=1)
            broken.receive(), other.receive()
            broken.send(push(2, 1), weights())
            wait_until(lambda: server.roster[0].step == 1, "the push")
        with peer_of(server) as again:
            assert isinstance(again.join(0, 2), protocol.Welcome)
            again.send(push(2, 1), weights())
            wait_until(lambda: server.duplicates == 1, "the repetition")
            other.send(push(2, 1), weights())
            assert again.receive()[0] == protocol.Weights(2, 1, SLOTS)
            assert server.state.clock == 1


# ---- what it refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [[b""], [bytes(range(256))], [b"RGP1\xff"], [b"RGP1" + bytes(100), b"x" * 1000], [b"\x80\x04\x95."]],
    ids=["empty", "noise", "half", "frames", "pickle"],
)
def test_random_bytes_are_counted_and_change_nothing(frames: list[bytes]) -> None:
    with serving(1) as server, clients(server) as [client], peer_of(server) as stranger:
        client.initialize("SGD", SGD, TABLE, weights(1.0))
        stranger.send_raw(*frames)
        answer, _ = stranger.receive()
        assert isinstance(answer, protocol.Error)
        assert (answer.kind, server.rejected) == ("protocol", 1)
        w, _ = client.push(SGD, SLOTS, weights(1.0))
        np.testing.assert_array_equal(w, 0.5)


def test_bytes_that_are_not_even_zeromq_s_change_nothing() -> None:
    with serving(1) as server, clients(server) as [client]:
        client.initialize("SGD", SGD, TABLE, weights(1.0))
        host, port = server.address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 10)
            w, _ = client.push(SGD, SLOTS, weights(1.0))
        np.testing.assert_array_equal(w, 0.5)


@pytest.mark.parametrize(
    ("message", "arrays", "kind", "text"),
    [
        (push(2, 1, tensors=(Slot(0, "float32", (4,)),)), [np.zeros(4, np.float32)], "mismatch",
         "worker 0 pushes a gradient of float32[4] for w, which is float32[3]"),
        (push(2, 1, tensors=(Slot(0, "float64", (3,)),)), [np.zeros(3)], "mismatch", "float64[3]"),
        (push(2, 1, tensors=(Slot(9, "float32", (3,)),)), [np.zeros(3, np.float32)], "mismatch",
         "parameter 9 of 2"),
        (push(2, 1, groups=()), weights(), "mismatch", "0 parameter groups, and there are 1"),
        (push(2, 7), weights(), "protocol", "pushes step 7 after step 0"),
        (push(5, 1), weights(), "protocol", "request 5 of worker 0 skips number 2"),
        (protocol.Init(2, "SGD", SGD, TABLE, True), weights(), "protocol", "sent its weights before"),
        (protocol.StatusRequest(), (), "protocol", "only a launcher"),
        (protocol.Exited(0, True, "x"), (), "protocol", "only a launcher"),
        (protocol.Welcome(0), (), "protocol", "a server does not take WELCOME"),
        (protocol.Heartbeat(0, 99, protocol.Report()), (), "protocol", "has not joined"),
    ],
)  # fmt: skip
def test_a_message_that_does_not_fit_changes_nothing(
    message: protocol.Message, arrays: list[np.ndarray], kind: str, text: str
) -> None:
    with serving(1) as server, peer_of(server) as peer:
        initialized(server, peer)
        peer.receive()
        answer = peer.ask(message, arrays)
        assert isinstance(answer, protocol.Error)
        assert answer.kind == kind
        assert text in answer.text
        assert peer.ask(push(2, 1), weights()) == protocol.Weights(2, 1, SLOTS)
        np.testing.assert_array_equal(server.state.weights()[0], 0.5)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"run": "other"}, "serves run '', not 'other'"),
        ({"protocol": 99}, "upgrade retrograd on the server's side"),
        ({"protocol": 0}, "upgrade retrograd on the worker's side"),
        ({"rank": 7}, "rank 7 is not one of this run, which has 2 workers"),
        ({"world_size": 3}, "a worker of 3 asks to join a run of 2"),
        ({"rank": 0, "incarnation": 2}, "rank 0 is taken"),
    ],
)
def test_a_worker_that_does_not_belong_here_is_told_why(fields: dict[str, Any], text: str) -> None:
    with serving(2) as server, peer_of(server) as first, peer_of(server) as peer:
        first.join(0, 2)
        answer = peer.join(**{"rank": 1, "world_size": 2, **fields})
        assert isinstance(answer, protocol.Error)
        assert answer.kind == "refused"
        assert text in answer.text


@pytest.mark.parametrize(
    ("optimizer", "groups", "text"),
    [
        ("Adagrad2", SGD, "no optimizer 'Adagrad2'"),
        ("os", SGD, "no optimizer 'os'"),
        ("SGD", (), "parameter group 0"),
    ],
)
def test_an_optimizer_that_cannot_be_made_is_refused(optimizer: str, groups: protocol.Groups, text: str) -> None:
    with serving(1) as server, clients(server) as [client]:
        with pytest.raises(Mismatch, match=text):
            client.initialize(optimizer, groups, TABLE, weights())
        client.initialize("SGD", SGD, TABLE, weights())  # nothing is spoilt by it


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (TABLE[:1], "worker 1 has 1 parameters, and worker 0 has 2"),
        ((TABLE[0], TensorSpec("b", "float64", ())), r"float64\[\] on worker 1 and float32\[\] on worker 0"),
    ],
)
def test_a_worker_with_another_model_is_told_where_it_differs(table: tuple[TensorSpec, ...], text: str) -> None:
    with serving(2) as server, clients(server) as [first, second]:
        ours, theirs = together(
            lambda: first.initialize("SGD", SGD, TABLE, weights()),
            lambda: second.initialize("SGD", SGD, table, weights()),
        )
        assert len(ours) == 2
        with pytest.raises(Mismatch, match=text):
            raise theirs


def test_an_address_in_use_is_named() -> None:
    with (
        serving(1) as server,
        pytest.raises(AddressInUse, match=f"cannot listen at {server.address}: .* in use"),
    ):
        Server(ServerOptions(1, bind=server.address))


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(AddressInUse, match="this machine has no such address"):
        Server(ServerOptions(1, bind="tcp://192.0.2.1:5555", insecure=True))


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:*", "tcp://*:*", "tcp://192.0.2.1:5555"])
def test_an_address_that_others_can_reach_needs_a_word(address: str) -> None:
    with pytest.raises(Refused, match="can be reached from other machines"):
        Server(ServerOptions(1, bind=address))


# ---- when somebody is missing -----------------------------------------------------------------------------


def test_a_silent_worker_is_named_and_those_who_wait_are_told() -> None:
    with serving(2, timeout=1.5) as server, clients(server, 1) as [client], peer_of(server) as silent:
        initialized(server, silent, rank=1)
        start(client)
        [failure] = together(lambda: client.push(SGD, SLOTS, weights()))
        with pytest.raises(WorkerLost, match=r"lost worker 1 \(last step 0, last heard of 1\.\d s ago\)"):
            raise failure
        np.testing.assert_array_equal(server.state.weights()[0], 1.0)
        with pytest.raises(WorkerLost):  # and on every later request, at once
            client.barrier()


def test_a_worker_that_fails_is_named_with_its_error() -> None:
    with serving(2) as server, clients(server) as [first, second]:
        start(first, second)
        pushing, _ = together(lambda: first.push(SGD, SLOTS, weights()), lambda: second.close("ValueError: boom"))
        second.close = lambda: None  # type: ignore[method-assign]
        with pytest.raises(WorkerLost, match="worker 1 failed after step 0: ValueError: boom"):
            raise pushing


@pytest.mark.parametrize(
    "act", [lambda c: c.push(SGD, SLOTS, weights()), lambda c: c.barrier()], ids=["push", "barrier"]
)
def test_a_worker_that_ends_early_is_named(act: Callable[[Any], Any]) -> None:
    with serving(2) as server, clients(server) as [first, second]:
        start(first, second)
        waiting, _ = together(lambda: act(first), second.close)
        second.close = lambda: None  # type: ignore[method-assign]
        with pytest.raises(WorkerLost, match="worker 1 ended after step 0 and worker 0 waits"):
            raise waiting


def test_the_launcher_tells_of_a_death_before_silence_does() -> None:
    with serving(2) as server, clients(server, 1) as [client], peer_of(server) as launcher:
        assert isinstance(launcher.join(0, 2, role="launcher"), protocol.Welcome)
        launcher.send(protocol.Exited(1, True, "its process was killed by signal 9 (SIGKILL)"))
        with pytest.raises(WorkerLost, match=r"lost worker 1 \(never joined\): its process was killed by signal 9"):
            client.barrier()
        status = launcher.ask(protocol.StatusRequest())
        assert isinstance(status, protocol.Status)
        assert (status.culprit, status.workers[1].state) == (1, "lost")


def test_a_server_that_fails_in_an_update_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(1) as server, clients(server) as [client]:
        client.initialize("SGD", SGD, TABLE, weights())

        def fail() -> None:
            raise FloatingPointError("overflow")

        monkeypatch.setattr(server.state._optimizer, "step", fail)
        for _ in range(2):
            with pytest.raises(RemoteError, match="the server failed in update 1: FloatingPointError: overflow"):
                client.push(SGD, SLOTS, weights())


def test_a_server_whose_launcher_has_died_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(ServerOptions(1))
    thread = threading.Thread(target=server.serve)
    thread.start()
    with clients(server) as [client], peer_of(server) as launcher:
        launcher.join(0, 1, role="launcher")
        monkeypatch.setattr("os.getppid", lambda: 1)
        thread.join(5)
        assert not thread.is_alive()
        assert "the launcher has died" in str(server.failure)
        client._heart.stop()


def test_heartbeats_carry_the_report_to_the_launcher() -> None:
    with serving(1) as server, clients(server) as [client], peer_of(server) as launcher:
        client._heart._report = lambda: protocol.Report(step=3, total=9, loss=0.5)
        launcher.join(0, 1, role="launcher")
        wait_until(lambda: launcher.ask(protocol.StatusRequest()).workers[0].report.step == 3, "the report")


def test_the_server_ends_when_everyone_has_left() -> None:
    server = Server(ServerOptions(1))
    thread = threading.Thread(target=server.serve)
    thread.start()
    with clients(server):
        pass
    thread.join(10 * heartbeat.INTERVAL)
    assert not thread.is_alive()


def test_a_flood_does_not_stop_the_server() -> None:
    with serving(1) as server, clients(server) as [client], peer_of(server) as stranger:
        client.initialize("SGD", SGD, TABLE, weights(1.0))
        for _ in range(3000):  # and does not read a single answer
            try:
                stranger.channel.socket.send(b"noise", zmq.NOBLOCK)
            except zmq.Again:
                break
        w, _ = client.push(SGD, SLOTS, weights(1.0))
        np.testing.assert_array_equal(w, 0.5)
