"""A function that is differentiated writes to its arguments and to what it makes itself, not to what it captures."""

from __future__ import annotations

import threading

import pytest
from programs import assert_same

import retrograd
from retrograd import func
from retrograd.levels import births

_SETUP = """
fn = torch.func
x, z = torch.tensor([1., 2.]), torch.tensor([3., 4.])
def buffer(x):
    made = torch.zeros(2)
    made[0] = x[0]
    made.add_(1)
    return (made * x).sum()
"""

WRITES = (
    "z.mul_(x)", "z.mul_(2)", "z.add_(1, alpha=2)", "z.sub_(x)", "z.div_(2)", "z.div_(2, rounding_mode='floor')",
    "z.pow_(2)", "z.pow_(x)", "z.eq_(1)", "z.lerp_(x, 0.5)", "z.lerp_(x, x)", "z.clamp_(0)", "z.clamp_min_(x)",
    "z.fill_(2)", "z.fill_(torch.tensor(2.))", "z.zero_()", "z.copy_(x)", "z.exp_()", "z.round_(decimals=1)",
    "z.masked_fill_(z > 0, 1.)", "z.index_add_(0, torch.tensor([0]), x[:1])", "z.bernoulli_(0.5)", "z.normal_()",
    "z.bitwise_and_(1)", "z.transpose_(0, 0)", "z.squeeze_()", "z.detach_()", "z.__setitem__(0, x[0])",
    "z.__setitem__(z > 0, 3.)", "z[0:1].mul_(2)", "z.detach().mul_(2)", "z.data.mul_(2)",
    "F.relu(z, inplace=True)", "torch.nn.init.ones_(z)",
)  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_a_captured_tensor_is_not_written_to(write: str) -> None:
    assert_same(_SETUP + f"attempt(fn.grad(lambda x: [{write}, x.sum()][1]), x)\nprint(z)")


TRANSFORMS = (
    "fn.grad(lambda x: z.mul_(x).sum())(x)",
    "fn.vjp(lambda x: z.mul_(x).sum(), x)",
    "fn.jvp(lambda x: z.mul_(x).sum(), (x,), (x,))",
    "fn.jacrev(lambda x: z.mul_(x).sum())(x)",
    "fn.jacfwd(lambda x: z.mul_(x).sum())(x)",
    "fn.hessian(lambda x: z.mul_(x).sum())(x)",
    "fn.vmap(fn.grad(lambda x: z.mul_(x).sum()))(x[None])",
    "fn.grad(lambda x: fn.vmap(lambda x: z.mul_(2).sum() * x.sum())(x[None]).sum())(x)",
    "fn.grad(lambda x: fn.vmap(lambda x: z.mul_(x).sum())(x[None]).sum())(x)",
    "fn.grad(lambda x: fn.grad(lambda y: z.mul_(y).sum())(x).sum())(x)",
)

ALLOWED = (
    "fn.grad(buffer)(x)",
    "fn.jvp(buffer, (x,), (x,))",
    "fn.jacrev(buffer)(x)",
    "fn.jacfwd(buffer)(x)",
    "fn.vmap(fn.grad(buffer))(x[None])",
    "fn.grad(fn.grad(lambda x: (x ** 3).sum().mul_(2).exp_()))(x[0])",
    "fn.grad(lambda x: (z * 2).mul_(x).sum())(x)",
    "fn.grad(lambda x: (x * 2).detach().mul_(2).sum() * x.sum())(x)",
    "fn.grad(lambda x: x.clone().mul_(2).sum())(x)",
    "fn.grad(lambda x, y: y.mul_(x).sum())(x, z)",
    "fn.grad(lambda x, y: y.mul_(x).sum())(x, y=z)",
    "fn.jacrev(lambda x, y: y.mul_(x))(x, z)",
    "fn.grad(lambda x: fn.grad(lambda y: (y ** 2).sum())(x).mul_(2).sum())(x)",
    "fn.grad(lambda x: fn.vmap(lambda x: torch.ones(2).mul_(2).sum() * x.sum())(x[None]).sum())(x)",
    "fn.vmap(fn.grad(lambda x, y: y.mul_(2).sum() * x.sum()))(x[None], z[None])",
    "fn.vmap(lambda x: z.mul_(2).sum() * x.sum())(x[None])",
    # What is made inside belongs to no sample, and is written to from the level at which the derivative is.
    "fn.vmap(lambda y: fn.grad(buffer)(x) + y)(x)",
    "fn.vmap(lambda y: fn.jvp(buffer, (x,), (y * x,))[1] + y)(x)",
    "fn.vmap(lambda y: fn.grad(lambda x: ((z * 2).mul_(x) * x).sum())(x) + y)(x)",
    "fn.jacfwd(lambda x: (torch.zeros(2).add_(x) * x).sum())(x)",
    "fn.jacfwd(fn.jacfwd(lambda x: (torch.ones(2).mul_(x) * x).sum()))(x)",
    "fn.hessian(buffer)(x)",
    "fn.jacrev(fn.jacfwd(buffer))(x)",
    # So is an argument that is not differentiated, and a differentiated one with its tangent, of whatever level.
    "fn.jacfwd(lambda x, y: y.copy_(x))(x, z)",
    "fn.jacfwd(lambda x, y: [y.mul_(x), y * x])(x, z)",
    "fn.jacfwd(lambda x, y: y.__setitem__(slice(1), x[1:]) or (y * 2, y.sum()))(x, z)",
    "fn.jacfwd(lambda x, y: y.add_(x).sin(), argnums=(0, 1))(x, z)",
    "fn.jacfwd(lambda x, y: y.add_(x).sin(), argnums=(1, 0))(x, z)",
    "fn.jacfwd(lambda x, y: (x.add_(1) * y, x), argnums=(1,))(z, x)",
    "fn.vmap(lambda t: fn.grad(lambda x, y: (y.copy_(x) * t).sum())(x, z))(torch.arange(3.))",
    "fn.vmap(lambda t: fn.grad(lambda x, y: (y.mul_(x) * t * y).sum())(x, z))(torch.arange(3.))",
    "fn.vmap(lambda t: fn.jacrev(lambda x, y: y.mul_(x) * t * y)(x, z))(torch.arange(3.))",
    "fn.vmap(fn.vmap(lambda t: fn.grad(lambda x, y: (y.copy_(x) * t).sum())(x, z)))(torch.ones(2, 3))",
    "fn.vmap(lambda t: fn.grad(lambda x, i: x[int(i[1])] * t)(x, z - 3))(torch.arange(3.))",
    "fn.jacfwd(lambda x: fn.vmap(lambda y: torch.zeros(2).add_(x) * y)(torch.ones(3, 2)))(x)",
)


@pytest.mark.parametrize("program", TRANSFORMS + ALLOWED)
def test_every_transform_that_differentiates_tells_what_is_captured(program: str) -> None:
    assert_same(_SETUP + f"attempt(lambda: {program})\nprint(z, z.requires_grad)")


def test_a_tensor_of_an_outer_function_is_captured_by_an_inner_one() -> None:
    assert_same(
        _SETUP
        + """
def outer(x):
    made = torch.zeros(2)
    return fn.grad(lambda y: made.mul_(y).sum())(x).sum()
attempt(fn.grad(outer), x)
attempt(fn.grad(lambda x: buffer(x) + fn.grad(buffer)(x).sum()), x)
"""
    )


def test_batch_norm_counts_its_batches_in_a_captured_buffer() -> None:
    assert_same(
        """
    norm = torch.nn.BatchNorm1d(2)
    x = torch.tensor([[1., 2.], [3., 5.], [0., 4.]])
    state = {name: each.detach() for name, each in (*norm.named_parameters(), *norm.named_buffers())}
    attempt(torch.func.grad(lambda x: (norm(x) * x).sum()), x)
    def loss(x, state):
        return (torch.func.functional_call(norm, state, (x,)) * x).sum()
    attempt(lambda: torch.func.grad(loss)(x, state))
    print(state['num_batches_tracked'], state['running_mean'])
    """
    )


@pytest.mark.parametrize("transform", [func.grad, func.jacrev, func.jacfwd])
def test_after_a_refusal_the_tensor_is_as_before(backend: str, transform: object) -> None:
    x, z = retrograd.ones(2), retrograd.ones(2)
    with pytest.raises(RuntimeError, match=r"\(aten::mul_\.Tensor\) that would mutate a captured Tensor"):
        transform(lambda x: z.mul_(x).sum())(x)  # type: ignore[operator]
    assert z.tolist() == [1.0, 1.0]
    assert not z.requires_grad
    assert z._version == 0
    z.mul_(2)  # nothing of the transform is left that would refuse this
    assert z.tolist() == [2.0, 2.0]


def test_a_write_to_another_argument_reaches_it_without_its_history(backend: str) -> None:
    x, z = retrograd.tensor([2.0, 3.0]), retrograd.ones(2)
    assert func.grad(lambda x, z: z.mul_(x).sum())(x, z).tolist() == [1.0, 1.0]
    assert z.tolist() == [2.0, 3.0]
    assert not z.requires_grad


def test_a_buffer_made_inside_is_written_to(backend: str) -> None:
    def filled(x: retrograd.Tensor) -> retrograd.Tensor:
        made = retrograd.zeros(2)
        made[0] = x[0] * 3
        return made.add_(1).sum()

    assert func.grad(filled)(retrograd.ones(2)).tolist() == [3.0, 0.0]
    assert func.jacfwd(filled)(retrograd.ones(2)).tolist() == [3.0, 0.0]


def test_an_error_about_a_stale_tensor_made_inside_names_who_wrote(backend: str) -> None:
    def stale(x: retrograd.Tensor) -> retrograd.Tensor:
        factor = retrograd.ones(2)
        product = x * factor
        factor.add_(1)
        return product.sum()

    with pytest.raises(RuntimeError, match="modified by an inplace operation") as caught:
        func.grad(stale)(retrograd.ones(2))
    assert "was last written to by add_" in caught.value.__notes__[0]


def test_a_derivative_marks_nothing_in_other_threads_nor_after_it_has_failed() -> None:
    elsewhere = retrograd.ones(2)

    def fails(x: retrograd.Tensor) -> retrograd.Tensor:
        thread = threading.Thread(target=lambda: elsewhere.mul_(2).add_(retrograd.zeros(2)))
        thread.start()
        thread.join()
        raise KeyError(len(retrograd.zeros(2)._cell))

    with pytest.raises(KeyError, match="3"):
        func.grad(fails)(retrograd.ones(2))
    assert elsewhere.tolist() == [2.0, 2.0]
    assert births == []
    assert retrograd.zeros(2)._cell == [0]
