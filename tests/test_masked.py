"""`retrograd.masked`: values, types, gradients, nodes and refusals as PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


GIVEN = """
    M, inf = torch.masked, math.inf
    x = torch.tensor([[-3.0, 2.0, -1.0], [0.5, 1.0, 4.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, False, True], [False, False, False]])
    other = torch.tensor([True, False, True])  # broadcasts
    def show(y, *inputs):
        gradients = torch.autograd.grad((y**3).sum(), inputs or x) if y.requires_grad else ()
        print(y.dtype, y.shape, y.tolist(), y.grad_fn and y.grad_fn.name(), [(g + 0).tolist() for g in gradients])
"""


@pytest.mark.parametrize("function", ["sum", "prod", "amax", "amin", "logsumexp", "mean", "std", "var", "norm"])
def test_reductions(function: str) -> None:
    assert_same(
        GIVEN
        + f"""
    reduce = M.{function}
    for options in ({{}}, {{"dim": 1, "keepdim": True}}, {{"dim": (0, -1)}}, {{"dim": (), "dtype": torch.float64}}):
        show(reduce(x, **options))
        show(reduce(x, mask=other, **options))
    attempt(lambda: show(reduce(x, dtype=torch.float32)))
    show(reduce(x, dim=1, mask=mask))
    show(reduce(x, dim=0, mask=mask.long()))
    show(reduce(x[0, 0], mask=torch.tensor(False)))
    for dim in (2, (0, 0), (1, -3)):
        attempt(reduce, x, dim=dim)
    attempt(reduce, x[0], mask=mask)
    attempt(reduce, x, mask=mask[:, :2])
    """
    )


@pytest.mark.parametrize("function", ["cumsum", "cumprod", "softmax", "log_softmax", "softmin", "normalize"])
def test_normalisations(function: str) -> None:
    order = "2.0, " if function == "normalize" else ""
    assert_same(
        GIVEN
        + f"""
    for dim in (0, -1):
        show(M.{function}(x, {order}dim))
        show(M.{function}(x, {order}dim, mask=other))
        show(M.{function}(x, {order}dim, mask=mask, dtype=torch.float64))
        attempt(lambda: show(M.{function}(x, {order}dim, dtype=torch.float32)))
    attempt(M.{function}, x, {order}2)
    attempt(M.{function}, x[0], {order}0, mask=mask)
    """
    )


def test_places_medians_and_pairs() -> None:
    assert_same(
        GIVEN
        + """
    for reduce in (M.argmax, M.argmin):
        for options in ({}, {"dim": 1}, {"dim": 0, "keepdim": True, "dtype": torch.int64}):
            print(reduce(x, mask=mask, **options), reduce(x, **options))
    show(M.median(x))
    show(M.median(x, 0, keepdim=True, mask=mask))
    n = torch.tensor([[3, 1, 2], [5, 4, 4]])
    print(M.median(n, mask=other), M.median(n, dtype=torch.int8), M.median(n, 0))
    attempt(M.median, n, 1, mask=mask)
    y = x.detach().flip(1).requires_grad_()
    show(M.logaddexp(x, y, input_mask=other, dtype=torch.float32), x, y)
    print(M.logaddexp(x, y, input_mask=other, other_mask=mask).tolist())
    """
    )


def test_types() -> None:
    assert_same("""
    M = torch.masked
    mask = torch.tensor([[True, False, True], [False, False, False]])
    types = [torch.bool, torch.uint8, torch.int8, torch.int32, torch.float16, torch.complex64]
    names = "sum prod amax amin argmax argmin logsumexp mean median var std norm".split()
    for type_ in types:
        x = torch.tensor([[3, 2, 1], [0, 1, 4]]).to(type_)
        for name in names:
            function = getattr(M, name)
            attempt(lambda: function(x, dim=1, mask=mask))
            attempt(lambda: function(x, dim=1, mask=mask, dtype=torch.float32).dtype)
        for name in ["cumsum", "cumprod", "softmax", "log_softmax", "softmin"]:
            attempt(lambda: getattr(M, name)(x, 1, mask=mask))
        attempt(lambda: M.logaddexp(x, x, input_mask=mask))
        attempt(lambda: M.normalize(x, 1.0, 1, mask=mask))
    """)


def test_orders_and_corrections() -> None:
    assert_same(
        GIVEN
        + """
    for order in (0, 1, 3.5, inf, -inf, -1):
        print(M.norm(x, order, 1, mask=mask).tolist(), M.norm(x, order).tolist())
    print(M.norm(x, None, 1, mask=mask).tolist(), M.normalize(x, 1.0, 1, mask=mask, eps=5.0).tolist())
    attempt(M.norm, torch.tensor([1, 2]), -inf, mask=torch.tensor([True, False]))
    for options in ({"unbiased": False}, {"unbiased": True}, {"correction": 0}, {"correction": 5}):
        print(M.var(x, 1, mask=mask, **options).tolist(), M.std(x, **options).tolist())
    attempt(M.var, x, 0, True, correction=1)
    z = torch.tensor([1 + 2j, 3 - 1j, -2j], requires_grad=True)
    for y in (M.var(z, mask=other), M.std(z), M.mean(z, mask=other), M.prod(z, mask=other)):
        print(y, torch.autograd.grad(y.abs(), z))
    """
    )


def test_second_derivatives_and_batches() -> None:
    x = retrograd.tensor([[-3.0, 2.0, -1.0], [0.5, 1.0, 4.0]], dtype=retrograd.float64, requires_grad=True)
    mask = retrograd.tensor([[True, False, True], [True, True, True]])
    for function in (retrograd.masked.std, retrograd.masked.logsumexp, retrograd.masked.mean):
        assert retrograd.autograd.gradgradcheck(lambda t, function=function: function(t, 1, mask=mask), (x,))
        rows = retrograd.vmap(lambda t, m, function=function: function(t, 0, mask=m))(x, mask)
        assert rows.tolist() == pytest.approx(function(x, 1, mask=mask).tolist())
