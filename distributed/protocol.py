"""The messages between workers and servers, and their form on the wire.

A message is one header frame and the raw bytes of its tensors, one frame each::

    b"RGP1" + msgpack map {"type": "push", "seq": 7, ...}
    bytes of tensor 0
    bytes of tensor 1
    ...

The header is a typed `msgspec` struct: its declaration below *is* the schema, and the decoder holds
every incoming byte against it. Tensors travel as they lie in memory (C order, little-endian) and are
neither copied nor interpreted on the way. Nothing here can name a class or run code: there is no pickle,
and a dtype is one of a closed list.

This module knows nothing of sockets; :mod:`~retrograd.distributed.transport` carries what it makes.

Notes
-----
:func:`decode` is the only door for bytes from outside. Whatever it is given, it returns a message whose
fields are all in range and whose frames have exactly the announced sizes, or raises `ProtocolError`. It
allocates nothing in proportion to what a header *claims*: tensors are views of frames that have arrived.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from .errors import ProtocolError

__all__ = [
    "MAX_HEADER",
    "MAX_TENSORS",
    "MAX_WORKERS",
    "VERSION",
    "Array",
    "Barrier",
    "Bye",
    "Error",
    "Exited",
    "Group",
    "Groups",
    "Heartbeat",
    "Hello",
    "Init",
    "Message",
    "Pulse",
    "Push",
    "Released",
    "Report",
    "Slot",
    "Status",
    "StatusRequest",
    "TensorSpec",
    "Traffic",
    "Weights",
    "Welcome",
    "WorkerStatus",
    "decode",
    "encode",
]

VERSION = 1
"""Version of the protocol. Goes up with every change of a message; both sides must have the same."""

MAX_WORKERS = 4096
MAX_TENSORS = 65_536
MAX_HEADER = 16 << 20
"""Most bytes of a header. The largest is INIT's, with about 60 bytes for each tensor of the model."""
MAX_TENSOR_BYTES = 1 << 48

_MAGIC = b"RGP1"  # "retrograd protocol", and the version of the framing, not of the messages
_MAX_DIMS = 32

Array: TypeAlias = npt.NDArray[Any]
DType: TypeAlias = Literal[
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip

Natural: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Rank: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_WORKERS)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0)]
Name: TypeAlias = Annotated[str, Meta(max_length=1024)]
Text: TypeAlias = Annotated[str, Meta(max_length=65_536)]
Shape: TypeAlias = Annotated[tuple[Annotated[int, Meta(ge=0, le=2**48)], ...], Meta(max_length=_MAX_DIMS)]

# An optimizer goes over the wire as a name and numbers, never as code. `betas` is a tuple of numbers.
Number: TypeAlias = bool | int | float | None
Hyperparameter: TypeAlias = Number | Annotated[tuple[Number, ...], Meta(max_length=16)]
Group: TypeAlias = Annotated[dict[Name, Hyperparameter], Meta(max_length=64)]
Groups: TypeAlias = Annotated[tuple[Group, ...], Meta(max_length=MAX_TENSORS)]


# ---- what messages are made of -----------------------------------------------------------------------------


class TensorSpec(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One row of the tensor table: what INIT agrees on and every later message refers to by its index."""

    name: Name
    dtype: DType
    shape: Shape
    group: Annotated[int, Meta(ge=0, lt=MAX_TENSORS)] = 0
    """Index of the optimizer's parameter group that the tensor belongs to."""


class Slot(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A tensor that travels with the message: its row in the table, and what the frame holds."""

    index: Annotated[int, Meta(ge=0, lt=MAX_TENSORS)]
    dtype: DType
    shape: Shape


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """How far a worker is, and how fast. Informs people; nothing is computed from it."""

    step: Natural = 0
    total: Natural = 0
    loss: float | None = None
    samples: Natural = 0
    seconds: Seconds = 0.0
    waiting: Seconds = 0.0


class Traffic(Struct, forbid_unknown_fields=True):
    """What has gone through a channel: whole messages, and the bytes of all their frames."""

    messages_sent: Natural = 0
    messages_received: Natural = 0
    bytes_sent: Natural = 0
    bytes_received: Natural = 0


class WorkerStatus(Struct, frozen=True, forbid_unknown_fields=True):
    """One worker as the server sees it."""

    rank: Rank
    state: Literal["expected", "joined", "left", "lost"]
    step: Natural
    silent: Seconds
    report: Report


class Message(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """A header. The tag of a class on the wire is its name in lower case."""

    def payload(self) -> Sequence[Slot]:
        """What the frames after the header hold, in order."""
        return ()


# ---- worker to server --------------------------------------------------------------------------------------


class Hello(Message, frozen=True):
    """First message of every connection: who is there. Answered by WELCOME or ERROR.

    A worker that starts again has another incarnation, so that what its former life sent is told apart.
    """

    run: Name
    role: Literal["worker", "launcher"]
    world_size: Annotated[int, Meta(ge=1, le=MAX_WORKERS)]
    incarnation: Natural
    rank: Rank = 0
    protocol: Natural = VERSION


class Init(Message, frozen=True):
    """What is to be trained, and how. Rank 0 sends its weights along; all others get those back."""

    seq: Natural
    optimizer: Name
    groups: Groups
    table: Annotated[tuple[TensorSpec, ...], Meta(max_length=MAX_TENSORS)]
    weights: bool

    def payload(self) -> Sequence[Slot]:
        rows = enumerate(self.table) if self.weights else ()
        return [Slot(index, row.dtype, row.shape) for index, row in rows]


class Push(Message, frozen=True):
    """The gradients of one step. Answered by WEIGHTS once the step's update is applied.

    A tensor without a gradient is absent from `tensors`. The hyperparameters go with each push, so that
    a push means the same however often and whenever it is sent.
    """

    seq: Natural
    step: Natural
    groups: Groups
    tensors: Annotated[tuple[Slot, ...], Meta(max_length=MAX_TENSORS)]

    def payload(self) -> Sequence[Slot]:
        return self.tensors


class Barrier(Message, frozen=True):
    """Answered by RELEASED when every worker has sent its own."""

    seq: Natural


class Heartbeat(Message, frozen=True):
    """Sent on a connection of its own, a few times a second. Answered by PULSE."""

    rank: Rank
    incarnation: Natural
    report: Report


class Bye(Message, frozen=True):
    """This process leaves: in peace, or because of `error`. Not answered."""

    error: Text | None = None
    report: Report | None = None


# ---- launcher to server ------------------------------------------------------------------------------------


class StatusRequest(Message, frozen=True):
    """Answered by STATUS."""


class Exited(Message, frozen=True):
    """A worker's process has ended; the launcher sees it before silence tells."""

    rank: Rank
    failed: bool
    text: Text


# ---- server to worker --------------------------------------------------------------------------------------


class Welcome(Message, frozen=True):
    """The server takes part in the run that HELLO named, and has applied `step` updates so far."""

    step: Natural
    protocol: Natural = VERSION


class Weights(Message, frozen=True):
    """All weights as they are after update number `step`."""

    seq: Natural
    step: Natural
    tensors: Annotated[tuple[Slot, ...], Meta(max_length=MAX_TENSORS)]

    def payload(self) -> Sequence[Slot]:
        return self.tensors


class Released(Message, frozen=True):
    """Everyone has reached the barrier."""

    seq: Natural


class Pulse(Message, frozen=True):
    """The server lives, has received this worker's requests up to one, and answered up to another."""

    received: Natural
    answered: Natural


class Status(Message, frozen=True):
    """The server's view of the run."""

    step: Natural
    failure: Text | None
    culprit: Rank | None
    rejected: Natural
    duplicates: Natural
    traffic: Traffic
    workers: Annotated[tuple[WorkerStatus, ...], Meta(max_length=MAX_WORKERS)]


class Error(Message, frozen=True):
    """Request number `seq` (0: none in particular) was not, and will not be, done."""

    kind: Name
    text: Text
    seq: Natural = 0


AnyMessage: TypeAlias = (
    Hello | Init | Push | Barrier | Heartbeat | Bye | StatusRequest | Exited
    | Welcome | Weights | Released | Pulse | Status | Error
)  # fmt: skip


# ---- bytes -------------------------------------------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_dtypes: dict[str, np.dtype[Any]] = {}

Frame: TypeAlias = bytes | bytearray | memoryview


def dtype_of(name: str) -> np.dtype[Any]:
    """NumPy's dtype for a name of the closed list.

    >>> dtype_of("float32")
    dtype('float32')
    """
    if name not in _dtypes:
        if name not in get_args(DType):
            raise ProtocolError(f"no dtype {name!r} travels: it must be one of {', '.join(get_args(DType))}")
        if name == "bfloat16":
            import ml_dtypes

            _dtypes[name] = np.dtype(ml_dtypes.bfloat16)
        else:
            _dtypes[name] = np.dtype(name)
    return _dtypes[name]


def encode(message: Message, arrays: Sequence[Array] = ()) -> list[Frame]:
    """The frames of a message; those of its tensors are views of `arrays`, not copies.

    Examples
    --------
    >>> grad = np.ones((2, 3), np.float32)
    >>> push = Push(seq=2, step=1, groups=(), tensors=(Slot(0, "float32", (2, 3)),))
    >>> header, body = encode(push, [grad])
    >>> body.nbytes, np.shares_memory(body, grad)
    (24, True)
    >>> message, (array,) = decode([header, body])
    >>> message == push, array.shape
    (True, (2, 3))
    """
    frames: list[Frame] = [_MAGIC + _encoder.encode(message)]
    # Bytes are taken as a view of unsigned integers: bfloat16 has no buffer protocol, and NumPy offers
    # none for arrays without elements.
    frames.extend(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays)
    return frames


def decode(frames: Sequence[Frame]) -> tuple[AnyMessage, list[Array]]:
    """The message that `frames` are, and its tensors as views of them.

    Raises
    ------
    ProtocolError
        When the frames are anything but one whole message. The text says what is wrong with it.
    """
    if not frames:
        raise ProtocolError("a message without a frame")
    message = _decode_header(memoryview(frames[0]))
    slots = message.payload()
    if len(frames) - 1 != len(slots):
        raise ProtocolError(
            f"{type(message).__name__.upper()} announces {len(slots)} tensors and comes with "
            f"{len(frames) - 1} frames for them"
        )
    if len({slot.index for slot in slots}) != len(slots):
        raise ProtocolError(f"{type(message).__name__.upper()} holds a tensor twice")
    return message, [_decode_tensor(slot, frame) for slot, frame in zip(slots, frames[1:], strict=True)]


def _decode_header(header: memoryview) -> AnyMessage:
    if len(header) > MAX_HEADER:
        raise ProtocolError(f"a header of {len(header)} bytes, where at most {MAX_HEADER} are allowed")
    if bytes(header[:4]) != _MAGIC:
        raise ProtocolError(f"a message must begin with {_MAGIC!r}, and this one begins with {bytes(header[:4])!r}")
    try:
        return _decoder.decode(header[4:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a header that is no message of protocol version {VERSION}: {error}") from None


def _decode_tensor(slot: Slot, frame: Frame) -> Array:
    dtype, size = dtype_of(slot.dtype), len(frame)
    # Counting an empty dimension as one keeps (0, 2**48, 2**48), which holds no byte, out of NumPy, too.
    if math.prod(max(length, 1) for length in slot.shape) * dtype.itemsize > MAX_TENSOR_BYTES:
        raise ProtocolError(f"tensor {slot.index} of shape {slot.shape} is beyond {MAX_TENSOR_BYTES} bytes")
    expected = math.prod(slot.shape) * dtype.itemsize
    if size != expected:
        raise ProtocolError(
            f"tensor {slot.index} of shape {slot.shape} and dtype {slot.dtype} takes {expected} bytes, "
            f"and its frame has {size}"
        )
    return np.ndarray(slot.shape, dtype, buffer=frame)
