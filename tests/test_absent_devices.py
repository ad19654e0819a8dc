"""Devices of PyTorch's that are not here: they have names."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd


def test_they_are_named_and_compared() -> None:
    assert_same(
        """
        for name in ("meta", "mps", "mps:0", "xpu:1"):
            d = torch.device(name)
            print(d, repr(d), d.type, d.index, d == torch.device(name), hash(d) == hash(torch.device(name)))
            print(torch.ones(1).device == d, torch.ones(1).device != d, torch.device(d) == d)
        print(torch.device("mps", 0), torch.device("meta") == torch.device("mps"))
        """
    )


def test_nothing_is_made_there() -> None:
    there = retrograd.device("meta")
    before = retrograd.get_default_device()
    for act in (
        lambda: retrograd.ones(2, device=there),
        lambda: retrograd.ones(2, device="meta"),
        lambda: retrograd.ones(2).to(there),
        lambda: retrograd.nn.Linear(2, 2).to("meta"),
        lambda: retrograd.set_default_device(there),
        there.__enter__,
    ):
        with pytest.raises(retrograd.BackendError, match="unknown backend 'meta'"):
            act()
    assert retrograd.get_default_device() == before
