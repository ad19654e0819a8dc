"""Custom Functions inside of transforms: mapped by their own rule, by a generated one, or refused."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd import func

PRELUDE = """
Fn = torch.autograd.Function
fn = torch.func
vmap, grad, vjp, jvp, jacrev, jacfwd, hessian = fn.vmap, fn.grad, fn.vjp, fn.jvp, fn.jacrev, fn.jacfwd, fn.hessian
x = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]])
w = torch.tensor([0.5, -0.25, 1.5])
class Gen(Fn):
    generate_vmap_rule = True
    @staticmethod
    def forward(a, b): return a * b + a
    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs); ctx.save_for_forward(*inputs)
    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * b + g, g * a
    @staticmethod
    def jvp(ctx, ta, tb):
        a, b = ctx.saved_tensors
        return ta * b + ta + tb * a
class Own(Fn):
    @staticmethod
    def forward(a, b): return a * b + a
    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs); ctx.save_for_forward(*inputs)
    backward = staticmethod(Gen.backward)
    jvp = staticmethod(Gen.jvp)
    @staticmethod
    def vmap(info, in_dims, a, b):
        print("vmap", info, in_dims, tuple(a.shape), tuple(b.shape))
        ad, bd = in_dims
        if ad is not None: a = a.movedim(ad, 0)
        else: a = a.unsqueeze(0)
        if bd is not None: b = b.movedim(bd, 0)
        else: b = b.unsqueeze(0)
        return Own.apply(a, b), 0
class Plain(Fn):
    @staticmethod
    def forward(a, b): return a * b + a
    @staticmethod
    def setup_context(ctx, inputs, output): ctx.save_for_backward(*inputs)
    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * b + g, g * a
class Old(Fn):
    @staticmethod
    def forward(ctx, a, b): return a * b
    @staticmethod
    def backward(ctx, g): return g, g
"""

CALLS = """
vmap(C.apply)(x, x + 1)
vmap(C.apply, (0, None))(x, w)
vmap(C.apply, (None, 0))(w, x)
vmap(C.apply, out_dims=1)(x, x)
vmap(C.apply, chunk_size=1)(x, x)
vmap(lambda a: C.apply(w, w) + a)(x)
grad(lambda a: C.apply(a, w).sum())(w)
grad(lambda a, b: C.apply(a, b).sin().sum(), (0, 1))(w, w)
grad(lambda a: grad(lambda b: C.apply(b, b).sin().sum())(a).sum())(w)
hessian(lambda a: C.apply(a, a).sin().sum())(w)
jacrev(lambda a: C.apply(a, w).sin())(w)
jacfwd(lambda a: C.apply(a, w).sin())(w)
jvp(lambda a: C.apply(a, w).sin(), (w,), (w,))
jvp(C.apply, (w, w + 1), (w, w))
vjp(C.apply, w, w + 1)[1](w)
vmap(grad(lambda a, b: C.apply(a, b).sin().sum()), (0, None))(x, w)
vmap(grad(lambda b, a: C.apply(a, b).sin().sum()), (None, 0))(w, x)
grad(lambda b: vmap(C.apply, (0, None))(x, b).sin().sum())(w)
grad(lambda a: vmap(C.apply, (0, None))(a, w).sin().sum())(x)
grad(lambda b: vmap(grad(lambda a: C.apply(a, b).sin().sum()))(x).cos().sum())(w)
vmap(vmap(C.apply, (0, None)), (0, 0))(x, w[:2])
vmap(vmap(C.apply, (None, 0)), (0, None))(x[:, 0], w)
vmap(vmap(grad(C.apply), (0, None)), (0, None))(x, torch.tensor(2.))
grad(lambda b: vmap(vmap(C.apply, (0, None)), (0, None))(x, b).sin().sum())(torch.tensor(2.))
jvp(lambda b: vmap(C.apply, (0, None))(x, b).sin(), (w,), (w,))
vmap(lambda a: jvp(lambda b: C.apply(a, b).sin(), (w,), (w,)))(x)
vmap(hessian(lambda a: C.apply(a, a).sin().sum()))(x)
vmap(jacrev(lambda a: C.apply(a, a).sin()))(x)
""".strip().splitlines()


@pytest.mark.parametrize("kind", ["Gen", "Own", "Plain", "Old"])
def test_transforms_of_a_function(kind: str, backend: str) -> None:
    """With a generated rule, with one of its own, with none, and without `setup_context`."""
    attempts = "\n".join(f"attempt(lambda: {call})" for call in CALLS)
    assert_same(f"{PRELUDE}\nC = {kind}\n{attempts}")


@pytest.mark.parametrize("kind", ["Gen", "Own"])
def test_a_graph_outside_of_vmap(kind: str, backend: str) -> None:
    assert_same(
        f"{PRELUDE}\nC = {kind}"
        + """
z = x.clone().requires_grad_()
v = w.clone().requires_grad_()
o = vmap(C.apply, (0, None))(z, v)
print(o)
o.sin().sum().backward()
print(z.grad, v.grad)
o = vmap(C.apply, (0, None))(z, v)
g, h = torch.autograd.grad(o.sin().sum(), (z, v), create_graph=True)
print(g.detach(), h.detach())
print(torch.autograd.grad(g.cos().sum() + h.sum(), (z, v)))
"""
    )


PROGRAMS = {
    "a seed of each sample": """
        class Doubled(torch.autograd.Function):
            @staticmethod
            def forward(x):
                return x * 2

            @staticmethod
            def setup_context(ctx, inputs, output):
                pass

            @staticmethod
            def backward(ctx, grad):
                return Doubled.apply(grad)

            @staticmethod
            def vmap(info, in_dims, x):
                print(in_dims, x.shape)
                return Doubled.apply(x), in_dims[0]

        vmap, grad = torch.func.vmap, torch.func.grad
        print(vmap(grad(Doubled.apply))(torch.ones(3)))
        print(vmap(grad(lambda x: Doubled.apply(x).sum()))(torch.ones(3, 2)))
        print(vmap(vmap(grad(Doubled.apply)))(torch.ones(2, 3)))
        print(vmap(lambda x: grad(Doubled.apply)(torch.tensor(1.)) * x)(torch.ones(3)))
    """,
    "both": """
        class B(Own): generate_vmap_rule = True
        attempt(lambda: vmap(B.apply)(x, x))
    """,
    "randomness": """
        class R(Fn):
            @staticmethod
            def forward(a): return a + torch.rand(3)
            @staticmethod
            def setup_context(ctx, inputs, output): pass
            @staticmethod
            def vmap(info, in_dims, a):
                print(info.batch_size, info.randomness)
                return a + torch.rand(2, 3), 0
        print(vmap(R.apply, randomness="different")(x).shape)
        print(vmap(R.apply)(x).shape)
        class S(R):
            generate_vmap_rule = True
            vmap = Fn.vmap
        attempt(lambda: vmap(S.apply)(x))
        o = vmap(S.apply, randomness="same")(x * 0); print(torch.equal(o[0], o[1]))
        o = vmap(S.apply, randomness="different")(x * 0); print(torch.equal(o[0], o[1]))
    """,
    "several outputs": """
        class N(Fn):
            generate_vmap_rule = True
            @staticmethod
            def forward(a): return a * 2, a.sum(), torch.tensor(5.)
            @staticmethod
            def setup_context(ctx, inputs, output):
                ctx.save_for_backward(inputs[0], output[1]); ctx.shape = tuple(inputs[0].shape)
            @staticmethod
            def backward(ctx, g, h, k):
                a, s = ctx.saved_tensors
                print(tuple(a.shape), tuple(s.shape), tuple(g.shape), tuple(h.shape), ctx.shape, ctx.needs_input_grad)
                return g * 2 + h.expand(ctx.shape) * s
        print(vmap(N.apply)(x))
        print(vmap(grad(lambda a: sum(t.sum() for t in N.apply(a))))(x))
        print(grad(lambda v: sum(t.sum() for t in vmap(N.apply)(v)))(x))
        print(grad(lambda v: sum(t.sum() for t in vmap(vmap(N.apply))(v[None].expand(2, 2, 3)))) (x))
        z = x.clone().requires_grad_()
        o = vmap(N.apply)(z); print(o)
        o[1].sum().backward(); print(z.grad)
    """,
    "materialize": """
        class N(Fn):
            generate_vmap_rule = True
            @staticmethod
            def forward(a): return a * 2, a * 3
            @staticmethod
            def setup_context(ctx, inputs, output): ctx.set_materialize_grads(False)
            @staticmethod
            def backward(ctx, g, h):
                print(g is None, h is None)
                return g * 2 if g is not None else h * 3
        print(grad(lambda v: vmap(N.apply)(v)[1].sum())(x))
        print(vmap(grad(lambda v: N.apply(v)[1].sum()))(x))
    """,
    "dirty vmap": """
        class N(Fn):
            @staticmethod
            def forward(a): a.mul_(2); return a
            @staticmethod
            def setup_context(ctx, inputs, output): ctx.mark_dirty(inputs[0])
            @staticmethod
            def backward(ctx, g): return g * 2
            @staticmethod
            def vmap(info, in_dims, a): N.apply(a); return a, in_dims[0]
        y = x.clone()
        def f(a):
            b = a.clone(); c = N.apply(b); print(c is b); return b
        attempt(lambda: vmap(f)(y)); print(y)
        attempt(lambda: vmap(N.apply)(y)); print(y)
        attempt(lambda: grad(lambda v: vmap(f)(v).sum())(x))
        attempt(lambda: vmap(grad(lambda v: f(v).sum()))(x))
    """,
    "broadcast grad": """
        class N(Fn):
            generate_vmap_rule = True
            @staticmethod
            def forward(a, b): return a * b
            @staticmethod
            def setup_context(ctx, inputs, output): ctx.save_for_backward(*inputs)
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, g * a
        s = torch.tensor([2., 3.])
        print(grad(lambda v: vmap(N.apply)(v, x).sum())(s))
        print(grad(lambda v: vmap(N.apply, (None, 0))(v, x).sum())(torch.tensor(2.)))
        print(vmap(grad(lambda v, a: N.apply(v, a).sum()))(s, x))
        print(vmap(grad(lambda v, a: N.apply(v, a).sum()), (None, 0))(torch.tensor(2.), x))
    """,
    "names": """
        z = x.clone().requires_grad_()
        o = vmap(Gen.apply, (0, None))(z, w); print(o.grad_fn, o.grad_fn.name())
        print([n[0] is None for n in o.grad_fn.next_functions])
        o = vmap(Own.apply, (0, None))(z, w); print(o.grad_fn)
    """,
    "old style outside": """
        print(Old.apply(w, w))
        attempt(lambda: grad(lambda a: Old.apply(a, w).sum())(w))
        attempt(lambda: torch.autograd.functional.jacobian(lambda a: Old.apply(a, w), w))
        attempt(lambda: torch.autograd.functional.jacobian(lambda a: Old.apply(a, w), w, vectorize=True))
    """,
    "nested custom in rule": """
        class N(Fn):
            @staticmethod
            def forward(a): return Old.apply(a, a)
            @staticmethod
            def setup_context(ctx, inputs, output): ctx.save_for_backward(*inputs)
            @staticmethod
            def backward(ctx, g): return g
            @staticmethod
            def vmap(info, in_dims, a): return Old.apply(a, a), in_dims[0]
        attempt(lambda: vmap(N.apply)(x))
        attempt(lambda: vmap(vmap(N.apply))(x))
        attempt(lambda: N.apply(w))
        attempt(lambda: grad(lambda a: N.apply(a).sum())(w))
    """,
    "kwargs": """
        class N(Fn):
            @staticmethod
            def forward(a, k=2): return a * k
            @staticmethod
            def setup_context(ctx, inputs, output): pass
            @staticmethod
            def vmap(info, in_dims, a, k): print(k, in_dims); return a * k, in_dims[0]
        attempt(lambda: vmap(lambda a: N.apply(a, k=4))(x))
        attempt(lambda: vmap(lambda a: N.apply(a))(x))
    """,
    "exception in rule": """
        class N(Own):
            @staticmethod
            def vmap(info, in_dims, a, b): raise ValueError("no")
        attempt(lambda: vmap(N.apply)(x, x)); print(torch.is_grad_enabled())
        print(vmap(lambda a: a * 2)(x)); print(torch.rand(2).shape)
        class M(Gen):
            @staticmethod
            def forward(a, b): raise ValueError("no")
        attempt(lambda: vmap(M.apply)(x, x)); print(torch.is_grad_enabled())
    """,
    "once differentiable in transforms": """
        once = torch.autograd.function.once_differentiable
        class N(Fn):
            generate_vmap_rule = True
            @staticmethod
            def forward(a): return a ** 2
            @staticmethod
            def setup_context(ctx, inputs, output): ctx.save_for_backward(*inputs)
            @staticmethod
            @once
            def backward(ctx, g): return g * 2 * ctx.saved_tensors[0]
        attempt(lambda: grad(lambda a: N.apply(a).sum())(w))
        attempt(lambda: vmap(grad(lambda a: N.apply(a).sum()))(x))
        attempt(lambda: grad(lambda v: vmap(N.apply)(v).sum())(x))
        attempt(lambda: grad(lambda b: grad(lambda a: N.apply(a).sum())(b).sum())(w))
    """,
    "clear on access": """
        class N(Gen): clear_saved_tensors_on_access = True
        attempt(lambda: vmap(grad(lambda a: N.apply(a, w).sum()))(x))
        attempt(lambda: grad(lambda v: vmap(N.apply, (0, None))(v, w).sum())(x))
        attempt(lambda: jvp(lambda v: N.apply(v, w), (w,), (w,)))
    """,
    "nested args": """
        class N(Fn):
            @staticmethod
            def forward(a, l): return a * l[0]
            @staticmethod
            def setup_context(ctx, inputs, output): pass
            @staticmethod
            def vmap(info, in_dims, a, l):
                print(in_dims, [tuple(t.shape) for t in l]); return a * l[0], 0
        attempt(lambda: vmap(lambda a: N.apply(a, [a, w]))(x))
    """,
    "returned and saved": """
        def saving(how, what):
            class N(Gen):
                @staticmethod
                def forward(a): return a
                @staticmethod
                def setup_context(ctx, inputs, output): getattr(ctx, how)(output if what else inputs[0])
                @staticmethod
                def backward(ctx, g): return g
                @staticmethod
                def jvp(ctx, t): return t.view_as(t)
            return N
        for how in ("save_for_backward", "save_for_forward"):
            for what in (False, True):
                N = saving(how, what)
                for a in (w, w.clone().requires_grad_(), torch.tensor([1])):
                    attempt(lambda: N.apply(a))
                    with torch.no_grad(): attempt(lambda: N.apply(a))
                attempt(lambda: grad(lambda a: N.apply(a).sum())(w))
                attempt(lambda: jvp(N.apply, (w,), (w,)))
                attempt(lambda: vmap(N.apply)(w))
    """,
    "names of nodes inside": """
        seen = lambda y: (print(type(y.grad_fn).__name__, y.grad_fn.name()), y.sum())[1]
        grad(lambda a: seen(Gen.apply(a, w)))(w)
        vjp(lambda a: seen(Gen.apply(a, w)), w)
        grad(lambda v: seen(vmap(Gen.apply)(v, x)))(x)
        vmap(grad(lambda a: seen(Own.apply(a, w))))(x)
        seen(Gen.apply(w.clone().requires_grad_(), w))
    """,
    "once differentiable, and its cotangent": """
        class N(Fn):
            @staticmethod
            def forward(a): return a ** 2
            @staticmethod
            def setup_context(ctx, inputs, output): ctx.save_for_backward(*inputs)
            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, g): return g * 2 * ctx.saved_tensors[0]
        attempt(lambda: grad(lambda a, g: vjp(N.apply, a)[1](g)[0].sum(), argnums=(0, 1))(w, w))
        attempt(lambda: vjp(N.apply, w.clone().requires_grad_())[1](w.clone().requires_grad_())[0].sum().backward())
    """,
    "keyword tensors": """
        class N(Fn):
            @staticmethod
            def forward(a, *, k): return a * k
            @staticmethod
            def setup_context(ctx, inputs, output): pass
            @staticmethod
            def vmap(info, in_dims, a, *, k): return a * k, in_dims[0]
        attempt(lambda: vmap(N.apply)(w, k=w[0] * 0))
    """,
    "one row at a time": """
        class N(Fn):
            @staticmethod
            def forward(a): return a * 2
            @staticmethod
            def setup_context(ctx, inputs, output): pass
            @staticmethod
            def backward(ctx, g): return N.apply(g)
        print(jacrev(N.apply, chunk_size=1)(w))
        attempt(lambda: jacrev(N.apply, chunk_size=2)(w))
    """,
    "inside module": """
        lin = nn.Linear(3, 2)
        with torch.no_grad(): lin.weight.fill_(0.5); lin.bias.fill_(0.1)
        p = {k: v.detach() for k, v in lin.named_parameters()}
        f = lambda p, a: Gen.apply(fn.functional_call(lin, p, (a,)), torch.tensor(2.)).sum()
        print(vmap(grad(f), (None, 0))(p, x))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_prints_the_same(name: str, backend: str) -> None:
    assert_same(PRELUDE + textwrap.dedent(PROGRAMS[name]))


def test_a_rule_sees_the_samples_dimension_where_the_caller_has_it(backend: str) -> None:
    program = """
        class Told(Own):
            @staticmethod
            def vmap(info, in_dims, a, b):
                print(info, in_dims, a.shape)
                a = a if in_dims[0] is None else a.movedim(in_dims[0], 0)
                return Told.apply(a, b), 0
        told = lambda a: Told.apply(a, 2.0)
        print(vmap(told, in_dims=1)(x), vmap(told, in_dims=-1, out_dims=1)(x))
        print(grad(lambda t: vmap(lambda a: (a * 2).sum() + Own.apply(a, w[:2]).sum(), in_dims=1)(t).sum())(x))
        print(vmap(vmap(told, in_dims=1), in_dims=1)(torch.ones(2, 3, 4)))
        print(vmap(lambda a: told(a.clone().mul_(2)[:1]), in_dims=0)(x))
    """
    assert_same(program, PRELUDE)


def test_a_generated_rule_can_write_in_place(backend: str) -> None:
    """PyTorch refuses that; see `retrograd.func.functions`."""

    class Twice(retrograd.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: retrograd.Tensor) -> retrograd.Tensor:
            return x.mul_(2)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.mark_dirty(inputs[0])

        @staticmethod
        def backward(ctx: Any, grad: retrograd.Tensor) -> retrograd.Tensor:
            return grad * 2

    x = retrograd.ones(2, 3)
    func.vmap(Twice.apply)(x)
    assert x.tolist() == [[2.0] * 3] * 2
    slope = func.grad(lambda v: func.vmap(lambda row: Twice.apply(row * 1))(v).sum())(retrograd.ones(2, 3))
    assert slope.tolist() == [[2.0] * 3] * 2


def test_the_function_that_maps_another_is_made_once() -> None:
    from retrograd.func.functions import _vmapped

    class Same(retrograd.autograd.Function):
        generate_vmap_rule = True

    assert _vmapped(Same) is _vmapped(Same)
    assert _vmapped(_vmapped(Same)).__name__ == "VmappedVmappedSame"
