"""Between tensors and what travels: the module here that reads and writes tensors, and makes optimizers.

Everything else moves host arrays and plain numbers. What is used of the core is its public, PyTorch-like
face, so that no change inside the core reaches this package.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import retrograd as rg

from . import crew
from .errors import DistributedError, Mismatch
from .gradients import Rows
from .incoming import Arrived
from .messages import Array, Entry, Group, Groups, Number, Slice, TensorSpec
from .placement import LOOKS_AT_ROWS, LOOKS_AT_TENSORS, view
from .protocol import name_of

__all__ = [
    "Hyperparameters",
    "Receiver",
    "array_of",
    "build_optimizer",
    "check_runs_on_servers",
    "divided_state",
    "dtype_name",
    "gradient_of",
    "is_ours",
    "joined_state",
    "plain_groups",
    "set_hyperparameters",
    "sparse_of",
    "table_of",
    "tensor_of",
]


def dtype_name(dtype: Any) -> str:
    """The bare name of a dtype.

    >>> dtype_name(rg.float32), dtype_name(np.dtype("int64"))
    ('float32', 'int64')
    """
    return str(dtype).rpartition(".")[2]


def array_of(tensor: rg.Tensor) -> Array:
    """The values of a tensor as a host array, without a copy where the backend can share."""
    array = tensor._array
    return array if type(array) is np.ndarray else np.asarray(tensor.detach().numpy())


def tensor_of(array: Array, backend: str | None) -> rg.Tensor:
    """A tensor with the values of `array`, on `backend` (or the default one)."""
    # Bytes off the wire may be read-only, and a tensor's must not be.
    tensor = rg.from_numpy(array if array.flags.writeable else array.copy())
    return tensor if backend is None else tensor.to(backend)


def sparse_of(gradient: Rows, backend: str | None) -> rg.Tensor:
    """A sparse tensor with these rows and no others.

    >>> sparse_of(Rows((3, 1), np.array([1]), np.float32([[5]])), None).to_dense().tolist()
    [[0.0], [5.0], [0.0]]
    """
    indices, values = tensor_of(gradient.numbers[None], backend), tensor_of(gradient.values, backend)
    return rg.sparse_coo_tensor(indices, values, gradient.shape, is_coalesced=True)


def gradient_of(optimizer: str, gradient: rg.Tensor) -> Array:
    """A gradient as an array; of a sparse one the rows that are not zero travel.

    Raises
    ------
    DistributedError
        If the optimizer takes sparse rows, and these are none.
    """
    if optimizer in LOOKS_AT_ROWS and not (gradient.is_sparse and gradient.sparse_dim() == 1):
        found = f"with {gradient.sparse_dim()} sparse dimensions" if gradient.is_sparse else "that is dense"
        raise DistributedError(
            f"{optimizer} on a server takes gradients of rows, as of Embedding(sparse=True), and not one {found}"
        )
    return array_of(gradient.to_dense() if gradient.is_sparse else gradient)


class Receiver:
    """Writes weights into tensors, slice by slice and in place: whoever holds them (the model) sees the new values.

    Parameters
    ----------
    tensors
        In the order of the tensor table.
    """

    def __init__(self, tensors: Sequence[rg.Tensor]) -> None:
        self._tensors = tensors
        self._parts: dict[int, tuple[Array, list[Slice]]] = {}
        """Of tensors whose memory is not ours to write: what has come, and which slices that is."""

    def __call__(self, arrived: Sequence[Arrived]) -> None:
        ours: list[tuple[Array, Any, Array]] = []
        nbytes, latest = 0, None
        for piece, array, rows in arrived:
            tensor = self._tensors[piece.tensor]
            if not is_ours(tensor):
                self._copy(tensor, piece, array, rows)
                continue
            ours.append((view(array_of(tensor), piece), ... if rows is None else rows, array))
            nbytes += array.nbytes
            if tensor is not latest:  # slices stand in the order of tensors
                rg.autograd.graph.increment_version(latest := tensor)
        crew.each(_write, ours, nbytes)

    def _copy(self, tensor: rg.Tensor, piece: Slice, array: Array, rows: Array | None) -> None:
        if rows is not None:
            self.finish(piece.tensor)
            whole = array_of(tensor).copy()
            view(whole, piece)[rows] = array
            _set(tensor, whole)
        elif piece.size == tensor.numel():
            _set(tensor, array.reshape(tensor.shape))
        else:
            self._put(tensor, piece, array)

    def _put(self, tensor: rg.Tensor, piece: Slice, array: Array) -> None:
        if piece.tensor not in self._parts:
            self._parts[piece.tensor] = np.empty(tensor.shape, array.dtype), []
        whole, come = self._parts[piece.tensor]
        view(whole, piece)[...] = array
        if piece not in come:
            come.append(piece)
        if sum([each.size for each in come]) == tensor.numel():
            del self._parts[piece.tensor]
            _set(tensor, whole)

    def finish(self, number: int | None = None) -> None:
        """Write what waits for the rest of its tensor, or of one tensor: the other slices have not changed."""
        for each in list(self._parts) if number is None else [number] if number in self._parts else []:
            whole, come = self._parts.pop(each)
            kept = array_of(self._tensors[each]).copy()
            for piece in come:
                view(kept, piece)[...] = view(whole, piece)
            _set(self._tensors[each], kept)


def _set(tensor: rg.Tensor, array: Array) -> None:
    with rg.no_grad():
        tensor.copy_(tensor_of(array, None))


def _write(place: tuple[Array, Any, Array]) -> None:
    home, where, array = place
    home[where] = array


def joined_state(
    optimizer: str, tensors: Sequence[rg.Tensor], kept: Iterable[tuple[Slice, Entry, Array | None]]
) -> dict[int, dict[str, Any]]:
    """What optimizers keep for slices as what one optimizer would keep for the tensors, by their number.

    What has the shape of the slice is a part of something of the tensor's shape; all else is the same for all
    slices of a tensor. Optimizers that look at whole tensors keep things in the shapes that they have.
    """
    state: dict[int, dict[str, Any]] = {}
    for piece, entry, array in kept:
        mine = state.setdefault(piece.tensor, {})
        if array is None:
            mine[entry.name] = entry.number
        elif array.shape == piece.shape and optimizer not in LOOKS_AT_TENSORS:
            if entry.name not in mine:
                mine[entry.name] = np.empty(tuple(tensors[piece.tensor].shape), array.dtype)
            view(mine[entry.name], piece)[...] = array
        else:
            mine[entry.name] = array
    return {
        index: {name: tensor_of(each, None) if isinstance(each, np.ndarray) else each for name, each in mine.items()}
        for index, mine in state.items()
    }


def divided_state(
    optimizer: str,
    tensors: Sequence[rg.Tensor],
    state: Mapping[int, Mapping[str, Any]],
    layout: Sequence[Sequence[tuple[int, int, Slice]]],
) -> list[tuple[int, Entry, Array | None]]:
    """The other way round: for each slice what its optimizer is to keep, with the number of its server."""
    entries: list[tuple[int, Entry, Array | None]] = []
    for tensor, mine in state.items():
        for shard, index, piece in layout[tensor]:
            for name, value in mine.items():
                if not isinstance(value, rg.Tensor):
                    entries.append((shard, Entry(index, name, number=value), None))
                    continue
                whole = array_of(value)
                is_of_elements = optimizer not in LOOKS_AT_TENSORS and whole.shape == tuple(tensors[tensor].shape)
                part = view(np.ascontiguousarray(whole), piece) if is_of_elements else whole
                entries.append((shard, Entry(index, name, name_of(part), part.shape), part))
    return entries


def is_ours(tensor: rg.Tensor) -> bool:
    """Whether the tensor's memory is host memory in C order, which NumPy may write."""
    array = tensor._array
    return type(array) is np.ndarray and array.flags.c_contiguous


def table_of(param_groups: Iterable[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    """The tensor table of an optimizer's parameters, in its order."""
    parameters = [(number, p) for number, group in enumerate(param_groups) for p in group["params"]]
    return tuple(
        TensorSpec(f"parameter {index}", dtype_name(p.dtype), tuple(p.shape), number)  # type: ignore[arg-type]
        for index, (number, p) in enumerate(parameters)
    )


def plain_groups(param_groups: Iterable[Mapping[str, Any]]) -> Groups:
    """The hyperparameters of each group as numbers, without the tensors.

    >>> plain_groups([{"params": [], "lr": rg.tensor(0.5), "betas": (0.9, 0.99), "fused": None}])
    ({'lr': 0.5, 'betas': (0.9, 0.99), 'fused': None},)
    """
    return tuple(
        {name: _plain(name, value) for name, value in group.items() if name not in ("params", "param_names")}
        for group in param_groups
    )


class Hyperparameters:
    """Reads `plain_groups` again and again: the same object as long as they are the same numbers.

    >>> groups, read = [{"params": [], "lr": 0.5}], Hyperparameters()
    >>> read(groups) is read(groups)
    True
    >>> groups[0]["lr"] = 0.25
    >>> read(groups)
    ({'lr': 0.25},)
    """

    def __init__(self) -> None:
        self._read: Groups = ()
        self._lengths: list[int] = []
        """How many entries the groups had, if all that was read of them is numbers: a tensor may change unseen."""

    def __call__(self, param_groups: Sequence[Mapping[str, Any]]) -> Groups:
        lengths = list(map(len, param_groups))
        if lengths != self._lengths or not all(map(_holds, param_groups, self._read)):
            self._read = plain_groups(param_groups)
            is_plain = all(
                group[name] is value or (isinstance(group[name], tuple) and all(map(_is_number, group[name])))
                for group, read in zip(param_groups, self._read, strict=True)
                for name, value in read.items()
            )
            self._lengths = lengths if is_plain else []
        return self._read


def _holds(group: Mapping[str, Any], read: Mapping[str, Any]) -> bool:
    return read.items() <= group.items()


def _plain(name: str, value: Any) -> Number | tuple[Number, ...]:
    if _is_number(value):
        return value
    if isinstance(value, tuple | list):
        return tuple(_plain_number(name, each) for each in value)
    return _plain_number(name, value)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)


def _plain_number(name: str, value: Any) -> Number:
    if _is_number(value):
        return value
    try:
        number: Number = value.item()  # a 0-d tensor, or a NumPy scalar
    except (AttributeError, ValueError, RuntimeError):
        number = value
    if isinstance(number, bool | int | float):
        return number
    raise DistributedError(
        f"hyperparameter {name}={value!r} cannot go to the server: an optimizer travels as a name and numbers"
    )


def build_optimizer(name: str, groups: Groups, tensor: rg.Tensor, group: int) -> Any:
    """The optimizer of `retrograd.optim` that `name` means, over one tensor with the hyperparameters of its group.

    The name is looked up among the optimizer classes of `retrograd.optim` and nowhere else.
    """
    optimizer_class = _class_of(name)
    if group >= len(groups):
        raise Mismatch(f"a tensor belongs to parameter group {group}, and there are {len(groups)}")
    return optimizer_class([{"params": [tensor], **groups[group]}])  # type: ignore[call-arg]  # all but the base class have defaults of their own


def check_runs_on_servers(optimizer: type[rg.optim.Optimizer]) -> None:
    """Raise `Mismatch` for an optimizer that a server cannot run, as it would itself.

    >>> check_runs_on_servers(rg.optim.LBFGS)
    Traceback (most recent call last):
    retrograd.distributed.errors.Mismatch: LBFGS cannot run on a server, which sees no loss: its step asks for ...
    """
    if issubclass(optimizer, rg.optim.LBFGS):
        raise Mismatch(
            f"{optimizer.__name__} cannot run on a server, which sees no loss: its step asks for the loss again, at "
            f"other weights. Choose another, or train with one process; a server has {', '.join(_optimizers())}"
        )
    _class_of(optimizer.__name__)


def _class_of(name: str) -> type[rg.optim.Optimizer]:
    known = _optimizers()
    if name not in known:
        raise Mismatch(f"retrograd.optim has no optimizer {name!r} to run on the server; it has {', '.join(known)}")
    return known[name]


@functools.cache
def _optimizers() -> dict[str, type[rg.optim.Optimizer]]:
    """Those whose step needs a gradient and nothing else: LBFGS asks for the loss again, at other weights."""
    classes = ((name, getattr(rg.optim, name)) for name in rg.optim.__all__)
    others = (rg.optim.Optimizer, rg.optim.LBFGS)
    return {
        name: each
        for name, each in classes
        if isinstance(each, type) and issubclass(each, rg.optim.Optimizer) and each not in others
    }


def set_hyperparameters(param_groups: Iterable[dict[str, Any]], groups: Iterable[Group], rate: float = 1.0) -> None:
    """Let the optimizer's groups have these numbers from its next step on, and `rate` times their `lr`."""
    for group, values in zip(param_groups, groups, strict=True):
        group.update(values)
        if rate != 1 and isinstance(lr := values.get("lr"), int | float):
            group["lr"] = lr * rate
