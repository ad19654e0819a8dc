"""The sparse side of a backend: the table of kernels that sparse tensors have. See Note [Sparse tensors]."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from retrograd.autograd.modes import current_mode
from retrograd.backends.spec import Kernels
from retrograd.ops.declare import op_of
from retrograd.sparse.compressed import Compressed
from retrograd.sparse.coo import Coo
from retrograd.storage import bump
from retrograd.tensor import Tensor, side_of, wrap_array

if TYPE_CHECKING:
    from retrograd.ops.declare import Op

__all__ = [
    "COMPRESSED_FORMS", "COMPRESSED_RULES", "FORMS", "ON_VALUES", "RECORDS", "RULES", "SparseKernels", "as_tensor",
    "coo_of", "kernel", "no_kernel", "sparse_side", "takes_sparse",
]  # fmt: skip

RULES: dict[str, Callable[..., Any]] = {}
"""What a kernel does with operands of which one is sparse: called with the table and the kernel's arguments."""

FORMS: dict[str, Op] = {}
"""The operator that runs where one of that name has a sparse operand: itself, or another of the same arguments."""

COMPRESSED_RULES: dict[str, Callable[..., Any]] = {}
"""The same for matrices in compressed rows or columns."""

COMPRESSED_FORMS: set[str] = set()
"""Those of `FORMS` that take them."""

ON_VALUES: set[str] = set()
"""Operators of `FORMS` of one operand that keep zeros: they run on the stored values, once these are coalesced."""


RECORDS = (Coo, Compressed)
"""What sparse tensors have for arrays."""


def kernel(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the rule of kernels for sparse operands."""

    def register(rule: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            RULES[name] = rule
        return rule

    return register


def no_kernel(name: str, backend: str = "SparseCPU") -> NotImplementedError:
    """The error of an operator that is not for such operands."""
    return NotImplementedError(
        f"Could not run 'aten::{name}' with arguments from the '{backend}' backend. This could be because the operator "
        "doesn't exist for this layout: docs/sparse.md lists those that do."
    )


def takes_sparse(*functions: Callable[..., Any], makes: bool = False) -> None:
    """Enter declared operators as such that take sparse operands, or make sparse tensors of dense ones."""
    for function in functions:
        declared = op_of(function)
        FORMS[declared.name] = declared
        declared.makes_sparse = makes


class SparseKernels(Kernels):
    """The table of sparse tensors on top of a backend's own table, `dense`.

    A kernel whose operands are all arrays of the backend is the backend's; with a sparse one among them its rule
    in `RULES` runs.
    """

    sparse = True
    array_type = Coo
    dense: Any = None

    def __init__(self, dense: Kernels) -> None:
        self.dense = dense
        super().__init__(
            dense.backend,
            dense.device,
            array_type=Coo,
            mutable=False,
            dtypes=dense.dtypes,
            names=dense.names,
            floats=frozenset(),  # so that generated functions leave sparse tensors to the general path
            owns=lambda array: True,
        )
        self.quiet = dense.quiet
        self.discrete = self.halves = frozenset()
        self.widening = dense.widening

    @property
    def base(self) -> Kernels:
        return self.dense.base

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        made = self.__dict__[name] = functools.partial(_run, self, name)
        return made

    def as_array(self, value: Any) -> Any:
        """Arrays of either kind as they are: which side a result is on, its type says."""
        return value if isinstance(value, RECORDS) else self.dense.as_array(value)

    def to_host(self, array: Any) -> Any:
        """The elements on the host; those that are not stored are zeros."""
        return self.dense.to_host(as_dense(array))

    def zeros(self, shape: Sequence[int], native: Any) -> Coo:
        """Zeros, of which none is stored."""
        from retrograd.sparse.kernels import empty_coo

        return empty_coo(self, tuple(shape), native)

    empty = zeros

    def alike(self, array: Any, make: Callable[[tuple[int, ...]], Any], wanted: Any) -> Any:
        """What `make` makes, zeros or nothing in particular, in the format of another array."""
        made = make(tuple(array.shape))
        if not isinstance(array, Compressed):
            return made
        return COMPRESSED_RULES["zeros_like"](self, array).with_values(made.values)

    def full(self, shape: Sequence[int], value: Any, native: Any) -> Any:
        """A number, as an array of no dimension."""
        if shape == ():
            return self.dense.full((), value, native)
        raise no_kernel("fill_.Scalar")

    def side_for(self, array: Any, name: str) -> Any:
        """The table of what a function of that name has made, where it was to be sparse."""
        if name in ("tensor", "new_tensor") or isinstance(array, RECORDS):
            return side_of(array, self)
        raise no_kernel({"rand_like": "uniform_", "randn_like": "normal_", "randint_like": "random_"}.get(name, name))

    def form_of(self, op: Op, arguments: Sequence[Any]) -> Op:
        """The operator that computes `op` of sparse operands.

        Raises
        ------
        NotImplementedError
            If there is none.
        """
        form = FORMS.get(op.name)
        if any(isinstance(getattr(each, "_array", None), Compressed) for each in arguments):
            if op.name in COMPRESSED_FORMS and form is not None:
                return form
            if op.promote is not None:
                raise RuntimeError("unsupported tensor layout: SparseCsr")
            raise no_kernel(_aten_name(op, arguments), "SparseCsrCPU")
        if form is None:
            raise no_kernel(_aten_name(op, arguments))
        return form

    def forward_of(self, op: Op) -> Callable[..., Any]:
        """How a form runs."""
        if op.name in ON_VALUES:
            return functools.partial(_on_values, op)
        if op.body is not None:
            return op.body
        assert op.kernel is not None  # an operator has one of the two
        run = getattr(self, op.kernel)
        return lambda K, *arguments: run(*arguments)

    def written(self, op: Op, target: Tensor, inputs: Sequence[Any], result: Any) -> Any:
        """The result of `op` as it is written into its first input.

        Raises
        ------
        RuntimeError
            If one of the two is sparse and cannot take the other.
        """
        into, sparse = target._kernels.sparse, isinstance(result, RECORDS)
        if op.name == "copy" and into != inputs[1]._kernels.sparse:
            found = " and src type = ".join(each.type() for each in inputs)
            raise RuntimeError(
                f"copy_() between dense and sparse Tensors is not implemented! Found self type = {found}"
            )
        if not into:
            return as_dense(result) if sparse else result
        name = op.bare_name.removeprefix("sparse_")
        if name == "pow_number":
            raise no_kernel("pow_.Scalar")
        if (op.name in ON_VALUES or name in ("relu", "tanh", "log1p")) and not target._array.coalesced:
            raise RuntimeError(f"{name}_ requires coalesced input")
        recorded = current_mode().grad and any(getattr(each, "requires_grad", False) for each in inputs)
        keeps_memory = not recorded and op.name in _WRITTEN_TO_VALUES | ON_VALUES
        return _in_memory_of(target._array, result) if keeps_memory else result

    def changed(self, target: Tensor, made: Tensor, name: str) -> Tensor:
        """Let a tensor become what a view operator has made of it, in place."""
        if name not in ("t_", "transpose_"):
            raise no_kernel("as_strided_")
        target._set_array(made._array)
        target._edge = made._edge or target._edge
        bump(target)
        return target

    def moved(self, tensor: Tensor, k: Any, type_name: str) -> Tensor:
        """A sparse tensor on another backend, as a type of that name; its gradient goes the way back."""
        from retrograd.sparse.conversion import moved

        return moved(tensor, k, type_name)

    def view(
        self, source: Tensor, name: str, steps: Sequence[Any], recorded: bool, arguments: dict[str, Any]
    ) -> Tensor:
        """What a view operator gives; see `retrograd.sparse.views`."""
        from retrograd.sparse.views import view_of

        return view_of(source, name, steps, recorded, arguments)


_sides: WeakKeyDictionary[Kernels, SparseKernels] = WeakKeyDictionary()


def sparse_side(k: Any) -> SparseKernels:
    """The sparse side of a table."""
    if k.sparse:
        side: SparseKernels = k
        return side
    if k.level:
        raise NotImplementedError("sparse tensors cannot be made inside of vmap")
    try:
        return _sides[k]
    except KeyError:
        made = _sides[k] = SparseKernels(k)
        return made


def coo_of(indices: Tensor, values: Tensor, shape: Sequence[int], coalesced: bool = False) -> Coo:
    """The record of these parts; of less than two elements they are in order."""
    in_order = coalesced or values._array.shape[0] < 2
    return Coo(sparse_side(values._kernels), indices, values, tuple(shape), in_order)


def as_tensor(k: Any, array: Any) -> Any:
    """An array of either side of `k`, outside of any graph; anything else as it is."""
    if isinstance(array, Tensor) or not (hasattr(array, "shape") and hasattr(array, "dtype")):
        return array
    side = side_of(array, k)
    return wrap_array(array if isinstance(array, RECORDS) else side.as_array(array), side)


def as_dense(array: Any) -> Any:
    """The raw dense array of either kind."""
    if not isinstance(array, RECORDS):
        return array
    from retrograd.sparse.kernels import dense_values

    return dense_values(array)._array


_WRITTEN_TO_VALUES = frozenset(("neg", "true_divide", "_sparse_relu", "_sparse_tanh", "_sparse_log1p"))
"""Operators that, in place, write to the memory of the values, which the tensor may share."""


def _in_memory_of(target: Coo, result: Coo) -> Coo:
    target.values.copy_(result.values)
    return target


def _run(side: SparseKernels, name: str, *arguments: Any, **named: Any) -> Any:
    if any(map(_is_sparse, arguments)):
        compressed = any(isinstance(each, Compressed) for each in arguments)
        rule = (COMPRESSED_RULES if compressed else RULES).get(name)
        if rule is None:
            raise no_kernel(_ATEN.get(name, name), "SparseCsrCPU" if compressed else "SparseCPU")
        return rule(side, *arguments, **named)
    return getattr(side.dense, name)(*arguments, **named)


def _is_sparse(value: Any) -> bool:
    return isinstance(value, RECORDS) or (isinstance(value, (list, tuple)) and any(map(_is_sparse, value)))


_ATEN = {
    "not_equal": "ne.Scalar", "equal": "eq.Tensor", "less": "lt.Scalar", "less_equal": "le.Scalar",
    "greater": "gt.Scalar", "greater_equal": "ge.Scalar", "unslice": "select_backward",
    "index_put_zeros": "index_add_", "where": "where.self", "slice": "as_strided",
}  # fmt: skip
"""PyTorch's operator for kernels that are not called as it."""


def _on_values(op: Op, side: SparseKernels, array: Coo, *rest: Any) -> Coo:
    """An operator of one operand, on the values. A number among `rest` may be a raw array of no dimension."""
    given = array.in_order()
    return given.with_values(op.forward_for(side.dense)(side.dense, given.values._array, *rest))


_NAMES = {
    "_pow": "pow.Tensor_Tensor", "_pow_of_number": "pow.Scalar", "_softmax": "_softmax", "_vector_norm":
    "linalg_vector_norm", "_all": "all", "_mean_all": "mean.dim", "_mean": "mean.dim", "_prod_all": "prod",
    "_index": "index.Tensor", "_fill_tensor": "fill_.Tensor", "fill": "fill_.Scalar", "_rsub": "rsub.Tensor",
    "_rsub_number": "rsub.Scalar", "_invert": "bitwise_not", "_max_all": "max", "_min_all": "min",
    "_fmod_number": "fmod.Tensor", "_remainder_number": "remainder.Tensor", "logical_not": "logical_not.out",
}  # fmt: skip
"""PyTorch's names of operators that refuse sparse operands, where they do not follow from ours."""


def _aten_name(op: Op, arguments: Sequence[Any]) -> str:
    from retrograd.ops.aten import overload_of

    if op.name in _NAMES:
        return _NAMES[op.name]
    return overload_of(op, arguments).name().removeprefix("aten::")
