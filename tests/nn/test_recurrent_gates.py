"""The gates of LSTM and GRU against their formulas: values, derivatives of every order and mode, and batches."""

from __future__ import annotations

from typing import Any

import pytest

import retrograd
from retrograd.autograd import gradcheck, gradgradcheck
from retrograd.ops.recurrent import gru_gates, lstm_gates


def lstm_by_formula(gates: Any, cx: Any) -> tuple[Any, Any]:
    i, f, g, o = gates.chunk(4, -1)
    c = f.sigmoid() * cx + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_by_formula(gates: Any, hidden_gates: Any, hx: Any) -> Any:
    r, z, n = gates.chunk(3, -1)
    hidden_r, hidden_z, hidden_n = hidden_gates.chunk(3, -1)
    z = (z + hidden_z).sigmoid()
    return (1 - z) * (n + (r + hidden_r).sigmoid() * hidden_n).tanh() + z * hx


CASES = {"lstm": (lstm_gates, lstm_by_formula, (12, 3)), "gru": (gru_gates, gru_by_formula, (9, 9, 3))}


def arguments(name: str, *lead: int) -> list[Any]:
    retrograd.manual_seed(3)
    return [retrograd.randn(*lead, n, dtype=retrograd.float64, requires_grad=True) for n in CASES[name][2]]


def parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("lead", [(), (2,), (2, 1)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_formula(name: str, lead: tuple[int, ...], backend: str) -> None:
    ours, formula, _ = CASES[name]
    given = arguments(name, *lead)
    spared: dict[str, bool] = {"allow_unused": True, "materialize_grads": True}  # an output that no one has used
    for have, want in zip(parts(ours(*given)), parts(formula(*given)), strict=True):
        retrograd.testing.assert_close(have, want)
        weights = retrograd.randn(*want.shape, dtype=retrograd.float64)
        found = retrograd.autograd.grad((have * weights).sum(), given, retain_graph=True, **spared)
        expected = retrograd.autograd.grad((want * weights).sum(), given, retain_graph=True, **spared)
        for a, b in zip(found, expected, strict=True):
            retrograd.testing.assert_close(a, b)


@pytest.mark.parametrize("name", CASES)
def test_every_derivative_is_right(name: str) -> None:
    given = arguments(name, 2)
    assert gradcheck(CASES[name][0], given, check_forward_ad=True, check_batched_grad=True, check_undefined_grad=False)
    assert gradgradcheck(CASES[name][0], given)


@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_tangents_of_one_input_get_through(name: str, only: int, backend: str) -> None:
    ours, formula, _ = CASES[name]
    given = [each.detach() for each in arguments(name, 2)]
    along = retrograd.ones_like(given[only])

    def of(function: Any) -> tuple[Any, ...]:
        def alone(x: Any) -> Any:
            return function(*given[:only], x, *given[only + 1 :])

        return parts(retrograd.func.jvp(alone, (given[only],), (along,))[1])

    for have, want in zip(of(ours), of(formula), strict=True):
        retrograd.testing.assert_close(have, want)


@pytest.mark.parametrize("name", CASES)
def test_batches_are_those_of_a_loop(name: str, backend: str) -> None:
    ours = CASES[name][0]
    given = [each.detach() for each in arguments(name, 4, 2)]
    for batched, alone in zip(parts(retrograd.vmap(ours)(*given)), parts(ours(*given)), strict=True):
        retrograd.testing.assert_close(batched, alone)


def test_the_gates_of_a_step_are_one_node() -> None:
    cell = retrograd.nn.LSTMCell(2, 3)
    h, _ = cell(retrograd.ones(1, 2))
    assert type(h.grad_fn).__name__ == "ThnnFusedLstmCellBackward0"
    assert type(h.grad_fn.next_functions[0][0]).__name__ == "AddBackward0"
