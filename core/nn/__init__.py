"""Neural networks: modules, their parameters, and the functions they are made of.

Examples
--------
>>> import retrograd
>>> from retrograd import nn
>>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
>>> model(retrograd.ones(2, 4)).shape
retrograd.Size([2, 1])
"""

# ruff: noqa: F403 - each theme lists what it exports
from retrograd.nn import (
    _reduction as _reduction,
    attention,
    common_types as common_types,
    functional,
    grad,
    init,
    modules,
    parallel,
    parameter,
    utils,
)
from retrograd.nn.modules import *
from retrograd.nn.modules import __all__ as _modules
from retrograd.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from retrograd.places import settle as _settle

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]
__all__ += ["attention", "functional", "grad", "init", "modules", "parallel", "parameter", "utils"]
__all__ += _modules

_settle(__name__)
