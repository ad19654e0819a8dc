"""Hosts out of namespaces: they reach each other, and nobody else; what is cut is cut; nothing is left of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psutil
import pytest
import zmq
from faults.namespaces import Host, Network, available, hosts

DEADLINE = 60.0  # seconds; only a test that is about to fail comes near it
PORT = 9000


class Broken(Exception):
    """A test that goes wrong."""


pytestmark = pytest.mark.processes


@pytest.fixture
def net() -> Iterator[Network]:
    if reason := available():
        pytest.skip(reason)
    with hosts(3) as network:
        yield network


def mailbox(host: Host) -> socket.socket:
    """A socket for datagrams on a host."""
    with host.entered():
        box = socket.socket(type=socket.SOCK_DGRAM)
    box.bind((host.address, PORT))
    box.settimeout(DEADLINE)
    return box


@contextmanager
def mailboxes(network: Network) -> Iterator[dict[str, socket.socket]]:
    """One for each host, by its address."""
    with ExitStack() as stack:
        yield {host.address: stack.enter_context(closing(mailbox(host))) for host in network.hosts}


@contextmanager
def connection(server: Host, client: Host) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection."""
    with server.entered():
        listener = socket.create_server((server.address, PORT))
    with client.entered():
        there = socket.create_connection((server.address, PORT), DEADLINE)
    here, _ = listener.accept()
    here.settimeout(DEADLINE)
    with listener, here, there:
        yield here, there


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


# ---- reach -------------------------------------------------------------------------------------------------


def test_every_host_reaches_every_other(net: Network) -> None:
    assert [host.address for host in net.hosts] == ["10.77.0.1", "10.77.0.2", "10.77.0.3"]
    with mailboxes(net) as boxes:
        for source in boxes:
            for target in boxes:
                boxes[source].sendto(source.encode(), (target, PORT))
                assert boxes[target].recvfrom(100) == (source.encode(), (source, PORT))


def test_networks_do_not_see_each_other_nor_the_machine_them(net: Network) -> None:
    first = net.hosts[0]
    with hosts(1) as other, closing(mailbox(first)) as ours, closing(mailbox(other.hosts[0])) as theirs:
        theirs.sendto(b"to myself", (first.address, PORT))  # the same address, and another host
        assert theirs.recv(100) == b"to myself"
        ours.sendto(b"to myself, too", (first.address, PORT))
        assert ours.recv(100) == b"to myself, too"
    with pytest.raises(OSError, match="assign requested address"), socket.socket() as outside:
        outside.bind((first.address, PORT))


def test_a_program_runs_on_a_host_with_its_environment(net: Network) -> None:
    code = "import os, socket; s = socket.socket(); s.bind((os.environ['WHERE'], 0)); print(s.getsockname()[0])"
    host = net.hosts[1]
    env = {**os.environ, "WHERE": host.address}
    process = host.run([sys.executable, "-c", code], env, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (0, f"{host.address}\n")


def test_a_zeromq_context_that_is_made_on_a_host_stays_there(net: Network) -> None:
    server, client, _ = net.hosts
    address = f"tcp://{server.address}:{PORT}"
    with server.entered():
        ours: zmq.Context[Any] = zmq.Context()
        router = ours.socket(zmq.ROUTER)
        router.bind(address)
    with client.entered():
        theirs: zmq.Context[Any] = zmq.Context()
        dealer = theirs.socket(zmq.DEALER)
    try:
        for end in (router, dealer):
            end.setsockopt(zmq.RCVTIMEO, round(DEADLINE * 1000))
        dealer.connect(address)
        dealer.send(b"push")
        peer, text = router.recv_multipart()
        router.send_multipart([peer, text + b"ed"])
        assert dealer.recv() == b"pushed"
    finally:
        ours.destroy(linger=0)
        theirs.destroy(linger=0)


def test_a_thread_comes_home(net: Network) -> None:
    home = os.stat("/proc/thread-self/ns/net").st_ino
    with pytest.raises(Broken) as caught, net.hosts[0].entered():
        raise Broken(os.stat("/proc/thread-self/ns/net").st_ino)
    assert caught.value.args[0] != home
    assert os.stat("/proc/thread-self/ns/net").st_ino == home


# ---- faults ------------------------------------------------------------------------------------------------


def test_a_partition_loses_what_passes_between_two_hosts_and_nothing_else(net: Network) -> None:
    first, second, third = net.hosts
    with mailboxes(net) as boxes:
        net.partition(first, second)
        boxes[first.address].sendto(b"lost", (second.address, PORT))
        boxes[second.address].sendto(b"lost", (first.address, PORT))
        for host in (first, second):
            boxes[host.address].sendto(b"passes", (third.address, PORT))
            assert boxes[third.address].recv(100) == b"passes"
            boxes[third.address].sendto(b"passes back", (host.address, PORT))
            assert boxes[host.address].recv(100) == b"passes back"
        net.heal()
        for source, target in ((first, second), (second, first)):
            boxes[source.address].sendto(b"healed", (target.address, PORT))
            assert boxes[target.address].recv(100) == b"healed"


def test_a_partition_can_be_one_way(net: Network) -> None:
    first, second, _ = net.hosts
    with mailboxes(net) as boxes:
        net.partition(first, second, one_way=True)
        boxes[first.address].sendto(b"lost", (second.address, PORT))
        boxes[second.address].sendto(b"passes", (first.address, PORT))
        assert boxes[first.address].recv(100) == b"passes"
        net.heal()
        boxes[first.address].sendto(b"healed", (second.address, PORT))
        assert boxes[second.address].recv(100) == b"healed"


def test_one_host_against_all_others(net: Network) -> None:
    first, second, third = net.hosts
    with mailboxes(net) as boxes:
        net.partition(first)
        boxes[first.address].sendto(b"lost", (second.address, PORT))
        boxes[third.address].sendto(b"lost", (first.address, PORT))
        boxes[second.address].sendto(b"passes", (third.address, PORT))
        assert boxes[third.address].recv(100) == b"passes"
        net.heal()
        boxes[first.address].sendto(b"healed", (second.address, PORT))
        assert boxes[second.address].recv(100) == b"healed"
        boxes[third.address].sendto(b"healed", (first.address, PORT))
        assert boxes[first.address].recv(100) == b"healed"


@pytest.mark.parametrize("how", ["partition", "unplug"])
def test_a_connection_survives_a_time_without_a_network(net: Network, how: str) -> None:
    server, client, _ = net.hosts
    with connection(server, client) as (here, there):
        there.sendall(b"before")
        assert here.recv(100) == b"before"
        if how == "partition":
            net.partition(server, client)
        else:
            net.unplug(server)
        there.sendall(b"meanwhile")
        here.setblocking(False)
        with pytest.raises(BlockingIOError):
            here.recv(100)
        here.settimeout(DEADLINE)
        if how == "partition":
            net.heal()
        else:
            net.plug(server)
        assert here.recv(100) == b"meanwhile"


@pytest.mark.parametrize("upload", [False, True])
def test_a_limit_holds_in_both_directions_and_can_be_lifted(net: Network, upload: bool) -> None:
    server, client, _ = net.hosts
    size = 500_000
    net.limit(client, "20mbit")
    with connection(server, client) as (here, there):
        source, target = (there, here) if upload else (here, there)
        began = time.monotonic()
        sender = threading.Thread(target=source.sendall, args=(bytes(size),))
        sender.start()
        received = 0
        while received < size:
            received += len(target.recv(65_536))
        sender.join()
        # A bucket of 32 KiB may pass at once.
        assert time.monotonic() - began >= (size - 32_768) / 2_500_000
    net.limit(client, None)
    for namespace in (client.namespace, net.switch):
        shown = subprocess.run(["tc", "-n", namespace, "qdisc"], capture_output=True, text=True, check=True).stdout
        assert "tbf" not in shown


# ---- nothing is left ---------------------------------------------------------------------------------------


def test_after_an_error_nothing_is_left(net: Network) -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '3600']); print(p.pid, flush=True); p.wait()"
    names: list[str] = []
    processes: list[psutil.Process] = []

    def break_off() -> None:
        with hosts(2) as doomed:
            names.extend([doomed.switch, *(host.namespace for host in doomed.hosts)])
            child = doomed.hosts[0].run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
            assert child.stdout is not None
            processes.extend(map(psutil.Process, (child.pid, int(child.stdout.readline()))))
            assert all(name in namespaces() for name in names)
            raise Broken

    with pytest.raises(Broken):
        break_off()
    # A grandchild is whoever's adopts it to bury.
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert not any(name in namespaces() for name in names)
    assert net.switch in namespaces()


def test_what_a_killed_test_has_left_is_removed(net: Network) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = f"retrograd-{dead.pid}-abcdef-host1"
    subprocess.run(["ip", "netns", "add", left], check=True)
    with hosts(1):
        assert left not in namespaces()
    assert net.switch in namespaces()


def test_it_says_why_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = available.__wrapped__
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert probe() == "network namespaces need root"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    assert probe() == "network namespaces need the program ip (iproute2)"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert probe() == "network namespaces are Linux's"
