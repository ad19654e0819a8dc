"""Codecs of gradients, on the server's side: what is refused, before what is allocated."""

from __future__ import annotations

import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings, strategies as st

from retrograd.distributed.compression import CODECS, Codec, Encoded, TopK, codec_for
from retrograd.distributed.errors import ProtocolError

Array = npt.NDArray[Any]

every_codec = pytest.mark.parametrize("spec", ["none", "fp16", "bf16", "int8", "topk:0.05", "1bit", "powersgd:2"])


def normal(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
    return np.asarray(np.random.default_rng(0).standard_normal(shape)).astype(dtype)


def sample(spec: str, shape: tuple[int, ...] = (30, 40)) -> tuple[type[Codec], Encoded]:
    codec = codec_for(spec)
    return type(codec), codec.encode(0, normal(shape))


def replaced(frames: tuple[Array, ...], index: int, place: Any, value: Any) -> tuple[Array, ...]:
    changed = [frame.copy() for frame in frames]
    changed[index][place] = value
    return tuple(changed)


NUMBERS = [(), (0,), (1,), (-1,), (7,), (2**40,), (1200,), (1.0,), (np.nan,), (np.inf,), (256, 256), (True,), (1000,)]
ACCEPTED = {
    # What each takes for a gradient of 30 x 40; `()` says that it is not finite, or has no power of two.
    "none": {()},
    "fp16": {(), (0,), (1,), (-1,), (7,)},
    "bf16": {()},
    "int8": {()},
    "topk": {(), (0,), (1,), (7,), (1200,), (1000,)},
    "1bit": {()},
    "powersgd": {(), (0,), (1,), (7,)},
}


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
def test_numbers_out_of_range_are_refused_before_any_frame_is_looked_at(name: str, numbers: tuple[Any, ...]) -> None:
    # By their text, since True == 1 and 1.0 == 1.
    if repr(numbers) in map(repr, ACCEPTED[name]):
        CODECS[name].layout((30, 40), np.float32, numbers)
        return
    with pytest.raises(ProtocolError):
        CODECS[name].layout((30, 40), np.float32, numbers)


@pytest.mark.parametrize("block", [4, 7, 100, 257, 2**17])
@pytest.mark.parametrize("name", ["int8", "1bit"])
def test_blocks_end_where_chunks_do(name: str, block: int) -> None:
    with pytest.raises(ProtocolError, match="length of a block"):
        CODECS[name].layout((10,), "float32", (block,))


@pytest.mark.parametrize("block", [8, 64, 4096, 65_536])
@pytest.mark.parametrize("name", ["int8", "1bit"])
def test_a_decoder_reads_blocks_of_any_allowed_length(name: str, block: int) -> None:
    size = 70_001
    (first, shape), (second, other) = CODECS[name].layout((size,), "float32", (block,))
    ones = np.full(shape, 2 if name == "int8" else 0, first)
    scales = np.arange(1, 1 + -(-size // block), dtype=second)
    scales = scales if name == "int8" else np.stack([scales * 2, -scales], axis=1)
    assert scales.shape == other
    decoded = CODECS[name].decode(Encoded((block,), (ones, scales)), (size,), "float32")
    np.testing.assert_array_equal(decoded, 2 * (1 + np.arange(size) // block))


@every_codec
def test_frames_of_another_number_shape_or_dtype_are_refused(spec: str) -> None:
    kind, encoded = sample(spec)
    wrong = [
        encoded.frames[:-1],
        (*encoded.frames, encoded.frames[-1]),
        (encoded.frames[0].reshape(-1)[:-1], *encoded.frames[1:]),
        (encoded.frames[0].reshape(1, 1, *encoded.frames[0].shape), *encoded.frames[1:]),
        (encoded.frames[0].astype(np.int64), *encoded.frames[1:]),
    ]
    for frames in wrong:
        with pytest.raises(ProtocolError, match="comes in frames"):
            kind.decode(Encoded(encoded.numbers, frames), (30, 40), np.float32)


@pytest.mark.parametrize(
    ("spec", "frame", "place", "value", "text"),
    [
        ("topk:0.05", 1, -1, 1200, "within the gradient"),
        ("topk:0.05", 1, 0, 65_535, "in ascending order"),
        ("topk:0.05", 1, slice(2), 0, "in ascending order"),
        ("topk:0.05", 0, 0, 59, "add up to another number"),
        ("topk:0.05", 0, 0, 2**32 - 1, "add up to another number"),
        ("topk:0.05", 2, 3, np.nan, "NaN or an infinity"),
        ("topk:0.05", 2, 3, -np.inf, "NaN or an infinity"),
        ("int8", 1, 0, np.nan, "negative or not finite"),
        ("int8", 1, 1, np.inf, "negative or not finite"),
        ("int8", 1, 0, -1.0, "negative or not finite"),
        ("1bit", 1, (0, 0), -1.0, "of the wrong sign"),
        ("1bit", 1, (1, 1), 1.0, "of the wrong sign"),
        ("1bit", 1, (0, 1), np.nan, "not finite"),
        ("1bit", 1, (0, 0), np.inf, "not finite"),
        ("powersgd:2", 0, (3, 1), np.nan, "not finite"),
        ("powersgd:2", 1, (3, 1), np.inf, "not finite"),
        ("fp16", 0, (3, 3), np.nan, "is not finite"),
        ("fp16", 0, (3, 3), -np.inf, "is not finite"),
    ],
)
def test_contents_out_of_range_are_refused(spec: str, frame: int, place: Any, value: Any, text: str) -> None:
    kind, encoded = sample(spec)
    kind.decode(encoded, (30, 40), np.float32)
    with pytest.raises(ProtocolError, match=text):
        kind.decode(encoded._replace(frames=replaced(encoded.frames, frame, place, value)), (30, 40), np.float32)


@pytest.mark.parametrize(
    ("places", "allowed"),
    [
        ([65_535, 0, 8_927], True),  # 140000 = 2 * 65536 + 8928
        ([65_535, 0, 8_928], False),
        ([65_535, 0, 65_535], False),
        ([65_535, 8_927, 8_927], False),
        ([0, 8_927, 0], False),
    ],
)
def test_topk_places_are_held_against_every_run(places: list[int], allowed: bool) -> None:
    frames = (np.array([1, 0, 2], np.uint32), np.array(places, np.uint16), np.array([1, 2, 3], np.float32))
    if allowed:
        decoded = TopK.decode(Encoded((3,), frames), (140_000,), "float32")
        assert np.flatnonzero(decoded).tolist() == [65_535, 131_072, 139_999]
        return
    with pytest.raises(ProtocolError, match="within the gradient"):
        TopK.decode(Encoded((3,), frames), (140_000,), "float32")


def test_topk_of_everything_costs_no_more_memory() -> None:
    gradient = normal((2048, 1024))
    encoded = TopK(1.0).encode(0, gradient)
    assert encoded.numbers == (gradient.size,)
    assert memory(lambda: TopK.decode(encoded, gradient.shape, np.float32)) < gradient.nbytes + 2_000_000


@every_codec
@settings(max_examples=200)
@given(data=st.data())
def test_damaged_frames_raise_only_protocol_errors(spec: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(["float16", ml_dtypes.bfloat16, "float32", "float64"]))
    codec = codec_for(spec)
    kind, encoded = type(codec), codec.encode(0, normal((30, 40), dtype))
    frames = [bytearray(frame.tobytes()) for frame in encoded.frames]
    for _ in range(data.draw(st.integers(1, 6))):
        frame = data.draw(st.sampled_from(frames))
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    arrays = [
        np.frombuffer(frame, array.dtype).reshape(array.shape)
        for frame, array in zip(frames, encoded.frames, strict=True)
    ]
    number = st.integers(-(2**63), 2**64 - 1) | st.integers(-8, 1300) | st.floats()
    numbers = data.draw(st.just(encoded.numbers) | st.lists(number, max_size=3).map(tuple))
    try:
        decoded = kind.decode(Encoded(numbers, tuple(arrays)), (30, 40), dtype)
    except ProtocolError:
        return
    assert (decoded.shape, decoded.dtype) == ((30, 40), dtype)


@every_codec
def test_a_decoder_allocates_its_result_and_a_few_chunks(spec: str) -> None:
    gradient = normal((2048, 1024))
    encoded, kind = codec_for(spec).encode(0, gradient), type(codec_for(spec))
    assert memory(lambda: kind.decode(encoded, gradient.shape, gradient.dtype)) < gradient.nbytes + 2_000_000


def memory(call: Any) -> int:
    call()
    tracemalloc.start()
    result = call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    return peak
