"""Arguments that say yes or no: what is no bool is refused where PyTorch refuses it, in its words."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from opinfo import OPS, OpInfo
from programs import assert_same
from test_ops import call, tensors_of

import retrograd

_GIVEN = """
x, index = torch.arange(6.0).reshape(2, 3), torch.tensor([0])
matrix = torch.eye(2) * 2
"""


def _flags(op: OpInfo) -> Iterator[str]:
    function: Any = retrograd
    for part in op.name.split("."):
        function = getattr(function, part, None) or getattr(retrograd.Tensor, part)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.annotation in ("bool", "bool | None") and name != "requires_grad":
            yield name


_CASES = [pytest.param(op, name, id=f"{op.name}-{name}") for op in OPS for name in _flags(op)]


@pytest.mark.parametrize(("op", "name"), _CASES)
def test_takes_a_number_where_torch_does(op: OpInfo, name: str) -> None:
    torch = pytest.importorskip("torch")
    sample = next((each for each in op.samples if name in each.kwargs), op.samples[0])
    given = type(sample)(sample.args, {**sample.kwargs, name: int(bool(sample.kwargs.get(name)))})

    def is_refused(module: Any) -> bool:
        try:
            call(module, op, given, tensors_of(module, op, given))
        except TypeError:
            return True
        except (RuntimeError, ValueError):
            return False
        return False

    assert is_refused(retrograd) == is_refused(torch)


def test_the_error_names_function_argument_and_position() -> None:
    assert_same(
        """
    attempt(x.sum, 0, 1)
    attempt(x.sum, 0, keepdim=1)
    attempt(x.sum, axis=0, keepdims=1)
    attempt(torch.sum, x, 0, keepdim=None)
    attempt(x.topk, 1, 0, True, 1)
    attempt(x.kthvalue, 1, 0, torch.tensor(True))
    attempt(x.logsumexp, 0, "yes")
    attempt(torch.argmax, x, 0, keepdim=1.0)
    attempt(torch.linalg.svd, x, 1)
    attempt(torch.linalg.svd, x, full_matrices=0)
    attempt(torch.linalg.vector_norm, x, 2, 0, 1)
    attempt(torch.linalg.solve, matrix, matrix, left=1)
    attempt(torch.norm, x, 2, 0, 1)
    attempt(x.norm, keepdim=1)
    attempt(torch.cholesky_inverse, matrix, 1)
    attempt(matrix.cholesky_inverse, 1)
    attempt(x.scatter_reduce_, 0, index[None], x, "sum", include_self=1)
    attempt(x.index_put_, (index,), x[0], 1)
    attempt(x.put, index, x[0, :1], 1)
    attempt(x.put_, index, x[0, :1], accumulate=1)
    attempt(x.gather, 0, index[None], sparse_grad=1)
    attempt(x.nonzero, as_tuple=1)
    attempt(x.isclose, x, 0.1, 0.1, 1)
    attempt(x.unique, 1)
    attempt(torch.unique, x, return_counts=1)
    attempt(x.fill_diagonal_, 0.0, 1)
    attempt(x.copy_, x, non_blocking=1)
    attempt(x.to, "cpu", torch.float32, False, 1, memory_format=torch.preserve_format)
    attempt(x.type, torch.float64, non_blocking=1)
    attempt(x.numpy, force=1)
    attempt(torch.zeros, 2, pin_memory=1)
    attempt(torch.asarray, [1.0], copy=1)
    print(x)
    """,
        _GIVEN,
    )


def test_functions_that_are_python_in_torch_say_what_they_call() -> None:
    assert_same(
        """
    attempt(F.dropout, x, 0.5, 1)
    attempt(F.dropout, x, 0.5, 0, True)
    attempt(F.dropout1d, x, 0.5, 1)
    attempt(F.feature_alpha_dropout, x, 0.5, 1)
    attempt(F.batch_norm, x, None, None, training=1)
    attempt(F.embedding, index, x, sparse=1)
    attempt(F.embedding_bag, index, x, index, include_last_offset=1)
    attempt(F.max_pool2d, x[None], 2, ceil_mode=1)
    attempt(F.max_pool1d, x, 2, ceil_mode=1, return_indices=True)
    attempt(F.lp_pool1d, x, 2.0, 2, ceil_mode=1)
    attempt(F.avg_pool1d, x, 2, count_include_pad=1)
    attempt(F.triplet_margin_loss, x, x, x, swap=1)
    attempt(F.kl_div, x, x, reduction="sum", log_target=1)
    attempt(F.grid_sample, x[None, None], torch.zeros(1, 1, 1, 2), align_corners=1)
    attempt(F.interpolate, x[None, None], (2, 2), recompute_scale_factor=1)
    print(F.leaky_relu(x, inplace=1), F.max_pool1d(x, 2, return_indices=1))
    """,
        _GIVEN,
    )
