"""Special functions of SciPy's, of arrays of any backend: on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["special"]

Host = np.ndarray[Any, Any]


def special(K: Any, function: str, *arrays: Any) -> Any:
    """SciPy's function, or one of ours, of arrays of one floating-point type."""
    if K.meta:
        return K.special(function, *arrays)
    import scipy.special

    found = _OWN.get(function) or getattr(scipy.special, function)
    hosts = [np.asarray(K.to_host(each)) for each in arrays]
    type_ = hosts[0].dtype
    wide = [each.astype(np.float32) if type_.itemsize == 2 else each for each in hosts]
    with np.errstate(all="ignore"):
        return K.from_host(np.asarray(found(*wide)).astype(type_))


def _airy(x: Host) -> Host:
    import scipy.special

    found: Host = scipy.special.airy(x)[0]
    return found


def _spherical(x: Host) -> Host:
    import scipy.special

    found: Host = scipy.special.spherical_jn(0, x)
    return found


def _by_degree(evaluate: str, *, shift: bool = False) -> Callable[[Host, Host], Host]:
    """A family of polynomials at x; of a negative degree they are zero."""

    def found(x: Host, n: Host) -> Host:
        import scipy.special

        degree, at = np.trunc(n).astype(np.int64), x.astype(np.float64)
        at = 2 * at - 1 if shift else at
        family = getattr(scipy.special, f"eval_{evaluate}")
        values: Host = np.where(degree < 0, 0.0, family(np.maximum(degree, 0), at))
        return values

    return found


def _third_or_fourth(sign: int, *, shift: bool) -> Callable[[Host, Host], Host]:
    """Chebyshev's polynomials of the third (-1) and fourth (1) kind, from those of the second."""
    second = _by_degree("chebyu", shift=shift)

    def found(x: Host, n: Host) -> Host:
        return second(x, n) + sign * second(x, n - 1)

    return found


_OWN: dict[str, Callable[..., Host]] = {
    "own airy": _airy,
    "own spherical": _spherical,
    "chebyshev_polynomial_t": _by_degree("chebyt"),
    "chebyshev_polynomial_u": _by_degree("chebyu"),
    "chebyshev_polynomial_v": _third_or_fourth(-1, shift=False),
    "chebyshev_polynomial_w": _third_or_fourth(1, shift=False),
    "shifted_chebyshev_polynomial_t": _by_degree("chebyt", shift=True),
    "shifted_chebyshev_polynomial_u": _by_degree("chebyu", shift=True),
    "shifted_chebyshev_polynomial_v": _third_or_fourth(-1, shift=True),
    "shifted_chebyshev_polynomial_w": _third_or_fourth(1, shift=True),
    "hermite_polynomial_h": _by_degree("hermite"),
    "hermite_polynomial_he": _by_degree("hermitenorm"),
    "laguerre_polynomial_l": _by_degree("laguerre"),
    "legendre_polynomial_p": _by_degree("legendre"),
}
