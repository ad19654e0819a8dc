"""Of a tensor without a graph the first break on its way is named, in every mode, wherever it lies."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from opinfo import OPS, OpInfo, Sample
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS

import retrograd
from retrograd.autograd import Function

CASES = [
    pytest.param(op, sample, id=f"{op}-{i}.{j}")
    for i, op in enumerate([*OPS, *NN_OPS, *PLACE_OPS])
    for j, sample in enumerate(op.samples)
]
RECORDED = "an input required a gradient, but recording was off (no_grad or inference_mode)"

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*degrees of freedom is <= 0", "ignore:.*target size", "ignore:Anomaly Detection"
)


def results_of(op: OpInfo, sample: Sample) -> list[Any]:
    inputs = [retrograd.tensor(each) for each in sample.arrays(op.name)]
    for spec, each in zip(sample.specs(), inputs, strict=True):
        each.requires_grad_(spec.is_differentiable)
    args, kwargs = sample.filled([each * 1 if each.requires_grad else each for each in inputs])
    result = op(retrograd, args, kwargs)
    return [each for each in (result if isinstance(result, (tuple, list)) else [result]) if hasattr(each, "_break")]


def note(tensor: Any) -> str:
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn") as raised:
        tensor.sum().backward()
    (text,) = raised.value.__notes__
    return str(text)


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_every_operator_leaves_a_break_where_recording_is_off(op: OpInfo, sample: Sample) -> None:
    if not any(spec.is_differentiable for spec in sample.specs()):
        pytest.skip("nothing to differentiate")
    with retrograd.no_grad():
        results = results_of(op, sample)
    for each in results:
        assert each.requires_grad or RECORDED in each._break.text


@pytest.mark.parametrize(("op", "sample"), CASES)
def test_every_result_without_a_graph_says_why(op: OpInfo, sample: Sample) -> None:
    if not any(spec.is_differentiable for spec in sample.specs()):
        pytest.skip("nothing to differentiate")
    for each in results_of(op, sample):
        if not each.requires_grad:
            assert each._break.within_a_graph


# -- further back --------------------------------------------------------------------------------


class Marks(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> tuple[Any, Any]:
        one, two = x * 1, x * 2
        ctx.mark_non_differentiable(two)
        return one, two

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


def leaf(*shape: int) -> Any:
    return retrograd.ones(shape or (3,), requires_grad=True)


def off(make: Callable[[Any], Any], x: Any) -> Any:
    with retrograd.no_grad():
        return make(x)


def added_in_place(x: Any) -> Any:
    total = retrograd.zeros(3)
    with retrograd.no_grad():
        total += x * 2
    return total * 3


def stored(x: Any) -> Any:
    made = retrograd.zeros(2, 3)
    made[0] = x.detach()
    return made


def inference(x: Any) -> Any:
    with retrograd.inference_mode():
        made = x * 2
    return made.clone()


def linear(x: Any) -> Any:
    layer = retrograd.nn.Linear(3, 2)
    with retrograd.no_grad():
        return layer(x.reshape(1, 3)).relu()


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (lambda x: off(lambda x: x * 2, x) + 1, "mul", "recording was off"),
        (lambda x: 1 + off(lambda x: 2 * x, x).exp(), "mul", "recording was off"),
        (lambda x: off(lambda x: x.exp(), x) @ retrograd.ones(3), "exp", "recording was off"),
        (lambda x: off(lambda x: (x * 1)[0:2], x).sum(), "mul", "recording was off"),
        (lambda x: off(lambda x: retrograd.stack([x, x]), x).sum(), "stack", "recording was off"),
        (lambda x: retrograd.cat([retrograd.ones(1), x.detach()]) * 2, "detach()", "takes its result out"),
        (lambda x: (x.data * 2).view(1, 3).t().contiguous(), ".data", "takes its result out"),
        (lambda x: (x * 2).detach_().exp(), "detach()", "takes its result out"),
        (lambda x: x.long().float(), "", "its result is of type retrograd.int64"),
        (lambda x: (x > 0).float(), "gt", "its result is of type retrograd.bool"),
        (lambda x: x.argmax() * 1.0, "argmax", "its result is of type retrograd.int64"),
        (lambda x: (x * 2).max(0).indices * 1.0, "max", "its result is of type retrograd.int64"),
        (lambda x: Marks.apply(x)[1] * 2, "Marks.apply", "marked as not differentiable"),
        (lambda x: retrograd.nn.functional.one_hot(x.argmax(), 3) * retrograd.ones(3), "argmax", "int64"),
        (added_in_place, "mul", "recording was off"),
        (stored, "detach()", "takes its result out"),
        (inference, "mul", "recording was off"),
        (linear, "", "recording was off"),
        (lambda x: retrograd.func.vmap(lambda a: a * 2)(x.detach()), "detach()", "takes its result out"),
        (lambda x: copy.copy(x.detach()) * 2, "detach()", "takes its result out"),
    ],
)  # fmt: skip
def test_the_first_break_is_named(make: Callable[[Any], Any], name: str, reason: str, backend: str) -> None:
    text = note(make(leaf()))
    assert text.splitlines()[-1].startswith(f"The first break is at {name}")
    assert reason in text


def test_of_two_breaks_the_one_inside_a_graph_is_named() -> None:
    with retrograd.autograd.set_detect_anomaly(True):
        plain = retrograd.ones(3) * 2
        assert "No leaf it was computed from requires a gradient" in note(plain)
        assert "first break is at detach()" in note(plain + leaf().detach())


def test_what_comes_from_leaves_without_a_gradient_says_so(backend: str) -> None:
    text = note((retrograd.ones(3) * retrograd.tensor(leaf().sum().item())).exp())
    assert "either it was made with requires_grad=False" in text
    assert "item()" in text


def test_a_graph_that_begins_after_a_break_is_whole(backend: str) -> None:
    x = leaf()
    kept = (x.detach() * 2).requires_grad_()
    (kept * x).sum().backward()
    assert x.grad.tolist() == [2.0] * 3
    assert "first break is at no" not in note(kept.detach())


def test_breaks_keep_nothing_alive_and_do_not_grow() -> None:
    x = leaf()
    running = x.detach() * 1
    first = running._break
    for _ in range(10):
        running = running * 0.9 + x.detach()
    assert running._break is first
    breaks = {id(off(lambda x: x * 2, leaf())._break) for _ in range(3)}
    assert len(breaks) == 1
    assert all(isinstance(each, (bool, str)) for each in itertools.chain(first))
