"""Whether an export to ONNX is under way, which programs ask; nothing is exported here.

Source: https://docs.pytorch.org/docs/stable/onnx.html
"""

from __future__ import annotations

__all__ = ["is_in_onnx_export"]


def is_in_onnx_export() -> bool:
    """False: what runs is the program itself.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.onnx.is_in_onnx_export()
    False
    """
    return False
