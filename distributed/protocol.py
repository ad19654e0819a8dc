"""The messages between workers and servers, and their form on the wire.

A message is one header frame and the raw bytes of its tensors, one frame each::

    b"RGP1" + msgpack map {"type": "push", "seq": 7, ...}
    bytes of tensor 0
    bytes of tensor 1
    ...

Where nothing else protects it, a header begins with ``b"RGP2"`` and a checksum instead; see Note [Checksums]
    TCP's own checksum has 16 bits, and whatever stands between two connections (a proxy, a tunnel) computes a new one
    of what it holds. A gradient with one bit turned is as good a gradient as any, and goes into the weights. So what
    goes over TCP without encryption, which would notice it, has a CRC-32: of the lengths of the further frames (each
    of 8 bytes, little-endian), of the map in the header, and of each further frame. A frame of 16 KiB or more goes
    into it as 512 sums, the nth of which is that of the frame's 64-bit words n, n + 512, n + 1024 ... (little-endian,
    modulo 2**64), followed by the bytes after the last whole row of 512 words: to add up runs at the speed of memory,
    ten times that of a CRC, and whatever changes within 4 KiB, be it one bit, changes a sum.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Generic, TypeAlias, TypeVar, cast, get_args

import msgspec
import numpy as np
from msgspec import structs

from . import crew, messages
from .errors import Damaged, ProtocolError
from .messages import *  # noqa: F403  # one name for the protocol: its messages and their bytes
from .messages import VERSION, AnyMessage, Array, DType, FrameSpec, Message, Slot

__all__ = [
    *messages.__all__,
    "MAX_FRAME",
    "MAX_HEADER",
    "Foreseen",
    "Frame",
    "array_at",
    "bytes_of",
    "decode",
    "dtype_of",
    "encode",
    "seal",
    "size_of",
]

MAX_HEADER = 16 << 20
"""Most bytes of a header. The largest is INIT's, with about 60 bytes for each tensor of the model."""
MAX_FRAME = 1 << 40
"""Most bytes that a frame may announce; the socket's own limit is lower."""

_MAGIC = b"RGP1"  # "retrograd protocol", and the version of the framing, not of the messages
_SEALED = b"RGP2"  # the same with a checksum after it
_CHECKSUM = struct.Struct("<I")
_BODY = len(_SEALED) + _CHECKSUM.size
_FOLDED = 16 << 10  # bytes from which a frame is folded first
_WORDS = 512
_ROW = 8 * _WORDS


Frame: TypeAlias = bytes | bytearray | memoryview
M = TypeVar("M", bound=Message)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_dtypes: dict[str, np.dtype[Any]] = {}
_names: dict[np.dtype[Any], DType] = {}  # NumPy composes a type's name anew each time


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


def name_of(array: Array) -> DType:
    """The name under which an array's dtype travels.

    >>> name_of(np.zeros(2, np.float32))
    'float32'
    """
    name = _names.get(array.dtype)
    if name is None:
        name = cast(DType, array.dtype.name)
        dtype_of(name)
        _names[array.dtype] = name
    return name


def encode(message: Message, arrays: Sequence[Array] = ()) -> list[Frame]:
    """The frames of a message; those of its arrays are views of them, not copies.

    Examples
    --------
    >>> grad = np.ones((2, 3), np.float32)
    >>> push = Push(seq=2, step=1, tensors=(Slot(0, "float32", (2, 3)),))
    >>> header, body = encode(push, [grad])
    >>> body.nbytes, np.shares_memory(body, grad)
    (24, True)
    >>> message, (array,) = decode([header, body])
    >>> message == push, array.shape
    (True, (2, 3))
    """
    return [_MAGIC + _encoder.encode(message), *map(bytes_of, arrays)]


def seal(frames: Sequence[Frame]) -> list[Frame]:
    """The same message with a checksum, by which the other side sees whether it has come as it was sent.

    >>> [header] = encode(Pull(seq=2, step=1))
    >>> [sealed] = seal([header])
    >>> decode([sealed]) == decode([header])
    True
    >>> decode([sealed[:-1] + b"!"])
    Traceback (most recent call last):
    retrograd.distributed.errors.Damaged: a message that is not as it was sent: its bytes were changed on their way
    """
    body = memoryview(frames[0])[len(_MAGIC) :]
    return [b"".join((_SEALED, _CHECKSUM.pack(_checksum(body, frames[1:])), body)), *frames[1:]]


def _checksum(body: memoryview, frames: Sequence[Frame]) -> int:
    """See Note [Checksums]."""
    crc = zlib.crc32(body, zlib.crc32(struct.pack(f"<{len(frames)}Q", *map(len, frames))))
    large = [frame for frame in frames if len(frame) >= _FOLDED]
    sums = iter(crew.each(_sums_of, large, sum(map(len, large))))
    for frame in frames:
        if len(frame) >= _FOLDED:
            crc, frame = zlib.crc32(next(sums), crc), memoryview(frame)[len(frame) // _ROW * _ROW :]
        crc = zlib.crc32(frame, crc)
    return crc


def _sums_of(frame: Frame) -> memoryview:
    words = np.frombuffer(frame, "<u8", len(frame) // _ROW * _WORDS)
    return memoryview(np.add.reduce(words.reshape(-1, _WORDS), axis=0))


def bytes_of(array: Array) -> memoryview:
    """The memory of an array, which is copied only if it is not contiguous."""
    # Bytes are taken as a view of unsigned integers: bfloat16 has no buffer protocol, and NumPy offers
    # none for arrays without elements.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def decode(frames: Sequence[Frame]) -> tuple[AnyMessage, list[Array]]:
    """The message that `frames` are, and its arrays as views of them.

    Raises
    ------
    ProtocolError
        When the frames are anything but one whole message. The text says what is wrong with it. It is `Damaged` if
        the message may have been one when it was sent.
    """
    if not frames:
        raise ProtocolError("a message without a frame")
    message = _decode_header(_opened(frames))
    announced = message.payload()
    if len(frames) - 1 != len(announced):
        raise ProtocolError(
            f"{type(message).__name__.upper()} announces {len(announced)} arrays and comes with "
            f"{len(frames) - 1} frames for them"
        )
    tensors: Sequence[Slot] = getattr(message, "tensors", ())
    if len({slot.index for slot in tensors}) != len(tensors):
        raise ProtocolError(f"{type(message).__name__.upper()} holds a slice twice")
    return message, [array_at(spec, frame) for spec, frame in zip(announced, frames[1:], strict=True)]


class Foreseen(Generic[M]):
    """A message that has yet to come, and of which all is known but what its arrays hold.

    Parameters
    ----------
    message : Message

    Examples
    --------
    >>> foreseen = Foreseen(Push(seq=2, step=1, tensors=(Slot(0, "float32", (2,)),)))
    >>> foreseen.read(encode(foreseen.message, [np.float32([1, 2])]))
    [array([1., 2.], dtype=float32)]
    >>> foreseen.read(encode(structs.replace(foreseen.message, step=2), [np.float32([1, 2])])) is None
    True
    """

    __slots__ = ("_specs", "header", "message")

    def __init__(self, message: M) -> None:
        self._specs = [(spec.shape, dtype_of(spec.dtype), size_of(spec)) for spec in message.payload()]
        self._have(message)

    def _have(self, message: M) -> None:
        self.message, self.header = message, _MAGIC + _encoder.encode(message)

    def read(self, frames: Sequence[Frame]) -> list[Array] | None:
        """The arrays of the message, if it is the one that `frames` are; see `decode`."""
        if len(frames) != 1 + len(self._specs) or not (frames[0] == self.header or self._is_sealed(frames)):
            return None
        arrays = []
        for (shape, dtype, size), frame in zip(self._specs, frames[1:], strict=True):
            if len(frame) != size:
                return None
            arrays.append(np.ndarray(shape, dtype, frame))
        return arrays

    def _is_sealed(self, frames: Sequence[Frame]) -> bool:
        header = frames[0]
        if header[_BODY:] != self.header[len(_MAGIC) :] or header[: len(_SEALED)] != _SEALED:
            return False
        return _checksum(memoryview(header)[_BODY:], frames[1:]) == _CHECKSUM.unpack_from(header, len(_SEALED))[0]

    def go_on(self, **fields: Any) -> None:
        """Foresee the message that is like this one but for some fields, which say nothing of its arrays."""
        self._have(structs.replace(self.message, **fields))


def size_of(spec: FrameSpec) -> int:
    """Bytes of an array.

    >>> size_of(FrameSpec("float32", (2, 3)))
    24
    """
    return math.prod(spec.shape) * dtype_of(spec.dtype).itemsize


def array_at(spec: FrameSpec, frame: Frame, offset: int | None = None) -> Array:
    """The array that lies in a frame, which it fills; or in a larger piece of memory, from `offset` on.

    Raises
    ------
    ProtocolError
        When it does not fit.
    """
    dtype, size = dtype_of(spec.dtype), len(frame)
    expected = math.prod(spec.shape) * dtype.itemsize
    if expected > size - (offset or 0) or (offset is None and expected != size):
        raise ProtocolError(
            f"an array of shape {spec.shape} and dtype {spec.dtype} takes {expected} bytes, and "
            + (f"its frame has {size}" if offset is None else f"stands at {offset} of {size}")
        )
    # An empty dimension hides how long the others are, and NumPy would take their product first.
    if expected == 0 and math.prod(max(length, 1) for length in spec.shape) > MAX_FRAME:
        raise ProtocolError(f"an array of shape {spec.shape} is beyond {MAX_FRAME} elements")
    return np.ndarray(spec.shape, dtype, buffer=frame, offset=offset or 0)


def _opened(frames: Sequence[Frame]) -> memoryview:
    """The map in the header of a message that has come as it was sent, as far as that can be seen."""
    header = memoryview(frames[0])
    if len(header) > MAX_HEADER:
        raise ProtocolError(f"a header of {len(header)} bytes, where at most {MAX_HEADER} are allowed")
    magic = bytes(header[:4])
    if magic == _MAGIC:
        return header[4:]
    if magic != _SEALED or len(header) < _BODY:
        raise Damaged(f"a message must begin with {_MAGIC!r} or {_SEALED!r}, and this one begins with {magic!r}")
    body = header[_BODY:]
    if _CHECKSUM.unpack_from(header, len(_SEALED))[0] != _checksum(body, frames[1:]):
        raise Damaged("a message that is not as it was sent: its bytes were changed on their way")
    return body


def _decode_header(body: memoryview) -> AnyMessage:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a header that is no message of protocol version {VERSION}: {error}") from None
