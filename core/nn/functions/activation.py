"""Activation functions.

Each is a function of a tensor, elementwise unless it says otherwise; `inplace=True` writes the result
into the input.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from retrograd import random
from retrograd.dtypes import Category, dtype as DType, finfo
from retrograd.ops import activation, bounds, inplace, special
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.checks import not_implemented
from retrograd.ops.declare import op_of
from retrograd.ops.flags import no_flag
from retrograd.ops.options import fill_number
from retrograd.ops.softmax import log_softmax as _log_softmax, softmax as _softmax
from retrograd.ops.trigonometry import tanh as _tanh
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "celu", "celu_", "elu", "elu_", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid",
    "hardswish", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "log_softmax", "logsigmoid", "mish",
    "prelu", "relu", "relu6", "relu_", "rrelu", "rrelu_", "selu", "selu_", "sigmoid", "silu", "softmax", "softmin",
    "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold", "threshold_",
]  # fmt: skip

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


_ALSO_OF = {"silu": (Category.COMPLEX,), "hardtanh": (Category.INTEGER,), "threshold": (Category.INTEGER,)}
"""What functions take besides floating-point numbers."""

_KERNELS = {
    "celu": "elu_cpu", "gelu": "GeluKernelImpl", "rrelu_fixed": "leaky_relu_cpu", "softshrink": "softshrink_check",
}  # fmt: skip
"""Those that PyTorch's errors name, where it is not the function with `_cpu`."""


def _apply(operator: Callable[..., Tensor], in_place: bool, input: Tensor, *arguments: Any) -> Tensor:
    """Call an operator, or write its result into its input."""
    _check_float(operator, input)
    if in_place:
        return inplace.call_inplace(op_of(operator), input, *arguments)
    return operator(input, *arguments)


def _check_float(operator: Callable[..., Tensor], input: Any) -> None:
    name = op_of(operator).bare_name
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if input.dtype.category not in _ALSO_OF.get(name, ()) and not input.dtype.is_floating_point:
        raise not_implemented(_KERNELS.get(name) or f"{name}_cpu", input.dtype)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(x, 0)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.relu.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.relu(retrograd.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return input.relu_() if inplace else bounds.relu(input)


def relu_(input: Tensor) -> Tensor:
    """In-place version of `relu`."""
    return input.relu_()


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return hardtanh(input, 0, 6, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``x`` where it is positive, else ``negative_slope * x``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.leaky_relu.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.leaky_relu(retrograd.tensor([-1.0, 2.0]), 0.5)
    tensor([-0.5000,  2.0000])
    """
    return _apply(activation._leaky_relu, inplace, input, negative_slope)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """In-place version of `leaky_relu`."""
    return leaky_relu(input, negative_slope, True)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.elu.html
    """
    return _apply(activation._elu, inplace, input, alpha, 1, 1)


def elu_(input: Tensor, alpha: float = 1.0, scale: float = 1, input_scale: float = 1) -> Tensor:
    """In-place version of `elu`: ``scale * x``, or where negative ``scale * alpha * (exp(input_scale * x) - 1)``."""
    return _apply(activation._elu, True, input, alpha, scale, input_scale)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """`elu`, scaled by constants that keep mean and variance of activations.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017
    """
    return _apply(activation._elu, inplace, input, SELU_ALPHA, SELU_SCALE, 1)


def selu_(input: Tensor) -> Tensor:
    """In-place version of `selu`."""
    return selu(input, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _apply(activation._celu, inplace, input, alpha)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """In-place version of `celu`."""
    return celu(input, alpha, True)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x`` times the normal distribution's cumulative function of ``x``.

    Parameters
    ----------
    approximate
        `"none"`, or `"tanh"` for ``0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3)))``.

    Raises
    ------
    RuntimeError
        If `approximate` is something else.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.gelu.html
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _apply(activation._gelu, False, input, approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * sigmoid(x)``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.silu.html
    """
    return _apply(activation._silu, inplace, input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return _apply(activation._mish, inplace, input)


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x > threshold``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softplus.html
    """
    return _apply(activation._softplus, False, input, beta, threshold)


def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(x))``."""
    return _apply(activation._log_sigmoid, False, input)


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return special.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _tanh(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``x`` brought into [min_val, max_val].

    Raises
    ------
    ValueError
        If the bounds are the wrong way round.
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if isinstance(input, Tensor) and not input.dtype.is_floating_point:
        min_val, max_val = _bounds_of_integers(input.dtype, min_val, max_val)
    return _apply(activation._hardtanh, inplace, input, min_val, max_val)


def _bounds_of_integers(of: DType, *bounds: float) -> tuple[int, ...]:
    if of.category is Category.BOOL:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if of.is_complex:
        raise NotImplementedError("clamp is not supported for complex types")
    if not of.is_signed and min(bounds) < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return tuple(map(int, bounds))


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """In-place version of `hardtanh`."""
    return hardtanh(input, min_val, max_val, True)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``clamp(x / 6 + 1 / 2, 0, 1)``."""
    return _apply(activation._hardsigmoid, inplace, input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``x * hardsigmoid(x)``."""
    return _apply(activation._hardswish, inplace, input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Zero within [-lambd, lambd], ``x`` outside."""
    return _apply(activation._hardshrink, False, input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``x`` moved towards zero by `lambd`.

    Raises
    ------
    RuntimeError
        If `lambd` is negative, or larger than any number of the type.
    """
    _check_float(activation._softshrink, input)
    largest = finfo(input.dtype).max
    if not 0 <= lambd <= largest:
        raise RuntimeError(
            f"lambda must be in range [0, {largest:g}] for input dtype {input.dtype.type_name}, but found {lambd:g}"
        )
    return _apply(activation._softshrink, False, input, lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return input - _tanh(input)


def softsign(input: Tensor) -> Tensor:
    """``x / (1 + abs(x))``."""
    return input / (input.abs() + 1)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``x`` where it is above `threshold`, else `value`; both as integers, if the elements are."""
    return _threshold(input, inplace, threshold, value)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """In-place version of `threshold`."""
    return _threshold(input, True, threshold, value)


def _threshold(input: Tensor, in_place: bool, *numbers: float) -> Tensor:
    if isinstance(input, Tensor) and input.dtype.category is Category.INTEGER:
        numbers = tuple(fill_number(each, input.dtype) for each in numbers)
    return _apply(activation._threshold, in_place, input, *numbers)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along `dim` times the sigmoid of the second.

    Raises
    ------
    RuntimeError
        If there is no dimension, or its size is odd.
    """
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = wrap_dim(dim, input.ndim)
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    return _apply(activation._glu, False, input, dim)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``x`` where it is positive, else ``weight * x``; `weight` has one element or one for each channel.

    Raises
    ------
    RuntimeError
        If `weight` does not fit.
    """
    if weight.numel() != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim >= 2 else 1
        if channels != weight.numel():
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    if not input.ndim:
        weight = weight.reshape(())
    elif input.ndim != 1 or weight.ndim:
        shape = (1,) * min(1, input.ndim) + (-1,) * min(1, max(input.ndim - 1, 0)) + (1,) * max(input.ndim - 2, 0)
        weight = weight.reshape(shape) if input.ndim > 1 else weight
    if not input.dtype.is_floating_point:
        raise not_implemented("prelu_cpu", input.dtype)
    return activation._prelu(input, weight)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """`leaky_relu` with slopes drawn from [lower, upper) while training, else with their mean."""
    if type(training) is not bool:
        raise no_flag("rrelu", "training", training, 4)
    for name, each in (("lower", lower), ("upper", upper)):
        if not math.isfinite(each):
            raise RuntimeError(f"rrelu: {name} bound must be finite, got {each:g}")
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    if not training:
        return _apply(activation._rrelu_fixed, inplace, input, lower, upper, False)
    if not input.dtype.is_floating_point:
        raise not_implemented("rrelu_with_noise_out_cpu", input.dtype)
    k = random.drawing_level(input._kernels)
    uniform = random.uniform_array(k, tuple(input._array.shape), input._array.dtype)
    noise = wrap_array(uniform * (upper - lower) + lower, k)
    return _apply(activation._rrelu, inplace, input, noise, lower, upper, True)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """`rrelu`, in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def _implicit_dim(name: str, ndim: int, stacklevel: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """``exp(x)``, divided by its sum along `dim`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.functional.softmax(retrograd.zeros(2), dim=0)
    tensor([0.5000, 0.5000])
    """
    dim = _implicit_dim("softmax", input.ndim, _stacklevel) if dim is None else dim
    return _softmax(input, dim, dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """`softmax` of the negative."""
    dim = _implicit_dim("softmin", input.ndim, _stacklevel) if dim is None else dim
    return _softmax(-input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """The logarithm of `softmax`, without its rounding errors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html
    """
    dim = _implicit_dim("log_softmax", input.ndim, _stacklevel) if dim is None else dim
    return _log_softmax(input, dim, dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample from the categorical distribution of `logits`, softened by the temperature `tau`.

    With `hard` the sample is one-hot, and its gradient that of the soft one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.gumbel_softmax.html
    """
    if not logits.is_floating_point():
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {logits.dtype.type_name}"
        )
    k = random.drawing_level(logits._kernels)
    uniform = wrap_array(random.uniform_array(k, tuple(logits._array.shape), logits._array.dtype), k)
    tiny = 2.0**-24
    noise = -(-(uniform.clamp(min=tiny)).log()).log()
    soft = _softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = (soft.detach() * 0).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft
