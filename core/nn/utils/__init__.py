"""What is done with the parameters of modules, and sequences of unequal length for recurrent layers."""

# ruff: noqa: F403 - each theme lists what it exports
from retrograd.nn.utils import rnn
from retrograd.nn.utils.clip_grad import *
from retrograd.nn.utils.clip_grad import __all__ as _clip_grad
from retrograd.nn.utils.convert_parameters import *
from retrograd.nn.utils.convert_parameters import __all__ as _convert_parameters

__all__ = ["rnn"]
__all__ += _clip_grad
__all__ += _convert_parameters
