"""Threads that share work: all of it is done once, in no more time than by one, and nothing goes on afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ps_harness import environment

from retrograd.distributed import crew
from retrograd.distributed.gradients import fullest
from retrograd.distributed.protocol import Pull, Push, Slot, decode, encode, seal

MUCH = crew.WORTH_SHARING


@pytest.fixture(autouse=True)
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """One more thread, on however many cores."""
    with ThreadPoolExecutor(1, "other") as pool:
        monkeypatch.setattr(crew, "_crew", lambda: pool)
        monkeypatch.setattr(crew, "_others", lambda: 1)
        yield pool


def test_all_is_done_once_and_stands_in_its_order() -> None:
    done: list[int] = []

    def double(number: int) -> int:
        done.append(number)
        return 2 * number

    assert crew.each(double, range(500), MUCH) == list(range(0, 1000, 2))
    assert sorted(done) == list(range(500))


def test_two_are_at_work_at_once() -> None:
    together = threading.Barrier(2, timeout=60)
    assert len(set(crew.each(lambda _: (together.wait(), threading.get_ident())[1], range(2), MUCH))) == 2


def test_little_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(crew, "_crew")
    here = threading.get_ident()
    assert crew.each(lambda _: threading.get_ident(), range(3), MUCH - 1) == [here] * 3
    assert crew.each(lambda _: threading.get_ident(), [0], MUCH) == [here]


def test_who_has_no_time_is_not_waited_for(other: ThreadPoolExecutor) -> None:
    go_on = threading.Event()
    other.submit(go_on.wait, 60)
    here = threading.get_ident()
    assert crew.each(lambda _: threading.get_ident(), range(3), MUCH) == [here] * 3
    go_on.set()


@pytest.mark.parametrize("fails_here", [True, False])
def test_an_error_is_raised_when_nobody_is_at_work_any_more(fails_here: bool) -> None:
    here, together, ended = threading.get_ident(), threading.Barrier(2, timeout=60), []

    def work(number: int) -> None:
        together.wait()
        if (threading.get_ident() == here) is fails_here:
            raise ValueError("no")
        threading.Event().wait(0.05)
        ended.append(number)

    with pytest.raises(ValueError, match="no"):
        crew.each(work, range(2), MUCH)
    assert len(ended) == 1


def run_python(code: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, timeout=60, env=environment(), capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_program_that_ends_does_the_work_alone() -> None:
    run_python(
        """
        import atexit
        from retrograd.distributed import crew

        ask = lambda: crew.each(abs, range(-99, 0), crew.WORTH_SHARING)
        before = ask()
        atexit.register(lambda: 1 / (before == ask()))  # an error goes to the error stream
        """
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_has_threads_of_its_own() -> None:
    run_python(
        """
        import os
        from retrograd.distributed import crew

        ask = lambda: crew.each(abs, range(-99, 0), crew.WORTH_SHARING)
        before = ask()
        if (child := os.fork()) == 0:
            os._exit(0 if ask() == before else 1)
        assert os.waitpid(child, 0)[1] == 0
        """
    )


def test_a_checksum_and_a_look_are_the_same_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [np.random.default_rng(n).standard_normal(MUCH // 12).astype(np.float32) for n in range(4)]
    slots = tuple(Slot(n, "float32", each.shape) for n, each in enumerate(arrays))
    frames = encode(Push(slots, seq=2, step=1), arrays)
    sealed, look = seal(frames), fullest(arrays)
    message, back = decode(sealed)
    assert all(map(np.array_equal, back, arrays))
    monkeypatch.setattr(crew, "WORTH_SHARING", 1 << 60)
    assert (bytes(seal(frames)[0]), fullest(arrays)) == (bytes(sealed[0]), look)
    assert decode(seal(encode(Pull(seq=2, step=1))))[0] != message
