"""Hooks of every kind, their order, and what they may return: the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import SQUARE, assert_same

PROGRAMS = {
    "that_write_to_what_they_are_given": """
        def leaves():
            x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
            return x, y, x * 1, y * 1

        def write(grad):
            grad.mul_(3)

        def run(c, *tensors, **options):
            (c * 2).sum().backward(**options)
            print(*[each.grad for each in tensors])

        class Writing(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, grad):
                return grad.mul_(7)

        x, y, a, b = leaves()
        b.register_hook(write)
        run(a + b, x, y)  # the first that runs
        x, y, a, b = leaves()
        a.register_hook(write)
        run(a + b, x, y)  # the last
        x, y, a, b = leaves()
        y.register_hook(write)
        run(a + b, x, y)  # of a leaf
        x, y, a, b = leaves()
        c, same = a + b, []
        c.grad_fn.register_hook(lambda inputs, outputs: same.append(inputs[0] is inputs[1]) or write(inputs[0]))
        run(c, x, y)
        print(same)
        x, y, a, b = leaves()
        c = a + b
        c.grad_fn.register_prehook(lambda outputs: write(outputs[0]))
        run(c, x, y)
        x, y, a, b = leaves()
        run(a + Writing.apply(y), x, y)
        x, y, a, b = leaves()
        first = Writing.apply(y)
        run(x * 1 + first, x, y)
        x, y, a, b = leaves()
        c, seen = a + b, []
        b.register_hook(seen.append)
        a.register_hook(lambda grad: seen.append(grad) or write(grad))
        run(c, x, y)
        print(seen, seen[0] is seen[1])
        x, y, a, b = leaves()
        b.register_hook(write)
        c = (a + b) * 2
        print(torch.autograd.grad(c, (a, b, x, y), torch.ones(2)))
        x, y, a, b = leaves()
        b.register_hook(write)
        given = torch.ones(2)
        (a + b).backward(given)
        print(x.grad, y.grad, given)
        m = torch.ones(2, 2, requires_grad=True)
        a, b = (m * 1).unbind()
        c = m * 1
        b.register_hook(write)
        run(c[0] + a + b, m)
    """,
    "of_inputs_without_a_gradient": """
        class Both(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                return a * 1, b * 1

            @staticmethod
            def backward(ctx, g, h):
                return g, h

        x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.5, 3.0])
        for take in (0, 1):
            made = Both.apply(x, y)
            made[0].grad_fn.register_hook(lambda grads, arrived: print(grads, arrived))
            made[take].sum().backward()
            print(x.grad, y.grad)

        class Product(torch.nn.Module):
            def forward(self, a, b, c):
                return a * b * c

        product = Product()
        product.register_full_backward_hook(lambda module, inputs, outputs: print(inputs, outputs))
        product(x, y, torch.arange(2)).sum().backward()
        product(x, y, torch.arange(2.0, requires_grad=True)).sum().backward()
    """,
    "of_modules_in_a_second_derivative": """
        x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.5, 3.0])
        loss = torch.nn.MSELoss()
        loss.register_full_backward_hook(lambda module, inputs, outputs: print([each.tolist() for each in inputs]))
        (g,) = torch.autograd.grad(loss(x, y), x, create_graph=True)
        print(torch.autograd.grad((g * g).sum(), x))
    """,
    "registered_by_an_unpack_hook": """
        log = []

        def unpack(value):
            node = torch._C._current_autograd_node()

            def halve(grads, arrived):
                log.append((node.name(), arrived))
                return tuple(None if each is None else each / 2 for each in grads)

            node.register_hook(halve)
            return value

        x = torch.ones(2, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda value: value, unpack):
            (x * torch.tensor([2.0, 3.0])).sum().backward()
        print(x.grad, log)
        x.grad, log[:] = None, []
        with torch.autograd.graph.saved_tensors_hooks(lambda value: value, unpack):
            variance, mean = torch.var_mean(x * 1.0, dim=0)
            (variance + mean).backward()
        print(x.grad, log)
        x.grad, log[:] = None, []

        with torch.autograd.graph.saved_tensors_hooks(lambda value: value, unpack):
            y = Square.apply(x).sum()
        y.backward()
        print(x.grad, log)
        x.grad, log[:] = None, []
        z = x.exp()
        z.grad_fn._raw_saved_result.register_hooks(lambda value: value, unpack)
        z.sum().backward()
        print(x.grad, log)
    """,
    "who_will_run": """
        will_run = torch._C._will_engine_execute_node
        a = torch.ones(2, requires_grad=True)
        b = torch.ones(2, requires_grad=True)
        c = a * b
        d = c.cos()
        leaf_a, leaf_b = (each for each, _ in c.grad_fn.next_functions)
        nodes = [leaf_a, leaf_b, c.grad_fn, d.grad_fn]
        out = (c * 2).sum()
        c.register_hook(lambda grad: print([will_run(each) for each in nodes]))
        out.backward(retain_graph=True)
        out.backward(inputs=[a], retain_graph=True)
        attempt(lambda: torch.autograd.grad(out, a, retain_graph=True))
        attempt(will_run, out.grad_fn)
        attempt(will_run, out)
    """,
    "what_a_hook_may_not_give": """
        def run(register):
            a = torch.ones(2, requires_grad=True)
            b = a * 2
            register(a, b)
            (b * 3).sum().backward()
            return a.grad

        for change in (
            lambda g: g.to(torch.complex64), lambda g: g.to("meta"), lambda g: g > 0, lambda g: g.bfloat16(),
            lambda g: g.half(), lambda g: g.to_sparse(), lambda g: torch.ones(2, 1), lambda g: torch.ones(()),
        ):
            attempt(run, lambda a, b: a.register_hook(change))
            attempt(run, lambda a, b: b.register_hook(change))
            attempt(run, lambda a, b: b.grad_fn.register_prehook(lambda grads: (change(grads[0]),)))
        for given in (lambda p: p, lambda p: torch.ones(2), lambda p: p.double(), lambda p: (p,)):
            attempt(run, lambda a, b: a.register_post_accumulate_grad_hook(given))
    """,
    "hooks_stay_when_the_graph_goes": """
        calls, x = [], torch.ones(2, requires_grad=True)
        y = x * 2
        handle = y.register_hook(lambda g: calls.append(1))
        y.register_hook(lambda g: calls.append(2))
        z = y * 3
        y.retain_grad()
        y.detach_()
        print(len(y._backward_hooks), y.retains_grad, y.grad_fn)
        attempt(y.register_hook, print)
        z.sum().backward()
        handle.remove()
        y.requires_grad_().register_hook(lambda g: calls.append(3))
        (y * 3).sum().backward()
        print(calls, y.grad, len(y._backward_hooks))
        leaf = torch.ones(2, requires_grad=True)
        leaf.register_hook(lambda g: calls.append(4))
        leaf.register_post_accumulate_grad_hook(lambda p: calls.append(5))
        leaf.detach_()
        print(len(leaf._backward_hooks), len(leaf._post_accumulate_grad_hooks))
        leaf.requires_grad_()
        leaf.sum().backward()
        print(calls)
        one, other = (x * 2).unbind()
        w = x * 1
        w.grad_fn.register_prehook(lambda grads: calls.append(6))
        w.register_hook(lambda g: calls.append(7))
        w.detach_().requires_grad_().sum().backward()
        print(calls)
    """,
    "handles": """
        x = torch.ones(2, requires_grad=True)
        h = x.register_hook(lambda g: print("a", g))
        h2 = x.register_hook(lambda g: print("b", g))
        print(type(h).__name__, isinstance(h.id, int), h2.id > h.id)
        (x * 2).sum().backward()
        h.remove()
        h.remove()
        (x * 2).sum().backward()
        with x.register_hook(lambda g: print("with", g)) as hh:
            (x * 2).sum().backward()
            print(hh is not None)
        (x * 2).sum().backward()
    """,
    "hook_refusals": """
        x = torch.ones(2)
        attempt(x.register_hook, print)
        attempt(x.register_post_accumulate_grad_hook, print)
        x.requires_grad_()
        y = x * 2
        attempt(y.register_post_accumulate_grad_hook, print)
        attempt(x.register_hook, 3)
        attempt(x.register_hook, None)
        attempt(y.grad_fn.register_hook, None)
        attempt(x.retain_grad)
        print(x.retains_grad, y.retains_grad)
        y.retain_grad()
        y.retain_grad()
        print(y.retains_grad)
        y.sum().backward()
        print(y.grad)
    """,
    "hook_order": """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        z = y * 3
        log = []

        def t(name):
            def hook(*args):
                log.append(name)

            return hook

        z.register_hook(t("z tensor 1"))
        z.grad_fn.register_prehook(t("z pre"))
        z.register_hook(t("z tensor 2"))
        z.grad_fn.register_hook(t("z post"))
        y.register_hook(t("y tensor"))
        y.retain_grad()
        y.grad_fn.register_hook(t("y post"))
        y.grad_fn.register_prehook(t("y pre"))
        x.register_hook(t("x tensor"))
        acc = y.grad_fn.next_functions[0][0]
        acc.register_prehook(t("acc pre"))
        acc.register_hook(t("acc post"))
        x.register_post_accumulate_grad_hook(t("post accumulate"))
        z.sum().backward()
        print("\n".join(log))
    """,
    "hook_changes_chain": """
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: g * 2)
        y.register_hook(lambda g: g + 1)
        y.retain_grad()
        y.register_hook(lambda g: g * 10)
        y.sum().backward()
        print(y.grad, x.grad)
    """,
    "hook_removed_while_running": """
        x = torch.ones(2, requires_grad=True)
        handles = []

        def once(g):
            print("once")
            handles[0].remove()

        handles.append(x.register_hook(once))
        x.register_hook(lambda g: print("second"))
        (x * 2).sum().backward()
        (x * 2).sum().backward()
    """,
    "hook_added_while_running": """
        x = torch.ones(2, requires_grad=True)

        def add(g):
            print("adding")
            x.register_hook(lambda g: print("added"))

        h = x.register_hook(add)
        (x * 2).sum().backward()
        h.remove()
        (x * 2).sum().backward()
    """,
    "hook_on_dropped_tensor": """
        x = torch.ones(2, requires_grad=True)

        def make():
            y = x * 2
            y.register_hook(lambda g: print("alive", g))
            return y * 3

        make().sum().backward()
    """,
    "post_accumulate": """
        x = torch.ones(2, requires_grad=True)

        def free(p):
            print(p is x, p.grad)
            p.grad = None

        h = x.register_post_accumulate_grad_hook(free)
        (x * 2).sum().backward()
        print(x.grad)
        torch.autograd.grad((x * 2).sum(), x)
        print("no call")
        h.remove()
        (x * 2).sum().backward()
        print(x.grad)

        def bad(p):
            raise ValueError("bad")

        x.register_post_accumulate_grad_hook(bad)
        attempt((x * 2).sum().backward)
        x = torch.ones(2, requires_grad=True)
        x.register_post_accumulate_grad_hook(lambda p: 5)
        attempt((x * 2).sum().backward)
        print(x.grad)
    """,
    "post_accumulate_twice_used": """
        x = torch.ones(2, requires_grad=True)
        x.register_post_accumulate_grad_hook(lambda p: print("once", p.grad))
        (x * 2 + x * 3).sum().backward()
    """,
    "accumulate_replaced_by_hooks": """
        x = torch.ones(2, requires_grad=True)
        acc = (x * 2).grad_fn.next_functions[0][0]
        acc.register_prehook(lambda gs: (gs[0] * 5,))
        acc.register_hook(lambda gi, go: print(gi, go))
        (x * 2).sum().backward()
        print(x.grad)
        attempt(lambda: acc.register_hook(lambda gi, go: (torch.ones(2),)))
        attempt((x * 2).sum().backward)
    """,
    "multi_grad": """
        a = torch.ones(2, requires_grad=True)
        b = torch.ones(2, requires_grad=True)
        c = torch.ones(2, requires_grad=True)
        R = torch.autograd.graph.register_multi_grad_hook
        h = R((a, b, c), lambda gs: print("all", gs))
        print(type(h).__name__)
        (a * b).sum().backward()
        (a * b * c).sum().backward()
        (c * 2).sum().backward()
        h.remove()
        (a * b).sum().backward()
        h = R([a, b], lambda g: print("any", g), mode="any")
        (a * b).sum().backward()
        (b * 2).sum().backward()
        h.remove()
        attempt(R, (a,), print, mode="some")
        attempt(R, (torch.ones(2),), print)
        x = a * 2
        y = x * 3
        with R((x, y), lambda gs: print("inner", gs)):
            y.sum().backward(retain_graph=True)
        y.sum().backward()
        R((a, a), lambda gs: print("twice", gs))
        (a * 1).sum().backward()
    """,
    "multi_grad_unrelated_pass": """
        a = torch.ones(2, requires_grad=True)
        b = torch.ones(2, requires_grad=True)
        y = a * 2
        z = b * 2
        torch.autograd.graph.register_multi_grad_hook((y, z), lambda gs: print(gs))
        (y * 1).sum().backward(retain_graph=True)
        (y + z).sum().backward(retain_graph=True)
    """,
    "saved_hooks": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        S = torch.autograd.graph.saved_tensors_hooks
        log = []
        with S(lambda t: (log.append("pack"), t)[1], lambda t: (log.append("unpack"), t)[1]):
            y = x * x
            z = y.exp() + 1
            w = z.sum()
        print(log)
        w.backward(retain_graph=True)
        print(log)
        w.backward()
        print(log, x.grad)
    """,
    "saved_hooks_nested": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        S = torch.autograd.graph.saved_tensors_hooks
        with S(lambda t: t * 10, lambda t: t / 10):
            with S(lambda t: t + 5, lambda t: t - 5):
                a = x.exp()
            b = x.exp()
        c = x.exp()
        print(a.grad_fn._saved_result, b.grad_fn._saved_result)
        (a + b + c).sum().backward()
        print(x.grad)
    """,
    "saved_hooks_bad": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        S = torch.autograd.graph.saved_tensors_hooks

        def run(pack, unpack):
            with S(pack, unpack):
                y = x * x
            y.sum().backward()
            return x.grad

        attempt(run, lambda t: 5, lambda v: v)
        attempt(run, lambda t: t, lambda v: None)
        attempt(run, lambda t: t, lambda v: torch.ones(3))
        attempt(run, lambda t: t, lambda v: v.double())

        def fail(t):
            raise ValueError("pack")

        attempt(run, fail, lambda v: v)
        attempt(run, lambda t: t, fail)
        attempt(run, 3, 4)
        attempt(run, lambda: 3, lambda v: v)
        print(x.grad)
    """,
    "saved_hooks_what_is_packed": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        w = torch.tensor([3.0, 4.0])

        def pack(t):
            print(t, t.grad_fn, t.is_leaf, t is x, t is w)
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            y = x * w
            z = y * y
            u = z.exp()
            v = u * 2
            r = v.sum()
            q = x @ w
            t = torch.where(x > 1, x, w)
            m = x.max()
    """,
    "saved_hooks_in_place_and_functions": """
        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                out = x * y
                ctx.save_for_backward(x, y, out, None)
                return out

            @staticmethod
            def backward(ctx, g):
                x, y, out, n = ctx.saved_tensors
                print(n)
                return g * y, g * x

        x = torch.tensor([1.0, 2.0], requires_grad=True)
        w = torch.tensor([3.0, 4.0])
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: (print("pack", t.tolist()), t.clone())[1], lambda t: (print("unpack", t.tolist()), t)[1]
        ):
            y = F.apply(x, w)
            y.mul_(w)
        y.sum().backward()
        print(x.grad)
    """,
    "save_on_cpu_of_sparse": """
        x = torch.eye(2).to_sparse().requires_grad_()
        with torch.autograd.graph.save_on_cpu():
            y = x * x
        print(y.grad_fn._saved_self.layout)
        y.to_dense().sum().backward()
        print(x.grad.to_dense())
    """,
    "save_on_cpu": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        with torch.autograd.graph.save_on_cpu():
            y = x * x
            z = y.exp()
        z.sum().backward()
        print(x.grad)
        with torch.autograd.graph.save_on_cpu(pin_memory=False):
            y = x * x
        print(y.grad_fn._saved_self)
    """,
    "disable_hooks": """
        D = torch.autograd.graph.disable_saved_tensors_hooks
        S = torch.autograd.graph.saved_tensors_hooks
        x = torch.tensor([1.0, 2.0], requires_grad=True)

        def a():
            with D("nope"):
                with S(lambda t: t, lambda t: t):
                    pass

        def b():
            with S(lambda t: t, lambda t: t):
                with D("nope"):
                    pass

        def c():
            with D("outer"):
                with D("inner"):
                    with S(lambda t: t, lambda t: t):
                        pass

        def d():
            with D("outer"):
                with D("inner"):
                    pass
                with S(lambda t: t, lambda t: t):
                    pass

        for f in (a, b, c, d):
            attempt(f)
        with S(lambda t: t, lambda t: t):
            y = x * x
        y.sum().backward()
        print(x.grad)
    """,
    "hooks_with_views_and_in_place": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        y.register_hook(lambda g: print("y1", g))
        y[:2].mul_(3)
        y.register_hook(lambda g: print("y2", g))
        v = y[1:]
        v.register_hook(lambda g: print("v1", g))
        v.add_(1)
        v.register_hook(lambda g: print("v2", g))
        y.sum().backward(retain_graph=True)
        v.sum().backward()
        print(x.grad)
    """,
    "hook_on_multi_output": """
        x = torch.arange(4.0, requires_grad=True)
        a, b = (x * 1).split(2)
        a.register_hook(lambda g: g * 10)
        a.retain_grad()
        b.retain_grad()
        (a.sum() + 2 * b.sum()).backward()
        print(a.grad, b.grad, x.grad)
        m = x.max(0)
        m.values.register_hook(lambda g: print("max", g))
        m.values.backward()
    """,
    "hook_gradient_identity": """
        x = torch.ones(2, requires_grad=True)
        seen = []
        y = x * 2
        y.register_hook(seen.append)
        y.register_hook(seen.append)
        y.sum().backward()
        print(seen[0] is seen[1], seen[0].requires_grad, seen[0].grad_fn)
        seen.clear()
        y = x * 2
        y.register_hook(seen.append)
        torch.autograd.grad(y.pow(2).sum(), x, create_graph=True)
        print(seen[0].requires_grad, seen[0].grad_fn)
    """,
    "post_accumulate_returns": """
        for r in (torch.ones(2) * 7, torch.ones(3), (torch.ones(2),), False):
            x = torch.ones(2, requires_grad=True)
            x.register_post_accumulate_grad_hook(lambda p: r)
            attempt((x * 2).sum().backward)
            print(x.grad)
    """,
    "of_a_tensor_asked_for": """
        for asked in (lambda x, y: [y], lambda x, y: [y, x], lambda x, y: [x]):
            x = torch.tensor([1.0, 2.0], requires_grad=True)
            w = torch.tensor([3.0, 4.0], requires_grad=True)
            for y in (x * w, x * 2, x.exp()):
                y.register_hook(lambda g: print("tensor", g))
                y.grad_fn.register_prehook(lambda gs: print("pre", gs))
                y.grad_fn.register_hook(lambda gi, go: print("post", gi, go))
                z = (y * 2).sum()
                print(torch.autograd.grad(z, asked(x, y), retain_graph=True))
                z.backward(inputs=asked(x, y))
                print(y.retains_grad and y.grad, x.grad)
                attempt(lambda: (y * 3).sum().backward(inputs=asked(x, y)))
    """,
    "of_a_function_asked_for": """
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * x

            @staticmethod
            def backward(ctx, grad):
                print("runs")
                return grad

        x = torch.ones(2, requires_grad=True)
        y = Square.apply(x)
        print(torch.autograd.grad(y.sum(), y, retain_graph=True))
        y.sum().backward(inputs=[y], retain_graph=True)
        print(y.grad, x.grad)
    """,
    "packed_memory_is_the_tensors": """
        packed = []
        for pack in (lambda t: t, lambda t: t.view(-1), lambda t: packed.append(t) or t):
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
                x = torch.ones(3, requires_grad=True)
                a = x * 2
                y = a * a
                e = a.exp()
                v = a[1:]
                w = v * v
                b = a.clone().mul_(a)
                q = Square.apply(a)
            with torch.no_grad():
                a.mul_(5)
                e.mul_(2)
            for each in (y, e, w, b, q):
                print(torch.autograd.grad(each.sum(), x, retain_graph=True))
        print([t.tolist() for t in packed], [t._version for t in packed])
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name], given=SQUARE)


def test_inputs_are_packed_before_results_each_by_their_names() -> None:
    assert_same(
        """
        def packed(call):
            seen = []
            def pack(tensor):
                seen.append((tuple(tensor.shape), str(tensor.dtype)))
                return tensor
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
                call()
            print(seen)

        def leaf(*shape):
            return torch.rand(shape, dtype=torch.float64, requires_grad=True)

        packed(lambda: torch.addmm(leaf(2, 4), leaf(2, 3), leaf(3, 4)))
        packed(lambda: torch.baddbmm(leaf(1, 2, 4), leaf(1, 2, 3), leaf(1, 3, 4)))
        packed(lambda: leaf(2, 3).mv(leaf(3)))
        packed(lambda: torch.addr(leaf(2, 3), leaf(2), leaf(3)))
        packed(lambda: leaf(2, 3) @ leaf(3, 4))
        packed(lambda: F.linear(leaf(2, 3), leaf(4, 3), leaf(4)))
        packed(lambda: F.conv1d(leaf(1, 2, 5), leaf(3, 2, 2)))
        packed(lambda: F.conv_transpose1d(leaf(1, 2, 5), leaf(2, 3, 2)))
        packed(lambda: F.layer_norm(leaf(2, 3, 4), (3, 4), leaf(3, 4), leaf(3, 4)))
        packed(lambda: leaf(2, 3).cummax(1))
        packed(lambda: torch.linalg.svd(leaf(3, 2), False))
        packed(lambda: torch.linalg.eig(leaf(3, 3)))
        packed(lambda: leaf(4, 3).scatter_reduce(0, torch.zeros(2, 3, dtype=torch.int64), leaf(2, 3), "prod"))
        packed(lambda: torch.logaddexp(leaf(2), leaf(1)))
        packed(lambda: torch.where(leaf(2) > 0, leaf(2), leaf(1)) * leaf(3, 1))
        packed(lambda: leaf(2, 3).norm(3, 1))
        """
    )


def test_a_retained_gradient_is_nobody_else_s(backend: str) -> None:
    assert_same("""
        x = torch.ones(3, requires_grad=True)
        y, g = x * 2, torch.ones(3)
        y.retain_grad()
        y.backward(g, retain_graph=True)
        y.grad.zero_()
        x.grad = None
        y.backward(g)
        print(x.grad, g)
        h = x * 2
        o = h + 0
        h.retain_grad(), o.retain_grad()
        o.sum().backward()
        h.grad.clamp_(max=0.5)
        print(o.grad, o.grad.stride())
        y, a = x * 2, torch.ones(3)
        y.backward(a, inputs=[y])
        y.grad.mul_(9)
        print(a)
        y, kept = x + 0, []
        y.retain_grad()
        y.register_hook(lambda g: kept.append(g))
        (y * 2).sum().backward()
        y.grad.mul_(5)
        print(kept)
        y = x * x
        y.retain_grad()
        (y * y).sum().backward(create_graph=True)
        print(y.grad, torch.autograd.grad(y.grad.sum(), x))
    """)
