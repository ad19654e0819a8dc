"""Function transforms: derivatives and batching as functions of functions.

Source: https://docs.pytorch.org/docs/stable/func.api.html
"""

from retrograd.func.forward import hessian, jacfwd, jvp, linearize
from retrograd.func.modules import functional_call, stack_module_state
from retrograd.func.transforms import grad, grad_and_value, jacrev, vjp
from retrograd.func.vmap import vmap

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
