"""Warnings that are left out, in several threads."""

import threading
import warnings

import pytest

from explgraph.base.unwarned import unwarned


def test_unwarned__leaves_out_that_warning_alone():
    with unwarned("No (bread|wine)", UserWarning):
        warnings.warn("No bread", UserWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="Water"):
            warnings.warn("Water", UserWarning, stacklevel=1)


def test_unwarned__in_two_threads_puts_all_filters_back():
    """Without a lock the last to leave puts back what it found: the first one's filters."""
    before, begun, left = list(warnings.filters), threading.Event(), threading.Event()

    def other():
        begun.set()
        with unwarned("inner", UserWarning):
            left.wait(10)
            warnings.warn("inner", UserWarning, stacklevel=1)

    thread = threading.Thread(target=other)
    with unwarned("outer", UserWarning):
        thread.start()
        begun.wait(10)
        thread.join(0.1)  # waits within or before
    left.set()
    thread.join(10)
    assert list(warnings.filters) == before
