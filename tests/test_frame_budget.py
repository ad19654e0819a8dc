"""The cost of an operator in Python frames: exact, unlike a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from frames import frames_entered

import retrograd


def tensors(*shapes: tuple[int, ...]) -> list[Any]:
    return [retrograd.rand(shape, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("symbol", ["__mul__", "__add__", "__sub__", "__truediv__"])
def test_a_binary_operator_with_gradient_enters_few_frames(symbol: str) -> None:
    a, b = tensors((3,), (3,))
    operator = getattr(retrograd.Tensor, symbol)
    operator(a, b)  # plans are made by the first call
    entered = frames_entered(lambda: operator(a, b))
    assert len(entered) <= 4, entered


def test_forward_and_backward_of_a_binary_operator_stay_within_eight_frames_per_operator() -> None:
    a, b = tensors((3,), (3,))

    def chain(length: int) -> Callable[[], None]:
        def run() -> None:
            y = a
            for _ in range(length):
                y = y * b
            y.backward(retrograd.Tensor.detach(a))

        return run

    chain(2)()
    short, long = frames_entered(chain(10)), frames_entered(chain(20))
    assert (len(long) - len(short)) / 10 <= 8


def test_a_number_as_second_operand_takes_the_short_path() -> None:
    (a,) = tensors((3,))
    a * 2.0
    assert len(frames_entered(lambda: a * 2.0)) <= 4


def test_without_gradient_an_operator_is_one_frame() -> None:
    a, b = (each.detach() for each in tensors((3,), (3,)))
    a * b
    assert len(frames_entered(lambda: a * b)) <= 1


DISCRETE: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "i + j": (lambda i, m: i + i, 6),
    "i + 1": (lambda i, m: i + 1, 9),
    "i * 2": (lambda i, m: i * 2, 5),
    "i == j": (lambda i, m: i == i, 2),
    "i > 3": (lambda i, m: i > 3, 15),
    "m & m": (lambda i, m: m & m, 14),
    "~m": (lambda i, m: ~m, 12),
    "-i": (lambda i, m: -i, 8),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_integers_and_bools_take_a_short_path_too(name: str) -> None:
    call, most = DISCRETE[name]
    i, m = retrograd.arange(4), retrograd.tensor([True, False])
    call(i, m)
    entered = frames_entered(lambda: call(i, m))
    assert len(entered) <= most, entered


# -- writes and views ----------------------------------------------------------------------------

WRITES: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "add_": (lambda x, y: x.add_(y), 5),
    "a number": (lambda x, y: x.mul_(2.0), 5),
    "alpha": (lambda x, y: x.add_(y, alpha=-0.1), 10),
    "copy_": (lambda x, y: x.copy_(y), 7),
    "fill_": (lambda x, y: x.fill_(1.0), 11),
    "zero_": (lambda x, y: x.zero_(), 7),
    "div_": (lambda x, y: x.__itruediv__(y), 6),
    "an element": (lambda x, y: x.__setitem__(0, 1.0), 12),
    "a part": (lambda x, y: x.__setitem__((slice(0, 2), 1), 1.0), 17),
}


@pytest.mark.parametrize("name", WRITES)
def test_an_ordinary_write_enters_few_frames(name: str) -> None:
    write, most = WRITES[name]
    x, y = retrograd.zeros(4, 4), retrograd.ones(4, 4)
    write(x, y)
    entered = frames_entered(lambda: write(x, y))
    assert len(entered) <= most, entered
    assert x._version == 2


def test_a_step_of_a_parameter_enters_few_frames() -> None:
    p, y = retrograd.nn.Parameter(retrograd.ones(4, 4)), retrograd.ones(4, 4)
    with retrograd.no_grad():
        p -= y
        entered = frames_entered(lambda: p.__isub__(y))
    assert len(entered) <= 4, entered


VIEWS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "t": (lambda x: x.t(), 14),
    "x[0]": (lambda x: x[0], 23),
    "x[0, 1:3]": (lambda x: x[0, 1:3], 55),
    "view": (lambda x: x.view(2, 8), 25),
    "reshape": (lambda x: x.reshape(2, 8), 25),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_enters_few_frames(name: str) -> None:
    view, most = VIEWS[name]
    x = retrograd.zeros(4, 4)
    view(x)
    entered = frames_entered(lambda: view(x))
    assert len(entered) <= most, entered


# -- layers --------------------------------------------------------------------------------------


def test_a_step_of_an_lstm_enters_few_frames() -> None:
    layer = retrograd.nn.LSTM(3, 4)

    def frames(steps: int) -> int:
        x = retrograd.ones(steps, 2, 3)

        def run() -> None:
            layer(x)[0].sum().backward()

        run()
        return len(frames_entered(run))

    assert (frames(12) - frames(2)) / 10 <= 56


_WEIGHTS = retrograd.ones(4, 4, requires_grad=True)
_STACK = retrograd.ones(2, 4, 4, requires_grad=True) * 1

SEVERAL: dict[str, tuple[Callable[[Any], Any], int]] = {
    "max": (lambda x: x.max(1), 35),
    "topk": (lambda x: x.topk(2, 1), 31),
    "layer_norm": (lambda x: retrograd.nn.functional.layer_norm(x, (4,)), 27),
    "x[None]": (lambda x: x[None], 21),
    "x[..., 0]": (lambda x: x[..., 0], 25),
    "stacks": (lambda x: x.view(1, 4, 4) @ x.view(1, 4, 4), 52),
    "recorded stacks": (lambda x: _STACK @ _STACK, 48),
    "cat": (lambda x: retrograd.cat([_WEIGHTS, _WEIGHTS]), 14),
    "stack": (lambda x: retrograd.stack([_WEIGHTS, _WEIGHTS]), 20),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_operators_of_several_results_and_new_axes_take_a_short_path(name: str) -> None:
    call, most = SEVERAL[name]
    x = retrograd.rand(4, 4)
    call(x)
    entered = frames_entered(lambda: call(x))
    assert len(entered) <= most, (len(entered), entered)


def _families() -> dict[str, tuple[Callable[[], Any], int]]:
    f = retrograd.nn.functional
    x, rows, image = retrograd.rand(4, 4), retrograd.tensor([3, 0, 3, 1]), retrograd.rand(1, 2, 8, 8)
    target, index, few = retrograd.zeros(4, 4), rows.expand(4, 4).contiguous(), retrograd.tensor([0, 3])
    return {
        "max_pool2d": (lambda: f.max_pool2d(image, 2), 20),
        "max_pool2d, padded": (lambda: f.max_pool2d(image, 3, 2, 1), 20),
        "adaptive_max_pool2d": (lambda: f.adaptive_max_pool2d(image, 2), 30),
        "avg_pool2d": (lambda: f.avg_pool2d(image, 2), 24),
        "index_add_": (lambda: target.index_add_(0, rows, x), 70),
        "index_copy_": (lambda: target.index_copy_(0, rows, x), 80),
        "index_put_": (lambda: target.index_put_((rows,), x), 82),
        "scatter_": (lambda: target.scatter_(0, index, x), 70),
        "scatter_add_": (lambda: target.scatter_add_(0, index, x), 70),
        "gather": (lambda: x.gather(0, index), 35),
        "index_select": (lambda: x.index_select(0, rows), 28),
        "bincount": (lambda: retrograd.bincount(rows), 38),
        "histc": (lambda: x.histc(4), 92),
        "isin": (lambda: retrograd.isin(rows, few), 65),
        "cummax": (lambda: x.cummax(0), 35),
        "median": (lambda: x.median(), 47),
        "as_strided": (lambda: x.as_strided((2, 2), (1, 4)), 58),
    }


@pytest.mark.parametrize("name", list(_families()))
def test_pools_and_what_takes_an_index_take_a_short_path(name: str) -> None:
    call, most = _families()[name]
    call()
    entered = frames_entered(call)
    assert len(entered) <= most, (len(entered), entered)
