"""Constraints, transforms and the registries that lead from numbers into constraints, beside PyTorch's."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from distributions_cases import evaluate
from programs import assert_same

import retrograd
from retrograd.distributions import transforms

torch = pytest.importorskip("torch")

GIVEN = """
import warnings
D = torch.distributions
C = D.constraints
def t(numbers, **options):
    return torch.tensor(numbers, dtype=torch.float64, **options)
def show(transform, x):
    x = t(x, requires_grad=True) if not hasattr(x, "shape") else x
    y = transform(x)
    print(repr(transform), transform.domain, transform.codomain, transform.bijective)
    print(y.detach().tolist(), transform.inv(y.detach()).tolist())
    print(transform.forward_shape(x.shape), transform.inverse_shape(y.shape))
    attempt(lambda: transform.sign)
    attempt(lambda: transform.inv.event_dim)
    attempt(lambda: transform.log_abs_det_jacobian(x, y).tolist())
    attempt(lambda: transform.inv.log_abs_det_jacobian(y, x).tolist())
    attempt(lambda: [g.tolist() for g in torch.autograd.grad(y.cos().sum(), x)])
    print(transform == transform, transform.inv.inv is transform, repr(transform.inv))
    attempt(lambda: transform.with_cache(1)._cache_size)
    cached = transform.with_cache(1)
    y = cached(x)
    print(cached.inv(y) is x, cached(x) is y)
"""

TRANSFORMS = {
    "exp": "D.ExpTransform(), [0.5, -1.0]",
    "power": "D.PowerTransform(t([2.0, -0.5])), [0.5, 1.5]",
    "sigmoid": "D.SigmoidTransform(), [0.5, -1.0]",
    "softplus": "D.SoftplusTransform(), [0.5, -1.0]",
    "tanh": "D.TanhTransform(), [0.5, -1.0]",
    "abs": "D.AbsTransform(), [0.5, -1.0]",
    "affine": "D.AffineTransform(1.0, -2.0), [0.5, -1.0]",
    "affine_of_vectors": "D.AffineTransform(t([1.0, 0.0]), t([2.0, -3.0]), event_dim=1), [[0.5, -1.0], [1.0, 2.0]]",
    "softmax": "D.SoftmaxTransform(), [0.5, -1.0]",
    "stick_breaking": "D.StickBreakingTransform(), [[0.5, -1.0], [1.0, 2.0]]",
    "lower_cholesky": "D.LowerCholeskyTransform(), [[0.5, -1.0], [1.0, 2.0]]",
    "positive_definite": "D.PositiveDefiniteTransform(), [[0.5, -1.0], [1.0, 2.0]]",
    "corr_cholesky": "D.CorrCholeskyTransform(), [0.5, -1.0, 0.3]",
    "independent": "D.IndependentTransform(D.ExpTransform(), 1), [[0.5, -1.0], [1.0, 2.0]]",
    "reshape": "D.ReshapeTransform((2, 2), (4,)), [[0.5, -1.0], [1.0, 2.0]]",
    "cumulative": "D.CumulativeDistributionTransform(D.Normal(t(0.0), t(1.0))), [0.5, -1.0]",
    "composed": "D.ComposeTransform([D.AffineTransform(1.0, -2.0), D.SigmoidTransform()]), [0.5, -1.0]",
    "composed_vectors": "D.ComposeTransform([D.ExpTransform(), D.StickBreakingTransform()]), [0.5, -1.0]",
    "composed_of_none": "D.identity_transform, [0.5, -1.0]",
    "cat": "D.CatTransform([D.ExpTransform(), D.AffineTransform(1, 2)], dim=0, lengths=[1, 2]), [0.5, -1.0, 2.0]",
    "cat_of_vectors": "D.CatTransform([D.ExpTransform(), D.TanhTransform()], dim=-1), [[0.5, -1.0], [1.0, 2.0]]",
    "stack": "D.StackTransform([D.ExpTransform(), D.TanhTransform()], dim=1), [[0.5, -1.0], [1.0, 2.0]]",
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name: str) -> None:
    assert_same(f"show({TRANSFORMS[name]})", GIVEN)


def test_misuse_of_transforms() -> None:
    assert_same(
        """
        attempt(lambda: D.ExpTransform(cache_size=2))
        attempt(lambda: D.ReshapeTransform((2, 2), (3,)))
        attempt(lambda: D.ReshapeTransform((2, 2), (4,)).forward_shape((2,)))
        attempt(lambda: D.ReshapeTransform((2, 2), (4,)).forward_shape((2, 3)))
        attempt(lambda: D.ReshapeTransform((2, 2), (4,)).inverse_shape((3,)))
        attempt(lambda: D.StickBreakingTransform().forward_shape(()))
        attempt(lambda: D.CorrCholeskyTransform().forward_shape((4,)))
        attempt(lambda: D.CorrCholeskyTransform().inverse_shape((2, 3)))
        attempt(lambda: D.CorrCholeskyTransform().event_dim)
        attempt(lambda: D.IndependentTransform(D.ExpTransform(), 2)(t([1.0])))
        attempt(lambda: D.CatTransform([3]))
        attempt(lambda: D.CatTransform([D.ExpTransform()], lengths=[1, 2]))
        attempt(lambda: D.CatTransform([D.ExpTransform()])(t([1.0, 2.0])))
        attempt(lambda: D.CatTransform([D.ExpTransform()], dim=2)(t([1.0])))
        attempt(lambda: D.StackTransform([D.ExpTransform()])(t([1.0, 2.0])))
        attempt(lambda: D.AbsTransform().log_abs_det_jacobian(1, 2))
        attempt(lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), 3))
        attempt(lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), [3]))
        attempt(lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), D.SoftmaxTransform()))
        print(D.ExpTransform() == D.ExpTransform(), D.ExpTransform() == D.TanhTransform())
        print(D.AffineTransform(1, 2) == D.AffineTransform(1, 2), D.AffineTransform(1, 2) == D.AffineTransform(1, 3))
        print(D.PowerTransform(2) == D.PowerTransform(2.0))
        """,
        GIVEN,
    )


CONSTRAINTS = [
    "C.real", "C.positive", "C.nonnegative", "C.greater_than_eq(1.0)", "C.less_than(1.0)", "C.unit_interval",
    "C.interval(-1.0, 2.0)", "C.half_open_interval(0.0, 1.0)", "C.simplex", "C.lower_cholesky",
    "C.positive_definite", "C.positive_semidefinite", "C.corr_cholesky", "C.independent(C.positive, 1)",
    "C.cat([C.real, C.positive], 0)", "C.stack([C.real, C.positive], 0)", "C.boolean", "C.one_hot", "C.symmetric",
    "C.square", "C.multinomial(3)", "C.integer_interval(0, 2)", "C.positive_integer", "C.real_vector",
    "C.lower_triangular", "C.dependent", "C.MixtureSameFamilyConstraint(C.positive)",
]  # fmt: skip

VALUES = [
    "[[1.0, 0.0], [0.5, 2.0]]",
    "[[1.0, 0.0], [0.6, 0.8]]",
    "[[2.0, 1.0], [1.0, 2.0]]",
    "[[0.5, -1.0], [0.5, 0.5]]",
]


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_constraint(constraint: str) -> None:
    assert_same(
        f"""
        c = {constraint}
        print(c, C.is_dependent(c))
        attempt(lambda: (c.event_dim, c.is_discrete))
        for value in [{", ".join(VALUES)}]:
            attempt(lambda: c.check(t(value)).tolist())
        attempt(lambda: c.check(t([[float("nan"), 0.0], [0.0, 1.0]])).tolist())
        for registry in (D.biject_to, D.transform_to):
            attempt(lambda: repr(registry(c)))
            attempt(lambda: registry(c)(t([[0.3, -0.5], [1.0, 0.2]])).tolist())
        """,
        GIVEN,
    )


def test_misuse_of_constraints_and_registries() -> None:
    assert_same(
        """
        attempt(lambda: C.independent(3, 1))
        attempt(lambda: C.independent(C.real, 1.5))
        attempt(lambda: C.independent(C.real, -1))
        attempt(lambda: C.independent(C.real, 2).check(t([1.0])))
        attempt(lambda: C.cat([3]))
        attempt(lambda: C.cat([C.real], lengths=[1, 2]))
        attempt(lambda: C.stack([C.real], dim=3).check(t([1.0])))
        attempt(lambda: C.Constraint().check(t(1.0)))
        attempt(lambda: D.biject_to(3))
        attempt(lambda: D.biject_to.register(3, lambda c: c))
        attempt(lambda: D.kl_divergence(D.Normal(0.0, 1.0), D.Cauchy(0.0, 1.0)))
        attempt(lambda: D.Distribution.set_default_validate_args(3))
        """,
        GIVEN,
    )


def test_a_pickled_transform_has_no_inverse_yet() -> None:
    exp = transforms.ExpTransform()
    inverse = exp.inv
    again = pickle.loads(pickle.dumps(exp))
    assert again == exp
    assert again._inv is None
    assert exp.inv is inverse


@pytest.mark.parametrize(
    "code",
    [
        "(lambda x: D.utils.vec_to_tril_matrix(x, -1))(t([1.0, 2.0, 3.0]))",
        "D.utils.tril_matrix_to_vec(t([[1.0, 2.0], [3.0, 4.0]]))",
    ],
)
def test_triangles(code: str) -> None:
    def numbers(library: Any) -> Any:
        return evaluate(library, code)[0].tolist()

    assert numbers(retrograd) == numbers(torch)
