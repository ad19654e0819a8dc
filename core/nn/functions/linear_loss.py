"""The cross entropy of a linear map of samples, and how PyTorch's options for it are written down."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from retrograd.dtypes import bfloat16, dtype, float16, float32, float64, int64
from retrograd.nn.functions.linear import linear
from retrograd.nn.functions.loss import cross_entropy
from retrograd.tensor import Tensor

__all__ = ["linear_cross_entropy"]


@dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How PyTorch computes `linear_cross_entropy` in pieces, to need less memory.

    They are looked at and kept; here the logits of all samples are computed at once, and results are the same.

    Raises
    ------
    ValueError
        If one has no such value.

    Source: https://docs.pytorch.org/docs/stable/nn.html
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: dtype | None = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method is not None and self.chunking_method != "auto":
            name, colon, factor = self.chunking_method.partition(":")
            if name != "aspect_ratio" or (colon and not (factor.isdigit() and int(factor))):
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.acc_dtype not in (None, float16, bfloat16, float32, float64):
            raise ValueError(
                "acc_dtype must be one of {None, retrograd.float16, retrograd.bfloat16, retrograd.float32, "
                f"retrograd.float64}}, got {self.acc_dtype!r}. Pass acc_dtype=None to let the op pick automatically."
            )


def linear_cross_entropy(
    input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
    weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
    label_smoothing: float = 0.0, options: LinearCrossEntropyOptions | None = None,
) -> Tensor:  # fmt: skip
    """`cross_entropy` of ``linear(input, linear_weight, linear_bias)``.

    Shapes: input (N, I) or (I), linear_weight (C, d1, ..., I), target of one class or of probabilities for each of the
    (N, d1, ...).

    Raises
    ------
    RuntimeError
        If shapes do not fit, or an `ignore_index` is given for probabilities.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear_cross_entropy.html

    Examples
    --------
    >>> import retrograd
    >>> x, w = retrograd.ones(2, 3), retrograd.zeros(4, 3)
    >>> retrograd.nn.functional.linear_cross_entropy(x, w, retrograd.tensor([0, 1]))
    tensor(1.3863)
    """
    _check_shapes(input, linear_weight, linear_bias)
    classes, *others, size = linear_weight.shape
    logits = linear(input, linear_weight.reshape(math.prod((classes, *others)), size))
    logits = logits.reshape(*input.shape[:-1], classes, *others)
    if linear_bias is not None:
        logits = logits + linear_bias
    if target.shape == logits.shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    if options is not None and (others or label_smoothing or target.dtype is not int64):
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in {'mean','sum','none'}, "
            "label_smoothing == 0, target.dtype == int64, out_features == (). Got "
            f"reduction={reduction!r}, label_smoothing={label_smoothing}, target.dtype={target.dtype}, "
            f"out_features={tuple(others)}, tracing=False, linear_bias.shape="
            f"{None if linear_bias is None else tuple(linear_bias.shape)}.",
            stacklevel=2,
        )
    return cross_entropy(
        logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index, reduction=reduction,
        label_smoothing=label_smoothing,
    )  # fmt: skip


def _check_shapes(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if weight.ndim < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {weight.ndim}")
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {weight.shape[-1]}, respectively"
        )
    if bias is not None and bias.shape != weight.shape[:-1]:
        raise RuntimeError(f"expected linear_bias shape {tuple(weight.shape[:-1])}, got {tuple(bias.shape)}")
    if weight.ndim > 2 and input.ndim == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(weight.shape)} requires batched input, (N, "
            f"{input.shape[-1]}), got unbatched input with shape {tuple(input.shape)}"
        )
