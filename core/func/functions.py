"""Custom Functions inside transforms: how they are mapped over.

Note [Functions and levels]
    A call at a level of `vmap` is recorded at that level, for derivatives inside of the mapped
    function. Its outputs are computed at the level below: by the Function's own `vmap`, from tensors
    with the samples' dimension, or, with `generate_vmap_rule`, by another Function, whose `forward`,
    `backward` and `jvp` are those of the first, each run at a level of its own. That one is recorded
    below, for derivatives outside of the `vmap`; and so on, down to the backend.

Source: https://docs.pytorch.org/docs/stable/notes/extending.func.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from retrograd.autograd.function import Function, FunctionCtx
from retrograd.autograd.modes import current_mode, set_mode
from retrograd.autograd.tangents import tangents_of
from retrograd.func.batched import Batched, BatchedKernels
from retrograd.func.vmap import enter, level_below
from retrograd.levels import PLAIN, below, innermost_vmap, running, transforms
from retrograd.ops.broadcasting import sum_to
from retrograd.ops.graph import G
from retrograd.tensor import Tensor, wrap_array
from retrograd.utils._pytree import broadcast_leaves, tree_flatten, tree_unflatten

__all__ = ["VmapInfo", "apply_in_transform"]

_NOTES = "For more details, please see https://pytorch.org/docs/main/notes/extending.func.html"

Dims = Any  # None or a dimension for each tensor, in a tree


class VmapInfo(NamedTuple):
    """What a Function's `vmap` is told of the `vmap` call."""

    batch_size: int
    randomness: str


def apply_in_transform(function: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`Function.apply` while a transform is running."""
    if PLAIN in transforms():
        return function._apply(function._run_forward, args, kwargs)
    if function.setup_context is Function.setup_context:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must "
            f"override the setup_context staticmethod. {_NOTES}"
        )
    if innermost_vmap() is not None:
        _check_rule(function, kwargs)
    tables = [each._kernels for each in tree_flatten(args)[0] if isinstance(each, Tensor)]
    table = max(tables, key=lambda k: k.level, default=None)
    if table is None or not table.level:
        return _apply_below_all(function, args, kwargs)
    table.check_open()
    inside = tuple(table.lift(each) if isinstance(each, Tensor) else each for each in args)
    outer = current_mode()
    if not any(isinstance(each, Tensor) and (each.requires_grad or tangents_of(each)) for each in inside):
        return _mapped(function, table, inside, kwargs)

    def run(ctx: FunctionCtx, *operands: Any, **options: Any) -> Any:
        own = current_mode()
        set_mode(outer)  # not recorded at this level, but at those below
        try:
            output = _mapped(function, table, operands, options)
        finally:
            set_mode(own)
        function.setup_context(ctx, operands, output)
        return output

    return function._apply(run, inside, kwargs, _differentiates())


def _apply_below_all(function: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call on tensors of no level: to `forward` it is as if there were no transforms."""
    if "functionalize" in transforms():
        raise RuntimeError("NYI: Functionalize rule for custom_function_call")

    def run(ctx: FunctionCtx, *operands: Any, **options: Any) -> Any:
        with below(None):
            output = function.forward(*operands, **options)
        function.setup_context(ctx, operands, output)
        return output

    return function._apply(run, args, kwargs, _differentiates())


def _differentiates() -> bool:
    """Whether the innermost transform is a derivative in reverse mode."""
    running = transforms()
    return bool(running) and running[-1] in ("grad", "vjp")


def _mapped(function: type[Function], table: BatchedKernels, operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The outputs for all samples, computed at the level below."""
    values, in_dims = _unwrapped(table, operands)
    with below(table):
        if function.generate_vmap_rule:
            mapping = _Mapping(in_dims, table.size, table.randomness, table.base, options)
            outputs = _vmapped(function).apply(mapping, *values)
            # A Function's outputs come as a plain tuple, whatever kind of tuple `forward` has returned.
            out_dims = tuple(mapping.out_dims) if isinstance(mapping.out_dims, tuple) else mapping.out_dims
        elif all(each is None for each in tree_flatten(in_dims)[0]):
            outputs, out_dims = function.apply(*values, **options), None
        else:
            values, in_dims = _unwrapped(table, operands, as_given=True)
            info = VmapInfo(table.size, table.randomness)
            outputs, out_dims = _checked(function.vmap(info, in_dims, *values, **options))
    return _wrapped(table, outputs, out_dims, values, operands)


def _check_rule(function: type[Function], kwargs: dict[str, Any]) -> None:
    if any(isinstance(each, Tensor) for each in tree_flatten(kwargs)[0]):
        raise NotImplementedError(
            "Run vmap on autograd.Function with kwarg-only Tensor args. Please do not pass kwarg-only Tensors to "
            f"autograd.Function. Got: {kwargs}"
        )
    has_own = function.vmap is not Function.vmap
    if function.generate_vmap_rule and has_own:
        raise RuntimeError(
            f"You tried to vmap over {function.__name__}, but it has both generate_vmap_rule=True and an overridden "
            "vmap staticmethod. Please set generate_vmap_rule=False or delete the overridden vmap staticmethod to "
            f"avoid ambiguity. {_NOTES}"
        )
    if not function.generate_vmap_rule and not has_own:
        raise RuntimeError(
            f"You tried to vmap over {function.__name__}, but it does not have vmap support. Please override and "
            f"implement the vmap staticmethod or set generate_vmap_rule=True. {_NOTES}"
        )


def _checked(result: Any) -> tuple[Any, Dims]:
    expected = (
        "Expected the vmap staticmethod to have two returns, an output and out_dims with pytree structure compatible "
        "with the output. "
    )
    if not isinstance(result, tuple):
        raise RuntimeError(f"{expected}Got a {type(result)} instead")
    if len(result) != 2:
        raise RuntimeError(f"{expected}Got {len(result)} returns instead")
    return result


# -- in and out ----------------------------------------------------------------------------------


def _unwrapped(table: BatchedKernels, tree: Any, as_given: bool = False) -> tuple[Any, Dims]:
    """The tensors of a level as those of the level below, and where each has the samples' dimension: in front.

    If `as_given`, arguments of the mapped function are the caller's own, with that dimension where they have it.
    """
    leaves, spec = tree_flatten(tree)
    values: list[Any] = []
    dims: list[int | None] = []
    for leaf in leaves:
        array = leaf._array if isinstance(leaf, Tensor) and leaf._kernels is table else None
        given = array.given if as_given and array is not None else None
        value, dim = given or ((leaf, None) if array is None else (array.value, 0 if array.mapped else None))
        values.append(value)
        dims.append(dim)
    return tree_unflatten(values, spec), tree_unflatten(dims, spec)


def _wrapped(table: BatchedKernels, outputs: Any, out_dims: Dims, values: Any, operands: Any) -> Any:
    """Outputs from below as tensors of the level; one that is an input as that very tensor."""
    leaves, spec = tree_flatten(outputs)
    dims = broadcast_leaves(out_dims, spec)
    if dims is None:
        raise RuntimeError(
            "The autograd.Function's vmap staticmethod returned an incompatible (output, out_dims) tuple. Expected "
            f"out_dims={out_dims} to be compatible with the structure of `output`. out_dims has structure "
            f"{tree_flatten(out_dims)[1]} but output has structure {spec}. {_NOTES}"
        )
    given = {
        id(value): operand for value, operand in zip(tree_flatten(values)[0], tree_flatten(operands)[0], strict=True)
    }

    def wrap(output: Any, dim: int | None) -> Any:
        if not isinstance(output, Tensor):
            return output
        if id(output) in given:
            return given[id(output)]
        value = output if not dim else output.movedim(dim, 0)
        return wrap_array(Batched(table.tensor(value), dim is not None, table), table)

    return tree_unflatten([wrap(*each) for each in zip(leaves, dims, strict=True)], spec)


class _Mapping:
    """One call of a Function that has been made to map another.

    Attributes
    ----------
    in_dims, out_dims
        Where inputs and outputs have the samples' dimension.
    size, randomness
        Those of the `vmap` call.
    base
        The kernels of the backend, below all levels.
    options
        The keyword arguments of the call.
    saved_dims, forward_dims
        Where what `save_for_backward` and `save_for_forward` keep has the samples' dimension.
    shapes
        The shapes of a sample's inputs, None for what is no tensor.
    """

    out_dims: Dims = None
    saved_dims: tuple[int | None, ...] = ()
    forward_dims: tuple[int | None, ...] = ()
    shapes: tuple[tuple[int, ...] | None, ...] = ()

    def __init__(self, in_dims: Dims, size: int, randomness: str, base: Any, options: dict[str, Any]) -> None:
        self.in_dims = in_dims
        self.size = size
        self.randomness = randomness
        self.base = base
        self.options = options

    def run(self, body: Callable[..., Any], dims: Dims, *args: Any) -> tuple[Any, Dims]:
        """`body(table, *args)` at a level of its own: its outputs, and where they have the samples' dimension."""
        leaves, spec = tree_flatten(args)
        flat = broadcast_leaves(dims, spec)
        assert flat is not None  # they have been taken from such arguments
        table = BatchedKernels(level_below(leaves, self.base), self.size, self.randomness)
        try:
            with running(table):
                inside = [enter(table, leaf, dim) for leaf, dim in zip(leaves, flat, strict=True)]
                return _unwrapped(table, body(table, *tree_unflatten(inside, spec)))
        finally:
            table.close()

    def fitted(self, result: Any, dim: int | None, wanted: int | None) -> Any:
        """A gradient or tangent with the samples' dimension exactly if what it belongs to has it."""
        if not isinstance(result, Tensor) or dim == wanted:
            return result
        if wanted is None:
            return result.sum(0)
        return result.unsqueeze(0).expand(self.size, *result.shape)


# -- a Function that maps another ----------------------------------------------------------------


def _vmapped(function: type[Function]) -> type[Function]:
    """The Function of the inputs of all samples of a `vmap`. Its first argument is the `_Mapping` of the call."""
    made: type[Function] | None = vars(function).get("_vmapped")
    if made is None:
        members = {"mapped": function, "clear_saved_tensors_on_access": function.clear_saved_tensors_on_access}
        metaclass: Any = type(Function)
        made = function._vmapped = metaclass(f"Vmapped{function.__name__}", (_Vmapped,), members)
    return made


class _Vmapped(Function):
    """`forward`, `backward` and `jvp` are those of `mapped`, each run at a level of `vmap` of its own."""

    checks_memory = False  # each sample's tangent is another tensor
    generate_vmap_rule = True
    mapped: type[Function]

    @classmethod
    def forward(cls, mapping: _Mapping, *operands: Any) -> Any:
        outputs, mapping.out_dims = mapping.run(
            lambda table, *inside: cls.mapped.forward(*inside, **mapping.options), mapping.in_dims, *operands
        )
        return outputs

    @classmethod
    def setup_context(cls, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        mapping: _Mapping = inputs[0]
        if not hasattr(ctx, "_mappings"):
            ctx._mappings = {}
        ctx._mappings[cls] = mapping

        def inner(table: BatchedKernels, inside: tuple[Any, ...], result: Any) -> None:
            cls.mapped.setup_context(_SavingCtx(ctx, mapping, table), inside, result)
            mapping.shapes = tuple(tuple(each.shape) if isinstance(each, Tensor) else None for each in inside)

        mapping.run(inner, (mapping.in_dims, mapping.out_dims), inputs[1:], output)

    @classmethod
    def backward(cls, ctx: Any, *grads: Any) -> Any:
        mapping: _Mapping = ctx._mappings[cls]

        def inner(table: BatchedKernels, saved: Sequence[Any], given: Sequence[Any]) -> Any:
            results = cls.mapped._run_backward(_SavedCtx(ctx, saved), list(given))
            results = results if isinstance(results, tuple) else (results,)
            return tuple(_reduced(*each) for each in zip(results, mapping.shapes, strict=False))

        given_dims = mapping.saved_dims, _dims_of(grads, mapping.out_dims)
        found, dims = mapping.run(inner, given_dims, tuple(ctx.saved_tensors), grads)
        return None, *(mapping.fitted(*each) for each in zip(found, dims, mapping.in_dims, strict=False))

    @classmethod
    def jvp(cls, ctx: Any, _: Any, *tangents: Any) -> Any:
        mapping: _Mapping = ctx._mappings[cls]

        def inner(table: BatchedKernels, saved: Sequence[Any], given: Sequence[Any]) -> Any:
            return cls.mapped.jvp(_SavedCtx(ctx, saved), *given)

        given_dims = mapping.forward_dims, _dims_of(tangents, mapping.in_dims)
        found, dims = mapping.run(inner, given_dims, tuple(ctx.saved_tensors), tangents)
        if not isinstance(found, tuple):
            return mapping.fitted(found, dims, mapping.out_dims)
        return tuple(mapping.fitted(*each) for each in zip(found, dims, mapping.out_dims, strict=True))


def _dims_of(tensors: Sequence[Any], dims: Dims) -> tuple[int | None, ...]:
    """The dimensions of gradients or tangents: as of what they belong to, where there is one."""
    each_dim = dims if isinstance(dims, tuple) else (dims,)
    return tuple(dim if isinstance(tensor, Tensor) else None for tensor, dim in zip(tensors, each_dim, strict=True))


def _reduced(grad: Any, shape: tuple[int, ...] | None) -> Any:
    """A sample's gradient in the shape of its input, to which the engine could not reduce that of all."""
    if not isinstance(grad, Tensor) or shape is None or tuple(grad.shape) == shape:
        return grad
    return sum_to(G, grad, shape)


class _WrappedCtx:
    """The `ctx` of the mapped Function: all but what it saves is that of the Function that maps it."""

    def __init__(self, ctx: Any) -> None:
        object.__setattr__(self, "_inner", ctx)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        return tuple(self._inner.needs_input_grad[1:])


class _SavingCtx(_WrappedCtx):
    """In `setup_context`: tensors of the level are kept as those of the level below."""

    def __init__(self, ctx: Any, mapping: _Mapping, table: BatchedKernels) -> None:
        super().__init__(ctx)
        object.__setattr__(self, "_mapping", mapping)
        object.__setattr__(self, "_table", table)

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        values, self._mapping.saved_dims = _unwrapped(self._table, tensors)
        self._inner.save_for_backward(*values)

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        values, self._mapping.forward_dims = _unwrapped(self._table, tensors)
        self._inner.save_for_forward(*values)

    def mark_dirty(self, *tensors: Tensor) -> None:
        self._inner.mark_dirty(*_unwrapped(self._table, tensors)[0])

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        self._inner.mark_non_differentiable(*_unwrapped(self._table, tensors)[0])


class _SavedCtx(_WrappedCtx):
    """In `backward` and `jvp`: what was kept, as tensors of the level."""

    def __init__(self, ctx: Any, saved: Sequence[Any]) -> None:
        super().__init__(ctx)
        object.__setattr__(self, "saved_tensors", saved)
