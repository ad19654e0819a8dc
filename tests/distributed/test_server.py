"""The server, message by message: what it applies, what it refuses, whom it tells."""

from __future__ import annotations

import logging
import socket
import threading
from functools import partial

import numpy as np
import pytest
import zmq
from ps_harness import (
    SGD,
    SLICES,
    SLOTS,
    TABLE,
    all_of,
    clients,
    peer_of,
    push,
    serving,
    sliced,
    start,
    together,
    wait_until,
    weights,
)

from retrograd.distributed import protocol
from retrograd.distributed.errors import AddressInUse, Mismatch, Refused
from retrograd.distributed.messages import Groups, Slot, TensorSpec
from retrograd.distributed.server import Server, ServerOptions

STEPPED = protocol.Weights(SLOTS, seq=2, step=1, version=1)
"""The answer to the first push."""


# ---- what it does -----------------------------------------------------------------------------------------


def test_one_worker_s_step_is_the_optimizer_s() -> None:
    with serving(1) as [server], clients(server) as [client]:
        client.begin(1.0)
        w, b = client.learn(1.0)
        np.testing.assert_array_equal(w, 0.5)
        assert (b.shape, b.item(), client.step) == ((), 0.5, 1)


def test_workers_get_rank_0_s_weights_and_the_sum_of_all_gradients() -> None:
    with serving(3) as [server], clients(server) as members:
        all_of(*(lambda c=c, v=v: c.begin(float(v)) for v, c in enumerate(members)))
        pushed = all_of(*(lambda c=c, v=v: c.learn(float(v)) for v, c in enumerate(members)))
    for w, _ in pushed:
        np.testing.assert_array_equal(w, 0 - 0.5 * (0 + 1 + 2))


def test_a_parameter_without_a_gradient_stays() -> None:
    decaying = ({"lr": 0.5, "weight_decay": 1.0},)
    with serving(1) as [server], clients(server) as [client]:
        client.begin(1.0, groups=decaying)
        # Weight decay would move it, if its gradient were zero and not absent.
        w, b = client.learn([np.zeros(3, np.float32), None], decaying)
        np.testing.assert_array_equal(w, 0.5)
        assert b.item() == 1.0


def test_a_change_of_the_learning_rate_holds_from_that_step_on() -> None:
    with serving(1) as [server], clients(server) as [client]:
        client.begin(1.0)
        w, _ = client.learn(1.0, ({"lr": 0.25},))
        np.testing.assert_array_equal(w, 0.75)


def test_a_pull_gives_the_weights_and_makes_no_step() -> None:
    with serving(1) as [server], clients(server) as [client]:
        client.begin(1.0)
        client.learn(1.0)
        client.arrays[0][:] = np.nan
        w, _ = client.fetch()
        np.testing.assert_array_equal(w, 0.5)
        assert (client.step, server.state.position.version) == (1, 1)


def test_a_push_that_wants_no_weights_is_answered_in_a_word() -> None:
    with serving(1) as [server], peer_of(server) as peer:
        peer.join(0, 1)
        peer.begin()
        assert peer.ask(push(2, 1, reply=False), sliced()) == protocol.Done(2, 1)
        np.testing.assert_array_equal(server.state.weights()[0], 0.5)


def test_a_step_costs_each_worker_one_message_out_and_one_in() -> None:
    steps = 20
    with serving(2) as [server], clients(server) as members:
        start(*members)
        channels = [client.channels[0].traffic for client in members]
        before = [(each.messages_sent, each.messages_received, each.bytes_sent) for each in channels]
        for _ in range(steps):
            all_of(*(lambda c=c: c.learn(0.0) for c in members))
        for traffic, (sent, received, nbytes) in zip(channels, before, strict=True):
            assert (traffic.messages_sent - sent, traffic.messages_received - received) == (steps, steps)
            payload = sum(array.nbytes for array in weights())
            assert payload * steps < traffic.bytes_sent - nbytes < (payload + 200) * steps


def test_a_barrier_opens_when_everyone_is_there() -> None:
    with serving(2) as [server], clients(server) as [first, second]:
        waiting = threading.Thread(target=first.barrier)
        waiting.start()
        wait_until(lambda: server.roster[0].waiting, "the first to wait")
        assert waiting.is_alive()
        second.barrier()
        waiting.join()


@pytest.mark.parametrize("size", [1 << 10, 1 << 20, 3 << 20], ids=["copied", "not copied", "in parts"])
def test_large_tensors_arrive_whole_step_after_step(size: int) -> None:
    table = (TensorSpec("w", "float32", (size,)),)
    with serving(1) as [server], clients(server) as [client]:
        client.begin(0.0, groups=({"lr": 1.0},), table=table)
        gradient = np.empty(size, np.float32)
        for step in range(1, 11):
            gradient[:] = -1  # the same memory each time
            [w] = client.learn([gradient], ({"lr": 1.0},))
            gradient[:] = np.nan
            np.testing.assert_array_equal(w, step)


# ---- exactly once -----------------------------------------------------------------------------------------


def test_a_repeated_push_is_answered_again_and_not_applied_again() -> None:
    with serving(1) as [server], peer_of(server) as peer:
        peer.join(0, 1)
        peer.begin()
        answers = []
        for _ in range(3):
            peer.send(push(2, 1), sliced())
            answers.append(peer.receive())
        for message, (w, _) in answers:
            assert message == STEPPED
            np.testing.assert_array_equal(w, 0.5)
        assert (server.state.position.version, server.counters.duplicates) == (1, 2)


def test_a_question_for_the_answer_needs_no_gradients() -> None:
    with serving(1) as [server], peer_of(server) as peer:
        peer.join(0, 1)
        peer.begin()
        peer.ask(push(2, 1), sliced())
        assert peer.ask(push(2, 1, tensors=())) == STEPPED
        assert (server.state.position.version, server.counters.duplicates) == (1, 1)


def test_a_push_repeated_while_the_step_waits_is_counted_once() -> None:
    with serving(2) as [server], peer_of(server) as one, peer_of(server) as other:
        one.join(0, 2)
        other.join(1, 2)
        one.begin()
        other.begin()
        one.send(push(2, 1), sliced())
        one.send(push(2, 1), sliced())
        wait_until(lambda: server.counters.duplicates == 1, "the repetition")
        assert server.state.position.version == 0
        other.send(push(2, 1), sliced())
        assert one.receive()[0] == other.receive()[0] == STEPPED
        np.testing.assert_array_equal(server.state.weights()[0], 1 - 0.5 * 2)


def test_a_worker_s_new_connection_gets_the_answer_that_its_old_one_asked_for() -> None:
    with serving(2) as [server], peer_of(server) as other:
        with peer_of(server) as broken:
            broken.join(0, 2)
            other.join(1, 2)
            broken.begin()
            other.begin()
            broken.send(push(2, 1), sliced())
            wait_until(lambda: server.roster[0].step == 1, "the push")
        with peer_of(server) as again:
            welcome = again.hello(0, 2)
            assert isinstance(welcome, protocol.Welcome)
            assert (welcome.received, welcome.takes_part, welcome.boot) == (2, True, server.boot)
            again.send(push(2, 1, tensors=()))
            wait_until(lambda: server.counters.duplicates == 1, "the repetition")
            other.send(push(2, 1), sliced())
            assert again.receive()[0] == STEPPED
            assert server.state.position.version == 1


def test_a_push_in_parts_is_one_push() -> None:
    with serving(1) as [server], peer_of(server) as peer:
        peer.join(0, 1)
        peer.begin()
        twos = sliced(2.0)
        peer.send(push(2, 1, tensors=SLOTS[1:], part=0, parts=0, present=(), groups=()), twos[1:])
        peer.send(push(2, 1, tensors=SLOTS[:1], part=1, parts=0, present=(), groups=()), twos[:1])
        # The last part has the first slice once more: it is another gradient by now.
        assert peer.ask(push(2, 1, tensors=SLOTS[:1], part=2, parts=3), sliced(4.0)[:1]) == STEPPED
        w, b = server.state.weights()
        np.testing.assert_array_equal(w, 1 - 0.5 * 4)
        np.testing.assert_array_equal(b, 1 - 0.5 * 2)


def test_a_push_that_never_becomes_whole_leaves_no_trace() -> None:
    with serving(1) as [server], peer_of(server) as peer:
        peer.join(0, 1)
        peer.begin()
        peer.send(push(2, 1, tensors=SLOTS[:1], part=0, parts=0, present=()), sliced(9.0)[:1])
        # Its worker has begun a push and then another: it asks for something else in between, for example.
        assert peer.ask(push(3, 1, tensors=SLOTS[1:], present=(1,)), sliced()[1:]) == protocol.Weights(SLOTS, 3, 1, 1)
        w, b = server.state.weights()
        assert (w[0], b[0], server.staging.nbytes) == (1.0, 0.5, 0)


# ---- what it refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        ([b""], "stranger"),
        ([bytes(range(256))], "stranger"),
        ([b"RGP1\xff"], "protocol"),
        ([b"RGP1" + bytes(100), b"x" * 1000], "protocol"),
        ([b"RGP2" + bytes(100), b"x" * 1000], "stranger"),
        ([b"\x80\x04\x95."], "stranger"),
    ],
    ids=["empty", "noise", "half", "frames", "damaged", "pickle"],
)
def test_random_bytes_are_counted_and_change_nothing(frames: list[bytes], kind: str) -> None:
    with serving(1) as [server], clients(server) as [client], peer_of(server) as stranger:
        client.begin(1.0)
        stranger.send_raw(*frames)
        answer, _ = stranger.receive()
        assert isinstance(answer, protocol.Error)
        assert (answer.kind, server.counters.rejected) == (kind, 1)
        w, _ = client.learn(1.0)
        np.testing.assert_array_equal(w, 0.5)


def test_strangers_who_are_refused_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with serving(1) as [server], peer_of(server) as stranger, caplog.at_level(logging.INFO):
        for _ in range(15):
            answer = stranger.ask(protocol.Hello("another run", "worker", 1, 1, rank=0))
            assert isinstance(answer, protocol.Error)
            assert answer.kind == "refused"
        for _ in range(15):
            stranger.send_raw(b"RGP1\xff")
            assert isinstance(stranger.receive()[0], protocol.Error)
        assert server.counters.rejected == 15
    for beginning in ("this server at", "dropped a message"):
        lines = [each.getMessage() for each in caplog.records if each.getMessage().startswith(beginning)]
        assert len(lines) == 10
        assert [each.endswith("; further ones are not logged") for each in lines] == [False] * 9 + [True]


def test_an_answer_to_a_heartbeat_that_nobody_takes_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with serving(1) as [server], caplog.at_level(logging.DEBUG):
        for message in (protocol.Pulse(1, 0, 0), protocol.Done(1, 1)):
            server.within(partial(server.outbox.send, b"nobody", message))
        assert server.outbox.in_vain == 2
    said = {each.getMessage()[:38]: each.levelname for each in caplog.records if "went away" in each.getMessage()}
    assert said == {"a peer went away before its PULSE: Hos": "DEBUG", "a peer went away before its DONE: Host": "INFO"}


def test_bytes_that_are_not_even_zeromq_s_change_nothing() -> None:
    with serving(1) as [server], clients(server) as [client]:
        client.begin(1.0)
        host, port = server.address.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)) * 10)
            w, _ = client.learn(1.0)
        np.testing.assert_array_equal(w, 0.5)


WELCOME = protocol.Welcome(
    boot=1, step=0, initialized=True, takes_part=True, received=0, shard=0, shards=1, slice_bytes=1,
    compression="none", credit=0, recovery=0.0, shared=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("message", "arrays", "kind", "text"),
    [
        (push(2, 1, tensors=(Slot(0, "float32", (4,)),)), [np.zeros(4, np.float32)], "mismatch",
         "worker 0 pushes a gradient of float32[4] for a slice of w, which is float32[3]"),
        (push(2, 1, tensors=(Slot(0, "float64", (3,)),)), [np.zeros(3)], "mismatch", "float64[3]"),
        (push(2, 1, tensors=(Slot(9, "float32", (3,)),)), [np.zeros(3, np.float32)], "mismatch", "slice 9 of 2"),
        (push(2, 1, tensors=SLOTS[:1]), sliced()[:1], "protocol", "lacks slices [1] that it announces"),
        (push(2, 1, groups=()), sliced(), "mismatch", "0 parameter groups, and there are 1"),
        (push(2, 0), sliced(), "protocol", "pushes step 0 after step 0"),
        (push(2, 7), sliced(), "protocol", "pushes step 7 after step 0"),
        (protocol.Init(2, "Adam", SGD, TABLE, (), False), (), "mismatch", "wants optimizer Adam, and worker 0 SGD"),
        (protocol.StatusRequest(), (), "stranger", "only a launcher"),
        (protocol.Exited(0, True, "x"), (), "stranger", "only a launcher"),
        (WELCOME, (), "protocol", "a server does not take WELCOME"),
        (protocol.Order(1, 1), (), "protocol", "a server does not take ORDER"),
        (protocol.Heartbeat(0, 99, protocol.Report()), (), "stranger", "has not joined"),
        (protocol.Follow("", 1, 0, True), (), "refused", "server 1 is none of the 1 of this run"),
        (protocol.Weighed(1, 1, 0.0), (), "stranger", "someone who is no server of this run"),
    ],
)  # fmt: skip
def test_a_message_that_does_not_fit_changes_nothing(
    message: protocol.Message, arrays: list[np.ndarray], kind: str, text: str
) -> None:
    with serving(1) as [server], peer_of(server) as peer:
        peer.join(0, 1)
        peer.begin()
        answer = peer.ask(message, arrays)
        assert isinstance(answer, protocol.Error)
        assert (answer.kind, text) == (kind, text if text in answer.text else answer.text)
        assert peer.ask(push(2, 1), sliced()) == STEPPED
        np.testing.assert_array_equal(server.state.weights()[0], 0.5)


def test_only_worker_0_gives_the_first_weights() -> None:
    with serving(2) as [server], peer_of(server) as peer:
        peer.hello(1, 2)
        answer = peer.ask(protocol.Init(1, "SGD", SGD, TABLE, SLICES, True), sliced())
        assert isinstance(answer, protocol.Error)
        assert (answer.kind, server.state) == ("protocol", None)
        assert "worker 1 sends initial weights, which are worker 0's to send" in answer.text


@pytest.mark.parametrize(
    "request_", [push(1, 1), protocol.Pull(1, 0), protocol.Barrier(1)], ids=lambda each: type(each).__name__
)
def test_who_has_not_said_hello_is_a_stranger(request_: protocol.Message) -> None:
    with serving(1) as [server], peer_of(server) as peer:
        answer = peer.ask(request_, sliced() if isinstance(request_, protocol.Push) else ())
        assert isinstance(answer, protocol.Error)
        assert (answer.kind, answer.seq) == ("stranger", 1)


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"run": "other"}, "refused", "serves run '', not 'other'"),
        ({"oldest": 99, "protocol": 99}, "refused", "upgrade retrograd on the server's side"),
        ({"oldest": 0, "protocol": 1}, "refused", "upgrade retrograd on the worker's side"),
        ({"rank": 7}, "refused", "rank 7 is not one of this run, which has 2 workers"),
        ({"world_size": 3}, "refused", "a worker of 3 asks to join a run of 2"),
        ({"rank": 0, "incarnation": 2}, "taken", "rank 0 is taken"),
    ],
)
def test_a_worker_that_does_not_belong_here_is_told_why(fields: dict[str, object], kind: str, text: str) -> None:
    with serving(2) as [server], peer_of(server) as first, peer_of(server) as peer:
        first.hello(0, 2)
        answer = peer.hello(**{"rank": 1, "world_size": 2, **fields})
        assert isinstance(answer, protocol.Error)
        assert answer.kind == kind
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
    with serving(1) as [server], clients(server) as [client]:
        with pytest.raises(Mismatch, match=text):
            client.begin(1.0, optimizer, groups)
        client.begin(1.0)  # nothing is spoilt by it
        assert client.learn(1.0)[1].item() == 0.5


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (({"lr": None, "momentum": 0.5},), "pushes lr=None for parameter group 0, where it was 0.5"),
        (({"lr": (0.5, 0.5), "momentum": 0.5},), r"pushes lr=\(0.5, 0.5\) for parameter group 0, where it was 0.5"),
        (({"lr": 0.5}, {"lr": 0.5}), "pushes 2 parameter groups, and there are 1"),
    ],
)
@pytest.mark.parametrize("staleness", [0, 2])
def test_one_worker_s_nonsense_for_a_hyperparameter_ends_nobody_else_s_run(
    groups: Groups, text: str, staleness: float
) -> None:
    with serving(2, staleness=staleness, on_loss="continue") as [server], clients(server) as [good, bad]:
        start(good, bad)
        with pytest.raises(Mismatch, match=text):
            bad.learn(1.0, groups)
        bad.close()
        wait_until(lambda: server.within(lambda: server.roster[1].state == "left"), "the goodbye")
        assert server.failure is None
        np.testing.assert_array_equal(good.learn(1.0, ({"lr": 0.25, "momentum": 0.0, "of_the_users": 3},))[0], 0.5)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (TABLE[:1], "worker 1 has 1 parameters, and worker 0 has 2"),
        ((TABLE[0], TensorSpec("b", "float64", ())), r"float64\[\] on worker 1 and float32\[\] on worker 0"),
    ],
)
def test_a_worker_with_another_model_is_told_where_it_differs(table: tuple[TensorSpec, ...], text: str) -> None:
    with serving(2) as [server], clients(server) as [first, second]:
        ours, theirs = together(lambda: first.begin(1.0), lambda: second.begin(1.0, table=table))
        assert len(ours) == 2
        with pytest.raises(Mismatch, match=text):
            raise theirs


def test_a_model_that_is_too_large_for_the_memory_is_refused() -> None:
    with serving(2, budget=20) as [server], clients(server, count=1) as [client]:
        with pytest.raises(Refused, match=r"gradients of 16 bytes from each of 2 workers .* budget of 20 bytes"):
            client.begin(1.0)
        assert server.state is None


def test_a_worker_may_not_have_more_under_way_than_its_credit() -> None:
    with serving(1, budget=16) as [server], peer_of(server) as peer:
        peer.join(0, 1)
        peer.begin()
        for part in range(3):  # the same memory: a part replaces what came before it
            peer.send(push(2, 1, part=part, parts=0, present=()), sliced())
        assert peer.ask(push(2, 1, part=3, parts=4), sliced()) == STEPPED
        for seq in (3, 4):  # nor does a push that was begun and given up stay
            peer.send(push(seq, 2, part=0, parts=0, present=()), sliced())
        assert peer.ask(push(5, 2), sliced()) == protocol.Weights(SLOTS, 5, 2, 2)
        assert server.counters.rejected == 0


def test_an_address_in_use_is_named() -> None:
    with (
        serving(1) as [server],
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


def test_a_flood_does_not_stop_the_server() -> None:
    with serving(1) as [server], clients(server) as [client], peer_of(server) as stranger:
        client.begin(1.0)
        for _ in range(3000):  # and does not read a single answer
            try:
                stranger.channel.socket.send(b"noise", zmq.NOBLOCK)
            except zmq.Again:
                break
        w, _ = client.learn(1.0)
        np.testing.assert_array_equal(w, 0.5)
