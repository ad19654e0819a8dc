"""What distributions refuse, with PyTorch's texts; subclasses, and checks that are off."""

from __future__ import annotations

import pytest
from programs import assert_same

GIVEN = """
D = torch.distributions
t = torch.tensor
"""

REFUSED = {
    "normal": [
        "D.Normal(t([0.0, 1.0]), t([-1.0, 1.0]))", "D.Normal(0, -1)", "D.Normal('a', 1)",
        "D.Normal(0, -1, False)",
    ],
    "probabilities": [
        f"D.{name}({arguments})"
        for name in ("Bernoulli", "Geometric", "ContinuousBernoulli", "Categorical", "OneHotCategorical")
        for arguments in ("", "t([0.5]), t([0.5])", "t([-0.5, 0.5])", "t(0.5)", "logits=t([float('nan'), 1.0])")
    ],
    "counts": [
        "D.Binomial(-1, t(0.5))", "D.Binomial(3)", "D.Binomial(3, t(1.5))", "D.NegativeBinomial(-1, t(0.5))",
        "D.NegativeBinomial(3, t(1.0))", "D.Multinomial(t(3), t([0.5, 0.5]))", "D.Geometric(t([0.0, 0.5]))",
        "D.Poisson(-1.0)", "D.Binomial(t([2.0, 3.0]), t(0.5)).entropy()",
        "D.Binomial(t([2.0, 3.0]), t(0.5)).enumerate_support()",
    ],
    "positive": [
        "D.Exponential(0.0)", "D.Gamma(1.0, -1.0)", "D.Beta(-1.0, 1.0)", "D.Beta(t([-1.0]), 1.0)",
        "D.Dirichlet(t(1.0))", "D.Dirichlet(t([1.0, -1.0]))", "D.Chi2(-1.0)", "D.StudentT(-1.0)",
        "D.HalfNormal(-1.0)", "D.HalfCauchy(-1.0)", "D.Gumbel(0.0, -1.0)", "D.Pareto(-1.0, 1.0)",
        "D.Weibull(1.0, -1.0)", "D.Kumaraswamy(-1.0, 1.0)", "D.InverseGamma(-1.0, 1.0)", "D.LogNormal(0.0, -1.0)",
        "D.VonMises(0.0, -1.0)", "D.FisherSnedecor(-1.0, 1.0)", "D.Laplace(0.0, -1.0)", "D.Cauchy(0.0, -1.0)",
        "D.GeneralizedPareto(0.0, -1.0, 0.0)",
    ],
    "uniform": ["D.Uniform(t(1.0), t(0.0))", "D.Uniform(t([0.0, 1.0]), t([1.0, 1.0]))"],
    "matrices": [
        "D.MultivariateNormal(t(0.0), t([[1.0]]))", "D.MultivariateNormal(t([0.0]))",
        "D.MultivariateNormal(t([0.0]), t([[1.0]]), t([[1.0]]))", "D.MultivariateNormal(t([0.0]), t([1.0]))",
        "D.MultivariateNormal(t([0.0]), scale_tril=t([1.0]))", "D.MultivariateNormal(t([0.0]), t([[-1.0]]))",
        "D.MultivariateNormal(t([0.0]), precision_matrix=t([1.0]))",
        "D.MultivariateNormal(t([0.0, 0.0]), t([[1.0, 2.0], [0.0, 1.0]]))",
        "D.LowRankMultivariateNormal(t(0.0), t([[1.0]]), t([1.0]))",
        "D.LowRankMultivariateNormal(t([0.0]), t([1.0]), t([1.0]))",
        "D.LowRankMultivariateNormal(t([0.0]), t([[1.0], [2.0]]), t([1.0]))",
        "D.LowRankMultivariateNormal(t([0.0]), t([[1.0]]), t([1.0, 2.0]))",
        "D.LowRankMultivariateNormal(t([[0.0]] * 2), t([[1.0]]), t([[1.0]] * 3))",
        "D.Wishart(t(0.5), t([[1.0, 0.0], [0.0, 1.0]]))", "D.Wishart(t(3.0))", "D.Wishart(t(3.0), t([1.0]))",
        "D.LKJCholesky(1)",
    ],
    "made of others": [
        "D.Independent(D.Normal(0.0, 1.0), 1)", "D.Independent(D.Bernoulli(t([0.5])), 1).enumerate_support()",
        "D.MixtureSameFamily(3, D.Normal(0.0, 1.0))", "D.MixtureSameFamily(D.Categorical(t([0.5, 0.5])), 3)",
        "D.MixtureSameFamily(D.Categorical(t([0.5, 0.5])), D.Normal(t([0.0, 1.0, 2.0]), 1.0))",
        "D.MixtureSameFamily(D.Categorical(t([[0.5, 0.5]] * 3)), D.Normal(t([[0.0, 1.0]] * 2), 1.0))",
        "D.RelaxedBernoulli(t(1.0))", "D.RelaxedOneHotCategorical(t(1.0))",
    ],
    "the base": [
        "D.Distribution(validate_args=False).mode", "D.Distribution(validate_args=False).sample()",
        "D.Distribution(validate_args=False).support", "D.Distribution(validate_args=False).entropy()",
        "D.Distribution(validate_args=False).expand((2,))", "D.ExponentialFamily(validate_args=False).entropy()",
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str) -> None:
    assert_same("\n".join(f"attempt(lambda: {call})" for call in REFUSED[kind]), GIVEN)


def test_subclasses_and_checks_that_are_off() -> None:
    assert_same(
        """
        class Own(D.Normal):
            def __init__(self):
                super().__init__(0.0, 1.0)
        attempt(lambda: Own().expand((2,)))
        class Plain(D.Normal):
            pass
        print(type(Plain(0.0, 1.0).expand((2,))).__name__, Plain(0.0, 1.0))
        print(D.Normal(t([0.0]), 1.0, validate_args=False).expand((3,))._validate_args)
        print(D.Normal(0.0, 1.0, validate_args=False).log_prob(t(float("nan"))))
        D.Distribution.set_default_validate_args(False)
        try:
            print(D.Normal(0.0, -1.0).scale)
        finally:
            D.Distribution.set_default_validate_args(True)
        attempt(lambda: D.Normal(0.0, -1.0))
        print(D.Normal(1, t([1.0], dtype=torch.float64)).loc, D.Normal(1, 2).loc)
        """,
        GIVEN,
    )
