"""Parametrizations that are often wanted."""

from __future__ import annotations

from typing import Any, TypeVar

from retrograd.autograd.modes import no_grad
from retrograd.nn.functions.normalization import normalize
from retrograd.nn.modules.module import Module
from retrograd.nn.utils.orthogonal import orthogonal
from retrograd.nn.utils.parametrize import register_parametrization
from retrograd.nn.utils.spectral_norm import as_matrix, check_iterations, output_dim, random_direction
from retrograd.nn.utils.weight_norm import lengths_except, scaled
from retrograd.ops.linalg import mv, vdot
from retrograd.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


class _WeightNorm(Module):
    """A weight from its lengths and its direction."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return scaled(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The lengths of a weight, and the weight."""
        return lengths_except(weight, self.dim), weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Train direction and length of a weight apart: ``weight = original0 * original1 / |original1|``.

    State dicts of the older `nn.utils.weight_norm` can be loaded.

    Parameters
    ----------
    dim
        The dimension along which each slice has a length of its own. None: there is one length.

    Source: Salimans and Kingma, "Weight normalization", 2016;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.weight_norm.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.utils.parametrizations.weight_norm(retrograd.nn.Linear(3, 2))
    >>> layer.parametrizations.weight.original0.shape
    retrograd.Size([2, 1])
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(_: Module, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        old = [f"{prefix}{name}{suffix}" for suffix in ("_g", "_v")]
        if all(key in state_dict for key in old):
            for place, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{place}"] = state_dict.pop(key)

    module.register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    """A weight over its largest singular value; while training, each call estimates it better."""

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        ndim = weight.ndim
        if not -ndim <= dim < ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})")
        check_iterations(n_power_iterations)
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight, self.dim)
            with no_grad():
                u, v = (random_direction(size, weight, eps) for size in matrix.shape)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)
            self._power_method(matrix, 15)

    @no_grad()
    def _power_method(self, matrix: Tensor, steps: int) -> None:
        for _ in range(steps):
            self._u = normalize(mv(matrix, self._v), dim=0, eps=self.eps, out=self._u)
            self._v = normalize(mv(matrix.mH, self._u), dim=0, eps=self.eps, out=self._v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        # Copies, for the next call writes to u and v before the backward pass of this one.
        u, v = self._u.clone(), self._v.clone()
        return weight / vdot(u, mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value itself, which is divided at the next use."""
        return value


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight by its largest singular value, which is estimated by the power method.

    Each use of the weight while training takes the estimate a step further.

    Parameters
    ----------
    n_power_iterations
        How many steps a use takes.
    eps
        Added to norms.
    dim
        The dimension of outputs; 1 for transposed convolutions and else 0 by default.

    Raises
    ------
    ValueError, IndexError
        If there is no such weight or dimension, or the number of steps is not positive.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", 2018;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.spectral_norm.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.utils.parametrizations.spectral_norm(retrograd.nn.Linear(3, 2))
    >>> sorted(layer.state_dict())[1:]
    ['parametrizations.weight.0._u', 'parametrizations.weight.0._v', 'parametrizations.weight.original']
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    norm = _SpectralNorm(weight, n_power_iterations, output_dim(module, dim), eps)
    register_parametrization(module, name, norm)
    return module
