"""`vmap`: a function of one sample, applied to many at once.

Source: https://docs.pytorch.org/docs/stable/generated/torch.func.vmap.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

from retrograd.func.batched import Batched, BatchedKernels
from retrograd.levels import innermost_vmap, running
from retrograd.tensor import Tensor
from retrograd.utils._pytree import LEAF, TreeSpec, broadcast_leaves, tree_flatten, tree_unflatten

__all__ = ["debug_unwrap", "enter", "leave", "level_below", "vmap"]

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
    RuntimeError
        If the function asks for the value of a mapped tensor (`item()`, `if`), writes one into a tensor
        that is not mapped, draws random numbers unless `randomness` says how, or calls an operator
        whose result would have another shape for each sample.

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
        _check_out_dims(func, out_dims)
        leaves, spec, dims, size = _inputs(func, in_dims, args)
        call = _Call(func, spec, dims, out_dims, randomness, kwargs)
        if chunk_size is None:
            return call.run(leaves, size)
        return call.run_in_chunks(leaves, size, chunk_size)

    return mapped


def _name(func: Callable[..., Any]) -> str:
    if isinstance(func, functools.partial):
        return f"functools.partial({_name(func.func)}, ...)"
    return getattr(func, "__name__", None) or repr(func)


# -- what is given -------------------------------------------------------------------------------


def _check_out_dims(func: Callable[..., Any], out_dims: Dims) -> None:
    if isinstance(out_dims, int):
        return
    for each in tree_flatten(out_dims)[0]:
        if each is not None and not isinstance(each, int):
            raise ValueError(
                f"vmap({_name(func)}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python "
                "collection of ints representing where in the outputs the vmapped dimension should appear."
            )


def _inputs(
    func: Callable[..., Any], in_dims: Dims, args: tuple[Any, ...]
) -> tuple[list[Any], TreeSpec, list[int | None], int]:
    """The leaves of the arguments with the dimension to map of each, and the size of that dimension."""
    called = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"{called}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, "
            f"got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap "
            "over a function with no inputs. The latter is unsupported."
        )
    leaves, spec = tree_flatten(args)
    dims = broadcast_leaves(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"{called}: in_dims is not compatible with the structure of `inputs`. in_dims has structure "
            f"{tree_flatten(in_dims)[1]} but inputs has structure {spec}."
        )
    checked = [_checked_dim(called, leaf, dim) for leaf, dim in zip(leaves, dims, strict=True)]
    sizes = [leaf.shape[dim] for leaf, dim in zip(leaves, checked, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
            "mapped dimension"
        )
    return leaves, spec, checked, sizes[0]


def _checked_dim(called: str, leaf: Any, dim: Any) -> int | None:
    if dim is None:
        return None
    if not isinstance(dim, int):
        raise ValueError(
            f"{called}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None."
        )
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"{called}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over "
            "non-Tensor arguments, please use None as the respective in_dim"
        )
    if not -leaf.ndim <= dim < leaf.ndim:
        raise ValueError(
            f"{called}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {leaf.ndim} so "
            f"expected in_dim to satisfy -{leaf.ndim} <= in_dim < {leaf.ndim}."
        )
    return dim % leaf.ndim


# -- a call --------------------------------------------------------------------------------------


class _Call(NamedTuple):
    """A call of a mapped function, but for the leaves of its arguments."""

    func: Callable[..., Any]
    spec: TreeSpec
    dims: list[int | None]
    out_dims: Dims
    randomness: str
    kwargs: dict[str, Any]

    def run(self, leaves: Sequence[Any], size: int) -> Any:
        table = BatchedKernels(level_below(leaves), size, self.randomness)
        try:
            with running(table):
                inside = [enter(table, leaf, dim) for leaf, dim in zip(leaves, self.dims, strict=True)]
                result = self.func(*tree_unflatten(inside, self.spec), **self.kwargs)
                return self._results(table, result)
        finally:
            table.close()

    def _results(self, table: BatchedKernels, result: Any) -> Any:
        found, spec = tree_flatten(result)
        places = broadcast_leaves(self.out_dims, spec)
        if spec == LEAF and isinstance(self.out_dims, tuple) and len(self.out_dims) == 1:
            places = list(self.out_dims)
        if places is None:
            self._refuse_out_dims(spec)
        name = _name(self.func)
        outside = [leave(name, table, leaf, place) for leaf, place in zip(found, places, strict=True)]
        return tree_unflatten(outside, spec)

    def _refuse_out_dims(self, spec: TreeSpec) -> NoReturn:
        raise ValueError(
            f"vmap({_name(self.func)}, ..., out_dims={self.out_dims})(<inputs>): out_dims is not compatible with the "
            f"structure of `outputs`. out_dims has structure {tree_flatten(self.out_dims)[1]} but outputs has "
            f"structure {spec}."
        )

    def run_in_chunks(self, leaves: Sequence[Any], size: int, chunk_size: int) -> Any:
        from retrograd.ops.arrange import cat
        from retrograd.random import get_rng_state, set_rng_state

        state = get_rng_state() if self.randomness == "same" else None
        columns: list[list[Any]] = []
        spec = LEAF
        for start, count in _chunks(size, chunk_size):
            if state is not None:
                set_rng_state(state)
            part = [
                leaf if dim is None else leaf.narrow(dim, start, count)
                for leaf, dim in zip(leaves, self.dims, strict=True)
            ]
            found, spec = tree_flatten(self.run(part, count))
            columns.append(found)
        places = broadcast_leaves(self.out_dims, spec)
        assert places is not None  # `run` has refused what does not fit
        joined = [cat(list(each), place) for each, place in zip(zip(*columns, strict=True), places, strict=True)]
        return tree_unflatten(joined, spec)


def _chunks(size: int, chunk_size: int) -> Iterator[tuple[int, int]]:
    """Where each chunk starts, and its length; one of nothing, where there is nothing."""
    for start in range(0, size, chunk_size) if size else (0,):
        yield start, min(chunk_size, size - start)


def level_below(leaves: Sequence[Any], default: Any = None) -> Any:
    """The level that a new one stands on: the innermost that is running, or the tensors' backend, or `default`."""
    tables = [leaf._kernels for leaf in leaves if isinstance(leaf, Tensor)] or [default]
    outer = innermost_vmap()
    if outer is not None and any(table.base is outer.base for table in tables):
        return outer
    return max(tables, key=lambda table: table.level)


# -- in and out ----------------------------------------------------------------------------------


def enter(table: BatchedKernels, leaf: Any, dim: int | None) -> Any:
    """An argument as the mapped function sees it."""
    if dim is None or not isinstance(leaf, Tensor):
        return leaf
    if leaf._kernels is not table.lower:
        leaf = table.lower.lift(leaf)
    array = Batched(leaf if dim == 0 else leaf.movedim(dim, 0), True, table)
    if dim:
        array.given = leaf, dim
    return table.entered(array)


def leave(name: str, table: BatchedKernels, leaf: Any, place: int | None) -> Any:
    """A result of the function `name` as the caller sees it."""
    if place is None:
        if isinstance(leaf, Tensor) and leaf._kernels is table:
            if leaf._array.mapped:
                raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
            return leaf._array.value
        return leaf
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(leaf)}. Did you mean to set "
            "out_dims= to None for output?"
        )
    value = table.spread(leaf._array if leaf._kernels is table else table.lift(leaf)._array)
    return value if place == 0 else value.movedim(0, place)


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """The tensor that one of a level of `vmap` stands for, with the samples' dimension in front; for debugging.

    A tensor of no level comes back as it is.

    Parameters
    ----------
    recurse
        Go down all levels, not only one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.debug_unwrap.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.func import debug_unwrap, vmap
    >>> _ = vmap(lambda row: print(debug_unwrap(row)) or row)(retrograd.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    if not tensor._kernels.level:
        return tensor
    value: Tensor = tensor._array.value
    return debug_unwrap(value) if recurse else value
