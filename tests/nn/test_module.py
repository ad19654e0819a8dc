"""`Module`: registering, walking, saving and loading, hooks, showing."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd import nn


def both() -> tuple[Any, Any]:
    return retrograd, pytest.importorskip("torch")


def make_net(module: Any) -> Any:
    class Net(module.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = module.nn.Linear(4, 3)
            self.body = module.nn.Sequential(module.nn.ReLU(), module.nn.Linear(3, 3), module.nn.BatchNorm1d(3))
            self.tied = self.first
            self.scale = module.nn.Parameter(module.ones(1))
            self.register_buffer("count", module.zeros(2))
            self.register_buffer("hidden", module.zeros(2), persistent=False)
            self.register_parameter("nothing", None)

        def forward(self, x: Any) -> Any:
            return self.body(self.first(x)) * self.scale

    return Net()


def test_walking_equals_torch() -> None:
    found = []
    for module in both():
        net = make_net(module)
        found.append(
            [
                [name for name, _ in net.named_parameters()],
                [name for name, _ in net.named_parameters("p", recurse=False)],
                [name for name, _ in net.named_parameters(remove_duplicate=False)],
                [name for name, _ in net.named_buffers()],
                [name for name, _ in net.named_modules()],
                [name for name, _ in net.named_children()],
                [type(each).__name__ for each in net.modules()],
                list(net.state_dict()),
                list(net.state_dict(prefix="x.")),
                {k: dict(v) for k, v in net.state_dict()._metadata.items()},
                repr(net),
                sorted(name for name in dir(net) if name in ("first", "scale", "count", "body")),
            ]
        )
    assert found[0] == found[1]


WRONG = [
    lambda m, net: setattr(net, "scale", 3),
    lambda m, net: setattr(net, "first", 3),
    lambda m, net: setattr(net, "count", 3),
    lambda m, net: net.missing,
    lambda m, net: net.register_parameter("a.b", None),
    lambda m, net: net.register_parameter("", None),
    lambda m, net: net.register_parameter("forward", None),
    lambda m, net: net.register_parameter("p", m.zeros(1)),
    lambda m, net: net.register_parameter("p", 3),
    lambda m, net: net.register_buffer("a.b", None),
    lambda m, net: net.register_buffer("b", 3),
    lambda m, net: net.add_module("a.b", None),
    lambda m, net: net.add_module("m", 3),
    lambda m, net: net.get_submodule("body.7"),
    lambda m, net: net.get_parameter("body.1.nothing"),
    lambda m, net: net.get_parameter("count"),
    lambda m, net: net.get_buffer("scale"),
    lambda m, net: net.to(m.int64),
    lambda m, net: net.train("yes"),
    lambda m, net: net.load_state_dict({}),
    lambda m, net: net.load_state_dict({**net.state_dict(), "extra": m.zeros(1), "body.9.w": m.zeros(1)}),
    lambda m, net: net.load_state_dict({**net.state_dict(), "scale": m.zeros(2)}),
    lambda m, net: net.load_state_dict({**net.state_dict(), "scale": 3}),
    lambda m, net: net.load_state_dict(3),
    lambda m, net: m.nn.Module()(3),
    lambda m, net: net.body[7],
]


@pytest.mark.parametrize("do", WRONG, ids=range(len(WRONG)))
def test_mistakes_are_refused_as_by_torch(do: Any) -> None:
    found = []
    for module in both():
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is compared
            do(module, make_net(module))
        text = str(caught.value).replace("torch.", "retrograd.").replace("torch ", "retrograd ")
        found.append((type(caught.value).__name__, text))
    assert found[0] == found[1]


def test_assigning_before_init_is_refused() -> None:
    class Early(nn.Module):
        def __init__(self, value: Any) -> None:
            self.value = value

    with pytest.raises(AttributeError, match="cannot assign parameters before Module"):
        Early(nn.Parameter(retrograd.zeros(1)))
    with pytest.raises(AttributeError, match="cannot assign module before Module"):
        Early(nn.ReLU())


def test_attribute_changes_its_kind() -> None:
    module = nn.Module()
    module.x = 3
    module.x = nn.Parameter(retrograd.zeros(1))
    assert list(module.state_dict()) == ["x"]
    module.x = None
    assert list(module.state_dict()) == []
    del module.x
    module.x = nn.Buffer(retrograd.ones(1), persistent=False)
    assert [name for name, _ in module.named_buffers()] == ["x"]
    assert list(module.state_dict()) == []
    module.x = nn.ReLU()
    assert [name for name, _ in module.named_children()] == ["x"]


def test_state_goes_through_a_state_dict(backend: str) -> None:
    one, other = make_net(retrograd), make_net(retrograd)
    assert str(other.load_state_dict(one.state_dict())) == "<All keys matched successfully>"
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert a.tolist() == b.tolist()
        assert a is not b
    keys = other.load_state_dict({"extra": retrograd.zeros(1)}, strict=False)
    assert keys.unexpected_keys == ["extra"]
    assert "scale" in keys.missing_keys
    scale = retrograd.full((1,), 7.0)
    other.load_state_dict({**one.state_dict(), "scale": scale}, assign=True)
    assert isinstance(other.scale, nn.Parameter)
    assert other.scale.data_ptr() == scale.data_ptr()


def test_conversion_keeps_the_parameters_objects(backend: str) -> None:
    net = make_net(retrograd)
    weight = net.first.weight
    net(retrograd.ones(2, 4)).sum().backward()
    net.double()
    assert net.first.weight is weight
    assert weight.dtype is weight.grad.dtype is retrograd.float64
    assert net.body[2].num_batches_tracked.dtype is retrograd.int64
    net.zero_grad()
    net(retrograd.ones(2, 4, dtype=retrograd.float64)).sum().backward()
    assert weight.grad.dtype is retrograd.float64


def test_module_moves_between_backends() -> None:
    pytest.importorskip("jax")
    net = make_net(retrograd).to("jax")
    assert {str(each.device) for each in net.state_dict().values()} == {"jax:cpu"}
    net(retrograd.ones(2, 4, device="jax")).sum().backward()
    assert str(net.scale.grad.device) == "jax:cpu"


def test_copies_are_independent() -> None:
    net = make_net(retrograd)
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net.body))):
        assert copied is not net
    copied = copy.deepcopy(net)
    assert copied.tied is copied.first
    with retrograd.no_grad():
        copied.scale.fill_(9)
    assert net.scale.item() == 1.0


def test_training_mode_and_requires_grad_reach_all_parts() -> None:
    net = make_net(retrograd).eval()
    assert not any(each.training for each in net.modules())
    net.train().requires_grad_(False)
    assert all(each.training for each in net.modules())
    assert not any(each.requires_grad for each in net.parameters())
    names: list[str] = []
    net.apply(lambda each: names.append(type(each).__name__))
    assert names == ["Linear", "ReLU", "Linear", "BatchNorm1d", "Sequential", "Net"]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_hooks_equal_torch() -> None:
    found = []
    for module in both():
        seen: list[Any] = []
        net = module.nn.Sequential(module.nn.Linear(2, 2), module.nn.Tanh())
        with module.no_grad():
            for p in net.parameters():
                p.fill_(0.5)
        inner = net[0]
        inner.register_forward_pre_hook(lambda m, args, seen=seen: seen.append(("pre", args[0].tolist())))
        inner.register_forward_hook(lambda m, args, out, seen=seen: seen.append(("post", out.tolist())) or out * 2)
        inner.register_full_backward_pre_hook(lambda m, grads, seen=seen: seen.append(("back pre", len(grads))))
        handle = inner.register_full_backward_hook(
            lambda m, gin, gout, seen=seen: seen.append(("back", gin[0].tolist(), gout[0].tolist()))
        )
        x = module.ones(1, 2, requires_grad=True)
        net(x).sum().backward()
        handle.remove()
        net(x.detach()).sum().backward()
        found.append((_rounded(seen), _rounded(x.grad.tolist()), _rounded(inner.weight.grad.tolist())))
    assert found[0] == found[1]


def _rounded(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def test_backward_hook_replaces_the_gradient() -> None:
    layer = nn.Linear(2, 1)
    layer.register_full_backward_hook(lambda m, gin, gout: (gin[0] * 0 + 7,))
    x = retrograd.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[7.0, 7.0]]


def test_hook_that_is_always_called_sees_errors() -> None:
    seen = []
    layer = nn.Linear(2, 1)
    layer.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(RuntimeError):
        layer(retrograd.ones(3))
    assert seen == [None]


def test_hooks_that_do_not_fit_or_are_removed() -> None:
    assert_same("""
        class Keyed(nn.Module):
            def forward(self, x): return {"a": x * 2, "b": [x * 3]}
        def through(hook, register):
            module = Keyed()
            getattr(module, register)(hook)
            x = torch.ones(1, requires_grad=True)
            module(x * 1)["b"][0].sum().backward()
            return x.grad
        attempt(through, lambda *args: print("called"), "register_full_backward_hook")
        attempt(through, lambda *args: print("called"), "register_full_backward_pre_hook")

        def linear(register, hook):
            module = nn.Linear(2, 2)
            getattr(module, register)(hook)
            module(torch.ones(3, 2)).sum().backward()
        attempt(linear, "register_full_backward_hook", lambda m, i, o: (None,))
        attempt(linear, "register_full_backward_hook", lambda m, i, o: (o[0],))
        attempt(linear, "register_full_backward_pre_hook", lambda m, o: o[0])
        attempt(linear, "register_full_backward_pre_hook", lambda m, o: [o[0] * 2])

        module = nn.Linear(2, 2)
        module.register_load_state_dict_post_hook(lambda m, keys: keys)
        attempt(module.load_state_dict, module.state_dict())
        handles = [
            module.register_forward_hook(lambda m, a, k, o: None, with_kwargs=True, always_call=True),
            module.register_forward_pre_hook(lambda m, a, k: None, with_kwargs=True),
        ]
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
                 "_forward_pre_hooks_with_kwargs")
        print([len(getattr(module, kind)) for kind in kinds])
        for handle in handles:
            handle.remove()
        print([len(getattr(module, kind)) for kind in kinds])
    """)


def test_containers_equal_torch() -> None:
    found = []
    for module in both():
        N = module.nn
        seq = N.Sequential(OrderedDict(a=N.ReLU(), b=N.Linear(1, 2)))
        seq.append(N.Tanh())
        seq[0] = N.Sigmoid()
        del seq[1]
        seq.insert(1, N.ELU())
        lists = N.ModuleList([N.Linear(1, 1), N.Linear(1, 1), N.ReLU()])
        lists.insert(1, N.Tanh())
        lists += [N.ELU()]
        dicts = N.ModuleDict({"x": N.ReLU(), "y": N.Linear(1, 1)})
        dicts.pop("x")
        dicts["z"] = N.Tanh()
        parameters = N.ParameterList([module.zeros(2), N.Parameter(module.ones(1, 3))])
        named = N.ParameterDict({"p": N.Parameter(module.zeros(2)), "q": N.Parameter(module.ones(1))})
        found.append(
            [
                repr(seq), repr(seq[:2]), repr(seq * 2), len(seq), repr(lists), repr(lists[1:]), repr(dicts),
                list(dicts),
                "z" in dicts, list(parameters.state_dict()), len(parameters), list(named.state_dict()), list(named),
                list(N.Sequential(seq, lists).state_dict()), repr(seq + seq), repr(seq.pop(-1)),
            ]
        )  # fmt: skip
    assert found[0] == found[1]


def test_utils_equal_torch(backend: str) -> None:
    found = []
    for module in both():
        U = module.nn.utils
        p, q = (module.nn.Parameter(module.zeros(n)) for n in (2, 3))
        p.grad, q.grad = module.tensor([3.0, -4.0]), module.tensor([1.0, 0.0, -2.0])
        values = [U.clip_grad_norm_([p, q], 2.0).item(), p.grad.tolist(), q.grad.tolist()]
        values += [U.clip_grad_norm_([p, q], 1.0, kind).item() for kind in (1.0, float("inf"), 3.0)]
        U.clip_grad_value_([p, q], 0.1)
        values += [p.grad.tolist(), q.grad.tolist()]
        U.vector_to_parameters(module.arange(5.0), [p, q])
        values += [p.tolist(), q.tolist(), U.parameters_to_vector([p, q]).tolist()]
        found.append(_rounded(values))
    assert found[0] == found[1]


def test_initial_values_follow_their_laws(backend: str) -> None:
    retrograd.manual_seed(0)
    w = retrograd.empty(60, 50)
    init = nn.init
    assert init.uniform_(w, 2, 3).min().item() >= 2
    assert init.normal_(w, 1, 2).std().item() == pytest.approx(2, rel=0.1)
    assert init.xavier_uniform_(w).abs().max().item() == pytest.approx((6 / 110) ** 0.5, rel=0.05)
    assert init.kaiming_normal_(w, nonlinearity="relu").std().item() == pytest.approx((2 / 50) ** 0.5, rel=0.1)
    assert init.trunc_normal_(w, a=-1, b=1).abs().max().item() <= 1
    assert init.eye_(w).sum().item() == 50
    few = retrograd.empty(12, 10)  # these work column by column, and JAX compiles each column's step
    product = init.orthogonal_(few).T @ few
    assert (product - retrograd.eye(10)).abs().max().item() < 1e-5
    assert (init.sparse_(few, 0.5) == 0).sum(0).tolist() == [6] * 10
    assert init.constant_(w, 4.0).mean().item() == 4
    assert init.dirac_(retrograd.empty(2, 2, 3)).tolist()[0] == [[0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("name", ["linear", "conv2d", "tanh", "relu", "leaky_relu", "selu", "sigmoid"])
def test_gain_equals_torch(name: str) -> None:
    own, theirs = both()
    assert own.nn.init.calculate_gain(name) == theirs.nn.init.calculate_gain(name)


def test_to_takes_what_tensors_take_and_refuses_the_rest(backend: str) -> None:
    assert_same("""
        m = nn.Linear(2, 1)
        for args, options in (
            ((torch.float64,), {}), (("cpu", torch.float32), {}), ((torch.ones(1, dtype=torch.float64),), {}),
            ((), {"dtype": torch.float32, "non_blocking": True}), ((None,), {}), ((), {}),
            ((torch.device("cpu"), torch.float64, True), {}), ((), {"memory_format": torch.channels_last}),
        ):
            print(m.to(*args, **options).weight.dtype)
        for args, options in (((), {"garbage": 1}), ((torch.int64,), {})):
            try:
                m.to(*args, **options)
            except TypeError as error:
                print(type(error).__name__)
    """)
