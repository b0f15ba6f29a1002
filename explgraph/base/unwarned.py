"""Warnings of others that mean nothing here."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()


@contextmanager
def unwarned(message: str, category: type[Warning]) -> Iterator[None]:
    """Leave out warnings that begin with a regular expression.

    Filters are the whole process's, and two threads would put each other's back: one at a time.
    """
    with _lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message, category)
        yield


def _renew() -> None:
    """Begin anew in a child process: whoever held the lock is not in it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
