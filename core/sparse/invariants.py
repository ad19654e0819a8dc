"""Whether a sparse tensor's parts fit each other, and whether that is looked at."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from retrograd.sparse.coo import flat_keys
from retrograd.tensor import Tensor

__all__ = ["check_sparse_tensor_invariants", "checked_coo"]


class check_sparse_tensor_invariants:
    """Whether functions that make sparse tensors look at what they are given: a context, a decorator, or for good.

    Looking at the coordinates costs a pass over them, so that it is off at first.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.check_sparse_tensor_invariants.html

    Examples
    --------
    >>> import retrograd
    >>> with retrograd.sparse.check_sparse_tensor_invariants():
    ...     retrograd.sparse.check_sparse_tensor_invariants.is_enabled()
    True
    """

    _on = False

    def __init__(self, enable: bool = True) -> None:
        self.state = enable
        self.saved_state: bool | None = None

    @staticmethod
    def is_enabled() -> bool:
        """Whether they look."""
        return check_sparse_tensor_invariants._on

    @staticmethod
    def enable() -> None:
        """Let them look, from now on."""
        check_sparse_tensor_invariants._on = True

    @staticmethod
    def disable() -> None:
        """Let them not look, from now on."""
        check_sparse_tensor_invariants._on = False

    def __enter__(self) -> None:
        if self.saved_state is not None:
            raise RuntimeError(
                "This context manager instance is already activated. Use a different context manager instance for "
                "context nesting."
            )
        self.saved_state = self.is_enabled()
        check_sparse_tensor_invariants._on = self.state

    def __exit__(self, *exc_info: object) -> None:
        assert self.saved_state is not None  # it was entered
        check_sparse_tensor_invariants._on = self.saved_state
        self.saved_state = None

    def __call__(self, mth: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(mth)
        def within(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.state):
                return mth(*args, **kwargs)

        return within


def checked_coo(indices: Tensor, values: Tensor, shape: tuple[int, ...], coalesced: bool) -> None:
    """Refuse coordinates out of range, and such as are said to be coalesced and are not."""
    if indices.numel():
        lowest, highest = indices.amin(1).tolist(), indices.amax(1).tolist()
        for dim, (low, high) in enumerate(zip(lowest, highest, strict=True)):
            if low < 0:
                raise RuntimeError(f"found negative index {low} for dim {dim}")
            if high >= shape[dim]:
                raise RuntimeError(
                    f"size is inconsistent with indices: for dim {dim}, size is {shape[dim]} but found index {high}"
                )
    if coalesced and indices.shape[1] > 1:
        keys = flat_keys(indices, shape)
        if not bool((keys[1:] > keys[:-1]).all()):
            raise RuntimeError("cannot set is_coalesced to true if indices correspond to uncoalesced COO tensor")
