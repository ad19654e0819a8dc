"""Faults that a run must survive, in virtual time; the number of each is in its docstring.

 1 a worker dies before its push           11 one of several servers dies (*)
 2 ... in the middle of one                12 a worker stands still, or is slow
 3 an answer is lost                       13 the server stands still
 4 a request is lost                       14 nothing passes in one direction
 5 a request comes twice                   15 connections are cut again and again
 6 slices and pushes overtake each other   16 who sends too much, or reads too slowly
 7 the server dies before its answer       17 a hostile or broken client
 8 ... while it writes a snapshot          18 wrong keys (*)
 9 the newest snapshot is damaged          19 a NaN in a gradient
10 the disk is full                        20 workers come and go

Those with a star need real sockets: keys are in `test_security`; an end by signals, a port in use and a launcher that
is killed in `test_launch`; slow links in `test_namespaces` and `test_fault_proxy`. After each fault the oracle of
`faults.world` compares the server's weights, bit by bit, with those that one process computes from the log.

Where there is no journal (7), what is promised is that the run goes back as a whole and not that nothing is lost.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import losses, troubles
from faults.losses import Body


@pytest.mark.parametrize("fault", losses.FAULTS + troubles.FAULTS, ids=lambda each: each.__name__)
def test_a_run_survives(fault: Body, tmp_path: Path) -> None:
    fault(tmp_path)
