"""The modules of `retrograd.nn`, by theme."""

# ruff: noqa: F403 - each theme lists what it exports
from retrograd.nn.modules.activation import *
from retrograd.nn.modules.activation import __all__ as _activation
from retrograd.nn.modules.attention import *
from retrograd.nn.modules.attention import __all__ as _attention
from retrograd.nn.modules.container import *
from retrograd.nn.modules.container import __all__ as _container
from retrograd.nn.modules.conv import *
from retrograd.nn.modules.conv import __all__ as _conv
from retrograd.nn.modules.everywhere import *
from retrograd.nn.modules.lazy import *
from retrograd.nn.modules.lazy import __all__ as _lazy
from retrograd.nn.modules.linear import *
from retrograd.nn.modules.linear import __all__ as _linear
from retrograd.nn.modules.loss import *
from retrograd.nn.modules.loss import __all__ as _loss
from retrograd.nn.modules.module import Module
from retrograd.nn.modules.normalization import *
from retrograd.nn.modules.normalization import __all__ as _normalization
from retrograd.nn.modules.pooling import *
from retrograd.nn.modules.pooling import __all__ as _pooling
from retrograd.nn.modules.recurrent import *
from retrograd.nn.modules.recurrent import __all__ as _recurrent
from retrograd.nn.modules.transformer import *
from retrograd.nn.modules.transformer import __all__ as _transformer

__all__ = ["Module"]
__all__ += _activation
__all__ += _attention
__all__ += _container
__all__ += _conv
__all__ += _lazy
__all__ += _linear
__all__ += _loss
__all__ += _normalization
__all__ += _pooling
__all__ += _recurrent
__all__ += _transformer
