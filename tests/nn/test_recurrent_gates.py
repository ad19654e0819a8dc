"""The gates of LSTM and GRU, and a whole LSTM, against their formulas: values, all derivatives, and batches."""

from __future__ import annotations

from typing import Any

import pytest

import retrograd
from retrograd.autograd import gradcheck, gradgradcheck
from retrograd.ops.recurrent import gru_gates, lstm_gates
from retrograd.ops.recurrent_layers import lstm_layer


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


# -- a whole layer -------------------------------------------------------------------------------

F = retrograd.nn.functional
LAYER = ((2, 2, 1), (8, 1), (8, 2), (8,), (8,), (2, 2), (2, 2))


def layer_by_cells(
    input: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, hx: Any, cx: Any, reverse: bool
) -> tuple[Any, Any, Any]:
    outputs = []
    for each in reversed(input.unbind(0)) if reverse else input.unbind(0):
        hx, cx = lstm_by_formula(F.linear(each, weight_ih, bias_ih) + F.linear(hx, weight_hh, bias_hh), cx)
        outputs.append(hx)
    return retrograd.stack(outputs[::-1] if reverse else outputs), hx, cx


def layer_arguments(biases: bool = True) -> list[Any]:
    retrograd.manual_seed(5)
    given = [retrograd.randn(*shape, dtype=retrograd.float64, requires_grad=True) for shape in LAYER]
    return given if biases else [*given[:3], None, None, *given[5:]]


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_layer_is_its_cells_one_after_the_other(reverse: bool, biases: bool, backend: str) -> None:
    given = layer_arguments(biases)
    inputs = [each for each in given if each is not None]
    expected = layer_by_cells(*given, reverse)
    for have, want in zip(lstm_layer(*given, reverse), expected, strict=False):
        retrograd.testing.assert_close(have, want)
        found, wanted = (
            retrograd.autograd.grad(each.square().sum(), inputs, retain_graph=True, materialize_grads=True)
            for each in (have, want)
        )
        for a, b in zip(found, wanted, strict=True):
            retrograd.testing.assert_close(a, b)


@pytest.mark.parametrize("reverse", [False, True])
def test_every_derivative_of_a_layer_is_right(reverse: bool) -> None:
    def ours(*given: Any) -> tuple[Any, ...]:
        return lstm_layer(*given, reverse)

    given = layer_arguments()
    assert gradcheck(ours, given, check_forward_ad=True, check_batched_grad=True, check_undefined_grad=False)
    assert gradgradcheck(ours, given, check_fwd_over_rev=True)


@pytest.mark.parametrize("only", range(7))
def test_a_tangent_of_one_input_gets_through_a_layer(only: int) -> None:
    given = [each.detach() for each in layer_arguments()]

    def of(function: Any) -> tuple[Any, ...]:
        def alone(x: Any) -> Any:
            return function(*given[:only], x, *given[only + 1 :], False)[:3]

        return parts(retrograd.func.jvp(alone, (given[only],), (retrograd.ones_like(given[only]),))[1])

    for have, want in zip(of(lstm_layer), of(layer_by_cells), strict=True):
        retrograd.testing.assert_close(have, want)


def test_layers_of_a_batch_of_sequences_are_those_of_a_loop() -> None:
    given = [each.detach() for each in layer_arguments()]
    several = retrograd.randn(4, *LAYER[0], dtype=retrograd.float64)
    mapped = retrograd.vmap(lambda x: lstm_layer(x, *given[1:], False))(several)
    for have, *want in zip(mapped, *(lstm_layer(x, *given[1:], False) for x in several), strict=True):
        retrograd.testing.assert_close(have, retrograd.stack(want))


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}], ids=str)
def test_a_layer_of_32_bit_numbers_is_one_node_with_the_values_of_the_steps(options: dict[str, Any]) -> None:
    retrograd.manual_seed(6)
    layer, x = retrograd.nn.LSTM(3, 4, **options), retrograd.randn(5, 2, 3)
    output, (h, c) = layer(x)
    names = {"MkldnnRnnLayerBackward0", "CatBackward0", "TransposeBackward0"}
    assert {output.grad_fn.name(), h.grad_fn.next_functions[0][0].name()} <= names
    assert output.grad_fn.name() == ("TransposeBackward0" if options else "MkldnnRnnLayerBackward0")
    (output.square().sum() + c.sum()).backward()
    found = [output, h, c, *(each.grad for each in layer.parameters())]
    steps = layer.double()
    steps.zero_grad()
    output, (h, c) = steps(x.double())
    (output.square().sum() + c.sum()).backward()
    for have, want in zip(found, [output, h, c, *(each.grad for each in layer.parameters())], strict=True):
        retrograd.testing.assert_close(have.double(), want, rtol=1e-4, atol=1e-5)
