"""The modules of `retrograd.nn`, by theme, as PyTorch has them."""

# ruff: noqa: F403 - each theme lists what it exports
from retrograd.nn.modules.activation import *
from retrograd.nn.modules.activation import __all__ as _activation
from retrograd.nn.modules.adaptive import *
from retrograd.nn.modules.adaptive import __all__ as _adaptive
from retrograd.nn.modules.attention import *
from retrograd.nn.modules.attention import __all__ as _attention
from retrograd.nn.modules.batchnorm import *
from retrograd.nn.modules.batchnorm import __all__ as _batchnorm
from retrograd.nn.modules.channelshuffle import *
from retrograd.nn.modules.channelshuffle import __all__ as _channelshuffle
from retrograd.nn.modules.container import *
from retrograd.nn.modules.container import __all__ as _container
from retrograd.nn.modules.conv import *
from retrograd.nn.modules.conv import __all__ as _conv
from retrograd.nn.modules.distance import *
from retrograd.nn.modules.distance import __all__ as _distance
from retrograd.nn.modules.dropout import *
from retrograd.nn.modules.dropout import __all__ as _dropout
from retrograd.nn.modules.everywhere import *
from retrograd.nn.modules.flatten import *
from retrograd.nn.modules.flatten import __all__ as _flatten
from retrograd.nn.modules.fold import *
from retrograd.nn.modules.fold import __all__ as _fold
from retrograd.nn.modules.instancenorm import *
from retrograd.nn.modules.instancenorm import __all__ as _instancenorm
from retrograd.nn.modules.lazy import *
from retrograd.nn.modules.lazy import __all__ as _lazy
from retrograd.nn.modules.linear import *
from retrograd.nn.modules.linear import __all__ as _linear
from retrograd.nn.modules.loss import *
from retrograd.nn.modules.loss import __all__ as _loss
from retrograd.nn.modules.module import Module
from retrograd.nn.modules.normalization import *
from retrograd.nn.modules.normalization import __all__ as _normalization
from retrograd.nn.modules.padding import *
from retrograd.nn.modules.padding import __all__ as _padding
from retrograd.nn.modules.parallel import *
from retrograd.nn.modules.parallel import __all__ as _parallel
from retrograd.nn.modules.pixelshuffle import *
from retrograd.nn.modules.pixelshuffle import __all__ as _pixelshuffle
from retrograd.nn.modules.pooling import *
from retrograd.nn.modules.pooling import __all__ as _pooling
from retrograd.nn.modules.rnn import *
from retrograd.nn.modules.rnn import __all__ as _rnn
from retrograd.nn.modules.sparse import *
from retrograd.nn.modules.sparse import __all__ as _sparse
from retrograd.nn.modules.transformer import *
from retrograd.nn.modules.transformer import __all__ as _transformer
from retrograd.nn.modules.upsampling import *
from retrograd.nn.modules.upsampling import __all__ as _upsampling

__all__ = ["Module"]
__all__ += _activation
__all__ += _adaptive
__all__ += _attention
__all__ += _batchnorm
__all__ += _channelshuffle
__all__ += _container
__all__ += _conv
__all__ += _distance
__all__ += _dropout
__all__ += _flatten
__all__ += _fold
__all__ += _instancenorm
__all__ += _lazy
__all__ += _linear
__all__ += _loss
__all__ += _normalization
__all__ += _padding
__all__ += _parallel
__all__ += _pixelshuffle
__all__ += _pooling
__all__ += _rnn
__all__ += _sparse
__all__ += _transformer
__all__ += _upsampling
