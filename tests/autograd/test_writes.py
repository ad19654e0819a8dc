"""What in-place operators refuse, and that a refusal changes nothing: the same as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "self_as_other": """
        a = torch.tensor([1.0, 2.0], requires_grad=True)
        for f in (
            lambda h: h.mul_(h),
            lambda h: h.add_(h),
            lambda h: h.div_(h),
            lambda h: h.sub_(h),
            lambda h: h.pow_(h),
            lambda h: h.copy_(h),
            lambda h: h.addcmul_(h, h),
            lambda h: h.mul_(h[0]),
            lambda h: h[0].mul_(h[1]),
            lambda h: h.mul_(h.detach()),
            lambda h: h.atan2_(h),
            lambda h: h.addcmul_(torch.ones(2), h),
            lambda h: h.lerp_(h, 0.3),
            lambda h: h.masked_fill_(h > 4, 1.0),
            lambda h: h.mul_(2 * h),
        ):
            h = a * 3
            h.add_(1)

            def go():
                f(h).sum().backward()
                print(a.grad, h)
                a.grad = None

            attempt(go)
    """,
    "overlap_refused": """
        x = torch.arange(6.0)

        def go(f):
            try:
                f()
                print(x)
            except RuntimeError as e:
                print(e, x)

        go(lambda: x[1:].add_(x[:-1]))
        go(lambda: x[1:].copy_(x[:-1]))
        go(lambda: x.__setitem__(slice(1, None), x[:-1]))
        go(lambda: x[:3].add_(x[3:]))
        go(lambda: x.add_(x))
        go(lambda: x.add_(x.view(6)))
        y = torch.arange(4.0).view(2, 2)

        def go2(f):
            try:
                f()
                print(y)
            except RuntimeError as e:
                print(e, y)

        go2(lambda: y.add_(y.t()))
        go2(lambda: y.copy_(y.t()))
        go2(lambda: y.mul_(y[0]))
        go2(lambda: y[0].mul_(y[1]))
        go2(lambda: y.mul_(y[0, 0]))
        go2(lambda: y.add_(y.detach()))
        go2(lambda: torch.add(y, 1, out=y))
        go2(lambda: torch.add(y, y.t(), out=y))
        go2(lambda: torch.add(y[0], 1, out=y[1]))
        go2(lambda: torch.mul(x[:4], 2, out=x[1:5]))
        print(x)
    """,
    "expanded_refused": """
        x = torch.zeros(1, 3)
        for f in (
            lambda: x.expand(2, 3).add_(1),
            lambda: x.expand(2, 3).copy_(torch.ones(2, 3)),
            lambda: x.expand(2, 3).zero_(),
            lambda: x.expand(2, 3).fill_(1),
            lambda: x.expand(2, 3).mul_(2),
            lambda: x.expand(2, 3).__setitem__(0, 5.0),
            lambda: x.expand(1, 3).add_(1),
            lambda: torch.zeros(3).as_strided((2, 2), (1, 1)).add_(1),
            lambda: x.expand(2, 3).uniform_(),
            lambda: x.expand(2, 3).masked_fill_(torch.ones(2, 3, dtype=torch.bool), 4.0),
            lambda: x.expand(2, 3).scatter_(0, torch.zeros(1, 3, dtype=torch.int64), 9.0),
            lambda: x.expand(2, 3)[0].add_(1),
        ):
            attempt(lambda: f() is not None)
            print(x, x._version)
    """,
    "stale_inference": """
        with torch.inference_mode():
            w = torch.full((3,), 2.0)
        x = torch.ones(3, requires_grad=True)
        y = x * 1
        attempt(y.mul_, w)
        print(y, y._version)
        attempt(y.add_, w)
        print(y, y._version)
    """,
    "pack_raises": """
        def bad(t):
            raise ValueError("pack")

        x = torch.ones(3, requires_grad=True)
        y = x * 1
        with torch.autograd.graph.saved_tensors_hooks(bad, lambda t: t):
            attempt(y.mul_, torch.full((3,), 2.0))
            print(y, y._version, y.grad_fn)
    """,
    "refused_changes_nothing": """
        x = torch.ones(3, requires_grad=True)
        y = x * 1
        i = torch.arange(3)
        z = torch.ones(3)
        for f in (
            lambda: y.mul_(torch.ones(2)),
            lambda: y.add_(torch.ones(2, 3)),
            lambda: i.add_(0.5),
            lambda: i.div_(2),
            lambda: z.add_(torch.ones(3, dtype=torch.complex64)),
            lambda: y.copy_(torch.ones(4)),
            lambda: y.__setitem__(0, torch.ones(2)),
            lambda: y.__setitem__(7, 1.0),
            lambda: y.clamp_(),
            lambda: y.fill_(torch.ones(2)),
            lambda: y.masked_fill_(torch.ones(3), 1.0),
            lambda: i.sqrt_(),
            lambda: i.fill_(1.5),
            lambda: y.pow_(torch.ones(2)),
            lambda: x.zero_(),
            lambda: x[0].fill_(3.0),
            lambda: y.scatter_(0, torch.tensor([9]), 1.0),
            lambda: i.add_(x),
            lambda: z.bernoulli_(2.0),
            lambda: y.lerp_(torch.ones(3), torch.ones(4)),
            lambda: i.mul_(True) is None and 0,
            lambda: y.relu_().sqrt_() is None and 0,
        ):
            attempt(lambda: f() is not None)
            print(x, y, i, z, x._version, y._version, i._version, z._version)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])
