"""Views by sizes and strides: writes to them, and where they come from."""

from __future__ import annotations

from programs import assert_same


def test_writes_to_strided_views_have_second_derivatives(backend: str) -> None:
    assert_same("""
    ways = (
        lambda y, s: y.fill_diagonal_(2), lambda y, s: y.as_strided((2, 2), (3, 1), 1).mul_(s),
        lambda y, s: y[1:].as_strided((2,), (2,), 4).add_(s), lambda y, s: y.as_strided((0,), (1,)).mul_(s),
        lambda y, s: y.view(-1).as_strided((2, 2), (4, 2))[1].mul_(s),
    )
    for way in ways:
        x = torch.arange(9.0).reshape(3, 3).div(9).requires_grad_()
        s = torch.tensor(2.0, requires_grad=True)
        y = x * x
        way(y, s)
        first = torch.autograd.grad((y * y).sum(), (x, s), create_graph=True, allow_unused=True)
        print(first[0].detach(), *torch.autograd.grad((first[0] ** 2).sum(), (x, s), allow_unused=True))
    """)


def test_strided_views_of_leaves_that_are_views_and_of_views_by_functions(backend: str) -> None:
    """Their gradients stop at the leaf, and go through the Function, wherever the memory begins."""
    assert_same("""
    def strided(view):
        return view.unfold(view.dim() - 1, 2, 1)
    ways = (
        lambda x: x, lambda x: x.view(-1), lambda x: x[0], lambda x: x.t(), lambda x: x[None], lambda x: x.unbind(0)[1],
        lambda x: x.view(3, 2).view(-1), lambda x: x.narrow(1, 0, 2), lambda x: x[:, 1],
        lambda x: x.view(-1).unfold(0, 2, 2),
    )
    for way in ways:
        x = torch.arange(6.0).reshape(2, 3).requires_grad_()
        y = strided(way(x))
        (y * torch.arange(1.0, y.numel() + 1).view(y.shape)).sum().backward()
        print(x.grad, y.grad_fn.name())
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    x.view(-1).as_strided((2, 2), (2, 1), 1).sum().backward()
    print(x.grad)
    x = torch.ones(6, requires_grad=True)
    b = x * 1
    with torch.no_grad():
        v, u = b.view(2, 3), b.view(3, 2)
    v.requires_grad_()
    strided(v.view(-1)).sum().backward()
    print(x.grad, v.grad)
    print(strided(u).requires_grad, strided(u.view(-1)).requires_grad)
    for x in torch.arange(4.0).requires_grad_(), torch.arange(4.0).requires_grad_() * 1:
        with torch.no_grad():
            v = x[:2]
        for offset in None, 2:
            y = v.as_strided((2,), (1,), offset)
            print(y.grad_fn.name(), y.grad_fn.next_functions, y.sum().backward(), x.is_leaf and x.grad)

    class Flat(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view(-1)

        @staticmethod
        def backward(ctx, grad):
            return 10 * grad.view(2, 3)

    x = torch.ones(2, 3, requires_grad=True)
    strided(Flat.apply(x * 1).view(-1)).sum().backward()
    print(x.grad)
    b = x * 1
    y = strided(b.view(3, 2))
    b.mul_(2)
    print(torch.autograd.grad(y.sum(), x), y.grad_fn.name())
    b = x * 1
    strided(b[0]).mul_(2)
    print(torch.autograd.grad(b.sum(), x), b.grad_fn.name())
    """)
