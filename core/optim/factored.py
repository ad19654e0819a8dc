"""Optimizers of matrices: with factored statistics, and with orthogonalized steps; and Adam for sparse gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from retrograd.autograd.modes import enable_grad, no_grad
from retrograd.dtypes import finfo, float32
from retrograd.ops.creation import tensor, zeros, zeros_like
from retrograd.ops.linalg import addmm
from retrograd.optim.optimizer import Optimizer, ParamsT
from retrograd.optim.rule import number
from retrograd.sparse.construction import with_values
from retrograd.tensor import Tensor

__all__ = ["Adafactor", "Muon", "SparseAdam"]


def _check(ok: bool, text: str) -> None:
    if not ok:
        raise ValueError(text)


def _check_lr(lr: float | Tensor) -> None:
    _check(not isinstance(lr, Tensor) or lr.numel() == 1, "Tensor lr must be 1-element")
    _check(number(lr) >= 0.0, f"Learning rate should be >= 0 but is: {lr}")


class _Stepping(Optimizer):
    """An optimizer that changes one parameter after the other."""

    _takes_sparse = False

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do one step; see `Optimizer.step`."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        if param.is_complex():
                            raise RuntimeError(f"{type(self).__name__} does not support complex parameters")
                        if param.grad._kernels.sparse and not self._takes_sparse:
                            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
                        self._change(param, param.grad, self.state[param], group)
        return loss

    def _change(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        raise NotImplementedError


class Adafactor(_Stepping):
    r"""Steps divided by the root of averages of squared gradients, of which of a matrix only rows and columns are kept.

    .. math::
        R \leftarrow (1 - \beta_t) R + \beta_t \overline{g^2}_{rows},\quad
        C \leftarrow (1 - \beta_t) C + \beta_t \overline{g^2}_{columns},\quad
        V = \frac{R C}{\overline R},\quad \beta_t = t^\lambda

    The steps are clipped to a root mean square of `d`, and scaled by the parameter's own.

    Raises
    ------
    ValueError
        If an option is out of range.

    Source: Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html
    """

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
        foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check(beta2_decay <= 0.0, f"beta2_decay should be <= 0 but is: {beta2_decay}")
        _check(eps[0] is None or eps[0] >= 0.0, f"epsilon1 should be >= 0 but is: {eps[0]}")
        _check(eps[1] >= 0.0, f"epsilon2 should be >= 0 but is: {eps[1]}")
        _check(d >= 1.0, f"Clipping threshold d should be >= 1 but is: {d}")
        _check(weight_decay >= 0.0, f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    @staticmethod
    def _begin(grad: Tensor, state: dict[str, Any]) -> None:
        state["step"] = tensor(0.0, dtype=float32)
        if grad.ndim > 1:
            *lead, rows, columns = grad.shape
            options: Any = {"dtype": grad.dtype, "device": grad.device}
            state["row_var"] = zeros(*lead, rows, 1, **options)
            state["col_var"] = zeros(*lead, 1, columns, **options)
        else:
            state["variance"] = zeros_like(grad)

    def _change(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            self._begin(grad, state)
        grad = -grad if group["maximize"] else grad
        lr, (eps1, eps2) = number(group["lr"]), group["eps"]
        eps1 = finfo(param.dtype).eps if eps1 is None else eps1
        state["step"] += 1
        count = state["step"].item()
        beta = count ** group["beta2_decay"]
        size = max(eps2, param.norm(2).item() / param.numel() ** 0.5) * min(lr, 1 / count**0.5)
        if group["weight_decay"] != 0:
            param.mul_(1 - lr * group["weight_decay"])
        if grad.ndim > 1:
            row, column = state["row_var"], state["col_var"]
            row.lerp_(grad.norm(2, -1, keepdim=True).square() / grad.shape[-1], beta)
            column.lerp_(grad.norm(2, -2, keepdim=True).square() / grad.shape[-2], beta)
            variance = (row @ column) / row.mean(-2, keepdim=True).clamp(min=eps1)
        else:
            variance = state["variance"].lerp_(grad * grad, beta)
        update = variance.clamp(min=eps1 * eps1).rsqrt() * grad
        clipped = max(1.0, update.norm(2).item() / (update.numel() ** 0.5 * group["d"]))
        param.add_(update, alpha=-size / clipped)


class Muon(_Stepping):
    r"""Steps along the momentum of a matrix, with all its singular values brought near one.

    .. math::
        B \leftarrow \mu B + (1 - \mu) g,\quad
        w \leftarrow (1 - \eta \lambda) w - \eta' \operatorname{NS}(B)

    NS iterates ``X <- a X + b (X X^T) X + c (X X^T)^2 X``, in bfloat16. `adjust_lr_fn` says how the rate depends on the
    shape (A, B): `"original"` multiplies it by ``sqrt(max(1, A / B))``, `"match_rms_adamw"` by ``0.2 sqrt(max(A, B))``.

    Raises
    ------
    ValueError
        If an option is out of range, or a parameter no matrix.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html
    """

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
        nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None,
    ) -> None:  # fmt: skip
        _check_lr(lr)
        _check(momentum >= 0.0, f"momentum should be >= 0 but is: {momentum}")
        _check(weight_decay >= 0.0, f"weight decay should be >= 0 but is: {weight_decay}")
        known = adjust_lr_fn in (None, "original", "match_rms_adamw")
        _check(known, f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                text = f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}"
                _check(p.ndim == 2, text)

    def _change(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = zeros_like(grad)
        lr, momentum = number(group["lr"]), group["momentum"]
        buffer = state["momentum_buffer"].lerp_(grad, 1 - momentum)
        update = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        update = _orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = param.shape
        matches = group["adjust_lr_fn"] == "match_rms_adamw"
        ratio = 0.2 * math.sqrt(max(rows, columns)) if matches else math.sqrt(max(1, rows / columns))
        param.mul_(1 - lr * group["weight_decay"])
        param.add_(update, alpha=-lr * ratio)


def _orthogonalized(grad: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """A matrix with the singular vectors of `grad`, and singular values near one."""
    _check(steps < 100, "Number of steps must be less than 100 for computational efficiency")
    _check(len(coefficients) == 3, "Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    is_tall = grad.shape[0] > grad.shape[1]
    x = grad.bfloat16()
    x = x.T if is_tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = addmm(x, addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x


class SparseAdam(_Stepping):
    r"""Adam for sparse gradients: averages and parameters change only where the gradient has elements.

    .. math::
        m \leftarrow m + (1 - \beta_1) (g - m),\quad v \leftarrow v + (1 - \beta_2) (g^2 - v),\quad
        w \leftarrow w - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \epsilon}

    Raises
    ------
    ValueError
        If an option is out of range, or a parameter is sparse.
    RuntimeError
        In `step`, for a dense gradient.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html

    Examples
    --------
    >>> import retrograd
    >>> table = retrograd.nn.Embedding.from_pretrained(retrograd.ones(2, 1), freeze=False, sparse=True)
    >>> optimizer = retrograd.optim.SparseAdam(table.parameters(), lr=0.5)
    >>> table(retrograd.tensor([1])).sum().backward()
    >>> optimizer.step()
    >>> table.weight.data
    tensor([[1.0000],
            [0.5000]])
    """

    _takes_sparse = True

    def __init__(
        self, params: ParamsT, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, maximize: bool = False,
    ) -> None:  # fmt: skip
        _check(not isinstance(lr, Tensor) or lr.numel() == 1, "Tensor lr must be 1-element")
        _check(number(lr) > 0.0, f"Invalid learning rate: {lr}")
        _check(eps > 0.0, f"Invalid epsilon value: {eps}")
        for i, beta in enumerate(betas):
            _check(0.0 <= beta < 1.0, f"Invalid beta parameter at index {i}: {beta}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        places = [(i, j) for i, group in enumerate(self.param_groups) for j in range(len(group["params"]))]
        sparse = [[i, j] for i, j in places if self.param_groups[i]["params"][j]._kernels.sparse]
        _check(not sparse, f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")

    def _change(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not grad._kernels.sparse:
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        if not state:
            state.update(step=0, exp_avg=zeros_like(param), exp_avg_sq=zeros_like(param))
        state["step"] += 1
        grad = (-grad if group["maximize"] else grad).coalesce()
        if not grad._nnz():
            return
        values, (beta1, beta2) = grad._values(), group["betas"]
        mean = _moved_to(state["exp_avg"], grad, values, beta1)
        square = _moved_to(state["exp_avg_sq"], grad, values * values, beta2)
        step: int = state["step"]
        rate = number(group["lr"]) * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        param.add_(with_values(grad, mean / (square.sqrt() + group["eps"]) * -rate))


def _moved_to(average: Tensor, grad: Tensor, values: Tensor, beta: float) -> Tensor:
    """Move a running average towards `values`, where the gradient has elements; what it is there then."""
    before = average.sparse_mask(grad)._values()
    change = (values - before) * (1 - beta)
    average.add_(with_values(grad, change))
    return change + before
