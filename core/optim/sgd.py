"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.optim.optimizer import ParamsT
from retrograd.optim.rule import RuleOptimizer, check, check_lr, number
from retrograd.storage import announce, bump, refuse_overlap, write
from retrograd.tensor import Tensor, wrap_array

__all__ = ["SGD"]


class SGD(RuleOptimizer):
    r"""Gradient descent, with momentum if wanted.

    .. math:: g \leftarrow g + \lambda w,\quad b \leftarrow \mu b + (1 - \tau) g,\quad w \leftarrow w - \eta b

    where the buffer b starts as the first gradient; without momentum b is g. With Nesterov's
    momentum the step is along :math:`g + \mu b`.

    Parameters
    ----------
    params
        Parameters or groups of them; see `Optimizer`.
    lr, momentum, dampening, weight_decay
        :math:`\eta`, :math:`\mu`, :math:`\tau` and :math:`\lambda`.
    nesterov
        Use Nesterov's momentum.
    maximize
        Go up the gradient.
    differentiable
        Record the step itself.
    foreach, fused
        Accepted, without effect.

    Raises
    ------
    ValueError
        If a number is negative, or Nesterov's momentum is wanted without momentum or with dampening.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html

    Examples
    --------
    >>> import retrograd
    >>> w = retrograd.nn.Parameter(retrograd.tensor([1.0, 2.0]))
    >>> optimizer = retrograd.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5, 1.0]
    """

    scalars = ()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check(momentum, "momentum value", momentum >= 0.0)
        check(weight_decay, "weight_decay value", number(weight_decay) >= 0.0)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step; see `Optimizer.step`."""
        if closure is not None:
            return super().step(closure)
        for group in self.param_groups:
            lr = group["lr"]
            if group["momentum"] or group["weight_decay"] or group["differentiable"] or group["maximize"]:
                self._step_group(group)
            elif type(lr) is float:
                _descend(group["params"], -lr)
            else:
                _descend(group["params"], -number(lr))
        self._sign()
        return None

    def flags(self, group: dict[str, Any]) -> tuple[Any, ...]:
        return (
            bool(group["maximize"]), number(group["weight_decay"]) != 0, group["momentum"] != 0,
            bool(group["nesterov"]),
        )  # fmt: skip

    def options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return group["lr"], group["momentum"], group["dampening"], group["weight_decay"]

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _step_group(self, group: dict[str, Any]) -> None:
        flags, names = self.flags(group), self.slots(group)
        options = tuple(map(number, self.options(group)))
        apply = self._apply_recorded if group["differentiable"] else self._apply
        for p in group["params"]:
            grad = None if p._tensor_meta is None else p._tensor_meta.grad
            if grad is None:
                continue
            if grad._kernels is not p._kernels:
                self._step_sparse(p, grad, group)
                continue
            state: dict[str, Any] = self.state[p] if names else {}
            is_first = bool(names) and state.get("momentum_buffer") is None
            if is_first:
                state["momentum_buffer"] = wrap_array(self.initial("momentum_buffer", p, group), p._kernels)
            apply(p, grad, state, names, (*flags, is_first), options)

    @no_grad()
    def _step_sparse(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        """The same formula on tensors; the buffer is sparse, too."""
        grad = -grad if group["maximize"] else grad
        if group["weight_decay"]:
            grad = grad.add(p, alpha=group["weight_decay"])  # which is refused, as in PyTorch
        if group["momentum"]:
            state: dict[str, Any] = self.state[p]
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = grad.detach().clone()
            else:
                buffer.mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        p.add_(grad, alpha=-number(group["lr"]))

    @staticmethod
    def advance(scalars: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, ...]:
        return ()

    @staticmethod
    def schedule(K: Any, flags: Any, old: Any, new: Any, options: tuple[Any, ...]) -> tuple[Any, ...]:
        lr, momentum, dampening, weight_decay = options
        return -lr, momentum, 1 - dampening, weight_decay

    @staticmethod
    def formula(
        K: Any, flags: tuple[Any, ...], coefficients: tuple[Any, ...], param: Any, grad: Any, *slots: Any
    ) -> tuple[Any, ...]:
        maximize, decays, has_momentum, nesterov, is_first = flags
        minus_lr, momentum, undamped, weight_decay = coefficients
        grad = gradient(grad, maximize, param * weight_decay if decays else None)
        if has_momentum:
            (buffer,) = slots
            if is_first:  # of zeros: the first gradient enters whole, whatever the dampening
                buffer += grad
            else:
                buffer *= momentum
                buffer += grad * undamped
            grad = grad + buffer * momentum if nesterov else buffer
            slots = (buffer,)
        param += grad * minus_lr
        return (param, *slots)


def gradient(grad: Any, maximize: bool, decay: Any = None) -> Any:
    """The gradient to descend along: turned round to maximize, with the weight decay's part. Never in place."""
    if maximize:
        grad = -grad
    return grad if decay is None else grad + decay


def check_fused(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """Refuse combinations of implementations that PyTorch refuses.

    Raises
    ------
    RuntimeError
        If `fused` is set together with `differentiable` or `foreach`.
    """
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def _descend(params: list[Tensor], minus_lr: float) -> None:
    """The plain rule, `w += -lr * g`, without any detour: it is what small models spend their steps on."""
    for p in params:
        meta = p._tensor_meta
        if meta is None or meta.grad is None:
            continue
        if meta.grad._kernels is not p._kernels:
            with no_grad():
                p.add_(meta.grad, alpha=minus_lr)
            continue
        if meta.storage is not None:
            refuse_overlap(p, ())
        announce(p)
        k, array = p._kernels, p._array
        if k.mutable:
            change = k.multiply(meta.grad._array, minus_lr)
            try:
                k.add(array, change, array)
            except ValueError:  # NumPy's arrays that have been broadcast, though to their own shape, are read-only
                write(p, k.add(array, change))
            else:
                bump(p)
        elif k.compile is None:
            write(p, array + meta.grad._array * minus_lr)
        else:
            write(p, _compiled_descent(k)(k, array, meta.grad._array, minus_lr))


def _compiled_descent(k: Any) -> Callable[..., Any]:
    if k not in _descents:
        _descents[k] = k.compile(lambda K, array, grad, minus_lr: array + grad * minus_lr, ())
    return _descents[k]


_descents: dict[Any, Callable[..., Any]] = {}
