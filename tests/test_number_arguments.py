"""Arguments that are numbers: tensors that stand for them, and the order that PyTorch has deprecated."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.autograd import cautions


@pytest.fixture(params=["numpy", "jax"])
def _backend(request: pytest.FixtureRequest) -> object:
    with retrograd.use_backend(request.param):
        yield


_GIVEN = "x, y, m, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.ones(2, 2), torch.ones(1, 2, 2)\n"


@pytest.mark.usefixtures("_backend")
def test_a_tensor_without_dimensions_stands_for_a_number() -> None:
    assert_same(
        """
    two, whole = torch.tensor(2.0), torch.tensor(2)
    print(torch.add(x, y, alpha=two), x.sub(y, alpha=whole), torch.rsub(x, y, alpha=two), x.clone().add_(y, alpha=-two))
    print(torch.addcmul(x, y, y, value=two), x.clone().addcdiv_(y, y, value=-two), torch.addmm(x, m, m, alpha=two))
    print(F.leaky_relu(-x, two), F.hardtanh(x, two, two + 1), F.softplus(x, beta=two), F.huber_loss(x, y, delta=two))
    print(x.sum(torch.tensor(0)), x.chunk(whole), x.split(torch.tensor([1])), torch.bernoulli(x, two - 2))
    leaf = x.clone().requires_grad_()
    torch.add(leaf, leaf, alpha=two).sum().backward()
    print(leaf.grad)
    """,
        _GIVEN,
    )


def test_what_does_not_stand_for_a_number() -> None:
    assert_same(
        """
    def refused(call):
        try:
            print(call())
        except TypeError as error:
            print(error)

    refused(lambda: torch.add(x, y, alpha="a"))
    refused(lambda: x.add_(y, alpha=torch.ones(1)))
    refused(lambda: x.add_(y, alpha=torch.tensor(2.0, requires_grad=True)))
    refused(lambda: torch.add(x, y, alpha=x))
    refused(lambda: x.split(torch.tensor([1, 1])))
    refused(lambda: x.split(2.0))
    """,
        _GIVEN,
    )


@pytest.mark.usefixtures("_backend")
def test_factors_may_come_first() -> None:
    assert_same(
        """
    print(torch.add(x, 2, y), x.add(2, 3), x.clone().add_(2, y), torch.sub(x, 2, y), x.clone().sub_(torch.tensor(2), y))
    print(torch.addcmul(x, 2, y, y), x.clone().addcmul_(2, y, y), x.clone().addcdiv_(-2, y, y), x.addcdiv(2.0, y, y))
    print(torch.addmm(2, x, 3, m, m), torch.addmm(2, x, m, m), x.addmm(2, 3, m, m), m.clone().addmm_(2, 3, m, m))
    print(torch.addmv(2, x, 3, m, x), x.clone().addmv_(2, m, x), torch.addr(2, m, 3, x, x), m.clone().addr_(2, 3, x, x))
    print(torch.addbmm(2, m, 3, b, b), m.clone().addbmm_(2, 3, b, b), torch.baddbmm(2, b, 3, b, b))
    print(b.clone().baddbmm_(2, 3, b, b), torch.add(x, 2, y, out=torch.zeros(2)))
    leaf = x.clone().requires_grad_()
    torch.add(leaf, 3, leaf).sum().backward()
    print(leaf.grad)
    """,
        _GIVEN,
    )


def test_the_first_use_of_the_old_order_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cautions, "_warned", set())
    x = retrograd.ones(2)
    with pytest.warns(UserWarning, match="deprecated") as caught:
        x.add_(2, x).addcmul_(3, x, x)
    (warning,) = caught
    assert str(warning.message) == (
        "This overload of add_ is deprecated:\n\tadd_(Number alpha, Tensor other)\n"
        "Consider using one of the following signatures instead:\n\tadd_(Tensor other, *, Number alpha = 1)"
    )
    assert warning.filename == __file__


@pytest.mark.usefixtures("_backend")
def test_where_checks_that_a_number_fits_its_type() -> None:
    assert_same(
        """
    def shown(call):
        try:
            print(call())
        except RuntimeError as error:
            print(error)

    c = x > 1
    for given in (torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.bool, torch.complex64):
        for value in (1e40, 70000, 300, -1, 2.5, True, float("nan")):
            shown(lambda: torch.where(c, y.to(given), value))
            shown(lambda: torch.where(c, value, y.to(given)))
    """,
        _GIVEN,
    )
