"""Every operator of tests/opinfo.py on every backend, against PyTorch and against finite differences."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from opinfo import OPS, OpInfo, Sample
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS

import retrograd

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0"),
    pytest.mark.filterwarnings("ignore:index_reduce.. is in beta"),
]
has_torch = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not has_torch, reason="torch is not installed")
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")

CASES = [
    pytest.param(op, sample, id=f"{op}-{i}.{j}")
    for i, op in enumerate([*OPS, *NN_OPS, *PLACE_OPS])
    for j, sample in enumerate(op.samples)
]
DIFFERENTIABLE = [case for case in CASES if case.values[0].differentiable]  # type: ignore[attr-defined]
every_case = pytest.mark.parametrize(("op", "sample"), CASES)


def tensors_of(module: Any, op: OpInfo, sample: Sample) -> list[Any]:
    """The sample's arrays as tensors of `module`, those to differentiate by as leaves."""
    tensors = [module.tensor(each) for each in sample.arrays(op.name)]
    if op.differentiable:
        for spec, tensor in zip(sample.specs(), tensors, strict=True):
            tensor.requires_grad_(spec.is_differentiable)
    return tensors


def call(module: Any, op: OpInfo, sample: Sample, tensors: list[Any]) -> list[Any]:
    """The results, as a list."""
    args, kwargs = sample.filled(tensors)
    result = op(module, args, kwargs)
    return list(result) if isinstance(result, (tuple, list)) else [result]


def host(tensor: Any) -> np.ndarray[Any, Any]:
    if not hasattr(tensor, "numpy"):
        return np.asarray(tensor)
    return np.asarray(tensor.detach().resolve_conj().numpy(force=True))


def cotangents(results: list[Any], module: Any, seed: int) -> list[Any]:
    """A random gradient for each result."""
    random = np.random.default_rng(seed)
    found = []
    for each in results:
        grad = random.uniform(0.5, 1.5, tuple(each.shape))
        found.append(module.tensor(grad * (1 + 0.5j) if each.is_complex() else grad))
    return found


def gradients(module: Any, roots: list[Any], leaves: list[Any], seed: int, create_graph: bool) -> list[Any]:
    """Gradients of a random combination of the roots; zeros where there is no path."""
    roots = [each for each in roots if getattr(each, "requires_grad", False)]
    if not roots:
        return [module.zeros_like(each) for each in leaves]
    return list(
        module.autograd.grad(
            roots, leaves, cotangents(roots, module, seed), create_graph=create_graph, allow_unused=True,
            materialize_grads=True,
        )
    )  # fmt: skip


def everything(module: Any, op: OpInfo, sample: Sample, second: bool) -> dict[str, list[Any]]:
    """Results, their types and nodes, and first and second derivatives, of one library."""
    tensors = tensors_of(module, op, sample)
    results = call(module, op, sample, tensors)
    found: dict[str, list[Any]] = {"result": [host(each) for each in results]}
    found["dtype"] = [str(getattr(each, "dtype", type(each).__name__)).rpartition(".")[2] for each in results]
    if op.node:
        found["node"] = [getattr(each, "grad_fn", None) and type(each.grad_fn).__name__ for each in results]
    leaves = [each for each in tensors if each.requires_grad]
    if leaves:
        first = gradients(module, results, leaves, 1, second)
        found["first derivative"] = [host(each) for each in first]
        if second:
            found["second derivative"] = [host(each) for each in gradients(module, first, leaves, 2, False)]
    return found


def assert_same(found: dict[str, list[Any]], expected: dict[str, list[Any]], rtol: float) -> None:
    assert found.keys() == expected.keys()
    for what, values in expected.items():
        assert len(found[what]) == len(values)
        for have, want in zip(found[what], values, strict=True):
            if isinstance(want, np.ndarray):
                assert have.shape == want.shape, f"{what}: {have.shape} != {want.shape}"
                np.testing.assert_allclose(have, want, rtol, 1e-12 + 0.01 * rtol, err_msg=what)
            else:
                assert have == want, f"{what}: {have} != {want}"


@needs_torch
@every_case
def test_equals_torch(op: OpInfo, sample: Sample, backend: str) -> None:
    import torch

    # On JAX every operator of a second derivative is compiled first: one sample of each operator will do.
    second = op.differentiable and op.second and (backend == "numpy" or sample is op.samples[0])
    expected = everything(torch, op, sample, second)
    assert_same(everything(retrograd, op, sample, second), expected, op.rtol)


@needs_jax
@pytest.mark.skipif(has_torch, reason="both backends are compared with torch")
@every_case
def test_backends_agree(op: OpInfo, sample: Sample) -> None:
    with retrograd.use_backend("numpy"):
        expected = everything(retrograd, op, sample, False)
    with retrograd.use_backend("jax"):
        assert_same(everything(retrograd, op, sample, False), expected, op.rtol)


def inner(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """The real inner product, that of complex numbers as pairs."""
    return float((a.conj() * b).sum().real)


def directional(op: OpInfo, sample: Sample, order: int) -> tuple[float, float]:
    """The derivative along a random direction, by the graph and by central differences.

    Of order 1, it is that of a random combination of the results; of order 2, of their first
    derivative.
    """
    tensors = tensors_of(retrograd, op, sample)
    where = [i for i, each in enumerate(tensors) if each.requires_grad]
    random = np.random.default_rng(3)
    direction = [random.uniform(-1, 1, tuple(tensors[i].shape)) for i in where]
    direction = [d * (1 - 0.4j) if tensors[i].is_complex() else d for i, d in zip(where, direction, strict=True)]

    def value(step: float) -> tuple[float, list[Any]]:
        moved = list(tensors)
        for i, along in zip(where, direction, strict=True):
            start = host(tensors[i])
            moved[i] = retrograd.tensor(start + step * along).requires_grad_()
        leaves = [moved[i] for i in where]
        results: list[Any] = call(retrograd, op, sample, moved)
        if order == 2:
            results = gradients(retrograd, results, leaves, 1, True)
        slope = gradients(retrograd, results, leaves, 2, False) if step == 0 else []
        weights = cotangents([each for each in results if each.requires_grad], retrograd, 2)
        used = [each for each in results if each.requires_grad]
        return sum(inner(host(w), host(r)) for r, w in zip(used, weights, strict=True)), slope

    _, slope = value(0.0)
    by_graph = sum(inner(host(g), d) for g, d in zip(slope, direction, strict=True))
    step = 1e-5
    return by_graph, (value(step)[0] - value(-step)[0]) / (2 * step)


@pytest.mark.parametrize(("op", "sample"), DIFFERENTIABLE)
def test_derivatives_equal_finite_differences(op: OpInfo, sample: Sample) -> None:
    if not op.fd:
        pytest.skip("no finite differences at a kink")
    for order in (1, 2) if op.second else (1,):
        by_graph, by_differences = directional(op, sample, order)
        assert by_graph == pytest.approx(by_differences, rel=1e-5, abs=1e-6), f"order {order}"
