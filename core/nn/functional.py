"""Functions of tensors that neural networks are made of; the modules of `retrograd.nn` call these.

Source: https://docs.pytorch.org/docs/stable/nn.functional.html
"""

# ruff: noqa: F403 - each theme lists what it exports
from retrograd.nn.functions import (
    activation as _activation,
    attention as _attention,
    convolution as _convolution,
    ctc as _ctc,
    distance as _distance,
    fractional_pooling as _fractional_pooling,
    grids as _grids,
    linear as _linear,
    linear_loss as _linear_loss,
    loss as _loss,
    multihead as _multihead,
    normalization as _normalization,
    pooling as _pooling,
    vision as _vision,
)
from retrograd.nn.functions.activation import *
from retrograd.nn.functions.attention import *
from retrograd.nn.functions.convolution import *
from retrograd.nn.functions.ctc import *
from retrograd.nn.functions.distance import *
from retrograd.nn.functions.fractional_pooling import *
from retrograd.nn.functions.grids import *
from retrograd.nn.functions.linear import *
from retrograd.nn.functions.linear_loss import *
from retrograd.nn.functions.loss import *
from retrograd.nn.functions.multihead import *
from retrograd.nn.functions.normalization import *
from retrograd.nn.functions.pooling import *
from retrograd.nn.functions.vision import *

__all__: list[str] = []
__all__ += _activation.__all__
__all__ += _attention.__all__
__all__ += _convolution.__all__
__all__ += _ctc.__all__
__all__ += _distance.__all__
__all__ += _fractional_pooling.__all__
__all__ += _grids.__all__
__all__ += _linear.__all__
__all__ += _linear_loss.__all__
__all__ += _loss.__all__
__all__ += _multihead.__all__
__all__ += _normalization.__all__
__all__ += _pooling.__all__
__all__ += _vision.__all__
