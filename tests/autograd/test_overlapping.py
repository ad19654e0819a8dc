"""Writes to tensors several elements of which lie in one place, and small things that PyTorch refuses."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "numbers_to_expanded": """
        mask = torch.tensor([[True, False, True], [False, True, False]])
        keys = (slice(None), 0, (0, 0), (slice(None), 0), Ellipsis, None, True, torch.tensor([0]), mask, slice(0, 1))
        for key in keys:
            for value in (1, 1.5, torch.tensor(2.0), torch.ones(3), torch.ones(2, 3)):
                e = torch.zeros(1, 3).expand(2, 3)
                attempt(e.__setitem__, key, value)
                print(e.tolist())
        e = torch.zeros(1, 3).expand(2, 3)
        attempt(e.fill_, 1)
        attempt(e.zero_)
        for name, args in (("add_", (1,)), ("sin_", ()), ("copy_", (torch.ones(2, 3),)), ("normal_", ())):
            attempt(getattr(e, name), *args)
        attempt(nn.init.normal_, e)
        print(e)
    """,
    "gradients_and_parameters_that_are_expanded": """
        for shape, create_graph in (((1, 3), False), ((1, 3), True), ((2, 3), False)):
            x = torch.ones(2, 3, requires_grad=True)
            x.grad = torch.zeros(shape).expand(2, 3)
            attempt(lambda: x.sum().backward(create_graph=create_graph))
            print(x.grad.tolist())
        optim = torch.optim
        for make, shape in ((optim.SGD, (2, 3)), (optim.SGD, (1, 3)), (optim.Adam, (1, 3)), (optim.Adagrad, (1, 3))):
            x = torch.zeros(shape).expand(2, 3).requires_grad_()
            x.grad = torch.ones(2, 3)
            attempt(lambda: make([x], lr=0.5).step())
            print(x.tolist())
    """,
    "parts_of_strided": """
        def strided():
            base = torch.zeros(4)
            return base, base.as_strided((3, 2), (1, 1))

        two = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        writes = (
            lambda s: s.index_fill_(0, torch.tensor([0]), 2.0),
            lambda s: s.index_put_((torch.tensor([0]),), torch.tensor(1.0)),
            lambda s: s.index_put_((torch.tensor([0, 1]), torch.tensor([1, 0])), torch.tensor(1.0), accumulate=True),
            lambda s: s.masked_fill_(torch.tensor([[True, False], [False, False], [False, True]]), 3.0),
            lambda s: s.fill_(2.0),
            lambda s: s.zero_(),
            lambda s: s.copy_(torch.arange(6.0).view(3, 2)),
            lambda s: s.__setitem__(0, 5.0),
            lambda s: s.__setitem__(slice(None), 5.0),
            lambda s: s.__setitem__(torch.tensor([0, 2]), 5.0),
            lambda s: s.__setitem__(torch.tensor([0, 1]), two),
            lambda s: s.__setitem__(s == 0, 5.0),
            lambda s: s[1].mul_(0).add_(4),
        )
        for write in writes:
            base, s = strided()
            attempt(write, s)
            print(base.tolist(), s.tolist())
        windows = torch.arange(5.0).unfold(0, 3, 1)
        windows[1].add_(1)
        print(windows)
        x = torch.zeros(4, requires_grad=True)
        base = x * 1
        base.as_strided((3, 2), (1, 1)).fill_(1)
        print(torch.autograd.grad(base.sum(), x))
    """,
    "what_is_read_while_it_is_written_to": """
        one = torch.ones(3, dtype=torch.int64)
        for write in (
            lambda x: x.index_add_(0, x, torch.ones(6, dtype=torch.int64)), lambda x: x.index_copy_(0, x[:3], one),
            lambda x: x.index_fill_(0, x, 7), lambda x: x.index_fill_(0, torch.tensor([0]), x[3]),
            lambda x: x.index_reduce_(0, torch.arange(6), x, "prod"), lambda x: x.scatter_(0, x, 4),
            lambda x: x.scatter_add_(0, torch.arange(6), x), lambda x: x.scatter_reduce_(0, x[:3], one, "prod"),
            lambda x: x.put_(x[:3], one), lambda x: x.put_(torch.arange(6), x), lambda x: x.index_put_((x[:3],), one),
            lambda x: x.index_put_((torch.arange(6),), x), lambda x: x.__setitem__(x[:3], 5),
            lambda x: x.__setitem__(x, one[0]), lambda x: x.scatter_(0, torch.tensor([0]), x[3:4] + 1),
            lambda x: x[:3].index_add_(0, torch.arange(3), x[3:]), lambda x: x.float().masked_fill_(x > 0, 1.0),
        ):
            x = torch.tensor([0, 1, 2, 1, 0, 2])
            attempt(write, x)
            print(x, x._version)
    """,
    "out_among_the_inputs": """
        for call in (
            lambda x: torch.cat([x[:2], x[2:4]], out=x[:4]), lambda x: torch.cat([x], out=x),
            lambda x: torch.cat([x[:2], x[:1]], out=x[3:6]), lambda x: torch.stack([x[:3], x[3:]], out=x.view(2, 3)),
            lambda x: torch.hstack([x[:3], x[3:]], out=x), lambda x: torch.nonzero(x, out=x),
            lambda x: torch.gather(torch.arange(5), 0, x, out=x), lambda x: torch.gather(x, 0, x.clone(), out=x),
            lambda x: torch.take(torch.arange(5), x, out=x), lambda x: torch.index_select(torch.arange(5), 0, x, out=x),
            lambda x: torch.clamp(x[:3], 1, out=x[1:4]), lambda x: torch.add(x[:3], 1, out=x[1:4]),
            lambda x: torch.where(x[:3] > 0, x[:3], x[3:], out=x[1:4]),
            lambda x: torch.div(x[:3], 1, rounding_mode="floor", out=x[1:4]),
            lambda x: torch.pow(x[:3], 2, out=x[1:4]), lambda x: torch.cumsum(x, 0, out=x),
            lambda x: torch.scatter(x, 0, torch.tensor([0]), 5, out=x),
        ):
            x = torch.tensor([0, 1, 2, 1, 0, 2])
            attempt(call, x)
            print(x)
        x = torch.tensor([0, 1, 2, 1, 0, 2])
        y = x.float()
        print(torch.sum(x, 0, out=x[0]), torch.std(y, 0, keepdim=True, out=y[:1]), torch.norm(y, 2, 0, out=y[1]))
        print(torch.logsumexp(y.view(2, 3), 1, out=y[:2]), torch.softmax(y[:3], 0, out=y[1:4]))
        print(torch.argmax(x.view(2, 3), 0, out=x[:3]), x, y)
        y = torch.arange(6.0)
        print(y[:4].view(2, 2).addmm_(y[1:5].view(2, 2), torch.ones(2, 2)))
    """,
    "triangles_of_expanded": """
        for name in ("triu_", "tril_"):
            for diagonal in (0, 1, -1):
                x = torch.arange(1.0, 5.0)
                print(getattr(x[:3].expand(3, 3), name)(diagonal), x)
                print(getattr(x.view(2, 2).unsqueeze(0).expand(2, 2, 2), name)(diagonal), x)
    """,
    "negative_sizes": """
        attempt(torch.zeros, 2, -3)
        attempt(torch.ones, 2, -3)
        attempt(torch.ones(1).expand, -2)
        attempt(torch.ones(4).view, 2, -3)
        attempt(torch.ones(4).reshape, -1, -2)
        attempt(torch.ones(2).repeat, -1)
        attempt(torch.ones(3).repeat, 2, -2)
    """,
    "norm_of_order_zero": """
        x = torch.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True)
        for y in (x.norm(0), x.norm(0, dim=1).sum(), torch.linalg.vector_norm(x, 0)):
            y.backward(retain_graph=True)
            print(y, x.grad)
            print(torch.autograd.grad(y, x, allow_unused=True))
        attempt(torch.func.vmap(lambda a: a.item()), torch.ones(3))
        print([hasattr(x, name) for name in ("logaddexp_", "maximum_", "fmax_", "angle_", "xlogy_", "hypot_")])
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])
