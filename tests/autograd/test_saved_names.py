"""What nodes show of what they have saved, and hooks on it: the same as PyTorch shows."""

from __future__ import annotations

import pytest
from programs import assert_same

PROGRAMS = {
    "numbers_as_they_were_given": """
        a, m, F = torch.arange(1.0, 4.0).requires_grad_(), torch.ones(3, 3, requires_grad=True), torch.nn.functional
        for y in (F.softplus(a), F.softplus(a, 2, 10), F.softplus(a, 2.5)):
            print(y.grad_fn._saved_beta, y.grad_fn._saved_threshold)
        vector_norm = torch.linalg.vector_norm
        for y in (
            a.norm(), a.norm(1), torch.norm(a, 3.0), torch.norm(m, 2, 1), a.norm(torch.inf), vector_norm(a),
            vector_norm(a, 3), vector_norm(a, 1.5), vector_norm(a, -1), vector_norm(m, 0, 1),
        ):
            print(y, y.grad_fn._saved_ord, torch.autograd.grad(y.sum(), m if y.ndim else a, allow_unused=True))
        print(F.huber_loss(a, a.detach(), delta=2).grad_fn._saved_delta)
    """,
    "common_operators": """
        x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64, requires_grad=True)
        w = torch.full((3, 2), 2.0, dtype=torch.float64, requires_grad=True)

        def text(v):
            return (tuple(v.shape), v.dtype, v.tolist()) if isinstance(v, torch.Tensor) else v

        def show(y):
            node = y.grad_fn
            names = [n for n in sorted(dir(node)) if n.startswith("_saved_")]
            print(type(node).__name__, {n: text(getattr(node, n)) for n in names})
            print([n for n in sorted(dir(node)) if n.startswith("_raw_saved_")])

        for y in (
            x + 1,
            x + x,
            x * 2,
            x * 2.5,
            2 * x,
            x * x,
            x / 3,
            x - x,
            x**2,
            x**2.5,
            2**x,
            x**x,
            x.exp(),
            x.log(),
            x.tanh(),
            x.sigmoid(),
            x.relu(),
            x.sqrt(),
            x.rsqrt(),
            x.abs(),
            x.sin(),
            x.clamp(0, 3),
            x.clamp(min=2),
            -x,
            x.reciprocal(),
        ):
            show(y)
        for y in (
            x.sum(),
            x.sum(-1),
            x.sum((0, -1)),
            x.sum(1, True),
            x.mean(),
            x.mean(0),
            x.prod(),
            x.amax(1),
            x.amax(),
            x.logsumexp(-1),
            x.norm(),
            x.softmax(-1),
            x.log_softmax(0),
            x.cumsum(-1),
        ):
            if not y.grad_fn.name().startswith("Prod"):
                show(y)
        for y in (
            x.max(1).values,
            x.max(),
            x.sort(-1).values,
            x.topk(2).values,
            x.median(0).values,
            x.kthvalue(1, 0).values,
        ):
            show(y)
        for y in (torch.where(x > 2, x, x), x.masked_fill(x > 2, 1.0), x.lerp(x, 0.5)):
            show(y)
    """,
    "products": """
        a = torch.ones(2, 3, requires_grad=True)
        b = torch.ones(3, 4, requires_grad=True)
        y = a @ b
        for n in sorted(dir(y.grad_fn)):
            if n.startswith("_saved_"):
                v = getattr(y.grad_fn, n)
                print(n, tuple(v.shape) if isinstance(v, torch.Tensor) else v)
        y = torch.ones(2, 3) @ b
        print(y.grad_fn._saved_self.shape, y.grad_fn._saved_mat2)
        c = torch.ones(4, requires_grad=True)
        for bias, left, right in ((c, a, b), (c, a.detach(), b), (c.detach(), a, b), (c, a.detach(), b.detach())):
            node = torch.addmm(bias, left, right, beta=2, alpha=3).grad_fn
            names = [n for n in sorted(dir(node)) if n.startswith("_saved_")]
            shown = {n: getattr(node, n) for n in names if not n.endswith("strides")}
            print({n: tuple(v.shape) if isinstance(v, torch.Tensor) else v for n, v in shown.items()})
        node = F.linear(a, b.detach().t(), c).grad_fn
        print({n: getattr(node, n) for n in sorted(dir(node)) if n.startswith("_saved_mat") and "sizes" in n})
    """,
    "views": """
        x = torch.ones(2, 3, 4, requires_grad=True)

        def show(y):
            node = y.grad_fn
            print(type(node).__name__, {n: getattr(node, n) for n in sorted(dir(node)) if n.startswith("_saved_")})

        for y in (
            x[0],
            x[-1],
            x.select(-1, 2),
            x[:, 1:],
            x[..., ::2],
            x.narrow(1, 0, 2),
            x[:, 1:-1],
            x.squeeze(),
            x[:1].squeeze(0),
            x[:1].squeeze((0, -1)),
            x.unsqueeze(-1),
            x.expand(5, 2, 3, 4),
            x.view(-1, 4),
            x[0].t(),
            x.transpose(0, -1),
            x.permute(2, 0, -2),
            x.diagonal(1, -1, 0),
            x.unfold(-1, 2, 1),
            x.as_strided((2, 2), (1, 2), 1),
            x.unbind(-1)[0],
            x.split(2, -1)[0],
            x.split([1, 2], 1)[0],
            x.chunk(2, -1)[0],
            x.movedim(0, -1),
            x.mT,
            x[None],
        ):
            show(y)
    """,
    "indices": """
        x = torch.arange(24.0).view(2, 3, 4).requires_grad_()
        i = torch.tensor([1, 0])

        def show(y):
            node = y.grad_fn
            print(type(node).__name__, {n: getattr(node, n) for n in sorted(dir(node)) if n.startswith("_saved_")})

        mask = x.detach()[0] > 5
        for y in (x[i], x[:, i], x[..., i], x[i, :, i], x[:, mask], x[x > 5], x[[0, 1], [1, 2]], x[:, mask[:, 1], 0]):
            show(y)
        for key in (i, (slice(None), mask), (Ellipsis, i)):
            y = x * 1
            part = torch.ones(y[key].shape)
            y[key] = part
            show(y)
        show((x * 1).index_put_((i,), x.detach()[:2], accumulate=True))
        show(x.take(i))
        show(x[0].masked_select(mask))
        show(x[0].trace())
        show(x.index_copy(0, i, x.detach()))
        show(x.unsafe_split(1)[0])
    """,
    "pools_and_resampling": """
        x = torch.arange(16.0).view(1, 1, 4, 4).requires_grad_()

        def show(y):
            node = y.grad_fn
            names = [n for n in sorted(dir(node)) if n.startswith("_saved_")]
            print(type(node).__name__, {n: getattr(node, n) for n in names if n not in ("_saved_self", "_saved_input")})
            print(getattr(node, "_saved_self", x).shape)

        show(F.max_pool2d(x, 2))
        show(F.max_pool2d(x, 2, (1, 2)))
        show(F.avg_pool2d(x, 2, padding=1))
        show(F.adaptive_avg_pool2d(x, 2))
        show(F.interpolate(x, scale_factor=2))
        show(F.interpolate(x, size=(3, 3), mode="bilinear"))
        show(F.pad(x, (1, 0, 2, 0)))
        show(F.pad(x, (1, 1, 1, 1), mode="reflect"))
        show(F.conv2d(x, torch.ones(1, 1, 2, 2), torch.ones(1)))
        show(F.conv_transpose2d(x, torch.ones(1, 1, 2, 2), stride=2, output_padding=1))
        show(F.embedding(torch.tensor([0]), x[0, 0] * 1))
        show(F.batch_norm(x, torch.zeros(1), torch.ones(1)))
        for y in (x.std(), x.std(0), x.var(2, False), torch.var_mean(x, correction=0)[0], x.prod(), x.cumprod(-1)):
            show(y)
    """,
    "kept_tensors_are_checked": """
        x = torch.ones(1, 1, 2, 2, requires_grad=True)
        h = x * 1
        y = F.avg_pool2d(h, 2)
        h.add_(1)
        attempt(y.sum().backward)
        seen = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: seen.append(tuple(t.shape)), lambda t: t):
            F.max_pool2d(x, 2)
            F.layer_norm(x, (2,), torch.ones(2), torch.zeros(2))
            x.prod()
        print(len(seen))
    """,
    "losses": """
        x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
        t = torch.ones(2, 3)
        for y in (
            F.mse_loss(x, t),
            F.mse_loss(x, t, reduction="sum"),
            F.huber_loss(x, t, reduction="none"),
            F.smooth_l1_loss(x, t),
        ):
            n = y.grad_fn
            print(n.name(), n._saved_reduction, n._saved_target.shape)
            print([each for each in sorted(dir(n)) if each.startswith("_saved_")])
        y = F.nll_loss(x, torch.tensor([0, 2]))
        print(y.grad_fn._saved_reduction, y.grad_fn._saved_ignore_index, y.grad_fn._saved_target)
        for reduction in ("none", "sum", "mean"):
            for weight in (None, torch.tensor([1.0, 2.0, 5.0])):
                y = F.nll_loss(x, torch.tensor([2, -100]), weight, reduction=reduction)
                print(y.grad_fn._saved_total_weight, y.grad_fn._saved_self.shape)
    """,
    "freed_and_stale": """
        x = torch.ones(3, requires_grad=True)
        a = x * 1
        y = a * a
        a.add_(1)
        attempt(lambda: y.grad_fn._saved_self)
        y = x.exp()
        y.sum().backward()
        attempt(lambda: y.grad_fn._saved_result)
        attempt(lambda: y.grad_fn._saved_self)
        print(hasattr(y.grad_fn, "_saved_other"), hasattr((x + 1).grad_fn, "_saved_self"))
    """,
    "raw_saved": """
        x = torch.ones(3, requires_grad=True)
        y = x * torch.ones(3)
        r = y.grad_fn._raw_saved_other
        print(type(r).__name__)

        def kind(f, *a):
            try:
                print(f(*a))
            except TypeError:
                print("TypeError")

        kind(r.register_hooks, 1, 2)
        kind(r.register_hooks, lambda t: t)
        r.register_hooks(lambda t: t, lambda t: t)
        attempt(r.register_hooks, lambda t: t, lambda t: t)
        attempt(y.grad_fn._raw_saved_self.register_hooks, lambda t: t, lambda t: t)
        z = x.exp()

        def pack(t):
            print("pack", t)
            return 7

        def unpack(v):
            print("unpack", v)
            return torch.full((3,), 5.0)

        z.grad_fn._raw_saved_result.register_hooks(pack, unpack)
        z.sum().backward()
        print(x.grad)
        attempt(z.grad_fn._raw_saved_result.register_hooks, pack, unpack)
        attempt(lambda: z.grad_fn._raw_saved_nothing)
        z = x.exp()
        attempt(z.grad_fn._raw_saved_result.register_hooks, lambda t: t.mul_(2), lambda v: v)
    """,
    "pack_in_place": """
        x = torch.ones(3, requires_grad=True)
        w = torch.ones(3)

        def enter():
            with torch.autograd.graph.saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t):
                return x * w

        attempt(enter)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAMS[name])


def test_saved_indices_require_no_gradient(backend: str) -> None:
    assert_same(
        """
        x = torch.tensor([[1.0, 3.0], [2.0, 1.0]], requires_grad=True)
        for values, _ in (x.max(1), x.sort(1), x.topk(1)):
            print(values.grad_fn._saved_indices)
        """
    )
