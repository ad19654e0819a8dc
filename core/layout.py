"""PyTorch's names for layouts and memory formats, which mostly change nothing."""

from __future__ import annotations

from typing import Final

from retrograd.dtypes import Constant

__all__ = [
    "channels_last", "channels_last_3d", "contiguous_format", "layout", "memory_format", "preserve_format",
    "sparse_bsc", "sparse_bsr", "sparse_coo", "sparse_csc", "sparse_csr", "strided",
]  # fmt: skip


class layout(Constant):
    """How elements are laid out in memory: `strided`, or in a sparse format."""

    __module__ = "retrograd"
    __slots__ = ()

    def __reduce__(self) -> str:
        return self.name


class memory_format(Constant):
    """The order of a tensor's dimensions in memory."""

    __module__ = "retrograd"
    __slots__ = ()

    def __reduce__(self) -> str:
        return self.name


strided: Final = layout("strided")
sparse_coo: Final = layout("sparse_coo")
sparse_csr: Final = layout("sparse_csr")
sparse_csc: Final = layout("sparse_csc")
sparse_bsr: Final = layout("sparse_bsr")
sparse_bsc: Final = layout("sparse_bsc")
preserve_format: Final = memory_format("preserve_format")
contiguous_format: Final = memory_format("contiguous_format")
channels_last: Final = memory_format("channels_last")
channels_last_3d: Final = memory_format("channels_last_3d")
