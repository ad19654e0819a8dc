"""`einsum` and `tensordot`: sums of products over named dimensions, by pairs and `bmm`."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence
from typing import Any

from retrograd.ops.arguments import wrap_dim
from retrograd.ops.declare import composite, publics
from retrograd.ops.linalg import bmm, dot, mm
from retrograd.ops.shape import diagonal, expand, flatten, permute, reshape, squeeze, unsqueeze
from retrograd.tensor import Tensor

__all__: list[str] = []

Labels = list[str]


@composite
def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products that `equation` writes down: ``"ij,jk->ik"`` is the matrix product.

    Parameters
    ----------
    equation
        A letter for each dimension of each operand, commas between the operands, and after ``->`` the
        letters of the result. A letter that is not in the result is summed over. ``...`` stands for
        dimensions that broadcast. Without ``->`` the result has the letters that occur once, in
        alphabetical order.
    operands
        Tensors, or one sequence of them.

    Raises
    ------
    RuntimeError
        If the equation does not fit the operands.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.einsum.html

    Examples
    --------
    >>> import retrograd
    >>> m = retrograd.arange(4.0).reshape(2, 2)
    >>> retrograd.einsum("ij,jk->ik", m, m)
    tensor([[ 2.,  3.],
            [ 6., 11.]])
    >>> retrograd.einsum("ii", m)
    tensor(3.)
    """
    tensors = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
    terms, result = _parse(equation.replace(" ", ""), tuple([tensor.ndim for tensor in tensors]))
    sizes = _sizes(terms, tensors)
    parts = [_without_repeats(each, labels) for each, labels in zip(tensors, terms, strict=True)]
    total, labels = parts[0]
    for i, (tensor, other) in enumerate(parts[1:], 1):
        needed = dict.fromkeys([*result, *(label for _, each in parts[i + 1 :] for label in each)])
        total, labels = _multiply(total, labels, tensor, other, needed, sizes)
    return _arranged(total, labels, result)


@functools.lru_cache(1024)
def _parse(equation: str, ndims: tuple[int, ...]) -> tuple[list[Labels], Labels]:
    """The labels of each operand's dimensions and of the result's; dimensions under `...` get digits.

    Nobody may change them: programs repeat themselves, and are given the same ones.
    """
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise RuntimeError(
            "einsum(): more operands were provided than specified in the equation"
            if len(terms) < len(ndims)
            else "einsum(): fewer operands were provided than specified in the equation"
        )
    parsed = [_labels(term, ndim, i) for i, (term, ndim) in enumerate(zip(terms, ndims, strict=True))]
    spread = max((sum(label.isdigit() for label in labels) for labels in parsed), default=0)
    parsed = [_from_the_right(labels, spread) for labels in parsed]
    dots = [str(i) for i in range(spread)]
    if arrow:
        result = list(right.replace("...", "\0"))
        result = [label for each in result for label in (dots if each == "\0" else [each])]
    else:
        every = [label for labels in parsed for label in labels if not label.isdigit()]
        result = dots + sorted({label for label in every if every.count(label) == 1})
    for label in result:
        if not any(label in labels for labels in parsed):
            raise RuntimeError(
                f"einsum(): output subscript {label} does not appear in the equation for any input operand"
            )
        if result.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {label} appears more than once in the output")
    return parsed, result


def _labels(term: str, ndim: int, position: int) -> Labels:
    before, dots, after = term.partition("...")
    letters = before + after
    for letter in letters:
        if letter not in string.ascii_letters:
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {term.index(letter)} in the equation string, subscripts "
                "must be in [a-zA-Z]"
            )
    rest = ndim - len(letters)
    if rest < 0 or (rest and not dots):
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({len(letters)}) "
            f"{'is more than' if rest < 0 else 'does not match'} the number of dimensions ({ndim}) for operand "
            f"{position}{'' if rest < 0 else ' and no ellipsis was given'}"
        )
    return [*before, *(str(i) for i in range(rest)), *after]


def _from_the_right(labels: Labels, spread: int) -> Labels:
    """Dimensions under `...` broadcast from the right: the last of every operand has the same label."""
    own = sum(label.isdigit() for label in labels)
    return [str(int(label) + spread - own) if label.isdigit() else label for label in labels]


def _sizes(terms: list[Labels], tensors: Sequence[Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for position, (labels, tensor) in enumerate(zip(terms, tensors, strict=True)):
        for label, n in _own_sizes(labels, tensor, position).items():
            have = sizes.setdefault(label, n)
            if have == 1:
                sizes[label] = n
            elif n not in (1, have):
                raise RuntimeError(
                    f"einsum(): subscript {label} has size {n} for operand {position} which does not broadcast with "
                    f"previously seen size {have}"
                )
    return sizes


def _own_sizes(labels: Labels, tensor: Tensor, position: int) -> dict[str, int]:
    """Of the dimensions of one operand; those of the same label do not broadcast against each other."""
    sizes: dict[str, int] = {}
    for label, n in zip(labels, tensor._array.shape, strict=True):
        if sizes.setdefault(label, n) != n:
            raise RuntimeError(
                f"einsum(): subscript {label} is repeated for operand {position} but the sizes don't match, "
                f"{n} != {sizes[label]}"
            )
    return sizes


def _without_repeats(tensor: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """A label that an operand has twice is its diagonal."""
    if len(set(labels)) == len(labels):
        return tensor, labels
    labels = list(labels)
    for label in [each for each in dict.fromkeys(labels) if labels.count(each) > 1]:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            tensor = diagonal(tensor, 0, first, second)
            del labels[second], labels[first]
            labels.append(label)
    return tensor, labels


def _multiply(
    a: Tensor, a_labels: Labels, b: Tensor, b_labels: Labels, needed: dict[str, None], sizes: dict[str, int]
) -> tuple[Tensor, Labels]:
    """The product of two operands, summed over what nobody needs any more: one stack of matrix products.

    What is left stands in the order of `needed`, so that the result mostly is row-major as it comes.
    """
    a, a_labels = _summed(a, a_labels, needed.keys() | b_labels)
    b, b_labels = _summed(b, b_labels, needed.keys() | a_labels)
    shared = [label for label in a_labels if label in b_labels]
    stack = [label for label in needed if label in shared]
    summed = [label for label in shared if label not in needed]
    rows = [label for label in needed if label in a_labels and label not in shared]
    columns = [label for label in needed if label in b_labels and label not in shared]
    if rows and columns and next(label for label in needed if label in (rows[0], columns[0])) == columns[0]:
        a, a_labels, rows, b, b_labels, columns = b, b_labels, columns, a, a_labels, rows
    left = _as_matrices(a, a_labels, stack, rows, summed, sizes)
    right = _as_matrices(b, b_labels, stack, summed, columns, sizes)
    if left.dtype is not right.dtype:
        raise RuntimeError(f"einsum(): operands do not have the same dtype: {left.dtype} and {right.dtype}")
    product = bmm(left, right)
    labels = stack + rows + columns
    return reshape(product, [sizes[label] for label in labels]), labels


def _summed(tensor: Tensor, labels: Labels, needed: set[str]) -> tuple[Tensor, Labels]:
    dims = [i for i, label in enumerate(labels) if label not in needed]
    if not dims:
        return tensor, labels
    return publics["sum"](tensor, dims), [label for label in labels if label in needed]


def _as_matrices(
    tensor: Tensor, labels: Labels, stack: Labels, rows: Labels, columns: Labels, sizes: dict[str, int]
) -> Tensor:
    order = [*stack, *rows, *columns]
    arranged = permute(tensor, [labels.index(label) for label in order]) if order else tensor
    full = [sizes[label] for label in order]
    if full != list(arranged._array.shape):
        arranged = expand(arranged, full)
    return reshape(arranged, [math.prod([sizes[label] for label in group]) for group in (stack, rows, columns)])


def _arranged(tensor: Tensor, labels: Labels, result: Labels) -> Tensor:
    tensor, labels = _summed(tensor, labels, set(result))
    for label in result:
        if label not in labels:
            tensor, labels = unsqueeze(tensor, tensor.ndim), [*labels, label]
    return permute(tensor, [labels.index(label) for label in result]) if result else tensor


@composite
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over several dimensions of both: the last `dims` of `a` and the first of `b`, or two lists.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tensordot.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensordot(retrograd.ones(2, 3), retrograd.ones(3, 4), 1).shape
    retrograd.Size([2, 4])
    """
    ours, theirs = _contracted(a, b, dims)
    if a.dtype is not b.dtype:
        raise RuntimeError("both inputs should have same dtype")
    for i, j in zip(ours, theirs, strict=True):
        if a.shape[i] != b.shape[j]:
            if 1 not in (a.shape[i], b.shape[j]):
                raise RuntimeError(
                    f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and second has "
                    f"size {b.shape[j]} in dim {j}"
                )
            # The one of size 1 stands for each of the other's.
            a, b = (t if t.shape[at] == 1 else t.sum(at, True, dtype=t.dtype) for t, at in ((a, i), (b, j)))
    ours = [i % a.ndim for i in ours]
    for each in (ours, theirs):
        for at in each:
            if each.count(at) > 1:
                raise RuntimeError(f"dim {at} appears multiple times in the list of dims")
    of_a = [i for i in range(a.ndim) if i not in ours]
    of_b = [j for j in range(b.ndim) if j not in theirs]
    shape = [a.shape[i] for i in of_a] + [b.shape[j] for j in of_b]
    rows, columns = math.prod(shape[: len(of_a)]), math.prod(shape[len(of_a) :])
    inner = math.prod(a.shape[i] for i in ours)
    left, right = permute(a, of_a + ours), permute(b, theirs + of_b)
    if rows == columns == 1:
        if left.is_contiguous() and right.is_contiguous():
            return reshape(dot(flatten(left), flatten(right)), shape)
        return reshape((squeeze(left) * squeeze(right)).sum(), shape)
    return reshape(mm(reshape(left, (rows, inner)), reshape(right, (inner, columns))), shape)


def _contracted(a: Tensor, b: Tensor, dims: Any) -> tuple[list[int], list[int]]:
    """The dimensions of both that `tensordot` sums over; the last of `a`, if they are just counted, from the end."""
    if isinstance(dims, Tensor):
        dims = dims.tolist() if dims.numel() > 1 else int(dims)
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        return list(range(-dims, 0)), list(range(dims))
    if not isinstance(dims, (tuple, list)):
        raise RuntimeError(
            "tensordot expects dims to be int or tuple[list[int], list[int]] or list[list[int]] containing two lists, "
            f"but got dims={dims}"
        )
    ours, theirs = ([wrap_dim(int(i), t.ndim) for i in each] for each, t in zip(dims, (a, b), strict=True))
    if len(ours) != len(theirs):
        raise RuntimeError("both dimension lists should have same length")
    return ours, theirs
