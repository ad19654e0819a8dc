"""Forward mode: dual tensors, which carry a tangent through every operator.

This is PyTorch's interface, which has one level. Levels, and how tangents get through operators, are in
`retrograd.autograd.tangents` and `retrograd.ops.jvp`; the transforms of `retrograd.func` make a level each.

Source: https://docs.pytorch.org/docs/stable/autograd.html#forward-mode-automatic-differentiation
"""

from __future__ import annotations

from typing import Any, NamedTuple

from retrograd.autograd.modes import ModeContext, current_mode, set_mode
from retrograd.autograd.tangents import Level, set_tangent, tangent_of
from retrograd.layout import contiguous_format
from retrograd.levels import innermost_vmap
from retrograd.storage import expanded_dims
from retrograd.tensor import Tensor
from retrograd.views import Reshape

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent, or None."""

    primal: Tensor
    tangent: Tensor | None


def __getattr__(name: str) -> Any:
    if name == "_current_level":  # the number of the level in which a program is, -1 outside of forward mode
        mode = current_mode()
        return len(mode.dual or mode.dual_off) - 1
    raise AttributeError(f"module 'retrograd.autograd.forward_ad' has no attribute {name!r}")


def enter_dual_level() -> int:
    """Begin forward mode; `dual_level` is the usual way.

    Raises
    ------
    RuntimeError
        If it has begun already: levels do not nest.
    """
    mode = current_mode()
    if mode.dual or mode.dual_off:
        error = RuntimeError("Nested forward mode AD is not supported at the moment")
        error.add_note("Transforms nest: use retrograd.func.jvp.")
        raise error
    set_mode(mode.but(dual_off=(Level(),)) if mode.forward_off else mode.but(dual=(Level(),)))
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End forward mode: tangents are gone.

    Raises
    ------
    RuntimeError
        If `level` is not the innermost one, or there is none.
    """
    mode = current_mode()
    levels = mode.dual or mode.dual_off
    if level is not None and level != len(levels) - 1:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    if not levels:
        raise RuntimeError("Dual level must be a positive number.")
    set_mode(mode.but(dual=mode.dual[:-1], dual_off=mode.dual_off[:-1]))
    levels[-1].end()


class dual_level(ModeContext):  # PyTorch's name
    """A context in which tensors can have tangents; also a decorator.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.forward_ad.dual_level.html

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

    def __enter__(self) -> int:  # type: ignore[override]  # PyTorch's gives the level's number
        return enter_dual_level()

    def __exit__(self, *exc_info: object) -> None:
        exit_dual_level()


def _is_fwd_grad_enabled() -> bool:
    """Whether tangents are computed, or would be if a level began."""
    mode = current_mode()
    return bool(mode.dual) or not mode.forward_off


class _set_fwd_grad_enabled(ModeContext):  # PyTorch's name
    """Whether tangents are computed, from the moment this is made; as a context, until its end.

    While it is off, operators give results without a tangent, and what tensors have of them is not seen.
    """

    __slots__ = ("before",)

    def __init__(self, mode: bool) -> None:
        self.before = _is_fwd_grad_enabled()
        self._set(mode)

    @staticmethod
    def _set(on: bool) -> None:
        now = current_mode()
        levels = now.dual or now.dual_off
        set_mode(now.but(dual=levels if on else (), dual_off=() if on else levels, forward_off=not on))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        self._set(self.before)


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A view of `tensor` that carries `tangent`.

    Raises
    ------
    RuntimeError
        If no level has begun, the shapes differ, or `tensor` has a tangent already.
    ValueError
        If one of them is neither floating-point nor complex.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.forward_ad.make_dual.html

    Examples
    --------
    >>> import retrograd
    >>> import retrograd.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     fwAD.make_dual(retrograd.zeros(2), retrograd.tensor([1.0, 3.0])).sin()
    tensor([0., 0.], tangent=tensor([1., 3.]))
    """
    from retrograd.ops.shape import alias_of

    mode = current_mode()
    levels = mode.dual or mode.dual_off
    if not levels if level is None else level < 0:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    if level:
        raise RuntimeError("Invalid level given to _make_dual")
    if not levels:
        raise RuntimeError(
            "Trying to access a forward AD level with an invalid index. This index was either not created or is "
            "already deleted."
        )
    for each in (tensor, tangent):
        each.is_floating_point()  # in PyTorch, too, what is no tensor fails at this
    if mode.inference and not mode.dual:
        return alias_of(tensor)
    _check_mapping(levels[-1], "_make_dual")
    set_mode(mode.but(dual=levels, dual_off=()))  # it is seen once forward mode is on
    try:
        return dual_at(levels[-1], tensor, tangent)
    finally:
        set_mode(mode)


def _check_mapping(level: Level, name: str) -> None:
    """Inside `vmap`, tensors can be dual at levels that began there, but not at one around it."""
    if level.mapped_by is not innermost_vmap():
        raise RuntimeError(
            f"Batching rule not implemented for aten::{name}; the fallback path doesn't work on out= or view ops."
        )


def dual_at(level: Level, tensor: Tensor, tangent: Any) -> Tensor:
    """`make_dual` at a level, for a tangent or a placeholder of one."""
    from retrograd.ops.shape import make_view

    for name, each in (("primal", tensor), ("tangent", tangent)):
        if isinstance(each, Tensor) and not each.dtype.is_differentiable:
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {each.dtype}")
    if isinstance(tangent, Tensor) and tensor.shape != tangent.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(tensor.shape)} while the given forward gradient is of size "
            f"{list(tangent.shape)}."
        )
    table = innermost_vmap()
    if table is not None:
        # Both belong to its level, wherever they come from: so does what is computed of them there.
        tensor, tangent = table.enter(tensor), table.enter(tangent) if isinstance(tangent, Tensor) else tangent
    if isinstance(tangent, Tensor) and tangent_of(tangent, level) is not None:
        raise RuntimeError(
            "Setting a forward grad that itself has a forward gradient at the same level"
            f"{current_mode().dual.index(level)} is not supported."
        )
    if tangent_of(tensor, level) is not None:
        raise RuntimeError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level "
            f"{current_mode().dual.index(level)} is not supported."
        )
    dual = make_view(tensor, "ViewBackward0", Reshape(tuple(tensor._array.shape)))
    view = dual._own_meta().view
    if view is not None:  # else it is of an inference tensor
        view.dual = level.number
    set_tangent(dual, level, _laid_out_as(tensor, tangent) if isinstance(tangent, Tensor) else tangent)
    return dual


def _laid_out_as(tensor: Tensor, tangent: Tensor) -> Tensor:
    """The tangent itself, if it lies in its memory as the tensor does in its own; else a copy that does."""
    wanted, own = tensor._layout(), tangent._layout()
    axes = [i for i, n in enumerate(wanted.shape) if n != 1]
    alike = own.offset == wanted.offset and all(own.strides[i] == wanted.strides[i] for i in axes)
    counted = None if tensor._kernels.level or tangent._kernels.level else (_places(tensor), _places(tangent))
    if alike and (counted is None or counted[0] == counted[1]):
        return tangent
    if expanded_dims(tensor):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    if counted is not None:
        memory = tangent.new_zeros(counted[0])
        made: Tensor = memory.as_strided(wanted.shape, wanted.strides, wanted.offset).copy_(tangent)
        return made
    order = sorted(range(tensor.ndim), key=lambda i: -wanted.strides[i])
    copied: Tensor = tangent.permute(order).clone(memory_format=contiguous_format)
    return copied.permute(sorted(range(tensor.ndim), key=order.__getitem__))


def _places(tensor: Tensor) -> int:
    """How many elements the memory of a tensor has place for."""
    meta = tensor._tensor_meta
    if meta is None or meta.storage is None:
        return tensor.numel()
    return int(tensor.untyped_storage().nbytes()) // tensor.itemsize


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor without its tangent, and the tangent (None if it has none).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.forward_ad.unpack_dual.html

    Examples
    --------
    >>> import retrograd
    >>> import retrograd.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     fwAD.unpack_dual(retrograd.ones(1))
    UnpackedDualTensor(primal=tensor([1.]), tangent=None)
    """
    levels = current_mode().dual
    if levels:
        _check_mapping(levels[-1], "_unpack_dual")
        if not isinstance(tensor, Tensor):
            raise TypeError(f"_unpack_dual(): argument 'dual' (position 1) must be Tensor, not {type(tensor).__name__}")
    if not levels or tangent_of(tensor, levels[-1]) is None:
        return UnpackedDualTensor(tensor, None)
    if level:
        raise RuntimeError("Invalid level given to _fw_primal")
    return unpack_at(levels[-1], tensor)


def unpack_at(level: Level, tensor: Tensor) -> UnpackedDualTensor:
    """`unpack_dual` at a level."""
    from retrograd.ops.shape import alias_of

    tangent = tangent_of(tensor, level)
    if tangent is None:
        return UnpackedDualTensor(tensor, None)
    mode = current_mode()
    set_mode(mode.but(dual=tuple(each for each in mode.dual if each is not level)))
    try:
        primal = alias_of(tensor)
        primal._own_meta().view.dual = level.number  # type: ignore[union-attr]  # a view without the tangent
    finally:
        set_mode(mode)
    return UnpackedDualTensor(primal, tangent)
