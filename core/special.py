"""Special functions, under the names that `torch.special` gives them.

Source: https://docs.pytorch.org/docs/stable/special.html
"""

from __future__ import annotations

from typing import Any

from retrograd.nn.functional import log_softmax as log_softmax, softmax as softmax
from retrograd.ops.declare import publics as _publics
from retrograd.ops.special import (
    digamma as digamma,
    erf as erf,
    erfc as erfc,
    erfinv as erfinv,
    lgamma as gammaln,
    logit as logit,
    polygamma as polygamma,
    sigmoid as expit,
    sinc as sinc,
    xlogy as xlogy,
)
from retrograd.ops.special_bessel import (
    i0 as i0,
    i0e as i0e,
    i1 as i1,
    i1e as i1e,
    igamma as gammainc,
    igammac as gammaincc,
)
from retrograd.ops.special_hosted import (
    airy_ai as airy_ai,
    bessel_j0 as bessel_j0,
    bessel_j1 as bessel_j1,
    bessel_y0 as bessel_y0,
    bessel_y1 as bessel_y1,
    chebyshev_polynomial_t as chebyshev_polynomial_t,
    chebyshev_polynomial_u as chebyshev_polynomial_u,
    chebyshev_polynomial_v as chebyshev_polynomial_v,
    chebyshev_polynomial_w as chebyshev_polynomial_w,
    erfcx as erfcx,
    hermite_polynomial_h as hermite_polynomial_h,
    hermite_polynomial_he as hermite_polynomial_he,
    laguerre_polynomial_l as laguerre_polynomial_l,
    legendre_polynomial_p as legendre_polynomial_p,
    modified_bessel_i0 as modified_bessel_i0,
    modified_bessel_i1 as modified_bessel_i1,
    modified_bessel_k0 as modified_bessel_k0,
    modified_bessel_k1 as modified_bessel_k1,
    ndtri as ndtri,
    scaled_modified_bessel_k0 as scaled_modified_bessel_k0,
    scaled_modified_bessel_k1 as scaled_modified_bessel_k1,
    shifted_chebyshev_polynomial_t as shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u as shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v as shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w as shifted_chebyshev_polynomial_w,
    spherical_bessel_j0 as spherical_bessel_j0,
    zeta as zeta,
)
from retrograd.ops.special_normal import (
    entr as entr,
    log_ndtr as log_ndtr,
    mvlgamma as multigammaln,
    ndtr as ndtr,
    xlog1py as xlog1py,
)

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t",
    "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr", "erf",
    "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln",
    "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e", "laguerre_polynomial_l",
    "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "modified_bessel_i0",
    "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "multigammaln", "ndtr", "ndtri",
    "polygamma", "psi", "round", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
    "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy", "zeta",
]  # fmt: skip

psi = digamma
exp2: Any = _publics["exp2"]
expm1: Any = _publics["expm1"]
log1p: Any = _publics["log1p"]
logsumexp: Any = _publics["logsumexp"]
round: Any = _publics["round"]
