"""What a server complains of."""

from __future__ import annotations

import logging
from typing import Self


class Complaints(logging.Handler):
    """What the server has to complain of while the block runs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    def __enter__(self) -> Self:
        logging.getLogger("retrograd.distributed").addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("retrograd.distributed").removeHandler(self)
