"""The fault proxy does what it says, with ZeroMQ's sockets at both ends and, where bytes matter, plain ones."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import zmq
from faults import wire
from faults.proxy import FaultProxy

DEADLINE = 60  # seconds; only a test that is about to fail comes near it


def message(kind: str, seq: int, *tensors: bytes) -> list[bytes]:
    return [wire.MAGIC + msgspec.msgpack.encode({"type": kind, "seq": seq}), *tensors]


@dataclass
class Ends:
    """A ROUTER as a server has it, a proxy before it, and DEALERs as workers have them."""

    context: zmq.Context[Any]
    router: zmq.Socket[bytes]
    proxy: FaultProxy
    sockets: list[zmq.Socket[bytes]] = field(default_factory=list)

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        """A socket that is closed with the context; one that nobody holds would be warned of."""
        self.sockets.append(self.context.socket(kind))
        return self.sockets[-1]

    def worker(self) -> zmq.Socket[bytes]:
        """A socket whose connection is up: a message has gone there and back."""
        dealer = self.socket(zmq.DEALER)
        dealer.setsockopt(zmq.RECONNECT_IVL, 10)
        dealer.connect(self.proxy.address)
        dealer.send_multipart([b"up"])
        peer, *frames = self.receive()
        assert frames == [b"up"]
        self.router.send_multipart([peer, b"up"])
        assert dealer.recv_multipart() == [b"up"]
        return dealer

    def receive(self) -> list[bytes]:
        return self.router.recv_multipart()

    def numbers(self, count: int) -> list[int]:
        """The numbers of the next messages at the server."""
        return [number(self.receive()[1:]) for _ in range(count)]

    def wait_for_connection(self, number: int) -> None:
        """Wait until a worker is back; what it sends before goes down with the old connection."""
        self.proxy.wait_for(lambda: self.proxy.accepted >= number, f"connection {number}")

    def pair(self) -> tuple[zmq.Socket[bytes], bytes]:
        """A worker, and how the server addresses it."""
        worker = self.worker()
        worker.send_multipart([b"who"])
        return worker, self.receive()[0]


def number(frames: list[bytes]) -> int:
    header = wire.header_of(frames[0])
    assert header is not None
    return int(header["seq"])


@pytest.fixture
def ends() -> Iterator[Ends]:
    context: zmq.Context[Any] = zmq.Context()
    context.setsockopt(zmq.LINGER, 0)
    context.setsockopt(zmq.RCVTIMEO, DEADLINE * 1000)
    context.setsockopt(zmq.SNDTIMEO, DEADLINE * 1000)
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.ROUTER_MANDATORY, 1)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    try:
        with FaultProxy(f"tcp://127.0.0.1:{port}") as proxy:
            yield Ends(context, router, proxy)
    finally:
        context.destroy(linger=0)


# ---- nothing wrong -----------------------------------------------------------------------------------------


def test_messages_pass_unchanged_in_both_directions(ends: Ends) -> None:
    worker = ends.worker()
    large = bytes(range(256)) * 20_000
    sent = [[b""], [b"x" * 255], [b"x" * 256, b"", large], message("push", 1, large, large)]
    for frames in sent:
        worker.send_multipart(frames)
        peer, *received = ends.receive()
        assert received == frames
        ends.router.send_multipart([peer, *frames])
        assert worker.recv_multipart() == frames


def test_it_reads_the_headers_that_the_package_writes(ends: Ends) -> None:
    from retrograd.distributed import protocol

    worker = ends.worker()
    worker.send_multipart(protocol.encode(protocol.StatusRequest()))
    ends.receive()
    assert ends.proxy.seen == {("to_server", "statusrequest"): 1}
    assert ends.proxy.connections[0].seen == ends.proxy.seen


def test_what_is_not_zeromq_passes_as_it_is() -> None:
    with plain() as (proxy, worker, server):
        worker.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert server.recv(100) == b"GET / HTTP/1.0\r\n\r\n"
        server.sendall(b"no")
        assert worker.recv(100) == b"no"
        worker.close()
        assert server.recv(100) == b""
        server.close()
        proxy.wait_for(lambda: not proxy.connections, "the connection to end")


def test_a_message_that_never_ends_is_forwarded_as_far_as_it_came() -> None:
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(54, b"\0")
    assert len(greeting) == 63
    beginning = greeting + b"\0" + b"\x02" + (1 << 62).to_bytes(8, "big") + b"some of it"
    with plain() as (_, worker, server):
        worker.sendall(beginning)
        worker.shutdown(socket.SHUT_WR)
        assert receive_all(server) == beginning


def test_a_proxy_leaves_no_thread_and_no_listener() -> None:
    with FaultProxy("tcp://127.0.0.1:1") as proxy:
        port = proxy_port(proxy)
        names = [thread.name for thread in threading.enumerate()]
        assert "fault-proxy" in names
    assert "fault-proxy" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_new_connections_go_to_a_new_upstream(ends: Ends) -> None:
    other = ends.socket(zmq.ROUTER)
    worker = ends.worker()
    port = other.bind_to_random_port("tcp://127.0.0.1")
    ends.proxy.upstream = f"tcp://127.0.0.1:{port}"
    ends.proxy.cut()
    ends.wait_for_connection(2)
    worker.send_multipart([b"again"])
    assert other.recv_multipart()[1:] == [b"again"]


def test_a_connection_is_reset_when_nobody_listens_upstream() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        upstream = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with FaultProxy(upstream) as proxy, pytest.raises(ConnectionResetError), connected(proxy) as worker:
            worker.recv(1)


# ---- whole messages ----------------------------------------------------------------------------------------


def test_the_first_push_is_dropped_and_no_other(ends: Ends) -> None:
    worker = ends.worker()
    fault = ends.proxy.drop("push", direction="to_server", times=1)
    for kind, seq in [("barrier", 1), ("push", 2), ("push", 3), ("barrier", 4)]:
        worker.send_multipart(message(kind, seq, b"tensor"))
    fault.wait_hit()
    assert ends.numbers(3) == [1, 3, 4]
    assert fault.hits == 1
    assert not fault.on


def test_a_function_of_header_and_direction_chooses(ends: Ends) -> None:
    worker, peer = ends.pair()
    asked: list[tuple[int, str]] = []

    def is_odd(header: wire.Header, direction: str) -> bool:
        asked.append((header["seq"], direction))
        return header["seq"] % 2 == 1

    with ends.proxy.drop(is_odd):
        for seq in range(4):
            worker.send_multipart(message("push", seq))
        assert ends.numbers(2) == [0, 2]
        for seq in range(4):
            ends.router.send_multipart([peer, *message("weights", seq)])
        assert [number(worker.recv_multipart()) for _ in range(2)] == [0, 2]
    # Message 3 of each direction may be asked about after the last that arrives.
    ends.proxy.wait_for(lambda: len(asked) == 8, "all questions")
    assert sorted(asked) == sorted((seq, way) for way in ("to_server", "to_worker") for seq in range(4))


def test_a_direction_that_is_not_meant_is_left_alone(ends: Ends) -> None:
    worker, peer = ends.pair()
    fault = ends.proxy.drop(direction="to_worker")
    worker.send_multipart(message("push", 1))
    assert ends.numbers(1) == [1]
    ends.router.send_multipart([peer, *message("weights", 2)])
    fault.wait_hit()
    fault.stop()
    ends.router.send_multipart([peer, *message("weights", 3)])
    assert number(worker.recv_multipart()) == 3


def test_a_connection_that_is_not_meant_is_left_alone(ends: Ends) -> None:
    first, second = ends.worker(), ends.worker()
    assert [each.number for each in ends.proxy.connections] == [1, 2]
    fault = ends.proxy.drop(connection=ends.proxy.connections[0])
    first.send_multipart(message("push", 1))
    fault.wait_hit()
    second.send_multipart(message("push", 2))
    assert ends.numbers(1) == [2]
    assert fault.hits == 1


def test_a_push_arrives_twice(ends: Ends) -> None:
    worker = ends.worker()
    with ends.proxy.duplicate("push") as fault:
        worker.send_multipart(message("push", 1, b"tensor" * 1000))
        assert ends.receive()[1:] == ends.receive()[1:] == message("push", 1, b"tensor" * 1000)
    assert fault.hits == 1
    worker.send_multipart(message("push", 2))
    worker.send_multipart(message("push", 3))
    assert ends.numbers(2) == [2, 3]


def test_held_messages_are_overtaken_and_go_when_they_are_released(ends: Ends) -> None:
    worker, peer = ends.pair()
    fault = ends.proxy.hold("weights", direction="to_worker", times=3)
    for seq in (1, 2, 3, 4):
        ends.router.send_multipart([peer, *message("weights", seq, b"w")])
    fault.wait_hit(3)
    assert number(worker.recv_multipart()) == 4
    assert [number(list(each.frames)) for each in fault.held] == [1, 2, 3]
    fault.release(1)
    assert number(worker.recv_multipart()) == 1
    fault.stop()
    assert [number(worker.recv_multipart()) for _ in range(2)] == [2, 3]
    assert fault.held == []


def test_a_message_held_beyond_its_connection_is_lost(ends: Ends) -> None:
    worker = ends.worker()
    fault = ends.proxy.hold("push", times=1)
    worker.send_multipart(message("push", 1))
    fault.wait_hit()
    ends.proxy.cut()
    fault.release()
    ends.wait_for_connection(2)
    worker.send_multipart(message("push", 2))
    assert ends.numbers(1) == [2]


def test_messages_go_backwards_and_those_left_over_at_the_end(ends: Ends) -> None:
    worker = ends.worker()
    fault = ends.proxy.reorder("push", window=3)
    for seq in range(5):
        worker.send_multipart(message("push", seq))
    assert ends.numbers(3) == [2, 1, 0]
    fault.wait_hit(5)
    fault.stop()
    assert ends.numbers(2) == [3, 4]


def test_a_shuffle_depends_on_its_seed_alone(ends: Ends) -> None:
    worker = ends.worker()
    orders = []
    for seed in (1, 1, 2):
        with ends.proxy.reorder("push", window=10, seed=seed):
            for seq in range(10):
                worker.send_multipart(message("push", seq))
            orders.append(ends.numbers(10))
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == list(range(10)) != order for order in orders)


def test_a_message_is_changed_under_way(ends: Ends) -> None:
    worker = ends.worker()

    def flip(frames: list[bytes]) -> list[bytes]:
        return [frames[0], bytes([frames[1][0] ^ 1]) + frames[1][1:]]

    with ends.proxy.tamper(flip, "push"):
        worker.send_multipart(message("push", 1, b"\0" * 300))
        assert ends.receive()[2] == b"\1" + b"\0" * 299


def test_the_first_fault_takes_a_message(ends: Ends) -> None:
    worker = ends.worker()
    lost, twice = ends.proxy.drop("push", times=1), ends.proxy.duplicate("push")
    worker.send_multipart(message("push", 1))
    worker.send_multipart(message("push", 2))
    assert ends.numbers(2) == [2, 2]
    assert (lost.hits, twice.hits) == (1, 1)


def test_an_error_in_a_function_that_chooses_reaches_the_test(ends: Ends) -> None:
    worker = ends.worker()
    fault = ends.proxy.drop(lambda header, direction: header["no such field"] == 1)
    worker.send_multipart(message("push", 1))
    with pytest.raises(KeyError, match="no such field"):
        fault.wait_hit()


def test_a_function_that_chooses_must_not_switch_faults(ends: Ends) -> None:
    worker = ends.worker()
    fault = ends.proxy.drop(lambda header, direction: bool(ends.proxy.cut()))
    worker.send_multipart(message("push", 1))
    with pytest.raises(RuntimeError, match="must not switch faults"):
        fault.wait_hit()


def test_waiting_in_vain_says_what_was_seen(ends: Ends) -> None:
    worker = ends.worker()
    fault = ends.proxy.drop("push")
    worker.send_multipart(message("barrier", 1))
    ends.receive()
    with pytest.raises(AssertionError, match=r"Drop to strike 1 times.*1 connections, 1 are open.*1 'barrier' to_serv"):
        fault.wait_hit(timeout=0.01)


# ---- bytes -------------------------------------------------------------------------------------------------


@contextmanager
def connected(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy_port(proxy)), DEADLINE) as worker:
        yield worker


@contextmanager
def plain() -> Iterator[tuple[FaultProxy, socket.socket, socket.socket]]:
    """A proxy, and a TCP connection through it: the worker's end and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        with FaultProxy(f"tcp://127.0.0.1:{listener.getsockname()[1]}") as proxy, connected(proxy) as worker:
            server, _ = listener.accept()
            with server:
                server.settimeout(DEADLINE)
                proxy.wait_for(lambda: proxy.connections[0].up, "the connection")
                yield proxy, worker, server


def proxy_port(proxy: FaultProxy) -> int:
    return int(proxy.address.rpartition(":")[2])


def receive_all(end: socket.socket, size: int | None = None) -> bytes:
    """What arrives until the end of the stream, or until so much has arrived."""
    data = b""
    while (size is None or len(data) < size) and (piece := end.recv(65_536)):
        data += piece
    return data


def send_until_blocked(end: socket.socket, limit: int) -> int:
    """How many bytes go into a connection until nothing has for a while, or the limit is reached."""
    end.setblocking(False)
    sent = 0
    while sent < limit and select.select([], [end], [], 0.3)[1]:
        sent += end.send(bytes(1 << 20))
    return sent


def assert_reset(end: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        end.recv(1)


def test_delay_holds_up_both_directions_and_keeps_the_order(ends: Ends) -> None:
    worker, peer = ends.pair()
    with ends.proxy.delay(0.05, jitter=0.05, seed=3) as fault:
        began = time.monotonic()
        for seq in range(20):
            worker.send_multipart(message("push", seq))
        assert ends.numbers(20) == list(range(20))
        ends.router.send_multipart([peer, *message("weights", 1)])
        assert number(worker.recv_multipart()) == 1
        assert time.monotonic() - began >= 0.1
    assert fault.hits == 21


def test_what_is_delayed_comes_when_the_delay_ends(ends: Ends) -> None:
    worker, other = ends.worker(), ends.worker()
    fault = ends.proxy.delay(10 * DEADLINE, connection=ends.proxy.connections[0])
    worker.send_multipart(message("push", 1))
    fault.wait_hit()
    other.send_multipart(message("push", 2))
    assert ends.numbers(1) == [2]
    assert not ends.router.poll(0)
    fault.stop()
    assert ends.numbers(1) == [1]


def test_bandwidth_is_shared_by_the_connections_of_a_direction(ends: Ends) -> None:
    workers = ends.worker(), ends.worker()
    with ends.proxy.bandwidth(1_000_000, direction="to_server"):
        began = time.monotonic()
        for worker in workers:
            worker.send_multipart(message("push", 1, bytes(100_000)))
        for _ in workers:
            ends.receive()
        assert time.monotonic() - began >= 0.2


def test_a_slow_link_becomes_fast_again(ends: Ends) -> None:
    worker = ends.worker()
    fault = ends.proxy.bandwidth(1.0)  # a day for what follows
    worker.send_multipart(message("push", 1, bytes(100_000)))
    fault.wait_hit()
    fault.stop()
    assert ends.numbers(1) == [1]


def test_a_sender_is_held_up_by_a_receiver_that_does_not_read() -> None:
    with plain() as (proxy, worker, _):
        proxy.half_open()
        sent = send_until_blocked(worker, limit=256 << 20)
        # Whatever the proxy and the kernel have room for, it is not what a test would call a lot.
        assert sent < 64 << 20


def test_half_open_keeps_bytes_and_the_end_of_the_connection_until_it_stops() -> None:
    with plain() as (proxy, worker, server):
        fault = proxy.half_open(direction="to_server")
        worker.sendall(b"before the end")
        fault.wait_hit()
        server.sendall(b"the other direction")
        assert worker.recv(100) == b"the other direction"
        worker.shutdown(socket.SHUT_WR)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(1)
        server.settimeout(DEADLINE)
        fault.stop()
        assert receive_all(server) == b"before the end"


def test_messages_survive_a_half_open_time(ends: Ends) -> None:
    worker, other = ends.worker(), ends.worker()
    with ends.proxy.half_open(connection=ends.proxy.connections[0]) as fault:
        worker.send_multipart(message("push", 1, bytes(1_000_000)))
        fault.wait_hit()
        other.send_multipart(message("push", 2))
        assert ends.numbers(1) == [2]
        assert not ends.router.poll(0)
    assert ends.numbers(1) == [1]
    assert ends.proxy.accepted == 2


def test_swallowed_bytes_are_gone_and_their_connection_with_them(ends: Ends) -> None:
    worker, peer = ends.pair()
    fault = ends.proxy.swallow(direction="to_worker")
    ends.router.send_multipart([peer, *message("weights", 1)])
    fault.wait_hit()
    worker.send_multipart(message("push", 2))  # the other direction works
    assert ends.numbers(1) == [2]
    fault.stop()
    ends.wait_for_connection(2)
    worker.send_multipart(message("push", 3))
    again, *frames = ends.receive()
    assert number(frames) == 3
    assert again != peer
    ends.router.send_multipart([again, *message("weights", 4)])
    assert number(worker.recv_multipart()) == 4
    assert ends.proxy.accepted == 2


def test_a_connection_that_lost_nothing_survives_the_swallowing(ends: Ends) -> None:
    worker = ends.worker()
    ends.proxy.swallow().stop()
    worker.send_multipart(message("push", 1))
    assert ends.numbers(1) == [1]
    assert ends.proxy.accepted == 1


def test_exactly_one_byte_is_inverted() -> None:
    with plain() as (proxy, worker, server):
        fault = proxy.corrupt(70_000, direction="to_server")
        worker.sendall(bytes(100_000))
        expected = bytearray(100_000)
        expected[70_000] = 0xFF
        assert receive_all(server, 100_000) == expected
        server.sendall(bytes(100_000))
        assert receive_all(worker, 100_000) == bytes(100_000)
        assert fault.hits == 1


def test_bytes_are_inverted_at_random_by_a_seed() -> None:
    def damaged(seed: int) -> set[int]:
        with plain() as (proxy, worker, server):
            fault = proxy.corrupt(probability=0.01, seed=seed)
            worker.sendall(bytes(10_000))
            data = receive_all(server, 10_000)
            assert set(data) == {0, 0xFF}
            assert fault.hits == data.count(0xFF)
            return {index for index, byte in enumerate(data) if byte}

    assert damaged(1) == damaged(1) != damaged(2)


def test_a_connection_ends_after_exactly_so_many_bytes() -> None:
    with plain() as (proxy, worker, server):
        worker.sendall(b"x" * 1000)
        assert len(receive_all(server, 1000)) == 1000
        fault = proxy.limit_data(100_001, direction="to_server", times=1)
        worker.sendall(b"y" * 100_000)
        assert receive_all(server, 100_000) == b"y" * 100_000
        assert fault.hits == 0
        worker.sendall(b"zz")
        assert receive_all(server) == b"z"
        fault.wait_hit()
        proxy.wait_for(lambda: not proxy.connections, "the connection to end")


def test_a_push_that_is_cut_in_the_middle_never_arrives(ends: Ends) -> None:
    worker = ends.worker()
    fault = ends.proxy.limit_data(50_000, direction="to_server", times=1)
    worker.send_multipart(message("push", 1, bytes(100_000)))
    ends.wait_for_connection(2)
    assert fault.hits == 1
    worker.send_multipart(message("push", 2))
    assert ends.numbers(1) == [2]


# ---- connections -------------------------------------------------------------------------------------------


def test_a_cut_resets_both_ends() -> None:
    with plain() as (proxy, worker, server):
        assert proxy.cut() == 1
        assert_reset(worker)
        assert_reset(server)
        proxy.wait_for(lambda: not proxy.connections, "the connection to end")
        assert proxy.cut() == 0


def test_one_of_two_connections_is_cut(ends: Ends) -> None:
    first, second = ends.worker(), ends.worker()
    cut, kept = ends.proxy.connections
    assert ends.proxy.cut(cut) == 1
    ends.wait_for_connection(3)
    assert [each.number for each in ends.proxy.connections] == [kept.number, 3]
    first.send_multipart(message("push", 1))
    second.send_multipart(message("push", 2))
    assert sorted(ends.numbers(2)) == [1, 2]


def test_connections_are_cut_again_and_again(ends: Ends) -> None:
    worker = ends.worker()
    with ends.proxy.cut_every(0.02) as fault:
        fault.wait_hit(3)
    ends.proxy.wait_for(lambda: ends.proxy.connections, "the worker to come back")
    worker.send_multipart(message("push", 1))
    assert ends.numbers(1) == [1]
    assert ends.proxy.accepted >= 4


def test_nobody_may_connect_and_connections_stay(ends: Ends) -> None:
    worker = ends.worker()
    where = ("127.0.0.1", proxy_port(ends.proxy))
    with ends.proxy.refuse():
        with ends.proxy.refuse(), pytest.raises(ConnectionRefusedError):
            socket.create_connection(where)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where)
        worker.send_multipart(message("push", 1))
        assert ends.numbers(1) == [1]
    with socket.create_connection(where):
        ends.proxy.wait_for(lambda: ends.proxy.accepted == 2, "the newcomer")


def test_heal_stops_every_fault(ends: Ends) -> None:
    worker = ends.worker()
    faults = [ends.proxy.refuse(), ends.proxy.hold("push"), ends.proxy.half_open(), ends.proxy.cut_every(3600)]
    worker.send_multipart(message("push", 1))
    faults[1].wait_hit()
    ends.proxy.heal()
    assert ends.numbers(1) == [1]
    assert not any(fault.on for fault in faults)


def test_a_proxy_ends_whatever_is_on() -> None:
    with plain() as (proxy, worker, _):
        proxy.half_open()
        fault = proxy.delay(3600)
        proxy.cut_every(3600)
        worker.sendall(b"never seen")
        fault.wait_hit()
    fault.stop()  # after the end: nothing
    assert not fault.on
