"""Pruning, beside PyTorch."""

from __future__ import annotations

import pytest
from programs import assert_same

import retrograd
from retrograd.nn.utils import prune

GIVEN = """
from importlib import import_module

prune = import_module(torch.__name__ + ".nn.utils.prune")

def layer(*shape):
    made = nn.Conv1d(*shape, 2) if len(shape) == 2 else nn.Linear(4, 3)
    with torch.no_grad():
        for each in made.parameters():
            values = torch.arange(each.numel()).mul(7).remainder(11).sub(4).reshape(each.shape)
            each.copy_(values.float() / 4 + each.numel() / 100)
    return made

def show(module):
    print(sorted(module._parameters), sorted(module._buffers), prune.is_pruned(module), len(module._forward_pre_hooks))
    for name, each in module.state_dict().items():
        print(name, each)
    print(module.weight)
"""


def test_methods_equal_torchs(backend: str) -> None:
    assert_same(
        """
        m = layer()
        print(prune.l1_unstructured(m, "weight", amount=0.4) is m)
        show(m)
        x = torch.arange(8.0).reshape(2, 4)
        (m(x) ** 2).sum().backward()
        print(m.weight_orig.grad, m.weight.grad_fn is not None)
        with torch.no_grad():
            m.weight_orig.add_(1)
        m(x)
        print(m.weight)
        prune.ln_structured(m, "weight", amount=1, n=2, dim=0)
        prune.ln_structured(m, "weight", 0.25, float("inf"), -1)
        show(m)
        [hook] = m._forward_pre_hooks.values()
        print(type(hook), len(hook), [type(each).__name__ for each in hook], hook[0].amount, hook[1:][1].n)
        prune.remove(m, "weight")
        show(m)
        """,
        GIVEN,
    )


@pytest.mark.parametrize(
    "step",
    [
        "prune.identity(m, 'bias')",
        "prune.custom_from_mask(m, 'bias', torch.tensor([1, 0, 1]))",
        "prune.l1_unstructured(m, 'bias', 1, importance_scores=torch.tensor([3.0, 1.0, 2.0]))",
        "prune.l1_unstructured(m, 'weight', 0)",
        "prune.l1_unstructured(m, 'weight', 12)",
        "prune.ln_structured(m, 'weight', 2, 1, dim=1, importance_scores=m.bias[:, None] * m.weight)",
        "prune.ln_structured(prune.l1_unstructured(m, 'weight', 5), 'weight', 0.5, 2, 1)",
        "prune.l1_unstructured(prune.ln_structured(m, 'weight', 0.5, 2, 1), 'weight', 0.5)",
        "prune.custom_from_mask(prune.ln_structured(m, 'weight', 0, 2, 1), 'weight', torch.eye(3, 4) == 1)",
        "prune.identity(prune.identity(m, 'weight'), 'weight')",
    ],
)
def test_functions_equal_torchs(step: str) -> None:
    assert_same(f"m = layer()\n{step}\nshow(m)", GIVEN)


def test_errors_equal_torchs_and_change_nothing() -> None:
    assert_same(
        """
        m = layer()
        attempt(prune.l1_unstructured, m, "weight", "many")
        attempt(prune.l1_unstructured, m, "weight", -1)
        attempt(prune.l1_unstructured, m, "weight", 1.5)
        attempt(prune.random_unstructured, m, "weight", 13)
        attempt(prune.random_structured, m, "weight", 1, 2)
        attempt(prune.random_structured, m, "weight", 5, 1)
        attempt(prune.ln_structured, m, "bias", 1, 2, 0)
        attempt(prune.l1_unstructured, m, "absent", 1)
        attempt(prune.l1_unstructured, m, "weight", 1, torch.ones(2))
        attempt(prune.L1Unstructured(1).prune, torch.ones(2), importance_scores=torch.ones(3))
        attempt(prune.custom_from_mask, m, "weight", torch.ones(2))
        attempt(prune.remove, m, "weight")
        show(m)
        attempt(prune.global_unstructured, 1, prune.L1Unstructured, amount=1)
        attempt(prune.global_unstructured, [(m, "weight")], prune.L1Unstructured, importance_scores=[], amount=1)
        attempt(prune.global_unstructured, [(m, "weight")], prune.LnStructured, amount=1, n=2)
        attempt(prune.PruningContainer().add_pruning_method, 1)
        attempt(prune.BasePruningMethod)
        """,
        GIVEN,
    )


def test_several_parameters_are_pruned_as_one() -> None:
    assert_same(
        """
        m = nn.Sequential(layer(), layer(2, 3))
        places = [(m[0], "weight"), (m[1], "weight"), (m[1], "bias")]
        prune.global_unstructured(places, prune.L1Unstructured, amount=0.5)
        show(m[0]), show(m[1])
        scores = {places[2]: torch.tensor([9.0, 9.0, 9.0]), places[0]: -m[0].weight * 2}
        prune.global_unstructured(places, pruning_method=prune.L1Unstructured, importance_scores=scores, amount=3)
        show(m[0]), show(m[1])
        """,
        GIVEN,
    )


def test_own_methods() -> None:
    assert_same(
        """
        class EveryOther(prune.BasePruningMethod):
            def __init__(self, kind):
                self.PRUNING_TYPE = kind
            def compute_mask(self, t, default_mask):
                print(t.shape, default_mask.shape)
                mask = default_mask.clone()
                mask.view(-1)[::2] = 0
                return mask

        for kind in "unstructured", "global", "structured", "odd":
            m = prune.l1_unstructured(layer(), "weight", 3)
            attempt(EveryOther.apply, m, "weight", kind)
            print(getattr(m, "weight_mask", None))
        m = layer()
        method = EveryOther.apply(m, "bias", kind="global")
        print(type(method).__name__, m(torch.ones(4)), EveryOther("global").prune(torch.arange(1.0, 5.0)))
        method.remove(m)
        print(m.bias)
        """,
        GIVEN,
    )


def test_random_methods_prune_as_much_as_is_asked() -> None:
    weights = retrograd.nn.Linear(10, 6)
    prune.random_unstructured(weights, "weight", 0.3)
    assert weights.weight_mask.sum() == 42
    prune.random_unstructured(weights, "weight", 0.5)
    assert weights.weight_mask.sum() == 21
    slices = prune.random_structured(retrograd.nn.Linear(10, 6), "weight", amount=4, dim=1)
    assert sorted(slices.weight_mask.sum(0).tolist()) == [0] * 4 + [6] * 6
    prune.random_structured(slices, "weight", amount=0.5, dim=1)
    assert sorted(slices.weight_mask.sum(0).tolist()) == [0] * 7 + [6] * 3


def test_a_pruned_module_is_loaded_and_copied() -> None:
    assert_same(
        """
        import copy
        m = prune.l1_unstructured(layer(), "weight", 5)
        other = prune.identity(nn.Linear(4, 3), "weight")
        print(other.load_state_dict(m.state_dict()))
        print(other(torch.ones(4)), other.weight)
        attempt(copy.deepcopy, m)
        """,
        GIVEN,
    )
