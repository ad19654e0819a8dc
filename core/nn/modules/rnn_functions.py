"""Recurrent layers as functions of PyTorch's namespace: `torch.lstm(input, hx, params, ...)`.

They are the modules of `nn`, given their weights. Packed sequences come as their data and the number of sequences in
each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrograd.nn.modules.module import Module
from retrograd.nn.modules.rnn import GRU, LSTM, RNN, RNNBase
from retrograd.nn.utils.rnn import PackedSequence
from retrograd.tensor import Tensor

__all__ = ["gru", "lstm", "rnn_relu", "rnn_tanh"]

Flags = tuple[bool, int, float, bool, bool]
"""Biases, layers, dropout, training, both directions."""


def _layer(kind: type[RNNBase], mode: str, params: Sequence[Tensor], flags: Flags) -> RNNBase:
    """The module that has `params`, which are not its parameters: they may be any tensors."""
    layer = kind.__new__(kind)
    Module.__init__(layer)
    layer.bias, layer.num_layers, layer.dropout, layer.training, layer.bidirectional = flags
    layer.mode, layer.num_directions, layer.batch_first = mode, 2 if layer.bidirectional else 1, False
    suffixes = [suffix for number in range(layer.num_layers) for suffix in layer._suffixes(number)]
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if layer.bias else [])]
    if len(params) == len(suffixes) * (len(names) + 1):
        names.append("weight_hr")
    if len(params) != len(suffixes) * len(names):
        raise RuntimeError("got an incorrect number of RNN parameters")
    every = (f"{name}_{suffix}" for suffix in suffixes for name in names)
    layer.__dict__.update(zip(every, params, strict=True))
    layer.input_size, layer.hidden_size = params[0].shape[1], params[0].shape[0] // _GATES[kind]
    layer.proj_size = params[4 if layer.bias else 2].shape[0] if names[-1] == "weight_hr" else 0
    return layer


_GATES: dict[type[RNNBase], int] = {LSTM: 4, GRU: 3, RNN: 1}


def _run(kind: type[RNNBase], mode: str, input: Tensor, args: tuple[Any, ...]) -> tuple[Any, Any]:
    """Outputs and last state, of ``hx, params, flags..., batch_first`` or ``batch_sizes, hx, params, flags...``."""
    if isinstance(args[0], Tensor) and isinstance(args[2], (list, tuple)):
        sizes, hx, params, *flags = args
        output, last = _layer(kind, mode, params, tuple(flags))(PackedSequence(input, sizes), hx)
        return output.data, last
    hx, params, *flags, batch_first = args
    layer = _layer(kind, mode, params, tuple(flags))
    layer.batch_first = batch_first
    found: tuple[Any, Any] = layer(input, hx)
    return found


def lstm(input: Tensor, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """An LSTM: ``lstm(input, (h, c), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)``.

    `params` are the weights of each layer and direction, in the order of the module's. For packed sequences:
    ``lstm(data, batch_sizes, (h, c), params, has_biases, num_layers, dropout, train, bidirectional)``.

    Raises
    ------
    RuntimeError
        If there are not as many parameters as the layers need.

    Examples
    --------
    >>> import retrograd
    >>> layer, start = retrograd.nn.LSTM(2, 3), retrograd.zeros(1, 1, 3)
    >>> x = retrograd.ones(4, 1, 2)
    >>> y, h, c = retrograd.lstm(x, (start, start), [*layer.parameters()], True, 1, 0.0, False, False, False)
    >>> bool((y == layer(x)[0]).all())
    True
    """
    output, (h, c) = _run(LSTM, "LSTM", input, _with_pair(args))
    return output, h, c


def _with_pair(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with the state, a list in some programs, as a tuple."""
    place = 0 if isinstance(args[0], (list, tuple)) else 1
    return (*args[:place], tuple(args[place]), *args[place + 1 :])


def gru(input: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    """A GRU, of the arguments of `lstm` with one tensor as the state."""
    return _run(GRU, "GRU", input, args)


def rnn_tanh(input: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    """A recurrent layer with `tanh`, of the arguments of `gru`."""
    return _run(RNN, "RNN_TANH", input, args)


def rnn_relu(input: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    """A recurrent layer with `relu`, of the arguments of `gru`."""
    return _run(RNN, "RNN_RELU", input, args)
