"""Adam and its relatives: per-element steps from running averages of the gradient and its square."""

from __future__ import annotations

from typing import Any

from retrograd.optim.optimizer import ParamsT
from retrograd.optim.rule import RuleOptimizer, check, check_betas, check_lr, lerp, number
from retrograd.optim.sgd import check_fused, gradient
from retrograd.tensor import Tensor

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]

Numbers = tuple[Any, ...]


def check_options(lr: Any, eps: float, betas: tuple[float, float], weight_decay: float) -> None:
    check_lr(lr)
    check(eps, "epsilon value", eps >= 0.0)
    check_betas(betas)
    check(weight_decay, "weight_decay value", weight_decay >= 0.0)


def _check_tensors(lr: Any, betas: tuple[Any, Any], together: bool) -> None:
    """Refuse tensors for numbers where PyTorch does: in steps of all parameters `together` on a CPU."""
    if together and isinstance(lr, Tensor):
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
    if not any(all(isinstance(each, kind) for each in betas) for kind in (float, Tensor)):
        raise ValueError("betas must be either both floats or both Tensors")
    if together and isinstance(betas[0], Tensor):
        raise ValueError("betas[0] as a Tensor is not supported for capturable=False and foreach=True")


def moments(grad: Any, exp_avg: Any, exp_avg_sq: Any, one_minus_beta1: Any, beta2: Any, one_minus_beta2: Any) -> Any:
    """Let the running averages of the gradient and of its square take a step, in place."""
    exp_avg = lerp(exp_avg, grad, one_minus_beta1)
    square = grad * one_minus_beta2
    square *= grad
    exp_avg_sq *= beta2
    exp_avg_sq += square
    return exp_avg, exp_avg_sq


class Adam(RuleOptimizer):
    r"""Adam: steps scaled by running averages of the gradient and its square.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g,\quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2,\quad
        w \leftarrow w - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    params
        Parameters or groups of them; see `Optimizer`.
    lr, betas, eps
        :math:`\eta`, :math:`(\beta_1, \beta_2)` and :math:`\epsilon`.
    weight_decay
        Added to the gradient, times the weight; or, with `decoupled_weight_decay`, taken off the weight.
    amsgrad
        Divide by the largest v so far.
    maximize
        Go up the gradient.
    differentiable
        Record the step itself.
    foreach, capturable, fused
        Accepted, without effect.

    Raises
    ------
    ValueError
        If an option is out of its range.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html

    Examples
    --------
    >>> import retrograd
    >>> w = retrograd.nn.Parameter(retrograd.tensor([1.0, -2.0]))
    >>> optimizer = retrograd.optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Parameter containing:
    tensor([ 0.5000, -1.5000], requires_grad=True)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_options(lr, eps, betas, weight_decay)
        _check_tensors(lr, betas, bool(foreach) and not capturable)
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        first = ("exp_avg", "exp_avg_sq")
        return (*first, "max_exp_avg_sq") if group["amsgrad"] else first

    def flags(self, group: dict[str, Any]) -> Numbers:
        return bool(group["maximize"]), group["weight_decay"] != 0, bool(group["decoupled_weight_decay"])

    def options(self, group: dict[str, Any]) -> Numbers:
        beta1, beta2 = group["betas"]
        return group["lr"], number(beta1), number(beta2), group["eps"], group["weight_decay"]

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        (step,) = new
        lr, beta1, beta2, eps, weight_decay = options
        decay = 1 - lr * weight_decay if flags[2] else weight_decay
        step_size = lr / (1 - beta1**step)
        return -step_size, (1 - beta2**step) ** 0.5, 1 - beta1, beta2, 1 - beta2, eps, decay

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        maximize, decays, decoupled = flags
        minus_step, correction, one_minus_beta1, beta2, one_minus_beta2, eps, decay = coefficients
        if decays and decoupled:
            param *= decay
        grad = gradient(grad, maximize, param * decay if decays and not decoupled else None)
        exp_avg, exp_avg_sq = moments(grad, slots[0], slots[1], one_minus_beta1, beta2, one_minus_beta2)
        largest = slots[2:]
        if largest:
            largest = (K.maximum(largest[0], exp_avg_sq),)
        denominator = K.sqrt(largest[0] if largest else exp_avg_sq)
        denominator /= correction
        denominator += eps
        change = exp_avg * minus_step
        change /= denominator
        param += change
        return (param, exp_avg, exp_avg_sq, *largest)

    def _step_sparse(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        raise RuntimeError("Adam does not support sparse gradients, please consider SparseAdam instead")


class AdamW(Adam):
    """Adam with decoupled weight decay: each step takes `lr * weight_decay` of the weight off.

    The parameters are those of `Adam`.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html

    Examples
    --------
    >>> import retrograd
    >>> w = retrograd.nn.Parameter(retrograd.ones(2))
    >>> retrograd.optim.AdamW([w]).defaults["weight_decay"]
    0.01
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
            capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip


class Adamax(RuleOptimizer):
    r"""Adam by the infinity norm: the step is divided by the largest recent gradient.

    .. math::
        u \leftarrow \max(\beta_2 u, |g| + \epsilon),\quad
        w \leftarrow w - \frac{\eta}{1 - \beta_1^t} \frac{m}{u}

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_options(lr, eps, betas, weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def flags(self, group: dict[str, Any]) -> Numbers:
        return bool(group["maximize"]), group["weight_decay"] != 0

    def options(self, group: dict[str, Any]) -> Numbers:
        return group["lr"], *group["betas"], group["eps"], group["weight_decay"]

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        lr, beta1, beta2, eps, weight_decay = options
        return -(lr / (1 - beta1 ** new[0])), 1 - beta1, beta2, eps, weight_decay

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        maximize, decays = flags
        minus_step, one_minus_beta1, beta2, eps, weight_decay = coefficients
        grad = gradient(grad, maximize, param * weight_decay if decays else None)
        exp_avg = lerp(slots[0], grad, one_minus_beta1)
        exp_inf = K.maximum(slots[1] * beta2, K.abs(grad) + eps)
        change = exp_avg * minus_step
        change /= exp_inf
        param += change
        return param, exp_avg, exp_inf


class NAdam(RuleOptimizer):
    r"""Adam with Nesterov's momentum, whose factor :math:`\mu_t` grows as the steps go by.

    .. math::
        \mu_t = \beta_1 (1 - \tfrac{1}{2} 0.96^{t \psi}),\quad
        \hat m = \frac{\mu_{t+1} m}{1 - \prod_1^{t+1} \mu_i} + \frac{(1 - \mu_t) g}{1 - \prod_1^t \mu_i},\quad
        w \leftarrow w - \eta \frac{\hat m}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Source: Dozat, "Incorporating Nesterov momentum into Adam", 2016;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html
    """

    scalars = ("step", "mu_product")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr, eps, betas, weight_decay)
        check(momentum_decay, "momentum_decay value", momentum_decay >= 0.0)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def initial_scalar(self, name: str, group: dict[str, Any]) -> float:
        return 1.0 if name == "mu_product" else 0.0

    def slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def flags(self, group: dict[str, Any]) -> Numbers:
        return bool(group["maximize"]), group["weight_decay"] != 0, bool(group["decoupled_weight_decay"])

    def options(self, group: dict[str, Any]) -> Numbers:
        return group["lr"], *group["betas"], group["eps"], group["weight_decay"], group["momentum_decay"]

    @staticmethod
    def advance(scalars: Numbers, options: Numbers) -> Numbers:
        step = scalars[0] + 1
        return step, scalars[1] * momentum_at(step, options[1], options[5])

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        step, product = new
        lr, beta1, beta2, eps, weight_decay, momentum_decay = options
        mu = momentum_at(step, beta1, momentum_decay)
        mu_next = momentum_at(step + 1, beta1, momentum_decay)
        by_grad = -lr * (1.0 - mu) / (1.0 - product)
        by_average = (-lr * mu_next) / (1.0 - product * mu_next)
        decay = 1 - lr * weight_decay if flags[2] else weight_decay
        return by_grad, by_average, 1 - beta2**step, 1 - beta1, beta2, 1 - beta2, eps, decay

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        maximize, decays, decoupled = flags
        by_grad, by_average, correction, one_minus_beta1, beta2, one_minus_beta2, eps, decay = coefficients
        if decays and decoupled:
            param *= decay
        grad = gradient(grad, maximize, param * decay if decays and not decoupled else None)
        exp_avg, exp_avg_sq = moments(grad, slots[0], slots[1], one_minus_beta1, beta2, one_minus_beta2)
        denominator = K.sqrt(exp_avg_sq / correction) + eps
        param += grad * by_grad / denominator
        param += exp_avg * by_average / denominator
        return param, exp_avg, exp_avg_sq


def momentum_at(step: Any, beta1: float, momentum_decay: float) -> Any:
    return beta1 * (1.0 - 0.5 * (0.96 ** (step * momentum_decay)))


class RAdam(RuleOptimizer):
    r"""Adam with a rectified variance: as long as v rests on few gradients, a step is by m alone.

    .. math::
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t},\quad
        \rho_\infty = \frac{2}{1 - \beta_2} - 1,\quad
        r_t = \sqrt{\frac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2) \rho_t}}

    and for :math:`\rho_t > 5` Adam's step is multiplied by :math:`r_t`.

    Source: Liu et al., "On the variance of the adaptive learning rate and beyond", 2020;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(lr, eps, betas, weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    slots = NAdam.slots
    flags = NAdam.flags

    def options(self, group: dict[str, Any]) -> Numbers:
        return group["lr"], *group["betas"], group["eps"], group["weight_decay"]

    @staticmethod
    def schedule(K: Any, flags: Any, old: Numbers, new: Numbers, options: Numbers) -> Numbers:
        (step,) = new
        lr, beta1, beta2, eps, weight_decay = options
        correction2 = 1 - beta2**step
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * step * (beta2**step) / correction2
        ratio = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
        if isinstance(rho, float):
            rectified, rect = rho > 5.0, ratio**0.5 if rho > 5.0 else 1.0
        else:
            rectified, rect = K.astype(rho > 5.0, rho.dtype), K.maximum(ratio, ratio * 0) ** 0.5
        decay = 1 - lr * weight_decay if flags[2] else weight_decay
        return (
            lr, 1 - beta1**step, correction2**0.5, rect, rectified, 1 - beta1, beta2, 1 - beta2, eps, decay
        )  # fmt: skip

    @staticmethod
    def formula(K: Any, flags: Any, coefficients: Numbers, param: Any, grad: Any, *slots: Any) -> Numbers:
        maximize, decays, decoupled = flags
        lr, correction1, correction2, rect, rectified, *of_moments, eps, decay = coefficients
        if decays and decoupled:
            param *= decay
        grad = gradient(grad, maximize, param * decay if decays and not decoupled else None)
        exp_avg, exp_avg_sq = moments(grad, *slots, *of_moments)
        change = exp_avg / correction1 * lr
        if rectified is not False:
            scaled = change * (correction2 / (K.sqrt(exp_avg_sq) + eps)) * rect
            change = scaled if rectified is True else K.where(rectified > 0, scaled, change)
        param -= change
        return param, exp_avg, exp_avg_sq
