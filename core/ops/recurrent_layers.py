"""An LSTM over a whole sequence as one operator, as PyTorch has it for 32-bit numbers: a layer is one node.

What does not depend on the state before is done for all steps at once; what is left for a step is a product with a
matrix and little more.
"""

from __future__ import annotations

from typing import Any

from retrograd.ops.declare import Array, op
from retrograd.ops.reducing import into

__all__ = ["lstm_layer"]


def _columns(K: Any, x: Any, start: int, stop: int) -> Any:
    """Some of the last dimension."""
    return K.slice(x, (*[slice(None)] * (len(x.shape) - 1), slice(start, stop)))


def _step(K: Any, x: Any, t: int) -> Any:
    return K.slice(x, (t,))


def _rows(K: Any, x: Any) -> Any:
    """The rows of all steps as one matrix."""
    return K.reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))


def _stacked(K: Any, made: list[Any], reverse: bool) -> Any:
    """What the steps gave one after the other, in the order of time."""
    return K.stack(made[::-1] if reverse else made, 0)


def _before(K: Any, start: Any, states: Any, reverse: bool) -> Any:
    """The state before each step, of what was before the first and is after each."""
    first, steps = K.reshape(start, (1, *start.shape)), states.shape[0]
    if reverse:
        return K.concat([K.slice(states, (slice(1, steps),)), first], 0)
    return K.concat([first, K.slice(states, (slice(0, steps - 1),))], 0)


class _Moments:
    """What all steps came through: gates after their functions, cells, and the slopes of the gates' functions."""

    def __init__(self, K: Any, workspace: Any, cx: Any, reverse: bool) -> None:
        size = workspace.shape[2] // 5
        self.i, self.f, self.g, self.o, c = (_columns(K, workspace, n * size, (n + 1) * size) for n in range(5))
        self.before = _before(K, cx, c, reverse)
        self.c = K.tanh(c)
        self.through_h = self.o * (1 - self.c * self.c)
        self.slopes = [s * (1 - s) for s in (self.i, self.f)] + [1 - self.g * self.g, self.o * (1 - self.o)]


def _gradients_of_gates(K: Any, grads: Any, workspace: Any, cx: Any, weight_hh: Any, reverse: bool) -> Any:
    """Of the sums in front of the gates' functions, at all steps, and of the state before the first."""
    grad_output, grad_h, grad_c, grad_workspace = grads
    at, steps, (batch, size) = _Moments(K, workspace, cx, reverse), workspace.shape[0], cx.shape
    by_c = K.concat([k * s for k, s in zip((at.g, at.before, at.i), at.slopes[:3], strict=True)], 2)
    by_c = K.reshape(by_c, (steps, batch, 3, size))
    by_h = at.c * at.slopes[3]
    extra = None if grad_workspace is None else K.concat(at.slopes, 2) * _columns(K, grad_workspace, 0, 4 * size)
    grad_h = K.zeros_like(cx) if grad_h is None else grad_h
    grad_c = K.zeros_like(cx) if grad_c is None else grad_c
    made = []
    for t in range(steps) if reverse else range(steps - 1, -1, -1):
        if grad_output is not None:
            grad_h = grad_h + _step(K, grad_output, t)
        grad_c = grad_c + grad_h * _step(K, at.through_h, t)
        if grad_workspace is not None:
            grad_c = grad_c + _columns(K, _step(K, grad_workspace, t), 4 * size, 5 * size)
        inner = K.reshape(_step(K, by_c, t) * K.reshape(grad_c, (batch, 1, size)), (batch, 3 * size))
        gates = K.concat([inner, grad_h * _step(K, by_h, t)], 1)
        if extra is not None:
            gates = gates + _step(K, extra, t)
        made.append(gates)
        grad_h, grad_c = K.matmul(gates, weight_hh), grad_c * _step(K, at.f, t)
    return _stacked(K, made, not reverse), grad_h, grad_c


def _layer_vjp(
    K: Any, grads: Any, input: Any, weight_ih: Any, weight_hh: Any, hx: Any, cx: Any, result0: Any, result3: Any,
    reverse: bool, needs: Any,
) -> tuple[Any, ...]:  # fmt: skip
    gates, grad_h, grad_c = _gradients_of_gates(K, grads, result3, cx, weight_hh, reverse)
    gates = _rows(K, gates)
    for_input = K.reshape(K.matmul(gates, weight_ih), input.shape) if needs[0] else None
    for_ih = K.matmul(gates.mT, _rows(K, input)) if needs[1] else None
    for_hh = K.matmul(gates.mT, _rows(K, _before(K, hx, result0, reverse))) if needs[2] else None
    for_biases = K.sum(gates, (0,), False) if needs[3] or needs[4] else None
    return for_input, for_ih, for_hh, for_biases, for_biases, grad_h, grad_c


def _layer_jvp(
    K: Any, tangents: Any, input: Any, weight_ih: Any, weight_hh: Any, hx: Any, cx: Any, result0: Any, result3: Any,
    reverse: bool,
) -> tuple[Any, ...]:  # fmt: skip
    *_, along_h, along_c = tangents
    at, steps, size = _Moments(K, result3, cx, reverse), input.shape[0], cx.shape[1]
    slopes = K.concat(at.slopes, 2)
    moved = _moved_sums(K, tangents, input, weight_ih, _before(K, hx, result0, reverse))
    along_h = K.zeros_like(hx) if along_h is None else along_h
    along_c = K.zeros_like(cx) if along_c is None else along_c
    states, kept = [], []
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        sums = K.matmul(along_h, weight_hh.mT)
        gates = (sums if moved is None else sums + K.reshape(_step(K, moved, t), sums.shape)) * _step(K, slopes, t)
        i, f, g, o = (_columns(K, gates, n * size, (n + 1) * size) for n in range(4))
        along_c = along_c * _step(K, at.f, t) + f * _step(K, at.before, t)
        along_c = along_c + i * _step(K, at.g, t) + g * _step(K, at.i, t)
        along_h = o * _step(K, at.c, t) + along_c * _step(K, at.through_h, t)
        states.append(along_h)
        kept.append(K.concat([gates, along_c], 1))
    return _stacked(K, states, reverse), along_h, along_c, _stacked(K, kept, reverse)


def _moved_sums(K: Any, tangents: Any, input: Any, weight_ih: Any, before: Any) -> Any:
    """The tangent of the sums in front of the gates' functions, but for the part of the state's; None if there is none.

    It has a row for each step and sample.
    """
    along_x, along_ih, along_hh, *along_biases, _, _ = tangents
    parts = [
        None if along_x is None else K.matmul(_rows(K, along_x), weight_ih.mT),
        None if along_ih is None else K.matmul(_rows(K, input), along_ih.mT),
        None if along_hh is None else K.matmul(_rows(K, before), along_hh.mT),
        *along_biases,
    ]
    total = None
    for each in parts:
        total = each if total is None else total if each is None else total + each
    if total is None:
        return None
    total = K.broadcast_to(total, (input.shape[0] * input.shape[1], weight_ih.shape[0]))
    return K.reshape(total, (*input.shape[:2], weight_ih.shape[0]))


@op(
    name="_lstm_layer",
    node="MkldnnRnnLayerBackward0",
    vjp={"*": _layer_vjp},
    jvp={"*": _layer_jvp},
    outputs=4,
)
def lstm_layer(
    K, input: Array, weight_ih: Array, weight_hh: Array, bias_ih: Array | None, bias_hh: Array | None, hx: Array,
    cx: Array, reverse: bool,
) -> Array:  # fmt: skip
    """The outputs of an LSTM at all steps, its last state (h, c), and what its derivatives need of all steps.

    `input` is (steps, batch, size); `reverse` says that the last step comes first. For the formulas see
    `retrograd.ops.recurrent.lstm_gates`.
    """
    steps, (batch, size) = input.shape[0], cx.shape
    sums = K.matmul(_rows(K, input), weight_ih.mT)
    sums = sums if bias_ih is None else into(K, "add", sums, bias_ih)
    sums = K.reshape(sums, (steps, batch, 4 * size))
    outputs, kept, h, c = [], [], hx, cx
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        gates = K.matmul(h, weight_hh.mT)
        gates = gates if bias_hh is None else into(K, "add", gates, bias_hh)
        gates = into(K, "add", gates, _step(K, sums, t))
        in_and_forget, o = K.sigmoid(_columns(K, gates, 0, 2 * size)), K.sigmoid(_columns(K, gates, 3 * size, 4 * size))
        g = K.tanh(_columns(K, gates, 2 * size, 3 * size))
        i, f = _columns(K, in_and_forget, 0, size), _columns(K, in_and_forget, size, 2 * size)
        c = into(K, "add", f * c, i * g)
        h = o * K.tanh(c)
        outputs.append(h)
        kept.append(K.concat([in_and_forget, g, o, c], 1))
    return _stacked(K, outputs, reverse), h, c, _stacked(K, kept, reverse)
