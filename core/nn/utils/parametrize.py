"""Parameters that are functions of others: the module has the function's result, and trains its arguments."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.nn.modules.container import ModuleDict, ModuleList
from retrograd.nn.modules.module import Module
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip


class _Cache:
    """Results, by module and name, while any `cached` block runs."""

    def __init__(self) -> None:
        self.blocks = 0
        self.results: dict[tuple[int, str], Tensor] = {}


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once only while the block runs.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.cached.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(retrograd.nn.Linear(2, 2))
    >>> with parametrize.cached():
    ...     layer.weight is layer.weight
    True
    >>> layer.weight is layer.weight
    False
    """
    _cache.blocks += 1
    try:
        yield
    finally:
        _cache.blocks -= 1
        if not _cache.blocks:
            _cache.results = {}


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, one applied after the other, and what the first is applied to.

    That is `original`; or, if the `right_inverse` of the first returns several tensors, `original0`, `original1`
    and so on.

    Parameters
    ----------
    modules
        The parametrizations.
    original
        The tensor to be parametrized.
    unsafe
        Whether the result may have another shape or type than the tensor.

    Raises
    ------
    ValueError
        If there is no module, or results do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.ParametrizationList.html
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        new = self._inverse(original)
        if not isinstance(new, Tensor | Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        if isinstance(new, Tensor):
            self.ntensors = 1
            self._register_one(original, new)
        else:
            self.ntensors = len(new)
            self._register_several(original, new)
        if not unsafe:
            self._check_result(shape, dtype)

    def _inverse(self, original: Tensor) -> Any:
        """What the first parametrization is to be applied to; one that has no inverse passes for the identity."""
        new: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):
                        new = module.right_inverse(new)
        return new

    def _register_one(self, original: Tensor, new: Tensor) -> None:
        for what, before, after in (
            ("dtype", original.dtype, new.dtype), ("device", original.device, new.device),
        ):  # fmt: skip
            if before != after:
                raise ValueError(
                    f"When `right_inverse` outputs one tensor, it may not change the {what}.\n"
                    f"original.{what}: {before}\nright_inverse(original).{what}: {after}"
                )
        # The same object as before, so that optimizers need not be told.
        with no_grad():
            original.set_(new)
        _register(self, "original", original)

    def _register_several(self, original: Tensor, new: Sequence[Any]) -> None:
        for place, each in enumerate(new):
            if not isinstance(each, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                    f"Got element {place} of the sequence with type {type(each).__name__}."
                )
            made = Parameter(each, original.requires_grad) if isinstance(original, Parameter) else each
            made.requires_grad_(original.requires_grad)
            _register(self, f"original{place}", made)

    def _check_result(self, shape: Any, dtype: Any) -> None:
        result = self()
        if not isinstance(result, Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
        for what, before, after in (("dtype", dtype, result.dtype), ("shape", shape, result.shape)):
            if before != after:
                raise ValueError(
                    f"Registering a parametrization may not change the {what} of the tensor, unless `unsafe` flag is "
                    f"enabled.\nunparametrized {what}: {before}\nparametrized {what}: {after}"
                )

    @no_grad()
    def right_inverse(self, value: Any) -> None:
        """Set the originals such that the result is `value`: what an assignment to the tensor does.

        Raises
        ------
        RuntimeError
            If a parametrization has no `right_inverse`.
        ValueError
            If what it returns does not fit.
        """
        for module in reversed(list(self)):
            if not hasattr(module, "right_inverse"):
                raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
            value = module.right_inverse(value)
        if self.is_tensor:
            if not isinstance(value, Tensor):
                raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
            if value.dtype != self.original.dtype:
                raise ValueError(
                    f"The tensor returned by `right_inverse` has dtype {value.dtype} while `original` has dtype "
                    f"{self.original.dtype}"
                )
            self.original.set_(value)
            return
        if not isinstance(value, Sequence):
            raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}.")
        if len(value) != self.ntensors:
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a sequence of "
                f"length {len(value)}."
            )
        for place, each in enumerate(value):
            self._set_one_of_several(place, each)

    def _set_one_of_several(self, place: int, value: Any) -> None:
        original = getattr(self, f"original{place}")
        if not isinstance(value, Tensor):
            raise ValueError(
                "'right_inverse' must return a sequence of tensors or reference-type opaques. Got element "
                f"{place} of type {type(value).__name__}."
            )
        if original.dtype != value.dtype:
            raise ValueError(
                f"Tensor {place} returned by `right_inverse` has dtype {value.dtype} while `original{place}` has "
                f"dtype {original.dtype}"
            )
        original.set_(value)

    def forward(self) -> Any:
        modules = list(self)
        if self.is_tensor:
            result = modules[0](self.original)
        else:
            result = modules[0](*(getattr(self, f"original{place}") for place in range(self.ntensors)))
        for module in modules[1:]:
            result = module(result)
        return result


def _register(module: Module, name: str, value: Tensor) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _parametrized_class(module: Module) -> None:
    """Give the module a class of its own, which can have properties."""
    cls = type(module)

    def copied(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        replica = memo[id(self)] = self.__new__(type(self))
        replica.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return replica

    def refuse(self: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). See:\n"
            "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
            "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
        )

    own: dict[str, Any] = {"__getstate__": refuse}
    if not hasattr(cls, "__deepcopy__"):
        own["__deepcopy__"] = copied
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), own)


def _add_property(module: Module, name: str) -> None:
    def get(self: Any) -> Any:
        computed = self.parametrizations[name]
        if not _cache.blocks:
            return computed()
        key = (id(self), name)
        if key not in _cache.results:
            _cache.results[key] = computed()
        return _cache.results[key]

    def set_(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, set_))


def _check_addition(present: Tensor, name: str, parametrization: Module) -> None:
    """One more parametrization must keep type and shape, and its inverse too."""
    result = parametrization(present)
    if not isinstance(result, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
    for what in ("dtype", "shape"):
        before, after = getattr(present, what), getattr(result, what)
        if before != after:
            raise ValueError(
                f"Registering a parametrization may not change the {what} of the tensor, unless the `unsafe` flag is "
                f"enabled.\nmodule.{name}.{what}: {before}\nparametrization(module.{name}).{what}: {after}"
            )
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        inverse = parametrization.right_inverse(result)
    except NotImplementedError:
        return
    if not isinstance(inverse, Tensor):
        raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(inverse).__name__}")
    for what in ("dtype", "shape"):
        before, after = getattr(present, what), getattr(inverse, what)
        if before != after:
            raise ValueError(
                f"The tensor returned by parametrization.right_inverse must have the same {what} as module.{name}, "
                f"unless the `unsafe` flag is enabled.\nmodule.{name}.{what}: {before}\nreturned {what}: {after}"
            )


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer of a module be what `parametrization` computes.

    What it is computed from is `module.parametrizations.<name>.original`: the present value, or what the method
    `right_inverse` of the parametrization makes of it. An assignment to the tensor goes through that method too.
    A further parametrization is applied to the result.

    Parameters
    ----------
    unsafe
        Whether the result may have another shape or type than the tensor.

    Raises
    ------
    ValueError
        If there is no such tensor, or the results do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.register_parametrization.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd import nn
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).transpose(-1, -2)
    >>> layer = nn.Linear(3, 3)
    >>> _ = nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_addition(getattr(module, tensor_name), tensor_name, parametrization)
        present = module.parametrizations[tensor_name]
        present.append(parametrization)
        present.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        # First of all, since it may fail.
        computed = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _parametrized_class(module)
            module.parametrizations = ModuleDict()
        _add_property(module, tensor_name)
        module.parametrizations[tensor_name] = computed
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module is parametrized; with a name, whether that one is.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.is_parametrized.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.utils.parametrizations.weight_norm(retrograd.nn.Linear(2, 2))
    >>> retrograd.nn.utils.parametrize.is_parametrized(layer, "bias")
    False
    """
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parametrized tensor an ordinary one again.

    Parameters
    ----------
    leave_parametrized
        Whether it keeps the value that was computed last, and not the original.

    Raises
    ------
    ValueError
        If it is not parametrized; or there are several originals, and the value is not to be kept.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.remove_parametrizations.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(retrograd.nn.Linear(2, 2))
    >>> [name for name, _ in parametrize.remove_parametrizations(layer, "weight").named_parameters()]
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    computed = module.parametrizations[tensor_name]
    if computed.is_tensor:
        original = computed.original
        if leave_parametrized:
            with no_grad():
                original.set_(getattr(module, tensor_name))
    elif leave_parametrized:
        # Recorded, to learn whether an original requires a gradient.
        value = getattr(module, tensor_name)
        original = Parameter(value) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before a tensor of it was parametrized.

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.utils.parametrizations.weight_norm(retrograd.nn.Linear(2, 2))
    >>> type(layer).__name__, retrograd.nn.utils.parametrize.type_before_parametrizations(layer).__name__
    ('ParametrizedLinear', 'Linear')
    """
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Parametrize another module as `from_module` is, with the same originals; or one tensor of it only.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.nn.utils import parametrizations, parametrize
    >>> first = parametrizations.weight_norm(retrograd.nn.Linear(2, 2))
    >>> second = parametrize.transfer_parametrizations_and_params(first, retrograd.nn.Linear(2, 2))
    >>> bool((first.weight == second.weight).all())
    True
    """
    if not is_parametrized(from_module):
        return to_module
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        given = from_module.parametrizations[name]
        for each in given:
            register_parametrization(to_module, name, each)
        originals = ["original"] if given.is_tensor else [f"original{place}" for place in range(given.ntensors)]
        for original in originals:
            setattr(to_module.parametrizations[name], original, getattr(given, original))
    return to_module
