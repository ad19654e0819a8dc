"""Forward mode: tangents equal PyTorch's and the derivatives of the reverse mode, on every backend."""

from __future__ import annotations

import gc
import importlib.util
import weakref

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
    "detached in place": "(lambda y: (y.detach_(), y)[-1])(d * 1)",
    "views in place": "(lambda y: (y.t_(), y.unsqueeze_(0), y.transpose_(0, 2), y.mul_(2), y)[-1])(d * 1)",
    "vector times matrix": "d[0] @ d",
    "view of a view written": "(lambda y: (y.view(9)[::2].mul_(d[0, 0]), y)[-1])(d * 1)",
    "view of a constant written": "(lambda y: (lambda w: (y[1].add_(d[0]), w * 1)[-1])(y[:, 0]))(torch.zeros(3, 3))",
    "strided view written": "(lambda y: (y.as_strided((2, 2), (1, 3)).mul_(d[0, 0]), y)[-1])(d * 1)",
    "filled with a tensor": "torch.ones(3, 3).fill_(d[0, 0])",
    "masked with a tensor": "torch.ones(3, 3).masked_fill(d > 0.5, d[0, 0])",
    "put": "torch.zeros(3, 3).index_put_((torch.tensor([0, 1]),), d[0])",
    "added at indices": "torch.ones(3, 3).index_add_(0, torch.tensor([0, 0]), d[:2], alpha=2)",
    "scattered": "torch.zeros(3, 3).scatter_(0, torch.tensor([[0, 1, 2]]), d)",
    "promoted": "d.double() * d + d * torch.tensor(2)",
    "one of several joined": "torch.cat([torch.ones(1, 3), d]) + torch.stack([d[0], torch.ones(3), d[1], d[2]])",
    "chosen between": "torch.where(d > 0.5, d, 0.) + torch.where(d > 0.5, torch.ones(3, 3), d)",
    "no derivative": "d.sum().long()",
    "positions": "d.max(1).indices",
    "complex": "torch.complex(d, d * 2).pow(2).sum().real + torch.complex(d, d.t()).abs()",
    "conjugates": "(torch.complex(d, d.t()).conj() * torch.complex(d, d)).angle() + torch.polar(d, d).real",
    "einsum": "torch.einsum('ij,jk,k->i', d, d, d[0])",
    "convolution": "F.conv1d(d[None], d[:, None], d[0], groups=3)",
    "transposed convolution": "F.conv_transpose1d(d[None], d[:, :, None], d[0])",
    "pools": "F.max_pool2d(d[None], 2, 1) + F.avg_pool2d(d[None], 2, 1) + F.adaptive_max_pool2d(d[None], 2)",
    "batch norm": "F.batch_norm(d, torch.zeros(3), torch.ones(3), d[0], d[1], training=True)",
    "batch norm of fixed statistics": "F.batch_norm(d, torch.zeros(3), torch.ones(3), d[0], d[1])",
    "group norm": "F.group_norm(d[None], 3, d[0], d[1]) + F.group_norm(torch.ones(1, 3, 3), 3, d[0])",
    "layer norm of constants": "F.layer_norm(torch.arange(3.), (3,), d[0], d[1])",
    "embedding": "F.embedding(torch.tensor([0, 2, 1]), d, padding_idx=2)",
    "cross entropy": "F.cross_entropy(d, torch.tensor([0, 2, 1]), weight=torch.tensor([1., 2., 3.]))",
    "running": "d.cummax(0)[0] + d.logcumsumexp(1) + d.cumprod(1)",
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
        attempt(fwAD.exit_dual_level, level=3)
        attempt(fwAD.make_dual, x, x, level=0)
        with fwAD.dual_level():
            attempt(fwAD.make_dual, x, x, level=1)
            attempt(fwAD.unpack_dual, x, level=2)
            attempt(fwAD.unpack_dual, fwAD.make_dual(x, x), level=2)
            attempt(fwAD.exit_dual_level, level=1)
    """)


def test_duals_inside_vmap_belong_to_a_level_that_began_there() -> None:
    assert_same("""
        import importlib
        fwAD = importlib.import_module(torch.__name__ + ".autograd.forward_ad")
        x, t = torch.tensor([1., 2.]), torch.tensor([1., 10.])
        with fwAD.dual_level():
            d = fwAD.make_dual(x, t)
            attempt(torch.vmap(lambda a, b: fwAD.make_dual(a, b)), x, t)
            attempt(torch.vmap(lambda a: fwAD.unpack_dual(a).primal), d)
            print(fwAD.unpack_dual(torch.vmap(lambda a: a * d)(d)))
    """)

    def inside(a: retrograd.Tensor, b: retrograd.Tensor) -> retrograd.Tensor | None:
        with fwAD.dual_level():
            return fwAD.unpack_dual(fwAD.make_dual(a, b) ** 2).tangent

    # PyTorch has none of it there.
    assert retrograd.vmap(inside)(retrograd.tensor([1.0, 2.0]), retrograd.tensor([1.0, 10.0])).tolist() == [2.0, 40.0]


def test_levels_of_the_interface_do_not_nest() -> None:
    with fwAD.dual_level(), pytest.raises(RuntimeError, match="Nested forward mode AD is not supported"):
        fwAD.enter_dual_level()


def test_the_interface_behaves_as_that_of_pytorch(backend: str) -> None:
    assert_same("""
        import importlib
        fwAD = importlib.import_module(torch.__name__ + ".autograd.forward_ad")
        x, t = torch.tensor([1., 2.]), torch.tensor([1., 10.])

        @fwAD.dual_level()
        def derivative(f):
            return fwAD.unpack_dual(f(fwAD.make_dual(x, t))).tangent

        print(derivative(torch.exp))
        with fwAD.dual_level() as level:
            print(level, fwAD.make_dual(x, t), fwAD.make_dual(x, t, level=level) * 2)
            d = fwAD.make_dual(x, t)
            with torch.no_grad():
                print(fwAD.unpack_dual(d * 2))
            with torch.inference_mode():
                print(fwAD.unpack_dual(d * 2))
            print(fwAD.unpack_dual(d.data), fwAD.unpack_dual(d.detach()))
            print(torch.func.grad(lambda v: (v ** 3).sum())(d))
    """)


def test_gradients_have_tangents_though_they_are_not_recorded(backend: str) -> None:
    assert_same("""
        import importlib
        fwAD = importlib.import_module(torch.__name__ + ".autograd.forward_ad")
        x = torch.tensor([0.5, 2.], requires_grad=True)
        with fwAD.dual_level():
            d = fwAD.make_dual(x, torch.tensor([1., 10.]))
            print(fwAD.unpack_dual(torch.autograd.grad((d ** 3).sum(), x)[0]))
            (d ** 3).sum().backward()
            print(fwAD.unpack_dual(x.grad))
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


SECOND = {
    "saved": "v.exp() * v",
    "promoted before it is saved": "v * torch.tensor([1., 3.], dtype=torch.float64) * v",
    "saved before it is written": "(lambda y: y.mul_(y * 1).mul_(v))(v * 1)",
    "saved through hooks": "hooked(v)",
    "saved by a Function": "Square.apply(v) * v",
    "output saved by a Function": "Exp.apply(v) * v",
}


class Square(retrograd.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a * 1, a)
        ctx.save_for_forward(a)
        return a * a

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[1] * grad

    @staticmethod
    def jvp(ctx, tangent):
        return 2 * ctx.saved_for_forward[0] * tangent


class Exp(retrograd.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        result = a.exp()
        ctx.save_for_backward(result)
        ctx.save_for_forward(result)
        return result

    @staticmethod
    def backward(ctx, grad):
        return ctx.saved_tensors[0] * grad

    @staticmethod
    def jvp(ctx, tangent):
        return ctx.saved_for_forward[0] * tangent


def hooked(v: retrograd.Tensor) -> retrograd.Tensor:
    with retrograd.autograd.graph.saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        return v.exp() * v


@pytest.mark.parametrize("name", SECOND)
def test_saved_tensors_keep_their_tangents(name: str, backend: str) -> None:
    scope = {"torch": retrograd, "Square": Square, "Exp": Exp, "hooked": hooked}
    x, t = retrograd.tensor([0.5, 2.0]), retrograd.tensor([1.0, 10.0])

    def f(v: retrograd.Tensor) -> retrograd.Tensor:
        return eval(SECOND[name], {**scope, "v": v}).sum()

    leaf = x.clone().requires_grad_()
    with fwAD.dual_level():
        tangent = fwAD.unpack_dual(f(fwAD.make_dual(leaf, t))).tangent
        assert tangent is not None
        (reverse_over_forward,) = retrograd.autograd.grad(tangent, leaf)
    with fwAD.dual_level():
        dual = fwAD.make_dual(leaf, t)
        (slope,) = retrograd.autograd.grad(f(dual), dual, create_graph=True)
        forward_over_reverse = fwAD.unpack_dual(slope).tangent
    assert forward_over_reverse is not None
    assert retrograd.allclose(forward_over_reverse, reverse_over_forward)
    assert bool((forward_over_reverse != 0).all())


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_a_tangent_moves_with_its_tensor_to_another_backend() -> None:
    with fwAD.dual_level():
        dual = fwAD.make_dual(
            retrograd.tensor([1.0, 2.0], device="numpy"), retrograd.tensor([1.0, 10.0], device="numpy")
        )
        moved = fwAD.unpack_dual((dual * dual).to("jax")).tangent
        assert moved is not None
        assert moved.device.backend == "jax"
        assert moved.tolist() == [2.0, 40.0]


def test_a_recorded_tangent_goes_when_its_tensor_does() -> None:
    gc.collect()
    gc.disable()
    try:
        with fwAD.dual_level():
            dual = fwAD.make_dual(retrograd.ones(3, requires_grad=True), retrograd.ones(3))
            result = (dual * dual).exp().sum()
            tangent = fwAD.unpack_dual(result).tangent
            assert tangent is not None
            gone = [weakref.ref(each) for each in (dual, result, tangent)]
            del dual, result, tangent
            assert [each() for each in gone] == [None] * 3
    finally:
        gc.enable()


_DUAL = """
fw = torch.autograd.forward_ad
x, i, o = torch.tensor([1., 4.]), torch.tensor([1, 2]), torch.zeros(2)
fw.enter_dual_level()
try:
    d = fw.make_dual(x, x)
    attempt(lambda: {call})
finally:
    fw.exit_dual_level()
"""

UNFIT = (
    "fw.make_dual(x, None)", "fw.make_dual(x, 1.)", "fw.make_dual(1., x)", "fw.make_dual(None, x)",
    "fw.make_dual([1.], x)", "fw.make_dual(i, x)", "fw.make_dual(x, i)", "fw.make_dual(x, x, level=-1)",
    "fw.make_dual(x, x, level=3)", "fw.unpack_dual(1.)", "fw.unpack_dual(None)", "fw.enter_dual_level()",
)  # fmt: skip


@pytest.mark.parametrize("call", UNFIT)
def test_what_is_no_dual_tensor_is_refused_as_in_pytorch(call: str) -> None:
    assert_same(_DUAL.replace("{call}", call))


OUT = (
    "torch.mul(d, x, out=o)", "torch.mul(x, x, out=d)", "torch.add(d, 1, out=o)", "torch.sin(d, out=o)",
    "torch.sum(d, 0, out=torch.zeros(()))", "torch.cumsum(d, 0, out=o)", "torch.mean(d, 0, out=torch.zeros(()))",
    "torch.max(d, 0, out=(torch.zeros(()), torch.zeros((), dtype=torch.int64)))",
    "torch.sort(d, out=(torch.zeros(2), torch.zeros(2, dtype=torch.int64)))",
    "torch.eq(d, x, out=torch.zeros(2, dtype=torch.bool))", "torch.cat([d, d], out=torch.zeros(4))",
    "torch.stack([d, d], out=torch.zeros(2, 2))", "torch.zeros(2, out=d)", "torch.arange(2., out=d)",
    "torch.mul(x, x, out=o)",
)  # fmt: skip


@pytest.mark.parametrize("call", OUT)
def test_out_is_refused_where_a_tangent_would_be_lost(call: str) -> None:
    assert_same(_DUAL.replace("{call}", call))


def test_out_is_refused_on_every_backend(backend: str) -> None:
    x, out = retrograd.ones(2), retrograd.zeros(2)
    with fwAD.dual_level(), pytest.raises(NotImplementedError, match="forward AD with mul_out that does not support"):
        retrograd.mul(fwAD.make_dual(x, x), x, out=out)
    assert out.tolist() == [0.0, 0.0]


_CALLED = """
fwAD = torch.autograd.forward_ad
def called(forward, jvp, *tangents, dirty=False):
    class Made(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            output = forward(*inputs)
            if dirty:
                ctx.mark_dirty(inputs[0])
            if dirty is None:
                ctx.mark_non_differentiable(output)
            return output
        @staticmethod
        def jvp(ctx, *given): return jvp(*given)
    with fwAD.dual_level():
        inputs = [torch.ones(3) if each is None else fwAD.make_dual(torch.ones(3), each) for each in tangents]
        made = Made.apply(*inputs)
        for each in made if isinstance(made, tuple) else (made,):
            print(fwAD.unpack_dual(each))
o = torch.arange(3.)
twice, same, written = lambda x: x * 2, lambda x: x, lambda x: x.mul_(2)
view = lambda x, *_: x.view(3)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "twice, lambda t: 3, o",
        "twice, lambda t: 's', o",
        "twice, lambda t: [t], o",
        "twice, lambda t: (t, 3), o",
        "lambda x: (x * 2, x * 3), lambda t: (t, 3), o",
        "lambda x: (x * 2, x * 3), lambda t: t, o",
        "twice, lambda t: t[0], o",
        "twice, twice, o, dirty=None",
        "twice, lambda t: None, o, dirty=None",
        "lambda x: x.int(), twice, o",
        "lambda x: x.int(), lambda t: None, o",
        "written, twice, o, dirty=True",
        "written, written, o, dirty=True",
        "written, lambda t: None, o, dirty=True",
        "written, lambda t: 4, o, dirty=True",
        "written, lambda t: t.mul_(2).clone(), o, dirty=True",
        "written, lambda t: t.mul_(2).view(3), o, dirty=True",
        "lambda x, y: x.mul_(y), lambda s, t: t * 2, None, o, dirty=True",
        "view, view, o",
        "view, twice, o",
        "view, lambda t: o[:3], torch.ones(3)",
        "view, lambda s, t: t.view(3), torch.ones(3), o",
        "view, lambda s, t: t * 1, None, o",
        "view, same, torch.ones(6)[:3]",
        "same, same, o",
        "same, view, o",
        "twice, same, o",
        "twice, view, o",
        "lambda x: (x[:1], x[1:]), lambda t: (t[:1], t[1:]), o",
        "lambda x: (x[:1], x[1:]), lambda t: (t[:1], t[1:] * 2), o",
    ],
)
def test_what_jvp_returns_is_checked_as_by_pytorch(arguments: str, backend: str) -> None:
    assert_same(f"called({arguments})", _CALLED)


def test_the_base_of_a_view_that_a_function_writes_to_gets_a_tangent(backend: str) -> None:
    program = """
        class Times(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.mark_dirty(x)
                return x.mul_(y)
            @staticmethod
            def jvp(ctx, s, t): return t * 2
        with fwAD.dual_level():
            base = torch.ones(3)
            print(fwAD.unpack_dual(Times.apply(base[:2], fwAD.make_dual(torch.ones(2), torch.ones(2)))))
            print(fwAD.unpack_dual(base))
    """
    assert_same(program, _CALLED)


def test_a_jvp_in_a_transform_writes_to_tangents_too(backend: str) -> None:
    program = """
        class Times(torch.autograd.Function):
            @staticmethod
            def forward(x): return x.mul_(2)
            @staticmethod
            def setup_context(ctx, inputs, output): ctx.mark_dirty(inputs[0])
            @staticmethod
            def jvp(ctx, t): return written(t)
        class View(Times):
            @staticmethod
            def forward(x): return x.view(3)
            @staticmethod
            def setup_context(ctx, inputs, output): pass
            @staticmethod
            def jvp(ctx, t): return twice(t)
        attempt(torch.func.jvp, lambda x: Times.apply(x.clone()), (o,), (o,))
        attempt(torch.func.jvp, View.apply, (o,), (o,))
        written = twice
        attempt(torch.func.jvp, lambda x: Times.apply(x.clone()), (o,), (o,))
    """
    assert_same(program, _CALLED)


def test_in_inference_mode_a_level_is_there_and_does_nothing(backend: str) -> None:
    assert_same("""
        fw = torch.autograd.forward_ad
        one = torch.ones(2)
        with fw.dual_level():
            a = fw.make_dual(torch.ones(2), torch.ones(2))
            with torch.inference_mode():
                print(fw.make_dual(torch.ones(2), torch.ones(2)), fw.unpack_dual(a), fw.unpack_dual(a * 3))
            print(fw.unpack_dual(a * 3))
            with fw._set_fwd_grad_enabled(False):
                print(fw.make_dual(one, one) is one, fw.unpack_dual(a), fw.unpack_dual(a * 2))
                attempt(fw.enter_dual_level)
            print(fw.unpack_dual(a))
        with torch.inference_mode(), fw.dual_level():
            print(fw.make_dual(torch.ones(2), torch.ones(2)))
        attempt(fw.make_dual, one, one)
        attempt(fw.exit_dual_level)
    """)


def test_forward_mode_that_is_off_stays_off_in_levels_that_begin_later(backend: str) -> None:
    assert_same("""
        fw = torch.autograd.forward_ad
        print(fw._is_fwd_grad_enabled())
        with fw._set_fwd_grad_enabled(False):
            print(fw._is_fwd_grad_enabled())
            with fw.dual_level():
                x = fw.make_dual(torch.ones(2), torch.ones(2))
                print(fw.unpack_dual(x).tangent, fw.unpack_dual(x * 2).tangent)
                with torch.inference_mode():
                    print(fw._is_fwd_grad_enabled())
                with torch.inference_mode(False):
                    print(fw._is_fwd_grad_enabled(), fw.unpack_dual(x * 2).tangent)
                fw._set_fwd_grad_enabled(True)
                print(fw._is_fwd_grad_enabled(), fw.unpack_dual(x * 2).tangent)
            print(fw._is_fwd_grad_enabled())
            print(torch.func.jvp(torch.sin, (torch.ones(2),), (torch.ones(2),)))
        with torch.inference_mode():
            print(fw._is_fwd_grad_enabled())
        print(fw._is_fwd_grad_enabled())
    """)
