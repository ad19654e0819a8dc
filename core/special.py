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
from retrograd.ops.special_normal import (
    entr as entr,
    log_ndtr as log_ndtr,
    mvlgamma as multigammaln,
    ndtr as ndtr,
    xlog1py as xlog1py,
)

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc",
    "gammaln", "i0", "i0e", "i1", "i1e", "log1p", "log_ndtr",
    "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "polygamma", "psi", "round", "sinc", "softmax",
    "xlog1py", "xlogy",
]  # fmt: skip

psi = digamma
exp2: Any = _publics["exp2"]
expm1: Any = _publics["expm1"]
log1p: Any = _publics["log1p"]
logsumexp: Any = _publics["logsumexp"]
round: Any = _publics["round"]
