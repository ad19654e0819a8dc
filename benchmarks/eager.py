"""What eager mode costs, side by side with PyTorch in one run.

    python benchmarks/eager.py [--backend numpy|jax] [--rounds N]

Times, with one thread each: forward, and forward plus backward, of a chain of 200 small elementwise
operators; a training step (forward, cross entropy, backward, SGD) of a small and of a larger
multi-layer perceptron. Rounds alternate between the two libraries, and the ratio is that of the
medians, because a machine that others use changes its speed from second to second.

On a backend that compiles, the last rows compare with the raw cost of the same number of calls of
the library's own compiled functions.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import retrograd

CHAIN = 200
TARGETS = {"chain forward + backward": 0.7, "MLP 64-32-10, batch 32": 0.8, "MLP 784-512-512-10, batch 128": 1.2}


def chain(torch: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A chain of `CHAIN` operators on four elements: its forward pass, and that with backward."""
    x = torch.tensor([0.1, -0.2, 0.3, 0.4], requires_grad=True)
    w = torch.tensor([0.9, 1.1, 1.0, 0.8])

    def forward() -> Any:
        y = x
        for _ in range(CHAIN // 4):
            y = y * w
            y = y + w
            y = y.tanh()
            y = y * 0.5
        return y

    def both() -> None:
        forward().sum().backward()
        x.grad = None

    return forward, both


def training_step(torch: Any, sizes: tuple[int, ...], batch: int) -> Callable[[], Any]:
    """One step of stochastic gradient descent on random data."""
    generator = np.random.default_rng(0)
    x = torch.tensor(generator.normal(size=(batch, sizes[0])).astype(np.float32))
    y = torch.tensor(generator.integers(0, sizes[-1], batch))
    layers: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_function = torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()

    return step


def cases(torch: Any) -> dict[str, Callable[[], Any]]:
    forward, both = chain(torch)
    return {
        "chain forward": forward,
        "chain forward + backward": both,
        "MLP 64-32-10, batch 32": training_step(torch, (64, 32, 10), 32),
        "MLP 784-512-512-10, batch 128": training_step(torch, (784, 512, 512, 10), 128),
    }


def sample(call: Callable[[], Any], seconds: float = 0.05) -> float:
    """Seconds per call, averaged over about `seconds`."""
    calls = 0
    start = time.perf_counter()
    while True:
        call()
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed > seconds:
            return elapsed / calls


def compare(ours: Callable[[], Any], theirs: Callable[[], Any] | None, rounds: int) -> tuple[float, float | None]:
    """Median seconds per call of both, from alternating rounds."""
    for call in filter(None, (ours, theirs)):
        for _ in range(5):
            call()
    mine, other = [], []
    for _ in range(rounds):
        mine.append(sample(ours))
        if theirs is not None:
            other.append(sample(theirs))
    return statistics.median(mine), statistics.median(other) if other else None


def raw_jitted_calls() -> Callable[[], Any]:
    """The chain's operators as `jax.jit`-compiled calls, without anything of ours."""
    import jax
    import jax.numpy as jnp

    multiply, add, tanh = jax.jit(jnp.multiply), jax.jit(jnp.add), jax.jit(jnp.tanh)
    x = jnp.asarray([0.1, -0.2, 0.3, 0.4], jnp.float32)
    w = jnp.asarray([0.9, 1.1, 1.0, 0.8], jnp.float32)

    def forward() -> None:
        y = x
        for _ in range(CHAIN // 4):
            y = multiply(y, w)
            y = add(y, w)
            y = tanh(y)
            y = multiply(y, 0.5)
        y.block_until_ready()

    return forward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        torch = None
    retrograd.set_default_backend(options.backend)
    theirs = cases(torch) if torch is not None else {}
    print(f"{'':34}{options.backend:>12}{'PyTorch':>12}{'ratio':>8}{'to reach':>10}")
    for name, call in cases(retrograd).items():
        mine, other = compare(call, theirs.get(name), options.rounds)
        print_row(name, mine, other, TARGETS.get(name) if options.backend == "numpy" else None)
    if options.backend == "jax":
        mine, raw = compare(cases(retrograd)["chain forward + backward"], raw_jitted_calls(), options.rounds)
        print_row("chain f + b / raw jitted calls", mine, raw, 4.0)


def print_row(name: str, mine: float, other: float | None, target: float | None) -> None:
    per = f"{mine * 1e6:10.1f}us"
    if other is None:
        print(f"{name:34}{per}")
        return
    reach = f"<= {target}" if target is not None else ""
    print(f"{name:34}{per}{other * 1e6:10.1f}us{mine / other:8.2f}{reach:>10}")


if __name__ == "__main__":
    main()
