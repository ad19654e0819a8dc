"""`save` and `load`: what goes through, what is shared afterwards, and what is refused."""

from __future__ import annotations

import io
import math
import os
import pickle
import re
import zipfile
from collections import Counter, OrderedDict
from fractions import Fraction
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
    (
        "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128"
    ).split(),
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


def test_views_share_their_memory_again(backend: str) -> None:
    x = retrograd.arange(6).reshape(2, 3)
    whole, turned, column, wide = through([x, x.t(), x[:, 1], x[0].expand(2, 3)])
    assert turned.tolist() == x.t().tolist()
    assert (column.tolist(), column.stride(), column.storage_offset()) == ([1, 4], (3,), 1)
    assert wide.tolist() == [[0, 1, 2], [0, 1, 2]]
    whole[0, 1] = 9
    assert (turned[1, 0].item(), column[0].item(), wide[1, 1].item()) == (9, 9, 9)
    assert through(retrograd.ones(2, 3).t().contiguous().t()).stride() == (1, 2)
    of_a_base_in_another_order = (retrograd.ones(2, 3).t() + retrograd.arange(2))[1:]
    assert through(of_a_base_in_another_order).tolist() == of_a_base_in_another_order.tolist()


@pytest.mark.parametrize(
    "obj",
    [
        None, True, 3, -(2**80), 2.5, float("inf"), "text", b"bytes", 1 - 2j, [], (), {}, {"a"}, (1,),
        ((),),
        [1, [2, (3, {"a": None})]],
        {0: 1, "0": 2, 1.5: 3, (1, "a"): 4, None: 5},
        OrderedDict([("b", 1), ("a", 2)]), retrograd.Size([2, 3]), retrograd.bfloat16,
        retrograd.device("numpy"), retrograd.strided, bytearray(b"ab"), Counter("abb"),
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
    assert devices(map_location={"cpu": "jax"}) == ["jax:cpu", "jax:cpu"]
    with retrograd.use_backend("jax"):
        assert devices() == ["jax:cpu", "jax:cpu"]
        assert devices(map_location=lambda storage, location: storage) == ["jax:cpu", "jax:cpu"]
    seen = []

    def to_jax(storage: Any, location: str) -> Any:
        seen.append((storage.nbytes(), location))
        return storage.to(device="jax") if storage.nbytes() > 4 else None

    assert devices(map_location=to_jax) == ["jax:cpu", "numpy:cpu"]
    assert seen == [(8, "cpu"), (4, "cpu")]
    with pytest.raises(RuntimeError, match=r"tagged with nowhere"):
        devices(map_location="nowhere")


def test_pytorch_s_options_of_pickling_are_taken() -> None:
    file = io.BytesIO()
    retrograd.save(1, file, pickle, pickle_protocol=4)
    file.seek(0)
    assert retrograd.load(file, None, pickle, weights_only=False, mmap=False, encoding="utf-8") == 1


def test_a_loaded_tensor_can_be_written(backend: str) -> None:
    made = through(retrograd.zeros(2))
    made.add_(1)
    assert made.tolist() == [1.0, 1.0]


class Thing:
    """Something that a file may not make unless told so."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and self.value == other.value


@pytest.mark.parametrize("obj", [Thing(1), np.float64(2), Fraction(1, 2), print, [Thing], os.getcwd])
def test_other_objects_are_made_only_when_they_may(obj: Any) -> None:
    assert through(obj, weights_only=False) == obj
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    retrograd.save(obj, file)
    texts = []
    for library in (retrograd, torch):
        file.seek(0)
        with pytest.raises(pickle.UnpicklingError, match=r"^Weights only load failed") as caught:
            library.load(file)
        texts.append(str(caught.value).replace("retrograd.", "torch."))
    assert texts[0] == texts[1]


def test_what_is_added_to_the_list_is_made() -> None:
    serialization = retrograd.serialization
    file = io.BytesIO()
    retrograd.save([Thing(retrograd.ones(1)), Fraction(1, 2)], file)
    file.seek(0)
    unsafe = serialization.get_unsafe_globals_in_checkpoint(file)
    assert unsafe == ["fractions.Fraction", f"{__name__}.Thing"]
    with serialization.safe_globals([Thing, (Fraction, "fractions.Fraction")]):
        file.seek(0)
        assert serialization.get_unsafe_globals_in_checkpoint(file) == []
        file.seek(0)
        assert retrograd.load(file) == [Thing(retrograd.ones(1)), Fraction(1, 2)]
    assert serialization.get_safe_globals() == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\x80\x02cos\nsystem\nU\x04trueR.", "GLOBAL os.system whose module os is blocked"),
        (b"\x80\x02cbuiltins\neval\nU\x011\x85R.", "GLOBAL eval was not an allowed global"),
        (b"\x80\x02ctorch\nSize\nc__builtin__\neval\nR.", "GLOBAL eval was not an allowed global"),
        (b"\x80\x02)K\x01a.", "Can only append to lists"),
        (b"\x80\x02]K\x01K\x02s.", "Can only SETITEM for dict"),
        (b"\x80\x02K\x01)R.", "Trying to call reduce for unrecognized function 1"),
        (b"\x80\x02K\x01)\x81.", "Can only create new object for nn.Parameter"),
        (b"\x80\x02K\x01}b.", "Can only build Tensor"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "Can only build Tensor"),
        (b"\x80\x02K\x01\x85Q.", "Only persistent_load of storage is allowed"),
        (b"\x80\x02]Q.", "persistent_load id must be tuple or int"),
        (b"\x80\x02\x8c\x01a.", "Unsupported operand 140"),
    ],
)
def test_what_a_pickle_may_not_do(body: bytes, text: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", body)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=re.escape(text)):
        retrograd.load(file)


def test_a_layout_beyond_the_memory_is_refused() -> None:
    file = io.BytesIO()
    retrograd.save(retrograd.ones(2), file)
    with zipfile.ZipFile(file) as archive:
        body = archive.read("archive/data.pkl").replace(b"K\x00K\x02\x85", b"K\x00K\x7f\x85")
        assert b"K\x7f" in body
    forged = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(forged, "w") as other:
        for each in archive.namelist():
            other.writestr(each, body if each.endswith("pkl") else archive.read(each))
    forged.seek(0)
    with pytest.raises(RuntimeError, match=r"out of bounds for storage of size 8"):
        retrograd.load(forged)


def test_what_cannot_be_pickled_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    retrograd.save(1, path)
    before = path.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError), match=r"Can't pickle"):
        retrograd.save({"f": lambda: None}, path)
    x = retrograd.zeros(2)
    if retrograd.get_default_backend() == "numpy":
        with pytest.raises(RuntimeError, match="Cannot save multiple tensors or storages that view the same data as"):
            retrograd.save([x, x.view(retrograd.int32)], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["state.pt"]
    with pytest.raises(AttributeError, match=r"expected 'f' to be string, path, or a file-like object"):
        retrograd.save(1, 2)  # type: ignore[arg-type]


def test_a_container_in_itself() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    made = through(loop)
    assert made[1]["again"] is made
    shared = [1]
    one, other = through([shared, shared])
    assert one is other


def test_paths(tmp_path: Path) -> None:
    retrograd.save(retrograd.ones(2), tmp_path / "a")
    retrograd.save(retrograd.zeros(2), str(tmp_path / "a"))
    assert retrograd.load(tmp_path / "a").tolist() == [0.0, 0.0]
    assert retrograd.load(str(tmp_path / "a")).tolist() == [0.0, 0.0]
    with pytest.raises(FileNotFoundError):
        retrograd.load(tmp_path / "b")


def test_every_damaged_byte_is_an_error_or_harmless() -> None:
    file = io.BytesIO()
    retrograd.save({"a": retrograd.arange(3), "b": [1, "text"]}, file)
    content = file.getvalue()
    harmless = ("{'a': tensor([0, 1, 2]), 'b': [1, 'text']}",)
    for i in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[i] ^= 0x41
        try:
            made = retrograd.load(io.BytesIO(damaged))
        except (RuntimeError, NotImplementedError, pickle.UnpicklingError):
            continue
        assert repr(made) in harmless
    for length in range(1, len(content), 37):
        with pytest.raises((RuntimeError, pickle.UnpicklingError)):
            retrograd.load(io.BytesIO(content[:length]))


def test_other_files_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"the file is damaged: ValueError"):
        retrograd.load(io.BytesIO(b"A file"))
    with pytest.raises(RuntimeError, match=r"the file is damaged: IndexError"):
        retrograd.load(io.BytesIO(b"something else"))
    with pytest.raises(EOFError, match=r"Ran out of input"):
        retrograd.load(io.BytesIO(b""))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", b"")
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"failed locating file data\.pkl"):
        retrograd.load(file)
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module is specified"):
        retrograd.load(file, pickle_module=pickle, weights_only=True)


def test_a_file_is_mapped(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "state.pt"
    retrograd.save({"a": retrograd.arange(5), "b": retrograd.ones(2, dtype=retrograd.bfloat16)}, path)
    before = path.read_bytes()
    made = retrograd.load(path, mmap=True)
    made["a"][0] = 7
    assert (made["a"].tolist(), made["b"].tolist()) == ([7, 1, 2, 3, 4], [1.0, 1.0])
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"):
        retrograd.load(io.BytesIO(before), mmap=True)


# -- beside PyTorch --------------------------------------------------------------------------------

OBJECTS = {
    "tensors": """{
        "a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.ones(2, 0), "d": torch.tensor([True]),
        "e": torch.ones(2, dtype=torch.bfloat16), "f": torch.tensor([1 + 2j]), "g": torch.ones(2, dtype=torch.float16),
    }""",
    "views": "(lambda x: [x, x.t(), x[1:], x[0].expand(2, 3), x.view(-1)[::2]])(torch.arange(6).reshape(2, 3))",
    "parameters": "[nn.Parameter(torch.ones(2)), torch.ones(1).requires_grad_(), nn.Parameter(torch.ones(1), False)]",
    "state of a module": "nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval().state_dict()",
    "state of an optimizer": "stepped(torch).state_dict()",
    "conjugates": "torch.tensor([1 + 2j, 3j]).conj()",
    "sparse": "torch.tensor([[0.0, 2.0], [3.0, 0.0]]).to_sparse()",
    "storages": "[torch.arange(3.0).storage(), torch.arange(3).storage()]",
    "others": """[
        None, True, -3, 2**70, 1.5, float("inf"), "text", b"bytes", 1j, (1, (2, ())), {"a"}, torch.float32, torch.bool,
        torch.device("cpu"), torch.Size([2]), torch.strided, {1: 2, None: [3]}, bytearray(b"a"),
    ]""",
    "attributes": "named(torch.ones(2), 'x') + [nn.Parameter(torch.ones(1))]",
}


def _stepped(torch: Any) -> Any:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight])
    (weight * weight).sum().backward()
    optimizer.step()
    return optimizer


def _named(tensor: Any, name: str) -> list[Any]:
    tensor.own_name = name
    return [tensor]


def _build(torch: Any, program: str) -> Any:
    torch.manual_seed(0)
    return eval(program, {"torch": torch, "nn": torch.nn, "stepped": _stepped, "named": _named})


def _text(torch: Any, value: Any) -> str:
    """What there is to see of a value, random numbers but for their shapes."""
    if isinstance(value, torch.Tensor):
        own = getattr(value, "own_name", None)
        places = (tuple(value.stride()), value.storage_offset()) if value.layout is torch.strided else ()
        return f"{type(value).__name__} {tuple(value.shape)} {value.dtype} {value.requires_grad} {places} {own}"
    if isinstance(value, dict):
        return f"{type(value).__name__}{[(key, _text(torch, each)) for key, each in value.items()]}"
    if isinstance(value, list | tuple | torch.Size):
        return f"{type(value).__name__}{[_text(torch, each) for each in value]}"
    if torch.is_storage(value):
        return f"{type(value).__name__} {value.tolist()}"
    return repr(value).replace("numpy:", "")


def _values(torch: Any, value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value.detach().to_dense().tolist()]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [_values(torch, each) for each in items]


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("name", OBJECTS)
def test_each_library_reads_the_other_s_files(name: str, new: bool) -> None:
    torch = pytest.importorskip("torch")
    for writer, reader in ((torch, retrograd), (retrograd, torch), (retrograd, retrograd)):
        obj, file = _build(writer, OBJECTS[name]), io.BytesIO()
        writer.save(obj, file, _use_new_zipfile_serialization=new)
        file.seek(0)
        made = reader.load(file)
        assert _text(reader, made).replace("retrograd.", "torch.") == _text(writer, obj).replace("retrograd.", "torch.")
        assert _values(reader, made) == _values(writer, obj)
        if isinstance(obj, OrderedDict):
            assert made._metadata == obj._metadata


def test_types_without_typed_storages_are_exchanged() -> None:
    torch = pytest.importorskip("torch")
    for writer, reader in ((torch, retrograd), (retrograd, torch)):
        file = io.BytesIO()
        writer.save([writer.tensor([1, 65535], dtype=writer.uint16), writer.tensor(2, dtype=writer.uint64)], file)
        file.seek(0)
        one, other = reader.load(file)
        assert (one.dtype, one.tolist(), other.dtype, other.item()) == (reader.uint16, [1, 65535], reader.uint64, 2)


def test_views_of_the_other_s_files_share_memory() -> None:
    torch = pytest.importorskip("torch")
    for writer, reader in ((torch, retrograd), (retrograd, torch)):
        file = io.BytesIO()
        x = writer.arange(6.0).reshape(2, 3)
        writer.save([x, x.t()], file)
        file.seek(0)
        one, other = reader.load(file)
        one[0, 1] = 9
        assert other[1, 0].item() == 9


def test_whole_modules_are_saved(backend: str) -> None:
    model = retrograd.nn.Sequential(retrograd.nn.Linear(2, 3), retrograd.nn.ReLU(), retrograd.nn.Dropout())
    model.register_buffer("step", retrograd.tensor(3))
    made = through(model.eval(), weights_only=False)
    x = retrograd.ones(1, 2)
    assert str(made) == str(model)
    assert made(x).tolist() == model(x).tolist()
    assert made.step.item() == 3
    with pytest.raises(pickle.UnpicklingError, match=r"GLOBAL retrograd\.nn\.modules\.container\.Sequential was not"):
        through(model)


def test_whole_modules_of_pytorch_are_read() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.GELU()).eval()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    made = retrograd.load(file, weights_only=False)
    assert str(made) == str(model)
    for ours, theirs in zip(made.state_dict().values(), model.state_dict().values(), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    numbers = made(retrograd.ones(2, 2)).detach().numpy()
    # `gelu` of a sum in which much cancels
    np.testing.assert_allclose(numbers, model(torch.ones(2, 2)).detach().numpy(), rtol=1e-6, atol=1e-6)
