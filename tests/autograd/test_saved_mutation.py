"""Writes to saved tensors, where they are allowed: the same as in PyTorch."""

from __future__ import annotations

import pytest
from programs import SQUARE, assert_same

PROGRAMS = {
    "saved_by_several": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors() as ctx:
            a = torch.ones(2, 3, requires_grad=True).clone()
            b, c = a**2, a**2
            a.sin_()
            print(len(ctx.cloned))
            d = a**2
            a.sin_()
            print(len(ctx.cloned))
            del b, c
            print(len(ctx.cloned))
            print(torch.autograd.grad(d.sum(), a, allow_unused=True))
    """,
    "basic": """
        amt = torch.autograd.graph.allow_mutation_on_saved_tensors
        with amt() as ctx:
            a = torch.ones(2, 3, requires_grad=True)
            b = a.clone()
            out = (b**2).sum()
            b.sin_()
            out.backward()
            print(a.grad, len(ctx.cloned), len(ctx.original))
        print(type(ctx).__name__, type(amt()).__name__)
    """,
    "nested": """
        amt = torch.autograd.graph.allow_mutation_on_saved_tensors

        def f():
            with amt():
                with amt():
                    pass

        attempt(f)
        with amt():
            print("again")
        with torch.autograd.graph.disable_saved_tensors_hooks("not here"):

            def g():
                with amt():
                    pass

            attempt(g)
    """,
    "outside": """
        amt = torch.autograd.graph.allow_mutation_on_saved_tensors
        with amt():
            a = torch.ones(2, 3, requires_grad=True)
            b = a.clone()
            out = (b**2).sum()
            b.sin_()
        attempt(out.backward)
        with amt() as ctx:
            b = a.clone()
            out = (b**2).sum()
            ctx.clear()
            attempt(out.backward)
        with amt() as ctx:
            out = (a**2).sum()
            a.detach().sin_()
            ctx.clear()
            attempt(out.backward)
    """,
    "results": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            a = torch.ones(3, requires_grad=True)
            b = a.clone()
            y = b.exp()
            y.mul_(2)
            y.sum().backward()
            print(a.grad)
            a.grad = None
            b = a * 2
            y = b * b
            with torch.no_grad():
                a.add_(1)
            b.add_(5)
            b.mul_(b)
            (y.sum() + b.sum()).backward()
            print(a.grad)
    """,
    "leaves_and_optimizers": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            w = torch.ones(3, requires_grad=True)
            loss = (w * w).sum()
            loss.backward(retain_graph=True)
            torch.optim.SGD([w], lr=0.1).step()
            loss.backward()
            print(w.grad, w)
            w.grad = None
            loss = (w * w * w).sum()
            loss.backward(retain_graph=True)
            torch.optim.Adam([w], lr=0.1).step()
            loss.backward()
            print(w.grad, w)
            w.grad = None
            loss = (w * w).sum()
            with torch.no_grad():
                w.copy_(torch.zeros(3))
            loss.backward()
            print(w.grad)
    """,
    "views": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            a = torch.arange(4.0).requires_grad_()
            b = a * 1
            v = b[:2]
            y = v * v
            b.zero_()
            y.sum().backward()
            print(a.grad)
            u = b[2:]
            z = u.exp()
            z[0] = 5
            z.sum().backward()
            print(a.grad)
    """,
    "before_the_context": """
        a = torch.ones(3, requires_grad=True)
        b = a * 1
        y = b * b
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            b.add_(1)
            attempt(y.sum().backward)
    """,
    "inner_hooks_win": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            a = torch.ones(3, requires_grad=True)
            b = a * 1
            with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
                y = b * b
            b.add_(1)
            y.sum().backward()
            print(a.grad)
    """,
    "accumulated_gradient": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            a = torch.ones(3, requires_grad=True)
            w = torch.ones(3, requires_grad=True)
            (a * 2).sum().backward()
            y = (w * a.grad).sum()
            (a * 5).sum().backward()
            y.backward()
            print(w.grad, a.grad)
    """,
    "setitem_and_out": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            a = torch.ones(3, requires_grad=True)
            c = torch.full((3,), 3.0)
            y = a * c
            c[0] = 100.0
            torch.add(c, c, out=c)
            y.sum().backward()
            print(a.grad, c)
    """,
    "double_backward": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            a = torch.full((3,), 2.0, requires_grad=True)
            b = a * 1
            y = b**3
            b.zero_()
            (g,) = torch.autograd.grad(y.sum(), a, create_graph=True)
            print(g)
            g.sum().backward()
            print(a.grad)
    """,
    "custom_function": """
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            a = torch.full((3,), 2.0, requires_grad=True)
            b = a * 1
            y = Square.apply(b)
            b.zero_()
            y.sum().backward()
            print(a.grad)
    """,
    "as_decorator": """
        @torch.autograd.graph.allow_mutation_on_saved_tensors()
        def step():
            a = torch.ones(3, requires_grad=True)
            b = a.clone()
            y = b * b
            b.zero_()
            y.sum().backward()
            return a.grad

        print(step(), step())
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], SQUARE)
