"""Checks that programs make with `_check` and its like, and functions that are gone: the same as in PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd


def test_checks_raise_the_errors_that_they_are_for() -> None:
    assert_same("""
        say = lambda: "what was expected"
        for check in (
            torch._check, torch._check_index, torch._check_value, torch._check_type, torch._check_not_implemented
        ):
            print(check(True, say), check(True))
            attempt(check, False, say)
            attempt(check, 1, say)
            attempt(check, False, "no callable")
            attempt(check, torch.tensor(True).item(), say)
        attempt(torch._check_with, KeyError, False, say)
        attempt(torch._check_tensor_all, torch.tensor([True, False]), say)
        print(torch._check_tensor_all(torch.tensor([True, True]), say))
        attempt(torch._check_tensor_all, 3)
        attempt(torch._check_tensor_all, torch.ones(2))
        for size in (-1, 3, 5):
            attempt(torch._check_is_size, size, say, max=4)
    """)


def test_a_check_takes_no_tensor() -> None:
    with pytest.raises(
        TypeError, match=r"^cond must be a bool, but got a Tensor\. For tensor conditions, use retrograd"
    ):
        retrograd._check(retrograd.tensor(True))


@pytest.mark.parametrize("name", ["eig", "lstsq", "matrix_rank", "solve", "symeig"])
def test_what_is_gone_says_what_to_use(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"deprecated since version 1\.9 and is now removed\. .*linalg\."):
        getattr(retrograd, name)(retrograd.eye(2), retrograd.eye(2))


def test_old_names_of_products_of_sparse_matrices() -> None:
    assert_same("""
        s, d = torch.eye(2).to_sparse(), torch.ones(2, 2)
        print(torch.dsmm(s, d), torch.spmm(d, d), torch.hsmm(s, d).to_dense(), torch.saddmm(s, s, d).to_dense())
    """)
