"""`grad`, `vjp`, `jvp` and what is made of them: derivatives as functions of functions.

Source: https://docs.pytorch.org/docs/stable/func.api.html

Note [Levels]
    A transform gives its function fresh aliases of the arguments, connected to the caller's graph,
    and differentiates by those alone. So transforms nest: an outer one sees what the inner one
    computed as ordinary recorded operators.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.api import grad as _autograd_grad
from retrograd.autograd.modes import enable_grad
from retrograd.autograd.node import AccumulateGrad
from retrograd.func.pytree import tree_flatten, tree_map, tree_unflatten
from retrograd.func.vmap import vmap
from retrograd.ops.shape import alias_of
from retrograd.tensor import Tensor, wrap_array

__all__ = ["grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp"]

Argnums = int | tuple[int, ...]


def _fresh(tensor: Any) -> Any:
    """An alias to differentiate by: connected to the caller's graph if that wants gradients."""
    if not isinstance(tensor, Tensor):
        return tensor
    alias = alias_of(tensor) if tensor._edge is not None else tensor.detach()
    return alias if alias._edge is not None else alias.requires_grad_()


def _edges_of(tensor: Tensor) -> list[Any]:
    """Where a result comes from, at its own level and, inside `vmap`, at those below."""
    edges = [] if tensor._edge is None else [tensor._edge]
    return edges + _edges_of(tensor._array.value) if tensor._k.level else edges


def _is_constant(results: Sequence[Tensor], own: Sequence[Tensor]) -> bool:
    """Whether the results depend on nothing that requires a gradient but the transform's own aliases."""
    mine = {edge[0] for each in own if each.is_leaf for edge in _edges_of(each)}
    seen = {edge[0] for each in results for edge in _edges_of(each)}
    stack = list(seen)
    while stack:
        node = stack.pop()
        if type(node) is AccumulateGrad and node not in mine:
            return False
        for edge in node.edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return True


def _cut(tensor: Tensor) -> Tensor:
    """The tensor outside of every graph."""
    if not tensor._k.level:
        return tensor.detach() if tensor._edge is not None else tensor
    array = tensor._array
    return wrap_array(type(array)(_cut(array.value), array.mapped, array.table), tensor._k)


def _close(results: list[Any], own: Sequence[Tensor]) -> list[Any]:
    """Cut results off the transform's own graph when nobody outside needs it."""
    if _is_constant([each for each in results if isinstance(each, Tensor)], own):
        return [_cut(each) if isinstance(each, Tensor) else each for each in results]
    return results


def _select(args: tuple[Any, ...], argnums: Argnums) -> tuple[Any, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise RuntimeError(f"Got argnum={number}, but only {len(args)} positional inputs")
    return tuple(args[number] for number in numbers)


def _replace(args: tuple[Any, ...], argnums: Argnums, values: tuple[Any, ...]) -> tuple[Any, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    replaced = list(args)
    for number, value in zip(numbers, values, strict=True):
        replaced[number] = value
    return tuple(replaced)


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `func` and its value.

    Parameters
    ----------
    func
        Returns a tensor of one element; with `has_aux`, a pair of it and anything else.
    argnums
        Which argument, or tuple of arguments, to differentiate by; each may be a tree of tensors.
    has_aux
        Then the value is returned as a pair with the second result of `func`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.grad_and_value.html
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            chosen = tree_map(_fresh, _select(args, argnums))
            output = func(*_replace(args, argnums, chosen), **kwargs)
            value, aux = _value_and_aux(output, has_aux)
            leaves, spec = tree_flatten(chosen)
            gradients = _gradients(value, leaves)
        gradients = _close([*gradients, value], leaves)
        value = gradients.pop()
        tree = tree_unflatten(gradients, spec)
        result = tree[0] if isinstance(argnums, int) else tree
        return (result, (value, aux)) if has_aux else (result, value)

    return wrapper


def _value_and_aux(output: Any, has_aux: bool) -> tuple[Any, Any]:
    aux = None
    if has_aux:
        if not (isinstance(output, tuple) and len(output) == 2):
            raise RuntimeError(
                "grad_and_value(f)(*args): output of function f should be a tuple: (output, aux) if has_aux is True"
            )
        output, aux = output
    if not isinstance(output, Tensor):
        raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}")
    if output.ndim != 0:
        raise RuntimeError(
            "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
            f"{output.ndim} dims. "
            "Maybe you wanted to use the vjp or jacrev APIs instead?"
        )
    return output, tree_map(lambda each: each.detach() if isinstance(each, Tensor) else each, aux)


def _gradients(value: Tensor, leaves: list[Any]) -> list[Any]:
    if value._edge is None:
        return [each.detach() * 0 for each in leaves]
    return list(_autograd_grad(value, leaves, create_graph=True, materialize_grads=True))


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `func`.

    See `grad_and_value` for the parameters.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.grad.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.func import grad
    >>> grad(grad(retrograd.sin))(retrograd.tensor(0.5))
    tensor(-0.4794)
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradient, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `func` at `primals`, and the function that multiplies its Jacobian from the left.

    Returns
    -------
    output, vjp_fn
        `vjp_fn(cotangents)` returns a gradient for each primal. With `has_aux` a third result, the
        second that `func` returns.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.vjp.html

    Examples
    --------
    >>> import retrograd
    >>> value, pull_back = retrograd.func.vjp(retrograd.sin, retrograd.tensor(0.0))
    >>> pull_back(retrograd.tensor(2.0))
    (tensor(2.),)
    """
    with enable_grad():
        fresh = tree_map(_fresh, primals)
        output = func(*fresh)
        aux = None
        if has_aux:
            output, aux = output
    leaves, spec = tree_flatten(fresh)
    outputs, out_spec = tree_flatten(output)

    def pull_back(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given, given_spec = tree_flatten(cotangents if len(cotangents) > 1 else cotangents[0])
        if given_spec != out_spec and len(given) != len(outputs):
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                f"function. cotangents: {given_spec}, primal output: {out_spec}"
            )
        pairs = [(out, g) for out, g in zip(outputs, given, strict=True) if out._edge is not None]
        if not pairs:
            return tree_unflatten([each.detach() * 0 for each in leaves], spec)
        with enable_grad():
            gradients = _autograd_grad(
                [out for out, _ in pairs], leaves, [g for _, g in pairs], retain_graph=True, create_graph=True,
                materialize_grads=True,
            )  # fmt: skip
        return tree_unflatten(_close(list(gradients), leaves), spec)

    shown = tree_unflatten(_close(outputs, leaves), out_spec)
    return (shown, pull_back, aux) if has_aux else (shown, pull_back)


def jvp(func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...], *, strict: bool = False,
        has_aux: bool = False) -> Any:  # fmt: skip
    """The value of `func` at `primals`, and its Jacobian times `tangents`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jvp.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.func.jvp(retrograd.sin, (retrograd.tensor(0.0),), (retrograd.tensor(3.0),))
    (tensor(0.), tensor(3.))
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple):
            raise RuntimeError(
                f"jvp(f, primals, tangents): Expected {name} to be a tuple. E.g. it should be valid to call f(*{name})."
            )
    flat_primals, spec = tree_flatten(primals)
    flat_tangents, tangent_spec = tree_flatten(tangents)
    if len(flat_primals) != len(flat_tangents):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python structure. For example, "
            "if primals is a tuple of 3 tensors, tangents also must be. Got primals with structure "
            f"{spec} and tangents with structure {tangent_spec}"
        )
    with enable_grad():
        fresh = [_fresh(each) for each in flat_primals]
        output = func(*tree_unflatten(list(fresh), spec))
        aux = None
        if has_aux:
            output, aux = output
        outputs, out_spec = tree_flatten(output)
        pushed = [_push_forward(each, fresh, flat_tangents) for each in outputs]
    results = _close([*outputs, *pushed], fresh)
    value = tree_unflatten(results[: len(outputs)], out_spec)
    tangent = tree_unflatten(results[len(outputs) :], out_spec)
    return (value, tangent, aux) if has_aux else (value, tangent)


def _push_forward(output: Tensor, inputs: list[Tensor], tangents: list[Tensor]) -> Tensor:
    """The Jacobian times the tangents, as the transpose of the vector-Jacobian product.

    The product is linear in its vector u, so its own gradient by u, with the tangents as weights,
    is the Jacobian applied to them.
    """
    if output._edge is None:
        return output.detach() * 0
    u = (output.detach() * 0).requires_grad_()
    products = _autograd_grad(output, inputs, u, create_graph=True, retain_graph=True, allow_unused=True)
    pairs = [(p, t) for p, t in zip(products, tangents, strict=True) if p is not None and p._edge is not None]
    if not pairs:
        return output.detach() * 0
    (pushed,) = _autograd_grad([p for p, _ in pairs], u, [t for _, t in pairs], create_graph=True, allow_unused=True)
    return output.detach() * 0 if pushed is None else pushed


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of `func` at `primals`, and the function that applies its Jacobian there to tangents.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.linearize.html
    """
    value, _ = vjp(func, *primals)

    def apply(*tangents: Any) -> Any:
        return jvp(func, primals, tangents)[1]

    return value, apply


def _unit_vectors(tensor: Tensor) -> Tensor:
    """One tensor of the shape of `tensor` for each of its elements, all zero but for a one there."""
    from retrograd.ops.creation import eye

    n = tensor.numel()
    return eye(n, dtype=tensor.dtype, device=tensor.device).reshape(n, *tensor.shape)


def jacrev(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """A function that returns the Jacobian of `func`, computed row by row in reverse mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jacrev.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.func.jacrev(retrograd.sin)(retrograd.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        chosen = _select(args, argnums)
        result = vjp(lambda *c: func(*_replace(args, argnums, c), **kwargs), *chosen, has_aux=has_aux)
        output, pull_back = result[:2]
        outputs, out_spec = tree_flatten(output)
        flat, in_spec = tree_flatten(chosen)

        def rows(position: int) -> list[Any]:
            out = outputs[position]

            def pull(u: Tensor) -> Any:
                cotangents = [u if i == position else each.detach() * 0 for i, each in enumerate(outputs)]
                return tuple(tree_flatten(pull_back(tree_unflatten(cotangents, out_spec)))[0])

            mapped = vmap(pull, chunk_size=chunk_size)(_unit_vectors(out))
            return [each.reshape(*out.shape, *x.shape) for each, x in zip(mapped, flat, strict=True)]

        def pick(gradients: list[Any]) -> Any:
            tree = tree_unflatten(gradients, in_spec)
            return tree[0] if isinstance(argnums, int) else tree

        jacobian = tree_unflatten([pick(rows(i)) for i in range(len(outputs))], out_spec)
        return (jacobian, result[2]) if has_aux else jacobian

    return wrapper


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, chunk_size: int | None = None,
    randomness: str = "error",
) -> Callable[..., Any]:  # fmt: skip
    """A function that returns the Jacobian of `func`, computed column by column in forward mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jacfwd.html
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        chosen = _select(args, argnums)
        flat, in_spec = tree_flatten(chosen)
        side: list[Any] = []

        def push(position: int) -> Callable[[Tensor], Any]:
            def along(direction: Tensor) -> Any:
                tangents = [direction if i == position else each.detach() * 0 for i, each in enumerate(flat)]
                result = jvp(
                    lambda *c: func(*_replace(args, argnums, tree_unflatten(list(c), in_spec)), **kwargs),
                    tuple(flat), tuple(tangents), has_aux=has_aux,
                )  # fmt: skip
                side[:] = [tree_flatten(result[1])[1], *result[2:]]
                return tuple(tree_flatten(result[1])[0])

            return along

        columns = []
        for position, x in enumerate(flat):
            mapped = vmap(push(position), out_dims=-1, chunk_size=chunk_size, randomness=randomness)(_unit_vectors(x))
            columns.append([each.reshape(*each.shape[:-1], *x.shape) for each in mapped])

        def pick(gradients: list[Any]) -> Any:
            tree = tree_unflatten(gradients, in_spec)
            return tree[0] if isinstance(argnums, int) else tree

        out_spec = side[0]
        jacobian = tree_unflatten([pick(list(row)) for row in zip(*columns, strict=True)], out_spec)
        return (jacobian, side[1]) if has_aux else jacobian

    return wrapper


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the matrix of second derivatives of `func`: forward over reverse.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.hessian.html
    """
    return jacfwd(jacrev(func, argnums), argnums)
