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
from typing import Any, TypeAlias, cast, get_args

import msgspec
import numpy as np

from . import messages
from .errors import ProtocolError
from .messages import *  # noqa: F403  # one name for the protocol: its messages and their bytes
from .messages import VERSION, AnyMessage, Array, DType, FrameSpec, Message, Slot

__all__ = [
    *messages.__all__,
    "MAX_FRAME",
    "MAX_HEADER",
    "Frame",
    "array_at",
    "bytes_of",
    "decode",
    "dtype_of",
    "encode",
]

MAX_HEADER = 16 << 20
"""Most bytes of a header. The largest is INIT's, with about 60 bytes for each tensor of the model."""
MAX_FRAME = 1 << 40
"""Most bytes that a frame may announce; the socket's own limit is lower."""

_MAGIC = b"RGP1"  # "retrograd protocol", and the version of the framing, not of the messages


Frame: TypeAlias = bytes | bytearray | memoryview

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
    frames: list[Frame] = [_MAGIC + _encoder.encode(message)]
    frames.extend(bytes_of(array) for array in arrays)
    return frames


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
        When the frames are anything but one whole message. The text says what is wrong with it.
    """
    if not frames:
        raise ProtocolError("a message without a frame")
    message = _decode_header(memoryview(frames[0]))
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


def _decode_header(header: memoryview) -> AnyMessage:
    if len(header) > MAX_HEADER:
        raise ProtocolError(f"a header of {len(header)} bytes, where at most {MAX_HEADER} are allowed")
    if bytes(header[:4]) != _MAGIC:
        raise ProtocolError(f"a message must begin with {_MAGIC!r}, and this one begins with {bytes(header[:4])!r}")
    try:
        return _decoder.decode(header[4:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a header that is no message of protocol version {VERSION}: {error}") from None
