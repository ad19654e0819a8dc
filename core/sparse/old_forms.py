"""`sparse.FloatTensor` and its kin, and matrices from their diagonals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrograd import dtypes
from retrograd.device import current_kernels, kernels_of
from retrograd.ops.arrange import cat, stack
from retrograd.ops.overloads import no_overload
from retrograd.size import Size
from retrograd.sparse.construction import coo_tensor, empty_sparse, sparse_coo_tensor
from retrograd.tensor import Tensor

__all__ = [
    "BFloat16Tensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
    "LongTensor", "ShortTensor", "new_sparse", "spdiags",
]  # fmt: skip


class _TypedTensor(type):
    """The type of the constructors. Sparse tensors are their instances if of their type."""

    dtype: dtypes.dtype

    def __call__(cls, *data: Any, device: Any = None) -> Any:
        if data and isinstance(data[0], Tensor):
            return sparse_coo_tensor(*data, device=device)
        k = current_kernels() if device is None else kernels_of(device)
        return _of_sizes("retrograd.sparse.SparseTensor", data, cls.dtype, k)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and bool(instance.is_sparse) and instance.dtype is cls.dtype


def _of_sizes(name: str, data: tuple[Any, ...], type_: dtypes.dtype, k: Any) -> Tensor:
    """A tensor that stores nothing, of sizes that are given one by one or as a `Size`."""
    if len(data) == 1 and isinstance(data[0], Size):
        data = tuple(data[0])
    if not all(isinstance(each, int) for each in data):
        raise TypeError(
            f"{name}(sequence) only accepts sizes.  Please use retrograd.sparse_coo_tensor() "
            "or construct a strided tensor and convert it to sparse via to_sparse."
        )
    return empty_sparse(data or (0,), k.dtypes[type_.name], k)


def new_sparse(self: Tensor, data: tuple[Any, ...], named: Mapping[str, Any], device: Any) -> Tensor:
    """What `Tensor.new` makes for a sparse tensor: of indices and values, or of sizes, then of this one's type."""
    if not self.is_sparse:
        raise RuntimeError("Cannot map DispatchKey SparseCsrCPU to a unique layout.")
    where = self.device if device is None else device
    given = {**dict(zip(("indices", "values", "size"), data, strict=False)), **named}
    places, values = given.get("indices"), given.get("values")
    if len(data) + len(named) in (2, 3) and isinstance(places, Tensor) and isinstance(values, Tensor):
        if places.dtype is not dtypes.int64:
            raise RuntimeError(f"expected scalar type Long but found {places.dtype.type_name}")
        return sparse_coo_tensor(*data, **named, device=where)
    if list(named) == ["size"] and not data:
        data, named = (Size(named["size"]),), {}
    numbers = data[0] if len(data) == 1 and isinstance(data[0], (tuple, list)) else data
    if named or not all(isinstance(each, int) for each in numbers):
        raise no_overload("SparseTensor.new", data, named)
    return _of_sizes("SparseTensor.new", data, self.dtype, kernels_of(where))


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
