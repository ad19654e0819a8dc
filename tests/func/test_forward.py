"""Transforms in forward mode: nested in any order, with PyTorch's results and errors, and no backward pass."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

INPUTS = """
fn = torch.func
x = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]])
w = torch.tensor([0.5, -0.25, 1.5])
o = torch.ones(3)
p = torch.ones(3, requires_grad=True)
"""

NESTED = {
    "jvp of jvp": "fn.jvp(lambda v: fn.jvp(lambda u: u.sin() * u, (v,), (o,))[1], (w,), (w,))",
    "three jvps": (
        "fn.jvp(lambda a: fn.jvp(lambda v: fn.jvp(lambda u: u ** 4, (v,), (o,))[1], (a,), (o,)), (w,), (o,))"
    ),
    "a constant of the inner": "fn.jvp(lambda a: a * fn.jvp(lambda b: a + b, (w,), (o,))[1], (w,), (o,))",
    "two perturbations of one": "fn.jvp(lambda a: fn.jvp(lambda b: a * b, (a,), (o,))[1], (w,), (o,))",
    "perturbation and gradient": "fn.grad(lambda a: (a * fn.jvp(lambda b: a * b, (w,), (o,))[1]).sum())(w)",
    "jvp of grad": "fn.jvp(fn.grad(lambda v: (v ** 3).sum()), (w,), (w,))",
    "jvp of grad with aux": "fn.jvp(lambda u: fn.grad(lambda v: ((v ** 3).sum(), v * v), has_aux=True)(u), (w,), (w,))",
    "grad of jvp": "fn.grad(lambda v: fn.jvp(lambda u: u ** 3, (v,), (v,))[1].sum())(w)",
    "jvp of grad of jvp": "fn.jvp(fn.grad(lambda v: fn.jvp(lambda u: u ** 4, (v,), (o,))[1].sum()), (w,), (o,))",
    "grad of grad of jvp": (
        "fn.grad(lambda a: fn.grad(lambda v: fn.jvp(lambda u: u ** 4, (v,), (o,))[1].sum())(a).sum())(w)"
    ),
    "jvp of vjp": "fn.jvp(lambda v: fn.vjp(lambda u: u.exp() * u, v)[1](v)[0], (w,), (o,))",
    "hessian": "fn.hessian(lambda v: (v.sin() * v).prod())(w)",
    "hessian by two": "fn.hessian(lambda a, b: (a * b * b).sum(), argnums=(0, 1))(w, w)",
    "jacfwd of jacfwd": "fn.jacfwd(fn.jacfwd(lambda v: v.softmax(0)))(w)",
    "jacfwd of jacrev": "fn.jacfwd(fn.jacrev(lambda v: v.softmax(0)))(w)",
    "jacrev of jacfwd": "fn.jacrev(fn.jacfwd(lambda v: v.softmax(0)))(w)",
    "three jacfwds": "fn.jacfwd(fn.jacfwd(fn.jacfwd(lambda v: (v ** 4).sum())))(w)",
    "vmap of jvp": "fn.vmap(lambda p, t: fn.jvp(lambda v: v.sin() * v.sum(), (p,), (t,)))(x, x + 1)",
    "vmap of jvp at one point": "fn.vmap(lambda t: fn.jvp(lambda v: v.sin() * v, (w,), (t,))[1])(x)",
    "vmap of vmap of jvp": (
        "fn.vmap(fn.vmap(lambda a, t: fn.jvp(torch.sin, (a,), (t,))[1], in_dims=(None, 0)),"
        " in_dims=(0, None))(w, w * 2)"
    ),
    "jvp of vmap": "fn.jvp(lambda m: fn.vmap(lambda r: r.softmax(0) * r)(m), (x,), (x * 2,))",
    "jvp of vmap of jvp": (
        "fn.jvp(lambda m: fn.vmap(lambda r: fn.jvp(lambda q: q * q * r, (r,), (o,))[1])(m), (x,), (x,))"
    ),
    "jvp by what vmap captures": "fn.jvp(lambda a: fn.vmap(lambda r: r * a)(x), (w,), (o,))",
    "jvp by what vmap of grad captures": (
        "fn.jvp(lambda a: fn.vmap(fn.grad(lambda r: (r * r * a * a).sum()))(x), (w,), (o,))"
    ),
    "vmap of hessian": "fn.vmap(fn.hessian(lambda v: (v ** 3).sum() + v.prod()))(x)",
    "vmap of jacfwd": "fn.vmap(fn.jacfwd(lambda v: v.log_softmax(0)))(x)",
    "jacfwd of vmap": "fn.jacfwd(lambda m: fn.vmap(lambda r: r.sin().sum())(m))(x)",
    "writes": "fn.jvp(lambda v: (lambda y: (y.mul_(v), y[0].add_(v[1]), y)[-1])(v * 1), (w,), (o,))",
    "writes in jvp of jvp": (
        "fn.jvp(lambda u: fn.jvp(lambda v: (lambda y: (y.mul_(v), y[0].mul_(v[1]), y)[-1])(v * 1), (u,), (o,))[1],"
        " (w,), (o,))"
    ),
    "writes in jvp of grad": (
        "fn.jvp(fn.grad(lambda v: (lambda y: (y.mul_(v), y.mul_(y * 1), y)[-1])(v * 1).sum()), (w,), (o,))"
    ),
    "products": "fn.jvp(fn.grad(lambda v: (x @ torch.outer(v, v) @ v).sum()), (w,), (o,))",
    "a small network": (
        "fn.hessian(lambda v: F.cross_entropy(torch.tanh(x @ torch.outer(v, v)), torch.tensor([0, 1])))(w)"
    ),
    "sorting": "fn.jvp(fn.jacrev(lambda v: v.sort()[0].cumsum(0) ** 2), (w,), (w,))",
    "aux": "fn.jvp(lambda v: (v * 2, v * 3), (w,), (o,), has_aux=True)",
    "jacfwd with aux": "fn.jacfwd(lambda v: (v * 2, v * 3), has_aux=True)(w)",
    "jacfwd by two of two": "fn.jacfwd(lambda a, b: (a * b.sum(), a.sum()), argnums=(0, 1))(w, w)",
    "jacfwd of trees": "fn.jacfwd(lambda d: {'y': d['a'] * d['b']})({'a': w, 'b': torch.tensor(2.)})",
    "integers": "fn.jvp(lambda v: v.long(), (w,), (o,)), fn.jacfwd(lambda v: v.long())(w)",
    "what is returned beside": (
        "fn.grad(lambda v: ((v * p).sum(), {'a': v * p, 'b': v * v, 'c': v}), has_aux=True)(w), "
        "fn.vjp(lambda v: ((v * p).sum(), v * p), w, has_aux=True)[2]"
    ),
    "requires a gradient": "fn.jvp(torch.sin, (w.requires_grad_(),), (o,))[1].sum().backward() or w.grad",
}


@pytest.mark.parametrize("name", NESTED)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(f"{INPUTS}\nprint({NESTED[name]})")


def test_misuse_raises_the_errors_of_pytorch() -> None:
    assert_same(
        INPUTS
        + """
    jvp, jacfwd = fn.jvp, fn.jacfwd
    attempt(jvp, torch.sin, w, w)
    attempt(jvp, torch.sin, (w,), (torch.ones(2),))
    attempt(jvp, torch.sin, (w.long(),), (w,))
    attempt(jvp, torch.sin, (w,), (w.long(),))
    attempt(jvp, torch.sin, (), ())
    attempt(jvp, torch.sin, (w,), (1.,))
    attempt(jvp, torch.sin, (2.,), (1.,))
    attempt(jvp, lambda v: 3., (w,), (w,))
    attempt(jvp, lambda v: (), (w,), (w,))
    attempt(jvp, lambda v: None, (w,), (w,))
    attempt(jvp, lambda v: o, (w,), (w,))
    attempt(jvp, lambda v: o, (w,), (w,), strict=True)
    attempt(jvp, lambda v: (v, 1), (w,), (w,), has_aux=True)
    attempt(jvp, lambda v: (v, v, v), (w,), (w,), has_aux=True)
    c = w.to(torch.complex64)
    attempt(jacfwd(lambda v: v * 2), c)
    attempt(jacfwd(lambda v: v * 2j), w)
    attempt(fn.jacrev(lambda v: v * 2), c)
    attempt(fn.jacrev(lambda v: v * 2j), w)
    for f in (jacfwd, fn.grad, fn.grad_and_value):
        attempt(f(lambda v: (v.sum(), 3), has_aux=True), w)
    attempt(fn.vjp, lambda v: (v.sum(), 3), w, has_aux=True)
    for argnums in (1, (0, 0), (), "a"):
        attempt(jacfwd(lambda v: v * 2, argnums=argnums), w)
    """.replace("\n    ", "\n")
    )


def test_no_backward_pass_is_made(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a backward pass")

    monkeypatch.setattr("retrograd.autograd.api.run_backward", refuse)
    x, w = retrograd.ones(2, 3), retrograd.full((4, 3), 0.5)

    def net(w: retrograd.Tensor) -> retrograd.Tensor:
        hidden = retrograd.nn.functional.layer_norm((x @ w.T).tanh(), (4,))
        return retrograd.nn.functional.cross_entropy(hidden, retrograd.tensor([0, 3]))

    assert jvp(net, (w,), (w,))[1].shape == ()
    assert jacfwd(net)(w).shape == (4, 3)
    assert jacfwd(jacfwd(net))(w).shape == (4, 3, 4, 3)
    assert linearize(net, w)[1](w).shape == ()
    assert retrograd.autograd.functional.jacobian(net, w, vectorize=True, strategy="forward-mode").shape == (4, 3)
    with pytest.raises(AssertionError, match="a backward pass"):
        grad(net)(w)


class Exp(retrograd.autograd.Function):
    @staticmethod
    def forward(a):
        return a.exp()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_forward(output)
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, grad):
        return ctx.saved_tensors[0] * grad

    @staticmethod
    def jvp(ctx, tangent):
        return ctx.saved_for_forward[0] * tangent


def test_custom_functions_nest(backend: str) -> None:
    x, one = retrograd.tensor([0.5, -1.0]), retrograd.ones(2)
    for f in (
        lambda a: jvp(Exp.apply, (a,), (one,))[1],
        grad(lambda a: Exp.apply(a).sum()),
        lambda a: vjp(Exp.apply, a)[1](one)[0],
        lambda a: linearize(Exp.apply, a)[1](one),
    ):
        assert retrograd.allclose(jvp(f, (x,), (one,))[1], x.exp())
        assert retrograd.allclose(grad(lambda a, f=f: f(a).sum())(x), x.exp())


# -- linearize -----------------------------------------------------------------------------------

LINEAR = {
    "elementwise": lambda v: v.sin() * v.sum(),
    "several results": lambda v: {"a": v * v, "b": [v.sum(), v.long()]},
    "constant": lambda v: retrograd.ones(3),
    "views and products": lambda v: retrograd.outer(v, v)[1:].reshape(-1),
    "writes that nothing needs": lambda v: (v * 2).add_(v)[:2].zero_(),
    "writes to what is needed": lambda v: (lambda y: (y.exp(), y.mul_(y * 1)))(v * 1),
    "custom Function": lambda v: Exp.apply(v) * v,
    "grad": grad(lambda v: (v**3).sum()),
    "jvp": lambda v: jvp(lambda u: u**3, (v,), (v,))[1],
    "vmap": lambda v: vmap(lambda e: e.exp() * e)(v),
    "linearize": lambda v: linearize(lambda u: u * u * v, v)[1](v),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linearize_equals_jvp(name: str, backend: str) -> None:
    f, x = LINEAR[name], retrograd.tensor([0.5, -0.25, 1.5])
    value, push = linearize(f, x)
    for tangent in (x * 2, retrograd.tensor([1.0, 0.0, -3.0])):
        expected_value, expected = jvp(f, (x,), (tangent,))
        for found, wanted in ((value, expected_value), (push(tangent), expected)):
            leaves, spec = retrograd.utils._pytree.tree_flatten(found)
            other, other_spec = retrograd.utils._pytree.tree_flatten(wanted)
            assert spec == other_spec
            for have, want in zip(leaves, other, strict=True):
                assert retrograd.allclose(have, want)
                assert not have.requires_grad


def test_linearize_evaluates_the_function_once(backend: str) -> None:
    calls = []

    def f(v: retrograd.Tensor) -> retrograd.Tensor:
        calls.append(v.shape)
        return v.sin() * v

    _, push = linearize(f, retrograd.ones(3))
    for _ in range(3):
        push(retrograd.ones(3))
    vmap(push)(retrograd.ones(5, 3))
    assert calls == [(3,)]


def test_linearize_nests_with_the_other_transforms(backend: str) -> None:
    x, t = retrograd.tensor([0.5, -1.0]), retrograd.tensor([2.0, 1.0])
    slope, curvature = 3 * x**2, 6 * x
    assert retrograd.allclose(vmap(linearize(lambda v: v**3, x)[1])(retrograd.eye(2)), slope.diag())
    assert retrograd.allclose(jvp(lambda a: linearize(lambda v: v**3, a)[1](t), (x,), (t,))[1], curvature * t * t)
    assert retrograd.allclose(grad(lambda a: linearize(lambda v: v**3, a)[1](t).sum())(x), curvature * t)
    assert retrograd.allclose(linearize(grad(lambda v: (v**3).sum()), x)[1](t), curvature * t)
    assert retrograd.allclose(vmap(lambda a: linearize(retrograd.sin, a)[1](a))(x), x * x.cos())


def test_linearize_refuses_what_does_not_fit() -> None:
    x = retrograd.ones(2)
    _, push = linearize(lambda v: v * v, x)
    for tangents in ((), (x, x), (retrograd.ones(3),), (x.double(),)):
        with pytest.raises(RuntimeError, match=r"same argspec|doesn't match the (shape|dtype)"):
            push(*tangents)
    x.add_(1)
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation since"):
        push(retrograd.ones(2))


@pytest.mark.parametrize(
    "result",
    ["3", "(x * 2, 3)", "None", "'a'", "()", "{'a': x * 3, 'b': 2}", "(x * 2, None)", "[x, [1.5]]"],
)
def test_linearize_passes_on_what_is_no_tensor(result: str) -> None:
    program = f"""
        value, push = torch.func.linearize(lambda x: {result}, torch.ones(2))
        print(value)
        print(push(torch.ones(2) * 2))
    """
    assert_same(program)


def test_a_linearized_function_is_freed_when_it_is_dropped() -> None:
    gc.collect()
    gc.disable()
    try:
        kept = []

        def f(v: retrograd.Tensor) -> retrograd.Tensor:
            inner = v.sin()
            kept.append(weakref.ref(inner))
            return inner.exp()

        value, push = linearize(f, retrograd.ones(3))
        assert kept[0]() is not None
        del value, push
        assert kept[0]() is None
    finally:
        gc.enable()


# -- what of the caller's graph stays connected ---------------------------------------------------


def test_tangents_depend_on_what_the_function_captures(backend: str) -> None:
    scale = retrograd.tensor(3.0, requires_grad=True)
    x = retrograd.tensor([1.0, 2.0])
    pushed = jvp(lambda v: scale * v * v, (x,), (x,))[1]
    pushed.sum().backward()
    assert scale.grad is not None
    assert scale.grad.item() == 10.0
    curved = jvp(grad(lambda v: (scale * v**3).sum()), (x,), (x,))[1]
    (slope,) = retrograd.autograd.grad(curved.sum(), scale)
    assert slope.item() == 30.0


def test_results_require_no_gradient_that_nobody_asked_for(backend: str) -> None:
    x = retrograd.tensor([1.0, 2.0])
    value, pushed = jvp(grad(lambda v: (v**3).sum()), (x,), (x,))
    assert not value.requires_grad
    assert not pushed.requires_grad
    assert not hessian(lambda v: (v**3).sum())(x).requires_grad
    assert not jacfwd(jacrev(lambda v: v**3))(x).requires_grad


def test_a_parameter_that_vmap_captures_gets_gradients_of_gradients(backend: str) -> None:
    weight = retrograd.tensor([1.0, 2.0], requires_grad=True)
    rows = retrograd.tensor([[1.0, 1.0], [2.0, 0.5]])
    slopes = vmap(grad(lambda w, r: (w * w * r).sum()), in_dims=(None, 0))(weight, rows)
    (curvature,) = retrograd.autograd.grad(slopes.sum(), weight)
    assert curvature.tolist() == [6.0, 3.0]


def test_writes_to_what_is_made_like_a_tensor_that_samples_share() -> None:
    assert_same(
        """
        def scaled(v):
            made = v.clone()
            made.renorm_(2, 0, 1.5)
            return made
        def filled(v):
            made = torch.ones_like(v)
            made.mul_(2)
            again = v.clone()
            again.copy_(v * v.new_full((3,), 2.0) * made)
            return again
        print(fn.jacfwd(scaled)(x).sum(0), fn.hessian(lambda v: (scaled(v) ** 3).sum())(x).sum((0, 1)))
        print(fn.jacfwd(filled)(x).sum((0, 1)))
        print(torch.vmap(lambda v: torch.zeros_like(v).add_(v))(x))
        print(torch.vmap(lambda v: fn.jacfwd(filled)(v))(x).sum(1))
        """,
        INPUTS,
    )
