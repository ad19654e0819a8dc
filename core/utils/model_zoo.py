"""The old home of `hub.load_state_dict_from_url`, and of `hub.tqdm`."""

from __future__ import annotations

from typing import Any

from retrograd import hub
from retrograd.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]


def __getattr__(name: str) -> Any:
    if name == "tqdm":
        return hub.tqdm
    raise AttributeError(f"module 'retrograd.utils.model_zoo' has no attribute {name!r}")
