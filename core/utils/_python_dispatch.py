"""The names of `__torch_dispatch__`, which is not there: programs can import them, and are told so when they use them.

What there is instead is `retrograd.overrides.TorchFunctionMode`, which sees functions as the program calls them.

Source: https://docs.pytorch.org/docs/stable/notes/extending.html#extending-all-torch-api-with-modes
"""

from __future__ import annotations

from typing import Any

__all__ = ["TorchDispatchMode"]


class TorchDispatchMode:
    """What PyTorch's modes below the graph are derived from. It cannot be entered.

    Raises
    ------
    NotImplementedError
        When it is entered.
    """

    def __enter__(self) -> Any:
        raise NotImplementedError(
            f"{type(self).__name__} is a TorchDispatchMode, and retrograd has no __torch_dispatch__: no operators are "
            "called below the graph. A TorchFunctionMode (retrograd.overrides) sees functions as they are called."
        )

    def __exit__(self, *exc_info: object) -> None:
        """Nothing."""


def is_traceable_wrapper_subclass(t: object) -> bool:
    """False: there are no tensors that stand for others by `__torch_dispatch__`."""
    return False
