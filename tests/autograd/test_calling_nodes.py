"""Nodes called by themselves, and what the nodes of custom Functions show."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.autograd import Function
from retrograd.autograd.function import BackwardCFunction
from retrograd.autograd.graph import Node

_SETUP = """
x, y = torch.tensor([1., 2.], requires_grad=True), torch.tensor([3., 4.], requires_grad=True)
g = torch.ones(2)
node = (x * y).grad_fn
"""

CALLS = (
    "node(g)", "(node(g), node(g))", "node(None)", "node()", "node(g, g)", "node(3.)", "node(grad=g)",
    "(x * 2).grad_fn(g)", "(x * x).grad_fn(g)", "x.sum().grad_fn(torch.tensor(2.))", "(x + y[:1]).grad_fn(g)",
    "(x.double() * y).grad_fn(g.double())", "x.split(1)[0].grad_fn(torch.ones(1), None)",
    "x.split(1)[0].grad_fn(torch.ones(1))", "[each.requires_grad for each in node(g.clone().requires_grad_())]",
    "node(torch.ones(3))", "x.view(2, 1).grad_fn(g[:, None])", "x.exp().grad_fn(g)",
    "(node.next_functions[0][0](g), node.next_functions[0][0](g), x.grad)",
    "x.clone().mul_(y).grad_fn(g)",
)  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_a_node_is_called_with_the_gradients_of_its_outputs(call: str) -> None:
    assert_same(_SETUP + f"attempt(lambda: {call})")
    assert_same(_SETUP + f"with torch.no_grad():\n    attempt(lambda: {call})")


def test_a_call_runs_no_hooks_and_frees_nothing() -> None:
    assert_same(
        _SETUP
        + """
product = x * y
product.retain_grad()
product.register_hook(lambda grad: print('tensor'))
before = product.grad_fn.register_prehook(lambda grads: print('before'))
after = product.grad_fn.register_hook(lambda grads, arrived: print('after'))
print(product.grad_fn(g), product.grad)
before.remove(), after.remove()
product.sum().backward()
attempt(lambda: product.grad_fn(g))
attempt(lambda: product.grad_fn._register_hook_dict(product))
"""
    )


def test_a_call_follows_the_backend(backend: str) -> None:
    x, y = retrograd.tensor([1.0, 2.0], requires_grad=True), retrograd.tensor([3.0, 4.0], requires_grad=True)
    dx, dy = (x * y).grad_fn(retrograd.ones(2))
    assert (dx.tolist(), dy.tolist()) == ([3.0, 4.0], [1.0, 2.0])
    (second,) = retrograd.autograd.grad(dx.sum(), y)  # gradient mode is on, so the call is recorded
    assert second.tolist() == [1.0, 1.0]
    assert x.grad is None


_FUNCTION = """
from importlib import import_module
fn = import_module(torch.__name__ + '.autograd.function')
class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, c):
        ctx.save_for_backward(a, b, c)
        print(len(ctx.to_save), ctx.dirty_tensors, ctx.non_differentiable, ctx.saved_for_forward)
        ctx.note = 3
        return a * b
    @staticmethod
    def backward(ctx, grad):
        a, b, _ = ctx.saved_tensors
        print(ctx.next_functions[0][0].name(), ctx.metadata, ctx.name(), ctx.requires_grad)
        return grad * b, grad * a, None
x, y = torch.tensor([1., 2.], requires_grad=True), torch.tensor([3., 4.], requires_grad=True)
out = Product.apply(x, y, None)
node = out.grad_fn
"""

SHOWN = (
    "isinstance(node, fn.BackwardCFunction), issubclass(type(node), fn.BackwardCFunction)",
    "isinstance((x * y).grad_fn, fn.BackwardCFunction)",
    "type(Product).__name__, isinstance(Product, fn.FunctionMeta)",
    "node._forward_cls is Product, Product._backward_cls is type(node)",
    "[each.data for each in node._raw_saved_tensors]",
    "node.to_save, node.dirty_tensors, node.non_differentiable, node.saved_for_forward, node.note",
    "node.apply(torch.ones(2))",
    "node.apply_jvp(torch.ones(2), None, None)",
    "node(torch.ones(2))",
    "node.missing",
    "[out.sum().backward(), node._raw_saved_tensors]",
    "node._raw_saved_tensors[2].register_hooks(lambda t: t, lambda t: t)",
)


@pytest.mark.parametrize("shown", SHOWN)
def test_the_node_of_a_function_shows_what_pytorchs_does(shown: str) -> None:
    assert_same(_FUNCTION + f"attempt(lambda: ({shown}))")


def test_what_a_function_has_saved_takes_hooks() -> None:
    assert_same(
        _FUNCTION
        + """
saved = node._raw_saved_tensors[0]
saved.register_hooks(lambda t: (print('packed', t), t * 10)[1], lambda t: (print('unpacked', t), t)[1])
attempt(lambda: saved.register_hooks(lambda t: t, lambda t: t))
out.sum().backward()
print(x.grad, y.grad)
"""
    )


def test_hooks_on_what_a_node_has_saved_see_it_outside_of_the_graph() -> None:
    assert_same(
        _SETUP
        + """
twice = x * 2
product, exponential = twice * y, twice.exp()
hooks = lambda t: (print(t), t)[1], lambda t: t
product.grad_fn._raw_saved_self.register_hooks(*hooks)
product.grad_fn._raw_saved_other.register_hooks(*hooks)
exponential.grad_fn._raw_saved_result.register_hooks(*hooks)
print(torch.autograd.grad((product + exponential).sum(), (x, y), create_graph=True))
"""
    )


def test_saved_hooks_of_a_function_on_every_backend(backend: str) -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):  # type: ignore[no-untyped-def]
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    x = retrograd.tensor([1.0, 2.0], requires_grad=True)
    out = Square.apply(x)
    assert isinstance(out.grad_fn, BackwardCFunction)
    assert isinstance(out.grad_fn, Node)
    out.grad_fn._raw_saved_tensors[0].register_hooks(lambda t: t.tolist(), retrograd.tensor)
    out.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_a_ctx_keeps_its_node(backend: str) -> None:
    assert_same("""
        kept = []

        class Product(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                out = a * b
                ctx.save_for_backward(a, out)
                kept.append(ctx)
                return out

            @staticmethod
            def backward(ctx, g):
                return g, g

        def show(ctx):
            for look in (
                lambda: ctx.saved_tensors, lambda: ctx.needs_input_grad, lambda: len(ctx._raw_saved_tensors),
                lambda: [(type(node).__name__, i) for node, i in ctx.next_functions], lambda: ctx.metadata,
                lambda: ctx.name(), lambda: ctx.saved_tensors[1].grad_fn.name(),
            ):
                attempt(look)

        x, y = torch.ones(2, requires_grad=True), torch.tensor([3.0, 4.0])
        Product.apply(x, y)
        show(kept[0])
        kept[0].saved_tensors[1].sum().backward()
        print(x.grad)
        show(kept[0])
        Product.apply(x * 2, y).sum().backward(retain_graph=True)
        show(kept[1])
        Product.apply(y, y)
        show(kept[2])
        Product.apply(x, y)
        with torch.no_grad():
            x.add_(1)
        show(kept[3])
    """)


def test_a_ctx_is_one_object_while_somebody_has_it() -> None:
    assert_same("""
        kept = []

        class Keeps(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, keep):
                ctx.factor = 3
                if keep:
                    kept.append(ctx)
                return a * 3

            @staticmethod
            def backward(ctx, g):
                print(ctx.factor, [each is ctx for each in kept], ctx.name())
                ctx.factor += 1
                return g * 3, None

        x = torch.ones(2, requires_grad=True)
        for keep in (False, True):
            out = Keeps.apply(x, keep).sum()
            out.backward(retain_graph=True)
            out.backward()
            print(out.grad_fn.next_functions[0][0].factor)
        print(kept[0].factor)
    """)
