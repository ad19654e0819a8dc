"""Function transforms: the same results as PyTorch's, nested and on every backend."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd import func

INPUTS = """
from functools import partial
fn = torch.func
x = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]])
w = torch.tensor([0.5, -0.25, 1.5])
"""

EXPRESSIONS = {
    "grad": "fn.grad(lambda v: (v ** 3).sum())(w)",
    "grad of grad": "fn.grad(lambda v: fn.grad(lambda u: (u ** 4).sum())(v).sum())(w)",
    "grad by two": "fn.grad(lambda a, b: (a * b * b).sum(), argnums=(0, 1))(w, w + 1)",
    "grad with aux": "fn.grad(lambda v: ((v * v).sum(), v * 2), has_aux=True)(w)",
    "grad of a dict": "fn.grad(lambda p: (p['a'] * p['b']).sum())({'a': w, 'b': w + 1})",
    "grad and value": "fn.grad_and_value(lambda v: (v.sin() * v).sum())(w)",
    "vjp": "fn.vjp(lambda v: v.exp() * v, w)[1](w)",
    "vjp of a tuple": "fn.vjp(lambda v: (v.exp(), v.sum()), w)[1]((w, torch.tensor(2.)))",
    "jvp": "fn.jvp(lambda v: v.exp() * v, (w,), (w * 2,))",
    "jvp of two": "fn.jvp(lambda a, b: a * b, (w, w + 1), (w * 2, w))",
    "linearize": "fn.linearize(lambda v: v.sin(), w)[1](w)",
    "jacrev": "fn.jacrev(lambda v: v.softmax(0))(w)",
    "jacrev by both": "fn.jacrev(lambda a, b: a * b.sum(), argnums=(0, 1))(w, w)",
    "jacfwd": "fn.jacfwd(lambda v: v.sin() * v.sum())(w)",
    "hessian": "fn.hessian(lambda v: (v.sin() * v).prod())(w)",
    "vmap": "fn.vmap(torch.dot)(x, x + 1)",
    "vmap in_dims": "fn.vmap(lambda a, b: a * b, in_dims=(1, None))(x, w[:2])",
    "vmap out_dims": "fn.vmap(lambda a: (a * 2, a.sum()), out_dims=(1, 0))(x)",
    "vmap chunks": "fn.vmap(lambda a: a.cumsum(0), chunk_size=1)(x)",
    "vmap of vmap": "fn.vmap(fn.vmap(lambda a, b: a * b, in_dims=(0, None)), in_dims=(None, 0))(x[0], w)",
    "per-sample gradients": "fn.vmap(fn.grad(lambda p, r: (r * p).sum().tanh()), in_dims=(None, 0))(w, x)",
    "per-sample hessians": "fn.vmap(fn.hessian(lambda v: (v ** 3).sum() + v.prod()))(x)",
    "per-sample jacobians": "fn.vmap(fn.jacrev(lambda v: v.log_softmax(0)))(x)",
    "grad of vmap": "fn.grad(lambda p: fn.vmap(lambda r: (r * p).sum().exp())(x).sum())(w)",
    "vmap of a product": "fn.vmap(lambda r: r[None] @ x.t())(x)",
    "vmap of a batch of products": "fn.vmap(lambda r: torch.outer(r, w) @ torch.outer(w, r))(x)",
    "vmap in place": "fn.vmap(lambda r: (r * 1).mul_(2).add_(w))(x)",
    "vmap writes a part": "fn.vmap(lambda r: r.clone().index_fill(0, torch.tensor([1]), 9.))(x)",
    "vmap index": "fn.vmap(lambda r: r[torch.tensor([0, 2])])(x)",
    "vmap index by sample": "fn.vmap(lambda i: w[i])(torch.tensor([[0, 2], [1, 1]]))",
    "vmap gather": "fn.vmap(fn.grad(lambda r: (r.gather(0, torch.tensor([0, 0, 2])) ** 2).sum()))(x)",
    "vmap where": "fn.vmap(fn.grad(lambda r: torch.where(r > 0, r * r, -r).sum()))(x)",
    "vmap cat": "fn.vmap(fn.grad(lambda r: (torch.cat([r, w]) ** 2).sum()))(x)",
    "vmap stack": "fn.vmap(lambda r: torch.stack([r, w]).sum(0))(x)",
    "vmap sort": "fn.vmap(fn.grad(lambda r: (r.sort()[0] * w).sum()))(x)",
    "vmap max": "fn.vmap(fn.grad(lambda r: r.max()))(x)",
    "vmap argmax": "fn.vmap(lambda r: r.argmax())(x)",
    "vmap var": "fn.vmap(fn.grad(lambda r: r.var()))(x)",
    "vmap norm": "fn.vmap(fn.grad(lambda r: r.norm()))(x)",
    "vmap prod": "fn.vmap(fn.grad(lambda r: r.prod()))(x)",
    "vmap reshape": "fn.vmap(lambda r: r.reshape(3, 1).expand(3, 2).t().flatten())(x)",
    "vmap slices": "fn.vmap(fn.grad(lambda r: (r[1:] * r[:-1]).sum()))(x)",
    "vmap flip": "fn.vmap(lambda r: r.flip(0).roll(1, 0))(x)",
    "vmap diag": "fn.vmap(lambda r: torch.diag(r).tril().diagonal())(x)",
    "vmap types": "fn.vmap(lambda r: r.to(torch.float64) + 1)(x)",
    "vmap loss": "fn.vmap(lambda r, t: F.cross_entropy(r[None], t[None]))(x, torch.tensor([0, 2]))",
    "vmap convolution": "fn.vmap(lambda i: F.conv1d(i[None, None], torch.ones(1, 1, 2)))(x)",
    "vmap over a dict": "fn.vmap(lambda d: d['a'] + d['b'], in_dims=({'a': 0, 'b': None},))({'a': x, 'b': w})",
    "jacobian of a gradient": "fn.jacrev(fn.grad(lambda v: (v ** 3).sum()))(w)",
    "jvp of grad": "fn.jvp(fn.grad(lambda v: (v ** 3).sum()), (w,), (w,))",
    "vmap of jvp": "fn.vmap(lambda t: fn.jvp(lambda v: v.sin() * v, (w,), (t,))[1])(x)",
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(f"{INPUTS}\nprint({EXPRESSIONS[name]})")


ERRORS = """
attempt(torch.func.vmap(lambda a: a), 5)
attempt(torch.func.vmap(lambda a, b: a), x, w)
attempt(torch.func.vmap(lambda a: a.item()), w)
attempt(torch.func.vmap(lambda a: torch.rand(3)), x)
attempt(torch.func.vmap(lambda a: a, in_dims=3), x)
attempt(torch.func.vmap(lambda a: a, in_dims=None), x)
attempt(torch.func.grad(lambda v: v * 2), w)
attempt(torch.func.grad(lambda v: 5.), w)
attempt(torch.func.jvp, lambda v: v, w, w)
"""


def first_sentence(text: str) -> str:
    return text.partition(": ")[0]


def test_misuse_raises_the_errors_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    from programs import output_of

    ours = output_of(retrograd, INPUTS + ERRORS).splitlines()
    theirs = output_of(torch, INPUTS + ERRORS).splitlines()
    assert len(ours) == len(theirs)
    assert [first_sentence(line) for line in ours] == [first_sentence(line) for line in theirs]


def test_random_numbers_follow_the_randomness_flag() -> None:
    x = retrograd.zeros(3, 2)
    same = func.vmap(lambda r: r + retrograd.rand(2), randomness="same")(x)
    assert bool((same[0] == same[1]).all())
    different = func.vmap(lambda r: r + retrograd.rand(2), randomness="different")(x)
    assert not bool((different[0] == different[1]).any())


def test_gradients_of_captured_tensors_stay_connected() -> None:
    scale = retrograd.tensor(3.0, requires_grad=True)
    slope = func.grad(lambda v: (scale * v * v).sum())(retrograd.tensor([1.0, 2.0]))
    slope.sum().backward()
    assert scale.grad is not None
    assert scale.grad.item() == 6.0


def test_results_are_outside_of_the_graph_when_nobody_needs_it() -> None:
    assert not func.grad(lambda v: (v * v).sum())(retrograd.ones(2)).requires_grad
    assert not func.vjp(retrograd.sin, retrograd.ones(2))[0].requires_grad


LOSSES = {
    "cross entropy": "torch.nn.functional.cross_entropy(a, b)",
    "cross entropy, ignoring": "torch.nn.functional.cross_entropy(a, b, ignore_index=2, reduction='sum')",
    "cross entropy, smoothed": "torch.nn.functional.cross_entropy(a, b, label_smoothing=0.1)",
    "negative log-likelihood": "torch.nn.functional.nll_loss(a.log_softmax(0), b)",
    "one-hot": "(torch.nn.functional.one_hot(b, 4) * a).sum()",
    "embedding": "torch.nn.functional.embedding(b, a.unsqueeze(1)).sum()",
    "max-pool": "torch.nn.functional.max_pool1d(a.reshape(1, 1, 4), 2).sum()",
}


@pytest.mark.parametrize("name", LOSSES)
def test_per_sample_gradients_of_losses_equal_the_loop_s(name: str, backend: str) -> None:
    rows = retrograd.tensor([[0.3, -1.2, 0.7, 0.1], [1.1, 0.4, -0.6, 0.2], [-0.2, 0.9, 0.8, -1.0]])
    targets = retrograd.tensor([0, 3, 1])

    def loss(a: retrograd.Tensor, b: retrograd.Tensor) -> retrograd.Tensor:
        return eval(LOSSES[name], {"torch": retrograd, "a": a, "b": b})

    batched = func.vmap(func.grad(loss))(rows, targets)
    alone = retrograd.stack([func.grad(loss)(row, target) for row, target in zip(rows, targets, strict=True)])
    assert retrograd.allclose(batched, alone, atol=1e-6)


def test_zeros_for_what_a_value_does_not_depend_on_require_no_gradient(backend: str) -> None:
    assert_same(
        """
        x = torch.tensor([1.0, 2.0])
        print(torch.func.grad(lambda d: d["a"].sum())({"a": x, "b": x}))
        print(torch.func.vjp(lambda a, b: a * 2, x, x)[1](x))
        print(torch.func.jacrev(lambda a, b: a * 2, argnums=(0, 1))(x, x))
        """
    )


_OF_INFERENCE = """
    fn = torch.func
    o = torch.ones(2)
    leaf = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        i = torch.tensor([2., 3.])
    class Times(torch.autograd.Function):
        @staticmethod
        def forward(x, y): return x * y
        @staticmethod
        def setup_context(ctx, inputs, output): ctx.save_for_backward(*inputs)
        @staticmethod
        def backward(ctx, g): return g * ctx.saved_tensors[1], None
"""


@pytest.mark.parametrize(
    "call",
    [
        "fn.grad(lambda x: (x * i).sum())(o)",
        "fn.jacrev(lambda x: x * i)(o)",
        "fn.vjp(lambda x: x * i, o)[1](o)",
        "fn.hessian(lambda x: (x * i * x).sum())(o)",
        "fn.grad(lambda y: fn.grad(lambda x: (x * i * x).sum())(y).sum())(o)",
        "fn.grad(lambda x: (x * x).sum())(i)",
        "fn.grad(lambda x, y: (x * y).sum())(o, i)",
        "fn.grad(lambda x: fn.vmap(lambda row: (row * i).sum())(x).sum())(torch.ones(3, 2))",
        "fn.grad(lambda x: (x.clone().mul_(i)).sum())(o)",
        "fn.grad(lambda x: Times.apply(i.view(2) @ x, i).sum())(o)",
        "fn.grad(lambda x: i.mul_(x).sum())(o)",
        "fn.grad(lambda x: (x * i).sum())(leaf)",
        "fn.grad(lambda x: (x * x * leaf * i).sum())(o)",
        "fn.grad(lambda x: (x * leaf).sum())(o)",
        "leaf * i",
        "torch.autograd.functional.jacobian(lambda x: x * i, o)",
    ],
)
def test_a_function_may_use_inference_tensors(call: str, backend: str) -> None:
    assert_same(f"attempt(lambda: {call})", _OF_INFERENCE)


@pytest.mark.parametrize(
    "call",
    [
        "fn.grad(hooked)(o)",
        "fn.vmap(fn.grad(hooked))(torch.ones(2, 3))",
        "fn.vjp(hooked, o)[0]",
        "fn.jacrev(hooked)(o)",
        "fn.hessian(hooked)(o)",
        "fn.jacfwd(hooked)(o)",
        "fn.jvp(hooked, (o,), (o,))",
        "fn.vmap(hooked)(o)",
        "within(lambda: fn.grad(plain)(o))",
        "within(lambda: fn.vjp(plain, o)[0])",
        "within(lambda: fn.vmap(plain)(o))",
        "within(fn.vjp(plain, o)[1], torch.tensor(1.0))",
        "(fn.grad(plain)(o), within(lambda: 1))",
    ],
)
def test_transforms_in_reverse_mode_refuse_hooks_on_saved_tensors(call: str) -> None:
    given = """
        fn = torch.func
        o = torch.ones(3)
        def within(call, *args):
            with torch.autograd.graph.save_on_cpu():
                return call(*args)
        plain = lambda x: (x * x * x).sum()
        hooked = lambda x: within(plain, x)
    """
    assert_same(f"attempt(lambda: {call})", given)


def test_no_gradient_is_retained_inside(backend: str) -> None:
    assert_same("""
    def f(x):
        y = x * 2
        y.retain_grad()
        return y.sum()
    x = torch.ones(2)
    attempt(torch.func.grad(f), x)
    attempt(torch.func.vmap(f), x)
    attempt(torch.func.vjp, f, x)
    """)


_NESTED = """
x = torch.tensor([0.3, -1.2, 0.7, 2.1], dtype=torch.float64)
fn = torch.func

def twice(function, x):
    print(fn.grad(lambda x: fn.grad(function)(x).sum())(x), fn.vjp(fn.grad(function), x)[1](x)[0])
    print(fn.jacrev(fn.jacrev(function))(x), fn.hessian(function)(x), fn.jacfwd(fn.jacfwd(function))(x))
"""


def test_windows_and_strided_views_in_nested_transforms() -> None:
    assert_same(
        """
    twice(lambda x: (x.unfold(0, 2, 1) ** 3).sum(), x)
    twice(lambda x: (x.as_strided((2, 2), (1, 1)) ** 3).sum(), x)
    twice(lambda x: (x.expand(2, 4).unfold(1, 2, 1) ** 3).sum(), x)
    twice(lambda x: (x[1:].unfold(0, 2, 1).unfold(1, 2, 1) ** 3).sum(), x)
    print(fn.jvp(lambda x: x.expand(2, 4).unfold(1, 2, 1).sum(), (x,), (x,)))
    print(fn.jvp(lambda x: x.expand(2, 4).as_strided((2,), (1,)), (x,), (x,)))
    """,
        _NESTED,
    )


def test_a_second_derivative_through_a_batch_of_first_ones() -> None:
    assert_same(
        """
    x = torch.tensor([1.0, 2.0, -1.0])
    for way in F.relu, F.leaky_relu, F.hardtanh, F.relu6, F.elu, F.silu, F.softshrink, F.hardswish:
        for jacobian in fn.jacrev, fn.jacfwd:
            print(fn.grad(lambda x: jacobian(lambda x: way(x) ** 2)(x).sum())(x))
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    parameters = {name: torch.full_like(each, 0.1) for name, each in model.named_parameters()}
    rows = torch.ones(5, 3)
    slopes = lambda p: fn.vmap(fn.jacrev(lambda q: fn.functional_call(model, p, (q,))))(rows)
    print(fn.grad(lambda p: slopes(p).pow(2).sum())(parameters))
    y = x.clone().requires_grad_()
    torch.autograd.functional.jacobian(lambda x: F.relu(x) ** 2, y, create_graph=True, vectorize=True).sum().backward()
    torch.autograd.grad(F.relu(y) ** 3, y, torch.eye(3), is_grads_batched=True, create_graph=True)[0].sum().backward()
    print(y.grad)
    """,
        _NESTED,
    )


def test_a_pull_back_takes_one_value_and_flags() -> None:
    assert_same("""
    x = torch.ones(3)
    for given in (x, x), (x, "a"), (x, 1.5), (x, True, x), (x, 1, None), (x, False, True):
        value, pull_back = torch.func.vjp(lambda t: t * t * t, x)
        try:
            print(pull_back(*given))
            print(pull_back(x))
        except (TypeError, RuntimeError) as error:
            print(type(error).__name__, str(error).partition("(")[0].rpartition(".")[2])
    """)


def test_what_is_computed_anew_is_written_in_transforms() -> None:
    assert_same("""
    x = torch.tensor([[1.5, 2.5], [3.25, 4.75]], dtype=torch.float64)
    for write in (
        lambda t: t.polygamma_(1), lambda t: t.mvlgamma_(2), lambda t: t[None].renorm_(2, 0, 1.0),
        lambda t: t.masked_scatter_(t > 2, t * 2),
    ):
        total = lambda t: (write(t * 1) ** 2).sum()
        print(torch.func.vmap(torch.func.grad(total))(x), torch.func.vmap(torch.func.jacrev(torch.func.grad(total)))(x))
        print(torch.func.jvp(torch.func.grad(total), (x[0],), (torch.ones(2, dtype=torch.float64),)))
    for write in (lambda t: t.heaviside_(t), lambda t: t.floor_divide_(2), lambda t: t.heaviside(t)):
        attempt(torch.func.grad(lambda t: write(t * 1).sum()), x)
        attempt(torch.func.jacfwd(lambda t: write(t * 1)), x)
    """)
