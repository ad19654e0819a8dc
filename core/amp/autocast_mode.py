"""`autocast`, and the decorators by which custom functions follow it.

Source: https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from retrograd.amp import state
from retrograd.dtypes import bfloat16, dtype as DType, float16, float64
from retrograd.tensor import Tensor

__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "is_autocast_available"]

_SUPPORTED = (bfloat16, float16)


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocast for a kind of device.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.amp.is_autocast_available("cpu"), retrograd.amp.is_autocast_available("meta")
    (True, False)
    """
    return state.is_kind(device_type) and device_type in state.DEFAULTS


def autocast_decorator(autocast_instance: autocast, func: Callable[..., Any]) -> Callable[..., Any]:
    """`func`, which runs inside of a region."""

    @functools.wraps(func)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with autocast_instance:
            return func(*args, **kwargs)

    return decorated


class autocast:  # PyTorch's name
    """A region in which operators choose their types; as a decorator, the whole of a function.

    Products of matrices, convolutions and attention run in the lower type, losses and linear algebra in float32, all
    else in the types of its inputs. Float64 stays float64. A region with ``enabled=False`` inside of another computes
    as outside of both.

    Parameters
    ----------
    device_type
        `"cpu"` for tensors of every backend here. `"cuda"` is accepted and switches nothing on, with PyTorch's
        warning for where there is no CUDA.
    dtype
        The lower type: bfloat16 or float16; by default bfloat16 on CPUs.
    enabled
        Whether anything changes in the region.
    cache_enabled
        Whether casts of parameters are kept until the outermost region ends.

    Raises
    ------
    ValueError
        If `device_type` is no string.
    RuntimeError
        If there is no such kind of device, or no autocast for it.

    Source: https://docs.pytorch.org/docs/stable/amp.html#torch.autocast

    Examples
    --------
    >>> import retrograd
    >>> layer, x = retrograd.nn.Linear(3, 2), retrograd.ones(1, 3)
    >>> with retrograd.autocast("cpu"):
    ...     y = layer(x)
    ...     loss = retrograd.nn.functional.mse_loss(y, retrograd.zeros(1, 2))
    >>> y.dtype, loss.dtype
    (retrograd.bfloat16, retrograd.float32)
    >>> loss.backward()
    >>> layer.weight.grad.dtype
    retrograd.float32
    """

    def __init__(
        self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.fast_dtype = state.get_autocast_dtype(device_type) if dtype is None else dtype
        self.device = state.known(device_type, f"User specified an unsupported autocast device_type '{device_type}'")
        self._cache_enabled = state.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = enabled and not self._warned()

    def _warned(self) -> bool:
        """Whether the region can do nothing, of which it warns."""
        if self.device == "cuda":
            text = "CUDA is not available or torch_xla is imported. Disabling autocast."
        elif self.fast_dtype not in _SUPPORTED:
            name = self.device.upper()
            text = (
                f"In {name} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{name} Autocast only supports dtypes of {', '.join(map(str, _SUPPORTED))} currently."
            )
        else:
            return False
        warnings.warn(text, stacklevel=3 if type(self) is autocast else 4)
        return True

    def __enter__(self) -> Self:
        self.prev_cache_enabled = state.is_autocast_cache_enabled()
        self.prev = state.is_autocast_enabled(self.device)
        self.prev_fastdtype = state.get_autocast_dtype(self.device)
        state.set_autocast_enabled(self.device, self._enabled)
        state.set_autocast_dtype(self.device, self.fast_dtype)
        state.autocast_increment_nesting()
        state.set_autocast_cache_enabled(self._cache_enabled)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if state.autocast_decrement_nesting() == 0:
            state.clear_autocast_cache()
        state.set_autocast_enabled(self.device, self.prev)
        state.set_autocast_dtype(self.device, self.prev_fastdtype)
        state.set_autocast_cache_enabled(self.prev_cache_enabled)

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you mean to use autocast as "
                "a context manager? For example:\n    with retrograd.autocast(device_type=...):\n"
                "        output = model(input)"
            )
        return autocast_decorator(self, func)


def as_now() -> autocast:
    """A region that is as it is here, for what is computed again later."""
    return autocast("cpu", enabled=state.is_autocast_enabled("cpu"))


# -- custom functions --------------------------------------------------------------------------


def _cast(value: Any, type_: DType) -> Any:
    """Tensors in floating point, also those in containers, in another type; all but float64."""
    if isinstance(value, Tensor):
        return value.to(type_) if value.is_floating_point() and value.dtype is not float64 else value
    if isinstance(value, (str, bytes)) or hasattr(value, "__array__"):
        return value
    if isinstance(value, Mapping):
        return {_cast(key, type_): _cast(each, type_) for key, each in value.items()}
    if isinstance(value, Iterable):
        cast = (_cast(each, type_) for each in value)
        return type(value)(cast) if isinstance(value, (list, tuple)) else cast
    return value


def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Callable[..., Any]:
    """Decorate the `forward` of a custom `Function` that is used under autocast.

    Parameters
    ----------
    device_type
        The kind of device whose autocast is meant.
    cast_inputs
        Under autocast, cast the inputs to this type and run without autocast.

    Source: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.custom_fwd

    Examples
    --------
    >>> import retrograd
    >>> class Product(retrograd.autograd.Function):
    ...     @staticmethod
    ...     @retrograd.amp.custom_fwd(device_type="cpu", cast_inputs=retrograd.float32)
    ...     def forward(ctx, a, b):
    ...         return a @ b
    >>> with retrograd.autocast("cpu"):
    ...     Product.apply(retrograd.ones(2, 2), retrograd.ones(2, 2)).dtype
    retrograd.float32
    """
    _check_kind(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        args[0]._dtype = state.get_autocast_dtype(device_type)
        is_on = state.is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = is_on and cast_inputs is None
        if cast_inputs is None or not is_on:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*(_cast(each, cast_inputs) for each in args), **_cast(kwargs, cast_inputs))

    return decorated


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """Decorate the `backward` of a custom `Function`, to run under the autocast that its `forward` ran under.

    Source: https://docs.pytorch.org/docs/stable/amp.html#torch.amp.custom_bwd
    """
    _check_kind(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return decorated


def _check_kind(device_type: object) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
