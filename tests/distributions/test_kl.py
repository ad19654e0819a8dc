"""Divergences of all registered pairs, beside PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from distributions_cases import evaluate

import retrograd
from retrograd.distributions import kl

torch = pytest.importorskip("torch")

BY_CLASS = {
    "Bernoulli": ("D.Bernoulli(t([0.2, 0.7, 0.0, 1.0]))", "D.Bernoulli(t([0.3, 0.0, 1.0, 1.0]))"),
    "Beta": ("D.Beta(t([0.5, 2.0]), t([1.5, 3.0]))", "D.Beta(t([1.5, 0.7]), t([2.5, 1.0]))"),
    "Binomial": ("D.Binomial(4, t([0.5, 0.2]))", "D.Binomial(t([4.0, 3.0]), t([0.3, 0.6]))"),
    "Categorical": ("D.Categorical(t([0.2, 0.8, 0.0]))", "D.Categorical(t([[0.5, 0.2, 0.3], [0.5, 0.0, 0.5]]))"),
    "Cauchy": ("D.Cauchy(t([0.5, 2.0]), t([1.0, 3.0]))", "D.Cauchy(t([1.5, 2.0]), t([2.0, 0.5]))"),
    "ContinuousBernoulli": ("D.ContinuousBernoulli(t([0.2, 0.5]))", "D.ContinuousBernoulli(t([0.6, 0.3]))"),
    "Dirichlet": ("D.Dirichlet(t([[0.5, 2.0], [1.0, 3.0]]))", "D.Dirichlet(t([1.5, 0.7]))"),
    "Exponential": ("D.Exponential(t([0.5, 2.0]))", "D.Exponential(t([1.5, 1.0]))"),
    "Gamma": ("D.Gamma(t([0.5, 2.0]), t([1.0, 3.0]))", "D.Gamma(t([1.5, 0.7]), t([2.0, 1.0]))"),
    "Geometric": ("D.Geometric(t([0.5, 0.2]))", "D.Geometric(logits=t([0.3, -0.6]))"),
    "Gumbel": ("D.Gumbel(t([0.5, 2.0]), t([1.0, 3.0]))", "D.Gumbel(t([1.5, 0.7]), t([2.0, 1.0]))"),
    "HalfNormal": ("D.HalfNormal(t([0.5, 2.0]))", "D.HalfNormal(t([1.5, 1.0]))"),
    "Independent": (
        "D.Independent(D.Normal(t([0.5, 2.0]), t([1.0, 3.0])), 1)",
        "D.Independent(D.Laplace(t([1.5, 0.7]), t([2.0, 1.0])), 1)",
    ),
    "Laplace": ("D.Laplace(t([0.5, 2.0]), t([1.0, 3.0]))", "D.Laplace(t([1.5, 0.7]), t([2.0, 1.0]))"),
    "LowRankMultivariateNormal": (
        "D.LowRankMultivariateNormal(t([0.5, 1.0]), t([[2.0], [0.3]]), t([1.0, 0.5]))",
        "D.LowRankMultivariateNormal(t([[0.1, 1.0], [0.0, 3.0]]), t([[1.0], [0.7]]), t([1.0, 2.0]))",
    ),
    "MultivariateNormal": (
        "D.MultivariateNormal(t([0.5, 1.0]), t([[2.0, 0.3], [0.3, 1.0]]))",
        "D.MultivariateNormal(t([[0.5, 1.0], [0.0, 1.0]]), t([[1.0, -0.3], [-0.3, 2.0]]))",
    ),
    "Normal": ("D.Normal(t([0.5, 2.0]), t([1.0, 3.0]))", "D.Normal(t([1.5, 0.7]), t([2.0, 1.0]))"),
    "OneHotCategorical": ("D.OneHotCategorical(t([0.2, 0.8]))", "D.OneHotCategorical(t([0.5, 0.5]))"),
    "Pareto": ("D.Pareto(t([0.5, 2.0, 1.0]), t([1.5, 3.0, 0.5]))", "D.Pareto(t([0.4, 2.5, 1.0]), t([2.0, 1.0, 2.0]))"),
    "Poisson": ("D.Poisson(t([0.5, 3.2]))", "D.Poisson(t(1.5))"),
    "TransformedDistribution": ("D.LogNormal(t([0.5]), t([1.0]))", "D.LogNormal(t([0.7]), t([2.0]))"),
    "Uniform": ("D.Uniform(t([0.2, -0.5]), t([0.9, 1.0]))", "D.Uniform(t([0.1, -1.0]), t([0.8, 2.0]))"),
}
"""A distribution of each class as p, and as q."""

PARETO = {"Gamma", "Exponential", "Normal"}

PAIRS = sorted(
    (p.__name__, q.__name__)
    for p, q in kl._KL_REGISTRY
    if p.__module__.startswith("retrograd.") and p is not retrograd.distributions.ExponentialFamily
)


def divergence(library: Any, p: str, q: str) -> tuple[Any, list[Any]]:
    first, leaves = evaluate(library, p, requires_grad=True)
    second, others = evaluate(library, q, requires_grad=True)
    return library.distributions.kl_divergence(first, second), leaves + others


def test_the_same_pairs_are_registered() -> None:
    theirs = {(p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY}
    known = vars(retrograd.distributions).values()  # a docstring's example registers a class of its own
    ours = {(p.__name__, q.__name__) for p, q in kl._KL_REGISTRY if p in known}
    assert ours == theirs


@pytest.mark.parametrize(("p", "q"), PAIRS, ids=str)
def test_divergence_and_its_gradient(p: str, q: str) -> None:
    first, second = BY_CLASS[p][0], BY_CLASS[q][1]
    if p == "Pareto" and q in PARETO:
        second = {"Gamma": "D.Gamma(t(1.5), t(2.0))", "Exponential": "D.Exponential(t(1.5))"}.get(
            q, "D.Normal(t(1.5), t(2.0))"
        )
    if (p, q) == ("Uniform", "Pareto"):
        second = "D.Pareto(t([0.1, 2.0]), t([2.0, 1.0]))"
    (mine, my_leaves), (theirs, their_leaves) = (divergence(each, first, second) for each in (retrograd, torch))
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-6, atol=1e-9)
    if not theirs.requires_grad or not torch.isfinite(theirs).all():
        return
    mine = retrograd.autograd.grad(mine.sum(), my_leaves, allow_unused=True)
    theirs = torch.autograd.grad(theirs.sum(), their_leaves, allow_unused=True)
    for one, other in zip(mine, theirs, strict=True):
        if other is not None and one is not None:
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-8)
