"""Every distribution beside PyTorch's: densities, moments, shapes, texts and gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from distributions_cases import CASES, evaluate

import retrograd

torch = pytest.importorskip("torch")

BETTER = {("kumaraswamy", "mode"), ("multinomial", "entropy of expanded")}
"""Where PyTorch's result is a mistake of its own: NaN for every mode, no entropy after `expand`."""

STATISTICS = ("mean", "mode", "variance", "stddev")
SHAPES = ("batch_shape", "event_shape", "has_rsample", "has_enumerate_support", "support", "arg_constraints")


def plain(value: Any) -> Any:
    """A result as what can be compared: arrays of tensors, texts of the rest."""
    if isinstance(value, retrograd.Tensor | torch.Tensor):
        return value.detach().numpy()
    return str(value).replace("retrograd.", "torch.")


def outcome(call: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of singular samples
            return plain(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace("retrograd.", "torch.")


def assert_alike(ours: Any, theirs: Any, what: str, rtol: float = 1e-6) -> None:
    if isinstance(theirs, str) or isinstance(ours, str):
        assert str(ours) == str(theirs), what
        return
    assert ours.dtype == theirs.dtype, what
    if theirs.dtype == np.float32:
        rtol = max(rtol, 1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-9, err_msg=what)


def both(name: str, ask: Callable[[Any, Any, Any], Any], rtol: float = 1e-6) -> None:
    made, value = CASES[name]
    results = []
    for library in (retrograd, torch):
        distribution = evaluate(library, made)[0]
        results.append(outcome(lambda d=distribution, lib=library: ask(d, evaluate(lib, value)[0], lib)))
    assert_alike(*results, what=name, rtol=rtol)


def test_the_names_are_pytorchs() -> None:
    assert sorted(retrograd.distributions.__all__) == sorted(torch.distributions.__all__)
    assert sorted(retrograd.distributions.constraints.__all__) == sorted(torch.distributions.constraints.__all__)
    assert all(hasattr(retrograd.distributions, name) for name in torch.distributions.__all__)


@pytest.mark.parametrize("name", CASES)
def test_statistics(name: str) -> None:
    for each in STATISTICS:
        if (name, each) not in BETTER:
            both(name, lambda d, v, lib, each=each: getattr(d, each))
    for method in ("entropy", "perplexity", "enumerate_support"):
        both(name, lambda d, v, lib, method=method: getattr(d, method)())


@pytest.mark.parametrize("name", CASES)
def test_shapes_and_texts(name: str) -> None:
    both(name, lambda d, v, lib: repr(d))
    for each in SHAPES:
        both(name, lambda d, v, lib, each=each: getattr(d, each))
    both(name, lambda d, v, lib: d.sample().shape)
    both(name, lambda d, v, lib: (d.sample((2, 3)).shape, d.sample((2,)).dtype))
    both(name, lambda d, v, lib: d.support.check(d.sample((4,))).all())


@pytest.mark.parametrize("name", CASES)
def test_densities(name: str) -> None:
    both(name, lambda d, v, lib: d.log_prob(v))
    both(name, lambda d, v, lib: d.cdf(v))
    both(name, lambda d, v, lib: d.icdf(v * 0 + 0.3) if v.is_floating_point() else d.icdf(v))


@pytest.mark.parametrize("name", CASES)
def test_expanded(name: str) -> None:
    def expanded(d: Any) -> Any:
        return d.expand((3, *d.batch_shape))

    both(name, lambda d, v, lib: expanded(d).log_prob(v if v.dim() == len(d.event_shape) else v[:1]))
    both(name, lambda d, v, lib: (expanded(d), expanded(d).sample((2,)).shape, expanded(d).mean.shape))
    if (name, "entropy of expanded") not in BETTER:
        both(name, lambda d, v, lib: expanded(d).entropy())


@pytest.mark.parametrize("name", CASES)
def test_values_that_cannot_be(name: str) -> None:
    both(name, lambda d, v, lib: d.log_prob(v * 0 - 2.5))
    both(name, lambda d, v, lib: d.log_prob(v.new_zeros((7, 5))))
    both(name, lambda d, v, lib: d.log_prob(3))
    both(name, lambda d, v, lib: d.cdf(v * float("nan")))


@pytest.mark.parametrize("name", CASES)
def test_gradients_by_the_parameters(name: str) -> None:
    made, value = CASES[name]
    results = []
    for library in (retrograd, torch):
        distribution, parameters = evaluate(library, made, requires_grad=True)
        density = distribution.log_prob(evaluate(library, value)[0]).sum()
        if not parameters:
            pytest.skip("made of numbers")
        results.append(library.autograd.grad(density, parameters, allow_unused=True))
    for mine, torchs in zip(*results, strict=True):
        if name == "wishart_factor" and mine.dim() == 2:
            mine, torchs = mine.tril(), torchs.tril()  # PyTorch lets cholesky_solve depend on zeros above
        assert_alike(plain(mine), plain(torchs), what=name)
