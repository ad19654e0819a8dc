from retrograd.tensor import wrap_array
from retrograd.device import current_kernels
import numpy as np
def tensor(data, requires_grad=False):
    k=current_kernels(); t=wrap_array(k.from_host(np.asarray(data,np.float32)),k)
    return t.requires_grad_(requires_grad)
def ones_like(x): 
    return wrap_array(x._k.ones(tuple(x._array.shape),x._array.dtype),x._k)
