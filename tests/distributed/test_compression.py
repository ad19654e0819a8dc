"""Codecs of gradients: what each promises of its error, of bytes, of NaN and of its state."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings, strategies as st

from retrograd.distributed.compression import (
    CODECS,
    BFloat16,
    Codec,
    Encoded,
    ErrorFeedback,
    Float16,
    Int8,
    OneBit,
    Plain,
    PowerSGD,
    TopK,
    codec_for,
)
from retrograd.distributed.errors import ProtocolError

Array = npt.NDArray[Any]

BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float16), BF16, np.dtype(np.float32), np.dtype(np.float64)]
WITH_FEEDBACK = ["topk:0.05", "topk:0.4", "1bit", "powersgd:1", "powersgd:3"]
MARKED = [*WITH_FEEDBACK, "int8"]
SPECS = ["none", "fp16", "bf16", *MARKED]
# Scalar, vectors and matrices; empty, of one element, of less and more than a block, and than a chunk of 65536.
SHAPES = [(), (0,), (1,), (7,), (1025,), (70_000,), (0, 3), (3, 0), (1, 1), (5, 3), (16, 24), (1, 2000), (300, 256)]

every_codec = pytest.mark.parametrize("spec", SPECS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def normal(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32, *, seed: int = 0, scale: float = 1.0) -> Array:
    values = np.random.default_rng(seed).standard_normal(shape) * scale
    return np.asarray(values).astype(dtype)


def epsilon(dtype: npt.DTypeLike) -> float:
    return float(ml_dtypes.finfo(np.dtype(dtype)).eps)


def exact(array: Array) -> Array:
    return array.astype(np.float64)


def there(codec: Codec, gradient: Array, key: int = 0) -> Array:
    """What a server makes of what a worker encodes, frames as they come from a socket: read-only, at any address."""
    encoded = codec.encode(key, gradient)
    layout = type(codec).layout(gradient.shape, gradient.dtype, encoded.numbers)
    frames = []
    for frame, (dtype, shape) in zip(encoded.frames, layout, strict=True):
        assert frame.flags.c_contiguous
        frames.append(np.ndarray(shape, dtype, buffer=b"x" + frame.tobytes(), offset=1))
    return type(codec).decode(Encoded(encoded.numbers, tuple(frames)), gradient.shape, gradient.dtype)


def state_bytes(codec: Codec) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in codec.state_dict().items()}


@st.composite
def gradients(draw: st.DrawFn, dtypes: list[np.dtype[Any]] = DTYPES) -> Array:
    """Finite gradients of all sizes of numbers: normal ones with zeros, or any that hypothesis finds."""
    dtype = draw(st.sampled_from(dtypes))
    top = float(ml_dtypes.finfo(dtype).max)
    if draw(st.booleans()):
        number = st.floats(-top, top, width=64 if dtype.itemsize == 8 else 32)
        shape = draw(st.sampled_from([(9,), (3, 4), (12, 12)]))
        flat = draw(st.lists(number, min_size=1, max_size=int(np.prod(shape))))
        return np.resize(np.array(flat), shape).astype(dtype)
    values = normal(draw(st.sampled_from(SHAPES)), np.float64, seed=draw(st.integers(0, 1000)))
    values = np.where(np.abs(values) < draw(st.sampled_from([0.0, 0.5, 9.0])), 0, values)
    scale = 10.0 ** draw(st.integers(-4, 4) if dtype.itemsize == 2 else st.integers(-40, 37))
    return np.asarray(values * scale).clip(-top, top).astype(dtype)


# ---- what all have in common -------------------------------------------------------------------------------


@every_codec
@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_gradient_comes_out_with_its_shape_and_dtype_and_is_not_changed(
    spec: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    codec, gradient = codec_for(spec), normal(shape, dtype)
    before = gradient.tobytes()
    for _ in range(2):
        decoded = there(codec, gradient)
        assert (decoded.shape, decoded.dtype) == (shape, dtype)
        assert np.isfinite(decoded).all()
    assert gradient.tobytes() == before


@every_codec
@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bytes_are_those_that_were_promised(spec: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    codec, gradient = codec_for(spec), normal(shape, dtype)
    encoded = codec.encode(0, gradient)
    assert encoded.nbytes == codec.nbytes(shape, dtype)
    # Blocks and runs that are not full cost what full ones do; that is all that a small gradient may grow by.
    assert encoded.nbytes <= gradient.nbytes + 16
    assert codec.ratio(shape, dtype) == (gradient.nbytes / encoded.nbytes if gradient.size else 1.0)


@pytest.mark.parametrize(
    ("spec", "dtype", "ratio"),
    [
        ("none", np.float32, 1),
        ("fp16", np.float32, 2),
        ("bf16", np.float32, 2),
        ("fp16", BF16, 1),
        ("bf16", np.float16, 1),
        ("int8", np.float32, 32 / (8 + 32 / 256)),
        ("int8", BF16, 16 / (8 + 32 / 256)),
        ("topk:0.01", np.float32, 66.6),
        ("topk:0.001", np.float64, 794.8),
        ("1bit", np.float32, 32 / (1 + 2 * 32 / 1024)),
        ("1bit", np.float16, 16 / (1 + 2 * 16 / 1024)),
        ("powersgd:1", np.float32, 512),
        ("powersgd:4", np.float64, 128),
    ],
)
def test_the_promised_ratios(spec: str, dtype: npt.DTypeLike, ratio: float) -> None:
    codec, gradient = codec_for(spec), normal((1024, 1024), dtype)
    assert gradient.nbytes / codec.encode(0, gradient).nbytes == pytest.approx(ratio, rel=1e-3)
    assert codec.ratio(gradient.shape, dtype) == pytest.approx(ratio, rel=1e-3)


@every_codec
@every_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(9,), (40, 30)])
def test_a_gradient_that_is_not_finite_arrives_so_and_leaves_no_trace(
    spec: str, dtype: np.dtype[Any], bad: float, shape: tuple[int, ...]
) -> None:
    codec, gradient = codec_for(spec), normal(shape, dtype)
    codec.encode(0, gradient)
    before = state_bytes(codec)
    worse = gradient.copy()
    worse.reshape(-1)[5] = bad
    decoded = there(codec, worse)
    assert (decoded.shape, decoded.dtype) == (shape, dtype)
    assert not np.isfinite(decoded.reshape(-1)[5])
    assert state_bytes(codec) == before
    if type(codec).carries_not_finite:
        np.testing.assert_array_equal(exact(decoded).reshape(-1)[5], bad)
        assert np.isfinite(np.delete(decoded, 5)).all()
    elif codec.encode(0, worse).frames == ():  # PowerSGD sends as it is what it cannot shrink
        assert np.isnan(decoded).all()


@every_codec
def test_frames_are_not_written_to_by_later_calls(spec: str) -> None:
    codec = codec_for(spec)
    first = codec.encode(0, normal((64, 64)))
    before = [frame.tobytes() for frame in first.frames]
    for seed in range(3):
        codec.encode(0, normal((64, 64), seed=seed))
    assert [frame.tobytes() for frame in first.frames] == before


@every_codec
def test_keys_do_not_mix(spec: str) -> None:
    both, alone = codec_for(spec, seed=3), codec_for(spec, seed=3)
    for step in range(4):
        both.encode(1, normal((20, 30), seed=100 + step))
        assert there(both, normal((20, 30), seed=step)).tobytes() == there(alone, normal((20, 30), seed=step)).tobytes()


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec != "none"])
def test_only_none_takes_what_is_not_floating(spec: str) -> None:
    for dtype in (np.int64, np.complex64, np.bool_):
        with pytest.raises(TypeError, match="takes floating-point gradients, and this one is"):
            codec_for(spec).encode(0, np.zeros(4, dtype))
        with pytest.raises(ProtocolError, match="no gradient of dtype"):
            type(codec_for(spec)).layout((4,), dtype, ())


# ---- choosing one ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "kind", "again"),
    [
        ("none", Plain, "none"),
        ("fp16", Float16, "fp16"),
        ("bf16", BFloat16, "bf16"),
        ("int8", Int8, "int8"),
        ("topk", TopK, "topk:0.01"),
        ("topk:1e-3", TopK, "topk:0.001"),
        ("1bit", OneBit, "1bit"),
        ("powersgd", PowerSGD, "powersgd:2"),
        ("powersgd:7", PowerSGD, "powersgd:7"),
    ],
)
def test_a_codec_is_chosen_by_name(spec: str, kind: type[Codec], again: str) -> None:
    codec = codec_for(spec)
    assert type(codec) is kind
    assert CODECS[kind.name] is kind
    assert codec.spec == codec_for(codec.spec).spec == again


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("zip", "no codec is called 'zip': there are none, fp16, bf16, int8, topk, 1bit and powersgd"),
        ("", "no codec is called ''"),
        ("NONE", "no codec is called 'NONE'"),
        ("int8:4", "the codec 'int8' takes no argument, and '4' was given"),
        ("none:", "the codec 'none' takes no argument, and '' was given"),
        ("topk:", "a fraction from 0 to 1, not before ''"),
        ("topk:0", "a fraction from 0 to 1, not before '0'"),
        ("topk:1.5", "a fraction from 0 to 1, not before '1.5'"),
        ("topk:nan", "a fraction from 0 to 1, not before 'nan'"),
        ("powersgd:0", "a rank of at least 1, not before '0'"),
        ("powersgd:two", "a rank of at least 1, not before 'two'"),
    ],
)
def test_a_wrong_spec_is_refused_with_a_reason(spec: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"codec|goes before") as caught:
        codec_for(spec)
    assert text in str(caught.value)


# ---- none, fp16, bf16 --------------------------------------------------------------------------------------


@given(st.sampled_from([*DTYPES, np.dtype(np.int32), np.dtype(np.complex64)]), st.binary(max_size=160))
def test_none_is_bit_equal(dtype: np.dtype[Any], content: bytes) -> None:
    gradient = np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype)
    codec = Plain()
    assert codec.encode(0, gradient).frames[0] is gradient
    assert there(codec, gradient).tobytes() == gradient.tobytes()


@settings(max_examples=300)
@given(gradients())
def test_fp16_errs_by_half_a_unit_whatever_the_magnitude(gradient: Array) -> None:
    decoded = there(Float16(), gradient)
    if gradient.itemsize == 2:
        assert decoded.tobytes() == gradient.tobytes()
        return
    values, arrived = exact(gradient), exact(decoded)
    peak = np.abs(values).max(initial=0)
    smallest = float(np.finfo(gradient.dtype).tiny)  # the power of two has the dtype's range, and no more
    tops = peak >= float(np.finfo(gradient.dtype).max) * (1 - 2.0**-11)
    bound = np.abs(values) * 2.0**-11 + max(peak * 2.0**-39, smallest * 2.0**-24)
    assert tops or (np.abs(arrived - values) <= bound * (1 + 1e-6)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fp16_takes_the_smallest_numbers(dtype: npt.DTypeLike) -> None:
    tiny = np.finfo(dtype).tiny
    gradient = np.array([tiny * 2**-8, -tiny * 2**-10, 0], dtype)
    np.testing.assert_array_equal(there(Float16(), gradient), gradient)


def test_fp16_keeps_every_half_that_needs_no_power() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    gradient = halves[np.abs(halves) < 2**15].astype(np.float32)  # no NaN is smaller than anything
    encoded = Float16().encode(0, gradient)
    assert encoded.numbers == (0,)
    assert encoded.frames[0].tobytes() == gradient.astype(np.float16).tobytes()
    assert there(Float16(), gradient).tobytes() == gradient.tobytes()


def test_fp16_rounds_as_ieee_does_but_for_ties() -> None:
    gradient = np.append(normal((200_000,), seed=4, scale=100.0), np.float32(2.0**15 - 16))
    scaled = np.append(gradient * np.float32(2.0**-20), np.float32(2.0**15 - 16))
    for each in (gradient, scaled):
        encoded = Float16().encode(0, each)
        tie = (each.view(np.uint32) & 0x1FFF) == 0x1000
        normals = np.abs(each) >= 2.0**-14
        assert encoded.numbers == (0,)
        np.testing.assert_array_equal(encoded.frames[0][~tie & normals], each.astype(np.float16)[~tie & normals])
        np.testing.assert_allclose(exact(encoded.frames[0]), exact(each), rtol=2.0**-11, atol=2.0**-25)


@settings(max_examples=300)
@given(gradients())
def test_bf16_errs_by_half_a_unit(gradient: Array) -> None:
    decoded = there(BFloat16(), gradient)
    if gradient.itemsize == 2:
        assert decoded.tobytes() == gradient.tobytes()
        return
    inside = np.abs(exact(gradient)) < 3.38e38
    error = np.abs(exact(decoded) - exact(gradient))
    assert (error[inside] <= np.abs(exact(gradient))[inside] * 2.0**-8 + 2.0**-133).all()


# ---- int8 --------------------------------------------------------------------------------------------------


def steps_of(gradient: Array) -> Array:
    """For each element the distance between levels in its block."""
    flat = np.abs(exact(gradient)).reshape(-1)
    filled = np.concatenate([flat, np.zeros(-flat.size % 256)]).reshape(-1, 256)
    return (filled.max(axis=1) / 127).repeat(256)[: flat.size].reshape(gradient.shape)


@settings(max_examples=300)
@given(gradients(), st.integers(0, 2**70), st.integers(-3, 2**65))
def test_int8_is_never_off_by_more_than_a_level(gradient: Array, seed: int, key: int) -> None:
    decoded = there(Int8(seed=seed), gradient, key)
    error, work = np.abs(exact(decoded) - exact(gradient)), np.float64 if gradient.itemsize == 8 else np.float32
    rounding = np.abs(exact(gradient)) * epsilon(gradient.dtype) + float(ml_dtypes.finfo(gradient.dtype).tiny)
    assert (error <= steps_of(gradient) * (1 + 1e-5) + rounding + float(np.finfo(work).tiny)).all()


@every_dtype
def test_int8_is_unbiased(dtype: np.dtype[Any]) -> None:
    gradient, trials = normal((600,), dtype), 4000
    codec, kind = Int8(seed=1), Int8
    total, squares = np.zeros(gradient.shape), np.zeros(gradient.shape)
    for _ in range(trials):
        error = exact(kind.decode(codec.encode(0, gradient), gradient.shape, dtype)) - exact(gradient)
        total += error
        squares += error**2
    step = steps_of(gradient)
    # A level is rounded to the gradient's dtype when it is decoded, which is not by chance.
    rounding = np.abs(exact(gradient)) * epsilon(dtype) / 2 + step * (epsilon(dtype) + 2.0**-16)
    # The central limit theorem: five standard deviations of a mean of errors with variance of at most step^2 / 4.
    assert (np.abs(total / trials) <= 5 * step / 2 / np.sqrt(trials) + rounding).all()
    assert (np.sqrt(squares / trials) <= step / 2 * 1.1 + rounding).all()
    assert np.mean(squares / trials / step**2) == pytest.approx(1 / 6, rel=0.15)  # that of a uniform fraction


def test_int8_is_unbiased_below_the_normal_numbers_and_sends_zeros_for_zeros() -> None:
    gradient = np.full(65_536, 2.0**-130, np.float32)
    gradient[:512] = 0
    (codes, _) = Int8().encode(0, gradient).frames
    assert not codes[:512].any()
    assert there(Int8(), gradient)[512:].mean(dtype=np.float64) == pytest.approx(2.0**-130, rel=0.05)


def test_int8_has_room_for_the_largest_of_each_block() -> None:
    # With the largest fraction that chance knows, and a quotient that rounding makes more than 127, the sum
    # would be 128: a sign that changes.
    peaks = np.random.default_rng(2).uniform(1, 2, 4096).astype(np.float32)
    gradient = peaks.repeat(256)
    codec = Int8()
    for _ in range(12):
        assert codec.encode(0, gradient).frames[0].min() == 126


def test_int8_errors_of_different_chunks_do_not_add_up() -> None:
    # Halfway between levels, in five chunks: each error is half a level up or down. Were the noise of a chunk
    # that of another, the sum over chunks would have a variance five times as large.
    gradient = np.full(5 * 65_536, 0.5 / 127, np.float32)
    gradient[::256] = 1.0
    codec, sums = Int8(seed=7), []
    for _ in range(300):
        decoded = Int8.decode(codec.encode(0, gradient), gradient.shape, gradient.dtype)
        sums.append((exact(decoded) - exact(gradient)).reshape(5, 65_536).sum(axis=0)[1:32])
    assert np.var(np.concatenate(sums) * 127) == pytest.approx(5 / 4, rel=0.15)


def test_int8_is_a_function_of_seed_key_and_call() -> None:
    gradient = normal((3000,))

    def codes(seed: int, key: int, calls: int) -> bytes:
        codec = Int8(seed=seed)
        return [codec.encode(key, gradient).frames[0].tobytes() for _ in range(calls)][-1]

    assert codes(1, 2, 3) == codes(1, 2, 3)
    assert len({codes(1, 2, 3), codes(2, 2, 3), codes(1, 3, 3), codes(1, 2, 4), codes(3, 2, 1), codes(2, 1, 3)}) == 6


# ---- error feedback ----------------------------------------------------------------------------------------


def residual(codec: Codec, like: Array, key: int = 0) -> Array:
    return codec.state_dict().get(f"residual.{key}", np.zeros(like.shape))


@pytest.mark.parametrize("spec", WITH_FEEDBACK)
@settings(max_examples=60)
@given(shape=st.sampled_from(SHAPES), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99), steps=st.integers(1, 12))
def test_what_arrives_is_what_was_sent_less_the_residual(
    spec: str, shape: tuple[int, ...], dtype: np.dtype[Any], seed: int, steps: int
) -> None:
    codec, sent, arrived, largest = codec_for(spec), np.zeros(shape), np.zeros(shape), 0.0
    for step in range(steps):
        gradient = normal(shape, dtype, seed=seed + step)
        decoded = there(codec, gradient)
        sent += exact(gradient)
        arrived += exact(decoded)
        largest = max(largest, float(np.abs(decoded).max(initial=0)), float(np.abs(gradient).max(initial=0)))
    # Each step adds once and subtracts once in float32, or float64.
    tolerance = 4 * steps * max(largest, 1) * epsilon(np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_allclose(arrived + residual(codec, sent), sent, rtol=0, atol=tolerance)


@pytest.mark.parametrize("spec", WITH_FEEDBACK)
def test_a_sum_beyond_half_precision_is_sent_in_parts(spec: str) -> None:
    codec, sent, arrived = codec_for(spec), np.zeros((40, 30)), np.zeros((40, 30))
    for step in range(12):
        gradient = np.random.default_rng(step).uniform(3e4, 6.5e4, (40, 30)).astype(np.float16) * (step < 4)
        decoded = there(codec, gradient)
        assert np.isfinite(decoded).all()
        sent += exact(gradient)
        arrived += exact(decoded)
    np.testing.assert_allclose(arrived + residual(codec, sent), sent, rtol=1e-5)


@pytest.mark.parametrize("spec", WITH_FEEDBACK)
@settings(max_examples=150)
@given(gradient=gradients())
def test_an_encoding_with_feedback_never_lengthens(spec: str, gradient: Array) -> None:
    codec = codec_for(spec)
    decoded = there(codec, gradient)
    if not np.isfinite(decoded).all():
        # PowerSGD's factors hold lengths of rows and columns, which may be too large for the dtype.
        assert spec.startswith("powersgd")
        assert np.abs(exact(gradient)).max() > float(ml_dtypes.finfo(gradient.dtype).max) / 100
        return
    top = np.abs(exact(gradient)).max(initial=0)
    if top == 0:
        assert not exact(decoded).any()
        return
    values, left = exact(gradient) / top, exact(residual(codec, gradient)) / top
    assert np.linalg.norm(left) <= np.linalg.norm(values) * (1 + 1e-5)
    if isinstance(codec, TopK):
        part = max(1, round(codec.fraction * gradient.size)) / gradient.size
        rounding = epsilon(gradient.dtype) * np.linalg.norm(values)
        assert np.linalg.norm(left) <= np.sqrt(1 - part) * np.linalg.norm(values) + rounding


@pytest.mark.parametrize("spec", WITH_FEEDBACK)
def test_the_residual_stays_bounded(spec: str) -> None:
    codec, shape, lengths, longest = codec_for(spec), (64, 48), [], 0.0
    delta = 1.0
    for step in range(400):
        gradient = normal(shape, seed=step) + 0.3
        total = exact(gradient) + exact(residual(codec, gradient))
        codec.encode(0, gradient)
        lengths.append(float(np.linalg.norm(residual(codec, gradient))))
        longest = max(longest, float(np.linalg.norm(gradient)))
        delta = min(delta, 1 - (lengths[-1] / float(np.linalg.norm(total))) ** 2)
    assert delta > 0
    assert max(lengths) <= 2 * np.sqrt(1 - delta) / delta * longest  # Lemma 3 of Karimireddy et al.
    assert max(lengths[200:]) <= 1.05 * max(lengths[:200])


class Worker:
    """One of several whose losses have different minima: no gradient vanishes where their sum does."""

    def __init__(self, index: int, spec: str, feedback: bool) -> None:
        made = codec_for(spec)
        assert isinstance(made, ErrorFeedback)
        made.feedback = feedback
        self.codec = made
        self.curvature = normal((16, 12), np.float64, seed=index) ** 2 + 0.5
        self.centre = normal((16, 12), np.float64, seed=50 + index, scale=3.0)

    def push(self, weights: Array) -> Array:
        return there(self.codec, self.curvature * (weights - self.centre))


@pytest.mark.parametrize("spec", ["topk:0.05", "1bit", "powersgd:1"])
def test_a_quadratic_is_minimised_with_feedback_and_not_without(spec: str) -> None:
    def distance(feedback: bool) -> float:
        workers = [Worker(index, spec, feedback) for index in range(4)]
        curvature = sum(worker.curvature for worker in workers)
        best = sum(worker.curvature * worker.centre for worker in workers) / curvature
        weights = np.zeros((16, 12))
        for step in range(1000):
            # A slower and slower step: the residuals' part in the weights shrinks with it.
            weights = weights - 0.02 / (1 + step / 100) * sum(worker.push(weights) for worker in workers)
        return float(np.linalg.norm(weights - best) / np.linalg.norm(best))

    assert distance(True) < 0.05
    assert distance(False) > 0.5


# ---- top-k -------------------------------------------------------------------------------------------------


def patterns(size: int) -> Iterator[Array]:
    """Gradients that mislead a sample at equal distances, among others."""
    yield normal((size,))
    yield np.where(np.arange(size) % 4, normal((size,)), 0).astype(np.float32)
    yield np.where(np.arange(size) % (size // 2**14 or 1), 0, 5) + normal((size,), scale=1e-3)
    yield np.where(np.arange(size) % (size // 2**14 or 1), 5, 0) + normal((size,), scale=1e-3)
    yield np.sort(normal((size,)))
    yield np.ones(size, np.float32)
    yield normal((size,)).round(1)


@pytest.mark.parametrize("size", [1, 5, 1000, 2**15, 2**15 + 1, 200_000])
@pytest.mark.parametrize("fraction", [1e-6, 0.001, 0.01, 0.3, 1.0])
def test_topk_sends_the_largest(size: int, fraction: float) -> None:
    count = min(size, max(1, round(fraction * size)))
    for gradient in patterns(size):
        decoded = there(TopK(fraction), gradient)
        chosen = np.flatnonzero(decoded)
        np.testing.assert_array_equal(decoded[chosen], gradient[chosen])
        wanted = np.sort(np.abs(gradient))[size - count :]
        np.testing.assert_array_equal(np.sort(np.abs(decoded[chosen])), wanted[wanted > 0])


def test_topk_sends_no_zeros() -> None:
    gradient = np.zeros((1000, 300), np.float32)
    assert TopK(0.5).encode(0, gradient).nbytes == 4 * 5  # a count for each run of 65536
    gradient[[3, 999], [7, 299]] = 0.5, -2.0
    encoded = TopK(0.5).encode(0, gradient)
    assert encoded.numbers == (2,)
    assert [frame.tolist() for frame in encoded.frames] == [[1, 0, 0, 0, 1], [907, 299_999 % 65_536], [0.5, -2.0]]


# ---- 1-bit -------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(gradients([np.dtype(np.float32), np.dtype(np.float64)]))
def test_1bit_has_the_mean_of_each_sign_in_each_block(gradient: Array) -> None:
    flat, decoded = exact(gradient).reshape(-1), exact(there(OneBit(), gradient)).reshape(-1)
    for start in range(0, flat.size, 1024):
        block, arrived = flat[start : start + 1024], decoded[start : start + 1024]
        for sign in (np.signbit(block), ~np.signbit(block)):
            if sign.any():
                mean = (block[sign] / sign.sum()).sum()
                np.testing.assert_allclose(arrived[sign], mean, rtol=1e-4, atol=np.finfo(gradient.dtype).tiny)


def test_1bit_does_not_overflow_where_a_sum_would() -> None:
    top = float(np.finfo(np.float32).max)
    gradient = np.full(3000, top, np.float32) * np.where(np.arange(3000) % 3, 1, -1).astype(np.float32)
    np.testing.assert_allclose(there(OneBit(), gradient), gradient, rtol=1e-5)


# ---- PowerSGD ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_powersgd_has_orthonormal_columns_and_finds_a_matrix_of_its_rank(rank: int) -> None:
    gradient = normal((60, rank), np.float64) @ normal((rank, 40), np.float64, seed=1)
    encoded = PowerSGD(rank).encode(0, gradient)
    left, _ = encoded.frames
    np.testing.assert_allclose(left.T @ left, np.eye(rank), atol=1e-12)
    np.testing.assert_allclose(PowerSGD.decode(encoded, (60, 40), "float64"), gradient, atol=1e-10)


def test_powersgd_goes_on_where_it_stopped() -> None:
    gradient = normal((50, 40), np.float64)
    singular = np.linalg.svd(gradient, compute_uv=False)
    codec = PowerSGD(2, feedback=False)
    errors = [float(np.linalg.norm(there(codec, gradient) - gradient)) for _ in range(200)]
    best = float(np.sqrt((singular[2:] ** 2).sum()))
    assert errors[-1] == pytest.approx(best, rel=1e-3)
    assert errors[0] > best * 1.03  # one iteration from a random start does not find it
    assert all(after <= before * (1 + 1e-9) for before, after in itertools.pairwise(errors))


@pytest.mark.parametrize("shape", [(1000,), (1, 1000), (4, 4), (0, 9), ()])
def test_powersgd_sends_as_it_is_what_it_cannot_shrink(shape: tuple[int, ...]) -> None:
    codec, gradient = PowerSGD(2), normal(shape)
    assert there(codec, gradient).tobytes() == gradient.tobytes()
    assert codec.state_dict() == {}


def test_powersgd_recovers_from_zeros() -> None:
    codec, gradient = PowerSGD(2), np.outer(np.arange(9.0), np.arange(8.0))
    assert not there(codec, np.zeros((9, 8))).any()
    np.testing.assert_allclose(there(codec, gradient), gradient, atol=1e-10)


def test_powersgd_announces_factors_that_overflow() -> None:
    codec = PowerSGD(1)
    codec.encode(0, normal((30, 40)))
    before = state_bytes(codec)
    assert np.isnan(there(codec, np.full((30, 40), 3e38, np.float32))).all()
    assert state_bytes(codec) == before


# ---- state -------------------------------------------------------------------------------------------------


@every_codec
def test_a_codec_goes_on_from_its_saved_state(spec: str) -> None:
    steps = [normal((30, 40), seed=step) for step in range(8)]
    whole, first, second = (codec_for(spec, seed=5) for _ in range(3))
    expected = [there(whole, gradient, key).tobytes() for gradient in steps for key in (3, -1)]
    found = [there(first, gradient, key).tobytes() for gradient in steps[:5] for key in (3, -1)]
    saved = first.state_dict()
    there(first, steps[0], 3)  # which what was saved does not see
    second.load_state_dict(mine := {name: array.copy() for name, array in saved.items()})
    for array in mine.values():
        array[...] = 0
    found += [there(second, gradient, key).tobytes() for gradient in steps[5:] for key in (3, -1)]
    assert found == expected


@every_codec
def test_reset_makes_a_codec_new(spec: str) -> None:
    codec, new = codec_for(spec), codec_for(spec)
    for seed in range(3):
        codec.encode(0, normal((30, 40), seed=seed))
    codec.reset()
    assert codec.state_dict() == {}
    assert there(codec, normal((30, 40))).tobytes() == there(new, normal((30, 40))).tobytes()


@pytest.mark.parametrize("name", ["residual.0.5", "residual.", "residual", "factor.x", "calls.0", "momentum.1", ""])
def test_state_of_another_codec_is_refused_whole(name: str) -> None:
    codec = codec_for("powersgd")
    codec.encode(0, normal((30, 40)))
    before = state_bytes(codec)
    with pytest.raises(ValueError, match="is not state of the codec 'powersgd'"):
        codec.load_state_dict({"residual.1": np.zeros(3), name: np.zeros(3)})
    assert state_bytes(codec) == before


@pytest.mark.parametrize("spec", WITH_FEEDBACK)
def test_another_shape_under_the_same_key_is_an_error(spec: str) -> None:
    codec = codec_for(spec)
    codec.encode(4, normal((30, 40)))
    for other in (normal((31, 40)), normal((30, 40), np.float64)):
        with pytest.raises(ValueError, match=r"of key 4 has shape .* reset\(\) forgets the former"):
            codec.encode(4, other)
    codec.encode(5, normal((31, 40)))
