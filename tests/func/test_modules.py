"""Modules called with other parameters, alone, under transforms, and several at once."""

from __future__ import annotations

import pytest

import retrograd
from retrograd import func, nn


def model() -> nn.Module:
    retrograd.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def test_given_parameters_are_used_and_the_own_ones_come_back(backend: str) -> None:
    net = model()
    own = dict(net.named_parameters())
    zeros = {name: retrograd.zeros_like(each) for name, each in own.items()}
    x = retrograd.ones(1, 3)
    assert func.functional_call(net, zeros, x).tolist() == [[0.0, 0.0]]
    assert all(own[name] is each for name, each in net.named_parameters())
    some = func.functional_call(net, {"2.bias": own["2.bias"] + 1}, (x,))
    assert retrograd.allclose(some, net(x) + 1)


def test_the_own_parameters_come_back_after_an_error() -> None:
    net = model()
    own = list(net.parameters())
    with pytest.raises(RuntimeError):
        func.functional_call(net, {"0.weight": retrograd.zeros(4, 5)}, retrograd.ones(1, 3))
    assert all(mine is each for mine, each in zip(own, net.parameters(), strict=True))


def test_wrong_names_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"nothing is not a parameter or buffer of the module; it has: 0\.weight"):
        func.functional_call(model(), {"nothing": retrograd.zeros(1)}, retrograd.ones(1, 3))
    with pytest.raises(RuntimeError, match="Missing key"):
        func.functional_call(model(), {}, retrograd.ones(1, 3), strict=True)


def test_tied_weights_are_replaced_under_all_names() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    x = retrograd.ones(1, 2)
    double = {"0.weight": 2 * retrograd.eye(2)}
    assert func.functional_call(net, double, x).tolist() == [[4.0, 4.0]]


def test_per_sample_gradients_of_a_module_equal_those_of_a_loop(backend: str) -> None:
    net = model()
    parameters = {name: each.detach() for name, each in net.named_parameters()}
    x, y = retrograd.randn(5, 3), retrograd.tensor([0, 1, 1, 0, 1])

    def loss(state: dict[str, retrograd.Tensor], sample: retrograd.Tensor, label: retrograd.Tensor) -> retrograd.Tensor:
        out = func.functional_call(net, state, (sample[None],))
        return nn.functional.cross_entropy(out, label[None])

    mapped = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for i in range(5):
        one = func.grad(loss)(parameters, x[i], y[i])
        for name, each in one.items():
            assert retrograd.allclose(mapped[name][i], each, atol=1e-6)


def test_an_ensemble_runs_as_one(backend: str) -> None:
    models = [nn.Linear(3, 2) for _ in range(4)]
    parameters, buffers = func.stack_module_state(models)
    x = retrograd.randn(6, 3)
    together = func.vmap(lambda p, b: func.functional_call(models[0], (p, b), (x,)))(parameters, buffers)
    for out, each in zip(together, models, strict=True):
        assert retrograd.allclose(out, each(x), atol=1e-6)
