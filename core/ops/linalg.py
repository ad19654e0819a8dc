"""Matrix products. `matmul` decomposes as PyTorch's does, and its nodes show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from retrograd.autograd.cautions import warn_once
from retrograd.autograd.modes import GRAD, NO_GRAD, current_mode
from retrograd.autograd.node import Edge, Node, next_sequence_number
from retrograd.autograd.stale import make_view_node, view_class
from retrograd.dtypes import Category, bool_, cpp_name, dtype, promote_types
from retrograd.ops.arguments import size_at
from retrograd.ops.autocasting import lowered, unites
from retrograd.ops.broadcasting import broadcast_shapes
from retrograd.ops.checks import not_implemented
from retrograd.ops.conversion import contiguous
from retrograd.ops.declare import Array, Formulas, Op, alias, composite, op, op_of
from retrograd.ops.graph import graph_kernel
from retrograd.ops.old_order import call_in_old_order
from retrograd.ops.options import fill_number
from retrograd.ops.reducing import deliver
from retrograd.ops.refused import all_tensors
from retrograd.ops.shape import expand, reshape, squeeze, t, transpose, unsafe_view, unsqueeze
from retrograd.ops.shape_in_place import squeeze_
from retrograd.ops.view_steps import reshaping
from retrograd.overrides import overridden
from retrograd.tensor import Tensor, wrap_array
from retrograd.views import Expand, view_strides

__all__: list[str] = []


def _right_gradient(K: Any, g: Any, left: Any, is_transposed: bool) -> Any:
    """The gradient of a product's right factor, laid out in memory as the factor is.

    A layer multiplies by its transposed weight: so the weight gets a gradient in its own order, which
    can become its `.grad` without a copy.
    """
    if is_transposed:
        return K.matmul(g.mT, left).mT
    return K.matmul(left.mT, g)


_PRODUCT: Formulas = {
    "self": lambda K, g, mat2: K.matmul(g, mat2.mT),
    "mat2": lambda K, g, self, mat2_transposed: _right_gradient(K, g, self, mat2_transposed),
}


@op("matmul", name="_mm", node="MmBackward0", vjp=_PRODUCT, jvp="multilinear")
def _mm(self: Array, mat2: Array) -> Array:
    """Product of two matrices of one type."""


@op("matmul", name="_bmm", node="BmmBackward0", vjp=_PRODUCT, jvp="multilinear")
def _bmm(self: Array, mat2: Array) -> Array:
    """Products of two equally long stacks of matrices of one type."""


@graph_kernel("matmul")
def _graph_matmul(a: Tensor, b: Tensor) -> Tensor:
    return _mm(a, b) if a.ndim == 2 and b.ndim == 2 else _bmm(a, b) if a.ndim == 3 == b.ndim else matmul(a, b)


@op(
    node="MvBackward0",
    name="_mv",
    vjp={
        "self": lambda K, g, vec: K.reshape(g, (-1, 1)) * vec,
        "vec": lambda K, g, self: K.reshape(K.matmul(self.mT, K.reshape(g, (-1, 1))), (-1,)),
    },
    jvp="multilinear",
)
def _mv(K, self: Array, vec: Array) -> Array:
    """Matrix times vector."""
    return K.reshape(K.matmul(self, K.reshape(vec, (-1, 1))), (-1,))


@op(
    node="DotBackward0",
    name="_dot",
    vjp={"self": lambda K, g, tensor: g * tensor, "tensor": lambda K, g, self: g * self},
    jvp="multilinear",
)
def _dot(K, self: Array, tensor: Array) -> Array:
    """Inner product of two vectors, without conjugation."""
    return K.reshape(K.matmul(K.reshape(self, (1, -1)), K.reshape(tensor, (-1, 1))), ())


def _sum_to(K: Any, g: Any, shape: tuple[int, ...]) -> Any:
    from retrograd.ops.broadcasting import sum_to

    return sum_to(K, g, shape)


def _scaled(g: Any, factor: float) -> Any:
    return g if factor == 1 else g * factor


def _addmm_jvp(K: Any, t: Any, mat1: Any, mat2: Any, beta: float, alpha: float) -> Any:
    """What there is of ``beta * t[0] + alpha * (t[1] @ mat2 + mat1 @ t[2])``; a sum and a product in one."""
    left = None if t[1] is None else (t[1], mat2)
    right = None if t[2] is None else (mat1, t[2])
    total = t[0] if t[0] is None else _scaled(t[0], beta)
    for pair in (left, right):
        if pair is not None:
            total = _scaled(K.matmul(*pair), alpha) if total is None else _addmm(total, *pair, 1, alpha)
    return total


@op(
    name="_addmm",
    node="AddmmBackward0",
    vjp={
        "self": lambda K, g, self_shape, beta: _scaled(_sum_to(K, g, self_shape), beta),
        "mat1": lambda K, g, mat2, alpha: _scaled(K.matmul(g, mat2.mT), alpha),
        "mat2": lambda K, g, mat1, mat2_transposed, alpha: _scaled(_right_gradient(K, g, mat1, mat2_transposed), alpha),
    },
    jvp={"*": _addmm_jvp},
    kept={
        "self": ("alpha", "mat1_shape", "mat2_shape"),
        "mat1": ("beta", "mat2_shape"),
        "mat2": ("beta", "mat1_shape"),
    },
)
def _addmm(K, self: Array, mat1: Array, mat2: Array, beta: float, alpha: float) -> Array:
    """``beta * self + alpha * (mat1 @ mat2)`` for matrices or stacks of them."""
    return _sum_and_product(K, self, mat1, mat2, beta, alpha)


def _sum_and_product(K: Any, start: Any, left: Any, right: Any, beta: float, alpha: float) -> Any:
    if left.dtype in K.halves:  # the sum, too, is in float32, and rounded once
        c, a, b = (K.astype(each, K.dtypes["float32"]) for each in (start, left, right))
        return K.astype(_sum_and_product(K, c, a, b, beta, alpha), left.dtype)
    total = K.add(_scaled(start, beta), _scaled(K.matmul(left, right), alpha))
    return total if total.dtype == left.dtype else K.astype(total, left.dtype)  # a number may widen bfloat16


def _column(K: Any, vector: Any) -> Any:
    return K.reshape(vector, (-1, 1))


def _applied(K: Any, matrix: Any, vector: Any) -> Any:
    """The product of a matrix and a vector."""
    return K.reshape(K.matmul(matrix, _column(K, vector)), (-1,))


def _crossed(K: Any, column: Any, row: Any) -> Any:
    """The outer product of two vectors."""
    return _column(K, column) * K.reshape(row, (1, -1))


def _sum_jvp(product: Callable[[Any, Any, Any], Any]) -> Any:
    """The tangent of ``beta * self + alpha * product(left, right)``."""

    def jvp(K: Any, t: Any, left: Any, right: Any, beta: float, alpha: float) -> Any:
        total = None if t[0] is None else _scaled(t[0], beta)
        parts = (
            None if t[1] is None else product(K, t[1], right),
            None if t[2] is None else product(K, left, t[2]),
        )
        for part in parts:
            if part is not None:
                total = _scaled(part, alpha) if total is None else total + _scaled(part, alpha)
        return total

    return jvp


@op(
    name="_addmv",
    node="AddmvBackward0",
    vjp={
        "self": lambda K, g, self_shape, beta: _scaled(_sum_to(K, g, self_shape), beta),
        "mat": lambda K, g, vec, alpha: _scaled(_crossed(K, g, vec), alpha),
        "vec": lambda K, g, mat, alpha: _scaled(_applied(K, mat.mT, g), alpha),
    },
    jvp={"*": lambda K, t, mat, vec, beta, alpha: _sum_jvp(_applied)(K, t, mat, vec, beta, alpha)},
    kept={"self": ("alpha",), "mat": ("beta",), "vec": ("beta",)},
)
def _addmv(K, self: Array, mat: Array, vec: Array, beta: float, alpha: float) -> Array:
    return K.add(_scaled(self, beta), _scaled(_applied(K, mat, vec), alpha))


@op(
    name="_addr",
    node="AddrBackward0",
    vjp={
        "self": lambda K, g, self_shape, beta: _scaled(_sum_to(K, g, self_shape), beta),
        "vec1": lambda K, g, vec2, alpha: _scaled(_applied(K, g, vec2), alpha),
        "vec2": lambda K, g, vec1, alpha: _scaled(_applied(K, g.mT, vec1), alpha),
    },
    jvp={"*": lambda K, t, vec1, vec2, beta, alpha: _sum_jvp(_crossed)(K, t, vec1, vec2, beta, alpha)},
    kept={"self": ("alpha",), "vec1": ("beta",), "vec2": ("beta",)},
)
def _addr(K, self: Array, vec1: Array, vec2: Array, beta: float, alpha: float) -> Array:
    return K.add(_scaled(self, beta), _scaled(_crossed(K, vec1, vec2), alpha))


def _baddbmm_jvp(K: Any, t: Any, batch1: Any, batch2: Any, beta: float, alpha: float) -> Any:
    return _addmm_jvp(K, t, batch1, batch2, beta, alpha)


@op(
    name="_baddbmm",
    node="BaddbmmBackward0",
    vjp={
        "self": lambda K, g, self_shape, beta: _scaled(_sum_to(K, g, self_shape), beta),
        "batch1": lambda K, g, batch2, alpha: _scaled(K.matmul(g, batch2.mT), alpha),
        "batch2": lambda K, g, batch1, alpha: _scaled(K.matmul(batch1.mT, g), alpha),
    },
    jvp={"*": _baddbmm_jvp},
)
def _baddbmm(K, self: Array, batch1: Array, batch2: Array, beta: float, alpha: float) -> Array:
    """``beta * self + alpha * (batch1 @ batch2)``."""
    return _sum_and_product(K, self, batch1, batch2, beta, alpha)


_REFUSING_BOOL = {"mm": "addmm_impl_cpu_", "mv": "addmv_impl_cpu"}  # the kernels that PyTorch's errors name


def refuse_bool(name: str, of: Tensor) -> None:
    """Products of bools are not there."""
    if of.dtype is bool_ and of.numel():
        raise NotImplementedError(f"\"{_REFUSING_BOOL.get(name, name)}\" not implemented for 'Bool'")


def factors(of: Tensor, beta: Any, alpha: Any) -> tuple[Any, Any]:
    """The factors of a sum and a product as the type of the tensor has them: integers for integers.

    Raises
    ------
    RuntimeError
        If one is a complex number, and the tensor is real.
    """
    type_ = of.dtype
    if type_.category > Category.INTEGER and not isinstance(beta, complex) and not isinstance(alpha, complex):
        return beta, alpha
    return fill_number(beta, type_), fill_number(alpha, type_)


def _check_dtypes(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype is bool_:
        refuse_bool(name, a)
    if a.dtype is not b.dtype and name == "mv":
        types = f"{b.dtype.type_name}, {a.dtype.type_name}, and {b.dtype.type_name}"
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {types}")
    if a.dtype is not b.dtype and not unites(a, b):
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {c_name(a.dtype)} != {c_name(b.dtype)}"
        )


def c_name(type_: dtype) -> str:
    """The name of a type in the texts of matrix products."""
    return {"int64": "long long", "int16": "short"}.get(type_.name) or cpp_name(type_)


def _matrices(name: str, **tensors: Tensor) -> None:
    for argument, each in tensors.items():
        if not isinstance(each, Tensor):
            raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(each).__name__}")
        if len(each._array.shape) != 2:
            label = "self" if argument == "input" else argument
            texts = {"mm": f"{label} must be a matrix", "addmm": f"{label} must be a matrix, got {each.ndim}-D tensor"}
            raise RuntimeError(texts.get(name, f"{name}: expected a matrix, got {each.ndim}D"))


def _check_inner(a: Tensor, b: Tensor) -> None:
    (n, inner), (other, m) = a._array.shape[-2:], b._array.shape[-2:]
    if inner != other:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({n}x{inner} and {other}x{m})")


@composite
def mm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Tensor:
    """Product of two matrices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mm.html
    """
    if out is not None:
        return deliver("mm", out, mm(input, mat2))
    _matrices("mm", input=input, mat2=mat2)
    _check_inner(input, mat2)
    _check_dtypes("mm", input, mat2)
    return _mm(input, mat2)


def _check_stacks(batch1: Tensor, batch2: Tensor) -> None:
    """Refuse what are no two stacks of as many matrices, which can be multiplied."""
    if batch1.ndim != 3 or batch2.ndim != 3:
        raise RuntimeError("batch1 must be a 3D tensor" if batch1.ndim != 3 else "batch2 must be a 3D tensor")
    wanted, found = (batch1.shape[0], batch1.shape[2]), tuple(batch2.shape[:2])
    if wanted != found:
        raise _no_pair(wanted, found)


def _no_pair(wanted: tuple[int, int], found: tuple[int, ...]) -> RuntimeError:
    return RuntimeError(
        f"Expected size for first two dimensions of batch2 tensor to be: {list(wanted)} but got: {list(found)}."
    )


@composite
def bmm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Tensor:
    """Products of two stacks of matrices, one by one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bmm.html
    """
    if out is not None:
        return deliver("bmm", out, bmm(input, mat2))
    _check_stacks(input, mat2)
    _check_dtypes("bmm", input, mat2)
    return _bmm(input, mat2)


@composite
def mv(input: Tensor, vec: Tensor, *, out: Any = None) -> Tensor:
    """Matrix times vector.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mv.html
    """
    if out is not None:
        return deliver("mv", out, mv(input, vec))
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({input.shape[0]}), mat ({input.shape[0]}x{input.shape[1]}), "
            f"vec ({vec.shape[0]})"
        )
    _check_dtypes("mv", input, vec)
    return _mv(input, vec)


def _check_vectors(input: Tensor, tensor: Tensor) -> None:
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    if input.dtype is not tensor.dtype:
        raise RuntimeError(
            f"dot : expected both vectors to have same dtype, but found {input.dtype.type_name} and "
            f"{tensor.dtype.type_name}"
        )
    if input.shape != tensor.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input.shape[0]}] and src [{tensor.shape[0]}] to have the "
            f"same number of elements, but got {input.shape[0]} and {tensor.shape[0]} elements respectively"
        )
    refuse_bool("dot", input)


@composite
def dot(input: Tensor, tensor: Tensor, *, out: Any = None) -> Tensor:
    """Inner product of two vectors, without conjugation.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.dot.html
    """
    if out is not None:
        return deliver("dot", out, dot(input, tensor))
    _check_vectors(input, tensor)
    return _dot(input, tensor)


@op(
    name="_vdot",
    node="VdotBackward0",
    vjp={"self": lambda K, g, other: K.conj(g) * other, "other": lambda K, g, self: g * self},
    jvp={
        "self": lambda K, t, other: K.sum(K.conj(t) * other, (0,), False),
        "other": lambda K, t, self: K.sum(K.conj(self) * t, (0,), False),
    },
    holomorphic=False,
)
def _vdot(K, self: Array, other: Array) -> Array:
    """``sum(conj(self) * other)``."""
    return K.sum(K.conj(self) * other, (0,), False)


@composite
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """Inner product of two vectors, the first conjugated."""
    _check_vectors(input, other)
    return _vdot(input, other)


@composite
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Inner products along the last dimension; elementwise if one is 0-dimensional."""
    if input.ndim == 0 or other.ndim == 0:
        return input * other
    return matmul(input, transpose(other, -1, -2) if other.ndim > 1 else other)


@composite
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Outer product of two vectors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.outer.html
    """
    for name, each in (("self", input), ("vec2", vec2)):
        if each.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {each.ndim}-D")
    return reshape(input, input.numel(), 1) * vec2


alias("ger", outer)


@composite
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *old: Any, beta: float = 1, alpha: float = 1, out: Any = None
) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``; `input` broadcasts.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addmm.html
    """
    if out is not None:
        return deliver("addmm", out, addmm(input, mat1, mat2, *old, beta=beta, alpha=alpha))
    if old:
        return call_in_old_order(addmm, input, mat1, mat2, *old)
    _matrices("addmm", mat1=mat1, mat2=mat2)
    for name, each in (("self", input), ("mat1", mat1)):
        if each.dtype is not mat2.dtype and not unites(each, mat2):
            found = f"{each.dtype.type_name} and {mat2.dtype.type_name}"
            raise RuntimeError(f"{name} and mat2 must have the same dtype, but got {found}")
    _check_inner(mat1, mat2)
    shape = [mat1._array.shape[0], mat2._array.shape[1]]
    if input.ndim > 2 or any(n not in (1, m) for n, m in zip(input.shape[::-1], shape[::-1], strict=False)):
        expand(input, shape)  # raises with PyTorch's text
    refuse_bool("mm", mat1)
    return _addmm(input, mat1, mat2, *factors(mat1, beta, alpha))


def _adds(input: Tensor, shape: Sequence[int]) -> bool:
    """Whether the sum with something of that shape has it too."""
    return input.ndim <= len(shape) and all(n in (1, m) for n, m in zip(input.shape[::-1], shape[::-1], strict=False))


def _multiplies(mat: Tensor, vec: Tensor) -> bool:
    return mat.ndim == 2 and vec.ndim == 1 and mat.shape[1] == vec.shape[0]


@composite
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *old: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``."""
    if old:
        return call_in_old_order(addmv, input, mat, vec, *old)
    if mat.ndim == 2 and vec.ndim == 1 and input.ndim == 1 and not _adds(input, mat.shape[:1]):
        raise RuntimeError(
            f"size mismatch, got input ({input.shape[0]}), mat ({mat.shape[0]}x{mat.shape[1]}), vec ({vec.shape[0]})"
        )
    if not (input.dtype is mat.dtype is vec.dtype) and not unites(input, mat, vec):
        types = f"{input.dtype.type_name}, {mat.dtype.type_name}, and {vec.dtype.type_name}"
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {types}")
    if input.dtype is mat.dtype is vec.dtype and _adds(input, mat.shape[:1]) and _multiplies(mat, vec):
        refuse_bool("mv", mat)
        return _addmv(input, mat, vec, *factors(input, beta, alpha))
    return _scaled(input, beta) + _scaled(mv(mat, vec), alpha)


def _check_factors_of_addr(common: dtype, **given: Any) -> None:
    for name, factor in given.items():
        if isinstance(factor, bool) and common is not bool_:
            raise RuntimeError(f"Boolean {name} only supported for Boolean results.")
        if not isinstance(factor, int) and common.category <= Category.INTEGER:
            raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")


@composite
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *old: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``."""
    if old:
        return call_in_old_order(addr, input, vec1, vec2, *old)
    for name, each in (("vec1", vec1), ("vec2", vec2)):
        if each.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {each.ndim}-D")
    shape = (*vec1.shape, *vec2.shape)
    if not _adds(input, shape):
        expand(input, shape)  # raises with PyTorch's text
    common = promote_types(promote_types(vec1.dtype, vec2.dtype), input.dtype)
    _check_factors_of_addr(common, beta=beta, alpha=alpha)
    if input.dtype is vec1.dtype is vec2.dtype:
        return _addr(input, vec1, vec2, *factors(input, beta, alpha))
    return _scaled(input, beta) + _scaled(outer(vec1, vec2), alpha)


@composite
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *old: Any, beta: float = 1, alpha: float = 1, out: Any = None
) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``, stack by stack.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.baddbmm.html
    """
    if out is not None:
        return deliver("baddbmm", out, baddbmm(input, batch1, batch2, *old, beta=beta, alpha=alpha))
    if old:
        return call_in_old_order(baddbmm, input, batch1, batch2, *old)
    one, other = batch1._array.shape, batch2._array.shape
    shape = size_at(one, 0), size_at(one, 1), size_at(other, 2)
    if not _adds(input, shape):
        expand(input, shape)  # raises with PyTorch's text
    _check_stacks(batch1, batch2)
    refuse_bool("baddbmm", batch1)
    return _baddbmm(input, batch1, batch2, *factors(batch1, beta, alpha))


def _of_others(input: Any, other: Any) -> Any:
    """The product with what is no tensor, if that knows."""
    if (found := overridden(matmul, (input, other), {})) is not NotImplemented:
        return found
    name, place, wrong = ("input", 1, input) if isinstance(other, Tensor) else ("other", 2, other)
    raise TypeError(f"matmul(): argument '{name}' (position {place}) must be Tensor, not {type(wrong).__name__}")


@composite
def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """Matrix product, by the numbers of dimensions.

    Two vectors give their inner product; a vector is a row on the left and a column on the right;
    leading dimensions are stacks and broadcast.

    Raises
    ------
    RuntimeError
        If the inner sizes or the types differ, or one input has no dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.matmul(retrograd.ones(5), retrograd.ones(5, 3)).shape
    retrograd.Size([3])
    """
    if out is not None:
        return deliver("matmul", out, matmul(input, other))
    try:
        left, right = len(input._array.shape), len(other._array.shape)
    except AttributeError:
        return _of_others(input, other)
    mode = current_mode()
    if mode.profiler is not None:
        return mode.profiler.group("aten::matmul", _matmul, input, other, left, right)
    if left == 2 and right == 2:
        return mm(input, other)
    return _matmul(input, other, left, right)


def _matmul(input: Tensor, other: Tensor, left: int, right: int) -> Tensor:
    """The product by the numbers of dimensions."""
    if left == 2 and right == 2:
        return mm(input, other)
    if current_mode().autocast is not None:
        input, other = lowered(input, other)
    if left == 0 or right == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {left}D and {right}D")
    if left == 1 and right == 1:
        return dot(input, other)
    if left == 1 and right == 2:
        return squeeze_(mm(unsqueeze(input, 0), other), 0)
    if left == 2 and right == 1:
        return mv(input, other)
    if min(left, right) <= 2 and _folds(input, other, left, right):
        if left >= 3:
            return _fold_left(input, other, right)
        turned = transpose(other, -2, -1)
        if left == 1:
            return _fold_left(turned, input, 1)
        return contiguous(transpose(_fold_left(turned, t(input), 2), -2, -1))
    return _batched(input, other, left, right)


def _folds(input: Tensor, other: Tensor, left: int, right: int) -> bool:
    """Whether the rows of a stack are multiplied at once, if the other is one matrix or vector.

    Always if that wants a gradient, which would otherwise be computed of each and summed; else where the rows, of the
    one on the left, need not be copied for it.
    """
    small = input if left < right else other
    if small._edge is not None and (left != 2 or current_mode().grad):
        return True
    if left == 2:
        return False
    shape, strides = (tuple(input._array.shape), input.stride()) if left > right else _turned(other)
    return 0 in shape or all(strides[i] == strides[i + 1] * shape[i + 1] for i in range(len(shape) - 2))


def _turned(tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and strides of a stack whose matrices are transposed."""
    shape, strides = tuple(tensor._array.shape), tensor.stride()
    return (*shape[:-2], shape[-1], shape[-2]), (*strides[:-2], strides[-1], strides[-2])


def _fold_left(input: Tensor, other: Tensor, right: int) -> Tensor:
    """A stack of matrices times one matrix or vector: one product of the rows of all."""
    shape = tuple(input._array.shape)
    rows = reshape(input, -1, shape[-1]) if shape[-1] else reshape(input, _count(shape[:-1]), 0)
    if right == 1:
        return unsafe_view(mv(rows, other), shape[:-1])
    return unsafe_view(mm(rows, other), (*shape[:-1], other._array.shape[1]))


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def _batched(input: Tensor, other: Tensor, left: int, right: int) -> Tensor:
    """Stacks on both sides: expanded to one stack each, multiplied by `bmm`."""
    a = unsqueeze(input, 0) if left == 1 else input
    b = unsqueeze(other, -1) if right == 1 else other
    a_shape, b_shape = tuple(a._array.shape), tuple(b._array.shape)
    if a_shape[-1] != b_shape[-2]:
        count = _count(broadcast_shapes(a_shape[:-2], b_shape[:-2]))
        raise _no_pair((count, a_shape[-1]), (count, b_shape[-2]))
    if left > 2 and a_shape[:-2] == b_shape[:-2] and _is_plain_pair(a, b):
        return _bmm(a, b)
    batch = broadcast_shapes(a_shape[:-2], b_shape[:-2])
    count = _count(batch)
    if left > 2 and a_shape[:-2] == b_shape[:-2] and _is_ordinary(a, b):
        return _stacks_at_once(a, b, batch, count)
    a = reshape(expand(a, (*batch, *a_shape[-2:])), (count, *a_shape[-2:]))
    b = reshape(expand(b, (*batch, *b_shape[-2:])), (count, *b_shape[-2:]))
    shape = (*batch, *(a_shape[-2:-1] if left > 1 else ()), *(b_shape[-1:] if right > 1 else ()))
    product = bmm(a, b)
    return unsafe_view(squeeze(product, -1) if right == 1 else product, shape)


def _is_ordinary(a: Tensor, b: Tensor) -> bool:
    """Whether two stacks are of floating-point numbers of one type, and recorded in the ordinary way."""
    k, type_ = a._kernels, a._array.dtype
    return (
        current_mode() is GRAD
        and (a._edge is not None or b._edge is not None)
        and type(a) is type(b) is Tensor
        and b._kernels is k
        and k.mutable
        and not k.level
        and not k.sparse
        and b._array.dtype is type_
        and type_ in k.floats
        and type_ not in k.widening
    )


_EXPAND, _VIEW, _ALIAS = map(view_class, ("ExpandBackward0", "ViewBackward0", "ReshapeAliasBackward0"))
_BMM, _UNSAFE_VIEW = op_of(_bmm), op_of(unsafe_view)


def _stacks_at_once(a: Tensor, b: Tensor, batch: tuple[int, ...], count: int) -> Tensor:
    """The general way of `_batched`, with the same nodes but without the tensors of their views."""
    k = a._kernels
    (a, x, left), (b, y, right) = _as_one_stack(a, batch, count), _as_one_stack(b, batch, count)
    product = k.matmul(x, y)
    node = _recorded(_BMM, k, (left, right), (a, b), (x, y))
    again = _recorded(_UNSAFE_VIEW, k, ((node, 0),), (a,), (product,))
    made = wrap_array(k.reshape(product, (*batch, x.shape[1], y.shape[2])), k)
    made._edge = (again, 0)
    return made


def _as_one_stack(tensor: Tensor, batch: tuple[int, ...], count: int) -> tuple[Tensor, Any, Edge | None]:
    """A stack of stacks as one: the tensor whose memory it is in, the array, and where its gradient goes."""
    k, array = tensor._kernels, tensor._array
    shape = (count, *tuple(array.shape)[-2:])
    in_order = k.is_contiguous(array)
    if not in_order and len(batch) > 1 and view_strides(tuple(array.shape), tensor.stride(), shape) is None:
        copied = reshape(expand(tensor, tuple(array.shape)), shape)
        return copied, copied._array, copied._edge
    edge = tensor._edge
    if edge is not None:
        edge = make_view_node(_EXPAND, (Expand(tuple(array.shape)),), array, edge, k, {}), 0
        edge = make_view_node(_VIEW if in_order else _ALIAS, (reshaping(shape),), array, edge, k, {}), 0
    return tensor, k.reshape(array, shape), edge


def _recorded(op: Op, k: Any, edges: tuple[Edge | None, ...], inputs: Sequence[Tensor], arrays: Sequence[Any]) -> Node:
    """The node of a call of one result, whose inputs are `arrays` in the memory of `inputs`."""
    node = op.node_class()
    node._next_edges, node._kernels, node._grad_fix, node._node_extras = edges, k, None, None
    node._seq_nr = next_sequence_number()
    node._grad_plan = plan = op.plans_for(k)[tuple(each is not None for each in edges)]
    node._holds = plan.save(inputs, arrays, (), {})
    return node


def _is_plain_pair(a: Tensor, b: Tensor) -> bool:
    """Whether nothing will show how two stacks of matrices of one type were multiplied: there is no node of it."""
    mode, k = current_mode(), a._kernels
    if mode is not NO_GRAD and not (mode is GRAD and a._edge is None and b._edge is None):
        return False
    return type(a) is type(b) is Tensor and b._kernels is k and not k.level and a._array.dtype is b._array.dtype


def rmatmul(self: Tensor, other: Any) -> Any:
    """`other @ self` for an `other` that is no tensor: NotImplemented, unless it takes functions over."""
    try:
        return matmul(other, self)
    except TypeError:
        return NotImplemented


@composite
def chain_matmul(*matrices: Tensor) -> Tensor:
    """Product of several matrices, from left to right; of one, its copy."""
    all_tensors(matrices)
    for each in matrices:
        if each.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {each.ndim}, expected 2 instead.")
    warn_once(
        "chain_matmul",
        "retrograd.chain_matmul is deprecated and will be removed in a future PyTorch release. Use "
        "retrograd.linalg.multi_dot instead, which accepts a list of two or more tensors rather than multiple "
        "parameters.",
    )
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    return matrices[0].clone() if len(matrices) == 1 else reduce(mm, matrices)


@composite
def trace(input: Tensor) -> Tensor:
    """The sum of a matrix' diagonal.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.trace.html
    """
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    if input.dtype is bool_:
        raise not_implemented("trace", bool_)
    return _trace(input)


@op(
    name="_trace",
    node="TraceBackward0",
    vjp={"self": lambda K, g, self_shape: K.undiagonal(
        K.broadcast_to(K.reshape(g, (1,)), (min(self_shape),)), self_shape, 0, 0, 1
    )}, jvp="linear",
)  # fmt: skip
def _trace(K, self: Array) -> Array:
    """The sum of the diagonal."""
    return K.sum(K.diagonal(self, 0, 0, 1), (0,), False)
