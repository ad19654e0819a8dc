"""`uint16`, `uint32` and `uint64`, beside PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

TYPES = ["uint16", "uint32", "uint64"]


@pytest.mark.parametrize("name", TYPES)
def test_the_type_and_its_conversions(name: str, backend: str) -> None:
    assert_same(
        """
        import numpy as np
        d = getattr(torch, NAME)
        print(d, d.itemsize, d.is_signed, d.is_floating_point, d.is_complex, torch.iinfo(d), torch.iinfo(d).max)
        x = torch.tensor([1, 2, 3], dtype=d)
        print(x, x.tolist(), x[1].item(), x.numpy().dtype, x.is_signed(), int(x[0]), float(x[0]), bool(x[0]))
        for other in "float32 int64 uint8 bool int32 uint16 uint64 complex64 bfloat16".split():
            other = getattr(torch, other)
            print(x.to(other), torch.ones(2, dtype=other).to(d))
        print(torch.from_numpy(np.arange(3, dtype=NAME)), torch.as_tensor(np.arange(3, dtype=NAME)).dtype)
        print(torch.frombuffer(bytearray(16), dtype=d).shape, torch.tensor(torch.iinfo(d).max, dtype=d))
        """,
        f"NAME = {name!r}\n",
    )


@pytest.mark.parametrize("name", TYPES)
def test_promotion(name: str) -> None:
    assert_same(
        """
        d = getattr(torch, NAME)
        for other in "float32 float16 int64 uint8 bool int32 uint16 uint32 uint64 complex64".split():
            other = getattr(torch, other)
            attempt(torch.promote_types, d, other)
            attempt(torch.promote_types, other, d)
            print(torch.can_cast(d, other), torch.can_cast(other, d))
        x = torch.tensor([1, 2, 3], dtype=d)
        attempt(lambda: x + torch.tensor([1, 2, 3]))
        attempt(lambda: x + torch.ones(3, dtype=torch.uint8))
        print(x + 1.5, x * torch.tensor(0.5))
        """,
        f"NAME = {name!r}\n",
    )


@pytest.mark.parametrize("name", TYPES)
def test_operators(name: str, backend: str) -> None:
    assert_same(
        """
        d = getattr(torch, NAME)
        x = torch.tensor([3, 1, 2], dtype=d)
        print(torch.zeros(2, dtype=d), torch.full((2,), 7, dtype=d), torch.zeros_like(x), torch.full_like(x, 3))
        print(x * x, x / x, x == x, x.sum(), x.prod(), x.cumsum(0), x.any(), x.all(), x & 1, x ^ x, x.sqrt(), x.sort())
        print(x[torch.tensor([0, 2])], torch.where(x == 1, x, x * 2), x.roll(1), x.repeat(2), x.expand(2, 3))
        print(x.unique())
        print(torch.cat([x, x]), torch.stack([x, x]).shape, torch.equal(x, x.clone()), x.argsort(), x.reshape(3, 1).t())
        x.fill_(9)
        x[0] = 5
        print(x, x.copy_(torch.tensor([1.0, 2.0, 3.0])), x.zero_())
        attempt(x.requires_grad_)
        attempt(x.mean)
        """,
        f"NAME = {name!r}\n",
    )


def test_numbers_beyond_a_type() -> None:
    assert_same(
        """
        for value in (2**64 - 1, 2**63, 2**64, -1):
            for d in (torch.int64, torch.uint64, torch.uint32, torch.uint16):
                attempt(torch.tensor, value, dtype=d)
                attempt(torch.tensor, [value], dtype=d)
        """
    )
