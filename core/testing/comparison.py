"""`assert_close`: two values, or two trees of them, are equal within tolerances, or an error says where they differ.

Two things are compared as the first kind of pair that takes both: None, booleans, numbers, tensors. Containers are
walked first, so that what cannot be compared at all is an error even where an earlier item differs.
"""

from __future__ import annotations

import cmath
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Number
from typing import Any, NoReturn

from retrograd.dtypes import (
    FLOAT8,
    bfloat16,
    bool_,
    complex64,
    complex128,
    dtype,
    float16,
    float32,
    float64,
    int64,
    promote_types,
)
from retrograd.layout import sparse_csr
from retrograd.ops.creation import as_tensor, tensor
from retrograd.ops.declare import publics
from retrograd.tensor import Tensor

__all__ = ["assert_allclose", "assert_close", "default_tolerances"]

_TOLERANCES: dict[dtype, tuple[float, float]] = {
    float16: (1e-3, 1e-5), bfloat16: (1.6e-2, 1e-5), float32: (1.3e-6, 1e-5), float64: (1e-7, 1e-7),
    complex64: (1.3e-6, 1e-5), complex128: (1e-7, 1e-7),
}  # fmt: skip
"""Relative and absolute. Types that are not here are compared exactly."""

Path = tuple[Any, ...]


def _is_number(value: Any) -> bool:
    """A number of Python's, or a scalar of an array library's."""
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float, complex)) or (isinstance(value, Number) and hasattr(value, "item"))


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


@dataclass(frozen=True)
class _Rules:
    """How to compare; the arguments of `assert_close`."""

    rtol: float | None
    atol: float | None
    equal_nan: bool
    allow_subclasses: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool
    msg: str | Callable[[str], str] | None

    def tolerances(self, *types: dtype) -> tuple[float, float]:
        if self.rtol is None or self.atol is None:
            return default_tolerances(*types)
        return self.rtol, self.atol

    def fail(self, text: str, path: Path) -> NoReturn:
        text += _place(path)
        if self.msg is not None:
            text = self.msg(text) if callable(self.msg) else self.msg
        raise AssertionError(text)


def _place(path: Path) -> str:
    return f"\n\nThe failure occurred for item {''.join(f'[{each!r}]' for each in path)}" if path else ""


def default_tolerances(*types: dtype) -> tuple[float, float]:
    """The relative and the absolute tolerance for results of these types: the widest of each."""
    found = [_TOLERANCES.get(each, (0.0, 0.0)) for each in types]
    return max(rtol for rtol, _ in found), max(atol for _, atol in found)


_OLD_TOLERANCES = {float16: (1e-3, 1e-3), float32: (1e-4, 1e-5), float64: (1e-5, 1e-8)}


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """What `assert_close` was before: types may differ, NaN equals NaN, and tolerances are wider.

    Source: https://docs.pytorch.org/docs/stable/testing.html
    """
    warnings.warn(
        "`retrograd.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. "
        "Please use `retrograd.testing.assert_close()` instead. You can find detailed upgrade instructions in "
        "https://github.com/pytorch/pytorch/issues/61844.",
        FutureWarning,
        stacklevel=2,
    )
    ours = actual if isinstance(actual, Tensor) else tensor(actual)
    theirs = expected if isinstance(expected, Tensor) else tensor(expected, dtype=ours.dtype)
    if rtol is None and atol is None:
        found = [_OLD_TOLERANCES.get(each.dtype, (0.0, 0.0)) for each in (ours, theirs)]
        rtol, atol = (max(each) for each in zip(*found, strict=True))
    assert_close(ours, theirs, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    r"""Fail unless two values are close, element by element: ``|actual - expected| <= atol + rtol * |expected|``.

    Parameters
    ----------
    actual, expected
        Tensors, numbers, booleans, None, what `retrograd.as_tensor` takes (of one type), or sequences and mappings
        of these.
    allow_subclasses
        Compare also what is of two related types, as a parameter and a tensor.
    rtol, atol
        Both or none. By default, by the types of both: for a result of `float64` and `complex128` 1e-7 and 1e-7, of
        `float32` and `complex64` 1.3e-6 and 1e-5, of `float16` 1e-3 and 1e-5, of `bfloat16` 1.6e-2 and 1e-5; other
        types are compared exactly.
    equal_nan
        Two NaN are equal.
    check_device, check_dtype, check_layout, check_stride
        Fail if these differ. If types are not compared, values are brought to one type first.
    msg
        What the error says instead; or a function that makes it of the text that it would have.

    Raises
    ------
    AssertionError
        If they are not close.
    ValueError
        If only one tolerance is given.
    TypeError
        If there is no way to compare the two.

    Source: https://docs.pytorch.org/docs/stable/testing.html#torch.testing.assert_close

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.testing import assert_close
    >>> assert_close(retrograd.tensor([1.0, 2.0]), retrograd.tensor([1.0, 2.000001]))
    >>> assert_close({"loss": retrograd.tensor(1.0)}, {"loss": retrograd.tensor(1.5)})
    Traceback (most recent call last):
    AssertionError: Scalars are not close!
    <BLANKLINE>
    Expected 1.5 but got 1.0.
    Absolute difference: 0.5 (up to 1e-05 allowed)
    Relative difference: 0.3333333333333333 (up to 1.3e-06 allowed)
    <BLANKLINE>
    The failure occurred for item ['loss']
    """
    if (rtol is None) is not (atol is None):
        raise ValueError(
            f"Both 'rtol' and 'atol' must be either specified or omitted, but got no "
            f"{'rtol' if rtol is None else 'atol'}."
        )
    rules = _Rules(rtol, atol, equal_nan, allow_subclasses, check_device, check_dtype, check_layout, check_stride, msg)
    for compare, one, other, path in list(_pairs(actual, expected, (), rules)):
        compare(one, other, path, rules)


# -- what is compared with what ------------------------------------------------------------------

Comparison = Callable[[Any, Any, Path, _Rules], None]


def _pairs(actual: Any, expected: Any, path: Path, rules: _Rules) -> Iterator[tuple[Comparison, Any, Any, Path]]:
    if _both(Sequence, actual, expected) and not isinstance(actual, str) and not isinstance(expected, str):
        if len(actual) != len(expected):
            rules.fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path)
        for i, (one, other) in enumerate(zip(actual, expected, strict=True)):
            yield from _pairs(one, other, (*path, i), rules)
    elif _both(Mapping, actual, expected):
        _check_keys(actual, expected, path, rules)
        for key in _sorted(set(actual)):
            yield from _pairs(actual[key], expected[key], (*path, key), rules)
    elif actual is None or expected is None:
        yield _compare_none, actual, expected, path
    elif _is_boolean(actual) and _is_boolean(expected):
        yield _compare_booleans, actual, expected, path
    elif _is_number(actual) and _is_number(expected):
        yield _compare_numbers, actual, expected, path
    else:
        yield _compare_tensors, *_as_tensors(actual, expected, path, rules), path


def _both(kind: Any, actual: Any, expected: Any) -> bool:
    return isinstance(actual, kind) and isinstance(expected, kind)


def _check_keys(actual: Mapping[Any, Any], expected: Mapping[Any, Any], path: Path, rules: _Rules) -> None:
    missing, additional = set(expected) - set(actual), set(actual) - set(expected)
    if missing or additional:
        rules.fail(
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {_sorted(missing)}\n"
            f"Additional keys in the actual mapping: {_sorted(additional)}",
            path,
        )


def _sorted(keys: set[Any]) -> list[Any]:
    try:
        return sorted(keys)
    except TypeError:  # of several types
        return list(keys)


def _as_tensors(actual: Any, expected: Any, path: Path, rules: _Rules) -> tuple[Tensor, Tensor]:
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if related and (rules.allow_subclasses or type(actual) is type(expected)):
        try:
            return tuple(each.detach() if isinstance(each, Tensor) else as_tensor(each) for each in (actual, expected))  # type: ignore[return-value]
        except (TypeError, ValueError, RuntimeError):
            pass
    raise TypeError(
        f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.{_place(path)}"
    ) from None


# -- comparing -----------------------------------------------------------------------------------


def _compare_none(actual: Any, expected: Any, path: Path, rules: _Rules) -> None:
    if actual is not expected:
        rules.fail(f"None mismatch: {actual} is not {expected}", path)


def _compare_booleans(actual: Any, expected: Any, path: Path, rules: _Rules) -> None:
    if bool(actual) is not bool(expected):
        rules.fail(f"Booleans mismatch: {bool(actual)} is not {bool(expected)}", path)


_TYPE_OF_NUMBER: dict[type, dtype] = {int: int64, float: float64, complex: complex128}


def _compare_numbers(actual: Any, expected: Any, path: Path, rules: _Rules) -> None:
    one, other = (each.item() if hasattr(each, "item") else each for each in (actual, expected))
    if rules.check_dtype and type(one) is not type(other):
        rules.fail(f"The (d)types do not match: {type(one)} != {type(other)}.", path)
    rtol, atol = rules.tolerances(_TYPE_OF_NUMBER[type(one)], _TYPE_OF_NUMBER[type(other)])
    if not _close(one, other, rtol, atol, rules.equal_nan):
        rules.fail(_scalar_text(one, other, rtol, atol), path)


def _close(actual: Any, expected: Any, rtol: float, atol: float, equal_nan: bool) -> bool:
    if actual == expected or (equal_nan and cmath.isnan(actual) and cmath.isnan(expected)):
        return True
    difference = abs(actual - expected)
    return math.isfinite(difference) and difference <= atol + rtol * abs(expected)


def _scalar_text(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    difference = abs(actual - expected)
    relative = math.inf if expected == 0 else difference / abs(expected)
    return (
        f"Scalars are not {'equal' if exact else 'close'}!\n\n"
        f"Expected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{_allowed(atol, exact)}\n"
        f"Relative difference: {relative}{_allowed(rtol, exact)}"
    )


def _allowed(tolerance: float, exact: bool) -> str:
    return "" if exact else f" (up to {tolerance} allowed)"


def _compare_tensors(actual: Tensor, expected: Tensor, path: Path, rules: _Rules) -> None:
    _compare_attributes(actual, expected, path, rules)
    if actual._kernels.sparse or expected._kernels.sparse:
        _compare_sparse(actual, expected, path, rules)
        return
    rtol, atol = rules.tolerances(actual.dtype, expected.dtype)
    actual, expected = _at_one_place(actual, expected)
    matches = publics["isclose"](actual, expected, rtol=rtol, atol=atol, equal_nan=rules.equal_nan)
    if bool(matches.all()):
        return
    if actual.numel() == 1 and not actual.shape:
        rules.fail(_scalar_text(actual.item(), expected.item(), rtol, atol), path)
    rules.fail(_tensor_text(actual, expected, matches, rtol, atol), path)


def _compare_sparse(actual: Tensor, expected: Tensor, path: Path, rules: _Rules) -> None:
    """Sparse tensors by their parts, one and a dense one as dense ones."""
    if actual.layout != expected.layout:
        _compare_tensors(actual.to_dense(), expected.to_dense(), path, rules)
        return
    name = "CSR" if actual.layout is sparse_csr else "COO"
    if actual._nnz() != expected._nnz():
        rules.fail(
            f"The number of specified values in sparse {name} tensors does not match: {actual._nnz()} != "
            f"{expected._nnz()}",
            path,
        )
    parts = zip(actual._array.parts(), expected._array.parts(), strict=True)
    for (part, one), (_, other) in parts:
        told = replace(rules, msg=partial(_told_of_part, rules, f"Sparse {name} {part}"))
        within = told if part == "values" else replace(told, rtol=0.0, atol=0.0)
        _compare_tensors(one.detach(), other.detach(), path, within)


def _told_of_part(rules: _Rules, part: str, text: str) -> str:
    """The text about a part of sparse tensors, as the caller's `msg` makes it."""
    text = text.replace("Tensor-likes", part)
    return text if rules.msg is None else rules.msg(text) if callable(rules.msg) else rules.msg


def _compare_attributes(actual: Tensor, expected: Tensor, path: Path, rules: _Rules) -> None:
    wanted = {
        "shape": True, "layout": rules.check_layout, "device": rules.check_device, "dtype": rules.check_dtype,
    }  # fmt: skip
    for name, checked in wanted.items():
        one, other = getattr(actual, name), getattr(expected, name)
        if checked and one != other:
            rules.fail(f"The values for attribute '{name}' do not match: {one} != {other}.", path)
    if rules.check_stride and actual.stride() != expected.stride():
        rules.fail(f"The values for attribute 'stride()' do not match: {actual.stride()} != {expected.stride()}.", path)


def _at_one_place(actual: Tensor, expected: Tensor) -> tuple[Tensor, Tensor]:
    """Both on one device and of one type; whole numbers as `int64`, in which their difference is right."""
    if actual.device != expected.device:
        expected = expected.to(actual.device)
    if actual.dtype in FLOAT8:
        actual = actual.to(float32)
    if expected.dtype in FLOAT8:
        expected = expected.to(float32)
    kind = promote_types(actual.dtype, expected.dtype)
    if not kind.is_floating_point and not kind.is_complex and kind is not bool_:
        kind = int64
    return actual.to(kind), expected.to(kind)


def _tensor_text(actual: Tensor, expected: Tensor, matches: Tensor, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    count, wrong = matches.numel(), int((~matches).sum().item())
    if actual.dtype is bool_:
        actual, expected = actual.to(int64), expected.to(int64)
    absolute = (actual - expected).abs().masked_fill(matches, 0)
    relative = (absolute / expected.abs()).masked_fill(matches, 0)
    return (
        f"Tensor-likes are not {'equal' if exact else 'close'}!\n\n"
        f"Mismatched elements: {wrong} / {count} ({wrong / count:.1%})\n"
        f"Greatest absolute difference: {_greatest(absolute)}{_allowed(atol, exact)}\n"
        f"Greatest relative difference: {_greatest(relative)}{_allowed(rtol, exact)}"
    )


def _greatest(differences: Tensor) -> str:
    value, place = differences.reshape(-1).max(dim=0)
    index: list[int] = []
    at = int(place.item())
    for size in reversed(differences.shape):
        at, rest = divmod(at, size)
        index.insert(0, rest)
    return f"{value.item()} at index {tuple(index)}"
