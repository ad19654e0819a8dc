"""PyTorch's switch for uninitialised memory in deterministic mode: whether `empty` and its like fill it.

Source: https://docs.pytorch.org/docs/stable/deterministic.html
"""

__all__ = ["fill_uninitialized_memory"]

fill_uninitialized_memory: bool = True
