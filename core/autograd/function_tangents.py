"""How tangents get through custom Functions: by their own `jvp`, whose results are checked as PyTorch checks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from retrograd.autograd.tangents import (
    Level,
    Rule,
    Tangents,
    base_at,
    only,
    outwards,
    set_all,
    tangent_of,
    write_at,
    zeros_of,
)
from retrograd.levels import transforms
from retrograd.tensor import Tensor

__all__ = ["push_function"]


def push_function(
    function: Any, ctx: Any, args: Sequence[Any], outputs: Sequence[Any], constants: frozenset[int]
) -> None:
    """Give the results of a custom Function their tangents; those at `constants` cannot have one."""
    for level, outside in outwards():
        tangents = [tangent_of(each, level) for each in args]
        if all(each is None for each in tangents):
            continue
        call = _Call(function, ctx, args, outputs, constants, level)
        uses = tuple(each for each in call.kept if each is not None)
        with only(outside):
            pushed = level.run(Rule(call.run, uses), tangents, outputs)
        new = {i for i, each in enumerate(outputs) if call.is_dirty(each) and tangent_of(each, level) is None}
        set_all(level, outputs, [None if i in new else each for i, each in enumerate(pushed)], ())
        for i in new:
            write_at(level, outside, outputs[i], pushed[i])


class _Call:
    """The `jvp` of one call at one level, which a tape may run later and more than once."""

    def __init__(
        self, function: Any, ctx: Any, args: Sequence[Any], outputs: Sequence[Any], constants: frozenset[int],
        level: Level,
    ) -> None:  # fmt: skip
        self.function = function
        self.ctx = ctx
        self.kept = ctx._tensors_for_forward
        self.constants = constants
        self.zeros = [zeros_of(each) if isinstance(each, Tensor) and ctx._materialize_grads else None for each in args]
        self.shapes = [each.shape if isinstance(each, Tensor) else None for each in outputs]
        self.dirty = {id(each) for each in ctx._dirty_inputs}
        self.written = self._places(args, [each if self.is_dirty(each) else None for each in outputs])
        self.viewed: list[int | None] = [None] * len(outputs)
        # Inside of a transform a tensor of PyTorch's is wrapped, and so no view.
        if not transforms() and function.checks_memory:
            bases = [base_at(each, level) if isinstance(each, Tensor) else None for each in outputs]
            whole = [base_at(each, level) if isinstance(each, Tensor) else None for each in args]
            seen = [None if base is out else base for base, out in zip(bases, outputs, strict=True)]
            self.viewed = self._places(whole, seen)

    def is_dirty(self, output: Any) -> bool:
        return id(output) in self.dirty

    @staticmethod
    def _places(among: Sequence[Any], wanted: Sequence[Any]) -> list[int | None]:
        """Where each of `wanted` stands in `among`."""
        return [
            next((i for i, other in enumerate(among) if each is not None and other is each), None) for each in wanted
        ]

    def run(self, tangents: Tangents) -> Tangents:
        given = [
            zero() if each is None and zero is not None else each
            for each, zero in zip(tangents, self.zeros, strict=True)
        ]
        versions = [_version(each) for each in tangents]
        before, self.ctx._tensors_for_forward = self.ctx._tensors_for_forward, self.kept
        try:
            pushed = self.function.jvp(self.ctx, *given)
        finally:
            self.ctx._tensors_for_forward = before
        pushed = pushed if isinstance(pushed, tuple) else (pushed,)
        self._check_types(pushed)
        for place, tangent in enumerate(pushed):
            self._check(place, tangent, tangents, versions)
        return pushed

    def _check_types(self, pushed: Tangents) -> None:
        for i, each in enumerate(pushed):
            if each is not None and not isinstance(each, Tensor):
                self._fail(f"expected Variable or None (got {type(each).__name__}) for grad output {i}.")
        if len(pushed) != len(self.shapes):
            self._fail(
                f"Function's jvp returned an invalid number of forward gradients (expected {len(self.shapes)} but got "
                f"{len(pushed)})"
            )

    def _check(self, place: int, tangent: Any, tangents: Tangents, versions: Sequence[int | None]) -> None:
        shape = self.shapes[place]
        if shape is None or place in self.constants:
            if tangent is not None:
                self._fail(
                    f"Function's jvp returned a gradient at position {place}, but  the corresponding forward output is "
                    "not a differentiable Tensor.You should return None at that position instead."
                )
            return
        written, viewed = self.written[place], self.viewed[place]
        if written is not None and self.function.checks_memory and isinstance(tangents[written], Tensor):
            self._check_written(tangent, tangents[written], versions[written])
        elif viewed is not None and tangent is not None and isinstance(tangents[viewed], Tensor):
            self._check_view(tangent, tangents[viewed])
        if tangent is not None and tangent.shape != shape:
            self._fail(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, this is "
                f"not supported. Tensor is of size {list(shape)} while the given forward gradient is of size "
                f"{list(tangent.shape)}."
            )

    def _check_written(self, tangent: Any, given: Tensor, version: int | None) -> None:
        """Of an input that `forward` has written to, the tangent is written to as well."""
        if tangent is given and _version(given) != version:
            return
        if _version(given) == version or tangent is None or tangent._cell is not given._cell:
            self._fail(
                "An inplace custom Function is not modifying the forward mode gradients inplace. If the forward is "
                "modifying an input inplace, then the jvp function must modify the corresponding gradient inplace."
            )
        self._fail(
            "An inplace custom Function is not returning the forward mode gradients as-is. If the forward is modifying "
            "an input inplace, then the jvp function must modify the gradient inplace and return it as-is."
        )

    def _check_view(self, tangent: Tensor, given: Tensor) -> None:
        """Of a view of an input, the tangent is a view of the input's."""
        view = None if tangent._tensor_meta is None else tangent._tensor_meta.view
        if view is None or tangent is given:
            self._fail(
                "A custom Function's forward is returning a view (or an input as-is) but the jvp is not returning a "
                "view."
            )
        if tangent._cell is not given._cell:
            self._fail(
                "A custom Function is returning a view but the jvp is not returning a view of the given grad input."
            )

    def _fail(self, text: str) -> NoReturn:
        error = RuntimeError(text)
        error.add_note(f"It is what {self.function.__name__}.jvp returned.")
        raise error


def _version(tensor: Any) -> int | None:
    cell = getattr(tensor, "_cell", None)
    return cell[0] if type(cell) is list else None
