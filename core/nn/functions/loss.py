"""Loss functions. Each reduces its elementwise values by `reduction`: `"mean"`, `"sum"` or `"none"`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

from retrograd.autograd.modes import current_mode
from retrograd.dtypes import Category, int64, promote_types, uint8
from retrograd.levels import bare
from retrograd.nn._reduction import legacy_get_string
from retrograd.nn.functions.distance import pairwise_distance
from retrograd.ops.arguments import as_float, as_int
from retrograd.ops.autocasting import unites, widened
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.checks import check_castable, computes_ahead, everywhere, extremes, implemented_for
from retrograd.ops.elementwise import _add_number, _div_number, _mul_number, _sub_number
from retrograd.ops.factories import full_like
from retrograd.ops.flags import no_flag
from retrograd.ops.grouped import one_node
from retrograd.ops.indexing import where
from retrograd.ops.losses import (
    _bce,
    _bce_with_logits,
    _bce_with_logits_weighted,
    _huber_loss,
    _mse_loss,
    _multi_margin_loss,
    _nll_loss,
    _nll_loss2d,
    _nll_rows,
    _smooth_l1_loss,
    _soft_margin_loss,
)
from retrograd.ops.softmax import _log_softmax
from retrograd.ops.underived import refuse_gradients
from retrograd.tensor import Tensor

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy",
    "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss",
    "mse_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
    "poisson_nll_loss", "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip

_REDUCTIONS = ("mean", "sum", "none")


def _reduction(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The reduction, also from PyTorch's old pair of flags."""
    if size_average is not None or reduce is not None:
        reduction = legacy_get_string(size_average, reduce, emit_warning=False)
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            stacklevel=3,
        )
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _reduced(value: Tensor, reduction: str) -> Tensor:
    return value.mean() if reduction == "mean" else value.sum() if reduction == "sum" else value


def _expanded(input: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both of one shape; a silent broadcast is rarely meant, and so it is warned of."""
    if input._array.shape == target._array.shape:
        return input, target
    warnings.warn(
        f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This "
        "will "
        "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=3,
    )
    shape = broadcast_shapes(tuple(input._array.shape), tuple(target._array.shape))
    return input.expand(shape), target.expand(shape)


def _promoted(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if input.dtype is target.dtype:
        return input, target
    common = promote_types(input.dtype, target.dtype)
    return input.to(common), target.to(common)


# -- of numbers --------------------------------------------------------------------------------


def _weighted_mean(value: Tensor, weight: Tensor, reduction: str) -> Tensor:
    value = value * weight
    return value.sum() / weight.expand_as(value).sum() if reduction == "mean" else _reduced(value, reduction)


def _elementwise(
    operator: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    number: float,
) -> Tensor:
    input, target = _promoted(*_expanded(input, target, operator.__name__))
    if weight is None:
        return operator(input, target, reduction, number)
    if tuple(weight.shape) != tuple(input.shape):
        raise ValueError("Weights and input must have the same size.")
    return _weighted_mean(operator(input, target, "none", number), weight, reduction)


def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``(input - target)**2``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.mse_loss(retrograd.tensor([1.0, 2.0]), retrograd.tensor([1.0, 4.0]))
    tensor(2.)
    """
    return _elementwise(_mse_loss, input, target, weight, _reduction(reduction, size_average, reduce), 0.0)


def l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``abs(input - target)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.l1_loss.html
    """
    input, target = widened(input, target)
    reduction = _reduction(reduction, size_average, reduce)
    input, target = _expanded(input, target, "l1_loss")
    value = (input - target).abs()
    return _reduced(value, reduction) if weight is None else _weighted_mean(value, weight, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", beta: float = 1.0,
) -> Tensor:  # fmt: skip
    """``d**2 / (2 * beta)`` where ``d = abs(input - target)`` is below `beta`, else ``d - beta / 2``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.smooth_l1_loss.html
    """
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    reduction = _reduction(reduction, size_average, reduce)
    if beta == 0.0:
        return l1_loss(input, target, reduction=reduction)
    return _elementwise(_smooth_l1_loss, input, target, None, reduction, beta)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """``d**2 / 2`` where ``d = abs(input - target)`` is at most `delta`, else ``delta * (d - delta / 2)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.huber_loss.html
    """
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    return _elementwise(_huber_loss, input, target, weight, _reduction(reduction, None, None), float(delta))


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
    size_average: bool | None = None, eps: float = 1e-8, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Negative log-likelihood of counts under a Poisson distribution, whose (log) rate is `input`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.poisson_nll_loss.html
    """
    if type(log_input) is not bool:
        raise no_flag("poisson_nll_loss", "log_input", log_input, 3)
    if type(full) is not bool:
        raise no_flag("poisson_nll_loss", "full", full, 4)
    input, target = widened(input, target)
    reduction, eps = _reduction(reduction, size_average, reduce), as_float(eps)
    product = target * (input if log_input else _add_number(input, eps).log())  # first, as in PyTorch
    value = (input.exp() if log_input else input) - product
    if full:
        stirling = target * target.log() - target + _mul_number(_mul_number(target, 2 * math.pi).log(), 0.5)
        value = value + stirling.masked_fill(target <= 1, 0)
    return _reduced(value, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood under a normal distribution with mean `input` and variance `var`.

    Raises
    ------
    ValueError
        If `var` has a negative element or does not fit the input.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.gaussian_nll_loss.html
    """
    if bool((var < 0).any() if isinstance(var, Tensor) else var < 0):
        raise ValueError("var has negative entry/entries")
    wide: Tensor = var if isinstance(var, Tensor) else input.detach() * 0 + var
    if tuple(wide.shape) != tuple(input.shape):
        if tuple(input.shape[:-1]) == tuple(wide.shape):
            wide = wide.unsqueeze(-1)
        elif input.ndim != wide.ndim or any(v not in (n, 1) for n, v in zip(input.shape, wide.shape, strict=True)):
            raise ValueError("var is of incorrect size")
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{reduction} is not valid")
    from retrograd.autograd.modes import no_grad

    wide = wide.clone()
    with no_grad():
        wide.clamp_(min=eps)
    value = 0.5 * (wide.log() + (input - target) ** 2 / wide)
    return _reduced(value + 0.5 * math.log(2 * math.pi) if full else value, reduction)


def kl_div(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", log_target: bool = False,
) -> Tensor:  # fmt: skip
    """``target * (log(target) - input)``: `input` is a log-probability, `target` one too with `log_target`.

    `reduction="batchmean"` divides the sum by the size of the first dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.kl_div.html
    """
    if type(log_target) is not bool:
        raise no_flag("kl_div", "log_target", log_target)
    input, target = widened(input, target)
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support "
            "size.'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.'mean' will be changed to "
            "behave the "
            "same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    if not input.dtype.is_floating_point or not target.dtype.is_floating_point:
        kind = "Complex" if input.is_complex() or target.is_complex() else "Integral"
        raise RuntimeError(f"kl_div: {kind} inputs not supported.")
    batch_mean = reduction == "batchmean"
    reduction = "sum" if batch_mean else _reduction(reduction, size_average, reduce)
    if log_target:
        value = target.exp() * (target - input)
    else:
        product = target * input  # first, as in PyTorch
        value = target.xlogy(target) - product
    total = _reduced(value, reduction)
    return total / input.shape[0] if batch_mean and input.ndim else total


# -- of two classes ----------------------------------------------------------------------------


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``-(target * log(input) + (1 - target) * log(1 - input))`` of probabilities; logarithms are at least -100.

    Raises
    ------
    ValueError
        If the shapes differ.
    RuntimeError
        If an element of `input` is not between 0 and 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy.html
    """
    reduction = _reduction(reduction, size_average, reduce)
    if target.size() != input.size():
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is "
            "deprecated. Please ensure they have the same size."
        )
    if target.dtype is not input.dtype and not unites(input, target):
        raise RuntimeError(f"Found dtype {target.dtype.type_name} but expected {input.dtype.type_name}")
    k, array = input._kernels, input._array
    if k.base.compile is None and not everywhere(k, k.logical_and(array >= 0, array <= 1)):
        raise RuntimeError("all elements of input should be between 0 and 1")
    if weight is not None:
        weight = weight.expand(broadcast_shapes(tuple(weight.shape), tuple(target.shape)))
    return _bce(input, target, weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`binary_cross_entropy` of ``sigmoid(input)``, without overflow.

    Parameters
    ----------
    weight
        Multiplies the elementwise losses; broadcasts.
    pos_weight
        Multiplies the losses of positive examples; broadcasts.

    Raises
    ------
    ValueError
        If the shapes differ.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html

    Examples
    --------
    >>> import retrograd
    >>> logits, target = retrograd.zeros(2), retrograd.tensor([0.0, 1.0])
    >>> retrograd.nn.functional.binary_cross_entropy_with_logits(logits, target)
    tensor(0.6931)
    """
    reduction = _reduction(reduction, size_average, reduce)
    if target._array.shape != input._array.shape:
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    input, target = _promoted(input, target)
    if weight is None and pos_weight is None:
        return _bce_with_logits(input, target, reduction, 0.0)
    for each in (weight, pos_weight):
        if each is not None:
            broadcast_shapes(tuple(each.shape), tuple(input.shape))
    return _bce_with_logits_weighted(input, target, weight, pos_weight, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-target * input))``, for targets 1 and -1, which have no gradient."""
    refuse_gradients("soft_margin_loss", target=target)
    reduction = _reduction(reduction, size_average, reduce)
    common = promote_types(input.dtype, target.dtype)
    if not common.is_floating_point:
        value = (-target * input).exp().log1p()
        check_castable(value.dtype, common)
        return _reduced(value, reduction)
    input, target = _promoted(input, target)
    shape = broadcast_shapes(tuple(input.shape), tuple(target.shape))
    both = (each if tuple(each.shape) == shape else each.expand(shape) for each in (input, target))
    return _soft_margin_loss(*both, reduction, 0.0)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""
    input, target = widened(input, target)
    zeros = input.detach() * 0
    apart = where(target != 1, (full_like(input.detach(), margin) - input).clamp_min(0), zeros)
    together = where(target != -1, input, zeros)
    return _reduced(apart + together, _reduction(reduction, size_average, reduce))


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``max(0, -target * (input1 - input2) + margin)``."""
    input1, input2, target = widened(input1, input2, target)
    reduction = _reduction(reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    apart = input1 - input2
    return _reduced(_add_number(-target * apart, float(as_float(margin))).clamp_min(0), reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1."""
    input1, input2, target = widened(input1, input2, target)
    reduction = _reduction(reduction, size_average, reduce)
    if target.ndim not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    dim = target.ndim
    small = 1e-12
    dots = (input1 * input2).sum(dim)
    first, second = (_add_number((each * each).sum(dim), small) for each in (input1, input2))
    cosine = dots / (first * second).sqrt()
    zeros = cosine.detach() * 0
    together = where(target == 1, (zeros + 1) - cosine, zeros)
    apart = where(target == -1, _sub_number(cosine, margin).clamp_min(0), zeros)
    return _reduced(together + apart, reduction)


def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
    swap: bool = False, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with the p-norm as distance.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.triplet_margin_loss.html
    """
    if type(swap) is not bool:
        raise no_flag("triplet_margin_loss", "swap", swap, 7)
    anchor, positive, negative = widened(anchor, positive, negative)
    reduction = _reduction(reduction, size_average, reduce)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_triplet(anchor, positive, negative)
    value = _triplet(
        (anchor, positive, negative), lambda a, b: pairwise_distance(a, b, p, eps),
        lambda near: _add_number(near, margin), swap,
    )  # fmt: skip
    return _reduced(value, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, *,
    distance_function: Callable[..., Tensor] | None = None, margin: float = 1.0, swap: bool = False,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """`triplet_margin_loss` with any distance."""
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_triplet(anchor, positive, negative)
    distance = pairwise_distance if distance_function is None else distance_function
    return _reduced(_triplet((anchor, positive, negative), distance, lambda near: near + margin, swap), reduction)


def _check_triplet(anchor: Tensor, positive: Tensor, negative: Tensor) -> None:
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
            "but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )


def _triplet(
    tensors: tuple[Tensor, Tensor, Tensor],
    distance: Callable[..., Tensor],
    with_margin: Callable[[Tensor], Tensor],
    swap: bool,
) -> Tensor:
    """How much less than the margin each negative is further away than the positive."""
    anchor, positive, negative = tensors
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return (with_margin(near) - far).clamp_min(0)


# -- of several classes ------------------------------------------------------------------------


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Minus the log-probability of each target's class; `"mean"` is weighted.

    Shapes: input (N, C), (C) or (N, C, d1, ...), target (N), () or (N, d1, ...), weight (C).

    Raises
    ------
    IndexError
        If a target is not below the number of classes.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.nll_loss.html
    """
    return _nll(input, target, weight, _reduction(reduction, size_average, reduce), ignore_index)


def _nll(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int) -> Tensor:
    ignore_index = as_int(ignore_index)
    shape, classes = input._array.shape, target._array.shape
    if len(shape) == 2:
        if len(classes) != 1 or classes[0] != shape[0]:
            _raise_nll_shapes(input, target)
        _check_target_type(target)
        if not target._kernels.base.mutable:  # the kernels of others say it themselves
            _check_classes(target, shape[1], ignore_index)
        if weight is None:
            return _nll_rows(input, target, reduction, ignore_index)
        _check_class_weight(weight, shape[1], input)
        return _nll_loss(input, target, weight, reduction, ignore_index)
    _check_nll_shapes(input, target)
    count = input.shape[0] if input.ndim == 1 else input.shape[1]
    _check_classes(target, count, ignore_index)
    _check_class_weight(weight, count, input)
    if input.ndim == 1:
        return _nll_loss(input, target, weight, reduction, ignore_index)
    if input.ndim == 4:
        return _nll_loss2d(input, target, weight, reduction, ignore_index)
    n, c = input.shape[:2]
    value = _nll_loss2d(input.reshape(n, c, 1, -1), target.reshape(n, 1, -1), weight, reduction, ignore_index)
    return value.view(n, *input.shape[2:]) if reduction == "none" else value


def _raise_nll_shapes(input: Tensor, target: Tensor) -> None:
    if target.ndim > 1 and target.shape[0] == input.shape[0]:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if target.ndim == 0:
        raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target batch_size (1).")
    raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]}).")


def _check_nll_shapes(input: Tensor, target: Tensor) -> None:
    if input.ndim < 1:
        raise ValueError(f"Expected 1 or more dimensions (got {input.ndim})")
    if input.ndim == 1:
        if target.ndim != 0:
            raise RuntimeError(f"size mismatch (got input: {list(input.shape)}, target: {list(target.shape)})")
        return
    expected = (input.shape[0], *input.shape[2:])
    if input.shape[0] != (target.shape[0] if target.ndim else 1):
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
            f"({target.shape[0] if target.ndim else 1})."
        )
    if tuple(target.shape) != expected:
        if input.ndim == 4 and target.ndim == 3:
            raise RuntimeError(f"size mismatch (got input: {list(input.shape)} , target: {list(target.shape)}")
        raise RuntimeError(f"Expected target size {list(expected)}, got {list(target.shape)}")


def _check_target_type(target: Tensor) -> None:
    if target.dtype is not int64 and target.dtype is not uint8:
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {target.dtype.type_name}")


def _check_classes(target: Tensor, classes: int, ignore_index: int) -> None:
    """Refuse what is no class."""
    _check_target_type(target)
    if computes_ahead(target) or 0 in target._array.shape:
        return
    target = bare(target)
    array = target._kernels.to_host(target._array)
    if array.min() < 0 or array.max() >= classes:
        for value in array.reshape(-1).tolist():
            if value != ignore_index and not 0 <= value < classes:
                raise IndexError(f"Target {value} is out of bounds.")


def _check_class_weight(weight: Tensor | None, classes: int, input: Tensor | None = None) -> None:
    """Refuse weights of another number; and of another type than `input`, if that is given."""
    if weight is not None and input is not None and weight.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.type_name} but found {weight.dtype.type_name}")
    if weight is not None and (weight.ndim != 1 or weight.numel() != classes):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight "
            "tensor of "
            f"shape: {list(weight.shape)}"
        )


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """`nll_loss` of ``log_softmax(input)``; or, for targets that are probabilities, their cross entropy.

    Shapes: input (N, C), (C) or (N, C, d1, ...); target as in `nll_loss`, or probabilities shaped as
    the input.

    Parameters
    ----------
    weight
        One weight for each class.
    ignore_index
        A target that does not count.
    label_smoothing
        How much of each target is spread evenly over all classes.

    Raises
    ------
    IndexError
        If a target is not below the number of classes.
    RuntimeError, ValueError
        If the shapes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.cross_entropy(retrograd.zeros(1, 4), retrograd.tensor([2]))
    tensor(1.3863)
    """
    if size_average is not None or reduce is not None or reduction not in _REDUCTIONS:
        reduction = _reduction(reduction, size_average, reduce)
    if current_mode().autocast is not None:
        input, target, weight = widened(input, target, weight)
    ndim = len(input._array.shape)
    if target._array.shape == input._array.shape:
        ignored = as_int(ignore_index)
        return _cross_entropy_of_probabilities(input, target, weight, reduction, ignored, label_smoothing)
    if not label_smoothing:
        return _nll(_log_softmax(input, 1 if ndim > 1 else 0), target, weight, reduction, ignore_index)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    return _smoothed(input, target, weight, reduction, ignore_index, label_smoothing)


def _class_shape(weight: Tensor, ndim: int) -> Tensor:
    return weight.view(*((1, -1) + (1,) * (ndim - 2) if ndim > 1 else (-1,)))


def _cross_entropy_of_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int, smoothing: float
) -> Tensor:
    if not target.dtype.is_floating_point:
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {target.dtype.type_name}"
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    if not 0.0 <= smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {smoothing}")
    axis = 1 if input.ndim > 1 else 0
    _check_class_weight(weight, input.shape[axis])
    logs = _log_softmax(input, axis)
    if smoothing:
        target = _add_number(_mul_number(target, 1 - smoothing), smoothing / input.shape[axis])
    value = logs * target
    if weight is not None:
        value = value * _class_shape(weight, input.ndim)
    if reduction == "mean":
        return _div_number(-value.sum(), input.numel() // input.shape[axis])
    return -value.sum() if reduction == "sum" else -value.sum(axis)


def _smoothed(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int, smoothing: float
) -> Tensor:
    axis = 1 if input.ndim > 1 else 0
    classes = input.shape[axis]
    logs = _log_softmax(input, axis)
    sharp = _nll(logs, target, weight, reduction, ignore_index)
    spread = -logs.sum(axis) if weight is None else -(logs * _class_shape(weight, input.ndim)).sum(axis)
    ignored = target == ignore_index
    spread = spread.masked_fill(ignored, 0)
    if reduction == "mean":
        if weight is None:
            count = (~ignored).sum().to(logs.dtype)
        else:
            count = weight[target.masked_fill(ignored, 0)].masked_fill(ignored, 0).sum()
        spread = spread.sum() / count
    elif reduction == "sum":
        spread = spread.sum()
    return _mul_number(sharp, 1 - smoothing) + _mul_number(spread, smoothing / classes)


_check_multi_margin = implemented_for("multi_margin_loss_cpu_kernel", Category.FLOAT, halves=False)
_check_multilabel = implemented_for("multilabel_margin_loss_forward_out_frame", Category.FLOAT, halves=False)


def _check_vector_or_matrix(input: Tensor) -> None:
    if input.ndim > 2 or (input.ndim and not input.shape[-1]):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        )


def _check_is_long(target: Tensor) -> None:
    if target.dtype is not int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.type_name}")


def _check_range(target: Tensor, first: int, end: int, message: str) -> None:
    """Refuse labels that are not within, where that costs no wait for a device."""
    if not target.numel() or computes_ahead(target):
        return
    smallest, largest = extremes(target)
    if smallest < first or largest >= end:
        raise RuntimeError(message)


def multi_margin_loss(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
    size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``sum(max(0, margin - x[target] + x[i])**p) / classes`` over the other classes i."""
    input, target = widened(input, target)
    reduction = _reduction(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    _check_vector_or_matrix(input)
    rows = input.reshape(1, -1) if input.ndim < 2 else input
    if target.ndim > 1 or target.numel() != rows.shape[0] or (input.ndim == 2 and not target.ndim):
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{rows.shape[0]}], but got {list(target.shape)}. Input has shape "
            f"{list(input.shape)}."
        )
    if weight is not None and weight.numel() != rows.shape[1]:
        raise RuntimeError(f"inconsistent weight size, expected {rows.shape[1]} but got {list(weight.shape)}")
    _check_multi_margin((input,))
    _check_is_long(target)
    labels = target if target.ndim == 1 else target.reshape(-1)
    _check_range(labels, 0, rows.shape[1], "target out of range")
    value = _multi_margin_loss(rows, labels, weight, p, margin, reduction)
    return value.squeeze(0) if input.ndim < 2 and reduction == "none" else value


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """How much classes that are no targets come within 1 of those that are; each row of targets ends with -1."""
    input, target = widened(input, target)
    reduction = _reduction(reduction, size_average, reduce)
    _check_vector_or_matrix(input)
    if target.shape != input.shape and (input.ndim == 2 or target.ndim > 1 or target.numel() != input.numel()):
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}")
    _check_multilabel((input,))
    _check_is_long(target)
    _check_range(target, -1, input.shape[-1] if input.ndim else 1, "argument #2 'target' is out of range")
    return _multilabel_margin(input, target, reduction)[0]


@one_node("MultilabelMarginLossBackward0", "input", outputs=(0,), saves="is_target=result1 reduction self=input target")
def _multilabel_margin(input: Tensor, target: Tensor, reduction: str) -> tuple[Tensor, Tensor]:
    """The loss, and which classes are targets."""
    shape = target.shape
    if not input.ndim:
        input, target = input.reshape(1), target.reshape(1)
    counts = (target >= 0).long().cumprod(-1)  # the labels in front of the first -1
    labels = target * counts
    is_target = (target.detach() * 0).scatter_add(-1, labels, counts) > 0
    gaps = 1 - input.gather(-1, labels).unsqueeze(-1) + input.unsqueeze(-2)
    compared = (counts > 0).unsqueeze(-1) & ~is_target.unsqueeze(-2)
    value = gaps.clamp_min(0).masked_fill(~compared, 0.0).sum((-2, -1)) / input.shape[-1]
    return _reduced(value, reduction), is_target.reshape(shape).to(input.dtype)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Binary cross entropy of each class' logit, averaged over the classes."""
    from retrograd.nn.functions.activation import logsigmoid

    reduction = _reduction(reduction, size_average, reduce)
    value = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        value = value * weight
    return _reduced(value.sum(input.ndim - 1) / input.shape[-1], reduction)
