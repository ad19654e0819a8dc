"""retrograd: PyTorch's define-by-run automatic differentiation over pluggable array backends.

    import retrograd as torch

What PyTorch calls `torch.X` is here `retrograd.X`, with the same meaning. What is added: backends
(`use_backend`, `set_default_backend`, `device("jax")`) and the parameter server
(`retrograd.distributed`).
"""

from __future__ import annotations

import math as _math
from typing import TYPE_CHECKING as _TYPE_CHECKING, Any

from retrograd import autograd as autograd, dtypes as _dtypes, places as _places
from retrograd.autograd.inference import (
    inference_mode as inference_mode,
    is_inference as is_inference,
    is_inference_mode_enabled as is_inference_mode_enabled,
)
from retrograd.autograd.modes import (
    enable_grad as enable_grad,
    is_grad_enabled as is_grad_enabled,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)
from retrograd.backends.registry import BackendError as BackendError
from retrograd.device import (
    device as device,
    get_default_backend as get_default_backend,
    get_default_device as get_default_device,
    set_default_backend as set_default_backend,
    set_default_device as set_default_device,
    use_backend as use_backend,
)
from retrograd.dtypes import (
    bfloat16 as bfloat16,
    can_cast as can_cast,
    complex64 as complex64,
    complex128 as complex128,
    dtype as dtype,
    finfo as finfo,
    float8_e4m3fn as float8_e4m3fn,
    float8_e4m3fnuz as float8_e4m3fnuz,
    float8_e5m2 as float8_e5m2,
    float8_e5m2fnuz as float8_e5m2fnuz,
    float8_e8m0fnu as float8_e8m0fnu,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    get_default_dtype as get_default_dtype,
    iinfo as iinfo,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    promote_types as promote_types,
    set_default_dtype as set_default_dtype,
    uint8 as uint8,
    uint16 as uint16,
    uint32 as uint32,
    uint64 as uint64,
)
from retrograd.parameter import Parameter as Parameter
from retrograd.size import Size as Size
from retrograd.tensor import Tensor as Tensor

# isort: split
from retrograd.ops import specialise as _specialise

_specialise.link(Tensor=Tensor, Parameter=Parameter, new=object.__new__)
from retrograd.ops import namespace as _namespace  # noqa: E402 - operators need the classes linked

globals().update(_namespace.load())

# isort: split
from retrograd import sparse as sparse  # noqa: E402
from retrograd.autograd.anomaly import (  # noqa: E402
    is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled,
    is_anomaly_enabled as is_anomaly_enabled,
)
from retrograd.ops import return_types as return_types  # noqa: E402
from retrograd.read_only import seal as _seal  # noqa: E402
from retrograd.sparse.compressing import (  # noqa: E402
    sparse_compressed_tensor as sparse_compressed_tensor,
    sparse_csc_tensor as sparse_csc_tensor,
    sparse_csr_tensor as sparse_csr_tensor,
)
from retrograd.sparse.construction import sparse_coo_tensor as sparse_coo_tensor  # noqa: E402
from retrograd.sparse.products import hspmm as hspmm, smm as smm, sspaddmm as sspaddmm  # noqa: E402
from retrograd.version import __version__ as __version__  # noqa: E402

_seal(Tensor, "retrograd._C.TensorBase")  # now that it has all its attributes

_places.install()

# PyTorch's names
bool = _dtypes.bool_
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128
pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None

_LAZY = """
    _C __config__ _jit_internal _lobpcg _lowrank _ops _tensor _tensor_str _utils _vmap_internals
    accelerator amp backends compiler cpu cuda distributed distributions fft func functional futures hub
    jit library linalg masked multiprocessing nn onnx optim overrides profiler quasirandom random signal special
    testing types utils version
""".split()

_OF_NN = """
    adaptive_avg_pool1d adaptive_max_pool1d alpha_dropout avg_pool1d bilinear celu celu_ channel_shuffle conv1d conv2d
    conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity dropout feature_alpha_dropout
    group_norm hardshrink layer_norm max_pool1d max_pool2d max_pool3d pairwise_distance pdist pixel_shuffle
    pixel_unshuffle prelu rms_norm rrelu rrelu_ selu selu_ threshold threshold_
""".split()
"""Functions of `nn.functional` that PyTorch has in its namespace too."""

_OF_FORMS = """
    alpha_dropout_ batch_norm binary_cross_entropy_with_logits constant_pad_nd convolution cosine_embedding_loss
    ctc_loss dropout_ embedding embedding_bag embedding_renorm_ feature_alpha_dropout_ feature_dropout
    feature_dropout_ gru_cell hinge_embedding_loss instance_norm kl_div lstm_cell margin_ranking_loss
    max_pool1d_with_indices native_batch_norm native_channel_shuffle native_dropout native_group_norm
    native_layer_norm norm_except_dim poisson_nll_loss rnn_relu_cell rnn_tanh_cell triplet_margin_loss
""".split()
"""Functions of layers that PyTorch's namespace has in forms of its own."""

_OF_RNN = ["gru", "lstm", "rnn_relu", "rnn_tanh"]

_OF_GRIDS = ["affine_grid_generator", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d"]

_OLD = "dsmm eig hsmm lstsq matrix_rank saddmm solve spmm symeig".split()

_CHECKS = """
    _check _check_index _check_is_size _check_not_implemented _check_tensor_all _check_type _check_value _check_with
""".split()

_SYMBOLIC = ["SymBool", "SymFloat", "SymInt"]

_POINTERS = ["_convert_indices_from_coo_to_csr", "_convert_indices_from_csr_to_coo"]

_OF_SHAPES = ["_dirichlet_grad", "_sample_dirichlet", "_standard_gamma", "_standard_gamma_grad"]

_FROM = {
    **dict.fromkeys(("_chunk_cat", "_segment_reduce"), "ops.segments"),
    "Future": "futures",
    **dict.fromkeys(_SYMBOLIC, "symbolic"),
    **dict.fromkeys(_CHECKS, "asserting"),
    **dict.fromkeys(_OLD, "old_names"),
    **dict.fromkeys(_POINTERS, "sparse.pointers"),
    **dict.fromkeys(_OF_SHAPES, "ops.gamma_sampling"),
    **dict.fromkeys(_OF_GRIDS, "ops.grids"),
    **dict.fromkeys(_OF_FORMS, "nn.functions.in_namespace"),
    **dict.fromkeys(_OF_RNN, "nn.modules.rnn_functions"),
}
"""Names that are imported when first used, and the module each is in."""

_OF_AMP = """
    GradScaler autocast
""".split()
"""Names of `amp` that PyTorch has in its namespace too."""

if _TYPE_CHECKING:  # without `distributed`, which no module of the core knows
    from retrograd import (
        accelerator as accelerator,
        amp as amp,
        backends as backends,
        compiler as compiler,
        cpu as cpu,
        cuda as cuda,
        distributions as distributions,
        fft as fft,
        func as func,
        functional as functional,
        futures as futures,
        hub as hub,
        jit as jit,
        library as library,
        linalg as linalg,
        masked as masked,
        multiprocessing as multiprocessing,
        nn as nn,
        onnx as onnx,
        optim as optim,
        overrides as overrides,
        profiler as profiler,
        quasirandom as quasirandom,
        random as random,
        signal as signal,
        special as special,
        testing as testing,
        types as types,
        utils as utils,
        version as version,
    )
    from retrograd.compiler import compile as compile
    from retrograd.func import vmap as vmap


def __getattr__(name: str) -> Any:
    """Import sub-packages, and what comes from them, when first used."""
    if name in _LAZY:
        from importlib import import_module

        return import_module(f"retrograd.{name}")
    if name in _OF_NN:
        from retrograd.nn import functional

        return getattr(functional, name)
    if name in _FROM:
        from importlib import import_module

        return getattr(import_module(f"retrograd.{_FROM[name]}"), name)
    if name in _OF_AMP:
        from retrograd import amp

        return getattr(amp, name)
    if name == "compile":
        from retrograd.compiler import compile

        return compile
    if name == "vmap":
        from retrograd.func import vmap

        return vmap
    raise AttributeError(f"module 'retrograd' has no attribute {name!r}")


_OWN_MODULES = ("autograd", "return_types", "sparse")  # others that are loaded by now are not meant for programs

__all__ = sorted(
    {
        name
        for name, value in globals().items()
        if not name.startswith("_") and name not in ("Any", "annotations")
        if type(value) is not type(_math) or name in _OWN_MODULES
    }
    | {*(name for name in _LAZY if name[0] != "_"), *_FROM, *_OF_AMP, *_OF_NN, "compile", "vmap"}
)
