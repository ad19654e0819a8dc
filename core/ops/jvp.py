"""How an operator's results get their tangents, from what its declaration says.

Note [What `jvp=` says]
    `"elementwise"`: element i of the result depends on elements i of the inputs alone. The Jacobian is
    diagonal, so the VJP formula applied to the tangent is the product from the other side. Every
    holomorphic operator that promotes is of this kind without saying so.

    `"linear"`: the result is linear in all differentiable inputs together: the operator itself, applied
    to their tangents.

    `"multilinear"`: it is linear in each of them: a sum with one tangent in each input's place.

    `"zero"`: small changes of the inputs change nothing.

    A formula for each input, as in `vjp`: `lambda K, t, other: ...` gives the part of the result's
    tangent that comes from `t`, that input's. The parts are added. A formula under `"*"` gets a list of
    all tangents, None for those that are missing. Where there are several results, a formula returns
    a tangent or None for each. Further parameters are those of VJP formulas. No formula conjugates for
    the machinery's sake: the tangent is the derivative's action itself, for complex numbers too.

    `"transposed"`: the VJP formula is linear in the gradient it is given, so differentiating it by that
    gradient, weighted with the tangents, gives the tangent of the result. Right for every operator, and
    slower than any of the others: it costs a recorded evaluation of the formula and a backward pass.

    In all of them `K` is `retrograd.ops.graph.G`: a tangent is made of recorded operators, and so can be
    differentiated again, in both modes, and batched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from retrograd.autograd.modes import current_mode, enable_grad
from retrograd.autograd.tangents import Rule
from retrograd.ops.graph import G
from retrograd.tensor import Tensor, wrap_array

if TYPE_CHECKING:
    from retrograd.ops.declare import Formulas, Op

__all__ = ["rule_of"]

Values = dict[str, Any]
Tangents = Sequence[Tensor | None]


def rule_of(op: Op, inputs: Sequence[Any], outputs: Sequence[Tensor], values: Values, present: Sequence[bool]) -> Rule:
    """The rule of one call, for those tangents of its inputs that are `present`."""
    call = _Call(op, inputs, outputs, values)
    if op.jvp == "linear":
        return call.linear()
    if op.jvp == "multilinear":
        return call.multilinear()
    if op.jvp == "elementwise":
        return call.elementwise(present)
    if op.jvp == "zero":
        return call.zero()
    if isinstance(op.jvp, dict):
        return call.by_formulas(op.jvp, op.jvp_needs, present)
    return call.transposed(present)


class _Call:
    """A call of an operator, from which a rule is made."""

    __slots__ = ("inputs", "op", "outputs", "used", "values")

    def __init__(self, op: Op, inputs: Sequence[Any], outputs: Sequence[Tensor], values: Values) -> None:
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.values = values
        self.used: list[Any] = []

    # -- what formulas ask for -----------------------------------------------------------------

    def find(self, name: str) -> Any:
        """What a formula calls `name`, as a tensor if it is one; see `Plan.save`."""
        op, inputs = self.op, self.inputs
        kind, index, _ = op.source_of(name)
        if kind in ("input", "result"):
            found = inputs[index] if kind == "input" else self.outputs[index]
            self.used.append(found)
            return found
        if kind == "shape":
            return tuple(getattr(inputs[index], "shape", ()))
        if kind == "dtype":
            return inputs[index]._array.dtype
        if kind == "transposed":
            return False
        if kind == "shapes":
            return tuple(tuple(each.shape) for each in inputs)
        if kind == "dtypes":
            return tuple(each._array.dtype for each in inputs)
        if kind == "result_shape":
            return tuple(self.outputs[index].shape)
        if kind == "needs":
            return (True,) * len(inputs)
        return self.values[name]

    def rule(self, run: Callable[[Tangents], Tangents]) -> Rule:
        return Rule(run, tuple(self.used))

    # -- the kinds of rules --------------------------------------------------------------------

    def by_formulas(self, formulas: Formulas, needs: dict[str, tuple[str, ...]], present: Sequence[bool]) -> Rule:
        if "*" in formulas:
            formula, given = formulas["*"], [self.find(name) for name in needs["*"]]
            return self.rule(lambda tangents: self.fitted(formula(G, tangents, *given)))
        parts = [
            (i, formulas[name], [self.find(each) for each in needs[name]])
            for i, (name, on) in enumerate(zip(self.op.inputs, present, strict=True))
            if on and name in formulas
        ]

        def run(tangents: Tangents) -> Tangents:
            total: Any = None
            for i, formula, given in parts:
                part = formula(G, tangents[i], *given) if tangents[i] is not None else None
                total = part if total is None else total if part is None else _sum(total, part)
            return self.fitted(total)

        return self.rule(run)

    def elementwise(self, present: Sequence[bool]) -> Rule:
        inner = self.by_formulas(self.op.vjp, self.op.needs, present)
        output = self.outputs[0]._array
        native, shape = output.dtype, tuple(output.shape)

        def run(tangents: Tangents) -> Tangents:
            return inner.run([None if each is None else _as(each, native, shape) for each in tangents])

        return Rule(run, inner.uses)

    def linear(self) -> Rule:
        inputs, active = self.inputs, self.active()
        self.used += [each for each, on in zip(inputs, active, strict=True) if not on]

        def run(tangents: Tangents) -> Tangents:
            given = [
                (_zeros_like(own) if tangent is None else _as(tangent, own._array.dtype)) if on else own
                for own, tangent, on in zip(inputs, tangents, active, strict=True)
            ]
            return self.fitted(self.again(given))

        return self.rule(run)

    def multilinear(self) -> Rule:
        inputs = self.inputs
        self.used += inputs

        def run(tangents: Tangents) -> Tangents:
            total: Any = None
            for i, tangent in enumerate(tangents):
                if tangent is not None:
                    part = self.again([*inputs[:i], _as(tangent, inputs[i]._array.dtype), *inputs[i + 1 :]])
                    total = part if total is None else _sum(total, part)
            return self.fitted(total)

        return self.rule(run)

    def zero(self) -> Rule:
        outputs = self.outputs
        return Rule(lambda tangents: [_zeros_like(each) for each in outputs])

    def transposed(self, present: Sequence[bool]) -> Rule:
        op, inputs, outputs = self.op, self.inputs, self.outputs
        names = ["*"] if "*" in op.vjp else [n for n, on in zip(op.inputs, present, strict=True) if on]
        keys = [name for name in names if name in op.vjp]
        given = {key: [self.find(name) for name in op.needs[key]] for key in keys}
        keep = current_mode().grad

        def run(tangents: Tangents) -> Tangents:
            from retrograd.autograd.api import grad

            with enable_grad():
                probes = [_probe(each) for each in outputs]
                pulled = _pulled(op, probes[0] if op.outputs == 1 else probes, given, _conjugates(op, inputs))
                pairs = [
                    (p, _as(t, p._array.dtype, tuple(p._array.shape))) for p, t in zip(pulled, tangents, strict=True)
                    if p is not None and t is not None and p._edge is not None
                ]  # fmt: skip
                if not pairs:
                    return [None] * len(outputs)
                live = [each for each in probes if each is not None]
                roots, weights = zip(*pairs, strict=True)
                found = iter(grad(roots, live, weights, create_graph=keep, materialize_grads=True))
            return [None if probe is None else next(found) for probe in probes]

        return self.rule(run)

    # -- parts of them -------------------------------------------------------------------------

    def active(self) -> list[bool]:
        """Of each input whether it is one that the operator is differentiable by, and there."""
        op, inputs = self.op, self.inputs
        names = op.inputs * len(inputs) if "list" in op.kinds.values() else op.inputs
        return [
            ("*" in op.vjp or name in op.vjp) and isinstance(each, Tensor)
            for name, each in zip(names, inputs, strict=True)
        ]

    def again(self, inputs: Sequence[Any]) -> Any:
        """The operator applied to other inputs, with the same arguments."""
        left = iter(inputs)
        kinds = self.op.kinds
        return self.op.run([
            self.values[name] if name not in kinds else list(left) if kinds[name] == "list" else next(left)
            for name in self.op.signature.parameters
        ])  # fmt: skip

    def fitted(self, made: Any) -> Tangents:
        """Tangents in the types and shapes of the results."""
        several = (
            made if isinstance(made, (tuple, list)) else [made] if self.op.outputs == 1 else [None] * len(self.outputs)
        )
        return [
            None if each is None else _as(each, output._array.dtype, tuple(output._array.shape))
            for each, output in zip(several, self.outputs, strict=True)
        ]


def _as(tangent: Any, native: Any, shape: tuple[int, ...] | None = None) -> Any:
    """A tangent in another type, or repeated to a shape, where it has not got these."""
    if tangent._array.dtype != native:
        tangent = G.astype(tangent, native)
    return tangent if shape is None or tuple(tangent._array.shape) == shape else G.broadcast_to(tangent, shape)


def _sum(one: Any, other: Any) -> Any:
    if not isinstance(one, (tuple, list)):
        return one + other
    return [b if a is None else a if b is None else a + b for a, b in zip(one, other, strict=True)]


def _zeros_like(tensor: Tensor) -> Tensor:
    return wrap_array(tensor._kernels.zeros_like(tensor._array), tensor._kernels)


def _probe(output: Tensor) -> Tensor | None:
    return _zeros_like(output)._set_requires_grad() if output.dtype.is_differentiable else None


def _conjugates(op: Op, inputs: Sequence[Any]) -> bool:
    """Whether the machinery conjugates around the formula; see Note [Holomorphic formulas]."""
    return op.holomorphic and any(isinstance(each, Tensor) and each.is_complex() for each in inputs)


def _pulled(op: Op, g: Any, given: dict[str, list[Any]], conjugates: bool) -> list[Any]:
    if conjugates:
        g = [None if each is None else each.conj() for each in g] if isinstance(g, list) else g.conj()
    if "*" in op.vjp:
        pulled = list(op.vjp["*"](G, g, *given["*"]))
    else:
        pulled = [op.vjp[name](G, g, *given[name]) if name in given else None for name in op.inputs]
    return [None if each is None else each.conj() for each in pulled] if conjugates else pulled
