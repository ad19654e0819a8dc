"""Every operator mapped over equals a loop over the samples, without one; and so do its gradients.

A kernel without a rule warns, and a warning is an error in a test: so none of these loops.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from opinfo import OPS, A, OpInfo, Sample
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS

import retrograd
from retrograd import func
from retrograd.backends.spec import OPTIONAL, REQUIRED
from retrograd.func.rules import PRIMITIVES
from retrograd.ops import decompositions
from retrograd.ops.batching import kernel_rules
from retrograd.ops.declare import Array, Op, op, publics

# Operators that cannot be mapped over, for which PyTorch has errors: tests/func/test_vmap.py; or that warn.
REFUSED = {
    "allclose": "one answer for all elements",
    "equal": "one answer for all elements",
    "is_complex": "no tensor",
    "is_floating_point": "no tensor",
    "numel": "no tensor",
    "bincount": "sample by sample",
    "histc": "sample by sample",
    "unique": "the result's shape depends on the data",
    "unique_consecutive": "the result's shape depends on the data",
    "nn.functional.gaussian_nll_loss": "looks at the variances, in Python, as PyTorch's",
}
# Samples of others that cannot be.
REFUSED_SAMPLES = {
    ("nn.functional.one_hot", 0): "the number of classes depends on the data",
    ("nn.functional.embedding_bag", 1): "bags whose lengths are data",
    ("masked_select", 0): "a mask that differs from sample to sample",
}

CASES = [
    pytest.param(entry, sample, id=f"{entry}-{i}.{j}")
    for i, entry in enumerate([*OPS, *NN_OPS, *PLACE_OPS])
    for j, sample in enumerate(entry.samples)
    if entry.name not in REFUSED and (entry.name, j) not in REFUSED_SAMPLES and any(True for _ in sample.specs())
]


def rows_of(entry: OpInfo, sample: Sample) -> list[list[np.ndarray[Any, Any]]]:
    """The arrays of three calls of the same kind."""
    first = sample.arrays(entry.name)
    others = [
        [array if spec.values is not None else spec.make(1000 * i + 7 * k) for k, (array, spec) in enumerate(
            zip(first, sample.specs(), strict=True)
        )]
        for i in (1, 2)
    ]  # fmt: skip
    return [first, *others]


def caller(entry: OpInfo, sample: Sample) -> Callable[..., tuple[Any, ...]]:
    def call(*tensors: Any) -> tuple[Any, ...]:
        args, kwargs = sample.filled(list(tensors))
        result = entry(retrograd, args, kwargs)
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    return call


def energy(*tensors: Any, call: Callable[..., tuple[Any, ...]]) -> Any:
    """A number of all differentiable results."""
    total: Any = 0
    for each in call(*tensors):
        if each.is_complex():
            total = total + (each * each.conj()).real.sum()
        elif each.is_floating_point():
            total = total + (each * each / 2 + each).sum()
    return total


def ways(count: int) -> list[list[int | None]]:
    """Which arguments are mapped: all, and each alone."""
    alone: list[list[int | None]] = [[0 if i == k else None for i in range(count)] for k in range(count)]
    return [[0] * count, *(alone if count > 1 else [])]


def assert_equal(found: tuple[Any, ...], alone: list[tuple[Any, ...]], what: str) -> None:
    for position, each in enumerate(found):
        expected = np.stack([row[position].resolve_conj().numpy() for row in alone])
        have = each.resolve_conj().numpy()
        assert have.shape == expected.shape, what
        assert have.dtype == expected.dtype, what
        np.testing.assert_allclose(have, expected, 1e-6, 1e-8, err_msg=what)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize(("entry", "sample"), CASES)
def test_mapped_equals_looped(entry: OpInfo, sample: Sample, backend: str) -> None:
    call, rows, specs = caller(entry, sample), rows_of(entry, sample), list(sample.specs())
    # The rules are the same on JAX, where every operator and formula is compiled first: there, one sample of each
    # operator, mapped as a whole, will do. tests/func/test_vmap.py has gradients on JAX too.
    if backend == "jax" and sample is not entry.samples[0]:
        pytest.skip("one sample of each operator will do")
    stacked = [retrograd.tensor(np.stack(column)) for column in zip(*rows, strict=True)]
    single = [retrograd.tensor(each) for each in rows[0]]
    wanted = tuple(i for i, spec in enumerate(specs) if spec.is_differentiable)
    slope = func.grad(lambda *tensors: energy(*tensors, call=call), wanted)
    is_smooth = backend == "numpy" and entry.differentiable and isinstance(energy(*single, call=call), retrograd.Tensor)
    for dims in ways(len(specs))[: 1 if backend == "jax" else None]:
        given = [s if dim == 0 else one for s, one, dim in zip(stacked, single, dims, strict=True)]
        alone = [[retrograd.tensor(row[i] if dim == 0 else rows[0][i]) for i, dim in enumerate(dims)] for row in rows]
        assert_equal(func.vmap(call, tuple(dims))(*given), [call(*row) for row in alone], f"{dims}")
        if is_smooth and wanted:
            gradients = [slope(*row) for row in alone]
            assert_equal(func.vmap(slope, tuple(dims))(*given), gradients, f"gradient, {dims}")


def test_every_kernel_has_a_rule_or_is_made_of_kernels_that_have() -> None:
    composed = {name for name in OPTIONAL if hasattr(decompositions, name)} | set(decompositions.derived)
    assert {*kernel_rules, *PRIMITIVES, *composed} >= REQUIRED | OPTIONAL
    assert not set(PRIMITIVES) & set(kernel_rules), "one rule, one place"


def test_every_operator_runs_by_a_rule_a_body_or_such_a_kernel() -> None:
    for each in Op.registry.values():
        known = each.kernel in kernel_rules or each.kernel in PRIMITIVES
        assert each.batch is not None or each.body is not None or known, each


@pytest.fixture
def doubled() -> Any:
    """An operator with a kernel that no batching rule is known of."""

    @op("doubled", vjp={"self": lambda K, g: K.doubled(g)})
    def doubled_again(self: Array) -> Array:  # type: ignore[valid-type]  # "Array" is what a declaration reads
        """Twice."""

    k = retrograd.ones(1)._kernels
    k.doubled = lambda x: x + x
    yield doubled_again
    del k.doubled, Op.registry["doubled_again"], publics["doubled_again"]
    retrograd.ops.graph.G.__dict__.pop("doubled")


def test_a_kernel_without_a_rule_is_run_sample_by_sample_with_a_warning(doubled: Any) -> None:
    x = retrograd.arange(6.0).reshape(2, 3)
    text = "There is a performance drop because we have not yet implemented the batching rule for doubled."
    with pytest.warns(UserWarning, match=text):
        assert func.vmap(doubled)(x).tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]
    with pytest.warns(UserWarning, match=text):
        assert func.vmap(func.grad(lambda row: (doubled(row) ** 2).sum()))(x).tolist() == (8 * x).tolist()
    with pytest.warns(UserWarning, match=text):
        assert func.vmap(func.vmap(doubled))(x).tolist() == (2 * x).tolist()
    with pytest.raises(RuntimeError, match="dims of size 0"), pytest.warns(UserWarning, match=text):
        func.vmap(doubled)(retrograd.ones(0, 3))


def test_an_operator_brings_its_own_rule() -> None:
    from retrograd.ops.batching import along

    seen: list[Any] = []

    def rule(B: Any, call: Any, x: Any, axis: int) -> Any:
        seen.append((x.mapped, axis))
        return along(B, call, x, axis)

    @op(vjp={"self": lambda K, g, axis: K.flip(g, (axis,))}, batch=rule)
    def reversed_again(K: Any, self: Array, axis: int) -> Array:  # type: ignore[valid-type]
        """Back to front along an axis."""
        return K.flip(self, (axis,))

    try:
        x = retrograd.arange(6.0).reshape(2, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert func.vmap(lambda row: reversed_again(row, 0))(x).tolist() == x.flip(1).tolist()
        assert seen == [(True, 0)]
        nested = func.vmap(func.vmap(lambda row: reversed_again(row, 0)))(x[None])
        assert nested.tolist() == [x.flip(1).tolist()]
        assert seen[1:] == [(True, 0), (True, 1)]
    finally:
        del Op.registry["reversed_again"], publics["reversed_again"]


def test_layouts_are_those_of_a_sample(backend: str) -> None:
    x = retrograd.arange(12.0).reshape(2, 6)

    def look(row: retrograd.Tensor) -> retrograd.Tensor:
        return row.as_strided((2, 2), (3, 1), 1)

    assert func.vmap(look)(x).tolist() == [look(row.clone()).tolist() for row in x]
    slope = func.vmap(func.grad(lambda row: (look(row) ** 2).sum()))(x)
    assert slope.tolist() == [[0.0, 2.0, 4.0, 0.0, 8.0, 10.0], [0.0, 14.0, 16.0, 0.0, 20.0, 22.0]]


def test_samples_differ_in_a_table_of_operators() -> None:
    """So that the tests above compare something."""
    entry = OpInfo("sin", (Sample((A((2,)),)),))
    first, second, _ = rows_of(entry, entry.samples[0])
    assert not np.array_equal(first[0], second[0])
