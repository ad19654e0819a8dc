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
