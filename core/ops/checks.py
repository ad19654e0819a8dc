"""What operators refuse, in PyTorch's words, and how a Python number takes part in promotion."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.dtypes import Category, can_cast, dtype, promote_types
from retrograd.levels import bare
from retrograd.ops.declare import Op
from retrograd.ops.dispatch import result_type

__all__ = [
    "check_castable", "check_norm_type", "computes_ahead", "everywhere", "extremes", "fits", "implemented_for",
    "is_half", "is_number", "joined_with", "least_and_greatest", "no_bool", "no_complex", "no_zero_divisor",
    "not_implemented", "warn_of_discarding", "within",
]  # fmt: skip

BOOL, INTEGER, FLOAT, COMPLEX = Category


def warn_of_discarding(stacklevel: int) -> None:
    """Say that a complex number was written where real ones are."""
    text = "Casting complex values to real discards the imaginary part"
    warnings.warn(text, UserWarning, stacklevel=stacklevel + 1)


def is_number(value: Any) -> bool:
    """Whether `value` is a Python number; a bool counts as one."""
    return isinstance(value, (bool, int, float, complex))


def everywhere(k: Any, condition: Any) -> bool:
    """Whether an array of bools is true throughout; inside `vmap`, for all samples. One without elements is."""
    while k.level:
        k, condition = k.lower, k.of(condition).value._array
    if k.meta:
        return True
    return bool(k.to_host(k.all(condition, tuple(range(len(condition.shape))), False)))


def computes_ahead(tensor: Any) -> bool:
    """Whether its elements are not to be looked at: on a device that would have to be waited for, or that has none."""
    k = tensor._kernels.base
    return k.meta or (k.compile is not None and not k.device.startswith("cpu"))


def extremes(tensor: Any) -> tuple[int, int]:
    """The least and the greatest of a tensor of integers; inside `vmap`, of all samples."""
    if tensor._kernels.base.meta:
        return 0, -1  # of no elements: nothing is out of range
    return least_and_greatest(tensor, int)


def least_and_greatest(tensor: Any, number: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The same of any tensor, as numbers that the result depends on: refused of one without elements to look at."""
    values = bare(tensor)
    k, array = values._kernels, values._array
    if k.meta:
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")
    axes = tuple(range(len(array.shape)))
    return number(k.to_host(k.min(array, axes, False))), number(k.to_host(k.max(array, axes, False)))


def within(index: Any, size: int) -> bool:
    """Whether the elements of a tensor of integers are all from 0 to `size` - 1; if it has none, they are."""
    k, array = index._kernels, index._array
    if 0 in array.shape:
        return True
    if k.within is not None:
        return bool(k.within(array, size))
    low, high = extremes(index)
    return low >= 0 and high < size


def implemented_for(
    kernel: str, *categories: Category, first: bool = False, halves: bool = True
) -> Callable[[Sequence[Any]], None]:
    """A check that the inputs' common type is of one of `categories`.

    Parameters
    ----------
    first
        The type of the first input is what counts.
    halves
        Whether floating-point types of 16 bits are among them.

    Raises
    ------
    NotImplementedError
        With the name PyTorch gives its kernel: `"abs_cpu" not implemented for 'Bool'`.
    """
    allowed = frozenset(categories)

    def check(inputs: Sequence[Any]) -> None:
        given = inputs[:1] if first else [each for each in inputs if each is not None]
        common = given[0].dtype if len(given) == 1 else result_type(*given)
        if common.category not in allowed or (not halves and is_half(common)):
            raise not_implemented(kernel, common)

    check.refuses_halves = not halves  # type: ignore[attr-defined]
    check.kernel = kernel  # type: ignore[attr-defined]
    return check


def is_half(type_: dtype) -> bool:
    """Whether it is a floating-point type of 16 bits."""
    return type_.category is FLOAT and type_.itemsize == 2


def not_implemented(kernel: str, type_: dtype) -> NotImplementedError:
    """PyTorch's error for elements of a type that its kernel of this name does not take."""
    return NotImplementedError(f"\"{kernel}\" not implemented for '{type_.type_name}'")


def no_bool(message: str, error: type[Exception] = RuntimeError) -> Callable[[Sequence[Any]], None]:
    """A check that no input is a bool or a tensor of them."""

    def check(inputs: Sequence[Any]) -> None:
        if any(is_bool(each) for each in inputs):
            raise error(message)

    return check


def no_complex(message: str, error: type[Exception] = NotImplementedError) -> Callable[[Sequence[Any]], None]:
    """A check that no input is complex."""

    def check(inputs: Sequence[Any]) -> None:
        if any(is_complex(each) for each in inputs if each is not None):
            raise error(message)

    return check


def is_complex(value: Any) -> bool:
    return isinstance(value, complex) or (not is_number(value) and value.dtype.category is COMPLEX)


def is_bool(value: Any) -> bool:
    return isinstance(value, bool) or (not is_number(value) and value.dtype.category is BOOL)


def no_zero_divisor(inputs: Sequence[Any]) -> None:
    """Integers divided by zero are an error; looked for where that needs no copy from a device."""
    common = result_type(*inputs)
    if common.category > INTEGER:
        return
    other = inputs[1]
    if is_number(other):
        zero = other == 0
    else:
        k = other._kernels
        zero = k.base.compile is None and not everywhere(k, k.not_equal(other._array, 0))
    if zero:
        raise RuntimeError("ZeroDivisionError")


def check_castable(type_: dtype, to: dtype) -> None:
    """Refuse to put results of one type where those of another are to be."""
    if not can_cast(type_, to):
        raise RuntimeError(f"result type {type_.type_name} can't be cast to the desired output type {to.type_name}")


def check_norm_type(name: str, given: dtype, asked: dtype) -> None:
    """Refuse to compute a norm of elements of one type in a type that cannot hold them."""
    if asked.category < FLOAT:
        raise RuntimeError(f"{name}: dtype should be floating point or complex, but got {asked.type_name}")
    if asked.category is not given.category:
        kind = "complex" if given.category is COMPLEX else "real"
        raise RuntimeError(f"{name}: dtype should be {kind} for {kind} inputs, but got {asked.type_name}")
    if promote_types(given, asked) is not asked:
        raise RuntimeError(
            f"{name}: the dtype of the input ({given.type_name}) should be convertible without narrowing to the "
            f"specified dtype ({asked.type_name})"
        )


def fits(number: Any, type_: dtype) -> bool:
    """Whether arithmetic of a tensor of `type_` with `number` keeps that type."""
    if isinstance(number, bool):
        return True
    if isinstance(number, int):
        return type_.category >= INTEGER
    if isinstance(number, float):
        return type_.category >= FLOAT
    return type_.category >= COMPLEX


def joined_with(input: Any, *numbers: Any) -> Any:
    """`input`, cast if need be to the type that arithmetic with these numbers (or None) gives."""
    given = [each for each in numbers if each is not None]
    type_ = input.dtype
    if all(fits(each, type_) for each in given):
        return input
    common = result_type(input, *given)
    return input if common is type_ else Op.cast(input, input._kernels.dtypes[common.name])
