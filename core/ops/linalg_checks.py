"""What the functions of `retrograd.linalg` refuse, in PyTorch's words."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from retrograd.dtypes import Category, int32
from retrograd.levels import bare
from retrograd.ops.checks import everywhere
from retrograd.ops.flags import Flags
from retrograd.ops.reducing import deliver
from retrograd.overrides import overridden
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "LinAlgError", "check_floating", "check_matrices", "check_square", "check_tensors", "implemented", "infos_of",
    "is_finite", "of_linalg", "raise_for_element", "zero_pivots",
]  # fmt: skip


class _LinAlgError(RuntimeError):  # the name that tracebacks show, as PyTorch's
    """A matrix has not got what was asked for: an inverse, a factorization.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.linalg.LinAlgError.html
    """


LinAlgError = _LinAlgError


def of_linalg(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the namespace: its first arguments are tensors, and it takes `out=`."""
    name = f"linalg_{function.__name__}"
    signature = inspect.signature(function)
    first = [
        each for each, parameter in signature.parameters.items() if parameter.annotation == "Tensor"
    ]  # those that must be
    flags = Flags(function, name)

    @functools.wraps(function)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        for position, (parameter, value) in enumerate(zip(first, args, strict=False), 1):
            if not isinstance(value, Tensor):
                if (found := overridden(call, args, kwargs)) is not NotImplemented:
                    return found
                raise _no_tensor(name, parameter, position, value)
        if kwargs or len(args) > flags.first:
            flags.check(args, kwargs)
        result = function(*args, **kwargs)
        if out is None:
            return result
        if not isinstance(result, tuple):
            return deliver(name, out, result)
        return type(result)(*(deliver(name, *pair) for pair in zip(out, result, strict=True)))

    return call


def _no_tensor(name: str, parameter: str, position: int, value: Any) -> TypeError:
    kind = type(value).__name__
    return TypeError(f"{name}(): argument '{parameter}' (position {position}) must be Tensor, not {kind}")


def check_tensors(name: str, **given: Any) -> None:
    """Refuse arguments, the first ones of the function `name`, that are no tensors."""
    for position, (parameter, value) in enumerate(given.items(), 1):
        if not isinstance(value, Tensor):
            raise _no_tensor(name, parameter, position, value)


def check_matrices(name: str, tensor: Tensor, which: str = "A") -> None:
    """Refuse what has less than two dimensions."""
    if tensor.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {which} must have at least 2 dimensions.")


def check_square(name: str, A: Tensor) -> None:
    """Refuse what is no stack of square matrices."""
    check_matrices(name, A)
    n, m = A.shape[-2:]
    if n != m:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {n} by {m} matrices")


def check_floating(name: str, tensor: Tensor, low: bool = True) -> None:
    """Refuse integers, and types of 16 bits unless `low`."""
    if tensor.dtype.category < Category.FLOAT:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {tensor.dtype.type_name}"
        )
    if not low and is_low(tensor):
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {tensor.dtype.type_name}")


def is_low(tensor: Tensor) -> bool:
    """Whether it has one of the floating-point types of 16 bits or less, in which nothing is factorized."""
    return tensor.dtype.category is Category.FLOAT and tensor.dtype.itemsize <= 2


def implemented(kernel: str, tensor: Tensor) -> None:
    """Refuse types for which PyTorch's kernel of this name is not there."""
    if tensor.dtype.category < Category.FLOAT or is_low(tensor):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{tensor.dtype.type_name}'")


def is_finite(tensor: Tensor) -> bool:
    """Whether all elements are; inside `vmap`, those of all samples."""
    return everywhere(tensor._kernels, tensor._kernels.isfinite(tensor._array))


def zero_pivots(A: Tensor) -> list[int]:
    """Of each matrix, which pivot of its elimination is the first that is zero, from 1; 0 if none is."""
    A = bare(A)
    packed = A._kernels.lu(A._array)[0]
    pivots = A._kernels.to_host(A._kernels.diagonal(packed, 0, A.ndim - 2, A.ndim - 1))
    rows = pivots.reshape(-1, pivots.shape[-1]).tolist() if pivots.size else []
    return [next((i for i, each in enumerate(row, 1) if each == 0), 0) for row in rows]


def infos_of(A: Tensor, infos: list[int]) -> Tensor:
    """One number a matrix as a tensor; inside `vmap`, those of each sample."""
    from retrograd.ops.creation import tensor

    shape = bare(A).shape[:-2]
    host = infos if A.numel() else [0] * math.prod(shape)
    return _at_level_of(A, tensor(host, dtype=int32, device=A.device).reshape(shape))


def _at_level_of(A: Tensor, made: Tensor) -> Tensor:
    """What has been made for all samples of `A`, with a sample's share to be seen where `A` is."""
    k = A._kernels
    if not k.level:
        return made
    return wrap_array(k.wrap(_at_level_of(A._array.value, made), A._array.mapped), k)


def raise_for_element(name: str, A: Tensor, found: list[int], text: str) -> None:
    """The error for the first matrix for which something is found, of which `text` tells; or none."""
    for element, info in enumerate(found):
        if info:
            where = f"(Batch element {element}): " if bare(A).ndim > 2 else ""
            raise LinAlgError(f"{name}: {where}{text.format(info)}")
