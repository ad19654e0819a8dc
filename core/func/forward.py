"""`jvp`, `linearize`, `jacfwd` and `hessian`: derivatives in forward mode as functions of functions.

Each call makes a forward-mode level of its own (Note [Levels] in `retrograd.autograd.tangents`), so they
nest with each other and with the transforms in reverse mode in any order.

Source: https://docs.pytorch.org/docs/stable/func.api.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from retrograd.autograd.forward_ad import dual_at, unpack_at
from retrograd.autograd.functional import standard_basis
from retrograd.autograd.tangents import Level, Tape, entered, tangent_of
from retrograd.func.transforms import Argnums, close, jacrev, others, refuse_complex, select
from retrograd.func.vmap import vmap
from retrograd.levels import Derivative, running
from retrograd.ops.factories import zeros_like
from retrograd.tensor import Tensor
from retrograd.utils._pytree import tree_flatten, tree_map, tree_unflatten

__all__ = ["hessian", "jacfwd", "jvp", "linearize"]

_JVP = "jvp(f, primals, tangents)"


def jvp(
    func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple[Any, Any] | tuple[Any, Any, Any]:
    """The value of `func` at `primals`, and its Jacobian times `tangents`, in forward mode.

    ``f(x)`` and ``J_f(x) t``, both computed in one evaluation of `func`.

    Parameters
    ----------
    func
        Takes tensors, or nested tuples, lists and dicts of them, and returns such.
    primals
        A tuple of its arguments.
    tangents
        Of the form and shapes of `primals`.
    strict
        Raise where an output does not depend on the inputs, instead of giving zeros.
    has_aux
        `func` returns a pair; the second of it is not differentiated and comes as a third result.

    Raises
    ------
    RuntimeError
        If the arguments do not fit, an output is no tensor, or as `strict` says.
    NotImplementedError
        If `func` calls a custom Function that has no `jvp`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jvp.html

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.func import jvp
    >>> jvp(retrograd.sin, (retrograd.tensor(0.0),), (retrograd.tensor(3.0),))
    (tensor(0.), tensor(3.))

    Nested, for the second derivative:

    >>> one = retrograd.tensor(1.0)
    >>> slope = lambda x: jvp(lambda y: y**3, (x,), (one,))[1]
    >>> jvp(slope, (retrograd.tensor(2.0),), (one,))
    (tensor(12.), tensor(12.))
    """
    return _jvp_of(func, primals, tangents, strict, has_aux, primals)


def _jvp_of(
    func: Callable[..., Any], primals: Any, tangents: Any, strict: bool, has_aux: bool, arguments: Any
) -> tuple[Any, Any] | tuple[Any, Any, Any]:
    """`jvp` of a function that may write to tensors among its own `arguments`."""
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{_JVP}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    flat, spec = tree_flatten(primals)
    flat_tangents, tangent_spec = tree_flatten(tangents)
    if spec != tangent_spec:
        raise RuntimeError(
            f"{_JVP}: Expected primals and tangents to have the same python structure. For example, if primals is a "
            f"tuple of 3 tensors, tangents also must be. Got primals with structure {spec} and tangents with "
            f"structure {tangent_spec}"
        )
    _only_tensors(flat, "primals")
    _only_tensors(flat_tangents, "tangents")
    level = Level()
    transform = Derivative("jvp", [*tree_flatten(arguments)[0], *flat_tangents])
    outputs, out_spec, aux = _evaluate(level, transform, func, flat, flat_tangents, spec, has_aux)
    unpacked = [unpack_at(level, each) for each in outputs]
    level.end()
    if strict and any(each.tangent is None for each in unpacked):
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not "
            "allowed with strict=True."
        )
    value = tree_unflatten([each.primal for each in unpacked], out_spec)
    pushed = [zeros_like(each.primal) if each.tangent is None else each.tangent for each in unpacked]
    tangent = tree_unflatten(pushed, out_spec)
    return (value, tangent, aux) if has_aux else (value, tangent)


def _only_tensors(leaves: Sequence[Any], what: str) -> None:
    if not leaves:
        raise RuntimeError(f"{_JVP}: Expected {what} to contain at least one Tensor.")
    for each in leaves:
        if not isinstance(each, Tensor):
            raise RuntimeError(f"{_JVP}: Expected {what} to only contain Tensors, got {type(each)}")


def _evaluate(
    level: Level, transform: str, func: Callable[..., Any], primals: list[Any], tangents: Sequence[Any], spec: Any,
    has_aux: bool,
) -> tuple[list[Any], Any, Any]:  # fmt: skip
    """The leaves of what `func` returns of dual tensors, their form, and what it returns beside."""
    with running(transform), entered(level):
        duals = [dual_at(level, primal, tangent) for primal, tangent in zip(primals, tangents, strict=True)]
        output = func(*tree_unflatten(duals, spec))
    aux = None
    if has_aux:
        if not (isinstance(output, tuple) and len(output) == 2):
            raise RuntimeError(f"{_JVP}: output of function f should be a tuple: (output, aux) if has_aux is True")
        output, aux = output
        aux = tree_map(functools.partial(_aux_leaf, level), aux)
    outputs, out_spec = tree_flatten(output)
    if isinstance(level, Tape):
        return outputs, out_spec, aux
    if not outputs or outputs == [None]:
        raise RuntimeError(f"{_JVP}: Expected f to be a function that has non-empty output (got output = {outputs})")
    for each in outputs:
        if not isinstance(each, Tensor):
            raise RuntimeError(
                f"{_JVP}: expected f(*primals) to return only tensors, got unsupported type {type(each)}"
            )
    return outputs, out_spec, aux


def _aux_leaf(level: Level, leaf: Any) -> Tensor:
    if not isinstance(leaf, Tensor):
        raise RuntimeError(f"Expected tensors, got unsupported type {type(leaf)}")
    return unpack_at(level, leaf).primal


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of `func` at `primals`, and the function that applies its Jacobian there to tangents.

    `func` is evaluated once, and what its Jacobian is made of is kept; applying it costs about as much as
    `func` itself. If `func` overwrites in place what a derivative needs, it is evaluated again instead.

    Returns
    -------
    output, jvp_fn
        `jvp_fn(*tangents)` takes tensors of the form of `primals` and returns them in the form of the output.

    Raises
    ------
    RuntimeError
        By `jvp_fn`, if the tangents do not fit, or a tensor that the Jacobian is made of has been modified
        in place since.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.linearize.html

    Examples
    --------
    >>> import retrograd
    >>> value, push = retrograd.func.linearize(retrograd.sin, retrograd.tensor([0.0, 1.0]))
    >>> push(retrograd.tensor([1.0, 0.0])), push(retrograd.tensor([0.0, 1.0]))
    (tensor([1., 0.]), tensor([0.0000, 0.5403]))
    """
    flat, spec = tree_flatten(primals)
    _only_tensors(flat, "primals")
    tape = Tape()
    slots = [tape.slot() for _ in flat]
    # A name, and no `Derivative`: PyTorch's `linearize` does not look at what its function writes to.
    outputs, out_spec, _ = _evaluate(tape, "linearize", func, flat, slots, spec, False)
    ends = [tangent_of(each, tape) for each in outputs]
    values = [unpack_at(tape, each).primal if isinstance(each, Tensor) else each for each in outputs]
    replays = tape.is_intact()

    def apply(*tangents: Any) -> Any:
        given, given_spec = tree_flatten(tangents)
        if given_spec != spec:
            raise RuntimeError(f"Expected the tangents {given_spec} to have the same argspec as the primals {spec}")
        _check_tangents(given, flat)
        if not replays:
            return jvp(func, primals, tangents)[1]
        if not tape.is_intact():
            raise RuntimeError(
                "linearize: a tensor that the Jacobian is made of has been modified by an inplace operation since "
                "linearize was called. Clone it before it is modified, or call linearize again."
            )
        found = tape.play(dict(zip(slots, given, strict=True)), ends)
        pushed = [_zeros_of(value) if each is None else each for each, value in zip(found, values, strict=True)]
        return tree_unflatten(close(pushed, tape.leaves), out_spec)

    return tree_unflatten(values, out_spec), apply


def _zeros_of(value: Any) -> Any:
    """The tangent of what does not depend on the inputs; what is no tensor stands for itself."""
    return zeros_like(value) if isinstance(value, Tensor) else value


def _check_tangents(tangents: Sequence[Any], primals: Sequence[Tensor]) -> None:
    for position, (tangent, primal) in enumerate(zip(tangents, primals, strict=True)):
        for what in ("shape", "device", "dtype"):
            have, want = getattr(tangent, what), getattr(primal, what)
            if str(have) != str(want):  # the devices inside and outside of a `vmap` differ in their levels
                raise RuntimeError(
                    f"tangent:{position} with {what} {have} in flattened pytree doesn't match the {what} {want} of "
                    "the corresponding primal."
                )


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `func`, computed column by column in forward mode.

    All columns are computed at once, by one `vmap` over the unit vectors.

    Parameters
    ----------
    func
        A real function of tensors, or of nested tuples, lists and dicts of them.
    argnums
        Which argument, or tuple of arguments, to differentiate by.
    has_aux
        `func` returns a pair; the second of it is not differentiated and comes as a second result.
    randomness
        See `vmap`.

    Raises
    ------
    RuntimeError
        If inputs or outputs are complex, or `argnums` does not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.jacfwd.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.func.jacfwd(lambda x: x * x.sum())(retrograd.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        refuse_complex("jacfwd", args, "inputs")
        flat, spec = tree_flatten(select(args, argnums))

        def push(*directions: Tensor) -> Any:
            result = _jvp_of(
                lambda *chosen: func(*others(args, argnums, tree_unflatten(list(chosen), spec)), **kwargs),
                tuple(flat), directions, False, has_aux, args,
            )  # fmt: skip
            refuse_complex("jacfwd", result[0], "outputs")
            return result[1:] if has_aux else result[1]

        result = vmap(push, randomness=randomness)(*standard_basis(tuple(flat)))
        columns, aux = result if has_aux else (result, None)
        outputs, out_spec = tree_flatten(columns)
        jacobian = tree_unflatten([_blocks(each, flat, spec, argnums) for each in outputs], out_spec)
        return (jacobian, tree_map(lambda each: each[0], aux)) if has_aux else jacobian

    return wrapper


def _blocks(columns: Tensor, inputs: Sequence[Tensor], spec: Any, argnums: Argnums) -> Any:
    """All derivatives of one output, stacked, as the derivative by each input in its shape."""
    parts = columns.movedim(0, -1).split([each.numel() for each in inputs], -1)
    blocks = [part.reshape((*part.shape[:-1], *each.shape)) for part, each in zip(parts, inputs, strict=True)]
    tree = tree_unflatten(blocks, spec)
    return tree[0] if isinstance(argnums, int) else tree


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the matrix of second derivatives of `func`: forward over reverse mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.func.hessian.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.func.hessian(lambda x: (x**3).sum())(retrograd.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
