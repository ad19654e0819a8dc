"""The formulas of `kl_divergence`.

Most pairs of different families are written as ``-H(p) - E_p[log q(x)]``: of the second term there is one function
for each family of q, which needs a few moments of p.
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.autograd.api import grad
from retrograd.distributions.bernoulli import Bernoulli
from retrograd.distributions.beta import Beta
from retrograd.distributions.binomial import Binomial
from retrograd.distributions.categorical import Categorical
from retrograd.distributions.cauchy import Cauchy
from retrograd.distributions.continuous_bernoulli import ContinuousBernoulli
from retrograd.distributions.dirichlet import Dirichlet
from retrograd.distributions.exp_family import ExponentialFamily
from retrograd.distributions.exponential import Exponential
from retrograd.distributions.gamma import Gamma
from retrograd.distributions.geometric import Geometric
from retrograd.distributions.gumbel import Gumbel
from retrograd.distributions.half_normal import HalfNormal
from retrograd.distributions.independent import Independent
from retrograd.distributions.kl import kl_divergence, register_kl
from retrograd.distributions.laplace import Laplace
from retrograd.distributions.lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    lowrank_half_log_det,
    lowrank_mahalanobis,
)
from retrograd.distributions.multivariate_normal import MultivariateNormal, half_log_det, mahalanobis
from retrograd.distributions.normal import Normal
from retrograd.distributions.one_hot_categorical import OneHotCategorical
from retrograd.distributions.pareto import Pareto
from retrograd.distributions.poisson import Poisson
from retrograd.distributions.transformed_distribution import TransformedDistribution
from retrograd.distributions.uniform import Uniform
from retrograd.distributions.utils import _sum_rightmost, euler_constant
from retrograd.nn.functional import logsigmoid
from retrograd.ops.factories import full_like
from retrograd.ops.indexing import where
from retrograd.ops.linalg_solving import solve_triangular
from retrograd.tensor import Tensor

__all__: list[str] = []


# -- within a family ---------------------------------------------------------------------------


@register_kl(Bernoulli, Bernoulli)
def _bernoulli_bernoulli(p: Any, q: Any) -> Tensor:
    ones = p.probs * (logsigmoid(p.logits) - logsigmoid(q.logits))
    zeros = (1 - p.probs) * (logsigmoid(-p.logits) - logsigmoid(-q.logits))
    ones = where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, ones))
    return ones + where(p.probs == 1, 0.0, where(q.probs == 1, math.inf, zeros))


@register_kl(Beta, Beta)
def _beta_beta(p: Any, q: Any) -> Tensor:
    return kl_divergence(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _binomial_binomial(p: Any, q: Any) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    each = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return where(p.total_count > q.total_count, math.inf, p.total_count * each)


@register_kl(Categorical, Categorical)
def _categorical_categorical(p: Any, q: Any) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    return where(p.probs == 0, 0.0, where(q.probs == 0, math.inf, terms)).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_one_hot(p: Any, q: Any) -> Tensor:
    return kl_divergence(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _cauchy_cauchy(p: Any, q: Any) -> Tensor:
    """Source: Chyzak, Nielsen, "A closed-form formula for the Kullback-Leibler divergence between Cauchy ...", 2019."""
    apart = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return apart.log() - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_continuous(p: Any, q: Any) -> Tensor:
    own = p._cont_bern_log_norm() + (-p.probs).log1p()
    return p.mean * (p.logits - q.logits) + own - q._cont_bern_log_norm() - (-q.probs).log1p()


@register_kl(Dirichlet, Dirichlet)
def _dirichlet_dirichlet(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    normalizers = total.lgamma() - b.sum(-1).lgamma() + (b.lgamma() - a.lgamma()).sum(-1)
    return normalizers + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential_exponential(p: Any, q: Any) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _family_family(p: Any, q: Any) -> Tensor:
    """Bregman's divergence of the normalisers, for what has no formula of its own."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot "
            + " " * 28
            + "be computed using Bregman divergences"
        )
    natural = [each.detach().requires_grad_() for each in p._natural_params]
    normalizer = p._log_normalizer(*natural)
    slopes = grad((normalizer.sum(),), natural, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    for mine, theirs, slope in zip(natural, q._natural_params, slopes, strict=True):
        result = result - _sum_rightmost((theirs - mine) * slope, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _gamma_gamma(p: Any, q: Any) -> Tensor:
    a, b = p.concentration, q.concentration
    rates = b * (p.rate / q.rate).log() + a * (q.rate / p.rate - 1)
    return rates + b.lgamma() - a.lgamma() + (a - b) * a.digamma()


@register_kl(Geometric, Geometric)
def _geometric_geometric(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel_gumbel(p: Any, q: Any) -> Tensor:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc) / q.scale
    far = ((1 + ratio).lgamma() - apart).exp()
    return far + apart - ratio.log() + ratio * euler_constant - (1 + euler_constant)


@register_kl(HalfNormal, HalfNormal)
def _half_normal_half_normal(p: Any, q: Any) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace_laplace(p: Any, q: Any) -> Tensor:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc).abs()
    return apart / q.scale + ratio * (-apart / p.scale).exp() - ratio.log() - 1


@register_kl(Normal, Normal)
def _normal_normal(p: Any, q: Any) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Pareto, Pareto)
def _pareto_pareto(p: Any, q: Any) -> Tensor:
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return where(p.scale < q.scale, math.inf, result)


@register_kl(Poisson, Poisson)
def _poisson_poisson(p: Any, q: Any) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed_transformed(p: Any, q: Any) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform_uniform(p: Any, q: Any) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return where((q.low > p.low) | (q.high < p.high), math.inf, result)


@register_kl(Independent, Independent)
def _independent_independent(p: Any, q: Any) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


# -- normal vectors ----------------------------------------------------------------------------


def _require_same_event(p: Any, q: Any, kind: str) -> None:
    if p.event_shape != q.event_shape:
        gap = " " * 26
        raise ValueError(f"KL-divergence between two {kind} with{gap}different event shapes cannot be computed")


def _half_det(d: Any) -> Tensor:
    if isinstance(d, LowRankMultivariateNormal):
        return lowrank_half_log_det(d._unbroadcasted_cov_diag, d._capacitance_tril)
    return half_log_det(d._unbroadcasted_scale_tril)


def _squares(matrix: Tensor) -> Tensor:
    return matrix.square().sum((-2, -1))


def _parts(d: Any) -> list[Tensor]:
    """Matrices whose products with their transposes add up to the covariance."""
    if isinstance(d, LowRankMultivariateNormal):
        return [d._unbroadcasted_cov_factor, d._unbroadcasted_cov_diag.sqrt().diag_embed()]
    return [d._unbroadcasted_scale_tril]


def _against_whole(q: Any, parts: list[Tensor]) -> Tensor:
    """``tr(S_q^-1 S_p)``, S_p in parts."""
    lower = q._unbroadcasted_scale_tril
    traces = [_squares(solve_triangular(lower, each, upper=False)) for each in parts]
    return sum(traces[1:], traces[0])


def _against_lowrank(q: Any, parts: list[Tensor]) -> Tensor:
    diagonal = q._unbroadcasted_cov_diag
    scaled = q._unbroadcasted_cov_factor.mT / diagonal.unsqueeze(-2)
    traces = []
    for each in parts:
        inner = solve_triangular(q._capacitance_tril, scaled @ each, upper=False)
        traces.append(_squares(each / diagonal.sqrt().unsqueeze(-1)) - _squares(inner))
    return sum(traces[1:], traces[0])


def _normal_vectors(p: Any, q: Any) -> Tensor:
    difference = q.loc - p.loc
    if isinstance(q, LowRankMultivariateNormal):
        factor, diagonal = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag
        squared = lowrank_mahalanobis(factor, diagonal, difference, q._capacitance_tril)
        trace = _against_lowrank(q, _parts(p))
    else:
        squared = mahalanobis(q._unbroadcasted_scale_tril, difference)
        trace = _against_whole(q, _parts(p))
    return _half_det(q) - _half_det(p) + 0.5 * (trace + squared - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _lowrank_lowrank(p: Any, q: Any) -> Tensor:
    _require_same_event(p, q, "Low Rank Multivariate Normals")
    return _normal_vectors(p, q)


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _vector_lowrank(p: Any, q: Any) -> Tensor:
    _require_same_event(p, q, "(Low Rank) Multivariate Normals")
    return _normal_vectors(p, q)


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _lowrank_vector(p: Any, q: Any) -> Tensor:
    _require_same_event(p, q, "(Low Rank) Multivariate Normals")
    return _normal_vectors(p, q)


@register_kl(MultivariateNormal, MultivariateNormal)
def _vector_vector(p: Any, q: Any) -> Tensor:
    _require_same_event(p, q, "Multivariate Normals")
    return _normal_vectors(p, q)


# -- between families --------------------------------------------------------------------------


def _to_normal(p: Any, q: Any) -> Tensor:
    squared = (p.variance + (p.mean - q.loc).pow(2)) / (2 * q.scale.pow(2))
    return -p.entropy() + q.scale.log() + 0.5 * math.log(2 * math.pi) + squared


def _to_exponential(p: Any, q: Any) -> Tensor:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


def _to_gamma(p: Any, q: Any, mean_log: Tensor) -> Tensor:
    normalizer = q.concentration.lgamma() - q.concentration * q.rate.log()
    return -p.entropy() + normalizer - (q.concentration - 1) * mean_log + q.rate * p.mean


def _to_gumbel(p: Any, q: Any, mean_exp: Tensor) -> Tensor:
    """`mean_exp` is ``E_p[exp(-x / q.scale)]``."""
    apart = (p.mean - q.loc) / q.scale
    return -p.entropy() + q.scale.log() + apart + (q.loc / q.scale).exp() * mean_exp


def _to_continuous(p: Any, q: Any) -> Tensor:
    return -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._cont_bern_log_norm()


def _to_uniform(p: Any, q: Any) -> Tensor:
    """Of p on the unit interval."""
    result = -p.entropy() + (q.high - q.low).log()
    return where((q.low > 0) | (q.high < 1), math.inf, result)


for _family in (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform):
    register_kl(_family, Normal)(_to_normal)
for _family in (Beta, ContinuousBernoulli, Gamma, Pareto):
    register_kl(_family, Exponential)(_to_exponential)
for _family in (Beta, ContinuousBernoulli):
    register_kl(_family, Uniform)(_to_uniform)
register_kl(Beta, ContinuousBernoulli)(_to_continuous)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Tensor:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Tensor:
    total = p.concentration1 + p.concentration0
    return _to_gamma(p, q, p.concentration1.digamma() - total.digamma())


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Tensor:
    return _to_gamma(p, q, -p.rate.log() - euler_constant)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Tensor:
    product = p.rate * q.scale
    return _to_gumbel(p, q, product / (product + 1))


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Tensor:
    return _to_gumbel(p, q, (1 + (p.rate * q.scale).reciprocal()).pow(-p.concentration))


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Tensor:
    return _to_gumbel(p, q, (-p.mean / q.scale + 0.5 * (p.scale / q.scale).pow(2)).exp())


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Tensor:
    apart = p.loc - q.loc
    z = apart / p.scale
    distance = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z.pow(2)).exp() + apart * (math.sqrt(0.5) * z).erf()
    return -p.entropy() + (2 * q.scale).log() + distance / q.scale


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Tensor:
    return _to_gamma(p, q, p.scale.log() + p.alpha.reciprocal())


def _mean_log(low: Tensor, high: Tensor) -> Tensor:
    """The mean of ``log(x)`` over the interval."""
    return (high.xlogy(high) - low.xlogy(low)) / (high - low) - 1


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Tensor:
    a, b = q.concentration1, q.concentration0
    result = -p.entropy() + a.lgamma() + b.lgamma() - (a + b).lgamma()
    result = result - (a - 1) * _mean_log(p.low, p.high) - (b - 1) * _mean_log(1 - p.high, 1 - p.low)
    return where((p.high > 1) | (p.low < 0), math.inf, result)


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous(p: Any, q: Any) -> Tensor:
    return where((p.high > 1) | (p.low < 0), math.inf, _to_continuous(p, q))


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Tensor:
    return where(p.low < 0, math.inf, _to_exponential(p, q))


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Tensor:
    return where(p.low < 0, math.inf, _to_gamma(p, q, _mean_log(p.low, p.high)))


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Tensor:
    falls = (-p.low / q.scale).exp() - (-p.high / q.scale).exp()
    return _to_gumbel(p, q, falls * q.scale / (p.high - p.low))


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Tensor:
    normalizer = q.alpha.log() + q.alpha * q.scale.log()
    result = -p.entropy() - normalizer + (q.alpha + 1) * _mean_log(p.low, p.high)
    return where(p.low < q.scale, math.inf, result)


# -- where p has samples that q cannot have ----------------------------------------------------

_NOT_WITHIN: dict[Any, tuple[str, tuple[Any, ...]]] = {
    Beta: ("concentration1", (Pareto,)),
    ContinuousBernoulli: ("probs", (Pareto,)),
    Exponential: ("rate", (Beta, ContinuousBernoulli, Pareto, Uniform)),
    Gamma: ("concentration", (Beta, ContinuousBernoulli, Pareto, Uniform)),
    Gumbel: ("loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    Laplace: ("loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    Normal: ("loc", (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)),
    Pareto: ("scale", (Beta, ContinuousBernoulli, Uniform)),
    Poisson: ("rate", (Bernoulli, Binomial)),
}


def _infinite(parameter: str) -> Any:
    return lambda p, q: full_like(getattr(p, parameter), math.inf)


for _family, (_parameter, _others) in _NOT_WITHIN.items():
    for _other in _others:
        register_kl(_family, _other)(_infinite(_parameter))
