"""How a sparse tensor prints: its parts, each as it prints by itself, then its size."""

from __future__ import annotations

from retrograd.device import current_kernels
from retrograd.dtypes import bool_, get_default_dtype, int64
from retrograd.overrides import kind_of
from retrograd.parameter import Parameter
from retrograd.printing import _add_suffixes, _content, in_graph
from retrograd.tensor import Tensor

__all__ = ["sparse_text"]


def sparse_text(tensor: Tensor, given: str | None = None) -> str:
    """`repr` of a sparse tensor; `given` stands for its parts, if it is not None.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.sparse_coo_tensor([[0, 2]], [1.5, 2.0], (3,))
    tensor(indices=tensor([[0, 2]]),
           values=tensor([1.5000, 2.0000]),
           size=(3,), nnz=2, layout=retrograd.sparse_coo)
    """
    kind = kind_of(tensor)
    prefix = "tensor(" if kind is Tensor or kind is Parameter else f"{kind.__name__}("
    array = tensor._array
    text = prefix + (_parts_text(tensor, len(prefix)) if given is None else given)
    suffixes = [f"size={tuple(tensor.shape)}", f"nnz={array.nnz}"]
    if tensor._kernels.dense is not current_kernels():
        suffixes.insert(0, f"device='{tensor.device}'")
    default = get_default_dtype()
    if tensor.dtype not in (default, default.to_complex(), int64, bool_):
        suffixes.append(f"dtype={tensor.dtype}")
    suffixes.append(f"layout={tensor.layout}")
    return _add_suffixes(text, [*suffixes, *in_graph(tensor)], len(prefix), tensor.is_sparse)


def _parts_text(tensor: Tensor, indent: int) -> str:
    lines = [f"{name}={_part_text(part, indent + len(name) + 1)}" for name, part in tensor._array.parts()]
    return (",\n" + " " * indent).join(lines)


def _part_text(part: Tensor, indent: int) -> str:
    start = "tensor("
    content = _content(part._kernels.to_host(part._array), indent + len(start))
    if part.numel():
        return f"{start}{content})"
    return f"{start}{content}, size={tuple(part.shape)})"
