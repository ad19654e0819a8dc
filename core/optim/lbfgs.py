"""Limited-memory BFGS: steps along an estimate of Newton's direction, from the last gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.autograd.modes import enable_grad, no_grad
from retrograd.ops.arrange import cat
from retrograd.ops.complex_numbers import view_as_real
from retrograd.optim.line_search import Trial, strong_wolfe
from retrograd.optim.optimizer import Optimizer, ParamsT
from retrograd.optim.rule import check_lr, number
from retrograd.tensor import Tensor

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    r"""The L-BFGS algorithm, for losses that can be computed again and again.

    The direction is :math:`-H g`, where H approximates the inverse Hessian from the last changes :math:`s_i` of the
    parameters and :math:`y_i` of the gradient. All parameters are one group.

    Parameters
    ----------
    params
        Parameters; no groups of them.
    lr
        The length of a step, or the first one that the line search tries.
    max_iter, max_eval
        How many iterations a step has at most, and how many evaluations of the closure: 5/4 of the former.
    tolerance_grad, tolerance_change
        A gradient, or a change of the loss or the parameters, that small ends a step.
    history_size
        How many changes are kept.
    line_search_fn
        `"strong_wolfe"`, or None for steps of length `lr`.

    Raises
    ------
    ValueError
        If `lr` is negative, or there are several groups.
    RuntimeError
        From `step`, if the line search is another one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html;
    Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", 1989

    Examples
    --------
    >>> import retrograd
    >>> w = retrograd.nn.Parameter(retrograd.tensor([3.0, -2.0]))
    >>> optimizer = retrograd.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1.0) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    13.0
    >>> w.data
    tensor([1.0000, 1.0000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    # -- parameters as one vector --------------------------------------------------------------

    def _gradient(self) -> Tensor:
        """All gradients as one real vector, with zeros for those that are missing."""
        parts = (p.new_zeros(p.shape) if p.grad is None else p.grad for p in self._params)
        return cat([_real(part).reshape(-1) for part in parts], 0)

    def _move(self, length: Any, direction: Tensor) -> None:
        offset = 0
        for p in map(_real, self._params):
            part = direction[offset : offset + p.numel()].view_as(p)
            p.add_(part, alpha=number(length))
            offset += p.numel()

    def _trial(self, closure: Callable[[], Any], direction: Tensor, length: Any) -> Trial:
        """Try a step, and take it back exactly."""
        kept = [p.clone() for p in self._params]
        self._move(length, direction)
        loss = float(closure())
        gradient = self._gradient()
        for p, value in zip(self._params, kept, strict=True):
            p.copy_(value)
        return Trial(length, loss, gradient, gradient.dot(direction))

    # -- stepping ------------------------------------------------------------------------------

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Do up to `max_iter` iterations; returns the loss at the beginning.

        Parameters
        ----------
        closure
            Computes the loss again, with its gradients, and returns it; called with gradients on.
        """
        if len(self.param_groups) != 1:
            raise AssertionError(f"Expected exactly one param_group, but got {len(self.param_groups)}")
        evaluate = enable_grad()(closure)
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate()
        state["func_evals"] += 1
        here = Trial(0, float(first_loss), self._gradient(), None)
        evaluations = 1
        if here.gradient.abs().max() <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self._find_direction(state, here.gradient, group["history_size"])
            before = state["prev_loss"] = here.loss
            state["t"] = _first_length(here.gradient, group["lr"]) if state["n_iter"] == 1 else _scalar(group["lr"])
            slope = here.gradient.dot(state["d"])
            if slope > -group["tolerance_change"]:
                break
            start = Trial(0, here.loss, here.gradient, slope)
            here, more = self._advance(evaluate, start, iteration, evaluations)
            evaluations += more
            state["func_evals"] += more
            if iteration == group["max_iter"] or evaluations >= group["max_eval"] or self._at_rest(here, before):
                break
        return first_loss

    def _find_direction(self, state: dict[str, Any], gradient: Tensor, history_size: int) -> None:
        """Take the last change into the history, and set `d` to the direction from there."""
        if state["n_iter"] == 1:
            state.update(d=gradient.neg(), old_dirs=[], old_stps=[], ro=[], H_diag=1)
        else:
            _remember(state, gradient - state["prev_flat_grad"], state["d"] * state["t"], history_size)
            state["d"] = _two_loops(state, gradient, history_size)
        state["prev_flat_grad"] = gradient

    def _advance(
        self, evaluate: Callable[[], Any], start: Trial, iteration: int, evaluations: int
    ) -> tuple[Trial, int]:
        """Make one step along the direction; where that leads, and how many evaluations it took."""
        group, state = self.param_groups[0], self.state[self._params[0]]
        direction = state["d"]
        if group["line_search_fn"] is None:
            self._move(state["t"], direction)
            if iteration == group["max_iter"]:  # nobody would use the loss there
                return start, 0
            return Trial(state["t"], float(evaluate()), self._gradient(), None), 1
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        found, count = strong_wolfe(
            lambda length: self._trial(evaluate, direction, length),
            start,
            state["t"],
            direction.abs().max(),
            max_steps=group["max_eval"] - evaluations,
        )
        state["t"] = found.length
        self._move(found.length, direction)
        return found, count

    def _at_rest(self, here: Trial, before: float) -> bool:
        """Whether the gradient, the last step or the change of the loss is too small to go on."""
        group, state = self.param_groups[0], self.state[self._params[0]]
        smallest = group["tolerance_change"]
        return bool(
            here.gradient.abs().max() <= group["tolerance_grad"]
            or (state["d"] * state["t"]).abs().max() <= smallest
            or abs(here.loss - before) < smallest
        )


def _scalar(lr: Any) -> Any:
    return lr.reshape(()) if isinstance(lr, Tensor) else lr


def _first_length(gradient: Tensor, lr: Any) -> Any:
    """A step of at most `lr` in all, as nothing is known of the curvature."""
    return min(1.0, 1.0 / gradient.abs().sum()) * _scalar(lr)


def _real(tensor: Tensor) -> Tensor:
    return view_as_real(tensor) if tensor.is_complex() else tensor


def _remember(state: dict[str, Any], change: Tensor, step: Tensor, history_size: int) -> None:
    """Keep a pair of changes, if the curvature between them is positive."""
    curvature = change.dot(step)
    if not curvature > 1e-10:
        return
    if len(state["old_dirs"]) == history_size:
        for name in ("old_dirs", "old_stps", "ro"):
            state[name].pop(0)
    state["old_dirs"].append(change)
    state["old_stps"].append(step)
    state["ro"].append(1.0 / curvature)
    state["H_diag"] = curvature / change.dot(change)


def _two_loops(state: dict[str, Any], gradient: Tensor, history_size: int) -> Tensor:
    """The product of the approximate inverse Hessian with the negative gradient (Nocedal and Wright, 7.4)."""
    weights = state.setdefault("al", [None] * history_size)
    pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
    direction = gradient.neg()
    for i, (change, step, inverse) in reversed(list(enumerate(pairs))):
        weights[i] = step.dot(direction) * inverse
        direction.add_(change, alpha=-number(weights[i]))
    direction = direction * state["H_diag"]
    for i, (change, step, inverse) in enumerate(pairs):
        direction.add_(step, alpha=number(weights[i] - change.dot(direction) * inverse))
    return direction
