"""Custom Functions: each program prints the same under PyTorch."""

from __future__ import annotations

import gc
import textwrap
import weakref
from typing import Any

import pytest
from programs import assert_same

import retrograd

PRELUDE = """
import warnings
x = torch.tensor([1., 2., 3.], requires_grad=True)
y = torch.tensor([4., 5., 6.], requires_grad=True)
Fn = torch.autograd.Function
"""

PROGRAMS = {
    "basic ctx": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a, b, factor=2):
                print(type(ctx).__name__, ctx.needs_input_grad)
                ctx.save_for_backward(a, b); ctx.factor = factor
                return a * b * factor
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                print(ctx.needs_input_grad, type(ctx.saved_tensors), torch.is_grad_enabled())
                return g * b * ctx.factor, g * a * ctx.factor, None
        o = A.apply(x, y.detach(), 3)
        n = o.grad_fn
        print(o, n, type(n), n.name(), n.next_functions, n.saved_tensors, n.needs_input_grad, n.factor)
        o.sum().backward(); print(x.grad, y.grad)
        attempt(lambda: o.grad_fn.saved_tensors)
        attempt(lambda: o.sum().backward())
    """,
    "defaults not counted old style": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a, k=2): return a * k
            @staticmethod
            def backward(ctx, g): return g * 2
        A.apply(x).sum().backward(); print(x.grad)
        attempt(lambda: A.apply(x, 3).sum().backward())
        attempt(lambda: A.apply(x, k=3))
    """,
    "setup_context": """
        class A(Fn):
            @staticmethod
            def forward(a, b, k=2): return a * b * k
            @staticmethod
            def setup_context(ctx, inputs, output):
                a, b, k = inputs
                print(len(inputs), k, output, ctx.needs_input_grad)
                ctx.save_for_backward(a, b); ctx.k = k
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b * ctx.k, g * a * ctx.k, None
        A.apply(x, y).sum().backward(); print(x.grad, y.grad)
        A.apply(x, b=y, k=5).sum().backward(); print(x.grad, y.grad)
    """,
    "no backward": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2
        o = A.apply(x); print(o.requires_grad)
        attempt(lambda: o.sum().backward())
    """,
    "no forward": """
        class A(Fn): pass
        attempt(lambda: A.apply(x))
        attempt(lambda: Fn.apply(x))
    """,
    "vjp name": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2
            @staticmethod
            def vjp(ctx, g): return g * 2
        A.apply(x).sum().backward(); print(x.grad)
        class B(A):
            @staticmethod
            def backward(ctx, g): return g * 2
        attempt(lambda: B.apply(x).sum().backward())
    """,
    "instantiate": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2
        with warnings.catch_warnings(record=True) as w:
            warnings.simplefilter("always")
            a = A()
            print([str(q.message)[:60] for q in w], [q.category.__name__ for q in w])
        attempt(lambda: a(x))
    """,
    "wrong count": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a, b): return a + b
            @staticmethod
            def backward(ctx, g): return g
        attempt(lambda: A.apply(x, y).sum().backward())
        class B(A):
            @staticmethod
            def backward(ctx, g): return g, g, g
        attempt(lambda: B.apply(x, y).sum().backward())
        class C(A):
            @staticmethod
            def backward(ctx, g): return g, g, None, None
        attempt(lambda: C.apply(x, y).sum().backward())
    """,
    "non variable grad": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a, b): return a + 1
            @staticmethod
            def backward(ctx, g): return g, g
        attempt(lambda: A.apply(x, 3).sum().backward())
        class B(A):
            @staticmethod
            def backward(ctx, g): return 3.0, None
        attempt(lambda: B.apply(x, 3).sum().backward())
        class C(A):
            @staticmethod
            def backward(ctx, g): return [g, None]
        attempt(lambda: C.apply(x, 3).sum().backward())
        print(x.grad)
        class D(A):
            @staticmethod
            def backward(ctx, g): return None
        attempt(lambda: D.apply(x, 3).sum().backward())
        class E(A):
            @staticmethod
            def backward(ctx, g): pass
            @staticmethod
            def forward(ctx, a): return a + 1
        attempt(lambda: E.apply(x).sum().backward())
        print(x.grad)
    """,
    "non tensor outputs": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2, "text", None, 5, (a, a)
            @staticmethod
            def backward(ctx, *g):
                print(g)
                return g[0] * 2
        o = A.apply(x); print(o, [getattr(q, "grad_fn", 0) for q in o])
        o[0].sum().backward(); print(x.grad)
    """,
    "only non tensor": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return 5
            @staticmethod
            def backward(ctx, *g): return g[0]
        attempt(lambda: A.apply(x))
        class B(A):
            @staticmethod
            def forward(ctx, a): return None
        attempt(lambda: B.apply(x))
        class C(A):
            @staticmethod
            def forward(ctx, a): return {"a": a}
        attempt(lambda: C.apply(x))
        class D(A):
            @staticmethod
            def forward(ctx, a): return ()
        attempt(lambda: D.apply(x))
        class E(A):
            @staticmethod
            def forward(ctx, a): return [a * 2, a * 3]
        attempt(lambda: E.apply(x))
    """,
    "mark non differentiable": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                i = a * 3
                ctx.mark_non_differentiable(i)
                return a * 2, i
            @staticmethod
            def backward(ctx, g, h):
                print(g, h)
                return g * 2
        o, i = A.apply(x); print(o.requires_grad, i.requires_grad, i.grad_fn, i.is_leaf)
        o.sum().backward(); print(x.grad)
    """,
    "mark non differentiable wrong": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                ctx.mark_non_differentiable(a * 3)
                return a * 2
            @staticmethod
            def backward(ctx, g): return g * 2
        attempt(lambda: A.apply(x))
        class C(A):
            @staticmethod
            def forward(ctx, a):
                ctx.mark_non_differentiable(a)
                return a
        attempt(lambda: C.apply(x))
        attempt(lambda: C.apply(x * 1))
    """,
    "integer output": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a.long(), a * 2
            @staticmethod
            def backward(ctx, g, h): print(g, h); return h
        i, o = A.apply(x); print(i, o)
        o.sum().backward()
    """,
    "mark dirty": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                a.mul_(2)
                ctx.mark_dirty(a)
                return a
            @staticmethod
            def backward(ctx, g): return g * 2
        a = x * 1
        o = A.apply(a); print(o is a, o, o.grad_fn, o._version)
        o.sum().backward(); print(x.grad)
        attempt(lambda: A.apply(x))
        b = x.detach().clone(); r = A.apply(b); print(r is b, r.requires_grad)
        v = (x * 1)[:2]; A.apply(v); print(v.grad_fn, v._base.grad_fn)
        v.sum().backward(); print(x.grad)
        v = x.detach()[:2]
        print(A.apply(v))
    """,
    "mark dirty errors": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                b = a * 2
                ctx.mark_dirty(b)
                return b
            @staticmethod
            def backward(ctx, g): return g
        attempt(lambda: A.apply(x * 1))
        class B(A):
            @staticmethod
            def forward(ctx, a):
                a.mul_(2); ctx.mark_dirty(a)
                return a * 1
        attempt(lambda: B.apply(x * 1))
        class D(A):
            @staticmethod
            def forward(ctx, a):
                a.mul_(2)
                return a
        o = D.apply(x * 1); print(o, o.grad_fn)
        class E(A):
            @staticmethod
            def forward(ctx, a, b):
                a.mul_(2); b.mul_(2)
                ctx.mark_dirty(a, b)
                return b, a
            @staticmethod
            def backward(ctx, g, h): return h * 2, g * 2
        a, b = x * 1, y * 1
        p, q = E.apply(a, b); print(p is b, q is a)
        (p * 2 + q).sum().backward(); print(x.grad, y.grad)
    """,
    "dirty and saved": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                a.exp_()
                ctx.mark_dirty(a)
                ctx.save_for_backward(a)
                return a
            @staticmethod
            def backward(ctx, g):
                a, = ctx.saved_tensors
                return g * a
        a = x * 1
        o = A.apply(a); o.sum().backward(); print(x.grad)
        a = x * 1
        o = A.apply(a); o.mul_(2)
        attempt(lambda: o.sum().backward())
        class B(A):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a)
                a.exp_()
                ctx.mark_dirty(a)
                return a
        a = x * 1
        o = B.apply(a); attempt(lambda: o.sum().backward())
    """,
    "input returned": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a
            @staticmethod
            def backward(ctx, g): return g * 3
        o = A.apply(x); print(o is x, o, o.grad_fn, o._base is x, o._is_view())
        o.sum().backward(); print(x.grad)
        b = x * 1
        o = A.apply(b); print(o is b, o.grad_fn, o._is_view())
        attempt(lambda: o.mul_(2))
        c = x.detach()
        o = A.apply(c); print(o is c, o.requires_grad, o._is_view())
    """,
    "view returned": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a.view(-1)[:2]
            @staticmethod
            def backward(ctx, g):
                z = torch.zeros(3); z[:2] = g; return z
        o = A.apply(x * 1); print(o, o.grad_fn, o._is_view())
        attempt(lambda: o.mul_(2))
        with torch.no_grad(): o = A.apply(x); print(o._is_view(), o.requires_grad)
        attempt(lambda: o.mul_(2))
        o = A.apply(x.detach()); print(o._is_view(), o.requires_grad)
        class B(A):
            @staticmethod
            def forward(ctx, a): return a[:2], a[1:]
            @staticmethod
            def backward(ctx, g, h):
                z = torch.zeros(3); z[:2] += g; z[1:] += h; return z
        p, q = B.apply(x * 1); print(p.grad_fn, q.grad_fn)
        attempt(lambda: p.mul_(2))
        (p.sum() + 2 * q.sum()).backward(); print(x.grad)
    """,
    "view then no dirty": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a.view_as(a)
            @staticmethod
            def backward(ctx, g): return g * 5
        v = (x * 1)[:2]
        o = A.apply(v); print(o.grad_fn, o._base is None)
        v.mul_(3)
        print(o)
        attempt(lambda: o.sum().backward())
    """,
    "same output twice": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                b = a * 2
                return b, b
            @staticmethod
            def backward(ctx, g, h): print(g, h); return g * 2 + h * 2
        p, q = A.apply(x); print(p is q, p.grad_fn, p.output_nr, q.output_nr)
        attempt(lambda: (p.sum() + q.sum()).backward()); print(x.grad)
    """,
    "materialize": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2, a * 3
            @staticmethod
            def backward(ctx, g, h): print(g, h); return g
        p, q = A.apply(x); q.sum().backward()
        class B(A):
            @staticmethod
            def forward(ctx, a):
                ctx.set_materialize_grads(False)
                return a * 2, a * 3
        p, q = B.apply(x); q.sum().backward()
        print(x.grad)
        class C(A):
            @staticmethod
            def forward(ctx, a):
                ctx.set_materialize_grads(False)
                return a * 2
            @staticmethod
            def backward(ctx, g): print(g); return None
        class Z(Fn):
            @staticmethod
            def forward(ctx, a): return a * 1
            @staticmethod
            def backward(ctx, g): return None
        Z.apply(C.apply(x)).sum().backward()
    """,
    "once differentiable": """
        once_differentiable = torch.autograd.function.once_differentiable
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a)
                return a ** 2
            @staticmethod
            @once_differentiable
            def backward(ctx, g):
                print(torch.is_grad_enabled())
                a, = ctx.saved_tensors
                return g * 2 * a
        g, = torch.autograd.grad(A.apply(x).sum(), x, create_graph=True); print(g.requires_grad)
        h = torch.ones(3, requires_grad=True)
        g, = torch.autograd.grad(A.apply(x), x, h, create_graph=True); print(g, g.grad_fn)
        attempt(lambda: g.sum().backward())
        attempt(lambda: torch.autograd.grad(g.sum(), x))
        g, = torch.autograd.grad(A.apply(x), x, h); print(g)
    """,
    "double backward": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                r = a.exp(); ctx.save_for_backward(a, r); return r * a
            @staticmethod
            def backward(ctx, g):
                a, r = ctx.saved_tensors
                return g * (r * a + a.exp())
        g, = torch.autograd.grad(A.apply(x).sum(), x, create_graph=True); print(g)
        h, = torch.autograd.grad(g.sum(), x, create_graph=True); print(h)
        attempt(lambda: torch.autograd.grad(h.sum(), x))
        class B(Fn):
            @staticmethod
            def forward(ctx, a):
                r = a.exp(); ctx.save_for_backward(r); return r
            @staticmethod
            def backward(ctx, g):
                r, = ctx.saved_tensors
                print(r.requires_grad, r.grad_fn)
                return g * r
        g, = torch.autograd.grad(B.apply(x).sum(), x, create_graph=True)
        h, = torch.autograd.grad(g.sum(), x); print(h)
        print(torch.autograd.gradgradcheck(B.apply, (x.double().detach().requires_grad_(),)))
    """,
    "exceptions": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): raise ValueError("in forward")
        attempt(lambda: A.apply(x)); print(torch.is_grad_enabled())
        class B(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2
            @staticmethod
            def backward(ctx, g): raise ValueError("in backward")
        attempt(lambda: B.apply(x).sum().backward()); print(torch.is_grad_enabled(), x.grad)
        class C(Fn):
            @staticmethod
            def forward(a): return a * 2
            @staticmethod
            def setup_context(ctx, inputs, output): raise ValueError("in setup")
        attempt(lambda: C.apply(x)); print(torch.is_grad_enabled())
    """,
    "save errors": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): ctx.save_for_backward(3); return a * 2
            @staticmethod
            def backward(ctx, g): return g
        attempt(lambda: A.apply(x))
        attempt(lambda: A.apply(x.detach()))
        class B(A):
            @staticmethod
            def forward(ctx, a): ctx.save_for_backward(None, a, None); return a * 2
            @staticmethod
            def backward(ctx, g): print(ctx.saved_tensors); return g
        B.apply(x).sum().backward()
        class C(A):
            @staticmethod
            def forward(ctx, a): ctx.save_for_forward(3); return a * 2
        attempt(lambda: C.apply(x))
        class D(A):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a); attempt(lambda: ctx.saved_tensors); return a * 2
        attempt(lambda: D.apply(x))
        class E(A):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a); ctx.save_for_backward(a * 3); return a * 2
            @staticmethod
            def backward(ctx, g): print(ctx.saved_tensors); return g
        E.apply(x).sum().backward()
    """,
    "modified saved": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a, b): ctx.save_for_backward(a, b); return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors; return g * b, g * a
        a = x * 1
        o = A.apply(a, y); a.add_(1)
        attempt(lambda: o.sum().backward())
    """,
    "clear on access": """
        class A(Fn):
            clear_saved_tensors_on_access = True
            @staticmethod
            def forward(ctx, a): ctx.save_for_backward(a, a * 2); return a * 2
            @staticmethod
            def backward(ctx, g):
                print(len(ctx.saved_tensors))
                attempt(lambda: ctx.saved_tensors)
                return g
        o = A.apply(x)
        o.sum().backward(retain_graph=True)
        attempt(lambda: o.sum().backward())
        print(Fn.clear_saved_tensors_on_access)
        o = A.apply(x); print(len(o.grad_fn.saved_tensors)); attempt(lambda: o.grad_fn.saved_tensors)
    """,
    "boxed": """
        class A(Fn):
            boxed_grads_call = True
            @staticmethod
            def forward(ctx, a): return a * 2, a * 3
            @staticmethod
            def backward(ctx, grads):
                print(type(grads), grads); g = grads.pop(); return g
        p, q = A.apply(x)
        (p.sum() + q.sum()).backward(); print(x.grad)
    """,
    "needs input grad": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a, b, c, d): print(ctx.needs_input_grad); return a * b
            @staticmethod
            def backward(ctx, g): print(ctx.needs_input_grad); return g, g, None, None
        A.apply(x, y.detach(), None, 3).sum().backward()
        A.apply(x.detach(), y, x.long().detach(), [x]).sum().backward()
        with torch.no_grad(): A.apply(x, y, 1, 2)
        o = A.apply(x, y, 1, 2)
        torch.autograd.grad(o.sum(), x)
    """,
    "saved hooks": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): ctx.save_for_backward(a, a * 2); return a * 2
            @staticmethod
            def backward(ctx, g): print(ctx.saved_tensors); return g
        def pack(t): print("pack", t); return t * 10
        def unpack(t): print("unpack"); return t / 10
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack): o = A.apply(x)
        o.sum().backward()
    """,
    "shape broadcast": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a.sum()
            @staticmethod
            def backward(ctx, g): return g.expand(4, 3)
        A.apply(x).backward(); print(x.grad)
        class B(A):
            @staticmethod
            def backward(ctx, g): return torch.ones(2)
        attempt(lambda: B.apply(x).backward())
        class C(A):
            @staticmethod
            def backward(ctx, g): return torch.ones(3, dtype=torch.float64)
        attempt(lambda: C.apply(x).backward()); print(x.grad, x.grad.dtype)
        class D(A):
            @staticmethod
            def backward(ctx, g): return torch.ones(3, dtype=torch.complex64)
        attempt(lambda: D.apply(x).backward())
        class E(A):
            @staticmethod
            def backward(ctx, g): return torch.ones(3, dtype=torch.int64)
        attempt(lambda: E.apply(x).backward()); print(x.grad)
    """,
    "jvp": """
        fw = torch.autograd.forward_ad
        class A(Fn):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_forward(a, b); ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def jvp(ctx, ta, tb):
                a, b = ctx.saved_tensors
                print(ta, tb)
                return ta * b + (tb * a if tb is not None else 0)
            @staticmethod
            def backward(ctx, g): a, b = ctx.saved_tensors; return g * b, g * a
        with fw.dual_level():
            d = fw.make_dual(x, torch.ones(3))
            print(fw.unpack_dual(A.apply(d, y)).tangent)
            o = A.apply(d, fw.make_dual(y, torch.ones(3)))
            print(fw.unpack_dual(o).tangent)
            print(A.apply(d, 2 * y.detach()))
            o.sum().backward()
            print(x.grad, y.grad)
    """,
    "jvp materialize": """
        fw = torch.autograd.forward_ad
        class A(Fn):
            @staticmethod
            def forward(ctx, a, b): ctx.set_materialize_grads(False); return a * b
            @staticmethod
            def jvp(ctx, ta, tb): print(ta, tb); return ta
        with fw.dual_level(): A.apply(fw.make_dual(x.detach(), torch.ones(3)), y.detach())
        class B(A):
            @staticmethod
            def forward(ctx, a, b): return a * b, a.long(), 5
            @staticmethod
            def jvp(ctx, ta, tb): print(ta, tb); return ta, None, None
        with fw.dual_level(): print(B.apply(fw.make_dual(x.detach(), torch.ones(3)), y.detach()))
        class C(A):
            @staticmethod
            def jvp(ctx, ta, tb): return torch.ones(2)
        with fw.dual_level(): attempt(lambda: C.apply(fw.make_dual(x.detach(), torch.ones(3)), y.detach()))
        class D(A):
            @staticmethod
            def jvp(ctx, ta, tb): return ta, ta
        with fw.dual_level(): attempt(lambda: D.apply(fw.make_dual(x.detach(), torch.ones(3)), y.detach()))
        class E(Fn):
            @staticmethod
            def forward(ctx, a): return a
        with fw.dual_level(): attempt(lambda: E.apply(fw.make_dual(x.detach(), torch.ones(3))))
    """,
    "retain dict": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): ctx.foo = 3; ctx.bar = "x"; return a * 2
            @staticmethod
            def backward(ctx, g): ctx.baz = 4; return g * ctx.foo
        o = A.apply(x); n = o.grad_fn
        print(n.foo, n.bar, n.metadata, isinstance(n, torch.autograd.graph.Node))
        n.foo = 7
        o.sum().backward(); print(x.grad, n.baz)
        attempt(lambda: n.nothing)
    """,
    "hooks": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2
            @staticmethod
            def backward(ctx, g): print("backward"); return g * 2
        o = A.apply(x)
        o.grad_fn.register_hook(lambda gi, go: print("post", gi, go))
        o.grad_fn.register_prehook(lambda go: print("pre", go))
        o.register_hook(lambda g: g * 10)
        o.sum().backward(); print(x.grad)
    """,
    "nested function": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): ctx.save_for_backward(a); return a ** 3
            @staticmethod
            def backward(ctx, g): a, = ctx.saved_tensors; return B.apply(g, a)
        class B(Fn):
            @staticmethod
            def forward(ctx, g, a): ctx.save_for_backward(g, a); return g * 3 * a ** 2
            @staticmethod
            def backward(ctx, gg): g, a = ctx.saved_tensors; return gg * 3 * a ** 2, gg * g * 6 * a
        g, = torch.autograd.grad(A.apply(x).sum(), x, create_graph=True); print(g, g.grad_fn)
        print(torch.autograd.grad(g.sum(), x))
    """,
    "apply in forward with grad": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a):
                print(torch.is_grad_enabled(), a.requires_grad)
                with torch.enable_grad():
                    b = a.detach().requires_grad_()
                    c = (b ** 2).sum()
                g, = torch.autograd.grad(c, b)
                ctx.save_for_backward(g)
                return c.detach()
            @staticmethod
            def backward(ctx, g): return g * ctx.saved_tensors[0]
        A.apply(x).backward(); print(x.grad)
    """,
    "no input requires grad": """
        class A(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2
            @staticmethod
            def backward(ctx, g): return g
        o = A.apply(x.detach()); print(o.requires_grad, o.grad_fn)
        with torch.no_grad(): o = A.apply(x); print(o.requires_grad, o.grad_fn)
        with torch.inference_mode(): o = A.apply(x); print(o.is_inference(), o.requires_grad)
        attempt(lambda: A.apply())
        attempt(lambda: A.apply(3))
    """,
    "repr str": """
        class Alpha(Fn):
            @staticmethod
            def forward(ctx, a): return a * 2
            @staticmethod
            def backward(ctx, g): return g
        o = Alpha.apply(x)
        print(repr(o.grad_fn)); print(o); print(str(type(o.grad_fn)))
        print(Alpha.__mro__[1].__name__, Alpha.generate_vmap_rule)
        attempt(lambda: Alpha.setup_context(1, 2, 3))
        attempt(lambda: Alpha.vmap(1, 2))
        attempt(lambda: Alpha.jvp(1, 2))
        attempt(lambda: Fn.backward(1, 2))
        attempt(lambda: Fn.forward(1, 2))
    """,
    "inplace function classes": """
        InplaceFunction = torch.autograd.function.InplaceFunction
        class A(InplaceFunction):
            @staticmethod
            def forward(ctx, a): return a * 2
            @staticmethod
            def backward(ctx, g): return g * 2
        A.apply(x).sum().backward(); print(x.grad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(A(True).inplace)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_prints_the_same(name: str, backend: str) -> None:
    assert_same(PRELUDE + textwrap.dedent(PROGRAMS[name]))


def test_what_is_no_tensor_cannot_be_marked(backend: str) -> None:
    class Marks(retrograd.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: retrograd.Tensor, mark: str) -> retrograd.Tensor:
            getattr(ctx, mark)(3)
            return x * 2

    x = retrograd.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="mark_dirty can only accept variables, but argument 0 is of type int"):
        Marks.apply(x, "mark_dirty")
    with pytest.raises(RuntimeError, match="mark_non_differentiable only accepts variable arguments, but got int"):
        Marks.apply(x, "mark_non_differentiable")


def test_keyword_only_arguments_reach_forward(backend: str) -> None:
    class Scaled(retrograd.autograd.Function):
        @staticmethod
        def forward(x: retrograd.Tensor, *, by: float = 2.0) -> retrograd.Tensor:
            return x * by

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            assert len(inputs) == 1

        @staticmethod
        def backward(ctx: Any, grad: retrograd.Tensor) -> retrograd.Tensor:
            return grad

    x = retrograd.ones(2, requires_grad=True)
    assert Scaled.apply(x).tolist() == [2.0, 2.0]
    assert Scaled.apply(x, by=5.0).tolist() == [5.0, 5.0]


def test_a_function_s_node_is_freed_with_its_output() -> None:
    class Saves(retrograd.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: retrograd.Tensor) -> retrograd.Tensor:
            y = x * 2
            ctx.save_for_backward(x, y)
            ctx.note = "kept"
            return y

    y = Saves.apply(retrograd.ones(2, requires_grad=True))
    node = weakref.ref(y.grad_fn)
    gc.disable()
    try:
        del y
        assert node() is None
    finally:
        gc.enable()


def test_clearing_on_access_lets_a_saved_tensor_go_at_once() -> None:
    alive: list[bool] = []

    class Clears(retrograd.autograd.Function):
        clear_saved_tensors_on_access = True

        @staticmethod
        def forward(ctx: Any, x: retrograd.Tensor) -> retrograd.Tensor:
            kept = x * 2
            ctx.save_for_backward(kept)
            return x * 3

        @staticmethod
        def backward(ctx: Any, grad: retrograd.Tensor) -> retrograd.Tensor:
            (kept,) = ctx.saved_tensors
            watch = weakref.ref(kept)
            del kept
            alive.append(watch() is not None)
            return grad

    Clears.apply(retrograd.ones(2, requires_grad=True)).sum().backward()
    assert alive == [False]
