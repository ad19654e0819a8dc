"""Messages: what goes in comes out, and whatever else comes in is a `ProtocolError`."""

from __future__ import annotations

import contextlib
import tracemalloc

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrograd.distributed import protocol
from retrograd.distributed.errors import ProtocolError
from retrograd.distributed.protocol import Slot, TensorSpec, WorkerStatus, decode, encode

HEADER = b"RGP1"
PUSH = protocol.Push(
    seq=3,
    step=2,
    groups=({"lr": 0.1, "betas": (0.9, 0.999), "fused": None, "maximize": False},),
    tensors=(Slot(0, "float32", (2, 3)), Slot(2, "bfloat16", ()), Slot(5, "int64", (0, 4))),
)
ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(1.5, ml_dtypes.bfloat16),
    np.zeros((0, 4), np.int64),
]
EVERY_MESSAGE = [
    protocol.Hello("run", "worker", 4, 2**63 - 1, 3),
    protocol.Init(1, "SGD", ({"lr": 0.1},), (TensorSpec("w", "float32", (2,), 0),), False),
    PUSH,
    protocol.Barrier(4),
    protocol.Heartbeat(0, 7, protocol.Report(1, 2, 0.5, 64, 1.0, 0.5)),
    protocol.Bye("ValueError: no", protocol.Report()),
    protocol.StatusRequest(),
    protocol.Exited(1, True, "was killed"),
    protocol.Welcome(3),
    protocol.Weights(3, 2, PUSH.tensors),
    protocol.Released(4),
    protocol.Pulse(3, 2),
    protocol.Status(
        1, None, 0, 0, 0, protocol.Traffic(), (WorkerStatus(0, "joined", 1, 0.1, protocol.Report()),)
    ),
    protocol.Error("mismatch", "no", 3),
]  # fmt: skip


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: type(message).__name__)
def test_round_trip(message: protocol.Message) -> None:
    arrays = ARRAYS if message.payload() else []
    received, tensors = decode([bytes(frame) for frame in encode(message, arrays)])
    assert received == message
    for sent, got in zip(arrays, tensors, strict=True):
        assert (got.dtype, got.shape, got.tobytes()) == (sent.dtype, sent.shape, sent.tobytes())


def test_every_message_is_tested() -> None:
    assert {type(message) for message in EVERY_MESSAGE} == set(protocol.AnyMessage.__args__)


def test_a_transposed_array_travels_in_its_own_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    message = protocol.Push(1, 1, (), (Slot(0, "float32", (3, 2)),))
    _, (received,) = decode(encode(message, [array]))
    np.testing.assert_array_equal(received, array)


def test_a_tensor_is_neither_copied_on_its_way_out_nor_on_its_way_in() -> None:
    array = np.zeros(1000, np.float32)
    frames = encode(protocol.Push(1, 1, (), (Slot(0, "float32", (1000,)),)), [array])
    _, (received,) = decode(frames)
    assert np.shares_memory(received, array)


def header(**fields: object) -> bytes:
    return HEADER + msgspec.msgpack.encode(fields)


def push(*tensors: object) -> bytes:
    return header(type="push", seq=1, step=1, groups=[], tensors=tensors)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "without a frame"),
        ([b""], "must begin with b'RGP1'"),
        ([b"GET / HTTP/1.1\r\n"], "begins with b'GET '"),
        ([HEADER], "no message of protocol version 1"),
        ([HEADER + b"\xff" * 20], "no message of protocol version 1"),
        ([HEADER + b"\x81\xa4type\xa1\xff"], "utf-8"),
        ([bytes(protocol.MAX_HEADER + 1)], "at most"),
        ([header(type="pickle", data=b"cos\nsystem\n")], "Invalid value 'pickle'"),
        ([header(type="barrier")], "missing required field `seq`"),
        ([header(type="barrier", seq=-1)], ">= 0"),
        ([header(type="barrier", seq=1, more=2)], "unknown field `more`"),
        ([header(type="barrier", seq="1")], "Expected `int`, got `str`"),
        ([push([0, "object", [1]]), bytes(8)], "Invalid enum value 'object'"),
        ([push([0, "float32", [-1]]), b""], ">= 0"),
        ([push([0, "float32", [1] * 33]), bytes(4)], "length <= 32"),
        ([push([0, "float32", [2]])], "announces 1 tensors and comes with 0 frames"),
        ([push(), bytes(4)], "announces 0 tensors and comes with 1 frames"),
        ([push([0, "float32", [2]]), bytes(7)], "takes 8 bytes, and its frame has 7"),
        ([push([0, "float32", [2**40]]), bytes(4)], "takes 4398046511104 bytes, and its frame has 4"),
        ([push([0, "float32", [2**48, 2**48]]), bytes(4)], "is beyond"),
        ([push([0, "float32", [0, 2**48, 2**48]]), b""], "is beyond"),
        ([push([0, "float32", [1]], [0, "float32", [1]]), bytes(4), bytes(4)], "holds a tensor twice"),
        ([push([2**20, "float32", [1]]), bytes(4)], "<= 65535"),
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(frames: list[bytes], text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(frames)
    assert text in str(caught.value)


def only_protocol_errors(frames: list[bytes]) -> None:
    with contextlib.suppress(ProtocolError):
        decode(frames)


@settings(max_examples=500)
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_random_bytes_raise_only_protocol_errors(frames: list[bytes]) -> None:
    only_protocol_errors(frames)


@settings(max_examples=500)
@given(st.binary(max_size=200), st.lists(st.binary(max_size=40), max_size=3))
def test_random_headers_raise_only_protocol_errors(body: bytes, frames: list[bytes]) -> None:
    only_protocol_errors([HEADER + body, *frames])


@settings(max_examples=1000)
@given(st.data())
def test_damaged_messages_raise_only_protocol_errors(data: st.DataObject) -> None:
    message = data.draw(st.sampled_from(EVERY_MESSAGE))
    frames = [bytearray(bytes(f)) for f in encode(message, ARRAYS if message.payload() else [])]
    for _ in range(data.draw(st.integers(1, 4))):
        frame = data.draw(st.sampled_from(frames))
        if frame:
            frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(frames[0])))
    frames[0] = frames[0][: cut or None]
    only_protocol_errors([bytes(frame) for frame in frames])


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
values = st.recursive(
    scalars | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=500)
@given(st.sampled_from(EVERY_MESSAGE), st.data())
def test_wrong_fields_raise_only_protocol_errors(message: protocol.Message, data: st.DataObject) -> None:
    fields = msgspec.to_builtins(message)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(values)
    only_protocol_errors([HEADER + msgspec.msgpack.encode(fields), b"\0" * 24])


def test_a_claim_of_terabytes_allocates_nothing() -> None:
    frames = [push([0, "float32", [2**40]]), bytes(4)]
    only_protocol_errors(frames)
    tracemalloc.start()
    only_protocol_errors(frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
