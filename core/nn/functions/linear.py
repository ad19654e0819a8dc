"""Linear maps, embeddings, and dropout."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Any

from retrograd import random
from retrograd.autograd.explaining import remember_break
from retrograd.autograd.modes import GRAD, NO_GRAD, current_mode
from retrograd.autograd.node import next_sequence_number
from retrograd.autograd.stale import make_view_node, view_class
from retrograd.dtypes import bfloat16, bool_, complex64, complex128, dtype, get_default_dtype, int32, int64
from retrograd.levels import births, is_mapped, note_birth
from retrograd.ops import linalg, neural, shape
from retrograd.ops.arguments import as_float, as_int
from retrograd.ops.arrange import stack
from retrograd.ops.autocasting import lowered
from retrograd.ops.checks import check_castable, extremes, not_implemented, within
from retrograd.ops.declare import op_of
from retrograd.ops.flags import no_flag
from retrograd.ops.grouped import one_node
from retrograd.ops.linalg import _addmm
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "alpha_dropout", "bilinear", "dropout", "dropout1d", "dropout2d", "dropout3d", "embedding",
    "embedding_bag", "feature_alpha_dropout", "linear", "one_hot",
]  # fmt: skip

_new = object.__new__
_addmm_op = op_of(_addmm)
_addmm_node = _addmm_op.node_class
_transpose_node = view_class("TBackward0")


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``.

    Shapes: input (\\*, in), weight (out, in) or (in), bias (out); result (\\*, out).

    Raises
    ------
    RuntimeError
        If the shapes or the types do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html

    Examples
    --------
    >>> import retrograd
    >>> x, w = retrograd.ones(1, 3), retrograd.eye(2, 3)
    >>> retrograd.nn.functional.linear(x, w, retrograd.tensor([0.0, 1.0]))
    tensor([[1., 2.]])
    """
    mode = current_mode()
    if bias is not None and (mode is GRAD or mode is NO_GRAD):
        made = _linear_at_once(input, weight, bias, mode is GRAD)
        if made is not None:
            return made
    if mode.autocast is not None:
        input, weight, bias = lowered(input, weight, bias)
    if mode.profiler is not None:
        return mode.profiler.group("aten::linear", _linear, input, weight, bias)
    return _linear(input, weight, bias)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Any case, made of `t` and `addmm` or `matmul`."""
    if bias is None or weight.ndim == 1:
        product = linalg.matmul(input, shape.t(weight))
        return product if bias is None else product + bias
    if input.ndim == 2:
        return linalg.addmm(bias, input, shape.t(weight))
    if input.ndim == 0:
        raise RuntimeError("both arguments to linear need to be at least 1D, but they are 0D and 2D")
    rows = input.reshape(-1, input.shape[-1]) if input.numel() else input.reshape(
        math.prod(input.shape[:-1]), input.shape[-1]
    )  # fmt: skip
    return linalg.addmm(bias, rows, shape.t(weight)).view(*input.shape[:-1], weight.shape[0])


_WEIGHTS = (Parameter, Tensor)


def _linear_at_once(input: Tensor, weight: Tensor, bias: Tensor, records: bool) -> Tensor | None:
    """`addmm(bias, input, weight.t())` for plain matrices, with the same nodes but without the view's tensor.

    A layer of a small model takes less time than that tensor. None where anything is out of the ordinary.
    """
    if type(input) is not Tensor or type(weight) not in _WEIGHTS or type(bias) not in _WEIGHTS:
        return None
    k = input._kernels
    x, w, b = input._array, weight._array, bias._array
    if (
        weight._kernels is not k
        or bias._kernels is not k
        or x.ndim != 2
        or w.ndim != 2
        or b.ndim != 1
        or k.compile is not None
        or k.level
    ):
        return None
    dtype = x.dtype
    if (
        dtype not in k.floats
        or w.dtype is not dtype
        or b.dtype is not dtype
        or x.shape[1] != w.shape[1]
        or b.shape[0] != w.shape[0]
    ):
        return None
    transposed = w.T
    y = k.matmul(x, transposed)
    k.add(y, b, y)
    out = _new(Tensor)
    out._array, out._kernels, out._cell, out._tensor_meta, out._edge, out._break = y, k, [0], None, None, None
    if births:
        note_birth(out)
    edges = bias._edge, input._edge, weight._edge
    if not records or edges == (None, None, None):
        remember_break("addmm", (bias, input, weight), (out,), False, records)
        return out
    if edges[2] is not None:
        view = make_view_node(_transpose_node, (shape._T_STEP,), w, edges[2], k, {})
        edges = edges[0], edges[1], (view, 0)
    plan = _addmm_op.plans[edges[0] is not None, edges[1] is not None, edges[2] is not None]
    node = _addmm_node()
    node._grad_plan, node._kernels, node._node_extras, node._grad_fix, node._next_edges = plan, k, None, None, edges
    node._seq_nr = next_sequence_number()
    node._holds = _saved(plan, input, weight, b, transposed)
    out._edge = (node, 0)
    return out


def _saved(plan: Any, input: Tensor, weight: Tensor, bias_array: Any, transposed: Any) -> tuple[Any, ...]:
    """What `plan.save` gives, without its calls: they took a third of the layer's time. See Note [Saved tuple]."""
    saved: tuple[Any, ...] = ()
    for name in plan.names:
        if name == "mat2":
            saved += (transposed, weight._cell, weight._cell[0])
        elif name == "mat1":
            saved += (input._array, input._cell, input._cell[0])
        elif name == "self_shape":
            saved += (bias_array.shape,)
        elif name == "mat1_shape":
            saved += (input._array.shape,)
        elif name == "mat2_shape":
            saved += (transposed.shape,)
        elif name == "mat2_transposed":
            saved += (True,)
        else:  # alpha and beta
            saved += (1,)
    return saved


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight[k] @ input2`` for each output k, plus the bias.

    Shapes: input1 (\\*, in1), input2 (\\*, in2), weight (out, in1, in2), bias (out); result (\\*, out).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.bilinear.html
    """
    lead = tuple(input1.shape[:-1])
    if lead != tuple(input2.shape[:-1]):
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(input1.shape)} and {list(input2.shape)}"
        )
    for number, given, size in (
        (1, input1.shape[-1], weight.shape[1]),
        (2, input2.shape[-1], weight.shape[2]),
    ):
        if given != size:
            raise RuntimeError(
                f"bilinear(): input{number} size does not match weight size: got {given} but expected {size}"
            )
    a = input1.reshape(1, -1, input1.shape[-1])
    b = input2.reshape(1, -1, input2.shape[-1])
    product = (linalg.matmul(a, weight) * b).sum(-1)
    result = product.t().contiguous().reshape(*lead, weight.shape[0])
    return result if bias is None else result + bias


# -- embedding ---------------------------------------------------------------------------------


_NEW_TYPES = frozenset((bool_, bfloat16, complex64, complex128))
"""Those of which PyTorch has no old class of tensors to name in errors."""


def _wrong_type(name: str, argument: str, expected: str, found: dtype) -> RuntimeError:
    kind = f"CPU{found.type_name}Type" if found in _NEW_TYPES else f"retrograd.{found.type_name}Tensor"
    return RuntimeError(
        f"Expected tensor for argument #1 '{argument}' to have one of the following scalar types: {expected}; but got "
        f"{kind} instead (while checking arguments for {name})"
    )


def _check_index_type(input: Tensor, name: str) -> None:
    if input.dtype is not int64 and input.dtype is not int32:
        raise _wrong_type(name, "indices", "Long, Int", input.dtype)


def _check_indices(input: Tensor, rows: int, name: str = "embedding") -> None:
    """Look at the values where that costs no wait for a device."""
    _check_index_type(input, name)
    if not within(input, rows):
        raise IndexError("index out of range in self")


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight`, by number.

    Parameters
    ----------
    padding_idx
        The number of a row that gets no gradient.
    max_norm, norm_type
        Rows that are used and longer are first shortened, in place.
    scale_grad_by_freq
        Divide the gradient of each row by how often it was taken.
    sparse
        Whether the gradient of `weight` is a sparse tensor of the rows that were taken.

    Raises
    ------
    IndexError
        If a number is out of range.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.embedding(retrograd.tensor([1, 0]), retrograd.eye(2))
    tensor([[0., 1.],
            [1., 0.]])
    """
    if type(scale_grad_by_freq) is not bool:
        raise no_flag("embedding", "scale_grad_by_freq", scale_grad_by_freq, 4)
    if type(sparse) is not bool:
        raise no_flag("embedding", "sparse", sparse, 5)
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    rows = weight.shape[0]
    if padding_idx is not None:
        padding_idx = as_int(padding_idx)
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    _check_indices(input, rows)
    if max_norm is not None:
        _shorten(weight, input, max_norm, norm_type)
    padding = -1 if padding_idx is None else padding_idx
    if sparse or scale_grad_by_freq:
        return neural._embedding_as(weight, input, padding, scale_grad_by_freq, sparse)
    return neural._embedding(weight, input, padding)


def _shorten(weight: Tensor, used: Tensor, max_norm: float, norm_type: float) -> None:
    from retrograd.autograd.modes import no_grad
    from retrograd.nn.utils.clip_grad import _norm

    with no_grad():
        for i in sorted(set(used.reshape(-1).tolist())):
            row = weight[i]
            length = _norm(row, norm_type).item()
            if length > max_norm:
                row.mul_(max_norm / (length + 1e-7))


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of bags of rows of `weight`.

    `input` has a bag per row, or all bags in one row with `offsets` at their beginnings.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding_bag.html
    """
    if weight.dtype is int64 and input.is_floating_point():
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is "
            "deprecated, and should now be `embedding_bag(input, weight, ...)`.",
            stacklevel=2,
        )
        input, weight = weight, input
    if type(scale_grad_by_freq) is not bool:
        raise no_flag("embedding_bag", "scale_grad_by_freq", scale_grad_by_freq, 4)
    if type(sparse) is not bool:
        raise no_flag("embedding_bag", "sparse", sparse, 6)
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for "
            "mode='sum' "
            f"(got mode='{mode}'). Please open a feature request on GitHub."
        )
    _check_indices(input, weight.shape[0], "embedding_bag")
    if not weight.dtype.is_floating_point:
        raise _wrong_type("embedding_bag", "weight", "Half, BFloat16, Float, Double", weight.dtype)
    if mode == "max" and (sparse or scale_grad_by_freq):
        what = "sparse weights" if sparse else "scaling the gradient by the frequency"
        raise ValueError(f"max mode does not support {what}")
    edges = None
    if input.ndim != 2:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if type(include_last_offset) is not bool:
            raise no_flag("embedding_bag", "include_last_offset", include_last_offset, 8)
        _check_index_type(offsets, "embedding_bag")
        starts = [0] * offsets.numel() if offsets._kernels.meta else offsets.tolist()
        if starts and (first := starts[0]) != 0:
            raise RuntimeError(
                "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
                f"However, got {first}"
            )
        edges = starts + ([] if include_last_offset else [input.numel()])
    if max_norm is not None:
        _shorten(weight, input, max_norm, norm_type)
    options = (padding_idx if padding_idx is None else as_int(padding_idx), scale_grad_by_freq, sparse)
    if per_sample_weights is not None and input.ndim == 2:
        per_sample_weights = per_sample_weights.reshape(-1)
    bags = tuple(input.shape) if edges is None else edges
    return _embedding_bag(weight, input.reshape(-1), bags, options, mode, per_sample_weights)


@one_node("EmbeddingBagBackward0", "weight", "per_sample_weights", saves="indices=input per_sample_weights")
def _embedding_bag(
    weight: Tensor,
    input: Tensor,
    edges: list[int] | tuple[int, ...],
    options: Any,
    mode: str,
    per_sample_weights: Tensor | None,
) -> Tensor:
    """The bags between `edges`, or, if that is a shape, one of each of its rows."""
    padding_idx, scale_grad_by_freq, sparse = options
    rows = embedding(input, weight, padding_idx, None, 2.0, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    kept = None if padding_idx is None else (input != padding_idx % weight.shape[0]).unsqueeze(-1)
    if isinstance(edges, tuple):
        bags = rows.reshape(*edges, rows.shape[-1])
        return _bags(bags, None if kept is None else kept.reshape(*edges, 1), mode)
    return stack([
        _bags(rows[None, start:end], None if kept is None else kept[None, start:end], mode)[0]
        for start, end in pairwise(edges)
    ])  # fmt: skip


def _bags(rows: Tensor, kept: Tensor | None, mode: str) -> Tensor:
    """Bags (count, length, width) reduced over their lengths; rows that are not kept do not count."""
    if rows.shape[1] == 0:
        return rows.sum(1)
    if kept is None:
        return rows.max(1).values if mode == "max" else rows.sum(1) if mode == "sum" else rows.mean(1)
    if mode == "max":
        largest = rows.masked_fill(~kept, -math.inf).max(1).values
        return largest.masked_fill(~kept.any(1), 0.0)
    total = (rows * kept).sum(1)
    return total if mode == "sum" else total / kept.sum(1).clamp(min=1)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A last dimension of zeros with a one at each element's number.

    Raises
    ------
    RuntimeError
        If the elements are no int64 numbers, or are negative or not below `num_classes`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.one_hot.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.one_hot(retrograd.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor.dtype is not int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    num_classes = as_int(num_classes)
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
    elif num_classes < 1 and is_mapped(tensor):
        raise RuntimeError(
            "When vmap-ing retrograd.nn.functional.one_hot, please provide an explicit positive num_classes argument."
        )
    else:
        smallest, largest = extremes(tensor)
        if num_classes == -1 and largest < 0:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        if smallest < 0:
            raise RuntimeError("Class values must be non-negative.")
        if num_classes == -1:
            num_classes = largest + 1
        elif num_classes < 1:
            raise RuntimeError("num_classes should be positive")
        elif largest >= num_classes:
            raise RuntimeError("Class values must be smaller than num_classes.")
    k = tensor._kernels
    classes = k.arange(0, num_classes, 1, k.dtypes["int64"])
    equal = k.equal(k.reshape(tensor._array, (*tensor._array.shape, 1)), classes)
    made = wrap_array(k.astype(equal, k.dtypes["int64"]), k)
    remember_break("one_hot", (tensor,), (made,), False, current_mode().grad)
    return made


# -- dropout -----------------------------------------------------------------------------------


def _check_probability(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _check_scaled(type_: dtype) -> None:
    """Refuse elements that cannot be made zero or larger at random: those that are no floating-point numbers."""
    if type_.is_complex:
        raise not_implemented("bernoulli_scalar_cpu_", type_)
    check_castable(get_default_dtype(), type_)


def _noise(input: Tensor, p: float, shape: tuple[int, ...], scale: bool = True) -> Tensor:
    """Zeros with probability `p`, else ones, or what makes the mean one."""
    k = random.drawing_level(input._kernels)
    if scale and input._array.dtype not in k.floats:
        _check_scaled(input.dtype)
    mask = k.astype(random.bernoulli_mask(shape, 1 - p, k), input._array.dtype)
    return wrap_array(k.astype(mask * (1 / (1 - p)), mask.dtype) if scale and p < 1 else mask, k)


def _drop(input: Tensor, p: float, training: bool, inplace: bool, features: int | None) -> Tensor:
    """`features` counts the leading dimensions that have a noise each; None means every element."""
    if type(training) is not bool:
        raise no_flag(f"{'feature_' * (features is not None)}dropout{'_' * bool(inplace)}", "train", training, 3)
    _check_probability(p)
    if not training or p == 0:
        return input
    size = tuple(input._array.shape)
    if features is not None:
        size = (*size[:features], *(1 for _ in size[features:]))
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    noise = _noise(input, as_float(p), size)
    return input.mul_(noise) if inplace else input * noise


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability `p` and scale the others by ``1 / (1 - p)``.

    Raises
    ------
    ValueError
        If `p` is no probability.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.dropout(retrograd.ones(2), training=False)
    tensor([1., 1.])
    """
    return _drop(input, p, training, inplace, None)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N, C, L) or (C, L)."""
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input. Note that dropout1d "
            "exists to "
            "provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an "
            "optional "
            "batch dimension (i.e. 2D or 3D inputs)."
        )
    return _drop(input, p, training, inplace, input.ndim - 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N, C, H, W)."""
    return _drop(input, p, training, inplace, 2)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of (N, C, D, H, W)."""
    return _drop(input, p, training, inplace, 2)


def _alpha_drop(name: str, input: Tensor, p: float, training: bool, inplace: bool, size: tuple[int, ...]) -> Tensor:
    """Set to SELU's lowest value instead of zero, then bring mean and variance back."""
    if type(training) is not bool:
        raise no_flag(f"{name}{'_' * bool(inplace)}", "train", training, 3)
    _check_probability(p)
    if not training or p == 0:
        return input
    alpha = 1.7580993408473766
    a = 1.0 / math.sqrt((alpha * alpha * p + 1) * (1 - p)) if p < 1 else 0.0
    if not input.dtype.is_floating_point:
        _check_scaled(int64 if input.dtype is bool_ else input.dtype)
    kept = _noise(input, p, size, scale=False)
    shift = (kept - 1) * (alpha * a) + alpha * a * p
    scale = kept * a
    return input.mul_(scale).add_(shift) if inplace else input * scale + shift


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout for `selu`: keeps mean and variance.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017
    """
    return _alpha_drop("alpha_dropout", input, p, training, inplace, tuple(input._array.shape))


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels."""
    size = tuple(input._array.shape)
    return _alpha_drop("feature_alpha_dropout", input, p, training, inplace, (*size[:2], *(1 for _ in size[2:])))
