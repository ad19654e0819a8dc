"""`save` and `load`: what goes through, what is shared afterwards, and what is refused."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrograd


def through(obj: Any, **arguments: Any) -> Any:
    file = io.BytesIO()
    retrograd.save(obj, file)
    file.seek(0)
    return retrograd.load(file, **arguments)


@pytest.mark.parametrize(
    "dtype",
    "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128".split(),
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 0, 3)])
def test_every_type_and_shape(dtype: str, shape: tuple[int, ...], backend: str) -> None:
    x = retrograd.arange(math.prod(shape)).reshape(shape).to(getattr(retrograd, dtype))
    y = through(x)
    assert (y.dtype, y.shape, y.device) == (x.dtype, x.shape, x.device)
    assert y.tolist() == x.tolist()


def test_not_a_number_keeps_its_sign_and_infinity(backend: str) -> None:
    x = retrograd.tensor([float("nan"), float("inf"), -0.0])
    assert str(through(x)) == str(x)


def test_views_are_stored_as_they_look(backend: str) -> None:
    x = retrograd.arange(6).reshape(2, 3)
    assert through(x.t()).tolist() == x.t().tolist()
    assert through(x[:, 1]).tolist() == [1, 4]
    assert through(x[0].expand(2, 3)).tolist() == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    "obj",
    [
        None, True, 3, -(2**80), 2.5, float("inf"), "text", b"bytes", 1 - 2j, [], (), {}, {"a"}, (1,),
        ((),),
        [1, [2, (3, {"a": None})]],
        {0: 1, "0": 2, 1.5: 3, (1, "a"): 4, None: 5},
        OrderedDict([("b", 1), ("a", 2)]), retrograd.Size([2, 3]), retrograd.bfloat16,
        retrograd.device("numpy"),
        {"tensor": 3}, {"list": [1]},
    ],
    ids=repr,
)  # fmt: skip
def test_plain_objects(obj: Any) -> None:
    made = through(obj)
    assert made == obj
    assert type(made) is type(obj)


def test_nan() -> None:
    assert math.isnan(through(float("nan")))


def test_dicts_keep_their_order() -> None:
    assert list(through({"b": 1, "a": 2, 3: 4})) == ["b", "a", 3]


def test_the_state_of_an_optimizer(backend: str) -> None:
    state = {
        "state": {0: {"step": retrograd.tensor(3.0), "exp_avg": retrograd.ones(2)}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "maximize": False, "params": [0]}],
    }
    made = through(state)
    assert made["param_groups"] == state["param_groups"]
    assert made["state"][0]["step"].item() == 3.0
    assert made["state"][0]["exp_avg"].tolist() == [1.0, 1.0]


def test_metadata_of_a_state_dict() -> None:
    state: Any = OrderedDict(weight=retrograd.ones(1))
    state._metadata = OrderedDict([("", {"version": 2})])
    assert through(state)._metadata == state._metadata


def test_parameters_and_requires_grad(backend: str) -> None:
    made = through([retrograd.Parameter(retrograd.ones(2)), retrograd.ones(1, requires_grad=True)])
    assert type(made[0]) is retrograd.Parameter
    assert made[0].requires_grad
    assert type(made[1]) is retrograd.Tensor
    assert made[1].requires_grad
    assert made[1].is_leaf
    frozen = through(retrograd.Parameter(retrograd.ones(2), requires_grad=False))
    assert not frozen.requires_grad


def test_a_result_is_loaded_as_a_leaf(backend: str) -> None:
    made = through(retrograd.ones(2, requires_grad=True) * 2)
    assert made.is_leaf
    assert made.requires_grad


def test_tied_tensors_stay_tied(backend: str) -> None:
    weight = retrograd.Parameter(retrograd.zeros(2))
    a, b, c, d = through([weight, weight, weight.detach(), weight.detach().clone()])
    assert a is b
    with retrograd.no_grad():
        a.add_(1)
    assert c.tolist() == [1.0, 1.0]
    assert d.tolist() == [0.0, 0.0]


def test_tied_tensors_take_the_room_of_one() -> None:
    weight = retrograd.zeros(10_000)
    file = io.BytesIO()
    retrograd.save([weight, weight.detach()], file)
    assert len(file.getvalue()) < 42_000


def test_loading_goes_to_the_current_backend_or_where_it_is_told() -> None:
    pytest.importorskip("jax")
    file = io.BytesIO()
    retrograd.save([retrograd.ones(2), retrograd.zeros(1, device="jax")], file)

    def devices(**arguments: Any) -> list[str]:
        file.seek(0)
        return [str(each.device) for each in retrograd.load(file, **arguments)]

    assert devices() == ["numpy:cpu", "numpy:cpu"]
    assert devices(map_location="jax") == ["jax:cpu", "jax:cpu"]
    assert devices(map_location=retrograd.device("jax"), weights_only=True) == ["jax:cpu", "jax:cpu"]
    assert devices(map_location={"jax:cpu": "numpy", "numpy:cpu": "jax"}) == ["jax:cpu", "numpy:cpu"]
    with retrograd.use_backend("jax"):
        assert devices() == ["jax:cpu", "jax:cpu"]
        assert devices(map_location=lambda storage, location: storage) == ["jax:cpu", "jax:cpu"]
    seen = []

    def to_jax(storage: Any, location: str) -> Any:
        seen.append((storage.nbytes(), location))
        return retrograd.empty(0, device="jax").untyped_storage() if location == "numpy:cpu" else None

    assert devices(map_location=to_jax) == ["jax:cpu", "numpy:cpu"]
    assert seen == [(8, "numpy:cpu"), (4, "jax:cpu")]


def test_pytorch_s_options_of_pickling_are_taken() -> None:
    file = io.BytesIO()
    retrograd.save(1, file, pickle_protocol=4, _use_new_zipfile_serialization=False)
    file.seek(0)
    assert retrograd.load(file, None, None, weights_only=False, mmap=False, encoding="utf-8") == 1


def test_a_loaded_tensor_can_be_written(backend: str) -> None:
    made = through(retrograd.zeros(2))
    made.add_(1)
    assert made.tolist() == [1.0, 1.0]


class Thing:
    """Something that cannot be stored."""


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({"a": [1, Thing()]}, r"cannot store obj\['a'\]\[1\], which is of type .*test_serialization.Thing"),
        ({"f": print}, r"cannot store obj\['f'\], which is of type builtins.builtin_function_or_method"),
        (
            [np.zeros(2)],
            r"obj\[0\], which is of type numpy.ndarray; make it a tensor with retrograd.tensor first",
        ),
        ({Thing: 1}, r"cannot store the key .* of obj, which is of type builtins.type"),
    ],
)
def test_what_cannot_be_stored_is_named_and_the_file_left_alone(obj: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "state.rg"
    retrograd.save(1, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match=text):
        retrograd.save(obj, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["state.rg"]


def test_a_container_in_itself() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(ValueError, match=r"obj\[1\]\['again'\] contains itself"):
        retrograd.save(loop, io.BytesIO())
    shared = [1]
    assert through([shared, shared]) == [[1], [1]]


def test_paths(tmp_path: Path) -> None:
    retrograd.save(retrograd.ones(2), tmp_path / "a")
    retrograd.save(retrograd.zeros(2), str(tmp_path / "a"))
    assert retrograd.load(tmp_path / "a").tolist() == [0.0, 0.0]
    assert retrograd.load(str(tmp_path / "a")).tolist() == [0.0, 0.0]
    with pytest.raises(FileNotFoundError):
        retrograd.load(tmp_path / "b")


def test_every_damaged_byte_is_an_error_or_harmless(tmp_path: Path) -> None:
    file = io.BytesIO()
    retrograd.save({"a": retrograd.arange(3), "b": [1, "text"]}, file)
    content = file.getvalue()
    harmless = ("{'a': tensor([0, 1, 2]), 'b': [1, 'text']}",)
    for i in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[i] ^= 0x41
        try:
            made = retrograd.load(io.BytesIO(damaged))
        except (RuntimeError, NotImplementedError):
            continue
        assert repr(made) in harmless
    for length in range(0, len(content), 7):
        with pytest.raises(RuntimeError):
            retrograd.load(io.BytesIO(content[:length]))


def test_other_files_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"is not a file that retrograd\.save has written"):
        retrograd.load(io.BytesIO(b"something else"))
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save({"a": 1}, file)
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"A file of torch\.save holds pickled code"):
        retrograd.load(file)


def test_a_newer_version_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        structure = {"format": "retrograd", "version": 99, "root": None, "tensors": []}
        archive.writestr("structure.json", json.dumps(structure))
    file.seek(0)
    with pytest.raises(RuntimeError, match="version 99; this version of retrograd reads"):
        retrograd.load(file)


def test_the_file_is_plain_zip_and_json() -> None:
    file = io.BytesIO()
    retrograd.save([retrograd.tensor([1.0, 2.0])], file)
    with zipfile.ZipFile(file) as archive:
        structure = json.loads(archive.read("structure.json"))
        assert structure["root"] == {"list": [{"tensor": 0}]}
        assert structure["tensors"][0]["dtype"] == "float32"
        assert np.frombuffer(archive.read("data/0"), "<f4").tolist() == [1.0, 2.0]
