"""Many quotients and remainders at once are what NumPy's own loops, and C's `fmod`, give one by one."""

from typing import Any

import numpy as np
import pytest

from retrograd.backends.numpy.division import KERNELS
from retrograd.device import kernels_of


def by_numpy(name: str, a: Any, b: Any) -> Any:
    out = getattr(np, name)(a, b)
    return np.where(out == 0, np.copysign(out, a), out) if name == "remainder" else out  # PyTorch's zero


def pairs(dtype: str) -> dict[str, tuple[Any, Any]]:
    rng, n, info = np.random.default_rng(3), 9000, np.finfo(dtype)
    bits = rng.integers(0, 256, (2, n, info.dtype.itemsize), np.uint8).view(dtype)[..., 0]
    b = rng.standard_normal(n).astype(dtype)
    near = np.nextafter((rng.integers(-(2**10), 2**10, n) * b).astype(dtype), rng.choice([-9e9, 9e9], n).astype(dtype))
    tiny = info.smallest_subnormal
    special = [0, -0.0, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny, tiny, -tiny, 1, -1, 0.1, 3, -2.5]
    found = {
        "ordinary": (10 * rng.standard_normal(n), b),
        "whole": (rng.integers(-50, 50, n), rng.integers(1, 9, n) * rng.choice([-1, 1], n)),
        "bits": (bits[0], bits[1]),
        "near a multiple": (near, b),
        "a multiple": (rng.integers(-(2**26), 2**26, n).astype(dtype) * b, b),
        "special": tuple(np.tile(each, (10, 1)) for each in np.meshgrid(special, special)),
        "huge": (info.max * (1 - rng.random(n) / 1024), info.max * rng.random(n)),
        "less": (1e-7 * rng.standard_normal(n), b),
        "subnormal": (info.tiny * rng.standard_normal(n), info.tiny / 8 * rng.standard_normal(n)),
        "broadcast": (rng.standard_normal((60, 1, 70)), rng.standard_normal((1, 3, 1)).T),
        "columns": (rng.standard_normal((60, 70)).T, rng.standard_normal((70, 60))),
    }
    return {name: (np.asarray(a).astype(dtype), np.asarray(b).astype(dtype)) for name, (a, b) in found.items()}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", sorted(KERNELS))
def test_values(name: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        for kind, (a, b) in pairs(dtype).items():
            got, expected = KERNELS[name](a, b), by_numpy(name, a, b)
            assert got.dtype == expected.dtype, kind
            assert got.strides == expected.strides, kind
            wrong = ~(
                ((got == expected) & (np.signbit(got) == np.signbit(expected))) | np.isnan(got) & np.isnan(expected)
            )
            wrong |= np.isnan(got) != np.isnan(expected)
            assert not wrong.any(), (kind, *(each[wrong][:3] for each in (*np.broadcast_arrays(a, b), got, expected)))


@pytest.mark.parametrize("count", [6, 5000])
def test_numbers_and_zeros(count: int) -> None:
    K = kernels_of("numpy")
    x = np.resize(np.array([-7.5, 7.5, -4.0, 4.0, -0.0, 0.0], np.float32), count)
    for number in (2.0, -2.0, 0.1, np.float32(3)):
        whole = np.full_like(x, number)
        for name in KERNELS:
            expected = by_numpy(name, x, whole)
            np.testing.assert_array_equal(getattr(K, name)(x, number), expected)
            np.testing.assert_array_equal(getattr(K, name)(number, np.abs(x) + 1), by_numpy(name, whole, np.abs(x) + 1))
        np.testing.assert_array_equal(np.signbit(K.remainder(x, number)[4]), True)
    np.testing.assert_array_equal(K.remainder(x.astype(np.int64), 4)[:3], [1, 3, 0])
