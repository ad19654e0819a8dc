"""How an update rule, written once as a formula over arrays, is applied to parameters.

Note [Update rules]
    A rule has two parts. `schedule` turns the step's number and the options into the coefficients
    of this step, numbers all. `formula` turns parameter, gradient and state into new ones. Both
    use Python arithmetic and kernels only, and take `K` first, as derivative formulas do.

    A formula writes in place with `+=` and the like wherever it owns what it writes to: the
    parameter, the state and its own temporaries, but never the gradient. Where arrays can be
    written to, that is an update in place, without copies; where they cannot, the same lines make
    new arrays, which are then put into the tensors. On a table that compiles, one rule is one
    compiled function.

    The order of operations is that of PyTorch's single-tensor implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from retrograd.autograd.anomaly import stack_of_caller
from retrograd.autograd.modes import current_mode, enable_grad
from retrograd.device import host_kernels
from retrograd.ops.graph import G
from retrograd.optim.optimizer import Optimizer
from retrograd.storage import announce, bump, refuse_overlap, sign, write
from retrograd.tensor import Tensor, wrap_array

__all__ = ["RuleOptimizer", "check", "check_betas", "check_lr", "lerp", "number"]


def number(value: Any) -> Any:
    """An option as a Python number, if it is given as a tensor."""
    return value.item() if isinstance(value, Tensor) else value


def check(value: float | Tensor, name: str, ok: bool) -> None:
    """Refuse a bad option, with PyTorch's text.

    Raises
    ------
    ValueError
        If not `ok`.
    """
    if not ok:
        raise ValueError(f"Invalid {name}: {value}")


def check_lr(lr: Any) -> None:
    """Refuse a learning rate that is negative, or a tensor of more than one element."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    check(lr, "learning rate", number(lr) >= 0.0)


def check_betas(betas: Sequence[float]) -> None:
    for i in range(2):
        check(betas[i], f"beta parameter at index {i}", 0.0 <= number(betas[i]) < 1.0)


def lerp(start: Any, end: Any, weight: Any) -> Any:
    """Move `start`, in place, towards `end` by a part `weight` of the way."""
    step = end - start
    step *= weight
    start += step
    return start


class RuleOptimizer(Optimizer):
    """An optimizer whose step is one formula. See Note [Update rules]."""

    scalars: ClassVar[tuple[str, ...]] = ("step",)
    """The names of the state's numbers: 0-dimensional float32 tensors. `step` counts the steps."""

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The names of the state's arrays that the formula takes and returns, in its order."""
        raise NotImplementedError

    def initial(self, name: str, param: Tensor, group: dict[str, Any]) -> Any:
        """The first value of a slot, as an array; zeros by default."""
        k = param._kernels
        return k.zeros(tuple(param._array.shape), param._array.dtype)

    def initial_scalar(self, name: str, group: dict[str, Any]) -> float:
        """The first value of a scalar."""
        return 0.0

    def flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        """Options that choose among formulas: hashable, seldom changed."""
        return (bool(group["maximize"]),)

    def options(self, group: dict[str, Any]) -> tuple[float, ...]:
        """Options that are numbers, given to `advance` and `schedule`."""
        raise NotImplementedError

    @staticmethod
    def advance(scalars: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, ...]:
        """The scalars after this step."""
        return (scalars[0] + 1,)

    @staticmethod
    def schedule(
        K: Any, flags: tuple[Any, ...], old: tuple[Any, ...], new: tuple[Any, ...], options: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """The coefficients of this step, from the scalars before and after it: floats, or traced arrays."""
        raise NotImplementedError

    @staticmethod
    def formula(
        K: Any, flags: tuple[Any, ...], coefficients: tuple[Any, ...], param: Any, grad: Any, *slots: Any
    ) -> tuple[Any, ...]:
        """The new parameter and the new slots."""
        raise NotImplementedError

    # -- applying it ---------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step; see `Optimizer.step`."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        self._sign()
        return loss

    def _sign(self) -> None:
        """In anomaly mode, let an error about a parameter that was saved before the step name the step."""
        if current_mode().anomaly:
            stack = stack_of_caller()
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        sign(p._cell, f"{type(self).__name__}.step()", None, stack)

    def _step_group(self, group: dict[str, Any]) -> None:
        flags, names = self.flags(group), self.slots(group)
        options = tuple(map(number, self.options(group)))
        apply = self._apply_recorded if group.get("differentiable") else self._apply
        for p in group["params"]:
            grad = None if p._tensor_meta is None else p._tensor_meta.grad
            if grad is None:
                continue
            if grad._kernels is not p._kernels:
                self._step_sparse(p, grad, group)
            else:
                apply(p, grad, self.state_of(p, group), names, flags, options)

    def _step_sparse(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        """A step along a sparse gradient, which most rules do not know.

        Raises
        ------
        RuntimeError
            If this is such a rule.
        """
        raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")

    def state_of(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter, made with its first step."""
        state: dict[str, Any] = self.state[p]
        if not state:
            k = p._kernels
            counting = host_kernels() if k.meta else k
            for name in self.scalars:
                value = counting.full((), self.initial_scalar(name, group), counting.dtypes["float32"])
                state[name] = wrap_array(value, counting)
            for name in self.slots(group):
                state[name] = wrap_array(self.initial(name, p, group), k)
        return state

    def _apply(
        self, p: Tensor, grad: Tensor, state: dict[str, Any], names: tuple[str, ...], flags: Any, options: Any
    ) -> None:
        k = p._kernels
        tensors = [p, *(state[name] for name in names)]
        if p._own_meta().storage is not None:
            refuse_overlap(p, ())
        for each in tensors:
            announce(each)
        arrays = [p._array, grad._array, *(state[name]._array for name in names)]
        if k.compile is None:
            coefficients = self._coefficients(k, state, flags, options)
            if not k.mutable:  # and yet the library may let a formula write to its arrays
                arrays = [k.copy(each) for each in arrays]
            results = _apply_formula(self.formula, k, flags, coefficients, arrays)
        else:
            tensors += (state[name] for name in self.scalars)
            scalars = (state[name]._array for name in self.scalars)
            results = self._compiled(k)(k, flags, len(arrays), *arrays, *scalars, *options)
        for tensor, result in zip(tensors, results, strict=True):
            if result is tensor._array:
                bump(tensor)
            else:
                write(tensor, result)

    def _coefficients(self, k: Any, state: dict[str, Any], flags: Any, options: Any) -> tuple[Any, ...]:
        """Advance the scalars, and compute this step's coefficients in Python's floats."""
        old = tuple(state[name].item() for name in self.scalars)
        for name, value in zip(self.scalars, self.advance(old, options), strict=True):
            tensor = state[name]
            write(tensor, tensor._kernels.full((), value, tensor._array.dtype))
        new = tuple(state[name].item() for name in self.scalars)
        return self.schedule(k, flags, old, new, options)

    def _apply_recorded(
        self, p: Tensor, grad: Tensor, state: dict[str, Any], names: tuple[str, ...], flags: Any, options: Any
    ) -> None:
        """The same formula on tensors, so that the step itself has a derivative (`differentiable=True`)."""
        coefficients = self._coefficients(p._kernels, state, flags, options)
        slots = [state[name] for name in names]
        updated, *states = self.formula(G, flags, coefficients, p, grad, *slots)
        state.update(zip(names, states, strict=True))
        if updated is not p:
            p.copy_(updated)

    @classmethod
    def _compiled(cls, k: Any) -> Callable[..., Any]:
        key = (cls, k)
        if key not in _compiled_rules:
            _compiled_rules[key] = k.compile(_traced(cls), (0, 1))
        return _compiled_rules[key]


_compiled_rules: dict[Any, Callable[..., Any]] = {}


def _traced(cls: type[RuleOptimizer]) -> Callable[..., Any]:
    """The whole rule as one function of arrays: `count` of them, then the scalars and the options."""
    scalar_count = len(cls.scalars)

    def rule(K: Any, flags: Any, count: int, *values: Any) -> tuple[Any, ...]:
        arrays, old, options = (
            values[:count],
            values[count : count + scalar_count],
            values[count + scalar_count :],
        )
        # Powers of the step are as exact as on a backend that computes them in Python's floats; the
        # coefficients then take the parameter's type, as a Python number would.
        wide = tuple(K.astype(each, K.dtypes["float64"]) for each in old)
        new = cls.advance(wide, options)
        coefficients = cls.schedule(K, flags, wide, new, options)
        narrow = K.real(arrays[0]).dtype if K.names[arrays[0].dtype].startswith("complex") else arrays[0].dtype
        coefficients = tuple(K.astype(each, narrow) if hasattr(each, "dtype") else each for each in coefficients)
        results = _apply_formula(cls.formula, K, flags, coefficients, arrays)
        return (*results, *(K.astype(each, K.dtypes["float32"]) for each in new))

    return rule


def _apply_formula(
    formula: Callable[..., tuple[Any, ...]], K: Any, flags: Any, coefficients: Any, arrays: Sequence[Any]
) -> tuple[Any, ...]:
    """Call the formula; a complex parameter counts as its real and imaginary parts side by side."""
    if not K.names[arrays[0].dtype].startswith("complex"):
        return formula(K, flags, coefficients, *arrays)
    parts = [K.stack([K.real(each), K.imag(each)], -1) for each in arrays]
    results = formula(K, flags, coefficients, *parts)
    last = len(arrays[0].shape)
    before = (slice(None),) * last
    return tuple(K.complex(K.slice(each, (*before, 0)), K.slice(each, (*before, 1))) for each in results)
