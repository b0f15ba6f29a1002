"""The two ways to the terminal: what is printed there is seen, and never obeyed.

Names of photos, nodes and parts come from files of others, and may hold escape sequences.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from explgraph.base.text import printable_lines

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH = 240  # into a file or a pipe, tables are not folded to a terminal's width


def say(text: str) -> None:
    """Print text on what is stderr at the time: a progress bar puts a stream of its own there."""
    print(printable_lines(text), file=sys.stderr)  # noqa: T201


def results() -> Console:
    """Return what prints results on stdout: text and tables."""
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Printing(Console):
        """Prints text as it is, but for what is not printable; colours are its own."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                text, style, control = segment
                yield segment if control else Segment(printable_lines(text), style)

    console = Printing(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console
