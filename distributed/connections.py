"""What the operating system knows of a connection that ZeroMQ has made: how many bytes have passed."""

from __future__ import annotations

import socket as sockets
import struct
import sys
from typing import NamedTuple

__all__ = ["Passed", "cut_off", "passed"]

_COUNTS = struct.Struct("120xQQ")  # `tcpi_bytes_acked` and `tcpi_bytes_received` in Linux's `struct tcp_info`


class Passed(NamedTuple):
    """Bytes that have passed over a connection."""

    sent: int
    """That the other side's system has acknowledged."""
    received: int


def passed(descriptor: int) -> Passed | None:
    """How many bytes have passed over a connection; ``None`` where that is not known, as outside Linux."""
    if sys.platform != "linux":
        return None
    try:
        connection = sockets.socket(fileno=descriptor)
    except OSError:  # it has just been closed
        return None
    try:
        return Passed(*_COUNTS.unpack_from(connection.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, 192)))
    except (OSError, struct.error):
        return None
    finally:
        connection.detach()  # it is ZeroMQ's


def cut_off(descriptor: int) -> str:
    """Have ZeroMQ see the end of a connection; whose it was."""
    try:
        connection = sockets.socket(fileno=descriptor)
    except OSError:
        return "somebody"
    try:
        address = connection.getpeername()
        # So that the other hears of it also where it waits for room to send.
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(sockets.SHUT_RDWR)
    except OSError:
        return "somebody"
    finally:
        connection.detach()
    return f"{address[0]}:{address[1]}"
