"""Runs one line of code under PyTorch and under retrograd, and says what came of it as text."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from programs import skip_if_lacking

import retrograd

__all__ = ["check", "check_error_type", "outcome"]


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value!r} of {value.dtype}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return repr(value)


def outcome(line: str, module: Any, **names: Any) -> tuple[str, str]:
    """("value", its repr) or (exception type, first line of its text); in retrograd's words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = "value", _text(eval(line, {"torch": module, "np": np, "inf": float("inf"), **names}))
    except Exception as error:
        result = type(error).__name__, str(error)
    kind, text = result
    text = re.sub(r"\s*\((Could this error|Triggered internally).*", "", text.partition("\nException raised")[0])
    text = re.sub(r"object at 0x[0-9a-f]+", "object", text)
    text = re.sub(r"torch\._C\.(_functions\.)?", "torch.", text)
    return kind, re.sub(r"\s+", " ", text.replace("torch.", "retrograd.")).strip()


def check(line: str) -> None:
    """The line must give the same value, or the same exception and text, in both."""
    torch = pytest.importorskip("torch")
    ours = outcome(line, retrograd)
    skip_if_lacking(ours[1])
    assert ours == outcome(line, torch)


def check_error_type(line: str) -> None:
    """The line must raise the same exception in both; the text may differ."""
    torch = pytest.importorskip("torch")
    ours, theirs = outcome(line, retrograd), outcome(line, torch)
    assert theirs[0] != "value"
    assert ours[0] == theirs[0], ours
