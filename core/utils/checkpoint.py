"""Checkpointing: keep a region's inputs instead of its intermediate results, and compute those again.

Note [Checkpoint]
    It is built on `saved_tensors_hooks`. In the forward pass each tensor that a node of the region
    would save is replaced by an empty `_Holder`. The first holder that a backward pass unpacks has
    the region's function run again, on the saved inputs and under hooks of another kind: the n-th
    tensor that is saved now belongs to the n-th holder. It stays there until that holder is
    unpacked, once per pass. As soon as the last holder is served the run is ended by an exception
    (early stop).

    What can be freed is: a holder lives as long as the node that has it, frames refer to holders
    weakly, and what was recomputed lies in the holder under the pass that asked for it, which is
    also referred to weakly.

    Regions nest without further means. The inputs of an inner region are saved through whatever
    hooks are active around it; those of the outer region put a holder in their place.

Source: https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from retrograd.amp.autocast_mode import as_now
from retrograd.autograd.api import backward
from retrograd.autograd.engine import active_task
from retrograd.autograd.function import Function
from retrograd.autograd.graph import saved_tensors_hooks
from retrograd.autograd.modes import current_mode, enable_grad, is_grad_enabled, no_grad
from retrograd.autograd.node import name_of
from retrograd.device import get_default_device
from retrograd.ops.dispatch import stack_of_caller
from retrograd.ops.plan import Packed, stale_message
from retrograd.random import fork_rng, get_rng_state, set_rng_state
from retrograd.storage import changed
from retrograd.tensor import Tensor, rebuild
from retrograd.utils.selective_checkpoint import (
    SAC_IGNORED_OPS,
    CheckpointPolicy,
    SelectiveCheckpointContext,
    create_selective_checkpoint_contexts,
)

__all__ = [
    "SAC_IGNORED_OPS", "CheckpointError", "CheckpointFunction", "CheckpointPolicy", "DefaultDeviceType",
    "GraphExecGroup", "SelectiveCheckpointContext", "check_backward_validity", "checkpoint", "checkpoint_sequential",
    "create_selective_checkpoint_contexts", "detach_variable", "get_device_states", "noop_context_fn",
    "set_checkpoint_debug_enabled", "set_checkpoint_early_stop", "set_device_states",
]  # fmt: skip

ContextFn = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]


class DefaultDeviceType:
    """The type of device whose states would be kept where no tensor tells; here there are none but of the generator."""

    _default_device_type: str | None = None

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        """Set it; without effect."""
        DefaultDeviceType._default_device_type = device

    @staticmethod
    def get_device_type() -> str:
        """What has been set, or `"cpu"`."""
        return DefaultDeviceType._default_device_type or "cpu"


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did not do what the first did."""


class _StopRecomputation(Exception):
    """Raised inside the recomputed function when all that is needed has been computed."""


_early_stop: ContextVar[bool | None] = ContextVar("retrograd.checkpoint_early_stop", default=None)
_debug: ContextVar[bool | None] = ContextVar("retrograd.checkpoint_debug", default=None)
_group: ContextVar[GraphExecGroup | None] = ContextVar("retrograd.checkpoint_group", default=None)


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether regions entered inside this context end their recomputation when all that is needed is there.

    It must be active in the forward pass, and overrides the argument of `checkpoint`.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.set_checkpoint_early_stop
    """
    token = _early_stop.set(enable)
    try:
        yield
    finally:
        _early_stop.reset(token)


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Override the `debug` argument of every `checkpoint` inside this context; None leaves it to them.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.set_checkpoint_debug_enabled
    """
    token = _debug.set(enabled)
    try:
        yield
    finally:
        _debug.reset(token)


class GraphExecGroup:
    """Several backward passes in this context share what checkpointed regions recompute.

    Each region runs again at most once for all of them. The passes must not need the same saved
    tensor.
    """

    def __enter__(self) -> GraphExecGroup:
        if _group.get() is not None:
            raise RuntimeError(f"GraphExecGroup contexts cannot be nested. Already inside group {_group.get()}")
        _group.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _group.set(None)


# -- what is kept and recomputed -------------------------------------------------------------------


class _Pass:
    """Stands for an access to saved tensors outside of any backward pass."""


class _Holder:
    """The place of one saved tensor; its value in each pass that has recomputed it, until it is used."""

    __slots__ = ("__weakref__", "values")

    def __init__(self) -> None:
        self.values: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


_USED = object()


class _Input:
    """An argument of the region, saved as a node would save it: versions are checked, hooks are asked."""

    __slots__ = ("edge", "k", "packed", "version")

    def __init__(self, tensor: Tensor) -> None:
        self.edge = tensor._edge
        self.k = tensor._kernels
        # A leaf is kept itself. Of a computed tensor only its memory and its place in the graph are:
        # the tensor may become a part of this region's graph by an in-place write, which would be a cycle.
        kept = tensor if tensor.is_leaf else tensor.detach()
        hooks = current_mode().saved_hooks
        if hooks:
            pack, unpack = hooks[-1]
            with no_grad():
                self.packed: Any = Packed(pack(tensor), unpack)
        else:
            self.packed = kept
            self.version = 0 if tensor.is_inference() else tensor._version

    def get(self) -> Tensor:
        kept = self.packed
        if type(kept) is Packed:
            return rebuild(kept.unpack(kept.value)._array, self.k, self.edge)
        if not kept.is_inference() and kept._version != self.version:
            raise stale_message(kept.dtype.name, tuple(kept.shape), self.edge, kept._version, self.version)
        same: bool = kept._edge is self.edge
        return kept if same else rebuild(kept._array, self.k, self.edge)


def _metadata(x: Tensor) -> dict[str, Any]:
    return {"shape": x.shape, "dtype": x.dtype, "device": x.device}


_DETERMINISM_CHECKS: dict[str, Callable[[Tensor], Any]] = {"default": _metadata, "none": lambda x: None}


class _Frame:
    """One call of a checkpointed function. See Note [Checkpoint]."""

    def __init__(
        self,
        recompute: Callable[..., None],
        early_stop: bool,
        metadata_of: Callable[[Tensor], Any],
        debug: bool,
    ) -> None:
        self.recompute = recompute
        self.early_stop = early_stop
        self.metadata_of = metadata_of
        self.arguments: list[Any] = []
        self.holders: list[weakref.ref[_Holder]] = []
        self.metadata: list[Any] = []
        self.finished = False
        self.done: weakref.WeakSet[Any] = weakref.WeakSet()  # the passes it has been recomputed in
        self.log: list[str] | None = [] if debug else None

    def save_arguments(self, args: Sequence[Any]) -> None:
        self.arguments = [_Input(each) if isinstance(each, Tensor) else each for each in args]

    def hooks(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(self.pack, self.unpack)

    def pack(self, x: Tensor) -> _Holder:
        holder = _Holder()
        self.holders.append(weakref.ref(holder))
        self.metadata.append(self.metadata_of(x))
        if self.log is not None:
            self.log.append(_log_entry(len(self.log), x))
        return holder

    def unpack(self, holder: _Holder) -> Tensor:
        key = _group.get() or active_task() or _Pass()
        if key not in self.done:
            self.run_again(key)
        value = holder.values.get(key)
        if value is _USED:
            raise _used_error()
        if value is None:  # it was not among what the second run saved, which was allowed to differ
            raise CheckpointError(
                "retrograd.utils.checkpoint: A tensor that the original forward saved was not saved during "
                "recomputation." + _TIP
            )
        holder.values[key] = _USED
        x: Tensor
        x, version = value
        if changed(x._cell[0], version):
            raise stale_message(x.dtype.name, tuple(x.shape), None, x._cell[0], version)
        return x

    def run_again(self, key: Any) -> None:
        run = _Recomputation(self, key)
        try:
            with contextlib.suppress(_StopRecomputation), run.hooks(), enable_grad():
                self.recompute(*(each.get() if type(each) is _Input else each for each in self.arguments))
            self.done.add(key)
            run.check()
        except CheckpointError as error:
            if self.log is None or run.log is None:
                raise
            raise CheckpointError(_debug_report(self.log, run.log)) from error


class _Recomputation:
    """The second run of a region, in one pass: gives what is saved to the holders of the first."""

    def __init__(self, frame: _Frame, key: Any) -> None:
        self.frame = frame
        self.key = key
        self.count = 0
        self.may_differ = False
        self.log: list[str] | None = None if frame.log is None else []

    def hooks(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(self.pack, lambda x: x)

    def pack(self, x: Tensor) -> Tensor:
        frame, index = self.frame, self.count
        x = x.detach() if x.requires_grad else x
        self.count += 1
        if self.log is not None:
            self.log.append(_log_entry(index, x))
        if index >= len(frame.holders):
            self.refuse_more()
            return x
        holder = frame.holders[index]()
        if holder is not None:  # it is gone if a backward pass inside the function has used it
            holder.values[self.key] = (x, x._cell[0])
        if frame.early_stop and self.count == len(frame.holders):
            raise _StopRecomputation
        return x

    def refuse_more(self) -> None:
        """More is saved than before, as it must if the first run called `grad` and is still on its way."""
        if self.frame.finished:
            raise CheckpointError(
                "retrograd.utils.checkpoint: trying to save more tensors during recomputation than during "
                f"the original forward pass.\n{_TIP}"
            )
        self.may_differ = True

    def check(self) -> None:
        frame = self.frame
        if self.may_differ:
            return
        if self.count != len(frame.holders):
            raise CheckpointError(
                "retrograd.utils.checkpoint: A different number of tensors was saved during the original "
                f"forward and recomputation.\nNumber of tensors saved during forward: {len(frame.holders)}\n"
                f"Number of tensors saved during recomputation: {self.count}.\n{_TIP}"
            )
        different = "".join(
            f"tensor at position {index}:\nsaved metadata: {before}\nrecomputed metadata: {now}\n"
            for index, before, now in self.metadata()
            if before != now
        )
        if different:
            raise CheckpointError(
                "retrograd.utils.checkpoint: Recomputed values for the following tensors have different "
                f"metadata than during the forward pass.\n{different}.\n{_TIP}"
            )

    def metadata(self) -> Iterator[tuple[int, Any, Any]]:
        """Position, and what was noted then and now, of each tensor whose holder is still there."""
        for index, reference in enumerate(self.frame.holders):
            holder = reference()
            if holder is not None:
                x, _ = holder.values[self.key]
                yield index, self.frame.metadata[index], self.frame.metadata_of(x)


def _used_error() -> CheckpointError:
    extra = ""
    if _group.get() is not None:
        extra = (
            "Performing two backward calls that overlap (i.e. require the same saved activation in order to "
            "compute gradients) is not allowed while under the retrograd.utils.checkpoint.GraphExecGroup "
            "context. "
        )
    return CheckpointError(
        "retrograd.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked once. "
        f"{extra}If you are calling ctx.saved_tensors in backward, make sure to do so only once. Otherwise "
        "please open an issue with details on your use case."
    )


# -- texts -----------------------------------------------------------------------------------------

_TIP = """
Tip: To see a more detailed error message, either pass `debug=True` to
`retrograd.utils.checkpoint.checkpoint(...)` or wrap the code block
with `with retrograd.utils.checkpoint.set_checkpoint_debug_enabled(True):` to
enable checkpoint-debug mode globally.
"""


def _log_entry(position: int, x: Tensor) -> str:
    kind = "an input" if x.grad_fn is None else f"output {x.output_nr} of {name_of(x.grad_fn)}"
    head = f"tensor at position {position}: {x.dtype} of shape {list(x.shape)}, {kind}, saved at\n"
    return head + stack_of_caller()


def _debug_report(before: list[str], now: list[str]) -> str:
    rule = "-" * 80
    return (
        "An error happened while unpacking tensors; dumping logs of latest computation\n"
        "because you passed `debug=True` to `retrograd.utils.checkpoint.checkpoint()`.\n\n"
        f"{rule}\n1. Tensors that the original forward saved, with the stack of the call\n{rule}\n\n"
        + "\n".join(before)
        + f"\n{rule}\n2. Tensors that the recomputation saved\n{rule}\n\n"
        + "\n".join(now)
        + f"\n{rule}\n"
        "ERROR: Detected non-determinism while running activation checkpointing\n\n"
        "You are seeing this error because you passed `debug=True` to checkpoint and\n"
        "tensors to be saved during the original forward and differ between those saved\n"
        "during recomputation. This can happen if different operators were ran in the\n"
        "original forward and in the recomputation.\n\n"
        "Compare the two lists: the first entry where they differ is where the function took another way.\n"
    )


# -- without re-entrancy ---------------------------------------------------------------------------


def noop_context_fn() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """The default `context_fn`: two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class _Region:
    """A call of `checkpoint` with `use_reentrant=False`."""

    def __init__(
        self,
        function: Callable[..., Any],
        kwargs: dict[str, Any],
        preserve_rng_state: bool,
        context_fn: ContextFn,
    ) -> None:
        self.function = function
        self.kwargs = kwargs
        self.forward_context, self.recompute_context = context_fn()
        self.device = get_default_device()
        self.autocast = as_now()
        self.rng_state = get_rng_state() if preserve_rng_state else None

    def recompute(self, *args: Any) -> None:
        """Run the function as it was run before: same random numbers, default device and autocast."""
        with fork_rng(enabled=self.rng_state is not None):
            if self.rng_state is not None:
                set_rng_state(self.rng_state)
            with self.recompute_context, self.device, self.autocast:
                self.function(*args, **self.kwargs)

    def run(self, frame: _Frame, args: tuple[Any, ...]) -> Any:
        frame.save_arguments(args)
        returned = False
        with frame.hooks(), self.forward_context:
            result = self.function(*args, **self.kwargs)
            returned = True
        if not returned:
            raise RuntimeError(
                "retrograd.utils.checkpoint: the forward context provided by context_fn suppressed an "
                "exception raised during the checkpointed forward. This is not supported because checkpoint "
                "cannot return a value for a failed forward."
            )
        frame.finished = True
        return result


def _without_reentrancy(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], preserve_rng_state: bool,
    context_fn: ContextFn, determinism_check: str, debug: bool, early_stop: bool,
) -> Any:  # fmt: skip
    overridden = _debug.get()
    debug = debug if overridden is None else overridden
    if debug and context_fn is not noop_context_fn:
        raise ValueError("debug=True is incompatible with non-default context_fn")
    if determinism_check not in _DETERMINISM_CHECKS:
        raise ValueError(f"determinism_check should be one of {list(_DETERMINISM_CHECKS)}, but got {determinism_check}")
    region = _Region(function, kwargs, preserve_rng_state, context_fn)
    if not is_grad_enabled():
        return function(*args, **kwargs)
    overridden = _early_stop.get()
    frame = _Frame(
        region.recompute,
        early_stop if overridden is None else overridden,
        _DETERMINISM_CHECKS[determinism_check],
        debug,
    )
    return region.run(frame, args)


# -- with re-entrancy ------------------------------------------------------------------------------


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn if no tensor among the arguments of a region requires a gradient."""
    if not any(isinstance(each, Tensor) and each.requires_grad for each in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Each tensor as a leaf of its own, which requires a gradient where the tensor does; other values as they are.

    Raises
    ------
    RuntimeError
        If `inputs` is no tuple.
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}")
    return tuple(
        each.detach().requires_grad_(each.requires_grad) if isinstance(each, Tensor) else each for each in inputs
    )


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The random states of the accelerators that the tensors among `args` are on: none.

    There is one generator for all devices here, and `retrograd.get_rng_state` gives its state.
    """
    return [], []


def set_device_states(devices: Sequence[int], states: Sequence[Tensor], *, device_type: str | None = None) -> None:
    """Set the random state to each of `states` in turn; what `get_device_states` has given is none."""
    for state in states:
        set_rng_state(state)


class CheckpointFunction(Function):
    """The older way, `use_reentrant=True`: the region is one node, whose backward runs a pass of its own."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.rng_state = get_rng_state() if preserve_rng_state else None
        ctx.device = get_default_device()
        ctx.autocast = as_now()
        ctx.inputs = [None if isinstance(each, Tensor) else each for each in args]
        ctx.tensor_indices = [i for i, each in enumerate(args) if isinstance(each, Tensor)]
        ctx.save_for_backward(*(args[i] for i in ctx.tensor_indices))
        return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        task = active_task()
        if task is not None and task.needed is not None:
            raise RuntimeError(
                "When use_reentrant=True, retrograd.utils.checkpoint is incompatible with .grad() or "
                "passing an `inputs` parameter to .backward(). To resolve this error, you can either set "
                "use_reentrant=False, or call .backward() without passing the `inputs` argument."
            )
        inputs = list(ctx.inputs)
        for i, tensor in zip(ctx.tensor_indices, detach_variable(ctx.saved_tensors), strict=True):
            inputs[i] = tensor
        with fork_rng(enabled=ctx.rng_state is not None):
            if ctx.rng_state is not None:
                set_rng_state(ctx.rng_state)
            with enable_grad(), ctx.device, ctx.autocast:
                outputs = ctx.run_function(*inputs)
        if isinstance(outputs, Tensor):
            outputs = (outputs,)
        pairs = [
            (out, each)
            for out, each in zip(outputs, grads, strict=True)
            if isinstance(out, Tensor) and out.requires_grad
        ]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([out for out, _ in pairs], [each for _, each in pairs])
        return (None, None, *(each.grad if isinstance(each, Tensor) else None for each in inputs))


# -- what users call -------------------------------------------------------------------------------


def _explicit(use_reentrant: bool | None, where: str) -> bool:
    if use_reentrant is not None:
        return use_reentrant
    if where == "checkpoint":
        future = "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an exception."
    else:
        future = "In version 2.9 we will raise an exception if use_reentrant is not passed."
    warnings.warn(
        f"retrograd.utils.{where}: the use_reentrant parameter should be passed explicitly. {future} "
        "use_reentrant=False is recommended, but if you need to preserve the current default behavior, you "
        "can pass use_reentrant=True. Refer to docs for more details on the differences between the two "
        "variants.",
        stacklevel=3,
    )
    return True


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: ContextFn = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Call `function` without keeping what its nodes would save; a backward pass that needs it runs it again.

    Parameters
    ----------
    function
        The region. It must do the same when it is run again.
    args, kwargs
        Its arguments.
    use_reentrant
        False is recommended, and supports all: `grad`, nesting, keyword arguments, gradients inside
        the region. With True the region is one node; only `backward` without `inputs=` goes through
        it, and at least one argument must be a tensor that requires a gradient.
    preserve_rng_state
        Let the second run draw the same random numbers (the default).
    context_fn
        Gives two contexts: the first is active in the first run, the second in the second.
    determinism_check
        `"default"` compares shapes, types and devices of what is saved in the two runs; `"none"`
        does not.
    debug
        Make the error show what was saved in both runs, and where.
    early_stop
        End the second run when all that is needed is there.

    Raises
    ------
    CheckpointError
        In the backward pass, if the second run saves other tensors than the first.
    ValueError
        If arguments do not go together.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.checkpoint

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils.checkpoint import checkpoint
    >>> x = retrograd.tensor([0.0, 1.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x).exp(), x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([0.0000, 5.4366])
    """
    use_reentrant = _explicit(use_reentrant, "checkpoint")
    preserve_rng_state = kwargs.pop("preserve_rng_state", True)
    if not use_reentrant:
        return _without_reentrancy(
            function, args, kwargs, preserve_rng_state, context_fn, determinism_check, debug, early_stop
        )
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
    return CheckpointFunction.apply(function, preserve_rng_state, *args)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run functions one after the other, in `segments` parts of which all but the last are checkpointed.

    Parameters
    ----------
    functions
        A `retrograd.nn.Sequential`, or a list of functions or modules of one argument.
    segments
        How many parts.
    input
        The argument of the first function.
    use_reentrant, preserve_rng_state
        As in `checkpoint`.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.checkpoint_sequential

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils.checkpoint import checkpoint_sequential
    >>> x = retrograd.tensor([1.0], requires_grad=True)
    >>> y = checkpoint_sequential([retrograd.exp, retrograd.sin, retrograd.exp], 2, x, use_reentrant=False)
    >>> y.backward(); x.grad
    tensor([-3.7373])
    """
    use_reentrant = _explicit(use_reentrant, "checkpoint.checkpoint_sequential")
    preserve_rng_state = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(steps) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(
            _in_order(steps[start : start + size]),
            input,
            use_reentrant=use_reentrant,
            preserve_rng_state=preserve_rng_state,
        )
    return _in_order(steps[size * (segments - 1) :])(input)


def _in_order(steps: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return run
