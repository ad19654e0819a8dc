"""How an operator is declared, and all that follows from its declaration.

An operator is a documented function under `@op`. Its parameters annotated `Array` are the
differentiable inputs, the others are arguments; `vjp` holds, for each input, the formula that
turns the gradient of the output into the gradient of that input::

    @op("multiply", promote="common", vjp={
        "self": lambda K, g, other: g * other,
        "other": lambda K, g, self: g * self,
    })
    def mul(self: Array, other: Array) -> Array:
        '''Multiply elementwise.'''

The first argument names the kernel that computes it. Where no single kernel does (or only while
the arguments have their defaults), the function has a body, written against the kernel namespace
`K`::

    @op(vjp={...})
    def softplus(K, self: Array, beta: float = 1.0) -> Array:
        '''...'''
        return K.log1p(K.exp(self * beta)) / beta

Note [One formula, two modes]
    `K` is the backend's kernels while arrays are raw, and `retrograd.ops.graph.G`, the
    differentiable operators under the kernels' names, when the backward pass is itself recorded.
    Arithmetic in a formula is written with Python's operators, which mean the same on an array of
    any library and on a Tensor; everything else is called by its name on `K`.

Note [Holomorphic formulas]
    PyTorch's gradient of a complex input is the conjugate of the mathematical derivative's
    action. For a holomorphic operator it equals conj(formula(conj(g))) with the formula as one
    would write it for real numbers, and so formulas need no `conj`: the node of a complex call
    adds it around them. An operator that is not holomorphic (`abs`, `real`, ...) says
    `holomorphic=False` and writes its formula in full.

How an operator runs under `vmap` is declared by `batch=`, where it is not known from the rest: see
`retrograd.ops.batching`.

How tangents get through an operator is declared beside its VJP, by `jvp=`: Note [What `jvp=` says] in
`retrograd.ops.jvp`.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, ClassVar, Literal

from retrograd.autograd.node import UNGENERATED, Node
from retrograd.autograd.profiler import operator_name
from retrograd.ops import batching
from retrograd.ops.decompositions import derived
from retrograd.ops.float8 import refusal
from retrograd.ops.plan import Plan, PlanOfPackedIndices

__all__ = [
    "Array",
    "Formulas",
    "Op",
    "Raw",
    "alias",
    "composite",
    "name_written",
    "op",
    "op_of",
    "parameter_names",
    "publics",
]

Array = Any
"""Annotates an operator's differentiable inputs: an array of the backend, or a Tensor in graph mode."""

Raw = Any
"""Annotates an argument that holds raw arrays, or a tuple of them: not differentiable, not a constant either."""

Formulas = dict[str, Callable[..., Any]]
"""Of each input, by name: how its gradient follows from the output's."""

Promote = Literal["common", "float"] | None

Kept = tuple[str, ...] | dict[str, tuple[str, ...]]
"""What a node keeps for inputs besides what their formulas name."""

Jvp = Literal["elementwise", "linear", "multilinear", "zero", "transposed"] | Formulas | None
"""How tangents get through: Note [What `jvp=` says] in `retrograd.ops.jvp`."""


class Op:
    """One declared operator. Calling it is calling the generated public function.

    Attributes
    ----------
    inputs
        The names of the tensor inputs, in order.
    kinds
        For each input `"tensor"`, `"optional"` or `"list"`.
    params
        The names of the other arguments, and `defaults` of all.
    arguments
        Name and kind of all arguments, in order; the kind of one that is no input is None.
    numbers
        Name, place and annotation of each argument that is a number, for which a tensor without dimensions may stand.
    as_numbers
        The inputs for which a Python number may stand, if the operator promotes.
    vjp, needs
        The formula of each input and the names it asks for; key `"*"` is one formula for all.
    kept
        What a node keeps besides for each input, only to show it; as `needs`.
    jvp, jvp_needs
        How tangents get through: a word, or formulas as in `vjp`. None: no one has said.
    bare_name
        The name without the underscores of operators that have no public function.
    shown_name
        PyTorch's name of the operator, after that of the node: `mean`, also of `mean_all`.
    written_name
        That of the variant in place.
    written
        The operator of the variant in place: itself, or one of the same arguments with other formulas.
    promote
        `"common"`: inputs are brought to one type. `"float"`: to a floating-point one. None: they
        are used as they are.
    node_class
        The `Node` subclass with PyTorch's name, made at declaration.
    check
        See `op`.
    float8
        Which of the float8 types it refuses, if any: see `retrograd.ops.float8`.
    order
        The places among the inputs of those whose order of axes the result takes over; see `op`.
    exact_numbers, rounded
        The places among the inputs at which a number is not rounded to a half-precision type first, and those among
        all arguments at which it is.
    widens, fused_gradient
        Whether half-precision numbers are computed with in float32, and whether their gradients are.
    batch
        How it runs under `vmap`: the declared rule, or `elementwise` of an operator that promotes. None:
        its body or kernel runs on the kernels of the level.
    """

    registry: ClassVar[dict[str, Op]] = {}
    makes_sparse = False  # of dense tensors, too: `retrograd.sparse`
    compiles = True  # whether its formulas give arrays alone, so that a backend may compile them
    public: Callable[..., Any]
    written: Op
    cast: ClassVar[Callable[..., Any]]  # set by retrograd.ops.elementwise: promotion as an operator

    def __init__(
        self,
        function: Callable[..., Any],
        kernel: str | None,
        *,
        name: str | None,
        node: str | None,
        promote: Promote,
        vjp: Formulas,
        jvp: Jvp = None,
        holomorphic: bool,
        outputs: int,
        differentiable: int | None = None,
        check: Callable[[Sequence[Any]], None] | None = None,
        batch: batching.Rule | None = None,
        kept: Kept = (),
        as_numbers: tuple[str, ...] | None = None,
        order: Sequence[str] | None = None,
        exact_numbers: Sequence[str] = (),
        rounded: Sequence[str] = (),
        widens: bool | None = None,
        fused_gradient: bool | None = None,
    ) -> None:
        has_body = next(iter(parameter_names(function)), "") == "K"
        self.function = function
        self.body = _positional(function) if has_body else None
        self.name = name or function.__name__
        self.bare_name = self.name.strip("_")
        self.kernel = kernel
        self.promote = promote
        self.vjp = vjp
        self.holomorphic = holomorphic
        self.outputs = outputs
        self.check = check
        self.float8 = refusal(self.name, promote is not None, getattr(check, "kernel", None))
        self.signature = _signature(function, has_body)
        parameters = self.signature.parameters
        self.kinds = {n: kind for n, p in parameters.items() if (kind := _kind(p.annotation))}
        self.inputs = tuple(self.kinds)
        self.as_numbers = frozenset(self.inputs if as_numbers is None else as_numbers)
        broadcasts = promote is not None and set(self.kinds.values()) == {"tensor"}
        self.batch = batching.elementwise if batch is None and broadcasts else batch
        self.keeps_type = promote is not None or self.batch is batching.elementwise
        self.exact_numbers = frozenset(self.inputs.index(name) for name in exact_numbers)
        self.rounded = frozenset(list(parameters).index(name) for name in rounded)
        self.widens = self.keeps_type if widens is None else widens
        has_kernel_of_its_own = promote is None and self.batch is batching.elementwise
        self.fused_gradient = has_kernel_of_its_own if fused_gradient is None else fused_gradient
        if order is None:
            several = len(self.inputs) > 1 or self.body is not None
            order = self.inputs if several and self.batch is batching.elementwise else ()
        self.order = tuple(self.inputs.index(name) for name in order)
        self.params = tuple(n for n in parameters if n not in self.kinds)
        places = {name: place for place, name in enumerate(parameters)}
        self.input_places = tuple(places[name] for name in self.inputs)
        self.param_places = tuple((name, places[name]) for name in self.params)
        kinds = {"float"} if self.name.startswith("_") else {"float", "float | None", "int"}  # of others it is seen to
        self.numbers = tuple((n, places[n], kind) for n in self.params if (kind := parameters[n].annotation) in kinds)
        self.arguments = tuple((n, self.kinds.get(n)) for n in parameters)
        self.keywords = tuple(n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY)
        self._sources: dict[str, tuple[str, int, str]] = {}
        self.raw = frozenset(n for n, p in parameters.items() if p.annotation == "Raw")
        self.defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
        self.needs = _needs(vjp)
        self.kept = kept if isinstance(kept, dict) else dict.fromkeys(vjp, kept)
        if jvp is None and vjp and promote is not None and holomorphic:
            jvp = "elementwise"
        self.jvp = jvp
        self.jvp_needs = _needs(jvp) if isinstance(jvp, dict) else {}
        self.node_class = _node_class(node or _node_name(self.name), outputs, differentiable or outputs)
        self.shown_name = operator_name(self.node_class.__name__).removeprefix("aten::")
        self.written_name = f"{self.shown_name if self.name.startswith('_') else self.name}_"
        if "*" not in self.vjp and not all(name in self.vjp for name in self.inputs):
            self.node_class._shown_edges = tuple(i for i, name in enumerate(self.inputs) if name in self.vjp)
        self.written = self
        self.plans = _PlanTable(self, None)
        self._by_table: dict[Any, _PlanTable] = {}
        self._forwards: dict[Any, Callable[..., Any]] = {}
        Op.registry[self.name] = self

    # -- forward -------------------------------------------------------------------------------

    def forward_for(self, k: Any) -> Callable[..., Any]:
        """The function that computes the result: called with `k`, the arrays and the arguments in order."""
        if k.level or k.sparse:
            return k.forward_of(self)  # kept there: a level ends with its `vmap`
        try:
            return self._forwards[k]
        except KeyError:
            made = self._forwards[k] = self._make_forward(k)
            return made

    def _make_forward(self, k: Any) -> Callable[..., Any]:
        if self.body is None:
            assert self.kernel is not None  # an operator has one of the two
            kernel = getattr(k, self.kernel)
            return lambda K, *arguments: kernel(*arguments)
        if k.compile is None or "list" in self.kinds.values():
            return self.body
        names = list(self.signature.parameters)
        static = tuple(i for i, name in enumerate(names) if name not in self.kinds and name not in self.raw)
        return k.compile(self.body, static)

    def plans_for(self, k: Any) -> _PlanTable:
        """The plans for a table; shared by all tables that do not compile formulas."""
        if k.compile is None or not self.compiles:
            return self.plans
        try:
            return self._by_table[k]
        except KeyError:
            made = self._by_table[k] = _PlanTable(self, k.compile)
            return made

    # -- what a formula's parameter means ------------------------------------------------------

    def source_of(self, name: str) -> tuple[str, int, str]:
        """(kind, index, name) of what a formula calls `name`; see `Plan.save`."""
        try:
            return self._sources[name]
        except KeyError:
            found = self._sources[name] = self._find_source(name)
            return found

    def _find_source(self, name: str) -> tuple[str, int, str]:
        if name in self.inputs:
            return "input", self.inputs.index(name), name
        if name == "needs":
            return "needs", 0, name
        if name == "result_shape":
            return "result_shape", 0, name
        if name.startswith("result"):
            return "result", int(name.removeprefix("result") or 0), name
        if name in self.params:
            return "param", self.params.index(name), name
        owner, _, what = name.rpartition("_")
        if owner in self.inputs and what in ("shape", "dtype", "shapes", "dtypes", "transposed"):
            return what, self.inputs.index(owner), name
        raise TypeError(
            f"the formula of {self.name!r} asks for {name!r}, which is neither an input ({', '.join(self.inputs)}), "
            f"an argument ({', '.join(self.params)}), 'result', 'needs' nor an input's _shape, _dtype or _transposed"
        )

    # -- calling it with all arguments in declared order ---------------------------------------

    def inputs_among(self, arguments: Sequence[Any]) -> list[Any]:
        """The inputs, flat."""
        if "list" not in self.kinds.values():
            return [arguments[place] for place in self.input_places]
        given = (
            (self.kinds[name], arguments[place]) for name, place in zip(self.inputs, self.input_places, strict=True)
        )
        return [each for kind, value in given for each in (value if kind == "list" else (value,))]

    def run(self, arguments: Sequence[Any]) -> Any:
        """Call the public function."""
        if not self.keywords:
            return self.public(*arguments)
        split = len(arguments) - len(self.keywords)
        return self.public(*arguments[:split], **dict(zip(self.keywords, arguments[split:], strict=True)))

    def is_saved_tensor(self, name: str) -> bool:
        return self.source_of(name)[0] in ("input", "result")

    def __repr__(self) -> str:
        return f"<operator {self.name}{self.signature}>"


class _PlanTable(dict[Any, Plan]):
    """Plans by mask, made when first needed."""

    def __init__(self, op: Op, compile_: Callable[..., Any] | None) -> None:
        self.op = op
        self.compile = compile_

    def __missing__(self, mask: tuple[bool, ...]) -> Plan:
        plan = self[mask] = Plan(self.op, mask, self.compile)
        return plan


class ConjugatedPlan:
    """The plan of a holomorphic operator's call on complex numbers. See Note [Holomorphic formulas]."""

    __slots__ = ("plan",)

    def __init__(self, plan: Plan | PlanOfPackedIndices) -> None:
        self.plan = plan

    def raw(self, K: Any, g: Any, node: Node) -> list[Any]:
        return _conjugate(K, self.plan.raw(K, _conjugate_one(K, g), node))

    def graph(self, G: Any, g: Any, node: Node) -> list[Any]:
        return _conjugate(G, self.plan.graph(G, _conjugate_one(G, g), node))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)


def _conjugate_one(K: Any, g: Any) -> Any:
    return [None if each is None else K.conj(each) for each in g] if isinstance(g, list) else K.conj(g)


def _conjugate(K: Any, grads: Sequence[Any]) -> list[Any]:
    return [None if each is None else K.conj(each) for each in grads]


def _positional(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with its keyword-only parameters made positional, since calls pass all in order."""
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    positional = code.replace(co_argcount=count, co_kwonlyargcount=0)
    made = types.FunctionType(positional, function.__globals__, function.__name__, None, function.__closure__)
    return made


def _signature(function: Callable[..., Any], has_kernel_namespace: bool) -> inspect.Signature:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    return signature.replace(parameters=parameters[1:] if has_kernel_namespace else parameters)


def _kind(annotation: str) -> str | None:
    return {"Array": "tensor", "Array | None": "optional", "list[Array]": "list"}.get(annotation)


def _needs(formulas: Formulas) -> dict[str, tuple[str, ...]]:
    return {key: parameter_names(formula)[2:] for key, formula in formulas.items()}


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters: of a plain one without a `Signature`, which takes thirty times as long."""
    if type(function) is not types.FunctionType or function.__dict__ or function.__code__.co_flags & _VARIADIC:
        return tuple(inspect.signature(function).parameters)
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


_VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


def _node_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.strip("_").split("_")) + "Backward0"


def _node_class(name: str, outputs: int, differentiable: int) -> type[Node]:
    members = {"__slots__": (), "_n_outputs": outputs, "_n_differentiable": differentiable, "__module__": "builtins"}
    if name == "NotImplemented":
        members["_name_prefix"] = UNGENERATED
    return type(name, (Node,), members)  # in that module in PyTorch, too


def op(
    kernel: str | None = None,
    *,
    name: str | None = None,
    node: str | None = None,
    promote: Promote = None,
    vjp: Formulas | None = None,
    jvp: Jvp = None,
    holomorphic: bool = True,
    outputs: int = 1,
    differentiable: int | None = None,
    graph: str | None = None,
    out: bool = False,
    check: Callable[[Sequence[Any]], None] | None = None,
    batch: batching.Rule | None = None,
    kept: Kept = (),
    as_numbers: tuple[str, ...] | None = None,
    order: Sequence[str] | None = None,
    exact_numbers: Sequence[str] = (),
    rounded: Sequence[str] = (),
    widens: bool | None = None,
    fused_gradient: bool | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare an operator; see the module's text. Returns its public function.

    Parameters
    ----------
    kernel
        The kernel that computes the result, called with the inputs and arguments in order.
    name
        The operator's name, if not the function's.
    node
        The node's class name, if not the CamelCase name with `Backward0`.
    promote
        See `Op`. With it, inputs broadcast, Python numbers are accepted, and the operator gets an
        `out=` argument.
    vjp
        The derivative formulas. Without it the operator is not differentiable.
    jvp
        How tangents get through; see Note [What `jvp=` says] in `retrograd.ops.jvp`.
    holomorphic
        See Note [Holomorphic formulas].
    outputs
        How many tensors it returns.
    differentiable
        How many of these, the first ones, can have a gradient, if not all: the others are no outputs of the node to
        those who look at it.
    graph
        The name on `K` that stands for this operator in graph mode, where it isn't the kernel's.
    out
        Whether the function takes `out=` although it does not promote.
    check
        Called with the inputs (tensors or numbers) as they were given, before anything is computed,
        to raise PyTorch's error for types that the operator refuses. Only on the general path: tensors
        of one real floating-point type never need it.
    batch
        The batching rule, where it is none of the body's or of broadcasting: see `retrograd.ops.batching`.
    kept
        What PyTorch's node keeps and shows although no formula here names it, in the words of formulas;
        a dict if it depends on which input has a gradient.
    as_numbers
        Of an operator that promotes, the inputs for which a Python number may stand, if not for all.
    order
        The inputs whose order of axes in memory the result takes over, the first of them that tells: see
        `in_order_of` in `retrograd.backends.spec`. If not given, all of an elementwise operator of several inputs or
        several kernels: one kernel of one array is taken to keep the order by itself.
    exact_numbers, rounded, widens, fused_gradient
        See Note [Half precision] in `retrograd.ops.half`.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        from retrograd.ops.graph import G
        from retrograd.ops.specialise import public_function

        declared = Op(
            function, kernel, name=name, node=node, promote=promote, vjp=vjp or {}, jvp=jvp, holomorphic=holomorphic,
            outputs=outputs, differentiable=differentiable, check=check, batch=batch, kept=kept, as_numbers=as_numbers,
            order=order, exact_numbers=exact_numbers, rounded=rounded, widens=widens, fused_gradient=fused_gradient,
        )  # fmt: skip
        public = declared.public = public_function(declared, out=out or promote is not None)
        publics.setdefault(declared.name, public)
        graph_name = graph or kernel
        if graph_name is not None and not hasattr(type(G), graph_name):
            G.register(graph_name, public)
            if declared.batch is not None:
                batching.kernel_rules.setdefault(graph_name, declared.batch)
        if graph is not None and declared.body is not None:
            derived[graph] = declared.body  # formulas on raw arrays call it too
        return public

    return declare


def op_of(function: Any) -> Op:
    """The declaration behind an operator's public function."""
    return function.__wrapped_op__


def name_written(function: Any, node: str, vjp: Formulas | None = None, jvp: Jvp = None) -> None:
    """Let the variant in place of an operator have a node of another name, and derivatives if the operator has none."""
    declared = op_of(function)
    written = declared.written = copy(declared)
    if vjp is not None:
        written.vjp, written.jvp = vjp, jvp
        written.needs, written.kept = _needs(vjp), dict.fromkeys(vjp, ())
    written.node_class = _node_class(node, declared.outputs, declared.outputs)
    written.plans, written._by_table, written._forwards = _PlanTable(written, None), {}, {}
    written.written = written


publics: dict[str, Callable[..., Any]] = {}
"""Every public function of the operator modules, by name. Those with a leading underscore are not exported."""


def composite(function: Callable[..., Any]) -> Callable[..., Any]:
    """Export a function that is made of operators and has no node of its own.

    As with `@op`, one whose first parameter is called `input` is a method of Tensor too.
    """
    publics[function.__name__] = function
    return function


def alias(name: str, function: Callable[..., Any]) -> None:
    """Export `function` under a second name."""
    publics[name] = function
