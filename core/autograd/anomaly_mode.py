"""Anomaly mode, where PyTorch has it."""

from __future__ import annotations

from retrograd.autograd.anomaly import detect_anomaly, set_detect_anomaly

__all__ = ["detect_anomaly", "set_detect_anomaly"]
