"""How tensors cross to other processes with their memory, which both sides have from then on.

So it is for NumPy's tensors, where files have descriptors; others are copied. Only `multiprocessing` crosses so, while
it starts a process or puts something into a queue; `pickle` itself always copies.
"""

from __future__ import annotations

import os
import weakref
from multiprocessing import reduction
from typing import Any, Final

from retrograd.device import kernels_of
from retrograd.dtypes import DTYPES
from retrograd.memory_bytes import host_bytes, look_at, new_memory, type_of
from retrograd.parameter import Parameter
from retrograd.shared_memory import is_available, mapped, segment_of
from retrograd.storage import Storage, shared_of
from retrograd.tensor import Tensor
from retrograd.untyped_storage import UntypedStorage
from retrograd.utils.hooks import warn_if_has_hooks
from retrograd.views import Layout

__all__ = ["init_reductions", "reduce_storage", "reduce_tensor"]

_known: Final[weakref.WeakValueDictionary[tuple[int, int], Storage]] = weakref.WeakValueDictionary()
"""The storages of this process in shared memory, so that one that comes back, or comes twice, is the same."""


def reduce_storage(storage: UntypedStorage) -> Any:
    """What `multiprocessing` sends of a storage, which is moved into shared memory."""
    shared, k = storage._shared, storage._kernels
    if not k.mutable or not is_available():
        return storage.__reduce_ex__(2)
    storage.share_memory_()
    segment = segment_of(shared.array)
    assert segment is not None
    _known[segment.identity] = shared
    handle = reduction.DupFd(segment.descriptor)
    return _storage, (
        handle,
        host_bytes(shared, k).size,
        segment.identity,
        type_of(shared, k).name,
        str(storage.device),
    )


def _storage(handle: Any, size: int, identity: tuple[int, int], type_: str, where: str) -> UntypedStorage:
    k = kernels_of(where)
    descriptor = handle.detach()
    shared = _known.get(identity)
    segment = None if shared is None else segment_of(shared.array)
    if shared is None or segment is None or segment.identity != identity:  # it may have moved since
        shared = new_memory(mapped(descriptor, size, k.dtypes[type_]), k)
        _known[identity] = shared
    else:
        os.close(descriptor)
    return UntypedStorage._of(shared, k)


def reduce_tensor(tensor: Tensor) -> Any:
    """What `multiprocessing` sends of a tensor, whose memory is moved into shared memory.

    Raises
    ------
    RuntimeError
        If it requires a gradient and is not a leaf.
    """
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
            "crossing process boundaries.  If you just want to transfer the data, call detach() on the tensor before "
            "serializing (e.g., putting it on the queue)."
        )
    k = tensor._kernels
    if not k.mutable or not is_available() or tensor.is_conj() or tensor.is_neg():
        return tensor.__reduce_ex__(2)
    warn_if_has_hooks(tensor)
    storage = UntypedStorage._of(shared_of(tensor), k)
    layout = tensor._layout()
    place = layout.shape, layout.strides, layout.offset
    arguments = (type(tensor), storage, tensor.dtype.name, place, tensor.requires_grad)
    return _tensor, arguments, tensor.__dict__ or None


def _tensor(kind: type[Tensor], storage: UntypedStorage, type_: str, place: Any, requires_grad: bool) -> Tensor:
    k = storage._kernels
    made: Tensor = kind._restore(k.zeros((0,), k.dtypes[type_]), k, None, None)
    look_at(made, storage._shared, k, DTYPES[type_], Layout(*place))
    return made._set_requires_grad(requires_grad)


def init_reductions() -> None:
    """Let `multiprocessing` cross so."""
    for kind in (Tensor, Parameter):
        reduction.ForkingPickler.register(kind, reduce_tensor)
    reduction.ForkingPickler.register(UntypedStorage, reduce_storage)


init_reductions()  # also in a process that has come by this module only as something was sent to it
