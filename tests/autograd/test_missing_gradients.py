"""What the backward of a custom Function gets for outputs that nobody uses, or that have no gradient."""

from __future__ import annotations

from programs import assert_same


def test_outputs_without_a_gradient_may_go_without_zeros() -> None:
    assert_same("""
    class Several(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, zeros):
            first, second = x.clone(), x.clone()
            ctx.mark_non_differentiable(second)
            ctx._materialize_non_diff_grads = zeros
            return first, second, x * 3, x.long()

        @staticmethod
        def backward(ctx, *grads):
            print(grads)
            return grads[0], None

    for zeros in True, False:
        x = torch.tensor(1.0, requires_grad=True)
        Several.apply(x, zeros)[0].backward()
        print(x.grad)
    """)
