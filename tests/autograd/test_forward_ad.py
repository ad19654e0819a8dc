"""Forward mode: tangents equal PyTorch's and the derivatives of the reverse mode, on every backend."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
import retrograd.autograd.forward_ad as fwAD

FUNCTIONS = {
    "arithmetic": "d * d / (1 + d) - 2 / d + 3 ** d",
    "elementwise": "d.exp().log1p().sin().tanh().sigmoid().abs().sqrt()",
    "two inputs": "torch.atan2(d, d.t()) + torch.maximum(d, d.t() * 0.9) + d ** d.t().abs()",
    "broadcasting": "d * d[0] + d[:, :1]",
    "numbers": "(d * 2 + 1) / 4 - 1",
    "reductions": "d.sum(0) + d.mean(1) + d.prod(0) + d.var(1) + d.norm() + d.logsumexp(0)",
    "selection": "d.max(1)[0] + d.min(0)[0] + d.sort(1)[0][0] + d.median(0)[0]",
    "products": "d @ d.t() @ d[0]",
    "views": "d.t()[0].reshape(3, 1).expand(3, 2).squeeze().unsqueeze(0)",
    "joins": "torch.cat([d, d * 2])[1:4] + torch.stack([d, d])[1]",
    "pieces": "d.split(1)[1] + d.unbind()[2] + d.chunk(3)[0]",
    "indexing": "d[torch.tensor([0, 2])] + d[1, 1]",
    "masks": "torch.where(d > 0.5, d, d * d) + d.masked_fill(d > 0.9, 1.)",
    "scans": "d.cumsum(1) + d.cumprod(0)",
    "softmax": "d.softmax(1) * d.log_softmax(0)",
    "clamp": "d.clamp(0.2, 0.8)",
    "types": "d.to(torch.float64) * 2",
    "losses": "F.mse_loss(d, d.t().detach()) + F.binary_cross_entropy_with_logits(d, torch.ones(3, 3))",
    "layers": "F.relu(F.linear(d, d, d[0])) + F.gelu(d) + F.layer_norm(d, (3,))",
    "written in place": "(lambda y: (y.mul_(d), y.add_(1), y)[-1])(d * 1)",
    "view written": "(lambda y: (y[0].mul_(3), y)[-1])(d * 1)",
    "view sees the write": "(lambda y: (lambda v: (y.mul_(d), v * 1)[-1])(y[1]))(d * 1)",
    "element assigned": "(lambda y: (y.__setitem__((0, 1), d[1, 1]), y)[-1])(torch.zeros(3, 3))",
    "overwritten": "(lambda y: (y.zero_(), y + d)[-1])(d * 1)",
    "detached": "d.detach() * d",
}

PROGRAM = """
import importlib
fwAD = importlib.import_module(torch.__name__ + ".autograd.forward_ad")
primal = torch.tensor([[.3, .6, .9], [.2, .55, .7], [.8, .1, .4]])
tangent = torch.tensor([[1., -2., .5], [0., 1., 2.], [-1., .25, 3.]])
with fwAD.dual_level():
    d = fwAD.make_dual(primal, tangent)
    result = {expression}
    print(fwAD.unpack_dual(result).tangent)
"""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tangents_equal_those_of_pytorch(name: str, backend: str) -> None:
    assert_same(PROGRAM.replace("{expression}", FUNCTIONS[name]))


def test_misuse_raises_the_errors_of_pytorch() -> None:
    assert_same("""
        import importlib
        fwAD = importlib.import_module(torch.__name__ + ".autograd.forward_ad")
        x = torch.ones(3)
        attempt(fwAD.make_dual, x, x)
        attempt(fwAD.exit_dual_level)
        with fwAD.dual_level():
            attempt(fwAD.make_dual, x, torch.ones(2))
            attempt(fwAD.make_dual, torch.ones(3, dtype=torch.int64), x)
            d = fwAD.make_dual(x, x * 2)
            attempt(fwAD.make_dual, d, x)
            print(fwAD.unpack_dual(x).tangent, fwAD.unpack_dual(d).primal, fwAD.unpack_dual(d).tangent)
        print(fwAD.unpack_dual(d).tangent)
    """)


class Cube(retrograd.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_forward(a)
        return a**3

    @staticmethod
    def jvp(ctx, tangent):
        (a,) = ctx.saved_for_forward
        return 3 * a**2 * tangent


class NoRule(retrograd.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a * 1


def test_a_custom_function_pushes_tangents_by_its_jvp(backend: str) -> None:
    with fwAD.dual_level():
        dual = fwAD.make_dual(retrograd.tensor([1.0, 2.0]), retrograd.tensor([1.0, 10.0]))
        assert fwAD.unpack_dual(Cube.apply(dual)).tangent.tolist() == [3.0, 120.0]
        with pytest.raises(NotImplementedError, match="You must implement the jvp function"):
            NoRule.apply(dual)


def test_reverse_over_forward_is_the_second_derivative(backend: str) -> None:
    x = retrograd.tensor([0.5, 2.0], requires_grad=True)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, retrograd.ones(2))
        tangent = fwAD.unpack_dual((dual**3).sum()).tangent
        assert tangent is not None
        tangent.backward()
    assert x.grad is not None
    assert retrograd.allclose(x.grad, 6 * x.detach())


def test_forward_over_reverse_is_the_second_derivative(backend: str) -> None:
    with fwAD.dual_level():
        x = retrograd.tensor([0.5, 2.0], requires_grad=True)
        dual = fwAD.make_dual(x, retrograd.tensor([1.0, 10.0]))
        (slope,) = retrograd.autograd.grad((dual**3).sum(), dual, create_graph=True)
        tangent = fwAD.unpack_dual(slope).tangent
    assert tangent is not None
    assert retrograd.allclose(tangent, retrograd.tensor([3.0, 120.0]))
