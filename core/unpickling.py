"""Reading pickles that cannot run code: `load(weights_only=True)`.

A pickle is a program that calls what it names. This reader follows only the instructions that containers, numbers,
strings and tensors need, and lets a program name nothing but what is on a list.
"""

from __future__ import annotations

import pickle
import pickletools
import warnings
from _codecs import encode
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import cache
from typing import IO, Any, Final

from retrograd.dtypes import DTYPES
from retrograd.parameter import Parameter
from retrograd.places import home_of
from retrograd.size import Size
from retrograd.tensor import Tensor

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "safe_globals"]

_marked: set[Any] = set()

_BLOCKED: Final = {"sys", "os", "posix", "nt"}


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let `load(weights_only=True)` call these classes and functions when a file asks for them.

    Parameters
    ----------
    safe_globals
        Classes, functions, or tuples of one and the full name that files have for it.

    Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#torch.serialization.add_safe_globals
    """
    _marked.update(safe_globals)


def get_safe_globals() -> list[Any]:
    """What has been added by `add_safe_globals`.

    Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#torch.serialization.get_safe_globals
    """
    return list(_marked)


def clear_safe_globals() -> None:
    """Take back all `add_safe_globals`.

    Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#torch.serialization.clear_safe_globals
    """
    _marked.clear()


class safe_globals:
    """A context in which `add_safe_globals` of the list is done.

    Source: https://docs.pytorch.org/docs/stable/notes/serialization.html#torch.serialization.safe_globals

    Examples
    --------
    >>> import retrograd
    >>> from fractions import Fraction
    >>> with retrograd.serialization.safe_globals([Fraction]):
    ...     retrograd.serialization.get_safe_globals()
    [<class 'fractions.Fraction'>]
    """

    def __init__(self, safe_globals: list[Any]) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exc_info: object) -> None:
        _marked.difference_update(self.safe_globals)


def as_torch(module: str, name: str) -> str:
    """The name that files have for the module in which `name` is: PyTorch's, that has it perhaps elsewhere."""
    first, dot, rest = home_of(module, name).partition(".")
    return f"torch{dot}{rest}" if first == "retrograd" else module


def as_ours(module: str) -> str:
    """The reverse of `as_torch`."""
    first, dot, rest = module.partition(".")
    return f"retrograd{dot}{rest}" if first == "torch" else module


@cache
def _allowed() -> dict[str, Any]:
    import retrograd
    from retrograd import _tensor, _utils, serialization

    allowed: dict[str, Any] = {
        "collections.OrderedDict": OrderedDict, "collections.Counter": Counter, "_codecs.encode": encode,
        "builtins.bytearray": bytearray, "builtins.set": set, "builtins.complex": complex,
        "torch.nn.parameter.Parameter": Parameter, "torch.Size": Size, "torch.Tensor": Tensor,
        "torch.device": retrograd.device, "torch.serialization._get_layout": serialization._get_layout,
        "torch._tensor._rebuild_from_type_v2": _tensor._rebuild_from_type_v2,
    }  # fmt: skip
    for name in (
        "_rebuild_parameter _rebuild_parameter_with_state _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 "
        "_rebuild_tensor_v3 _rebuild_meta_tensor_no_storage"
    ).split():
        allowed[f"torch._utils.{name}"] = getattr(_utils, name)
    allowed |= {f"torch.{name}": type_ for name, type_ in DTYPES.items()}
    for name in retrograd.typed_storage.__all__:
        if name.endswith("Storage") and name != "Storage":
            module = "torch.storage" if name in ("TypedStorage", "UntypedStorage") else "torch"
            allowed[f"{module}.{name}"] = getattr(retrograd, name)
    return allowed


def _marked_by_name() -> dict[str, Any]:
    found = {}
    for each in _marked:
        if not isinstance(each, tuple):
            found[f"{as_torch(each.__module__, each.__qualname__)}.{each.__qualname__}"] = each
            continue
        if len(each) != 2:
            raise ValueError(
                f"Expected tuple of length 2 (global, str of callable full path), but got tuple of length: {len(each)}"
            )
        if type(each[1]) is not str:
            raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(each[1])}")
        found[each[1]] = each[0]
    return found


def _known(name: str) -> Any:
    """What a file means by a full name, if it may."""
    module = name.rpartition(".")[0]
    if module in _BLOCKED:
        raise pickle.UnpicklingError(f"Trying to load unsupported GLOBAL {name} whose module {module} is blocked.")
    for allowed in (_allowed(), _marked_by_name()):
        if name in allowed:
            return allowed[name]
    shown = name.removeprefix("builtins.").replace("torch.", "retrograd.", name.startswith("torch."))
    raise pickle.UnpicklingError(
        f"Unsupported global: GLOBAL {shown} was not an allowed global by default. Please use "
        f"`retrograd.serialization.add_safe_globals([{shown}])` or the `retrograd.serialization.safe_globals([{shown}])"
        "` context manager to allowlist this global if you trust this class/function."
    )


def _full_name(argument: str) -> str:
    """That of a module and a name, which in a pickle of the protocol 2 are those of Python 2."""
    module, _, name = argument.partition(" ")
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


def _is_allowed(value: Any) -> bool:
    return any(value is each for each in (*_allowed().values(), *_marked_by_name().values()))


class WeightsUnpickler:
    """Reads one pickle from a file.

    Parameters
    ----------
    persistent_load
        Gives the storage that an identifier stands for.
    """

    def __init__(self, file: IO[bytes], persistent_load: Callable[[Any], Any]) -> None:
        self._file = file
        self._persistent_load = persistent_load
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object.

        Raises
        ------
        pickle.UnpicklingError
            If the pickle names or does what it may not, or is damaged.
        """
        for code, argument, _ in pickletools.genops(self._file):
            if code.name == "STOP":
                return self._stack.pop()
            act = _ACTIONS.get(code.name)
            if act is None:
                raise pickle.UnpicklingError(f"Unsupported operand {ord(code.code)}")
            act(self, argument)
        raise EOFError

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    # -- instructions ------------------------------------------------------------------------------

    def _proto(self, argument: int) -> None:
        if argument != 2:
            warnings.warn(
                f"Detected pickle protocol {argument} in the checkpoint, which was not the default pickle protocol "
                "used by `retrograd.load` (2). The weights_only Unpickler might not support all instructions "
                "implemented by this protocol, please file an issue for adding support if you encounter this.",
                stacklevel=5,
            )

    def _push(self, argument: Any) -> None:
        self._stack.append(argument)

    def _push_old_string(self, argument: str) -> None:
        self._stack.append(argument.encode("latin-1").decode("utf-8"))

    def _mark(self, argument: None) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _tuple(self, argument: None) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def _tuple_of(self, count: int) -> None:
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _append(self, argument: None) -> None:
        self._extend("append to", [self._stack.pop()])

    def _appends(self, argument: None) -> None:
        self._extend("extend", self._since_mark())

    def _extend(self, what: str, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise pickle.UnpicklingError(f"Can only {what} lists, but got {type(target)}")
        target.extend(items)

    def _set_item(self, argument: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_all("SETITEM", [key, value])

    def _set_items(self, argument: None) -> None:
        self._set_all("SETITEMS", self._since_mark())

    def _set_all(self, what: str, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise pickle.UnpicklingError(
                f"Can only {what} for dict, collections.OrderedDict, collections.Counter, but got {type(target)}"
            )
        target.update(zip(items[::2], items[1::2], strict=True))

    def _put(self, argument: int) -> None:
        self._memo[argument] = self._stack[-1]

    def _get(self, argument: int) -> None:
        self._stack.append(self._memo[argument])

    def _global(self, argument: str) -> None:
        self._stack.append(_known(_full_name(argument)))

    def _new(self, argument: None) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        if kind is Parameter:
            self._stack.append(Parameter(*arguments))
        elif _is_allowed(kind):
            self._stack.append(kind.__new__(kind, *arguments))
        else:
            raise pickle.UnpicklingError(
                "Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` but got "
                f"{kind}"
            )

    def _reduce(self, argument: None) -> None:
        arguments, function = self._stack.pop(), self._stack[-1]
        if not _is_allowed(function):
            belongs = f" which belongs to {function.__self__}" if hasattr(function, "__self__") else ""
            raise pickle.UnpicklingError(f"Trying to call reduce for unrecognized function {function}{belongs}")
        self._stack[-1] = function(*arguments)

    def _build(self, argument: None) -> None:
        state, made = self._stack.pop(), self._stack[-1]
        if type(made) is OrderedDict:
            made.__dict__.update(state)
        elif type(made) is not Tensor and _is_allowed(type(made)):
            if hasattr(made, "__setstate__"):
                made.__setstate__(state)
                return
            state, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
            made.__dict__.update(state or {})
            for name, value in (slots or {}).items():
                setattr(made, name, value)
        else:
            raise pickle.UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, but got "
                f"{type(made)}"
            )

    def _persistent(self, argument: None) -> None:
        identifier = self._stack.pop()
        if type(identifier) not in (tuple, int):
            raise pickle.UnpicklingError(f"persistent_load id must be tuple or int, but got {type(identifier)}")
        if type(identifier) is tuple and identifier and identifier[0] not in ("storage", b"storage"):
            raise pickle.UnpicklingError(f"Only persistent_load of storage is allowed, but got {type(identifier[0])}")
        self._stack.append(self._persistent_load(identifier))


_Action = Callable[[WeightsUnpickler, Any], None]


def _constant(make: Callable[[], Any]) -> _Action:
    return lambda self, argument: self._push(make())


def _of(count: int) -> _Action:
    return lambda self, argument: self._tuple_of(count)


_U: Final = WeightsUnpickler
_ACTIONS: Final[dict[str, _Action]] = {
    "PROTO": _U._proto, "MARK": _U._mark, "GLOBAL": _U._global, "NEWOBJ": _U._new, "REDUCE": _U._reduce,
    "BUILD": _U._build, "BINPERSID": _U._persistent, "APPEND": _U._append, "APPENDS": _U._appends,
    "SETITEM": _U._set_item, "SETITEMS": _U._set_items, "TUPLE": _U._tuple,
    **{f"TUPLE{count}": _of(count) for count in (1, 2, 3)},
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _U._get), **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _U._put),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "LONG1", "LONG4"), _U._push),
    "SHORT_BINSTRING": _U._push_old_string,
    "NONE": _constant(lambda: None), "NEWTRUE": _constant(lambda: True), "NEWFALSE": _constant(lambda: False),
    "EMPTY_TUPLE": _constant(tuple), "EMPTY_LIST": _constant(list), "EMPTY_DICT": _constant(dict),
    "EMPTY_SET": _constant(set),
}  # fmt: skip


def globals_of(file: IO[bytes]) -> set[str]:
    """The full names that a pickle has, without following any."""
    return {_full_name(str(argument)) for code, argument, _ in pickletools.genops(file) if code.name == "GLOBAL"}


def known_names() -> set[str]:
    """The full names that a file may have."""
    return {*_allowed(), *_marked_by_name()}
