"""Weights over their largest singular value, by a hook; `parametrizations.spectral_norm` has no need of one."""

from __future__ import annotations

from typing import Any, TypeVar

from retrograd.autograd.modes import no_grad
from retrograd.nn.functions.normalization import normalize
from retrograd.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from retrograd.nn.modules.module import Module
from retrograd.ops.linalg import dot, mv
from retrograd.ops.sampling import randn
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]

M = TypeVar("M", bound=Module)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with `dim` first and all other dimensions merged."""
    return weight.movedim(dim, 0).flatten(1)


def random_direction(size: int, like: Tensor, eps: float) -> Tensor:
    return normalize(randn(size, dtype=like.dtype, device=like.device), dim=0, eps=eps)


def output_dim(module: Module, dim: int | None) -> int:
    """The dimension of outputs: the second of a transposed convolution's weight, else the first."""
    if dim is not None:
        return dim
    return 1 if isinstance(module, ConvTranspose1d | ConvTranspose2d | ConvTranspose3d) else 0


def check_iterations(count: int) -> None:
    if count <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={count}")


class SpectralNorm:
    """The hook of `spectral_norm`, which computes the weight before each call."""

    _version: int = 1

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        check_iterations(n_power_iterations)
        self.name = name
        self.dim = dim
        self.n_power_iterations = n_power_iterations
        self.eps = eps

    def reshape_weight_to_matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix, outputs first."""
        return as_matrix(weight, self.dim)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight over ``u @ W @ v``, after a step of u and v towards the singular vectors if wanted."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v = normalize(mv(matrix.t(), u), dim=0, eps=self.eps, out=v)
                    u = normalize(mv(matrix, v), dim=0, eps=self.eps, out=u)
                # Copies, for the next call writes to u and v before the backward pass of this one.
                u, v = u.clone(), v.clone()
        return weight / dot(u, mv(matrix, v))

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for suffix in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + suffix)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Put the original weight and two vectors in the weight's place, and register the hooks."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        made = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        with no_grad():
            rows, columns = made.reshape_weight_to_matrix(weight).shape
            u, v = (random_direction(size, weight, eps) for size in (rows, columns))
        delattr(module, name)
        module.register_parameter(name + "_orig", weight)
        # Until the first call, for whoever looks at the weight before; not as a parameter.
        setattr(module, name, weight.data)
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        module.register_forward_pre_hook(made)
        module.register_state_dict_post_hook(_NoteVersion(made))
        return made


class _NoteVersion:
    """Writes into the metadata of a state dict which kind of `SpectralNorm` it is of."""

    def __init__(self, norm: SpectralNorm) -> None:
        self.norm = norm

    def __call__(self, module: Module, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> None:
        versions = local_metadata.setdefault("spectral_norm", {})
        key = self.norm.name + ".version"
        if key in versions:
            raise RuntimeError(f"Unexpected key in metadata['spectral_norm']: {key}")
        versions[key] = self.norm._version


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> M:
    """Divide a weight by its largest singular value, which is estimated by the power method.

    ``weight = weight_orig / (u @ weight_orig @ v)``; each call while training takes u and v a step closer to the
    singular vectors.

    Parameters
    ----------
    n_power_iterations
        How many steps a call takes.
    eps
        Added to norms.
    dim
        The dimension of outputs; 1 for transposed convolutions and else 0 by default.

    Raises
    ------
    RuntimeError, ValueError
        If the weight has such a hook, or there is none; or the number of steps is not positive.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks", 2018;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.spectral_norm.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.utils.spectral_norm(retrograd.nn.Linear(3, 2))
    >>> sorted(layer.state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    SpectralNorm.apply(module, name, n_power_iterations, output_dim(module, dim), eps)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Undo `spectral_norm`.

    Raises
    ------
    ValueError
        If the weight has no such hook.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.remove_spectral_norm.html
    """
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            break
    else:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for key, note in module._state_dict_hooks.items():
        if isinstance(note, _NoteVersion) and note.norm.name == name:
            del module._state_dict_hooks[key]
            break
    return module
