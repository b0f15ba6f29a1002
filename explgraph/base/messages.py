"""What the library says to people: names in it cannot command a terminal."""

from __future__ import annotations

import logging

from .text import printable_lines


class _Printable(logging.Filter):
    """Makes a record's message what a terminal prints and does not obey."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable_lines(record.getMessage()), None
        return True


def guard_log() -> None:
    """Pass whatever is logged to "explgraph" through `printable_lines`, whoever listens."""
    log = logging.getLogger("explgraph")
    if not any(isinstance(own, _Printable) for own in log.filters):
        log.addFilter(_Printable())
