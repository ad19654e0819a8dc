"""How an operator runs under `vmap`: the rules that declarations name, beside the derivative.

Inside `vmap` an array is a `Batched`: a tensor of the level below, `.value`, whose leading dimension
the mapped function does not see if it is `.mapped`. A rule computes an operator of such arrays by
computing it once below::

    rule(B, call, *arguments)

`B` is the kernel table of the level (`retrograd.func.batched.BatchedKernels`): `B.of(x)` gives any
operand as a `Batched`, `B.spread(x)` its value with the hidden dimension in any case, and
`B.wrap(value, mapped)` makes a result. `call` is the operator at the level below, on tensors and
differentiable; `arguments` are those of the declaration, in order. This is the rule of an operator
whose second argument is an axis::

    def along(B, call, x, axis, *rest):
        x = B.of(x)
        return B.wrap(call(x.value, axis + x.mapped, *rest), x.mapped)

An operator that promotes broadcasts, and so has `elementwise` without saying so. One with a body and
no rule needs none: the body runs on the kernels of the level, whose rules do the rest. A rule that
returns NotImplemented leaves a call to the body.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from retrograd.levels import below

__all__ = [
    "Rule", "along", "each_leading", "elementwise", "folded", "joined", "kernel_rules", "leading", "leading_shaped",
    "refuse_dynamic", "sample_by_sample", "shared", "warn_of_loop",
]  # fmt: skip

Rule = Callable[..., Any]

kernel_rules: dict[str, Rule] = {}
"""The rule of each kernel that has one, by the kernel's name; `call` is what `G` has under that name."""


def is_array(value: Any) -> bool:
    """Whether an argument is an array of some level, rather than a number or a setting."""
    return hasattr(value, "shape")


def _wrapped(B: Any, result: Any, mapped: bool) -> Any:
    """One result or several, as arrays of the level."""
    return tuple(B.wrap(each, mapped) for each in result) if isinstance(result, tuple) else B.wrap(result, mapped)


def elementwise(B: Any, call: Rule, *arguments: Any) -> Any:
    """Arrays broadcast against each other; numbers and settings are passed on."""
    arrays = [B.of(each) if is_array(each) else None for each in arguments]
    ndim = max(each.ndim for each in arrays if each is not None)
    mapped = any(each is not None and each.mapped for each in arrays)
    values = [
        argument if array is None else array.aligned(ndim) for argument, array in zip(arguments, arrays, strict=True)
    ]
    return _wrapped(B, call(*values), mapped)


def leading(B: Any, call: Rule, x: Any, *rest: Any) -> Any:
    """The operator leaves the leading dimensions of its only array alone, and counts axes from the end."""
    x = B.of(x)
    return _wrapped(B, call(x.value, *rest), x.mapped)


def each_leading(B: Any, call: Rule, *arguments: Any) -> Any:
    """As `leading`, of several arrays, all of which have the leading dimensions."""
    arrays = [B.of(each) if is_array(each) else None for each in arguments]
    mapped = any(each is not None and each.mapped for each in arrays)
    values = [
        argument if array is None else B.spread(array) if mapped else array.value
        for argument, array in zip(arguments, arrays, strict=True)
    ]
    return _wrapped(B, call(*values), mapped)


def leading_shaped(B: Any, call: Rule, x: Any, shape: tuple[int, ...], *rest: Any) -> Any:
    """As `leading`, where the second argument is the shape of the result."""
    x = B.of(x)
    return B.wrap(call(x.value, (B.size, *shape) if x.mapped else tuple(shape), *rest), x.mapped)


def along(B: Any, call: Rule, x: Any, axis: int | tuple[int, ...], *rest: Any) -> Any:
    """The second argument is an axis, or a tuple of axes, counted from the front."""
    x = B.of(x)
    if not x.mapped:
        return _wrapped(B, call(x.value, axis, *rest), False)
    if not x.ndim and axis != ():
        return _along_scalars(B, call, x.value, axis, *rest)
    shifted = axis + 1 if isinstance(axis, int) else tuple(each + 1 for each in axis)
    return _wrapped(B, call(x.value, shifted, *rest), True)


def _along_scalars(B: Any, call: Rule, value: Any, axis: int | tuple[int, ...], *rest: Any) -> Any:
    """A sample without dimensions is taken for one with a single element, as PyTorch takes a number."""
    result = call(value.reshape(B.size, 1), 1 if isinstance(axis, int) else (1,), *rest)
    if isinstance(result, tuple):
        return tuple(B.wrap(each.reshape(B.size), True) for each in result)
    return B.wrap(result.reshape(B.size), True)


def joined(B: Any, call: Rule, xs: Any, axis: int) -> Any:
    """A list of arrays and an axis along which they are joined."""
    arrays = [B.of(each) for each in xs]
    if not any(each.mapped for each in arrays):
        return B.wrap(call([each.value for each in arrays], axis), False)
    return B.wrap(call([B.spread(each) for each in arrays], axis + 1), True)


def folded(B: Any, call: Rule, x: Any, *rest: Any) -> Any:
    """The first dimension of the only array is a batch, into which the hidden one is folded."""
    x = B.of(x)
    if not x.mapped:
        return _wrapped(B, call(x.value, *rest), False)
    count, n, *shape = x.value.shape
    result = call(x.value.reshape(count * n, *shape), *rest)
    parts = result if isinstance(result, tuple) else (result,)
    back = tuple(each.reshape(count, n, *each.shape[1:]) for each in parts)
    return _wrapped(B, back if isinstance(result, tuple) else back[0], True)


def shared(B: Any, *arrays: Any) -> list[Any] | None:
    """The values of arrays that are the same for all samples (None stays None), or None if one is not."""
    found = [None if each is None else B.of(each) for each in arrays]
    if any(each is not None and each.mapped for each in found):
        return None
    return [None if each is None else each.value for each in found]


def refuse_dynamic(name: str) -> NoReturn:
    """The error of an operator whose result would have another shape for each sample."""
    raise RuntimeError(
        f"vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over aten::{name}"
        ". Please file an issue at https://github.com/pytorch/pytorch/issues if you need this feature."
    )


def warn_of_loop(name: str, stacklevel: int) -> None:
    """Say that an operator runs once for each sample."""
    warnings.warn(
        f"There is a performance drop because we have not yet implemented the batching rule for {name}. Please file us "
        "an issue on GitHub so that we can prioritize its implementation.",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def sample_by_sample(name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The results of a function without a gradient, called for each sample at the level below.

    Its tensors are among `args` and `kwargs`, not within them, and one of them is mapped. A warning tells that the
    operator of that `name` does so; none if there is no name.

    Raises
    ------
    RuntimeError
        If the results of two samples differ in shape, or there are no samples.
    """
    from retrograd.ops.arrange import stack
    from retrograd.tensor import Tensor, wrap_array

    tensors = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
    table = max((each._kernels for each in tensors), key=lambda k: int(k.level))

    def sample(value: Any, i: int) -> Any:
        if not isinstance(value, Tensor) or value._kernels is not table:
            return value
        array = value._array
        return array.value[i] if array.mapped else array.value

    def result(i: int) -> Any:
        return function(*(sample(each, i) for each in args), **{key: sample(each, i) for key, each in kwargs.items()})

    def wrapped(column: Any) -> Tensor:
        return wrap_array(table.wrap(stack(list(column), 0) if mapped else column[0], mapped), table)

    mapped = any(each._kernels is table and each._array.mapped for each in tensors)
    if mapped:
        if name:
            warn_of_loop(f"aten::{name}", 3)
        if not table.size:
            lacking = f"Batching rule not implemented for aten::{name}. " if name else ""
            raise RuntimeError(f"{lacking}The fallback path does not support vmap over dims of size 0.")
    with below(table):
        rows = [result(i) for i in range(table.size if mapped else 1)]
        first = rows[0]
        return type(first)(*map(wrapped, zip(*rows, strict=True))) if isinstance(first, tuple) else wrapped(rows)
