"""Selective checkpointing: in a checkpointed region, results of some operators are kept, not computed again.

Note [Selective checkpoint]
    The first run's context is called with each operator's result and keeps those that the policy
    wants; the second run's context is asked before each operator's kernel runs. Both work below the
    graph: in the second run the operator makes its node as always, only its result is taken from
    the first. Operators are told apart by their declaration and counted, so that the n-th call of
    one gets the n-th result; in place it is another one, whose result is what was written to. Policies
    are told their names in `retrograd.ops.aten`. They are asked of views, too, but whatever they say,
    views are made again: that takes no time.

`retrograd.utils.checkpoint` exports what is here.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from retrograd.autograd.modes import ModeContext
from retrograd.ops import aten
from retrograd.ops.aten import OpOverload, OpOverloadPacket, overload_of
from retrograd.storage import changed

if TYPE_CHECKING:
    from retrograd.ops.declare import Op

__all__ = ["SAC_IGNORED_OPS", "CheckpointPolicy", "SelectiveCheckpointContext", "create_selective_checkpoint_contexts"]


class CheckpointPolicy(enum.Enum):
    """What to do with an operator's result. `MUST` and `PREFER` mean the same here.

    Offloading to host memory is accepted and treated as recomputing, as PyTorch does in eager mode.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.CheckpointPolicy
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


class SelectiveCheckpointContext:
    """What a policy is told besides the operator and its arguments.

    Attributes
    ----------
    is_recompute
        Always False: policies are asked in the first run only.
    op_output
        The result.
    """

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute = is_recompute
        self.op_output = op_output


Policy = Callable[..., CheckpointPolicy | bool]
_Key = tuple["Op", bool]  # an operator, and whether it writes in place
_RECOMPUTE, _CONSUMED = object(), object()
_MISMATCH = (
    "This can happen if the operations in the checkpointed region are nondeterministic or depend on global "
    "state that changed between forward and backward."
)


class _Kept:
    """A kept result, outside of the graph, with the version it had."""

    def __init__(self, result: Any) -> None:
        outputs = result if isinstance(result, tuple) else (result,)
        self.tensors = tuple(each.detach() for each in outputs)
        self.versions = tuple(each._cell[0] for each in self.tensors)

    def arrays(self, allow_mutation: bool) -> tuple[Any, ...]:
        written = any(
            changed(each._cell[0], version) for each, version in zip(self.tensors, self.versions, strict=True)
        )
        if written and not allow_mutation:
            raise RuntimeError("Tensor cached during selective activation checkpoint has been mutated")
        return tuple(each._array for each in self.tensors)


class _Context(ModeContext):
    """Active in one of the two runs; `retrograd.ops.dispatch.call` asks it about every operator."""

    __slots__ = ("counts", "storage")

    def __init__(self, storage: dict[Any, dict[int, Any]]) -> None:
        self.storage = storage
        self.counts: dict[Any, int] = defaultdict(int)

    def __enter__(self) -> None:
        self.counts.clear()
        super().__enter__()

    def changes(self) -> dict[str, Any]:
        return {"results": self}

    def next_call(self, key: _Key) -> int:
        index = self.counts[key]
        self.counts[key] += 1
        return index

    def find(self, op: Op, in_place: bool = False) -> tuple[Any, ...] | None:
        """The result to use instead of running the kernel."""
        return None

    def keep(self, op: Op, arguments: Sequence[Any], result: Any) -> None:
        """Called with the result when the operator has run."""

    def see_view(self, node_name: str, source: Any, made: Any, arguments: dict[str, Any]) -> None:
        """Called with each view, or the views of one call, and with what its node shows."""

    def keep_written(self, op: Op, arguments: Sequence[Any]) -> None:
        """Called with the tensor that has been written to, and the rest."""


class _Keeping(_Context):
    __slots__ = ("policy",)

    def __init__(self, storage: dict[Any, dict[int, Any]], policy: Policy) -> None:
        super().__init__(storage)
        self.policy = policy

    def keep(self, op: Op, arguments: Sequence[Any], result: Any) -> None:
        context = SelectiveCheckpointContext(is_recompute=False, op_output=result)
        args, kwargs = _as_called(op, arguments)
        policy = self.policy(context, overload_of(op, arguments), *args, **kwargs)
        self._store((op, False), policy, result)

    def _store(self, key: _Key, policy: CheckpointPolicy | bool, result: Any) -> None:
        saves = policy is True or policy in (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)
        self.storage[key][self.next_call(key)] = _Kept(result) if saves else _RECOMPUTE

    def see_view(self, node_name: str, source: Any, made: Any, arguments: dict[str, Any]) -> None:
        if node_name != "AliasBackward0":  # which functions make for themselves
            form = aten.view_form(node_name)
            context = SelectiveCheckpointContext(is_recompute=False, op_output=made)
            self.policy(context, form, source, *aten.view_arguments(form, made, arguments))

    def keep_written(self, op: Op, arguments: Sequence[Any]) -> None:
        context = SelectiveCheckpointContext(is_recompute=False, op_output=arguments[0])
        args, kwargs = _as_called(op, arguments)
        policy = self.policy(context, aten.written_form(op, arguments), *args, **kwargs)
        self._store((op, True), policy, arguments[0])


def _as_called(op: Op, arguments: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """All arguments in declared order as PyTorch passes them on: without those that are as by default."""
    split = len(op.signature.parameters) - len(op.keywords)
    names = list(op.signature.parameters)
    args = list(arguments[:split])
    while args and (name := names[len(args) - 1]) in op.defaults and name not in op.kinds:
        if args[-1] is not op.defaults[name] and args[-1] != op.defaults[name]:
            break
        args.pop()
    given = zip(op.keywords, arguments[split:], strict=True)
    return args, {name: value for name, value in given if value != op.defaults.get(name)}


class _Replaying(_Context):
    __slots__ = ("allow_mutation",)

    def __init__(self, storage: dict[Any, dict[int, Any]], allow_mutation: bool) -> None:
        super().__init__(storage)
        self.allow_mutation = allow_mutation

    def find(self, op: Op, in_place: bool = False) -> tuple[Any, ...] | None:
        key = (op, in_place)
        index = self.next_call(key)
        if key not in self.storage:
            raise RuntimeError(f"{op.name} encountered during backward but not found in storage. {_MISMATCH}")
        entry = self.storage[key].get(index)
        if entry is None:
            raise RuntimeError(
                f"{op.name} invocation index {index} encountered during backward but not found in storage. {_MISMATCH}"
            )
        if entry is _CONSUMED:
            raise RuntimeError(
                "Trying to backward an extra time. You are only allowed to backward once on any region "
                "computed under selective activation checkpoint."
            )
        if entry is _RECOMPUTE:
            return None
        self.storage[key][index] = _CONSUMED
        arrays: tuple[Any, ...] = entry.arrays(self.allow_mutation)
        return arrays


SAC_IGNORED_OPS = {
    aten.detach.default, aten.is_contiguous.default, aten.is_contiguous.memory_format, aten.numel.default,
    aten.dim.default, aten.size.default, aten.stride.default, aten.storage_offset.default,
}  # fmt: skip
"""What policies are never asked about: it computes nothing."""


def _forms_of(item: Any) -> list[OpOverload]:
    """What an item of a list stands for: itself, or the operators that a function of the namespace chooses among.

    Those that `sum` chooses among are called `_sum`, `_sum_all` and so on; `_std_mean` belongs to
    `std_mean` and not to `std`.
    """
    from retrograd.ops.declare import Op, publics

    if isinstance(item, OpOverload):
        return [item]
    declared = getattr(item, "__wrapped_op__", None)
    if declared is not None:
        return [overload_of(declared)]
    name = getattr(item, "__name__", "") if callable(item) and not isinstance(item, OpOverloadPacket) else ""
    longer = [each for each in publics if each.startswith(f"{name}_")] if name else []
    return [
        overload_of(op)
        for key, op in Op.registry.items()
        if name
        and (key == f"_{name}" or key.startswith(f"_{name}_"))
        and not any(key == f"_{each}" or key.startswith(f"_{each}_") for each in longer)
    ]


def _policy_of_list(items: Sequence[Any]) -> Policy:
    forms: list[OpOverload] = []
    for each in items:
        found = _forms_of(each)
        if not found:
            raise ValueError(
                f"Expected op in `op_list` to be an OpOverload but got: {each} of type {type(each)}. {_hint(each)}"
            )
        forms += found

    def policy(context: SelectiveCheckpointContext, op: OpOverload, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        return CheckpointPolicy.MUST_SAVE if op in forms else CheckpointPolicy.PREFER_RECOMPUTE

    return policy


def _hint(item: Any) -> str:
    if isinstance(item, OpOverloadPacket):
        return (
            "Please update the OpOverloadPacket to a specific OpOverload."
            "For example, if you have `retrograd.ops.aten.mm`, change it to `retrograd.ops.aten.mm.default`."
        )
    return "Name the operators that it calls." if callable(item) else ""


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Policy | list[Any], allow_cache_entry_mutation: bool = False
) -> tuple[ModeContext, ModeContext]:
    """Two contexts for the `context_fn` of `checkpoint`, that keep the results of some operators.

    Parameters
    ----------
    policy_fn_or_list
        A list of operators whose results are kept: `retrograd.ops.aten.mm.default`, or the function
        `retrograd.mm`, with all forms that it has. Or a function, called as `policy(context, op, *args, **kwargs)`
        after each operator of the first run, that returns a `CheckpointPolicy`; `op` is what
        `retrograd.ops.aten` has.
    allow_cache_entry_mutation
        Do not raise if a kept result has been changed in place.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or something in the list is no operator.

    Source: https://docs.pytorch.org/docs/stable/checkpoint.html#torch.utils.checkpoint.create_selective_checkpoint_contexts

    Examples
    --------
    >>> import functools, retrograd
    >>> from retrograd.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    >>> products = [retrograd.ops.aten.mm.default]
    >>> keep_products = functools.partial(create_selective_checkpoint_contexts, products)
    >>> x = retrograd.eye(2).requires_grad_()
    >>> y = checkpoint(lambda x: (x @ x).exp(), x, use_reentrant=False, context_fn=keep_products)
    >>> y.sum().backward()
    """
    if isinstance(policy_fn_or_list, list):
        policy = _policy_of_list(policy_fn_or_list)
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    storage: dict[Any, dict[int, Any]] = defaultdict(dict)
    return _Keeping(storage, policy), _Replaying(storage, allow_cache_entry_mutation)
