"""`retrograd.testing`: what is close, what the errors say, and what tensors are made: as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.testing import make_tensor

_PRELUDE = """
        import numpy as np
        nan, inf = math.nan, math.inf
        t = torch.tensor

        def close(*args, **kwargs):
            attempt(torch.testing.assert_close, *args, **kwargs)

        def made(*shape, **options):
            options.setdefault("device", "cpu")
            try:
                x = torch.testing.make_tensor(*shape, **options)
            except Exception as error:
                print(type(error).__name__, error)
                return
            print(x.shape, x.dtype, x.requires_grad, x.is_leaf, x.is_contiguous(), x.stride())
"""

PROGRAMS = {
    "numbers": """
        for pair in (
            (1, 1), (1, 2), (1.0, 1.0 + 1e-9), (1.0, 1.1), (1, 1.0), (1 + 2j, 1 + 3j), (1j, 1.0), (inf, inf),
            (1.0, nan),
            (nan, nan), (1.0, 0.0), (0, 1), (np.float32(1), np.float32(2)), (np.int64(1), 1), (-inf, inf),
        ):
            close(*pair)
            close(*pair, rtol=0, atol=0)
            close(*pair, rtol=0.5, atol=0.25, equal_nan=True, check_dtype=False)
    """,
    "other_kinds": """
        for pair in (
            (True, False), (True, True), (True, np.bool_(True)), (None, None), (None, 1), ("a", "b"), (object, object),
            (1, t(1)), (t(1), 1), (t([1.0]), [1.0]), (np.ones(2), np.ones(2)), (np.ones(2), np.zeros(2)),
            (np.ones(2), torch.ones(2)), ("ab", ["a", "b"]), ([1], 1), ({1}, {1}),
        ):
            close(*pair)
    """,
    "tensors": """
        for pair in (
            (t([1.0, 2.0]), t([1.0, 3.0])), (t([1.0, 2.0, 3.0]), t([1.0, 3.0, 5.0])), (t(1.0), t(2.0)),
            (t([1, 2]), t([1, 3])), (t([1, 2]), t([1.0, 3.0])), (t([1, 2]), t([[1, 2]])), (t([nan]), t([nan])),
            (t([1.0, nan]), t([1.0, 2.0])), (t([0.0]), t([2.0])), (t([1.0]), t([0.0])), (t([inf]), t([1.0])),
            (torch.ones(2, 2, 2), torch.ones(2, 2, 2) * t([1.0, 2.0])), (t([True, False]), t([True, True])),
            (t([1j]), t([2j])), (t([1.0, 2.0], requires_grad=True), t([1.0, 2.0])), (torch.empty(0), torch.empty(0)),
            (t([2**62]), t([2**62 + 1])), (t(3, dtype=torch.uint8), t(5, dtype=torch.uint8)),
            (t([255, 0], dtype=torch.uint8), t([0, 255], dtype=torch.uint8)), (t([[1.0]]), t([[1.5]])),
            (t(2.0), t(2.0, dtype=torch.complex64)), (t([-1.0, 5.0]), t([1.0, 5.0])),
            (nn.Parameter(t([1.0])), t([1.0])), (t([1.0], dtype=torch.float64), t([1.0])),
        ):
            close(*pair)
            close(*pair, equal_nan=True, check_dtype=False)
            close(*pair, rtol=0.25, atol=0.5)
            close(*pair, rtol=0, atol=0)
            close(*pair, allow_subclasses=False)
        close(torch.ones(2, 3), torch.ones(3, 2).t(), check_stride=True)
        close(torch.ones(2, 3), torch.ones(3, 2).t())
    """,
    "tolerances": """
        for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128):
            for difference in (1e-2, 2e-3, 5e-4, 2e-6, 5e-7, 5e-8):
                close(t([1.0, 0.0], dtype=kind), t([1.0 + difference, 0.0], dtype=kind))
                close(t([1.0, difference], dtype=kind), t([1.0, 0.0], dtype=kind))
        close(t([1.0]), t([1.0]), rtol=1.0)
        close(t([1.0]), t([1.0]), atol=1.0)
    """,
    "containers": """
        for pair in (
            ([t([1.0]), t([2.0])], [t([1.0]), t([3.0])]), ({"x": t([1.0])}, {"x": t([3.0])}), ([1], [1, 2]), ([], []),
            ({"a": 1}, {"b": 1}), ({"a": 1}, {"a": 1, "b": 2}), ([1], (1,)), ([1, 2, 3], [2, 3, 4]),
            (range(3), range(3)),
            ([[1, 2], {"k": [3.0]}], [[1, 2], {"k": [4.0]}]), ({1: 1, "a": 2}, {1: 1, "a": 3}),
            ((t([1.0]),), (t([1.0, 2.0]),)),
            ([1, "a"], [2, "a"]), ({"b": 1, "a": 1}, {"a": 2, "b": 2}),
        ):
            close(*pair)
    """,
    "messages": """
        close(t([1.0]), t([3.0]), msg="mine")
        close([t([1.0]), 1], [t([3.0]), 2], msg=lambda text: "<" + text + ">")
        close(t([1.0]), t([1.0]), msg="mine")
    """,
    "made": """
        f = torch.float32
        for name in "float32 float16 bfloat16 float64 complex64 bool uint8 int8 int64".split():
            kind = getattr(torch, name)
            made(2, 3, dtype=kind)
            made((2, 3), dtype=kind, noncontiguous=True)
            made([2], dtype=kind, requires_grad=True)
        made(dtype=f)
        made((), dtype=f)
        made(1, dtype=f, noncontiguous=True)
        made((2, 1), dtype=f, noncontiguous=True)
        made(2, dtype=f, requires_grad=True, noncontiguous=True)
        for low, high in ((1, 0), (1, 1), (nan, 1), (inf, inf), (1.5, 3.5), (300, 500), (-5, -1), (1, None),
                          (None, -20), (inf, None), (-inf, inf), (0.2, 0.6)):
            made(2, dtype=f, low=low, high=high)
            if inf not in (low, high) and -inf not in (low, high):
                made(2, dtype=torch.int64, low=low, high=high)
                made(2, dtype=torch.uint8, low=low, high=high)
        made(2, dtype="x")
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(_PRELUDE + PROGRAMS[name])


KINDS = [retrograd.float32, retrograd.complex64, retrograd.int64, retrograd.uint8, retrograd.bool]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_made_values_lie_between_the_bounds_and_vary(kind: retrograd.dtype, backend: str) -> None:
    default = make_tensor(300, dtype=kind, device="cpu")
    parts = retrograd.view_as_real(default) if kind.is_complex else default
    low, high = {retrograd.bool: (0, 1), retrograd.uint8: (0, 9)}.get(kind, (-9, 9))
    assert low <= float(parts.min()) < float(parts.max()) <= high
    if kind is not retrograd.bool:
        chosen = make_tensor(300, dtype=kind, device="cpu", low=2, high=5)
        parts = retrograd.view_as_real(chosen) if kind.is_complex else chosen
        assert 2 <= float(parts.min()) < float(parts.max()) <= 5


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_zeros_are_replaced_where_asked(kind: retrograd.dtype, backend: str) -> None:
    high = 1e-45 if kind.is_floating_point or kind.is_complex else 1
    made = make_tensor(5, dtype=kind, device="cpu", low=0, high=high, exclude_zero=True)
    assert bool((made != 0).all())


def test_whatever_lies_between_infinities_is_finite(backend: str) -> None:
    made = make_tensor(100, dtype=retrograd.float32, device="cpu", low=-float("inf"), high=float("inf"))
    assert bool(made.isfinite().all())
    assert float(made.abs().max()) > 1e37


def test_tensors_of_two_devices_differ_unless_told() -> None:
    one, other = retrograd.ones(2, device="numpy"), retrograd.ones(2, device="jax")
    with pytest.raises(AssertionError, match=r"attribute 'device' do not match: numpy:cpu != jax:cpu"):
        retrograd.testing.assert_close(one, other)
    retrograd.testing.assert_close(one, other, check_device=False)
