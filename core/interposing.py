"""Puts a question in front of every public function: does somebody take the call over? See `retrograd.overrides`.

Note [Code that is exchanged]
    A function must stay the object that it is: programs hold it, compare it and have imported it by name. So its code
    is exchanged. What it was goes on as another function, `__wrapped__`, with the same globals and closure; the
    new code takes any arguments and holds, as a constant of its own, the closure that asks. It is done once in a
    process, and undone only by tests that count what an ordinary program costs.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

from retrograd.overrides import DisableTorchFunctionSubclass, overridden, taking
from retrograd.parameter import Parameter
from retrograd.read_only import is_refusal
from retrograd.tensor import Tensor

__all__ = ["install", "overridable", "uninstall"]

_NAMESPACES = ("retrograd", "retrograd.nn.functional", "retrograd.linalg", "retrograd.fft", "retrograd.special")

_OF_MODES_ALONE = frozenset(
    """
    arange as_tensor asarray bartlett_window blackman_window empty empty_permuted empty_strided eye fftfreq from_numpy
    frombuffer full hamming_window hann_window kaiser_window linspace logspace ones rand randint randn randperm range
    rfftfreq scalar_tensor tensor tril_indices triu_indices zeros
    """.split()
)
"""Functions that make tensors: they ask modes and, as in PyTorch, not the objects among their arguments."""

_OF_THE_PROCESS = frozenset(
    """
    are_deterministic_algorithms_enabled autocast_decrement_nesting autocast_increment_nesting broadcast_shapes can_cast
    clear_autocast_cache fork_rng from_dlpack get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype
    get_default_backend get_default_device get_default_dtype get_deterministic_debug_mode get_float32_matmul_precision
    get_num_interop_threads get_num_threads get_printoptions get_rng_state initial_seed is_anomaly_check_nan_enabled
    is_anomaly_enabled is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled
    is_deterministic_algorithms_warn_only_enabled is_grad_enabled is_inference_mode_enabled is_storage is_tensor
    is_warn_always_enabled load manual_seed promote_types save seed set_autocast_cache_enabled set_autocast_cpu_dtype
    set_autocast_cpu_enabled set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype set_default_backend
    set_default_device set_default_dtype set_default_tensor_type set_deterministic_debug_mode
    set_float32_matmul_precision set_flush_denormal set_num_interop_threads set_num_threads set_printoptions
    set_rng_state set_warn_always typename use_deterministic_algorithms vmap
    """.split()
)
"""Functions that ask nobody."""

_OF_INIT = ("uniform_", "normal_", "constant_", "kaiming_uniform_")

_METHODS_ASKING = frozenset(
    """
    __array__ __array_wrap__ __bool__ __complex__ __contains__ __copy__ __deepcopy__ __delitem__ __dir__ __dlpack__
    __dlpack_device__ __float__ __format__ __getitem__ __index__ __int__ __len__ __reduce_ex__ __repr__ __reversed__
    __setitem__ _backward_hooks _base _post_accumulate_grad_hooks _version
    """.split()
)
"""Attributes whose names begin with an underscore and that ask, besides Python's symbols for operators."""

_METHODS_SILENT = frozenset(("as_subclass",))
"""Methods that ask nobody."""

_SYMBOLS = {
    **{f"__{name}__": name for name in "add sub mul matmul pow lt le gt ge ne neg abs".split()},
    **{f"__i{name}__": f"{name}_" for name in "add sub mul pow".split()},
    "__radd__": "add", "__rmul__": "mul", "__truediv__": "div", "__mod__": "remainder", "__pos__": "positive",
    "__rand__": "bitwise_and", "__ror__": "bitwise_or", "__rxor__": "bitwise_xor",
    "__itruediv__": "div_", "__ifloordiv__": "floor_divide_", "__imod__": "remainder_",
    **dict.fromkeys(("__rtruediv__", "__rdiv__"), "__rdiv__"),
    **{name: name for name in (
        "__and__ __eq__ __floordiv__ __invert__ __lshift__ __or__ __rfloordiv__ __rlshift__ __rmatmul__ __rmod__ "
        "__rpow__ __rrshift__ __rshift__ __rsub__ __xor__ __iand__ __ior__ __ixor__ __ilshift__ __irshift__"
    ).split()},
}  # fmt: skip
"""Python's symbols, and the method of `Tensor` that those who take them over are told."""

_DECLINING = frozenset(name for name in _SYMBOLS if not name.startswith("__i") and name not in ("__neg__", "__abs__"))

_lock = threading.RLock()
_exchanged: list[Any] = []


def install() -> None:
    """Let all public functions ask; what is asked already stays as it is."""
    with _lock:
        found = [] if _exchanged else list(_all_functions())  # imports modules, which may define classes of tensors
        if not _exchanged:
            for function, public, of_modes, declines in found:
                _exchange(function, public, of_modes, declines)


def uninstall() -> None:
    """Give all functions their own code back."""
    with _lock:
        for function in _exchanged:
            inner = function.__wrapped__
            function.__code__, function.__defaults__ = inner.__code__, inner.__defaults__
            function.__kwdefaults__ = inner.__kwdefaults__
            function.__dict__.clear()
            function.__dict__.update(inner.__dict__)
        _exchanged.clear()


def overridable() -> dict[Any, list[Callable[..., Any]]]:
    """The functions that objects can take over, by the module or class that they belong to."""
    found: dict[Any, list[Callable[..., Any]]] = {}
    for space, name, value in _public():
        if name not in _OF_MODES_ALONE | _METHODS_SILENT:
            found.setdefault(space, []).extend(public for _, public in _asking_parts(name, value))
    return found


def ignored() -> set[Callable[..., Any]]:
    """The public functions that no object can take over."""
    taken = {each for functions in overridable().values() for each in functions}
    spaces = [import_module(where) for where in _NAMESPACES]
    found = [getattr(space, name) for space in spaces for name in space.__all__]
    found += [value for name, value in vars(Tensor).items() if not name.startswith("_")]
    functions: set[Callable[..., Any]] = {each for each in found if isinstance(each, FunctionType)}
    return functions - taken


def _public() -> Iterator[tuple[Any, str, Any]]:
    """Everything that asks: where it belongs, its name, and the function or property."""
    for where in _NAMESPACES:
        module = import_module(where)
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, FunctionType) and name not in _OF_THE_PROCESS:
                yield module, name, value
    for where, names in (("retrograd.nn.init", _OF_INIT), ("retrograd.autograd", ("backward", "grad"))):
        module = import_module(where)
        for name in names:
            yield module, name, getattr(module, name)
    for name, value in vars(Tensor).items():
        private = name.startswith("_") and name not in _METHODS_ASKING and name not in _SYMBOLS
        if isinstance(value, (FunctionType, property)) and not private:
            yield Tensor, name, value


def _asking_parts(name: str, value: Any) -> Iterator[tuple[Any, Any]]:
    """Functions to ask in front of, each with what those asked are told."""
    if not isinstance(value, property):
        yield value, getattr(Tensor, _SYMBOLS[name]) if name in _SYMBOLS else value
        return
    for function, slot in ((value.fget, "__get__"), (value.fset, "__set__"), (value.fdel, "__delete__")):
        if function is not None and not is_refusal(function):
            yield function, getattr(value, slot)


def _all_functions() -> Iterator[tuple[Any, Any, bool, bool]]:
    """Each function once, under the name that it has first."""
    met: set[int] = set()
    for _, name, value in list(_public()):
        for function, public in _asking_parts(name, value):
            if id(function) not in met and isinstance(function, FunctionType):
                met.add(id(function))
                yield function, public, name in _OF_MODES_ALONE | _METHODS_SILENT, name in _DECLINING


# -- the exchange --------------------------------------------------------------------------------

_PLACE = "what asks"


@functools.cache
def _template(variables: int) -> CodeType:
    """Code that asks, in a closure of so many variables: code must begin by taking them over, for frames show them."""
    names = ", ".join(f"v{i}" for i in range(variables))
    source = f"""
def outer({names}):
    def asked(*args, **kwargs):
        ask = {_PLACE!r}
        return ask(args, kwargs)
        {names}
"""
    (outer,) = (each for each in compile(source, __file__, "exec").co_consts if isinstance(each, CodeType))
    (asked,) = (each for each in outer.co_consts if isinstance(each, CodeType))
    return asked


def _exchange(function: Any, public: Any, of_modes: bool, declines: bool) -> None:
    inner: Any = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    inner.__kwdefaults__, inner.__annotations__ = function.__kwdefaults__, function.__annotations__
    inner.__dict__.update(function.__dict__)
    function.__wrapped__ = inner
    ask = _asking_modes(inner, public) if of_modes else _asking(inner, public, declines)
    function.__code__ = _code_with(ask, function)
    _exchanged.append(function)


def _code_with(ask: Callable[..., Any], function: Any) -> CodeType:
    """Code that takes any arguments and asks what it is to ask; to the function's closure, it is the function's own."""
    own = function.__code__
    template = _template(len(own.co_freevars))
    constants: Any = tuple(ask if each == _PLACE else each for each in template.co_consts)
    return template.replace(
        co_consts=constants, co_freevars=own.co_freevars, co_name=function.__name__, co_qualname=function.__qualname__
    )


def _asking_modes(inner: Callable[..., Any], public: Any) -> Callable[..., Any]:
    def ask(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with DisableTorchFunctionSubclass():
            if taking.modes and (result := overridden(public, args, kwargs)) is not NotImplemented:
                return result
            return inner(*args, **kwargs)

    return ask


def _asking(inner: Callable[..., Any], public: Any, declines: bool) -> Callable[..., Any]:
    def ask(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if taking.modes or (taking.objects and _worth_a_look(args, kwargs)):
            try:
                result = overridden(public, args, kwargs)
            except TypeError:
                if declines:
                    return NotImplemented
                raise
            if result is not NotImplemented:
                return result
        return inner(*args, **kwargs)

    return ask


def _worth_a_look(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether anything here may be an object that takes over: the usual arguments are not."""
    for each in (*args, *kwargs.values()) if kwargs else args:
        kind = type(each)
        if kind is Tensor or kind is Parameter or kind is int or kind is float or each is None:
            continue
        if kind is list or kind is tuple or hasattr(kind, "__torch_function__"):
            return True
    return False
