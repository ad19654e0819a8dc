"""Writes the public function of an operator: the common case in straight-line code.

Python charges about 50 ns for a frame and 30 ns for an attribute of an unknown object, and a small
kernel takes 300 ns, so the path of an ordinary call is generated per operator, as `dataclasses`
generates `__init__`: no loop over inputs, no repacking of arguments, one frame. What it may assume
it checks first; in any other case, and whenever a kernel raises, it hands the call to
`retrograd.ops.dispatch.call`, which does all of it again in full generality.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from types import FunctionType
from typing import TYPE_CHECKING, Any

from retrograd.autograd.explaining import NOT_RECORDED, break_at, remember_break, unrecorded
from retrograd.autograd.modes import GRAD, NO_GRAD, current_mode
from retrograd.autograd.node import extras_of_outputs, next_sequence_number
from retrograd.levels import births, note_birth
from retrograd.ops import dispatch
from retrograd.ops.old_order import ONE_FACTOR, call_in_old_order, write_in_old_order
from retrograd.ops.plan import CONSTANT, is_transposed
from retrograd.storage import sign

if TYPE_CHECKING:
    from retrograd.ops.declare import Op

__all__ = ["LARGE", "public_function", "scope"]

LARGE = 1 << 15
"""Elements from which a result is not made apart and then copied."""

scope: dict[str, Any] = {
    "GRAD": GRAD,
    "NO_GRAD": NO_GRAD,
    "CONSTANT": CONSTANT,
    "current_mode": current_mode,
    "next_seq": next_sequence_number,
    "extras_of_outputs": extras_of_outputs,
    "births": births,
    "note_birth": note_birth,
    "call": dispatch.call,
    "call_in_old_order": call_in_old_order,
    "write_in_old_order": write_in_old_order,
    "sign": sign,
    "is_transposed": is_transposed,
    "call_or_decline": dispatch.call_or_decline,
    "unrecorded": unrecorded,
    "remember_break": remember_break,
}
"""What generated code refers to; `retrograd.tensor` adds `Tensor` and `Parameter`."""


def _not_ready() -> Any:
    """Refuse what is no number: the general path says in what words."""
    raise TypeError


scope["not_ready"] = _not_ready


def public_function(op: Op, out: bool, declines: bool = False) -> Callable[..., Any]:
    """The function users call: the declaration's name, signature and docstring.

    One that `declines` is for a symbol: where the other operand is nothing it knows, it gives
    NotImplemented, and Python asks that operand.
    """
    filename = f"<{'symbol' if declines else 'operator'} {op.name} {op.node_class.__name__}>"
    function = _deferred(
        filename, op.name, _parameters(op, out), lambda: _public_source(op, out, declines),
        op=op, forwards=op._forwards, forward_for=op.forward_for, plans=op.plans,
        Node=op.node_class, defaults=op.defaults, check=op.check, NO_EDGE=break_at(op.shown_name, NOT_RECORDED),
    )  # fmt: skip
    function.__doc__ = op.function.__doc__
    function.__module__ = op.function.__module__
    function.__qualname__ = op.function.__name__
    function.__wrapped_op__ = op
    return function


def _public_source(op: Op, out: bool, declines: bool) -> str:
    lines = [f"def {op.name}({_signature(_parameters(op, out))}):"]
    if out and op.name in ONE_FACTOR:
        given = ", ".join(map(spelled, op.inputs))
        lines += ["    if old is not None:", f"        return call_in_old_order({op.name}, {given}, old, out=out)"]
    if out:
        lines += ["    if out is not None:", f"        return call_out(op, out, {_arguments(op)})"]
    if set(op.kinds.values()) == {"tensor"} and len(op.inputs) <= 3 and op.outputs == 1:
        lines += _fast_path(op)
    elif {"tensor", "optional"}.issuperset(op.kinds.values()) and not (
        op.promote
        or _LOCAL.intersection(op.params)
        or any(op.kinds[op.inputs[place]] == "optional" for place in op.order)
    ):
        lines += _several_path(op)
    elif list(op.kinds.values()) == ["list"] and op.promote is None and op.check is None and op.outputs == 1:
        lines += _list_path(op)
    lines.append(f"    return call(op, {_arguments(op)})")
    source = "\n".join(lines) + "\n"
    return source.replace("return call(", "return call_or_decline(") if declines else source


def in_place_function(op: Op) -> Callable[..., Any]:
    """The method that writes the operator's result into its first input."""
    parameters = _parameters(op, out=False)
    if op.name in ONE_FACTOR:
        place = len(op.signature.parameters) - len(op.keywords)
        parameters.insert(place, Parameter("old", Parameter.POSITIONAL_OR_KEYWORD, default=None))

    def source() -> str:
        lines = [f"def {op.name}_({_signature(parameters)}):"]
        if op.name in ONE_FACTOR:
            given = ", ".join(map(spelled, op.inputs))
            lines += [
                "    if old is not None:",
                f"        return write_in_old_order({op.name}_, {op.name!r}, {given}, old)",
            ]
        if set(op.kinds.values()) == {"tensor"} and len(op.inputs) <= 3 and op.outputs == 1 and not op.raw:
            lines += _written(op)
        return "\n".join([*lines, f"    return call_inplace(op, {_arguments(op)})", ""])

    return _deferred(
        f"<operator {op.name}_>", f"{op.name}_", parameters, source,
        op=op, forwards=op._forwards, forward_for=op.forward_for, defaults=op.defaults,
    )  # fmt: skip


def _written(op: Op) -> list[str]:
    """The ordinary write of small floats, as `retrograd.ops.plain_writes.wrote` does it, in straight-line code."""
    inputs = [spelled(name) for name in op.inputs]
    ready = "".join(f" and {each}" for each in _ready(op))
    body = [
        "    mode = current_mode()",
        "    if (type(input) is Tensor or type(input) is Parameter) and (",
        "        mode is NO_GRAD or mode is GRAD and input._edge is None",
        f"    ) and not births{ready}:",
        "        k = input._kernels; a0 = input._array; d = a0.dtype; meta = input._tensor_meta; cell = input._cell",
        f"        if {_is_floats(op)} and k.mutable and a0.size < {LARGE} and type(cell) is list and (",
        "            meta is None or meta.storage is None or meta.chain is None and not meta.storage.has_views",
        "        ):",
    ]
    if len(inputs) == 1:
        return [*body, *_indent(_write(op, []), 12)]
    tests = [
        f"(type({name}) is Tensor or type({name}) is Parameter) and {name}._kernels is k"
        f" and {name}._array.dtype is d and ({name}._edge is None or mode is NO_GRAD)"
        for name in inputs[1:]
    ]
    body.append(f"            if {' and '.join(tests)}:")
    body.append("                " + "; ".join(f"a{i} = {name}._array" for i, name in enumerate(inputs[1:], 1)))
    body += _indent(_write(op, inputs[1:]), 16)
    if len(inputs) == 2 and op.promote is not None and op.inputs[1] in op.as_numbers:
        body.append(f"            elif type({inputs[1]}) is float or type({inputs[1]}) is int:")
        body += [f"                a1 = {inputs[1]}", *_indent(_write(op, []), 16)]
    return body


def _write(op: Op, others: list[str]) -> list[str]:
    """Compute the result and put it into the memory of `input`; `others` are those inputs that are tensors, too."""
    lines = [
        "try:",
        f"    y = {_kernel_call(op)}",
        "    written = y.shape == a0.shape and y.dtype is d",
        "    if written: k.assign(a0, y)",
        "except Exception: written = False",  # the general path finds it again, and says it in PyTorch's words
        "if written:",
    ]
    if others:
        breaks = " or ".join(f"{name}._break or {name}._edge" for name in others)
        lines.append(f"    if input._edge is None and input._break is None and ({breaks}):")
        lines.append(f"        leave_break({op.written_name!r}, input, ({', '.join(others)},))")
    return [*lines, "    cell[0] += 1", f"    sign(cell, {op.written_name!r}, None, None)", "    return input"]


# Note [Written when it is called]
#     There are some seven hundred functions to generate, and to compile them all took a quarter of the time that
#     importing the package did. A function is made with the code of `_stub`; its own is compiled, and put in place of
#     that, by its first call.


def _stub(*args: Any, **kwargs: Any) -> Any:
    return begin()(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821 - in the globals of each function


def _deferred(filename: str, name: str, parameters: Sequence[Parameter], write: Callable[[], str], **names: Any) -> Any:
    """The function of that name which the source defines; see Note [Written when it is called]."""
    module: dict[str, Any] = {"__name__": __name__, **scope, **names}
    function: Any = FunctionType(_stub.__code__, module, name)
    function.__signature__ = Signature(parameters, __validate_parameters__=False)

    def begin() -> Any:
        source = write()
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)  # for tracebacks
        exec(compile(source, filename, "exec"), module)
        made, module[name] = module[name], function
        target = getattr(function, "__wrapped__", function)  # Note [Code that is exchanged] in `retrograd.interposing`
        # The code last: whoever calls meanwhile, in another thread, must find the defaults that it needs.
        target.__defaults__, target.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
        target.__code__ = made.__code__
        return made

    module[name], module["begin"] = function, begin
    _generated.append(module)
    return function


_generated: list[dict[str, Any]] = []


def link(**names: Any) -> None:
    """Give generated functions the classes that are made after them."""
    scope.update(names)
    for module in _generated:
        module.update(scope)


def _parameters(op: Op, out: bool) -> list[Parameter]:
    """The parameters of the public function, with the names that it has for them."""
    given = op.signature.parameters.values()
    shown = [Parameter(spelled(each.name), each.kind, default=each.default) for each in given]
    positional = [each for each in shown if each.kind is not Parameter.KEYWORD_ONLY]
    keywords = shown[len(positional) :]
    if out and keywords and op.name in ONE_FACTOR:
        positional.append(Parameter("old", Parameter.POSITIONAL_OR_KEYWORD, default=None))
    if out:
        keywords.append(Parameter("out", Parameter.KEYWORD_ONLY, default=None))
    return [*positional, *keywords]


def _signature(parameters: Sequence[Parameter]) -> str:
    """These parameters as a definition has them; defaults are looked up by name."""
    parts: list[str] = []
    for each in parameters:
        if each.kind is Parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        default = "None" if each.name in ("old", "out") else f"defaults[{_declared(each.name)!r}]"
        parts.append(each.name if each.default is Parameter.empty else f"{each.name}={default}")
    return ", ".join(parts)


def _arguments(op: Op) -> str:
    return ", ".join(map(spelled, op.signature.parameters))


def spelled(name: str) -> str:
    """Declarations call the first input `self`, as PyTorch's nodes do; its functions call it `input`."""
    return "input" if name == "self" else name


def _declared(name: str) -> str:
    return "self" if name == "input" else name


def _is_floats(op: Op) -> str:
    """Whether the elements, of type `d`, are floating-point numbers, which a check lets pass."""
    return "d in k.floats and d not in k.halves" if getattr(op.check, "refuses_halves", False) else "d in k.floats"


def _typed(op: Op) -> list[int]:
    """The places of the inputs that are of one type.

    One that never has a gradient (conditions, positions, targets) may be of any, where nothing is promoted.
    """
    return [i for i, name in enumerate(op.inputs) if op.promote is not None or "*" in op.vjp or name in op.vjp] or [0]


def _fast_path(op: Op) -> list[str]:
    inputs = [spelled(name) for name in op.inputs]
    must = _typed(op)
    lead = must[0]
    first = inputs[lead]
    body = [f"    if type({first}) is Tensor or type({first}) is Parameter:"]
    body += [
        f"        k = {first}._kernels; a{lead} = {first}._array; d = a{lead}.dtype",
        f"        if {_is_floats(op)}:",
    ]
    if len(inputs) == 1:
        body += _indent(_compute(op, (True,)), 12)
        return body + _discrete_path(op, "True", "True")
    others = [(i, name) for i, name in enumerate(inputs) if i != lead]
    tests = " and ".join(
        f"(type({name}) is Tensor or type({name}) is Parameter) and {name}._kernels is k" for _, name in others
    )
    body.append(f"            if {tests}:")
    arrays = "; ".join(f"a{i} = {name}._array" for i, name in others)
    same = " and ".join(f"a{i}.dtype is d" for i in must[1:]) or "True"
    body += [f"                {arrays}", f"                if {same}:"]
    body += _indent(_compute(op, (True,) * len(inputs)), 20)
    if len(inputs) == 2 and op.promote is not None and op.inputs[1] in op.as_numbers:
        body.append(f"            elif type({inputs[1]}) is float or type({inputs[1]}) is int:")
        body.append(f"                a1 = {inputs[1]}")
        body += _indent(_compute(op, (True, False)), 16)
    return body + _discrete_path(op, tests, same, arrays)


# Python's integers within these fit into both types of `Kernels.counting`; others wrap around, as in C.
_LEAST, _MOST = -(2**31), 2**31 - 1


def _discrete_path(op: Op, tests: str, same: str, arrays: str = "") -> list[str]:
    """Integers and bools of one type: nothing is promoted, and nobody has a gradient."""
    if op.promote == "float" or op.raw:
        return []
    inputs = [spelled(name) for name in op.inputs]
    body = ["        elif d in k.discrete:"]
    if len(inputs) == 1:
        return [*body, *_indent(_compute_discrete(op, inputs), 12)]
    body += [f"            if {tests}:", f"                {arrays}", f"                if {same}:"]
    body += _indent(_compute_discrete(op, inputs), 20)
    if len(inputs) == 2 and op.promote is not None and op.inputs[1] in op.as_numbers:
        number = inputs[1]
        body.append(f"            elif type({number}) is int and d in k.counting and {_LEAST} <= {number} <= {_MOST}:")
        body.append(f"                a1 = k.full((), {number}, d)")
        body += _indent(_compute_discrete(op, inputs[:1]), 16)
    return body


def _compute_discrete(op: Op, tensors: list[str]) -> list[str]:
    """Run the operator's body as the general path does; `tensors` are those inputs that are no numbers."""
    given = f"return call(op, {_arguments(op)})"
    ready = [f"type({name}) is int" for name, *_ in op.numbers]
    lines = [f"if {' and '.join(('(mode is GRAD or mode is NO_GRAD)', *ready))}:"]
    breaks = " or ".join(f"{name}._break" for name in tensors)
    edges = " or ".join(f"{name}._edge" for name in tensors)
    lines += [f"    if {edges}: {given}"] if len(op.inputs) > 1 else []
    lines += ["    try:"]
    if op.check is not None:
        lines.append(f"        check(({', '.join(map(spelled, op.inputs))},))")
    lines += [
        f"        y = {_general_call(op)}",
        f"    except Exception: {given}",
        "    if type(y) is not k.array_type: y = k.as_array(y)",
    ]
    lines += _indent(_ordered(op, tensors), 4)
    lines += [
        "    out = new(Tensor); out._array = y; out._kernels = k; out._cell = [0]",
        "    out._tensor_meta = out._edge = None",
        f"    out._break = {breaks} or None",
        "    if births: note_birth(out)",
        "    return out",
    ]
    return ["mode = current_mode()", *lines]


_LOCAL = frozenset(("d", "k", "mask", "mode", "node", "out", "outs", "place", "plan", "y", "ys"))
"""Names that `_several_path` has for what is its own."""


def _several_path(op: Op) -> list[str]:
    """Several results, or inputs that may be None or are many: floating-point numbers of one type."""
    inputs = [spelled(name) for name in op.inputs]
    must = _typed(op)
    first = inputs[must[0]]
    tests = [_is_floats(op)]
    for i, name in enumerate(inputs):
        test = f"(type({name}) is Tensor or type({name}) is Parameter) and {name}._kernels is k"
        test += f" and {name}._array.dtype is d" if i in must else ""
        tests.append(f"({name} is None or {test})" if op.kinds[op.inputs[i]] == "optional" else test)
    every = range(len(inputs))
    body = [
        "mode = current_mode()",
        "; ".join(f"a{i} = {_of(op, i, '_array')}" for i in every),
        "if mode is GRAD: " + "; ".join(f"e{i} = {_of(op, i, '_edge')}" for i in every),
        f"elif mode is NO_GRAD: {' = '.join(f'e{i}' for i in every)} = None",
        f"else: return call(op, {_arguments(op)})",
        f"try: ys = {_general_call(op)}",
        f"except Exception: return call(op, {_arguments(op)})",
        *_several_results(op, inputs),
    ]
    return [
        f"    if type({first}) is Tensor or type({first}) is Parameter:",
        f"        k = {first}._kernels; d = {first}._array.dtype",
        f"        if {' and '.join(tests)}:",
        *_indent(body, 12),
    ]


def _of(op: Op, place: int, attribute: str) -> str:
    """An attribute of an input, which may be None."""
    name = spelled(op.inputs[place])
    found = f"{name}.{attribute}"
    return f"None if {name} is None else {found}" if op.kinds[op.inputs[place]] == "optional" else found


def _several_results(op: Op, inputs: list[str]) -> list[str]:
    """Make tensors of what the kernel gave, and record."""
    edges, arrays = [f"e{i}" for i in range(len(inputs))], [f"a{i}" for i in range(len(inputs))]
    given = f"({', '.join(inputs)},)"
    lines = [
        "outs = []",
        f"for y in {'ys' if op.outputs > 1 else '(ys,)'}:",
        "    if type(y) is not k.array_type: y = k.as_array(y)",
        *_indent(_ordered(op, inputs), 4),
        "    out = new(Tensor); out._array = y; out._kernels = k; out._cell = [0]",
        "    out._edge = out._tensor_meta = out._break = None; outs.append(out)",
        "    if births: note_birth(out)",
    ]
    if op.vjp:
        lines += [
            f"if {' or '.join(f'{each} is not None' for each in edges)}:",
            "    node = Node(); node._kernels = k; node._node_extras = node._grad_fix = None",
            f"    node._seq_nr = next_seq(); node._next_edges = ({', '.join(edges)},)",
            f"    mask = ({', '.join(f'{each} is not None' for each in edges)},)",
            "    node._grad_plan = plan = (plans if k.compile is None else op.plans_for(k))[mask]",
            f"    node._holds = plan.save({given}, ({', '.join(arrays)},), outs, {_values(op)})",
            "    for place, out in enumerate(outs):",
            "        if out._array.dtype in k.floats or out.dtype.is_differentiable: out._edge = (node, place)",
            *(["    node._node_extras = extras_of_outputs(outs)"] if op.node_class._n_differentiable > 1 else []),
            f"    if outs[-1]._edge is None: remember_break({op.shown_name!r}, {given}, outs, True, True)",
            "else:",
            f"    remember_break({op.shown_name!r}, {given}, outs, False, mode is GRAD)",
        ]
    else:
        lines.append(f"remember_break({op.shown_name!r}, {given}, outs, False, mode is GRAD)")
    return [*lines, "return tuple(outs)" if op.outputs > 1 else "return out"]


def _list_path(op: Op) -> list[str]:
    """Tensors in a list; recorded, if they are floating-point numbers of one type."""
    (name,) = map(spelled, op.inputs)
    recorded = f"{_is_floats(op)} and d not in k.widening" if op.vjp else "False"
    return [
        "    mode = current_mode()",
        f"    if type({name}) is list and {name} and (mode is GRAD or mode is NO_GRAD):",
        f"        k = getattr({name}[0], '_kernels', None); a0 = []; edges = []; edge = why = d = None; alike = True",
        f"        for each in {name}:",
        "            if (type(each) is not Tensor and type(each) is not Parameter) or each._kernels is not k: break",
        "            array = each._array; a0.append(array); edges.append(each._edge)",
        "            edge = edge or each._edge; why = why or each._break",
        "            alike = alike and (d is None or array.dtype is d); d = array.dtype",
        "        else:",
        f"            if edge is None or mode is NO_GRAD or alike and {recorded}:",
        f"                try: y = {_general_call(op)}",
        f"                except Exception: return call(op, {_arguments(op)})",
        "                if type(y) is not k.array_type: y = k.as_array(y)",
        "                out = new(Tensor); out._array = y; out._kernels = k; out._cell = [0]",
        "                out._tensor_meta = out._edge = out._break = None",
        "                if births: note_birth(out)",
        "                if edge is None or mode is NO_GRAD:",
        "                    out._break = why or (NO_EDGE if edge else None)",
        "                    return out",
        "                node = Node(); node._kernels = k; node._node_extras = node._grad_fix = None",
        "                node._seq_nr = next_seq(); node._next_edges = tuple(edges)",
        "                node._grad_plan = plan = (plans if k.compile is None else op.plans_for(k))[(True,)]",
        f"                node._holds = plan.save({name}, a0, (out,), {_values(op)})",
        "                out._edge = (node, 0)",
        "                return out",
    ]


def _compute(op: Op, tensors: tuple[bool, ...]) -> list[str]:
    """Run the kernel and record; `tensors` says which inputs are tensors, the others being numbers."""
    inputs = [spelled(name) for name in op.inputs]
    edges = [f"e{i}" for i, is_tensor in enumerate(tensors) if is_tensor]
    load = "; ".join(f"e{i} = {inputs[i]}._edge" for i, is_tensor in enumerate(tensors) if is_tensor)
    lines = ["mode = current_mode()"]
    if op.vjp:
        lines += [f"if mode is GRAD: {load}", f"elif mode is NO_GRAD: {' = '.join(edges)} = None"]
        lines.append(f"else: return call(op, {_arguments(op)})")
    else:
        lines.append(f"if mode is not GRAD and mode is not NO_GRAD: return call(op, {_arguments(op)})")
    lines += [f"try: y = {_kernel_call(op)}", f"except Exception: return call(op, {_arguments(op)})"]
    lines += ["if type(y) is not k.array_type: y = k.as_array(y)"]
    lines += _ordered(op, [name for name, is_tensor in zip(inputs, tensors, strict=True) if is_tensor])
    lines += [
        "out = new(Tensor); out._array = y; out._kernels = k; out._cell = [0]; out._tensor_meta = out._break = None",
        "if births: note_birth(out)",
    ]
    given = [name for name, is_tensor in zip(inputs, tensors, strict=True) if is_tensor]
    breaks = " or ".join(f"{name}._break" for name in given)
    with_edge = " or ".join(f"{name}._edge" for name in given)
    if not op.vjp:
        lines += ["out._edge = None", f"if {breaks} or {with_edge}:"]
        why = f"unrecorded({op.shown_name!r}, out.dtype) if mode is GRAD else NO_EDGE"
        return [*lines, f"    out._break = {breaks} or ({why})", "return out"]
    lines += [f"if {' and '.join(f'{e} is None' for e in edges)}:", "    out._edge = None"]
    lines += [f"    out._break = {breaks} or mode is NO_GRAD and ({with_edge}) and NO_EDGE or None", "    return out"]
    lines += _record(op, tensors)
    lines += ["out._edge = (node, 0)", "return out"]
    return lines


def _ordered(op: Op, tensors: list[str]) -> list[str]:
    """Bring the result into PyTorch's order of axes; `tensors` are those inputs that are no numbers."""
    places = [place for place in op.order if spelled(op.inputs[place]) in tensors]
    if not places or len(places) < len(op.order) == 2:  # a function of an array and a number keeps the order by itself
        return []
    arrays = [f"a{place}" for place in places]
    # Where the first lies by rows, a kernel of two gives by itself what PyTorch does.
    asked = arrays[:1] if len(arrays) == 2 and op.kernel is not None else arrays
    rows = " and ".join(f"{each}.flags.c_contiguous" for each in asked)
    return [f"if k.in_order_of and not ({rows}): y = k.in_order_of(y, ({', '.join(arrays)},))"]


def _kernel_call(op: Op) -> str:
    """Call a kernel by name where it takes the arguments as they are, else the declaration's body."""
    general = _general_call(op)
    if op.body is None or op.kernel is None or not all(name in op.defaults for name in op.params):
        return general
    if not op.params:  # the body is for what the general path sees: integers, complex numbers
        return f"k.{op.kernel}({', '.join(_values_given(op))})"
    arrays = ", ".join(f"a{i}" for i in range(len(op.inputs)))
    ordinary = " and ".join(f"{name} == {op.defaults[name]!r}" for name in op.params)
    return f"k.{op.kernel}({arrays}) if {ordinary} else {general}"


def _general_call(op: Op) -> str:
    """Call the declaration's body, or the kernel where it has none; it raises for what is not ready."""
    values = ", ".join(_values_given(op))
    if op.body is None:
        made = f"k.{op.kernel}({values})"
    else:
        made = f"(forwards[k] if k in forwards else forward_for(k))(k, {values})"
    return f"{made} if {' and '.join(_ready(op))} else not_ready()" if op.numbers else made


def _ready(op: Op) -> list[str]:
    """Tests that what is to be a number is one."""
    tests = {
        "float": "(type({0}) is float or type({0}) is int)",
        "float | None": "({0} is None or type({0}) is float or type({0}) is int)",
        "int": "type({0}) is int",
    }
    return [tests[kind].format(name) for name, _, kind in op.numbers]


def _values_given(op: Op) -> list[str]:
    """The arguments in order, with the arrays in place of tensors."""
    numbers = iter(range(len(op.inputs)))
    return [f"a{next(numbers)}" if name in op.kinds else name for name in op.signature.parameters]


def _record(op: Op, tensors: tuple[bool, ...]) -> list[str]:
    lines = ["table = plans if k.compile is None else op.plans_for(k)"]
    if len(op.inputs) == 1:
        lines += _save(op, tensors, (True,))
    elif tensors[1:] != (True,) * (len(tensors) - 1):
        lines += _save(op, tensors, (True, False))
    elif len(op.inputs) == 2:
        lines += ["if e1 is None:", *_indent(_save(op, tensors, (True, False)), 4)]
        lines += ["elif e0 is None:", *_indent(_save(op, tensors, (False, True)), 4)]
        lines += ["else:", *_indent(_save(op, tensors, (True, True)), 4)]
    else:
        lines += [
            "plan = table[e0 is not None, e1 is not None, e2 is not None]",
            f"saved = plan.save(({', '.join(map(spelled, op.inputs))}), (a0, a1, a2), (out,), {_values(op)})",
        ]
    edges = ", ".join(f"e{i}" if is_tensor else "None" for i, is_tensor in enumerate(tensors))
    lines += [
        "node = Node(); node._grad_plan = plan; node._holds = saved; node._kernels = k; node._node_extras = None",
        f"node._seq_nr = next_seq(); node._next_edges = ({edges},)",
        f"node._grad_fix = {_fix(op, tensors)}",
    ]
    return lines


def _values(op: Op) -> str:
    return "{" + ", ".join(f"{name!r}: {name}" for name in op.params) + "}"


def _save(op: Op, tensors: tuple[bool, ...], mask: tuple[bool, ...]) -> list[str]:
    """Lines that set `plan` and `saved` for one mask, as Note [Saved tuple] lays it out."""
    plan = op.plans[mask]
    entries: list[str] = []
    versions: list[str] = []
    for kind, index, name in plan.sources:
        if kind == "input" and tensors[index]:
            versions.append(f"v{index} = {spelled(op.inputs[index])}._cell")
            entries += [f"a{index}", f"v{index}", f"v{index}[0]"]
        elif kind == "input":
            entries += [f"a{index}", "CONSTANT", "0"]
        elif kind == "result":
            entries += ["y", "out._cell", "0"]
        else:
            entries.append(
                {
                    "shape": f"a{index}.shape",
                    "dtype": f"a{index}.dtype",
                    "transposed": f"is_transposed(k, a{index})",
                    "result_shape": "y.shape",
                    "needs": "plan.mask",
                    "param": name,
                }[kind]
            )
    line = f"plan = table[{mask!r}]; saved = ({', '.join(entries)}{',' if entries else ''})"
    return ["; ".join((*versions, line))]


def _fix(op: Op, tensors: tuple[bool, ...]) -> str:
    """An expression for `Node._grad_fix`: None unless inputs of different shapes were broadcast."""
    if op.promote is None or sum(tensors) < 2:
        return "None"
    n = len(tensors)
    same = " and ".join(f"a{i}.shape == y.shape" for i in range(n))
    each = ", ".join(f"None if a{i}.shape == y.shape else (a{i}.shape, None)" for i in range(n))
    if n == 2:
        return f"None if a0.shape == a1.shape else ({each})"
    return f"None if {same} else ({each})"


def _indent(lines: list[str], by: int) -> list[str]:
    return [" " * by + line for line in lines]
