"""Jacobians and Hessians of functions, and products with them.

Each function here calls the user's function on fresh tensors, so that a derivative by an argument
is never mixed up with one by the same tensor captured in a closure, and then asks `grad` for what
it needs, or forward mode for products from the right. Where that will not do (`hvp`, `strict`, custom
Functions without a `jvp`), these come from the double-backward trick: u -> J^T u is linear, so its own
vector-Jacobian product with v is J v, whatever u is.

Source: https://docs.pytorch.org/docs/stable/autograd.html#functional-higher-level-api
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from retrograd.autograd.api import grad
from retrograd.autograd.forward_ad import dual_at
from retrograd.autograd.modes import enable_grad
from retrograd.autograd.tangents import Level, entered, take_tangent
from retrograd.levels import Derivative, running
from retrograd.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = tuple[Tensor, ...]
Function = Callable[..., Any]


# -- what goes in and out ----------------------------------------------------------------------


_OUTPUTS = "outputs of the user-provided function"


def _tupled(value: Any, what: str, name: str | None) -> tuple[bool, Tensors]:
    """Whether `value` was a tuple, and it as one."""
    given = isinstance(value, tuple)
    values = value if given else (value,)
    for i, each in enumerate(values):
        if not isinstance(each, Tensor):
            place = f"value at index {i}" if given else f"given {what}"
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the {place} "
                f"has type {type(each)}."
            )
    return given, values


def _fresh(tensors: Tensors, create_graph: bool, need_graph: bool) -> Tensors:
    """New tensors of the same values; with `create_graph`, linked to those that require a gradient."""
    return tuple(
        each.view_as(each) if create_graph and each.requires_grad else each.detach().requires_grad_(need_graph)
        for each in tensors
    )


def _finished(value: Any, create_graph: bool) -> Any:
    """Nested results as the user gets them: without history that was not asked for."""
    if create_graph:
        return value
    if isinstance(value, Tensor):
        return value.detach()
    return tuple(_finished(each, create_graph) for each in value)


def _unwrapped(values: Any, was_tuple: bool) -> Any:
    return values if was_tuple else values[0]


def _unwrapped_twice(rows: Sequence[Sequence[Any]], outer_was_tuple: bool, inner_was_tuple: bool) -> Any:
    return _unwrapped(tuple(_unwrapped(tuple(row), inner_was_tuple) for row in rows), outer_was_tuple)


def _vector(v: Any, like: Tensors, was_tuple: bool, name: str, create_graph: bool) -> Tensors | None:
    """The vector of a product, checked against what it is multiplied with."""
    if v is None:
        if len(like) == 1 and like[0].numel() == 1:
            return None
        whose = "user-provided function returns" if name == "vjp" else "input to the user-provided function is"
        raise RuntimeError(f"The vector v can only be None if the {whose} a single Tensor with a single element.")
    values = _fresh(_tupled(v, "v", name)[1], create_graph, need_graph=False)
    if len(values) != len(like):
        if not was_tuple:
            raise RuntimeError("The given v should contain a single Tensor.")
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(values)}.")
    for i, (value, other) in enumerate(zip(values, like, strict=True)):
        if value.shape != other.shape:
            where = f"Entry {i} in " if was_tuple else ""
            raise RuntimeError(f"{where}v has invalid size: should be {other.shape} but got {value.shape}.")
    return values


# -- what `strict` forbids -----------------------------------------------------------------------

_INDEPENDENT = {
    "outputs": (
        "Output {i} of the user-provided function does not require gradients. The outputs must be computed "
        "in a differentiable manner from the input when running in strict mode."
    ),
    "grad_inputs": (
        "The gradient with respect to input {i} is independent of the inputs of the user-provided function. "
        "This is not allowed in strict mode."
    ),
    "jacobian": (
        "While computing the hessian, found that the jacobian of the user-provided function with respect to "
        "input {i} is independent of the input. This is not allowed in strict mode. You should ensure that "
        "your function is twice differentiable and that the jacobian depends on the inputs (this would be "
        "violated by a linear function for example)."
    ),
    "hessian": (
        "The hessian of the user-provided function with respect to input {i} is independent of the input. "
        "This is not allowed in strict mode. You should ensure that your function is thrice differentiable "
        "and that the hessian depends on the inputs."
    ),
}

_MISSING = {
    "back": (
        "The output of the user-provided function is independent of input {i}. This is not allowed in strict mode."
    ),
    "back_trick": (
        "The gradient with respect to the input is independent of entry {i} in the grad_outputs when using "
        "the double backward trick to compute forward mode gradients. This is not allowed in strict mode."
    ),
    "double_back": (
        "The jacobian of the user-provided function is independent of input {i}. This is not allowed in strict mode."
    ),
    "double_back_trick": (
        "The hessian of the user-provided function is independent of entry {i} in the grad_jacobian. This is "
        "not allowed in strict mode as it prevents from using the double backward trick to replace forward "
        "mode AD."
    ),
}


def _require_history(tensors: Sequence[Tensor | None], kind: str, strict: bool) -> None:
    for i, each in enumerate(tensors if strict else ()):
        if each is None:
            raise RuntimeError(_MISSING["back"].format(i=i))
        if not each.requires_grad:
            raise RuntimeError(_INDEPENDENT[kind].format(i=i))


def _complete(grads: Sequence[Tensor | None], like: Tensors, strict: bool, create_graph: bool, stage: str) -> Tensors:
    """Gradients with zeros for those that are missing, or an error in strict mode."""
    for i, each in enumerate(grads if strict else ()):
        if each is None:
            raise RuntimeError(_MISSING[stage].format(i=i))
        if create_graph and not each.requires_grad:
            what = "hessian" if "double" in stage else "jacobian"
            raise RuntimeError(
                f"The {what} of the user-provided function is independent of input {i}. This is not allowed "
                "in strict mode when create_graph=True."
            )
    return tuple(_zeros_like(other) if each is None else each for each, other in zip(grads, like, strict=True))


# -- gradients of what has some ------------------------------------------------------------------


def _grads(
    outputs: Sequence[Tensor | None], inputs: Tensors, grad_outputs: Any = None, **options: Any
) -> tuple[Tensor | None, ...]:
    """As `grad`, for outputs some of which may be missing or require no gradient."""
    given = (None,) * len(outputs) if grad_outputs is None else grad_outputs
    pairs = [(out, each) for out, each in zip(outputs, given, strict=True) if out is not None and out.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    differentiable, weights = zip(*pairs, strict=True)
    result: tuple[Tensor | None, ...] = grad(differentiable, inputs, weights, allow_unused=True, **options)
    return result


def _differentiable(vector: Tensor, like: Tensor) -> Tensor:
    """A vector of integers as one of numbers that have derivatives."""
    made: Tensor = vector if vector.dtype.is_differentiable else vector.to(like.dtype)
    return made


def _ones_like(tensor: Tensor) -> Tensor:
    from retrograd.ops.factories import ones_like

    return ones_like(tensor)


def _zeros_like(tensor: Tensor, requires_grad: bool = False) -> Tensor:
    from retrograd.ops.creation import zeros_like

    made: Tensor = zeros_like(tensor)
    return made.requires_grad_() if requires_grad else made


def _transposed_product(outputs: Tensors, inputs: Tensors, strict: bool) -> tuple[Any, Tensors]:
    """J^T u as a function of u that is recorded, and u. See the module's text."""
    u = tuple(_zeros_like(each, requires_grad=True) for each in outputs)
    product = _grads(outputs, inputs, u, create_graph=True)
    _require_history(product, "grad_inputs", strict)
    return product, u


def _call(func: Function, inputs: Tensors, name: str, strict: bool) -> tuple[bool, Tensors]:
    was_tuple, outputs = _tupled(func(*inputs), _OUTPUTS, name)
    _require_history(outputs, "outputs", strict)
    return was_tuple, outputs


def _call_scalar(func: Function, inputs: Tensors, name: str, strict: bool) -> Tensors:
    was_tuple, outputs = _call(func, inputs, name, strict)
    if was_tuple:
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if outputs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
    return outputs


# -- products ------------------------------------------------------------------------------------


def vjp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value of `func` and the product v^T J of a vector with its Jacobian.

    Parameters
    ----------
    func
        Takes tensors and returns a tensor or a tuple of them.
    inputs
        A tensor or a tuple of them: where to take the Jacobian.
    v
        Of the form and shapes of the outputs. May be left out for an output of one element.
    create_graph
        Record both, so that they can be differentiated.
    strict
        Raise where an output does not depend on an input, instead of giving zeros.

    Returns
    -------
    The outputs, and the product in the form of `inputs`.

    Raises
    ------
    TypeError
        If an input or output is no tensor.
    RuntimeError
        If `v` does not fit, or as `strict` says.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.vjp.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.autograd.functional import vjp
    >>> vjp(lambda x: x * x, retrograd.tensor([1.0, 2.0]), retrograd.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        was_tuple, points = _tupled(inputs, "inputs", "vjp")
        points = _fresh(points, create_graph, need_graph=True)
        out_was_tuple, outputs = _call(func, points, "vjp", strict)
        vector = _vector(v, outputs, out_was_tuple, "vjp", create_graph)
    grads = _grads(outputs, points, vector, create_graph=create_graph)
    product = _complete(grads, points, strict, create_graph, "back")
    return _pair(outputs, out_was_tuple, product, was_tuple, create_graph)


def _pair(outputs: Tensors, out_was_tuple: bool, product: Tensors, was_tuple: bool, create_graph: bool) -> Any:
    return (
        _unwrapped(_finished(outputs, create_graph), out_was_tuple),
        _unwrapped(_finished(product, create_graph), was_tuple),
    )


def jvp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value of `func` and the product J v of its Jacobian with a vector.

    It is computed in forward mode. With `strict`, and where `func` calls a custom Function without a `jvp`,
    it takes two backward passes instead.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.
    v
        Of the form and shapes of the inputs. May be left out for an input of one element.

    Returns
    -------
    The outputs, and the product in the form of the outputs.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.jvp.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.autograd.functional import jvp
    >>> jvp(lambda x: x.prod(), retrograd.tensor([3.0, 2.0]), retrograd.tensor([1.0, 10.0]))
    (tensor(6.), tensor(32.))
    """
    with enable_grad():
        was_tuple, points = _tupled(inputs, "inputs", "jvp")
        points = _fresh(points, create_graph, need_graph=True)
        vector = _vector(v, points, was_tuple, "jvp", create_graph)
        if not strict:
            try:
                out_was_tuple, outputs, product = _pushed(func, points, vector, "jvp")
                return _pair(outputs, out_was_tuple, product, out_was_tuple, create_graph)
            except NotImplementedError:  # a custom Function has no jvp
                pass
        out_was_tuple, outputs = _call(func, points, "jvp", strict)
        transposed, u = _transposed_product(outputs, points, strict)
    grads = _grads(transposed, u, vector, create_graph=create_graph)
    product = _complete(grads, outputs, strict, create_graph, "back_trick")
    return _pair(outputs, out_was_tuple, product, out_was_tuple, create_graph)


def _pushed(func: Function, points: Tensors, vector: Tensors | None, name: str | None) -> tuple[bool, Tensors, Tensors]:
    """What `func` returns and its derivative along `vector`, by default ones, in forward mode."""
    level = Level()
    tangents = tuple(map(_ones_like, points)) if vector is None else vector
    with entered(level):
        duals = [
            dual_at(level, point, _differentiable(tangent, point))
            for point, tangent in zip(points, tangents, strict=True)
        ]
        what = "outputs" if name is None else _OUTPUTS
        out_was_tuple, outputs = _tupled(func(*duals), what, name)
    taken = {id(each): take_tangent(each, level) for each in {id(each): each for each in outputs}.values()}
    pushed = [taken[id(each)] for each in outputs]  # one that is returned twice has its tangent twice
    level.end()
    product = tuple(_zeros_like(output) if each is None else each for each, output in zip(pushed, outputs, strict=True))
    return out_was_tuple, outputs, product


def vhp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value of `func`, which is one number, and the product v^T H of a vector with its Hessian.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.
    v
        Of the form and shapes of the inputs. May be left out for an input of one element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.vhp.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.autograd.functional import vhp
    >>> vhp(lambda x: x.pow(3).sum(), retrograd.tensor([1.0, 2.0]), retrograd.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        was_tuple, points = _tupled(inputs, "inputs", "vhp")
        points = _fresh(points, create_graph, need_graph=True)
        vector = _vector(v, points, was_tuple, "vhp", create_graph)
        outputs = _call_scalar(func, points, "vhp", strict)
        gradient = _grads(outputs, points, create_graph=True)
        _require_history(gradient, "jacobian", strict)
    grads = _grads(gradient, points, vector, create_graph=create_graph)
    product = _complete(grads, points, strict, create_graph, "double_back")
    return _pair(outputs, False, product, was_tuple, create_graph)


def hvp(func: Function, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The value of `func`, which is one number, and the product H v of its Hessian with a vector.

    It takes one pass more than `vhp`, which gives the same for every twice continuously
    differentiable function, since its Hessian is symmetric.

    Parameters
    ----------
    func, inputs, v, create_graph, strict
        As in `vhp`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.hvp.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.autograd.functional import hvp
    >>> hvp(lambda x: x.pow(3).sum(), retrograd.tensor([1.0, 2.0]), retrograd.ones(2))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        was_tuple, points = _tupled(inputs, "inputs", "hvp")
        points = _fresh(points, create_graph, need_graph=True)
        vector = _vector(v, points, was_tuple, "hvp", create_graph)
        outputs = _call_scalar(func, points, "hvp", strict)
        gradient = _grads(outputs, points, create_graph=True)
        _require_history(gradient, "jacobian", strict)
        u = tuple(_zeros_like(each, requires_grad=True) for each in points)
        transposed = _grads(gradient, points, u, create_graph=True)
        _require_history(gradient, "hessian", strict)
    grads = _grads(transposed, u, vector, create_graph=create_graph)
    product = _complete(grads, points, strict, create_graph, "double_back_trick")
    return _pair(outputs, False, product, was_tuple, create_graph)


# -- whole matrices --------------------------------------------------------------------------------


def jacobian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of `func`.

    Parameters
    ----------
    func, inputs, create_graph, strict
        As in `vjp`.
    vectorize
        Compute all rows (or columns) in one call of `grad` with `is_grads_batched`.
    strategy
        `"reverse-mode"`: a row for each element of the outputs. `"forward-mode"`: a column for each
        element of the inputs; needs `vectorize`.

    Returns
    -------
    A tensor of the output's shape followed by the input's; a tuple of them where outputs or inputs
    are a tuple, and a tuple of tuples, by outputs first, where both are.

    Raises
    ------
    RuntimeError, NotImplementedError
        As `vjp`, and for combinations that PyTorch does not have.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.jacobian.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.autograd.functional import jacobian
    >>> jacobian(lambda x: x * x, retrograd.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function '
            'has more outputs than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to '
            'use "reverse-mode".'
        )
    if strategy == "forward-mode":
        _refuse_in_forward_mode(create_graph, strict)
        return _by_columns(func, inputs, vectorize)
    with enable_grad():
        was_tuple, points = _tupled(inputs, "inputs", "jacobian")
        points = _fresh(points, create_graph, need_graph=True)
        out_was_tuple, outputs = _call(func, points, "jacobian", strict)
        if vectorize and strict:
            raise RuntimeError(
                "retrograd.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not "
                "supported together. Please either set `strict=False` or `vectorize=False`."
            )
        elif vectorize:
            rows = _by_all_rows(outputs, points, create_graph)
        else:
            rows = tuple(_by_rows(i, each, points, create_graph, strict) for i, each in enumerate(outputs))
    return _unwrapped_twice(_finished(rows, create_graph), out_was_tuple, was_tuple)


def _refuse_in_forward_mode(create_graph: bool, strict: bool) -> None:
    for name, on in (("create_graph", create_graph), ("strict", strict)):
        if on:
            error = NotImplementedError if name == "create_graph" else RuntimeError
            raise error(
                f'retrograd.autograd.functional.jacobian: `{name}=True` and `strategy="forward-mode"` are '
                f"not supported together (yet). Please either set `{name}=False` or "
                '`strategy="reverse-mode"`.'
            )


def _by_rows(i: int, output: Tensor, inputs: Tensors, create_graph: bool, strict: bool) -> Tensors:
    """The Jacobian of output `i` by each input: one backward pass for each of its elements."""
    from retrograd.ops.arrange import stack

    rows: list[list[Tensor]] = [[] for _ in inputs]
    flat = output.reshape(-1)
    for j in range(output.numel()):
        grads = _grads((flat[j],), inputs, retain_graph=True, create_graph=create_graph)
        for n, (found, point) in enumerate(zip(grads, inputs, strict=True)):
            if strict:
                _refuse_row(found, i, n, create_graph)
            rows[n].append(_zeros_like(point) if found is None else found)
    return tuple(stack(each).reshape((*output.shape, *point.shape)) for each, point in zip(rows, inputs, strict=True))


def _refuse_row(found: Tensor | None, output: int, input: int, create_graph: bool) -> None:
    if found is None:
        raise RuntimeError(
            f"Output {output} of the user-provided function is independent of input {input}. This is not "
            "allowed in strict mode."
        )
    if create_graph and not found.requires_grad:
        raise RuntimeError(
            f"The jacobian of the user-provided function is independent of input {output}. This is not "
            "allowed in strict mode when create_graph=True."
        )


def standard_basis(tensors: Tensors) -> Tensors:
    """The unit vectors of the space that all elements of `tensors` span, cut into a part for each tensor."""
    from retrograd.ops.creation import eye

    sizes = [each.numel() for each in tensors]
    ends = list(accumulate(sizes))
    return tuple(
        eye(ends[-1], dtype=each.dtype, device=each.device)[:, end - n : end].reshape((ends[-1], *each.shape))
        for each, n, end in zip(tensors, sizes, ends, strict=True)
    )


def _construct_standard_basis_for(tensors: Tensors, tensor_numels: tuple[int, ...]) -> Tensors:
    """`standard_basis` as PyTorch has it: a vector in each row, of tensors of these numbers of elements."""
    if (count := len(tensors)) != (sizes := len(tensor_numels)):
        raise AssertionError(f"Expected tensors and tensor_numels to have the same length, but got {count} and {sizes}")
    if not tensors:
        raise AssertionError("Expected at least one tensor")
    return tuple(part.reshape(-1, n) for part, n in zip(standard_basis(tensors), tensor_numels, strict=True))


def _all_at_once(outputs: Any, inputs: Tensors, weights: Tensors, create_graph: bool = False) -> list[Tensor]:
    """For each input, the stacked gradients for all weights."""
    grads = _grads(outputs, inputs, weights, is_grads_batched=True, create_graph=create_graph)
    count = weights[0].shape[0]
    return [
        _zeros_like(point).expand((count, *point.shape)) if found is None else found
        for found, point in zip(grads, inputs, strict=True)
    ]


def _by_all_rows(outputs: Tensors, inputs: Tensors, create_graph: bool) -> tuple[Tensors, ...]:
    sizes = [each.numel() for each in outputs]
    found = _all_at_once(outputs, inputs, standard_basis(outputs), create_graph)
    blocks = [
        [
            part.reshape((*output.shape, *point.shape))
            for part, output in zip(each.split(sizes, 0), outputs, strict=True)
        ]
        for each, point in zip(found, inputs, strict=True)
    ]
    return tuple(zip(*blocks, strict=True))


def _by_columns(func: Function, inputs: Any, vectorize: bool) -> Any:
    """J e for every unit vector e, all in one evaluation of `func` in forward mode, under `vmap`.

    Where the inputs are a tuple, what comes back is lists, as in PyTorch.
    """
    from retrograd.func.vmap import vmap

    was_tuple, points = _tupled(inputs, "inputs", "jacobian")
    if not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian is"
            "only implemented for `vectorize=True`."
        )
    out_was_tuple = False

    def push(*tangents: Tensor) -> Tensors:
        nonlocal out_was_tuple
        # What `func` makes is known by that, and brought to the level of the tangents that are written to it.
        with running(Derivative("jvp", points, refuses=False)):
            out_was_tuple, _, product = _pushed(func, points, tangents, None)
        return product

    sizes = [each.numel() for each in points]
    rows = [
        [
            part.movedim(0, -1).reshape((*part.shape[1:], *point.shape))
            for part, point in zip(columns.split(sizes, 0), points, strict=True)
        ]
        for columns in vmap(push)(*standard_basis(points))
    ]
    if not was_tuple and out_was_tuple:
        return tuple(row[0] for row in rows)
    return _unwrapped([_unwrapped(row, was_tuple) for row in rows], out_was_tuple)


def hessian(
    func: Function,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of `func`, which is one number: the Jacobian of its gradient.

    Parameters
    ----------
    func, inputs, create_graph, strict, vectorize
        As in `jacobian`.
    outer_jacobian_strategy
        How the Jacobian of the gradient is computed; see `jacobian`.

    Returns
    -------
    A tensor of the input's shape twice; a tuple of tuples if `inputs` is a tuple.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.functional.hessian.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.autograd.functional import hessian
    >>> hessian(lambda x: x.pow(3).sum(), retrograd.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    was_tuple, points = _tupled(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def scalar(*values: Tensor) -> Tensor:
        return _call_scalar(func, values, "hessian", strict)[0].reshape(())

    def gradient(*values: Tensor) -> Any:
        if outer_jacobian_strategy == "forward-mode":  # so that fresh tensors are linked to them, not detached
            values = tuple(each._set_requires_grad() for each in values)
        found = jacobian(scalar, values, create_graph=True)
        _require_history(found, "jacobian", strict)
        return found

    if outer_jacobian_strategy == "forward-mode":  # the result has a graph in PyTorch, too
        points = tuple(each if each.requires_grad else each.detach()._set_requires_grad() for each in points)
    result = jacobian(gradient, points, create_graph, strict, vectorize, outer_jacobian_strategy)
    return result if was_tuple else result[0][0]
