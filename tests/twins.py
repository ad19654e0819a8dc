"""Compares a module with PyTorch's of the same name: same weights, same inputs, same results and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import retrograd

__all__ = ["assert_twins", "twins"]


def twins(make: Callable[[Any], Any]) -> tuple[Any, Any]:
    """What `make(retrograd)` and `make(torch)` return, with the same names and, in float64, the same weights."""
    torch = pytest.importorskip("torch")
    own, theirs = make(retrograd).double(), make(torch).double()
    state = theirs.state_dict()
    assert list(own.state_dict()) == list(state)
    result = own.load_state_dict({key: retrograd.tensor(value.numpy()) for key, value in state.items()})
    assert str(result) == "<All keys matched successfully>"
    return own, theirs


def assert_twins(
    make: Callable[[Any], Any],
    shapes: Sequence[tuple[int, ...]],
    use: Callable[..., Any] = lambda torch, module, *inputs: module(*inputs),
    training: bool = True,
) -> None:
    """`use(torch, module, *inputs)` gives the same results, and the same gradients of them, under both."""
    torch = pytest.importorskip("torch")
    own, theirs = twins(make)
    own.train(training), theirs.train(training)
    assert repr(own).replace("retrograd.", "torch.") == repr(theirs)
    have, want = _run(retrograd, own, shapes, use), _run(torch, theirs, shapes, use)
    assert list(have) == list(want)
    for name, value in want.items():
        np.testing.assert_allclose(have[name], value, 1e-6, 1e-9, err_msg=name)


def _run(torch: Any, module: Any, shapes: Sequence[tuple[int, ...]], use: Callable[..., Any]) -> dict[str, Any]:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape) for shape in shapes]
    inputs = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in arrays]
    results = [each for each in _flat(use(torch, module, *inputs)) if each is not None]
    loss = sum((each * each).sum() for each in results if each.requires_grad)
    if not isinstance(loss, int):
        loss.backward()
    found = {f"result {i}": each for i, each in enumerate(results)}
    found |= {f"gradient of input {i}": each.grad for i, each in enumerate(inputs)}
    found |= {f"gradient of {name}": each.grad for name, each in module.named_parameters()}
    found |= dict(module.named_buffers())
    return {name: each.detach().numpy() for name, each in found.items() if each is not None}


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    return [each for part in value for each in _flat(part)] if isinstance(value, (tuple, list)) else [value]
