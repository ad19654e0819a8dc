"""PyTorch's switch for uninitialised memory in deterministic mode, which is remembered and changes nothing.

Source: https://docs.pytorch.org/docs/stable/deterministic.html
"""

__all__ = ["fill_uninitialized_memory"]

fill_uninitialized_memory: bool = True
