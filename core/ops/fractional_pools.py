"""Max pools whose windows begin at random places, so that the result may have any size.

Graham, "Fractional max-pooling", 2014 (arXiv:1412.6071).
"""

from __future__ import annotations

import math
from typing import Any

from retrograd.ops.batching import each_leading
from retrograd.ops.declare import Array, op
from retrograd.ops.fused import fused
from retrograd.ops.neural import _choose, _declare_depending, _flat, _unpool

__all__: list[str] = []

Ints = tuple[int, ...]


def _begins(K: Any, u: Any, n: int, windows: int, size: int) -> Any:
    """Where `windows` of a size begin in n places, by a random number each row: with steps that are cut to integers.

    The last one ends at the end.
    """
    integers = K.dtypes["int64"]
    last = K.zeros((*u.shape, min(windows, 1)), integers) + (n - size)
    if windows < 2:
        return last
    step = K.full((), (n - size) / (windows - 1), u.dtype)  # in the type of `u`, whose rounding decides
    at = K.reshape(u, (*u.shape, 1))
    count = K.reshape(K.astype(K.arange(0, windows - 1, 1, integers), u.dtype), (1,) * len(u.shape) + (windows - 1,))
    return K.concat([K.astype((at + count) * step, integers) - K.astype(at * step, integers), last], len(u.shape))


def _along(x: Any, K: Any, axis: int, axes: int) -> Any:
    """The last dimension as dimension `axis` among `axes` of which the others have size 1."""
    return K.reshape(x, (*x.shape[:-1], *(1,) * axis, x.shape[-1], *(1,) * (axes - axis - 1)))


def _places(K: Any, samples: Any, spatial: Ints, kernel: Ints, output: Ints) -> tuple[Any, Any]:
    """Of each window where it begins, and of its elements how far behind that they are, in all axes as one."""
    axes, lead = len(spatial), tuple(samples.shape[:-1])
    order = (1, 0) if axes == 2 else range(axes)  # of an image the first number is for the width
    begins: Any = 0
    behind: Any = 0
    for axis, number in enumerate(order):
        stride = math.prod(spatial[axis + 1 :])
        u = K.slice(samples, (*(slice(None),) * len(lead), number))
        begins = begins + _along(_begins(K, u, spatial[axis], output[axis], kernel[axis]), K, axis, axes) * stride
        steps = K.arange(0, max(kernel[axis], 0), 1, K.dtypes["int64"])
        behind = behind + _along(steps, K, axis, axes) * stride
    return _flat(K, begins, axes), _flat(K, behind, axes)


def _declare(dims: int) -> Any:
    depending = _declare_depending(f"FractionalMaxPool{dims}D")

    @op(
        name=f"_fractional_max_pool{dims}d",
        node=f"FractionalMaxPool{dims}DBackward0",
        outputs=2,
        differentiable=1,
        vjp={
            "self": lambda K, g, self, result1, self_shape, output_size: depending(
                K, fused(_unpool)(K, g[0], result1, self_shape, len(output_size), False), self
            )
        },
        jvp={"self": lambda K, t, result1, output_size: (fused(_choose)(K, t, result1, len(output_size)), None)},
        batch=each_leading,
        kept=("kernel_size", "output_size"),
    )
    def fractional_max_pool(
        K, self: Array, samples: Array, kernel_size: Ints, output_size: Ints
    ) -> tuple[Array, Array]:
        """The largest element of each window, and its position in the spatial axes as one; of several NaN the last."""
        flat = _flat(K, self, dims)
        axis = len(flat.shape) - 1
        lead, shape = tuple(flat.shape[:-1]), (*flat.shape[:-1], *output_size)
        begins, behind = _places(K, samples, tuple(self.shape[-dims:]), kernel_size, output_size)
        windows, count = begins.shape[-1], behind.shape[-1]
        if not count:
            return K.full(shape, -math.inf, self.dtype), K.reshape(begins, shape)
        places = K.reshape(begins, (*lead, windows, 1)) + behind
        values = K.reshape(K.gather(flat, K.reshape(places, (*lead, windows * count)), axis), places.shape)
        numbers = K.arange(0, count, 1, K.dtypes["int64"])
        lacking = K.max(K.where(K.isnan(values), numbers, K.zeros_like(numbers) - 1), (axis + 1,), True)
        best = K.where(lacking >= 0, lacking, K.argmax(values, axis + 1, True))
        found = K.gather(values, best, axis + 1), K.gather(places, best, axis + 1)
        return K.reshape(found[0], shape), K.reshape(found[1], shape)

    return fractional_max_pool


_fractional_max_pools = {dims: _declare(dims) for dims in (2, 3)}
