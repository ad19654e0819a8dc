"""`sparse.FloatTensor` and its kin, and matrices from their diagonals."""

from __future__ import annotations

from typing import Any

from retrograd import dtypes
from retrograd.device import current_kernels
from retrograd.ops.arrange import cat, stack
from retrograd.size import Size
from retrograd.sparse.construction import coo_tensor, empty_sparse, sparse_coo_tensor
from retrograd.tensor import Tensor

__all__ = [
    "BFloat16Tensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
    "LongTensor", "ShortTensor", "spdiags",
]  # fmt: skip


class _TypedTensor(type):
    """The type of the constructors. Sparse tensors are their instances if of their type."""

    dtype: dtypes.dtype

    def __call__(cls, *data: Any, device: Any = None) -> Any:
        if data and isinstance(data[0], Tensor):
            return sparse_coo_tensor(*data, device=device)
        if len(data) == 1 and isinstance(data[0], Size):
            data = tuple(data[0])
        if not all(isinstance(each, int) for each in data):
            raise TypeError(
                "retrograd.sparse.SparseTensor(sequence) only accepts sizes.  Please use retrograd.sparse_coo_tensor() "
                "or construct a strided tensor and convert it to sparse via to_sparse."
            )
        k = current_kernels()
        return empty_sparse(data or (0,), k.dtypes[cls.dtype.name], k)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and bool(instance.is_sparse) and instance.dtype is cls.dtype


def _make(type_: dtypes.dtype) -> Any:
    doc = f"Makes sparse tensors of type {type_}: of indices and values, or of sizes, that store nothing."
    members = {"dtype": type_, "__doc__": doc, "__module__": "retrograd.sparse"}
    return _TypedTensor(f"{type_.type_name}Tensor", (), members)


ByteTensor = _make(dtypes.uint8)
CharTensor = _make(dtypes.int8)
ShortTensor = _make(dtypes.int16)
IntTensor = _make(dtypes.int32)
LongTensor = _make(dtypes.int64)
HalfTensor = _make(dtypes.float16)
BFloat16Tensor = _make(dtypes.bfloat16)
FloatTensor = _make(dtypes.float32)
DoubleTensor = _make(dtypes.float64)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> Tensor:
    """A sparse matrix with given diagonals: its element at ``(j - offset, j)`` is element ``j`` of the diagonal.

    Parameters
    ----------
    diagonals
        A row for each diagonal.
    offsets
        Above (positive) or below (negative) the main diagonal each is.
    shape
        The matrix's.
    layout
        Its format; by coordinates, if none is given.

    Raises
    ------
    RuntimeError
        If the numbers of diagonals and offsets differ, an offset is there twice, or the shape is no matrix's.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sparse.spdiags.html

    Examples
    --------
    >>> import retrograd
    >>> rows = retrograd.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> retrograd.sparse.spdiags(rows, retrograd.tensor([0, -1]), (3, 3)).to_dense()
    tensor([[1., 0., 0.],
            [4., 2., 0.],
            [0., 5., 3.]])
    """
    if not isinstance(offsets, Tensor):
        raise TypeError(f"_spdiags(): argument 'offsets' (position 2) must be Tensor, not {type(offsets).__name__}")
    rows = diagonals if diagonals.ndim == 2 else diagonals.reshape(1, -1)
    places = offsets.reshape(-1).tolist()
    if len(shape) != 2:
        raise RuntimeError("Output shape must be 2d")
    if len(places) != rows.shape[0]:
        raise RuntimeError(
            f"Number of diagonals ({rows.shape[0]}) does not match the number of offsets ({len(places)})"
        )
    if len(set(places)) != len(places):
        raise RuntimeError("Offset tensor contains duplicate values")
    indices, values = [offsets.new_zeros((2, 0)).long()], [rows.reshape(-1)[:0]]
    for number, offset in enumerate(places):
        first, last = max(0, offset), min(int(rows.shape[1]), shape[1], shape[0] + offset)
        if first < last:
            columns = offsets.new_tensor(range(first, last)).long()
            indices.append(stack([columns - offset, columns]))
            values.append(rows[number, first:last])
    made = coo_tensor(cat(indices, 1), cat(values), tuple(shape))
    return made if layout is None else made.to_sparse(layout=layout)
