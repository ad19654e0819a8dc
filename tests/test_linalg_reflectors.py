"""Products of reflections beside PyTorch's: values, derivatives of all kinds, and what is refused."""

from __future__ import annotations

from functools import partial

import pytest
from programs import assert_same

import retrograd
from retrograd import func
from retrograd.autograd import gradcheck, gradgradcheck

GIVEN = """
A = torch.arange(12.0, dtype=torch.float64).reshape(4, 3).square().cos()
tau = torch.tensor([0.5, -1.5, 0.75], dtype=torch.float64)
C = torch.arange(8.0, dtype=torch.float64).reshape(4, 2).sin()
weights = torch.arange(12.0, dtype=torch.float64).reshape(4, 3)
"""


def test_factors_are_lapacks(backend: str) -> None:
    assert_same(
        """
        for x in A, A.mT, torch.stack([A, 2 - A]), torch.complex(A, A.sin()):
            print(torch.geqrf(x), x.geqrf().tau.shape)
        for shape in (0, 3), (2, 3, 0):
            print(torch.geqrf(torch.ones(shape)))
        """,
        GIVEN,
    )


def test_factors_have_no_derivative() -> None:
    assert_same(
        """
        x = A.clone().requires_grad_()
        a, tau = torch.geqrf(x)
        print(a.grad_fn.name(), tau.grad_fn.name(), tau.requires_grad)
        attempt(a.sum().backward)
        with torch.autograd.forward_ad.dual_level():
            attempt(torch.geqrf, torch.autograd.forward_ad.make_dual(A, A))
        """,
        GIVEN,
    )


def test_products_and_their_derivatives(backend: str) -> None:
    assert_same(
        """
        for count in 3, 2:
            x, t = A.clone().requires_grad_(), tau[:count].clone().requires_grad_()
            Q = torch.linalg.householder_product(x, t)
            first = torch.autograd.grad((Q ** 2 * weights).sum(), (x, t), create_graph=True)
            print(Q.grad_fn.name(), Q.detach(), *(each.detach() for each in first))
            print(torch.autograd.grad((first[0] ** 2).sum() + (first[1] ** 2).sum(), (x, t)))
        with torch.autograd.forward_ad.dual_level():
            made = torch.linalg.householder_product(torch.autograd.forward_ad.make_dual(A, weights), tau)
            print(torch.autograd.forward_ad.unpack_dual(made).tangent + 100)
            made = torch.orgqr(A, torch.autograd.forward_ad.make_dual(tau, A[0]))
            print(torch.autograd.forward_ad.unpack_dual(made).tangent)
        print(torch.orgqr(torch.stack([A, A * 2]), torch.stack([tau, tau * 3])), A.orgqr(tau))
        """,
        GIVEN,
    )


def test_multiplied_by_a_product(backend: str) -> None:
    assert_same(
        """
        for transpose in False, True:
            for left in True, False:
                x, t, c = (each.clone().requires_grad_() for each in (A, tau, C if left else C.mT))
                made = torch.ormqr(x, t, c, left, transpose)
                first = torch.autograd.grad((made ** 2).cos().sum(), (x, t, c), create_graph=True)
                print(made.grad_fn.name(), made.detach(), *(each.detach() for each in first))
                print(torch.autograd.grad((first[0] * first[0]).sum() + first[2].cos().sum(), (x, t, c)))
        wide = A.mT.contiguous().requires_grad_()
        made = torch.ormqr(wide, tau, C[:3])
        print(made.detach(), torch.autograd.grad(made.sin().sum(), wide))
        """,
        GIVEN,
    )


def test_of_complex_numbers() -> None:
    assert_same(
        """
        x, t = torch.complex(A, A.sin()).requires_grad_(), torch.complex(tau, tau.sin()).requires_grad_()
        Q = torch.linalg.householder_product(x, t)
        print(Q.detach(), torch.autograd.grad(((Q.real + 2 * Q.imag) ** 2 * weights).sum(), (x, t)))
        for transpose in False, True:
            for left in True, False:
                c = torch.complex(C, C + 1)
                c = (c if left else c.mT.contiguous()).requires_grad_()
                made = torch.ormqr(x, t, c, left=left, transpose=transpose)
                print(made.detach(), torch.autograd.grad(((made.real + 2 * made.imag) ** 2).sum(), (x, t, c)))
        """,
        GIVEN,
    )


@pytest.mark.parametrize("dtype", [retrograd.float64, retrograd.complex128])
def test_derivatives_equal_finite_differences(dtype: retrograd.dtype) -> None:
    retrograd.manual_seed(0)
    x, t, c = (retrograd.randn(*shape, dtype=dtype).requires_grad_() for shape in ((4, 3), (2,), (4, 2)))
    product = retrograd.linalg.householder_product
    assert gradcheck(product, (x, t), check_forward_ad=True)
    assert gradgradcheck(product, (x, t), fast_mode=True)
    full = retrograd.randn(3, dtype=dtype).requires_grad_()
    for left, transpose in ((True, False), (True, True), (False, False), (False, True)):
        times = partial(retrograd.ormqr, left=left, transpose=transpose)
        assert gradcheck(times, (x, full, c if left else c.detach().mT.requires_grad_()), check_forward_ad=True)


def test_mapped_equals_one_by_one(backend: str) -> None:
    retrograd.manual_seed(0)
    x, t = retrograd.randn(2, 3, 3), retrograd.randn(2, 3)
    product = retrograd.linalg.householder_product
    assert retrograd.allclose(func.vmap(product)(x, t), product(x, t))
    assert retrograd.allclose(func.vmap(product, (None, 0))(x[0], t)[1], product(x[0], t[1]), atol=1e-6)
    assert retrograd.allclose(func.vmap(retrograd.ormqr)(x, t, x), retrograd.ormqr(x, t, x))
    assert retrograd.equal(func.vmap(retrograd.geqrf)(x)[0], retrograd.geqrf(x)[0])


def test_refuses_what_pytorch_refuses() -> None:
    assert_same(
        """
        one = torch.ones
        product = torch.linalg.householder_product
        attempt(torch.geqrf, one(3))
        attempt(torch.geqrf, one(3, 3, dtype=torch.long))
        attempt(torch.geqrf, one(3, 3).half())
        attempt(torch.geqrf, 3)
        for tau in one(3), one(4), one(2, 3), one(3).double(), torch.tensor(1.0), 4:
            attempt(product, one(4, 3), tau)
        attempt(torch.orgqr, one(4, 3), 3)
        attempt(product, one(3), one(3))
        attempt(product, one(3, 4), one(3))
        attempt(product, one(2, 4, 3), one(3))
        attempt(product, one(2, 4, 3), one(3, 3))
        attempt(product, one(4, 3, dtype=torch.long), one(3, dtype=torch.long))
        attempt(product, one(4, 3).half(), one(3).half())
        attempt(torch.ormqr, 1, 2, 3)
        attempt(torch.ormqr, one(3), one(3), one(3, 3))
        attempt(torch.ormqr, one(3, 3), one(3), one(3))
        for tau in one(3), one(4), one(2, 3), one(3).double(), torch.tensor(1.0):
            for other in one(4, 2), one(3, 4), one(1, 4, 2), one(4, 2).double(), one(4, 0):
                for left in True, False:
                    attempt(torch.ormqr, one(4, 3), tau, other, left)
        for tau in one(3), one(3, 3), one(2, 3):
            for other in one(2, 4, 3), one(3, 4, 3), one(2, 3, 4, 3), one(4, 3):
                attempt(torch.ormqr, one(2, 4, 3), tau, other)
        for kind in torch.long, torch.half:
            attempt(torch.ormqr, one(4, 3, dtype=kind), one(3, dtype=kind), one(4, 3, dtype=kind))
        print(product(one(0, 0), one(0)), torch.ormqr(one(4, 0), one(0), one(4, 2)))
        out = torch.empty(0), torch.empty(0)
        print(torch.geqrf(one(2, 2), out=out).a is out[0], out[1].shape)
        print(product(one(2, 2), one(2), out=out[0]) is out[0])
        print(torch.ormqr(one(2, 2), one(2), one(2, 2), out=out[0]) is out[0])
        with torch.autocast("cpu"):
            low = one(2, 2).bfloat16()
            print(torch.ormqr(low, one(2), low).dtype, torch.geqrf(low)[0].dtype, product(low, one(2)).dtype)
        """
    )


def test_saved_names() -> None:
    assert_same(
        """
        x, t, c = (each.clone().requires_grad_() for each in (A, tau, C))
        for made in torch.orgqr(x, t), torch.ormqr(x, t, c, transpose=True), torch.geqrf(x).a:
            names = [name for name in dir(made.grad_fn) if name.startswith("_saved")]
            print(names, [getattr(made.grad_fn, name) for name in names])
        """,
        GIVEN,
    )
