"""Devices of PyTorch's that are not here: they have names."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd


def test_they_are_named_and_compared() -> None:
    assert_same(
        """
        for name in ("mps", "mps:0", "xla", "xpu:1"):
            d = torch.device(name)
            print(d, repr(d), d.type, d.index, d == torch.device(name), hash(d) == hash(torch.device(name)))
            print(torch.ones(1).device == d, torch.ones(1).device != d, torch.device(d) == d)
        print(torch.device("mps", 0), torch.device("xla") == torch.device("mps"))
        """
    )


def test_nothing_is_made_there() -> None:
    there = retrograd.device("xla")
    before = retrograd.get_default_device()
    for act in (
        lambda: retrograd.ones(2, device=there),
        lambda: retrograd.ones(2, device="xla"),
        lambda: retrograd.ones(2).to(there),
        lambda: retrograd.nn.Linear(2, 2).to("xla"),
        lambda: retrograd.set_default_device(there),
        there.__enter__,
    ):
        with pytest.raises(retrograd.BackendError, match="unknown backend 'xla'"):
            act()
    assert retrograd.get_default_device() == before


def test_cuda_is_named_where_there_is_none() -> None:
    assert_same(
        """
        def where(x, device=torch.device("cuda")):
            return x.device == device
        print(where(torch.ones(1)), where(torch.ones(1), torch.device("cpu")))
        for d in torch.device("cuda"), torch.device("cuda:1"), torch.device("cuda", 1):
            print(d, repr(d), d.type, d.index, d == torch.device("cuda", 1), torch.device(d) == d)
        """
    )
    for there in retrograd.device("cuda"), "cuda", "cuda:0":
        with pytest.raises(retrograd.BackendError, match="backend 'numpy' has no device 'gpu"):
            retrograd.ones(2, device=there)
        assert retrograd.ones(2).device != there
