"""backward and grad with every argument they take, right and wrong: the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd

PROGRAMS = {
    "backward_arguments": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        for args, kw in (
            ((), {}),
            ((torch.ones(3),), {}),
            ((torch.ones(2, 1),), {}),
            ((torch.ones(()),), {}),
            ((1.0,), {}),
            (("a",), {}),
            (([1.0, 2.0],), {}),
            ((torch.ones(2, dtype=torch.float64),), {}),
            ((torch.ones(2, dtype=torch.int64),), {}),
            ((torch.ones(2, dtype=torch.complex64),), {}),
            ((None,), {}),
            ((torch.ones(2),), {"inputs": []}),
            ((torch.ones(2),), {"inputs": [torch.ones(2)]}),
            ((torch.ones(2),), {"inputs": [3]}),
            ((torch.ones(2),), {"inputs": "a"}),
            ((torch.ones(2),), {"inputs": x}),
            ((torch.ones(2),), {"inputs": (x,)}),
            ((torch.ones(2),), {"inputs": [x, x]}),
            ((torch.ones(2),), {"inputs": {"x": x}}),
            ((torch.ones(2),), {"retain_graph": True}),
            ((torch.ones(2),), {"create_graph": True}),
        ):
            y = x * x
            x.grad = None
            attempt(y.backward, *args, **kw)
            print(x.grad)
    """,
    "autograd_backward_arguments": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        B = torch.autograd.backward
        for args, kw in (
            ((x.sum(),), {}),
            (((x.sum(), x.sum()),), {}),
            (([x * 1, x * 2], [torch.ones(2), None]), {}),
            (([x * 1, x * 2], [torch.ones(2)]), {}),
            (([x * 1],), {}),
            (([x * 1], torch.ones(2)), {}),
            ((x * 1, [torch.ones(2)]), {}),
            (((x * 1,), (torch.ones(2),)), {}),
            (([],), {}),
            (((),), {}),
            ((None,), {}),
            ((3,), {}),
            (([x.sum(), 3],), {}),
            (([x.sum(), None],), {}),
            (([x.sum()], [None, None]), {}),
            (([x.sum()],), {"grad_variables": [torch.tensor(2.0)]}),
            (([x.sum()], [torch.tensor(1.0)]), {"grad_variables": [torch.tensor(2.0)]}),
            ((x.sum(),), {"inputs": [x]}),
            ((torch.ones(2).sum(),), {}),
            (([torch.ones(2), x.sum()],), {}),
            (([x.sum(), torch.ones(2)], [None, torch.ones(2)]), {}),
            ((x.sum(), torch.tensor(2.0)), {}),
            ((x.sum(), [torch.tensor(2.0)], True, False), {}),
            ((x.sum().to(torch.complex64),), {}),
        ):
            x.grad = None
            attempt(B, *args, **kw)
            print(x.grad)
    """,
    "grad_arguments": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        w = torch.tensor([3.0, 4.0], requires_grad=True)
        G = torch.autograd.grad
        for args, kw in (
            ((x.sum(), x), {}),
            ((x.sum(), [x]), {}),
            ((x.sum(), (x, w)), {}),
            ((x.sum(), (x, w)), {"allow_unused": True}),
            ((x.sum(), (x, w)), {"materialize_grads": True}),
            ((x.sum(), (x, w)), {"materialize_grads": True, "allow_unused": False}),
            ((x.sum(), (x, w)), {"materialize_grads": True, "allow_unused": True}),
            ((x.sum(), []), {}),
            ((x.sum(), ()), {}),
            ((x.sum(), torch.ones(2)), {}),
            ((x.sum(), [x, torch.ones(2)]), {"allow_unused": True}),
            ((x.sum(), 3), {}),
            ((x.sum(), [3]), {}),
            ((x.sum(), None), {}),
            (([x.sum(), w.sum()], [x, w]), {}),
            ((x * 1, x), {}),
            ((x * 1, x, torch.ones(2)), {}),
            ((x * 1, x, torch.ones(3)), {}),
            (((x * 1).sum(), x, 2.0), {}),
            (([x * 1, w * 2], [x, w], [torch.ones(2), torch.ones(2)]), {}),
            (([x * 1, w * 2], [x, w], [torch.ones(2)]), {}),
            ((torch.ones(2).sum(), x), {}),
            ((x.sum(), {"a": x, "b": w}), {"allow_unused": True}),
            ((x.sum(), {"a": x, "b": w}), {}),
            ((x.sum(), x), {"only_inputs": False}),
            ((x.sum(), [x, x]), {}),
            (([], [x]), {}),
            ((x.sum(), x, None, None, False, True, None, False, False), {}),
        ):
            attempt(G, *args, **kw)
        print(x.grad, w.grad)
        print(G((x * 1).sum(), w, materialize_grads=True, create_graph=True, allow_unused=True))
    """,
    "batched": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        w = torch.tensor([3.0, 4.0], requires_grad=True)
        G = torch.autograd.grad
        for args, kw in (
            ((x.sum(), x), {}),
            ((x * 1, x), {"grad_outputs": torch.eye(2)}),
            ((x * 1, x), {"grad_outputs": torch.ones(3, 3)}),
            ((x * 1, x), {"grad_outputs": torch.ones(2)}),
            (((x * w), (x, w)), {"grad_outputs": torch.eye(2)}),
            ((x * x, x), {"grad_outputs": torch.eye(2), "create_graph": True}),
            (((x * w, x), (x, w)), {"grad_outputs": (torch.eye(2), torch.ones(2, 2))}),
            ((x.sum(), (x, w)), {"grad_outputs": torch.ones(3), "allow_unused": True}),
            ((x.sum(), (x, w)), {"grad_outputs": torch.ones(3)}),
            ((x * 1, (x, w)), {"grad_outputs": torch.eye(2), "materialize_grads": True}),
            (((x * w).exp().sum(0, True) @ torch.ones(1), (x, w)), {"grad_outputs": torch.arange(3.0)}),
        ):
            attempt(G, *args, is_grads_batched=True, **kw)
        print(x.grad, w.grad)
    """,
    "grad_of_non_leaf_and_same": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        a = x * 2
        b = a * a
        c = b.sum()
        print(torch.autograd.grad(c, [a, b, x], retain_graph=True))
        print(torch.autograd.grad(c, c, retain_graph=True))
        print(torch.autograd.grad([b, c], [a, b], [torch.ones(2), None], retain_graph=True))
        print(torch.autograd.grad(b, b, torch.ones(2), retain_graph=True))
        print(torch.autograd.grad(c, x))
        attempt(torch.autograd.grad, c, x)
    """,
    "grad_views_of_inputs": """
        x = torch.arange(4.0, requires_grad=True)
        v = x[:2]
        attempt(torch.autograd.grad, (x * x).sum(), v)
        print(torch.autograd.grad((v * v).sum(), v))
        u = x * 1
        w = u[1:]
        w.mul_(3)
        print(torch.autograd.grad(u.sum(), [u], retain_graph=True))
        attempt(torch.autograd.grad, u.sum(), [w])
    """,
    "retain_and_create": """
        x = torch.tensor(2.0, requires_grad=True)
        y = x**3
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        (g2,) = torch.autograd.grad(g, x, retain_graph=True)
        print(g, g2, g2.requires_grad)
        y = x**3
        y.backward(create_graph=True, retain_graph=False)
        attempt(y.backward)
        y = x**3
        (g,) = torch.autograd.grad(y, x, create_graph=True, retain_graph=False)
        attempt(lambda: torch.autograd.grad(g, x))
    """,
    "edges": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        w = torch.tensor([1.0, 2.0], requires_grad=True)
        E = torch.autograd.graph.get_gradient_edge
        y = x * w
        z = y.sum()
        print(torch.autograd.grad(E(z), [E(x), E(y), w], torch.tensor(1.0), retain_graph=True))
        print(torch.autograd.grad(E(z), x, retain_graph=True))
        attempt(torch.autograd.grad, E(y), x, retain_graph=True)
        attempt(torch.autograd.grad, E(y), x, torch.ones(3), retain_graph=True)
        torch.autograd.backward(E(z), retain_graph=True)
        print(x.grad, w.grad)
        torch.autograd.backward(E(z), torch.tensor(2.0), inputs=[E(x)], retain_graph=True)
        print(x.grad, w.grad)
        torch.autograd.backward([E(z), z], [torch.tensor(1.0), None], retain_graph=True)
        print(x.grad, w.grad)
        attempt(E, torch.ones(2))
        a, b = x.split(1)
        e = E(b)
        print(e.output_nr, type(e.node).__name__, e)
        attempt(torch.autograd.grad, z, [E(x), E(torch.ones(2, requires_grad=True))], retain_graph=True)
        print(torch.autograd.grad(z, E(x), materialize_grads=True, retain_graph=True))
        attempt(torch.autograd.grad, z, E(torch.ones(2, requires_grad=True)), materialize_grads=True)
        print(E(x) == E(x), E(x).node is E(x).node)
    """,
    "inputs_effects": """
        x = torch.tensor(2.0, requires_grad=True)
        w = torch.tensor(3.0, requires_grad=True)
        a = x * w
        b = a * a
        x.register_hook(lambda g: print("x hook", g))
        a.register_hook(lambda g: print("a hook", g))
        w.register_post_accumulate_grad_hook(lambda p: print("post", p.grad))
        b.backward(inputs=[w], retain_graph=True)
        print(x.grad, w.grad)
        b.backward(inputs=[a, w], retain_graph=True)
        print(x.grad, w.grad, a.grad)
        torch.autograd.grad(b, [w], retain_graph=True)
        torch.autograd.grad(b, [a], retain_graph=True)
        b.backward()
        print(x.grad, w.grad)
    """,
    "grad_mode_in_backward": """
        x = torch.tensor(2.0, requires_grad=True)
        y = x * x
        y.register_hook(lambda g: print(torch.is_grad_enabled(), g.requires_grad))
        y.backward(retain_graph=True)
        torch.autograd.grad(y, x, create_graph=True)
        with torch.no_grad():
            y.backward(retain_graph=True)
            print(torch.is_grad_enabled())
        print(x.grad)
        with torch.inference_mode():
            attempt(y.backward)
            attempt(torch.autograd.grad, y, x)
    """,
    "backward_in_backward": """
        class Re(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                with torch.enable_grad():
                    z = x.detach().requires_grad_()
                    (z**3).sum().backward()
                return g * z.grad

        x = torch.tensor([1.0, 2.0], requires_grad=True)
        Re.apply(x).sum().backward()
        print(x.grad)
        h = torch.tensor(1.0, requires_grad=True)
        t = torch.tensor([1.0, 2.0], requires_grad=True)
        u = t * 2
        u.register_hook(lambda g: (h * 5).backward())
        u.sum().backward()
        print(h.grad, t.grad)
    """,
    "exception_in_backward": """
        x = torch.tensor([1.0, 2.0], requires_grad=True)

        def bad(g):
            raise ValueError("no")

        y = x * 2
        y.register_hook(bad)
        attempt(y.sum().backward)
        print(x.grad, torch.is_grad_enabled())

        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, g):
                raise KeyError("no")

        z = F.apply(x).sum()
        attempt(z.backward)
        attempt(z.backward)
        print((x * 2).requires_grad, x.grad)
    """,
    "result_types": """
        x = torch.ones(2, requires_grad=True)
        i = torch.ones(2, dtype=torch.float64)
        y = (x * i).sum()
        print(y.dtype)
        y.backward()
        print(x.grad.dtype)
        h = torch.ones(2, dtype=torch.float16, requires_grad=True)
        (h * x).sum().backward()
        print(h.grad, x.grad)
        c = torch.ones(2, dtype=torch.complex64, requires_grad=True)
        attempt((c * 2).sum().backward)
        (c * c.conj()).real.sum().backward()
        print(c.grad)
        (c.abs() * x).sum().backward()
        print(c.grad, x.grad)
        x.to(torch.complex64).sum().abs().backward()
        print(x.grad)
    """,
    "leaf_root": """
        x = torch.tensor(2.0, requires_grad=True)
        x.backward()
        print(x.grad)
        x.backward(torch.tensor(3.0))
        print(x.grad)
        print(torch.autograd.grad(x, x))
        print(torch.autograd.grad(x, x, torch.tensor(5.0), create_graph=True))
        g = torch.tensor(7.0, requires_grad=True)
        print(torch.autograd.grad(x * 2, x, g, create_graph=True))
        x.grad = None
        (x * 2).backward(g, create_graph=True)
        print(x.grad)
    """,
    "zero_dim_and_empty": """
        x = torch.ones(0, requires_grad=True)
        x.sum().backward()
        print(x.grad)
        (x * 2).backward(torch.ones(0))
        print(x.grad)
        attempt((x * 2).backward)
        y = torch.ones(1, 1, requires_grad=True)
        (y * 2).backward()
        print(y.grad)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_batched_gradients_are_given_for_every_root() -> None:
    assert_same(
        """
    x = torch.tensor([1., 2.], requires_grad=True)
    attempt(torch.autograd.grad, ((x * x).sum(), x * 3), x, (None, torch.eye(2)), is_grads_batched=True)
    attempt(torch.autograd.grad, (x * x, x * 3), x, (torch.eye(2), torch.eye(2)), is_grads_batched=True)
    """
    )


def test_the_old_name_of_gradients_is_warned_of() -> None:
    x = retrograd.ones(2, requires_grad=True)
    with pytest.warns(FutureWarning, match="^`grad_variables` is deprecated. Use `grad_tensors` instead.$"):
        retrograd.autograd.backward(x * 2, grad_variables=retrograd.ones(2))
    assert x.grad.tolist() == [2, 2]
