"""Runs a small program under retrograd and under PyTorch and compares what it prints, errors included."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
import warnings
from types import ModuleType
from typing import Any

import pytest

import retrograd

__all__ = ["SQUARE", "assert_same", "output_of", "skip_if_lacking"]

SQUARE = """
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad
"""
"""A Function that several programs begin with."""

_LACKING = "cannot be of type"


def skip_if_lacking(text: str) -> None:
    """Skip where `text` tells that the library of a backend of RETROGRAD_TEST_BACKENDS lacks a type; ours lack none."""
    if _LACKING in text and retrograd.get_default_backend() not in ("numpy", "jax"):
        pytest.skip(text[text.index(_LACKING) :].partition("\n")[0])


_PRELUDE = "import math\n"


def output_of(torch: ModuleType, program: str, given: str = "") -> str:
    """What `program` prints, after `given`; an exception that ends it is printed as its type and text."""
    out = io.StringIO()
    scope: dict[str, Any] = {"torch": torch, "F": torch.nn.functional, "nn": torch.nn, "attempt": _attempt}
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(_PRELUDE + textwrap.dedent(given) + textwrap.dedent(program), "<program>", "exec"), scope)
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    return _normal(out.getvalue())


def _attempt(function: Any, *args: Any, **kwargs: Any) -> None:
    """Call and print the result, or the error that it raises."""
    try:
        print(function(*args, **kwargs))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")


def _normal(text: str) -> str:
    text = re.sub(r"0x[0-9a-f]+", "ADDRESS", text)
    text = text.replace("retrograd.", "torch.").replace("<torch.autograd.function.", "<")
    text = re.sub(r", device='[^']*'", "", text)
    # The last digit of a printed number may differ between two libraries' arithmetic.
    return re.sub(r"-?\d+\.\d+(e[-+]?\d+)?", lambda number: f"{float(number[0]):.3g}", text)


def assert_same(program: str, given: str = "") -> None:
    """The program prints the same under both, after `given`; skips where PyTorch is not installed."""
    torch = pytest.importorskip("torch")
    ours = output_of(retrograd, program, given)
    assert ours, "a program that prints nothing shows nothing"
    skip_if_lacking(ours)
    assert ours == output_of(torch, program, given)
