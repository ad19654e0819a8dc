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


def test_what_passes_through_backward_hooks_is_not_to_be_written_to() -> None:
    assert_same(
        """
    module = nn.Linear(2, 2)
    module.register_full_backward_hook(lambda *given: None)
    x = torch.ones(1, 2, requires_grad=True)
    attempt(lambda: module(x).mul_(3))
    attempt(lambda: module(x).view(-1).add_(1))
    y = module(x)
    print(y._is_view(), y.grad_fn.name())
    chain = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True))
    chain[0].register_full_backward_hook(lambda *given: None)
    attempt(chain, torch.ones(1, 1, 2, 2))
    with torch.no_grad():
        print(module(x).fill_(0))
    """
    )
