"""What mining and matching compile, compiled while the network runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from explgraph.base.threads import meanwhile
from explgraph.groups.grouping import compile_ahead as compile_groups
from explgraph.peaks.finding import compile_ahead as compile_finding
from explgraph.peaks.survey import compile_ahead as compile_survey
from mining import compile_ahead


def compiling() -> AbstractContextManager[object]:
    """Compile, the first time in a process, what comes after the network, while it runs."""
    return nullcontext() if _ahead else meanwhile("compiling", _compile_ahead())


_ahead: list[None] = []  # has an entry once it is done


def _compile_ahead() -> Iterator[None]:
    compile_finding()
    yield
    compile_survey()
    yield
    yield from compile_ahead()
    compile_groups()
    yield
    _ahead.append(None)
