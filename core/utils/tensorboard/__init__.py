"""Logs that TensorBoard shows. Needs tensorboardX, which the extra `metrics` brings."""

from __future__ import annotations

from retrograd.utils.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
