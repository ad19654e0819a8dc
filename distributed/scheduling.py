"""Which thread goes first where a server and its workers share the processors of a machine.

When a server has told one worker the new weights, Linux as a rule lets that worker go on at once, on the very processor
on which the server was about to tell the next one. So that one waits for both, and with it everyone in the step after.
A thread of Linux's *batch* class gets its share of the processors like any other, but when it is woken it waits until
those that are at work have come to a stop.
"""

from __future__ import annotations

import contextlib
import os
import sys

__all__ = ["go_first_again", "let_others_finish"]


def let_others_finish() -> bool:
    """Have this thread, when it is woken, not interrupt another; whether it did before."""
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    with contextlib.suppress(OSError):  # where somebody has forbidden the call
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return True
    return False


def go_first_again() -> None:
    """Undo that, in the same thread."""
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_BATCH:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
