"""Optimizers with per-element steps that are older or rarer than Adam's family."""

from __future__ import annotations

from typing import Any

from retrograd.autograd.modes import no_grad
from retrograd.optim.adam import Numbers
from retrograd.optim.optimizer import ParamsT
from retrograd.optim.rule import RuleOptimizer, check, check_lr, lerp, number
from retrograd.optim.sgd import check_fused, gradient
from retrograd.sparse.construction import with_values
from retrograd.tensor import Tensor

__all__ = ["ASGD", "Adadelta", "Adagrad", "RMSprop", "Rprop"]


class Adadelta(RuleOptimizer):
    r"""Steps in the ratio of two running averages: of squared steps and of squared gradients.

    .. math::
        v \leftarrow \rho v + (1 - \rho) g^2,\quad
        \Delta = \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}} g,\quad
        u \leftarrow \rho u + (1 - \rho) \Delta^2,\quad w \leftarrow w - \eta \Delta

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(rho, "rho value", 0.0 <= rho <= 1.0)
        check(eps, "epsilon value", eps >= 0.0)
        check(weight_decay, "weight_decay value", weight_decay >= 0.0)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def flags(self, group: dict[str, Any]) -> Numbers:
        return bool(group["maximize"]), group["weight_decay"] != 0

    def options(self, group: dict[str, Any]) -> Numbers:
        return group["lr"], group["rho"], group["eps"], group["weight_decay"]

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        lr, rho, eps, weight_decay = options
        return -lr, rho, 1 - rho, eps, weight_decay

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        maximize, decays = flags
        minus_lr, rho, one_minus_rho, eps, weight_decay = coefficients
        square_avg, acc_delta = slots
        grad = gradient(grad, maximize, param * weight_decay if decays else None)
        square_avg *= rho
        square_avg += grad * one_minus_rho * grad
        delta = K.sqrt(acc_delta + eps) / K.sqrt(square_avg + eps) * grad
        acc_delta *= rho
        acc_delta += delta * one_minus_rho * delta
        param += delta * minus_lr
        return param, square_avg, acc_delta


class Adagrad(RuleOptimizer):
    r"""Steps divided by the root of the sum of all squared gradients so far.

    .. math::
        s \leftarrow s + g^2,\quad
        w \leftarrow w - \frac{\eta}{1 + (t - 1) \eta_\lambda} \frac{g}{\sqrt{s} + \epsilon}

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods", 2011;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check(lr_decay, "lr_decay value", lr_decay >= 0.0)
        check(weight_decay, "weight_decay value", weight_decay >= 0.0)
        check(initial_accumulator_value, "initial_accumulator_value value", initial_accumulator_value >= 0.0)
        check(eps, "epsilon value", eps >= 0.0)
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        # The state exists from the start, as in PyTorch, so that it can be shared or saved before a step.
        for group in self.param_groups:
            for p in group["params"]:
                self.state_of(p, group)

    def initial(self, name: str, param: Tensor, group: dict[str, Any]) -> Any:
        k, array = param._kernels, param._array
        value = group["initial_accumulator_value"]
        return k.full(tuple(array.shape), complex(value, value) if param.is_complex() else value, array.dtype)

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def flags(self, group: dict[str, Any]) -> Numbers:
        return bool(group["maximize"]), group["weight_decay"] != 0

    def options(self, group: dict[str, Any]) -> Numbers:
        return group["lr"], group["lr_decay"], group["eps"], group["weight_decay"]

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        lr, lr_decay, eps, weight_decay = options
        return -(lr / (1 + (new[0] - 1) * lr_decay)), eps, weight_decay

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        maximize, decays = flags
        minus_lr, eps, weight_decay = coefficients
        (total,) = slots
        grad = gradient(grad, maximize, param * weight_decay if decays else None)
        total += grad * grad
        param += grad * minus_lr / (K.sqrt(total) + eps)
        return param, total

    @no_grad()
    def _step_sparse(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        """The same formula for the rows that the gradient has."""
        if group["weight_decay"] != 0:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        state = self.state_of(p, group)
        step, total = state["step"], state["sum"]
        step += 1
        grad = (-grad if group["maximize"] else grad).coalesce()
        values = grad.values()
        total.add_(with_values(grad, values * values))
        root = total.sparse_mask(grad)._values().sqrt() + group["eps"]
        rate = number(group["lr"]) / (1 + (step.item() - 1) * group["lr_decay"])
        p.add_(with_values(grad, values / root), alpha=-rate)


class RMSprop(RuleOptimizer):
    r"""Steps divided by the root of a running average of squared gradients.

    .. math::
        v \leftarrow \alpha v + (1 - \alpha) g^2,\quad w \leftarrow w - \eta \frac{g}{\sqrt{v} + \epsilon}

    `centered` takes the square of the gradient's own average off v; with `momentum` the divided
    gradients are accumulated as in SGD.

    Source: Hinton, lecture 6e of "Neural networks for machine learning", 2012;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check(eps, "epsilon value", eps >= 0.0)
        check(momentum, "momentum value", momentum >= 0.0)
        check(weight_decay, "weight_decay value", weight_decay >= 0.0)
        check(alpha, "alpha value", alpha >= 0.0)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        buffer = ("momentum_buffer",) if group["momentum"] > 0 else ()
        return ("square_avg", *buffer, *(("grad_avg",) if group["centered"] else ()))

    def flags(self, group: dict[str, Any]) -> Numbers:
        return (
            bool(group["maximize"]), group["weight_decay"] != 0, group["momentum"] > 0,
            bool(group["centered"]),
        )  # fmt: skip

    def options(self, group: dict[str, Any]) -> Numbers:
        return group["lr"], group["alpha"], group["eps"], group["weight_decay"], group["momentum"]

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        lr, alpha, eps, weight_decay, momentum = options
        return -lr, alpha, 1 - alpha, eps, weight_decay, momentum

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        maximize, decays, has_momentum, centered = flags
        minus_lr, alpha, one_minus_alpha, eps, weight_decay, momentum = coefficients
        grad = gradient(grad, maximize, param * weight_decay if decays else None)
        square_avg, *rest = slots
        square_avg *= alpha
        square_avg += grad * one_minus_alpha * grad
        average = square_avg
        if centered:
            rest[-1] = lerp(rest[-1], grad, one_minus_alpha)
            average = square_avg - rest[-1] * rest[-1]
        average = K.sqrt(average) + eps
        if has_momentum:
            buffer = rest[0]
            buffer *= momentum
            buffer += grad / average
            rest[0] = buffer
            param += buffer * minus_lr
        else:
            param += grad * minus_lr / average
        return (param, square_avg, *rest)


class Rprop(RuleOptimizer):
    r"""Resilient backpropagation: only the gradient's sign counts, each element has a step of its own.

    An element's step grows by :math:`\eta_+` while the sign stays and shrinks by :math:`\eta_-` when
    it turns, and then the element rests for one step.

    Source: Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning", 1993;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def initial(self, name: str, param: Tensor, group: dict[str, Any]) -> Any:
        if name == "prev":
            return super().initial(name, param, group)
        k, array, lr = param._kernels, param._array, number(group["lr"])
        return k.full(tuple(array.shape), complex(lr, lr) if param.is_complex() else lr, array.dtype)

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def options(self, group: dict[str, Any]) -> Numbers:
        return *group["etas"], *group["step_sizes"]

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        return options

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        shrink, grow, smallest, largest = coefficients
        grad = gradient(grad, flags[0])
        prev, step_size = slots
        agreement = grad * prev
        turned = agreement < 0
        step_size = K.where(agreement > 0, step_size * grow, K.where(turned, step_size * shrink, step_size))
        step_size = K.maximum(K.minimum(step_size, step_size * 0 + largest), step_size * 0 + smallest)
        grad = K.where(turned, grad * 0, grad)
        param -= K.sign(grad) * step_size
        return param, grad, step_size


class ASGD(RuleOptimizer):
    r"""Averaged stochastic gradient descent: beside the weights, the state holds their average `ax`.

    .. math::
        w \leftarrow (1 - \lambda \eta_t) w - \eta_t g,\quad
        \eta_t = \frac{\eta}{(1 + \lambda \eta t)^\alpha},\quad
        \bar w \leftarrow \bar w + \mu_t (w - \bar w),\quad \mu_t = \frac{1}{\max(1, t - t_0)}

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.ASGD.html
    """

    scalars = ("step", "eta", "mu")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check(weight_decay, "weight_decay value", weight_decay >= 0.0)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def initial_scalar(self, name: str, group: dict[str, Any]) -> float:
        return {"step": 0.0, "eta": float(number(group["lr"])), "mu": 1.0}[name]

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("ax",)

    def flags(self, group: dict[str, Any]) -> Numbers:
        return bool(group["maximize"]), group["weight_decay"] != 0

    def options(self, group: dict[str, Any]) -> Numbers:
        return group["lr"], group["lambd"], group["alpha"], group["t0"], group["weight_decay"]

    @staticmethod
    def advance(scalars: Numbers, options: Numbers) -> Numbers:
        lr, lambd, alpha, t0, _ = options
        step = scalars[0] + 1
        past = step - t0
        # The larger of 1 and `past`, written so that it holds for a number and for a traced array.
        steps_averaged = 1 + (past - 1) * (past > 1)
        return step, lr / ((1 + lambd * lr * step) ** alpha), 1 / steps_averaged

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        _, eta, mu = old
        return -eta, 1 - options[1] * eta, mu, options[4]

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        maximize, decays = flags
        minus_eta, decay, mu, weight_decay = coefficients
        (average,) = slots
        grad = gradient(grad, maximize, param * weight_decay if decays else None)
        param *= decay
        param += grad * minus_eta
        if isinstance(mu, float):
            moved = param * 1.0 if mu == 1 else average + (param - average) * mu
        else:
            moved = K.where(mu == 1, param, average + (param - average) * mu)
        return param, moved
