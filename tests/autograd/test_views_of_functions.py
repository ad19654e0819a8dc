"""Views that custom Functions take, return and write to: the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

GIVEN = """
class Start(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x[:2]

    @staticmethod
    def backward(ctx, g):
        return torch.cat([g * 3, torch.zeros(1)])


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2


class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 3
"""
"""What many programs begin with: a view of an input, a write to it, and the input itself."""

PROGRAMS = {
    "view_of_leaf": """
        x = torch.ones(3, requires_grad=True)
        v = Start.apply(x)
        print(v.grad_fn.name(), v._is_view(), v._base is x)
        attempt(v.mul_, 2)
        v.sum().backward()
        print(x.grad)
    """,
    "view_of_input": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        v = Start.apply(y)
        print(v.grad_fn.name(), v._is_view(), v._base is y, v.requires_grad)
        attempt(v.mul_, 2)
        v.sum().backward(retain_graph=True)
        print(x.grad)
        y.mul_(2)
        attempt(lambda: v.grad_fn)
        attempt(lambda: v.sum().backward())
    """,
    "view_of_fresh": """
        class V(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                z = x * 2
                return z[:2]

            @staticmethod
            def backward(ctx, g):
                return torch.cat([g * 3, torch.zeros(1)])

        x = torch.ones(3, requires_grad=True)
        v = V.apply(x)
        print(v.grad_fn.name(), v._is_view(), v.requires_grad, v._base)
        attempt(v.mul_, 2)
        print(v, v.grad_fn)
    """,
    "view_no_grad_needed": """
        x = torch.ones(3)
        v = Start.apply(x)
        print(v.grad_fn, v._is_view(), v.requires_grad)
        v.mul_(2)
        print(x)
        w = torch.ones(2, requires_grad=True)
        attempt(v.mul_, w)
        print(x.requires_grad)
    """,
    "returns_input": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        v = Same.apply(y)
        print(v is y, v._is_view(), v._base is y, v.grad_fn.name())
        attempt(v.mul_, 2)
        v = Same.apply(x)
        print(v._is_view(), v._base is x)
        attempt(v.mul_, 2)
        z = torch.ones(3)
        v = Same.apply(z)
        print(v is z, v._is_view(), v.requires_grad, v.grad_fn)
        v.mul_(2)
        print(z)
        attempt(v.mul_, w if "w" in dir() else torch.ones(3, requires_grad=True))
        with torch.no_grad():
            v = Same.apply(y)
            print(v is y, v._is_view(), v.requires_grad, v.grad_fn)
            v2 = Same.apply(x)
            print(v2 is x, v2._is_view(), v2.requires_grad)
    """,
    "returns_input_nondiff": """
        class S(Same):
            @staticmethod
            def forward(ctx, x):
                ctx.mark_non_differentiable(x)
                return x

        x = torch.ones(3, requires_grad=True)
        y = x * 2
        v = S.apply(y)
        print(v is y, v._is_view(), v.requires_grad)
        v.mul_(2)
        print(y)
        z = torch.ones(3)
        v = S.apply(z)
        print(v is z, v._is_view(), v.requires_grad)
    """,
    "two_views": """
        class V(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x[:2], x[1:]

            @staticmethod
            def backward(ctx, g, h):
                return torch.cat([g, h[1:]])

        x = torch.ones(3, requires_grad=True)
        y = x * 2
        a, b = V.apply(y)
        print(a.grad_fn.name(), b.output_nr, a._is_view())
        attempt(a.mul_, 2)
        y.mul_(2)
        attempt(lambda: a.sum().backward())
    """,
    "two_fresh": """
        class V(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2, x + 1

            @staticmethod
            def backward(ctx, g, h):
                return g * 2 + h

        x = torch.ones(3, requires_grad=True)
        a, b = V.apply(x)
        a.mul_(2)
        v = b[:2]
        v.mul_(3)
        print(a.grad_fn, b.grad_fn, v.grad_fn)
        (a.sum() + b.sum()).backward()
        print(x.grad)
    """,
    "dirty_view": """
        x = torch.ones(3, requires_grad=True)
        y = x * 1
        v = y[:2]
        u = y[1:]
        w = Twice.apply(v)
        print(w is v, v.grad_fn.name(), y.grad_fn.name(), u.grad_fn.name(), y)
        y.sum().backward()
        print(x.grad)
        attempt(Twice.apply, x)
        attempt(Twice.apply, x[:2])
        print(x)
        y = torch.ones(3)
        with torch.no_grad():
            q = y[:2]
        attempt(Twice.apply, q)
        print(y)
        y = x * 1
        a, b, c = y.unbind()
        attempt(Twice.apply, a)
        print(y)
        with torch.no_grad():
            q = y[:2]
        attempt(Twice.apply, q)
        print(y)
    """,
    "dirty_view_two_outputs": """
        class D(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                x.mul_(2)
                ctx.mark_dirty(x)
                return x, x * 3

            @staticmethod
            def backward(ctx, g, h):
                return g * 2 + h * 6

        x = torch.ones(3, requires_grad=True)
        y = x * 1
        v = y[:2]
        attempt(D.apply, v)
        a, b = D.apply(x * 1)
        print(a, b, a.grad_fn.name(), b.grad_fn.name(), a.output_nr, b.output_nr)
        (a.sum() + b.sum()).backward()
        print(x.grad)
    """,
    "dirty_not_input": """
        class D(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                y = x * 2
                ctx.mark_dirty(y)
                return y

            @staticmethod
            def backward(ctx, g):
                return g * 2

        x = torch.ones(3, requires_grad=True)
        attempt(D.apply, x)

        class D(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                x.mul_(2)
                ctx.mark_dirty(x)
                return x * 1

            @staticmethod
            def backward(ctx, g):
                return g * 2

        attempt(D.apply, x * 1)
    """,
    "write_input_undeclared": """
        class D(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                x.mul_(2)
                return x.clone()

            @staticmethod
            def backward(ctx, g):
                return g * 2

        x = torch.ones(3, requires_grad=True)
        y = x * 1
        z = y * y
        out = D.apply(y)
        print(out, y, y._version, y.grad_fn)
        attempt(z.sum().backward)
    """,
    "views_inside_then_used": """
        saved = []

        class D(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                saved.append(x[:2])
                print(x.requires_grad, saved[0].requires_grad, saved[0].grad_fn)
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return g * 2

        x = torch.ones(3, requires_grad=True)
        y = x * 1
        out = D.apply(y)
        v = saved[0]
        print(v.requires_grad, v.grad_fn, v._is_view())
        attempt(v.mul_, 2)
    """,
    "dirty_leaf_noreq": """
        class D(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, w):
                ctx.save_for_backward(w)
                x.mul_(w)
                ctx.mark_dirty(x)
                return x

            @staticmethod
            def backward(ctx, g):
                (w,) = ctx.saved_tensors
                return g * w, g

        w = torch.full((3,), 2.0, requires_grad=True)
        x = torch.ones(3)
        y = D.apply(x, w)
        print(x is y, x.requires_grad, x.grad_fn.name())
        x.sum().backward()
        print(w.grad)
        z = torch.ones(4)
        v = z[:3]
        D.apply(v, w)
        print(z.grad_fn.name(), v.grad_fn.name())
    """,
    "saved_view": """
        class D(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                v = x[:2]
                ctx.save_for_backward(v, x)
                return x.sum()

            @staticmethod
            def backward(ctx, g):
                v, x = ctx.saved_tensors
                print(v.requires_grad, v.grad_fn, v._is_view(), x.grad_fn)
                return g.expand(3)

        x = torch.ones(3, requires_grad=True)
        y = x * 1
        D.apply(y).backward()
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], GIVEN)


def test_setup_context_cannot_save_an_input_that_is_returned_as_it_is(backend: str) -> None:
    assert_same("""
        def function(save, forward, dirty):
            class Returns(torch.autograd.Function):
                forward = staticmethod(lambda a, b: forward(a, b))

                @staticmethod
                def setup_context(ctx, inputs, output):
                    if dirty:
                        ctx.mark_dirty(inputs[0])
                    ctx.save_for_backward(*save(inputs, output))

                @staticmethod
                def backward(ctx, *grads):
                    return grads[0], None

            return Returns

        leaf, constant = torch.ones(3, requires_grad=True), torch.ones(3)
        for a in (leaf, leaf * 2, constant):
            for b in (leaf.detach().requires_grad_(), constant.clone()):
                for save, forward, dirty in (
                    (lambda i, o: (o,), lambda a, b: a, False), (lambda i, o: (i[0],), lambda a, b: a, False),
                    (lambda i, o: (i[1],), lambda a, b: a, False),
                    (lambda i, o: (o,), lambda a, b: a.view_as(a), False),
                    (lambda i, o: (o[1],), lambda a, b: (a * b, b), False),
                    (lambda i, o: (i[0],), lambda a, b: (a * b, b), False),
                    (lambda i, o: (o,), lambda a, b: a.mul_(2), True),
                ):
                    if not dirty or a is not leaf:
                        attempt(function(save, forward, dirty).apply, a.clone() if dirty else a, b)
        with torch.no_grad():
            attempt(function(lambda i, o: (o,), lambda a, b: a, False).apply, leaf, constant)
    """)
