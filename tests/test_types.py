"""The names of types that annotations use."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd


def test_names_and_what_is_an_instance_of_them() -> None:
    assert_same("""
    from importlib import import_module
    types = import_module(torch.__name__ + ".types")
    print(isinstance(3, types.Number), isinstance("3", types.Number), types._int, types._float, types._bool)
    print(types._dtype is torch.dtype, types._device is torch.device, types.Number)
    print([name for name in ("_size", "_TensorOrTensors", "Device", "_layout", "Storage") if not hasattr(types, name)])
    """)


def test_memory_is_seen_as_elements_of_another_type() -> None:
    """On NumPy; as in PyTorch the result is outside of the graph, and a write to either is one to both."""
    assert_same("""
    x = torch.tensor([[1.0, 2.0, -3.0, 0.5], [4.0, 5.0, 6.0, 7.0]])
    for kind in (torch.int32, torch.uint8, torch.int16, torch.complex64, torch.float32):
        y = x.view(kind)
        print(y.shape, y.stride(), y.dtype, y.tolist(), y._is_view(), y.requires_grad)
    y = x.view(torch.int32)
    y[0, 0] = 0
    print(x, x._version, y._version)
    x.mul_(2)
    print(y, y[0].view(torch.float32))
    for part in (x.t(), x[:, ::2], x[:, 1:3], x[:, :3], x[0, 0], x[:0]):
        for kind in (torch.int32, torch.int64, torch.int16):
            attempt(lambda: part.view(kind).stride())
    g = torch.ones(4, requires_grad=True)
    print(g.view(torch.int32), (g * 2).view(torch.int32).add_(1), g.view(dtype=torch.uint8).shape)
    print(torch.ones(4, dtype=torch.complex64).view(torch.float32))
    print(torch.tensor([1, 0], dtype=torch.uint8).view(torch.bool))
    """)


def test_memory_that_cannot_be_written_to_has_one_type() -> None:
    with pytest.raises(RuntimeError, match=r"on backend 'jax' the memory .* cannot be seen as retrograd.int32"):
        retrograd.ones(2, device="jax").view(retrograd.int32)


def test_types_and_formats_are_constants() -> None:
    """Whoever walks through dataclasses, or copies, finds them as they are."""
    assert_same("""
    import copy, dataclasses, pickle
    @dataclasses.dataclass
    class Config:
        dtype: object
        layout: object
        order: object
    config = Config(torch.float32, torch.strided, torch.channels_last)
    for found in (dataclasses.asdict(config), dataclasses.asdict(copy.deepcopy(config)), config.__dict__):
        print([value is getattr(config, name) for name, value in found.items()])
    for each in (torch.float32, torch.strided, torch.channels_last):
        same = [copied is each for copied in (copy.copy(each), copy.deepcopy(each), pickle.loads(pickle.dumps(each)))]
        print(each, dataclasses.is_dataclass(each), same, type(each))
        attempt(setattr, each, "other", 1)
    attempt(setattr, torch.float32, "itemsize", 3)
    """)
