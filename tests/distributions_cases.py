"""The distributions that the tests compare with PyTorch's, each made by an expression that both libraries evaluate."""

from __future__ import annotations

from types import ModuleType
from typing import Any

__all__ = ["CASES", "evaluate", "expression"]

CASES: dict[str, tuple[str, str]] = {
    # name: what makes it, a value
    "normal": ("D.Normal(t([0.0, 1.0]), t([1.0, 2.0]))", "t([[0.5, -1.0], [3.0, 0.2]])"),
    "normal_of_numbers": ("D.Normal(0.5, 2.0)", "t([0.5, -1.0]).float()"),
    "normal_broadcast": ("D.Normal(t([[0.0], [1.0]]), t([1.0, 2.0, 3.0]))", "t([0.5, -1.0, 2.0])"),
    "bernoulli": ("D.Bernoulli(t([0.2, 0.7]))", "t([[0.0, 1.0], [1.0, 1.0]])"),
    "bernoulli_logits": ("D.Bernoulli(logits=t([-0.2, 0.7]))", "t([0.0, 1.0])"),
    "bernoulli_half": ("D.Bernoulli(0.5)", "t(1.0).float()"),
    "categorical": ("D.Categorical(t([[0.2, 0.7, 1.0], [1.0, 2.0, 0.5]]))", "L([[0, 1], [2, 2], [1, 0]])"),
    "categorical_logits": ("D.Categorical(logits=t([0.2, 0.7, 1.0]))", "L([0, 2])"),
    "one_hot": ("D.OneHotCategorical(t([[0.2, 0.7, 1.0], [1.0, 2.0, 0.5]]))", "t([0.0, 0.0, 1.0])"),
    "one_hot_logits": ("D.OneHotCategorical(logits=t([0.2, 0.7]))", "t([0.0, 1.0])"),
    "one_hot_straight": ("D.OneHotCategoricalStraightThrough(t([0.2, 0.7]))", "t([0.0, 1.0])"),
    "uniform": ("D.Uniform(t([0.0, -1.0]), t([2.0, 3.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "exponential": ("D.Exponential(t([0.5, 2.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "laplace": ("D.Laplace(t([0.5, 2.0]), t([1.0, 3.0]))", "t([[0.5, 1.5], [1.0, -2.0]])"),
    "log_normal": ("D.LogNormal(t([0.5, 2.0]), t([1.0, 0.5]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "independent": ("D.Independent(D.Normal(t([[0.0, 1.0]]), t([1.0, 2.0])), 1)", "t([0.5, 1.5])"),
    "independent_0": ("D.Independent(D.Bernoulli(t([0.2, 0.7])), 0)", "t([0.0, 1.0])"),
    "gamma": ("D.Gamma(t([0.5, 2.0]), t([1.0, 3.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "chi2": ("D.Chi2(t([0.5, 3.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "dirichlet": ("D.Dirichlet(t([[0.5, 2.0, 1.5], [0.5, 0.2, 0.6]]))", "t([0.2, 0.5, 0.3])"),
    "beta": ("D.Beta(t([0.5, 2.0]), t([1.5, 3.0]))", "t([[0.5, 0.2], [0.9, 0.3]])"),
    "beta_of_numbers": ("D.Beta(2.0, 3)", "t(0.25).float()"),
    "student_t": ("D.StudentT(t([0.5, 1.5, 3.0]), t([0.5, 2.0, 1.0]), t([1.0, 3.0, 1.0]))", "t([0.5, 1.5, -1.0])"),
    "student_t_of_numbers": ("D.StudentT(3.0)", "t([0.5, 1.5]).float()"),
    "cauchy": ("D.Cauchy(t([0.5, 2.0]), t([1.0, 3.0]))", "t([[0.5, 1.5], [1.0, -2.0]])"),
    "half_normal": ("D.HalfNormal(t([0.5, 2.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "half_cauchy": ("D.HalfCauchy(t([0.5, 2.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "gumbel": ("D.Gumbel(t([0.5, 2.0]), t([1.0, 3.0]))", "t([[0.5, 1.5], [1.0, -2.0]])"),
    "pareto": ("D.Pareto(t([0.5, 1.0, 2.0]), t([0.5, 1.5, 3.0]))", "t([0.6, 1.5, 2.5])"),
    "weibull": ("D.Weibull(t([0.5, 2.0]), t([1.0, 3.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "kumaraswamy": ("D.Kumaraswamy(t([0.5, 2.0]), t([1.5, 3.0]))", "t([[0.5, 0.2], [0.9, 0.3]])"),
    "geometric": ("D.Geometric(t([0.5, 0.2]))", "t([[0.0, 3.0], [1.0, 2.0]])"),
    "geometric_logits": ("D.Geometric(logits=t([0.5, -0.2]))", "t([[0.0, 3.0], [1.0, 2.0]])"),
    "poisson": ("D.Poisson(t([0.5, 3.2]))", "t([[0.0, 3.0], [1.0, 2.0]])"),
    "binomial": ("D.Binomial(4, t([0.5, 0.2]))", "t([[0.0, 3.0], [1.0, 2.0]])"),
    "binomial_logits": ("D.Binomial(t([2.0, 3.0]), logits=t([0.5, -0.2]))", "t([[0.0, 3.0], [1.0, 2.0]])"),
    "negative_binomial": ("D.NegativeBinomial(t([2.0, 3.5]), t([0.5, 0.2]))", "t([[0.0, 3.0], [1.0, 2.0]])"),
    "negative_binomial_logits": ("D.NegativeBinomial(3, logits=t([0.5, -0.2]))", "t([[0.0, 3.0], [1.0, 2.0]])"),
    "multinomial": ("D.Multinomial(4, t([[0.2, 0.7, 1.0], [1.0, 2.0, 0.5]]))", "t([1.0, 2.0, 1.0])"),
    "multivariate_normal": (
        "D.MultivariateNormal(t([[0.5, 1.0], [0.0, 2.0]]), t([[2.0, 0.3], [0.3, 1.0]]))",
        "t([0.3, 0.6])",
    ),
    "multivariate_normal_precision": (
        "D.MultivariateNormal(t([0.5, 1.0]), precision_matrix=t([[2.0, 0.3], [0.3, 1.0]]))",
        "t([[0.3, 0.6]])",
    ),
    "multivariate_normal_factor": (
        "D.MultivariateNormal(t([0.5, 1.0]), scale_tril=t([[[2.0, 0.0], [0.3, 1.0]]]))",
        "t([[0.3, 0.6]])",
    ),
    "relaxed_bernoulli": ("D.RelaxedBernoulli(t(0.7), t([0.2, 0.7]))", "t([[0.1, 0.9], [0.5, 0.2]])"),
    "relaxed_bernoulli_logits": ("D.RelaxedBernoulli(t([0.7]), logits=t([0.2, 0.7]))", "t([0.5, 0.2])"),
    "relaxed_one_hot": (
        "D.RelaxedOneHotCategorical(t(0.7), t([[0.2, 0.7, 1.0], [1.0, 2.0, 0.5]]))",
        "t([0.1, 0.6, 0.3])",
    ),
    "relaxed_one_hot_logits": ("D.RelaxedOneHotCategorical(t(0.7), logits=t([0.2, 0.7]))", "t([0.1, 0.9])"),
    "von_mises": ("D.VonMises(t([0.5, 2.0]), t([1.0, 5.0]))", "t([[0.5, 1.5], [1.0, -2.0]])"),
    "logistic_normal": ("D.LogisticNormal(t([0.5, 2.0]), t([1.0, 0.5]))", "t([0.3, 0.6, 0.1])"),
    "mixture": (
        "D.MixtureSameFamily(D.Categorical(t([[0.2, 0.8], [0.5, 0.5]])), D.Normal(t([0.0, 3.0]).expand(2, 2), 1.0))",
        "t([0.5, 2.0])",
    ),
    "mixture_of_vectors": (
        "D.MixtureSameFamily(D.Categorical(t([0.2, 0.8])), D.Independent(D.Laplace(t([[0.0, 3.0], [1.0, 2.0]]), "
        "1.0), 1))",
        "t([0.5, 2.0])",
    ),
    "continuous_bernoulli": ("D.ContinuousBernoulli(t([0.2, 0.7, 0.5]))", "t([[0.1, 0.9, 0.3], [0.5, 0.2, 0.8]])"),
    "continuous_bernoulli_logits": ("D.ContinuousBernoulli(logits=t([-0.2, 0.7]))", "t([0.1, 0.9])"),
    "inverse_gamma": ("D.InverseGamma(t([0.5, 3.0]), t([1.0, 3.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "fisher_snedecor": ("D.FisherSnedecor(t([0.5, 3.0]), t([5.0, 3.0]))", "t([[0.5, 1.5], [1.0, 2.0]])"),
    "lowrank_multivariate_normal": (
        "D.LowRankMultivariateNormal(t([[0.5, 1.0, 2.0]]), t([[2.0], [0.3], [1.0]]), t([1.0, 0.5, 2.0]))",
        "t([0.3, 0.6, 1.0])",
    ),
    "wishart": ("D.Wishart(t([3.0, 4.5]), t([[2.0, 0.3], [0.3, 1.0]]))", "t([[1.0, 0.2], [0.2, 2.0]])"),
    "wishart_precision": (
        "D.Wishart(4, precision_matrix=t([[[2.0, 0.3], [0.3, 1.0]]]))",
        "t([[[1.0, 0.2], [0.2, 2.0]]])",
    ),
    "wishart_factor": ("D.Wishart(t(4.0), scale_tril=t([[2.0, 0.0], [0.3, 1.0]]))", "t([[1.0, 0.2], [0.2, 2.0]])"),
    "generalized_pareto": (
        "D.GeneralizedPareto(L([0.0, 1.0, 0.0, 0.0]), L([1.0, 2.0, 1.0, 1.0]), L([0.3, 0.0, -0.5, 1.5]))",
        "L([1.0, 2.0, 0.5, 2.0])",
    ),
    "lkj_cholesky": ("D.LKJCholesky(2, t([0.5, 2.0]))", "t([[1.0, 0.0], [0.6, 0.8]])"),
    "transformed": (
        "D.TransformedDistribution(D.Normal(t([0.0, 1.0]), t([1.0, 2.0])), [D.AffineTransform(1.0, -2.0), "
        "D.SigmoidTransform()])",
        "t([0.3, 0.6])",
    ),
    "transformed_simplex": (
        "D.TransformedDistribution(D.Normal(t([0.0, 1.0]), t([1.0, 2.0])), D.StickBreakingTransform())",
        "t([0.3, 0.6, 0.1])",
    ),
}


def _scope(library: ModuleType, requires_grad: bool) -> dict[str, Any]:
    made: list[Any] = []

    def t(numbers: Any) -> Any:
        made.append(library.tensor(numbers, dtype=library.float64, requires_grad=requires_grad))
        return made[-1]

    return {
        "D": library.distributions,
        "C": library.distributions.constraints,
        "torch": library,
        "t": t,
        "L": library.tensor,
        "made": made,
    }


def evaluate(library: ModuleType, code: str, requires_grad: bool = False) -> tuple[Any, list[Any]]:
    """What an expression gives under a library, and the float64 tensors that were made on the way."""
    scope = _scope(library, requires_grad)
    return eval(code, scope), scope["made"]


def expression(name: str) -> str:
    return CASES[name][0]
