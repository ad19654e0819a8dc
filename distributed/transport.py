"""Carries messages over ZeroMQ: which sockets, with which options, and frames that are not copied.

A server has one ROUTER, a client one DEALER for each connection. ZeroMQ chooses the routing ids: who a
peer *is* comes from its HELLO, and with keys from the key it was authenticated with, never from a routing
id, which a peer could choose.

Notes
-----
Note [A buffer in flight is not written]
    A frame of `COPY_THRESHOLD` bytes or more is handed to ZeroMQ as a view of the tensor's own memory.
    Until ZeroMQ lets go of it, nobody may write there, or the peer receives a mixture of two steps.
    :meth:`Channel.send` returns a :class:`Flight`, which knows when that is; whoever owns the buffer waits
    for it, or has a better reason: a worker's gradients are free once the reply is there, because the
    server answers only what it has received whole.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Container, Iterator, Sequence
from typing import Any

import zmq

from .addresses import checked, is_ipv6, is_local, port_of
from .connections import Passed
from .descriptors import POLLIN, Poller, new_poller
from .errors import AddressInUse, DistributedError, ProtocolError
from .floods import Cut, Floods
from .handshake import Authenticator, Handshakes, guard_client, guard_server, user_of
from .lanes import Lanes, are_available as lanes_are_available, owner_of
from .messages import AnyMessage, Barrier, Landed, LaneOffer, Pull, Push
from .protocol import MAX_HEADER, Array, Frame, Message, Traffic, decode, encode, seal
from .security import ClientKeys, ServerKeys, check_bind

__all__ = [
    "ADDRESS_IN_USE",
    "COPY_THRESHOLD",
    "DEFAULT_MAX_FRAME",
    "Channel",
    "Flight",
    "Hearing",
    "Loan",
    "Watch",
    "connect",
    "is_gone",
    "listen",
]

ADDRESS_IN_USE = "the address is in use by another process"

COPY_THRESHOLD = 65_536
"""Bytes from which a frame travels without a copy. Below it a copy is cheaper than the bookkeeping."""

DEFAULT_MAX_FRAME = 1 << 30
"""Most bytes of one frame that a server takes, so most of one tensor. ZeroMQ allocates what a peer
announces before the bytes arrive, so there must be a bound."""

# Messages (whole ones) that may queue up for one peer. A worker has one request under way and a few
# heartbeats, so this is a fuse and never the flow control.
_HIGH_WATER_MARK = 64
# As plain numbers: the arithmetic of enumerations takes longer than ZeroMQ.
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_NOW, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK) | int(zmq.SNDMORE)
# What goes by a lane of a worker. Not INIT, whose answer has parts that must come one after the other.
_BY_LANE = frozenset((Push, Pull, Landed, Barrier))
_DEAF = 2.0  # seconds after which a connection over which no answer comes is made anew; doubles each time
_DEAF_MOST = 16.0
_ASLEEP = 1.0
_MOVING = 8192  # bytes; what repeats by itself every second is much less
_LOCAL_BUFFER = 512 << 10
"""Bytes that the system takes ahead for a connection within this machine. Left to itself it takes up to several MiB,
which the other end then reads from memory, and not from a cache. A distant peer may need those."""
_LINGER_MS = 2000  # long enough for a BYE to leave, short enough for nobody to notice at exit


class Flight:
    """The buffers of a sent message that ZeroMQ may still read from.

    See Note [A buffer in flight is not written].
    """

    __slots__ = ("_trackers",)

    def __init__(self, trackers: Sequence[zmq.MessageTracker] = ()) -> None:
        self._trackers = trackers

    @property
    def landed(self) -> bool:
        for tracker in self._trackers:  # noqa: SIM110 (as a rule there is none, and no generator to make)
            if not tracker.done:
                return False
        return True

    def land(self) -> None:
        """The peer says that it has read everything. ZeroMQ knows that better."""

    def wait(self, timeout: float) -> bool:
        """Wait until ZeroMQ has let go of every buffer; whether it has, within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        try:
            for tracker in self._trackers:
                tracker.wait(max(0.0, deadline - time.monotonic()))
        except zmq.NotDone:
            return False
        return True


_LANDED = Flight()


class Loan(Flight):
    """Memory that another process reads until it says that it has; `memory` lives until then at least.

    The other may not have opened it yet, so whoever goes on with other memory must not be the last to hold it.
    """

    __slots__ = ("_memory", "_returned")

    def __init__(self, memory: object = None) -> None:
        super().__init__()
        self._memory = memory
        self._returned = False

    @property
    def landed(self) -> bool:
        return self._returned

    def land(self) -> None:
        self._returned, self._memory = True, None


class Channel:
    """A socket that speaks in messages, and counts them.

    Belongs to one thread: ZeroMQ's sockets must not be shared.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        address: str,
        *,
        authenticator: Authenticator | None = None,
        handshakes: Handshakes | None = None,
        sealed: bool = True,
        floods: Floods | None = None,
    ) -> None:
        self.socket = socket
        self._sealed = sealed  # else encryption does what a checksum is for
        self.address = address
        self.traffic = Traffic()
        self.authenticator = authenticator
        self.user: str | None = None
        """On a server with keys: the name of the key that the last received message was sent with."""
        self._handshakes = handshakes
        self._passed: Passed | None = None
        self._floods = floods
        self.descriptor = int(socket.get(zmq.FD))
        """Which becomes readable when ZeroMQ has something to look at for this socket."""
        self._pollers: list[Poller] = []
        self._lanes = Lanes(self._pollers)
        self._offer: LaneOffer | None = None
        self._may_have = True
        """Whether there may be a message at the socket, to ask which takes longer than to receive it."""
        self._watch = Watch([self])

    def send(self, message: Message, arrays: Sequence[Array] = (), *, to: bytes | None = None) -> Flight:
        """Send one message, on a server `to` a peer, without waiting.

        Raises
        ------
        zmq.Again
            When there is no connection, or its queue is full.
        zmq.ZMQError
            With `errno` EHOSTUNREACH, when the peer `to` has gone.
        """
        return self.send_frames(encode(message, arrays), to, by_lane=to is not None or type(message) in _BY_LANE)

    def send_frames(self, frames: Sequence[Frame], to: bytes | None, *, by_lane: bool = True) -> Flight:
        """Send a message that is encoded, as one that several are told is once; errors are those of `send`."""
        if by_lane and self._lanes.send(frames, to or b""):
            flight = _LANDED
        else:
            flight = self._send(frames, None if to is None else owner_of(to))
        self.traffic.messages_sent += 1
        self.traffic.bytes_sent += sum(map(len, frames))
        return flight

    def _send(self, frames: Sequence[Frame], to: bytes | None) -> Flight:
        self._may_have = True
        parts = [_wire_frame(frame) for frame in (seal(frames) if self._sealed else frames)]
        send = self.socket.send  # frame by frame, which takes a third of the time of `send_multipart`
        if to is not None:
            send(to, _MORE)
        for part in parts[:-1]:
            send(part, _MORE)
        send(parts[-1], _NOW)
        return Flight([part.tracker for part in parts if isinstance(part, zmq.Frame) and part.tracker])

    def receive(self) -> list[Frame]:
        """The frames of the next message, not yet decoded; on a server the first is the peer's routing id.

        Raises `zmq.Again` when there is none.
        """
        if self._lanes.inbox:
            self.user, frames = self._lanes.inbox.popleft()
        else:
            frames = self._receive()
        self.traffic.messages_received += 1
        self.traffic.bytes_received += sum(map(len, frames))
        return frames

    def _receive(self) -> list[Frame]:
        receive = self.socket.recv
        parts = [part := receive(_NOW, copy=False)]
        while part.more:
            parts.append(part := receive(_NOW, copy=False))
        if self._floods is not None:
            self._floods.note(parts[0])
        if self.authenticator is not None:  # see Note [The name comes from the handler]
            self.user = user_of(parts[0])
        return [part.buffer for part in parts]

    def messages(self) -> Iterator[tuple[AnyMessage, list[Array]]]:
        """On a client: those that are there, with their arrays, but for what has been damaged on its way."""
        while self.has_message():
            with contextlib.suppress(ProtocolError):
                yield decode(self.receive())

    def has_message(self) -> bool:
        """Whether `receive` would give a message. To ask is quicker than to try in vain.

        What has come by a lane counts when a poll or a `Watch` has found it; over ZeroMQ, too, if that came after this
        was asked and there was nothing.
        """
        if self._lanes.inbox:
            return True
        if self._may_have:
            self._may_have = bool(self.socket.get(_EVENTS) & _POLLIN)  # type: ignore[operator]
        return self._may_have

    def poll(self, timeout: float, *, to_send: bool = False) -> bool:
        """Whether a message is there (or may be sent) within `timeout` seconds."""
        if to_send:
            self._may_have = True
            return bool(self.socket.poll(_milliseconds(timeout), zmq.POLLOUT))
        return bool(self._watch.wait(timeout))

    def cut_flood(self, limit: int, now: float) -> Cut | None:
        """On a server, every now and then: cut off whose message does not end, if that takes more than `limit`."""
        return None if self._floods is None else self._floods.look(limit, now)

    # ---- lanes: see Note [Lanes] -------------------------------------------------------------------------------

    def offer_lane(self, peer: bytes) -> LaneOffer | None:
        """On a server: what a peer of this machine, from which the last message came, needs to open a lane."""
        port = port_of(self.address)
        return None if port is None or not lanes_are_available() else self._lanes.offer(peer, self.user, port)

    def follow_lane(self, offer: LaneOffer | None) -> None:
        """On a client: take the lane that the server offers now, if it leads where this channel does."""
        if offer is not self._offer:
            self._offer = offer
            self._lanes.follow(offer if offer is not None and offer.port == port_of(self.address) else None)

    def join(self, poller: Poller) -> None:
        """Have a poller wait for messages of this channel, from now on also for those of new lanes."""
        self._pollers.append(poller)
        for each in (self.descriptor, *self._lanes.descriptors):
            poller.register(each, POLLIN)

    def sort(self, ready: Container[int]) -> bool:
        """Whether a message is there, after such a poller has found what is `ready`."""
        if self.descriptor in ready:
            self._may_have = True
        if self._lanes.are_open:
            self._lanes.sort(ready)
        return self.has_message()

    def refusal(self, patience: float = 0.0) -> str | None:
        """On a client, why the server does not let it in and what to do about that; ``None`` if it may.

        To be asked every now and then while an answer or a connection is waited for. Asking also makes a
        new connection where ZeroMQ has given one up for good, as it does after damaged bytes; what was on
        its way then is lost, and to the server the new one is a stranger.
        """
        if self._handshakes is None:
            return None
        text = self._handshakes.refusal(patience)
        if text is None and self._handshakes.given_up():
            self.reconnect()
        return text

    def is_moving(self) -> bool:
        """On a client: whether so much has passed since it was last asked that a message must be on its way.

        `refusal` reads which connection there is.
        """
        before, self._passed = self._passed, None if self._handshakes is None else self._handshakes.passed()
        if before is None or self._passed is None:
            return False
        return sum(self._passed) - sum(before) >= _MOVING

    def reconnect(self) -> None:
        """On a client: begin a new connection, over which the server does not know it yet, and leave the old one.

        For one over which nothing comes any more. A length that was damaged on its way has the other side wait for the
        rest of a frame that never comes, and something between may have forgotten the connection: no end sees that.
        """
        self._may_have = True
        with contextlib.suppress(zmq.ZMQError):
            self.socket.disconnect(self.address)
        self.socket.connect(self.address)

    def close(self) -> None:
        """Close the socket, and on a server with keys end its authenticator."""
        if self._handshakes is not None:
            self._handshakes.close()
        self._lanes.close()
        if self._floods is not None:
            self._floods.close()
        self.socket.close(_LINGER_MS)
        if self.authenticator is not None:
            self.authenticator.close()


class Hearing:
    """Whether answers come over a client's connection, or it is time for another one; see `Channel.reconnect`.

    Parameters
    ----------
    channel : Channel
    now : float
        The time in seconds, as for all methods.
    """

    def __init__(self, channel: Channel, now: float) -> None:
        self._channel, self._since, self._patience, self._looked = channel, now, _DEAF, now

    def heard(self, now: float) -> None:
        """An answer has come, or none is due."""
        self._since, self._patience, self._looked = now, _DEAF, now

    def look(self, now: float) -> None:
        """An answer is due: make the connection anew if none has come for long.

        To be called at least once in a second. A longer pause is this process's own, which has asked nothing meanwhile.
        """
        if now - self._looked > _ASLEEP:
            self._since += now - self._looked
        self._looked = now
        if now - self._since > self._patience:
            self._since, self._patience = now, min(2 * self._patience, _DEAF_MOST)
            self._channel.reconnect()


def _wire_frame(frame: Frame) -> Frame | zmq.Frame:
    if len(frame) < COPY_THRESHOLD:
        return frame
    return zmq.Frame(frame, track=True, copy=False)


def connect(context: zmq.Context[Any], address: str, keys: ClientKeys | None = None) -> Channel:
    """A client's channel to the server at `address`. The connection comes up in the background.

    With `keys` it is encrypted, and made only with the server whose key that is. Whether the server lets
    this client in is what :meth:`Channel.refusal` tells.
    """
    checked(address)
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a server that is not there
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 5000)
    socket.setsockopt(zmq.IPV6, is_ipv6(address))
    _set_limits(socket, address, max_frame=-1)
    if keys is not None:
        guard_client(socket, keys)
    handshakes = Handshakes(socket, address, keys)
    try:
        socket.connect(address)
    except zmq.ZMQError as error:
        handshakes.close()
        socket.close(0)
        raise DistributedError(
            f"{address!r} is no address to connect to ({error}): it must look like tcp://127.0.0.1:5555"
        ) from None
    return Channel(socket, address, handshakes=handshakes, sealed=keys is None)


def listen(
    context: zmq.Context[Any],
    address: str,
    *,
    keys: ServerKeys | None = None,
    insecure: bool = False,
    max_frame: int = DEFAULT_MAX_FRAME,
) -> Channel:
    """A server's channel, listening at `address`; port ``*`` is a free one, and `Channel.address` names it.

    With `keys` it lets in only whom the list of keys names, and all that passes is encrypted. The channel
    then owns a thread that decides so, which `Channel.close` ends.

    Raises
    ------
    Refused
        When the address can be reached from other machines, and there are neither `keys` nor leave to do
        without (`insecure`).
    AddressInUse
        When the address is taken, or is not one of this machine's.
    """
    check_bind(address, keys, insecure=insecure)
    authenticator = Authenticator(context, keys.keyring) if keys is not None else None
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.IPV6, is_ipv6(address))
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a vanished peer is an error, not silence
    _set_limits(socket, address, max_frame=max(max_frame, MAX_HEADER))
    if keys is not None:
        guard_server(socket, keys)
    floods = Floods(socket)
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        floods.close()
        socket.close(0)
        if authenticator is not None:
            authenticator.close()
        raise _bind_error(address, error) from None
    bound = socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")
    return Channel(socket, bound, authenticator=authenticator, sealed=keys is None, floods=floods)


def _set_limits(socket: zmq.Socket[bytes], address: str, *, max_frame: int) -> None:
    if is_local(address):
        socket.setsockopt(zmq.SNDBUF, _LOCAL_BUFFER)
    socket.setsockopt(zmq.SNDHWM, _HIGH_WATER_MARK)
    socket.setsockopt(zmq.RCVHWM, _HIGH_WATER_MARK)
    socket.setsockopt(zmq.MAXMSGSIZE, max_frame)
    socket.setsockopt(zmq.LINGER, _LINGER_MS)


def _bind_error(address: str, error: zmq.ZMQError) -> DistributedError:
    if error.errno == zmq.EADDRINUSE:
        return AddressInUse(
            f"cannot listen at {address}: {ADDRESS_IN_USE}. Choose another port, "
            "or tcp://127.0.0.1:* for any free one, or end that process"
        )
    if error.errno in (zmq.EADDRNOTAVAIL, errno.ENODEV):
        return AddressInUse(f"cannot listen at {address}: this machine has no such address")
    return DistributedError(f"{address!r} is no address to listen at ({error}): it must look like tcp://127.0.0.1:5555")


class Watch:
    """Waits for messages of several channels at once.

    Parameters
    ----------
    channels : sequence of Channel

    Notes
    -----
    Note [Descriptors of ZeroMQ]
        A socket of ZeroMQ is waited for by its descriptor, in one call with those of lanes. That becomes readable once
        for all that has come, and not again before somebody has looked at the socket's events and found none. Whatever
        is done with the socket may take notice of what has come, so after it one looks before one waits.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = tuple(channels)
        self._poller = new_poller()
        for each in channels:
            each.join(self._poller)

    def wait(self, timeout: float) -> list[Channel]:
        """The channels on which a message is there; none if none has come within `timeout` seconds."""
        until = time.monotonic() + timeout
        while True:
            for each in self._channels:
                if each.has_message():
                    timeout = 0.0
            ready = {descriptor for descriptor, _ in self._poller.poll(_milliseconds(timeout))}
            found = [each for each in self._channels if each.sort(ready)]
            # A descriptor of ZeroMQ's is also ready for what is no message, as when somebody connects.
            if found or (timeout := until - time.monotonic()) <= 0:
                return found


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def is_gone(error: zmq.ZMQError) -> bool:
    """Whether a send failed because the peer is not there any more, or does not read."""
    return error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN)
