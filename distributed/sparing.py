"""A log that nobody can fill from outside."""

from __future__ import annotations

import logging

__all__ = ["Sparing"]


class Sparing:
    """Logs what peers can cause without end: the first few times, the last of them with a word that it was the last.

    Parameters
    ----------
    log : logging.Logger
    most : int
        How many are logged.

    Examples
    --------
    >>> sparing = Sparing(logging.getLogger("example"), most=2)
    >>> [sparing.count for _ in range(3) if sparing(logging.DEBUG, "dropped a message") is None]
    [1, 2, 3]
    """

    def __init__(self, log: logging.Logger, most: int = 10) -> None:
        self._log = log
        self._most = most
        self.count = 0
        """How often there was something to log."""

    def __call__(self, level: int, text: str, *arguments: object) -> None:
        """Log it, unless there has been enough of it."""
        self.count += 1
        if self.count <= self._most:
            more = "; further ones are not logged" if self.count == self._most else ""
            self._log.log(level, text + more, *arguments)
