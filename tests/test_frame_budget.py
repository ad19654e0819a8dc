"""The cost of an operator in Python frames: exact, unlike a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import retrograd


def frames_entered(call: Callable[[], Any]) -> list[str]:
    """The names of the Python functions entered while `call` runs, its own left out."""
    entered: list[str] = []

    def watch(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            entered.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return entered[1:]


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
