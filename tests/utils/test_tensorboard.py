"""What `SummaryWriter` has written, read back from the event files."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrograd

pytest.importorskip("tensorboardX")

from retrograd.utils.tensorboard import SummaryWriter


def events(folder: Path) -> Iterator[tuple[str, Any]]:
    """The events of all files below a folder, each with the file's folder."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.rglob("events*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)  # a checksum of it, the event, a checksum of that
            event = Event()
            event.ParseFromString(content[at + 12 : at + 12 + length])
            yield path.parent.relative_to(folder).as_posix(), event
            at += 16 + length


def values(folder: Path) -> dict[tuple[str, str], list[tuple[int, Any]]]:
    """What was logged, by folder and tag: steps and values."""
    found: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    for place, event in events(folder):
        for each in event.summary.value:
            kind = each.WhichOneof("value")
            value = each.metadata.plugin_data.plugin_name if kind is None else getattr(each, kind)
            found.setdefault((place, each.tag), []).append((event.step, value))
    return found


def test_numbers_of_tensors(backend: str, tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        assert writer.get_logdir() == writer.log_dir == str(tmp_path)
        for step in range(3):
            writer.add_scalar("loss", retrograd.tensor(0.5 * step, requires_grad=True), step)
        writer.add_scalar("half", retrograd.tensor([1.5], dtype=retrograd.bfloat16), global_step=2)
        writer.add_scalar("plain", 2, new_style=True)
        writer.add_scalars("both", {"a": retrograd.tensor(1.0), "b": 2.0}, 7)
    found = values(tmp_path)
    assert found[".", "loss"] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert found[".", "half"] == [(2, 1.5)]
    assert found[".", "plain"] == [(0, 2.0)]
    assert found["both/a", "both"] == [(7, 1.0)]
    assert found["both/b", "both"] == [(7, 2.0)]


def test_arrays_of_tensors(backend: str, tmp_path: Path) -> None:
    with SummaryWriter(tmp_path, filename_suffix=".end") as writer:
        writer.add_histogram("spread", retrograd.arange(10.0).requires_grad_(), 1)
        writer.add_histogram("list", [retrograd.tensor(1.0), retrograd.tensor(3.0)])
        writer.add_tensor("elements", retrograd.arange(6).reshape(2, 3))
        writer.add_text("note", "hello", 4)
        writer.add_pr_curve("curve", retrograd.tensor([0, 1, 1, 0]), retrograd.tensor([0.1, 0.8, 0.4, 0.3]))
        writer.add_embedding(retrograd.eye(3), metadata=["a", "b", "c"], tag="points")
        writer.flush()
    found = values(tmp_path)
    ((step, spread),) = found[".", "spread"]
    assert (step, spread.min, spread.max, spread.num, spread.sum) == (1, 0, 9, 10, 45)
    assert found[".", "list"][0][1].num == 2
    ((_, elements),) = found[".", "elements"]
    assert [each.size for each in elements.tensor_shape.dim] == [2, 3]
    assert np.frombuffer(elements.tensor_content, np.int64).tolist() == [0, 1, 2, 3, 4, 5]
    assert found[".", "note/text_summary"][0][1].string_val == [b"hello"]
    assert (".", "curve") in found
    assert "1.0\t0.0\t0.0" in (tmp_path / "00000" / "points" / "tensors.tsv").read_text()
    assert [path.name.endswith(".end") for path in tmp_path.glob("events*")] == [True]


def test_settings_have_a_run_of_their_own(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        settings = {"rate": retrograd.tensor(0.5), "depth": 3, "name": "small", "bias": True}
        writer.add_hparams(settings, {"accuracy": retrograd.tensor(0.25)}, {"depth": [1, 3]}, "first", 5)
        with pytest.raises(TypeError, match="should be dictionary"):
            writer.add_hparams([], {})
        with pytest.raises(TypeError, match=r"hparam_domain_discrete\[width\] should be a list"):
            writer.add_hparams({"depth": 3}, {}, {"width": [1]})
    found = values(tmp_path)
    assert found["first", "accuracy"] == [(5, 0.25)]
    assert ("first", "_hparams_/session_start_info") in found


def test_images_of_tensors(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    image = retrograd.rand(3, 6, 8)
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("one", image)
        writer.add_images("several", retrograd.stack([image, image]))
        writer.add_images("list", [image, image], dataformats="CHW")
        writer.add_image_with_boxes("boxes", image, retrograd.tensor([[1.0, 1, 4, 4]]), rescale=2)
    found = values(tmp_path)
    # A PNG begins with eight bytes, and a header that begins with width and height.
    sizes = {tag: struct.unpack(">II", each.encoded_image_string[16:24]) for (_, tag), ((_, each),) in found.items()}
    assert sizes == {"one": (8, 6), "several": (16, 6), "list": (16, 6), "boxes": (16, 12)}


def test_the_graph_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboardX.proto.graph_pb2 import GraphDef

    nn = retrograd.nn
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2)))
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(model, retrograd.ones(2, 3), verbose=True)
        with pytest.raises(RuntimeError, match="no output of the model has a graph"):
            writer.add_graph(nn.Flatten(), retrograd.ones(2, 3, dtype=retrograd.int64))
    assert 'name: "Sequential/0/Addmm"' in capsys.readouterr().out
    (content,) = [event.graph_def for _, event in events(tmp_path) if event.graph_def]
    graph = GraphDef()
    graph.ParseFromString(content)
    found = {each.name: (each.op, list(each.input)) for each in graph.node}
    assert len(found) == len(graph.node)
    assert found["output/0"] == ("IO Node", ["Sequential/1/2/Addmm"])
    assert found["Sequential/1/0/Relu"] == ("Relu", ["Sequential/0/Addmm"])
    assert found["Sequential/0/Addmm"] == ("Addmm", ["Sequential/0/bias", "input/0", "Sequential/0/T"])
    assert found["Sequential/0/weight"] == ("Parameter", [])
    assert found["input/0"] == ("IO Node", [])
    assert {name for _, before in found.values() for name in before} <= found.keys()


def test_the_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SummaryWriter(comment="_end") as writer:
        writer.add_scalar("x", 1)
    assert writer.log_dir.startswith("runs/")
    assert writer.log_dir.endswith("_end")
    assert (".", "x") in values(tmp_path / writer.log_dir)


def test_without_the_library_it_says_so() -> None:
    program = (
        "import sys\nsys.modules['tensorboardX'] = None\n"
        "try:\n    import retrograd.utils.tensorboard\n"
        "except ModuleNotFoundError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "retrograd.utils.tensorboard needs tensorboardX: pip install 'retrograd[metrics]'\n"
