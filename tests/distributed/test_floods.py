"""Strangers at the port, in numbers: scans, other protocols, frames without end. Training goes on all the same."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from ps_harness import DEADLINE, Learner, all_of, clients, environment, launch_command, peer_of, serving, wait_until

from retrograd.distributed import floods, protocol
from retrograd.distributed.environment import Environment

resource = pytest.importorskip("resource")

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x29\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER\x08Identity" + bytes(4)
"""What ZeroMQ's protocol, version 3.1, begins with: 64 bytes, and one command."""


def connect(address: str) -> socket.socket:
    host, port = address.removeprefix("tcp://").split(":")
    return socket.create_connection((host, int(port)), DEADLINE)


def says(*what: bytes) -> Callable[[socket.socket], None]:
    """Say something, and do not mind if the other hangs up."""

    def act(stranger: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            for each in what:
                stranger.sendall(each)

    return act


def talks(*what: bytes) -> Callable[[socket.socket], None]:
    """The same after a handshake, before whose end ZeroMQ takes nothing else."""

    def act(stranger: socket.socket) -> None:
        says(GREETING, READY)(stranger)
        heard = b""
        while b"READY" not in heard and (more := stranger.recv(1000)):
            heard += more
        assert b"READY" in heard
        says(*what)(stranger)

    return act


STRANGERS = {
    "a port scan": says(),
    "HTTP": says(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "TLS": says(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))),
    "random bytes": says(np.random.default_rng(1).bytes(20_000)),
    "half a greeting": says(GREETING[:11]),
    "an older version": says(b"\xff" + bytes(7) + b"\x01\x7f\x01\x05" + bytes(9)),
    "another socket": says(GREETING, READY.replace(b"DEALER", b"STREAM")),
    "messages that are none": talks(b"\x00\x05hello" * 50),
    "a frame of 2**62 bytes": talks(b"\x02" + struct.pack(">Q", 1 << 62), bytes(1000)),
    "a frame of 1 GiB that never comes": talks(b"\x02" + struct.pack(">Q", 1 << 30), bytes(1000)),
    "a message that does not end": talks(b"\x01\x05hello" * 200),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_strangers_change_nothing(stranger: str) -> None:
    process, held = psutil.Process(), []
    with serving(1) as [server], clients(server) as [client]:
        client.begin(1.0)
        before = process.memory_info().rss
        for number in range(60):
            held.append(connect(server.address))
            STRANGERS[stranger](held[-1])
            if number % 2:
                held.pop().close()
            if number % 20 == 0:
                client.learn(1.0)
        for array in client.learn(1.0):
            np.testing.assert_array_equal(array, 1 - 4 * 0.5)
        assert process.memory_info().rss - before < 64 << 20
        assert server.within(lambda: server.failure) is None
        for each in held:
            each.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much has come over a connection")
@pytest.mark.parametrize("known", [True, False], ids=["a worker", "a stranger"])
def test_who_sends_a_message_that_does_not_end_is_cut_off(
    known: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(floods, "_INTERVAL", 0.05)
    hello = protocol.encode(protocol.Hello("", "worker", 2, 7, 1))[0]
    frame = b"\x03" + struct.pack(">Q", 1 << 20) + bytes(1 << 20)  # one of the same message follows
    with serving(2, on_loss="continue", budget=32 << 20) as [server], clients(server, count=1) as [client]:
        client.begin(1.0)
        with connect(server.address) as flood:
            talks(*([b"\x00" + bytes([len(hello)]) + hello] if known else []))(flood)
            if known:
                wait_until(lambda: server.roster[1].state == "joined", "the flood to join")
            with contextlib.suppress(OSError):
                for _ in range(1 << 8):
                    flood.sendall(frame)
            who = "the connection of worker 1" if known else "a connection"
            wait_until(lambda: f"cut off {who} from 127.0.0.1:" in caplog.text, "it to be said")
        assert "bytes of a message have come that does not end, and 33554432 are the most" in caplog.text
        if known:  # which sees nothing but a reset, and comes again
            with peer_of(server) as peer:
                answer = peer.hello(1, 2, incarnation=7)
            assert isinstance(answer, protocol.Error)
            assert "the server has cut off the connection of worker 1" in answer.text
            assert "Raise --budget" in answer.text
        assert server.failure is None


def test_large_messages_that_end_are_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floods, "_INTERVAL", 0.0)
    large = protocol.Echo((protocol.Slot(0, "uint8", (1 << 20,)),))
    with serving(1, budget=2 << 20) as [server], peer_of(server) as peer:
        for _ in range(8):
            assert isinstance(peer.ask(large, [np.zeros(1 << 20, np.uint8)]), protocol.Echo)


@contextlib.contextmanager
def server_with_few_descriptors(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server whose shell has given it 64 descriptors."""
    few = (
        "import os, sys, resource as r; _, hard = r.getrlimit(r.RLIMIT_NOFILE); "
        "r.setrlimit(r.RLIMIT_NOFILE, (64, hard)); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = launch_command("server", "--world-size", "2", "--snapshots", folder, "--every", "2")
    command = [sys.executable, "-c", few, *command]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as popen:
        try:
            assert popen.stdout is not None
            yield popen.stdout.readline().removeprefix("listening at ").strip(), psutil.Process(popen.pid)
        finally:
            popen.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of another process")
@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 400, reason="the system allows few descriptors")
@pytest.mark.processes
def test_who_holds_many_connections_keeps_nobody_out(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        address, process = stack.enter_context(server_with_few_descriptors(tmp_path))
        strangers = [stack.enter_context(connect(address)) for _ in range(200)]
        wait_until(lambda: process.num_fds() > 200, "all to be let in")
        members = [Learner(Environment(rank, 2, (address,))) for rank in (0, 1)]
        for each in members:
            stack.callback(each.close)
        all_of(*(lambda c=c: c.begin(1.0) for c in members))
        for _ in range(4):
            all_of(*(each.learn for each in members))
        wait_until(lambda: len(list(tmp_path.glob("server-0/*.safetensors"))) >= 2, "a snapshot")
        for each in strangers:
            each.close()
        wait_until(lambda: process.num_fds() < 64, "the connections to be given back")
