"""Gradients in fewer bytes: codecs behind one interface, chosen by name.

>>> import numpy as np
>>> codec = codec_for("topk:0.01")                                  # in a worker
>>> gradient = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
>>> encoded = codec.encode(0, gradient)                             # numbers for the header, arrays for frames
>>> encoded.numbers, encoded.nbytes, round(codec.ratio(gradient.shape, gradient.dtype), 1)
((655,), 3934, 66.6)
>>> approximation = CODECS["topk"].decode(encoded, gradient.shape, gradient.dtype)    # in a server

============= ======= =========== =========== ======== ===================== ==============
spec          smaller encode GB/s decode GB/s error    NaN and infinities    memory
============= ======= =========== =========== ======== ===================== ==============
none          1       no time     no time     none     in their places       none
fp16          2       4.8         7.2         rounding in their places       none
bf16          2       9.9         51          rounding in their places       none
int8          3.94    3.1         8.9         unbiased gradient becomes NaN  a count
topk:0.01     66.6    3.5         25          fed back gradient becomes NaN  residual
1bit          30.1    2.1         5.8         fed back gradient becomes NaN  residual
powersgd:2    256     2.4         5.8         fed back gradient becomes NaN  residual and Q
============= ======= =========== =========== ======== ===================== ==============

"Smaller" is how many times, for a float32 gradient of 1024 x 1024; a gigabyte of the speeds is one of gradient. They
are of one core (AMD EPYC of 2022) whose `memcpy` of the same 4 MiB makes 47 GB/s from its cache; of 64 MiB, from
memory, it makes 5.3, and the codecs a quarter to a third of what the table says: the figures of
``benchmarks/compression.py``.

What is kept is a worker's; it goes into :meth:`Codec.state_dict`. The server's side keeps nothing, and its memory for
a gradient is the gradient and a few chunks of 65536 numbers. Where a gradient with NaN or an infinity "becomes NaN",
nothing is sent but word of it; a decoder makes an array of NaN, so that the server's policy sees one.
"""

from __future__ import annotations

from typing import Final

from .casts import BFloat16, Float16, Plain
from .codec import Codec, Encoded
from .feedback import ErrorFeedback
from .int8 import Int8
from .onebit import OneBit
from .powersgd import PowerSGD
from .topk import TopK

__all__ = [
    "CODECS",
    "BFloat16",
    "Codec",
    "Encoded",
    "ErrorFeedback",
    "Float16",
    "Int8",
    "OneBit",
    "Plain",
    "PowerSGD",
    "TopK",
    "codec_for",
]

CODECS: Final[dict[str, type[Codec]]] = {
    codec.name: codec for codec in (Plain, Float16, BFloat16, Int8, TopK, OneBit, PowerSGD)
}
"""Every codec by its name."""


def codec_for(spec: str, *, seed: int = 0) -> Codec:
    """A new codec for a worker.

    Parameters
    ----------
    spec
        ``none``, ``fp16``, ``bf16``, ``int8``, ``1bit``, ``topk`` or ``topk:FRACTION``, ``powersgd`` or
        ``powersgd:RANK``. Without a colon the fraction is 0.01 and the rank 2.
    seed
        Of random numbers, for those that draw some. It should be each worker's own, its rank for example.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> codec_for("powersgd:4"), codec_for("topk")
    (<codec powersgd:4>, <codec topk:0.01>)
    >>> codec_for("zip")
    Traceback (most recent call last):
    ValueError: no codec is called 'zip': there are none, fp16, bf16, int8, topk, 1bit and powersgd
    """
    name, colon, argument = spec.partition(":")
    if name not in CODECS:
        *others, last = CODECS
        raise ValueError(f"no codec is called {name!r}: there are {', '.join(others)} and {last}")
    return CODECS[name].parse(argument if colon else None, seed)
