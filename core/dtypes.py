"""Data types and their promotion: PyTorch's names and rules, independent of any array library.

A `dtype` here is only a name with properties. Each backend says which native type stands for a
name (`Kernels.dtypes`), so that core never holds a NumPy or JAX dtype of its own.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = [
    "DTYPES", "FLOAT8", "Category", "bfloat16", "bool_", "can_cast", "complex64", "complex128", "dtype", "finfo",
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
    "float16", "float32", "float64", "get_default_dtype", "iinfo", "int8", "int16", "int32", "int64",
    "promote_types", "set_default_dtype", "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip


class Category(IntEnum):
    """The ladder that promotion climbs: a higher category always wins over a lower one."""

    BOOL = 0
    INTEGER = 1
    FLOAT = 2
    COMPLEX = 3


class Constant:
    """Objects of which there is one for each name, compared by identity, and which nobody changes.

    No dataclasses: `dataclasses.asdict` of a configuration that has one as a field is to leave it as it is.
    """

    __slots__ = ("name",)

    name: str

    def __init__(self, name: str, **others: object) -> None:
        for attribute, value in {"name": name, **others}.items():
            object.__setattr__(self, attribute, value)

    def __setattr__(self, name: str, value: object) -> None:
        kind = f"{type(self).__module__}.{type(self).__name__}"
        if hasattr(self, name):
            raise AttributeError(f"attribute '{name}' of '{kind}' objects is not writable")
        raise AttributeError(f"'{kind}' object has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"retrograd.{self.name}"


class dtype(Constant):
    """The type of a tensor's elements.

    Compared by identity: there is one object per type.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.float32.is_floating_point, retrograd.float32.itemsize
    (True, 4)
    """

    __module__ = "retrograd"
    __slots__ = ("category", "is_signed", "itemsize", "type_name")

    itemsize: int
    category: Category
    type_name: str
    is_signed: bool

    def __init__(self, name: str, itemsize: int, category: Category, type_name: str, is_signed: bool = True) -> None:
        super().__init__(name, itemsize=itemsize, category=category, type_name=type_name, is_signed=is_signed)

    @property
    def is_floating_point(self) -> bool:
        return self.category is Category.FLOAT

    @property
    def is_complex(self) -> bool:
        return self.category is Category.COMPLEX

    @property
    def is_differentiable(self) -> bool:
        return self.category >= Category.FLOAT

    def to_real(self) -> dtype:
        """The type of a complex number's parts; a real type is its own."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> dtype:
        """The complex type whose parts have this type."""
        if self in FLOAT8:
            raise RuntimeError(f"Unknown Complex ScalarType for {self.type_name}")
        return {"float64": complex128, "complex128": complex128}.get(self.name, complex64)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _by_name, (self.name,)


_CPP_NAMES = {
    "float32": "float", "float64": "double", "int64": "long int", "int32": "int", "float16": "c10::Half",
    "bfloat16": "c10::BFloat16", "bool": "bool", "uint8": "unsigned char", "int8": "signed char",
    "uint16": "short unsigned int", "uint32": "unsigned int", "uint64": "long unsigned int",
    "float8_e4m3fn": "c10::Float8_e4m3fn", "float8_e5m2": "c10::Float8_e5m2",
    "float8_e4m3fnuz": "c10::Float8_e4m3fnuz", "float8_e5m2fnuz": "c10::Float8_e5m2fnuz",
    "float8_e8m0fnu": "c10::Float8_e8m0fnu",
    "int16": "short int", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


def cpp_name(type_: dtype) -> str:
    """The compiler's name of a type, which some of PyTorch's texts have."""
    return _CPP_NAMES[type_.name]


def _by_name(name: str) -> dtype:
    return DTYPES[name]


bool_: Final = dtype("bool", 1, Category.BOOL, "Bool", is_signed=False)
uint8: Final = dtype("uint8", 1, Category.INTEGER, "Byte", is_signed=False)
uint16: Final = dtype("uint16", 2, Category.INTEGER, "UInt16", is_signed=False)
uint32: Final = dtype("uint32", 4, Category.INTEGER, "UInt32", is_signed=False)
uint64: Final = dtype("uint64", 8, Category.INTEGER, "UInt64", is_signed=False)
int8: Final = dtype("int8", 1, Category.INTEGER, "Char")
int16: Final = dtype("int16", 2, Category.INTEGER, "Short")
int32: Final = dtype("int32", 4, Category.INTEGER, "Int")
int64: Final = dtype("int64", 8, Category.INTEGER, "Long")
float8_e4m3fn: Final = dtype("float8_e4m3fn", 1, Category.FLOAT, "Float8_e4m3fn")
float8_e5m2: Final = dtype("float8_e5m2", 1, Category.FLOAT, "Float8_e5m2")
float8_e4m3fnuz: Final = dtype("float8_e4m3fnuz", 1, Category.FLOAT, "Float8_e4m3fnuz")
float8_e5m2fnuz: Final = dtype("float8_e5m2fnuz", 1, Category.FLOAT, "Float8_e5m2fnuz")
float8_e8m0fnu: Final = dtype("float8_e8m0fnu", 1, Category.FLOAT, "Float8_e8m0fnu", is_signed=False)
float16: Final = dtype("float16", 2, Category.FLOAT, "Half")
bfloat16: Final = dtype("bfloat16", 2, Category.FLOAT, "BFloat16")
float32: Final = dtype("float32", 4, Category.FLOAT, "Float")
float64: Final = dtype("float64", 8, Category.FLOAT, "Double")
complex64: Final = dtype("complex64", 8, Category.COMPLEX, "ComplexFloat")
complex128: Final = dtype("complex128", 16, Category.COMPLEX, "ComplexDouble")

DTYPES: Final[dict[str, dtype]] = {
    each.name: each
    for each in (
        bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64,
        float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu,
        float16, bfloat16, float32, float64, complex64, complex128,
    )
}  # fmt: skip

FLOAT8: Final = frozenset((float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu))
"""Types to keep numbers in, not to compute in: they are converted, moved and compared."""


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type that holds both, by PyTorch's table.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.promote_types.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.promote_types(retrograd.int32, retrograd.float16)
    retrograd.float16
    """
    if type1 is type2:
        return type1
    if type1 in FLOAT8 or type2 in FLOAT8:
        raise RuntimeError(
            f"Promotion for Float8 Types is not supported, attempted to promote {type1.type_name} and {type2.type_name}"
        )
    if type1 in _LARGE_UNSIGNED or type2 in _LARGE_UNSIGNED:
        return _promote_unsigned(type1, type2)
    low, high = sorted((type1, type2), key=lambda each: (each.category, each.itemsize))
    if low.category is not high.category:
        return _join_real_and_complex(low, high) if high.is_complex else high
    if high.category is Category.INTEGER and uint8 in (low, high):
        return int16 if low.itemsize == high.itemsize else high
    if low.itemsize == high.itemsize:  # float16 and bfloat16: neither holds the other
        return float32
    return high


_LARGE_UNSIGNED: Final = frozenset((uint16, uint32, uint64))


def _promote_unsigned(type1: dtype, type2: dtype) -> dtype:
    for each in (type1, type2):
        if each.is_floating_point:
            return each
    raise RuntimeError(
        "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
        f"{type1.type_name} and {type2.type_name}"
    )


def _join_real_and_complex(real: dtype, complex_: dtype) -> dtype:
    return complex128 if real is float64 else complex_


def can_cast(from_: dtype, to: dtype) -> bool:
    """Whether a result of type `from_` may be stored in `to`: never down a category, except bool to any.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.can_cast(retrograd.float32, retrograd.int64)
    False
    """
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and to.category < Category.FLOAT:
        return False
    return not (from_.category is Category.INTEGER and to.category is Category.BOOL)


_default = float32


def get_default_dtype() -> dtype:
    """The floating-point type of new tensors made from Python floats; `float32` unless changed.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.get_default_dtype()
    retrograd.float32
    """
    return _default


def set_default_dtype(d: dtype) -> None:
    """Make `d`, a floating-point type, the type of new tensors made from Python floats.

    Raises
    ------
    TypeError
        If `d` is not a floating-point dtype.
    """
    global _default
    if d in FLOAT8:
        raise TypeError(f"couldn't find storage object {d.type_name}Storage")
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, but got {d!r}")
    _default = d


class iinfo:
    """Limits of an integer type.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.iinfo(retrograd.int8).max
    127
    """

    __module__ = "retrograd"

    def __init__(self, type: dtype) -> None:
        if type is bool_:
            raise TypeError("retrograd.bool is not supported by retrograd.iinfo")
        if type.category is not Category.INTEGER:
            raise TypeError(
                "retrograd.iinfo() requires an integer input type. Use retrograd.finfo to handle 'retrograd.iinfo'"
            )
        self.dtype = type.name
        self.bits = type.itemsize * 8
        self.min = -(2 ** (self.bits - 1)) if type.is_signed else 0
        self.max = 2 ** (self.bits - 1) - 1 if type.is_signed else 2**self.bits - 1

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


# name: (bits of the mantissa, largest exponent of two)
_FLOAT_LAYOUT = {"float16": (10, 15), "bfloat16": (7, 127), "float32": (23, 127), "float64": (52, 1023)}

# name: (eps, min, max, smallest normal number), as PyTorch has them
_FLOAT8_LIMITS = {
    "float8_e4m3fn": (0.125, -448.0, 448.0, 2.0**-6),
    "float8_e5m2": (0.25, -57344.0, 57344.0, 2.0**-14),
    "float8_e4m3fnuz": (0.125, -240.0, 240.0, 2.0**-7),
    "float8_e5m2fnuz": (0.125, -57344.0, 57344.0, 2.0**-15),
    "float8_e8m0fnu": (1.0, 2.0**-127, 2.0**127, 2.0**-127),
}


def _limits(name: str) -> tuple[float, float, float, float, float]:
    """The eps, min, max, smallest normal number and resolution of a floating-point type."""
    if name in _FLOAT8_LIMITS:
        return *_FLOAT8_LIMITS[name], 1.0
    mantissa, top = _FLOAT_LAYOUT[name]
    eps = 2.0**-mantissa
    largest = (2.0 - eps) * 2.0**top
    return eps, -largest, largest, 2.0 ** (1 - top), 10.0 ** -int(mantissa * 0.30103)


class finfo:
    """Limits of a floating-point type, or of the parts of a complex one.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.finfo(retrograd.float32).eps
    1.1920928955078125e-07
    """

    __module__ = "retrograd"

    def __init__(self, type: dtype | None = None) -> None:
        type = get_default_dtype() if type is None else type
        if not type.is_differentiable:
            raise TypeError(
                "retrograd.finfo() requires a floating point input type. "
                "Use retrograd.iinfo to handle 'retrograd.finfo'"
            )
        self.dtype = type.to_real().name
        self.bits = type.to_real().itemsize * 8
        self.eps, self.min, self.max, self.tiny, self.resolution = _limits(self.dtype)
        self.smallest_normal = self.tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )
