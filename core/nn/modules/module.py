"""`Module`: a piece of a model, with its parameters, buffers and parts."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from retrograd.autograd.hooks import RemovableHandle
from retrograd.autograd.modes import no_grad
from retrograd.device import device
from retrograd.dtypes import bfloat16, dtype, float16, float32, float64
from retrograd.nn.modules.hooks import add_hook, call_with_hooks
from retrograd.nn.modules.loading import load_into, raise_errors, run_post_hooks
from retrograd.nn.modules.registration import check_name, registered, type_name
from retrograd.nn.parameter import Buffer
from retrograd.ops.conversion import wanted
from retrograd.ops.factories import empty_like
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

__all__ = ["Module"]

T = TypeVar("T", bound="Module")
EXTRA_STATE: Final = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` could not match."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class Module:
    """A piece of a model. Subclass it: make parts and parameters in `__init__`, compute in `forward`.

    Assigning a `Parameter`, a `Buffer` or another Module to an attribute registers it, and so
    `parameters()`, `state_dict()`, `to()` and the like find it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = nn.Parameter(retrograd.tensor(2.0))
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> scale = Scale()
    >>> scale(retrograd.ones(2)).tolist()
    [2.0, 2.0]
    >>> [name for name, _ in scale.named_parameters()]
    ['factor']
    """

    dump_patches: bool = False
    _version: int = 1
    call_super_init: bool = False
    training: bool
    _hooked: bool = False  # whether a call has hooks to run, on this module or on all
    _is_full: bool = True  # whether the backward hooks are of the full kind

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.call_super_init is False and (kwargs or args):
            name = type(self).__name__
            if kwargs:
                raise TypeError(f"{name}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")
            raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        # Straight into the dict: __setattr__ looks for parameters first.
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_non_persistent_buffers_set"] = set()
        own["_modules"] = {}
        for name in _HOOK_DICTS:
            own[name] = OrderedDict()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *input: Any) -> Any:
        """Compute the result; called by calling the module."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked:
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    # -- attributes ----------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            if kind in own and name in own[kind]:
                return own[kind][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        parameters = own.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_buffers", "_modules")
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as parameter '{name}' "
                    "(retrograd.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
        else:
            self._set_module_or_other(name, value)

    def _set_module_or_other(self, name: str, value: Any) -> None:
        own = self.__dict__
        modules, buffers = own.get("_modules"), own.get("_buffers")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_parameters", "_buffers")
            modules[name] = registered("module", self, name, value)
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as child module '{name}' "
                    "(retrograd.nn.Module or None expected)"
                )
            modules[name] = registered("module", self, name, value)
        elif buffers is not None and (name in buffers or isinstance(value, Buffer)):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type_name(value)}' as buffer '{name}' "
                    "(retrograd.nn.Buffer, retrograd.Tensor or None expected)"
                )
            persistent = name not in self._non_persistent_buffers_set
            self.register_buffer(name, value, getattr(value, "persistent", persistent))
        else:
            object.__setattr__(self, name, value)

    def _forget(self, name: str, *kinds: str) -> None:
        """Remove an attribute of other kinds, when it becomes a parameter or a module."""
        own = self.__dict__
        own.pop(name, None)
        for kind in kinds:
            own[kind].pop(name, None)
        own["_non_persistent_buffers_set"].discard(name)

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__.get(kind, ()):
                del self.__dict__[kind][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers}
        return sorted(name for name in names if not name[0].isdigit())

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in _HOOK_DICTS:
            self.__dict__.setdefault(name, OrderedDict())

    # -- registering ---------------------------------------------------------------------------

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained.

        Raises
        ------
        KeyError
            If the name is empty, has a dot or is taken.
        TypeError
            If `tensor` is no tensor.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        check_name(self, "buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type_name(tensor)}' object to buffer '{name}' (retrograd Tensor or None required)"
            )
        self._buffers[name] = registered("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter.

        Raises
        ------
        KeyError
            If the name is empty, has a dot or is taken.
        TypeError
            If `param` is no Parameter.
        ValueError
            If `param` was computed from other tensors.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        check_name(self, "parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type_name(param)}' object to parameter '{name}' "
                "(retrograd.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                "explicitly. To "
                f"express '{name}' as a function of another Tensor, compute the value in the forward() "
                "method."
            )
        self._parameters[name] = registered("parameter", self, name, param)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a part under a name that need not be a Python identifier.

        Raises
        ------
        KeyError
            If the name is empty, has a dot or is taken.
        TypeError
            If `module` is no Module.
        """
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{type_name(module)} is not a Module subclass")
        check_name(self, "module", name, self._modules)
        self._modules[name] = registered("module", self, name, module)

    register_module = add_module

    def get_submodule(self, target: str) -> Module:
        """The part at a dotted path.

        Raises
        ------
        AttributeError
            If there is none.
        """
        module: Module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Replace the part at a dotted path."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        if not isinstance(module, Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.

        Raises
        ------
        AttributeError
            If there is none.
        """
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        found = getattr(module, name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path.

        Raises
        ------
        AttributeError
            If there is none.
        """
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        found: Tensor = module._buffers[name]
        return found

    # -- walking -------------------------------------------------------------------------------

    def _named_members(
        self,
        get_members_fn: Callable[[Module], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        """What a function gives of this module and its parts, with dotted names; subclasses call it with their own."""
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, member in get_members_fn(module):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (path + "." if path else "") + name, member

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, of the parts as well unless `recurse` is false; each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names."""
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names."""
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def children(self) -> Iterator[Module]:
        """The direct parts, each once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct parts with their names."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all parts, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all parts with their dotted names; this one's is empty."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, prefix + ("." if prefix else "") + name, remove_duplicate)

    # -- doing something to all of it ----------------------------------------------------------

    def apply(self: T, fn: Callable[[Module], None]) -> T:
        """Call `fn` with every part, innermost first, and with this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: modules run eagerly; see `retrograd.compile`."""

    def _apply(self: T, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> T:
        """Replace every parameter, gradient and buffer by `fn` of it; parameters stay the same objects."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                changed = fn(parameter)
                grad = None if parameter.grad is None else fn(parameter.grad)
            if changed is not parameter:
                parameter.grad = None
                parameter.data = changed
            parameter.grad = grad
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def train(self: T, mode: bool = True) -> T:
        """Put it and all parts in training mode, or in evaluation mode.

        Raises
        ------
        ValueError
            If `mode` is no bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: T) -> T:
        """Put it in evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self: T, requires_grad: bool = True) -> T:
        """Say of all parameters whether their gradients are wanted."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters: set them to None, or to zeros."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                if parameter.grad.requires_grad:
                    parameter.grad = parameter.grad.detach()
                parameter.grad.zero_()

    def share_memory(self: T) -> T:
        """Move parameters, their gradients and buffers into memory that other processes may see, in place.

        Raises
        ------
        RuntimeError
            On a backend whose arrays cannot be written to, as JAX's.
        """
        for each in (*self.parameters(), *self.buffers()):
            each.share_memory_()
            if each.grad is not None:
                each.grad.share_memory_()
        return self

    def to(self: T, *args: Any, **kwargs: Any) -> T:
        """Move it to a device or backend, or to a floating-point type, in place.

        Called as `to(device)`, `to(dtype)`, `to(device, dtype)` or `to(tensor)`.

        Raises
        ------
        TypeError
            If the type is neither floating-point nor complex.

        Examples
        --------
        >>> import retrograd
        >>> layer = retrograd.nn.Linear(2, 1).to(retrograd.float64)
        >>> layer.weight.dtype
        retrograd.float64
        """
        k, type_, _ = wanted(args, kwargs)
        if type_ is not None and not type_.is_differentiable:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={type_}"
            )
        if type_ is not None and type_.is_complex:
            warnings.warn(
                "Complex modules are a new feature under active development whose design may change, and "
                "some modules "
                "might not work as expected when using complex tensors as parameters or buffers.",
                stacklevel=2,
            )

        def convert(tensor: Tensor) -> Tensor:
            if k is not None and k.base is not tensor._kernels.base:
                if tensor._kernels.meta:
                    raise NotImplementedError(
                        "Cannot copy out of meta tensor; no data! Please use retrograd.nn.Module.to_empty() instead of "
                        "retrograd.nn.Module.to() when moving module from meta to a different device."
                    )
                tensor = tensor.to(device(k))
            if type_ is not None and tensor.dtype.is_differentiable:
                tensor = tensor.to(type_)
            return tensor

        return self._apply(convert)

    def _to_dtype(self: T, type_: dtype) -> T:
        return self._apply(lambda each: each.to(type_) if each.is_floating_point() else each)

    def float(self: T) -> T:
        """Make all floating-point parameters and buffers float32."""
        return self._to_dtype(float32)

    def double(self: T) -> T:
        """Make all floating-point parameters and buffers float64."""
        return self._to_dtype(float64)

    def half(self: T) -> T:
        """Make all floating-point parameters and buffers float16."""
        return self._to_dtype(float16)

    def bfloat16(self: T) -> T:
        """Make all floating-point parameters and buffers bfloat16."""
        return self._to_dtype(bfloat16)

    def type(self: T, dst_type: dtype) -> T:
        """Make all parameters and buffers of this type."""
        return self._apply(lambda each: each.to(dst_type))

    def cpu(self: T) -> T:
        """Move it to the CPU of its backend."""
        return self._apply(lambda each: each.to(f"{each._kernels.backend}:cpu"))

    def cuda(self: T, device: Any = None) -> T:
        """Move it to the GPU of its backend."""
        return self._apply(lambda each: each.cuda(device))

    def to_empty(self: T, *, device: Any, recurse: bool = True) -> T:
        """Move it to a device without its values: parameters and buffers are left uninitialised."""
        return self._apply(lambda each: empty_like(each, device=device), recurse)

    # -- saving and loading --------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """State beside tensors, to go into `state_dict`; for subclasses."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called. Please file an "
            "issue at "
            "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml to report this bug."
        )

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` gave; for subclasses."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called. Please file an "
            "issue at "
            "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml to report this bug."
        )

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by their dotted names.

        Parameters
        ----------
        destination
            A dict to add to. By default a new one.
        prefix
            Goes before each name.
        keep_vars
            Give the parameters themselves and not detached aliases.
        """
        if args:
            given: tuple[Any, ...] = (*args, *(destination, prefix, keep_vars)[len(args) :])
            destination, prefix, keep_vars = given
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            changed = hook(self, destination, prefix, metadata)
            destination = destination if changed is None else changed
        return destination

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        kept = ((n, b) for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set)
        for name, tensor in itertools.chain(self._parameters.items(), kept):
            if tensor is not None:
                destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Copy this module's own entries; subclasses may override it."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        load_into(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy what `state_dict` gave into the parameters and buffers.

        Parameters
        ----------
        strict
            Refuse missing and unexpected names.
        assign
            Let the tensors of the dict take the places of the present ones.

        Raises
        ------
        RuntimeError
            With all that does not fit.

        Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.load_state_dict

        Examples
        --------
        >>> import retrograd
        >>> layer = retrograd.nn.Linear(2, 1)
        >>> layer.load_state_dict({"weight": retrograd.ones(1, 2), "bias": retrograd.zeros(1)})
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        keys = _IncompatibleKeys([], [])
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)

        def load(module: Module, entries: dict[str, Any], prefix: str) -> None:
            local = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
            if assign:
                local["assign_to_params_buffers"] = True
            module._load_from_state_dict(entries, prefix, local, True, *keys, errors)
            for name, child in module._modules.items():
                if child is not None:
                    inner = f"{prefix}{name}."
                    load(child, {k: v for k, v in entries.items() if k.startswith(inner)}, inner)
            run_post_hooks(module, keys)

        load(self, OrderedDict(state_dict), "")
        raise_errors(type(self).__name__, keys if strict else None, errors)
        return keys

    # -- hooks ---------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Have `hook(module, args)` called before `forward`; its result replaces the arguments."""
        self._hooked = True
        return add_hook(self._forward_pre_hooks, hook, prepend, [self._forward_pre_hooks_with_kwargs] * with_kwargs)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Have `hook(module, args, output)` called after `forward`; its result replaces the output.

        Parameters
        ----------
        prepend
            Call it before the hooks that are there.
        with_kwargs
            Call `hook(module, args, kwargs, output)`.
        always_call
            Call it even if `forward` raises.
        """
        self._hooked = True
        told, always = (
            [self._forward_hooks_with_kwargs] * with_kwargs,
            [self._forward_hooks_always_called] * always_call,
        )
        return add_hook(self._forward_hooks, hook, prepend, [*told, *always])

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Have `hook(module, grad_input, grad_output)` called when the gradients by the inputs are known.

        What it returns replaces `grad_input`.

        Raises
        ------
        RuntimeError
            If the module has backward hooks of the old kind.
        """
        if self._backward_hooks and not self._is_full:
            raise RuntimeError(_TWO_KINDS)
        self._hooked = self._is_full = True
        return add_hook(self._backward_hooks, hook, prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Have `hook(module, grad_output)` called when the gradients by the outputs are known."""
        self._hooked = True
        return add_hook(self._backward_pre_hooks, hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The old kind of backward hook, on the node of the output; prefer `register_full_backward_hook`."""
        if self._backward_hooks and self._is_full:
            raise RuntimeError(_TWO_KINDS)
        self._hooked, self._is_full = True, False
        return add_hook(self._backward_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have `hook(module, prefix, keep_vars)` called before `state_dict`."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have `hook(module, state_dict, prefix, local_metadata)` called after `state_dict`."""
        return add_hook(self._state_dict_hooks, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have `hook(module, state_dict, prefix, ...)` called before entries are loaded into this module."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """As the method above, of a hook that is not given the module, unless `with_module`."""
        called = functools.partial(hook, self) if with_module else hook
        return add_hook(self._load_state_dict_pre_hooks, called)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have `hook(module, incompatible_keys)` called after `load_state_dict`."""
        return add_hook(self._load_state_dict_post_hooks, hook)

    # -- showing -------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the parentheses of `repr`; for subclasses."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        parts = [f"({name}): " + _addindent(repr(module)) for name, module in self._modules.items()]
        lines = extra + parts
        if not lines:
            return self._get_name() + "()"
        if len(extra) == 1 and not parts:
            return f"{self._get_name()}({extra[0]})"
        return self._get_name() + "(\n  " + "\n  ".join(lines) + "\n)"


_HOOK_DICTS: Final = (
    "_backward_pre_hooks", "_backward_hooks", "_forward_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)  # fmt: skip

_TWO_KINDS: Final = (
    "Cannot use both regular backward hooks and full backward hooks on a single Module. Please use only one of them."
)


def _addindent(s_: str, numSpaces: int = 2) -> str:
    """All lines but the first moved in by some blanks."""
    return s_.replace("\n", "\n" + " " * numSpaces)
