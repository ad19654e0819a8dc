"""Keys: who gets in, as whom, what the others are told, and that every failure keeps the door shut.

Channels of the transport, without a server or client behind them. All listen on the loopback interface.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket as sockets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
import zmq
import zmq.auth
from ps_harness import Learner, serving, wait_until

from retrograd.distributed import handshake, security, transport
from retrograd.distributed.environment import Environment
from retrograd.distributed.errors import AddressInUse, DistributedError, Refused
from retrograd.distributed.security import ClientKeys, Keyring, ServerKeys, new_key, new_keys
from retrograd.distributed.sparing import Sparing
from retrograd.distributed.transport import Channel

PROMISED = 5.0  # seconds after which a refused client must know it
GREETING = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00NULL" + bytes(16) + b"\0" + bytes(31)
posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")


@pytest.fixture
def stranger(tmp_path: Path, folder: Path) -> ClientKeys:
    """A worker with a key of its own making, who knows the server's public key."""
    new_key(tmp_path / "elsewhere", "stranger", "worker", "0")
    shutil.copy(folder / "server.key", tmp_path / "elsewhere")
    return ClientKeys.read(tmp_path / "elsewhere", "worker", 0)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes in a keys folder counts at once, and not a second later."""
    monkeypatch.setattr(security, "_LOOK_EVERY", 0.0)


@contextmanager
def listening(keys: Path | None, address: str = "tcp://127.0.0.1:*") -> Iterator[Channel]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    channel = transport.listen(context, address, keys=keys and ServerKeys.read(keys))
    try:
        yield channel
    finally:
        channel.close()
        assert channel.authenticator is None or not channel.authenticator.alive
        context.term()  # hangs when a socket is left


@contextmanager
def connected(address: str, keys: ClientKeys | None) -> Iterator[Channel]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    channel = transport.connect(context, address, keys)
    try:
        yield channel
    finally:
        channel.close()
        context.term()


def outcome(channel: Channel) -> str:
    """Why a client is refused, or "in"; fails when it knows neither in the time that is promised."""
    deadline = time.monotonic() + PROMISED
    while time.monotonic() < deadline:
        if text := channel.refusal():
            return text
        if channel.poll(0.01, to_send=True):
            return "in"
    raise AssertionError("the client hangs")


def knock(address: str, keys: ClientKeys | None) -> str:
    with connected(address, keys) as client:
        return outcome(client)


def worker(folder: Path, rank: int = 0) -> ClientKeys:
    return ClientKeys.read(folder, "worker", rank)


def say(client: Channel, word: bytes, server: Channel) -> None:
    """Send a word, and wait until the server has it."""
    assert outcome(client) == "in"
    client.socket.send_multipart([word])
    assert server.poll(60)
    assert bytes(server.receive()[1]) == word


# ---- who gets in -------------------------------------------------------------------------------------------


def test_a_server_knows_who_sent_a_message(folder: Path) -> None:
    with (
        listening(folder) as server,
        connected(server.address, worker(folder, 0)) as first,
        connected(server.address, worker(folder, 1)) as second,
        connected(server.address, ClientKeys.read(folder, "launcher")) as launcher,
    ):
        for client, name in ((first, "worker-0"), (second, "worker-1"), (launcher, "launcher"), (first, "worker-0")):
            say(client, b"hello", server)
            assert server.user == name
        assert server.authenticator is not None
        assert server.authenticator.alive


def test_answers_come_back(folder: Path) -> None:
    with listening(folder) as server, connected(server.address, worker(folder)) as client:
        assert outcome(client) == "in"
        client.socket.send_multipart([b"question"])
        assert server.poll(60)
        peer, _ = server.receive()
        server.socket.send_multipart([bytes(peer), b"answer"])
        assert client.poll(60)
        assert bytes(client.receive()[0]) == b"answer"
        assert client.refusal() is None


def test_a_client_without_a_key_is_told_to_bring_one(folder: Path) -> None:
    with listening(folder) as server:
        for _ in range(5):  # whether ZeroMQ says so itself is a race
            text = knock(server.address, None)
            assert "lets in only processes with a key" in text
            assert "RETROGRAD_KEYS" in text
        assert not server.poll(0)


def test_a_client_without_a_key_is_told_over_ipc_too(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as short, listening(folder, f"ipc://{short}/s") as server:
        assert "lets in only processes with a key" in knock(server.address, None)
        assert knock(server.address, worker(folder)) == "in"


def test_a_key_that_is_not_on_the_list_is_named(folder: Path, stranger: ClientKeys) -> None:
    with listening(folder) as server:
        text = knock(server.address, stranger)
        assert f"does not know the key 'stranger' of this process ({stranger.key.fingerprint})" in text
        assert "copy stranger.key into the server's keys folder" in text
        assert knock(server.address, worker(folder)) == "in"


def test_a_client_that_expects_another_server_is_told_which(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    new_keys(other, workers=0)
    shutil.copy(folder / "worker-0.key_secret", other)
    keys = worker(other)
    with listening(folder) as server:
        text = knock(server.address, keys)
        assert "another key than the one expected here" in text
        assert f"server.key in {other} ({keys.server.fingerprint})" in text
        assert not server.poll(0)


def test_a_client_with_a_key_does_not_talk_to_a_server_without(folder: Path) -> None:
    with listening(None) as server:
        for _ in range(5):
            text = knock(server.address, worker(folder))
            assert "has no keys" in text
            assert "--keys DIR, or unset RETROGRAD_KEYS" in text
        assert not server.poll(0)


def test_without_keys_all_is_as_before() -> None:
    with listening(None) as server, connected(server.address, None) as client:
        say(client, b"hello", server)
        assert server.user is None
        assert server.authenticator is None


def test_a_refusal_stays(folder: Path, stranger: ClientKeys) -> None:
    with listening(folder) as server, connected(server.address, stranger) as client:
        text = outcome(client)
        shutil.copy(stranger.folder / "stranger.key", folder)
        assert client.refusal() == text
        assert knock(server.address, stranger) == "in"  # a new connection is another matter


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"\x01\x00", id="ZMTP 1"),
        pytest.param(b"\xff" + bytes(7) + b"\x01\x7f\x01\x05", id="ZMTP 2"),
        pytest.param(GREETING, id="ZMTP 3 NULL"),
    ],
)
def test_no_old_or_unkeyed_peer_gets_a_message_in(folder: Path, greeting: bytes) -> None:
    with listening(folder) as server:
        with raw(server.address) as peer, contextlib.suppress(ConnectionError):
            peer.sendall(greeting)
            for _ in range(50):
                peer.sendall(b"\x00\x00" + b"\x00\x05hello" * 10)
            while peer.recv(1000):  # until the server has hung up
                pass
        assert not server.poll(0)


def test_a_name_that_a_peer_gives_itself_is_not_believed() -> None:
    ready = b"\x05READY" + property_of(b"Socket-Type", b"DEALER") + property_of(b"User-Id", b"worker-0")
    with listening(None) as server, raw(server.address) as peer:
        peer.sendall(GREETING + b"\x04" + bytes([len(ready)]) + ready)
        answer = b""
        while b"READY" not in answer:  # no message may come before that
            answer += peer.recv(1000)
        peer.sendall(b"\x00\x05hello")
        assert server.poll(60)
        parts = server.socket.recv_multipart(copy=False)
        assert handshake.user_of(parts[0]) == "worker-0"  # what ZeroMQ passes on
        peer.sendall(b"\x00\x05hello")
        assert server.poll(60)
        server.receive()
        assert server.user is None


def test_a_peer_with_a_key_cannot_take_another_name(folder: Path) -> None:
    with listening(folder) as server, connected(server.address, worker(folder)) as client:
        with contextlib.suppress(zmq.ZMQError):  # where libzmq knows the option
            client.socket.setsockopt(zmq.METADATA, b"User-Id:worker-1")
        say(client, b"hello", server)
        assert server.user == "worker-0"


def test_the_server_s_own_copy_says_what_a_key_is_for(folder: Path) -> None:
    secret = folder / "worker-0.key_secret"
    secret.write_text(secret.read_text().replace('ranks = "0"', 'ranks = "*"'))
    with listening(folder) as server, connected(server.address, worker(folder)) as client:
        say(client, b"hello", server)
        with pytest.raises(Refused, match="for ranks 0"):
            Keyring(folder).allows(server.user, "worker", 1)


def test_with_another_workers_key_one_is_not_let_in_as_this_worker(folder: Path) -> None:
    with serving(2, keys=folder) as [server]:
        mine = folder / "worker-1.key_secret"
        mine.write_text(mine.read_text().replace('ranks = "1"', 'ranks = "0-1"'))  # which only its owner believes
        began = time.monotonic()
        with pytest.raises(Refused, match="'worker-1' is for ranks 1"):
            Learner(Environment(0, 2, (server.address,), keys=str(mine)))
        assert time.monotonic() - began < PROMISED
        assert server.within(lambda: server.roster[0].state) == "expected"


def raw(address: str) -> sockets.socket:
    return sockets.create_connection(("127.0.0.1", port_of(address)), 60)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def property_of(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value


# ---- the list while a server runs --------------------------------------------------------------------------


def test_keys_come_and_go_without_a_restart(folder: Path, stranger: ClientKeys) -> None:
    with listening(folder) as server:
        assert "does not know the key" in knock(server.address, stranger)
        shutil.copy(stranger.folder / "stranger.key", folder / "stranger.key")
        assert knock(server.address, stranger) == "in"
        (folder / "stranger.key").unlink()
        wait_until(lambda: knock(server.address, stranger) != "in", "the key to be forgotten")
        assert "does not know the key" in knock(server.address, stranger)


def test_a_changed_file_counts(folder: Path) -> None:
    keyring, public = Keyring(folder), folder / "worker-0.key"
    keyring.allows("worker-0", "worker", 0)

    def refused(rank: int) -> str:
        try:
            keyring.allows("worker-0", "worker", rank)
        except Refused as error:
            return str(error)
        return ""

    public.write_text(public.read_text().replace('ranks = "0"', 'ranks = "5"'))
    wait_until(lambda: not refused(5), "the new ranks")
    assert "for ranks 5" in refused(0)
    public.unlink()
    assert "not on the server's list" in wait_until(lambda: refused(5), "the key to be forgotten")


def test_many_connections_are_not_as_many_looks_at_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    look = Keyring._stamps
    monkeypatch.setattr(Keyring, "_stamps", lambda keyring: looks.append(1) or look(keyring))
    keyring, keys = Keyring(folder), worker(folder)
    monkeypatch.setattr(security, "_LOOK_EVERY", 1e9)
    looks.clear()
    for _ in range(100):
        assert keyring.find(keys.key.public)
    assert looks == []
    assert keyring.find(bytes(32)) is None
    assert looks == [1]


@pytest.mark.usefixtures("at_once")
def test_a_broken_file_lets_nobody_in_and_stops_nobody(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = worker(folder, 1)
    with listening(folder) as server:
        (folder / "worker-1.key").write_text("half a fi")
        assert "does not know the key" in knock(server.address, keys)
        os.symlink("nowhere", folder / "dangling.key")
        assert knock(server.address, worker_key(folder, "worker-0")) == "in"
    warnings = [record.message for record in caplog.records if "worker-1.key is no key file" in record.message]
    assert warnings


@pytest.mark.usefixtures("at_once")
def test_one_key_with_two_names_is_nobody_s(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    keyring = Keyring(folder)
    public = next(key for key in keyring if key.name == "worker-0").public
    assert keyring.find(public)
    shutil.copy(folder / "worker-0.key", folder / "twin.key")
    assert keyring.find(public) is None
    assert "twin, worker-0" in caplog.text
    with pytest.raises(DistributedError, match=r"twin, worker-0 .* are one key"):
        Keyring(folder)


@pytest.mark.usefixtures("at_once")
def test_without_its_folder_a_server_lets_nobody_in(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys, away = worker(folder), folder.with_name("away")
    with listening(folder) as server:
        folder.rename(away)
        assert "its keys folder cannot be read" in knock(server.address, keys)
        away.rename(folder)
        assert knock(server.address, keys) == "in"
    assert "nobody gets in" in caplog.text
    keyring = Keyring(folder)
    folder.rename(away)
    with pytest.raises(Refused, match="cannot read its list of keys"):
        keyring.allows("worker-0", "worker", 0)


def test_strangers_do_not_fill_the_log(
    folder: Path, stranger: ClientKeys, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "Sparing", partial(Sparing, most=2))
    with listening(folder) as server, caplog.at_level(logging.WARNING):
        for _ in range(4):
            knock(server.address, stranger)
    refused = [record.message for record in caplog.records if "refused a connection" in record.message]
    assert len(refused) == 2
    assert stranger.key.fingerprint in refused[0]
    assert "127.0.0.1" in refused[0]


def worker_key(folder: Path, name: str) -> ClientKeys:
    """A key and the server's, read from a copy of the folder in which nothing else is."""
    copy = folder.with_name("only-" + name)
    copy.mkdir(mode=0o700)
    shutil.copy(folder / "server.key", copy)
    shutil.copy(folder / f"{name}.key_secret", copy)
    return ClientKeys.read(copy / f"{name}.key_secret", "worker", int(name[-1]))


# ---- the authenticator dies --------------------------------------------------------------------------------


def test_when_the_authenticator_has_ended_nobody_new_gets_in(folder: Path) -> None:
    with listening(folder) as server, connected(server.address, worker(folder, 0)) as inside:
        say(inside, b"before", server)
        assert server.authenticator is not None
        server.authenticator.close()
        assert not server.authenticator.alive
        text = knock(server.address, worker(folder, 1))
        assert "authenticator has died" in text
        assert not server.poll(0)
        say(inside, b"after", server)  # who was in stays in
        assert server.user == "worker-0"


@pytest.mark.parametrize("last_words", [SystemExit, KeyboardInterrupt, MemoryError])
def test_an_authenticator_that_dies_over_a_question_lets_nobody_in(
    folder: Path,
    last_words: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def die(self: Keyring, public: bytes) -> None:
        raise last_words

    monkeypatch.setattr(handshake, "_HANDSHAKE_MS", 300)
    monkeypatch.setattr(Keyring, "find", die)
    with listening(folder) as server:
        text = knock(server.address, worker(folder))
        assert server.authenticator is not None
        if last_words is MemoryError:  # an Exception: this question is answered with no, the next one as well
            assert "could not check the key" in text
            assert server.authenticator.alive
        else:
            assert "authenticator has died" in text
            assert not server.authenticator.alive
            assert "the authenticator has died" in caplog.text
        assert not server.poll(0)


def test_one_server_in_a_context(folder: Path) -> None:
    keys = ServerKeys.read(folder)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    first = transport.listen(context, "tcp://127.0.0.1:*", keys=keys)
    with pytest.raises(DistributedError, match="one server with keys in a ZeroMQ context"):
        transport.listen(context, "tcp://127.0.0.1:*", keys=keys)
    assert knock(first.address, worker(folder)) == "in"
    first.close()
    context.term()


# ---- nothing is left ---------------------------------------------------------------------------------------


def test_nothing_is_left(folder: Path, stranger: ClientKeys) -> None:
    def run() -> None:
        with listening(folder) as server:
            for keys in (worker(folder), stranger, None):
                knock(server.address, keys)

    run()  # what is made once in a process
    threads, files = set(threading.enumerate()), psutil.Process().num_fds()
    for _ in range(3):
        run()
    assert set(threading.enumerate()) <= threads
    wait_until(lambda: psutil.Process().num_fds() <= files, "files to be closed")


def test_the_end_of_the_context_ends_the_authenticator(folder: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    channel = transport.listen(context, "tcp://127.0.0.1:*", keys=ServerKeys.read(folder))
    context.destroy(linger=0)
    assert channel.authenticator is not None
    wait_until(lambda: not channel.authenticator.alive, "the authenticator to end")


def test_a_failed_bind_leaves_nothing(folder: Path) -> None:
    keys, threads = ServerKeys.read(folder), set(threading.enumerate())
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with listening(None) as other, pytest.raises(AddressInUse):
        transport.listen(context, other.address, keys=keys)
    assert set(threading.enumerate()) <= threads
    context.term()


def test_a_failed_connect_leaves_nothing(folder: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with pytest.raises(DistributedError, match="no address to connect to"):
        transport.connect(context, "127.0.0.1:1", worker(folder))
    context.term()


# ---- what is no refusal ------------------------------------------------------------------------------------


def test_nobody_there_is_no_refusal(folder: Path) -> None:
    with listening(None) as server:
        address = server.address
    for keys in (None, worker(folder)):
        with connected(address, keys) as client:
            assert not client.poll(0.5, to_send=True)
            assert client.refusal() is None


def test_a_port_that_hangs_up_is_no_refusal(folder: Path) -> None:
    """As a tunnel does whose other end is not there yet: the server may still come."""
    calls: list[int] = []
    with hanging_up(calls) as address:
        for keys in (None, worker(folder)):
            with connected(address, keys) as client:
                seen = len(calls)
                wait_until(lambda c=client, n=seen: c.refusal() is not None or len(calls) > n + 10, "ten attempts")
                assert client.refusal() is None


def test_a_client_that_does_not_look_goes_on_trying() -> None:
    """libzmq stops all connections of a context when nobody reads what it tells of one, unless told otherwise."""
    calls: list[int] = []
    with hanging_up(calls) as address, connected(address, None) as client:
        client.socket.setsockopt(zmq.RECONNECT_IVL, 1)
        client.socket.disconnect(address)
        client.socket.connect(address)
        wait_until(lambda: len(calls) > 1500, "1500 attempts")


def test_a_connection_that_damaged_bytes_have_ended_is_made_again(folder: Path) -> None:
    """ZeroMQ itself never connects again after a protocol error, and says that it can be written to."""
    for keys in (None, folder):
        with (
            listening(keys) as server,
            relay(port_of(server.address)) as (address, damage),
            connected(address, keys and worker(keys)) as client,
        ):
            say(client, b"before", server)
            damage()

            def arrives(word: bytes, server: Channel = server, client: Channel = client) -> bool:
                assert client.refusal() is None
                with contextlib.suppress(zmq.Again):
                    client.socket.send_multipart([word], zmq.NOBLOCK)
                return server.poll(0.05)

            wait_until(lambda: arrives(b"after"), "the new connection")


def test_what_passes_is_encrypted(folder: Path) -> None:
    for keys in (None, folder):
        seen = bytearray()
        with (
            listening(keys) as server,
            relay(port_of(server.address), seen) as (address, _),
            connected(address, keys and worker(keys)) as client,
        ):
            say(client, b"the weights of the model", server)
        assert (b"the weights" in seen) == (keys is None)


@contextmanager
def accepting(serve: Callable[[sockets.socket], None]) -> Iterator[str]:
    """A TCP port whose connections are given to `serve`, one after the other."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def run() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    serve(listener.accept()[0])

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            sockets.create_connection(listener.getsockname()).close()
            thread.join()


@contextmanager
def hanging_up(calls: list[int]) -> Iterator[str]:
    def serve(connection: sockets.socket) -> None:
        calls.append(1)
        connection.close()

    with accepting(serve) as address:
        yield address


@contextmanager
def relay(port: int, seen: bytearray | None = None) -> Iterator[tuple[str, Callable[[], None]]]:
    """A TCP relay to a port, and a function that sends damaged bytes to whoever has connected last."""
    open_sockets: list[sockets.socket] = []
    pumps: list[threading.Thread] = []

    def pump(source: sockets.socket, sink: sockets.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if seen is not None:
                    seen.extend(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(sockets.SHUT_RDWR)

    def serve(client: sockets.socket) -> None:
        server = sockets.create_connection(("127.0.0.1", port))
        open_sockets.extend((server, client))
        for pair in ((client, server), (server, client)):
            pumps.append(threading.Thread(target=pump, args=pair))
            pumps[-1].start()

    try:
        with accepting(serve) as address:
            yield address, lambda: open_sockets[-1].sendall(b"\xff" * 64)
    finally:
        for end in open_sockets:
            with contextlib.suppress(OSError):
                end.shutdown(sockets.SHUT_RDWR)
        for thread in pumps:
            thread.join()
        for end in open_sockets:
            end.close()
