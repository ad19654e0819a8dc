"""Modules called with other parameters, alone, under transforms, and several at once."""

from __future__ import annotations

import pytest
from programs import assert_same

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


_CALLS = """
x, W, b = torch.ones(2), torch.ones(2, 2), torch.zeros(2)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scale, self.number = nn.Linear(2, 2, bias=False), torch.ones(2), 3
        self.register_parameter('nothing', None)
    def forward(self, v):
        shift = 0 if self.nothing is None else self.nothing
        return self.layer(v) * self.scale + shift + getattr(self, 'extra', 0)
net = Net()
tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
tied[1].weight = tied[0].weight
own = {'layer.weight': W}
some = {'0.weight': W, '0.bias': b, '1.bias': b}
def call(module, state, *args, **kwargs):
    attempt(torch.func.functional_call, module, state, *(args or (x,)), **kwargs)
    print(net.scale, net.nothing, hasattr(net, 'extra'), hasattr(net.layer, 'extra'))
"""

CALLS = (
    "call(net, own)",
    "call(net, {**own, 'scale': x * 5})",
    "call(net, {**own, 'extra': x * 5})",
    "call(net, {**own, 'layer.extra': x * 5})",
    "call(net, {**own, 'nothing': x * 5})",
    "call(net, {**own, 'nothing': None})",
    "call(net, {**own, 'number': x})",
    "call(net, {**own, 'layer': x})",
    "call(net, {**own, 'no.weight': x})",
    "call(net, {**own, 'scale.weight': x})",
    "call(net, {**own, '': x})",
    "call(net, {'layer.weight': 3})",
    "call(net, own, strict=True)",
    "call(net, {}, strict=True)",
    "call(net, {'scale': x, 'extra': x}, strict=True)",
    "call(net, 3)",
    "call(net, (3,))",
    "call(net, [own, {'scale': x * 5}])",
    "call(net, [{'a': x, 'b': x}, {'b': x, 'a': x}])",
    "call(tied, some, strict=True)",
    "call(tied, some, strict=True, tie_weights=False)",
    "call(tied, {**some, '1.weight': W}, strict=True)",
    "call(tied, {**some, '1.weight': W * 2})",
    "call(tied, {**some, '1.weight': W * 2}, tie_weights=False)",
    "call(nn.Sequential(net.layer, net.layer), {'0.weight': W}, strict=True)",
)


@pytest.mark.parametrize("call", CALLS)
def test_names_are_taken_and_refused_as_in_pytorch(call: str) -> None:
    assert_same(_CALLS + call)


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


def test_what_a_module_assigns_goes_into_the_dict_it_was_called_with(backend: str) -> None:
    assert_same("""
    class Counting(torch.nn.Module):
        def __init__(s):
            super().__init__()
            s.register_buffer("b", torch.zeros(1))
            s.v = s.w = torch.nn.Parameter(torch.ones(1))
        def forward(s, x):
            s.b = s.b + 1
            return x * s.w + s.b + s.v
    m = Counting()
    d = {"b": torch.full((1,), 5.), "w": torch.full((1,), 2.)}
    print(torch.func.functional_call(m, d, torch.ones(1)), d, m.b)
    d = {"b": torch.full((1,), 5.)}
    e = {"w": torch.full((1,), 2.)}
    print(torch.func.functional_call(m, (d, e), torch.ones(1)), d, e, m.b)
    stateless = torch.nn.utils.stateless
    d = {"b": torch.full((1,), 5.), "w": torch.full((1,), 2.)}
    with stateless._reparametrize_module(m, d):
        print(m.w, m.v, m.b, m(torch.ones(1)))
    print(d, m.w, m.b)
    with stateless._reparametrize_module(m, d, tie_weights=True):
        print(m.w, m.v, m.b, m(torch.ones(1)))
    print(d, m.w, m.b)
    try:
        with stateless._reparametrize_module(m, {"q": torch.ones(1)}, strict=True): pass
    except Exception as ex: print(type(ex).__name__, ex)
    d = {"b": torch.full((1,), 5.), "w": torch.full((1,), 2.)}
    try:
        with stateless._reparametrize_module(m, d):
            m.b = m.b + 3
            raise KeyError(1)
    except KeyError: print(d, m.b)
    """)


def test_weights_in_several_places_are_put_back() -> None:
    assert_same("""
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = self.b = nn.Linear(2, 2, bias=False)
            self.w = self.a.weight
            with torch.no_grad():
                self.w.fill_(1)
        def forward(self, x):
            return self.b(self.a(x))
    stateless, one = torch.nn.utils.stateless, torch.eye(2)
    for new, ties in (({"a.weight": one}, True), ({"a.weight": one, "b.weight": one * 2}, False)):
        m = Tied()
        with stateless._reparametrize_module(m, new, tie_weights=ties, stack_weights=True):
            print(m(torch.ones(2)), m.w is m.a.weight)
        print(m(torch.ones(2)), m.w is m.a.weight, type(m.b.weight).__name__)
    print(stateless._functional_call(m, {"a.weight": one}, torch.ones(2)))
    """)
