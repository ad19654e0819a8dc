"""Every operator of the tables in forward mode: against PyTorch, its own transposed formula, and the other orders."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from opinfo import OPS, OpInfo, Sample
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS

import retrograd
from retrograd import func
from retrograd.ops.declare import Op

pytestmark = pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0", "ignore:.*target size")
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")

CASES = [
    pytest.param(op, sample, id=f"{op}-{i}.{j}")
    for i, op in enumerate([*OPS, *NN_OPS, *PLACE_OPS])
    for j, sample in enumerate(op.samples)
    if op.differentiable
]
FIRST = [case for case in CASES if case.id.endswith(".0")]  # type: ignore[union-attr]

# Where PyTorch's two modes give different derivatives, at a kink: here both give that of its reverse mode.
OF_ONE_MIND = {"atan2": "nan at the origin", "fmax": "of equal elements the other"}


def tangents(module: Any, op: OpInfo, sample: Sample, only: int | None = None) -> list[np.ndarray[Any, Any] | None]:
    """The results' tangents, for random ones of all arrays, or of one."""
    fwAD = importlib.import_module(module.__name__ + ".autograd.forward_ad")
    random = np.random.default_rng(5)
    with fwAD.dual_level():
        inputs = []
        for i, (spec, array) in enumerate(zip(sample.specs(), sample.arrays(op.name), strict=True)):
            tensor, along = module.tensor(array), random.uniform(-1, 1, (2, *array.shape))
            if spec.is_differentiable and only in (None, i):
                tensor = fwAD.make_dual(
                    tensor, module.tensor(along[0] + 1j * along[1] if tensor.is_complex() else along[0])
                )
            inputs.append(tensor)
        args, kwargs = sample.filled(inputs)
        result = op(module, args, kwargs)
        results = result if isinstance(result, (tuple, list)) else [result]
        pushed = [fwAD.unpack_dual(each).tangent for each in results]
    return [None if each is None else np.asarray(each.detach().resolve_conj().numpy(force=True)) for each in pushed]


def assert_same(found: list[Any], expected: list[Any], rtol: float = 1e-8) -> None:
    assert len(found) == len(expected)
    for have, want in zip(found, expected, strict=True):
        if have is None or want is None:
            assert not np.any(have if want is None else want), "a tangent on one side only"
        else:
            assert have.dtype == want.dtype
            assert have.shape == want.shape
            np.testing.assert_allclose(have, want, rtol, 1e-10)


@pytest.fixture
def transposed() -> Iterator[Any]:
    """A switch: from then on every operator gets its tangents by transposing its VJP."""
    declared = {op: op.jvp for op in Op.registry.values()}

    def switch() -> None:
        for op in declared:
            op.jvp = "transposed"

    yield switch
    for op, jvp in declared.items():
        op.jvp = jvp


def test_every_differentiable_operator_says_how_tangents_get_through() -> None:
    silent = [op.name for op in Op.registry.values() if op.vjp and op.jvp is None]
    assert not silent, f"declare `jvp=` of {silent}"
    assert not [op.name for op in Op.registry.values() if op.vjp and op.jvp == "transposed"]


def test_every_formula_asks_for_what_there_is() -> None:
    for op in Op.registry.values():
        for names in op.jvp_needs.values():
            for name in names:
                op.source_of(name)


@needs_torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_tangents_equal_those_of_pytorch(op: OpInfo, sample: Sample, backend: str) -> None:
    import torch

    if backend == "jax" and sample is not op.samples[0]:
        pytest.skip("on JAX every operator is compiled first: one sample of each will do")
    try:
        expected = tangents(torch, op, sample)
    except NotImplementedError:
        pytest.skip("PyTorch has no forward mode for it")
    if op.name in OF_ONE_MIND and not op.fd:
        pytest.skip(OF_ONE_MIND[op.name])
    if op.name == "pow" and any("complex" in each.dtype for each in sample.specs()):
        pytest.skip("PyTorch drops the imaginary part of a tangent by a real exponent")
    if op.name == "scatter_reduce" and "prod" in sample.args:
        pytest.skip("PyTorch forgets the tangent of a product")
    assert_same(tangents(retrograd, op, sample), expected, max(op.rtol, 1e-6 if "hardsigmoid" in op.name else 0))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_tangents_equal_the_transposed_gradients(op: OpInfo, sample: Sample, transposed: Any) -> None:
    if op.name.endswith(("embedding", "multi_margin_loss", "hardsigmoid")):
        pytest.skip("its gradient skips the padding, or cannot be differentiated, as in PyTorch")
    several = [i for i, spec in enumerate(sample.specs()) if spec.is_differentiable]
    chosen: list[int | None] = [None, *several] if len(several) > 1 else [None]
    declared = [tangents(retrograd, op, sample, only) for only in chosen]
    transposed()
    for found, only in zip(declared, chosen, strict=True):
        try:
            expected = tangents(retrograd, op, sample, only)
        except RuntimeError as error:
            # As in PyTorch, the gradient of a product cannot be differentiated where several zeros meet.
            if op.name != "scatter_reduce" or "Double backward is unsupported" not in str(error):
                raise
            assert max(np.sum(each == 0) for each in sample.arrays(op.name)) > 1, "there are no zeros to meet"
            continue
        assert_same(found, expected)


class _Function:
    """A sample as a real function of its differentiable arrays: a random combination of its results."""

    def __init__(self, op: OpInfo, sample: Sample) -> None:
        self.op, self.sample = op, sample
        self.arrays = [retrograd.tensor(each) for each in sample.arrays(op.name)]
        self.where = [i for i, spec in enumerate(sample.specs()) if spec.is_differentiable]
        self.inputs = tuple(self.arrays[i] for i in self.where)

    def __call__(self, *inputs: Any) -> Any:
        arrays = list(self.arrays)
        for i, each in zip(self.where, inputs, strict=True):
            arrays[i] = each
        args, kwargs = self.sample.filled(arrays)
        result = self.op(retrograd, args, kwargs)
        results = result if isinstance(result, (tuple, list)) else (result,)
        random = np.random.default_rng(7)
        total = 0
        for each in results:
            if each.dtype.is_differentiable:
                parts = (each.real, each.imag) if each.is_complex() else (each,)
                total = total + sum(
                    (part * retrograd.tensor(random.uniform(0.5, 1.5, tuple(part.shape)))).sum() for part in parts
                )
        return total

    def direction(self, seed: int) -> tuple[Any, ...]:
        random = np.random.default_rng(seed)
        pairs = [random.uniform(-1, 1, (2, *each.shape)) for each in self.inputs]
        return tuple(
            retrograd.tensor(a + 1j * b if each.is_complex() else a)
            for each, (a, b) in zip(self.inputs, pairs, strict=True)
        )


def _inner(one: Any, other: Any) -> Any:
    """The real inner product of two tuples of tensors."""
    return sum(((a.conj() * b).real if a.is_complex() else a * b).sum() for a, b in zip(one, other, strict=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("op", "sample"), FIRST)
def test_second_derivatives_agree_in_all_orders_of_modes(op: OpInfo, sample: Sample) -> None:
    if not (op.second and op.fd):
        pytest.skip("no second derivative")
    f = _Function(op, sample)
    if not isinstance(f(*f.inputs), retrograd.Tensor):
        pytest.skip("nothing to differentiate")
    u, v = f.direction(1), f.direction(2)

    def forward(*x: Any) -> Any:
        return func.jvp(f, x, u)[1]

    def reverse(*x: Any) -> Any:
        return func.grad(f, argnums=tuple(range(len(x))))(*x)

    every = tuple(range(len(u)))
    found = {
        "forward over forward": func.jvp(forward, f.inputs, v)[1],
        "reverse over forward": _inner(func.grad(forward, argnums=every)(*f.inputs), v),
        "forward over reverse": _inner(func.jvp(reverse, f.inputs, v)[1], u),
    }
    expected = _inner(func.vjp(reverse, *f.inputs)[1](v), u)
    for order, value in found.items():
        assert float(value) == pytest.approx(float(expected), rel=1e-7, abs=1e-9), order


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("op", "sample"), FIRST)
def test_a_batch_of_tangents_gives_what_each_gives(op: OpInfo, sample: Sample) -> None:
    f = _Function(op, sample)
    if not isinstance(f(*f.inputs), retrograd.Tensor):
        pytest.skip("nothing to differentiate")
    pairs = list(zip(f.direction(1), f.direction(2), strict=True))
    batched = func.vmap(lambda *t: func.jvp(f, f.inputs, t)[1])(*(retrograd.stack(list(each)) for each in pairs))
    alone = [func.jvp(f, f.inputs, t)[1] for t in zip(*pairs, strict=True)]
    np.testing.assert_allclose(batched.tolist(), [each.item() for each in alone], 1e-9, 1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("op", "sample"), FIRST)
def test_gradcheck_of_forward_mode_passes(op: OpInfo, sample: Sample) -> None:
    if not op.fd:
        pytest.skip("no finite differences at a kink")
    f = _Function(op, sample)
    inputs = tuple(each.requires_grad_() for each in f.inputs)
    if not isinstance(f(*inputs), retrograd.Tensor):
        pytest.skip("nothing to differentiate")
    assert retrograd.autograd.gradcheck(
        f, inputs, fast_mode=True, check_backward_ad=False, check_forward_ad=True, check_batched_forward_grad=True
    )
