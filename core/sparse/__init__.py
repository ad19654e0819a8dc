"""Sparse tensors, in coordinate and in compressed row format: `torch.sparse`.

Made by `retrograd.sparse_coo_tensor`, `Tensor.to_sparse` and operators; here stand functions for them. See Note
[Sparse tensors] in `retrograd.sparse.coo` for what they are.

Source: https://docs.pytorch.org/docs/stable/sparse.html
"""

from __future__ import annotations

from retrograd.read_only import seal as _seal
from retrograd.sparse import (
    compressed_kernels as _compressed_kernels,  # noqa: F401
    forms as _forms,  # noqa: F401 - it registers which operators take sparse operands
    methods as _methods,
    multiplying as _multiplying,  # noqa: F401
    views as _views,  # noqa: F401 - and kernels
)
from retrograd.sparse.checking import as_sparse_gradcheck
from retrograd.sparse.compressing import sampled_addmm
from retrograd.sparse.invariants import check_sparse_tensor_invariants
from retrograd.sparse.old_forms import (
    BFloat16Tensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    spdiags,
)
from retrograd.sparse.products import addmm, mm
from retrograd.sparse.reductions import log_softmax, softmax, sum
from retrograd.tensor import Tensor as _Tensor

__all__ = [
    "BFloat16Tensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
    "LongTensor", "ShortTensor", "addmm", "as_sparse_gradcheck", "check_sparse_tensor_invariants", "log_softmax",
    "mm", "sampled_addmm", "softmax", "spdiags", "sum",
]  # fmt: skip

for _name, _method in _methods.METHODS.items():
    setattr(_Tensor, _name, _method)
_seal(_Tensor, "retrograd._C.TensorBase")
