"""What is done with the parameters of modules, and sequences of unequal length for recurrent layers."""

# ruff: noqa: F403 - each theme lists what it exports
from retrograd.nn.utils import parametrizations, parametrize, rnn, stateless
from retrograd.nn.utils.clip_grad import *
from retrograd.nn.utils.clip_grad import __all__ as _clip_grad
from retrograd.nn.utils.convert_parameters import *
from retrograd.nn.utils.convert_parameters import __all__ as _convert_parameters
from retrograd.nn.utils.fusion import *
from retrograd.nn.utils.fusion import __all__ as _fusion
from retrograd.nn.utils.init import skip_init
from retrograd.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from retrograd.nn.utils.weight_norm import remove_weight_norm, weight_norm

__all__ = ["parametrizations", "parametrize", "remove_spectral_norm", "remove_weight_norm", "rnn"]
__all__ += ["skip_init", "spectral_norm", "stateless", "weight_norm"]
__all__ += _clip_grad
__all__ += _convert_parameters
__all__ += _fusion
