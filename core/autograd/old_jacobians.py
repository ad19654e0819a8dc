"""The Jacobians by themselves, under the names that PyTorch has long deprecated and still has in `gradcheck`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from retrograd.autograd.jacobians import (
    Case,
    Tensors,
    Tolerance,
    as_tuple,
    backward_pass,
    numerical_jacobians,
    row_units,
    within,
)
from retrograd.tensor import Tensor

__all__ = ["get_analytical_jacobian", "get_numerical_jacobian", "get_numerical_jacobian_wrt_specific_input"]


def _check(name: str, grad_out: float) -> None:
    warnings.warn(
        f"`{name}` was part of PyTorch's private API and not meant to be exposed. We are deprecating it and it will be "
        "removed in a future version of PyTorch. If you have a specific use for this or feature request for this to be "
        "a stable API, please file us an issue at https://github.com/pytorch/pytorch/issues/new",
        FutureWarning,
        stacklevel=3,
    )
    if grad_out != 1.0:
        raise ValueError(f"Expected grad_out to be 1.0. {name} no longer supports values of grad_out != 1.0.")


def _refuse_complex(name: str, *outputs: Any) -> None:
    if any(isinstance(each, Tensor) and each.is_complex() for each in outputs):
        raise ValueError(
            f"Expected output to be non-complex. {name} no longer supports functions that return complex outputs."
        )


def _case(function: Callable[..., Any], inputs: tuple[Any, ...], outputs: Any, eps: float, nondet: float) -> Case:
    return Case(function, inputs, as_tuple(outputs), Tolerance(eps, 0.0, 0.0, nondet, False))


def get_numerical_jacobian_wrt_specific_input(
    fn: Callable[..., Any],
    input_idx: int,
    inputs: Tensors,
    outputs: Tensors,
    eps: float,
    input: Tensor | None = None,
    is_forward_ad: bool = False,
) -> Tensors:
    """The Jacobians of all outputs of `fn(*inputs)` by one input, by differences; a row for each of its elements."""
    return tuple(numerical_jacobians(_case(fn, as_tuple(inputs), outputs, eps, 0.0), input_idx))


def get_numerical_jacobian(
    fn: Callable[..., Any], inputs: Any, target: Any = None, eps: float = 1e-3, grad_out: float = 1.0
) -> Tensors:
    """The Jacobian of the first output of `fn(inputs)` by each tensor in `target`, by differences. Deprecated.

    Parameters
    ----------
    target
        Which of the inputs; by default all.

    Raises
    ------
    ValueError
        If an output is complex, or `grad_out` is not 1.
    """
    _check("get_numerical_jacobian", grad_out)
    outputs = as_tuple(fn(inputs))
    _refuse_complex("get_numerical_jacobian", *outputs)
    wanted = inputs if target is None else target
    places = [each for each in as_tuple(wanted) if isinstance(each, Tensor) and each.requires_grad]
    return tuple(numerical_jacobians(_case(lambda *_: fn(inputs), (each,), outputs, eps, 0.0), 0)[0] for each in places)


def get_analytical_jacobian(
    inputs: Any, output: Tensor, nondet_tol: float = 0.0, grad_out: float = 1.0
) -> tuple[Tensors, bool, bool, bool]:
    """The Jacobian of `output` by each input that requires a gradient, by the graph. Deprecated.

    Returns
    -------
    The Jacobians, a row for each element of the input; whether two passes agree within `nondet_tol`; and whether the
    gradients have the sizes and the types of the inputs.

    Raises
    ------
    ValueError
        If the output is complex, or `grad_out` is not 1.
    """
    from retrograd.ops.arrange import stack
    from retrograd.ops.factories import zeros_like

    _check("get_analytical_jacobian", grad_out)
    _refuse_complex("get_analytical_jacobian", output)
    case = _case(lambda *_: output, as_tuple(inputs), output, 0.0, nondet_tol)
    passes = [[backward_pass(case, output, unit) for unit in row_units(output)] for _ in range(2)]
    jacobians: list[list[Tensor]] = []
    sizes = types = True
    for rows in passes:
        columns: list[list[Tensor]] = [[] for _ in case.points]
        for row in rows:
            for column, found, point in zip(columns, row, case.points, strict=True):
                sizes &= found is None or found.shape == point.shape
                types &= found is None or found.dtype is point.dtype
                column.append((zeros_like(point) if found is None else found).detach().reshape(-1))
        jacobians.append([stack(each, 1) for each in columns])
    agree = all(within(one, other, nondet_tol) for one, other in zip(*jacobians, strict=True))
    return tuple(jacobians[0]), agree, sizes, types
