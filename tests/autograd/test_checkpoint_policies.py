"""Policies written for PyTorch's selective checkpointing: the same operators in the same order, and the same errors."""

from __future__ import annotations

import pytest
from programs import assert_same

_PRELUDE = """
        from importlib import import_module
        checkpoints = import_module(torch.__name__ + ".utils.checkpoint")
        aten = torch.ops.aten
        # PyTorch asks about views too, and about conversions that do nothing.
        views = "t transpose view _unsafe_view unsqueeze squeeze expand permute slice select alias detach".split()

        def run(region, policy, x=None):
            x = torch.tensor([[0.5, 0.25], [1.5, -1.0]], requires_grad=True) if x is None else x
            contexts = lambda: checkpoints.create_selective_checkpoint_contexts(policy)
            y = checkpoints.checkpoint(region, x, use_reentrant=False, context_fn=contexts)
            y.sum().backward()
            print(x.grad)
"""

PROGRAMS = {
    "operators_asked_about": """
        def policy(ctx, op, *args, **kwargs):
            if op.overloadpacket.__name__ not in views:
                print(op, op.name(), ctx.is_recompute, type(args[0]).__name__ if args else None)
            return checkpoints.CheckpointPolicy.PREFER_RECOMPUTE

        w = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        b, index, ends, labels = torch.ones(2), torch.tensor([[0, 1]]), torch.tensor([0, 3]), torch.tensor([0, 1])

        def products(x):
            return F.linear(x, w, b) + torch.matmul(x, w) + x @ b + torch.bmm(x[None], w[None])[0] + x[0].dot(b)

        def elementwise(x):
            y = x * 2 + 1 - x / 3
            y = y.exp().sin().tanh().sigmoid().relu() * x.abs() + x ** 2 + 2 ** x + x ** x.abs() + (-x) + 1 / x
            y = torch.where(y > 0, y, x) + torch.maximum(x, y) + x.clamp(0, 1) + x.clamp(min=y)
            return y + (x == y) + (x < 1) + F.gelu(x) + F.softplus(x) + torch.lerp(x, y, 0.5) + x.sqrt().nan_to_num()

        def reductions(x):
            y = x.sum() + x.sum(0) + x.mean() + x.mean(1) + x.prod() + x.prod(0) + x.max() + x.max(0).values
            return y + x.var() + x.std(0) + x.amax(0) + x.logsumexp(0) + x.cumsum(0) + F.softmax(x, 0) + x.argmax()

        def moves(x):
            y = torch.cat([x, x]) + torch.stack([x, x], 0).reshape(4, 2)
            return y[ends] + x.gather(0, index) + x.index_select(0, index[0]) + x.tril() + x.flip(0)

        def layers(x):
            y = F.layer_norm(x, (2,)) + F.log_softmax(x, 1)
            return y + F.cross_entropy(x, labels) + F.mse_loss(x, w) + F.smooth_l1_loss(x, w)

        for region in (products, elementwise, reductions, moves, layers):
            print(region.__name__)
            run(region, policy)
    """,
    "lists": """
        def region(x):
            return (x.mm(x).exp() + x.sum(0)).sin()

        several = [aten.exp.default, aten.sum.dim_IntList]
        for ops in ([aten.mm.default], several, [aten.sum.default], [aten.t.default], []):
            run(region, ops)
        for ops in ([aten.mm], ["mm"], 3, [3]):
            attempt(checkpoints.create_selective_checkpoint_contexts, ops)
    """,
    "set_of_overloads": """
        save = {aten.mm.default, aten.addmm.default, aten.mul.Tensor}

        def policy(ctx, op, *args, **kwargs):
            print(op in save, ctx.op_output.shape)
            policy = checkpoints.CheckpointPolicy
            return policy.MUST_SAVE if op in save else policy.PREFER_RECOMPUTE

        run(lambda x: (x.mm(x) * x).exp(), policy)
        run(lambda x: (x.mm(x) * x).exp(), lambda ctx, op, *args, **kwargs: op == aten.exp.default)
    """,
    "names": """
        mm = torch.ops.aten.mm
        print(mm, mm.default, mm.__name__, mm.default.__name__, mm.default.name(), mm.default.namespace)
        print(repr(mm), repr(mm.default), mm.default is aten.mm.default, mm.default.overloadpacket is mm)
        print(aten.sum.dim_IntList.name(), aten.add.Tensor, aten.view.default, aten.add_.Tensor)
        print(mm(torch.ones(1, 1), torch.ones(1, 1)), aten.sum.dim_IntList(torch.ones(2, 2), [0]))
        attempt(lambda: aten.nope)
        attempt(lambda: mm.nope)
        print({mm.default: 1}[aten.mm.default], "default" in mm.overloads())
        print(aten.detach.default in checkpoints.SAC_IGNORED_OPS, mm.default in checkpoints.SAC_IGNORED_OPS)
    """,
    "arguments_of_regions": """
        import warnings
        t = torch.ones(1, requires_grad=True) * 2
        x, number, plain = checkpoints.detach_variable((t, 3, torch.ones(1)))
        print(x, x.is_leaf, number, plain)
        attempt(checkpoints.detach_variable, t)
        attempt(checkpoints.detach_variable, [t])
        for inputs in ([torch.ones(1)], [t, 3], []):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                checkpoints.check_backward_validity(inputs)
            print([str(each.message) for each in caught])
        print(checkpoints.get_device_states(t, 3), checkpoints.set_device_states([], []))
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_pytorch(name: str, backend: str) -> None:
    assert_same(_PRELUDE + PROGRAMS[name])


def test_policies_are_asked_of_views_and_writes_as_in_pytorch(backend: str) -> None:
    assert_same(
        """
        from functools import partial
        tools = torch.utils.checkpoint
        functions = (
            lambda a: a.view(-1).sin(), lambda a: a.reshape(4, 1).sin(), lambda a: a.t().sin(), lambda a: a.mT.sin(),
            lambda a: a[:1].sin(), lambda a: a[0, 1:].sin(), lambda a: a[None].squeeze(0).sin(),
            lambda a: a.squeeze().sin(), lambda a: a.transpose(0, 1).permute(1, 0).sin(),
            lambda a: a.expand(3, 2, 2).sin(), lambda a: a.unbind(0)[0].sin(), lambda a: a.unbind(1)[0].sin(),
            lambda a: a.split(1)[0].sin(), lambda a: a.split(1, 1)[0].sin(), lambda a: a.diagonal().sin(),
            lambda a: a.unfold(0, 2, 1).sin(), lambda a: a.as_strided((2,), (1,)).sin(),
            lambda a: a.sin().add_(1).cos(), lambda a: a.sin().relu_().cos(), lambda a: a.sin().zero_() + a.cos(),
            lambda a: a.sin().copy_(a) + a, lambda a: a.sin().fill_(2) + a, lambda a: torch.add(a, a, alpha=2).sin(),
            lambda a: a.sin() + a.detach(),
        )
        for function in functions:
            asked = []
            def policy(context, op, *args, **kwargs):
                asked.append((str(op), len(args), sorted(kwargs), context.is_recompute))
                return tools.CheckpointPolicy.PREFER_SAVE
            a = torch.arange(4.0).reshape(2, 2).requires_grad_()
            contexts = partial(tools.create_selective_checkpoint_contexts, policy, allow_cache_entry_mutation=True)
            tools.checkpoint(function, a, use_reentrant=False, context_fn=contexts).sum().backward()
            print(asked, a.grad + 0.0)
        products = [torch.ops.aten.mm.default, torch.ops.aten.view.default, torch.ops.aten.slice.Tensor]
        runs = []
        def products_of_views(a):
            runs.append(1)
            return (a @ a.view(-1).reshape(2, 2))[:1].sin()
        a = torch.arange(4.0).reshape(2, 2).requires_grad_()
        contexts = partial(tools.create_selective_checkpoint_contexts, products)
        tools.checkpoint(products_of_views, a, use_reentrant=False, context_fn=contexts).sum().backward()
        print(len(runs), a.grad)
        attempt(tools.create_selective_checkpoint_contexts, [torch.ops.aten.mm])
        attempt(tools.create_selective_checkpoint_contexts, 3)
        """
    )
