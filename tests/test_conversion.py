"""Conversion between types and backends, copies, and questions about types."""

from __future__ import annotations

from typing import Any

import pytest
from expressions import check, check_error_type

import retrograd

LINES = """
torch.tensor([1.0, 2.0]).to(torch.float64)
torch.tensor([1.0, 2.0], requires_grad=True).to(torch.float64)
torch.tensor([1.0, 2.0], requires_grad=True).to(torch.int32)
torch.tensor([1.0, 2.0], requires_grad=True).to(torch.float32)
torch.tensor([1.0, 2.0], requires_grad=True).to('cpu', copy=True)
torch.tensor([1.0, 2.0], requires_grad=True).to(torch.float32, copy=True)
torch.tensor([1.0]).to(torch.tensor([1]))
torch.tensor([1.0]).to(torch.float64, True, True)
torch.tensor([1.0]).to()
torch.tensor([1.0]).to(None)
torch.tensor([1.0]).to(device='cpu', dtype=torch.float16)
torch.tensor([1.0]).to('cpu', torch.float64)
torch.tensor([1.7]).to(int)
torch.tensor([1.7]).to(dtype=bool)
torch.tensor([300, -1]).to(torch.int8)
torch.tensor([0.0, 0.5, float('nan')]).to(torch.bool)
torch.tensor([1.00390625, 1.01171875]).to(torch.bfloat16)
torch.tensor([1 + 2j]).to(torch.float32)
torch.tensor([1 + 2j]).to(torch.bool)
torch.tensor([1.0, 2.0]).to(torch.complex64)
torch.tensor([1.5, 0.0]).bool()
torch.tensor([1.5, 0.0]).byte()
torch.tensor([1.5, 0.0]).char()
torch.tensor([1.5, 0.0]).short()
torch.tensor([1.5, 0.0]).int()
torch.tensor([1.5, 0.0]).long()
torch.tensor([1.5, 0.0]).half()
torch.tensor([1.5, 0.0]).bfloat16()
torch.tensor([1, 0]).float()
torch.tensor([1, 0]).double()
torch.tensor([1, 0]).cfloat()
torch.tensor([1, 0]).cdouble()
torch.tensor([1.0], requires_grad=True).float()
torch.tensor([1.0], requires_grad=True).double()
torch.tensor([1.5]).type_as(torch.tensor([1]))
torch.tensor([1.5]).type()
torch.tensor([1.5]).type('torch.LongTensor')
torch.tensor([1.5]).type(torch.LongTensor)
torch.tensor([1.5]).type(torch.float64)
torch.tensor([1.5]).type('x')
torch.tensor([1.5]).type(3)
torch.tensor([1.5]).type(int)
torch.tensor([1.5]).type(np.float64)
torch.tensor([1.5]).type(torch.nn.Module)
torch.tensor([1.5]).type(torch.Tensor)
torch.tensor([1.5]).type(torch.ones(2))
torch.tensor([1.5]).cpu()
torch.tensor([1.5], requires_grad=True).clone()
torch.clone(torch.tensor([1, 2]))
torch.zeros(2, 3, requires_grad=True).t().contiguous()
torch.zeros(2, 3, requires_grad=True).contiguous()
torch.is_tensor(3)
torch.is_tensor(torch.tensor(3))
torch.is_floating_point(3)
torch.is_floating_point(torch.tensor(3))
torch.is_complex(torch.tensor(3j))
torch.numel(torch.zeros(2, 3))
torch.is_nonzero(torch.tensor([0.0]))
torch.is_nonzero(torch.tensor([1, 2]))
torch.is_nonzero(torch.tensor([]))
torch.tensor([2]).is_nonzero()
torch.result_type(torch.tensor([1.0]), 3)
torch.result_type(3, torch.tensor([1]))
torch.result_type(3, 4.0)
torch.result_type(torch.tensor([1]), torch.tensor(1.0))
torch.result_type(torch.tensor([1], dtype=torch.int8), torch.tensor(1))
torch.result_type(torch.tensor([1.0]), 1j)
torch.promote_types(torch.int32, torch.float16)
torch.can_cast(torch.float32, torch.int32)
torch.can_cast(torch.int32, torch.float16)
torch.typename(torch.tensor([1.0]))
torch.typename(3)
torch.tensor(1).layout
torch.preserve_format
torch.tensor([1.0]).is_cuda
""".strip().splitlines()

ON_NUMPY = """
torch.zeros(2, 3).t().clone().stride()
torch.zeros(2, 1, 3).permute(2, 0, 1).clone().stride()
torch.zeros(2, 3, 4).permute(2, 0, 1).clone().stride()
torch.zeros(3).expand(2, 3).clone().stride()
torch.zeros(2, 3).t().clone(memory_format=torch.contiguous_format).stride()
torch.zeros(2, 3).t().contiguous().stride()
torch.zeros(2, 3).t().to(torch.float64).stride()
torch.zeros(4, 6)[::2, ::2].t().clone().stride()
""".strip().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_conversions_are_pytorchs(line: str, backend: str) -> None:
    check(line)


@pytest.mark.parametrize("line", ON_NUMPY)
def test_copies_keep_the_order_in_memory(line: str) -> None:
    check(line)


@pytest.mark.parametrize(
    "line",
    [
        "torch.tensor([1.0]).to(torch.float64, foo=1)",
        "torch.result_type(torch.tensor(1), 'a')",
        "torch.tensor([1.0]).to(other=3)",
    ],
)
def test_errors_are_of_pytorchs_types(line: str, backend: str) -> None:
    check_error_type(line)


def test_to_gives_itself_where_nothing_changes(backend: str) -> None:
    x = retrograd.ones(2, requires_grad=True)
    assert x.to(retrograd.float32) is x
    assert x.to(backend) is x
    assert x.to(backend, retrograd.float32) is x
    assert x.float() is x
    assert x.cpu() is x
    assert x.contiguous() is x
    assert x.clone() is not x


def test_a_copy_has_memory_of_its_own(backend: str) -> None:
    x = retrograd.zeros(2)
    for made in (x.clone(), x.to(retrograd.float32, copy=True), x.to(backend, copy=True)):
        made.fill_(1)
        assert x.tolist() == [0.0, 0.0]
        x.zero_()
        assert made.tolist() == [1.0, 1.0]


def test_a_cast_carries_the_gradient_back(backend: str) -> None:
    x = retrograd.tensor([1.0, 2.0], requires_grad=True)
    (x.to(retrograd.float64) ** 2).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype is retrograd.float32
    assert x.grad.tolist() == [2.0, 4.0]


def test_casting_complex_to_real_warns(backend: str) -> None:
    with pytest.warns(UserWarning, match="discards the imaginary part"):
        retrograd.tensor([1j]).to(retrograd.float32)


@pytest.fixture(params=[("numpy", "jax"), ("jax", "numpy")])
def ends(request: pytest.FixtureRequest) -> tuple[str, str]:
    pytest.importorskip("jax")
    start, end = request.param
    return start, end


def test_moving_carries_values_and_gradients(ends: tuple[str, str]) -> None:
    start, end = ends
    x = retrograd.tensor([1.0, 2.0], device=start, requires_grad=True)
    y = x.to(end)
    assert (x.device, y.device) == (start, end)
    assert y.tolist() == [1.0, 2.0]
    assert y.grad_fn is not None
    assert y.grad_fn.name() == "ToCopyBackward0"
    (y * y).sum().backward()
    assert x.grad is not None
    assert x.grad.device == start
    assert x.grad.tolist() == [2.0, 4.0]


def test_moving_and_casting_is_one_node(ends: tuple[str, str]) -> None:
    start, end = ends
    x = retrograd.tensor([1.0, 2.0], device=start, requires_grad=True)
    y = x.to(end, retrograd.float64)
    assert y.dtype is retrograd.float64
    assert y.grad_fn is not None
    assert y.grad_fn.next_functions[0][0].name() == "torch::autograd::AccumulateGrad"
    (gradient,) = retrograd.autograd.grad(y.sum(), x)
    assert gradient.dtype is retrograd.float32
    assert gradient.device == start
    assert x.to(end, retrograd.int32).grad_fn is None


def test_second_derivatives_cross_backends(ends: tuple[str, str]) -> None:
    start, end = ends
    x = retrograd.tensor([1.0, 2.0], device=start, requires_grad=True)
    y = x.to(end)
    (first,) = retrograd.autograd.grad((y * y * y).sum(), x, create_graph=True)
    assert first.tolist() == [3.0, 12.0]
    (second,) = retrograd.autograd.grad(first.sum(), x)
    assert second.tolist() == [6.0, 12.0]


def test_moving_copies(ends: tuple[str, str]) -> None:
    start, end = ends
    x = retrograd.tensor([1.0, 2.0], device=start)
    y = x.to(end)
    x.add_(1)
    assert y.tolist() == [1.0, 2.0]
    y.add_(5)
    assert x.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "bfloat16", "float64", "complex64"])
def test_every_type_moves(dtype: str, ends: tuple[str, str]) -> None:
    start, end = ends
    x = retrograd.tensor([[1, 0, 1]], dtype=getattr(retrograd, dtype), device=start)
    moved = x.to(end)
    assert moved.dtype is x.dtype
    assert moved.to(start).tolist() == x.tolist()


def test_there_is_no_gpu_on_numpy() -> None:
    with pytest.raises(retrograd.BackendError, match="backend 'numpy' has no device 'gpu'; it has: 'cpu'"):
        retrograd.ones(2).cuda()


class Both(retrograd.autograd.Function):
    """One output on another device, one where the input is."""

    @staticmethod
    def forward(ctx: Any, x: Any, end: str) -> Any:
        ctx.start = x.device
        return x.to(end) * 2, x * 3

    @staticmethod
    def backward(ctx: Any, there: Any, here: Any) -> Any:
        return there.to(ctx.start) * 2 + here * 3, None


@pytest.mark.parametrize("create_graph", [False, True])
def test_hooks_see_each_gradient_on_the_device_of_its_tensor(ends: tuple[str, str], create_graph: bool) -> None:
    start, end = ends
    x = retrograd.ones(2, device=start, requires_grad=True)
    seen: dict[str, Any] = {}

    def places(grads: Any) -> list[str | None]:
        return [None if each is None else str(each.device).partition(":")[0] for each in grads]

    moved = x.to(end)
    moved.grad_fn.register_prehook(lambda grads: seen.update(moving=places(grads)))
    moved.grad_fn.register_hook(lambda inner, outer: seen.update(moved=(places(inner), places(outer))))
    moved.register_hook(lambda grad: seen.update(tensor=places([grad])))
    there, here = Both.apply(x, end)
    there.grad_fn.register_hook(lambda inner, outer: seen.update(function=(places(inner), places(outer))))
    total = moved.sum().to(start) + there.sum().to(start) + here.sum()
    (grad,) = retrograd.autograd.grad(total, x, create_graph=create_graph)
    assert seen == {
        "moving": [end],
        "moved": ([start], [end]),
        "tensor": [end],
        "function": ([start], [end, start]),
    }
    assert str(grad.device).startswith(start)
    assert grad.tolist() == [6, 6]
