"""Forward mode: dual tensors, which carry a tangent through every operator.

Source: https://docs.pytorch.org/docs/stable/autograd.html#forward-mode-automatic-differentiation

Note [Tangents from the same formula]
    An operator declares the product of a gradient with its Jacobian. Where the Jacobian is diagonal
    (every operator that broadcasts), the same formula applied to the tangents is the product from
    the other side. A linear operator is its own derivative. For the rest the formula is
    transposed: it is linear in the gradient it is given, so differentiating it by that gradient,
    weighted with the tangents, gives the tangent of the result. All are made of recorded operators,
    so a tangent can itself be differentiated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from retrograd.autograd.modes import current_mode, enable_grad, set_mode
from retrograd.tensor import Tensor, wrap_array

__all__ = [
    "UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "tangent_of",
    "unpack_dual",
]  # fmt: skip


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent, or None."""

    primal: Tensor
    tangent: Tensor | None


class _Level:
    """One dual level. Tangents name the level they belong to, and count for nothing when it has ended."""

    __slots__ = ()


def enter_dual_level() -> int:
    """Begin forward mode; `dual_level` is the usual way.

    Raises
    ------
    RuntimeError
        If it has begun already: levels do not nest.
    """
    mode = current_mode()
    if mode.dual is not None:
        raise RuntimeError(
            "Nested forward mode AD is not supported at the moment. Transforms nest: use retrograd.func.jvp"
        )
    set_mode(mode.but(dual=_Level()))
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End forward mode: tangents are gone."""
    mode = current_mode()
    if mode.dual is None:
        raise RuntimeError("Dual level must be a positive number.")
    set_mode(mode.but(dual=None))


class dual_level:
    """A context in which tensors can have tangents.

    Examples
    --------
    >>> import retrograd
    >>> import retrograd.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(retrograd.tensor(2.0), retrograd.tensor(1.0))
    ...     fwAD.unpack_dual(x * x).tangent
    tensor(4.)
    """

    __slots__ = ()

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc_info: object) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A view of `tensor` that carries `tangent`.

    Raises
    ------
    RuntimeError
        If no level has begun, the shapes differ, or `tensor` has a tangent already.
    ValueError
        If one of them is neither floating-point nor complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.forward_ad.make_dual.html
    """
    if current_mode().dual is None:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, each in (("primal", tensor), ("tangent", tangent)):
        if not each.dtype.is_differentiable:
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {each.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(tensor.shape)} while the given forward gradient is of size "
            f"{list(tangent.shape)}."
        )
    if tangent_of(tensor) is not None:
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not "
            "supported."
        )
    from retrograd.ops.shape import alias_of

    dual = alias_of(tensor)
    set_tangent(dual, tangent)
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor without its tangent, and the tangent (None if it has none).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.forward_ad.unpack_dual.html
    """
    mode = current_mode()
    if mode.dual is None:
        return UnpackedDualTensor(tensor, None)
    tangent = tangent_of(tensor)
    if tangent is None:
        return UnpackedDualTensor(tensor, None)
    from retrograd.ops.shape import alias_of

    set_mode(mode.but(dual=None))
    try:
        primal = alias_of(tensor)
    finally:
        set_mode(mode)
    return UnpackedDualTensor(primal, tangent)


def tangent_of(tensor: Any) -> Tensor | None:
    """The tangent that `tensor` has at the current level."""
    meta = getattr(tensor, "_meta", None)
    if meta is None or meta.tangent is None:
        return None
    level, tangent = meta.tangent
    return tangent if level is current_mode().dual else None


def set_tangent(tensor: Tensor, tangent: Tensor | None) -> None:
    tensor._own_meta().tangent = None if tangent is None else (current_mode().dual, tangent)


# -- tangents through operators ----------------------------------------------------------------


class _WithoutTangents:
    """What computes tangents has none itself."""

    __slots__ = ("mode",)

    def __enter__(self) -> None:
        self.mode = current_mode()
        set_mode(self.mode.but(dual=None))

    def __exit__(self, *exc_info: object) -> None:
        set_mode(self.mode)


def push(op: Any, inputs: Sequence[Any], outputs: Sequence[Tensor], values: dict[str, Any]) -> list[Tensor | None]:
    """The tangents of an operator's results. `values` holds its other arguments by name."""
    tangents = [tangent_of(each) for each in inputs]
    if all(each is None for each in tangents) or not op.vjp:
        return [None] * len(outputs)
    with _WithoutTangents():
        if op.promote is not None and op.holomorphic and len(outputs) == 1:
            return [_push_elementwise(op, inputs, outputs[0], values, tangents)]
        return _push_transposed(op, inputs, outputs, values, tangents)


def _formula_arguments(op: Any, inputs: Sequence[Any], outputs: Sequence[Tensor], values: dict[str, Any]) -> Any:
    """A function that gives a formula what it asks for, as tensors; see `Plan.save`."""
    is_list = "list" in op.kinds.values()

    def find(name: str) -> Any:
        kind, index, _ = op.source_of(name)
        if kind == "input":
            return inputs[index]
        if kind == "result":
            return outputs[index]
        if kind == "shape":
            return tuple(getattr(inputs[index], "shape", ()))
        if kind == "dtype":
            return inputs[index].dtype
        if kind == "transposed":
            return False
        if kind == "shapes":
            return tuple(tuple(each.shape) for each in inputs)
        if kind == "dtypes":
            return tuple(each.dtype for each in inputs)
        if kind == "result_shape":
            return tuple(outputs[0].shape)
        if kind == "needs":
            return (True,) * (len(inputs) if is_list else len(op.inputs))
        return values[name]

    return find


def _push_elementwise(
    op: Any, inputs: Sequence[Any], output: Tensor, values: dict[str, Any], tangents: Sequence[Tensor | None]
) -> Tensor:
    from retrograd.ops.graph import G

    find = _formula_arguments(op, inputs, [output], values)
    total: Tensor | None = None
    for name, tangent in zip(op.inputs, tangents, strict=True):
        if tangent is None or name not in op.vjp:
            continue
        if tangent.dtype is not output.dtype:
            tangent = tangent.to(output.dtype)
        if tangent.shape != output.shape:
            tangent = tangent.expand(output.shape)
        part = op.vjp[name](G, tangent, *(find(each) for each in op.needs[name]))
        total = part if total is None else total + part
    assert total is not None
    return total


def _push_transposed(
    op: Any, inputs: Sequence[Any], outputs: Sequence[Tensor], values: dict[str, Any],
    tangents: Sequence[Tensor | None],
) -> list[Tensor | None]:  # fmt: skip
    from retrograd.autograd.api import grad
    from retrograd.ops.graph import G

    find = _formula_arguments(op, inputs, outputs, values)
    keep = current_mode().grad
    with enable_grad():
        probes = [
            wrap_array(each._k.zeros_like(each._array), each._k).requires_grad_()
            if each.dtype.is_differentiable else None for each in outputs
        ]  # fmt: skip
        given: Any = probes[0] if op.outputs == 1 else probes
        pulled = _pull(op, G, given, find, inputs, values)
        pairs = [
            (p, t.to(p.dtype)) for p, t in zip(pulled, tangents, strict=True)
            if p is not None and t is not None and p._edge is not None
        ]  # fmt: skip
        live = [each for each in probes if each is not None]
        if not pairs:
            return [None] * len(outputs)
        pushed = iter(grad([p for p, _ in pairs], live, [t for _, t in pairs], create_graph=keep, allow_unused=True))
    return [None if probe is None else _or_zeros(next(pushed), probe) for probe in probes]


def _or_zeros(tangent: Tensor | None, probe: Tensor) -> Tensor:
    return probe.detach() if tangent is None else tangent


def _pull(op: Any, G: Any, g: Any, find: Any, inputs: Sequence[Any], values: dict[str, Any]) -> list[Any]:
    conjugates = op.holomorphic and any(getattr(each, "is_complex", bool)() for each in inputs)
    if conjugates:
        g = [None if e is None else e.conj() for e in g] if isinstance(g, list) else g.conj()
    if "*" in op.vjp:
        pulled = list(op.vjp["*"](G, g, *(find(each) for each in op.needs["*"])))
    else:
        pulled = [
            op.vjp[name](G, g, *(find(each) for each in op.needs[name])) if name in op.vjp else None
            for name in op.inputs
        ]
    return [None if e is None else e.conj() for e in pulled] if conjugates else pulled


def push_function(function: Any, ctx: Any, args: Sequence[Any], outputs: Sequence[Any]) -> None:
    """The tangents of a custom Function's results, by its own `jvp`."""
    tangents = [tangent_of(each) for each in args]
    if all(each is None for each in tangents):
        return
    with _WithoutTangents():
        pushed = function.jvp(ctx, *tangents)
    pushed = pushed if isinstance(pushed, tuple) else (pushed,)
    for output, tangent in zip(outputs, pushed, strict=True):
        if isinstance(output, Tensor) and tangent is not None:
            if tangent.shape != output.shape:
                raise RuntimeError(
                    f"{function.__name__}.jvp returned a tangent of shape {list(tangent.shape)} for an output of "
                    f"shape {list(output.shape)}; a tangent has the shape of its output"
                )
            set_tangent(output, tangent)


def view_tangent(source: Tensor, made: Tensor, name: str, steps: Any) -> None:
    """A view's tangent is the same view of the tangent."""
    tangent = tangent_of(source)
    if tangent is None:
        return
    from retrograd.ops.shape import make_view

    with _WithoutTangents():
        part = make_view(tangent, name, *steps)
    set_tangent(made, part)


def write_tangent(target: Tensor, tangent: Tensor | None) -> None:
    """An in-place write replaces the tangent of what was written to, and so of the base and its other views."""
    view = None if target._meta is None else target._meta.view
    base = target if view is None else view.base
    if tangent_of(base) is None and tangent is None and tangent_of(target) is None:
        return
    with _WithoutTangents():
        new = tangent if tangent is not None else wrap_array(target._k.zeros_like(target._array), target._k)
    if view is None or base is target:
        set_tangent(target, new)
        _refresh_views(base, new)
        return
    own = tangent_of(base)
    with _WithoutTangents():
        whole = wrap_array(base._k.zeros_like(base._array), base._k) if own is None else own.clone()
        part = whole
        for step in view.steps:
            part = _view(part, step)
        part.copy_(new)
    set_tangent(base, whole)
    _refresh_views(base, whole)


def _view(tensor: Tensor, step: Any) -> Tensor:
    from retrograd.ops.shape import make_view

    return make_view(tensor, "AsStridedBackward0", step)


def _refresh_views(base: Tensor, tangent: Tensor) -> None:
    storage = None if base._meta is None else base._meta.storage
    for alias in () if storage is None else list(storage.live()):
        view = alias._own_meta().view
        if view is not None and view.base is base:
            with _WithoutTangents():
                part = tangent
                for step in view.steps:
                    part = _view(part, step)
            set_tangent(alias, part)
