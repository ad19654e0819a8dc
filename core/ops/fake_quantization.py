"""Rounding to the numbers that a quantized tensor could hold, without quantizing: for training that allows for it.

A number x becomes ``(clamp(round(x / scale) + zero_point, quant_min, quant_max) - zero_point) * scale``. The gradient
passes where nothing was clamped.
"""

from __future__ import annotations

from typing import Any, Final

from retrograd.autograd.modes import no_grad
from retrograd.dtypes import bfloat16, float16, float32, int32
from retrograd.ops.arguments import wrap_dim
from retrograd.ops.checks import not_implemented
from retrograd.ops.creation import full
from retrograd.ops.declare import Array, composite, op
from retrograd.ops.indexing import where
from retrograd.ops.options import described
from retrograd.ops.underived import no_tangent, refuse_gradients
from retrograd.tensor import Tensor

__all__: list[str] = []


def _rounding(name: str, node: str) -> Any:
    """The operator by which PyTorch's of that `name` rounds: of an input, what was found for it beforehand."""

    @op(
        name=f"_{name.strip('_')}",
        node=node,
        vjp={"self": lambda K, g, mask: g * K.astype(mask, g.dtype)},
        jvp={"self": no_tangent(name, listed=True)},
    )
    def operator(K, self: Array, value: Array, mask: Array) -> Array:
        """`value`; `mask` is where it was not clamped."""
        return value

    return operator


_FUNCTION: Final = "fake_quantize_per_tensor_affine"
_BY_NUMBERS: Final = "fake_quantize_per_tensor_affine_cachemask"
_BY_TENSORS: Final = "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams"
_BY_CHANNELS: Final = "fake_quantize_per_channel_affine_cachemask"
_by_numbers = _rounding(_BY_NUMBERS, "FakeQuantizePerTensorAffineCachemaskBackward0")
_by_tensors = _rounding(_BY_TENSORS, "FakeQuantizePerTensorAffineCachemaskTensorQparamsBackward0")
_by_channels = _rounding(_BY_CHANNELS, "FakeQuantizePerChannelAffineCachemaskBackward0")


@composite
def fake_quantize_per_tensor_affine(
    input: Tensor, scale: Any, zero_point: Any, quant_min: int, quant_max: int
) -> Tensor:
    """Each element rounded to the nearest number that can be quantized. See the module's text.

    Parameters
    ----------
    scale, zero_point
        How far apart these numbers are, and which integer stands for 0: numbers, or tensors of one element.
    quant_min, quant_max
        The integers that there are.

    Raises
    ------
    RuntimeError
        If the integers are none, `zero_point` is a number and none of them, or `scale` requires a gradient.
    NotImplementedError
        If the input is not of a floating-point type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fake_quantize_per_tensor_affine.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([-3.0, 0.3, 0.9], requires_grad=True)
    >>> retrograd.fake_quantize_per_tensor_affine(x, 0.5, 0, -2, 2)
    tensor([-1.0000,  0.5000,  1.0000],
           grad_fn=<FakeQuantizePerTensorAffineCachemaskBackward0>)
    """
    if not isinstance(input, Tensor):
        raise _no_such_form(input, scale, zero_point, quant_min, quant_max)
    by_tensors = isinstance(scale, Tensor) and isinstance(zero_point, Tensor)
    if by_tensors:
        refuse_gradients(_BY_TENSORS, scale=scale, zero_point=zero_point)
    elif isinstance(scale, (float, int, Tensor)) and (
        isinstance(zero_point, int) or (isinstance(zero_point, Tensor) and not zero_point.is_floating_point())
    ):
        scale, zero_point = float(scale), int(zero_point)
    else:
        raise _no_such_form(input, scale, zero_point, quant_min, quant_max)
    _check_range(quant_min, quant_max)
    if not by_tensors and not quant_min <= zero_point <= quant_max:
        raise RuntimeError("`zero_point` must be between `quant_min` and `quant_max`.")
    if not input.is_floating_point():
        raise not_implemented("fake_quantize_tensor_cachemask_kernel_type_handling", input.dtype)
    with no_grad():
        factor = _one(scale).to(float32) if by_tensors else full((), scale, dtype=float32, device=input.device)
        zero = _one(zero_point).to(int32) if by_tensors else full((), zero_point, dtype=int32, device=input.device)
        steps = (_wide(input) * factor.reciprocal()).round() + zero
        whole, mask = _clamped(steps, quant_min, quant_max)
        value = ((whole - zero).to(float32) * factor).to(input.dtype)
    return (_by_tensors if by_tensors else _by_numbers)(input, value, mask)


@composite
def fake_quantize_per_channel_affine(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """As `fake_quantize_per_tensor_affine`, with a scale and zero point for each place along a dimension.

    Parameters
    ----------
    scale, zero_point
        Vectors, of as many elements as `input` has along `axis`. Zero points may be fractions.

    Raises
    ------
    RuntimeError
        If the vectors do not fit, are of other types or require a gradient, or a zero point is out of the range.
    IndexError
        If there is no such dimension.
    NotImplementedError
        If the input is not of a floating-point type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fake_quantize_per_channel_affine.html

    Examples
    --------
    >>> import retrograd
    >>> x, scale = retrograd.tensor([[0.3, 0.7], [0.3, 0.7]]), retrograd.tensor([1.0, 0.5])
    >>> retrograd.fake_quantize_per_channel_affine(x, scale, retrograd.zeros(2, dtype=retrograd.int32), 0, -8, 7)
    tensor([[0.0000, 1.0000],
            [0.5000, 0.5000]])
    """
    refuse_gradients(_BY_CHANNELS, scale=scale, zero_point=zero_point)
    _check_vectors(input, scale, zero_point, axis, quant_min, quant_max)
    if not input.is_floating_point():
        raise not_implemented("fake_quantize_channel_cachemask_cpu_type_handling", input.dtype)
    shape = [1] * input.ndim
    shape[wrap_dim(axis, input.ndim)] = -1
    with no_grad():
        factor, zero = scale.to(float32).reshape(shape), zero_point.reshape(shape)
        steps = _wide(input) * factor.reciprocal()
        steps = (steps + zero).round() if zero.is_floating_point() else steps.round() + zero
        steps = where(steps.isfinite(), steps, float("nan"))  # no integer either
        whole, mask = _clamped(steps, quant_min, quant_max)
        value = ((whole - zero) * factor).to(input.dtype)
    return _by_channels(input, value, mask)


def _check_vectors(input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int) -> None:
    if scale.dtype not in (float32, bfloat16):
        raise RuntimeError(f"Scale must be Float or BFloat16, found {scale.dtype.type_name}")
    if zero_point.dtype not in (int32, float32, float16):
        raise RuntimeError(f"Zero-point must be Int32, Float or Half, found {zero_point.dtype.type_name}")
    if scale.ndim != 1:
        raise RuntimeError("scale should be a 1-D tensor")
    if zero_point.ndim != 1:
        raise RuntimeError("zero point should be a 1-D tensor")
    if scale.numel() != zero_point.numel():
        raise RuntimeError("scale and zero-point need to have the same dimensions")
    if scale.numel() != input.shape[wrap_dim(axis, input.ndim)]:
        raise RuntimeError("dimensions of scale and zero-point are not consistent with input tensor")
    _check_range(quant_min, quant_max)
    if not zero_point.is_floating_point() and bool(((zero_point < quant_min) | (zero_point > quant_max)).any()):
        raise RuntimeError("`zero_point` must be between `quant_min` and `quant_max`.")
    if not 0 <= axis <= input.ndim:
        raise RuntimeError("`axis` must be between 0 and number of dimensions of input")


def _check_range(quant_min: int, quant_max: int) -> None:
    if quant_min > quant_max:
        raise RuntimeError("`quant_min` should be less than or         equal to `quant_max`.")


def _one(tensor: Tensor) -> Tensor:
    if tensor.numel() != 1:
        raise RuntimeError(f"a Tensor with {tensor.numel()} elements cannot be converted to Scalar")
    return tensor.reshape(())


def _wide(input: Tensor) -> Tensor:
    return input.to(float32) if input.dtype in (float16, bfloat16) else input


def _clamped(steps: Tensor, quant_min: int, quant_max: int) -> tuple[Tensor, Tensor]:
    """Integers brought into the range, and where they were in it; NaN is not."""
    mask = (steps >= quant_min) & (steps <= quant_max)
    return where(steps.isnan(), float(quant_min), steps).clamp(quant_min, quant_max), mask


def _no_such_form(*given: Any) -> TypeError:
    kinds = ", ".join("Tensor" if isinstance(each, Tensor) else described(each) for each in given)
    return TypeError(
        f"{_FUNCTION}() received an invalid combination of arguments - got ({kinds}), but expected one of:\n"
        " * (Tensor input, Tensor scale, Tensor zero_point, int quant_min, int quant_max)\n"
        " * (Tensor input, float scale, int zero_point, int quant_min, int quant_max)\n"
    )
