"""Numbers of 16 bits: operators compute in float32, and round once (Note [Half precision] in `retrograd.ops.half`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import retrograd as rg
from retrograd import Tensor

F = rg.nn.functional
pytestmark = pytest.mark.usefixtures("backend")
HALVES = pytest.mark.parametrize("half", [rg.bfloat16, rg.float16], ids=str)
C = 0.1237  # which no type of 16 bits has

Function = Callable[[Tensor, Tensor, Tensor], Tensor]

ROUND_ONCE: dict[str, Function] = {
    "addcmul": lambda x, y, z: rg.addcmul(x, y, z, value=C),
    "addcdiv": lambda x, y, z: rg.addcdiv(x, y, z, value=C),
    "lerp": lambda x, y, z: rg.lerp(x, y, C),
    "lerp by tensor": lambda x, y, z: rg.lerp(x, y, z),
    "sigmoid": lambda x, y, z: rg.sigmoid(x),
    "silu": lambda x, y, z: F.silu(x),
    "gelu": lambda x, y, z: F.gelu(x),
    "mish": lambda x, y, z: F.mish(x),
    "elu": lambda x, y, z: F.elu(x, C),
    "celu": lambda x, y, z: F.celu(x, C),
    "softplus": lambda x, y, z: F.softplus(x, C),
    "leaky_relu": lambda x, y, z: F.leaky_relu(x, C),
    "softshrink": lambda x, y, z: F.softshrink(x, C),
    "hardswish": lambda x, y, z: F.hardswish(x),
    "logsigmoid": lambda x, y, z: F.logsigmoid(x),
    "huber": lambda x, y, z: F.huber_loss(x, y, delta=C, reduction="none"),
    "smooth_l1": lambda x, y, z: F.smooth_l1_loss(x, y, beta=C, reduction="none"),
    "softmax": lambda x, y, z: F.softmax(x, 0),
    "log_softmax": lambda x, y, z: F.log_softmax(x, 0),
    "layer_norm": lambda x, y, z: F.layer_norm(x.reshape(20, -1), (15,)),
    "batch_norm": lambda x, y, z: F.batch_norm(x.reshape(20, -1), None, None, training=True),
    "a factor": lambda x, y, z: x * C,
    "a factor on the left": lambda x, y, z: C * x,
    "a factor without dimensions": lambda x, y, z: x * rg.tensor(C),
    "a divisor": lambda x, y, z: x / C,
    "a divisor of whole quotients": lambda x, y, z: x // C,
    "a divisor of quotients cut off": lambda x, y, z: rg.div(x, C, rounding_mode="trunc"),
    "by a list": lambda x, y, z: rg._foreach_mul([x], C)[0],
    "in place": lambda x, y, z: x.clone().mul_(C),
    "in place, several kernels": lambda x, y, z: x.clone().addcmul_(y, z, value=C),
    "mapped": lambda x, y, z: rg.func.vmap(F.silu)(x.reshape(20, -1)),
}

ROUND_NUMBERS: dict[str, Function] = {
    "add": lambda x, y, c: x + c,
    "sub": lambda x, y, c: x - c,
    "alpha": lambda x, y, c: rg.add(x, y, alpha=_number(c)),
    "alpha of a difference": lambda x, y, c: rg.sub(x, y, alpha=_number(c)),
    "alpha in place": lambda x, y, c: x.clone().add_(y, alpha=_number(c)),
    "alpha of rsub": lambda x, y, c: rg.rsub(x, y, alpha=_number(c)),
    "exponent": lambda x, y, c: x.abs() ** _number(c),
    "base": lambda x, y, c: rg.pow(_number(c), x.clamp(-2, 2)),
    "remainder": lambda x, y, c: x % _number(c),
}

GRADIENTS = ["sigmoid", "silu", "gelu", "mish", "elu", "softplus", "leaky_relu", "logsigmoid", "softmax", "lerp"]


def _number(value: Tensor | float) -> float:
    return value.item() if isinstance(value, Tensor) else value


def operands(half: rg.dtype) -> list[Tensor]:
    values = np.random.default_rng(0).standard_normal((3, 300)) * 2
    return [rg.tensor(each).to(half) for each in values]


def same(one: Tensor, other: Tensor) -> None:
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one.detach().float().numpy(), other.detach().float().numpy())


@HALVES
@pytest.mark.parametrize("name", ROUND_ONCE)
def test_what_an_operator_gives_is_rounded_once(name: str, half: rg.dtype) -> None:
    given = operands(half)
    same(ROUND_ONCE[name](*given), ROUND_ONCE[name](*(each.float() for each in given)).to(half))


@HALVES
@pytest.mark.parametrize("name", ROUND_NUMBERS)
def test_a_number_beside_a_tensor_has_its_type(name: str, half: rg.dtype) -> None:
    x, y, _ = operands(half)
    rounded = rg.tensor(C).to(half).float()
    same(ROUND_NUMBERS[name](x, y, C), ROUND_NUMBERS[name](x.float(), y.float(), rounded).to(half))  # type: ignore[arg-type]


@HALVES
@pytest.mark.parametrize("name", GRADIENTS)
def test_a_gradient_of_one_kernel_is_rounded_once(name: str, half: rg.dtype) -> None:
    x, y, g = operands(half)
    wide, other, slope = (each.float() for each in (x, y, g))
    result = ROUND_ONCE[name](x.requires_grad_(), y, g)
    result.backward(g)
    assert x.grad is not None
    if name == "sigmoid":  # by the result, which has been rounded
        result = result.detach().float()
        expected = slope * ((1 - result) * result)
    elif name == "softmax":
        result = result.detach().float()
        expected = slope * result - result * (slope * result).sum()
    else:
        ROUND_ONCE[name](wide.requires_grad_(), other, slope).backward(slope)
        assert wide.grad is not None
        expected = wide.grad
    same(x.grad, expected.to(half))


@HALVES
def test_what_is_not_computed_in_float32_keeps_its_type(half: rg.dtype) -> None:
    x = operands(half)[0].abs()
    for result in rg.xlogy(x, C), rg.xlogy(C, x), rg.xlogy(x, x), rg.special.xlog1py(x, C), rg.nextafter(x, x + 1):
        assert result.dtype == half


@HALVES
def test_what_depends_on_the_type_is_computed_in_it(half: rg.dtype) -> None:
    one = rg.ones(3, dtype=half)
    after = rg.nextafter(one, one + 1)
    assert (after - one == rg.finfo(half).eps).all()
