"""What the gates of recurrent cells do, from the products with the weights on: one node for a step.

Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; Cho et al., "Learning phrase representations using
RNN encoder-decoder for statistical machine translation", 2014.
"""

from __future__ import annotations

from typing import Any

from retrograd.ops.declare import Array, op

__all__ = ["gru_gates", "lstm_gates"]


def _parts(K: Any, x: Any, count: int) -> list[Any]:
    """Equal parts of the last dimension."""
    shape = tuple(x.shape)
    size = shape[-1] // count
    before = (slice(None),) * (len(shape) - 1)
    return [K.slice(x, (*before, slice(i * size, (i + 1) * size))) for i in range(count)]


def _joined(K: Any, parts: list[Any], like: Any) -> Any:
    """Parts of the last dimension together; one that is None is zero."""
    whole = [K.zeros_like(like) if each is None else each for each in parts]
    return K.concat(whole, len(like.shape) - 1)


# -- the LSTM ------------------------------------------------------------------------------------


def _lstm_activations(K: Any, gates: Any) -> tuple[Any, Any, Any, Any]:
    i, f, g, o = _parts(K, gates, 4)
    return K.sigmoid(i), K.sigmoid(f), K.tanh(g), K.sigmoid(o)


def _lstm_vjp(K: Any, grads: Any, gates: Any, cx: Any, result1: Any) -> Any:
    grad_h, grad_c = grads
    i, f, g, o = _lstm_activations(K, gates)
    at_o = None
    if grad_h is not None:
        c = K.tanh(result1)
        at_o = grad_h * c * (o * (1 - o))
        through_h = grad_h * o * (1 - c * c)
        grad_c = through_h if grad_c is None else grad_c + through_h
    at_gates = [grad_c * g * (i * (1 - i)), grad_c * cx * (f * (1 - f)), grad_c * i * (1 - g * g), at_o]
    return _joined(K, at_gates, cx), grad_c * f


def _lstm_jvp(K: Any, tangents: Any, gates: Any, cx: Any, result1: Any) -> Any:
    along_gates, along_c = tangents
    i, f, g, o = _lstm_activations(K, gates)
    c = K.tanh(result1)
    moved = None if along_c is None else f * along_c
    along_o = None
    if along_gates is not None:
        ti, tf, tg, to = _parts(K, along_gates, 4)
        by_gates = i * (1 - i) * g * ti + f * (1 - f) * cx * tf + i * (1 - g * g) * tg
        moved = by_gates if moved is None else moved + by_gates
        along_o = o * (1 - o) * c * to
    along_h = o * (1 - c * c) * moved
    return along_h if along_o is None else along_h + along_o, moved


@op(
    name="_lstm_gates",
    node="ThnnFusedLstmCellBackward0",
    vjp={"*": _lstm_vjp},
    jvp={"*": _lstm_jvp},
    outputs=2,
)
def lstm_gates(K, gates: Array, cx: Array) -> Array:
    """The new state (h, c) of an LSTM: ``c = f cx + i g``, ``h = o tanh(c)``.

    `gates` are i, f, g and o side by side, before sigmoid and, for g, tanh.
    """
    i, f, g, o = _lstm_activations(K, gates)
    c = f * cx + i * g
    return o * K.tanh(c), c


# -- the gated unit ------------------------------------------------------------------------------


def _gru_activations(K: Any, gates: Any, hidden_gates: Any) -> tuple[Any, Any, Any, Any]:
    r, z, n = _parts(K, gates, 3)
    hidden_r, hidden_z, hidden_n = _parts(K, hidden_gates, 3)
    r = K.sigmoid(r + hidden_r)
    return r, K.sigmoid(z + hidden_z), K.tanh(n + r * hidden_n), hidden_n


def _gru_vjp(K: Any, g: Any, gates: Any, hidden_gates: Any, hx: Any) -> Any:
    r, z, n, hidden_n = _gru_activations(K, gates, hidden_gates)
    at_n = g * (1 - z) * (1 - n * n)
    at_r, at_z = at_n * hidden_n * (r * (1 - r)), g * (hx - n) * (z * (1 - z))
    return _joined(K, [at_r, at_z, at_n], hx), _joined(K, [at_r, at_z, at_n * r], hx), g * z


def _gru_jvp(K: Any, tangents: Any, gates: Any, hidden_gates: Any, hx: Any) -> Any:
    along_gates, along_hidden, along_h = tangents
    r, z, n, hidden_n = _gru_activations(K, gates, hidden_gates)
    moved = None if along_h is None else z * along_h
    for along, inner in ((along_gates, 1), (along_hidden, r)):
        if along is not None:
            tr, tz, tn = _parts(K, along, 3)
            at_n = (tn * inner + hidden_n * (r * (1 - r)) * tr) * ((1 - z) * (1 - n * n))
            step = at_n + (hx - n) * (z * (1 - z)) * tz
            moved = step if moved is None else moved + step
    return moved


@op(
    name="_gru_gates",
    node="ThnnFusedGruCellBackward0",
    vjp={"*": _gru_vjp},
    jvp={"*": _gru_jvp},
)
def gru_gates(K, gates: Array, hidden_gates: Array, hx: Array) -> Array:
    """The new state of a gated recurrent unit: ``(1 - z) n + z hx`` with ``n = tanh(x_n + r h_n)``.

    `gates` (of the input) and `hidden_gates` (of the state) are those of r, z and n side by side.
    """
    _, z, n, _ = _gru_activations(K, gates, hidden_gates)
    return (hx - n) * z + n
