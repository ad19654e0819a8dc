"""Every optimizer with every option: ten steps on each backend, as PyTorch does them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from programs import assert_same

import retrograd

CASES: list[tuple[str, dict[str, Any]]] = [
    *(
        ("SGD", options)
        for options in (
            {},
            {"momentum": 0.9},
            {"momentum": 0.9, "dampening": 0.3},
            {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
            {"weight_decay": 0.1},
            {"maximize": True},
            {"momentum": 0.5, "maximize": True, "weight_decay": 0.1},
        )
    ),
    *(
        (name, options)
        for name in ("Adam", "AdamW")
        for options in (
            {},
            {"betas": (0.3, 0.7), "eps": 1e-3},
            {"weight_decay": 0.1},
            {"amsgrad": True},
            {"maximize": True, "amsgrad": True, "weight_decay": 0.1},
        )
    ),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    *(("RMSprop", o) for o in ({}, {"momentum": 0.9}, {"centered": True}, {"centered": True, "momentum": 0.5})),
    ("RMSprop", {"weight_decay": 0.1, "maximize": True}),
    *(("Adagrad", o) for o in ({}, {"lr_decay": 0.1}, {"weight_decay": 0.1, "initial_accumulator_value": 0.5})),
    *(("Adadelta", o) for o in ({}, {"rho": 0.5, "weight_decay": 0.1}, {"maximize": True})),
    *(("Adamax", o) for o in ({}, {"weight_decay": 0.1, "betas": (0.5, 0.9)}, {"maximize": True})),
    *(("NAdam", o) for o in ({}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True})),
    *(("RAdam", o) for o in ({}, {"betas": (0.9, 0.9)}, {"weight_decay": 0.1, "decoupled_weight_decay": True})),
    *(("Rprop", o) for o in ({}, {"etas": (0.4, 1.5), "step_sizes": (1e-3, 0.2)}, {"maximize": True})),
    *(("ASGD", o) for o in ({}, {"t0": 2.0, "lambd": 0.1}, {"weight_decay": 0.1})),
]


def trajectory(module: Any, name: str, options: dict[str, Any], dtype: str = "float64") -> tuple[Any, ...]:
    """The parameters after each of ten steps, and the state."""
    random = np.random.default_rng(0)
    kind = getattr(module, dtype)
    starts = [random.standard_normal(shape) for shape in ((3, 4), (5,), ())]
    if dtype == "complex64":
        starts = [each * (1 + 0.5j) for each in starts]
    parameters = [module.nn.Parameter(module.tensor(each, dtype=kind)) for each in starts]
    optimizer = getattr(module.optim, name)(parameters, lr=0.05, **options)
    path = []
    for _ in range(10):
        optimizer.zero_grad()
        for p in parameters[:2]:
            loss = ((p * p).abs() + (p * 3).real.sin()).sum()
            loss.backward()
        parameters[2].grad = module.tensor(random.standard_normal(), dtype=kind)
        optimizer.step()
        path.append([p.detach().numpy().copy() for p in parameters])
    return path, optimizer


@pytest.mark.parametrize(("name", "options"), CASES)
def test_ten_steps_equal_torch(name: str, options: dict[str, Any], backend: str) -> None:
    torch = pytest.importorskip("torch")
    path, optimizer = trajectory(retrograd, name, options)
    expected, theirs = trajectory(torch, name, {**options, "foreach": False})
    for have, want in zip(path, expected, strict=True):
        for a, b in zip(have, want, strict=True):
            np.testing.assert_allclose(a, b, 1e-6, 1e-9)  # scalars of the state are float32
    state, their_state = optimizer.state_dict(), theirs.state_dict()
    assert state["state"].keys() == their_state["state"].keys()
    for key, entries in their_state["state"].items():
        assert set(state["state"][key]) == {k for k, v in entries.items() if v is not None}
        for what, value in entries.items():
            np.testing.assert_allclose(state["state"][key][what].numpy(), value.numpy(), 1e-6, 1e-9, err_msg=what)
    for group in their_state["param_groups"]:
        group["foreach"] = None
    assert state["param_groups"] == their_state["param_groups"]


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "Adadelta"])
def test_complex_parameters_step_as_pairs_of_reals(name: str, backend: str) -> None:
    torch = pytest.importorskip("torch")
    path, _ = trajectory(retrograd, name, {}, "complex64")
    expected, _ = trajectory(torch, name, {"foreach": False}, "complex64")
    for a, b in zip(path[-1], expected[-1], strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_type_of_a_parameter_stays(name: str, dtype: str, backend: str) -> None:
    p = retrograd.nn.Parameter(retrograd.ones(3, dtype=getattr(retrograd, dtype)))
    optimizer = getattr(retrograd.optim, name)([p], lr=0.5)
    p.grad = retrograd.ones(3, dtype=p.dtype)
    for _ in range(2):
        optimizer.step()
    assert p.dtype is getattr(retrograd, dtype)
    assert p.tolist() == pytest.approx([0.0] * 3, abs=1e-2)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_repr_equals_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    shown = [
        repr(getattr(module.optim, name)([module.nn.Parameter(module.zeros(1))], lr=0.1))
        for module in (retrograd, torch)
    ]
    assert shown[0] == shown[1]


BAD: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": -1.0}),
    ("SGD", {"momentum": -1.0}),
    ("SGD", {"weight_decay": -1.0}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"fused": True, "differentiable": True}),
    ("Adam", {"lr": -1.0}),
    ("Adam", {"eps": -1.0}),
    ("Adam", {"betas": (1.0, 0.5)}),
    ("Adam", {"betas": (0.5, -0.1)}),
    ("Adam", {"weight_decay": -1.0}),
    ("AdamW", {"fused": True, "foreach": True}),
    ("RMSprop", {"alpha": -1.0}),
    ("RMSprop", {"momentum": -1.0}),
    ("Adagrad", {"lr_decay": -1.0}),
    ("Adagrad", {"initial_accumulator_value": -1.0}),
    ("Adadelta", {"rho": 2.0}),
    ("NAdam", {"momentum_decay": -1.0}),
    ("Rprop", {"etas": (1.5, 1.2)}),
    ("ASGD", {"weight_decay": -1.0}),
]


@pytest.mark.parametrize(("name", "options"), BAD)
def test_bad_option_is_refused_as_by_torch(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    texts = []
    for module in (retrograd, torch):
        with pytest.raises((ValueError, RuntimeError)) as caught:
            getattr(module.optim, name)([module.nn.Parameter(module.zeros(1))], **options)
        texts.append((type(caught.value), str(caught.value)))
    assert texts[0] == texts[1]


def _bad_params(module: Any, what: str) -> Any:
    p = module.nn.Parameter(module.zeros(1))
    return {
        "empty": list,
        "tensor": lambda: p,
        "non-leaf": lambda: [p * 2],
        "number": lambda: [3],
        "set": lambda: [{"params": {p}}],
        "twice": lambda: [{"params": [p]}, {"params": [p]}],
        "half named": lambda: [("a", p), module.nn.Parameter(module.zeros(1))],
    }[what]()


@pytest.mark.parametrize("what", ["empty", "tensor", "non-leaf", "number", "set", "twice", "half named"])
def test_bad_params_are_refused_as_by_torch(what: str) -> None:
    torch = pytest.importorskip("torch")
    texts = []
    for module in (retrograd, torch):
        with pytest.raises((ValueError, TypeError)) as caught:
            module.optim.SGD(_bad_params(module, what), lr=0.1)
        texts.append((type(caught.value), str(caught.value).replace("torch.", "retrograd.")))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("name", "options"), [("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True}), ("NAdam", {})])
def test_state_goes_through_a_state_dict(name: str, options: dict[str, Any], backend: str) -> None:
    def make() -> tuple[Any, Any]:
        p = retrograd.nn.Parameter(retrograd.tensor([1.0, -2.0]))
        return p, getattr(retrograd.optim, name)([p], lr=0.1, **options)

    def step(p: Any, optimizer: Any) -> None:
        p.grad = p.detach() * 2
        optimizer.step()

    p, optimizer = make()
    for _ in range(3):
        step(p, optimizer)
    saved = copy.deepcopy(optimizer.state_dict())
    q, other = make()
    with retrograd.no_grad():
        q.copy_(p)
    other.load_state_dict(saved)
    for _ in range(3):
        step(p, optimizer)
        step(q, other)
    assert p.tolist() == q.tolist()
    reloaded = make()[1]
    reloaded.load_state_dict(saved)  # what was loaded has not been written to
    buffer = "momentum_buffer" if name == "SGD" else "exp_avg"
    assert reloaded.state_dict()["state"][0][buffer].tolist() == saved["state"][0][buffer].tolist()


def test_state_dict_that_does_not_fit_is_refused() -> None:
    p, q = (retrograd.nn.Parameter(retrograd.zeros(1)) for _ in range(2))
    optimizer = retrograd.optim.SGD([p], lr=0.1)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(retrograd.optim.SGD([{"params": [p]}, {"params": [q]}]).state_dict())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(retrograd.optim.SGD([p, q]).state_dict())


def test_groups_have_options_of_their_own(backend: str) -> None:
    p, q = (retrograd.nn.Parameter(retrograd.zeros(1)) for _ in range(2))
    optimizer = retrograd.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.5}], lr=0.25)
    p.grad = q.grad = retrograd.ones(1)
    optimizer.step()
    assert (p.item(), q.item()) == (-0.25, -0.5)
    r = retrograd.nn.Parameter(retrograd.zeros(1))
    optimizer.add_param_group({"params": r})
    assert optimizer.param_groups[2]["lr"] == 0.25


def test_closure_runs_with_gradients() -> None:
    p = retrograd.nn.Parameter(retrograd.tensor([2.0]))
    optimizer = retrograd.optim.SGD([p], lr=0.25)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with retrograd.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert p.item() == 1.0


def test_step_is_an_in_place_write(backend: str) -> None:
    """Aliases see it, and a graph that saved the old value notices."""
    p = retrograd.nn.Parameter(retrograd.tensor([1.0, 2.0]))
    alias, view = p.detach(), p.detach()[:1]
    loss = (p * p).sum()
    p.grad = retrograd.ones(2)
    version = p._version
    retrograd.optim.SGD([p], lr=0.5).step()
    assert alias.tolist() == [0.5, 1.5]
    assert view.tolist() == [0.5]
    assert p._version == version + 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradient_is_left_alone(backend: str) -> None:
    for name in (
        "SGD",
        "Adam",
        "AdamW",
        "RMSprop",
        "Adagrad",
        "Adadelta",
        "Adamax",
        "NAdam",
        "RAdam",
        "Rprop",
        "ASGD",
    ):
        p = retrograd.nn.Parameter(retrograd.tensor([1.0, 2.0]))
        p.grad = grad = retrograd.tensor([0.5, -0.5])
        getattr(retrograd.optim, name)([p], lr=0.1).step()
        assert grad.tolist() == [0.5, -0.5], name


def test_zero_grad_forgets_or_fills() -> None:
    p = retrograd.nn.Parameter(retrograd.zeros(2))
    optimizer = retrograd.optim.SGD([p], lr=0.1)
    p.grad = grad = retrograd.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is grad
    assert grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_step_hooks_run_around_the_step() -> None:
    p = retrograd.nn.Parameter(retrograd.zeros(1))
    p.grad = retrograd.ones(1)
    optimizer = retrograd.optim.SGD([p], lr=1.0)
    seen = []
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("before", p.item())))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(("after", p.item())))
    optimizer.step()
    before.remove()
    optimizer.step()
    assert seen == [("before", 0.0), ("after", -1.0), ("after", -2.0)]


def test_differentiable_step_has_a_gradient() -> None:
    rate = retrograd.tensor(2.0, requires_grad=True)
    p = (rate * 3.0).clone()
    p.grad = (rate * rate).clone()
    optimizer = retrograd.optim.SGD([p], lr=0.5, differentiable=True)
    optimizer.step()
    p.backward()
    assert rate.grad.item() == 3.0 - 0.5 * 2 * 2.0


def test_adam_refuses_tensors_for_numbers_as_pytorch_does() -> None:
    assert_same("""
        w = [torch.zeros(2, requires_grad=True)]
        t = torch.tensor(0.5)
        for cls in (torch.optim.Adam, torch.optim.AdamW):
            for options in (
                dict(lr=t, foreach=True), dict(lr=t), dict(betas=(t, 0.9)), dict(betas=(0.9, t)), dict(betas=(0, 0.9)),
                dict(betas=(t, t)), dict(betas=(t, t), foreach=True), dict(lr=torch.ones(2)),
            ):
                attempt(lambda: type(cls(w, **options)).__name__)
    """)


def test_steps_are_hooked_and_named() -> None:
    assert_same("""
    p = nn.Parameter(torch.ones(2))
    class Mine(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})
        def step(self, closure=None):
            print("step", self._zero_grad_profile_name)
            return 3
    class Late(Mine):
        pass
    Late.step = lambda self: print("late")
    def raw(self, *args, **kwargs):
        print("raw", args, kwargs)
        return 5
    mine, late = Mine([p]), Late([p])
    print(Mine.step.hooked, Mine.step.__name__, Late.step.hooked)
    for each in (mine, late):
        each.register_step_pre_hook(lambda *args: print("before", len(args)))
        each.step()
    wrapped = torch.optim.Optimizer.profile_hook_step(raw)
    print(wrapped(mine, 1, k=2), wrapped.__name__, hasattr(wrapped, "hooked"))
    mine._patch_step_function()
    with torch.autograd.profiler.profile() as prof:
        mine.step()
        late.step()
        mine.zero_grad()
    print([each.name for each in prof.function_events])
    """)
