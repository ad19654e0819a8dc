"""`vmap` against PyTorch's: what it takes and returns, what it refuses and in which words, levels in levels."""

from __future__ import annotations

import gc
import textwrap
import warnings
import weakref
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd import func

PRELUDE = """
fn = torch.func
vmap, grad = fn.vmap, fn.grad
x = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]])
w = torch.tensor([0.5, -0.25, 1.5])
def f(a): return a
def g(a, b): return a
"""

# Each topic: expressions, each of which is printed or fails as under PyTorch.
TOPICS = {
    "arguments": """
        vmap(f)(5)
        vmap(f)()
        vmap(f)(torch.tensor(1.))
        vmap(f)(torch.zeros(0, 3)).shape
        vmap(g)(x, torch.zeros(3))
        vmap(g, in_dims=(0, None))(x, 5)
        vmap(g, in_dims=(0, 0))(x, 5)
        vmap(lambda a, k=1: a * k)(x, k=3)
        vmap(f).__name__
        vmap(__import__("functools").partial(g, b=1), in_dims=5)(x)
    """,
    "in_dims": """
        vmap(f, in_dims='x')(x)
        vmap(f, in_dims=None)(x)
        vmap(f, in_dims=(None,))(x)
        vmap(f, in_dims=[0])(x)
        vmap(f, in_dims=2)(x)
        vmap(f, in_dims=-3)(x)
        vmap(f, in_dims=-1)(x)
        vmap(f, in_dims=(0.5,))(x)
        vmap(f, in_dims=(0, 0))(x)
        vmap(g, in_dims=(0,))(x, x)
        vmap(g, in_dims=(0, 1))(x, x)
        vmap(g, in_dims=(0, 'a'))(x, 5)
    """,
    "trees of in_dims": """
        vmap(lambda d: d['a'], in_dims=({'a': 0},))({'a': x})
        vmap(lambda d: d['a'], in_dims=({'b': 0},))({'a': x})
        vmap(lambda d: d['a'] + d['b'])({'a': x, 'b': x})
        vmap(lambda d: d[0] + d[1], in_dims=((0, None),))((x, w))
        vmap(lambda d: d[0] + d[1], in_dims=([0, None],))([x, w])
        vmap(lambda d: d[0] + d[1], in_dims=((0, None),))([x, w])
        vmap(lambda d: d[0] + d[1][0]['k'], in_dims=((0, [{'k': None}]),))((x, [{'k': w}]))
        vmap(lambda d: d.a + d.b, in_dims=(P(0, None),))(P(x, w))
        vmap(lambda d: d.a + d.b, in_dims=(P(0, 0, ),))((x, w))
    """,
    "out_dims": """
        vmap(lambda a: a * 2, out_dims=1)(x)
        vmap(lambda a: a * 2, out_dims=-1)(x)
        vmap(lambda a: a * 2, out_dims=2)(x)
        vmap(lambda a: a * 2, out_dims=-3)(x)
        vmap(lambda a: a, out_dims=(1,))(x)
        vmap(lambda a: a, out_dims=(0, 0))(x)
        vmap(lambda a: a, out_dims='a')(x)
        vmap(lambda a: a, out_dims=0.5)(x)
        vmap(lambda a: a, out_dims=(0.5,))(x)
        vmap(lambda a: a, out_dims=None)(x)
        vmap(lambda a: w, out_dims=None)(x)
        vmap(lambda a: w)(x)
    """,
    "trees of out_dims": """
        vmap(lambda a: (a, a), out_dims=(0, 1, 2))(x)
        vmap(lambda a: (a, a), out_dims=(0,))(x)
        vmap(lambda a: (a, (a, {'k': a})), out_dims=(0, (1, {'k': 0})))(x)
        vmap(lambda a: (a, (a, {'k': a})), out_dims=(0, 1))(x)
        vmap(lambda a: {'k': a}, out_dims={'k': 1})(x)
        vmap(lambda a: {'k': a}, out_dims={'z': 1})(x)
        vmap(lambda a: [a, a], out_dims=[0, 1])(x)
        vmap(lambda a: [a, a], out_dims=(0, 1))(x)
        vmap(lambda a: P(a, a.sum()), out_dims=P(1, 0))(x)
    """,
    "results that are no tensors": """
        vmap(lambda a: 5)(x)
        vmap(lambda a: 5, out_dims=None)(x)
        vmap(lambda a: (a, 5), out_dims=(0, None))(x)
        vmap(lambda a: None)(x)
        vmap(lambda a: None, out_dims=None)(x)
        vmap(lambda a: 'abc')(x)
        vmap(lambda a: a.max(0))(x)
    """,
    "chunks": """
        vmap(f, randomness='foo')(x)
        vmap(f, chunk_size=0)(x)
        vmap(f, chunk_size=-1)(x)
        vmap(f, chunk_size=5)(x)
        vmap(lambda a: (a, a.sum()), chunk_size=1, out_dims=(1, 0))(x)
        vmap(f, in_dims=1, chunk_size=2)(x)
        vmap(lambda a: w, chunk_size=1)(x)
    """,
    "the value of a sample": """
        vmap(lambda a: a.item())(w)
        vmap(lambda a: float(a))(w)
        vmap(lambda a: int(a))(w)
        vmap(lambda a: bool(a))(w)
        vmap(lambda a: a.tolist())(x)
        vmap(lambda a: a.numpy())(x)
        vmap(lambda a: a if a > 0 else -a)(w)
        vmap(lambda a: a if a.sum() > 0 else -a)(x)
        vmap(lambda a: [i for i in range(a)])(torch.tensor([1, 2]))
        vmap(lambda a: f'{a:.2f}', out_dims=None)(w)
        vmap(lambda a: a.data)(x)
        vmap(lambda a: (a * 1).data)(x)
        vmap(lambda a: x.data)(x)
        vmap(fn.grad(lambda a: a.data.sum()))(x)
        vmap(lambda a: setattr(a, 'data', torch.ones(3)) or a)(x)
        vmap(lambda a: setattr(torch.zeros(3), 'data', a) or a)(x)
        vmap(fn.grad(lambda a: setattr(a.clone(), 'data', torch.ones(3)) or a.sum()))(x)
        fn.grad(lambda a: setattr(a, 'data', torch.ones(3)) or a.sum())(w)
        fn.grad(lambda a: setattr(torch.zeros(3), 'data', a) or a.sum())(w)
        fn.grad(lambda a: setattr(torch.zeros(3), 'data', torch.ones(3)) or a.sum())(w)
        vmap(lambda a: a.data_ptr(), out_dims=None)(w)
        vmap(lambda a: 0.3 in a)(x)
        vmap(lambda a: w[a:])(torch.tensor([0, 1]))
        vmap(lambda a: torch.full((2,), a))(torch.tensor([1., 2.]))
        vmap(lambda a: torch.arange(a))(torch.tensor([1, 2]))
        vmap(lambda a: a * (1 if w.sum() > 0 else 2))(x)
    """,
    "shapes that depend on data": """
        vmap(lambda a: a.nonzero())(x)
        vmap(lambda a: torch.nonzero(a, as_tuple=True))(x)
        vmap(lambda a: a[a > 0])(x)
        vmap(lambda a: w[a > 0])(x)
        vmap(lambda a: a[w > 0])(x)
        vmap(lambda a: torch.masked_select(a, a > 0))(x)
        vmap(lambda a: torch.masked_select(a, w > 0))(x)
        vmap(lambda a: torch.unique(a))(x)
        vmap(lambda a: torch.unique(a, dim=0))(x)
        vmap(lambda a: torch.where(a > 0))(x)
        vmap(lambda a: torch.equal(a, w))(x)
        vmap(lambda a: torch.allclose(a, w))(x)
        vmap(lambda a: F.one_hot(a))(torch.tensor([1, 2]))
        vmap(lambda a: F.one_hot(a, 4))(torch.tensor([1, 2]))
        vmap(lambda a: a.clone().index_put_((a > 0,), w[0]))(x)
        vmap(lambda a: a + w.nonzero().sum())(x)
    """,
    "creation": """
        vmap(lambda a: torch.arange(3) + a)(torch.tensor([1, 2]))
        vmap(lambda a: torch.eye(3) @ a)(x)
        vmap(lambda a: torch.zeros(3))(x)
        vmap(lambda a: a.new_zeros(3).add_(a))(x)
        vmap(lambda a: a.new_full((3,), 2.).add_(a))(x)
        vmap(lambda a: torch.zeros_like(a).add_(a))(x)
        vmap(lambda a: torch.full_like(a, 3.).mul_(a))(x)
        vmap(lambda a: torch.empty_like(a).copy_(a))(x)
        vmap(lambda a: torch.zeros(3, requires_grad=True) + a)(x)
        vmap(lambda a: a.to(torch.zeros(1).device) + 1)(x)
    """,
    "into what the samples share": """
        vmap(lambda a: torch.zeros(3).add_(a))(x)
        vmap(lambda a: w.clone().copy_(a))(x)
        vmap(lambda a: w.clone().mul_(a))(x)
        vmap(lambda a: w.clone().fill_(a[0]))(x)
        vmap(lambda a: w.clone().masked_fill_(a > 0, 1.))(x)
        vmap(lambda a: w.clone().index_put_((torch.tensor([0]),), a[0]))(x)
        vmap(lambda a: w.clone().scatter_(0, torch.tensor([0, 1, 2]), a))(x)
        vmap(lambda a: w.clone().index_add_(0, torch.tensor([0, 1, 2]), a))(x)
        vmap(lambda a: w.clone().__setitem__(0, a[0]))(x)
        vmap(lambda a: w.clone().addcmul_(w, a))(x)
        vmap(lambda a: torch.ones_like(w).div_(a))(x)
        vmap(lambda a: torch.add(w, a, out=torch.zeros(3)))(x)
        vmap(lambda a: w.clone().add_(w))(x)
        vmap(lambda a: w.index_put((torch.tensor([0]),), a[:1]))(x)
        vmap(lambda a: w.clone().index_fill(0, torch.tensor([0]), 2.) + a)(x)
        w
    """,
    "refused inside of transforms": """
        vmap(lambda a: a.requires_grad_())(x)
        vmap(lambda a: torch.zeros(3).requires_grad_())(x)
        grad(lambda a: a.detach().requires_grad_().sum())(w)
        vmap(lambda a: (a.requires_grad, a.grad_fn, a.is_leaf), out_dims=None)(x)
        vmap(lambda a: (a * 2).sum().backward())(x.clone().requires_grad_())
        grad(lambda a: (a * 2).sum().backward())(w)
        vmap(lambda a: a.retain_grad())(x)
        vmap(lambda a: torch.autograd.grad((a * 2).sum(), a)[0])(x.clone().requires_grad_())
    """,
    "how it prints": """
        vmap(lambda a: (print(a), a)[1])(x)
        vmap(lambda a: (print(a.sum()), a)[1])(x)
        vmap(vmap(lambda a: (print(a), a)[1]))(x)
        vmap(lambda a: str(a), out_dims=None)(w)
        vmap(lambda a: (tuple(a.shape), a.ndim, a.numel(), a.dtype, a.is_contiguous(), a.stride()), out_dims=None)(x)
    """,
    "indexing": """
        vmap(lambda a: w[a])(torch.tensor([0, 1]))
        vmap(lambda a: w[a, None])(torch.tensor([0, 1]))
        vmap(lambda a, i: a[i])(x, torch.tensor([0, 1]))
        vmap(lambda a, i: a[..., i])(x, torch.tensor([0, -1]))
        vmap(lambda i: x[:, i])(torch.tensor([0, 2]))
        vmap(lambda i: x[i, 1:])(torch.tensor([0, 1]))
        vmap(lambda i: x[0, i])(torch.tensor([0, 5]))
        vmap(lambda a: torch.stack(list(a)))(x)
        vmap(lambda a: len(a) * a)(x)
        vmap(lambda a: a[[0, 2]].sum() + a[-1])(x)
        vmap(lambda a, i: a.gather(0, i))(x, torch.tensor([[0, 0], [2, 1]]))
        vmap(vmap(lambda a, i: a[i], (None, 0)))(x, torch.tensor([[0, 0], [2, 1]]))
        vmap(vmap(lambda a, i: a[i], (None, 0)), (0, None))(x, torch.tensor([0, 2]))
    """,
    "levels": """
        vmap(lambda a: vmap(lambda b: a * b)(w))(x)
        vmap(lambda a: vmap(lambda b: a[0] * b)(a))(x)
        vmap(lambda a: vmap(lambda b: w)(a))(x)
        vmap(lambda a: vmap(lambda b: vmap(lambda c: a + b + c)(w))(w))(x[:, 0])
        vmap(vmap(f, out_dims=1), in_dims=1, out_dims=1)(torch.arange(24).reshape(2, 3, 4))
        vmap(lambda a: grad(lambda b: vmap(lambda c: b * c * a.sum())(w).sum())(a.sum()))(x)
        vmap(lambda a: grad(lambda b: (a * b).sum())(w))(x)
        vmap(lambda a: fn.jvp(lambda b: (a * b).sin(), (w,), (w,)))(x)
        grad(lambda v: vmap(lambda a: grad(lambda b: (a * b * v).sin().sum())(w))(x).sum())(w)
        vmap(fn.jacrev(lambda a: vmap(lambda b: a * b)(w)))(x)
        vmap(lambda a: fn.vjp(lambda b: a * b, w)[1](a)[0])(x)
    """,
    "a graph outside": """
        vmap(lambda u: torch.autograd.grad((z * 2).sin(), z, u)[0])(torch.eye(6).reshape(6, 2, 3))
        vmap(lambda a: torch.autograd.grad((z * a).sum(), z)[0])(torch.tensor([1., 2.]))
        vmap(lambda a: (a * 2).sum())(z)
        vmap(lambda a: a)(z) is z
        vmap(lambda a: a, out_dims=1)(z)
        torch.autograd.grad(vmap(lambda a: (a * v).sin())(z).sum(), (z, v))
        torch.autograd.grad(vmap(grad(lambda a: (a * v).sin().sum()))(z).sum(), (z, v))
    """,
    "transforms of transforms": """
        vmap(lambda a: vmap(lambda b: b.sum() + a.sum())(a))(t)
        vmap(vmap(grad(lambda b: (b ** 3).sum())))(t)
        vmap(fn.jacrev(fn.jacfwd(lambda a: (a ** 3).sum())))(x)
        vmap(fn.jacfwd(fn.jacrev(lambda a: (a ** 3).sum())))(x)
        fn.jacrev(vmap(lambda a: a ** 2))(x)
        fn.jacfwd(vmap(lambda a: a ** 2))(x)
        fn.hessian(lambda a: vmap(lambda b: b.sin().sum())(a).sum())(w)
        fn.vjp(vmap(torch.sin), x)[1](x)[0]
        fn.vjp(lambda a: vmap(lambda b: (b, b.sum()))(a), x)[1]((x, torch.ones(2)))[0]
        fn.jvp(vmap(torch.sin), (x,), (x,))
        vmap(lambda a, t: fn.jvp(torch.sin, (a,), (t,)), (0, None))(x, w)
        vmap(lambda a, t: fn.jvp(torch.sin, (a,), (t,)), (None, 0))(w, x)
        vmap(lambda a, t: fn.jvp(lambda b: fn.jvp(torch.sin, (b,), (t,))[1], (a,), (t,)), (None, 0))(w, x)
        vmap(lambda a: grad(lambda b: fn.jvp(lambda d: (d * a).sin().sum(), (b,), (b,))[1])(w))(x)
        grad(lambda b: vmap(lambda a: fn.jvp(lambda d: (d * a).sin().sum(), (b,), (b,))[1])(x).sum())(w)
        vmap(lambda a: fn.grad_and_value(lambda b: ((b ** 2).sum(), b * a), has_aux=True)(w))(x)
        vmap(grad(lambda a, b: (a * b['k'][0]).sum(), argnums=1))(x, {'k': [x]})
        vmap(grad(lambda a: a.clone().mul_(2).add_(a).pow_(2).sum()))(x)
        torch.autograd.functional.jacobian(lambda a: a ** 2, w, vectorize=True)
    """,
    "types": """
        vmap(lambda a: a + torch.tensor(2., dtype=torch.float64))(x).dtype
        vmap(lambda a, s: a + s)(x, torch.tensor([1., 2.], dtype=torch.float64)).dtype
        vmap(lambda a, s: a * s)(x.long(), torch.tensor([1.5, 2.]))
        vmap(lambda a: a + 1.5)(x.long())
        vmap(lambda a: torch.where(a.sum() > 0, a, -a))(x)
        vmap(lambda a: a.abs() * a.conj())(c)
        vmap(grad(lambda a: (a * a.conj()).real.sum()))(c)
        vmap(lambda a: torch.view_as_real(a))(c)
        grad(lambda a: vmap(lambda b: (b * b).real.sum())(torch.complex(a, a)).sum())(x)
    """,
    "numbers": """
        vmap(lambda a: a ** 2)(w)
        vmap(grad(lambda a: a ** 2))(w)
        vmap(fn.hessian(lambda a: a ** 3))(w)
        vmap(lambda a: (a.reshape(1, 1), a.expand(2), torch.stack([a, a])))(w)
        vmap(lambda a: (a.sum(0), a.max(0).values, a.softmax(0), a.cumsum(0), a.sort()[0], a.mean(), a.argmax()))(w)
        vmap(lambda a: (a.all(), a.std(0, unbiased=False), a.logsumexp(0)))(w)
        vmap(lambda a: a * 2)(torch.zeros(0, 3))
        vmap(grad(lambda a: a.sum()))(torch.zeros(0, 3))
        vmap(lambda a: a.sum())(torch.zeros(3, 0))
    """,
}
EXTRA = """
from collections import namedtuple
P = namedtuple("P", "a b")
t = torch.arange(24.).reshape(2, 3, 4) / 10
c = torch.complex(x, x.flip(0))
z = x.clone().requires_grad_()
v = w.clone().requires_grad_()
"""


@pytest.mark.parametrize("topic", TOPICS)
def test_same_as_pytorch(topic: str, backend: str) -> None:
    lines = [line.strip() for line in TOPICS[topic].strip().splitlines()]
    attempts = "\n".join(f"attempt(lambda: {line})" for line in lines)
    assert_same(PRELUDE + EXTRA + attempts)


PROGRAMS = {
    "an argument written to": """
        y = x.clone()
        print(vmap(lambda a: a.add_(1))(y), y)
        print(vmap(lambda a: a.mul_(w[:2]), in_dims=1)(y), y)
        def part(a):
            a[0] = 5.
            a[1:].mul_(2)
            return a * 1
        print(vmap(part)(y), y)
        print(vmap(vmap(lambda a: a.zero_()))(y), y)
        attempt(lambda: vmap(lambda a: a.add_(1))(z))
        u = z * 1
        vmap(lambda a: a.mul_(a.detach() + w))(u)
        u.sum().backward()
        print(u.detach(), z.grad)
    """,
    "a shared tensor written to": """
        y = w.clone()
        print(vmap(lambda a: y.add_(1))(x), y)
        print(vmap(lambda a, b: b.add_(1) + a, in_dims=(0, None))(x, y), y)
        print(vmap(lambda a: vmap(lambda b: a.add_(1) + b)(w))(x))
    """,
    "writes between views inside": """
        def f(a):
            b = a * 1
            c = b[1:]
            c.mul_(3)
            b[0] = c.sum()
            return b, c, b.view(3, 1).t()
        print(vmap(f)(x))
        print(grad(lambda q: sum(t.sum() for t in vmap(f)(q)))(x))
        print(vmap(grad(lambda q: sum(t.sum() for t in f(q))))(x))
    """,
    "detached": """
        def f(a):
            b = a * 2
            c = b.detach()
            return (b * c * a.detach()).sum()
        print(grad(lambda q: vmap(f)(q).sum())(x), vmap(grad(f))(x))
        def written(a):
            b = a * 2
            c = b.detach()
            c.add_(1)
            d = b.detach()
            b.mul_(3)
            return b + 0 * a, c, d
        print(vmap(written)(x))
        print(grad(lambda q: vmap(lambda a: written(a)[0])(q).sum())(x))
        y = x.clone()
        vmap(lambda a: a.detach().mul_(2))(y)
        print(y)
        print(fn.jvp(lambda q: vmap(lambda a: a.detach() * a)(q), (x,), (x,)))
    """,
    "a mask that the samples share": """
        def f(a):
            b = a.clone()
            b[w > 0] = 0.
            b[torch.tensor([1])] = a[:1]
            return b
        print(vmap(f)(x))
    """,
    "normalization by the batch": """
        net = nn.BatchNorm1d(3)
        attempt(lambda: vmap(net)(torch.randn(2, 4, 3)))
        net.eval()
        print(vmap(net)(torch.arange(24.).reshape(2, 4, 3)).detach())
        plain = nn.BatchNorm1d(3, track_running_stats=False)
        print(vmap(plain)(torch.arange(24.).reshape(2, 4, 3) ** 2).detach())
        normal = lambda a: F.batch_norm(a, torch.zeros(3), torch.ones(3), training=True)
        attempt(lambda: vmap(normal)(torch.ones(2, 4, 3)))
        attempt(lambda: vmap(lambda a: F.instance_norm(a))(torch.arange(24.).reshape(2, 1, 3, 4)))
    """,
    "batch norms without running statistics": """
        net = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3)), nn.Linear(3, 1))
        print(fn.replace_all_batch_norm_modules_(net) is net)
        print([(m.running_mean, m.num_batches_tracked, m.track_running_stats) for m in (net[0], net[1][0])])
        print(vmap(net[:2])(torch.arange(24.).reshape(2, 4, 3) ** 2).detach())
    """,
    "an ensemble that trains": """
        nets = [nn.BatchNorm1d(3) for _ in range(2)]
        p, b = fn.stack_module_state(nets)
        def step(p, b, a):
            out = fn.functional_call(nets[0], (p, b), (a,))
            return out
        print(vmap(step)(p, b, torch.arange(24.).reshape(2, 4, 3) ** 2).detach())
        for name, each in b.items(): print(name, each)
    """,
    "unwrapped": """
        print(fn.debug_unwrap(x) is x)
        vmap(lambda a: (print(fn.debug_unwrap(a)), a)[1])(x)
        vmap(vmap(lambda a: (print(fn.debug_unwrap(a, recurse=False)), print(fn.debug_unwrap(a)), a)[2]))(x)
    """,
    "modes": """
        print(vmap(lambda a: a * 2)(z).requires_grad)
        with torch.no_grad():
            print(vmap(lambda a: a * 2)(z).requires_grad, vmap(grad(lambda a: (a ** 2).sum()))(z))
        with torch.inference_mode():
            o = vmap(lambda a: a * 2)(x)
            print(o, o.is_inference())
            print(vmap(grad(lambda a: (a ** 2).sum()))(x), fn.vjp(torch.sin, x)[1](x)[0], fn.jacrev(torch.sin)(w))
        def f(a):
            with torch.no_grad(): b = a * 2
            return (a * b).sum()
        print(vmap(grad(f))(x), grad(f)(w), torch.autograd.grad(vmap(f)(z).sum(), z))
        with torch.autograd.set_detect_anomaly(True):
            print(vmap(grad(lambda a: (a ** 2).sum()))(x))
            attempt(lambda: vmap(grad(lambda a: (a / 0).sum() * 0))(x))
    """,
    "hooks": """
        def f(a):
            b = a * 2
            b.register_hook(lambda g: g * 10)
            return b.sum()
        print(vmap(grad(f))(x), grad(f)(w))
        u = z * 1
        u.register_hook(lambda g: (print(g), g * 10)[1])
        vmap(lambda a: (a ** 2).sum())(u).sum().backward()
        print(z.grad)
        print(vmap(lambda a: torch.utils.checkpoint.checkpoint(torch.sin, a, use_reentrant=False))(x))
    """,
    "modules": """
        torch.manual_seed(0)
        def filled(net):
            with torch.no_grad():
                for i, p in enumerate(net.parameters()): p.copy_(torch.arange(p.numel()).reshape(p.shape) / 10 - i / 7)
            return net
        net = filled(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2)))
        p = {k: t.detach() for k, t in net.named_parameters()}
        print(vmap(net)(x[:, None]))
        loss = lambda p, a: fn.functional_call(net, p, (a[None],)).pow(2).sum()
        for name, each in vmap(grad(loss), (None, 0))(p, x).items(): print(name, each)
        emb = filled(nn.Embedding(5, 2))
        print(vmap(emb)(torch.tensor([[0, 1], [4, 2]])))
        print(vmap(lambda t, i: F.embedding(i, t), (None, 0))(emb.weight.detach(), torch.tensor([[0, 1], [4, 2]])))
    """,
    "per-sample gradients of a convolutional network": """
        def filled(net):
            with torch.no_grad():
                for p in net.parameters(): p.copy_((torch.arange(p.numel()).reshape(p.shape) % 7) / 10 - .2)
            return net
        net = filled(nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 2, groups=2, stride=2),
            nn.GroupNorm(2, 4), nn.AvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
        ))
        p = {k: t.detach() for k, t in net.double().named_parameters()}
        images = ((torch.arange(3 * 2 * 4 * 4) * 7 % 11) / 5.).double().reshape(3, 2, 4, 4)
        labels = torch.tensor([0, 2, 1])
        loss = lambda p, a, t: F.cross_entropy(fn.functional_call(net, p, (a[None],)), t[None])
        got = vmap(grad(loss), (None, 0, 0))(p, images, labels)
        for name, each in got.items(): print(name, (each * 1e6).round() / 1e6 + 0)
        alone = [grad(loss)(p, a, t) for a, t in zip(images, labels)]
        print(all(torch.allclose(got[k], torch.stack([q[k] for q in alone]), atol=1e-9) for k in got))
    """,
    "weights by sample": """
        ws = ((torch.arange(2 * 4 * 1 * 3) % 5) / 4.).reshape(2, 4, 1, 3)
        a = torch.arange(2. * 1 * 2 * 5).reshape(2, 1, 2, 5) / 7
        print(vmap(lambda a, w: F.conv1d(a, w, groups=2, padding=1))(a, ws))
        print(vmap(lambda w: F.conv1d(a[0], w, groups=2, stride=2))(ws))
        print(vmap(lambda a, w: F.conv_transpose1d(F.conv1d(a, w, groups=2), w, groups=2))(a, ws))
        print(grad(lambda w: vmap(lambda a, w: F.conv1d(a, w, groups=2).sin().sum())(a, w).sum())(ws))
        print(vmap(grad(lambda w, a: F.conv1d(a, w, groups=2).sin().sum()), (0, None))(ws, a[0]))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_prints_the_same(name: str, backend: str) -> None:
    assert_same(PRELUDE + EXTRA + textwrap.dedent(PROGRAMS[name]))


RANDOM = [
    "torch.rand(3)", "torch.randn(3)", "torch.rand_like(a)", "torch.randn_like(w)", "torch.randint(0, 999, (9,))",
    "torch.randint_like(a, 999)", "torch.randperm(40)", "torch.normal(0., 1., (2,))", "torch.normal(a, 1.)",
    "torch.normal(w, 1.)", "torch.normal(a, a.abs())", "torch.bernoulli((a - a + .5).expand(50, 3))",
    "torch.bernoulli((w - w + .5).expand(50, 3))", "torch.multinomial(a.abs().repeat(20), 20)",
    "torch.poisson(a.abs() * 20)", "a.clone().normal_()", "w.clone().normal_()", "a.clone().uniform_()",
    "a.repeat(20).random_(5)", "w.clone().random_(5)", "a.expand(50, 3).clone().bernoulli_(0.5)",
    "a.clone().bernoulli_(a.abs() / 2)", "w.clone().bernoulli_(a.abs() / 2)", "w.clone().bernoulli_(0.5)",
    "a.clone().exponential_()", "a.clone().cauchy_()", "a.clone().geometric_(.01)", "a.clone().log_normal_()",
    "torch.empty(3).normal_()", "torch.empty_like(a).normal_()", "a.new_empty(3).normal_()",
    "torch.rand(3, out=torch.empty(3))", "torch.normal(a, w * 0, out=torch.empty(3))",
    "torch.bernoulli(a, out=torch.empty(3))",
    "torch.multinomial(a, 1, out=torch.empty(1, dtype=torch.int64))", "F.dropout(w.repeat(20))",
    "F.dropout(a.repeat(20), inplace=True)",
]  # fmt: skip


@pytest.mark.parametrize("randomness", ["error", "same", "different"])
def test_random_numbers_are_drawn_or_refused_as_pytorch_does(randomness: str, backend: str) -> None:
    prelude = f"""
def run(function):
    q = vmap(function, randomness={randomness!r})(x.clone())
    return "same" if torch.equal(q[0], q[1]) else "different", tuple(q.shape)
torch.manual_seed(0)
"""
    assert_same(PRELUDE + prelude + "\n".join(f"attempt(run, lambda a: {each})" for each in RANDOM))


def test_randomness_of_levels_and_chunks(backend: str) -> None:
    assert_same(
        PRELUDE
        + """
draw = lambda a: torch.rand(()) + 0 * a
def shown(q): return torch.equal(q[0, 0], q[0, 1]), torch.equal(q[0], q[1])
attempt(lambda: shown(vmap(vmap(draw, randomness='same'), randomness='different')(x)))
attempt(lambda: shown(vmap(vmap(draw, randomness='different'), randomness='same')(x)))
attempt(lambda: shown(vmap(vmap(draw, randomness='error'), randomness='same')(x)))
attempt(lambda: shown(vmap(vmap(draw, randomness='same'))(x)))
q = vmap(lambda a: torch.rand(3) + 0 * a, randomness='same', chunk_size=1)(x)
print(torch.equal(q[0], q[1]))
vmap(lambda a: a)(x)
print(torch.rand(3).shape)
net = nn.Dropout(.5)
q = vmap(net, randomness='different')(torch.ones(3, 100))
print(torch.equal(q[0], q[1]))
attempt(vmap(net), torch.ones(3, 100))
print(vmap(net.eval())(x))
"""
    )


def test_a_tensor_that_has_escaped_can_be_shown_but_not_be_computed_with(backend: str) -> None:
    kept: list[retrograd.Tensor] = []

    def keep(sample: retrograd.Tensor) -> retrograd.Tensor:
        kept.append(sample)
        return sample * 2

    func.vmap(keep)(retrograd.ones(2, 3))
    assert kept[0].shape == (3,)
    assert repr(kept[0]).startswith("BatchedTensor(lvl=1, bdim=0, value=\n    tensor([[1., 1., 1.],")
    for use in (lambda: kept[0] + 1, lambda: kept[0].sum(), lambda: kept[0][0], lambda: kept[0].sin()):
        with pytest.raises(RuntimeError, match="Either your tensor may have escaped from inside a function being vmap"):
            use()
    with pytest.raises(RuntimeError, match="Either your tensor may have escaped"):
        func.vmap(lambda sample: sample + kept[0])(retrograd.ones(2, 3))


def test_a_level_ends_with_its_call_also_after_an_error(backend: str) -> None:
    def fails(sample: retrograd.Tensor) -> retrograd.Tensor:
        raise ValueError("as asked")

    with pytest.raises(ValueError, match="as asked"):
        func.vmap(fails)(retrograd.ones(2))
    assert retrograd.rand(2).shape == (2,)
    assert retrograd.ones(2, requires_grad=True).requires_grad_().requires_grad


def test_a_level_is_freed_with_its_call(backend: str) -> None:
    kept: list[weakref.ref[Any]] = []

    def loss(parameter: retrograd.Tensor, sample: retrograd.Tensor) -> retrograd.Tensor:
        kept.append(weakref.ref(sample._kernels))
        kept.append(weakref.ref(sample))
        return ((parameter * sample).softmax(0).max() * sample.clone().mul_(2)[1:].sum()).sin()

    gc.collect()
    gc.disable()
    try:
        func.vmap(func.grad(loss), (None, 0))(retrograd.ones(3), retrograd.ones(2, 3))
        func.vmap(func.vmap(lambda sample: loss(sample, sample)))(retrograd.ones(2, 2, 3))
        assert [each() for each in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_operators_keep_nothing_of_a_level_that_has_ended() -> None:
    from retrograd.ops.declare import Op

    func.vmap(lambda a: (a.softmax(0) * a.relu()).sum().sin())(retrograd.ones(2, 3))
    assert not any(getattr(k, "level", 0) for op in Op.registry.values() for k in op._forwards)


def test_a_mapped_tensor_cannot_move_to_another_backend() -> None:
    pytest.importorskip("jax")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert func.vmap(lambda a: a.to("numpy") + 1)(retrograd.ones(2, device="numpy")).tolist() == [2.0, 2.0]
        with pytest.raises(RuntimeError, match="at least two devices, numpy:cpu and jax:cpu"):
            func.vmap(lambda a: a + retrograd.ones(1, device="jax"))(retrograd.ones(2, 1, device="numpy"))


def test_item_under_vmap_is_refused_whatever_the_size() -> None:
    assert_same("""
    x = torch.arange(6.0).reshape(2, 3)
    attempt(torch.func.vmap(lambda a: a.item()), x)
    attempt(torch.func.vmap(lambda a: a[0].item()), x)
    """)


def test_strides_are_those_of_a_sample_where_it_lies(backend: str) -> None:
    assert_same(
        """
        def show(*tensors):
            print(*((each.stride(), each.stride(0), each.is_contiguous()) for each in tensors))
            return tensors[0].sum() * 0
        x = torch.zeros(2, 3, 4, 5)
        more = lambda a: (a.contiguous(), a.reshape(-1), a.unsqueeze(0), a.expand(2, *a.shape))
        seen = lambda a: show(a, a.t(), a[0], a[:, 1:2], *more(a))
        for dim in range(3):
            torch.vmap(seen, in_dims=dim)(x[0])
        torch.vmap(torch.vmap(show, in_dims=1), in_dims=2)(x)
        attempt(lambda: torch.vmap(lambda a: a.view(-1).sum(), in_dims=1)(x[0]))
        attempt(lambda: torch.vmap(lambda a: a.view(-1).sum(), in_dims=2)(x[0]))
        attempt(lambda: torch.vmap(lambda a: a.contiguous().view(-1).sum(), in_dims=1)(x[0]))
        print(torch.vmap(lambda a: a.contiguous(), in_dims=1, out_dims=1)(x[0]).stride())
        print(torch.vmap(lambda a: a.clone(memory_format=torch.contiguous_format), 1, 1)(x[0]).stride())
        """
    )
