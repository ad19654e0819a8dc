"""Scripts that do what they should not, in whole runs: they are told what it is, and nothing hangs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ps_harness import run_launcher, write_script

pytestmark = pytest.mark.processes

BEGIN = """
    import os, sys
    import retrograd as rg
    import retrograd.distributed as dist

    dist.init()
    w = rg.nn.Parameter(rg.ones(3))
    opt = dist.ServerOptimizer(rg.optim.SGD, [w], lr=0.1)

    def step():
        opt.zero_grad()
        w.sum().backward()
        opt.step()

    def told(act):
        try:
            print("nothing said by", act())
        except dist.DistributedError as error:
            print("told:", error, flush=True)

    step()
"""


def run(folder: Path, body: str, *arguments: str) -> list[str]:
    """What two workers of a run that ends well have written."""
    path = write_script(folder, BEGIN + body)
    done = run_launcher("launch", "--workers", "2", *arguments, path)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.partition("] ")[2] for line in done.stdout.splitlines() if line.startswith("[worker")]


def test_a_child_that_was_forked_does_not_end_its_parents_part(tmp_path: Path) -> None:
    body = """
    if (pid := os.fork()) == 0:
        print("the child of", dist.rank())
        told(step)
        told(dist.barrier)
        sys.exit("the child ends")
    os.waitpid(pid, 0)
    step()
    dist.barrier()
    print("done", w.tolist()[0] < 0.65)
    """
    lines = run(tmp_path, body)
    assert sorted(line for line in lines if not line.startswith("told")) == sorted(
        ["the child of 0", "the child of 1", "the child ends", "the child ends", "done True", "done True"]
    )
    assert lines.count("told: a child that was forked has no part in the run: barrier() is for its parent") == 2
    assert sum("is in the run no more: step() after retrograd.distributed.shutdown(), or in a" in x for x in lines) == 2


def test_what_is_asked_after_the_end_is_an_error_that_says_so(tmp_path: Path) -> None:
    body = """
    kept = opt.state_dict()
    dist.init()  # once more, which does nothing
    dist.shutdown()
    for act in (opt.step, opt.pull, opt.state_dict, lambda: opt.load_state_dict(kept), dist.barrier, dist.rank):
        told(act)
    dist.shutdown()
    """
    lines = run(tmp_path, body)
    assert not any("nothing said" in line for line in lines)
    for said, count in {
        "in the run no more: step()": 2,
        "in the run no more: pull()": 2,
        "in the run no more: state_dict()": 2,
        "in the run no more: load_state_dict()": 2,
        "has not joined a run: call retrograd.distributed.init() first": 4,
    }.items():
        assert sum(said in line for line in lines) == count, said
