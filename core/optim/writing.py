"""What optimizers of other packages take from `torch.optim.optimizer`: the parts PyTorch's own steps are written with.

The optimizers here are formulas (`retrograd.optim.rule`) and use none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from retrograd.autograd.modes import set_grad_enabled
from retrograd.dtypes import dtype, float32, float64, get_default_dtype
from retrograd.optim.rule import number as _get_value
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

__all__ = [
    "_default_to_fused_or_foreach", "_device_dtype_check_for_fused", "_disable_dynamo_if_unsupported",
    "_get_capturable_supported_devices", "_get_scalar_dtype", "_get_value", "_stack_if_compiling", "_to_scalar",
    "_use_grad_for_differentiable", "_view_as_real",
]  # fmt: skip

_FUSED = ["mps", "cuda", "xpu", "hpu", "cpu", "mtia", "privateuseone"]


def _use_grad_for_differentiable(func: Callable[..., Any]) -> Callable[..., Any]:
    """A method `step` that records what it does only if the optimizer's default `differentiable` is true."""

    @wraps(func)
    def recorded_or_not(*args: Any, **kwargs: Any) -> Any:
        with set_grad_enabled(args[0].defaults["differentiable"]):
            return func(*args, **kwargs)

    return recorded_or_not


def _stack_if_compiling(x: Any) -> Any:
    """`x`: nothing is compiled."""
    return x


def _disable_dynamo_if_unsupported(
    single_tensor_fn: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that leaves functions as they are: nothing is compiled."""
    return lambda func: func


def _default_to_fused_or_foreach(
    params: Iterable[Tensor | None], differentiable: bool, use_fused: bool = False
) -> tuple[bool, bool]:
    """Whether to choose `fused`, if it is asked for and possible, and `foreach`, never, where the caller has not."""
    fused = not differentiable and use_fused and all(each is None or _may_be_fused(each) for each in params)
    return fused, False


def _may_be_fused(param: Tensor) -> bool:
    return type(param) in (Tensor, Parameter) and param.is_floating_point()


def _device_dtype_check_for_fused(p: Tensor, cuda_unsupported: bool = False) -> None:
    """Refuse a parameter that `fused=True` has no implementation for.

    Raises
    ------
    RuntimeError
        If it is not one of real floating-point numbers.
    """
    if not p.is_floating_point():
        supported = [each for each in _FUSED if not (cuda_unsupported and each == "cuda")]
        raise RuntimeError(
            "`fused=True` requires all the params to be floating point Tensors of "
            f"supported devices: {supported} but {p.dtype} and {p.device.type}"
        )


def _view_as_real(params: list[Tensor], *state_and_grads: list[Tensor]) -> None:
    """Put views of pairs of real numbers in place of complex parameters, and of what the other lists have of them."""
    for place, param in enumerate(params):
        if param.is_complex():
            for each in (params, *state_and_grads):
                each[place] = each[place].view_as_real()


def _get_scalar_dtype(is_fused: bool | None = None) -> dtype:
    """The type of a state's numbers, as of a count of steps."""
    return float64 if not is_fused and get_default_dtype() == float64 else float32


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    """The types of devices on which PyTorch captures steps in graphs."""
    return ["cuda", "xpu", "hpu", "privateuseone", *(["xla"] if supports_xla else [])]


def _to_scalar(x: Any) -> Any:
    """A tensor of one element without its dimensions; anything else as it is."""
    return x.squeeze() if isinstance(x, Tensor) and x.ndim else x
