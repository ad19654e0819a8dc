"""Changes of a tensor's own shape, and what they do to the graph and to its views: the same as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "what_is_computed_without_grad": """
        for name, *args in (
            ("t_",), ("transpose_", 0, 1), ("squeeze_",), ("unsqueeze_", 0), ("as_strided_", (2,), (1,)),
        ):
            leaf = torch.ones(2, 3, requires_grad=True)
            made = leaf * 2
            with torch.no_grad():
                getattr(made, name)(*args)
                print(made.shape, made._version, made.grad_fn.name())
                view = leaf.view(2, 3)
                print(getattr(view, name)(*args).shape, view.requires_grad)
            attempt(lambda: view.grad_fn)
            attempt(made.sum().backward)
            print(leaf.grad)
    """,
    "t_nonview": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        r = y.t_()
        out = (r is y, y._version, y._is_view(), y.grad_fn.name(), y.tolist(), y.is_contiguous())
        (y * torch.arange(6.0).reshape(3, 2)).sum().backward()
        out += (x.grad.tolist(),)
        print(out)
    """,
    "t_views": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        v = y[0]
        y.t_()
        out = [v.tolist(), y.tolist(), v._version]
        try:
            out.append(v.grad_fn.name())
            v.sum().backward()
            out.append(x.grad.tolist())
        except Exception as e:
            out.append(str(e))
        print(out)
    """,
    "t_base_of": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        v = y.view(6)
        v.unsqueeze_(0)
        out = [v.tolist(), y.tolist(), v._version, y._version, v._base is y, v.grad_fn.name(), y.grad_fn.name()]
        v.sum().backward()
        out.append(x.grad.tolist())
        print(out)
    """,
    "viewof_write": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        v = y.t()
        v.t_()
        v.mul_(3)
        out = [v.tolist(), y.tolist(), v._version, y._version, v._base is y, v.grad_fn.name(), y.grad_fn.name()]
        y.sum().backward()
        out.append(x.grad.tolist())
        print(out)
    """,
    "leaf": """
        x = torch.ones(2, 3, requires_grad=True)
        for name in ("t_", "squeeze_", "detach_"):
            attempt(getattr(x, name))
        attempt(x.unsqueeze_, 0)
        attempt(x.transpose_, 0, 1)
        attempt(x[0].squeeze_)
    """,
    "leafng": """
        x = torch.ones(2, 3, requires_grad=True)
        with torch.no_grad():
            x.t_()
        out = [x.shape, x.is_leaf, x._version, x.requires_grad]
        (x * torch.arange(6.0).reshape(3, 2)).sum().backward()
        out.append(x.grad.tolist())
        print(out)
    """,
    "leafng2": """
        x = torch.ones(2, 3, requires_grad=True)
        (x * 2).sum().backward()
        with torch.no_grad():
            x.t_()
        attempt((x * torch.arange(6.0).reshape(3, 2)).sum().backward)
        print(x.grad)
    """,
    "nogradview": """
        x = torch.ones(2, 3, requires_grad=True)
        with torch.no_grad():
            v = x[0]
        attempt(v.unsqueeze_, 0)
        print(v.shape, v._version)
    """,
    "nogradview2": """
        x = torch.ones(2, 3, requires_grad=True)
        y = x * 1
        with torch.no_grad():
            v = y[0]
        attempt(v.unsqueeze_, 0)
        print(v.shape, v._version)
    """,
    "multi": """
        x = torch.ones(2, 3, requires_grad=True)
        y = x * 1
        v = y.unbind()[0]
        attempt(v.unsqueeze_, 0)
        print(v.shape, v._version)
    """,
    "infer2": """
        x = torch.ones(2, 3)
        v = x.t()
        with torch.inference_mode():
            x.t_()
            v.t_()
            attempt(v.detach_)
        print(x._version, v._version, v._is_view())
    """,
    "infer3": """
        x = torch.ones(2, 3, requires_grad=True)
        v = x.t()
        with torch.inference_mode():
            attempt(v.detach_)
        print(x._version, v._version, v._is_view(), v.requires_grad)
        attempt(lambda: v.grad_fn.name())
    """,
    "infer4": """
        x = torch.ones(2, 3, requires_grad=True)
        v = x * 2
        with torch.inference_mode():
            r = v.detach_()
        out = [r is v, x._version, v._version, v._is_view(), v.requires_grad, str(v.grad_fn.name())]
        v.sum().backward()
        out.append(x.grad.tolist())
        print(out)
    """,
    "infer5": """
        x = torch.ones(2, 3, requires_grad=True)
        with torch.inference_mode():
            x.detach_()
        out = [x._version, x.requires_grad]
        x.detach_()
        out += [x._version, x.requires_grad]
        with torch.inference_mode():
            y = torch.ones(2)
            z = y.detach_()
            v = y[:1]
            v.detach_()
        out.append(v.is_inference())
        try:
            y.detach_()
            out.append("ok")
        except Exception as e:
            out.append(str(e))
        print(out)
    """,
    "retain": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        y.retain_grad()
        y.t_()
        y.sum().backward()
        print(y.grad if y.grad is None else y.grad.shape, x.grad)
    """,
    "matmul_version": """
        x = torch.ones(3, requires_grad=True)
        y = x @ torch.ones(3, 2)
        print(y._version, y.grad_fn.name(), y.grad_fn.next_functions[0][0].name())
        y = torch.ones(2, 3) @ x
        print(y._version, y.grad_fn.name())
    """,
    "names": """
        for d in ("squeeze0", "squeeze1", "squeeze2", "unsq", "swap", "swapdims", "t", "tr"):
            x = torch.ones(1, 3, requires_grad=True) * 1
            {
                "squeeze0": lambda: x.squeeze_(),
                "squeeze1": lambda: x.squeeze_(0),
                "squeeze2": lambda: x.squeeze_((0, 1)),
                "unsq": lambda: x.unsqueeze_(-1),
                "swap": lambda: x.swapaxes_(0, 1),
                "swapdims": lambda: x.swapdims_(0, 1),
                "t": lambda: x.t_(),
                "tr": lambda: x.transpose_(0, 1),
            }[d]()
            print(
                d,
                x.grad_fn.name(),
                x._version,
                x.shape,
                [(n, getattr(x.grad_fn, n)) for n in dir(x.grad_fn) if n.startswith("_saved")],
                x._version,
            )
    """,
    "noop": """
        x = torch.ones(2, 3, requires_grad=True) * 1
        x.squeeze_()
        print(x._version, x.grad_fn.name())
        x.squeeze_(0)
        print(x._version, x.grad_fn.name())
        x.transpose_(0, 0)
        print(x._version, x.grad_fn.name())
        y = torch.ones(3, requires_grad=True) * 1
        y.t_()
        print(y._version, y.grad_fn.name(), y.shape)
    """,
    "errs": """
        x = torch.ones(2, 3, 4)
        for f in (
            lambda: x.t_(),
            lambda: x.squeeze_(5),
            lambda: x.unsqueeze_(9),
            lambda: x.transpose_(0, 7),
            lambda: x.squeeze_((0, 0)),
        ):
            try:
                f()
                print("ok", x.shape)
            except Exception as e:
                print(type(e).__name__, e)
        print(x._version)
    """,
    "view_then_base_t": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        v = y[0]
        y.t_()
        y.mul_(torch.tensor([1.0, 10.0]))
        print(v, v._version)
        (v * torch.arange(3.0)).sum().backward()
        print(x.grad)
    """,
    "base_t_then_view_write": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        v = y[0]
        y.t_()
        try:
            v.mul_(torch.tensor([1.0, 10.0, 100.0]))
            print(v, y)
            (y * torch.arange(6.0).reshape(3, 2)).sum().backward()
            print(x.grad)
        except Exception as e:
            print(e)
    """,
    "base_unsq_then_views": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        v = y[:, 1:]
        w = y.view(-1)
        y.unsqueeze_(1)
        y[1].add_(1)
        v.mul_(3)
        w[0] = 7.0
        print(v, w, y, v._version, w.grad_fn.name(), v.grad_fn.name(), y.grad_fn.name())
        (w * torch.arange(6.0) + (v * v).sum()).sum().backward()
        print(x.grad)
    """,
    "view_restep_under_nograd": """
        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 2
        v = y[0]
        with torch.no_grad():
            v.unsqueeze_(0)
        print(v.requires_grad, v.shape, v.grad_fn.name(), v._version)
        v.mul_(2)
        print(y, v)
        y.sum().backward()
        print(x.grad)
    """,
    "reqfalse": """
        x = torch.ones(2, 3)
        v = x[0]
        x.t_()
        print(x._version, v._version, v)
        v.add_(1)
        print(x, x._version)
        w = torch.ones(3, requires_grad=True)
        v.mul_(w)
        print(x.grad_fn.name(), v.grad_fn.name())
        (x * torch.arange(6.0).reshape(3, 2)).sum().backward()
        print(w.grad)
    """,
    "expand_t": """
        x = torch.ones(1, 3).expand(2, 3)
        x.t_()
        print(x._version, x.shape, x.stride())
    """,
    "restep_own_data": """
        x = torch.ones(2, 3, requires_grad=True)
        d = x.data
        d.t_()
        print(d._version, x._version, x.shape, d.shape)
        e = x.detach()
        e.unsqueeze_(0)
        print(e._version, x._version, x.shape, e.shape)
        e.mul_(3)
        print(x)
    """,
    "function": """
        class F(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                x.t_()
                ctx.mark_dirty(x)
                return x

            @staticmethod
            def backward(ctx, g):
                return g.t() * 2

        x = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        y = x * 1
        try:
            z = F.apply(y)
            print(z.shape, z is y, z._version, z.grad_fn.name())
            z.sum().backward()
            print(x.grad)
        except Exception as e:
            print(e)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_as_strided_in_place_of_a_dual() -> None:
    assert_same(
        """
    from importlib import import_module
    fwd = import_module(torch.__name__ + ".autograd.forward_ad")
    with fwd.dual_level():
        dual = fwd.make_dual(torch.ones(4), torch.arange(4.0)) * 1
        dual.as_strided_((2,), (2,))
        print(*fwd.unpack_dual(dual), *fwd.unpack_dual(dual * dual))
    """
    )


def test_as_strided_of_views_is_recorded(backend: str) -> None:
    assert_same("""
        views = {
            "slice": (lambda y: y[1:], (2,), (1,)), "offset": (lambda y: y[1:7], (2, 2), (1, 2), 2),
            "turned": (lambda y: y.view(3, 4).t(), (2, 3), (4, 1), 1), "row": (lambda y: y.view(3, 4)[1], (2,), (2,)),
            "overlaps": (lambda y: y.view(3, 4)[:, 1:], (2, 2), (1, 1), 1), "base": (lambda y: y, (2, 2), (1, 1), 1),
        }
        for name, (view, *place) in views.items():
            x = torch.arange(12.0).requires_grad_()
            y = x * 2
            v = view(y)
            r = v.as_strided_(*place)
            print(name, r is v, v, v._base is y, v._version, v.grad_fn.name(), v.stride(), v.storage_offset())
            (v * torch.arange(1.0, v.numel() + 1).view(v.shape)).sum().backward()
            print(x.grad)
        x = torch.arange(12.0).requires_grad_()
        y = x * 2
        v, w = y[2:6], y[3:]
        z = v.exp()
        v.as_strided_((2,), (1,), 2).mul_(10)
        print(y, w, v)
        (y.sum() + (v * v).sum() + w.sum()).backward(retain_graph=True)
        print(x.grad)
        attempt(z.sum().backward)
        attempt(lambda: (x * 1).split(3)[0].as_strided_((2,), (1,)))
        attempt(lambda: x[1:].as_strided_((2,), (1,)))
    """)
