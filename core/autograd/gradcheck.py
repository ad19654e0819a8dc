"""`gradcheck`: are the gradients that the graph computes those of the function?

The reference is the function itself: its values at two points near the input give a numerical
derivative. How the two are computed is in `retrograd.autograd.jacobians`.

Note [Fast mode]
    For random u and v, v^T J u takes two evaluations of the function and one backward pass, however
    large J is. Two Jacobians that agree there by chance but differ are as good as impossible. If
    they do differ, whole Jacobians are computed for the report.

Source: https://docs.pytorch.org/docs/stable/gradcheck.html
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from retrograd import dtypes
from retrograd.autograd.api import grad
from retrograd.autograd.function import Function
from retrograd.autograd.jacobians import (
    Case,
    GradcheckError,
    Tensors,
    Tolerance,
    analytical_jacobians,
    as_tuple,
    backward_pass,
    derivative,
    differentiable,
    forward_derivative,
    forward_jacobians,
    numerical_jacobians,
    of_differentiable,
    real_type,
    row_units,
    tangent_along,
    within,
)
from retrograd.autograd.old_jacobians import (
    get_analytical_jacobian,
    get_numerical_jacobian,
    get_numerical_jacobian_wrt_specific_input,
)
from retrograd.levels import PLAIN, running
from retrograd.tensor import Tensor

__all__ = [
    "GradcheckError", "get_analytical_jacobian", "get_numerical_jacobian", "get_numerical_jacobian_wrt_specific_input",
    "gradcheck", "gradgradcheck",
]  # fmt: skip


# -- comparing -------------------------------------------------------------------------------------


def _close(one: Tensor, other: Tensor, rtol: float, atol: float) -> bool:
    from retrograd.ops.comparison import allclose

    common = dtypes.promote_types(one.dtype, other.dtype)
    return bool(allclose(one.to(common), other.to(common), rtol, atol))


def _mismatch(case: Case, analytical: Tensor, numerical: Tensor, output: int, input: int) -> str:
    prefix = ""
    if case.part is not None and (input if case.forward else output) in case.complex_places:
        element = "inputs" if case.forward else "outputs"
        prefix = f"While considering the {case.part} part of complex {element} only, "
    mode = "computed with forward mode " if case.forward else ""
    return (
        f"{prefix}Jacobian {mode}mismatch for output {output} with respect to input {input},\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )


def _check_slowly(case: Case) -> None:
    """Compare whole Jacobians."""
    numerical = [numerical_jacobians(case, place) for place in case.places]
    if not case.outputs:
        if any(bool((each != 0).any()) for found in numerical for each in found):
            raise GradcheckError("Numerical gradient for function expected to be zero")
        return
    numerical = [of_differentiable(case, found) for found in numerical]
    if case.forward:
        by_input = [of_differentiable(case, forward_jacobians(case, place)) for place in case.places]
        analytical = [list(each) for each in zip(*by_input, strict=True)]
    for i, output in enumerate(case.outputs):
        found = analytical[i] if case.forward else analytical_jacobians(case, output, row_units(output))
        for j, each in enumerate(found):
            if not _close(each, numerical[j][i], case.tolerance.rtol, case.tolerance.atol):
                raise GradcheckError(_mismatch(case, each, numerical[j][i], i, j))


def _check_fast(case: Case) -> None:
    """Compare v^T J u. See Note [Fast mode]."""
    draw = _Directions()
    directions = [(draw(point), draw(point)) for point in case.points]
    numerical = [
        of_differentiable(case, derivative(case, place, *direction))
        for place, direction in zip(case.places, directions, strict=True)
    ]
    if not case.outputs:
        _check_fast_zero(case, directions)
        return
    forward = [
        of_differentiable(case, forward_derivative(case, place, direction[0])) if case.forward else []
        for place, direction in zip(case.places, directions, strict=True)
    ]
    for i, output in enumerate(case.outputs):
        weight = draw(output)
        backward = [] if case.forward else analytical_jacobians(case, output, [weight.to(output.dtype)])
        for j, (point, direction) in enumerate(zip(case.points, directions, strict=True)):
            if case.forward:
                a, n = forward[j][i], numerical[j][i]
            else:
                a = _contracted(point, backward[j].reshape(point.shape), direction)
                n = (weight.reshape(-1) * numerical[j][i]).sum()
            _compare_fast(case, a, n, (i, j), direction, weight)


def _check_fast_zero(case: Case, directions: Sequence[tuple[Tensor, Tensor]]) -> None:
    for place, direction in zip(case.places, directions, strict=True):
        for each in derivative(case, place, *direction):
            if each.numel() and bool(each.abs().max() > case.tolerance.nondet):
                raise GradcheckError("Numerical gradient for function expected to be zero")


class _Directions:
    """Random tensors of length one, drawn without touching the user's generator."""

    def __init__(self) -> None:
        from retrograd.random import Generator

        self.generator = Generator()

    def __call__(self, like: Tensor) -> Tensor:
        from retrograd.ops.sampling import rand

        drawn = rand(like.shape, generator=self.generator, dtype=real_type(like), device=like.device)
        length = (drawn * drawn).sum().sqrt()
        return drawn / length if drawn.numel() else drawn


def _contracted(point: Tensor, gradient: Tensor, direction: tuple[Tensor, Tensor]) -> Tensor:
    if not point.is_complex():
        return (gradient * direction[0]).sum()
    return (gradient.real * direction[0]).sum() + (gradient.imag * direction[1]).sum() * 1j


def _compare_fast(
    case: Case, a: Tensor, n: Tensor, at: tuple[int, int], direction: tuple[Tensor, Tensor], weight: Tensor
) -> None:
    """The tolerance of one element becomes that of the weighted sum of all."""
    output, input = at
    scale = float(direction[0].sum())
    if case.points[input].is_complex():
        scale += float(direction[1].sum())
    if not case.forward:
        scale *= float(weight.sum())
    if not _close(a, n, case.tolerance.rtol, case.tolerance.atol * scale):
        raise GradcheckError(_mismatch(case, a, n, output, input) + _slow_report(case, output, input))


def _slow_report(case: Case, output: int, input: int) -> str:
    place = case.places[input]
    numerical = of_differentiable(case, numerical_jacobians(case, place))[output]
    if case.forward:
        analytical = of_differentiable(case, forward_jacobians(case, place))[output]
    else:
        lenient = replace(case, tolerance=replace(case.tolerance, nondet=float("inf"), dtypes=False))
        analytical = analytical_jacobians(lenient, case.outputs[output], row_units(case.outputs[output]))[input]
    largest = (numerical - analytical).abs().max()
    text = (
        "\nThe above quantities relating the numerical and analytical jacobians are computed \n"
        "in fast mode. See: https://github.com/pytorch/pytorch/issues/53876 for more background \n"
        "about fast mode. Below, we recompute numerical and analytical jacobians in slow mode:\n\n"
        f"Numerical:\n {numerical}\nAnalytical:\n{analytical}\n\n"
        f"The max per-element difference (slow mode) is: {largest}.\n"
    )
    if _close(analytical, numerical, case.tolerance.rtol, case.tolerance.atol):
        text += (
            "\nFast gradcheck failed but element-wise differences are small. This means that the test "
            "might've passed in slow_mode! Pass `fast_mode=False` to compare whole Jacobians."
        )
    return text


# -- the cases of a function -----------------------------------------------------------------------


def _backward_cases(case: Case) -> Iterator[Case]:
    if not any(isinstance(each, Tensor) and each.is_complex() for each in case.values):
        yield case
        return
    places = tuple(i for i, each in enumerate(case.outputs) if each.is_complex())
    for part, name in (("imag", "imaginary"), ("real", "real")):

        def restricted(*inputs: Any, part: str = part) -> tuple[Any, ...]:
            outputs = as_tuple(case.func(*inputs))
            return tuple(getattr(each, part) if each.is_complex() else each for each in outputs)

        yield replace(case, func=restricted, values=restricted(*case.inputs), part=name, complex_places=places)


def _forward_cases(case: Case) -> Iterator[Case]:
    case = replace(case, forward=True)
    places = tuple(i for i, each in enumerate(case.inputs) if isinstance(each, Tensor) and each.is_complex())
    if not places:
        yield case
        return
    for part, name in (("imag", "imaginary"), ("real", "real")):

        def restricted(*inputs: Any, part: str = part) -> tuple[Any, ...]:
            given = list(inputs)
            for i in places:
                whole = case.inputs[i]
                given[i] = whole.real + given[i] * 1j if part == "imag" else given[i] + whole.imag * 1j
            return as_tuple(case.func(*given))

        inputs = tuple(getattr(each, part) if i in places else each for i, each in enumerate(case.inputs))
        yield replace(
            case, func=restricted, inputs=inputs, values=restricted(*inputs), part=name, complex_places=places
        )


# -- further checks --------------------------------------------------------------------------------


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    found = False
    for i, each in enumerate(inputs):
        if not (isinstance(each, Tensor) and each.requires_grad):
            continue
        found = True
        if each.dtype not in (dtypes.float64, dtypes.complex128):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. "
                "This check will likely fail if all the inputs are not of double precision floating point "
                "or complex. ",
                stacklevel=4,
            )
        if any(stride == 0 and n > 1 for n, stride in zip(each.shape, each.stride(), strict=True)):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call "
                ".contiguous on the input before passing it to gradcheck."
            )
    if not found:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )


def _zeros_of(outputs: Sequence[Tensor]) -> list[Tensor]:
    from retrograd.ops.creation import zeros_like

    return [zeros_like(each).detach() for each in outputs]


def _check_multiplied_by_grad_output(case: Case, masked: bool | None) -> None:
    """Zero gradients of the outputs must give zero gradients of the inputs."""
    outputs = case.outputs
    if not outputs:
        return
    grads = grad(outputs, case.points, _zeros_of(outputs), retain_graph=True, allow_unused=True)
    for found, point in zip(grads, case.points, strict=True):
        if found is None:
            continue
        zero = within(found, found * 0, 1e-8) if masked else bool((found == 0).all())
        if not zero:
            raise GradcheckError("backward not multiplied by grad_output")
        for what, a, b in (
            ("type", found.dtype, point.dtype),
            ("device", found.device, point.device),
            ("size", found.shape, point.shape),
        ):  # fmt: skip
            if a != b:
                raise GradcheckError(f"grad is incorrect {what}")


class _WithoutGradient(Function):
    """Gives its input; the gradient that goes back through it is undefined."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> None:
        return None


_FEATURE_WARNING = (
    "Backwards compatibility: New undefined gradient support checking feature is enabled by default, but it "
    "may break existing callers of this function. If this is true for you, you can call this function with "
    '"check_undefined_grad=False" to disable the feature'
)


def _check_undefined(case: Case) -> None:
    """Backward must take undefined gradients of outputs for zeros: of all of them, and of each one."""
    count = len(case.outputs)
    for undefined in [range(count), *([i] for i in range(count if count > 1 else 0))]:
        outputs = differentiable(case.func(*case.inputs))
        given = [_WithoutGradient.apply(each) if i in undefined else each for i, each in enumerate(outputs)]
        if given:
            _check_undefined_gradients(case, given)


def _check_undefined_gradients(case: Case, outputs: list[Tensor]) -> None:
    notes = 'Please look at "Notes about undefined output gradients" in "tools/autograd/derivatives.yaml"'
    try:
        grads = grad(outputs, case.points, _zeros_of(outputs), allow_unused=True)
    except RuntimeError as error:
        warnings.warn(_FEATURE_WARNING, stacklevel=2)
        raise GradcheckError(f"Expected backward function to handle undefined output grads. {notes}") from error
    if any(found is not None and not bool((found == 0).all()) for found in grads):
        warnings.warn(_FEATURE_WARNING, stacklevel=2)
        raise GradcheckError(
            "Expected all input grads to be undefined or zero when all output grads are undefined or zero. " + notes
        )


def _check_batched(case: Case) -> None:
    """A pass with `is_grads_batched` gives the same as one pass for each gradient."""
    for i, output in enumerate(case.outputs):
        weights = [_random_like(output) for _ in range(2)]
        _compare_batched(i, *_batched_and_single(case, output, weights))


def _batched_and_single(case: Case, output: Tensor, weights: list[Tensor]) -> tuple[list[Any], list[Any]]:
    from retrograd.ops.arrange import stack

    rows = [backward_pass(case, output, each) for each in weights]
    single = [None if column[0] is None else stack(list(column)) for column in zip(*rows, strict=True)]
    try:
        batched = grad(output, case.points, stack(weights), retain_graph=True, allow_unused=True, is_grads_batched=True)
    except RuntimeError as error:
        raise GradcheckError(f"While computing batched gradients, got: {error}\n\n{_BATCHED_HINT}") from error
    return list(batched), single


_BATCHED_HINT = (
    "gradcheck or gradgradcheck failed while testing batched gradient computation, which runs the backward "
    "pass under vmap. Pass `check_batched_grad=False` to leave this out."
)


def _compare_batched(output: int, batched: list[Any], single: list[Any], hint: str = _BATCHED_HINT) -> None:
    for i, (found, expected) in enumerate(zip(batched, single, strict=True)):
        if found is None and expected is None:
            continue
        if found is None or expected is None or not _close(found, expected, 1e-5, 1e-8):
            raise GradcheckError(
                f"For output {output} and input {i}:\n\n{hint}\n\nGot:\n{found}\n\nExpected:\n{expected}"
            )


_BATCHED_FORWARD_HINT = (
    "gradcheck failed while testing batched gradient computation with forward-mode AD. Pass "
    "`check_batched_forward_grad=False` to leave this out."
)


def _check_batched_forward(case: Case) -> None:
    """A batch of tangents through forward mode gives the same as one evaluation for each."""
    from retrograd.func import vmap
    from retrograd.ops.arrange import stack

    for place in case.places:

        def push(tangent: Tensor, place: int = place) -> tuple[Tensor, ...]:
            return tuple(tangent_along(case, {place: tangent}))

        def push_at_level(tangent: Tensor, push: Callable[[Tensor], Any] = push) -> Any:
            with running(PLAIN):
                return push(tangent)

        tangents = [_random_like(case.inputs[place]) for _ in range(2)]
        single = [stack(list(column)) for column in zip(*(push(each) for each in tangents), strict=True)]
        try:
            batched = vmap(push_at_level)(stack(tangents))
        except RuntimeError as error:
            text = f"While computing batched gradients, got: {error}\n\n{_BATCHED_FORWARD_HINT}"
            raise GradcheckError(text) from error
        _compare_batched(place, list(batched), single, _BATCHED_FORWARD_HINT)


def _check_undefined_forward(case: Case) -> None:
    """Forward mode must give the same for an input without a tangent as for one whose tangent is zero."""
    from retrograd.ops.creation import zeros_like

    given = {place: _random_like(case.inputs[place]) for place in case.places}
    for place in case.places:
        zero = tangent_along(case, given | {place: zeros_like(case.inputs[place]).detach()})
        none = tangent_along(case, {other: each for other, each in given.items() if other != place})
        for number, (one, other) in enumerate(zip(zero, none, strict=True)):
            if not _close(one, other, 1e-5, 1e-8):
                raise GradcheckError(
                    "Mismatch in tangent values for output with index: ", number, " when input: ", case.inputs[place],
                    " has an undefined tangent value. ", " Got: ", one, " but expected: ", other,
                )  # fmt: skip


def _random_like(tensor: Tensor) -> Tensor:
    """Between -1 and 1, without touching the user's generator."""
    from retrograd.ops.sampling import rand
    from retrograd.random import Generator

    generator = Generator().manual_seed(tensor.numel())
    shape = tensor.shape
    where: dict[str, Any] = {"dtype": real_type(tensor), "device": tensor.device}
    made: Tensor = rand(shape, generator=generator, **where) * 2 - 1
    if tensor.is_complex():
        made = made + (rand(shape, generator=generator, **where) * 2 - 1) * 1j
    return made


# -- what users call -------------------------------------------------------------------------------


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of `func` with numerical ones, for each input that requires a gradient.

    Parameters
    ----------
    func
        Takes tensors and returns a tensor or a tuple of them.
    inputs
        A tensor or a tuple of them; of double precision, or the differences say little.
    eps
        How far to step from the input: the reference is (f(x + eps) - f(x - eps)) / (2 eps).
    atol, rtol
        The gradients must fulfil |analytical - numerical| <= atol + rtol |numerical|.
    raise_exception
        Raise if the check fails, instead of returning False.
    nondet_tol
        How much two backward passes on the same input may differ.
    check_undefined_grad
        Also check that undefined gradients of outputs are taken for zeros.
    check_grad_dtypes
        Also check that gradients have the types of their inputs.
    check_batched_grad, check_batched_forward_grad
        Also check gradients for a batch of gradients of the outputs (or tangents of the inputs).
    check_forward_ad, check_backward_ad
        Which kinds of differentiation to check.
    fast_mode
        Compare products with random vectors instead of whole Jacobians.
    masked
        Of sparse inputs: whether derivatives by elements that they do not store are left out.

    Returns
    -------
    bool
        Whether all agree.

    Raises
    ------
    GradcheckError
        If the check fails; its text shows both Jacobians.
    ValueError
        If no input requires a gradient.
    RuntimeError
        If an input overlaps itself in memory.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1.0, 2.0], dtype=retrograd.float64, requires_grad=True)
    >>> retrograd.autograd.gradcheck(lambda x: x.exp() * x, x)
    True
    """
    for wanted, needed, names in (
        (check_batched_grad, check_backward_ad, ("check_batched_grad", "check_backward_ad")),
        (check_batched_forward_grad, check_forward_ad, ("check_batched_forward_grad", "check_forward_ad")),
    ):
        if not (check_forward_ad or check_backward_ad):
            raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
        if wanted and not needed:
            raise AssertionError(f"Setting {names[0]}=True requires {names[1]} to be True")
    given = as_tuple(inputs)
    if any(isinstance(each, Tensor) and each._kernels.sparse for each in given):
        from retrograd.sparse.checking import on_dense

        func, given = on_dense(func, given, bool(masked))
    _check_inputs(given)
    tolerance = Tolerance(eps, atol, rtol, nondet_tol, check_grad_dtypes)
    case = Case(func, given, as_tuple(func(*given)), tolerance)
    if any(isinstance(each, Tensor) and each._kernels.sparse for each in case.values):
        raise ValueError(
            "Sparse output is not supported at gradcheck yet. Please call to_dense(masked_grad=...) on the output of "
            "fn for gradcheck."
        )
    compare = _check_fast if fast_mode else _check_slowly
    try:
        for each in _backward_cases(case) if check_backward_ad else ():
            compare(each)
        for each in _forward_cases(case) if check_forward_ad else ():
            compare(each)
            if check_undefined_grad:
                _check_undefined_forward(each)
        if check_batched_forward_grad:
            _check_batched_forward(case)
        if check_backward_ad:
            if check_batched_grad:
                _check_batched(case)
            _check_multiplied_by_grad_output(case, masked)
            if check_undefined_grad:
                _check_undefined(case)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Compare second derivatives with numerical ones: `gradcheck` of the gradients of `func`.

    Parameters
    ----------
    grad_outputs
        The gradients of the outputs at which to check; random ones by default. Those that require a
        gradient are differentiated by as well.
    gen_non_contig_grad_outputs
        Make the random ones non-contiguous in memory.
    check_fwd_over_rev, check_rev_over_rev
        How to differentiate the gradients: in forward mode, or by another backward pass.
    func, inputs, eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes, \
check_batched_grad, fast_mode, masked
        As in `gradcheck`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradgradcheck.html

    Examples
    --------
    >>> import retrograd
    >>> x = retrograd.tensor([1.0, 2.0], dtype=retrograd.float64, requires_grad=True)
    >>> retrograd.autograd.gradgradcheck(lambda x: x.exp() * x, x)
    True
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    for name, on in (
        ("check_undefined_grad", check_undefined_grad),
        ("check_batched_grad", check_batched_grad),
    ):
        if on and not check_rev_over_rev:
            raise AssertionError(f"Setting {name}=True requires check_rev_over_rev to be True")
    given = as_tuple(inputs)
    if grad_outputs is None:
        weights = tuple(_weight_for(each, gen_non_contig_grad_outputs) for each in differentiable(func(*given)))
    else:
        weights = as_tuple(grad_outputs)
    return gradcheck(
        _Gradients(func, given, weights), given + weights, eps=eps, atol=atol, rtol=rtol,
        raise_exception=raise_exception, nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad, fast_mode=fast_mode,
        check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev, masked=masked,
    )  # fmt: skip


def _weight_for(output: Tensor, non_contiguous: bool) -> Tensor:
    made = _random_like(output)
    if non_contiguous and made.numel() > 1:
        from retrograd.ops.arrange import stack

        made = stack([made, made], -1)[..., 0]
    return made.detach().requires_grad_()


class _Gradients:
    """The gradients of a function as a function of its inputs and of the gradients of its outputs."""

    def __init__(self, func: Callable[..., Any], inputs: tuple[Any, ...], weights: Tensors) -> None:
        self.func = func
        self.count = len(inputs)
        self.differentiable = [isinstance(each, Tensor) and each.requires_grad for each in (*inputs, *weights)]

    def __call__(self, *args: Any) -> Tensors:
        # Forward mode passes tensors that require no gradient any more; the inner pass needs it.
        args = tuple(each.requires_grad_() if on else each for each, on in zip(args, self.differentiable, strict=True))
        inputs, weights = args[: self.count], args[self.count :]
        sources = [each for each, on in zip(inputs, self.differentiable, strict=False) if on]
        grads = grad(differentiable(self.func(*inputs)), sources, weights, create_graph=True, allow_unused=True)
        return tuple(each for each in grads if each is not None)


class _CallableModule(ModuleType):
    """`autograd.gradcheck` is a module and a function at once, whichever of the two was imported first."""

    def __call__(self, *args: Any, **kwargs: Any) -> bool:
        return gradcheck(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
