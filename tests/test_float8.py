"""The float8 types, beside PyTorch: kept, converted, moved and compared, and refused by what computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import assert_same

import retrograd

TYPES = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]
each_type = pytest.mark.parametrize("name", TYPES)
some_types = pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e8m0fnu"])  # each takes time to compile


def given(name: str) -> str:
    return f"NAME = {name!r}\nd = getattr(torch, NAME)\nx = torch.tensor([1.0, 2.0, 0.5, 4.0]).to(d)\n"


@pytest.mark.usefixtures("backend")
@some_types
def test_the_type_and_what_makes_it(name: str) -> None:
    assert_same(
        """
        print(d, d.itemsize, d.is_signed, d.is_floating_point, d.is_complex, d.to_real(), torch.finfo(d))
        f = torch.finfo(d)
        print(f.eps, f.max, f.min, f.tiny, f.smallest_normal, f.resolution, f.bits, f.dtype)
        attempt(d.to_complex)
        attempt(torch.set_default_dtype, d)
        print(x, x.type(), x.element_size(), x.nbytes, x.tolist(), x[1].item(), float(x[2]), bool(x[0]), f"{x[3]:.1f}")
        print(torch.tensor([1.0, 3.0], dtype=d), torch.ones(2, dtype=d))
        print(torch.eye(2, dtype=d)[0, 0], x.new_full((2,), 2))
        print(torch.zeros(2, dtype=d).dtype, torch.empty(0, dtype=d), torch.ones_like(x), torch.full_like(x, 8))
        for number in (1e6, math.inf, math.nan, -1e10, 1e39, True, 3 + 0j, 2j):
            attempt(lambda: torch.full((1,), number, dtype=d).float())
            attempt(lambda: torch.zeros(1, dtype=d).fill_(number).float())
            attempt(lambda: torch.tensor([number], dtype=d).float())
        for make in (torch.rand, torch.randn, torch.arange):
            attempt(make, 3, dtype=d)
        attempt(torch.linspace, 0, 1, 3, dtype=d)
        attempt(torch.randint, 3, (2,), dtype=d)
        attempt(x.numpy)
        """,
        given(name),
    )


def sweep() -> np.ndarray[Any, Any]:
    """Numbers on both sides of each number of each type, and of each middle between two of them."""
    codes = np.arange(256, dtype=np.uint8)
    known = [codes.view(retrograd.ones(1, dtype=getattr(retrograd, name))._host().dtype) for name in TYPES]
    numbers = np.unique(np.concatenate([each.astype(np.float32) for each in known]))
    numbers = numbers[np.isfinite(numbers)]
    middles = (numbers[1:].astype(np.float64) + numbers[:-1]) / 2
    points = np.concatenate([numbers, middles.astype(np.float32), np.float32([0, 464, 480, 61440, 65536, 3e38, 1e-45])])
    points = np.concatenate([points, np.nextafter(points, np.float32(0)), np.nextafter(points, np.float32(np.inf))])
    return np.concatenate([points, -points, np.float32([np.inf, -np.inf, np.nan])])


@each_type
def test_rounding_and_overflow(name: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    points = sweep()
    if backend == "jax":  # XLA on CPUs takes numbers too small to be normal for zero
        points = points[(np.abs(points) >= np.finfo(np.float32).tiny) | (points == 0)]
    for wide in ("float32", "float64"):
        ours = retrograd.tensor(points.astype(wide)).to(getattr(retrograd, name))._host().view(np.uint8)
        theirs = torch.tensor(points.astype(wide)).to(getattr(torch, name)).view(torch.uint8).numpy()
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.usefixtures("backend")
@each_type
def test_every_number_in_other_types(name: str) -> None:
    assert_same(
        """
        every = torch.frombuffer(bytearray(range(256)), dtype=d)
        finite = every[every.float().isfinite() & (every.float().abs() < 100) & (every.float().abs() > 1e-30)]
        for other in "float32 float64 float16 bfloat16 complex64".split():
            print([f"{number:g}" for number in every.to(getattr(torch, other)).float().tolist() if abs(number) > 1e-30])
        for other in "int64 int32 int8 bool".split():
            print(finite.to(getattr(torch, other)).tolist())
        """
        + "".join(f"print(finite.to(torch.{other}).float().tolist())\n" for other in TYPES),
        given(name),
    )


@pytest.mark.usefixtures("backend")
@some_types
def test_what_moves_and_compares(name: str) -> None:
    assert_same(
        """
        i, b, m = torch.tensor([2, 0]), torch.tensor([True, False, True, False]), x.reshape(2, 2)
        print(x.clone(), m.T.contiguous(), x.expand(2, 4), x[1:], x[i], x[b], x.index_select(0, i), x.masked_select(b))
        print(torch.cat([x, x]), torch.stack([x, x]), x.repeat(2), x.roll(1), x.split(3), x.unbind()[3], m.diag())
        print(torch.where(b, x, 1.0), torch.where(b, x, x.roll(1)), F.embedding(i - i, m))
        print(x == x.clone(), x != 1, torch.equal(x, x.clone()), x.isnan(), x.any(), x.all(), torch.isreal(x))
        y = x.clone()
        y[0], y[2:] = 1000.0, torch.tensor([-1e9, 0.3])
        print(y.float(), y.copy_(torch.tensor([3e38, 0.1, 5.0, math.nan])).float(), torch.zeros(4).copy_(x))
        print(x.sum(dtype=torch.float32), x.cumsum(0, dtype=torch.float32), x.softmax(0, dtype=torch.float32))
        for f in (torch.abs, torch.isfinite, torch.isinf, lambda x: torch.mm(m, m), lambda x: torch.addmm(m, m, m)):
            attempt(f, x)
        torch.testing.assert_close(x, x.clone())
        """,
        given(name),
    )


@pytest.mark.usefixtures("backend")
@some_types
def test_promotion_and_arithmetic_are_refused(name: str) -> None:
    assert_same(
        """
        for other in "float32 float16 int64 uint8 bool uint16 complex64 float8_e4m3fn float8_e5m2".split():
            other = getattr(torch, other)
            attempt(torch.promote_types, d, other)
            attempt(torch.promote_types, other, d)
            print(torch.can_cast(d, other), torch.can_cast(other, d))
        attempt(lambda: torch.cat([x, torch.ones(2)]))
        for f in (lambda x: x + x, lambda x: x * 2, lambda x: 1 - x, lambda x: x / 2, lambda x: -x, lambda x: x < x):
            attempt(f, x)
        for f in (lambda x: x + torch.ones(4), lambda x: x + torch.tensor(1.0), lambda x: x.clone().add_(x)):
            attempt(f, x)
        for f in "exp sqrt tanh sum mean prod max argmax sort cumsum nonzero unique flip relu sigmoid tril".split():
            attempt(getattr(x if f != "tril" else x.reshape(2, 2), f), *((0,) if f in ("cumsum", "flip") else ()))
        for f in "normal_ uniform_ exponential_ random_ cauchy_ log_normal_".split():
            attempt(getattr(x.clone(), f))
        for f in (torch.fft.fft, torch.trace, torch.linalg.inv, torch.logical_not, torch.count_nonzero):
            attempt(f, x.reshape(2, 2))
        for f in ("layer_norm", "gelu", "silu"):
            attempt(getattr(F, f), x, *(((4,),) if f == "layer_norm" else ()))
        """,
        given(name),
    )


@pytest.mark.usefixtures("backend")
def test_gradients_go_through_a_cast() -> None:
    assert_same(
        """
        for name, scale in (("float8_e4m3fn", 3000.0), ("float8_e5m2", 0.3), ("float8_e5m2", 1e9)):
            w = torch.tensor([0.3, 1.0, 2000.0], requires_grad=True)
            small = w.to(getattr(torch, name))
            print(small.requires_grad, small.grad_fn.name())
            (small.float() * scale).sum().backward()
            print(small.float().tolist(), w.grad)
        leaf = torch.ones(2, dtype=torch.float8_e5m2, requires_grad=True)
        leaf.float().sum().backward()
        print(leaf, leaf.grad)
        """
    )


@pytest.mark.usefixtures("backend")
@some_types
def test_files_and_copies(name: str) -> None:
    assert_same(
        """
        import copy, io, pickle
        file = io.BytesIO()
        torch.save({"x": x, "part": x[1:3]}, file)
        file.seek(0)
        print(torch.load(file), copy.deepcopy(x), pickle.loads(pickle.dumps(d)) is d, x.untyped_storage().nbytes())
        print(x.to("meta").shape, torch.vmap(lambda each: each.float() * 2)(x), nn.Linear(2, 2).to(d).weight.dtype)
        """,
        given(name),
    )


@each_type
def test_memory_seen_as_another_type(name: str) -> None:
    assert_same(
        """
        bits = x.view(torch.uint8)
        print(bits, bits.view(d), x.view(torch.int16).shape, torch.arange(250, 256, dtype=torch.uint8).view(d).isnan())
        bits[0] = bits[1]
        print(x, x.as_strided((2, 2), (1, 2)))
        """,
        given(name),
    )


@each_type
def test_products_and_printing(name: str) -> None:
    assert_same(
        """
        m = torch.tensor([[1.0, 2.0], [4.0, 8.0]]).to(d)
        print(m * m, m * m[:1], m * torch.ones(2), torch.mul(m, m, out=torch.empty_like(m)), m.clone().mul_(m))
        for other in (m[0, 0], 2, torch.tensor(2.0)):
            attempt(lambda: m * other)
        print(torch.zeros(2, dtype=d), torch.zeros(2, dtype=d).float())
        print(torch.ones(2, dtype=d).zero_(), m.new_zeros(1)[0])
        for values in ([math.nan, 1.0], [math.nan, 0.0], [0.0, 1.0], [1e5, 0.25], [math.nan], [0.5, 1e-30]):
            print(torch.tensor(values).to(d))
        """,
        given(name),
    )


@pytest.mark.parametrize(("one", "other"), [("torch", "retrograd"), ("retrograd", "torch")])
def test_either_library_reads_the_other(one: str, other: str, tmp_path: Path) -> None:
    writer, reader = pytest.importorskip(one), pytest.importorskip(other)
    for name in TYPES:
        writer.save(writer.tensor([1.0, 2.0], dtype=getattr(writer, name)), tmp_path / name)
        found = reader.load(tmp_path / name)
        assert (found.dtype, found.tolist()) == (getattr(reader, name), [1.0, 2.0])
