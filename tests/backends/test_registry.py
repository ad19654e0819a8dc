"""How backends are found, and what is said when one is missing, doubled, broken or incomplete."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import numpy as np
import pluggy
import pytest

import retrograd
from retrograd.backends import BackendError, BackendSpec, Kernels, available, hookimpl, registry
from retrograd.backends.jax import plugin as jax_plugin
from retrograd.backends.numpy.backend import NumpyBackend
from retrograd.backends.philox import philox, words_of
from retrograd.backends.spec import OPTIONAL, REQUIRED, Hooks


class Renamed:
    """NumPy's backend under another name, some of its kernels left out."""

    def __init__(self, name: str, without: tuple[str, ...] = (), devices: tuple[str, ...] = ("cpu",)) -> None:
        self.name = name
        self.without = without
        self._devices = devices

    def devices(self) -> tuple[str, ...]:
        return self._devices

    def kernels(self, device: str) -> Kernels:
        members = vars(NumpyBackend().kernels("cpu")) | {"backend": self.name, "device": device}
        return Kernels(**{name: each for name, each in members.items() if name not in self.without})


@contextmanager
def registered(*specs: Any, name: str = "test plugin", **hooks: Any) -> Iterator[None]:
    """A plugin for the length of a block."""
    plugin = SimpleNamespace(**{hook: hookimpl(function) for hook, function in hooks.items()})
    if specs:
        plugin.retrograd_backends = hookimpl(lambda: specs)
    unregister = registry.register(plugin, name)
    try:
        yield
    finally:
        unregister()


def spec(name: str, **arguments: Any) -> BackendSpec:
    return BackendSpec(name, load=lambda: Renamed(name, **arguments))


# -- finding -----------------------------------------------------------------------------------


def test_built_in_backends_are_available() -> None:
    found = available()
    assert found["numpy"] == "numpy"
    assert found["jax"] == "jax"


def test_a_registered_backend_can_be_used() -> None:
    with registered(spec("mine")):
        x = retrograd.ones(3, device="mine")
        assert str((x + x).device) == "mine:cpu"
        assert available()["mine"] == "test plugin"
    assert "mine" not in available()


def test_one_table_per_device() -> None:
    assert registry.kernels("numpy") is registry.kernels("numpy", "cpu")
    assert registry.kernels("numpy", "cpu:0") is registry.kernels("numpy")


def test_backends_in_use_survive_plugins_that_come_and_go() -> None:
    before = retrograd.ones(2)
    with registered(spec("mine")):
        assert (before + retrograd.ones(2)).tolist() == [2, 2]
    assert (before + retrograd.ones(2)).tolist() == [2, 2]


def test_devices_by_name_kind_and_number() -> None:
    with registered(spec("mine", devices=("gpu:0", "gpu:1", "cpu"))):
        names = {
            "mine": "gpu:0",
            "mine:gpu": "gpu:0",
            "mine:gpu:1": "gpu:1",
            "mine:cpu": "cpu",
            "mine:cpu:0": "cpu",
        }
        for written, meant in names.items():
            assert str(retrograd.device(written)) == f"mine:{meant}"
        with retrograd.use_backend("mine:gpu:1"):
            assert str(retrograd.device("cuda:0")) == "mine:gpu:0"
            assert str(retrograd.ones(1).device) == "mine:gpu:1"
        with pytest.raises(BackendError, match=r"backend 'mine' has no device 'tpu'; it has: 'gpu:0', 'gpu:1', 'cpu'"):
            retrograd.device("mine:tpu")


# -- errors ------------------------------------------------------------------------------------


def test_an_unknown_backend_lists_those_there_are() -> None:
    with pytest.raises(BackendError) as caught:
        retrograd.device("cupy")
    text = str(caught.value)
    assert text.startswith("unknown backend 'cupy'; available: 'jax', 'numpy'")
    assert "install it with pip, or check the spelling" in text


def test_a_missing_library_says_what_to_install() -> None:
    def load() -> Any:
        raise ModuleNotFoundError("No module named 'mylib'")

    with (
        registered(BackendSpec("mine", load, install="pip install mylib")),
        pytest.raises(BackendError) as caught,
    ):
        retrograd.ones(1, device="mine")
    assert str(caught.value) == (
        "backend 'mine' (plugin 'test plugin') cannot be loaded: No module named 'mylib'; "
        "install it with: pip install mylib"
    )
    assert isinstance(caught.value.__cause__, ImportError)


def test_the_jax_backend_without_jax_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "retrograd.backends.jax.backend", None)
    (offered,) = jax_plugin.retrograd_backends()
    again = BackendSpec("again", offered.load, offered.install)
    with (
        registered(again),
        pytest.raises(BackendError, match=r"install it with: pip install retrograd\[jax\]"),
    ):
        registry.load("again")


def test_two_plugins_of_one_name() -> None:
    with (
        registered(spec("mine"), name="first"),
        registered(spec("mine"), name="second"),
        pytest.raises(
            BackendError,
            match=r"two plugins offer a backend named 'mine': '(first|second)' and '(first|second)'",
        ),
    ):
        available()
    assert "mine" not in available()


def test_a_plugin_that_yields_something_else() -> None:
    with registered("numpy2"), pytest.raises(BackendError, match=r"must yield .*BackendSpec records"):
        available()


def test_an_incomplete_backend_names_the_missing_kernels() -> None:
    with (
        registered(spec("mine", without=("matmul", "add"))),
        pytest.raises(
            BackendError, match=r"backend 'mine' \(plugin 'test plugin'\) lacks required kernels: add, matmul"
        ),
    ):
        retrograd.ones(1, device="mine")


def test_optional_kernels_may_be_missing() -> None:
    with registered(spec("mine", without=tuple(OPTIONAL))):
        x = retrograd.tensor([1.0, 2.0], device="mine")
        assert x.softmax(0).tolist() == pytest.approx([0.2689414, 0.7310586])


@pytest.mark.parametrize("overrides", [{"sine": abs}, {"sin": "not a function"}])
def test_an_override_must_be_a_kernel(overrides: dict[str, Any]) -> None:
    with (
        registered(spec("mine"), retrograd_kernels=lambda backend: overrides if backend == "mine" else {}),
        pytest.raises(BackendError, match=r"must be a function under a name of .*REQUIRED or OPTIONAL"),
    ):
        registry.kernels("mine")


def test_a_hook_that_does_not_exist() -> None:
    registry.plugin_manager().check_pending()
    unknown = pytest.raises(pluggy.PluginValidationError, match="unknown hook 'retrograd_backend'")
    with registered(retrograd_backend=lambda backend: []), unknown:
        registry.plugin_manager().check_pending()


def test_the_last_override_wins_and_can_call_the_one_before() -> None:
    def then(change: Callable[[Any], Any]) -> Callable[..., dict[str, Any]]:
        def override(backend: str, kernels: Kernels) -> dict[str, Any]:
            original = kernels.sin
            return {"sin": lambda x: change(original(x))} if backend == "mine" else {}

        return override

    with (
        registered(spec("mine"), name="a"),
        registered(retrograd_kernels=then(lambda y: y * 2), name="b"),
        registered(retrograd_kernels=then(lambda y: y + 1), name="c"),
    ):
        x = retrograd.tensor([0.5], device="mine")
        assert x.sin().item() == pytest.approx(2 * 0.4794255 + 1)


def test_a_broken_plugin_is_named_in_a_warning_and_ignored() -> None:
    manager = pluggy.PluginManager("retrograd")
    manager.add_hookspecs(Hooks)
    broken = EntryPoint("broken", "no_such_module_of_a_plugin", "retrograd")
    with pytest.warns(
        RuntimeWarning, match="retrograd plugin 'broken' .* is ignored, because it cannot be loaded: Mod"
    ):
        registry._load_plugin(manager, broken)
    registry._load_plugin(manager, EntryPoint("numpy", "retrograd.backends.numpy.plugin", "retrograd"))
    assert [name for name, _ in manager.list_name_plugin()] == ["numpy"]


def test_an_unknown_kernel_says_where_they_are_listed() -> None:
    with pytest.raises(AttributeError, match="backend 'numpy' has no kernel 'sine'; kernels are listed in"):
        _ = registry.kernels("numpy").sine


# -- the same random bits ----------------------------------------------------------------------


KNOWN = {
    ((0, 0), (0, 0, 0, 0)): (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
    ((2**64 - 1,) * 2, (2**64 - 1,) * 4): (
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0,
    ),
    (
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
    ): (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
}  # fmt: skip


@pytest.mark.parametrize(("key", "counter"), KNOWN)
def test_philox_gives_the_known_answers_of_the_paper_s_own_code(key: tuple[int, ...], counter: tuple[int, ...]) -> None:
    with np.errstate(over="ignore"):
        words = philox(np.uint64, tuple(map(np.uint64, key)), tuple(np.array([each], np.uint64) for each in counter))
    assert tuple(int(each[0]) for each in words) == KNOWN[key, counter]


@pytest.mark.parametrize(("offset", "count"), [(0, 8), (3, 21), (2**33 + 5, 5000), (2**63 - 2, 4)])
def test_random_bits_are_philox_s(offset: int, count: int, backend: str) -> None:
    k = registry.kernels(backend)
    with np.errstate(over="ignore"):
        blocks = np.uint64(offset) + np.arange(-(-count // 8), dtype=np.uint64)
        words = words_of(np.uint64, (np.uint64(7), np.uint64(2**32 - 1)), blocks)
    expected = np.stack(words, 1).reshape(-1)[:count]
    assert k.to_host(k.random_bits((7, 2**32 - 1), offset, count)).tolist() == expected.tolist()


def test_a_stream_can_be_made_in_parts(backend: str) -> None:
    k = registry.kernels(backend)
    whole = k.to_host(k.random_bits((3, 4), 10, 48)).tolist()
    parts = [k.to_host(k.random_bits((3, 4), 10 + i, 16)).tolist() for i in (0, 2, 4)]
    assert [*parts[0], *parts[1], *parts[2]] == whole


def test_required_and_optional_are_apart() -> None:
    assert not REQUIRED & OPTIONAL
