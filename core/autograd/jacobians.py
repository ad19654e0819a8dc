"""The two Jacobians that `gradcheck` compares: by differences of the function, and by the graph.

A Jacobian of either kind is kept with a row for each element of the input and a column for each element
of the output.

Note [Complex gradcheck]
    The graph computes, for a real loss L and a complex z = x + iy, the conjugate derivative
    dL/dx + i dL/dy. That is what the numerical Jacobian holds for a complex input: one difference
    along x, one along y. Outputs must be real for it, so a function with complex outputs is checked
    twice, by its imaginary and by its real part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retrograd import dtypes
from retrograd.autograd.api import grad
from retrograd.tensor import Tensor

__all__ = [
    "Case",
    "GradcheckError",
    "Tensors",
    "Tolerance",
    "analytical_jacobians",
    "as_tuple",
    "backward_pass",
    "derivative",
    "differentiable",
    "forward_derivative",
    "forward_jacobians",
    "numerical_jacobians",
    "of_differentiable",
    "real_type",
    "row_units",
    "tangent_along",
    "within",
]

Tensors = tuple[Tensor, ...]


class GradcheckError(RuntimeError):
    """A gradient is not what it should be; raised by `gradcheck` and `gradgradcheck`."""

    __module__ = "retrograd.autograd.gradcheck"


@dataclass(frozen=True, slots=True)
class Tolerance:
    eps: float
    atol: float
    rtol: float
    nondet: float
    dtypes: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One function at one point, as one kind of differentiation is checked on it.

    Attributes
    ----------
    values
        What the function gives at the inputs.
    part
        Which part of complex outputs (or, in forward mode, inputs) the function is restricted to.
    complex_places
        Where those outputs (or inputs) stand.
    """

    func: Callable[..., Any]
    inputs: tuple[Any, ...]
    values: tuple[Any, ...]
    tolerance: Tolerance
    forward: bool = False
    part: str | None = None
    complex_places: tuple[int, ...] = ()

    @property
    def outputs(self) -> Tensors:
        """The outputs that have a gradient."""
        return differentiable(self.values)

    @property
    def places(self) -> list[int]:
        """Where the inputs that have a gradient stand."""
        return [i for i, each in enumerate(self.inputs) if isinstance(each, Tensor) and each.requires_grad]

    @property
    def points(self) -> Tensors:
        return tuple(self.inputs[i] for i in self.places)

    def evaluate(self) -> Tensors:
        """The outputs now, in memory of their own; those only that may have a gradient."""
        return tuple(each.clone() for each in as_tuple(self.func(*self.inputs)) if _is_continuous(each))


def as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _is_continuous(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype.is_differentiable


def differentiable(values: Any) -> Tensors:
    return tuple(each for each in as_tuple(values) if each.requires_grad)


# -- numerical derivatives -----------------------------------------------------------------------


def _difference(case: Case, place: int, step: Tensor) -> list[Tensor]:
    """(f(x + step) - f(x - step)) / (2 eps) for each output, flat.

    The input is changed in place and restored, since the function may have captured it; `.data` has
    a version counter of its own, so that no graph notices.
    """
    eps = case.tolerance.eps
    memory = case.inputs[place].data
    original = memory.clone()
    try:
        memory.copy_(original - step)
        before = case.evaluate()
        memory.copy_(original + step)
        after = case.evaluate()
    finally:
        memory.copy_(original)
    for one, other in zip(before, after, strict=True):
        _check_alike(one, other, eps)
    return [((high - low) / (2 * eps)).detach().reshape(-1) for low, high in zip(before, after, strict=True)]


def _check_alike(one: Tensor, other: Tensor, eps: float) -> None:
    for what, a, b in (("shape", one.shape, other.shape), ("dtype", one.dtype, other.dtype)):
        if a != b:
            raise AssertionError(
                f"Expected `func` to return outputs with the same {what} when inputs are perturbed by "
                f"{eps}, but got: {what}s {a} and {b}."
            )


def derivative(case: Case, place: int, real: Tensor, imaginary: Tensor) -> list[Tensor]:
    """The numerical derivatives along a direction; see Note [Complex gradcheck]."""
    eps = case.tolerance.eps
    along_real = _difference(case, place, real * eps)
    if not case.inputs[place].is_complex():
        return along_real
    along_imaginary = _difference(case, place, imaginary * (eps * 1j))
    return [x + y * 1j for x, y in zip(along_real, along_imaginary, strict=True)]


def _units(tensor: Tensor) -> Iterator[Tensor]:
    """Of the tensor's shape, and real: the tensors with a one at one place."""
    from retrograd.ops.creation import eye

    n = tensor.numel()
    for row in eye(n, dtype=real_type(tensor), device=tensor.device):
        yield row.reshape(tensor.shape)


def real_type(tensor: Tensor) -> dtypes.dtype:
    return tensor.dtype.to_real() if tensor.is_complex() else tensor.dtype


def numerical_jacobians(case: Case, place: int) -> list[Tensor]:
    """The Jacobian of each output by one input."""
    from retrograd.ops.arrange import stack
    from retrograd.ops.creation import zeros

    source = case.inputs[place]
    if source.numel() == 0:
        return [
            zeros(0, each.numel(), dtype=each.dtype, device=each.device) for each in case.values if _is_continuous(each)
        ]
    rows = [derivative(case, place, unit, unit) for unit in _units(source)]
    return [stack(list(each)) for each in zip(*rows, strict=True)]


def of_differentiable(case: Case, found: Sequence[Tensor]) -> list[Tensor]:
    """Of what was computed for all continuous outputs, the part of those that have a gradient."""
    continuous = [each for each in case.values if _is_continuous(each)]
    return [each for each, out in zip(found, continuous, strict=True) if out.requires_grad]


# -- derivatives by the graph ----------------------------------------------------------------------


def backward_pass(case: Case, output: Tensor, weight: Tensor) -> tuple[Tensor | None, ...]:
    result: tuple[Tensor | None, ...] = grad(output.clone(), case.points, weight, retain_graph=True, allow_unused=True)
    return result


def _columns(case: Case, output: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """For each input, the gradients for each weight as the columns of a matrix."""
    from retrograd.ops.arrange import stack
    from retrograd.ops.creation import zeros

    columns: list[list[Tensor]] = [[] for _ in case.points]
    for weight in weights:
        for column, found, point in zip(columns, backward_pass(case, output, weight), case.points, strict=True):
            column.append(_checked(case, found, point).reshape(-1))
    return [
        stack(each, 1) if each else zeros(point.numel(), 0, dtype=point.dtype, device=point.device)
        for each, point in zip(columns, case.points, strict=True)
    ]


def _checked(case: Case, found: Tensor | None, point: Tensor) -> Tensor:
    from retrograd.ops.creation import zeros_like

    if found is None:
        zero: Tensor = zeros_like(point).detach()
        return zero
    if found.shape != point.shape:
        raise GradcheckError("Analytical gradient has incorrect size")
    if found.dtype is not point.dtype and case.tolerance.dtypes:
        raise GradcheckError("Gradient has dtype mismatch")
    return found.detach()


def analytical_jacobians(case: Case, output: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """`_columns`, computed twice to see whether the backward pass is deterministic."""
    first, second = _columns(case, output, weights), _columns(case, output, weights)
    if not all(within(a, b, case.tolerance.nondet) for a, b in zip(first, second, strict=True)):
        raise GradcheckError(
            "Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
            "times gives different values, although analytical gradient matches numerical gradient.The "
            f"tolerance for nondeterminism was {case.tolerance.nondet}.\n\n"
            "NOTE: if the function is meant to be nondeterministic, pass `nondet_tol=<tol>`."
        )
    return first


def within(one: Tensor, other: Tensor, distance: float) -> bool:
    return one.numel() == 0 or not bool((one - other).abs().max() > distance)


def row_units(output: Tensor) -> list[Tensor]:
    return [each.to(output.dtype) for each in _units(output)]


def forward_derivative(case: Case, place: int, direction: Tensor) -> list[Tensor]:
    """What forward mode gives along a direction, flat, for each continuous output."""
    from retrograd.ops.creation import zeros_like

    zeros = {i: zeros_like(case.inputs[i]).detach() for i in case.places}
    return [each.reshape(-1) for each in tangent_along(case, zeros | {place: direction})]


def tangent_along(case: Case, tangents: dict[int, Tensor]) -> list[Tensor]:
    """What forward mode gives for each continuous output, of inputs with and without tangents."""
    from retrograd.autograd import forward_ad
    from retrograd.ops.creation import zeros_like

    with forward_ad.dual_level():
        values = []
        for i, each in enumerate(case.inputs):
            if i in tangents:
                values.append(forward_ad.make_dual(each.detach(), tangents[i]))
            else:
                values.append(each.detach() if isinstance(each, Tensor) else each)
        found = []
        for output in filter(_is_continuous, as_tuple(case.func(*values))):
            primal, tangent = forward_ad.unpack_dual(output)
            if tangent is not None and case.tolerance.dtypes and primal.is_complex() != tangent.is_complex():
                raise GradcheckError("Forward AD gradient has dtype mismatch.")
            found.append((zeros_like(primal) if tangent is None else tangent).detach())
    return found


def forward_jacobians(case: Case, place: int) -> list[Tensor]:
    from retrograd.ops.arrange import stack

    source = case.inputs[place]
    if source.numel() == 0:
        return numerical_jacobians(case, place)
    rows = [forward_derivative(case, place, unit) for unit in _units(source)]
    return [stack(list(each)) for each in zip(*rows, strict=True)]
