"""Messages: what goes in comes out, and whatever else comes in is a `ProtocolError`."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
from random import Random

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrograd.distributed import protocol
from retrograd.distributed.compression import CODECS
from retrograd.distributed.errors import ProtocolError
from retrograd.distributed.gradients import unpack
from retrograd.distributed.messages import Slice, Slot, TensorSpec, WorkerStatus
from retrograd.distributed.protocol import decode, encode

HEADER = b"RGP1"
SOURCE = protocol.Source(1, 7, 3)
SEGMENT = protocol.SharedSegment(1, 5, 4096, "0123456789abcdef" * 2)
PUSH = protocol.Push(
    seq=3,
    step=2,
    groups=({"lr": 0.1, "betas": (0.9, 0.999), "fused": None, "maximize": False},),
    tensors=(
        Slot(0, "float32", (2, 3)),
        Slot(2, "bfloat16", (1,)),
        Slot(5, "int64", (0, 4)),
        Slot(6, "float32", (9, 2), rows=2),
        Slot(7, "float32", (6,), codec="fp16"),
        Slot(8, "float64", (100,), offset=64),
    ),
    present=(0, 2, 5, 6, 7, 8),
    segment=SEGMENT,
)
ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array([1.5], ml_dtypes.bfloat16),
    np.zeros((0, 4), np.int64),
    np.array([3, 8]),
    np.float32([[1, 2], [3, 4]]),
    np.float16([1, 2, 3, 4, 5, 6]),
]
WEIGHTS = (TensorSpec("w", "float32", (2, 3), 0), TensorSpec("b", "float16", (), 1))
ENTRIES = (protocol.Entry(0, "momentum", "float32", (2,)), protocol.Entry(0, "step", number=3))
EVERY_MESSAGE: list[tuple[protocol.Message, list[np.ndarray]]] = [
    (protocol.Hello("run", "worker", 4, 2**63 - 1, 3), []),
    (protocol.Init(1, "SGD", ({"lr": 0.1},), WEIGHTS, (), False), []),
    (
        protocol.Init(1, "SGD", ({"lr": 0.1},), WEIGHTS, (Slice(0, 3, 6, 3), Slice(1, 0, 1)), True),
        [np.ones((1, 3), np.float32), np.ones(1, np.float16)],
    ),
    (PUSH, ARRAYS),
    (protocol.Pull(2, 1, shared=True), []),
    (protocol.Fetch(4), []),
    (protocol.Load(4, ENTRIES), [np.zeros(2, np.float32)]),
    (protocol.Landed(4), []),
    (protocol.Barrier(4), []),
    (protocol.Heartbeat(0, 7, protocol.Report(1, 2, 0.5, 64, 1.0, 0.5)), []),
    (protocol.Bye("ValueError: no", protocol.Report()), []),
    (protocol.StatusRequest(), []),
    (protocol.Echo((Slot(0, "uint8", (3,)),)), [np.zeros(3, np.uint8)]),
    (protocol.Exited(1, True, "was killed"), []),
    (
        protocol.Welcome(
            boot=5, step=3, initialized=True, takes_part=False, received=1, shard=0, shards=2, slice_bytes=1 << 20,
            compression="topk:0.01", credit=1 << 30, recovery=60.0, shared=True,
        ),
        [],
    ),
    (protocol.Ready(1, 0, (Slice(0, 0, 6, 3),)), []),
    (protocol.Weights(PUSH.tensors, 3, 2, segment=SEGMENT), ARRAYS),
    (protocol.Kept(4, ENTRIES), [np.zeros(2, np.float32)]),
    (protocol.Done(4, 2), []),
    (protocol.Farewell(), []),
    (protocol.Released(4), []),
    (protocol.Pulse(5, 3, 2), []),
    (
        protocol.Status(
            1, None, 0, 0, 0, protocol.Traffic(), (WorkerStatus(0, "joined", 1, 0.1, protocol.Report()),)
        ),
        [],
    ),
    (protocol.Error("mismatch", "no", 3), []),
    (protocol.Follow("run", 1, 7, True), []),
    (protocol.Staged(SOURCE, True), []),
    (
        protocol.Order(
            7, 3, (SOURCE,), 1, 1.5, 0.5, 0.1, True, (SOURCE,), (SOURCE,), "nonfinite", "no",
            (protocol.Joined(2, 9, 3),), (protocol.Joined(0, 8, 2),),
        ),
        [],
    ),
    (protocol.Weigh(7, (SOURCE,), 1.0), []),
    (protocol.Weighed(7, 1, 2.5), []),
    (protocol.Rewind(7, 99), []),
]  # fmt: skip


@pytest.mark.parametrize(("message", "arrays"), EVERY_MESSAGE, ids=lambda each: getattr(type(each), "__name__", ""))
def test_round_trip(message: protocol.Message, arrays: list[np.ndarray]) -> None:
    received, tensors = decode([bytes(frame) for frame in encode(message, arrays)])
    assert received == message
    for sent, got in zip(arrays, tensors, strict=True):
        assert (got.dtype, got.shape, got.tobytes()) == (sent.dtype, sent.shape, sent.tobytes())


def test_every_message_is_tested() -> None:
    assert {type(message) for message, _ in EVERY_MESSAGE} == set(protocol.AnyMessage.__args__)


def test_a_transposed_array_travels_in_its_own_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    message = protocol.Push((Slot(0, "float32", (3, 2)),), 1, 1)
    _, (received,) = decode(encode(message, [array]))
    np.testing.assert_array_equal(received, array)


def test_a_tensor_is_neither_copied_on_its_way_out_nor_on_its_way_in() -> None:
    array = np.zeros(1000, np.float32)
    frames = encode(protocol.Push((Slot(0, "float32", (1000,)),), 1, 1), [array])
    _, (received,) = decode(frames)
    assert np.shares_memory(received, array)


def header(**fields: object) -> bytes:
    return HEADER + msgspec.msgpack.encode(fields)


def push(*tensors: object) -> bytes:
    return header(type="push", seq=1, step=1, tensors=tensors)


def init(table: object, slices: object) -> bytes:
    return header(type="init", seq=1, optimizer="SGD", groups=[], table=table, slices=slices, weights=True)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "without a frame"),
        ([b""], "must begin with b'RGP1' or b'RGP2'"),
        ([b"GET / HTTP/1.1\r\n"], "begins with b'GET '"),
        ([HEADER], "no message of protocol version 7"),
        ([HEADER + b"\xff" * 20], "no message of protocol version 7"),
        ([HEADER + b"\x81\xa4type\xa1\xff"], "utf-8"),
        ([bytes(protocol.MAX_HEADER + 1)], "at most"),
        ([header(type="pickle", data=b"cos\nsystem\n")], "Invalid value 'pickle'"),
        ([header(type="barrier")], "missing required field `seq`"),
        ([header(type="barrier", seq=-1)], ">= 0"),
        ([header(type="barrier", seq=1, more=2)], "unknown field `more`"),
        ([header(type="barrier", seq="1")], "Expected `int`, got `str`"),
        ([push([0, "object", [1]]), bytes(8)], "Invalid enum value 'object'"),
        ([push([0, "float32", [-1]]), b""], ">= 0"),
        ([push([0, "float32", [1] * 3]), bytes(4)], "length <= 2"),
        ([push([0, "float32", [3, 1], -1, 4]), bytes(32), bytes(16)], "shape (3, 1) cannot travel as 4 rows"),
        ([push([0, "float32", [3], -1, 1]), bytes(8), bytes(4)], "shape (3,) cannot travel as 1 rows"),
        ([push([0, "float32", [3, 1], -1, 1, "fp16"]), bytes(8), bytes(2)], "cannot travel as 1 rows"),
        ([push([0, "float32", [3, 1], -1, 2**40]), bytes(8), bytes(4)], "cannot travel as 1099511627776 rows"),
        ([push([0, "float32", [3], -1, -1, "zip"]), bytes(8)], "compressed by 'zip', which is none of"),
        ([push([0, "int32", [3], -1, -1, "fp16"]), bytes(6)], "no gradient of dtype int32 travels as 'fp16'"),
        (
            [push([0, "float32", [3], -1, -1, "topk", [2**40]]), bytes(8)],
            "the count of numbers must be one whole number",
        ),
        ([init([["w", "float32", [3]]], [[1, 0, 3]]), bytes(12)], "is no slice of any of 1 tensors"),
        ([init([["w", "float32", [3]]], [[0, 3, 0]]), b""], "is no slice of any of 1 tensors"),
        ([push([0, "float32", [2]])], "announces 1 arrays and comes with 0 frames"),
        ([push(), bytes(4)], "announces 0 arrays and comes with 1 frames"),
        ([push([0, "float32", [2]]), bytes(7)], "takes 8 bytes, and its frame has 7"),
        ([push([0, "float32", [2**40]]), bytes(4)], "takes 4398046511104 bytes, and its frame has 4"),
        ([push([0, "float32", [2**48, 2**48]]), bytes(4)], "bytes, and its frame has 4"),
        ([push([0, "float32", [0, 2**48]]), b""], "is beyond"),
        ([push([0, "float32", [1]], [0, "float32", [1]]), bytes(4), bytes(4)], "holds a slice twice"),
        ([push([2**20, "float32", [1]]), bytes(4)], "<= 1048575"),
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
    frames = [bytearray(bytes(frame)) for frame in encode(*data.draw(st.sampled_from(EVERY_MESSAGE)))]
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
@given(st.sampled_from([message for message, _ in EVERY_MESSAGE]), st.data())
def test_wrong_fields_raise_only_protocol_errors(message: protocol.Message, data: st.DataObject) -> None:
    fields = msgspec.to_builtins(message)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(values)
    only_protocol_errors([HEADER + msgspec.msgpack.encode(fields), b"\0" * 24])


numbers = st.lists(st.integers(-(2**63), 2**63 - 1) | st.floats(), max_size=3)
lengths = st.lists(st.integers(0, 2**48), max_size=2) | st.lists(st.integers(0, 8), max_size=2)


@settings(max_examples=500)
@given(
    st.sampled_from(["float32", "bfloat16", "int8", "complex64"]),
    lengths,
    st.integers(-1, 9),
    st.sampled_from(sorted(CODECS)),
    numbers,
    st.lists(st.binary(max_size=64), max_size=3),
)
def test_compressed_gradients_that_nobody_made_raise_only_protocol_errors(
    dtype: str, shape: list[int], rows: int, codec: str, numbers: list[float], frames: list[bytes]
) -> None:
    with contextlib.suppress(ProtocolError):
        message, arrays = decode([push([0, dtype, shape, -1, rows, codec, numbers]), *frames])
        assert isinstance(message, protocol.Push)
        unpack(message.tensors, arrays)


def mutated(random: Random) -> list[bytes]:
    """A message with a few bytes turned, put in, taken out or repeated."""
    frames = [bytearray(bytes(frame)) for frame in encode(*random.choice(EVERY_MESSAGE))]
    for _ in range(random.randint(1, 4)):
        frame = random.choice(frames)
        place, count = random.randint(0, len(frame)), random.randint(0, 8)
        frame[place : place + random.choice((0, count))] = random.choice(
            (random.randbytes(count), frame[place : place + count], b"")
        )
    return [bytes(frame) for frame in frames]


def test_ten_thousand_mutated_messages_raise_only_protocol_errors_and_leave_nothing() -> None:
    random, refused = Random(0), 0
    for number in range(12_000):
        if number == 2_000:  # what is kept of each kind of message, and the texts of errors, are there by now
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
        try:
            decode(mutated(random))
        except ProtocolError:
            refused += 1
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused > 6_000
    assert after - before < 50_000, after - before


def test_a_claim_of_terabytes_allocates_nothing() -> None:
    frames = [push([0, "float32", [2**40]]), bytes(4)]
    only_protocol_errors(frames)
    tracemalloc.start()
    only_protocol_errors(frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
