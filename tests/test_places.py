"""What PyTorch has elsewhere is found there, by imports and in files."""

from __future__ import annotations

import importlib
import io
import pickle
import subprocess
import sys
from typing import Any

import pytest
from programs import assert_same

import retrograd
from retrograd.places import _homes, _names, _places, home_of


@pytest.mark.parametrize("place", [place for place, sources in _places().items() if sources])
def test_each_place_has_its_names(place: str) -> None:
    module = importlib.import_module(place)
    for name in _names(place):
        assert getattr(module, name) is not None
    scope: dict[str, Any] = {}
    exec(f"from {place} import *", scope)
    assert len(scope) > 1
    for (source, name), home in _homes().items():
        if home == place:
            assert getattr(module, name) is getattr(importlib.import_module(source), name)


def test_the_places_are_pytorchs() -> None:
    pytest.importorskip("torch")
    wrong = []
    for place, sources in _places().items():
        theirs = importlib.import_module(place.replace("retrograd", "torch", 1))
        named = [new for _, pairs in sources for new, _ in pairs if new != "*"]
        wrong += [(place, name) for name in named if not hasattr(theirs, name)]
        wrong += [] if named or not sources or set(_names(place)) & set(vars(theirs)) else [(place, "*")]
    assert not wrong


def test_modules_of_the_table_are_modules() -> None:
    assert_same(
        """
        import sys
        from importlib import import_module
        name = torch.__name__
        adamw = import_module(f"{name}.optim.adamw")
        print(adamw.AdamW is torch.optim.AdamW, adamw.__name__, "AdamW" in dir(adamw), adamw.__all__[:1])
        print(sys.modules[f"{name}.optim.adamw"] is adamw)
        attempt(getattr, adamw, "SGD")
        attempt(import_module, f"{name}.optim.nothing")
        attempt(import_module, f"{name}.optim.adamw.more")
        activation = import_module(f"{name}.nn.modules.activation")
        print(activation.MultiheadAttention is nn.MultiheadAttention)
        transformer = import_module(f"{name}.nn.modules.transformer")
        print(transformer._get_clones(nn.ReLU(), 2), transformer._get_activation_fn("gelu") is F.gelu)
        attempt(transformer._get_activation_fn, "tanh")
        apis = import_module(f"{name}._functorch.apis")
        eager = import_module(f"{name}._functorch.eager_transforms")
        print(apis.vmap is torch.vmap, eager.jvp is torch.func.jvp, torch._functorch.apis is apis)
        module = import_module(f"{name}.nn.modules.module")
        print(repr(module._addindent("a\\nb", 3)))
        init = import_module(f"{name}.nn.init")
        print(init._calculate_correct_fan(torch.ones(2, 3, 4), "fan_out"), F._Reduction.get_enum("mean"), F._pair(3))
        """
    )


def test_nothing_of_it_is_loaded_beforehand() -> None:
    program = (
        "import sys, retrograd\n"
        "print(sorted(m for m in sys.modules if m.startswith(('retrograd.optim', 'retrograd.nn.modules'))))\n"
        "import retrograd.optim.adamw\nprint('retrograd.nn' in sys.modules, 'retrograd.optim.adam' in sys.modules)\n"
        "print(retrograd.optim.adamw.AdamW.__name__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, _, last = ran.stdout.splitlines()
    assert (first, last) == ("[]", "AdamW")


WHOLE: dict[str, Any] = {
    "modules": lambda L: L.nn.Sequential(L.nn.MultiheadAttention(4, 2), L.nn.SyncBatchNorm(3), L.nn.Linear(2, 2)),
    "optimizer": lambda L: L.optim.AdamW([L.ones(2, requires_grad=True)], lr=0.5),
    "schedule": lambda L: L.optim.lr_scheduler.OneCycleLR(
        L.optim.SGD([L.ones(2, requires_grad=True)], momentum=0.9), 0.1, total_steps=10
    ),
    "transform": lambda L: L.distributions.ExpTransform(),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_objects_cross(kind: str) -> None:
    torch = pytest.importorskip("torch")
    for writer, reader in ((retrograd, torch), (torch, retrograd), (retrograd, retrograd)):
        file = io.BytesIO()
        writer.save(WHOLE[kind](writer), file)
        file.seek(0)
        found, expected = reader.load(file, weights_only=False), WHOLE[kind](reader)
        assert type(found) is type(expected)
        if kind == "modules":
            assert [type(each) for each in found] == [type(each) for each in expected]
    made = WHOLE[kind](retrograd)
    assert type(pickle.loads(pickle.dumps(made))) is type(made)


def test_a_lazy_module_with_its_hooks_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    retrograd.save(retrograd.nn.LazyLinear(3), file)
    file.seek(0)
    found = torch.load(file, weights_only=False)
    assert type(found) is torch.nn.LazyLinear
    handle = retrograd.nn.ReLU().register_forward_hook(print)
    again = pickle.loads(pickle.dumps(handle))
    assert again.id == handle.id
    again.remove()


def test_homes() -> None:
    assert home_of("retrograd.optim.adam", "AdamW") == "retrograd.optim.adamw"
    assert home_of("retrograd.optim.adam", "Adam") == "retrograd.optim.adam"
    assert home_of("other", "AdamW") == "other"


def test_groups_of_tensors_by_size() -> None:
    assert_same(
        """
        from importlib import import_module
        take = import_module(torch.__name__ + "._utils")._take_tensors
        many = [torch.ones(n, dtype=t) for n, t in ((3, torch.float32), (2, torch.float64), (2, torch.float32),
                (9, torch.float32), (1, torch.float32), (1, torch.int64))]
        for limit in 1, 20, 24, 1000:
            print([[(each.numel(), each.dtype) for each in group] for group in take(many, limit)])
        print(len(list(take([torch.eye(3).to_sparse(), torch.eye(3).to_sparse()], 60))), list(take([], 3)))
        """
    )


def test_reports_name_what_is_installed() -> None:
    shown = retrograd.__config__.show()
    numpy = importlib.import_module("numpy")
    assert f"  - numpy {numpy.__version__}\n" in shown
    assert "  - backend numpy (plugin numpy)\n" in shown
    assert f"retrograd.get_num_threads() : {retrograd.get_num_threads()}\n" in retrograd.__config__.parallel_info()
    assert "__config__" not in retrograd.__all__


def test_accelerators_are_those_of_the_backend(backend: str) -> None:
    found = retrograd.accelerator
    names = [name for name in found._names() if ":cpu" not in name]
    assert found.device_count() == len(names)
    assert found.is_available() is bool(names)
    if names:
        assert str(found.current_accelerator()) in names
        found.synchronize()
        return
    assert found.current_accelerator() is None
    for act in (found.synchronize, found.current_device_index, found.current_device_idx, found.empty_cache):
        with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is available"):
            act()
