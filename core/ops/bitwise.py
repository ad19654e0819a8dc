"""Operations on the bits of integers and bools, and on integers as such. None has a gradient."""

from __future__ import annotations

from retrograd.dtypes import Category
from retrograd.ops.checks import implemented_for
from retrograd.ops.declare import Array, composite, op

__all__: list[str] = []

BOOL, INTEGER, _FLOAT, _COMPLEX = Category


@op("bitwise_and", promote="common", check=implemented_for("bitwise_and_cpu", BOOL, INTEGER))
def bitwise_and(self: Array, other: Array) -> Array:
    """The bitwise and of integers; the logical one of bools.

    Raises
    ------
    NotImplementedError
        If the elements are floating-point or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_and.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bitwise_and(retrograd.tensor([5, 6]), 3)
    tensor([1, 2])
    """


@op("bitwise_or", promote="common", check=implemented_for("bitwise_or_cpu", BOOL, INTEGER))
def bitwise_or(self: Array, other: Array) -> Array:
    """The bitwise or of integers; the logical one of bools.

    Raises
    ------
    NotImplementedError
        If the elements are floating-point or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_or.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bitwise_or(retrograd.tensor([5, 6]), 3)
    tensor([7, 7])
    """


@op("bitwise_xor", promote="common", check=implemented_for("bitwise_xor_cpu", BOOL, INTEGER))
def bitwise_xor(self: Array, other: Array) -> Array:
    """The bitwise xor of integers; the logical one of bools.

    Raises
    ------
    NotImplementedError
        If the elements are floating-point or complex numbers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_xor.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bitwise_xor(retrograd.tensor([5, 6]), 3)
    tensor([6, 5])
    """


@composite
def _invert(input: Array) -> Array:
    """`~input`."""
    if input.dtype.category > INTEGER:
        raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return bitwise_not(input)


@op("bitwise_invert", promote="common", check=implemented_for("bitwise_not_cpu", BOOL, INTEGER))
def bitwise_not(self: Array) -> Array:
    """Every bit of integers flipped; bools negated.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_not.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bitwise_not(retrograd.tensor([0, 5]))
    tensor([-1, -6])
    """


@op("bitwise_left_shift", promote="common", check=implemented_for("lshift_cpu", INTEGER))
def bitwise_left_shift(self: Array, other: Array) -> Array:
    """Shift the bits of integers to the left: ``input * 2**other``.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_left_shift.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bitwise_left_shift(retrograd.tensor([4, 8]), 2)
    tensor([16, 32])
    """


@op("bitwise_right_shift", promote="common", check=implemented_for("rshift_cpu", INTEGER))
def bitwise_right_shift(self: Array, other: Array) -> Array:
    """Shift the bits of integers to the right: ``input / 2**other``, rounded down.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_right_shift.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.bitwise_right_shift(retrograd.tensor([4, 8]), 2)
    tensor([1, 2])
    """


@op("gcd", promote="common", as_numbers=(), check=implemented_for("gcd_cpu", INTEGER))
def gcd(self: Array, other: Array) -> Array:
    """The greatest common divisor of each pair of integers; ``gcd(0, 0)`` is 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gcd.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.gcd(retrograd.tensor([12, 15]), retrograd.tensor([18, 25]))
    tensor([6, 5])
    """


@op(promote="common", as_numbers=(), check=implemented_for("lcm_cpu", INTEGER))
def lcm(K, self: Array, other: Array) -> Array:
    """The least common multiple of each pair of integers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lcm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.lcm(retrograd.tensor([4, 15]), retrograd.tensor([6, 25]))
    tensor([12, 75])
    """
    divisor = K.gcd(self, other)
    one = K.astype(K.equal(divisor, 0), divisor.dtype)
    return K.abs(K.multiply(K.floor_divide(self, K.add(divisor, one)), other))
