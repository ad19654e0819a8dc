"""`grad`, `vjp` and `jacrev`: derivatives in reverse mode as functions of functions.

Those in forward mode are in `retrograd.func.forward`.

Source: https://docs.pytorch.org/docs/stable/func.api.html

Note [Levels]
    A transform in reverse mode gives its function fresh aliases of the arguments, connected to the
    caller's graph, and differentiates by those alone. So transforms nest: an outer one sees what the
    inner one computed as ordinary recorded operators, and an outer one in forward mode the tangents of
    its level, which aliases and results keep.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from operator import index
from typing import Any, Final

from retrograd.autograd.api import grad as _autograd_grad
from retrograd.autograd.graph import disable_saved_tensors_hooks
from retrograd.autograd.modes import current_mode, set_mode
from retrograd.autograd.node import AccumulateGrad
from retrograd.autograd.stale import BoundaryPlan
from retrograd.autograd.tangents import detached, set_tangent, tangents_of
from retrograd.func.vmap import vmap
from retrograd.levels import Derivative, innermost_vmap, running
from retrograd.ops.arrange import stack
from retrograd.ops.factories import zeros_like
from retrograd.ops.shape import alias_of
from retrograd.storage import admitting, unsavable
from retrograd.tensor import Tensor, has_node, wrap_array
from retrograd.utils._pytree import tree_flatten, tree_map, tree_unflatten, treespec_pprint

__all__ = ["grad", "grad_and_value", "jacrev", "vjp"]

Argnums = int | tuple[int, ...]


class _recording:
    """A context in which operators are recorded, in inference mode and of inference tensors too.

    What they make is cut off afterwards.
    """

    __slots__ = ("_admitting", "_mode")

    def __enter__(self) -> _recording:
        self._admitting = admitting().__enter__()
        mode = self._mode = current_mode()
        set_mode(dataclasses.replace(mode, grad=True) if mode.inference else mode.but(grad=True))
        return self

    def __exit__(self, *exc_info: object) -> None:
        set_mode(self._mode)
        self._admitting.__exit__()

    @property
    def bound(self) -> bool:
        """Whether nodes have saved inference tensors, so that what they make must not get into the caller's graph."""
        return self._admitting.used and self._admitting.outer is None


def _without_hooks() -> disable_saved_tensors_hooks:
    return disable_saved_tensors_hooks(
        "retrograd.func.{grad, vjp, jacrev, hessian} don't yet support saved tensor hooks. Please open an issue with "
        "your use case."
    )


def _fresh(tensor: Any) -> Any:
    """An alias to differentiate by: connected to the caller's graph if that wants gradients.

    Inside `vmap` it belongs to the innermost level, whatever level the argument comes from: what is
    computed of it and of a mapped tensor belongs there.
    """
    if not isinstance(tensor, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(tensor)}")
    if not tensor.dtype.is_differentiable:
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    table = innermost_vmap()
    if table is not None:
        tensor = table.enter(tensor)
    alias = alias_of(tensor) if tensor._edge is not None else detached(tensor)
    if has_node(alias):
        alias._edge[0]._grad_plan = BoundaryPlan(alias)  # type: ignore[index]
    if alias._edge is None:
        if alias.is_inference():
            alias._cell = [0]
        alias._set_requires_grad()
        for level in current_mode().dual:
            level.note_leaf(alias)
    return alias


def own(leaf: Any) -> Any:
    """What the function gets of an argument that is not differentiated by: a write to it is no part of its graph."""
    if not isinstance(leaf, Tensor):
        return leaf
    table = innermost_vmap()
    if table is not None and leaf._kernels.level < table.level and leaf._kernels.base is table.base:
        leaf = table.enter(leaf)
    return detached(leaf) if leaf._edge is None else leaf


def _parts(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor, its tangents, what it is made of at the levels below inside `vmap`, and so on."""
    yield tensor
    for tangent in tangents_of(tensor).values():
        if isinstance(tangent, Tensor):
            yield from _parts(tangent)
    if tensor._kernels.level:
        yield from _parts(tensor._array.value)


def _is_constant(results: Sequence[Tensor], own: Sequence[Tensor]) -> bool:
    """Whether the results depend on nothing that requires a gradient but the transform's own aliases."""
    mine = {edge[0] for each in own if each.is_leaf and (edge := each._edge) is not None}
    seen = {edge[0] for each in results for part in _parts(each) if (edge := part._edge) is not None}
    stack = list(seen)
    while stack:
        node = stack.pop()
        if type(node) is AccumulateGrad and node not in mine:
            return False
        for edge in node._next_edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return True


def _cut(tensor: Tensor) -> Tensor:
    """The tensor, and its tangents, outside of every graph."""
    tangents = tangents_of(tensor)
    if tensor._kernels.level:
        array = tensor._array
        alias = wrap_array(type(array)(_cut(array.value), array.mapped, array.table), tensor._kernels)
    elif tensor._edge is None and not tangents:
        return tensor
    else:
        alias = tensor.detach()
    for level, tangent in tangents.items():
        set_tangent(alias, level, _cut(tangent) if isinstance(tangent, Tensor) else tangent)
    return alias


def close(results: list[Any], own: Sequence[Tensor], bound: bool = False) -> list[Any]:
    """Cut results off the transform's own graph when nobody outside needs it, or nothing is recorded there.

    Raises
    ------
    RuntimeError
        If the graph is `bound` to the transform, and somebody does.
    """
    if not current_mode().grad or _is_constant([each for each in results if isinstance(each, Tensor)], own):
        return [_cut(each) if isinstance(each, Tensor) else each for each in results]
    if bound:
        raise unsavable()
    return [_cut(each) if isinstance(each, Tensor) and _is_constant([each], own) else each for each in results]


def _close_aux(aux: Any, own: Sequence[Tensor]) -> Any:
    """What a function returns beside its value, cut off likewise."""
    leaves, spec = tree_flatten(aux)
    for each in leaves:
        if not isinstance(each, Tensor):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(each)}")
    return tree_unflatten(close(leaves, own), spec)


def select(args: tuple[Any, ...], argnums: Argnums) -> tuple[Any, ...]:
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = tuple(_position(each, len(args)) for each in ((argnums,) if isinstance(argnums, int) else argnums))
    if not numbers:
        raise RuntimeError("argnums must be non-empty")
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {numbers}")
    return tuple(args[number] for number in numbers)


def _position(number: Any, count: int) -> int:
    """The number of an argument, counted from the first."""
    if not isinstance(number, int):
        raise RuntimeError(f"argnum must be int, got: {type(number)}")
    if not -count <= number < count:
        raise RuntimeError(f"Got argnum={number}, but only {count} positional inputs")
    return number % count


def replace(args: tuple[Any, ...], argnums: Argnums, values: tuple[Any, ...]) -> tuple[Any, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    replaced = list(args)
    for number, value in zip(numbers, values, strict=True):
        replaced[number] = value
    return tuple(replaced)


def others(args: tuple[Any, ...], argnums: Argnums, chosen: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of the function: those that it is differentiated by, and the others as its own."""
    if len(chosen) == len(args):
        return replace(args, argnums, chosen)
    return replace(tree_map(own, replace(args, argnums, (None,) * len(chosen))), argnums, chosen)


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
        with _without_hooks(), _recording() as region, running(Derivative("grad", tree_flatten((args, kwargs))[0])):
            chosen = tree_map(_fresh, select(args, argnums))
            output = func(*others(args, argnums, chosen), **(tree_map(own, kwargs) if kwargs else {}))
            value, aux = _value_and_aux(output, has_aux)
            leaves, spec = tree_flatten(chosen)
            gradients = _gradients(value, leaves)
        gradients = close([*gradients, value], leaves, region.bound)
        value = gradients.pop()
        tree = tree_unflatten(gradients, spec)
        result = tree[0] if isinstance(argnums, int) else tree
        return (result, (value, _close_aux(aux, leaves))) if has_aux else (result, value)

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
    return output, aux


def _gradients(value: Tensor, leaves: list[Any]) -> list[Any]:
    if value._edge is None:
        return [zeros_like(each) for each in leaves]
    return _materialized(_autograd_grad(value, leaves, create_graph=True, allow_unused=True), leaves)


def _materialized(gradients: Sequence[Any], leaves: Sequence[Any]) -> list[Any]:
    """Zeros where there is no gradient. Those of `materialize_grads` would be leaves that require a gradient."""
    return [zeros_like(leaf) if each is None else each for each, leaf in zip(gradients, leaves, strict=True)]


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
    return vjp_of(func, primals, has_aux, primals)


def vjp_of(func: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool, arguments: Any) -> Any:
    """`vjp` of a function that may write to tensors among its own `arguments`."""
    with _without_hooks(), _recording() as region, running(Derivative("vjp", tree_flatten(arguments)[0])):
        fresh = tree_map(_fresh, primals)
        output = func(*fresh)
        aux = None
        if has_aux:
            if not (isinstance(output, tuple) and len(output) == 2):
                raise RuntimeError(f"{_VJP}: output of function f should be a tuple: (output, aux) if has_aux is True")
            output, aux = output
    leaves, spec = tree_flatten(fresh)
    outputs, out_spec = tree_flatten(output)
    _check_outputs(outputs)

    def pull_back(cotangents: Any, retain_graph: bool | None = True, create_graph: bool | None = None) -> Any:
        given, given_spec = tree_flatten(cotangents)
        if given_spec != out_spec:
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of outputs to the "
                f"function. cotangents: {treespec_pprint(given_spec)}, primal output: {treespec_pprint(out_spec)}"
            )
        pairs = [(out, g) for out, g in zip(outputs, given, strict=True) if out._edge is not None]
        if not pairs:
            return tree_unflatten([zeros_like(each) for each in leaves], spec)
        keep, _ = (each is None or bool(index(each)) for each in (retain_graph, create_graph))
        with _recording() as pulled:
            gradients = _autograd_grad(
                [out for out, _ in pairs], leaves, [g for _, g in pairs], retain_graph=keep, create_graph=True,
                allow_unused=True,
            )  # fmt: skip
        return tree_unflatten(close(_materialized(gradients, leaves), leaves, pulled.bound), spec)

    shown = tree_unflatten(close(outputs, leaves, region.bound), out_spec)
    return (shown, pull_back, _close_aux(aux, leaves)) if has_aux else (shown, pull_back)


_VJP: Final = "vjp(f, *primals)"


def _check_outputs(outputs: list[Any]) -> None:
    if not outputs or outputs == [None]:
        raise RuntimeError(f"{_VJP}: Expected f to be a function that has non-empty output (got output = {outputs})")
    for each in outputs:
        if not isinstance(each, Tensor):
            raise RuntimeError(
                f"{_VJP}: expected f(*primals) to return only tensors, got unsupported type {type(each)}"
            )
        if not each.dtype.is_differentiable:
            raise RuntimeError(
                "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got Tensor with dtype "
                f"{each.dtype}"
            )


def refuse_complex(name: str, tree: Any, what: str) -> None:
    """Jacobians are those of real functions."""
    for position, each in enumerate(tree_flatten(tree)[0]):
        if isinstance(each, Tensor) and each.is_complex():
            raise RuntimeError(
                f"{name}: Expected all {what} to be real but received complex tensor at flattened input idx: {position}"
            )


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
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        refuse_complex("jacrev", args, "inputs")
        chosen = select(args, argnums)
        result = vjp_of(lambda *c: func(*others(args, argnums, c), **kwargs), chosen, has_aux, args)
        output, pull_back = result[:2]
        refuse_complex("jacrev", output, "outputs")
        outputs, out_spec = tree_flatten(output)
        flat, in_spec = tree_flatten(chosen)

        def rows(position: int) -> list[Any]:
            out = outputs[position]

            def pull(u: Tensor) -> Any:
                cotangents = [u if i == position else zeros_like(each) for i, each in enumerate(outputs)]
                return tuple(tree_flatten(pull_back(tree_unflatten(cotangents, out_spec)))[0])

            basis = _unit_vectors(out)
            if chunk_size == 1 and len(basis):  # one by one, without a level: for what `vmap` cannot map
                mapped = [stack(each) for each in zip(*(pull(u) for u in basis), strict=True)]
            else:
                mapped = vmap(pull, chunk_size=chunk_size)(basis)
            return [each.reshape(*out.shape, *x.shape) for each, x in zip(mapped, flat, strict=True)]

        def pick(gradients: list[Any]) -> Any:
            tree = tree_unflatten(gradients, in_spec)
            return tree[0] if isinstance(argnums, int) else tree

        jacobian = tree_unflatten([pick(rows(i)) for i in range(len(outputs))], out_spec)
        return (jacobian, result[2]) if has_aux else jacobian

    return wrapper
