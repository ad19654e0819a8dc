"""Which types `out=` may have: as PyTorch says it, function by function.

Most functions cast their result to the type of `out`, unless that loses a category. Others want its own type.
"""

from __future__ import annotations

from typing import Final

from retrograd.dtypes import cpp_name, dtype
from retrograd.ops.checks import check_castable

__all__ = ["check_out_type"]

_EXACT: Final = frozenset(
    """
    addmm addmv baddbmm bmm mm matmul cross linalg_cross diag isin lu_unpack lu_solve softmax log_softmax
    aminmax topk qr svd slice_scatter triangular_solve gather index_copy index_add index_reduce sort scatter scatter_add
    scatter_reduce msort renorm take_along_dim tril triu norm argmax argmin alias_copy as_strided_copy diagonal_copy
    expand_copy permute_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy
    unsqueeze_copy view_copy linalg_det linalg_cholesky linalg_cholesky_ex linalg_eigh linalg_eigvalsh linalg_ldl_factor
    linalg_ldl_factor_ex linalg_ldl_solve linalg_qr linalg_slogdet linalg_vector_norm linalg_lu_factor
    linalg_lu_factor_ex linalg_lu linalg_lu_solve linalg_inv linalg_inv_ex linalg_solve linalg_solve_ex linalg_svd
    linalg_svdvals inverse
""".split()
)
"""Those that say so in common words."""

_EXACT_OF_SEVERAL: Final = frozenset(("max", "min"))
"""Those of them that do where they have several results."""

_FOUND: Final = "abs bitwise_not ceil conj_physical frac floor neg negative round sign sgn trunc fix".split()

_SAFELY: Final = (
    "cholesky cholesky_inverse cholesky_solve linalg_cond linalg_pinv matrix_power linalg_matrix_power".split()
)

_JOINED: Final = "cat column_stack stack hstack vstack dstack row_stack".split()

_WORDS: Final[dict[str, str]] = {
    **dict.fromkeys(_FOUND, "Found dtype {out} but expected {result}"),
    **dict.fromkeys(("cummax", "cummin", "logcumsumexp"), "expected scalar_type {result} but found {out}"),
    **dict.fromkeys(("signbit", "isposinf", "isneginf"), "{name} does not support non-boolean outputs."),
    **dict.fromkeys(("linalg_norm", "linalg_matrix_norm"), "{name} expected out tensor dtype {result} but got: {out}"),
    **dict.fromkeys(("dot", "vdot"), "result dtype {out} does not match input dtype {result}"),
    **dict.fromkeys(
        ("complex", "polar"), "Expected object of scalar type {result} but got scalar type {out} for argument 'out'"
    ),
    **dict.fromkeys(("masked_select", "index_select"), "{name}(): self and result must have the same scalar type"),
    **dict.fromkeys(
        ("amax", "amin"),
        "Expected the dtype for input and out to match, but got {result} for input's dtype and {out} for out's dtype.",
    ),
    **dict.fromkeys(("quantile", "nanquantile"), "quantile() out tensor must be same dtype as the input tensor"),
    **dict.fromkeys(
        ("searchsorted", "bucketize"),
        "{own}.searchsorted(): output tensor's dtype is wrong, it can only be Int(int32) or Long(int64) depending on "
        "whether out_int32 flag is True, but we got output tensor's dtype {out} and out_int32 flag is {is_int}",
    ),
    "linalg_solve_triangular": "expected scalar type {result} but found {out}",
    "linalg_eig": "{own}.linalg.eig: Expected eigenvalues to be safely castable from {result} dtype, but got "
    "eigenvalues with dtype {out}",
    "addbmm": "self and mat2 must have the same dtype, but got {out} and {result}",
    "mv": "addmv input tensors must have the same dtype, but got {result}, {result}, and {out}",
    "kthvalue": "output values must be of same type as input",
    "heaviside": "heaviside is not yet implemented for tensors with different dtypes.",
    "float_power": "the output given to float_power has dtype {out} but the operation's result requires dtype {result}",
    "nan_to_num": "nan_to_num: dtype of out: {out} should be same as input: {result}",
    "take": "take(): self and out expected to have the same dtype, but got self.dtype = {result} and out.dtype = {out}",
    "multinomial": "multinomial expects Long tensor out, got: {out}",
    "mode": "expected scalar type '{result}' but got '{out}' for values output",
    "ormqr": "{own}.ormqr: Expected input and result to have the same dtype, but input has dtype{result} and result "
    "has dtype {out}",
    "tensordot": "tensordot: Expected the output tensor to have dtype {result}, but got an output tensor with dtype "
    "{out}",
    "where": "Expected out type to be {result} but got {out}",
}
"""Of those that say it in words of their own."""

_WORDS_OF_CASTS: Final[dict[str, str]] = {
    **dict.fromkeys(_JOINED, "{own}.cat(): input types can't be cast to the desired output type {out}"),
    **dict.fromkeys(
        _SAFELY, "{name}: Expected result to be safely castable from {result} dtype, but got result with dtype {out}"
    ),
    "linalg_eigvals": "{own}.linalg.eigvals: Expected eigenvalues to be safely castable from {result} dtype, but got "
    "eigenvalues with dtype {out}",
    "mvlgamma": "mvlgamma: result type {result} can't be cast to the desired output type {out}",
}
"""Of those that cast, and refuse what does not go in words of their own."""

_ANY: Final = frozenset(("cumsum", "cumprod"))
"""Those that compute in the type of `out`."""

_OF_BOOLS: Final = frozenset(("all", "any"))


def check_out_type(name: str, result: dtype, out: dtype, several: bool = False) -> None:
    """Refuse an `out` whose type the function `name` cannot give its result, which is one of `several` or not.

    Raises
    ------
    RuntimeError, TypeError
        In PyTorch's words.
    """
    if out is result or name in _ANY:
        return
    if name in _EXACT or (several and name in _EXACT_OF_SEVERAL):
        raise RuntimeError(f"Expected out tensor to have dtype {cpp_name(result)}, but got {cpp_name(out)} instead")
    if name in _OF_BOOLS and out.name != "uint8":
        raise RuntimeError(f"{name} only supports bool tensor for result, got: {out.type_name}")
    words = _WORDS.get(name)
    if words is None:
        try:
            check_castable(result, out)
        except RuntimeError:
            if name not in _WORDS_OF_CASTS:
                raise
            words = _WORDS_OF_CASTS[name]
        else:
            return
    shown = name.replace("linalg_", "linalg.", 1)
    is_int = result.name == "int32"
    text = words.format(name=shown, result=result.type_name, out=out.type_name, own="retrograd", is_int=is_int)
    raise TypeError(text) if name in _JOINED else RuntimeError(text)
