"""Batch normalization, and what normalizations share."""

from __future__ import annotations

from typing import Any

from retrograd.dtypes import int64
from retrograd.nn import functional as F
from retrograd.nn.modules.affine import register_affine, reset_affine
from retrograd.nn.modules.module import Module
from retrograd.ops.creation import tensor
from retrograd.ops.factories import ones, zeros
from retrograd.tensor import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]


class _NormBase(Module):
    """Channels' statistics and affine parameters, which batch and instance norm share."""

    _version = 2
    ranks: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        register_affine(self, num_features, **options, weight=affine, bias=affine and bias)
        if track_running_stats:
            self.register_buffer("running_mean", zeros(num_features, **options))
            self.register_buffer("running_var", ones(num_features, **options))
            self.register_buffer("num_batches_tracked", tensor(0, dtype=int64, device=device))
        else:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Start the running statistics afresh."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set the weights to one, the biases to zero, and the statistics to their start."""
        self.reset_running_stats()
        reset_affine(self)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        """State of before the counter of batches existed gets the present one."""
        key = prefix + "num_batches_tracked"
        if local_metadata.get("version", 0) < 2 and self.track_running_stats and key not in state_dict:
            state_dict[key] = self.num_batches_tracked
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in self.ranks:
            expected = " or ".join(f"{n}D" for n in self.ranks)
            raise ValueError(f"expected {expected} input (got {input.ndim}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the plain average of all batches
                momentum = 1.0 / float(self.num_batches_tracked)
        by_batch = self.training or (self.running_mean is None and self.running_var is None)
        updates = not self.training or self.track_running_stats
        return F.batch_norm(
            input, self.running_mean if updates else None, self.running_var if updates else None,
            self.weight, self.bias,
            by_batch, momentum, self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, L).

    Source: Ioffe and Szegedy, "Batch normalization", 2015;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of (N, C, H, W).

    Source: Ioffe and Szegedy, "Batch normalization", 2015;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.BatchNorm2d(3)
    >>> layer(retrograd.randn(4, 3, 5, 5)).shape
    retrograd.Size([4, 3, 5, 5])
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of (N, C, D, H, W)."""

    ranks = (5,)
