"""Samples beside SciPy's distributions, their gradients, and a few distributions on JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import retrograd
from retrograd import distributions as D
from retrograd.ops.gamma_sampling import _gamma_sample, _sample_dirichlet, _standard_gamma

CONTINUOUS: dict[str, tuple[Any, Any]] = {
    "normal": (lambda: D.Normal(1.0, 2.0), stats.norm(1, 2)),
    "uniform": (lambda: D.Uniform(-1.0, 2.0), stats.uniform(-1, 3)),
    "exponential": (lambda: D.Exponential(2.0), stats.expon(scale=0.5)),
    "laplace": (lambda: D.Laplace(1.0, 2.0), stats.laplace(1, 2)),
    "log_normal": (lambda: D.LogNormal(0.5, 0.7), stats.lognorm(0.7, scale=np.exp(0.5))),
    "gamma": (lambda: D.Gamma(2.5, 3.0), stats.gamma(2.5, scale=1 / 3)),
    "gamma_small": (lambda: D.Gamma(0.3, 3.0), stats.gamma(0.3, scale=1 / 3)),
    "chi2": (lambda: D.Chi2(3.0), stats.chi2(3)),
    "beta": (lambda: D.Beta(0.7, 2.5), stats.beta(0.7, 2.5)),
    "student_t": (lambda: D.StudentT(3.0, 1.0, 2.0), stats.t(3, 1, 2)),
    "cauchy": (lambda: D.Cauchy(1.0, 2.0), stats.cauchy(1, 2)),
    "half_normal": (lambda: D.HalfNormal(2.0), stats.halfnorm(scale=2)),
    "half_cauchy": (lambda: D.HalfCauchy(2.0), stats.halfcauchy(scale=2)),
    "gumbel": (lambda: D.Gumbel(1.0, 2.0), stats.gumbel_r(1, 2)),
    "pareto": (lambda: D.Pareto(1.5, 3.0), stats.pareto(3, scale=1.5)),
    "weibull": (lambda: D.Weibull(1.5, 3.0), stats.weibull_min(3, scale=1.5)),
    "inverse_gamma": (lambda: D.InverseGamma(2.0, 3.0), stats.invgamma(2, scale=3)),
    "fisher": (lambda: D.FisherSnedecor(3.0, 5.0), stats.f(3, 5)),
    "von_mises": (lambda: D.VonMises(0.0, 2.0), stats.vonmises(2)),
    "generalized_pareto": (lambda: D.GeneralizedPareto(0.5, 2.0, 0.3), stats.genpareto(0.3, 0.5, 2)),
}

DISCRETE: dict[str, tuple[Any, Any]] = {
    "bernoulli": (lambda: D.Bernoulli(0.3), stats.bernoulli(0.3)),
    "geometric": (lambda: D.Geometric(0.3), stats.geom(0.3, loc=-1)),
    "poisson": (lambda: D.Poisson(3.5), stats.poisson(3.5)),
    "binomial": (lambda: D.Binomial(8, retrograd.tensor(0.3)), stats.binom(8, 0.3)),
    "binomial_often": (lambda: D.Binomial(8, retrograd.tensor(0.8)), stats.binom(8, 0.8)),
    "negative_binomial": (lambda: D.NegativeBinomial(3.5, retrograd.tensor(0.4)), stats.nbinom(3.5, 0.6)),
}

COUNT = 2000


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_samples(name: str) -> None:
    retrograd.manual_seed(7)
    make, reference = CONTINUOUS[name]
    assert stats.kstest(make().sample((COUNT,)).double().numpy(), reference.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", CONTINUOUS)
def test_distribution_functions(name: str) -> None:
    make, reference = CONTINUOUS[name]
    at = np.asarray(reference.ppf([0.1, 0.5, 0.9]))
    np.testing.assert_allclose(
        make().log_prob(retrograd.tensor(at)).numpy(), reference.logpdf(at), rtol=1e-5, atol=1e-6
    )
    try:
        values = make().cdf(retrograd.tensor(at))
    except NotImplementedError:
        assert name in ("beta", "student_t", "fisher", "von_mises")
    else:
        np.testing.assert_allclose(values.numpy(), [0.1, 0.5, 0.9], rtol=1e-5)


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_samples(name: str) -> None:
    retrograd.manual_seed(7)
    make, reference = DISCRETE[name]
    drawn = make().sample((COUNT,)).numpy()
    values = np.arange(6)
    expected = np.append(reference.pmf(values), reference.sf(5)) * COUNT
    found = np.append([(drawn == v).sum() for v in values], (drawn > 5).sum())
    kept = expected > 0
    assert found[~kept].sum() == 0
    assert ((found - expected)[kept] ** 2 / expected[kept]).sum() < stats.chi2(kept.sum()).ppf(0.999)


def test_samples_of_vectors() -> None:
    retrograd.manual_seed(7)
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    normal = D.MultivariateNormal(retrograd.zeros(2), retrograd.tensor(covariance, dtype=retrograd.float32))
    np.testing.assert_allclose(np.cov(normal.sample((COUNT,)).numpy().T), covariance, atol=0.2)
    factor = retrograd.tensor([[1.0], [2.0]])
    low = D.LowRankMultivariateNormal(retrograd.zeros(2), factor, retrograd.ones(2))
    np.testing.assert_allclose(np.cov(low.sample((COUNT,)).numpy().T), low.covariance_matrix.numpy(), atol=0.5)
    wishart = D.Wishart(retrograd.tensor(5.0), retrograd.tensor(covariance, dtype=retrograd.float32))
    np.testing.assert_allclose(wishart.sample((COUNT,)).mean(0).numpy(), 5 * covariance, atol=0.4)
    dirichlet = D.Dirichlet(retrograd.tensor([0.5, 1.0, 2.5])).sample((COUNT,)).numpy()
    assert stats.kstest(dirichlet[:, 0], stats.beta(0.5, 3.5).cdf).pvalue > 1e-3
    counts = D.Multinomial(5, retrograd.tensor([0.2, 0.8])).sample((COUNT,)).numpy()
    assert (counts.sum(-1) == 5).all()
    np.testing.assert_allclose(counts.mean(0), [1, 4], atol=0.1)


def test_correlations_of_lkj_are_beta_distributed() -> None:
    retrograd.manual_seed(7)
    factor = D.LKJCholesky(4, 1.5).sample((COUNT,)).numpy()
    correlations = factor @ factor.transpose(0, 2, 1)
    reference = stats.beta(1.5 + 4 / 2 - 1, 1.5 + 4 / 2 - 1, loc=-1, scale=2)
    for i, j in ((1, 0), (2, 1), (3, 0), (3, 2)):
        assert stats.kstest(correlations[:, i, j], reference.cdf).pvalue > 1e-3


def test_mixture_chooses_by_its_weights() -> None:
    retrograd.manual_seed(7)
    parts = D.Normal(retrograd.tensor([[0.0, 10.0]]).expand(3, 2), 1.0)
    drawn = D.MixtureSameFamily(D.Categorical(retrograd.tensor([0.25, 0.75])), parts).sample((COUNT,)).numpy()
    np.testing.assert_allclose((drawn > 5).mean(0), 0.75, atol=0.05)


def test_gradients_of_gamma_and_dirichlet_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")

    def under_torch(tensor: Any) -> Any:
        return torch.tensor(tensor.detach().tolist(), dtype=torch.float64)

    retrograd.manual_seed(7)
    like: dict[str, Any] = {"dtype": retrograd.float64, "requires_grad": True}
    shape = retrograd.tensor([0.05, 0.4, 1.0, 3.0, 40.0, 700.0], **like)
    gamma = _standard_gamma(shape)
    assert gamma.grad_fn.name() == "StandardGammaBackward0"
    (by_shape,) = retrograd.autograd.grad(gamma.sum(), shape)
    a = retrograd.tensor([[0.4, 1.0, 3.0], [20.0, 7.0, 1.5]], **like)
    weights = retrograd.tensor([0.3, -1.0, 2.0], dtype=retrograd.float64)
    dirichlet = _sample_dirichlet(a)
    (by_a,) = retrograd.autograd.grad((dirichlet * weights).sum(), a)
    theirs = torch._standard_gamma_grad(under_torch(shape), under_torch(gamma))
    np.testing.assert_allclose(by_shape.numpy(), theirs.numpy(), rtol=2e-3)
    x, a, w = under_torch(dirichlet), under_torch(a), under_torch(weights)
    theirs = torch._dirichlet_grad(x, a, a.sum(-1, True).expand_as(a)) * (w - (x * w).sum(-1, True))
    np.testing.assert_allclose(by_a.numpy(), theirs.numpy(), rtol=3e-3)


@pytest.mark.parametrize(("a", "x"), [(0.3, 0.01), (0.3, 2.0), (5.0, 1.0), (5.0, 12.0), (300.0, 310.0)])
def test_the_quantile_of_a_gamma_sample_is_held(a: float, x: float) -> None:
    shape, value = (retrograd.tensor([each], dtype=retrograd.float64) for each in (a, x))
    (slope,) = retrograd.autograd.grad(_gamma_sample(shape.requires_grad_(), value).sum(), shape)
    h, quantile = 1e-5 * a, stats.gamma(a).sf(x)
    difference = (stats.gamma(a + h).isf(quantile) - stats.gamma(a - h).isf(quantile)) / (2 * h)
    np.testing.assert_allclose(slope.item(), difference, rtol=1e-5)


REPARAMETRISED = {
    "normal": lambda p: D.Normal(p, 1 + p),
    "laplace": lambda p: D.Laplace(p, 1 + p),
    "uniform": lambda p: D.Uniform(p, 3 + 2 * p),
    "exponential": lambda p: D.Exponential(p),
    "log_normal": lambda p: D.LogNormal(p, 0.1 + p / 4),
    "gumbel": lambda p: D.Gumbel(p, 1 + p),
    "weibull": lambda p: D.Weibull(1 + p, 2 + p),
    "kumaraswamy": lambda p: D.Kumaraswamy(1 + p, 2 + p),
    "half_normal": lambda p: D.HalfNormal(1 + p),
    "gamma": lambda p: D.Gamma(1 + p, 2 + p),
    "beta": lambda p: D.Beta(1 + p, 2 + p / 2),
    "continuous_bernoulli": lambda p: D.ContinuousBernoulli(p / 3),
    "multivariate_normal": lambda p: D.MultivariateNormal(
        retrograd.stack([p, 2 * p]), scale_tril=retrograd.stack([1 + p, p]).diag_embed()
    ),
    "dirichlet": lambda p: D.Dirichlet(retrograd.stack([1 + p, 2 - p / 2])),
}


@pytest.mark.parametrize("name", REPARAMETRISED)
def test_the_gradient_of_a_mean_of_samples_is_that_of_the_mean(name: str) -> None:
    retrograd.manual_seed(7)
    p = retrograd.tensor(0.7, dtype=retrograd.float64, requires_grad=True)
    distribution = REPARAMETRISED[name](p)
    samples = distribution.rsample((4 * COUNT,)).reshape(4 * COUNT, -1)[:, 0]
    (found,) = retrograd.autograd.grad(samples.mean(), p)
    again = REPARAMETRISED[name](p)
    (expected,) = retrograd.autograd.grad(again.mean.reshape(-1)[0], p)
    assert abs(found.item() - expected.item()) < 0.05 * max(1.0, abs(expected.item()))


def test_jax_gives_the_same_numbers() -> None:
    def results() -> list[Any]:
        retrograd.manual_seed(7)
        scale = retrograd.tensor([1.0, 2.0], requires_grad=True)
        normal, gamma = D.Normal(1.0, scale), D.Gamma(scale, scale)
        drawn = normal.rsample() + gamma.rsample()
        loss = (normal.log_prob(drawn) + D.kl_divergence(gamma, normal)).sum()
        loss.backward()
        return [drawn.detach().numpy(), loss.detach().numpy(), scale.grad.numpy()]

    on_numpy = results()
    with retrograd.use_backend("jax"):
        on_jax = results()
    for one, other in zip(on_numpy, on_jax, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_forward_mode_agrees_with_reverse_mode() -> None:
    retrograd.manual_seed(7)
    a = retrograd.tensor([0.4, 1.0, 3.0], dtype=retrograd.float64)

    def drawn(sample: Any) -> Any:
        def of(a: Any) -> Any:
            retrograd.manual_seed(7)
            return sample(a)

        return of

    for sample in (_sample_dirichlet, _standard_gamma):
        forwards = retrograd.func.jacfwd(drawn(sample), randomness="same")(a)
        backwards = retrograd.autograd.functional.jacobian(drawn(sample), a)
        np.testing.assert_allclose(forwards.numpy(), backwards.numpy(), rtol=1e-9)
