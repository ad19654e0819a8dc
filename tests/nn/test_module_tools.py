"""Hooks before loading under their older name, and modules without values."""

from __future__ import annotations

from programs import assert_same


def test_hooks_before_loading_are_given_the_module_if_they_ask_for_it() -> None:
    assert_same("""
    module = nn.Linear(2, 1)

    def show(*given):
        print(len(given), [type(each).__name__ for each in given])

    handle = module._register_load_state_dict_pre_hook(show)
    module._register_load_state_dict_pre_hook(show, with_module=True)
    module.register_load_state_dict_pre_hook(show)
    module.load_state_dict(module.state_dict())
    handle.remove()
    module.load_state_dict(module.state_dict())
    """)


def test_a_module_without_values_keeps_its_parameters() -> None:
    assert_same("""
    module = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    weight = module[0].weight
    print(module.to_empty(device="cpu") is module, module[0].weight is weight, weight.shape, weight.requires_grad)
    print([(name, each.shape, each.dtype) for name, each in module.named_buffers()])
    """)
