"""Printed tensors against PyTorch's, character for character."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from expressions import check

import retrograd

LINES = """
torch.tensor(3)
torch.tensor(3.0)
torch.tensor(3.5, dtype=torch.float64)
torch.tensor(True)
torch.tensor([True, False])
torch.tensor([1, 20, -300])
torch.tensor([1, 2], dtype=torch.uint8)
torch.tensor([1.0, 2.0])
torch.tensor([1.0, 2.5])
torch.tensor([1e-5, 1.0])
torch.tensor([1e5, 1.5])
torch.tensor([1e9, 1.0])
torch.tensor([-0.0, 0.0])
torch.tensor([0.0, inf, -inf, float('nan')])
torch.tensor([1.5, inf])
torch.tensor([1.0, float('nan')])
torch.tensor([1e-38])
torch.tensor(1j)
torch.tensor([1 + 2j, -3.5 - 4j])
torch.tensor([1 + 2j], dtype=torch.complex128)
torch.tensor([complex(float('nan'), -inf)])
torch.tensor([1e10 + 1e-10j])
torch.tensor([], dtype=torch.int64)
torch.tensor([])
torch.zeros(0, 3)
torch.zeros(2, 0, dtype=torch.float64)
torch.zeros(2, 3, 2)
torch.arange(2000)
torch.arange(2000.0).reshape(40, 50)
torch.arange(30000).reshape(10, 10, 300)
torch.ones(3, requires_grad=True)
torch.ones(3, requires_grad=True) * 2
torch.ones(3, 4, 5, requires_grad=True, dtype=torch.float64) * 2
(torch.ones(30, requires_grad=True, dtype=torch.float64) * 1.23).sum()
torch.tensor([1.5, 2], dtype=torch.float16)
torch.tensor([1.5, 2], dtype=torch.bfloat16)
str(torch.ones(2))
f"{torch.tensor(3.0)} {torch.tensor(3.14159):.2f} {torch.ones(1)}"
torch.ones(2).dtype
torch.Size([2, 3])
""".strip().splitlines()

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"precision": 2},
    {"sci_mode": True},
    {"sci_mode": False},
    {"threshold": 5, "edgeitems": 2},
    {"edgeitems": 0, "threshold": 3},
    {"edgeitems": 1, "threshold": 10, "sci_mode": True},
    {"linewidth": 40},
    {"precision": 8, "linewidth": 120},
    {"profile": "short"},
    {"profile": "full"},
)


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    yield
    retrograd.set_printoptions(profile="default")


@pytest.mark.parametrize("line", LINES)
def test_prints_as_pytorch(line: str, backend: str) -> None:
    check(line)


def _numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Numbers of one of the kinds that the choice of a format tells apart."""
    plain = rng.standard_normal(shape)
    kinds = (
        lambda: plain,
        lambda: np.round(plain * 10),
        lambda: plain * 10.0 ** rng.integers(-6, 9),
        lambda: np.round(plain * 10.0 ** rng.integers(0, 10)),
        lambda: plain * 10.0 ** rng.integers(-4, 4, shape),
        lambda: plain * 0,
        lambda: np.where(rng.random(shape) < 0.3, np.nan, np.round(plain, 1)),
        lambda: np.where(rng.random(shape) < 0.3, rng.choice([np.inf, -np.inf], shape), plain * 1e5),
        lambda: np.where(rng.random(shape) < 0.5, rng.choice([np.inf, np.nan], shape), plain * 0),
    )
    return np.asarray(kinds[rng.integers(len(kinds))]())


def _sample(rng: np.random.Generator, dtype: str) -> Any:
    shape = tuple(rng.choice([0, 1, 2, 3, 5, 8, 30, 50], size=rng.choice([0, 1, 1, 2, 2, 3, 4])).tolist())
    if math.prod(shape) > 20_000:
        shape = shape[:2]
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if "int" in dtype:
        return (rng.standard_normal(shape) * 10.0 ** rng.integers(0, 9)).astype(np.int64).astype(dtype)
    if "complex" in dtype:
        return (_numbers(rng, shape) + 1j * _numbers(rng, shape)).astype(dtype)
    with np.errstate(over="ignore"):
        return _numbers(rng, shape).astype("float32" if dtype == "bfloat16" else dtype)


@pytest.mark.parametrize(
    "dtype",
    "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128".split(),
)
@pytest.mark.filterwarnings("ignore")
def test_random_tensors_print_as_pytorchs(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    chosen = random.Random(0)
    try:
        for _ in range(80):
            array = _sample(rng, dtype)
            options = chosen.choice(OPTIONS)
            for library in (torch, retrograd):
                library.set_printoptions(profile="default")
                library.set_printoptions(**options)
            theirs = torch.tensor(array, dtype=getattr(torch, dtype))
            ours = retrograd.tensor(array, dtype=getattr(retrograd, dtype))
            assert repr(ours) == repr(theirs).replace("torch.", "retrograd."), options
    finally:
        torch.set_printoptions(profile="default")


def test_another_backends_tensor_says_where_it_is() -> None:
    pytest.importorskip("jax")
    x = retrograd.ones(2, device="jax", dtype=retrograd.float64)
    assert repr(x) == "tensor([1., 1.], device='jax:cpu', dtype=retrograd.float64)"
    with retrograd.use_backend("jax"):
        assert repr(x) == "tensor([1., 1.], dtype=retrograd.float64)"


def test_the_default_dtype_is_not_shown() -> None:
    retrograd.set_default_dtype(retrograd.float64)
    try:
        assert repr(retrograd.tensor([1.0, 1.5])) == "tensor([1.0000, 1.5000])"
        assert "dtype=retrograd.float32" in repr(retrograd.ones(1, dtype=retrograd.float32))
    finally:
        retrograd.set_default_dtype(retrograd.float32)


def test_options_come_back() -> None:
    before = retrograd.get_printoptions()
    retrograd.set_printoptions(precision=2, sci_mode=True)
    assert retrograd.get_printoptions()["precision"] == 2
    assert retrograd.get_printoptions()["sci_mode"] is True
    retrograd.set_printoptions(profile="default")
    assert retrograd.get_printoptions() == before


def test_a_parameter_says_so() -> None:
    made = retrograd.Parameter(retrograd.zeros(2))
    assert repr(made) == "Parameter containing:\ntensor([0., 0.], requires_grad=True)"
