"""The graph, the backward pass, hooks and custom Functions: the same outcome as PyTorch's on every backend."""

from __future__ import annotations

import pytest
from programs import SQUARE, assert_same

PROGRAMS = {
    "edges_of_views_without_grad": """
        a = torch.ones(3, requires_grad=True)
        for base in (a, a * 2):
            with torch.no_grad():
                view = base[:2]
            print(view.requires_grad, view.grad_fn)
            attempt(lambda: torch.autograd.graph.get_gradient_edge(view))
    """,
    "functions_of_keywords": """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, n, y=None):
                print(ctx.needs_input_grad, n, y)
                return x * n

            @staticmethod
            def backward(ctx, g):
                return g, None

        x, w = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0])
        for call in (lambda: Scale.apply(x, n=3), lambda: Scale.apply(x=x, n=3), lambda: Scale.apply(x, 3, y=w)):
            y = call()
            print(y)
            attempt(y.sum().backward)
            print(x.grad)
    """,
    "increment_version_of_what_is_none": """
        attempt(torch.autograd.graph.increment_version, 3)
        attempt(torch.autograd.graph.increment_version, [3])
        attempt(torch.autograd.graph.increment_version, "a")
        x = torch.ones(2)
        torch.autograd.graph.increment_version([x, x])
        print(x._version)
    """,
    "nodes": """
        x = torch.ones(2, 2, requires_grad=True)
        y = (x * 2 + 1).sum()
        print(y.grad_fn, y.grad_fn.name(), y.grad_fn.next_functions)
        print(y.grad_fn.next_functions[0][0].next_functions[0][0].next_functions)
        print(x.grad_fn, x.is_leaf, y.is_leaf, y.output_nr, isinstance(y.grad_fn, torch.autograd.graph.Node))
        node = (x * 2).grad_fn
        node.metadata["note"] = 1
        print(node.metadata)
    """,
    "saved": """
        x = torch.tensor([1., 2.], requires_grad=True)
        y = x * torch.tensor([3., 4.])
        print(y.grad_fn._saved_other, y.grad_fn._saved_self)
        z = x.exp()
        print(z.grad_fn._saved_result)
        z.sum().backward()
        attempt(lambda: z.grad_fn._saved_result)
    """,
    "accumulation": """
        x = torch.ones(2, requires_grad=True)
        for _ in range(3):
            (x * x).sum().backward()
        print(x.grad)
        x.grad.zero_()
        (x * 5).sum().backward()
        print(x.grad)
        x.grad = None
        print(x.grad)
    """,
    "diamond": """
        x = torch.tensor(2., requires_grad=True)
        a = x * x
        b = a * 3
        c = a * b + a
        c.backward()
        print(x.grad)
    """,
    "several_roots": """
        x = torch.tensor([1., 2.], requires_grad=True)
        y = torch.tensor([3., 4.], requires_grad=True)
        torch.autograd.backward([(x * y).sum(), (x * x).sum()], [torch.tensor(2.), None])
        print(x.grad, y.grad)
    """,
    "non_scalar_roots": """
        x = torch.tensor([1., 2.], requires_grad=True)
        y = x * x
        attempt(y.backward)
        attempt(y.backward, torch.ones(3))
        y.backward(torch.tensor([1., 10.]))
        print(x.grad)
    """,
    "does_not_require_grad": """
        x = torch.ones(2)
        attempt((x * 2).sum().backward)
        attempt(torch.autograd.grad, (x * 2).sum(), x)
        attempt(torch.zeros(2, dtype=torch.int64).requires_grad_)
        attempt(x.register_hook, print)
        attempt(x.retain_grad)
    """,
    "freed": """
        x = torch.ones(2, requires_grad=True)
        y = (x * x).sum()
        y.backward(retain_graph=True)
        y.backward()
        attempt(y.backward)
        print(x.grad)
        z = (x + 1).sum()
        z.backward()
        z.backward()
        print(x.grad)
    """,
    "grad": """
        x = torch.tensor([1., 2.], requires_grad=True)
        y = torch.tensor([3., 4.], requires_grad=True)
        print(torch.autograd.grad((x * y).sum(), [x, y]))
        attempt(torch.autograd.grad, x.sum(), [x, y])
        print(torch.autograd.grad(x.sum(), [x, y], allow_unused=True))
        print(torch.autograd.grad(x.sum(), [x, y], materialize_grads=True))
        a = x * 2
        print(torch.autograd.grad((a * a).sum(), [a, x]))
        print(x.grad)
    """,
    "grad_of_grad": """
        x = torch.tensor([1., 2.], requires_grad=True)
        y = (x ** 3).sum()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        print(g, g.requires_grad)
        (h,) = torch.autograd.grad(g.sum(), x, create_graph=True)
        print(h)
        print(torch.autograd.grad(h.sum(), x))
    """,
    "create_graph_into_grad": """
        x = torch.tensor(2., requires_grad=True)
        (x ** 3).backward(create_graph=True)
        print(x.grad)
        g = x.grad
        x.grad = None
        g.backward()
        print(x.grad)
    """,
    "inputs": """
        x = torch.tensor(2., requires_grad=True)
        y = torch.tensor(3., requires_grad=True)
        (x * y).backward(inputs=[x])
        print(x.grad, y.grad)
        attempt((x * y).backward, inputs=[])
    """,
    "inputs_non_leaf": """
        x = torch.tensor(2., requires_grad=True)
        a = x * 3
        (a * a).backward(inputs=[a])
        print(a.grad, x.grad)
    """,
    "modes": """
        x = torch.ones(1, requires_grad=True)
        with torch.no_grad():
            print((x * 2).requires_grad, torch.is_grad_enabled())
            with torch.enable_grad():
                print((x * 2).requires_grad)
            print(torch.zeros(1, requires_grad=True).requires_grad)
        with torch.set_grad_enabled(False):
            print((x * 2).requires_grad)
        @torch.no_grad()
        def f(v):
            return v * 2
        print(f(x).requires_grad, torch.is_grad_enabled())
        @torch.no_grad()
        def steps():
            yield torch.is_grad_enabled()
            yield torch.is_grad_enabled()
        for inside in steps():
            print(inside, torch.is_grad_enabled())
        torch.set_grad_enabled(False)
        print(torch.is_grad_enabled())
        torch.set_grad_enabled(True)
    """,
    "tensor_hooks": """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        handle = y.register_hook(lambda g: g * 10)
        y.register_hook(lambda g: print("second", g))
        x.register_hook(lambda g: g + 1)
        y.sum().backward()
        print(x.grad)
        handle.remove()
        x.grad = None
        (x * 2).sum().backward()
        print(x.grad)
    """,
    "node_hooks": """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.grad_fn.register_prehook(lambda grads: print("pre", grads))
        y.grad_fn.register_hook(lambda gi, go: print("post", gi, go))
        y.retain_grad()
        y.register_hook(lambda g: print("tensor", g))
        y.sum().backward()
        print(y.grad)
    """,
    "order_of_hooks": """
        x = torch.ones(2, requires_grad=True)
        y = x * 1
        y.register_hook(lambda g: g * 2)
        y.grad_fn.register_prehook(lambda grads: (grads[0] * 10,))
        y.retain_grad()
        y.sum().backward(retain_graph=True)
        print(y.grad, x.grad, torch.autograd.grad(y.sum(), y))
    """,
    "accumulate_hooks": """
        x = torch.ones(2, requires_grad=True)
        x.register_post_accumulate_grad_hook(lambda p: print("done", p.grad))
        acc = (x * 2).grad_fn.next_functions[0][0]
        acc.register_hook(lambda gi, go: print("acc", gi, go))
        acc.register_prehook(lambda g: print("acc pre", g))
        (x * x).sum().backward()
        print(acc.variable is x)
    """,
    "multi_grad_hooks": """
        x = torch.ones(2, requires_grad=True)
        y = torch.ones(2, requires_grad=True)
        z = torch.ones(2, requires_grad=True)
        h = torch.autograd.graph.register_multi_grad_hook([x, y, z], lambda grads: print("all", grads))
        (x * y * 2).sum().backward()
        h.remove()
        torch.autograd.graph.register_multi_grad_hook([x, y], lambda g: print("any", g), mode="any")
        (x * y).sum().backward()
    """,
    "saved_tensors_hooks": """
        x = torch.tensor([1., 2.], requires_grad=True)
        def pack(t):
            print("pack", t)
            return t.detach().clone()
        def unpack(t):
            print("unpack", t)
            return t
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            y = x * x
            z = y.exp()
        z.sum().backward()
        print(x.grad)
        with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
            def enter():
                with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
                    pass
            attempt(enter)
    """,
    "retain_grad": """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.retain_grad()
        print(y.retains_grad, x.retains_grad)
        (y * 3).sum().backward()
        print(y.grad)
    """,
    "grad_assignment": """
        x = torch.ones(2, requires_grad=True)
        for bad in (torch.ones(3), torch.ones(2, dtype=torch.float64), 5):
            attempt(setattr, x, "grad", bad)
        x.grad = torch.ones(2)
        (x * 2).sum().backward()
        print(x.grad)
    """,
    "requires_grad": """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        attempt(setattr, y, "requires_grad", False)
        y.requires_grad_(True)
        x.requires_grad = False
        print(x.requires_grad, y.requires_grad)
    """,
    "gradient_edges": """
        x = torch.tensor(2., requires_grad=True)
        y = x * x
        edge = torch.autograd.graph.get_gradient_edge(y)
        print(type(edge).__name__, edge.output_nr, edge.node)
        del y
        torch.autograd.backward(edge, torch.tensor(1.))
        print(x.grad)
        print(torch.autograd.grad((x * 3), torch.autograd.graph.get_gradient_edge(x)))
    """,
    "function_setup_context": """
        class Mul(torch.autograd.Function):
            @staticmethod
            def forward(a, b):
                return a * b
            @staticmethod
            def setup_context(ctx, inputs, output):
                ctx.save_for_backward(*inputs)
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, g * a
        x = torch.tensor(2., requires_grad=True)
        y = torch.tensor(3., requires_grad=True)
        out = Mul.apply(x, y)
        print(out, out.grad_fn.name())
        (gx,) = torch.autograd.grad(out, x, create_graph=True)
        print(gx, torch.autograd.grad(gx, y))
    """,
    "function_outputs": """
        class Two(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, k, extra=None):
                ctx.k = k
                return a * k, a + 1, "text"
            @staticmethod
            def backward(ctx, g1, g2, g3):
                print(g1, g2, g3, ctx.needs_input_grad)
                return g1 * ctx.k + g2, None, None
        x = torch.ones(2, requires_grad=True)
        a, b, text = Two.apply(x, 5, None)
        print(text, a.grad_fn.name(), b.output_nr)
        a.sum().backward()
        print(x.grad)
    """,
    "function_marks": """
        class Marks(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                mask = a > 0
                ctx.mark_non_differentiable(mask)
                ctx.set_materialize_grads(False)
                return a * 2, mask, a * 3
            @staticmethod
            def backward(ctx, g, gm, g3):
                print(g, gm, g3)
                return g * 2
        x = torch.ones(2, requires_grad=True)
        a, mask, c = Marks.apply(x)
        print(mask.requires_grad, c.requires_grad)
        a.sum().backward()
        print(x.grad)
    """,
    "function_dirty": """
        class AddOne(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                a.add_(1)
                ctx.mark_dirty(a)
                return a
            @staticmethod
            def backward(ctx, g):
                return g * 7
        x = torch.zeros(2, requires_grad=True)
        y = x * 1
        z = AddOne.apply(y)
        print(z is y, y.grad_fn.name(), y)
        y.sum().backward()
        print(x.grad)
        attempt(AddOne.apply, torch.zeros(2, requires_grad=True))
    """,
    "function_errors": """
        class Wrong(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, n):
                ctx.n = n
                return a * 2
            @staticmethod
            def backward(ctx, g):
                return [(g, None, g), (g[:1].expand(3), None), (g,), (g, g), (5., None)][ctx.n]
        for n in range(5):
            x = torch.ones(2, requires_grad=True)
            attempt(Wrong.apply(x, n).sum().backward)
        attempt(Wrong)
        class NoBackward(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                return a * 1
        attempt(NoBackward.apply(torch.ones(1, requires_grad=True)).backward)
    """,
    "function_returns_input": """
        class Same(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                return a
            @staticmethod
            def backward(ctx, g):
                return g * 3
        x = torch.ones(2, requires_grad=True)
        y = Same.apply(x)
        print(y is x, y.grad_fn.name(), x.grad_fn)
        y.sum().backward()
        print(x.grad)
    """,
    "function_saved_modified": """
        x = torch.ones(2, requires_grad=True)
        a = x * 1
        y = Square.apply(a)
        a.add_(1)
        attempt(y.sum().backward)
        y = Square.apply(x)
        y.sum().backward()
        attempt(y.sum().backward)
    """,
    "once_differentiable": """
        from importlib import import_module
        once = torch.autograd.function.once_differentiable
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a)
                return a * a
            @staticmethod
            @once
            def backward(ctx, g):
                return g * 2 * ctx.saved_tensors[0]
        x = torch.tensor(3., requires_grad=True)
        (g,) = torch.autograd.grad(Square.apply(x), x, create_graph=True)
        print(g.item())
        attempt(g.backward)
    """,
    "unused_function_output_gets_zeros": """
        class Two(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                return a * 2, a * 3
            @staticmethod
            def backward(ctx, g1, g2):
                print(g1, g2)
                return g1 * 2 + g2 * 3
        x = torch.ones(2, requires_grad=True)
        Two.apply(x)[1].sum().backward()
        print(x.grad)
    """,
    "anomaly": """
        x = torch.tensor([-1.], requires_grad=True)
        with torch.autograd.detect_anomaly():
            y = torch.sqrt(x)
            attempt(y.sum().backward)
        print(torch.is_anomaly_enabled())
    """,
    "mixed_types": """
        x = torch.ones(2, requires_grad=True)
        y = torch.ones(2, dtype=torch.float64, requires_grad=True)
        z = x * y + torch.ones(2, dtype=torch.int64)
        print(z.dtype, z.grad_fn)
        z.sum().backward()
        print(x.grad, y.grad)
    """,
    "broadcasting": """
        x = torch.ones(3, 1, requires_grad=True)
        y = torch.arange(2.).requires_grad_()
        s = torch.tensor(2., requires_grad=True)
        (x * y * s + y).sum().backward()
        print(x.grad, y.grad, s.grad)
        attempt(lambda: torch.ones(2) + torch.ones(3))
    """,
    "complex": """
        z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
        w = z * z + 2 * z
        w.abs().sum().backward()
        print(z.grad)
        r = torch.tensor([1., 2.], requires_grad=True)
        (r * (1 + 2j)).abs().sum().backward()
        print(r.grad)
        attempt((z * z).sum().backward)
    """,
    "deepcopy_and_equality": """
        import copy
        x = torch.ones(2, requires_grad=True)
        (x * 2).sum().backward()
        y = copy.deepcopy(x)
        print(y, y.grad, y is x, y.is_leaf)
        attempt(copy.deepcopy, x * 2)
    """,
    "graph_survives_its_tensors": """
        def build():
            x = torch.ones(2, requires_grad=True)
            x.register_hook(lambda g: print("leaf gradient", g))
            return (x * 3).sum()
        build().backward()
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], SQUARE)


def test_gradients_at_edges_to_inner_nodes_must_have_their_shape(backend: str) -> None:
    assert_same("""
        class Product(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                return a * b

            @staticmethod
            def backward(ctx, g):
                return g, None

        x = torch.ones(2, 3, requires_grad=True)
        w = torch.ones(3, 4)
        edge = torch.autograd.graph.GradientEdge
        for function in (
            lambda y: y.sum(0).exp(), lambda y: y + torch.ones(5, 2, 4), lambda y: y[0].sum(), lambda y: y.view(8),
            lambda y: y.mul(torch.ones(2, 1)), lambda y: torch.cat([y.exp(), y @ w.t()], 1).mean(), lambda y: y.t(),
            lambda y: Product.apply(y, torch.ones(1)), lambda y: y.sum(1, dtype=torch.float64), lambda y: y.unbind()[1],
        ):
            node = function(x @ w).grad_fn
            while (node := node.next_functions[0][0]).next_functions:
                for shape in ((7, 9), (4,), (2, 4), ()):
                    given = torch.ones(shape, dtype=torch.float64)
                    attempt(lambda: torch.autograd.grad(edge(node, 0), x, given, retain_graph=True))
                attempt(lambda: torch.autograd.grad(edge(node, 0), x, retain_graph=True))
    """)
