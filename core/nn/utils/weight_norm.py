"""Weights as direction times length, by a hook; `parametrizations.weight_norm` does the same by a parametrization."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from retrograd.nn.modules.module import Module
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def lengths_except(weight: Tensor, dim: int) -> Tensor:
    """The norm of each slice along `dim`, of the shape that broadcasts; of all together, if that is -1."""
    if dim == -1:
        return weight.norm()
    kept = dim % weight.ndim
    others = [each for each in range(weight.ndim) if each != kept]
    return weight.norm(2, others, keepdim=True) if others else weight.abs()


def scaled(direction: Tensor, length: Tensor, dim: int) -> Tensor:
    """``direction * (length / |direction|)``."""
    return direction * (length / lengths_except(direction, dim))


class WeightNorm:
    """The hook of `weight_norm`, which computes the weight before each call."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight, from its direction and length."""
        return scaled(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Put the two parameters in the weight's place, and register the hook."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        made = WeightNorm(name, dim)
        weight = getattr(module, name)
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(lengths_except(weight, made.dim).data))
        module.register_parameter(name + "_v", Parameter(weight.data))
        setattr(module, name, made.compute_weight(module))
        module.register_forward_pre_hook(made)
        return made

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    r"""Train direction and length of a weight apart: ``weight = weight_g * weight_v / |weight_v|``.

    Deprecated by PyTorch in favour of `parametrizations.weight_norm`.

    Parameters
    ----------
    dim
        The dimension along which each slice has a length of its own. None: there is one length.

    Raises
    ------
    RuntimeError
        If the weight has such a hook.

    Source: Salimans and Kingma, "Weight normalization", 2016;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.weight_norm.html
    """
    warnings.warn(
        "`retrograd.nn.utils.weight_norm` is deprecated in favor of `retrograd.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo `weight_norm`.

    Raises
    ------
    ValueError
        If the weight has no such hook.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.remove_weight_norm.html
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
