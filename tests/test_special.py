"""The namespace `special`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"])
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


@pytest.mark.usefixtures("_backend")
def test_values_gradients_and_nodes() -> None:
    assert_same("""
    S, inf = torch.special, math.inf
    x = torch.tensor([3.0, 0.0, -1.0, -5.0, -12.0, -30.0, inf, -inf, math.nan], requires_grad=True, dtype=torch.float64)
    for function in (
        S.entr, S.log_ndtr, lambda t: S.xlog1py(t, t), lambda t: S.xlog1py(0, t), lambda t: S.xlog1py(t, 0.5), S.expit
    ):
        y = function(x)
        print(y.tolist(), torch.autograd.grad(y.sum(), x)[0].tolist(), y.grad_fn.name())
    near = x.detach()[:4]
    print(S.ndtr(near), S.log_ndtr(torch.linspace(-11, -9, 5, dtype=torch.float64)).tolist())
    """)


def test_second_derivatives() -> None:
    x = retrograd.tensor([0.3, 1.2, 12.0], dtype=retrograd.float64, requires_grad=True)
    y = retrograd.tensor([0.5, 2.0, 3.0], dtype=retrograd.float64, requires_grad=True)
    special = retrograd.special
    for function in (special.entr, special.log_ndtr, lambda t: special.log_ndtr(-t), special.ndtr):
        assert retrograd.autograd.gradgradcheck(function, (x,))
    assert retrograd.autograd.gradgradcheck(special.xlog1py, (x, y))
    assert retrograd.autograd.gradgradcheck(lambda t: special.multigammaln(t + 2, 3), (x,))


def test_several_gamma_functions() -> None:
    assert_same("""
    x = torch.tensor([3.0, 4.5], requires_grad=True)
    y = torch.mvlgamma(x, 3)
    print(y.detach(), torch.autograd.grad(y.sum(), x), torch.tensor([3]).mvlgamma(2), x.detach().clone().mvlgamma_(2))
    attempt(torch.mvlgamma, x, 0)
    print(x.polygamma(1).detach(), x.detach().clone().polygamma_(1), torch.special.psi(x.detach()))
    """)


def test_names_of_other_namespaces() -> None:
    assert_same("""
    S, x = torch.special, torch.tensor([0.25, 0.5])
    for name in "digamma erf erfc erfinv exp2 expit expm1 gammaln log1p logit sinc".split():
        print(name, getattr(S, name)(x))
    print(S.softmax(x, 0), S.log_softmax(x, 0, dtype=torch.float64), S.logsumexp(x, 0), S.round(x, decimals=1))
    print(S.polygamma(1, x), S.xlogy(x, x))
    attempt(S.entr, torch.tensor([1j]))
    """)


@pytest.mark.usefixtures("_backend")
def test_the_left_tail_of_the_logistic_function() -> None:
    assert_same("""
    x = torch.tensor([-100.0, -40.0, -20.0, 20.0, 100.0, -math.inf, math.inf], requires_grad=True)
    y = x.sigmoid()
    print(y.tolist(), torch.autograd.grad(y.sum(), x)[0].tolist(), x.sigmoid().log()[1:3].tolist())
    """)


@pytest.mark.usefixtures("_backend")
def test_modified_bessel_functions() -> None:
    assert_same("""
    S, inf = torch.special, math.inf
    x = torch.tensor([0.0, 1e-3, 0.5, -2.5, 15.0, 20.5, -30.0, 100.0, inf], requires_grad=True, dtype=torch.float64)
    for function in S.i0, S.i0e, S.i1, S.i1e:
        y = function(x)
        print(y.tolist(), torch.autograd.grad(y[:-1].sum(), x)[0].tolist(), y.grad_fn.name())
    print(torch.i0(torch.tensor([1, 2])), x.detach().float().i0_(), S.i1(torch.tensor(math.nan)))
    attempt(torch.i0, torch.tensor([1j]))
    """)


@pytest.mark.usefixtures("_backend")
def test_incomplete_gamma_functions() -> None:
    assert_same("""
    inf = math.inf
    a = torch.tensor([0.1, 0.5, 3.0, 10.0, 100.0, 3.0, 0.0, 1.0, -1.0, inf, 3.0, inf], dtype=torch.float64)
    x = torch.tensor([0.2, 0.1, 5.0, 8.0, 130.0, 1e-5, 1.0, 0.0, 1.0, 2.0, inf, inf], dtype=torch.float64)
    x.requires_grad_()
    for function in torch.igamma, torch.igammac, torch.special.gammainc, torch.special.gammaincc:
        y = function(a, x)
        print(y.tolist(), torch.autograd.grad(y[:5].sum(), x)[0].tolist()[:5], y.grad_fn.name())
    y = torch.igamma(a[:3].clone().requires_grad_(), x[:3].detach())
    attempt(y.sum().backward)
    print(a[:2].clone().igamma_(x.detach()[:2]), a[:2].igammac(x.detach()[:2]))
    """)


def test_second_derivatives_of_bessel_functions() -> None:
    x = retrograd.tensor([0.3, -1.2, 12.0], dtype=retrograd.float64, requires_grad=True)
    special = retrograd.special
    for function in (special.i0, special.i0e, special.i1, special.i1e):
        assert retrograd.autograd.gradgradcheck(function, (x,))
    assert retrograd.autograd.gradgradcheck(lambda t: special.gammainc(retrograd.full_like(t, 2.0), t.abs()), (x,))


_OF_ONE = """
    airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 erfcx modified_bessel_i0 modified_bessel_i1 modified_bessel_k0
    modified_bessel_k1 ndtri scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0
""".split()
_POLYNOMIALS = """
    chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w hermite_polynomial_h
    hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p shifted_chebyshev_polynomial_t
    shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w
""".split()


@pytest.mark.usefixtures("_backend")
@pytest.mark.parametrize("name", _OF_ONE)
def test_functions_of_one_number(name: str) -> None:
    assert_same(f"""
    f = torch.special.{name}
    x = torch.tensor([-1.5, -1.0, -0.3, 0.0, 0.4, 1.0, 2.5, 12.0, math.nan])
    print(f(x), f(x.double()).tolist(), f(torch.tensor([0, 1, 3])), f(x.clone().requires_grad_()).requires_grad)
    attempt(f, torch.tensor([1j]))
    attempt(lambda: f(torch.tensor([0.2, 0.7], requires_grad=True)).sum().backward())
    """)


@pytest.mark.usefixtures("_backend")
@pytest.mark.parametrize("name", _POLYNOMIALS)
def test_polynomials(name: str) -> None:
    assert_same(f"""
    f = torch.special.{name}
    x, n = torch.tensor([-1.5, -1.0, -0.3, 0.3, 0.4, 1.0, 2.5]), torch.tensor([-1, 0, 1, 2, 3, 5, 7])
    print(f(x, n).tolist(), f(x.double(), n).tolist(), f(x, 3).tolist(), f(0.3, n).tolist())
    print(f(x.clone().requires_grad_(), n).requires_grad, f(torch.tensor([2, 3]), 2), f(x, n, out=torch.empty(7)).shape)
    """)


@pytest.mark.usefixtures("_backend")
def test_zeta_and_derivatives() -> None:
    assert_same("""
    S = torch.special
    x, q = torch.tensor([2.0, 3.0, 1.0, 0.5]), torch.tensor([1.0, 2.5, 1.0, 1.0])
    print(S.zeta(x, q), S.zeta(2.0, torch.tensor([1.0, -1.0, 0.0])), S.zeta(torch.tensor([2, 3]), 1))
    q = torch.tensor([1.0, 2.0], requires_grad=True, dtype=torch.float64)
    print(torch.autograd.grad(S.zeta(x[:2].double(), q).sum(), q))
    attempt(lambda: S.zeta(q, x[:2].double()).sum().backward())
    x = torch.tensor([0.1, 0.4, 0.8], requires_grad=True, dtype=torch.float64)
    for f in S.ndtri, S.erfcx:
        print(torch.autograd.grad(f(x).sum(), x), f(x).grad_fn.name(), torch.autograd.gradgradcheck(f, x))
    """)
