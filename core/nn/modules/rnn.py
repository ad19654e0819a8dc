"""Recurrent layers: Elman's, LSTM and GRU, as cells and over whole sequences.

A layer over a sequence is a loop over its cell, so that all derivatives come from the cell's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from retrograd.autograd.modes import current_mode
from retrograd.dtypes import float32
from retrograd.nn import functional as F, init
from retrograd.nn.modules.module import Module
from retrograd.nn.utils.rnn import PackedSequence
from retrograd.ops.arrange import cat, stack
from retrograd.ops.autocasting import lowered
from retrograd.ops.factories import empty, zeros
from retrograd.ops.recurrent import gru_gates, lstm_gates
from retrograd.ops.recurrent_layers import lstm_layer
from retrograd.parameter import Parameter
from retrograd.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

State = Any  # a tensor; for the LSTM a pair of tensors


def _elman(gates: Tensor, hidden_gates: Tensor, state: State, nonlinearity: str) -> State:
    total = gates + hidden_gates
    return total.tanh() if nonlinearity == "tanh" else total.relu()


def _lstm(gates: Tensor, hidden_gates: Tensor, state: State, _: str) -> State:
    """State (h, c): ``c' = f c + i g``, ``h' = o tanh(c')``."""
    return lstm_gates(gates + hidden_gates, state[1])


def _gru(gates: Tensor, hidden_gates: Tensor, state: State, _: str) -> State:
    """``h' = (1 - z) n + z h`` with ``n = tanh(x_n + r h_n)``."""
    return gru_gates(gates, hidden_gates, state)


_KINDS = {"RNN_TANH": (1, _elman), "RNN_RELU": (1, _elman), "LSTM": (4, _lstm), "GRU": (3, _gru)}


def _is_whole(*given: Tensor) -> bool:
    """Whether an LSTM on these is one operator: as in PyTorch of 32-bit numbers; and where a formula is not compiled.

    A compiler would take its time for the loop over the steps again for each number of these.
    """
    return given[0].numel() > 0 and all(each.dtype is float32 and each._kernels.compile is None for each in given)


def _reset(module: Module, hidden_size: int) -> None:
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNCellBase(Module):
    """One step of a recurrent layer."""

    kind: str

    def _setup(self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any) -> None:
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = _KINDS[self.kind][0] * hidden_size
        options = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty((gates, input_size), **options))
        self.weight_hh = Parameter(empty((gates, hidden_size), **options))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(gates, **options)) if bias else None)
        _reset(self, hidden_size)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        _reset(self, self.hidden_size)

    def _step(self, input: Tensor, state: State, nonlinearity: str = "tanh") -> State:
        if input.ndim not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        if state is None:
            start = zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype, device=input.device)
            state = (start, start) if self.kind == "LSTM" else start
        hidden = state[0] if self.kind == "LSTM" else state
        self._check_state(input, state)
        return _KINDS[self.kind][1](
            F.linear(input, self.weight_ih, self.bias_ih), F.linear(hidden, self.weight_hh, self.bias_hh),
            state,
            nonlinearity,
        )  # fmt: skip

    def _check_state(self, input: Tensor, state: Any) -> None:
        """Refuse shapes that do not fit, in PyTorch's order."""
        states = state if self.kind == "LSTM" else (state,)
        for i, each in enumerate(states):
            if each.ndim not in (1, 2):
                which = f"hx[{i}]" if self.kind == "LSTM" else "hidden"
                raise ValueError(f"{type(self).__name__}: Expected {which} to be 1D or 2D, got {each.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.shape[-1]} expected {self.input_size}")
        for i, each in enumerate(states):
            if input.ndim == each.ndim == 2 and input.shape[0] != each.shape[0]:
                raise RuntimeError(
                    f"Input batch size {input.shape[0]} doesn't match hidden{i} batch size {each.shape[0]}"
                )
            if each.shape[-1] != self.hidden_size:
                raise RuntimeError(
                    f"hidden{i} has inconsistent hidden_size: got {each.shape[-1]}, expected {self.hidden_size}"
                )

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        kind = getattr(self, "nonlinearity", "tanh")
        return text + (f", nonlinearity={kind}" if kind != "tanh" else "")


class RNNCell(RNNCellBase):
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or with ReLU.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNNCell.html
    """

    kind = "RNN_TANH"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {nonlinearity}")
        self.nonlinearity = nonlinearity
        self._setup(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, hx, self.nonlinearity)


class LSTMCell(RNNCellBase):
    """A cell with long short-term memory; its state is a pair (h, c).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html
    """

    kind = "LSTM"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self._setup(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        return self._step(input, hx)


class GRUCell(RNNCellBase):
    """A gated recurrent unit.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GRUCell.html
    """

    kind = "GRU"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self._setup(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, hx)


def _check_sizes(mode: str, input_size: Any, hidden_size: Any, num_layers: int, proj_size: int) -> None:
    sizes = (("input_size", input_size), ("hidden_size", hidden_size))
    for name, size in sizes:
        if not isinstance(size, int):
            raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
    for name, size in sizes:
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")
    if mode not in _KINDS:
        raise ValueError(f"Unrecognized RNN mode: {mode}")


def _refuse_projection(proj_size: int | None) -> None:
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNNBase(Module):
    """Layers of a recurrent cell over sequences, in one direction or both.

    Parameters
    ----------
    mode
        `"RNN_TANH"`, `"RNN_RELU"`, `"LSTM"` or `"GRU"`.
    input_size, hidden_size, num_layers
        Sizes, and how many layers stand one above the other.
    batch_first
        Whether sequences are (N, L, size) and not (L, N, size).
    dropout
        Between layers, while training.
    bidirectional
        Whether there is a second pass from the end, whose outputs are put beside the first's.
    proj_size
        If not zero, the size that outputs are brought to by one more matrix; for the LSTM only.

    Raises
    ------
    ValueError, TypeError
        If a size is out of range or of a wrong type.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        for name, given in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(given, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(given).__name__}")
        _check_sizes(mode, input_size, hidden_size, num_layers, proj_size)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers=1",
                stacklevel=3,
            )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self.num_directions = 2 if bidirectional else 1
        self._make_weights({"device": device, "dtype": dtype})
        self.reset_parameters()

    def _make_weights(self, options: dict[str, Any]) -> None:
        gates = _KINDS[self.mode][0] * self.hidden_size
        outputs = self._output_size
        for layer in range(self.num_layers):
            size = self.input_size if layer == 0 else outputs * self.num_directions
            for suffix in self._suffixes(layer):
                self.register_parameter(f"weight_ih_{suffix}", Parameter(empty((gates, size), **options)))
                self.register_parameter(f"weight_hh_{suffix}", Parameter(empty((gates, outputs), **options)))
                if self.bias:
                    for name in ("bias_ih", "bias_hh"):
                        self.register_parameter(f"{name}_{suffix}", Parameter(empty(gates, **options)))
                if self.proj_size:
                    weight = Parameter(empty((self.proj_size, self.hidden_size), **options))
                    self.register_parameter(f"weight_hr_{suffix}", weight)

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if self.bias else [])]
        names += ["weight_hr"] if self.proj_size else []
        suffixes = [suffix for layer in range(self.num_layers) for suffix in self._suffixes(layer)]
        return [[getattr(self, f"{name}_{suffix}") for name in names] for suffix in suffixes]

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"l{layer}", f"l{layer}_reverse")[: self.num_directions]

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        _reset(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """PyTorch's name; there is nothing to do."""

    def forward(self, input: Any, hx: State = None) -> tuple[Any, State]:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.ndim not in (2, 3):
            found = f"{input.ndim}D tensor" if self.mode.startswith("RNN") else f"{input.ndim}D"
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {found} instead")
        single = input.ndim == 2
        if hx is not None:
            self._check_ranks(hx, single)
            hx = self._each(hx, lambda each: each.unsqueeze(1)) if single else hx
        steps = input.unsqueeze(1) if single else input.transpose(0, 1) if self.batch_first else input
        self._check_input(steps)
        if self.mode == "LSTM" and current_mode().autocast is not None:  # of the three, it is in autocast's first list
            (steps,) = lowered(steps)
            hx = None if hx is None else self._each(hx, lambda each: lowered(each)[0])
        steps, ends = self._layers(steps, self._initial(steps, hx, steps.shape[1]), None)
        return self._outputs(steps, ends, single)

    def _forward_packed(self, input: PackedSequence, hx: State) -> tuple[PackedSequence, State]:
        data, batch_sizes, order, back = input
        self._check_input(data)
        sizes = batch_sizes.tolist()
        if hx is not None and order is not None:
            hx = self._each(hx, lambda each: each.index_select(1, order))
        outputs, ends = self._layers(data, self._initial(data, hx, sizes[0]), sizes)
        last = self._stacked(ends)
        if back is not None:
            last = self._each(last, lambda each: each.index_select(1, back))
        return PackedSequence(outputs, batch_sizes, order, back), last

    def _each(self, state: State, function: Callable[[Tensor], Tensor]) -> State:
        """A function of the state; for the LSTM, of both parts of it."""
        return tuple(function(each) for each in state) if self.mode == "LSTM" else function(state)

    def _check_ranks(self, hx: State, single: bool) -> None:
        expected, kind = (2, "unbatched") if single else (3, "batched")
        found = [each.ndim for each in (hx if self.mode == "LSTM" else (hx,))]
        if any(each != expected for each in found):
            names, given = "hx", f"{found[0]}-D tensor"
            if self.mode == "LSTM":
                names, given = "hx and cx", f"({found[0]}-D, {found[1]}-D) tensors"
            raise RuntimeError(f"For {kind} {expected}-D input, {names} should also be {expected}-D but got {given}")

    def _check_input(self, steps: Tensor) -> None:
        dtype = self.weight_ih_l0.dtype
        if steps.dtype != dtype and current_mode().autocast is None:
            raise ValueError(
                f"RNN input dtype ({steps.dtype}) does not match weight dtype ({dtype}). Convert input: "
                f"input.to({dtype}), or convert model: model.to({steps.dtype})"
            )
        if steps.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {steps.shape[-1]}"
            )

    def _initial(self, steps: Tensor, hx: State, batch: int) -> list[State]:
        """The state of each layer and direction before the first step."""
        count = self.num_layers * self.num_directions
        if hx is None:
            options: dict[str, Any] = {"dtype": steps.dtype, "device": steps.device}
            start = zeros(batch, self._output_size, **options)
            cell = zeros(batch, self.hidden_size, **options) if self.proj_size else start
            return [(start, cell) if self.mode == "LSTM" else start] * count
        given = hx if self.mode == "LSTM" else (hx,)
        for place, each in enumerate(given):
            expected = (count, batch, self.hidden_size if place else self._output_size)
            if tuple(each.shape) != expected:
                name = f"hidden[{place}]" if self.mode == "LSTM" else "hidden"
                raise RuntimeError(f"Expected {name} size {expected}, got {list(each.shape)}")
        pieces = zip(*(list(each) for each in given), strict=True)
        return [piece if self.mode == "LSTM" else piece[0] for piece in pieces]

    def _layers(self, steps: Tensor, states: list[State], sizes: list[int] | None) -> tuple[Tensor, list[State]]:
        """The outputs of the last layer, and the last state of each layer and direction."""
        ends = []
        for layer in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                state = states[layer * self.num_directions + direction]
                output, end = self._run(steps, state, suffix, direction == 1, sizes)
                outputs.append(output)
                ends.append(end)
            steps = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
            if self.dropout and layer < self.num_layers - 1:
                steps = F.dropout(steps, self.dropout, self.training)
        return steps, ends

    def _run(
        self, steps: Tensor, state: State, suffix: str, backwards: bool, sizes: list[int] | None
    ) -> tuple[Tensor, State]:
        """One layer in one direction: all outputs, and the last state.

        With `sizes`, the steps are packed: that many sequences take part in each.
        """
        bias_ih = getattr(self, f"bias_ih_{suffix}") if self.bias else None
        bias_hh = getattr(self, f"bias_hh_{suffix}") if self.bias else None
        weight_hh = getattr(self, f"weight_hh_{suffix}")
        weight_hr = getattr(self, f"weight_hr_{suffix}") if self.proj_size else None
        weight_ih = getattr(self, f"weight_ih_{suffix}")
        plain = self.mode == "LSTM" and sizes is None and weight_hr is None
        if plain and _is_whole(steps, *state, weight_ih, weight_hh):
            output, *end, _ = lstm_layer(steps, weight_ih, weight_hh, bias_ih, bias_hh, *state, backwards)
            return output, tuple(end)
        gates = F.linear(steps, weight_ih, bias_ih)
        pieces = gates.unbind(0) if sizes is None else gates.split(sizes)
        cell, nonlinearity = _KINDS[self.mode][1], self.mode.removeprefix("RNN_").lower()
        taking_part = None if sizes is None else _TakingPart(self, state)
        outputs: list[Tensor] = []
        for each in reversed(pieces) if backwards else pieces:
            if taking_part is not None:
                state = taking_part.resized(state, each.shape[0], first=not outputs)
            hidden = state[0] if self.mode == "LSTM" else state
            state = cell(each, F.linear(hidden, weight_hh, bias_hh), state, nonlinearity)
            if weight_hr is not None:
                state = (F.linear(state[0], weight_hr), state[1])
            outputs.append(state[0] if self.mode == "LSTM" else state)
        if backwards:
            outputs.reverse()
        if taking_part is None:
            return stack(outputs), state
        return cat(outputs), taking_part.all_ends(state)

    def _outputs(self, steps: Tensor, ends: list[State], single: bool) -> tuple[Tensor, State]:
        last = self._stacked(ends)
        if single:
            return steps.squeeze(1), self._each(last, lambda each: each.squeeze(1))
        return steps.transpose(0, 1) if self.batch_first else steps, last

    def _stacked(self, ends: list[State]) -> State:
        if self.mode == "LSTM":
            return tuple(stack(list(column)) for column in zip(*ends, strict=True))
        return stack(ends)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        return text + (f", bidirectional={self.bidirectional}" if self.bidirectional is not False else "")


class _TakingPart:
    """The states of packed sequences, of which fewer take part in each later step."""

    def __init__(self, module: RNNBase, start: State) -> None:
        self.module = module
        self.start = start
        self.ended: list[State] = []

    def resized(self, state: State, count: int, first: bool) -> State:
        """The state with as many rows as take part: rows that have ended are kept, rows that begin come in."""
        have = 0 if first else (state[0] if self.module.mode == "LSTM" else state).shape[0]
        if count < have:
            self.ended.append(self.module._each(state, lambda each: each[count:]))
            return self.module._each(state, lambda each: each[:count])
        if count == have:
            return state
        beginning = self.module._each(self.start, lambda each: each[have:count])
        return beginning if first else self._joined([state, beginning])

    def all_ends(self, state: State) -> State:
        """The last state of every sequence."""
        return self._joined([state, *reversed(self.ended)])

    def _joined(self, states: list[State]) -> State:
        if self.module.mode == "LSTM":
            return tuple(cat(list(column)) for column in zip(*states, strict=True))
        return cat(states)


class RNN(RNNBase):
    """Elman's recurrent network; see `RNNBase` and `RNNCell`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        device: Any = None, dtype: Any = None, *, proj_size: int | None = None,
    ) -> None:  # fmt: skip
        _refuse_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, 0, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory; see `RNNBase` and `LSTMCell`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html

    Examples
    --------
    >>> import retrograd
    >>> layer = retrograd.nn.LSTM(3, 5)
    >>> output, (h, c) = layer(retrograd.ones(7, 2, 3))
    >>> output.shape, h.shape
    (retrograd.Size([7, 2, 5]), retrograd.Size([1, 2, 5]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(RNNBase):
    """Gated recurrent units; see `RNNBase` and `GRUCell`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
        dtype: Any = None, *, proj_size: int | None = None,
    ) -> None:  # fmt: skip
        _refuse_projection(proj_size)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )
