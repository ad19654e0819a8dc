"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from retrograd.ops.arrange import stack
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.nn import Module

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]

State = Mapping[str, Tensor]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: State | Sequence[State],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call `module` with other parameters and buffers, which are in place only during the call.

    Parameters
    ----------
    parameter_and_buffer_dicts
        Tensors by their full names, or several such dicts. What is not named stays the module's own.
    args, kwargs
        What the module is called with; `args` that is no tuple is the only argument.
    tie_weights
        Where the module has one tensor under several names, replace it under all of them.
    strict
        Refuse dicts that lack a name, or have one too many.

    Raises
    ------
    RuntimeError
        If a name is not one of the module's, or, with `strict`, one is missing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.functional_call.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.Linear(1, 1)
    >>> state = {"weight": retrograd.tensor([[2.0]]), "bias": retrograd.tensor([0.5])}
    >>> retrograd.func.functional_call(layer, state, (retrograd.tensor([[3.0]]),))
    tensor([[6.5000]])
    """
    state = _merged(parameter_and_buffer_dicts)
    places = _places(module)
    if unknown := [name for name in state if name not in places]:
        raise RuntimeError(
            f"Unexpected key(s): {', '.join(unknown)}."
            if strict
            else f"{unknown[0]} is not a parameter or buffer of the module; it has: {', '.join(places)}"
        )
    if strict and (missing := [name for name in places if name not in state]):
        raise RuntimeError(f"Missing key(s): {', '.join(missing)}.")
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(places, _tied(places, state) if tie_weights else state):
        return module(*arguments, **(kwargs or {}))


def _merged(dicts: State | Sequence[State]) -> dict[str, Tensor]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    merged: dict[str, Tensor] = {}
    for each in dicts:
        if repeated := merged.keys() & each.keys():
            raise ValueError(
                f"{sorted(repeated)} appeared in multiple dictionaries; behavior of functional call is ambiguous"
            )
        merged.update(each)
    return merged


Place = tuple[dict[str, Any], str]


def _places(module: Module) -> dict[str, Place]:
    """Where each parameter and buffer is kept: the dict of its module and its name there."""
    found: dict[str, Place] = {}
    for prefix, each in module.named_modules(remove_duplicate=False):
        for kept in (each._parameters, each._buffers):
            for name, tensor in kept.items():
                if tensor is not None:
                    found[f"{prefix}.{name}" if prefix else name] = (kept, name)
    return found


def _tied(places: dict[str, Place], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state with each replacement under all names of the tensor that it replaces."""
    by_tensor = {id(places[name][0][places[name][1]]): tensor for name, tensor in state.items()}
    own = {name: id(kept[key]) for name, (kept, key) in places.items()}
    return {name: state.get(name, by_tensor.get(tensor)) for name, tensor in own.items() if tensor in by_tensor}  # type: ignore[misc]


@contextmanager
def _replaced(places: dict[str, Place], state: Mapping[str, Tensor]) -> Iterator[None]:
    before = {name: places[name][0][places[name][1]] for name in state}
    try:
        for name, tensor in state.items():
            kept, key = places[name]
            kept[key] = tensor
        yield
    finally:
        for name, tensor in before.items():
            kept, key = places[name]
            kept[key] = tensor


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of several modules of one kind, each stacked along a new first dimension.

    Raises
    ------
    RuntimeError
        If there are none, they are of different classes, or some train and some evaluate.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.stack_module_state.html

    Examples
    --------
    >>> import retrograd
    >>> models = [retrograd.nn.Linear(3, 2) for _ in range(4)]
    >>> parameters, buffers = retrograd.func.stack_module_state(models)
    >>> parameters["weight"].shape
    retrograd.Size([4, 2, 3])
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({each.training for each in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(each) for each in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = {
        name: _stacked([dict(each.named_parameters())[name] for each in models])
        for name, _ in models[0].named_parameters()
    }
    buffers = {
        name: _stacked([dict(each.named_buffers())[name] for each in models]) for name, _ in models[0].named_buffers()
    }
    return parameters, buffers


def _stacked(tensors: list[Tensor]) -> Tensor:
    joined = stack([each.detach() for each in tensors])
    return joined.requires_grad_() if tensors[0].requires_grad else joined


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Have the batch norms among a module and its parts use the batch's own statistics, in place, and keep none.

    While training, running statistics are written to, which samples of a `vmap` cannot do to what they share.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.replace_all_batch_norm_modules_.html

    Examples
    --------
    >>> import retrograd
    >>> norm = retrograd.func.replace_all_batch_norm_modules_(retrograd.nn.BatchNorm1d(2))
    >>> norm.running_mean is None, norm.track_running_stats
    (True, False)
    """
    from retrograd.nn.modules.normalization import _BatchNorm

    for each in root.modules():
        if isinstance(each, _BatchNorm) and each.track_running_stats:
            each.running_mean = each.running_var = each.num_batches_tracked = None
            each.track_running_stats = False
    return root
