"""How fast gradient codecs are, against copying the same bytes.

python benchmarks/compression.py [--rows 1024] [--columns 1024] [--dtype float32] [--repeats 30]

For each codec: gigabytes of *gradient* a second into `encode` and out of `decode`, the same as a part of `memcpy`'s
rate for the array, and how many times smaller the frames are. Every time is the best of the repeats. One thread.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import time
from collections.abc import Callable

import ml_dtypes  # noqa: F401 - so that NumPy knows bfloat16 by name
import numpy as np

from retrograd.distributed.compression import CODECS, codec_for

SPECS = (*CODECS, "topk:0.001", "powersgd:1", "powersgd:4")


def best(function: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest call, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--dtype", default="float32", choices=("float16", "bfloat16", "float32", "float64"))
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    shape, dtype = (options.rows, options.columns), np.dtype(options.dtype)
    gradient = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    target = np.empty_like(gradient)
    gigabytes = gradient.nbytes / 1e9
    copying = gigabytes / best(lambda: np.copyto(target, gradient), options.repeats)
    print(f"{shape[0]} x {shape[1]} {dtype}, {gradient.nbytes / 2**20:.3g} MiB; memcpy {copying:.1f} GB/s\n")
    print(f"{'codec':14}{'smaller':>9}{'encode GB/s':>13}{'of memcpy':>11}{'decode GB/s':>13}{'of memcpy':>11}")
    for spec in SPECS:
        codec = codec_for(spec)
        encoded = codec.encode(0, gradient)
        encoding = gigabytes / best(lambda codec=codec: codec.encode(0, gradient), options.repeats)
        decoding = gigabytes / best(lambda codec=codec, e=encoded: codec.decode(e, shape, dtype), options.repeats)
        print(
            f"{codec.spec:14}{gradient.nbytes / encoded.nbytes:9.2f}{encoding:13.2f}{encoding / copying:11.3f}"
            f"{decoding:13.2f}{decoding / copying:11.3f}"
        )


if __name__ == "__main__":
    main()
