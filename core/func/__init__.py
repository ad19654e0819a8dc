"""Function transforms: derivatives and batching as functions of functions.

Source: https://docs.pytorch.org/docs/stable/func.api.html
"""

from retrograd.func.forward import hessian, jacfwd, jvp, linearize
from retrograd.func.functionalization import functionalize
from retrograd.func.modules import functional_call, replace_all_batch_norm_modules_, stack_module_state
from retrograd.func.rearranging import rearrange
from retrograd.func.transforms import grad, grad_and_value, jacrev, vjp
from retrograd.func.vmap import debug_unwrap, vmap

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "rearrange",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]
