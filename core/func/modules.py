"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from retrograd.ops.arrange import stack
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.nn import Module

__all__ = ["functional_call", "reparametrized", "replace_all_batch_norm_modules_", "stack_module_state"]

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
        Refuse dicts that lack a name, or have one that is none of a parameter or buffer. Otherwise such a name is
        that of an attribute during the call.

    Raises
    ------
    RuntimeError
        With `strict`, if names are missing or unexpected.
    ValueError
        If two dicts have one name, or names of one tensor get different ones.
    AttributeError
        If a name leads through a part that the module does not have.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.functional_call.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.Linear(1, 1)
    >>> state = {"weight": retrograd.tensor([[2.0]]), "bias": retrograd.tensor([0.5])}
    >>> retrograd.func.functional_call(layer, state, (retrograd.tensor([[3.0]]),))
    tensor([[6.5000]])
    """
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with reparametrized(module, parameter_and_buffer_dicts, tie_weights, strict):
        return module(*arguments, **(kwargs or {}))


@contextmanager
def reparametrized(
    module: Module, parameter_and_buffer_dicts: State | Sequence[State], tie_weights: bool, strict: bool
) -> Iterator[None]:
    """A context in which a module has other parameters and buffers, as `functional_call` says.

    Of a single dict, values that the module assigns meanwhile take the place of what was in it.
    """
    state, names = _merged(parameter_and_buffer_dicts), _names(module)
    if tie_weights:
        state = _tied(names, state)
    if strict:
        _check_names(module, names, state)
    given = parameter_and_buffer_dicts if isinstance(parameter_and_buffer_dicts, dict) else {}
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, tensor in state.items():
            kept, key = _place(module, name, tensor)
            before.append((kept, key, kept.get(key, _ABSENT)))
            kept[key] = tensor
        yield
    finally:
        for name, (kept, key, tensor) in reversed(list(zip(state, before, strict=False))):
            if name in given and key in kept:
                given[name] = kept[key]
            if tensor is _ABSENT:
                kept.pop(key, None)
            else:
                kept[key] = tensor


def _merged(dicts: State | Sequence[State]) -> dict[str, Tensor]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, Sequence):
        raise ValueError(
            f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}"
        )
    if not all(isinstance(each, Mapping) for each in dicts):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    merged: dict[str, Tensor] = {}
    for each in dicts:
        if repeated := merged.keys() & each.keys():
            raise ValueError(
                f"{sorted(repeated)} appeared in multiple dictionaries; behavior of functional call is ambiguous"
            )
        merged.update(each)
    return merged


def _names(module: Module) -> dict[str, Tensor]:
    """All names of a module's parameters and buffers; one tensor may have several."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def _tied(names: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state with each replacement under all names of the tensor that it replaces."""
    groups: dict[int, list[str]] = {}
    for name, tensor in names.items():
        groups.setdefault(id(tensor), []).append(name)
    found = dict(state)
    for group in groups.values():
        given = [name for name in group if name in state]
        if len({id(state[name]) for name in given}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(given)}, which are tied. Consider using "
                "tie_weights=False"
            )
        if given:
            found.update(dict.fromkeys(group, state[given[0]]))
    return found


def _check_names(module: Module, names: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    text = ""
    for what, wrong in (("Unexpected", state.keys() - names.keys()), ("Missing", names.keys() - state.keys())):
        if wrong:
            text += f"\n\t{what} key(s): " + ", ".join(map(repr, sorted(wrong))) + "."
    if text:
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:{text}")


_ABSENT: Final = object()


def _place(module: Module, name: str, tensor: Any) -> tuple[dict[str, Any], str]:
    """The dict that keeps the tensor of a name, or is to keep it during a call, and its key there."""
    from retrograd.nn import Module

    if not isinstance(tensor, (Tensor, NoneType)):
        raise TypeError(f"{tensor} is not an instance of retrograd.Tensor")
    *path, key = name.split(".")
    owner: Any = module
    for part in path:
        try:
            found = getattr(owner, part)
        except AttributeError as error:
            raise AttributeError(f"{owner._get_name()} has no attribute `{part}`") from error
        if not isinstance(found, Module):
            raise TypeError(f"submodule `{part}`: {found} is not an instance of retrograd.nn.Module")
        owner = found
    if not key:
        raise KeyError('tensor name can\'t be empty string ""')
    for kept in (owner._parameters, owner._buffers):
        if key in kept:
            return kept, key
    present = getattr(owner, key, None)
    if not isinstance(present, (Tensor, NoneType)):
        raise TypeError(f"attribute `{key}`: {present} is not an instance of retrograd.Tensor")
    return owner.__dict__, key


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
    from retrograd.nn.modules.batchnorm import _BatchNorm

    for each in root.modules():
        if isinstance(each, _BatchNorm) and each.track_running_stats:
            each.running_mean = each.running_var = each.num_batches_tracked = None
            each.track_running_stats = False
    return root
