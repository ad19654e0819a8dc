"""Becomes another program that dies when its parent does: ``python guard.py PARENT_PID PROGRAM ARG...``

The launcher starts everything through this file, by its path and without importing the package, so it
costs a few milliseconds. On Linux the kernel kills the program when the launcher dies, even by ``kill
-9``; the request survives `exec`. Elsewhere there is no such request, and the end comes by way of the
server, which notices that its parent is another.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request was made
            sys.exit(1)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
