"""`SummaryWriter`: tensorboardX's, with PyTorch's arguments, for tensors of any backend."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from retrograd.dtypes import bfloat16, float32
from retrograd.tensor import Tensor
from retrograd.utils._pytree import tree_map
from retrograd.utils.tensorboard.graphs import graph_of

__all__ = ["FileWriter", "SummaryWriter"]


def _library() -> ModuleType:
    try:
        import tensorboardX
    except ImportError as error:
        raise ModuleNotFoundError(
            "retrograd.utils.tensorboard needs tensorboardX: pip install 'retrograd[metrics]'", name="tensorboardX"
        ) from error
    return tensorboardX


_tensorboardx: Any = _library()
FileWriter: Any = _tensorboardx.FileWriter


def _host(value: Any) -> Any:
    """A tensor as a NumPy array, of a type that the library knows; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    value = value.to(float32) if value.dtype is bfloat16 else value
    return np.asarray(value.numpy(force=True))


def _taking_tensors(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def taking(self: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(_host, (args, kwargs))
        return method(self, *args, **kwargs)

    return taking


class SummaryWriter(_tensorboardx.SummaryWriter):  # type: ignore[misc]  # the library has no types
    """Writes what happens in a training to event files, which TensorBoard shows.

    Parameters
    ----------
    log_dir
        The folder; by default one below `runs` that is named after the time and the machine.
    comment
        A suffix for the default folder.
    purge_step
        What an earlier run in this folder has logged from this step on, is hidden.
    max_queue, flush_secs
        After how many events, or seconds, they are written.
    filename_suffix
        A suffix for the names of event files.

    Raises
    ------
    ModuleNotFoundError
        On import, if tensorboardX is not installed.

    Notes
    -----
    Its other methods are tensorboardX's, most of which are PyTorch's: `add_scalars`, `add_histogram`, `add_image`,
    `add_figure`, `add_video`, `add_audio`, `add_text`, `add_embedding`, `add_pr_curve`, `add_custom_scalars`,
    `add_mesh`, `flush`, `close`. Wherever they take arrays they take tensors. As in PyTorch, images need Pillow,
    figures Matplotlib and videos MoviePy.

    Source: https://docs.pytorch.org/docs/stable/tensorboard.html

    Examples
    --------
    >>> import tempfile
    >>> import retrograd
    >>> from retrograd.utils.tensorboard import SummaryWriter
    >>> with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
    ...     for step in range(3):
    ...         writer.add_scalar("loss", retrograd.tensor(1.0 / (step + 1)), step)
    ...     writer.add_histogram("weights", retrograd.randn(100), 3)
    """

    def __init__(
        self,
        log_dir: str | Path | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        super().__init__(
            None if log_dir is None else str(log_dir), comment, purge_step, max_queue, flush_secs, filename_suffix
        )

    @property
    def log_dir(self) -> str:
        """The folder."""
        return str(self.logdir)

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Log a number.

        Parameters
        ----------
        new_style, double_precision
            Accepted and without effect: it is written as a 32-bit number.
        """
        super().add_scalar(tag, scalar_value, global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Log several images: an array of them, or a list of arrays, of which `dataformats` then says how each is."""
        if isinstance(img_tensor, Sequence):
            img_tensor, dataformats = np.stack(img_tensor), f"N{dataformats}"
        super().add_images(tag, img_tensor, global_step, walltime, dataformats)

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        """Log an image with rectangles in it, each (xmin, ymin, xmax, ymax)."""
        super().add_image_with_boxes(
            tag, img_tensor, box_tensor, global_step, walltime, dataformats, labels, rescale=rescale
        )

    def add_tensor(self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None) -> None:
        """Log the elements of an array, with its shape and type."""
        self._get_file_writer().add_summary(_summary_of(tag, np.asarray(tensor)), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Mapping[str, Sequence[Any]] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Log settings and what came of them, as a run of its own in a folder below.

        Parameters
        ----------
        hparam_domain_discrete
            The values that a setting may have, checked against the settings, and not written.
        run_name
            The folder's name; by default the time.

        Raises
        ------
        TypeError
            If something is no dict, or no list.
        """
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        for name, values in (hparam_domain_discrete or {}).items():
            if name not in hparam_dict or not isinstance(values, list):
                raise TypeError(
                    f"parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict[{name}]."
                )
        settings = {name: each.item() if hasattr(each, "item") else each for name, each in hparam_dict.items()}
        super().add_hparams(settings, metric_dict, run_name or str(time.time()), global_step)


def _add_graph(
    self: SummaryWriter, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
) -> None:
    """Log the graph that a call of a model makes: the nodes of its backward pass, by the modules that made them.

    Parameters
    ----------
    input_to_model
        What the model is called with: a tensor, or several.
    verbose
        Print the graph, too.
    use_strict_trace
        Accepted and without effect.

    Raises
    ------
    RuntimeError
        If nothing that the model returns has a graph.
    """
    from tensorboardX.proto.event_pb2 import Event

    graph = graph_of(model, input_to_model)
    if verbose:
        print(graph)
    self._get_file_writer().add_event(Event(graph_def=graph.SerializeToString()))


def _summary_of(tag: str, array: Any) -> Any:
    """TensorFlow's record of an array."""
    from tensorboardX.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

    names = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF", "bool": "BOOL"}
    kind = types_pb2.DataType.Value(f"DT_{names.get(array.dtype.name, array.dtype.name.upper())}")
    sizes = [tensor_shape_pb2.TensorShapeProto.Dim(size=n) for n in array.shape]
    shape = tensor_shape_pb2.TensorShapeProto(dim=sizes)
    content = tensor_pb2.TensorProto(dtype=kind, tensor_shape=shape, tensor_content=array.tobytes())
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="tensor")
    value = summary_pb2.Summary.Value(tag=tag, metadata=summary_pb2.SummaryMetadata(plugin_data=plugin), tensor=content)
    return summary_pb2.Summary(value=[value])


for _name in dir(SummaryWriter):
    if _name.startswith("add_"):
        setattr(SummaryWriter, _name, _taking_tensors(getattr(SummaryWriter, _name)))
SummaryWriter.add_graph = _add_graph  # whose tensors are to stay what they are
