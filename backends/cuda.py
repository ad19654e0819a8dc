"""The switches of CUDA's kernels, of which there are none here. They can be set, and change nothing.

A GPU is a device of a backend: `retrograd.device("jax:gpu")`.

Source: https://docs.pytorch.org/docs/stable/backends.html#torch-backends-cuda
"""

from __future__ import annotations

from types import SimpleNamespace

__all__ = [
    "cudnn_sdp_enabled", "enable_cudnn_sdp", "enable_flash_sdp", "enable_math_sdp", "enable_mem_efficient_sdp",
    "flash_sdp_enabled", "is_built", "math_sdp_enabled", "matmul", "mem_efficient_sdp_enabled",
]  # fmt: skip

matmul = SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
    allow_fp16_accumulation=False,
)
"""The switches of matrix products."""

_attention = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    """False."""
    return False


def flash_sdp_enabled() -> bool:
    """Whether attention might choose this kernel."""
    return _attention["flash"]


def mem_efficient_sdp_enabled() -> bool:
    """Whether attention might choose this kernel."""
    return _attention["mem_efficient"]


def math_sdp_enabled() -> bool:
    """Whether attention might choose this kernel."""
    return _attention["math"]


def cudnn_sdp_enabled() -> bool:
    """Whether attention might choose this kernel."""
    return _attention["cudnn"]


def enable_flash_sdp(enabled: bool) -> None:
    """Set what `flash_sdp_enabled` says."""
    _attention["flash"] = enabled


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Set what `mem_efficient_sdp_enabled` says."""
    _attention["mem_efficient"] = enabled


def enable_math_sdp(enabled: bool) -> None:
    """Set what `math_sdp_enabled` says."""
    _attention["math"] = enabled


def enable_cudnn_sdp(enabled: bool) -> None:
    """Set what `cudnn_sdp_enabled` says."""
    _attention["cudnn"] = enabled
