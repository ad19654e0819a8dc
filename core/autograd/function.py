"""`Function`: operators whose forward and backward the user writes.

Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.Function
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd import function_saving
from retrograd.autograd.anomaly import remember_call
from retrograd.autograd.delayed import DelayedError
from retrograd.autograd.engine import active_task
from retrograd.autograd.explaining import note_gradient_of_function, remember_break
from retrograd.autograd.function_context import BackwardCFunction, FunctionCtx
from retrograd.autograd.modes import current_mode, no_grad, set_mode
from retrograd.autograd.node import AccumulateGrad, Node, name_of, next_sequence_number
from retrograd.autograd.rebase import check_writable, rebase
from retrograd.levels import transforms
from retrograd.overrides import has_torch_function_unary
from retrograd.storage import OWN, bump
from retrograd.tensor import Tensor, has_node, wrap_array

__all__ = [
    "BackwardCFunction", "Function", "FunctionCtx", "FunctionMeta", "InplaceFunction", "NestedIOFunction",
    "once_differentiable",
]  # fmt: skip


class _FunctionPlan:
    """Calls the user's `backward` on tensors, in both modes of the engine."""

    __slots__ = ()
    holds_tensors = True
    unpacks = False

    def raw(self, K: Any, g: Any, node: BackwardCFunction) -> list[Any]:
        arrays = g if isinstance(g, list) else [g]
        task = active_task()
        wrap = task.wrap if task is not None else lambda k, array: wrap_array(array, k)
        grads = [None if each is None else wrap(node._output_kernels(i), each) for i, each in enumerate(arrays)]
        with no_grad():
            results = _run_backward(node, grads)
        if task is not None:
            task.pass_on_writes(arrays, grads)
        return [None if each is None else _own_array(each) for each in results]

    def graph(self, G: Any, g: Any, node: BackwardCFunction) -> list[Any]:
        return _run_backward(node, list(g) if isinstance(g, list) else [g])

    def unpack(self, node: BackwardCFunction, index: int, as_tensor: bool) -> Tensor | None:
        return function_saving.unpack(node, index, node._holds[index])

    def pack_one(self, node: BackwardCFunction, index: int, *pair: Callable[..., Any]) -> None:
        function_saving.pack_one(node, index, *pair)


_PLAN = _FunctionPlan()


def _own_array(tensor: Tensor) -> Any:
    """The array of a gradient that user code may still hold: nobody else may write to it."""
    return tensor._array


def _run_backward(node: BackwardCFunction, grads: list[Tensor | None]) -> list[Tensor | None]:
    if node._materialize_grads:
        grads = [
            _zeros(info) if each is None and info is not None and place not in node._constant_places else each
            for place, (each, info) in enumerate(zip(grads, node._output_info, strict=True))
        ]
    task = active_task()
    if task is None:
        results = node._function_class._run_backward(node, grads)
    else:
        outer, task.running = task.running, node
        results = node._function_class._run_backward(node, grads)
        task.running = outer
    return _checked_results(node, results if isinstance(results, tuple) else (results,))


def _zeros(info: tuple[Any, Any, Any]) -> Tensor:
    shape, native, k = info
    return wrap_array(k.zeros(shape, native), k)


def _checked_results(node: BackwardCFunction, results: tuple[Any, ...]) -> list[Tensor | None]:
    """The gradients of the tensor inputs, each fitted to its input; trailing Nones may be missing or too many."""
    expected = len(node._input_slots)
    if len(results) > expected:
        if any(each is not None for each in results[expected:]):
            raise RuntimeError(
                f"function {name_of(node)} returned an incorrect number of gradients (expected {expected}, got "
                f"{len(results)})"
            )
        results = results[:expected]
    elif len(results) < expected:
        raise RuntimeError(
            f"function {name_of(node)} returned an incorrect number of gradients (expected {expected}, got "
            f"{len(results)})"
        )
    grads: list[Tensor | None] = [None] * len(node._next_edges)
    for position, (slot, result) in enumerate(zip(node._input_slots, results, strict=True)):
        if result is None:
            continue
        if slot is None:
            raise RuntimeError(
                f"function {name_of(node)} returned a gradient different than None at position {position + 1}, but the "
                "corresponding forward input was not a Variable"
            )
        if node._next_edges[slot] is not None:
            grads[slot] = _fitted(node, position, slot, result)
        elif node._node_extras is not None and node._node_extras.post_hooks and isinstance(result, Tensor):
            grads[slot] = result  # it goes nowhere, but PyTorch's hooks see it
    return grads


def _fitted(node: BackwardCFunction, position: int, slot: int, grad: Any) -> Tensor:
    """A gradient in its input's shape, type and place, or an error that names the Function and the input."""
    if not isinstance(grad, Tensor):
        error = RuntimeError(f"expected Variable or None (got {type(grad).__name__})")
        note_gradient_of_function(error, node._function_class, position, f"a value of type {type(grad).__name__}")
    shape, native, k = node._inputs_info[slot]
    if tuple(grad._array.shape) != shape:
        from retrograd.ops.broadcasting import broadcast_shapes

        try:
            reducible = broadcast_shapes(shape, tuple(grad._array.shape)) == tuple(grad._array.shape)
        except RuntimeError:
            reducible = False
        if not reducible:
            error = RuntimeError(
                f"Function {name_of(node)} returned an invalid gradient at index {position} - got "
                f"{list(grad.shape)} but expected shape compatible with {list(shape)}"
            )
            got = f"a tensor of shape {list(grad.shape)}, which does not reduce to {list(shape)},"
            note_gradient_of_function(error, node._function_class, position, got)
        from retrograd.ops.broadcasting import sum_to
        from retrograd.ops.graph import G

        grad = sum_to(G, grad, shape)
    is_complex, expected = grad.is_complex(), k.names[native].startswith("complex")
    if is_complex != expected and grad.dtype.is_differentiable:
        error = RuntimeError(
            "Expected isFloatingType(grad.scalar_type()) || (input_is_complex == grad_is_complex) to be true, but got "
            "false.  (Could this error message be improved?  If so, please report an enhancement request to PyTorch.)"
        )
        note_gradient_of_function(error, node._function_class, position, f"a tensor of type {grad.dtype}")
    if grad._kernels.base is k.base:
        grad = k.lift(grad) if grad._kernels.level < k.level else grad
    else:
        error = RuntimeError(
            f"Function {name_of(node)} returned an invalid gradient at index {position} - expected device "
            f"{k.backend}:{k.device} but got {grad.device}"
        )
        note_gradient_of_function(error, node._function_class, position, f"a tensor on {grad.device}")
    target = None if (edge := node._next_edges[slot]) is None else edge[0]
    if grad._array.dtype == native or (type(target) is AccumulateGrad and target.meta.grad_dtype is not OWN):
        return grad  # the leaf says itself of which type its gradient is
    return grad.to(_dtype_named(k.names[native]))


def _dtype_named(name: str) -> Any:
    from retrograd.dtypes import DTYPES

    return DTYPES[name]


class FunctionMeta(type):
    """Gives each Function the class of its nodes: `<name>Backward`."""

    def __init__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> None:
        super().__init__(name, bases, attrs)
        cls._node_class = cls._class_of_nodes(name)
        cls._backward_cls = cls._node_class

    def _class_of_nodes(cls, name: str) -> Any:
        members = {"__module__": "retrograd.autograd.function", "__slots__": ()}
        return type(name + "Backward", (BackwardCFunction,), {"_function_class": cls, **members})

    def _class_of_derived(cls) -> Any:
        """That of the nodes in functions which a transform differentiates: PyTorch makes a Function of the Function."""
        made = cls.__dict__.get("_derived_class")
        if made is None:
            made = cls._derived_class = cls._class_of_nodes(cls.__name__ + "Generated")
        return made


class Function(metaclass=FunctionMeta):
    """A differentiable operator written by the user.

    Subclass it with static methods `forward` and `backward`, and call it by `apply`. `forward`
    takes `ctx` and the arguments, or the arguments alone if there is a `setup_context(ctx, inputs,
    output)`. `backward` takes `ctx` and one gradient per output, and returns one per input of
    `forward` (None where there is none).

    Source: https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.Function

    Examples
    --------
    >>> import retrograd
    >>> class Double(retrograd.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return 2 * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         return 2 * grad
    >>> x = retrograd.ones(2, requires_grad=True)
    >>> Double.apply(x).sum().backward(); x.grad
    tensor([2., 2.])
    """

    _node_class: type[BackwardCFunction]
    _backward_cls: type[BackwardCFunction]  # PyTorch's name for it
    _vmapped: type[Function]  # made when first needed: retrograd.func.functions

    checks_memory = True
    """Whether `jvp` must treat the memory of tangents as `forward` does that of its inputs."""
    generate_vmap_rule = False
    """Whether `vmap` may map `forward`, `backward` and `jvp` themselves, which are made of operators."""

    clear_saved_tensors_on_access = False
    """Whether reading `ctx.saved_tensors` lets go of them, so that they are freed as soon as `backward` drops them."""

    boxed_grads_call = False
    """Whether `backward` gets its gradients as one list, from which it can take and so free them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{self.__class__} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself. Instantiating an autograd function will raise an error in a future "
            "version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; gradients are off while it runs."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save for `backward` what it needs, when `forward` takes no `ctx`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the inputs from those of the outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangents of the outputs from those of the inputs."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def _run_backward(cls, ctx: Any, grads: list[Any]) -> Any:
        """`backward`, or `vjp`, of gradients in the form that the Function wants."""
        own, vjp = cls.backward is not Function.backward, cls.vjp is not Function.vjp
        if own and vjp:
            error = RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
                "implement one of them."
            )
            error.add_note(f"{cls.__qualname__} has both.")
            raise error
        function = cls.vjp if vjp else cls.backward
        return function(ctx, grads) if cls.boxed_grads_call else function(ctx, *grads)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        """Run on the inputs of all samples of a `vmap` at once.

        Parameters
        ----------
        info
            `info.batch_size`, how many samples there are, and `info.randomness` of the `vmap` call.
        in_dims
            For each argument the dimension that the samples lie along; None for one that they share.
        args
            Those of `forward`, with the samples' dimension where `in_dims` says.

        Returns
        -------
        The outputs of all samples, and for each the dimension that the samples lie along, or None.
        """
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, and record the call if an input requires a gradient.

        Raises
        ------
        RuntimeError
            Inside a transform of `retrograd.func`, if `setup_context` is not overridden; inside `vmap`,
            also if there is neither a `vmap` nor `generate_vmap_rule`.
        """
        if cls.setup_context is not Function.setup_context:
            args, kwargs = _with_defaults(cls.forward, args, kwargs)
        if transforms():
            from retrograd.func.functions import apply_in_transform

            return apply_in_transform(cls, args, kwargs)
        return cls._apply(cls._run_forward, args, kwargs)

    @classmethod
    def _run_forward(cls, ctx: FunctionCtx, *args: Any, **kwargs: Any) -> Any:
        """`forward` and, if it has one of its own, `setup_context`."""
        if cls.setup_context is Function.setup_context:
            return cls.forward(ctx, *args, **kwargs)
        output = cls.forward(*args, **kwargs)
        cls.setup_context(ctx, args, output)
        return output

    @classmethod
    def _apply(
        cls, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], derived: bool = False
    ) -> Any:
        """The outputs of `run(ctx, *args, **kwargs)`, recorded as those of a call; `derived`, if within a transform."""
        node = (cls._class_of_derived() if derived else cls._node_class)()
        given = (*args, *kwargs.values()) if kwargs else args
        inputs = [each for each in given if isinstance(each, Tensor)]
        mode = current_mode()
        node.needs_input_grad = tuple(isinstance(each, Tensor) and each._edge is not None for each in given)
        records = mode.grad and any(node.needs_input_grad)
        _describe_inputs(node, given, inputs, records)
        event = None if mode.profiler is None else mode.profiler.begin_function(cls.__name__, inputs, node)
        set_mode(mode.but(grad=False, dual=()))
        try:
            output = run(node, *args, **kwargs)
        finally:
            set_mode(mode)
            if event is not None:
                mode.profiler.end(event)
        recording = _Recording(node, inputs, records)
        made = recording.finish(output)
        if mode.dual:
            from retrograd.autograd.function_tangents import push_function

            push_function(cls, node, given, made, recording.constants())
        recording.save()
        return made if isinstance(output, tuple) else made[0]


def _with_defaults(
    forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """All arguments of `forward`, so that `setup_context` sees those left out, too."""
    code = getattr(forward, "__code__", None)
    if not kwargs and code is not None and code.co_argcount == len(args) and not code.co_kwonlyargcount:
        return args, kwargs  # nothing has been left out: the usual case, without the cost of a signature
    bound = inspect.signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args, bound.kwargs


def _describe_inputs(node: BackwardCFunction, args: Sequence[Any], inputs: list[Tensor], records: bool) -> None:
    slots: list[int | None] = []
    for each in args:
        slots.append(sum(slot is not None for slot in slots) if isinstance(each, Tensor) else None)
    node._input_slots = tuple(slots)
    node._inputs_info = tuple((tuple(each._array.shape), each._array.dtype, each._kernels) for each in inputs)
    node._next_edges = tuple(each._edge for each in inputs) if records else ()
    node._node_extras = None
    node._grad_fix = None
    node._grad_plan = _PLAN
    node._kernels = inputs[0]._kernels if inputs else None
    node._holds = ()
    node._seq_nr = next_sequence_number()
    if current_mode().anomaly and records:
        remember_call(node)


class _Recording:
    """Turns what `forward` returned into outputs of the graph."""

    def __init__(self, node: BackwardCFunction, inputs: list[Tensor], records: bool) -> None:
        self.node = node
        self.inputs = inputs
        self.records = records
        self.outputs: tuple[Any, ...] = ()
        self.made: tuple[Any, ...] = ()

    def finish(self, output: Any) -> tuple[Any, ...]:
        """The outputs as the caller gets them."""
        node = self.node
        outputs = self.outputs = output if isinstance(output, tuple) else (output,)
        self._check_marks()
        self._check_dirty(outputs)
        tensors = [each for each in outputs if isinstance(each, Tensor)]
        node._n_outputs = len(outputs)
        node._output_info = tuple(
            (tuple(each._array.shape), each._array.dtype, each._kernels) if isinstance(each, Tensor) else None
            for each in outputs
        )
        if node._kernels is None and tensors:
            node._kernels = tensors[0]._kernels
        self._check_written_view(outputs)
        self._bump_dirty()
        self.made = made = tuple(
            self._output(position, each) if isinstance(each, Tensor) else each for position, each in enumerate(outputs)
        )
        if sum(isinstance(each, Tensor) and self._is_differentiable(each) for each in made) > 1:
            for each in made:
                if isinstance(each, Tensor) and _is_view(each):
                    each._own_meta().view.creation = "multi"  # type: ignore[union-attr]  # it is a view
        node._tensors_for_forward = tuple(self._as_made(each) for each in node._tensors_for_forward)
        return self.made

    def _check_marks(self) -> None:
        for i, each in enumerate(self.node._dirty_inputs):
            if not isinstance(each, Tensor):
                raise RuntimeError(
                    f"mark_dirty can only accept variables, but argument {i} is of type {type(each).__name__}"
                )
        for each in self.node._outputs_without_grad:
            if not isinstance(each, Tensor):
                raise RuntimeError(
                    f"mark_non_differentiable only accepts variable arguments, but got {type(each).__name__}"
                )

    def _as_made(self, tensor: Any) -> Any:
        """An output as the caller gets it; any other tensor, an input returned as it is too, itself."""
        if any(tensor is each for each in self.inputs):
            return tensor
        return next((after for before, after in zip(self.outputs, self.made, strict=True) if tensor is before), tensor)

    def constants(self) -> frozenset[int]:
        """The places of the outputs that are differentiated in neither mode."""
        marked = self.node._outputs_without_grad
        return frozenset(
            i for i, each in enumerate(self.outputs)
            if not isinstance(each, Tensor) or not each.dtype.is_differentiable or any(each is one for one in marked)
        )  # fmt: skip

    def save(self) -> None:
        """Fill the node, once the outputs have their tangents."""
        node = self.node
        try:
            if self.records:
                node._holds = tuple(
                    function_saving.pack(node, i, each, self.outputs, self.made)
                    for i, each in enumerate(node._tensors_to_save)
                )
        finally:  # what the node keeps must not lead back to it, even if a pack hook raises: these may be its outputs
            node._tensors_to_save = node._dirty_inputs = node._outputs_without_grad = node._tensors_for_forward = ()

    def _check_written_view(self, outputs: tuple[Any, ...]) -> None:
        """A view that forward has written to cannot be one output of several."""
        written = any(_is_view(each) for each in self.node._dirty_inputs)
        if self.records and written and len(outputs) > 1:
            raise RuntimeError(
                "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot "
                "return more than one Tensor. This is not supported by the current autograd engine. You should either "
                "make sure the input is not a view (using .clone() for example) or make your Function only return one "
                "Tensor (potentially splitting it into two Functions: one doing the inplace that returns a single "
                "Tensor and a second one that does the other operations). You can ask on the forum "
                "https://discuss.pytorch.org/ if you need help to do this change."
            )

    def _check_dirty(self, outputs: tuple[Any, ...]) -> None:
        for each in self.node._dirty_inputs:
            if not any(each is tensor for tensor in self.inputs):
                warnings.warn(
                    "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been "
                    "mutated should be passed to ctx.mark_dirty().",
                    stacklevel=5,
                )
                continue
            if not any(each is out for out in outputs):
                raise RuntimeError(
                    "Some elements marked as dirty during the forward method were not returned as output. The inputs "
                    "that are modified inplace must all be outputs of the Function."
                )
            if self.records and each.requires_grad and not has_node(each):
                raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
            check_writable(each, current_mode(), self.records)

    def _check_saved(self, output: Tensor) -> None:
        """`setup_context` cannot save an input that is an output too: the two become different tensors."""
        node, apart = self.node, self.node._function_class.setup_context is not Function.setup_context
        if apart and any(output is each for each in (*node._tensors_to_save, *node._tensors_for_forward)):
            raise RuntimeError(
                "An input that has been returned as-is as output is being saved for backward. This is not supported if "
                "you override setup_context. You should return and save a view of the input instead, e.g. with "
                "x.view_as(x) or setup ctx inside the forward function itself."
            )

    def _bump_dirty(self) -> None:
        """As PyTorch does, whether forward has written by operators or by other means, and is recorded or not."""
        for each in {id(each): each for each in self.node._dirty_inputs}.values():
            if type(each._cell) is list:  # else it is an inference tensor
                bump(each)

    def _output(self, position: int, output: Tensor) -> Tensor:
        node = self.node
        is_input = any(output is each for each in self.inputs)
        dirty = is_input and any(output is each for each in node._dirty_inputs)
        if not self._is_differentiable(output):
            if not node._materialize_non_diff_grads:
                node._constant_places += (position,)
            return self._constant(output, is_input, dirty)
        if dirty:
            rebase_at(output, node, position)
            return output
        if is_input:
            self._check_saved(output)
        if is_input or (output._edge is not None and not has_node(output) and not _is_view(output)):
            # The caller gets a view, so that the input, or a leaf that forward closed over, keeps its own history.
            output = _alias(output)
        _forbid_writes(output, node)
        output._edge = (node, position)
        return output

    def _is_differentiable(self, output: Tensor) -> bool:
        marked = any(output is each for each in self.node._outputs_without_grad)
        return self.records and output.dtype.is_differentiable and not marked

    def _constant(self, output: Tensor, is_input: bool, dirty: bool) -> Tensor:
        """An output without a gradient; one that was an input is given back as another tensor."""
        if output._edge is not None:
            if is_input:
                output = output.detach()
            elif not _is_view(output):
                output._edge = None
        elif is_input and not dirty:
            self._check_saved(output)
            output = _alias(output)
        if not (is_input and dirty):
            _forbid_writes(output, self.node)
        if not is_input:
            name = f"{self.node._function_class.__qualname__}.apply"
            remember_break(name, self.inputs, [output], self.records, current_mode().grad)
        return output


def rebase_at(tensor: Tensor, node: Node, position: int) -> None:
    rebase(tensor, node, node._function_class.__qualname__)
    if tensor._tensor_meta is None or tensor._tensor_meta.view is None:
        tensor._edge = (node, position)


def _is_view(tensor: Tensor) -> bool:
    return tensor._tensor_meta is not None and tensor._tensor_meta.view is not None


def _alias(tensor: Tensor) -> Tensor:
    from retrograd.ops.shape import alias_of

    with no_grad():
        return tensor.view_as(tensor) if has_torch_function_unary(tensor) else alias_of(tensor)


def _forbid_writes(output: Tensor, node: BackwardCFunction) -> None:
    """If an output is a view, a write to it would bypass the Function's backward."""
    view = None if output._tensor_meta is None else output._tensor_meta.view
    if view is not None:
        view.creation, view.node_name = "function", name_of(node)


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a `backward` that cannot be differentiated itself: doing so is an error instead of wrong.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.autograd.function import once_differentiable
    """

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        with no_grad():
            outputs = fn(ctx, *args)
        if not current_mode().grad or not any(isinstance(a, Tensor) and a._edge is not None for a in args):
            return outputs
        if transforms():  # to a transform around it the outputs are constants, as in PyTorch
            return outputs
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        fail = DelayedError(
            "trying to differentiate twice a function that was marked with @once_differentiable", len(results)
        )
        return fail(*(_requiring(each) for each in results))

    return wrapper


def _requiring(value: Any) -> Any:
    return value.detach()._set_requires_grad() if isinstance(value, Tensor) and value.dtype.is_differentiable else value


class InplaceFunction(Function):
    """What Functions that work in place were once derived from; `Function` does now. Kept for old programs."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class NestedIOFunction(Function):
    """What Functions of nested lists of tensors were once derived from; cannot be run, in PyTorch neither."""

    def forward_extended(self, *input: Any) -> None:
        """What a subclass computed."""
        raise NotImplementedError

    def backward_extended(self, *grad_output: Any) -> None:
        """How a subclass computed gradients."""
        raise NotImplementedError
