"""Times of tasks that take turns, so that a slow minute slows all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]


class Figure(float):
    """The median of a measurement that was repeated; ``least`` and ``most`` show its noise."""

    least: float
    most: float

    @classmethod
    def of(cls, values: F8 | Sequence[float]) -> Self:
        """Return the median of some values."""
        figure = cls(np.median(values))
        figure.least, figure.most = float(np.min(values)), float(np.max(values))
        return figure


def take_turns(tasks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, F8]:
    """Time tasks one after the other, round after round.

    A round before the first warms up: it compiles, and is not counted. Of no rounds, that one is.

    Returns
    -------
    By task, (rounds,) seconds; (1,) of no rounds. Those of one round lie side by side in time:
    divide by round.
    """
    seconds = {name: np.zeros(max(rounds, 1)) for name in tasks}
    for turn in range(-1, rounds):  # the one before the first is overwritten
        for name, task in tasks.items():
            start = perf_counter()
            task()
            seconds[name][turn] = perf_counter() - start
    return seconds


def growth_exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return b of the power law ``seconds = a sizes^b`` that fits best in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
