"""Second derivatives of functions made of straight lines: zero, and not missing; at a kink that of PyTorch's side."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd

_GIVEN = """
at = torch.tensor([0.25, -1.5, 0.0, 0.5, -0.5, 1.0, -1.0, 3.0], dtype=torch.float64)
slope = torch.tensor([0.25], dtype=torch.float64)

def second(function, create_graph=False):
    x = at.clone().requires_grad_()
    (g,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x, create_graph=create_graph)
    print(g.requires_grad, h.requires_grad, (h + 0).tolist())

def weighted(function):
    x, w = at.clone().requires_grad_(), torch.arange(1.0, 9.0, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad((function(x) * w).square().sum(), x, create_graph=True)
    print([(each + 0).round(decimals=10).tolist() for each in torch.autograd.grad((g * w).sum(), (x, w))])

def mixed(function):
    print((torch.func.hessian(lambda x: function(x).sum())(at) + 0).round(decimals=10).diag().tolist())
"""


def test_activations() -> None:
    assert_same(
        """
    for function in (
        F.hardshrink, F.softshrink, F.leaky_relu, F.hardtanh, F.relu, F.relu6, F.elu, F.selu, F.celu,
        lambda x: F.threshold(x, 0.25, 20.0), lambda x: F.threshold(x, 0.0, 0.0), lambda x: F.prelu(x, slope),
        lambda x: F.prelu(x, x[1:2] * 1), lambda x: F.celu(x, 0.5), lambda x: F.elu(x, 0.5),
        lambda x: F.elu(x * 1, 0.5, True), lambda x: F.celu(x * 1, 0.5, True), lambda x: F.selu(x * 1, True),
    ):
        second(function)
        second(function, create_graph=True)
        weighted(function)
        mixed(function)
        print(torch.autograd.functional.hessian(lambda x: function(x).sum(), at, strict=True).diag().tolist())
    """,
        _GIVEN,
    )


def test_losses() -> None:
    assert_same(
        """
    y, classes = torch.zeros_like(at), torch.tensor([1])
    for reduction in ("none", "mean", "sum"):
        for size in (1.0, 0.5):
            weighted(lambda x: F.smooth_l1_loss(x, y, beta=size, reduction=reduction))
            weighted(lambda x: F.huber_loss(x, y, delta=size, reduction=reduction))
            mixed(lambda x: F.smooth_l1_loss(x, y, beta=size, reduction=reduction))
        for weight in (None, at.abs()):
            loss = lambda x: F.nll_loss(x[None], classes, weight, reduction=reduction)
            second(loss)
            mixed(loss)
            second(lambda x: F.nll_loss(x.reshape(1, 4, 2), torch.tensor([[1, 3]]), reduction=reduction))
    """,
        _GIVEN,
    )


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_on(backend: str) -> None:
    with retrograd.use_backend(backend):
        assert_same(
            """
        weighted(F.softshrink)
        weighted(lambda x: F.prelu(x, x[1:2] * 1))
        weighted(lambda x: F.elu(x * 1, 0.5, True))
        second(lambda x: F.nll_loss(x[None], torch.tensor([1])))
        weighted(lambda x: F.smooth_l1_loss(x, torch.zeros_like(at)))
        """,
            _GIVEN,
        )


def test_what_has_none() -> None:
    assert_same(
        """
    attempt(second, F.hardsigmoid)
    attempt(mixed, F.hardsigmoid)
    attempt(second, lambda x: F.multi_margin_loss(x[None], torch.tensor([1]), p=2))
    """,
        _GIVEN,
    )
