"""Several hosts on one machine: Linux network namespaces around a bridge, whose cables can be pulled and narrowed.

::

    with hosts(3) as net:
        first, second, third = net.hosts
        server = first.run([sys.executable, "server.py", "--bind", f"tcp://{first.address}:5555"], env)
        net.limit(second, "20mbit")
        net.partition(first, third)
        net.heal()

Needs root; `available` says why not, if it does not work here. The hosts see nothing but each other, so any number of
such networks may exist at a time. When the block ends, the processes of the hosts are killed and all is taken away.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .waiting import wait_until

_NAMES = re.compile(r"retrograd-(\d+)-")  # the process that made it
_NOWHERE = "02:ff:ff:ff:ff:ff"  # a hardware address that nobody has: what is sent there is lost
_CLONE_NEWNET = 0x40000000


class CommandFailed(RuntimeError):
    """`ip` or `tc` does not do what it should."""


@dataclass
class Host:
    """A host of its own, as far as the network goes; it shares files and processes with the machine."""

    namespace: str
    address: str
    port: str
    """Its end of the cable in the switch's namespace."""
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)

    def run(
        self, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a program on the host; `options` are those of `subprocess.Popen`."""
        command = ["ip", "netns", "exec", self.namespace, *map(str, argv)]
        process = subprocess.Popen(command, env=env, **options)
        self.processes.append(process)
        return process

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread be on the host while the block runs.

        Sockets and threads that are made in it stay on the host for good. So does a ZeroMQ context, which makes its
        threads with its first socket; a socket of it that binds must do so in here, since that is done at once.
        """
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.namespace}", "rb") as there:
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(home.fileno())

    def end_processes(self) -> None:
        """Kill what runs on the host, and what that has started."""
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self._pids(), f"the processes on {self.namespace} to end")

    def _pids(self) -> list[int]:
        # This process is not to be killed, should it be on the host by mistake.
        return [int(pid) for pid in _ip("netns", "pids", self.namespace).split() if int(pid) != os.getpid()]


@dataclass
class Network:
    """Hosts around a switch."""

    hosts: tuple[Host, ...]
    switch: str

    def partition(self, a: Host, b: Host | None = None, *, one_way: bool = False) -> None:
        """Lose what `a` and `b` send to each other, or what `a` sends to `b`; without `b`, `a` and everyone.

        Neither side is told: connections stay, and what TCP keeps sending arrives after `heal`.
        """
        for other in self.hosts if b is None else (b,):
            if other is not a:
                self._misdirect(a, other)
                if not one_way:
                    self._misdirect(other, a)

    def heal(self) -> None:
        """Let everyone reach everyone again."""
        for host in self.hosts:
            for other in self.hosts:
                with suppress(CommandFailed):  # it has never been misdirected
                    _ip("-n", host.namespace, "neigh", "del", other.address, "dev", "eth0")

    def limit(self, host: Host, rate: str | None) -> None:
        """Narrow a host's cable in each direction to a rate, as ``20mbit``; ``None`` is as fast as can be."""
        for namespace, device in ((host.namespace, "eth0"), (self.switch, host.port)):
            command = ["tc", "-n", namespace, "qdisc"]
            with suppress(CommandFailed):  # there was no limit
                _run(*command, "del", "dev", device, "root")
            if rate is not None:
                shape = ("tbf", "rate", rate, "burst", "32kb", "latency", "400ms")
                _run(*command, "add", "dev", device, "root", *shape)

    def unplug(self, host: Host) -> None:
        """Pull a host's cable; the host sees that."""
        _ip("-n", self.switch, "link", "set", host.port, "down")

    def plug(self, host: Host) -> None:
        """Put it in again."""
        _ip("-n", self.switch, "link", "set", host.port, "up")

    def _misdirect(self, source: Host, target: Host) -> None:
        entry = (target.address, "lladdr", _NOWHERE, "dev", "eth0", "nud", "permanent")
        _ip("-n", source.namespace, "neigh", "replace", *entry)


@contextmanager
def hosts(count: int) -> Iterator[Network]:
    """A network of so many hosts, with addresses 10.77.0.1, 10.77.0.2 and so on."""
    _remove_what_the_dead_have_left()
    prefix = f"retrograd-{os.getpid()}-{secrets.token_hex(3)}"
    with ExitStack() as cleanup:
        switch = _namespace(cleanup, f"{prefix}-switch")
        _ip("-n", switch, "link", "add", "bridge", "up", "type", "bridge")
        made = [_host(cleanup, f"{prefix}-host{number}", switch, number) for number in range(1, count + 1)]
        yield Network(tuple(made), switch)


@functools.cache
def available() -> str | None:
    """Why there can be no namespaces here; ``None`` if there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [tool for tool in ("ip", "tc") if shutil.which(tool) is None]:
        return f"network namespaces need the program {missing[0]} (iproute2)"
    try:
        with hosts(1) as net:
            net.limit(net.hosts[0], "1mbit")
            with net.hosts[0].entered():
                pass
    except (CommandFailed, OSError) as error:
        return f"network namespaces do not work here: {error}"
    return None


def _namespace(cleanup: ExitStack, name: str) -> str:
    _ip("netns", "add", name)
    cleanup.callback(_ip, "netns", "delete", name)
    _ip("-n", name, "link", "set", "lo", "up")
    return name


def _host(cleanup: ExitStack, name: str, switch: str, number: int) -> Host:
    _namespace(cleanup, name)
    host = Host(name, f"10.77.0.{number}", f"port{number}")
    cleanup.callback(host.end_processes)
    peer = ("peer", "name", host.port, "netns", switch)
    _ip("link", "add", "eth0", "netns", name, "type", "veth", *peer)
    _ip("-n", switch, "link", "set", host.port, "master", "bridge", "up")
    _ip("-n", name, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    return host


def _remove_what_the_dead_have_left() -> None:
    for name in re.findall(r"^\S+", _ip("netns", "list"), re.MULTILINE):
        if (match := _NAMES.match(name)) and not psutil.pid_exists(int(match[1])):
            with suppress(CommandFailed):  # somebody else does the same
                _ip("netns", "delete", name)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter a network namespace: {os.strerror(number)}")


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
