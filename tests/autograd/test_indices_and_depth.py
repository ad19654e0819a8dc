"""Indices that are written to before the backward pass, hooks of what is captured, and passes deep within passes."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "indices_that_are_written_to": """
        def make():
            return torch.arange(4.0, requires_grad=True), torch.tensor([0, 2]), torch.tensor([True, False, True, False])
        def written(write):
            def made(x, i, m):
                y = x * 1
                write(y, i, m)
                return y
            return made
        cases = [
            lambda x, i, m: x[i], lambda x, i, m: x[m], lambda x, i, m: x[None, i], lambda x, i, m: x[..., i],
            lambda x, i, m: x.reshape(2, 2)[torch.tensor([0, 1]), i // 2], lambda x, i, m: x.take(i),
            lambda x, i, m: x.masked_select(m), lambda x, i, m: x.index_fill(0, i, 3.0),
            lambda x, i, m: x.index_copy(0, i, torch.ones(2)), lambda x, i, m: x.index_put((i,), torch.ones(2)),
            lambda x, i, m: x.index_put((i,), torch.ones(2), accumulate=True),
            lambda x, i, m: x.index_put((m,), torch.tensor(1.0)), lambda x, i, m: torch.Tensor.put(x, i, torch.ones(2)),
            written(lambda y, i, m: y.__setitem__(i, torch.ones(2))), written(lambda y, i, m: y.__setitem__(m, 1.0)),
            written(lambda y, i, m: y.index_fill_(0, i, 2.0)), written(lambda y, i, m: y.put_(i, torch.ones(2))),
            written(lambda y, i, m: y.index_copy_(0, i, torch.ones(2))),
        ]
        for case in cases:
            for change in (None, 1, 2):
                given = make()
                y = case(*given)
                if change:
                    given[change].logical_not_() if change == 2 else given[change].add_(1)
                def backward():
                    (y * torch.arange(float(y.numel())).reshape(y.shape)).sum().backward()
                    return given[0].grad
                attempt(backward)
    """,
    "hooks_and_what_is_captured": """
        def make():
            x = torch.ones(2, requires_grad=True)
            y = x * 2
            y.register_hook(lambda g: g * 10)
            return x, y
        x, y = make()
        print(torch.autograd.grad(y.sum(), [x, y]))
        x, y = make()
        print(torch.autograd.grad(y.sum(), [y]))
        x, y = make()
        y.retain_grad()
        print(torch.autograd.grad(y.sum(), [x, y]), y.grad)
        x, y = make()
        y.sum().backward(inputs=[x])
        print(x.grad)
    """,
    "a_leaf_in_the_midst": """
        x = torch.ones(3, requires_grad=True)
        y = x.clone()
        x.detach_()
        x.add_(torch.ones(3, requires_grad=True))
        attempt(lambda: y.sum().backward())
    """,
    "passes_within_passes": """
        class Down(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.x = x
                return x.clone()
            @staticmethod
            def backward(ctx, g):
                left = int(ctx.x)
                if left < 0:
                    raise ValueError("below")
                if left:
                    with torch.enable_grad():
                        Down.apply((ctx.x.detach() - Down.step).requires_grad_()).sum().backward()
                return g
        for depth, step in ((10, 1), (200, 1), (99, 2)):
            Down.step = step
            def run():
                x = torch.tensor([float(depth)], requires_grad=True)
                Down.apply(x).sum().backward()
                return x.grad
            attempt(run)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_an_index_that_a_view_is_written_at_is_kept_as_it_was(backend: str) -> None:
    # PyTorch raises here: the node of the write is not the view's own, and keeps copies.
    import retrograd

    x = retrograd.arange(4.0, requires_grad=True)
    y = x * 1
    index = retrograd.tensor([0, 2])
    y[:3][index] = retrograd.ones(2)
    index.add_(1)
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0, 1.0]
