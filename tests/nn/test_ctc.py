"""Connectionist temporal classification beside PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
from programs import assert_same
from twins import assert_twins

TARGETS = [[1, 2, 0], [1, 1, 3], [3, 0, 0]]
CASES: dict[str, tuple[dict[str, Any], Any, list[int], list[int]]] = {
    "mean": ({}, TARGETS, [6, 5, 4], [2, 3, 1]),
    "sum": ({"reduction": "sum"}, TARGETS, [6, 6, 6], [2, 3, 1]),
    "in a row": ({"reduction": "none"}, [1, 2, 1, 1, 3], [6, 5, 4], [2, 2, 1]),
    "another blank": ({"reduction": "none", "blank": 2}, [[1, 0], [3, 3], [0, 0]], [6, 5, 1], [2, 2, 1]),
    "no labels": ({}, TARGETS, [6, 5, 4], [0, 0, 0]),
    "no input": ({"reduction": "none"}, TARGETS, [6, 0, 1], [2, 0, 0]),
    "too long": ({"reduction": "none"}, TARGETS, [6, 3, 0], [2, 3, 1]),
    "too long made zero": ({"zero_infinity": True}, TARGETS, [6, 3, 0], [2, 3, 1]),
}


def _compare(name: str, normal: bool) -> None:
    options, targets, inputs, lengths = CASES[name]

    def use(torch: Any, module: Any, x: Any) -> Any:
        log_probs = x.log_softmax(2) if normal else x
        return module(log_probs, torch.tensor(targets), torch.tensor(inputs), torch.tensor(lengths))

    assert_twins(lambda torch: torch.nn.CTCLoss(**options), [(6, 3, 4)], use)


@pytest.mark.parametrize("normal", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_ctc_loss_equals_torchs(name: str, normal: bool) -> None:
    _compare(name, normal)


@pytest.mark.parametrize("name", ["mean", "too long made zero"])
def test_ctc_loss_equals_torchs_on_every_backend(name: str, backend: str) -> None:
    _compare(name, True)


@pytest.mark.parametrize(
    "call",
    [
        "F.ctc_loss(x, t, [5, 2, 4], [2, 2, 0], reduction='none')",
        "F.ctc_loss(x, t, [5, 2, 4], [2, 2, 0])",
        "F.ctc_loss(x, t.double(), [5, 5, 4], [2, 2, 0])",
        "F.ctc_loss(x[:, 0], t[0], [5], [2], reduction='none')",
        "F.ctc_loss(x[:, 0], t[0], torch.tensor(5), torch.tensor(2))",
        "F.ctc_loss(x[0, 0], t[0], [5], [2])",
        "F.ctc_loss(x, t, [6, 2, 0], [2, 0, 0])",
        "F.ctc_loss(x, t, [-1, 2, 0], [2, 0, 0])",
        "F.ctc_loss(x, t, [5, 2], [2, 0, 0])",
        "F.ctc_loss(x, t, [5, 2, 3], [2, 0])",
        "F.ctc_loss(x, t, [5, 2, 3], [3, 0, 0])",
        "F.ctc_loss(x, t, [5, 2, 3], [-1, 0, 0])",
        "F.ctc_loss(x, t, [5, 2, 3], [2, 2, 1], blank=4)",
        "F.ctc_loss(x, t, [5, 2, 3], [2, 2, 1], blank=-1)",
        "F.ctc_loss(x, t[0], [5, 2, 3], [2, 2, 1])",
        "F.ctc_loss(x, t[:2], [5, 2, 3], [2, 2, 1])",
        "F.ctc_loss(x, t, torch.tensor([5.0, 2, 3]), torch.tensor([2, 2, 1]))",
        "F.ctc_loss(x, t, torch.tensor([5, 2, 3]), torch.tensor([2, 2.0, 1]))",
        "F.ctc_loss(x.half(), t, [5, 2, 3], [2, 2, 1])",
        "F.ctc_loss(x, t, [5, 2, 3], [2, 2, 1], reduction='x')",
    ],
)
def test_ctc_loss_takes_and_refuses_what_torchs_does(call: str) -> None:
    assert_same(
        f"""
        x = torch.linspace(-1, 1, 60).view(5, 3, 4).sin().log_softmax(2)
        t = torch.tensor([[1, 2], [1, 1], [3, 0]])
        print({call})
        """
    )
