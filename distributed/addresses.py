"""Addresses of servers: what is one, and who can reach it.

ZeroMQ takes more than there is: to it port 99999 is 34463, and ``-1`` is 65535. So addresses are looked at before it
sees them.
"""

from __future__ import annotations

import ipaddress
import re

from .errors import DistributedError

__all__ = ["checked", "is_ipv6", "is_local", "names_a_port", "port_of"]

_TCP = re.compile(r"tcp://(?P<host>\[[^\[\]\s]+\]|[^\[\]:;/\s]+):(?P<port>\*|[0-9]{1,5})")


def checked(address: str, *, to_listen: bool = False) -> str:
    """The address, if it is one: ``tcp://HOST:PORT``, or ``ipc://PATH`` on one machine.

    Host and port ``*``, any of them, are only for a server that listens.

    Raises
    ------
    DistributedError
        With what it should look like.

    Examples
    --------
    >>> checked("tcp://10.0.0.5:5555"), checked("tcp://[::1]:*", to_listen=True)
    ('tcp://10.0.0.5:5555', 'tcp://[::1]:*')
    >>> checked("tcp://127.0.0.1:99999")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    retrograd.distributed.errors.DistributedError: 'tcp://127.0.0.1:99999' is no address to connect to: it must look ...
    """
    match = _TCP.fullmatch(address)
    if match is None:
        fits = address.startswith("ipc://") and len(address) > len("ipc://")
    else:
        host, port = match["host"], match["port"]
        least = 0 if to_listen else 1
        fits = (to_listen or "*" not in (host, port)) and (port == "*" or least <= int(port) < 1 << 16)
    if not fits:
        purpose, ports = ("listen at", ", or * for any free one") if to_listen else ("connect to", "")
        raise DistributedError(
            f"{address!r} is no address to {purpose}: it must look like tcp://127.0.0.1:5555, with a port from 1 to "
            f"65535{ports}"
        )
    return address


def names_a_port(address: str) -> bool:
    """Whether only one server of a machine can listen at an address.

    >>> names_a_port("tcp://127.0.0.1:*"), names_a_port("tcp://127.0.0.1:5555"), names_a_port("ipc:///tmp/s")
    (False, True, True)
    """
    match = _TCP.fullmatch(address)
    return match is None or match["port"] not in ("*", "0")


def port_of(address: str) -> int | None:
    """The port of an address, if it has one and it is not to be chosen yet.

    >>> port_of("tcp://127.0.0.1:5555"), port_of("tcp://*:*"), port_of("ipc:///tmp/s")
    (5555, None, None)
    """
    match = _TCP.fullmatch(address)
    return None if match is None or match["port"] in ("*", "0") else int(match["port"])


def is_ipv6(address: str) -> bool:
    """Whether the host is written as an address of IPv6, which ZeroMQ must be told."""
    return address.startswith("tcp://[")


def is_local(address: str) -> bool:
    """Whether only this machine can reach an address.

    >>> [is_local(a) for a in ("tcp://127.0.0.1:*", "tcp://[::1]:5555", "ipc:///tmp/s", "tcp://*:5555")]
    [True, True, True, False]
    """
    match = _TCP.fullmatch(address)
    if match is None:
        return address.startswith("ipc://")
    host = match["host"].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
