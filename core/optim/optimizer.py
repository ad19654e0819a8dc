"""`Optimizer`: parameter groups, state and hooks; what every optimizer has, and no update rule.

An optimizer of one's own derives from this class and writes `step`. The built-in ones derive from
`retrograd.optim.rule.RuleOptimizer`, which adds how a formula is applied to parameters.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from copy import deepcopy
from itertools import chain
from typing import Any, Final

from retrograd.autograd.hooks import RemovableHandle
from retrograd.autograd.modes import current_mode
from retrograd.autograd.profiler import record_function
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "Optimizer", "ParamsT", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook",
    "required",
]  # fmt: skip

ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required: Final = _Required()
"""The default of an option that every parameter group must give."""

_global_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
_global_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()


def _add(hooks: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any]) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(optimizer, args, kwargs)` called before each step of every optimizer."""
    Optimizer._hooked = True
    return _add(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Have `hook(optimizer, args, kwargs)` called after each step of every optimizer."""
    Optimizer._hooked = True
    return _add(_global_post_hooks, hook)


def _between_hooks(step: Callable[..., Any], self: Optimizer, args: Any, kwargs: Any) -> Any:
    for hook in chain(_global_pre_hooks.values(), self._optimizer_step_pre_hooks.values()):
        result = hook(self, args, kwargs)
        if result is None:
            continue
        if not isinstance(result, tuple) or len(result) != 2:
            raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got {result}.")
        args, kwargs = result
    out = step(self, *args, **kwargs)
    for hook in chain(self._optimizer_step_post_hooks.values(), _global_post_hooks.values()):
        hook(self, args, kwargs)
    return out


class Optimizer:
    """What all optimizers share.

    Parameters
    ----------
    params
        Tensors; or (name, tensor) pairs; or dicts with the key `"params"` and options of that group.
    defaults
        Options of groups that do not give them.

    Raises
    ------
    TypeError
        If `params` is a tensor, or holds something else than tensors.
    ValueError
        If there is no parameter, or one that is no leaf, or one in two groups.

    Source: https://docs.pytorch.org/docs/stable/optim.html

    Examples
    --------
    >>> import retrograd
    >>> class SignDescent(retrograd.optim.Optimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     @retrograd.no_grad()
    ...     def step(self):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.add_(p.grad.sign(), alpha=-group["lr"])
    >>> w = retrograd.nn.Parameter(retrograd.tensor([1.0, -1.0]))
    >>> optimizer = SignDescent([w], lr=0.5)
    >>> w.square().sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5, -0.5]
    """

    _hooked: bool = False  # whether `step` has hooks to call, on this optimizer or on all

    state: defaultdict[Tensor, Any]
    param_groups: list[dict[str, Any]]
    defaults: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls._patch_step()

    @classmethod
    def _patch_step(cls) -> None:
        if not hasattr(cls.step, "hooked"):
            cls.step = cls.profile_hook_step(cls.step)  # type: ignore[method-assign]
            cls.step.hooked = True  # type: ignore[attr-defined]

    def _patch_step_function(self) -> None:
        """See to it that `step` calls hooks, and name what a profiler shows."""
        self._zero_grad_profile_name = f"Optimizer.zero_grad#{type(self).__name__}.zero_grad"
        self._patch_step()

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """A step between its hooks, and as a region to a profiler. Where there are none it is called at once."""

        @functools.wraps(func)
        def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
            if current_mode().profiler is not None:
                with record_function(f"Optimizer.step#{type(self).__name__}.step"):
                    return _between_hooks(func, self, args, kwargs)
            return _between_hooks(func, self, args, kwargs) if self._hooked else func(self, *args, **kwargs)

        return hooked

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._init_hooks()
        self._patch_step_function()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + _type_name(params)
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _init_hooks(self) -> None:
        self._optimizer_step_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._optimizer_step_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._optimizer_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._optimizer_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._optimizer_load_state_dict_pre_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()
        self._optimizer_load_state_dict_post_hooks: OrderedDict[int, Callable[..., Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._init_hooks()
        self._patch_step_function()
        self.__dict__.update(state)
        self.defaults.setdefault("differentiable", False)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    # -- stepping ------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters by their gradients.

        Parameters
        ----------
        closure
            Computes the loss again, with its gradients, and returns it; called with gradients on.
        """
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients: set them to None, or to zeros."""
        if current_mode().profiler is None:
            self._forget(set_to_none)
            return
        if not hasattr(self, "_zero_grad_profile_name"):
            self._patch_step_function()
        with record_function(self._zero_grad_profile_name):
            self._forget(set_to_none)

    def _forget(self, set_to_none: bool) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                meta = p._tensor_meta
                if meta is None or meta.grad is None:
                    continue
                if set_to_none:
                    meta.grad = None
                    continue
                if meta.grad._edge is not None:
                    meta.grad = meta.grad.detach()
                meta.grad.zero_()

    # -- groups --------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with options of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            param_group["params"] = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of "
                "tensors in "
                "sets will change between runs. Please use a list instead."
            )
        else:
            param_group["params"] = list(params)
        self._split_names(param_group)
        for param in param_group["params"]:
            self._check_param(param)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        self._check_group(param_group)
        self.param_groups.append(param_group)

    def _split_names(self, group: dict[str, Any]) -> None:
        """Move the names of (name, tensor) pairs to `param_names`."""
        pairs = [isinstance(each, tuple) for each in group["params"]]
        if not any(pairs):
            return
        if not all(pairs):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        named = group["params"]
        group["params"] = [tensor for _, tensor in named]
        group["param_names"] = [name for name, _ in named]

    def _check_param(self, param: Any) -> None:
        if not isinstance(param, Tensor):
            raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {_type_name(param)}")
        if not self.defaults.get("differentiable") and not (param.is_leaf or param.retains_grad):
            raise ValueError("can't optimize a non-leaf Tensor")

    def _check_group(self, group: dict[str, Any]) -> None:
        mine = set(group["params"])
        if len(mine) != len(group["params"]):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause "
                "an "
                "error; see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=4,
            )
        if self.param_groups and ("param_names" in group) != ("param_names" in self.param_groups[0]):
            which = "with names" if "param_names" in group else "without names"
            raise ValueError(
                "all optimizer param groups should be with/without names. "
                f"cannot add param group {which} to the optimizer"
            )
        for other in self.param_groups:
            if not mine.isdisjoint(other["params"]):
                raise ValueError("some parameters appear in more than one parameter group")

    # -- saving and loading --------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state and the groups' options, with parameters replaced by their numbers."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {key: value for key, value in group.items() if key != "params"}
            groups.append({**packed, "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(k)] if isinstance(k, Tensor) else k: v for k, v in self.state.items()}
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, brought to the parameters' types and devices.

        Raises
        ------
        ValueError
            If the groups do not correspond.
        """
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved_groups = deepcopy(state_dict["param_groups"])
        _check_groups(self.param_groups, saved_groups)
        params = dict(
            zip(
                chain.from_iterable(g["params"] for g in saved_groups),
                chain.from_iterable(g["params"] for g in self.param_groups),
                strict=True,
            )
        )
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            param = params.get(key)
            state[key if param is None else param] = value if param is None else _cast(param, value)
        groups = [_merged(mine, saved) for mine, saved in zip(self.param_groups, saved_groups, strict=True)]
        self.__setstate__({"state": state, "param_groups": groups} | self._kept_hooks())
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _kept_hooks(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name.startswith("_optimizer_")}

    # -- hooks ---------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have `hook(optimizer, args, kwargs)` called before `step`; it may return both changed."""
        self._hooked = True
        return _add(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Have `hook(optimizer, args, kwargs)` called after `step`."""
        self._hooked = True
        return _add(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Have `hook(optimizer)` called before `state_dict`."""
        return _ordered(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Have `hook(optimizer, state_dict)` called after `state_dict`; its result replaces that."""
        return _ordered(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Have `hook(optimizer, state_dict)` called before `load_state_dict`; its result replaces that."""
        return _ordered(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Have `hook(optimizer)` called after `load_state_dict`."""
        return _ordered(self._optimizer_load_state_dict_post_hooks, hook, prepend)


def _ordered(hooks: OrderedDict[int, Callable[..., Any]], hook: Callable[..., Any], prepend: bool) -> RemovableHandle:
    handle = _add(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _type_name(value: Any) -> str:
    return f"retrograd.{value.dtype.type_name}Tensor" if isinstance(value, Tensor) else type(value).__name__


def _check_groups(own: list[dict[str, Any]], saved: list[dict[str, Any]]) -> None:
    if len(own) != len(saved):
        raise ValueError("loaded state dict has a different number of parameter groups")
    if any(len(a["params"]) != len(b["params"]) for a, b in zip(own, saved, strict=True)):
        raise ValueError(
            "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
        )


def _merged(own: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    """The saved options with the own parameters (and their names, which loading leaves alone)."""
    merged = {**saved, "params": own["params"]}
    if "param_names" in own:
        merged["param_names"] = own["param_names"]
    else:
        merged.pop("param_names", None)
    return merged


def _cast(param: Tensor, value: Any, key: Hashable = None) -> Any:
    """A copy of a piece of state, on the parameter's device; all but `step` of its type."""
    if isinstance(value, Tensor):
        copy = value.detach()
        if key != "step" and param.is_floating_point() and copy.dtype is not param.dtype:
            copy = copy.to(param.dtype)
        if copy._kernels is not param._kernels:
            copy = copy.to(param.device)
        # A copy, since an update writes into the state: the dictionary it came from stays as it was.
        return wrap_array(copy._kernels.copy(copy._array), copy._kernels)
    if isinstance(value, dict):
        return {k: _cast(param, v, k) for k, v in value.items()}
    if isinstance(value, Mapping | str | bytes) or not isinstance(value, Iterable):
        return value
    return type(value)(_cast(param, v) for v in value)  # type: ignore[call-arg]
