"""Which operators refuse the float8 types, and in whose name.

These are types to keep numbers in. What moves, converts or compares elements takes them; what computes refuses, with
the name of PyTorch's kernel. So an operator that promotes refuses unless `_TAKEN` says otherwise, and another one
refuses if `_REFUSED` has a name for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrograd.dtypes import FLOAT8

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retrograd.dtypes import dtype

__all__ = ["Refusal", "refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator that refuses float8 types, except those that it takes.

    Attributes
    ----------
    kernel
        PyTorch's name of what computes it.
    taken
        The names of the types that it takes nevertheless.
    of_scalars
        Whether it takes them all between tensors that have dimensions, and refuses others.
    """

    kernel: str
    taken: frozenset[str] = frozenset()
    of_scalars: bool = False

    def check(self, type_: dtype, values: Mapping[str, Any], k: Any, inputs: Sequence[Any] = ()) -> None:
        """Refuse elements of `type_`, unless the other arguments name another type to compute in.

        Raises
        ------
        NotImplementedError
            In PyTorch's words.
        """
        if self.of_scalars and all(getattr(each, "ndim", 0) for each in inputs):
            return
        chosen = values.get("dtype")
        if type_.name in self.taken or (chosen is not None and chosen not in FLOAT8 and chosen not in k.float8):
            return
        raise NotImplementedError(f"\"{self.kernel}\" not implemented for '{type_.type_name}'")


def refusal(name: str, promotes: bool, kernel: str | None) -> Refusal | None:
    """What the operator `name` refuses; None, if nothing. `kernel` is the name in which it refuses other types."""
    if name in _TAKEN:
        return None
    kernel = _KERNELS.get(name, kernel)
    if kernel is None and promotes:
        kernel = f"{name.strip('_').removeprefix('special_')}_cpu"
    return None if kernel is None else Refusal(kernel, _PARTLY.get(name, frozenset()), name == "mul")


_TAKEN = frozenset(("eq", "ne", "isnan", "isreal", "_where", "where"))

_SIGNED = frozenset(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"))

_PARTLY = {
    "abs": _SIGNED,
    "isfinite": frozenset(("float8_e5m2", "float8_e8m0fnu")),
    "isinf": frozenset(("float8_e5m2",)),
    **dict.fromkeys(("_mm", "_addmm", "_addbmm"), _SIGNED),
}

# name in PyTorch: operators here
_REFUSED = """
acos_vml_cpu: acos
adaptive_avg_pool2d: _adaptive_avg_pool2d
adaptive_avg_pool3d_cpu: _adaptive_avg_pool3d
adaptive_max_pool2d: _adaptive_max_pool2d
adaptive_max_pool3d_cpu: _adaptive_max_pool3d
add_stub: add sub _rsub_number _rsub _add_number
addcdiv_cpu_out: addcdiv
addmm_impl_cpu_: _addmm _mm _addbmm
addmv_impl_cpu: _mv _addmv
addr_cpu: _addr
aminmax_cpu: _aminmax
argmax_cpu: _argmax
argmin_cpu: _argmin
asin_vml_cpu: asin
atan_vml_cpu: atan
avg_pool2d: _avg_pool2d
avg_pool3d_out_frame: _avg_pool3d
baddbmm: _baddbmm
bernoulli_scalar_cpu_: _bernoulli_in_place
bernoulli_tensor_cpu_self_: _bernoulli _bernoulli_tensor_in_place
bmm: _bmm
cauchy_cpu: _cauchy_in_place
ceil_vml_cpu: ceil
check_uniform_bounds: _uniform_in_place
clamp_max_scalar_cpu: _clamp_max_number
clamp_min_scalar_cpu: relu _clamp_min_number
clamp_scalar_cpu: _clamp_number _hardtanh
col2im_out_cpu: _fold
compute_indices_weights_cubic: _UpsampleBicubic2D
compute_indices_weights_linear: _UpsampleLinear1D _UpsampleTrilinear3D
compute_indices_weights_nearest: _UpsampleNearest1D _UpsampleNearestExact1D
cos_vml_cpu: cos
cross: _linalg_cross
cummax_cpu: _cummax
cummin_cpu: _cummin
cumprod_out_cpu: _cumprod
cumsum_out_cpu: _cumsum
div_cpu_reduced_float: true_divide
div_floor_cpu: _div_rounded floor_divide
dot: _dot _vdot
elu_cpu: _elu _celu _elu_ _celu_
exp2: exp2
exp_vml_cpu: exp
expm1_vml_cpu: expm1
exponential_cpu: _exponential_in_place
flip_cpu: _flip _rot90
floor_vml_cpu: floor
fmod_cpu: _fmod_number
GeluKernelImpl: _gelu
geometric_cpu: _geometric_in_place
geqrf_cpu: _linalg_qr
glu_cpu: _glu
grid_sampler_2d_cpu_kernel_impl: _grid_sampler_2d
grid_sampler_3d_cpu_kernel_impl: _grid_sampler_3d
hardshrink_cpu: _hardshrink
hardsigmoid_cpu: _hardsigmoid
hardswish_cpu: _hardswish
histogramdd: _histogram_kept
im2col_out_cpu: _unfold
index_add_: _index_add
index_copy_cpu: _index_copy
index_fill_cpu: _index_fill _index_fill_tensor
isfinite: isfinite
isinf: isinf
isneginf_cpu: isneginf
isposinf_cpu: isposinf
kthvalue_cpu: _kthvalue
leaky_relu_cpu: _leaky_relu _leaky_relu_ _rrelu _rrelu_fixed
linalg_eigh_cpu: _linalg_eigh
linalg_svd_cpu: _linalg_svd
log10_vml_cpu: log10
log1p_vml_cpu: log1p
log2_vml_cpu: log2
log_normal_cpu: _log_normal_in_place
log_sigmoid_cpu: _log_sigmoid
log_softmax_lastdim_kernel_impl: _log_softmax _log_softmax_of_scalar
log_vml_cpu: log
logcumsumexp_out_cpu: _logcumsumexp
lu_cpu: _linalg_inv _linalg_det _linalg_solve _linalg_lu
masked_fill: _masked_fill _masked_fill_tensor
max_all: _max_all
max_cpu: _max_dim
max_pool2d: _max_pool2d
max_pool3d: _max_pool3d
max_values_cpu: _logsumexp _amax
median_cpu: _median_all _nanmedian_all
median_out: _median_dim _nanmedian_dim
min_all: _min_all
min_cpu: _min_dim
min_values_cpu: _amin
minimum_cpu: _index_reduce
mish_cpu: _mish
mode_cpu: _mode
mul_cpu_reduced_float: deg2rad rad2deg mul _mul_number _isclose
multi_margin_loss_cpu_kernel: _multi_margin_loss
nan_to_num: nan_to_num
nansum_cpu: _nansum
neg_cpu: _soft_margin_loss
nonzero_count_cpu: _count_nonzero
norm_cpu: _vector_norm
normal_kernel_cpu: _normal_by_mean _normal_by_std _normal_by_both _normal_in_place
orgqr_cpu: _linalg_householder_product
poisson_cpu: _poisson
polygamma: polygamma
pow: _pow_number _pow_of_number ldexp
prod_out_cpu: _prod_all _prod
random_kernel_cpu: _random_in_place
random_update_from_to: _random_to_in_place _random_from_in_place
reflection_pad1d: _ReflectionPad1D
reflection_pad2d: _ReflectionPad2D
reflection_pad3d: _ReflectionPad3D
remainder_cpu: _remainder_number
replication_pad1d: _ReplicationPad1D
replication_pad2d: _ReplicationPad2D
replication_pad3d: _ReplicationPad3D
scatter_gather_scalar_cpu: _scatter_value
gather_expanded_index: _gather
scatter_gather_tensor_cpu: _scatter _scatter_add _scatter_reduce
sigmoid_cpu_reduced_float: sigmoid
sign_cpu: sgn
signbit_cpu: signbit
silu_cpu: _silu
sin_vml_cpu: sin
slow_conv2d_cpu: _convolution
slow_conv_transpose2d_out_cpu: _transposed_convolution
softmax_lastdim_kernel_impl: _softmax _softmax_of_scalar _softmax_of_finite _safe_softmax
softplus_cpu: _softplus
softshrink_check: _softshrink
sorting_kernel_method_name: _sort _sort_stable _argsort
sqrt_vml_cpu: sqrt
std_cpu: _var _std _var_mean _std_mean
sum_cpu: _sum_all _sum _mean_all _mean _linalg_matrix_exp
take_cpu: _take
take_put_cpu: _put
tan_vml_cpu: tan
tanh_vml_cpu: tanh
threshold_cpu: _threshold _threshold_
topk_cpu: _topk
trace: _trace
tril: tril _cholesky _linalg_cholesky
triu: triu
trunc_vml_cpu: trunc
unique: _unique2_kept _unique_dim_kept _unique_consecutive_kept
upsample_bilinear2d_channels_last: _UpsampleBilinear2D
upsample_nearest2d_channels_last: _UpsampleNearest2D _UpsampleNearestExact2D
upsample_nearest3d_channels_last: _UpsampleNearest3D _UpsampleNearestExact3D
"""

_KERNELS = {
    name: kernel
    for line in _REFUSED.strip().splitlines()
    for kernel, _, names in (line.partition(":"),)
    for name in names.split()
}
