"""The parameter server's speed: against gloo, against bare ZeroMQ, and what its options gain and cost.

    python benchmarks/parameter_server.py [step] [wire] [digits] [link] [sparse] [compression] [staleness] [--quick]

Each section starts runs with ``retrograd launch`` on this machine and prints a table; without a section, all. What is
compared is measured in alternating rounds of one run, and a ratio is the median of the rounds' ratios with the
quartiles behind it, so that a busy machine slows both sides. One thread for each process.

* ``step``: push, sum, SGD update and pull, against `torch.distributed`'s all-reduce (gloo) and the same update.
* ``wire``: the same step against pyzmq alone moving the same bytes, by TCP and by shared memory.
* ``digits``: workers on the CNN of ``examples/train_digits.py``, and how much of communication overlap hides.
* ``link``: the wide model over a network of a given speed, and how much of the waiting overlap hides there. Needs root.
* ``sparse``: an embedding of which few rows have a gradient, and the same with all.
* ``compression``: each codec's bytes, time, and loss after equally many steps.
* ``staleness``: the time to a given loss with one straggler.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SPREAD = 1 << 20  # elements of 4 bytes from which fewer steps make a round


def launch(script: str, arguments: Sequence[object], *, workers: int, options: Sequence[object] = ()) -> Path:
    """Run a script in a new run; the folder where its workers have left their results."""
    folder = Path(tempfile.mkdtemp(prefix="ps-bench-"))
    words = ["launch", "--workers", workers, *options, HERE / script, "--folder", folder, *arguments]
    command = [sys.executable, "-m", "retrograd.distributed", *map(str, words)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return folder


def trained(*arguments: object, workers: int, options: Sequence[object] = ()) -> list[dict[str, Any]]:
    """What each worker of a training run has measured."""
    folder = launch("ps_train.py", arguments, workers=workers, options=options)
    return [json.loads((folder / f"worker.{rank}.json").read_text()) for rank in range(workers)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """The median of the paired ratios, and their quartiles."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    if len(ratios) < 2:
        return ratios[0], ratios[0], ratios[0]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high


def size_of(elements: int) -> str:
    """Bytes of float32 elements in words.

    >>> size_of(1000), size_of(25_000_000)
    ('4 kB', '100 MB')
    """
    nbytes = 4 * elements
    return f"{nbytes / 1e6:.3g} MB" if nbytes >= 1_000_000 else f"{nbytes / 1e3:.3g} kB"


def compared(elements: int, workers: int, ways: str, quick: bool, options: Sequence[object] = ()) -> dict[str, Any]:
    """Medians of rounds of each way of making a step."""
    rounds, steps = (3, 2) if quick else (9, 30 if elements < SPREAD // 4 else 10 if elements < 4 * SPREAD else 2)
    arguments = ("--elements", elements, "--ways", ways, "--rounds", rounds, "--steps", steps)
    folder = launch("ps_step.py", arguments, workers=workers, options=options)
    return json.loads((folder / "result.json").read_text())


# ---- the sections --------------------------------------------------------------------------------------------


def step(options: argparse.Namespace) -> None:
    """A synchronous step: push, sum, SGD update, pull; against gloo's all-reduce and the same update"""
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed, so there is no gloo to compare with: pip install torch")
        return
    print(f"{'size':>8}{'workers':>9}{'ours ms':>10}{'gloo ms':>10}{'ratio':>8}{'quartiles':>14}{'to reach':>10}")
    for workers in options.workers or (2, 4):
        for elements in options.elements or (1_000, 100_000, 1_000_000, 25_000_000):
            result = compared(elements, workers, "gloo", options.quick)
            middle, low, high = ratio(result["ours"], result["gloo"])
            ours, gloo = (statistics.median(result[way]) * 1e3 for way in ("ours", "gloo"))
            print(
                f"{size_of(elements):>8}{workers:9}{ours:10.2f}{gloo:10.2f}{middle:8.2f}"
                f"{f'{low:.2f} to {high:.2f}':>14}{0.5 if 4 * elements < 1_000_000 else 1.0:10}",
                flush=True,
            )


def wire(options: argparse.Namespace) -> None:
    """The same step against pyzmq alone: "bare" moves the bytes, "+ sum" also adds up, updates and copies"""
    print(f"{'size':>8}{'workers':>9}{'way':>8}{'ours GB/s':>11}{'bare GB/s':>11}", end="")
    print(f"{'of bare':>9}{'of + sum':>10}{'quartiles':>14}   to reach")
    for elements in options.elements or (262_144, 1_048_576, 4_194_304, 16_777_216):
        for workers in options.workers or (1, 2):
            for way, flags in (("tcp", ["--no-shared-memory"]), ("shared", [])):
                result = compared(elements, workers, "raw", options.quick, flags)
                bare = ratio(result["raw"], result["ours"])[0]
                middle, low, high = ratio(result["raw+sum"], result["ours"])
                moved = 2 * workers * 4 * elements / 1e9
                ours, raw = (moved / statistics.median(result[each]) for each in ("ours", "raw"))
                goal = "0.8" if way == "tcp" else "2 of bare" if elements >= 4_000_000 else ""
                print(
                    f"{size_of(elements):>8}{workers:9}{way:>8}{ours:11.2f}{raw:11.2f}"
                    f"{bare:9.2f}{middle:10.2f}{f'{low:.2f} to {high:.2f}':>14}   {goal}",
                    flush=True,
                )


def digits(options: argparse.Namespace) -> None:
    """The CNN of train_digits.py (40 kB), and a wide one (4.3 MB); hidden: the part of waiting that overlap saves"""
    print(f"{'model':>8}{'workers':>9}{'samples/s':>11}{'waiting':>9}{'no overlap':>12}{'waiting':>9}{'hidden':>8}")
    steps = 5 if options.quick else 60
    for model in ("cnn", "wide"):
        for workers in options.workers or (1, 2, 3, 4):
            waits: dict[bool, list[float]] = {True: [], False: []}
            rates: dict[bool, list[float]] = {True: [], False: []}
            shares: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(1 if options.quick else 3):
                for overlap in (True, False):
                    flags = () if overlap else ("--no-overlap",)
                    result = trained("--model", model, "--steps", steps, *flags, workers=workers)
                    rates[overlap].append(sum(each["samples"] / each["seconds"] for each in result))
                    shares[overlap].append(statistics.mean(each["waited"] / each["seconds"] for each in result))
                    waits[overlap].append(statistics.mean(statistics.median(each["steps"]) for each in result))
            hidden = 1 - ratio(waits[True], waits[False])[0]
            cells = [statistics.median(each[overlap]) for overlap in (True, False) for each in (rates, shares)]
            print(
                f"{model:>8}{workers:9}{cells[0]:11.0f}{cells[1]:9.0%}{cells[2]:12.0f}{cells[3]:9.0%}{hidden:8.0%}",
                flush=True,
            )


def link(options: argparse.Namespace) -> None:
    """The wide model by two hosts over a narrow network; ms a step, and how much less of it overlap lets one wait"""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from faults.namespaces import available

    if reason := available():
        print(reason)
        return
    print(f"{'Mbit/s':>8}{'batch':>7}{'step':>8}{'waiting':>9}{'no overlap':>12}{'waiting':>9}{'hidden':>8}")
    for rate, batch in ((200, 256),) if options.quick else ((200, 256), (200, 1024), (1000, 1024)):
        arguments = ("--model", "wide", "--batch", batch, "--steps", 3 if options.quick else 12, "--warm", 2)
        waits, steps = {}, {}
        for flags in ((), ("--no-overlap",)):
            result = over_network(rate, *arguments, *flags)
            count = len(result[0]["steps"])
            steps[flags] = statistics.mean(each["seconds"] / count for each in result) * 1e3
            waits[flags] = statistics.mean(each["waited"] / count for each in result) * 1e3
        cells = [each[flags] for flags in waits for each in (steps, waits)]
        hidden = 1 - cells[1] / cells[3]
        print(
            f"{rate:8}{batch:7}{cells[0]:8.0f}{cells[1]:9.0f}{cells[2]:12.0f}{cells[3]:9.0f}{hidden:8.0%}", flush=True
        )


def over_network(rate: int, *arguments: object, workers: int = 2) -> list[dict[str, Any]]:
    """What each worker has measured of a training run, where each is on a host with a cable of `rate` Mbit/s."""
    from faults.namespaces import hosts

    folder = Path(tempfile.mkdtemp(prefix="ps-bench-"))
    with hosts(workers + 1) as net:
        server, *others = net.hosts
        for host in others:
            net.limit(host, f"{rate}mbit")
        address = f"tcp://{server.address}:5555"
        command = [sys.executable, "-m", "retrograd.distributed"]
        common = os.environ | ONE_THREAD
        words = ["server", "--world-size", str(workers), "--bind", address, "--insecure", "--no-shared-memory"]
        server.run([*command, *words], common, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        script = [sys.executable, HERE / "ps_train.py", "--folder", folder, *map(str, arguments)]
        place = {"RETROGRAD_WORLD_SIZE": str(workers), "RETROGRAD_SERVERS": address}
        running = [host.run(script, common | place | {"RETROGRAD_RANK": str(n)}) for n, host in enumerate(others)]
        if any(process.wait() for process in running):
            raise SystemExit("a worker failed")
    return [json.loads((folder / f"worker.{rank}.json").read_text()) for rank in range(workers)]


def sparse(options: argparse.Namespace) -> None:
    """An embedding of 64 columns, with a gradient in few rows and in all; two workers, by TCP"""
    print(f"{'rows':>8}{'gradient':>10}{'kB a step':>11}{'ms a step':>11}{'bytes':>8}{'time':>8}")
    for rows in (1_000,) if options.quick else (1_000, 20_000, 100_000):
        base = ["--model", "embedding", "--rows", rows, "--steps", 5 if options.quick else 20]
        seen = [trained(*base, *flags, workers=2, options=["--no-shared-memory"])[0] for flags in (["--dense"], [])]
        for name, each in zip(("dense", "few rows"), seen, strict=True):
            nbytes, seconds = each["bytes"] / len(each["steps"]), statistics.median(each["steps"])
            print(
                f"{rows:8}{name:>10}{nbytes / 1e3:11.1f}{seconds * 1e3:11.2f}"
                f"{each['bytes'] / seen[0]['bytes']:8.3f}{seconds / statistics.median(seen[0]['steps']):8.3f}",
                flush=True,
            )


def compression(options: argparse.Namespace) -> None:
    """A perceptron of 545 kB on noisy labels, two workers, by TCP; loss after equally many steps"""
    print(f"{'codec':>14}{'kB a step':>11}{'ms a step':>11}{'bytes':>8}{'time':>8}{'loss':>9}")
    first: dict[str, float] = {}
    codecs = ("none", "fp16", "bf16", "int8", "topk:0.01", "1bit", "powersgd:2")
    for codec in codecs[:2] if options.quick else codecs:
        base = ["--model", "mlp", "--steps", 10 if options.quick else 150, "--lr", 0.1]
        each = trained(*base, workers=2, options=["--no-shared-memory", "--compression", codec])[0]
        nbytes, seconds = each["bytes"] / len(each["steps"]), statistics.median(each["steps"])
        first = first or {"bytes": nbytes, "seconds": seconds}
        print(
            f"{codec:>14}{nbytes / 1e3:11.1f}{seconds * 1e3:11.2f}{nbytes / first['bytes']:8.3f}"
            f"{seconds / first['seconds']:8.2f}{each['loss']:9.4f}",
            flush=True,
        )


def staleness(options: argparse.Namespace) -> None:
    """The perceptron by four workers, one of which sleeps 50 ms in each step; seconds to the loss that all reach"""
    runs: dict[str, tuple[list[tuple[float, float]], list[dict[str, Any]]]] = {}
    for bound in ("0", "1", "4", "async"):
        # A worker's gradient is its share of the mean over all, so that one rate suits both: with a staleness each
        # share is an update of its own.
        steps = 8 if options.quick else 80
        base = ["--model", "mlp", "--straggle", 0.05, "--steps", steps, "--look", 2, "--lr", 0.1]
        result = trained(*base, workers=4, options=["--staleness", bound])
        runs[bound] = ([tuple(point) for point in result[0]["curve"]], result)
    target = max(min(loss for _, loss in curve) for curve, _ in runs.values())
    print(f"{'staleness':>10}{'fast steps/s':>14}{'waiting':>9}{'seconds to loss':>17} {target:.3f}")
    for bound, (curve, result) in runs.items():
        seconds = next(at for at, loss in curve if loss <= target)
        fast = result[:-1]
        rate = statistics.mean(len(each["steps"]) / each["seconds"] for each in fast)
        waiting = statistics.mean(each["waited"] / each["seconds"] for each in fast)
        print(f"{bound:>10}{rate:14.1f}{waiting:9.0%}{seconds:17.2f}", flush=True)


SECTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    each.__name__: each for each in (step, wire, digits, link, sparse, compression, staleness)
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--workers", type=int, nargs="+", help="instead of the section's own numbers of workers")
    parser.add_argument("--elements", type=int, nargs="+", help="instead of the section's own sizes, in float32")
    parser.add_argument("--quick", action="store_true", help="few short rounds: to see that it works, not how fast")
    options = parser.parse_args(argv)
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"no section {', '.join(sorted(unknown))}")
    for name in options.sections or SECTIONS:
        print(f"\n{name}: {SECTIONS[name].__doc__}\n")
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
