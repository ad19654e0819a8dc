"""What the node of each operator of the tables shows of what it has saved, beside PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from opinfo import OPS, OpInfo, Sample
from opinfo_nn import NN_OPS
from opinfo_places import PLACE_OPS

import retrograd

MISSING = """
EmbeddingBag0 mode offsets padding_idx result1 result2 result3 scale_grad_by_freq sparse weight weight_sym_argsize_0
IndexReduce0 index
LinalgDet0 LU pivots
LinalgSlogdet0 LU pivots
LinalgSolveEx0 LU pivots
"""
"""What PyTorch's nodes keep and show, and ours do not keep: what has another form here, or is changed meanwhile."""

OTHERWISE = """
Addmm0 mat1_sym_strides mat2_sym_strides
AsStridedScatter0 storage_offset
Cat0 dim
Convolution0 output_padding padding
Ldexp0 result
Put0 index
Roll0 dims
SelectScatter0 index
Slice0 dim
"""
"""What ours show otherwise: the value that the formula uses, not the argument it was made of."""

COMPOSED = {
    "cumulative_trapezoid": {"CumsumBackward0.dim", "SliceBackward0.end"},
    "nn.functional.scaled_dot_product_attention": {"SafeSoftmaxBackward0.dim"},
    "quantile": {"SortBackward0.dim"},
    "trapezoid": {"SelectBackward0.dim", "SliceBackward0.end", "SumBackward1.dim"},
}
"""Of functions of several operators: where they count from the front, and PyTorch's from the end."""


def _table(text: str) -> dict[str, set[str]]:
    lines = (line.split() for line in text.strip().splitlines())
    return {f"{node[:-1]}Backward{node[-1]}": set(names) for node, *names in lines}


MISSING_OF, OTHERWISE_OF = _table(MISSING), _table(OTHERWISE)
CASES = [
    pytest.param(op, id=f"{op}-{i}")
    for i, op in enumerate([*OPS, *NN_OPS, *PLACE_OPS])
    if op.differentiable and op.name not in COMPOSED
]


def _nodes(module: Any, op: OpInfo, sample: Sample) -> list[Any]:
    """All nodes of the graph of a call but those of leaves, and what must live for them to show what they keep."""
    tensors = [module.tensor(each) for each in sample.arrays(op.name)]
    for spec, tensor in zip(sample.specs(), tensors, strict=True):
        tensor.requires_grad_(spec.is_differentiable)
    args, kwargs = sample.filled(tensors)
    result = op(module, args, kwargs)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    waiting = [each.grad_fn for each in results if getattr(each, "grad_fn", None) is not None]
    found: list[Any] = []
    while waiting:
        node = waiting.pop(0)
        if node is not None and node not in found:
            found.append(node)
            waiting += [each for each, _ in node.next_functions]
    return [each for each in found if type(each).__name__ != "AccumulateGrad"]


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(map(_plain, value))
    if hasattr(value, "detach"):
        value = value.detach()
        return np.asarray((value.resolve_conj() if hasattr(value, "resolve_conj") else value).numpy(force=True))
    return value


def _equal(have: Any, want: Any) -> bool:
    if isinstance(want, np.ndarray):
        return have.shape == want.shape and np.allclose(have, want, equal_nan=True)
    if isinstance(want, tuple) and any(isinstance(each, np.ndarray) for each in want):
        return len(have) == len(want) and all(map(_equal, have, want))
    return type(have) is type(want) and have == want if isinstance(want, str) or want is None else bool(have == want)


def _shown(node: Any, prefix: str = "_saved_") -> set[str]:
    return {name.removeprefix(prefix) for name in dir(node) if name.startswith(prefix)}


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0", "ignore:index_reduce.. is in beta")
@pytest.mark.parametrize("op", CASES)
def test_nodes_show_what_pytorchs_show(op: OpInfo) -> None:
    torch = pytest.importorskip("torch")
    for sample in op.samples:
        theirs, ours = _nodes(torch, op, sample), _nodes(retrograd, op, sample)
        if [type(each).__name__ for each in ours] != [type(each).__name__ for each in theirs]:
            continue  # composed of other operators; the last node is compared in tests/test_ops.py
        for node, other in zip(ours, theirs, strict=True):
            name = type(node).__name__
            shown, wanted = _shown(node), _shown(other)
            assert shown <= wanted, f"{name} shows {shown - wanted}"
            assert wanted - shown <= MISSING_OF.get(name, set()), f"{name} does not show {wanted - shown}"
            assert _shown(node, "_raw_saved_") <= _shown(other, "_raw_saved_")
            for each in shown - OTHERWISE_OF.get(name, set()):
                have, want = (_plain(getattr(which, f"_saved_{each}")) for which in (node, other))
                same = _equal(have, want) or f"{name}.{each}" in COMPOSED.get(op.name, ())
                assert same, f"{name}._saved_{each}: {have} != {want}"


def test_norms_show_deviations_and_shapes(backend: str) -> None:
    x = retrograd.tensor([[1.0, 3.0], [2.0, 6.0]], requires_grad=True)
    node = retrograd.nn.functional.layer_norm(x, (2,), eps=0.0).grad_fn
    assert node._saved_normalized_shape == (2,)
    assert node._saved_result2.tolist() == [[1.0], [0.5]]
    node = retrograd.nn.functional.batch_norm(x, None, None, training=True, eps=1e-12).grad_fn
    assert node._saved_training is True
    assert node._saved_result2.tolist() == pytest.approx([2.0, 2 / 3])
    node = retrograd.nn.functional.conv_transpose1d(x[None], retrograd.ones(2, 1, 1)).grad_fn
    while type(node).__name__ != "ConvolutionBackward0":
        node = node.next_functions[0][0]
    assert node._saved_transposed is True
