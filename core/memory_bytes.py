"""The memory of a storage as what it is made of: its bytes on the host, as other elements, resized and moved.

What sharing memory means is in `retrograd.storage`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from retrograd.dtypes import DTYPES, dtype
from retrograd.storage import Meta, Storage
from retrograd.tensor import Tensor
from retrograd.views import (
    AsComplex,
    AsReal,
    AsStrided,
    Chain,
    Conjugate,
    Layout,
    Reshape,
    Step,
    contiguous_strides,
    in_memory_order,
    links_to,
    span,
)

__all__ = [
    "Reinterpret",
    "bytes_in",
    "elements_as_of",
    "extent",
    "host_bytes",
    "look_at",
    "memory_of",
    "move",
    "new_memory",
    "resize_memory",
    "type_of",
    "write_bytes",
]


@dataclass(frozen=True, slots=True)
class Reinterpret(Step):
    """A vector's memory as elements of another type, by its name."""

    type_: str

    def apply(self, K: Any, x: Any) -> Any:
        size = DTYPES[self.type_].itemsize
        have = DTYPES[K.names[x.dtype]].itemsize
        return K.reinterpret(x[: x.shape[0] * have // size * size // have], K.dtypes[self.type_])

    def restride(self, layout: Layout) -> Layout:
        return layout


def type_of(shared: Storage, k: Any) -> dtype:
    """The type of the array that holds the memory."""
    return DTYPES[k.names[shared.array.dtype]]


def extent(layout: Layout) -> int:
    """How many elements a memory has at least, in which there is such a view."""
    if 0 in layout.shape:
        return 0
    return layout.offset + span(layout.shape, layout.strides)


def host_bytes(shared: Storage, k: Any) -> Any:
    """All bytes, in the order in which they lie in memory, as a NumPy array; that memory itself where it can be."""
    array = k.to_host(shared.array)
    if not array.flags.c_contiguous:
        if not k.mutable:  # then tensors are laid out row by row, however the library has the array
            return array.copy(order="C").reshape(-1).view("uint8")
        steps = [step // array.itemsize for step in array.strides]
        count = extent(Layout(tuple(array.shape), tuple(steps)))
        array = np.lib.stride_tricks.as_strided(array, (count,), (array.itemsize,))
    return array.reshape(-1).view("uint8")


def bytes_in(shared: Storage, k: Any) -> int:
    """How many bytes there are."""
    if k.meta:
        return extent(shared.array.layout) * type_of(shared, k).itemsize
    return int(host_bytes(shared, k).size)


def write_bytes(shared: Storage, k: Any, place: Any, value: Any) -> None:
    """Write bytes at a subscript; all aliases see them."""
    host = host_bytes(shared, k)
    if k.mutable and host.flags.writeable:
        host[place] = value
        if shared.mirror is not None and (mirror := shared.mirror()) is not None:
            mirror.reflect(k, shared.array, False)
        return
    host = host.copy()
    host[place] = value
    made = host.view(k.to_host(shared.array).dtype).reshape(tuple(shared.array.shape))
    if k.mutable:
        k.assign(shared.array, k.from_host(made))
    else:
        shared.write(k, None, k.from_host(made))


def new_memory(array: Any, k: Any) -> Storage:
    """A storage that nobody looks at, of an array."""
    return Storage(Tensor._restore(array, k, None, None))


def memory_of(content: Any, type_: dtype, k: Any, swapped: bool = False) -> Storage:
    """A storage of bytes, which must be those of whole elements; on a mutable backend that memory itself, if writable.

    Parameters
    ----------
    swapped
        Whether the bytes of each number are in the other order than this machine's.
    """
    native = k.to_host(k.zeros((0,), k.dtypes[type_.name])).dtype
    host = np.frombuffer(content, "uint8").view(native)
    if swapped:
        part = type_.to_real().itemsize
        host = host.view("uint8").reshape(-1, part)[:, ::-1].reshape(-1).view(native)
    return new_memory(k.from_host(host, not (k.mutable and host.flags.writeable)), k)


def _in_order(shared: Storage, k: Any, as_vector: bool) -> Chain | None:
    """The steps from the array of a storage to its elements in the order in which they lie in memory."""
    array, chain = shared.array, None
    shape = tuple(array.shape)
    steps: list[Step] = in_memory_order(Layout(shape, k.strides(array) if k.mutable else contiguous_strides(shape)))
    if as_vector and len(shape) != 1:
        steps.append(AsStrided((prod(shape),), (1,), 0))
    for step in steps:
        chain = Chain(chain, step, tuple(array.shape))
        array = step.apply(k, array)
    return chain


def elements_as_of(base: Tensor, input: Tensor) -> tuple[Layout, list[Step]]:
    """The layout of `base`, counted in elements like those of `input`, and the steps to them in the order of memory."""
    layout = base._layout()
    steps = in_memory_order(layout)
    if _looks_back(input) is not _looks_back(base):
        steps.append(Conjugate())
    if base.is_complex() and not input.is_complex():
        steps.append(AsReal())
        layout = AsReal().restride(layout)
    elif input.is_complex() and not base.is_complex():
        pairs = Reshape((base.numel() // 2, 2))
        steps += [pairs, AsComplex()]
        layout = Layout((base.numel() // 2,), (1,), layout.offset // 2)
    return layout, steps


def _looks_back(tensor: Tensor) -> bool:
    meta = tensor._tensor_meta
    return meta is not None and meta.chain is not None and meta.chain.conjugated


def look_at(tensor: Tensor, shared: Storage, k: Any, type_: dtype, layout: Layout, conjugated: bool = False) -> None:
    """Let a tensor look at a part of a memory that is as large: its own memory, or one for which it has left its own.

    Parameters
    ----------
    conjugated
        Whether at the conjugates of what is in it.

    Raises
    ------
    RuntimeError
        If the backend cannot see the memory as elements of that type.
    """
    recasts = type_ is not type_of(shared, k)
    chain = _in_order(shared, k, recasts)
    if recasts:
        chain = _recast(chain, shared, k, type_)
    array = shared.array
    for link in links_to(chain):
        array = link.step.apply(k, array)
    meta = tensor._own_meta()
    if meta.storage is not shared:
        shared.add(tensor)
    tensor._kernels, meta.storage, meta.mirror = k, shared, None
    step = AsStrided(*_tuple(layout))
    meta.chain = Chain(chain, step, tuple(array.shape))
    array = step.apply(k, array)
    if conjugated:
        array = _conjugate(meta, array, k)
    tensor._set_array(array)


def _conjugate(meta: Meta, array: Any, k: Any) -> Any:
    """The conjugates of what a tensor looks at, at which it looks from now on."""
    shared: Any = meta.storage
    looked_back = meta.chain is not None and meta.chain.conjugated
    meta.chain = Chain(meta.chain, Conjugate(), tuple(array.shape))
    if not k.mutable:
        return Conjugate().apply(k, array)
    meta.mirror = shared.mirrored(k)
    return meta.mirror.across(k, array, looked_back)


def _recast(chain: Chain | None, shared: Storage, k: Any, type_: dtype) -> Chain | None:
    """The steps to the elements of a memory as those of another type, after those to all of it as a vector."""
    own, size = type_of(shared, k), prod(shared.array.shape)
    if k.reinterpret is not None:
        return Chain(chain, Reinterpret(type_.name), (size,))
    if own.is_complex and type_ is own.to_real():
        return Chain(Chain(chain, AsReal(), (size,)), Reshape((2 * size,)), (size, 2))
    if type_.is_complex and own is type_.to_real() and size % 2 == 0:
        return Chain(Chain(chain, Reshape((size // 2, 2)), (size,)), AsComplex(), (size // 2, 2))
    if any(True for _ in shared.live()):
        raise RuntimeError(f"on backend {k.backend!r} a memory of elements of {own} cannot be seen as of {type_}")
    flat = host_bytes(shared, k)  # nobody will notice
    native = k.to_host(k.zeros((0,), k.dtypes[type_.name])).dtype
    shared.array = k.from_host(flat[: flat.size // native.itemsize * native.itemsize].view(native).copy())
    return None


def _tuple(layout: Layout) -> tuple[Any, ...]:
    return layout.shape, layout.strides, layout.offset


def resize_memory(shared: Storage, k: Any, size: int) -> None:
    """Make a memory `size` bytes long, which must be whole elements of its type; new bytes are 0.

    A tensor that is larger then must not be used until it is large enough again.

    Raises
    ------
    RuntimeError
        If the memory is not this library's to resize.
    """
    if shared.fixed:
        raise RuntimeError("Trying to resize storage that is not resizable")
    type_ = type_of(shared, k)
    if k.meta:
        move(shared, k, k.zeros((size // type_.itemsize,), k.dtypes[type_.name]))
        return
    old = host_bytes(shared, k)
    native = k.to_host(shared.array).dtype
    made = k.to_host(k.zeros((size,), k.dtypes["uint8"])).copy()
    kept = min(size, old.size)
    made[:kept] = old[:kept]
    move(shared, k, k.from_host(made.view(native), not k.mutable))


def move(shared: Storage, k: Any, vector: Any) -> None:
    """Let a storage and all that look at it have their memory in another array, a vector of elements of its type.

    Those that go beyond it are left where they are, until the memory is large enough for them again.
    """
    old = shared.array
    shape = tuple(old.shape)
    base = AsStrided(shape, k.strides(old) if k.mutable else contiguous_strides(shape), 0)
    shared.array, shared.mirror = vector, None
    for alias in list(shared.live()):
        steps = [link.step for link in links_to(alias._own_meta().chain)]
        if len(shape) != 1 or not steps or not isinstance(steps[0], AsStrided | Reinterpret):
            steps.insert(0, base)
        _follow(alias, shared, k, steps)


def _follow(alias: Tensor, shared: Storage, k: Any, steps: list[Step]) -> None:
    """Let a tensor look at what steps lead to, if there is as much in the memory."""
    meta, array = alias._own_meta(), shared.array
    meta.chain = None
    for step in steps:
        fits = array is not None and (not isinstance(step, AsStrided) or _fits(step, prod(array.shape)))
        if fits and k.mutable and isinstance(step, Conjugate):
            array = _conjugate(meta, array, k)
            continue
        meta.chain = Chain(meta.chain, step, tuple(array.shape) if array is not None else ())
        array = step.apply(k, array) if fits else None
    if array is not None:
        same = array.dtype == alias._array.dtype
        alias._set_array(array if same else k.reinterpret(array, alias._array.dtype))


def _fits(step: AsStrided, size: int) -> bool:
    return extent(Layout(step.shape, step.strides, step.offset)) <= size
