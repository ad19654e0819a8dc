"""Complex numbers: their parts, as views; conjugates, angles, and numbers made of parts.

None of these is holomorphic, so each formula is PyTorch's gradient in full (see Note [Holomorphic
formulas]). `conj` gives a view, whose elements are conjugated already: there is no lazy conjugate bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from retrograd.dtypes import DTYPES, Category, float16, float32, float64
from retrograd.mirror import Mirror
from retrograd.ops.autocasting import in_float32
from retrograd.ops.batching import elementwise, leading
from retrograd.ops.checks import implemented_for, is_number
from retrograd.ops.declare import Array, composite, op
from retrograd.ops.graph import graph_kernel
from retrograd.ops.shape import make_view
from retrograd.tensor import Tensor
from retrograd.views import AsComplex, AsReal, Conjugate

__all__ = ["looks_back"]


def _is_complex(K: Any, x: Any) -> bool:
    return DTYPES[K.names[x.dtype]].is_complex


# -- parts -------------------------------------------------------------------------------------


@composite
def view_as_real(input: Tensor) -> Tensor:
    """A view of complex numbers as pairs of real ones, in a new last dimension.

    Raises
    ------
    RuntimeError
        If the elements are not complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.view_as_real.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.view_as_real(retrograd.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    if not input.is_complex():
        raise RuntimeError("view_as_real is only supported for complex tensors")
    if is_conj(input):
        raise RuntimeError(
            "view_as_real doesn't work on unresolved conjugated tensors.  To resolve the conjugate tensor so you can "
            "view it as real, use self.resolve_conj(); however, be warned that the resulting tensor will NOT alias the "
            "original."
        )
    return _as_real(input)


def _as_real(input: Tensor) -> Tensor:
    return make_view(input, "ViewAsRealBackward0", AsReal())


@composite
@in_float32
def view_as_complex(input: Tensor) -> Tensor:
    """A view of pairs of real numbers, in the last dimension, as complex ones.

    Raises
    ------
    RuntimeError
        If the elements are not floats, or the last dimension, of size 2, is not contiguous.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.view_as_complex.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.view_as_complex(retrograd.tensor([[1.0, 2.0]]))
    tensor([1.+2.j])
    """
    if input.dtype not in (float32, float64):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of "
            f"scalar type: {input.dtype.type_name}"
        )
    if not input.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    strides = input.stride()
    if strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(each % 2 for each in strides[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if input.storage_offset() % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return make_view(input, "ViewAsComplexBackward0", AsComplex())


@composite
def real(input: Tensor) -> Tensor:
    """A view of the real parts; a tensor of real numbers itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.real.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.real(retrograd.tensor([1 + 2j]))
    tensor([1.])
    """
    return _as_real(input).select(input.ndim, 0) if input.is_complex() else input


@composite
def imag(input: Tensor) -> Tensor:
    """A view of the imaginary parts.

    Raises
    ------
    RuntimeError
        If the elements are not complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.imag.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.imag(retrograd.tensor([1 + 2j]))
    tensor([2.])
    """
    if not input.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _as_real(input).select(input.ndim, 1)


def _set_real(self: Tensor, value: Any) -> None:
    _assign(real(self), value)


def _set_imag(self: Tensor, value: Any) -> None:
    _assign(imag(self), value)


def _assign(part: Tensor, value: Any) -> None:
    if is_number(value):
        part.fill_(value)
    else:
        part.copy_(value)


def _get_real(self: Tensor) -> Tensor:
    return real(self)


def _get_imag(self: Tensor) -> Tensor:
    return imag(self)


Tensor.real = property(_get_real, _set_real, doc=real.__doc__)  # type: ignore[attr-defined]
Tensor.imag = property(_get_imag, _set_imag, doc=imag.__doc__)  # type: ignore[attr-defined]


# -- conjugates --------------------------------------------------------------------------------


def _conjugation(name: str, node: str) -> Any:
    """Declares an operator that conjugates; PyTorch's two differ in their names and nodes alone."""
    return op(
        "conj",
        name=name,
        node=node,
        vjp={"self": lambda K, g: K.conj(g)},
        jvp="linear",
        holomorphic=False,
        batch=elementwise,
    )


@_conjugation("_conj", "ConjBackward0")
def _conj(self: Array) -> Array:
    """Of complex numbers."""


@_conjugation("_conj_physical", "ConjPhysicalBackward0")
def _conj_physical(self: Array) -> Array:
    """Of complex numbers."""


@composite
def conj(input: Tensor) -> Tensor:
    """A view of the complex conjugates; a tensor of real numbers itself.

    A write to either is one to both. Inside `vmap`, and where the elements of the memory lie apart (a `from_numpy` of
    every second number) or are pairs of real ones, it is a copy.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.conj.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1 + 2j])
    >>> y = retrograd.conj(x)
    >>> x[0] = 3 + 1j
    >>> y, y.is_conj()
    (tensor([3.-1.j]), True)
    """
    if not input.is_complex():
        return input
    return make_view(input, "ConjBackward0", Conjugate()) if _can_be_seen_conjugated(input) else _conj(input)


def _can_be_seen_conjugated(input: Tensor) -> bool:
    k, meta = input._kernels, input._tensor_meta
    if not k.mutable or k.level:
        return not k.level
    return Mirror.can_be(k, input._array if meta is None or meta.storage is None else meta.storage.array)


@composite
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate of each element, in memory of its own; a tensor of real numbers itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.conj_physical.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.conj_physical(retrograd.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    return _conj_physical(input) if input.is_complex() else input


@composite
def resolve_conj(input: Tensor) -> Tensor:
    """A copy, if it is a view of conjugates; else the tensor itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.resolve_conj.html
    """
    return input.clone() if is_conj(input) else input


@composite
def resolve_neg(input: Tensor) -> Tensor:
    """A copy, if it is a view of the imaginary parts of conjugates; else the tensor itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.resolve_neg.html
    """
    return input.clone() if is_neg(input) else input


def looks_back(input: Tensor) -> bool:
    """Whether it is a view of conjugates, or of parts of them."""
    meta = input._tensor_meta
    return meta is not None and meta.chain is not None and meta.chain.conjugated


@composite
def is_conj(input: Tensor) -> bool:
    """Whether it is a view of the conjugates of what is in the memory.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.is_conj.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1 + 2j])
    >>> x.conj().is_conj(), x.conj().conj().is_conj(), (x.conj() + 1).is_conj()
    (True, False, False)
    """
    return looks_back(input) and input.is_complex()


@composite
def is_neg(input: Tensor) -> bool:
    """Whether it is a view of what is in the memory with the sign changed: of the imaginary parts of conjugates."""
    return looks_back(input) and not input.is_complex() and input.storage_offset() % 2 == 1


# -- polar form --------------------------------------------------------------------------------


def _angle_vjp(K: Any, g: Any, self: Any) -> Any:
    """At right angles to the number, over its modulus; zero for real numbers and at zero."""
    if "complex" not in str(self.dtype):
        return K.zeros_like(g)
    x, y = K.real(self), K.imag(self)
    square = x * x + y * y
    zero = square == 0
    scale = K.where(zero, K.zeros_like(g), g / K.where(zero, K.zeros_like(square) + 1, square))
    return K.complex(-y * scale, x * scale)


def _angle_jvp(K: Any, t: Any, self: Any) -> Any:
    """The part of the tangent at right angles to the number, over its modulus."""
    if "complex" not in str(self.dtype):
        return K.zeros_like(t)
    x, y = K.real(self), K.imag(self)
    square = x * x + y * y
    zero = square == 0
    return K.where(zero, K.zeros_like(x), x * K.imag(t) - y * K.real(t)) / K.where(zero, K.zeros_like(x) + 1, square)


@op(promote="float", vjp={"self": _angle_vjp}, jvp={"self": _angle_jvp}, holomorphic=False)
def angle(K, self: Array) -> Array:
    """The angle of each complex number, in radians; of a real one 0, or pi if it is negative.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.angle.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.angle(retrograd.tensor([1 + 1j, -1 + 0j]))
    tensor([0.7854, 3.1416])
    """
    if _is_complex(K, self):
        return K.atan2(K.imag(self), K.real(self))
    zero = K.zeros_like(self)
    return K.where(K.isnan(self), self, K.where(K.less(self, 0), zero + math.pi, zero))


def _as_part(K: Any, part: Any, dtype: Any) -> Any:
    """A part of a complex number in the type of what was one: there are no complex numbers of 16-bit parts."""
    return part if part.dtype == dtype else K.astype(part, dtype)


def _check_parts(inputs: Sequence[Any]) -> None:
    first, second = inputs[0].dtype, inputs[1].dtype
    if any(each not in (float16, float32, float64) for each in (first, second)):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {first.type_name} and {second.type_name}"
        )
    if first is not second:
        raise RuntimeError(
            f"Expected object of scalar type {first.type_name} but got scalar type {second.type_name} for "
            "second argument"
        )


@op(
    promote="common",
    as_numbers=(),
    check=_check_parts,
    vjp={
        "real": lambda K, g, real_dtype: _as_part(K, K.real(g), real_dtype),
        "imag": lambda K, g, imag_dtype: _as_part(K, K.imag(g), imag_dtype),
    },
    jvp="linear",
    holomorphic=False,
    kept=("real", "imag"),
)
def complex(K, real: Array, imag: Array) -> Array:
    """Complex numbers with the given real and imaginary parts.

    Raises
    ------
    RuntimeError
        If the parts are not floats of one type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.complex.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.complex(retrograd.tensor([1.0]), retrograd.tensor([2.0]))
    tensor([1.+2.j])
    """
    return K.complex(real, imag)


def _check_polar(inputs: Sequence[Any]) -> None:
    _check_parts(inputs)
    implemented_for("polar_cpu", Category.FLOAT, halves=False)(inputs)


_check_polar.refuses_halves = True  # type: ignore[attr-defined]


def _polar_abs_vjp(K: Any, g: Any, abs: Any, angle: Any) -> Any:
    """As in PyTorch the direction is the result's: turned round where the modulus is negative, none where it is 0."""
    return K.sign(abs) * (K.real(g) * K.cos(angle) + K.imag(g) * K.sin(angle))


def _polar_angle_vjp(K: Any, g: Any, result: Any) -> Any:
    return K.imag(g) * K.real(result) - K.real(g) * K.imag(result)


@op(
    promote="common",
    as_numbers=(),
    check=_check_polar,
    vjp={"abs": _polar_abs_vjp, "angle": _polar_angle_vjp},
    jvp={
        "abs": lambda K, t, angle: K.complex(t * K.cos(angle), t * K.sin(angle)),
        "angle": lambda K, t, result: K.complex(-t * K.imag(result), t * K.real(result)),
    },
    holomorphic=False,
    kept=("result",),
)
def polar(K, abs: Array, angle: Array) -> Array:
    """Complex numbers with the given moduli and angles: ``abs * (cos(angle) + 1j * sin(angle))``.

    Raises
    ------
    RuntimeError
        If the parts are not floats of one type.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.polar.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.polar(retrograd.tensor([2.0]), retrograd.tensor([0.0]))
    tensor([2.+0.j])
    """
    return K.complex(abs * K.cos(angle), abs * K.sin(angle))


@graph_kernel("as_real", batch=leading)
def _graph_as_real(x: Tensor) -> Tensor:
    return view_as_real(x)


@graph_kernel("as_complex", batch=leading)
def _graph_as_complex(x: Tensor) -> Tensor:
    return view_as_complex(x.contiguous())
