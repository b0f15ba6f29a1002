"""What every command shares: results alone on stdout, all else on stderr, errors in one line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import typer

from explgraph.base.errors import ExplGraphError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


FAILED, REFUSED, INTERRUPTED = 1, 2, 130
_PIPED_WIDTH = 240  # into a file or a pipe, tables are not folded to a terminal's width


@dataclass(frozen=True, slots=True)
class Report:
    """What a command has to say on stdout.

    Attributes
    ----------
    data
        JSON values.
    text
        Lines and tables that say the same to a person, one below the other.
    as_json
        Print `data` rather than `text`.
    exit_code
        0, or `FAILED` where a part of the work could not be done.
    """

    data: Mapping[str, Any]
    text: tuple[RenderableType, ...]
    as_json: bool = False
    exit_code: int = 0


def add_command(app: typer.Typer, function: Callable[..., Report], example: str) -> None:
    """Make a function from options to `Report` a command of ``app``.

    While it runs, whatever is printed (a user's factory may) goes to stderr. An `ExplGraphError` or
    an error of the file system becomes one line there and exit code 2, Ctrl-C exit code 130.

    Parameters
    ----------
    app
        The command line.
    function
        Its name, signature and docstring become the command's name, options and help.
    example
        A command that the help shows.
    """

    @wraps(function)
    def run(**options: Any) -> None:  # noqa: ANN401
        with _errors_as_lines():
            with redirect_stdout(sys.stderr), _log_on_stderr():
                report = function(**options)
            _print(report)
        if report.exit_code:
            raise typer.Exit(report.exit_code)

    app.command(epilog=f"Example:\n\n{example}")(run)


@contextmanager
def _errors_as_lines() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # the reader of our output has seen enough: Typer ends quietly
        raise
    except (ExplGraphError, OSError) as error:
        typer.echo(f"error: {one_line(error)}", err=True)
        raise typer.Exit(REFUSED) from error


def one_line(error: Exception) -> str:
    """Return an error's message without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Print the library's messages, until the command ends."""
    log, handler = logging.getLogger("explgraph"), _Lines()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _Lines(logging.Handler):
    """Writes to what is stderr at the time: a progress bar puts a stream of its own there."""

    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        print(f"{level}{record.getMessage()}", file=sys.stderr)  # noqa: T201


def _print(report: Report) -> None:
    if report.as_json:
        typer.echo(json.dumps(report.data, indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    for block in report.text:
        console.print(block, soft_wrap=isinstance(block, str))


def table(*columns: str, title: str | None = None, text: int = 1) -> Table:
    """Start a table whose first ``text`` columns hold text, the others numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    result = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for i, column in enumerate(columns):
        result.add_column(column, justify="left" if i < text else "right")
    return result
