"""Nodes of the graph: their names, numbers, metadata and hooks; the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "numbers_that_are_given": """
        x = torch.ones(2, requires_grad=True)
        log = []
        a, b = x + 1, x + 2
        c = a + b
        for name, each in (("a", a), ("b", b), ("c", c)):
            each.register_hook(lambda grad, name=name: log.append(name))
        for numbers in ((100, 99), (99, 100), (3, 10**6)):
            a.grad_fn._set_sequence_nr(numbers[0])
            b.grad_fn._set_sequence_nr(numbers[1])
            c.sum().backward(retain_graph=True)
            print(log, x.grad)
            log.clear()
    """,
    "versions_of_what_is_saved": """
        x = torch.ones(2, requires_grad=True)
        y = torch.exp(x)
        saved = y.grad_fn._saved_result
        with torch.no_grad():
            y += 1
        print(y._version, saved._version, (x * x).grad_fn._saved_self is x)
    """,
    "what_arrives": """
        x = torch.ones(3, 3, requires_grad=True)
        F = torch.nn.functional
        made = [
            torch.var_mean(x, dim=0)[1], x.max(0)[0], torch.linalg.qr(x)[0], x.unbind()[1], x.split(2)[1], x.sum(0),
            x @ x[0], x * torch.ones(2, 1, 1), x.mean(), torch.cat([x, x]), x.double(), x[1:], x.T, x.exp() + 1,
            F.layer_norm(x, (3,)), F.cross_entropy(x, torch.tensor([0, 1, 2])),
        ]
        for each in made:
            for what in each.grad_fn._input_metadata:
                print(each.grad_fn.name(), what.shape, what.dtype)
        edge = torch.autograd.graph.get_gradient_edge(x.sum(0))
        attempt(lambda: torch.autograd.grad(edge, x))
        attempt(lambda: torch.autograd.grad(edge, x, torch.ones(2)))
        print(torch.autograd.grad(edge, x, torch.ones(3)))
    """,
    "failing_and_ending": """
        made = torch._C._functions
        x, y = torch.ones(2, requires_grad=True), torch.ones(2)
        fail = made.DelayedError("as told", 2)
        a, b = fail(x, y)
        print(a, b, a.grad_fn.name(), a.grad_fn.next_functions[1], a.grad_fn is b.grad_fn, a._is_view())
        attempt(a.sum().backward)
        attempt((a + x).sum().backward)
        print(torch.autograd.grad((a + x).sum(), a))
        print(fail(y, y))
        attempt(fail, x)
        attempt(fail, x, 3)
        z = made.UndefinedGrad()(x)
        print(z, z.grad_fn.name(), len(z.grad_fn.next_functions))
        z.sum().backward()
        print(x.grad, made.UndefinedGrad()(y))
        attempt(made.UndefinedGrad(), x, x)

        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y, number):
                return x * y

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, grad):
                return grad, grad, None

        (g,) = torch.autograd.grad(F.apply(x, x * 2, 3).sum(), x, create_graph=True)
        print(g.grad_fn.name(), [each[0] and each[0].name() for each in g.grad_fn.next_functions])
        print([each[0] and each[0].name() for each in g.grad_fn.next_functions[0][0].next_functions])
        attempt(g.sum().backward)
    """,
    "weak_references": """
        x = torch.ones(2)
        reference = torch._C._WeakTensorRef(x)
        print(reference.expired())
        del x
        print(reference.expired())
    """,
    "names": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        acc = y.grad_fn.next_functions[0][0]
        y[:2].mul_(3)
        c = torch.zeros(3)
        c.copy_(x)
        for n in (acc, y.grad_fn, c.grad_fn, (x * 2).grad_fn, x.to(torch.float64).grad_fn, x.clone().grad_fn):
            print(n.name(), repr(n), type(n).__name__, type(n), n.requires_grad)
        print(y)
    """,
    "once": """
        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, g):
                return g * 2

        x = torch.ones(3, requires_grad=True)
        (g,) = torch.autograd.grad(F.apply(x).sum(), x, create_graph=True)
        print(g.grad_fn, g.grad_fn.name(), g.grad_fn.next_functions, g.requires_grad)
        attempt(g.sum().backward)
    """,
    "sequence": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        z = y + 1
        acc = y.grad_fn.next_functions[0][0]
        print(acc._sequence_nr(), z.grad_fn._sequence_nr() - y.grad_fn._sequence_nr())
        y.grad_fn._set_sequence_nr(5)
        print(y.grad_fn._sequence_nr())
    """,
    "metadata": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        y.grad_fn.metadata["a"] = 1
        print(y.grad_fn.metadata, y.grad_fn is y.grad_fn, type(y.grad_fn.metadata))
        acc = y.grad_fn.next_functions[0][0]
        acc.metadata["k"] = 2
        print((x * 3).grad_fn.next_functions[0][0].metadata, acc is (x * 3).grad_fn.next_functions[0][0])
    """,
    "variable": """
        x = torch.ones(3, requires_grad=True)
        acc = (x * 2).grad_fn.next_functions[0][0]
        print(acc.variable is x, acc.next_functions)
        attempt(setattr, acc, "variable", 3)
        attempt(lambda: (x * 2).grad_fn.variable)
        attempt(lambda: (x * 2).grad_fn._saved_nothing)
        attempt(lambda: (x * 2).grad_fn.nothing)
    """,
    "stale_names": """
        x = torch.ones(3, requires_grad=True)
        y = x * 1
        z = y * y
        y[0] = 2.0
        attempt(z.sum().backward)
        y = x * 1
        v = y[:2]
        z = v * v
        v.mul_(2)
        attempt(z.sum().backward)
        y = x * 1
        v = y[:2]
        z = v * v
        y.mul_(2)
        attempt(z.sum().backward)
        z = x * x
        with torch.no_grad():
            x.mul_(2)
        attempt(z.sum().backward)
        y = x * 1
        z = y.exp()
        z[0] = 1
        attempt(z.sum().backward)
        y = x * 1
        z = y.exp()
        z.detach().mul_(2)
        attempt(z.sum().backward)
        y = x * 1
        a, b, c = y.unbind()
        z = a * a
        y.mul_(2)
        attempt(z.sum().backward)
    """,
    "node_equality_and_hash": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        print(y.grad_fn == y.grad_fn, hash(y.grad_fn) == hash(y.grad_fn))
        print({y.grad_fn: 1}[y.grad_fn], y.grad_fn == (x * 2).grad_fn)
        Node = torch.autograd.graph.Node
        print(isinstance(y.grad_fn, Node), issubclass(type(y.grad_fn), Node), isinstance(3, Node))
        acc = y.grad_fn.next_functions[0][0]
        print(isinstance(acc, torch.autograd.graph.Node))
        attempt(Node)
    """,
    "contexts_are_nodes": """
        Node, of = torch.autograd.graph.Node, torch.autograd.function

        class Twice(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                print([isinstance(ctx, each) for each in (Node, of.FunctionCtx, of.BackwardCFunction)])
                return x * 2

            @staticmethod
            def backward(ctx, grad):
                print([isinstance(ctx, each) for each in (Node, of.FunctionCtx, of.BackwardCFunction)])
                return grad * 2

        y = Twice.apply(torch.ones(2, requires_grad=True))
        print([isinstance(y.grad_fn, each) for each in (Node, of.FunctionCtx, of.BackwardCFunction)])
        y.sum().backward()
        print(issubclass(of.FunctionCtx, Node), isinstance(of.FunctionCtx(), Node))
    """,
    "contexts_have_names_of_their_own": """
        import weakref

        class Scaled(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.k, ctx.saved, ctx.edges, ctx.plan, ctx.seq, ctx.fix, ctx.extras = 3.0, "saved", [1], 2, -1, {}, None
                ctx.outputs, ctx.function, ctx.shown, ctx.prefix, ctx.differentiable = 7, len, (), "p", False
                ctx.name, ctx._function, ctx._plan, ctx._dirty, ctx._outputs, ctx._kept = "a name", 1, 2, 3, 4, 5
                ctx._edges, ctx._extras, ctx._seq, ctx._fix, ctx._saved, ctx._constants = 6, 7, 8, 9, 10, 11
                ctx.save_for_backward(x)
                kept.append(ctx)
                return x * 2

            @staticmethod
            def backward(ctx, grad):
                print(ctx is kept[-1], ctx.saved, ctx.name, ctx._function, ctx._plan, ctx._dirty, ctx._outputs)
                print(ctx._kept, ctx._edges, ctx._extras, ctx._seq, ctx._fix, ctx._saved, ctx._constants)
                return grad * ctx.k * ctx.saved_tensors[0]

        kept, x = [], torch.tensor([1.0, 2.0], requires_grad=True)
        y = Scaled.apply(x)
        node = y.grad_fn
        print(node is kept[0], node.k, node.saved, node.edges, node.plan, node.seq, node.fix, node.extras, node.name)
        print(node.outputs, node.function, node.shown, node.prefix, node.differentiable)
        node.k, node.added = 5.0, "added"
        print(kept[0].k, kept[0].added, (y * 3).grad_fn.next_functions[0][0] is node, y)
        node.register_hook(lambda inputs, outputs: print("hook", inputs, outputs))
        node.register_prehook(lambda outputs: print("prehook", outputs))
        y.register_hook(lambda grad: print("of the tensor", grad))
        (y * 3).sum().backward()
        print(x.grad, [(each.name(), nr) for each, nr in node.next_functions], node.metadata)
        attempt(lambda: node.saved_tensors)
        print(torch.autograd.graph.get_gradient_edge(y).node is node)
        watched = weakref.ref(node)
        kept.clear()
        del node
        print(watched() is y.grad_fn)
        del y
        print(watched())
    """,
    "node_hooks_rules": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        h = y.grad_fn.register_hook(lambda gi, go: print("h", gi, go))
        h2 = y.grad_fn.register_prehook(lambda go: print("p", go))
        y.sum().backward(retain_graph=True)
        h.remove()
        h2.remove()
        y.sum().backward(retain_graph=True)
        y.grad_fn.register_hook(lambda gi, go: (gi[0] * 10, None))
        y.grad_fn.register_prehook(lambda go: (go[0] + 1,))
        x.grad = None
        y.sum().backward(retain_graph=True)
        print(x.grad)
        for bad in (
            lambda gi, go: gi[0],
            lambda gi, go: (gi[0], gi[0], gi[0]),
            lambda gi, go: 5,
            lambda gi, go: (3, None),
            lambda gi, go: (torch.ones(2), None),
        ):
            y = x * 2
            y.grad_fn.register_hook(bad)
            attempt(y.sum().backward)
        for bad in (
            lambda go: go[0],
            lambda go: (go[0], go[0]),
            lambda go: 5,
            lambda go: (3,),
            lambda go: (torch.ones(2),),
            lambda go: (None,),
        ):
            y = x * 2
            y.grad_fn.register_prehook(bad)
            attempt(y.sum().backward)
        x.grad = None
        for bad in (
            lambda g: 5,
            lambda g: torch.ones(2),
            lambda g: g.double(),
            lambda g: (g,),
            lambda g: torch.ones(3, dtype=torch.int64),
            lambda g: False,
        ):
            y = x * 2
            y.register_hook(bad)
            attempt(y.sum().backward)
        print(x.grad)
    """,
    "outputs_without_a_gradient": """
        x = torch.tensor([[3.0, 1.0, 2.0], [5.0, 4.0, 6.0]], requires_grad=True)
        for f in (
            lambda x: x.sort(), lambda x: x.max(1), lambda x: x.topk(2), lambda x: x.kthvalue(1), lambda x: x.mode(),
            lambda x: x.median(1), lambda x: x.cummin(1), lambda x: torch.linalg.lu_factor(x[:, :2]),
            lambda x: [F.layer_norm(x, (3,))], lambda x: F.max_pool2d(x[None], 2, return_indices=True),
        ):
            made = f(x)[0]
            node = made.grad_fn
            node.register_prehook(lambda grads: print("pre", len(grads)))
            node.register_hook(lambda grads, given: print("post", len(given)))
            made.sum().backward()
        for replacement in (lambda grads: (grads[0] * 2,), lambda grads: (grads[0] * 2, None)):
            values, places = x.sort()
            node = values.grad_fn
            node.register_prehook(replacement)
            node.register_hook(lambda grads, given: print("post", grads, given))
            x.grad = None
            attempt(values.sum().backward, retain_graph=True)
            print(node.name(), len(node._input_metadata), x.grad)
            with torch.no_grad():
                attempt(node, torch.ones(2, 3))
                attempt(node, torch.ones(2, 3), None)
    """,
    "names_of_operators": """
        s = (torch.arange(9.0).reshape(3, 3) / 8 + 0.25).requires_grad_()
        two, first = torch.tensor(2.0), torch.tensor([0])
        for call in (
            lambda: torch.addmv(s[0], s, s[1], beta=2, alpha=3), lambda: torch.addmv(s[0, 0], s, s[1]),
            lambda: torch.addr(s, s[0], s[1], beta=2), lambda: torch.addr(s[:1], s[0], s[1], alpha=3),
            lambda: torch.addbmm(s, s.expand(2, 3, 3), s[None].repeat(2, 1, 1), beta=2, alpha=3),
            lambda: torch.addbmm(s[0], s[None], s[None]), lambda: torch.cross(s, s[:1], dim=1),
            lambda: torch.linalg.cross(s, s.detach().flip(1)), lambda: s.roll(1),
            lambda: s.rot90(), lambda: s.rot90(-1, (1, 0)), lambda: s.rot90(2), lambda: s.rot90(0),
            lambda: (s + 1).mvlgamma(2), lambda: s.masked_fill(s > 1, two), lambda: s.masked_fill(s > 1, s[0, 0]),
            lambda: s.masked_fill(s > 1, 2.0), lambda: s.index_fill(0, first, 1.0), lambda: s.index_fill(0, first, two),
            lambda: s.sort()[0], lambda: s.sort(stable=True)[0], lambda: torch.sort(s, dim=0, stable=False)[0],
        ):
            made = call()
            node = made.grad_fn
            (grad,) = torch.autograd.grad((made * made).sum(), s, create_graph=True)
            again = torch.autograd.grad(grad.sum(), s, allow_unused=True)[0] if grad.requires_grad else None
            print(node.name(), [each and each.name() for each, _ in node.next_functions])
            for each in (made, grad, again):
                print(None if each is None else [round(n, 2) + 0.0 for n in each.flatten().tolist()])
        node = (s // 1).grad_fn
        print(node.name(), type(node).__name__)
        for call in (
            lambda: torch.addmv(s[:2, 0], s, s[1]), lambda: torch.addr(s, s[0], s),
            lambda: torch.addr(s[:2], s[0], s[1]), lambda: torch.addbmm(s, s[None], s.expand(2, 3, 3)),
            lambda: torch.addbmm(s[:2], s[None], s[None]),
            lambda: s.roll((1, 2)), lambda: s.long().masked_fill(s > 1, torch.tensor(1j)),
        ):
            attempt(call)
    """,
    "undefined_to_hooks": """
        x = torch.ones(4, requires_grad=True)
        a, b = (x * 1).split(2)
        a.register_hook(lambda g: print("a", g))
        b.register_hook(lambda g: print("b", g))
        a.grad_fn.register_prehook(lambda go: print("pre", go))
        a.sum().backward()

        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2, x * 3

            @staticmethod
            def backward(ctx, g, h):
                print("backward", g, h)
                return g * 2 + h * 3

        a, b = F.apply(x)
        a.register_hook(lambda g: print("a", g))
        b.register_hook(lambda g: print("b", g))
        a.grad_fn.register_prehook(lambda go: print("pre", go))
        a.grad_fn.register_hook(lambda gi, go: print("post", gi, go))
        a.sum().backward()
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_dir_shows_what_pytorch_shows() -> None:
    assert_same(
        """
    y = torch.ones(2, requires_grad=True) * torch.ones(2, requires_grad=True)
    for node in y.grad_fn, y.sum().grad_fn, y.grad_fn.next_functions[0][0]:
        print(sorted(name for name in dir(node) if not name.startswith("__") and not name.endswith("symint")))
    attempt(torch.autograd.graph.get_gradient_edge, 3)
    """
    )


def test_versions_can_be_preserved() -> None:
    assert_same(
        """
    x = torch.ones(2, requires_grad=True)
    a, b = x * 2, torch.ones(3)
    y = a * a
    with torch.autograd.grad_mode._unsafe_preserve_version_counter((a, b)):
        with torch.no_grad():
            a.copy_(a)
            b.add_(1)
    print(a._version, b._version)
    y.sum().backward()
    print(x.grad)
    """
    )


def test_names_that_programs_use_inside() -> None:
    assert_same(
        """
    x = torch.ones(2, requires_grad=True)
    y, seen = x * 2, []
    y.register_hook(lambda g: seen.append(torch._C._current_graph_task_id() >= 0))
    y.sum().backward()
    node_of = torch.autograd.graph._get_grad_fn_or_grad_acc
    print(seen, torch._C._current_graph_task_id(), node_of(y).name(), node_of(x).name())
    print(torch.autograd._unsafe_preserve_version_counter is torch.autograd.grad_mode._unsafe_preserve_version_counter)
    """
    )


def test_a_leaf_has_the_node_that_a_graph_still_has() -> None:
    assert_same(
        """
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda g: g * 2)
    y = x * 3
    sink = y.grad_fn.next_functions[0][0]
    sink.register_prehook(lambda g: (g[0] * 5,))
    x.requires_grad_(False).requires_grad_(True)
    print((x * 2).grad_fn.next_functions[0][0] is sink)
    for root in y, x * 2, x * 2 + y.detach():
        root.sum().backward()
        print(x.grad)
    x.requires_grad_(False)
    del sink, y, root
    (x.requires_grad_() * 2).sum().backward()
    print(x.grad)
    for change in (lambda t: t.add_(1), lambda t: setattr(t, "data", torch.zeros(2) + 4)):
        x = torch.ones(2, requires_grad=True)
        y = x * 3
        change(x.requires_grad_(False))
        x.requires_grad_(True)
        (x.view(2) * x + y).sum().backward()
        print(x, x.grad)
    """
    )
