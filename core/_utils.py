"""PyTorch's functions that a file of `torch.save` calls by name to make tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from retrograd.dtypes import dtype as dtype_
from retrograd.memory_bytes import extent, look_at
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor
from retrograd.views import Layout, outside

__all__: list[str] = []

_sparse_tensors_to_validate: list[Tensor] = []


def _rebuild_tensor(storage: Any, storage_offset: int, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """A tensor of a typed storage."""
    return _on(storage._untyped_storage, storage.dtype, storage_offset, size, stride)


def _on(storage: Any, type_: dtype_, offset: int, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    from retrograd.memory import check_place

    k, place = storage._kernels, Layout(tuple(size), tuple(stride), offset)
    check_place(place)
    if extent(place) * type_.itemsize > storage.nbytes():
        raise outside(place, type_.itemsize, storage.nbytes())
    made: Tensor = Tensor._restore(k.zeros((0,), k.dtypes[type_.name]), k, None, None)
    look_at(made, storage._shared, k, type_, place)
    return made


def _finished(made: Tensor, requires_grad: bool, metadata: Any) -> Tensor:
    if metadata and metadata.get("conj"):
        made = made.conj()
    if metadata and metadata.get("neg"):
        made = -made
    made = made.detach() if metadata else made
    return made._set_requires_grad(requires_grad)


def _rebuild_tensor_v2(
    storage: Any, storage_offset: int, size: Sequence[int], stride: Sequence[int], requires_grad: bool,
    backward_hooks: Any, metadata: Any = None,
) -> Tensor:  # fmt: skip
    """`_rebuild_tensor`, and whether it requires a gradient. Hooks are not saved."""
    return _finished(_rebuild_tensor(storage, storage_offset, size, stride), requires_grad, metadata)


def _rebuild_tensor_v3(
    storage: Any, storage_offset: int, size: Sequence[int], stride: Sequence[int], requires_grad: bool,
    backward_hooks: Any, dtype: dtype_, metadata: Any = None,
) -> Tensor:  # fmt: skip
    """`_rebuild_tensor_v2` of a type that has no typed storage."""
    untyped = getattr(storage, "_untyped_storage", storage)
    return _finished(_on(untyped, dtype, storage_offset, size, stride), requires_grad, metadata)


def meta_arguments(tensor: Tensor) -> tuple[Any, ...]:
    """What `_rebuild_meta_tensor_no_storage` makes a tensor of the device `meta` of."""
    return tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), tensor.requires_grad


def _rebuild_meta_tensor_no_storage(
    dtype: dtype_, size: Sequence[int], stride: Sequence[int], requires_grad: bool
) -> Tensor:
    """A tensor of the device `meta`."""
    from retrograd.ops.factories import empty_strided

    return empty_strided(tuple(size), tuple(stride), dtype=dtype, device="meta", requires_grad=requires_grad)


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Any:
    """A parameter."""
    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data: Tensor, requires_grad: bool, backward_hooks: Any, state: Any) -> Any:
    """A parameter with attributes."""
    return _set_obj_state(Parameter(data, requires_grad), state)


def _set_obj_state(obj: Any, state: Any) -> Any:
    """Give an object its attributes: a dict, or one and another for slots."""
    parts = state if isinstance(state, tuple) else (state,)
    for each in parts:
        for name, value in (each or {}).items():
            setattr(obj, name, value)
    return obj


def _rebuild_sparse_tensor(layout: Any, data: tuple[Any, ...]) -> Tensor:
    """A sparse tensor of its parts."""
    import retrograd

    if layout in (retrograd.sparse_csr, retrograd.sparse_csc):
        compressed: Tensor = retrograd.sparse_compressed_tensor(*data, layout=layout, check_invariants=False)
        return compressed
    if layout is not retrograd.sparse_coo:
        raise NotImplementedError(f"rebuilding sparse tensor for layout {layout}")
    indices, values, size, *coalesced = data
    made: Tensor = retrograd.sparse_coo_tensor(
        indices, values, size, is_coalesced=coalesced[0] if coalesced else None, check_invariants=False
    )
    _sparse_tensors_to_validate.append(made)
    return made


def _validate_loaded_sparse_tensors() -> None:
    """Look at what has been loaded, when it is there as a whole.

    Raises
    ------
    RuntimeError
        If indices are outside of a tensor's shape.
    """
    import retrograd

    try:
        for each in _sparse_tensors_to_validate:
            parts = each._indices(), each._values(), each.size()
            retrograd.sparse_coo_tensor(*parts, is_coalesced=each.is_coalesced(), check_invariants=True)
    finally:
        _sparse_tensors_to_validate.clear()


def _element_size(dtype: dtype_) -> int:
    """The size of an element in bytes."""
    return dtype.itemsize


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """All elements of some tensors of one type, as a vector."""
    from retrograd.ops.arrange import cat

    made: Tensor = cat([each.reshape(-1) for each in tensors])
    return made


def _take_tensors(tensors: Iterable[Tensor], size_limit: int) -> Iterator[list[Tensor]]:
    """Groups of tensors of one type, in order, each of at most so many bytes if it is not a single one."""
    groups: dict[Any, list[Tensor]] = {}
    sizes: dict[Any, int] = {}
    for each in tensors:
        parts = (each._indices(), each._values()) if each.is_sparse else (each,)
        size = sum(part.numel() * part.element_size() for part in parts)
        kind = each.type()
        if sizes.get(kind) and sizes[kind] + size > size_limit:
            yield groups[kind]
            groups[kind], sizes[kind] = [], 0
        groups.setdefault(kind, []).append(each)
        sizes[kind] = sizes.get(kind, 0) + size
    yield from groups.values()


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The reverse of `_flatten_dense_tensors`: views of `flat` of the shapes of `tensors`."""
    parts = flat.split([each.numel() for each in tensors])
    return tuple(part.view(each.shape) for part, each in zip(parts, tensors, strict=True))
