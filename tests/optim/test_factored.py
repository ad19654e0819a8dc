"""Adafactor, Muon and SparseAdam, beside PyTorch's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from programs import assert_same

import retrograd

TRAIN = """
def numbers(*shape):
    return torch.sin(torch.arange(float(math.prod(shape)))).reshape(shape)

def train(make, *shapes, steps=4):
    weights = [nn.Parameter(numbers(*shape)) for shape in shapes]
    optimizer = make(weights)
    for step in range(steps):
        optimizer.zero_grad()
        sum(((each - 0.3) ** 2 * (step + 1)).sum() for each in weights).backward()
        optimizer.step()
    for each in weights:
        print([round(x, 2) for x in each.detach().flatten().tolist()])
        print({name: tuple(value.shape) for name, value in optimizer.state[each].items()})
"""


def test_adafactor_trains_as_pytorchs() -> None:
    program = """
    for options in {}, {"lr": 0.1, "weight_decay": 0.1}, {"d": 2.0, "eps": (1e-3, 1e-2)}, {"lr": 0.3, "maximize": True}:
        train(lambda weights: torch.optim.Adafactor(weights, **options), (3, 2), (4,), (2, 2, 3))
    w = nn.Parameter(torch.ones(1))
    for options in {"lr": -1.0}, {"beta2_decay": 1.0}, {"eps": (-1.0, 0.1)}, {"eps": (None, -1.0)}, {"d": 0.5}:
        attempt(lambda: torch.optim.Adafactor([w], **options))
    """
    assert_same(program, TRAIN)


def trained_by_muon(torch: ModuleType, options: dict[str, Any]) -> list[float]:
    """A wide and a tall matrix after four steps."""
    starts = [torch.sin(torch.arange(float(n * m))).reshape(n, m) for n, m in ((3, 2), (2, 4))]
    weights = [torch.nn.Parameter(each) for each in starts]
    optimizer = torch.optim.Muon(weights, **options)
    for step in range(4):
        optimizer.zero_grad()
        sum(((each - 0.3) ** 2 * (step + 1)).sum() for each in weights).backward()
        optimizer.step()
    return [x for each in weights for x in each.detach().flatten().tolist()]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.1, "weight_decay": 0.5},
        {"lr": 0.1, "nesterov": False},
        {"lr": 0.05, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 2},
    ],
)
def test_muon_trains_as_pytorchs(options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    # Both compute in bfloat16, with roundings at different places.
    assert trained_by_muon(retrograd, options) == pytest.approx(trained_by_muon(torch, options), abs=0.02)


def test_what_muon_refuses() -> None:
    assert_same("""
    w = nn.Parameter(torch.ones(1, 1))
    for options in {"lr": -1.0}, {"momentum": -1.0}, {"weight_decay": -1.0}, {"adjust_lr_fn": "x"}:
        attempt(lambda: torch.optim.Muon([w], **options))
    attempt(lambda: torch.optim.Muon([nn.Parameter(torch.ones(2))]))
    """)


def test_products_of_bfloat16_with_numbers_stay_bfloat16() -> None:
    assert_same("""
    x = torch.ones(2, 2, dtype=torch.bfloat16)
    print(torch.addmm(x, x, x, beta=2.0, alpha=0.5), torch.baddbmm(x[None], x[None], x[None], alpha=0.5))
    """)


def test_sparse_adam_refuses_dense_gradients() -> None:
    assert_same("""
    w = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SparseAdam([w])
    print(optimizer.step())
    w.sum().backward()
    attempt(optimizer.step)
    for options in {"lr": 0.0}, {"eps": 0.0}, {"betas": (1.0, 0.9)}:
        attempt(lambda: torch.optim.SparseAdam([w], **options))
    """)


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_on_jax(name: str) -> None:
    ends = []
    for backend in "numpy", "jax":
        w = retrograd.nn.Parameter(retrograd.tensor([[1.0, -2.0], [0.5, 3.0]], device=backend))
        optimizer = getattr(retrograd.optim, name)([w], lr=0.1)
        loss = optimizer.step(lambda w=w: w.square().sum().backward())
        assert loss is None
        ends.append(w.detach().to("numpy"))
    assert retrograd.allclose(*ends, atol=0.02)
