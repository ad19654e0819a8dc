"""The version, and what PyTorch's module of this name says of the libraries it was built with: none is here."""

from __future__ import annotations

from typing import Final

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "rocm", "xpu"]

__version__: Final = "0.1.0"
debug: Final = False
cuda: str | None = None
git_version: str | None = None
hip: str | None = None
rocm: str | None = None
xpu: str | None = None
