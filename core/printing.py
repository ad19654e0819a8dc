"""How a tensor prints, character for character as PyTorch's does.

One format is chosen for a whole tensor, from the elements that will be shown: integers, fixed
point or scientific notation, and one width. One of the two places of the core that show a host
value, and so may use NumPy.

Source: https://docs.pytorch.org/docs/stable/generated/torch.set_printoptions.html
"""

from __future__ import annotations

import contextlib
import math
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograd import dtypes
from retrograd.autograd.modes import current_mode
from retrograd.autograd.tangents import tangent_of
from retrograd.device import host_kernels
from retrograd.overrides import kind_of

if TYPE_CHECKING:
    from retrograd.tensor import Tensor

__all__ = ["get_printoptions", "printoptions", "set_printoptions", "tensor_text"]

HostArray = np.ndarray[Any, Any]

# -- options -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """See `set_printoptions`."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}

_options = PrintOptions()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print.

    Parameters
    ----------
    precision
        Digits after the point (4).
    threshold
        Tensors of more elements are abridged (1000).
    edgeitems
        How many elements of each dimension an abridged tensor shows at either end (3).
    linewidth
        Characters a line (80).
    profile
        `"default"`, `"short"` or `"full"`: a set of the above, before they are applied.
    sci_mode
        True or False: always or never scientific notation; None: where it reads better.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.set_printoptions.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.set_printoptions(precision=2)
    >>> retrograd.tensor([1.12345])
    tensor([1.12])
    >>> retrograd.set_printoptions(profile="default")
    """
    global _options
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    start = _PROFILES[profile] if profile is not None else _options
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _options = replace(start, **changes, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """The options in force, by name.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.get_printoptions()["precision"]
    4
    """
    return asdict(_options)


@contextlib.contextmanager
def printoptions(**changes: Any) -> Iterator[None]:
    """`set_printoptions` for the length of a `with` block."""
    global _options
    kept = _options
    set_printoptions(**changes)
    try:
        yield
    finally:
        _options = kept


# -- numbers -----------------------------------------------------------------------------------


_NO_EXPONENT = float(np.ldexp(1.0, -127))


class _Format:
    """How each number of a tensor is written; chosen by looking at all that will be shown."""

    __slots__ = ("is_float", "is_scientific", "is_whole", "width")

    def __init__(self, shown: HostArray, of_exponents: bool = False) -> None:
        self.is_float = shown.dtype.kind == "f"
        self.is_whole = True
        self.is_scientific = False
        self.width = 1
        if self.is_float:
            self._choose(shown.astype(np.float64).reshape(-1), of_exponents)
        else:
            self.width = max((len(str(each)) for each in shown.reshape(-1).tolist()), default=1)

    def _choose(self, shown: HostArray, of_exponents: bool) -> None:
        """Only finite numbers other than zero have a say. Of exponents the least is zero, and NaN tells."""
        if of_exponents:
            telling = shown[shown != _NO_EXPONENT]
        else:
            telling = shown[np.isfinite(shown) & (shown != 0)]
        if not telling.size:
            return
        size = np.abs(telling)
        smallest, largest = float(size.min()), float(size.max())
        self.is_whole = bool((telling == np.ceil(telling)).all())
        spread = largest / smallest > 1000.0 or largest > 1.0e8
        self.is_scientific = spread or (not self.is_whole and smallest < 1.0e-4)
        if _options.sci_mode is not None:
            self.is_scientific = _options.sci_mode
        self.width = max(len(self._spell(each)) for each in telling.tolist())

    def _spell(self, value: Any) -> str:
        if not self.is_float:
            return str(value)
        if self.is_scientific:
            return f"{value:.{_options.precision}e}"
        if self.is_whole:
            return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
        return f"{value:.{_options.precision}f}"

    def __call__(self, value: Any) -> str:
        return self._spell(value).rjust(self.width)


class _ComplexFormat:
    """Two formats, for the real and the imaginary parts."""

    __slots__ = ("imaginary", "real", "width")

    def __init__(self, shown: HostArray) -> None:
        self.real, self.imaginary = _Format(shown.real), _Format(shown.imag)
        self.width = self.real.width + self.imaginary.width + 1

    def __call__(self, value: complex) -> str:
        imaginary = f"{self.imaginary(value.imag)}j".lstrip()
        sign = "" if imaginary[0] in "+-" else "+"
        return f"{self.real(value.real)}{sign}{imaginary}"


# -- arrays ------------------------------------------------------------------------------------


def _edges(array: HostArray) -> HostArray:
    """What an abridged print shows: the first and last few along every axis."""
    edge = _options.edgeitems
    for axis, n in enumerate(array.shape):
        if n > 2 * edge:
            array = np.take(array, [*range(edge), *range(n - edge, n)], axis)
    return array


def _array_text(array: HostArray, indent: int, abridge: bool, spell: Any) -> str:
    if array.ndim == 0:
        return str(spell(array.item()))
    if array.ndim == 1:
        return _vector_text(array, indent, abridge, spell)
    n, edge = len(array), _options.edgeitems
    if abridge and n > 2 * edge:
        shown = [*range(edge), None, *range(n - edge, n)]
    else:
        shown = [*range(n)]
    parts = ["..." if i is None else _array_text(array[i], indent + 1, abridge, spell) for i in shown]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _vector_text(vector: HostArray, indent: int, abridge: bool, spell: Any) -> str:
    edge = _options.edgeitems
    if abridge and not edge:
        words = ["..."]
    elif abridge and len(vector) > 2 * edge:
        words = [*map(spell, vector[:edge].tolist()), " ...", *map(spell, vector[-edge:].tolist())]
    else:
        words = [*map(spell, vector.tolist())]
    per_line = max(1, (_options.linewidth - indent) // (spell.width + 2))
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _content(host: HostArray, indent: int) -> str:
    if host.size == 0:
        return "[]"
    of_exponents = host.dtype.name == "float8_e8m0fnu"
    if host.dtype.itemsize <= 2 and host.dtype.kind in "fV":
        host = host.astype(np.float32)
    abridge = host.size > _options.threshold
    shown = _edges(host) if abridge else host
    spell = _ComplexFormat(shown) if host.dtype.kind == "c" else _Format(shown, of_exponents)
    return _array_text(host, indent, abridge, spell)


# -- the whole ---------------------------------------------------------------------------------


def tensor_text(tensor: Tensor, *, tensor_contents: str | None = None) -> str:
    """`repr(tensor)`: its elements, and what is not obvious: size, device, dtype, place in the graph.

    `tensor_contents` stands for the elements, if it is given.

    Examples
    --------
    >>> import retrograd
    >>> retrograd.tensor([0.5, 100.0], dtype=retrograd.float64, requires_grad=True)
    tensor([  0.5000, 100.0000], dtype=retrograd.float64, requires_grad=True)
    """
    from retrograd.parameter import Parameter
    from retrograd.tensor import Tensor

    if tensor._kernels.level:
        return _level_text(tensor, tensor_contents)
    if tensor._kernels.sparse:
        from retrograd.sparse.printing import sparse_text

        return sparse_text(tensor, tensor_contents)
    kind = kind_of(tensor)
    if kind is Tensor or kind is Parameter:
        return _dense_text(tensor, "tensor(", tensor_contents)
    text = _dense_text(tensor, f"{kind.__name__}(", tensor_contents)
    return f"Parameter({text})" if isinstance(tensor, Parameter) else text


def _dense_text(tensor: Tensor, prefix: str, given: str | None) -> str:
    content = _tensor_str(tensor, len(prefix)) if given is None else given
    return _add_suffixes(prefix + content, _suffixes(tensor), len(prefix))


def _tensor_str(tensor: Tensor, indent: int) -> str:
    """The elements of a dense tensor, in brackets; `indent` is where the first line begins."""
    return "..." if tensor._kernels.meta else _content(np.asarray(tensor._kernels.to_host(tensor._array)), indent)


def _level_text(tensor: Tensor, given: str | None) -> str:
    """A tensor of a level of `vmap`: the one below that it stands for, and that alone if all samples share it."""
    inner = tensor_text(tensor._array.value, tensor_contents=given)
    if not tensor._array.mapped:
        return inner
    return f"BatchedTensor(lvl={tensor._kernels.level}, bdim=0, value=\n{textwrap.indent(inner, '    ')}\n)"


def _suffixes(tensor: Tensor) -> list[str]:
    found = []
    if tensor._kernels.meta or tensor._kernels is not host_kernels():
        found.append(f"device='{tensor.device}'")
    shape = tuple(tensor._array.shape)
    if tensor._kernels.meta or (0 in shape and len(shape) != 1) or (0 not in shape and not _options.edgeitems):
        found.append(f"size={shape}")
    if not _is_expected(tensor.dtype, tensor._kernels.meta or 0 in shape):
        found.append(f"dtype={tensor.dtype}")
    return found + in_graph(tensor)


def in_graph(tensor: Tensor) -> list[str]:
    """What tells a tensor's place in the graph."""
    found = []
    name = _name_of_node(tensor)
    if name is not None:
        found.append(f"grad_fn=<{name}>")
    elif tensor.requires_grad:
        found.append("requires_grad=True")
    tangent = tangent_of(tensor, levels[-1]) if (levels := current_mode().dual) else None
    if hasattr(tangent, "_array"):  # else it stands for one that is not known yet
        found.append(f"tangent={tangent}")
    return found


def _name_of_node(tensor: Tensor) -> str | None:
    """The class of its `grad_fn`; of a view that has none any more, because of a write, `Invalid`."""
    try:
        node = tensor.grad_fn
    except RuntimeError:
        return "Invalid"
    return None if node is None else type(node).__name__


def _is_expected(dtype: dtypes.dtype, is_empty: bool) -> bool:
    """Whether a reader knows the type from the elements."""
    default = dtypes.get_default_dtype()
    if is_empty:
        return dtype is default
    return dtype in (default, default.to_complex(), dtypes.int64, dtypes.bool_)


def _add_suffixes(tensor_str: str, suffixes: list[str], indent: int, force_newline: bool = False) -> str:
    """Append the suffixes, each on a new line if it would not fit on the last one; the first perhaps in any case.

    A dtype counts as long as it is under PyTorch's name, so that lines break where PyTorch's do.
    """
    text = tensor_str
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        length = len(suffix.replace("=retrograd.", "=torch."))
        if force_newline or used + length + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            used, force_newline = indent + length, False
        else:
            text += ", " + suffix
            used += length + 2
    return text + ")"
