"""The names of types that annotations use."""

from __future__ import annotations

from programs import assert_same


def test_names_and_what_is_an_instance_of_them() -> None:
    assert_same("""
    from importlib import import_module
    types = import_module(torch.__name__ + ".types")
    print(isinstance(3, types.Number), isinstance("3", types.Number), types._int, types._float, types._bool)
    print(types._dtype is torch.dtype, types._device is torch.device, types.Number)
    print([name for name in ("_size", "_TensorOrTensors", "Device", "_layout", "Storage") if not hasattr(types, name)])
    """)
