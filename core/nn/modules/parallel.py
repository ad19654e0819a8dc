"""Modules for several GPUs or processes, as one process on CPUs sees them."""

from __future__ import annotations

from typing import Any

from retrograd.nn.modules.batchnorm import _BatchNorm
from retrograd.nn.modules.module import Module
from retrograd.tensor import Tensor

__all__ = ["DataParallel", "SyncBatchNorm"]


class SyncBatchNorm(_BatchNorm):
    """Batch normalization over the batches of all processes of a group, of which there is one here.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.SyncBatchNorm.html

    Examples
    --------
    >>> import retrograd
    >>> retrograd.nn.SyncBatchNorm(2)(retrograd.tensor([[1.0, 0.0], [3.0, 0.0]])).detach()
    tensor([[-1.0000,  0.0000],
            [ 1.0000,  0.0000]])
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, process_group: Any = None, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with every batch normalization in it as a `SyncBatchNorm` of the same parameters."""
        made = module
        if isinstance(module, _BatchNorm):
            synced = cls(
                module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats,
                process_group,
            )  # fmt: skip
            if module.affine:
                synced.weight, synced.bias = module.weight, module.bias
            synced.running_mean, synced.running_var = module.running_mean, module.running_var
            synced.num_batches_tracked = module.num_batches_tracked
            synced.training = module.training
            made = synced
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made


class DataParallel(Module):
    """A module whose batch would be divided among GPUs; without any, it is called as it is.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.DataParallel(retrograd.nn.Linear(2, 1))
    >>> layer(retrograd.ones(3, 2)).shape, list(layer.state_dict())
    (retrograd.Size([3, 1]), ['module.weight', 'module.bias'])
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[Any] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
