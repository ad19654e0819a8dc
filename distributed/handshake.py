"""What happens when a connection is made: the server checks the key, the client learns why it is refused.

ZeroMQ does the cryptography (CurveZMQ), and asks the server's :class:`Authenticator` whether a key may
come in. To a client a refusal looks like a server that is not there yet; :class:`Handshakes` watches what
becomes of its connections and says in words what is wrong.

Notes
-----
Note [Nobody decides: nobody gets in]
    libzmq lets *everyone* in, encrypted and unknown, when a server has keys and a ZAP domain but no handler
    answers at ``inproc://zeromq.zap.01``; and it does not ask at all without a domain. Hence
    ``ZAP_ENFORCE_DOMAIN``, which turns the first into a refusal, and a domain on every socket with keys.

Note [The name comes from the handler]
    A peer may send any metadata with its handshake, "User-Id" as well. Without a handler that one is all
    there is, so a channel without keys has no user, whatever the frames say; with one, libzmq keeps the
    handler's.

References
----------
https://rfc.zeromq.org/spec/26/ (CurveZMQ), https://rfc.zeromq.org/spec/27/ (ZAP),
https://rfc.zeromq.org/spec/23/ (the greeting)
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import socket as sockets
import threading
import time
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import zmq
from zmq.utils.monitor import recv_monitor_message

from .connections import Passed, passed
from .errors import DistributedError
from .security import ClientKeys, Key, Keyring, ServerKeys
from .sparing import Sparing

__all__ = ["Authenticator", "Handshakes", "guard_client", "guard_server", "user_of"]

log = logging.getLogger("retrograd.distributed.security")

_ZAP_ADDRESS = "inproc://zeromq.zap.01"  # fixed by RFC 27: one handler in a context
_ZAP_DOMAIN = b"retrograd"
_HANDSHAKE_MS = 3000  # a handler that dies over a request leaves the client hanging for so long
_TICK_MS = 100  # between looks at whether to stop

_serial = itertools.count()


# ---- a server's side ---------------------------------------------------------------------------------------


def guard_server(socket: zmq.Socket[bytes], keys: ServerKeys) -> None:
    """Make a socket that is not bound yet take only connections that the context's authenticator lets in."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    # See Note [Nobody decides: nobody gets in].
    socket.setsockopt(zmq.ZAP_DOMAIN, _ZAP_DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)


def user_of(frame: zmq.Frame) -> str | None:
    """The name of the key that a received frame's connection was authenticated with."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:  # no such property
        return None


class Authenticator:
    """A thread that answers ZeroMQ's question: may this key come in?

    It answers from `start` to `close`, for all sockets of a context. When it has ended, for whatever
    reason, nobody new gets in; connections that exist stay.

    Raises
    ------
    DistributedError
        When the context has one already: ZeroMQ asks at an address that only one can have.
    """

    def __init__(self, context: zmq.Context[Any], keyring: Keyring) -> None:
        self._keyring = keyring
        self._log = Sparing(log)  # a stranger who knocks all day must not fill it
        self._stop = threading.Event()
        # Not `context.socket`: `Context.destroy` closes what that made, from a thread that must not. The
        # end of the context wakes our thread, which then closes the socket itself.
        self._socket: zmq.Socket[bytes] = zmq.Socket(context, zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(_ZAP_ADDRESS)
        except zmq.ZMQError:
            self._socket.close()
            raise DistributedError("one server with keys in a ZeroMQ context: give each its own context") from None
        self._thread = threading.Thread(target=self._run, name="retrograd-authenticator", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self._socket.poll(_TICK_MS):
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        except zmq.ContextTerminated:
            pass
        except BaseException:
            log.critical(
                "the authenticator has died, so nobody can connect any more: restart the server", exc_info=True
            )
        finally:
            self._socket.close()

    def _answer(self, question: list[bytes]) -> list[bytes]:
        version, request, domain, address, _, mechanism, *credentials = question
        if (version, domain, mechanism, len(credentials)) != (b"1.0", _ZAP_DOMAIN, b"CURVE", 1):
            return [version, request, b"400", b"only CURVE, and only here", b"", b""]
        try:
            key = self._keyring.find(credentials[0])
        except Exception:
            # The folder is gone, or not readable, or this has a fault: whatever it is, it opens no door.
            log.exception("the keys folder cannot be read, so nobody gets in")
            return [version, request, b"500", b"the server cannot read its keys", b"", b""]
        if key is None:
            self._log_refusal(address.decode(errors="replace"), credentials[0])
            return [version, request, b"400", b"the key is not on the list", b"", b""]
        return [version, request, b"200", b"", key.name.encode(), b""]

    def _log_refusal(self, address: str, public: bytes) -> None:
        fingerprint = Key("", "worker", "", public).fingerprint
        text = "refused a connection from %s: its key %s is not in %s"
        self._log(logging.WARNING, text, address, fingerprint, self._keyring.folder)


# ---- a client's side ---------------------------------------------------------------------------------------


def guard_client(socket: zmq.Socket[bytes], keys: ClientKeys) -> None:
    """Make a socket that is not connected yet show its key, and talk only to the server whose key it has."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server.public)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.key.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)


Mechanism: TypeAlias = Literal["NULL", "CURVE"]

# Handshakes in a row that must fail without a reason given before somebody is asked for one.
_UNEXPLAINED = 3
_RETRY_GRACE = 0.25  # seconds within which libzmq says that it will connect again, if it will
_GREETING_TIMEOUT = 1.0


class Handshakes:
    """What becomes of a client's connections.

    Belongs to the thread of the socket. Costs nothing while a connection stands.
    """

    _EVENTS = (
        zmq.EVENT_CONNECTED
        | zmq.EVENT_HANDSHAKE_SUCCEEDED
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        | zmq.EVENT_DISCONNECTED
        | zmq.EVENT_CONNECT_RETRIED
    )

    def __init__(self, socket: zmq.Socket[bytes], address: str, keys: ClientKeys | None) -> None:
        self._socket, self._address, self._keys = socket, address, keys
        self._refusal: str | None = None
        self._failed = 0  # handshakes in a row
        self._disconnected: float | None = None
        self._refused_since: float | None = None
        self._descriptor: int | None = None
        endpoint = f"inproc://retrograd.handshakes.{next(_serial)}"
        socket.monitor(endpoint, self._EVENTS)
        self._events: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
        # libzmq waits, with a lock held, while this queue is full: it must never be.
        self._events.setsockopt(zmq.RCVHWM, 0)
        self._events.setsockopt(zmq.LINGER, 0)
        self._events.connect(endpoint)

    def refusal(self, patience: float = 0.0) -> str | None:
        """Why the server does not let this client in, and what to do; ``None`` while it may still.

        With `patience` for that many seconds: one that was let in before may have had its bytes damaged.
        """
        if self._refusal is None:
            self._read()
        if self._refusal is None and self._failed >= _UNEXPLAINED:
            self._refusal = self._explain()
            self._failed = 0
        if self._refusal is not None:
            now = time.monotonic()
            self._refused_since = self._refused_since or now
            if now - self._refused_since < patience:
                self._refusal, self._disconnected = None, now - _RETRY_GRACE  # so that it is tried again
        return self._refusal

    def given_up(self) -> bool:
        """Whether libzmq has lost the connection and will not make another, as after damaged bytes."""
        if self._disconnected is None or time.monotonic() - self._disconnected < _RETRY_GRACE:
            return False
        self._disconnected = None
        return True

    def passed(self) -> Passed | None:
        """How many bytes have passed over the present connection, as far as events were read; ``None`` if unknown."""
        return None if self._descriptor is None else passed(self._descriptor)

    def close(self) -> None:
        with contextlib.suppress(zmq.ZMQError):
            self._socket.monitor(None, 0)
        self._events.close()

    def _read(self) -> None:
        while True:
            try:
                event = recv_monitor_message(self._events, zmq.NOBLOCK)
            except zmq.Again:
                return
            self._note(event["event"], event["value"])

    def _note(self, event: int, value: int) -> None:
        if event == zmq.EVENT_CONNECTED:
            self._descriptor = value
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._failed, self._disconnected, self._refused_since = 0, None, None
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._failed += 1
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self._failed += _UNEXPLAINED  # ask at once: libzmq does not try again
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._refusal = self._unknown_key(value)
        elif event == zmq.EVENT_DISCONNECTED:
            self._disconnected, self._descriptor = time.monotonic(), None
        elif event == zmq.EVENT_CONNECT_RETRIED:
            self._disconnected = None

    def _explain(self) -> str | None:
        """Why handshakes fail, from what the server says of itself."""
        there = greeting(self._address)
        if there == "CURVE":
            return self._no_key() if self._keys is None else self._other_server(self._keys)
        if there == "NULL" and self._keys is not None:
            return self._server_without_keys()
        # Nobody is there, something between breaks connections, or bytes were damaged: that may pass.
        return None

    def _no_key(self) -> str:
        return (
            f"the server at {self._address} lets in only processes with a key, and this one has none: set "
            "RETROGRAD_KEYS (or say --keys) to a folder with this process's secret key and the server's public key, "
            "as `retrograd keys new` makes it"
        )

    def _server_without_keys(self) -> str:
        return (
            f"the server at {self._address} has no keys, so it could neither encrypt nor prove who it is, and this "
            "process has one: start the server with --keys DIR, or unset RETROGRAD_KEYS (leave out --keys) here to "
            "talk without protection"
        )

    def _other_server(self, keys: ClientKeys) -> str:
        return (
            f"the server at {self._address} breaks off the handshake. It has another key than the one expected "
            f"here, {keys.server.name}.key in {keys.folder} ({keys.server.fingerprint}): compare it with what "
            "`retrograd keys list` shows on the server, and copy the public key from there. If it is the same, the "
            "server's authenticator has died, which its log says: restart the server"
        )

    def _unknown_key(self, status: int) -> str:
        if self._keys is None:
            return f"the server at {self._address} refuses this process, which has no key (status {status})"
        key = self._keys.key
        if status >= 500:
            return (
                f"the server at {self._address} could not check the key {key.name!r} of this process: its keys folder "
                "cannot be read, and its log says why"
            )
        return (
            f"the server at {self._address} does not know the key {key.name!r} of this process ({key.fingerprint}): "
            f"copy {key.name}.key into the server's keys folder, which takes effect at once, or use a key that is there"
        )


# The first 11 bytes of a ZMTP 3 greeting, as any peer sends them: signature and major version. The server
# answers with its whole greeting, and waits for the rest of ours before it judges it.
_GREETING_HEAD = b"\xff" + bytes(7) + b"\x01\x7f\x03"
_GREETING_SIZE, _MECHANISM = 64, slice(12, 32)


def greeting(address: str) -> Mechanism | None:
    """What the server at an address demands, from its greeting; ``None`` when no ZeroMQ peer answers.

    A client whose mechanism is another learns it from ZeroMQ only by luck: the server closes the connection
    as soon as it has seen the client's greeting, and its own may be lost with it.
    """
    received = b""
    deadline = time.monotonic() + _GREETING_TIMEOUT
    try:
        with _dial(address) as connection:
            connection.sendall(_GREETING_HEAD)
            while len(received) < _GREETING_SIZE and (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                if not (more := connection.recv(_GREETING_SIZE - len(received))):
                    return None
                received += more
    except (OSError, ValueError):
        return None
    if len(received) < _GREETING_SIZE or (received[0], received[9]) != (0xFF, 0x7F):
        return None
    name = received[_MECHANISM].rstrip(b"\0")
    return "CURVE" if name == b"CURVE" else "NULL" if name == b"NULL" else None


def _dial(address: str) -> sockets.socket:
    if address.startswith("ipc://"):
        connection = sockets.socket(sockets.AF_UNIX)
        connection.settimeout(_GREETING_TIMEOUT)
        try:
            connection.connect(re.sub("^@", "\0", address.removeprefix("ipc://")))
        except OSError:
            connection.close()
            raise
        return connection
    place = urlsplit(address)
    return sockets.create_connection((place.hostname or "", place.port or 0), _GREETING_TIMEOUT)
