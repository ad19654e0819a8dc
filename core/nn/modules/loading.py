"""How the entries of a state dict go into one module, and what is said of those that do not fit."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from retrograd.autograd.modes import no_grad
from retrograd.nn.parameter import is_lazy
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

if TYPE_CHECKING:
    from retrograd.nn.modules.module import Module

__all__ = ["load_into", "raise_errors", "run_post_hooks"]


def load_into(
    module: Module,
    entries: dict[str, Any],
    prefix: str,
    metadata: dict[str, Any],
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Copy the entries under `prefix` into the module's own tensors, and take note of what does not fit."""
    kept = ((n, b) for n, b in module._buffers.items() if n not in module._non_persistent_buffers_set)
    own = {n: t for n, t in itertools.chain(module._parameters.items(), kept) if t is not None}
    for name, tensor in own.items():
        key = prefix + name
        if key in entries:
            _load_one(
                module,
                name,
                key,
                tensor,
                entries[key],
                bool(metadata.get("assign_to_params_buffers")),
                errors,
            )
        elif strict:
            missing.append(key)
    extra = _load_extra(module, entries, prefix, strict, missing, unexpected)
    if strict:
        unexpected += _unexpected(module, entries, prefix, own, extra)


def _load_one(module: Module, name: str, key: str, tensor: Tensor, given: Any, assign: bool, errors: list[str]) -> None:
    if not isinstance(given, Tensor):
        errors.append(
            f'While copying the parameter named "{key}", expected retrograd.Tensor or Tensor-like object '
            "from "
            f"checkpoint but received {type(given)}"
        )
        return
    if is_lazy(tensor) and is_lazy(given):
        return
    if not tensor.shape and tuple(given.shape) == (1,):
        given = given[0]
    if given.shape != tensor.shape:
        errors.append(
            f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, the shape "
            "in current "
            f"model is {tensor.shape}."
        )
        return
    try:
        with no_grad():
            if assign:
                setattr(module, name, _as_parameter(given, tensor) if isinstance(tensor, Parameter) else given)
            else:
                tensor.copy_(given)
    except Exception as error:
        errors.append(
            f'While copying the parameter named "{key}", whose dimensions in the model are {tensor.size()} '
            "and whose "
            f"dimensions in the checkpoint are {given.size()}, an exception occurred : {error.args}."
        )


def _as_parameter(given: Tensor, present: Tensor) -> Parameter:
    if isinstance(given, Parameter):
        given.requires_grad_(present.requires_grad)
        return given
    made: Parameter = Parameter(given, requires_grad=present.requires_grad)
    return made


def _load_extra(
    module: Module,
    entries: dict[str, Any],
    prefix: str,
    strict: bool,
    missing: list[str],
    unexpected: list[str],
) -> str:
    from retrograd.nn.modules.module import EXTRA_STATE, Module

    key = prefix + EXTRA_STATE
    if type(module).set_extra_state is not Module.set_extra_state:
        if key in entries:
            module.set_extra_state(entries[key])
        elif strict:
            missing.append(key)
    elif strict and key in entries:
        unexpected.append(key)
    return key


def _unexpected(module: Module, entries: dict[str, Any], prefix: str, own: dict[str, Any], extra: str) -> list[str]:
    found = []
    for key in entries:
        if key.startswith(prefix) and key != extra:
            head, _, rest = key[len(prefix) :].partition(".")
            if head not in (module._modules if rest else own):
                found.append(key)
    return found


def run_post_hooks(module: Module, keys: Any) -> None:
    """Call the hooks that a module has for the end of its loading; what they change, they change in `keys`.

    Raises
    ------
    AssertionError
        If one returns something.
    """
    for hook in module._load_state_dict_post_hooks.values():
        if hook(module, keys) is not None:
            raise AssertionError(
                "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values, "
                "if incompatible_keys need to be modified, it should be done inplace."
            )


def raise_errors(name: str, keys: Any, errors: list[str]) -> None:
    """Raise one error with all that did not fit; `keys` are those to complain about, or None.

    Raises
    ------
    RuntimeError
        If there is anything.
    """
    for title, names in () if keys is None else (
        ("Unexpected", keys.unexpected_keys), ("Missing", keys.missing_keys),
    ):  # fmt: skip
        if names:
            listed = ", ".join(f'"{each}"' for each in names)
            errors.insert(0, f"{title} key(s) in state_dict: {listed}. ")
    if errors:
        listed = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in loading state_dict for {name}:\n\t{listed}")
