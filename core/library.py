"""Operators of programs' own: functions that the graph knows by one name, with a gradient that the program gives.

Source: https://docs.pytorch.org/docs/stable/library.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from retrograd.autograd.function import Function
from retrograd.autograd.modes import is_grad_enabled, no_grad
from retrograd.library_schemas import declaration, infer_schema, parsed, written
from retrograd.storage import bump
from retrograd.tensor import Tensor

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "impl", "infer_schema", "namespace_of", "register_autograd",
    "register_fake", "register_kernel", "register_vmap",
]  # fmt: skip

_operators: dict[str, dict[str, Operator]] = {}
"""By namespace and name."""

_KEYS_OF_KERNELS = {"CompositeExplicitAutograd": None, "CPU": "cpu", "CUDA": "cuda", "default": None}


class Operator:
    """An operator: `retrograd.ops.<namespace>.<name>.default`."""

    __module__ = "retrograd._ops"

    def __init__(self, namespace: str, name: str, schema: str) -> None:
        self.namespace = namespace
        self._opname = name
        self._overloadname = "default"
        self._schema = schema
        self._signature = parsed(schema)
        self._kernels: dict[str | None, Callable[..., Any]] = {}
        self._composite: Callable[..., Any] | None = None
        self._fake: Callable[..., Any] | None = None
        self._backward: Callable[..., Any] | None = None
        self._setup: Callable[..., None] | None = None
        self._vmap: Callable[..., Any] | None = None

    def name(self) -> str:
        """Its name with the namespace."""
        return f"{self.namespace}::{self._opname}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.namespace}.{self._opname}', overload='default')>"

    def __str__(self) -> str:
        return f"{self.namespace}.{self._opname}.default"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        positional, named = self._bound(args, kwargs)
        if self._composite is not None:
            return self._composite(*positional, **named)
        given = [each for each in (*positional, *named.values()) if isinstance(each, Tensor)]
        kernel = self._kernel_for(given)
        if self._vmap is None and not (is_grad_enabled() and any(each.requires_grad for each in given)):
            with no_grad():
                result = kernel(*positional, **named)
        else:
            result = self._function(kernel, named).apply(*positional)
        if "!" in self._schema:
            self._note_writes((*positional, *named.values()))
        return result

    def _note_writes(self, values: tuple[Any, ...]) -> None:
        """One version later: the kernel may have written past the counters."""
        for kind, value in zip(written(self._schema), values, strict=True):
            if kind and isinstance(value, Tensor):
                bump(value)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional arguments, all of them, and those that have to be named."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self._misfit(args, kwargs, error) from None
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def _misfit(self, args: tuple[Any, ...], kwargs: dict[str, Any], error: TypeError) -> RuntimeError:
        parameters = self._signature.parameters
        ending = f"Declaration: {declaration(self.name(), self._signature, self._schema)}"
        places = [name for name, each in parameters.items() if each.kind is not each.KEYWORD_ONLY]
        if len(args) > len(places):
            text = f"expected at most {len(places)} argument(s) but received {len(args)} argument(s). {ending}"
            return RuntimeError(f"{self.name()}() {text}")
        for i, (name, each) in enumerate(parameters.items()):
            if each.default is each.empty and name not in kwargs and (name not in places or i >= len(args)):
                return RuntimeError(f"{self.name()}() is missing value for argument '{name}'. {ending}")
        return RuntimeError(f"{self.name()}(): {error}. {ending}")

    def _kernel_for(self, given: list[Tensor]) -> Callable[..., Any]:
        kind = "cpu" if not given or given[0].device.type.endswith("cpu") else "cuda"
        kernel = self._kernels.get(kind) or self._kernels.get(None)
        if kernel is None:
            raise NotImplementedError(
                f"Could not run '{self.name()}' with arguments from the '{kind.upper()}' backend: no kernel of it is "
                "registered"
            )
        return kernel

    def _function(self, kernel: Callable[..., Any], named: dict[str, Any]) -> Any:
        """The operator as a node of the graph."""

        def forward(*args: Any) -> Any:
            return kernel(*args, **named)

        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            if self._setup is not None and named:
                self._setup(ctx, inputs, named, output)
            elif self._setup is not None:
                self._setup(ctx, inputs, output)

        body = {"forward": forward, "setup_context": setup_context, "backward": self._gradients}
        if self._vmap is not None:
            body["vmap"] = self._vmap
        name = f"GeneratedBackwardFor_{self.namespace}_{self._opname}_default"
        return type(name, (Function,), {key: staticmethod(each) for key, each in body.items()})

    def _gradients(self, ctx: Any, *grads: Any) -> Any:
        if self._backward is None:
            raise RuntimeError(
                f"Trying to backward through {self} but no autograd formula was registered. Please use "
                "register_autograd to add one."
            )
        return self._backward(ctx, *grads)


class OpPacket:
    """`retrograd.ops.<namespace>.<name>`: an operator under its name, with its only overload `default`."""

    __module__ = "retrograd._ops"

    def __init__(self, operator: Operator) -> None:
        self.default = operator
        self.__name__ = operator._opname

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.default(*args, **kwargs)

    def overloads(self) -> list[str]:
        """The names of all overloads."""
        return ["default"]

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self.default.namespace}.{self.__name__}')>"

    def __str__(self) -> str:
        return f"{self.default.namespace}.{self.__name__}"


class _OpNamespace:
    """`retrograd.ops.<namespace>`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> OpPacket:
        found = _operators.get(self.__dict__["name"], {}).get(name)
        if found is None:
            raise AttributeError(f"'_OpNamespace' '{self.__dict__['name']}' object has no attribute '{name}'")
        return OpPacket(found)

    def __dir__(self) -> Iterable[str]:
        return _operators.get(self.name, {})


def namespace_of(name: str) -> _OpNamespace | None:
    """The operators of a namespace; None, if it has none."""
    return _OpNamespace(name) if name in _operators else None


# -- registering -----------------------------------------------------------------------------------


def _split(qualname: str) -> tuple[str, str]:
    namespace, colons, name = qualname.partition("::")
    if not colons:
        raise ValueError(
            f"Expected `qualname` to be of the form "
            f'"namespace::name", but got {qualname}. The qualname passed to the torch.library APIs must consist of a '
            "namespace and a name, e.g. aten::sin"
        )
    return namespace, name.removesuffix(".default")


def _find(op: Any) -> Operator:
    """An operator by its name, or what stands for it."""
    if isinstance(op, CustomOpDef | OpPacket):
        return op._opoverload if isinstance(op, CustomOpDef) else op.default
    if isinstance(op, Operator):
        return op
    if not isinstance(op, str):
        raise ValueError(f"expected a name or an operator, got unexpected type for op: {type(op)}")
    namespace, name = _split(op)
    found = _operators.get(namespace, {}).get(name)
    if found is None:
        raise RuntimeError(f"operator {namespace}::{name} does not exist")
    return found


def _defined(namespace: str, name: str, schema: str) -> Operator:
    made = _operators.setdefault(namespace, {})[name] = Operator(namespace, name, schema)
    return made


def _decorating(register: Callable[[Any], None], func: Any) -> Any:
    """Register `func`; without one, a decorator that does."""
    if func is not None:
        register(func)
        return func

    def decorate(function: Any) -> Any:
        register(function)
        return function

    return decorate


class CustomOpDef:
    """What `custom_op` makes of a function.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.CustomOpDef
    """

    def __init__(self, namespace: str, name: str, schema: str, fn: Callable[..., Any]) -> None:
        self._namespace = namespace
        self._name = name
        self._schema = schema
        self._init_fn = fn
        self._opoverload = _defined(namespace, name, schema)

    @property
    def _qualname(self) -> str:
        return f"{self._namespace}::{self._name}"

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._opoverload(*args, **kwargs)

    def register_fake(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Remember a function of shapes and types; nothing here asks for them."""
        self._opoverload._fake = fn
        return fn

    def register_kernel(self, device_types: Any, fn: Any = None) -> Any:
        """Compute so on devices of some types. A decorator, without `fn`."""
        return register_kernel(self._opoverload, device_types, fn)

    def register_autograd(self, backward: Callable[..., Any], /, *, setup_context: Any = None) -> None:
        """See `register_autograd`."""
        register_autograd(self._opoverload, backward, setup_context=setup_context)

    def register_vmap(self, func: Any = None) -> Any:
        """See `register_vmap`."""
        return register_vmap(self._opoverload, func)


def custom_op(
    name: str, fn: Callable[..., Any] | None = None, /, *, mutates_args: str | Iterable[str], device_types: Any = None,
    schema: str | None = None, tags: Any = None,
) -> Any:  # fmt: skip
    """Make an operator of a function, which the graph does not look into. A decorator, without `fn`.

    Parameters
    ----------
    name
        ``namespace::name``; it is `retrograd.ops.namespace.name`, too.
    mutates_args
        The names of arguments that the function writes to.
    device_types
        The devices that the function is for: `"cpu"`, `"cuda"` for those of accelerators, or several. None: all.
    schema
        What it takes and gives; by default what its annotations say.
    tags
        Accepted for PyTorch's sake.

    Raises
    ------
    ValueError
        If the name has no namespace, or the annotations say too little.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.custom_op

    Examples
    --------
    >>> import retrograd
    >>> @retrograd.library.custom_op("docs::cube", mutates_args=())
    ... def cube(x: retrograd.Tensor) -> retrograd.Tensor:
    ...     return retrograd.from_numpy(x.numpy() ** 3)
    >>> cube.register_autograd(
    ...     lambda ctx, grad: grad * 3 * ctx.saved_tensors[0] ** 2,
    ...     setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    ... )
    >>> x = retrograd.tensor([2.0], requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    tensor([12.])
    """

    def make(function: Callable[..., Any]) -> CustomOpDef:
        namespace, own = _split(name)
        found = infer_schema(function, mutates_args=mutates_args) if schema is None else schema
        made = CustomOpDef(namespace, own, found, function)
        made.register_kernel(device_types, function)
        return made

    return make if fn is None else make(fn)


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """Make an operator by what it takes and gives, such as ``(Tensor x, int n=2) -> Tensor``.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.define
    """
    _defined(*_split(qualname), schema)


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Compute an operator so on devices of some types. A decorator, without `func`.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.register_kernel
    """
    operator = _find(op)
    kinds = [device_types] if device_types is None or isinstance(device_types, str) else device_types

    def register(function: Callable[..., Any]) -> None:
        operator._kernels.update({None if each == "default" else each: function for each in kinds})

    return _decorating(register, func)


def impl(qualname: str, types: Any, func: Any = None, *, lib: Any = None) -> Any:
    """`register_kernel`, by the operator's name.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.impl
    """
    if isinstance(qualname, Library):  # the older order: of a library, a name and a key
        library, own, key = qualname, types, func
        return _decorating(lambda function: library.impl(own, function, key), None)
    return register_kernel(qualname, types, func)


def register_fake(op: Any, func: Any = None, /, *, lib: Any = None, _stacklevel: int = 1) -> Any:
    """Remember a function of shapes and types of an operator; nothing here asks for them. A decorator, without `func`.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.register_fake
    """
    operator = _find(op)

    def register(function: Callable[..., Any]) -> None:
        operator._fake = function

    return _decorating(register, func)


def register_autograd(
    op: Any, backward: Callable[..., Any], /, *, setup_context: Callable[..., None] | None = None, lib: Any = None
) -> None:
    """Give an operator its gradient.

    Parameters
    ----------
    backward
        A function of a context and the gradients of the results, which gives those of the positional arguments.
    setup_context
        A function of the context, the positional arguments and the result (between them the arguments that must be
        named, if there are any), which saves what `backward` needs.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.register_autograd
    """
    operator = _find(op)
    operator._backward, operator._setup = backward, setup_context


def register_vmap(op: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Give an operator its rule under `vmap`: a function of `info`, `in_dims` and the arguments.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.register_vmap
    """
    operator = _find(op)

    def register(function: Callable[..., Any]) -> None:
        operator._vmap = function

    return _decorating(register, func)


class Library:
    """Operators of a namespace, defined and implemented one after another.

    Parameters
    ----------
    ns
        The namespace.
    kind
        `"DEF"`, `"IMPL"` or `"FRAGMENT"`.
    dispatch_key
        Accepted for PyTorch's sake.

    Source: https://docs.pytorch.org/docs/stable/library.html#torch.library.Library
    """

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns = ns
        self.kind = kind
        self.dispatch_key = dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Make an operator: ``name(Tensor x) -> Tensor``."""
        name, parenthesis, rest = schema.partition("(")
        _defined(self.ns, name.strip(), parenthesis + rest)
        return name.strip()

    def impl(
        self, op_name: Any, fn: Callable[..., Any], dispatch_key: str = "", *, with_keyset: bool = False,
        allow_override: bool = False,
    ) -> None:  # fmt: skip
        """Compute an operator so; the key says on what.

        Raises
        ------
        RuntimeError
            If there is no such operator, or nothing of this key.
        """
        key = dispatch_key or self.dispatch_key or "CompositeImplicitAutograd"
        name = op_name if isinstance(op_name, str) else op_name._opname
        operator = _find(f"{self.ns}::{name.rpartition('::')[2]}")
        if key == "Meta":
            operator._fake = fn
        elif key == "CompositeImplicitAutograd" or key.startswith("Autograd"):
            operator._composite = fn
        elif key in _KEYS_OF_KERNELS:
            operator._kernels[_KEYS_OF_KERNELS[key]] = fn
        else:
            _no_key(key)


def _no_key(key: str) -> NoReturn:
    raise RuntimeError(f"could not parse dispatch key: {key}: there are no such tensors here")
