"""Array backends: the contract (`spec`), how they are found (`registry`), and the built-in ones.

Beside them stand the modules in which PyTorch's programs look for libraries and set their switches (`cudnn`, `mps`,
...): none is used here, and no switch changes anything.
"""

from retrograd.backends import cuda, cudnn, mkl, mkldnn, mps, openmp
from retrograd.backends.registry import BackendError, available, register
from retrograd.backends.spec import Backend, BackendSpec, Kernels, hookimpl

__all__ = [
    "Backend", "BackendError", "BackendSpec", "Kernels", "available", "cuda", "cudnn", "hookimpl", "mkl", "mkldnn",
    "mps", "openmp", "register",
]  # fmt: skip
