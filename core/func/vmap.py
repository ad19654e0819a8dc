"""`vmap`: a function of one sample, applied to many at once.

Source: https://docs.pytorch.org/docs/stable/generated/torch.func.vmap.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from retrograd.device import device
from retrograd.func.batched import Batched, BatchedKernels
from retrograd.func.pytree import tree_flatten, tree_unflatten
from retrograd.tensor import Tensor, wrap_array

__all__ = ["vmap"]

Dims = Any  # an int, None, or a tree of them


def vmap(
    func: Callable[..., Any],
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Map `func`, written for one sample, over a dimension of its arguments.

    Parameters
    ----------
    func
        Takes and returns tensors, or nested tuples, lists and dicts of them.
    in_dims
        The dimension to map of each argument; None for one that all samples share. A tree fits the
        arguments' trees.
    out_dims
        Where the mapped dimension goes in the results.
    randomness
        `"error"`, `"different"` for each sample, or the `"same"`.
    chunk_size
        Map so many samples at a time.

    Raises
    ------
    ValueError
        If the dimensions do not fit the arguments, or the mapped sizes differ.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.vmap.html

    Examples
    --------
    >>> import retrograd
    >>> rows = retrograd.arange(6.0).reshape(3, 2)
    >>> retrograd.vmap(retrograd.dot)(rows, rows)
    tensor([ 1., 13., 41.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, spec, dims, size = _inputs(func, in_dims, args)
        if chunk_size is None or chunk_size >= size:
            return _run(func, leaves, spec, dims, size, out_dims, randomness, kwargs)
        parts = [
            _run(func, _chunk(leaves, dims, start, min(chunk_size, size - start)), spec, dims,
                 min(chunk_size, size - start), out_dims, randomness, kwargs)
            for start in range(0, size, chunk_size)
        ]  # fmt: skip
        return _join(parts, out_dims)

    return mapped


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", repr(func))


def _inputs(func: Callable[..., Any], in_dims: Dims, args: tuple[Any, ...]) -> tuple[list[Any], Any, list[Any], int]:
    """The leaves of the arguments with the dimension to map of each, and the size of that dimension."""
    name = _name(func)
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) "
            f"tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
            "function with no inputs. The latter is unsupported."
        )
    leaves, spec = tree_flatten(args)
    dims = _broadcast_dims(in_dims, args)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of "
            f"`inputs`. in_dims has structure {tree_flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    sizes = {}
    for position, (leaf, dim) in enumerate(zip(leaves, dims, strict=True)):
        if dim is not None:
            dims[position] = _checked_dim(name, in_dims, leaf, dim)
            sizes[position] = leaf.shape[dims[position]]
    if not sizes:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): at least one of `inputs` must be mapped over, but "
            "in_dims is None for all of them"
        )
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{list(sizes.values())} for the mapped dimension"
        )
    return leaves, spec, dims, next(iter(sizes.values()))


def _checked_dim(name: str, in_dims: Dims, leaf: Any, dim: Any) -> int:
    where = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={dim} for"
    if not isinstance(dim, int):
        raise ValueError(f"{where} an input, but in_dim must be either an integer dimension or None.")
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"{where} an input but the input is of type {type(leaf)}. We cannot vmap over non-Tensor arguments, please "
            "use None as the respective in_dim"
        )
    if not -leaf.ndim <= dim < leaf.ndim:
        raise ValueError(
            f"{where} some input, but that input is a Tensor of dimensionality {leaf.ndim} so expected in_dim to "
            f"satisfy -{leaf.ndim} <= in_dim < {leaf.ndim}."
        )
    return dim % leaf.ndim


def _broadcast_dims(dims: Dims, tree: Any) -> list[Any] | None:
    """A dimension for each leaf of `tree`; one that is given for a subtree holds for all its leaves."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(tree_flatten(tree)[0])
    if isinstance(tree, dict) and isinstance(dims, dict) and dims.keys() == tree.keys():
        parts = [_broadcast_dims(dims[key], tree[key]) for key in tree]
    elif isinstance(tree, (tuple, list)) and isinstance(dims, (tuple, list)) and len(dims) == len(tree):
        parts = [_broadcast_dims(d, t) for d, t in zip(dims, tree, strict=True)]
    else:
        return None
    flat: list[Any] = []
    for part in parts:
        if part is None:
            return None
        flat += part
    return flat


def _chunk(leaves: list[Any], dims: list[Any], start: int, count: int) -> list[Any]:
    return [leaf if dim is None else leaf.narrow(dim, start, count) for leaf, dim in zip(leaves, dims, strict=True)]


def _join(parts: list[Any], out_dims: Dims) -> Any:
    from retrograd.ops.arrange import cat

    columns = [tree_flatten(part)[0] for part in parts]
    spec = tree_flatten(parts[0])[1]
    dims = _broadcast_dims(out_dims, parts[0])
    assert dims is not None  # `_run` has refused what does not fit
    leaves = zip(zip(*columns, strict=True), dims, strict=True)
    return tree_unflatten([cat(list(column), dim) for column, dim in leaves], spec)


def _run(
    func: Callable[..., Any], leaves: list[Any], spec: Any, dims: list[Any], size: int, out_dims: Dims,
    randomness: str, kwargs: dict[str, Any],
) -> Any:  # fmt: skip
    lower = _lower_table(leaves)
    table = BatchedKernels(lower, size, randomness)
    inside = [_enter(table, leaf, dim) for leaf, dim in zip(leaves, dims, strict=True)]
    with device(table):  # what the function creates belongs to this level as well
        result = func(*tree_unflatten(inside, spec), **kwargs)
    out_leaves, out_spec = tree_flatten(result)
    places = _broadcast_dims(out_dims, result)
    if places is None:
        raise ValueError(
            f"vmap({_name(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure "
            f"of `outputs`. out_dims has structure {tree_flatten(out_dims)[1]} but outputs has structure {out_spec}."
        )
    outside = [_leave(func, table, leaf, place) for leaf, place in zip(out_leaves, places, strict=True)]
    return tree_unflatten(outside, out_spec)


def _lower_table(leaves: list[Any]) -> Any:
    """The innermost level that an argument belongs to."""
    tables = [leaf._k for leaf in leaves if isinstance(leaf, Tensor)]
    return max(tables, key=lambda table: table.level)


def _enter(table: BatchedKernels, leaf: Any, dim: int | None) -> Any:
    """An argument as the mapped function sees it."""
    if not isinstance(leaf, Tensor):
        return leaf
    if dim is None:
        return table.lift(leaf)
    if leaf._k is not table.lower:
        leaf = table.lower.lift(leaf)
    moved = leaf if dim == 0 else leaf.movedim(dim, 0)
    return wrap_array(Batched(moved, True, table), table)


def _leave(func: Callable[..., Any], table: BatchedKernels, leaf: Any, place: int | None) -> Any:
    """A result as the caller sees it."""
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(leaf)}. Did you mean "
            "to set out_dims= to None for output?"
        )
    if leaf._k is not table:
        leaf = table.lift(leaf)
    array = leaf._array
    if place is None:
        if array.mapped:
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` can not return a BatchedTensor when out_dim is None"
            )
        return array.value
    value = table.spread(array)
    return value if place == 0 else value.movedim(0, place)
