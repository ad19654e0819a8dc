"""The types that reductions and scans are asked to compute in: which are refused, and complex running logarithms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from programs import assert_same

import retrograd


@pytest.fixture(params=["numpy", "jax"])
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with retrograd.use_backend(request.param):
        yield


def test_types_that_are_refused() -> None:
    assert_same("""
    F = torch.nn.functional
    types = [torch.bool, torch.int64, torch.float16, torch.float32, torch.complex64]
    for of in types:
        x = torch.ones(2, 3).to(of)
        for asked in [*types, torch.float64]:
            for function in (
                lambda: torch.linalg.vector_norm(x, 2.0, 0, dtype=asked), lambda: torch.linalg.norm(x, dtype=asked),
                lambda: torch.linalg.matrix_norm(x, dtype=asked), lambda: torch.linalg.matrix_norm(x, 2, dtype=asked),
                lambda: torch.norm(x, dim=0, dtype=asked), lambda: x.cumsum(0, dtype=asked),
                lambda: x.cumprod(0, dtype=asked), lambda: x.nansum(0, dtype=asked),
                lambda: x.nanmean(0, dtype=asked), lambda: x.softmax(0, dtype=asked),
                lambda: F.log_softmax(x, 1, dtype=asked),
            ):
                attempt(lambda: function().dtype)
    attempt(torch.iinfo, torch.float32)
    attempt(torch.iinfo, torch.bool)
    attempt(torch.finfo, torch.int8)
    """)


@pytest.mark.usefixtures("_backend")
def test_running_logarithms_of_complex_sums() -> None:
    assert_same("""
    inf, nan, double = math.inf, math.nan, torch.complex128
    x = torch.tensor([1 + 2j, -3 + 0.5j, 0.5 - 3j, 200 + 1j, complex(-inf, 1)], dtype=double, requires_grad=True)
    y = torch.logcumsumexp(x, 0)
    print(y.tolist(), y.grad_fn.name(), (torch.autograd.grad(y.abs().sum(), x)[0] + 0).tolist())
    for values in (
        [complex(-inf, 1), complex(-inf, 0), 1 + 1j], [complex(inf, 1), complex(inf, 0.5)], [1j, complex(nan, 1), 2]
    ):
        print(torch.logcumsumexp(torch.tensor(values, dtype=double), 0).tolist())
        print(torch.logaddexp(*torch.tensor(values[:2], dtype=double)))
    """)
    x = retrograd.tensor([[0.3 + 1j, 2 - 1j], [-1 + 0.1j, 1j]], dtype=retrograd.complex128, requires_grad=True)
    assert retrograd.autograd.gradcheck(lambda t: t.logcumsumexp(1), (x,), check_forward_ad=True)
