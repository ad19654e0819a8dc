"""How samples cross from process to process: as bytes and NumPy's arrays, whatever backend they are of.

Note [Tensors in workers]
    An array of an accelerator's library does not cross, and a worker should not have to start that library to read
    files. So in a worker new tensors are NumPy's. Tensors of the device that the loader's process makes new ones on
    become NumPy's on their way to a worker, and NumPy's tensors become that device's on their way back; with NumPy as
    the default nothing changes. Tensors of any third device stay of that device.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from retrograd.copies import without_attributes
from retrograd.tensor import Tensor

__all__ = ["HOST", "Crossing", "packed", "receive", "send", "unpacked"]

HOST: Final = "numpy:cpu"

Packed = tuple[bytes, list[pickle.PickleBuffer]]


class _Pickler(ForkingPickler):
    """Pickles tensors for the other side's device, and large arrays beside the rest."""

    def __init__(self, file: io.BytesIO, buffers: list[pickle.PickleBuffer] | None, moves: Mapping[str, str]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL, True, None if buffers is None else buffers.append)
        self._moves = moves

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or type(value).__reduce_ex__ is not Tensor.__reduce_ex__:
            return NotImplemented
        if value.requires_grad and not value.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
                "crossing process boundaries.  If you just want to transfer the data, call detach() on the tensor "
                "before serializing (e.g., putting it on the queue)."
            )
        rebuild, (kind, requires_grad, host, where, placed) = without_attributes(value)
        return rebuild, (kind, requires_grad, host, self._moves.get(where, where), placed), value.__dict__ or None


def packed(value: Any, moves: Mapping[str, str]) -> Packed:
    """A value as bytes and the memory of its arrays, which is not copied."""
    file, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(file, buffers, moves).dump(value)
    return file.getvalue(), buffers


def unpacked(body: bytes, buffers: list[bytearray]) -> Any:
    """What `packed` was given, by the receiving side."""
    return pickle.loads(body, buffers=buffers)


def send(connection: Connection, message: Packed) -> None:
    """Write what `packed` has made."""
    body, buffers = message
    memories = [each.raw() for each in buffers]
    connection.send([memory.nbytes for memory in memories])
    connection.send_bytes(body)
    for memory in memories:
        _write(connection, memory)


def receive(connection: Connection) -> Any:
    """Read what the other side has sent.

    Raises
    ------
    EOFError, OSError
        If that side is gone.
    """
    sizes = connection.recv()
    body = connection.recv_bytes()
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        _fill(connection, buffer)
    return unpacked(body, buffers)


# A `Connection` reads into a buffer of its own, and copies: of large arrays that is most of the work.
_READS_IN_PLACE: Final = hasattr(os, "readv")


def _write(connection: Connection, memory: memoryview) -> None:
    if not _READS_IN_PLACE:
        connection.send_bytes(memory)
        return
    while memory.nbytes:
        memory = memory[os.write(connection.fileno(), memory) :]


def _fill(connection: Connection, buffer: bytearray) -> None:
    if not _READS_IN_PLACE:
        connection.recv_bytes_into(buffer)
        return
    memory = memoryview(buffer)
    while memory.nbytes:
        count = os.readv(connection.fileno(), [memory])
        if not count:
            raise EOFError
        memory = memory[count:]


class Crossing:
    """A value on its way to a new process. A forked one has it as it is; for any other it is pickled, once."""

    def __init__(self, value: Any, moves: Mapping[str, str]) -> None:
        self.value = value
        self._moves = moves

    def __reduce__(self) -> Any:
        file = io.BytesIO()
        _Pickler(file, None, self._moves).dump(self.value)
        return _arrived, (file.getvalue(),)


def _arrived(body: bytes) -> Crossing:
    return Crossing(pickle.loads(body), {})
