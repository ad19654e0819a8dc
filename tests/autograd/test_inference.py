"""Inference mode: the same outcome as PyTorch's, errors included, on every backend."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd

PROGRAMS = {
    "detaching_in_place": """
        with torch.inference_mode():
            x = torch.ones(2, requires_grad=True)
            print(x.detach_().requires_grad)
        print(x.detach_() is x, x.requires_grad, x.is_leaf, x[:1].detach_().requires_grad)
    """,
    "views_of_inference_tensors_that_require_gradients": """
        with torch.inference_mode():
            x = torch.ones(1, 2, 3, requires_grad=True)
            inside = x.view(-1)
            print(x.requires_grad, inside.requires_grad, inside.is_inference(), inside._is_view())
            print(torch.ones(2, 3, requires_grad=True).resize_(1, 2).shape)
        outside = x.view(-1)
        print(outside.requires_grad, outside.is_inference(), outside._is_view(), outside.is_leaf)
        first, second = x.unbind(1)
        print(first.requires_grad, first._is_view(), x[0].requires_grad, x.T.is_inference() if x.ndim == 2 else None)
        attempt(outside.add_, 1)
    """,
    "views_of_views_without_gradients": """
        plain, w = torch.ones(3), torch.ones(1, requires_grad=True)
        with torch.inference_mode():
            i, seen = torch.ones(3), plain[:2]
        with torch.no_grad():
            part, again = i[:1], seen[:1]
        for view in (part, again, seen):
            attempt(view.mul_, w)
        print(plain.mul_(w))
        attempt(lambda: again.grad_fn)
    """,
    "what_is_an_inference_tensor": """
        n = torch.ones(2, requires_grad=True)
        with torch.inference_mode():
            made, computed = torch.zeros(2), n * 2
            view, detached, data = n.view(2), n.detach(), n.data
            print(torch.is_inference_mode_enabled(), torch.is_grad_enabled())
        print([each.is_inference() for each in (made, computed, view, detached, data, n)])
        print(torch.is_inference(made), computed.requires_grad)
        print([each.is_inference() for each in (made[0], made.detach(), made.data, made.clone(), made * 2)])
    """,
    "nested": """
        with torch.inference_mode():
            with torch.inference_mode(False):
                print(torch.is_grad_enabled(), torch.is_inference_mode_enabled())
                print(torch.ones(1).is_inference())
            with torch.enable_grad():
                print(torch.is_grad_enabled())
                y = torch.ones(2, requires_grad=True) * 2
                print(y.requires_grad, y.is_inference())
            with torch.no_grad():
                print(torch.is_grad_enabled(), torch.ones(1).is_inference())
        with torch.no_grad(), torch.inference_mode(False):
            print(torch.is_grad_enabled())
        print(torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    """,
    "decorator": """
        n = torch.ones(2, requires_grad=True)
        @torch.inference_mode
        def bare(x): return x * 2
        @torch.inference_mode()
        def called(x): return x * 2
        @torch.inference_mode(mode=False)
        def off(x): return x * 2
        @torch.inference_mode()
        def steps(x):
            yield x * 2
            yield torch.is_inference_mode_enabled()
        print([f(n).is_inference() for f in (bare, called, off)])
        running = steps(n)
        print(next(running).is_inference(), torch.is_inference_mode_enabled(), next(running))
    """,
    "saved_for_backward": """
        n = torch.ones(2, requires_grad=True)
        with torch.inference_mode():
            i = torch.tensor([2., 3.])
        attempt(lambda: n * i)
        attempt(lambda: i * n)
        attempt(lambda: torch.where(i > 2, n, i))
        attempt(lambda: n + i)
        attempt(lambda: torch.cat([n, i]))
        attempt(lambda: n.clone().mul_(i))
        attempt(lambda: (n * i.clone()).sum())
        attempt(lambda: i.exp())
    """,
    "saved_by_a_function": """
        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.save_for_backward(y)
                return x * 2
            @staticmethod
            def backward(ctx, grad):
                return grad * 2, None
        n = torch.ones(2, requires_grad=True)
        with torch.inference_mode():
            i = torch.ones(2)
            print(Double.apply(n, i).requires_grad)
        attempt(lambda: Double.apply(n, i))
        attempt(lambda: Double.apply(i, n.detach()))
    """,
    "writes": """
        n = torch.ones(2, requires_grad=True)
        with torch.inference_mode():
            i = torch.ones(2)
            i.add_(1)
            i[0] = 7.
            n.mul_(2)
            i.view(2).mul_(2)
        print(i, n, n._version)
        attempt(lambda: i.add_(1))
        attempt(lambda: torch.no_grad()(lambda: i.add_(1))())
        attempt(lambda: i.__setitem__(0, 1.))
        attempt(lambda: i[:1].zero_())
        attempt(lambda: torch.add(torch.ones(2), torch.ones(2), out=i))
        attempt(lambda: torch.ones(2).copy_(i.clone()).is_inference())
    """,
    "view_of_normal_then_write": """
        n = torch.ones(2, requires_grad=True) * 1
        with torch.inference_mode():
            v = n[:1]
        attempt(lambda: v.mul_(2))
        print(n)
    """,
    "requires_grad_and_version": """
        with torch.inference_mode():
            i = torch.ones(2)
            i.requires_grad_()
            i.requires_grad_(False)
            attempt(lambda: i._version)
        attempt(lambda: i._version)
        attempt(lambda: i.requires_grad_())
        attempt(lambda: setattr(i, "requires_grad", True))
        print(i.requires_grad_(False).requires_grad)
        attempt(lambda: nn.Parameter(i))
        print(nn.Parameter(i, requires_grad=False).is_inference())
        torch.autograd.graph.increment_version(i)
    """,
    "as_gradient": """
        n = torch.ones(2, requires_grad=True)
        with torch.inference_mode():
            n.grad = torch.ones(2)
        attempt(lambda: (n * 2).sum().backward())
    """,
    "data_assigned": """
        n = torch.ones(2, requires_grad=True)
        with torch.inference_mode():
            i = torch.zeros(2)
        n.data = i
        print(n, n.is_inference(), (n + 1).requires_grad)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_a_refused_write_changes_nothing(backend: str) -> None:
    n = retrograd.ones(2, requires_grad=True)
    with retrograd.inference_mode():
        i, n.grad = retrograd.ones(2), retrograd.ones(2)
    for write in (lambda: i.add_(1), lambda: retrograd.add(i, i, out=i), lambda: (n * 2).sum().backward()):
        with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
            write()
    assert i.tolist() == n.grad.tolist() == [1, 1]


def test_the_fast_path_does_not_look_for_inference_tensors() -> None:
    retrograd.mul(retrograd.ones(1), 2.0)  # its code is written when it is first called
    source = retrograd.mul.__code__.co_names
    assert "_cell" in source
    assert not any("inference" in name for name in source)


WRITES = (
    "fill_(2.0)", "fill_(torch.tensor(2.0))", "zero_()", "__setitem__(0, 1.0)", "__setitem__(slice(None), 1.0)",
    "__setitem__(torch.tensor([0]), 1.0)", "add_(2.0)", "add_(other)", "mul_(torch.ones(3, requires_grad=True))",
    "copy_(torch.ones(3))", "copy_(other)", "exp_()", "uniform_()", "bernoulli_()", "clamp_(0)", "relu_()",
    "index_fill_(0, torch.tensor([0]), 1.0)", "masked_fill_(torch.tensor([True, False, True]), 1.0)", "squeeze_()",
    "unsqueeze_(0)", "t_()", "resize_(2)", "view(3).copy_(torch.ones(3))", "lerp_(other, 0.5)",
)  # fmt: skip


def test_a_write_to_an_inference_leaf_is_refused_as_one_or_the_other() -> None:
    writes = "\n".join(f"    attempt(lambda: made().{write})" for write in WRITES)
    assert_same(f"""
def made():
    with torch.inference_mode():
        return torch.ones(3).requires_grad_()

with torch.inference_mode():
    other = torch.ones(3)
for mode in (torch.enable_grad, torch.no_grad):
    with mode():
        attempt(lambda: torch._foreach_add_([made()], 1.0))
        attempt(lambda: torch._foreach_add_([made()], [torch.ones(3)]))
        attempt(lambda: torch.nn.init.ones_(made()))
for mode in (torch.enable_grad, torch.no_grad):
  with mode():
{writes}
""")
