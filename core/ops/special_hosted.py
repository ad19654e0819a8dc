"""Special functions that SciPy computes on the host, for every backend: Bessel's, Airy's, orthogonal polynomials.

Most of them have no derivative, as in PyTorch: they are there to evaluate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from retrograd.backends.hosted_special import special as _on_host
from retrograd.dtypes import Category
from retrograd.ops.checks import implemented_for
from retrograd.ops.declare import Array, op
from retrograd.ops.fused import fused
from retrograd.ops.underived import no_slope, no_tangent

__all__: list[str] = []


def _real(name: str) -> Any:
    return implemented_for(f"{name}_cpu", Category.BOOL, Category.INTEGER, Category.FLOAT, halves=False)


# -- of one number -------------------------------------------------------------------------------


def _declare_of_one(name: str, function: str, text: str, example: str) -> Callable[..., Any]:
    def body(K, self: Array) -> Array:
        return _on_host(K, function, self)

    body.__name__ = body.__qualname__ = name
    body.__doc__ = _documented(name, text, example)
    return op(name=f"_special_{name}", node=_node_of(name), promote="float", check=_real(name))(body)


def _node_of(name: str) -> str:
    return "Special" + "".join(part.capitalize() for part in name.split("_")) + "Backward0"


def _documented(name: str, text: str, example: str) -> str:
    call, result = example.split(" -> ")
    return f"""{text}

    It has no derivative.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.{name}

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.{name}({call})
    {result}
    """


_ONE = "retrograd.tensor([1.0])"
_BESSEL = "The Bessel function of the {} kind of order {} of each element."
_MODIFIED = "The modified Bessel function of the {} kind of order {} of each element{}."
_SCALED = ", times ``exp(input)``"

airy_ai = _declare_of_one("airy_ai", "own airy", "Airy's function Ai of each element.", f"{_ONE} -> tensor([0.1353])")
bessel_j0 = _declare_of_one("bessel_j0", "j0", _BESSEL.format("first", 0), f"{_ONE} -> tensor([0.7652])")
bessel_j1 = _declare_of_one("bessel_j1", "j1", _BESSEL.format("first", 1), f"{_ONE} -> tensor([0.4401])")
bessel_y0 = _declare_of_one("bessel_y0", "y0", _BESSEL.format("second", 0), f"{_ONE} -> tensor([0.0883])")
bessel_y1 = _declare_of_one("bessel_y1", "y1", _BESSEL.format("second", 1), f"{_ONE} -> tensor([-0.7812])")
modified_bessel_i0 = _declare_of_one(
    "modified_bessel_i0", "i0", _MODIFIED.format("first", 0, ""), f"{_ONE} -> tensor([1.2661])"
)
modified_bessel_i1 = _declare_of_one(
    "modified_bessel_i1", "i1", _MODIFIED.format("first", 1, ""), f"{_ONE} -> tensor([0.5652])"
)
modified_bessel_k0 = _declare_of_one(
    "modified_bessel_k0", "k0", _MODIFIED.format("second", 0, ""), f"{_ONE} -> tensor([0.4210])"
)
modified_bessel_k1 = _declare_of_one(
    "modified_bessel_k1", "k1", _MODIFIED.format("second", 1, ""), f"{_ONE} -> tensor([0.6019])"
)
scaled_modified_bessel_k0 = _declare_of_one(
    "scaled_modified_bessel_k0", "k0e", _MODIFIED.format("second", 0, _SCALED), f"{_ONE} -> tensor([1.1445])"
)
scaled_modified_bessel_k1 = _declare_of_one(
    "scaled_modified_bessel_k1", "k1e", _MODIFIED.format("second", 1, _SCALED), f"{_ONE} -> tensor([1.6362])"
)
spherical_bessel_j0 = _declare_of_one(
    "spherical_bessel_j0",
    "own spherical",
    "The spherical Bessel function of the first kind of order 0 of each element, ``sin(x) / x``.",
    f"{_ONE} -> tensor([0.8415])",
)


@op(
    name="_special_erfcx",
    node="SpecialErfcxBackward0",
    promote="float",
    check=_real("erfcx"),
    vjp={"self": lambda K, g, self, result: g * (self * result * 2 - 2 / math.sqrt(math.pi))},
)
def erfcx(K, self: Array) -> Array:
    """The complementary error function, times ``exp(x * x)``, so that it is not too small a number.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.erfcx

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.erfcx(retrograd.tensor([0.0, 1.0]))
    tensor([1.0000, 0.4276])
    """
    return _on_host(K, "erfcx", self)


@op(
    name="_special_ndtri",
    node="SpecialNdtriBackward0",
    promote="float",
    check=_real("ndtri"),
    vjp={"self": lambda K, g, result: g * K.exp(result * result / 2) * math.sqrt(2 * math.pi)},
)
def ndtri(K, self: Array) -> Array:
    """The inverse of `ndtr`: up to where the density of the standard normal distribution has a given area.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.ndtri

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.ndtri(retrograd.tensor([0.5, 0.8413]))
    tensor([0.0000, 0.9998])
    """
    return _on_host(K, "ndtri", self)


@op(
    name="_special_zeta",
    node="SpecialZetaBackward0",
    promote="float",
    check=_real("zeta"),
    vjp={
        "self": no_slope("zeta", listed=True),
        "other": lambda K, g, self, other: g * -self * fused(zeta)(K, self + 1.0, other),
    },
    jvp=dict.fromkeys(("self", "other"), no_tangent("special_zeta", listed=True)),
)
def zeta(K, self: Array, other: Array) -> Array:
    """Hurwitz's zeta function, the sum of ``(k + other) ** -input`` over k = 0, 1, ...; derived by `other` only.

    Source: https://docs.pytorch.org/docs/stable/special.html#torch.special.zeta

    Examples
    --------
    >>> import retrograd
    >>> retrograd.special.zeta(retrograd.tensor([2.0, 4.0]), 1)
    tensor([1.6449, 1.0823])
    """
    return _on_host(K, "zeta", self, other)


# -- polynomials ---------------------------------------------------------------------------------


def _declare_polynomial(name: str, family: str, value: str) -> Callable[..., Any]:
    def body(K, self: Array, n: Array) -> Array:
        return _on_host(K, name, self, n)

    body.__name__ = body.__qualname__ = name
    text = f"{family} of degree `n` at each element; of a negative degree it is 0."
    body.__doc__ = _documented(name, text, f"retrograd.tensor([0.5]), 2 -> tensor([{value}])")
    return op(name=f"_special_{name}", node=_node_of(name), promote="float", check=_real(name))(body)


_KINDS = {"t": "first", "u": "second", "v": "third", "w": "fourth"}
_CHEBYSHEV = "The {}Chebyshev polynomial of the {} kind"

chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    _declare_polynomial(f"chebyshev_polynomial_{letter}", _CHEBYSHEV.format("", _KINDS[letter]), value)
    for letter, value in (("t", "-0.5000"), ("u", "0."), ("v", "-1."), ("w", "1."))
)
(
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
) = (
    _declare_polynomial(f"shifted_chebyshev_polynomial_{letter}", _CHEBYSHEV.format("shifted ", _KINDS[letter]), "-1.")
    for letter in "tuvw"
)
hermite_polynomial_h = _declare_polynomial("hermite_polynomial_h", "The Hermite polynomial, physicists',", "-1.")
hermite_polynomial_he = _declare_polynomial(
    "hermite_polynomial_he", "The Hermite polynomial, statisticians',", "-0.7500"
)
laguerre_polynomial_l = _declare_polynomial("laguerre_polynomial_l", "The Laguerre polynomial", "0.1250")
legendre_polynomial_p = _declare_polynomial("legendre_polynomial_p", "The Legendre polynomial", "-0.1250")
