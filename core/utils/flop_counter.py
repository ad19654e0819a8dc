"""Counts the floating-point operations of a program: of matrix products and convolutions, forward and backward.

Source: PyTorch's torch/utils/flop_counter.py, whose counts these are
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

from retrograd.autograd.modes import current_mode, set_mode
from retrograd.autograd.node import Node, name_of
from retrograd.autograd.profiler import Recorder
from retrograd.autograd.profiler_util import FunctionEvent
from retrograd.ops import aten
from retrograd.ops.declare import Op
from retrograd.tensor import Tensor
from retrograd.utils._pytree import tree_leaves, tree_map
from retrograd.utils.module_tracker import ModuleTracker

__all__ = ["FlopCounterMode", "register_flop_formula"]

Shape = Sequence[int]
Formula = Callable[..., int]

flop_registry: dict[Any, Formula] = {}
"""The formula of each operator that is counted, of its arguments and its result."""


def register_flop_formula(targets: Any, get_raw: bool = False) -> Callable[[Formula], Formula]:
    """Have operators counted by a formula: a decorator.

    Parameters
    ----------
    targets
        An operator as `retrograd.ops.aten.mm`, or several.
    get_raw
        Whether the formula takes the arguments, and the result as `out_val`, instead of the shapes of tensors among
        them, and of the result as `out_shape`.

    Raises
    ------
    ValueError
        If something is no operator.
    RuntimeError
        If an operator has a formula.

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils.flop_counter import FlopCounterMode, flop_registry, register_flop_formula
    >>> @register_flop_formula(retrograd.ops.aten.dot)
    ... def _(a_shape, b_shape, out_shape=None):
    ...     return 2 * a_shape[0]
    >>> with FlopCounterMode(display=False) as counter:
    ...     _ = retrograd.ones(8) @ retrograd.ones(8)
    >>> counter.get_total_flops()
    16
    >>> del flop_registry[retrograd.ops.aten.dot]
    """

    def register(formula: Formula) -> Formula:
        for target in targets if isinstance(targets, Iterable) and not callable(targets) else [targets]:
            if not hasattr(target, "overloads"):
                raise ValueError(
                    f"register_flop_formula(targets): expected each target to be OpOverloadPacket (i.e. "
                    f"retrograd.ops.mylib.foo), got {target} which is of type {type(target)}"
                )
            if target in flop_registry:
                raise RuntimeError(f"duplicate registrations for {target}")
            flop_registry[target] = formula if get_raw else _of_shapes(formula)
        return formula

    return register


def _of_shapes(formula: Formula) -> Formula:
    def of_values(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
        args, kwargs, out = tree_map(_shape, (args, kwargs, out_val))
        return formula(*args, out_shape=out, **kwargs)

    return of_values


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else value


@register_flop_formula(aten.mm)
def _mm(a: Shape, b: Shape, *settings: Any, out_shape: Any = None, **options: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


@register_flop_formula(aten.addmm)
def _addmm(added: Shape, a: Shape, b: Shape, *settings: Any, out_shape: Any = None, **options: Any) -> int:
    return _mm(a, b)


@register_flop_formula(aten.bmm)
def _bmm(a: Shape, b: Shape, *settings: Any, out_shape: Any = None, **options: Any) -> int:
    return 2 * a[0] * a[1] * a[2] * b[2]


@register_flop_formula(aten.baddbmm)
def _baddbmm(added: Shape, a: Shape, b: Shape, *settings: Any, out_shape: Any = None, **options: Any) -> int:
    return _bmm(a, b)


@register_flop_formula(aten.convolution)
def _convolution(
    x: Shape, w: Shape, bias: Any, stride: Shape, padding: Shape, dilation: Shape, transposed: bool, *settings: Any,
    out_shape: Shape, **options: Any,
) -> int:  # fmt: skip
    return 2 * x[0] * prod((x if transposed else out_shape)[2:]) * prod(w)


@register_flop_formula(aten.convolution_backward)
def _convolution_backward(
    grad: Shape, x: Shape, w: Shape, bias: Any, stride: Shape, padding: Shape, dilation: Shape, transposed: bool,
    output_padding: Any, groups: int, output_mask: Sequence[bool], out_shape: Any = None,
) -> int:  # fmt: skip
    """As PyTorch counts: for the weight, groups change nothing."""
    windows = x if transposed else grad
    of_input = prod(w) if output_mask[0] else 0
    of_weight = grad[1] * x[1] * prod(w[2:]) if output_mask[1] else 0
    return 2 * x[0] * prod(windows[2:]) * (of_input + of_weight)


@register_flop_formula(aten.mkldnn_rnn_layer)
def _lstm_layer(x: Shape, w: Shape, recurrent: Shape, *settings: Any, out_shape: Any = None, **options: Any) -> int:
    """At each of the steps both weights, (4 * hidden, size) and (4 * hidden, hidden), are multiplied."""
    return 2 * x[0] * x[1] * (prod(w) + prod(recurrent))


# -- our operators as PyTorch's ------------------------------------------------------------------


def _as_convolution(x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return x, w, bias, stride, padding, dilation, False, (0,), groups


def _as_transposed(x: Any, w: Any, bias: Any, shape: Any, *rest: Any) -> Any:
    stride, padding, dilation, groups, output_padding = rest
    return x, w, bias, stride, padding, dilation, True, output_padding, groups


def _backward_of_input(grad: Any, w: Any, shape: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return grad, shape, w, None, stride, padding, dilation, False, (0,), groups, (True, False, False)


def _backward_of_weight(grad: Any, x: Any, shape: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return grad, x, shape, None, stride, padding, dilation, False, (0,), groups, (False, True, False)


_AS_PYTORCHS: dict[str, tuple[str, Callable[..., Any]]] = {
    "_convolution": ("convolution", _as_convolution),
    "_transposed_convolution": ("convolution", _as_transposed),
    "_convolution_input": ("convolution_backward", _backward_of_input),
    "_convolution_weight": ("convolution_backward", _backward_of_weight),
}
"""Operators of convolutions, of which there are others here: PyTorch's, and its arguments, of ours."""


def _transposed_backward(result: Any, x: Any, w: Any, bias: Any, *settings: Any) -> Any:
    """In the backward pass of a transposed convolution the gradient of its input is an ordinary one of its result's."""
    stride, padding, dilation, groups = settings
    return x, result, w, None, stride, padding, dilation, True, (0,), groups, (True, False, False)


def _called(op: Op, arguments: Sequence[Any], out: Any, in_convolution: bool) -> tuple[Any, Sequence[Any]]:
    """Which of PyTorch's operators a call is, and the arguments of that."""
    if op.name == "_convolution" and in_convolution:
        return aten.convolution_backward, _transposed_backward(out, *arguments)
    if op.name in _AS_PYTORCHS:
        name, converted = _AS_PYTORCHS[op.name]
        return getattr(aten, name), converted(*arguments)
    return aten.overload_of(op).overloadpacket, arguments


def _samples(arguments: Any) -> int:
    """How often `vmap` has an operator computed: once for each sample of all levels that an argument is of."""
    sizes: dict[Any, int] = {}
    for each in tree_leaves(list(arguments)):
        while isinstance(each, Tensor) and each._kernels.level:
            if each._array.mapped:
                sizes[each._kernels] = each._kernels.size
            each = each._array.value
    return prod(sizes.values())


class _Watch(Recorder):
    """What `Mode.profiler` holds while operations are counted: it tells the counter of calls and records nothing."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__(False, False, False)
        self.counter = counter
        self.nodes: list[str] = []
        self.event = FunctionEvent("", 0, 0, None)

    def begin(self, name: str, scope: int, inputs: Sequence[Any] = ()) -> FunctionEvent:
        return self.event

    def end(self, event: FunctionEvent, results: Any = ()) -> None:
        if event is not self.event:
            self.nodes.pop()

    def begin_node(self, node: Node, given: Any) -> FunctionEvent:
        self.nodes.append(name_of(node))
        return FunctionEvent(name_of(node), 1, 0, None)

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = super().call(name, function, *args, **kwargs)
        if args and isinstance(args[0], Op):
            in_convolution = bool(self.nodes) and self.nodes[-1].startswith("ConvolutionBackward")
            packet, arguments = _called(args[0], args[1:], result, in_convolution)
            self.counter._count(packet, arguments, result, _samples(args[1:]))
        return result


# -- the counter ---------------------------------------------------------------------------------

_SUFFIXES = ("", "K", "M", "B", "T")
_HEADER = ("Module", "FLOP", "% Total")


class FlopCounterMode:
    """A context in which floating-point operations are counted, by module and operator.

    Those of `mm`, `addmm`, `bmm`, `baddbmm`, convolutions, and whatever `register_flop_formula` names; a multiplication
    and the addition that goes with it are two. The counts are PyTorch's, and where PyTorch has a fused operator that it
    does not count (attention on a CPU, layers of an LSTM), those of the products that it is made of.

    Parameters
    ----------
    mods
        Accepted with a warning, and not needed: all modules are seen.
    depth
        How deep the table goes into modules; None: to the end.
    display
        Whether to print the table in the end.
    custom_mapping
        Formulas of further operators, as `register_flop_formula` takes them.

    Source: https://github.com/pytorch/pytorch/blob/main/torch/utils/flop_counter.py

    Examples
    --------
    >>> import retrograd
    >>> from retrograd.utils.flop_counter import FlopCounterMode
    >>> model = retrograd.nn.Sequential(retrograd.nn.Linear(8, 16), retrograd.nn.ReLU(), retrograd.nn.Linear(16, 4))
    >>> with FlopCounterMode(display=False) as counter:
    ...     model(retrograd.ones(2, 8)).sum().backward()
    >>> counter.get_total_flops()
    1792
    >>> print(counter.get_table())
    Module            FLOP    % Total
    --------------  ------  ---------
    Sequential        1792    100.00%
     - aten.addmm      768     42.86%
     - aten.mm        1024     57.14%
     Sequential.0     1024     57.14%
      - aten.addmm     512     28.57%
      - aten.mm        512     28.57%
     Sequential.2      768     42.86%
      - aten.addmm     256     14.29%
      - aten.mm        512     28.57%
    """

    def __init__(
        self,
        mods: Any = None,
        depth: int | None = 2,
        display: bool = True,
        custom_mapping: Mapping[Any, Any] | None = None,
    ) -> None:
        if mods is not None:
            warnings.warn("mods argument is not needed anymore, you can stop passing it", stacklevel=2)
        self.flop_counts: dict[str, dict[Any, int]] = defaultdict(lambda: defaultdict(int))
        self.depth = depth
        self.display = display
        own = {
            packet: formula if getattr(formula, "_get_raw", False) else _of_shapes(formula)
            for packet, formula in (custom_mapping or {}).items()
        }
        self.flop_registry = {**flop_registry, **own}
        self.mod_tracker = ModuleTracker()
        self._outer: Any = None

    def get_total_flops(self) -> int:
        """How many there were."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """How many, by module and operator; all together under `"Global"`."""
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def _count(self, packet: Any, arguments: Sequence[Any], result: Any, times: int) -> None:
        formula = self.flop_registry.get(packet)
        if formula is not None:
            count = times * formula(*arguments, out_val=result)
            for name in self.mod_tracker.parents:
                self.flop_counts[name][packet] += count

    def get_table(self, depth: int | None = None) -> str:
        """The counts as a table."""
        depth = self.depth if depth is None else depth
        total = self.get_total_flops()
        unit = max(0, min(len(_SUFFIXES) - 1, (len(str(total)) - 2) // 3))
        rows: list[tuple[str, str, str]] = []
        covered = False
        for name in sorted(self.flop_counts):
            level = name.count(".")
            if name == "Global" or (depth is not None and level >= depth):
                continue
            rows += self._rows(name, level, total, unit)
            covered = covered or sum(self.flop_counts[name].values()) >= total
        if not covered:
            inner = [(f" {name}", count, share) for name, count, share in rows]
            rows = [*self._rows("Global", 0, total, unit), *inner]
        return _as_table(rows)

    def _rows(self, name: str, level: int, total: int, unit: int) -> list[tuple[str, str, str]]:
        """What a module, and each operator in it, has."""
        counts = self.flop_counts[name]
        lines = [(name, sum(counts.values())), *((f" - {packet}", count) for packet, count in counts.items())]
        return [(" " * level + label, _shown(count, unit), _share(count, total)) for label, count in lines]

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts.clear()
        self.mod_tracker.__enter__()
        mode = current_mode()
        self._outer = mode.profiler
        set_mode(mode.but(profiler=_Watch(self)))
        return self

    def __exit__(self, *exception: object) -> None:
        set_mode(current_mode().but(profiler=self._outer))
        self.mod_tracker.__exit__()
        if self.display:
            print(self.get_table())


def _shown(count: int, unit: int) -> str:
    return f"{count / 1000**unit:.3f}{_SUFFIXES[unit]}" if unit else str(count)


def _share(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else "0%"


def _as_table(rows: Sequence[tuple[str, str, str]]) -> str:
    widths = [max(len(title) + 2, *(len(row[i]) for row in rows)) for i, title in enumerate(_HEADER)]
    lines = [_HEADER, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "  ".join((first.ljust(widths[0]), second.rjust(widths[1]), third.rjust(widths[2])))
        for first, second, third in lines
    )
