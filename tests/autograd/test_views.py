"""Views made in every mode, written to, and used after a write to their base: the same as PyTorch's."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "writes_to_strided_parts_with_gradients_of_sums": """
        unfolded, square = lambda b: b.unfold(1, 2, 2), lambda b: b.as_strided((2, 2), (1, 2))
        for part in (unfolded, square, lambda b: b.as_strided((3,), (2,))):
            for total in (lambda b: b.sum(), lambda b: b.mean()):
                x = torch.ones(2, 3, requires_grad=True)
                b = x * 1
                part(b).mul_(2)
                total(b).backward()
                print(x.grad)
    """,
    "tangents_of_strided_parts": """
        t = torch.arange(6.0).reshape(2, 3)
        for part in (
            lambda b: b.unfold(1, 2, 1), lambda b: b.as_strided((2, 2), (1, 2)), lambda b: b[1].as_strided((2,), (1,)),
            lambda b: b.view(-1).unfold(0, 2, 2), lambda b: (b * 2).unfold(0, 2, 1),
        ):
            print(torch.func.jvp(part, (torch.ones(2, 3),), (t,))[1])
        print(torch.func.jacfwd(lambda b: b.unfold(0, 2, 1))(torch.ones(3)))
    """,
    "as_strided_of_a_part_without_history": """
        x = torch.arange(12.0)
        y = x[2:].detach()
        attempt(y.as_strided, (2,), (1,), 3)
        attempt(y.as_strided, (2,), (1,))
        attempt(y.as_strided, (2,), (1,), 0)
        attempt(y.as_strided, (2,), (1,), 11)
        print(y.unfold(0, 3, 4))
        z = x.view(3, 4)[:, :2].detach()
        print(z.as_strided((4,), (3,), 1), z.unfold(0, 2, 1))
        z.as_strided((2,), (1,), 2).zero_()
        w = x.view(3, 4).t().detach()
        w.as_strided((2, 2), (1, 5), 4).mul_(10)
        print(x)
        for leaf in (x[2:].detach(), x.view(3, 4).t().detach()):
            leaf.requires_grad_()
            s = leaf.as_strided((2, 2), (1, 1), 3)
            print(s, s.grad_fn._saved_storage_offset, torch.autograd.grad((s * s).sum(), leaf))
    """,
    "leaf_view_nograd": """
        x = torch.ones(3, requires_grad=True)
        with torch.no_grad():
            v = x[:2]
            print(v.requires_grad, v.is_leaf, v.grad_fn, v._is_view(), v._base is x)
        attempt(v.mul_, 2)
        print(v.requires_grad, v.is_leaf, v.grad_fn)
        with torch.no_grad():
            v.mul_(3)
        print(x, v, v.requires_grad)
        attempt(lambda: v.sum().requires_grad)
        attempt(lambda: (v * 2).sum().backward())
        print(x.grad, v.grad)
    """,
    "leaf_view_nograd_written_by_positions": """
        i, mask = torch.tensor([0, 2]), torch.tensor([True, False, True])
        for act in (
            lambda v: v[mask], lambda v: v[i], lambda v: v.index_copy_(0, i, torch.ones(2)).tolist(),
            lambda v: v.__setitem__(mask, 5.0), lambda v: v.__setitem__(i, torch.ones(2)),
            lambda v: v.index_put_((i,), torch.ones(2)).tolist(), lambda v: v.put_(i, torch.ones(2)).tolist(),
            lambda v: v.masked_scatter_(mask, torch.ones(2)).tolist(), lambda v: float(v[:1].squeeze()),
        ):
            x = torch.arange(3.0, requires_grad=True)
            with torch.no_grad():
                v = x.view(-1)
                x.mul_(2)
                attempt(act, v)
            print(x)
        with torch.no_grad():
            one = x[1]
            x.mul_(2)
            print(float(one), complex(one))
    """,
    "leaf_view_nograd_chain": """
        x = torch.ones(3, requires_grad=True)
        with torch.no_grad():
            v = x[:2]
        w = v[0]
        print(v.requires_grad, w.requires_grad, w.grad_fn, w.is_leaf)
        attempt(w.mul_, 2)
    """,
    "nonleaf_view_nograd": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        with torch.no_grad():
            v = y[:2]
            print(v.requires_grad, v.is_leaf, v.grad_fn, v._is_view(), v._base is y)
        print(v.requires_grad)
        attempt(v.mul_, 2)
        w = v[0]
        print(w.requires_grad, w.grad_fn)
        attempt(w.mul_, 2)
        y.mul_(2)
        print(v.requires_grad, v.grad_fn, v)
        attempt(v.mul_, 2)
        with torch.no_grad():
            v.mul_(2)
        print(y, v)
        y.sum().backward()
        print(x.grad)
    """,
    "nonleaf_view_nograd_multi": """
        x = torch.ones(4, requires_grad=True)
        y = x * 2
        with torch.no_grad():
            a, b = y.split(2)
            print(a.requires_grad, a.is_leaf, a.grad_fn, a._is_view(), a._base is y)
        attempt(a.mul_, 2)
        with torch.no_grad():
            a.mul_(2)
        print(y)
    """,
    "noreq_view_nograd": """
        y = torch.ones(4)
        with torch.no_grad():
            v = y[:2]
        w = torch.ones(2, requires_grad=True)
        attempt(v.mul_, w)
        attempt(v.mul_, 2)
        print(y, y.requires_grad)
        y.mul_(torch.full((4,), 3.0, requires_grad=True))
        print(v.requires_grad, v.grad_fn)
        attempt(v.mul_, 2)
    """,
    "inference_view_of_leaf": """
        x = torch.ones(3, requires_grad=True)
        with torch.inference_mode():
            v = x[:2]
            print(v.requires_grad, v.is_leaf, v.is_inference(), v._is_view())
            attempt(lambda: v._version)
        print(v.requires_grad)
        attempt(v.mul_, 2)
        with torch.no_grad():
            attempt(v.mul_, 2)
        print(x)
        attempt(lambda: (v * v).sum().backward())
    """,
    "inference_view_of_nonleaf": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        with torch.inference_mode():
            v = y[:2]
            print(v.requires_grad, v.is_leaf, v.is_inference(), v._is_view())
            v.add_(1)
            attempt(lambda: v._version)
        print(v.requires_grad)
        attempt(v.mul_, 2)
        with torch.no_grad():
            attempt(v.mul_, 2)
        y.mul_(2)
        print(v, v.requires_grad)
        attempt(lambda: v.grad_fn)
        attempt(lambda: (v * v).sum().backward())
    """,
    "inference_view_of_norequires": """
        y = torch.ones(3)
        with torch.inference_mode():
            v = y[:2]
            print(v.requires_grad, v.is_leaf, v.is_inference(), v._is_view())
            v.add_(1)
        attempt(v.mul_, 2)
        attempt(v.mul_, torch.ones(2, requires_grad=True))
        print(y)
    """,
    "view_in_enable_grad_of_nograd_view": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        with torch.no_grad():
            v = y[:2]
            with torch.enable_grad():
                w = y[:2]
                u = v[:1]
            print(v.requires_grad, w.requires_grad, u.requires_grad)
            w.mul_(2)
            print(w.grad_fn, y.grad_fn, u.requires_grad, v.requires_grad)
        attempt(w.mul_, 2)
        print(y.grad_fn, w.grad_fn, v.grad_fn, u.grad_fn)
        attempt(u.mul_, 3)
    """,
    "detach_view_written": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        d = y.detach()
        v = d[:2]
        v.mul_(3)
        print(y, d, v, y._version, d._version)
        print(v._is_view(), v._base is d, d._is_view(), d.requires_grad)
        v.mul_(torch.ones(2, requires_grad=True))
        print(y.grad_fn, d.grad_fn, v.grad_fn)
    """,
    "detach_of_view": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        v = y[:2].detach()
        print(v._is_view(), v._base is None)
        v.mul_(2)
        print(y)
        v.mul_(torch.ones(2, requires_grad=True))
        print(v.grad_fn, y.grad_fn, v.requires_grad)
        v.detach_()
    """,
    "detach_inplace_view_nograd": """
        y = torch.ones(3)
        v = y[:2]
        attempt(v.detach_)
    """,
    "requires_grad_view": """
        y = torch.ones(3)
        v = y[:2]
        v.requires_grad_()
        print(v.requires_grad, v.is_leaf, y.requires_grad, v.grad_fn)
        (v * 3).sum().backward()
        print(v.grad, y.grad)
        attempt(v.mul_, 2)
        attempt(y.mul_, 2)
        print(y, v)
        attempt(y[0].mul_, 2)
        y.mul_(torch.ones(3, requires_grad=True))
        print(y.grad_fn)
        attempt(lambda: v.grad_fn)
        print(v.requires_grad, v.is_leaf)
        attempt(lambda: (v * v).sum().backward())
        print(v.grad)
    """,
    "requires_grad_base_of_view": """
        y = torch.ones(3)
        v = y[:2]
        y.requires_grad_()
        print(v.requires_grad, v.is_leaf, y.requires_grad, v.grad_fn)
        attempt(v.mul_, 2)
        attempt(y.mul_, 2)
        with torch.no_grad():
            v.mul_(2)
        print(y, v)
        print(v.requires_grad)
        w = v * 1
        print(w.requires_grad)
    """,
    "requires_grad_base_off": """
        y = torch.ones(3, requires_grad=True)
        v = y[:2]
        y.requires_grad_(False)
        print(v.requires_grad, v.grad_fn)
        v.mul_(2)
        print(y.requires_grad, v.grad_fn, y.grad_fn)
        v.sum().backward()
        print(y.grad)
    """,
    "multi_then_base_write": """
        x = torch.ones(4, requires_grad=True)
        for f in (
            lambda t: t.unbind(),
            lambda t: t.split(2),
            lambda t: t.chunk(2),
            lambda t: t.split([1, 3]),
            lambda t: torch.tensor_split(t, 2),
            lambda t: list(t),
        ):
            y = x * 1
            parts = f(y)
            print(parts[0].grad_fn, parts[1].output_nr)
            y.mul_(2)
            attempt(lambda: parts[0].sum().backward())
            attempt(lambda: parts[0].grad_fn)
            print(parts[0].requires_grad, parts[0].is_leaf, parts[1].output_nr, parts[0])
            with torch.no_grad():
                print(parts[0] + 1)
            attempt(parts[0].mul_, 2)
    """,
    "multi_nograd_base": """
        y = torch.ones(4)
        a, b = y.split(2)
        a.mul_(2)
        print(y, a.grad_fn)
        w = torch.ones(2, requires_grad=True)
        attempt(a.mul_, w)
        y.mul_(torch.ones(4, requires_grad=True))
        attempt(lambda: b.grad_fn)
        print(b.requires_grad)
    """,
    "multi_then_nograd_write": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        a, b = y.split(2)
        with torch.no_grad():
            y.mul_(3)
        attempt(lambda: a.grad_fn)
        print(a)
        attempt(lambda: a.sum().backward())
    """,
    "view_of_multi": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        a, b = y.split(2)
        v = a[0]
        print(v.grad_fn)
        attempt(v.mul_, 3)
        attempt(a.detach_)
        c = a.view(2)
        attempt(c.add_, 1)
    """,
    "multi_detached": """
        x = torch.ones(4, requires_grad=True)
        a, b = (x * 1).detach().split(2)
        a.mul_(2)
        print(a, a.grad_fn)
    """,
    "multi_single": """
        x = torch.ones(1, requires_grad=True)
        (a,) = (x * 1).unbind()
        print(a.grad_fn, a._is_view())
        attempt(a.mul_, 2)
    """,
    "retain_grad_view_base_write": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        v.retain_grad()
        y.mul_(2)
        y.sum().backward()
        print(v.retains_grad, y.retains_grad)
        print(v.grad)
    """,
    "retain_grad_view_base_write2": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        v.retain_grad()
        y.mul_(2)
        print(v.grad_fn)
        (v * 3).sum().backward()
        print(v.grad)
    """,
    "retain_grad_view_self_write": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        v.retain_grad()
        y.retain_grad()
        v.mul_(2)
        (v * 3).sum().backward()
        print(v.grad, y.grad, x.grad)
    """,
    "hooks_view_self_write": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        v.register_hook(lambda g: print("v old", g))
        y.register_hook(lambda g: print("y old", g))
        v.mul_(2)
        v.register_hook(lambda g: print("v new", g))
        y.register_hook(lambda g: print("y new", g))
        (v * 3).sum().backward(retain_graph=True)
        y.sum().backward()
    """,
    "nograd_write_base_regenerates": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        u = y[1:]
        with torch.no_grad():
            y.mul_(3)
        print(v.grad_fn, v, y.grad_fn, u.is_leaf)
        (v * v).sum().backward()
        print(x.grad)
    """,
    "nograd_write_through_view": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        with torch.no_grad():
            v.mul_(3)
        print(v.grad_fn, y.grad_fn, y)
        (v * v).sum().backward()
        print(x.grad)
    """,
    "nograd_write_leaf_view": """
        x = torch.ones(4, requires_grad=True)
        v = x[:2]
        with torch.no_grad():
            x.mul_(3)
        print(v.grad_fn, v.grad_fn.next_functions[0][0])
        (v * v).sum().backward()
        print(x.grad)
    """,
    "detach_write_regenerates": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        y.detach().mul_(2)
        print(v.grad_fn, v._version)
    """,
    "data_write_does_not": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        y.data.mul_(2)
        print(v.grad_fn, v._version, v)
    """,
    "increment_version": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[:2]
        torch.autograd.graph.increment_version(y)
        print(v.grad_fn, v._version)
        torch.autograd.graph.increment_version([y, x])
        print(x._version)
    """,
    "optimizer_step_regenerates": """
        x = torch.ones(4, requires_grad=True)
        v = x[:2]
        (x * x).sum().backward()
        torch.optim.SGD([x], lr=0.1).step()
        print(v.grad_fn, x, v)
        v = x[:2]
        torch.optim.Adam([x], lr=0.1).step()
        print(v.grad_fn)
    """,
    "other_views_regenerate": """
        x = torch.ones(2, 2, requires_grad=True)
        for f in (
            lambda t: t.diagonal(),
            lambda t: t.expand(3, 2, 2),
            lambda t: t.as_strided((2,), (1,)),
            lambda t: t.t(),
            lambda t: t.squeeze(),
            lambda t: t.unsqueeze(0),
            lambda t: t.permute(1, 0),
            lambda t: t.view(-1),
            lambda t: t.reshape(4),
            lambda t: t.narrow(0, 0, 1),
            lambda t: t.select(0, 0),
            lambda t: t[..., 0],
            lambda t: t.movedim(0, 1),
            lambda t: t.view_as(t),
            lambda t: t.T,
            lambda t: t.mT,
            lambda t: t.flatten(),
            lambda t: t.unflatten(0, (1, 2)),
            lambda t: t.expand_as(torch.zeros(3, 2, 2)),
            lambda t: t.transpose(0, 1)[0],
            lambda t: t.swapaxes(0, 1),
            lambda t: t.detach(),
            lambda t: t[None],
            lambda t: t[:, ::2],
        ):
            y = x * torch.tensor([[1.0, 2.0], [3.0, 4.0]])
            v = f(y)
            a = v.grad_fn
            y.mul_(2)
            print(a, v.grad_fn, v.requires_grad, v._is_view(), v)
            if v.requires_grad:
                (v * v).sum().backward()
                print(x.grad)
                x.grad = None
    """,
    "write_in_loop": """
        x = torch.ones(3, requires_grad=True)
        out = torch.zeros(5, 3)
        rows = []
        h = x
        for t in range(5):
            h = h * 1.5
            out[t] = h
            rows.append(out[t])
        out.sum().backward()
        print(x.grad)
        print(rows[0].grad_fn, rows[4].grad_fn)
    """,
    "view_write_while_base_dead": """
        x = torch.ones(3, requires_grad=True)
        v = (x * 2)[:2]
        u = v[0]
        v.mul_(3)
        print(u, u.grad_fn, v.grad_fn, v._base)
        (v.sum() + u).backward()
        print(x.grad)
    """,
    "version_of_views_and_is_leaf": """
        y = torch.ones(3)
        v = y[:2]
        y.mul_(2)
        y.requires_grad_()
        print(v.requires_grad, v.is_leaf)
        print(v.grad_fn, v.is_leaf)
        (v * 3).sum().backward()
        print(y.grad)
    """,
    "base_requires_grad_toggle": """
        y = torch.ones(3)
        v = y[:2]
        y.requires_grad_()
        print(v.requires_grad)
        v.requires_grad_(False)
        print(v.requires_grad)
        y.requires_grad_(False)
        print(v.requires_grad)
        v.requires_grad_(True)
        print(v.requires_grad, y.requires_grad)
        y.requires_grad_(True)
        y.requires_grad_(False)
        print(v.requires_grad, y.requires_grad)
    """,
    "setter_vs_method": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        attempt(y.requires_grad_, False)
        attempt(setattr, y, "requires_grad", False)
        attempt(setattr, y, "requires_grad", True)
        print(y.requires_grad_(True) is y)
        attempt(torch.arange(3).requires_grad_, True)
        attempt(setattr, torch.arange(3), "requires_grad", True)
        torch.arange(3).requires_grad_(False)
        attempt(setattr, x, "requires_grad", 1)
        attempt(setattr, x, "requires_grad", None)
        attempt(x.requires_grad_, 1)
        attempt(lambda: delattr(x, "requires_grad"))
    """,
    "detach_of_base_with_views": """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        v = y[:2]
        y.detach_()
        print(y.requires_grad, v.requires_grad, v.grad_fn)
        v.mul_(2)
        print(y.requires_grad, v.grad_fn, y.grad_fn)
    """,
    "view_leaf_unaltered_backward": """
        x = torch.ones(3, requires_grad=True)
        with torch.no_grad():
            v = x[:2]
        (v * 2).sum().backward()
        print(x.grad, v.grad)
        attempt(v.sum().backward)
        attempt(lambda: v[0].backward())
        attempt(torch.autograd.grad, (v * 2).sum(), v)
        attempt(torch.autograd.grad, (v * 2).sum(), x)
        v.retain_grad()
        v.register_hook(print)
        with torch.no_grad():
            s = x[0]
        attempt(s.backward)
        v.requires_grad_()
        (v * 2).sum().backward()
        print(x.grad, v.grad)
    """,
    "numpy_of_nograd_view": """
        x = torch.ones(3, requires_grad=True)
        with torch.no_grad():
            attempt(lambda: x[:2].numpy())
            print(x[:2])
            print((x[:2] * 2).requires_grad)
    """,
    "deep": """
        x = torch.ones(2, 3, requires_grad=True)
        y = x * 1
        a = y.t()
        b = a[1:]
        c = b.reshape(-1)
        d = b[0]
        d.mul_(5)
        print(y, a, b, c, d)
        for t in (y, a, b, c, d):
            print(t.grad_fn, t._base is y)
        (c * torch.arange(4.0)).sum().backward()
        print(x.grad)
    """,
    "write_base_then_view_then_base": """
        x = torch.ones(4, requires_grad=True)
        y = x * 1
        v = y[1:3]
        y.mul_(2)
        v.mul_(3)
        y.mul_(v.sum())
        v.add_(1)
        print(y, v, y.grad_fn, v.grad_fn)
        (y * v.sum()).sum().backward()
        print(x.grad)
    """,
    "copy_into_view_of_fresh": """
        w = torch.ones(2, requires_grad=True)
        y = torch.zeros(4)
        y[:2].copy_(w)
        y[2:] = w * 2
        print(y.grad_fn, y.grad_fn.next_functions)
        y.sum().backward()
        print(w.grad)
    """,
    "grads_into_view_grad_buffer": """
        x = torch.ones(4, requires_grad=True)
        buf = torch.zeros(8)
        x.grad = buf[:4]
        (x * 2).sum().backward()
        print(buf, x.grad)
        (x * 2).sum().backward()
        print(buf, x.grad._base is buf)
    """,
    "hooks_survive_toggle": """
        x = torch.ones(2, requires_grad=True)
        x.register_hook(lambda g: print("hook", g))
        x.register_post_accumulate_grad_hook(lambda p: print("post", p.grad))
        x.requires_grad_(False)
        x.requires_grad_(True)
        (x * 2).sum().backward()
        x.requires_grad = False
        x.requires_grad = True
        (x * 2).sum().backward()
        y = x * 2
        x.requires_grad_(False)
        y.sum().backward()
        print(x.grad)
        attempt(x.register_hook, print)
    """,
    "noncontig": """
        x = torch.ones(3, 3, requires_grad=True)
        a = x * 1
        for f in (
            lambda: a.diagonal().reshape(-1),
            lambda: a.t().reshape(-1),
            lambda: a[:, :2].reshape(-1),
            lambda: a[:, 0].reshape(3, 1),
            lambda: a[:2].reshape(-1),
            lambda: a[:, :2].reshape(3, 1, 2),
            lambda: a.t().flatten(),
            lambda: a[:, 0].flatten(),
            lambda: a[::2].reshape(2, 3),
            lambda: a[::2].flatten(),
            lambda: a[:, 0].unflatten(0, (3, 1)),
            lambda: a[:, :2].reshape(3, 2),
            lambda: a.reshape(3, 3),
            lambda: a.flatten(0, 0),
            lambda: a.expand(2, 3, 3).reshape(-1),
            lambda: a[0, 0].flatten(),
            lambda: a[0, 0].reshape(1),
            lambda: a[:, 0].ravel(),
            lambda: a.t().ravel(),
            lambda: a.ravel(),
            lambda: a.t().reshape(9).view(3, 3),
            lambda: a.reshape_as(torch.ones(9)),
            lambda: a[:, 0].reshape_as(torch.ones(3, 1)),
            lambda: a.t().contiguous(),
            lambda: a.contiguous(),
            lambda: a.view_as(a),
            lambda: a.t().reshape(3, 3),
            lambda: a.view(9),
            lambda: a.t().unsqueeze(0).reshape(3, 3),
        ):
            r = f()
            n = r.grad_fn
            print(
                n.name(),
                n.next_functions[0][0].name(),
                r._is_view(),
                r._base is a,
                {k: getattr(n, k) for k in dir(n) if k.startswith("_saved")},
                r.shape,
            )
            r.sum().backward(retain_graph=True)
        print(x.grad)
    """,
    "leafbug": """
        w = torch.ones((), requires_grad=True)
        a = torch.zeros(6).view(2, 3)
        a[0] = w
        print(a.is_leaf, a.requires_grad)
        try:
            a.mul_(2)
            print("ok")
        except Exception as e:
            print(e)
        print(a.grad_fn.name(), a.is_leaf)
        a.mul_(2)
        print(a)
    """,
    "leafbug3": """
        w = torch.ones((), requires_grad=True)
        b = torch.zeros(6)
        a = b.view(2, 3)
        b[0] = w
        print(a.is_leaf, a.requires_grad, a.retains_grad, a.output_nr)
        try:
            a.requires_grad_(False)
        except Exception as e:
            print(e)
        try:
            a.detach_()
        except Exception as e:
            print(e)
        a.register_hook(lambda g: print("h", g))
        print(a.is_leaf)
        a.sum().backward()
        print(w.grad)
    """,
    "leafbug4": """
        w = torch.ones((), requires_grad=True)
        b = torch.zeros(6)
        a = b.view(2, 3)
        b[0] = w
        for f in (
            lambda: a.add_(1),
            lambda: a.t_(),
            lambda: a.zero_(),
            lambda: a[0].zero_(),
            lambda: a.copy_(torch.ones(2, 3)),
            lambda: a.__setitem__(0, 1.0),
            lambda: b.mul_(2),
        ):
            try:
                f()
                print("ok", a.is_leaf)
            except Exception as e:
                print(e)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


@pytest.mark.parametrize(
    "arguments",
    [
        "'int32'", "1.5", "", "None", "(1, 'a')", "1, 'a'", "'a', 1", "2, 1.0", "2.0, 1", "[1.5, 2]", "dtype(), 2",
        "2, dtype()", "(2,), (1,)", "True", "2, True", "size=3.0", "size=(2, 1)", "shape=(2, 1)", "2, size=(1,)",
        "torch.tensor(2), 1", "[]", "{}", "dtype=3", "3, dtype=dtype()", "dtype()", "dtype=dtype()", "range(2)",
        "size=None", "1, (2,)", "torch.Size([1, 2])",
    ],
)  # fmt: skip
def test_what_view_may_be_called_with(arguments: str) -> None:
    program = f"""
        dtype = lambda: torch.float32
        leaf = torch.ones(2, requires_grad=True)
        attempt(lambda: leaf.view({arguments}))
    """
    assert_same(program)
