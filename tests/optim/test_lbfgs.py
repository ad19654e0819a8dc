"""L-BFGS: parameters, losses and counts as PyTorch's, with and without its line search, on each backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import assert_same

import retrograd

CASES: list[tuple[str, dict[str, Any]]] = [
    ("rosenbrock", {"lr": 0.1, "max_iter": 10}),
    ("rosenbrock", {"line_search_fn": "strong_wolfe"}),
    ("rosenbrock", {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 7}),
    ("rosenbrock", {"line_search_fn": "strong_wolfe", "lr": 0.01, "max_eval": 5}),
    ("rosenbrock", {"line_search_fn": "strong_wolfe", "lr": 30.0, "max_eval": 3}),
    ("rosenbrock", {"line_search_fn": "strong_wolfe", "max_eval": 1}),
    ("waves", {"line_search_fn": "strong_wolfe", "lr": 5.0}),
    ("waves", {"line_search_fn": "strong_wolfe", "lr": 0.001, "tolerance_grad": 1e-3}),
    ("waves", {"lr": 0.3, "tolerance_change": 1e-2}),
    ("logistic", {"line_search_fn": "strong_wolfe", "max_iter": 50}),
    ("logistic", {"lr": 0.5, "history_size": 3}),
    ("kinked", {"line_search_fn": "strong_wolfe", "max_iter": 12}),
]


def rosenbrock(torch: Any, w: Any, v: Any) -> Any:
    return (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum() + (v**4).sum()


def waves(torch: Any, w: Any, v: Any) -> Any:
    return (torch.sin(3 * w) + 0.1 * w**2).sum() + (torch.cos(v) * v).sum() + 0.1 * (v**2).sum()


def logistic(torch: Any, w: Any, v: Any) -> Any:
    x = torch.tensor(np.random.default_rng(1).standard_normal((20, 4)), dtype=w.dtype)
    y = (x.sum(1) > 0.3).to(w.dtype)
    return torch.nn.functional.binary_cross_entropy_with_logits(x @ w + v.sum(), y) + 1e-2 * (w @ w + (v * v).sum())


def kinked(torch: Any, w: Any, v: Any) -> Any:
    return (w - 0.3).abs().sum() + ((v - 1) ** 2).abs().sum() ** 0.75


def path(torch: Any, problem: str, options: dict[str, Any], steps: int = 4) -> list[Any]:
    """What is seen at each step: the loss, the parameters, and how often the closure was called."""
    w = torch.nn.Parameter(torch.tensor([-1.2, 1.0, 0.7, -0.4], dtype=torch.float64))
    v = torch.nn.Parameter(torch.tensor([[0.5, -0.8]], dtype=torch.float64))
    unused = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = torch.optim.LBFGS([w, unused, v], **options)
    seen = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = globals()[problem](torch, w, v)
        loss.backward()
        return loss

    for _ in range(steps):
        loss = optimizer.step(closure)
        state = optimizer.state[w]
        kept = [float(each) for each in (state.get("t", 0.0), state.get("H_diag", 0.0))]
        counts = state["func_evals"], state["n_iter"], len(state.get("old_dirs", ()))
        seen.append(([loss.item(), *w.tolist(), *v.tolist()[0], *kept], counts))
        assert unused.tolist() == [1.0, 1.0]
    return seen


@pytest.mark.parametrize("backend", retrograd.backends.available())
@pytest.mark.parametrize(("problem", "options"), CASES, ids=str)
def test_steps_are_pytorchs(backend: str, problem: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    with retrograd.use_backend(backend):
        ours = path(retrograd, problem, options)
    theirs = path(torch, problem, options)
    for (numbers, counts), (expected, expected_counts) in zip(ours, theirs, strict=True):
        assert counts == expected_counts
        np.testing.assert_allclose(numbers, expected, rtol=1e-6, atol=1e-9)


def test_options_and_states_are_pytorchs() -> None:
    assert_same(
        """
        import copy
        L = torch.optim.LBFGS
        p = lambda: [nn.Parameter(torch.ones(2))]
        print(L(p()))
        attempt(L, p(), lr=-1)
        attempt(L, p(), lr=torch.ones(2))
        attempt(L, [])
        attempt(L, [{"params": p()}, {"params": p()}])
        (w,) = params = p()
        optimizer = L(params, line_search_fn="other")
        def closure():
            optimizer.zero_grad()
            loss = ((w - 3) ** 2).sum()
            print(torch.is_grad_enabled())
            loss.backward()
            return loss
        attempt(optimizer.step, closure)
        optimizer = L(params, lr=torch.tensor([0.25]), max_iter=3)
        print(optimizer.step(closure), w)
        print(sorted(optimizer.state_dict()["state"][0]))
        again = L(params, max_iter=3)
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        print(again.step(closure), w, again.state[w]["n_iter"])
        print(optimizer.step(closure), w)
        flat = L(params)
        w.data.fill_(3.0)
        print(flat.step(closure), flat.state[w])
        """
    )


def test_complex_parameters_are_two_real_ones() -> None:
    assert_same(
        """
        w = nn.Parameter(torch.tensor([1 + 2j, -0.5j], dtype=torch.complex128))
        optimizer = torch.optim.LBFGS([w], line_search_fn="strong_wolfe", max_iter=6)
        def closure():
            optimizer.zero_grad()
            loss = ((w - (0.3 - 1j)).abs() ** 2).sum() + (w.real ** 4).sum()
            loss.backward()
            return loss
        print(optimizer.step(closure), w.real.detach(), w.imag.detach())
        """
    )
