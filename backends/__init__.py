"""Array backends: the contract (`spec`), how they are found (`registry`), and the built-in ones."""

from retrograd.backends.registry import BackendError, available, register
from retrograd.backends.spec import Backend, BackendSpec, Kernels, hookimpl

__all__ = ["Backend", "BackendError", "BackendSpec", "Kernels", "available", "hookimpl", "register"]
