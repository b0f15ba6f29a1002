"""Where a call's time goes: the functions with the largest shares of it, on one thread."""

from __future__ import annotations

from collections.abc import Callable
from cProfile import Profile
from pathlib import Path
from types import CodeType

import numba

_SHOWN = 10


def profile(task: Callable[[], object]) -> dict[str, float]:
    """Return the shares of a call's time that its functions take themselves, largest first."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with Profile() as recorder:
            task()
    finally:
        numba.set_num_threads(before)
    seconds = {_name(entry.code): entry.inlinetime for entry in recorder.getstats()}
    of_all = sum(seconds.values())
    largest = sorted(seconds, key=lambda name: -seconds[name])[:_SHOWN]
    return {name: seconds[name] / of_all for name in largest}


def _name(code: CodeType | str) -> str:
    """Return module.function; of what is built in, Python's own description."""
    if isinstance(code, str):
        return code
    return f"{Path(code.co_filename).stem}.{code.co_qualname}"
