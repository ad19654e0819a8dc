"""The autograd tutorial, cell by cell, under `import retrograd as torch`, and under PyTorch beside it."""

from __future__ import annotations

import contextlib
import io
import re
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import retrograd

CELLS = [
    """
x = torch.ones(5)
y = torch.zeros(3)
w = torch.tensor(W, requires_grad=True)
b = torch.tensor(B, requires_grad=True)
z = torch.matmul(x, w) + b
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
print(x, y, w, b, z, loss, sep="\\n")
""",
    """
loss.backward()
print(f"grad of w is {w.grad}")
print(f"grad of b is {b.grad}")
""",
    """
class LinearFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, weight, bias=None):
        ctx.save_for_backward(input, weight, bias)
        output = input.mm(weight.t())
        if bias is not None:
            output += bias.unsqueeze(0).expand_as(output)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias

rows = torch.ones(2, 5, requires_grad=True)
weight = torch.tensor(W, requires_grad=True)
out = LinearFunction.apply(rows, weight.t())
print(out)
out.sum().backward()
print(rows.grad, weight.grad)
out = LinearFunction.apply(rows, weight.t(), b)
print(type(out.grad_fn).__name__, out)
out.sum().backward()
print(b.grad)
""",
    """
print(z.grad_fn)
print(z.grad_fn.next_functions)
print(z.grad_fn.next_functions[0][0].next_functions)
print(z.grad_fn.next_functions[1][0].variable is b)
""",
    """
print(z.requires_grad)
with torch.no_grad():
    z = torch.matmul(x, w) + b
print(z.requires_grad)
print(z)
""",
    """
z = torch.matmul(x, w.detach()) + b.detach()
print(z.requires_grad)
""",
    """
print(f"x : {x}")
z = torch.matmul(x, w) + b
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
x1 = x.detach()
x1[0] = 2
print(f"x : {x}")
try:
    loss.backward()
except RuntimeError as error:
    print(error)
""",
    """
x = torch.ones(5)
z = torch.matmul(x, w) + b
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
x.data[0] = 2
loss.backward()
try:
    loss.backward()
except RuntimeError as error:
    print(error)
""",
]


def run(torch: ModuleType) -> list[str]:
    """What each cell prints, with addresses taken out and the library's name replaced."""
    generator = np.random.default_rng(0)
    scope: dict[str, Any] = {
        "torch": torch,
        "W": generator.normal(size=(5, 3)).astype(np.float32).tolist(),
        "B": generator.normal(size=3).astype(np.float32).tolist(),
    }
    printed = []
    for cell in CELLS:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(cell, scope)
        printed.append(comparable(out.getvalue()))
    return printed


def comparable(text: str) -> str:
    text = re.sub(r"0x[0-9a-f]+", "ADDRESS", text)
    return text.replace("retrograd.", "torch.")


EXPECTED = {
    4: "True\nFalse",
    5: "False\n",
}


def test_the_tutorial_prints_what_it_shows(backend: str) -> None:
    printed = run(retrograd)
    assert "grad of w is tensor([[" in printed[1]
    assert printed[3].startswith(
        "<AddBackward0 object at ADDRESS>\n"
        "((<SqueezeBackward4 object at ADDRESS>, 0), (<AccumulateGrad object at ADDRESS>, 0))\n"
    )
    for cell, start in EXPECTED.items():
        assert printed[cell].startswith(start)
    assert (
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        "[torch.FloatTensor [1, 5]] is at version 1; expected version 0 instead. Hint: enable anomaly detection"
    ) in printed[6]
    assert printed[7].startswith("Trying to backward through the graph a second time")


def test_the_tutorial_prints_what_pytorch_prints(backend: str) -> None:
    torch = pytest.importorskip("torch")
    for number, (ours, theirs) in enumerate(zip(run(retrograd), run(torch), strict=True), 1):
        assert ours == theirs, f"cell {number}"
